"""Show-config: every key with its value, where that came from, and when a change of it acts.

In: config.toml and its layers; the run in the data directory, if there is one. Out: lines, or JSON; with
--markdown the page docs/CONFIG.md. Secrets are not in a configuration: it names their places alone. Run by
people.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pipeline.cli.common import BAD_CONFIG, OK, ROOT, add_data, running_config, say
from pipeline.cli.settings import surveyed
from pipeline.clock import moment_text
from pipeline.config import Config
from pipeline.config_schema import ConfigProblems
from pipeline.config_schema.layers import ENVIRONMENT_PREFIX, Layers, Origin
from pipeline.config_schema.reference import markdown
from pipeline.config_schema.schema import Resolved, keys, reload_of
from pipeline.config_schema.text import KeyPath, dotted
from pipeline.config_schema.tuning import OF_THE_RUN
from pipeline.config_schema.values import toml
from shm.records import RUN, RunRow
from shm.segment import SegmentError, attach
from shm.tables import TableReader

KEY_WIDTH = 56


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument(
        "--config", metavar="PATH", type=Path, help="the file (that of the run, or config.toml)"
    )
    parser.add_argument("--profile", metavar="NAME", help="demo, paper (that of the run)")
    parser.add_argument("--set", metavar="a.b=c", action="append", default=[], help="change one key")
    parser.add_argument("--origin", action="store_true", help="where each value came from, and when it acts")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--markdown", action="store_true", help="all keys there are, as docs/CONFIG.md")


def run(args: argparse.Namespace) -> int:
    """Show it."""
    if args.markdown:
        sys.stdout.write(markdown(keys()))
        return OK
    running = running_config(args.data)
    path = args.config or (Path(running.source) if running else ROOT / "config.toml")
    profile = args.profile or (running.profile if running else None)
    try:
        resolved = surveyed(path, profile, args.set, args.data)
    except ConfigProblems as problems:
        sys.stderr.write(f"{problems}\n")
        return BAD_CONFIG
    row = run_row(running) if running else None
    told = shown(resolved, running)
    if args.json:
        say(json.dumps(as_json(resolved, running, row, told)))
        return OK
    for line in (*head(resolved, running, row), *lines(told, origin=args.origin), *resolved.notes):
        say(line)
    return OK


def run_row(running: Config) -> RunRow | None:
    """What the supervisor says of its configuration."""
    try:
        return TableReader(attach(Path(running.shm_directory), "supervisor"), "run", RUN).get(0)
    except SegmentError:
        return None


def shown(resolved: Resolved, running: Config | None) -> list[dict[str, Any]]:
    """A row for each key: what the files give, and what is in force where that is another value."""
    config = resolved.config
    of_run = dict(flat(running)) if running else {}
    # An empty table here that is none there: the keys in it have their own rows.
    tables = {path[:depth] for path in of_run for depth in range(len(path))}
    rows = []
    for path, value in flat(config):
        row: dict[str, Any] = {"key": dotted(path), "value": value, "acts": reload_of(path)}
        row["origin"] = origin_text(resolved.layers.set_in(path), config.source)
        if running and path not in tables and of_run.get(path) != value:
            row["in_force"] = of_run.get(path)
        rows.append(row)
    for path, value in of_run.items():
        if path not in {known for known, _ in flat(config)}:
            rows.append(
                {"key": dotted(path), "value": None, "acts": reload_of(path), "origin": "", "in_force": value}
            )
    return [*rows, *events(config, resolved.layers)]


def flat(config: Config) -> Iterator[tuple[KeyPath, Any]]:
    """Path and value of every key that has a value, tables walked through."""
    tree = msgspec.to_builtins(config)
    for section in (name for name in tree if name not in OF_THE_RUN):
        yield from _flat((section,), tree[section])


def _flat(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _flat((*path, key), child)
    elif value is not None:
        yield path, value


def events(config: Config, layers: Layers) -> Iterator[dict[str, Any]]:
    """A row for each event; those of a series have no place of their own."""
    for number, event in enumerate(config.events):
        origin = layers.set_in(("events", number))
        place = origin_text(origin, config.source) if origin else "[[series]]"
        value = {
            "kind": event.kind,
            "close": event.close,
            "legs": [f"{leg.venue} {leg.market}" for leg in event.legs],
        }
        yield {"key": f"events.{event.id}", "value": value, "acts": "live", "origin": place}


def origin_text(origin: Origin | None, source: str) -> str:
    """Where a value came from, for people; what a file leaves out is the default."""
    if origin is None or (origin.line is None and Path(origin.file).absolute() == Path(source)):
        return "default"
    if origin.file.startswith(ENVIRONMENT_PREFIX):
        return f"environment {origin.file}"
    place = origin.file if origin.line is None else f"{origin.file}:{origin.line}"
    return f"{place} [profile.{origin.profile}]" if origin.profile else place


def head(resolved: Resolved, running: Config | None, row: RunRow | None) -> Iterator[str]:
    """The file, and what holds in the run."""
    config = resolved.config
    yield f"# {config.source}, profile {config.profile}, hash {config.hash[:12]}"
    if running is None:
        yield "# nothing runs"
        return
    read = f", read {moment_text(row.config_read_wall_ns)}" if row and row.config_read_wall_ns else ""
    yield f"# in force: version {running.version}, hash {running.hash[:12]}{read}"
    if row and row.config_waits:
        yield f"# waits: {row.config_waits}"
    if row and row.config_problem:
        yield f"# refused, what was before goes on: {row.config_problem}"


def lines(rows: list[dict[str, Any]], *, origin: bool) -> Iterator[str]:
    """A line for each key."""
    for row in rows:
        text = (
            f"{row['key']} = {toml(row['value'])}"
            if row["value"] is not None
            else f"# {row['key']} is not set"
        )
        notes = [row["origin"], row["acts"]] if origin else []
        if "in_force" in row:
            notes.append(f"in force: {toml(row['in_force']) or '-'}")
        told = " | ".join(note for note in notes if note)
        yield f"{text:<{KEY_WIDTH}}  # {told}" if told else text


def as_json(
    resolved: Resolved, running: Config | None, row: RunRow | None, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """The same as one object."""
    config = resolved.config
    in_force = None
    if running is not None:
        in_force = {
            "version": running.version,
            "hash": running.hash,
            "waits": row.config_waits if row else "",
            "problem": row.config_problem if row else "",
            "read_wall_ns": row.config_read_wall_ns if row else 0,
        }
    return {
        "file": config.source,
        "profile": config.profile,
        "hash": config.hash,
        "run": in_force,
        "keys": {each["key"]: {name: each[name] for name in each if name != "key"} for each in rows},
        "notes": list(resolved.notes),
    }
