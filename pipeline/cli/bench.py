"""Bench: run a measurement from bench/, one file for each number that README quotes.

In: a bench's name. Out: its table, or with --json one object. Run by people while nothing else runs.
"""

from __future__ import annotations

import argparse
from importlib import import_module

from pipeline.cli.common import OK, ROOT, USAGE, complain, say
from pipeline.cli.parser import did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="without it, the list")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--runs", metavar="N", type=int, default=5, help="repetitions (default 5)")


def run(args: argparse.Namespace) -> int:
    """List the benches, or run one."""
    names = sorted(path.stem for path in (ROOT / "bench").glob("*.py"))
    if args.name is None:
        for name in names:
            doc = import_module(f"bench.{name}").__doc__ or ""
            say(f"{name:<12} {doc.splitlines()[0]}")
        return OK
    if args.name not in names:
        complain(f"no bench {args.name!r}{did_you_mean(args.name, names)}; there are: {', '.join(names)}")
        return USAGE
    return int(import_module(f"bench.{args.name}").run(args))
