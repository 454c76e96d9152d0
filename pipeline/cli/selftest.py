"""Selftest: breaks a simulated run of its own in eight ways, and says whether each was noticed and mended.

In: a seed. Out: a line for each fault (passed or not, what was seen, seconds), or one JSON object; exit 0 if
all passed, else 1 and where the logs are. Run by people on their own machine, and by tests. It starts its
own run in a temporary folder, touches nothing of any other, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.cli.common import FAILED, OK, complain, say
from pipeline.cli.selftest_items import ITEMS, Item
from pipeline.cli.selftest_run import START_SECONDS, DemoRun, MissedError
from pipeline.clock import Clock, SystemClock

SEED = 7
INDENT = " " * 6
AGAIN_SECONDS = 15.0
"""In this time a run must be sound again after a fault."""


class Result(NamedTuple):
    """What an item came to."""

    item: Item
    passed: bool
    seconds: float
    seen: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    names = [item.name for item in ITEMS]
    parser.add_argument("--json", action="store_true", help="one JSON object, at the end")
    parser.add_argument("--seed", metavar="N", type=int, default=SEED, help="another simulated world")
    parser.add_argument(
        "--only", metavar="ITEM", action="append", choices=names, help=f"only this: {', '.join(names)}"
    )
    parser.add_argument("--keep", action="store_true", help="keep the run's folder, with its logs")


def run(args: argparse.Namespace) -> int:
    """Start a run, play the items, stop it, and say what came of it."""
    clock = SystemClock()
    items = [item for item in ITEMS if not args.only or item.name in args.only]
    root = Path(tempfile.mkdtemp(prefix="parallax-selftest-"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # An orderly end for all of these: nothing is left running.
        signal.signal(number, _interrupted)
    started_ns = clock.monotonic_ns()
    results: list[Result] = []
    kept = args.keep
    if not args.json:
        say("starting a simulated run of its own; about half a minute for all")
    try:
        play(root, args.seed, items, results, clock, quiet=args.json)
        kept = kept or not all(result.passed for result in results)
    except KeyboardInterrupt:
        complain("interrupted; what it started is stopped")
    except BaseException:
        # A defect of ours: what there is to learn of it is in the folder.
        kept = True
        raise
    finally:
        if not kept:
            shutil.rmtree(root, ignore_errors=True)
    seconds = (clock.monotonic_ns() - started_ns) / 1e9
    passed = len(results) == len(items) and all(result.passed for result in results)
    if args.json:
        say(json.dumps(report(results, seconds, passed=passed, root=root if kept else None)))
        return OK if passed else FAILED
    good = sum(result.passed for result in results)
    say(f"{good} of {len(items)} passed in {seconds:.1f} s")
    if kept:
        say(f"the run's folder is kept: {root} (logs in data/logs)")
    return OK if passed else FAILED


def play(
    root: Path, seed: int, items: Sequence[Item], results: list[Result], clock: Clock, *, quiet: bool
) -> None:
    """Play the items in a run of their own, and add what each came to."""
    with DemoRun(root, seed, clock) as played:
        for item in items:
            started_ns = clock.monotonic_ns()
            try:
                played.ready(AGAIN_SECONDS if results else START_SECONDS)
                if not results:
                    # How long the program takes to start is no part of an item.
                    started_ns = clock.monotonic_ns()
                passed, seen = item.play(played)
            except MissedError as error:
                passed, seen = False, str(error)
            result = Result(item, passed, (clock.monotonic_ns() - started_ns) / 1e9, seen)
            results.append(result)
            if not quiet:
                say(line(result, shutil.get_terminal_size().columns if sys.stdout.isatty() else 0))


def line(result: Result, columns: int = 0) -> str:
    """An item for people: one line, on a terminal of so many columns as many as it takes."""
    word = "pass" if result.passed else "FAIL"
    head = f"{word}  {result.item.title:<31} {result.seconds:6.2f} s"
    if not columns or len(head) + 2 + len(result.seen) <= columns:
        return f"{head}  {result.seen}"
    seen = textwrap.fill(result.seen, columns - 1, initial_indent=INDENT, subsequent_indent=INDENT)
    return f"{head}\n{seen}"


def report(results: Sequence[Result], seconds: float, *, passed: bool, root: Path | None) -> dict[str, Any]:
    """The whole as one object; `kept` is the folder of the run where it was kept."""
    return {
        "passed": passed,
        "seconds": round(seconds, 1),
        "items": [
            {
                "name": result.item.name,
                "passed": result.passed,
                "seconds": round(result.seconds, 2),
                "seen": result.seen,
            }
            for result in results
        ],
        "kept": str(root) if root is not None else None,
    }


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
