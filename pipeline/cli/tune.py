"""Tune: set and reload: change the configuration of a run that goes on, or of the file while nothing runs.

In: section.key=value, or nothing. Out: each change with when it acts, exit code 0; or every problem, exit
code 3, and then nothing was changed. Run by people and scripts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from pipeline import bus
from pipeline.cli.ask import ask
from pipeline.cli.common import (
    BAD_CONFIG,
    FAILED,
    OK,
    ROOT,
    USAGE,
    add_data,
    complain,
    not_running,
    run_directory_of,
    running_config,
    say,
)
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.config_changes import SettingsError
from pipeline.config_schema import ConfigProblems, resolve
from pipeline.config_schema.live import FileSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    if parser.prog.split()[-1] != "set":
        return
    parser.add_argument("assignments", metavar="a.b=c", nargs="+", help="such as risk.min_edge_bp=60")
    while_down = "while nothing runs: "
    parser.add_argument("--config", metavar="PATH", type=Path, help=f"{while_down}the file to change")
    parser.add_argument(
        "--profile", metavar="NAME", help=f"{while_down}change it in this profile if it is there"
    )


def run(args: argparse.Namespace) -> int:
    """Ask the supervisor; where there is none, `set` changes the file by itself."""
    config = running_config(args.data)
    if args.command == "reload":
        return not_running(args.data) if config is None else asked(args, {})
    if any("\n" in text for text in args.assignments):
        complain("a value is one line")
        return USAGE
    if config is None:
        return written(args)
    if not is_of(config, args):
        complain(
            f"the run in {args.data} has {config.source} with profile {config.profile}:"
            " leave out --config and --profile, or name its own"
        )
        return USAGE
    return asked(args, {"assignments": "\n".join(args.assignments)})


def is_of(config: Config, args: argparse.Namespace) -> bool:
    """Whether --config and --profile, where they are given, name what the run was started with."""
    file = args.config is None or args.config.resolve() == Path(config.source).resolve()
    return file and args.profile in {None, config.profile}


def asked(args: argparse.Namespace, wanted: dict[str, str]) -> int:
    """Let the supervisor do it, and tell what it says."""
    try:
        reply = ask(run_directory_of(args.data), args.command, wanted)
    except bus.BusError as error:
        complain(str(error))
        return FAILED
    return told(args, reply.text.splitlines(), good=reply.ok)


def written(args: argparse.Namespace) -> int:
    """Change the file: nothing runs that could."""
    path = args.config or ROOT / "config.toml"
    try:
        now = resolve(path=path, profile=args.profile, sets=(), environ=os.environ, data_directory=args.data)
        settings = FileSettings(path, args.profile, (), os.environ, args.data, SystemClock())
        tuned = settings.write(now, args.assignments, frozenset())
    except (ConfigProblems, SettingsError) as problems:
        return told(args, str(problems).splitlines(), good=False)
    changes = [f"{each.key} {each.old} -> {each.new}" for each in tuned.changes]
    what = (
        f"written to {path}; nothing runs, so it acts with the next run.py up"
        if changes
        else "nothing changed"
    )
    return told(args, [*changes, what], good=True)


def told(args: argparse.Namespace, lines: list[str], *, good: bool) -> int:
    """Tell the answer and give the exit code."""
    if args.json:
        say(json.dumps({"ok": good, "lines": lines}))
    elif good:
        for line in lines:
            say(line)
    else:
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        complain("nothing was changed")
    return OK if good else BAD_CONFIG
