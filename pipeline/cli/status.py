"""Status: what runs and how it is, from shared memory alone.

In: the segments of a run. Out: lines for people or one JSON object (DESIGN 9). Run by people, scripts,
and by `up`, whose last line is the same object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline.cli.common import FAILED, OK, add_data, complain, last_config, not_running, running_config, say
from pipeline.clock import Clock, SystemClock
from pipeline.config import Config
from pipeline.model import BookState, ConnectionState, Reason, WorkerState, book_state, to_text
from shm import records
from shm.books import BookReader
from shm.segment import SegmentError, View, attach
from shm.tables import TableReader, read_counters, read_errors

REJECTED = "rejected."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--counters", action="store_true", help="every counter and error of every process")


def run(args: argparse.Namespace) -> int:
    """Print the state of the run in the data directory."""
    try:
        return run_counters(args) if args.counters else run_state(args)
    except SegmentError as why:
        # A run of another version of this program.
        complain(str(why))
        return FAILED


def run_state(args: argparse.Namespace) -> int:
    """Print how the run is now."""
    config = running_config(args.data)
    if config is None:
        return not_running(args.data)
    state = gather(config, attach_all(Path(config.shm_directory)), SystemClock())
    say(json.dumps(state) if args.json else "\n".join(lines(state)))
    return OK


def run_counters(args: argparse.Namespace) -> int:
    """Print what every process counted; after a crash too, for the memory of the dead is still there."""
    config = last_config(args.data)
    views = attach_all(Path(config.shm_directory)) if config else {}
    if not views:
        return not_running(args.data)
    found = counters(views)
    say(json.dumps(found) if args.json else "\n".join(counter_lines(found)))
    return OK


def attach_all(directory: Path) -> dict[str, View]:
    """Every readable segment by its worker's name."""
    views: dict[str, View] = {}
    paths = sorted(directory.iterdir()) if directory.is_dir() else []
    for path in paths:
        if path.suffix in {".lock", ".new"}:
            continue
        try:
            views[path.name] = attach(directory, path.name)
        except SegmentError:
            continue
    return views


def gather(config: Config, views: dict[str, View], clock: Clock) -> dict[str, Any]:
    """The status object."""
    now = clock.monotonic_ns()
    supervisor, trader = views.get("supervisor"), views.get("trader")
    counts = read_counters(trader) if trader else {}
    summary = TableReader(trader, "summary", records.SUMMARY).get(0) if trader else None
    pnl = (summary.realised_micros + summary.unrealised_micros) if summary else 0
    return {
        "profile": config.profile,
        "mode": config.mode,
        "simulated": bool(config.simulated),
        "config_version": config.version,
        "uptime_s": round((now - supervisor.header.started_ns) / 1e9, 1) if supervisor else 0.0,
        "halted": bool(summary.halted) if summary else False,
        "workers": workers(supervisor, views, now),
        "venues": {venue: venue_state(views.get(f"feed-{venue}"), config, now) for venue in config.feeds()},
        "opportunities": counts.get("opportunities", 0),
        "trades": counts.get("trades", 0),
        "rejections": rejections(counts),
        "pnl_usd": to_text(pnl, 6),
        "positions": positions(trader),
    }


def workers(supervisor: View | None, views: dict[str, View], now: int) -> list[dict[str, Any]]:
    """A line of the worker table each, with the age of its heartbeat."""
    if supervisor is None:
        return []
    found = []
    for _, row in TableReader(supervisor, "workers", records.WORKER).rows():
        view = views.get(row.name)
        age = round((now - view.header.heartbeat_ns) / 1e6) if view and view.header.pid == row.pid else None
        found.append(
            {
                "name": row.name,
                "pid": row.pid,
                "state": WorkerState(row.state).name,
                "restarts": row.restarts,
                "heartbeat_age_ms": age,
                "epoch": view.header.epoch if view else 0,
            }
        )
    return found


def venue_state(view: View | None, config: Config, now: int) -> dict[str, Any]:
    """A venue's connection, its counters and its books with their present state and age."""
    if view is None:
        return {"connected": False, "messages": 0, "gaps": 0, "reconnects": 0, "books": {}}
    counts = read_counters(view)
    reader = BookReader(view)
    limits = config.scanner.limits()
    connection = reader.connection(0)
    fresh = now - view.header.heartbeat_ns <= limits.heartbeat_ns
    books: dict[str, dict[str, Any]] = {}
    for index, market in reader.directory.rows():
        book = reader.get(index)
        if book is None:
            continue
        state = book_state(
            book.state,
            retired=view.header.retired,
            heartbeat_ns=view.header.heartbeat_ns,
            proof_ns=reader.connection(book.connection).proof_ns,
            socket_ns=book.socket_ns,
            now_ns=now,
            limits=limits,
        )
        age = round((now - book.socket_ns) / 1e6) if book.socket_ns else None
        books[market.market] = {"state": BookState(state).name, "age_ms": age}
    return {
        "connected": fresh and connection.state == ConnectionState.UP,
        "messages": counts.get("frames", 0),
        "gaps": counts.get("gaps", 0),
        "reconnects": counts.get("reconnects", 0),
        "bad_frames": counts.get("bad_frames", 0),
        "checksums_bad": counts.get("checksums_bad", 0),
        "books": books,
    }


def rejections(counts: dict[str, int]) -> dict[str, int]:
    """Refusals by reason, those that happened."""
    return {
        name.removeprefix(REJECTED): count
        for name, count in counts.items()
        if name.startswith(REJECTED) and count
    }


def positions(trader: View | None) -> dict[str, dict[str, str]]:
    """Sizes by event and venue; outcomes of one venue are added with NO counted as negative."""
    if trader is None:
        return {}
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    for _, row in TableReader(trader, "positions", records.POSITION).rows():
        signed = -row.units if row.outcome == "no" else row.units
        held, _ = sizes.setdefault(row.event_id, {}).get(row.venue, (0, 0))
        sizes[row.event_id][row.venue] = (held + signed, row.size_decimals)
    return {
        event: {venue: to_text(units, decimals) for venue, (units, decimals) in by_venue.items()}
        for event, by_venue in sizes.items()
    }


def counters(views: dict[str, View]) -> dict[str, Any]:
    """Every counter and distinct error of every segment; needs no configuration."""
    return {
        name: {
            "epoch": view.header.epoch,
            "counters": read_counters(view),
            "errors": [error(row) for row in read_errors(view)],
        }
        for name, view in views.items()
    }


def error(row: records.ErrorRow) -> dict[str, Any]:
    """One distinct error: its text, how often, and when first and last (wall clock)."""
    first, last = row.first_wall_ns, row.last_wall_ns
    return {"text": row.text, "count": row.seen, "first_wall_ns": first, "last_wall_ns": last}


def counter_lines(everything: dict[str, Any]) -> list[str]:
    """The counters for people."""
    out = []
    for name, entry in everything.items():
        out.append(f"{name}  (epoch {entry['epoch']})")
        out += [f"  {label:<32} {value:>12}" for label, value in entry["counters"].items()]
        out += [f"  error x{found['count']}: {found['text']}" for found in entry["errors"]]
    return out


def lines(state: dict[str, Any]) -> list[str]:
    """The status for people."""
    kind = "SIM " if state["simulated"] else ""
    out = [
        (
            f"{kind}{state['mode'].upper()}  profile {state['profile']}  up {state['uptime_s']:.0f} s  "
            f"config v{state['config_version']}{'  HALTED' if state['halted'] else ''}"
        ),
        f"opportunities {state['opportunities']}  trades {state['trades']}  P&L ${state['pnl_usd']}",
        "",
        f"{'WORKER':<18}{'PID':>8}  {'STATE':<10}{'RESTARTS':>8}  BEAT",
    ]
    for worker in state["workers"]:
        age = worker["heartbeat_age_ms"]
        beat = "-" if age is None else f"{age} ms"
        out.append(
            f"{worker['name']:<18}{worker['pid'] or '-':>8}  "
            f"{worker['state']:<10}{worker['restarts']:>8}  {beat}"
        )
    out += ["", f"{'VENUE':<14}{'SOCKET':<8}{'MESSAGES':>10}{'GAPS':>6}{'RECONNECTS':>12}  BOOKS"]
    for name, venue in state["venues"].items():
        states: dict[str, int] = {}
        for book in venue["books"].values():
            states[book["state"]] = states.get(book["state"], 0) + 1
        summary = ", ".join(f"{count} {word}" for word, count in sorted(states.items())) or "none"
        out.append(
            f"{name:<14}{'up' if venue['connected'] else 'down':<8}{venue['messages']:>10}"
            f"{venue['gaps']:>6}{venue['reconnects']:>12}  {summary}"
        )
    if state["rejections"]:
        most = sorted(state["rejections"].items(), key=lambda item: -item[1])
        out += ["", "refused: " + ", ".join(f"{name} {count}" for name, count in most)]
    for event, held in state["positions"].items():
        out.append(f"holds {event}: " + ", ".join(f"{venue} {size}" for venue, size in held.items()))
    return out


def reason_counters() -> tuple[str, ...]:
    """Names of the counters of refusals, one a reason."""
    return tuple(REJECTED + reason.name.lower() for reason in Reason if reason is not Reason.NONE)
