"""Check-config: say everything that is wrong with a configuration at once, the files of events/ included.

In: a TOML file. Out: its problems on stderr and exit code 3, or one line, what is left out, and 0. Run by
people.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pipeline.cli.common import BAD_CONFIG, OK, ROOT, add_data, say
from pipeline.cli.settings import surveyed
from pipeline.config_schema import ConfigProblems


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("path", metavar="PATH", type=Path, nargs="?", default=ROOT / "config.toml")
    parser.add_argument("--profile", metavar="NAME", help="demo, paper")
    parser.add_argument("--set", metavar="a.b=c", action="append", default=[], help="change one key")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Resolve the configuration and say what came of it."""
    try:
        resolved = surveyed(args.path, args.profile, args.set, args.data)
    except ConfigProblems as problems:
        if args.json:
            say(json.dumps({"good": False, "problems": [str(each) for each in problems.problems]}))
        else:
            sys.stderr.write(f"{problems}\n")
        return BAD_CONFIG
    config = resolved.config
    if args.json:
        say(json.dumps({"good": True, "problems": [], "notes": resolved.notes, "hash": config.hash}))
        return OK
    venues = ", ".join(config.feeds())
    say(f"{args.path}: good; profile {config.profile}, venues {venues}, {len(config.events)} events")
    for note in resolved.notes:
        say(note)
    return OK
