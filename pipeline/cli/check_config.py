"""Check-config: say everything that is wrong with a configuration at once.

In: a TOML file. Out: its problems on stderr and exit code 3, or one line and 0. Run by people.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.cli.common import BAD_CONFIG, OK, ROOT, add_data, say
from pipeline.cli.settings import resolve_or_complain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("path", metavar="PATH", type=Path, nargs="?", default=ROOT / "config.toml")
    parser.add_argument("--profile", metavar="NAME", help="demo, paper")
    parser.add_argument("--set", metavar="a.b=c", action="append", default=[], help="change one key")


def run(args: argparse.Namespace) -> int:
    """Resolve the configuration and say what came of it."""
    config = resolve_or_complain(args.path, args.profile, args.set, args.data)
    if config is None:
        return BAD_CONFIG
    venues = ", ".join(config.feeds())
    say(f"{args.path}: good; profile {config.profile}, venues {venues}, {len(config.events)} events")
    return OK
