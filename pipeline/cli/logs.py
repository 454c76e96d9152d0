"""Logs: `run.py logs`: what all workers logged, merged by time; while a run goes on, and after it.

In: data/logs. Out: lines for people, or with --json one JSON object a line; with --errors the distinct errors
of each process, from shared memory; with --output what workers wrote outside of their logs. Run by people.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.common import FAILED, OK, USAGE, add_data, complain, last_config, not_running, say
from pipeline.cli.moments import HELP, parse_moment
from pipeline.cli.parser import did_you_mean
from pipeline.clock import SystemClock, moment_text
from pipeline.logs import LEVELS, log_directory
from pipeline.logs_files import Merged, workers_in
from pipeline.logs_text import Line, as_json, clean, rendered
from pipeline.places import instance_of, shm_directory
from pipeline.status import attach_all, counters

LINES = 200
FOLLOW_SECONDS = 0.2
OUTPUT = ".out"
# Of what a worker wrote to stdout and stderr, so much from the end.
OUTPUT_BYTES = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("workers", metavar="WORKER", nargs="*", help="such as feed-kraken; none: all of them")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as lines come, until Ctrl-C")
    parser.add_argument("--level", choices=list(LEVELS), default="debug", help="this level and what is worse")
    parser.add_argument("--since", metavar="T", help=HELP)
    text = f"the last N lines; 0: all (default {LINES}, with --since or --grep all)"
    parser.add_argument("-n", "--lines", metavar="N", type=_count, help=text)
    parser.add_argument("--grep", metavar="TEXT", help="lines with this text, in capitals or not")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, broken lines too")
    parser.add_argument("--errors", action="store_true", help="distinct errors of each process, from memory")
    parser.add_argument("--output", action="store_true", help="what workers wrote to stdout and stderr")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Print what is asked for."""
    if args.errors:
        return _errors(args)
    directory = log_directory(args.data)
    known = _outputs(directory) if args.output else workers_in(directory)
    for worker in args.workers:
        if worker not in known and not (args.follow and known == []):
            complain(f"no log of a worker {worker!r} in {directory}{did_you_mean(worker, known)}")
            return USAGE
    if not known and not args.follow:
        complain(f"no logs in {directory}: run.py up makes them")
        return FAILED
    if args.output:
        return _output(directory, args)
    try:
        since = parse_moment(args.since, SystemClock().wall_ns()) / 1e9 if args.since else None
    except ValueError as error:
        complain(f"--since: {error}")
        return USAGE
    return _merged(directory, args, since)


@dataclass(frozen=True)
class Filter:
    """Which lines are wanted; `since` in seconds since 1970. Lines that are not ours pass by their text."""

    level: int
    since: float | None
    text: str

    def passes(self, line: Line) -> bool:
        """Whether a line is wanted. One that is not ours has no level: it passes where all levels do."""
        if self.since is not None and line.at < self.since:
            return False
        level = LEVELS.get(str(line.fields.get("level", "")), 0) if line.fields else 0
        if level < self.level and self.level > min(LEVELS.values()):
            return False
        return not self.text or self.text in line.raw.decode("utf-8", "replace").lower()

    @property
    def everything(self) -> bool:
        """Whether all lines pass."""
        return self.since is None and not self.text and self.level <= min(LEVELS.values())


class Printer:
    """Prints lines; those that are not ours only with --json, else they are counted."""

    def __init__(self, *, as_objects: bool) -> None:
        self._as_objects = as_objects
        terminal = sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"
        self._colour = terminal and not os.environ.get("NO_COLOR")
        self.broken = 0

    def show(self, lines: Iterable[Line]) -> None:
        """Print lines and hand them on at once."""
        for line in lines:
            self.broken += line.fields is None
            if self._as_objects:
                sys.stdout.write(as_json(line) + "\n")
            elif line.fields is not None:
                # What the terminal's encoding cannot show must not end the command.
                text = rendered(line, colour=self._colour)
                encoding = sys.stdout.encoding or "utf-8"
                sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()


def _merged(directory: Path, args: argparse.Namespace, since: float | None) -> int:
    wanted = Filter(LEVELS[args.level], since, (args.grep or "").lower())
    most = args.lines if args.lines is not None else 0 if args.since or args.grep else LINES
    printer = Printer(as_objects=args.json)
    clock = SystemClock()
    merged = Merged(directory, args.workers, most if wanted.everything else 0)
    try:
        printer.show(_last(filter(wanted.passes, merged.lines()), most))
        while args.follow:
            printer.show(filter(wanted.passes, merged.fresh()))
            clock.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        # How a person ends --follow.
        sys.stdout.flush()
    except PermissionError as error:
        complain(f"{error.filename}: {error.strerror}: these logs are another user's")
        return FAILED
    finally:
        merged.close()
    if printer.broken and not args.json:
        complain(f"{printer.broken} lines are no lines of ours, cut or foreign: --json shows them")
    return OK


def _last(lines: Iterator[Line], most: int) -> Iterable[Line]:
    """The last `most` lines, 0 for all."""
    return deque(lines, maxlen=most) if most else lines


def _outputs(directory: Path) -> list[str]:
    """Workers whose stdout and stderr were kept."""
    found = directory.glob(f"*{OUTPUT}") if directory.is_dir() else iter(())
    return sorted(path.name.removesuffix(OUTPUT) for path in found)


def _output(directory: Path, args: argparse.Namespace) -> int:
    """What workers wrote to stdout and stderr: the last lines of each, as there are no times in it."""
    if args.follow:
        complain(f"--output cannot be followed: tail -f {directory}/WORKER{OUTPUT}")
        return USAGE
    most = args.lines if args.lines is not None else LINES
    for worker in args.workers or _outputs(directory):
        with (directory / f"{worker}{OUTPUT}").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - OUTPUT_BYTES))
            lines = file.read(OUTPUT_BYTES).decode("utf-8", "replace").splitlines()
        for line in lines[-most:] if most else lines:
            text = json.dumps({"worker": worker, "output": line}) if args.json else f"{worker}  {clean(line)}"
            say(text)
    return OK


def _errors(args: argparse.Namespace) -> int:
    """The distinct errors of each process, latest first; the memory of a run that crashed is still there."""
    if args.follow:
        complain("--errors cannot be followed: they are counted, not written")
        return USAGE
    config = last_config(args.data)
    shm = Path(config.shm_directory) if config else shm_directory(instance_of(args.data), "", os.geteuid())
    views = attach_all(shm)
    if not views:
        return not_running(args.data)
    for worker in args.workers:
        if worker not in views:
            complain(f"no memory of a worker {worker!r}{did_you_mean(worker, views)}")
            return USAGE
    found = [
        {"worker": worker, **error}
        for worker, entry in counters(views).items()
        if not args.workers or worker in args.workers
        for error in entry["errors"]
    ]
    found.sort(key=lambda error: -error["last_wall_ns"])
    if args.json:
        say(json.dumps({"errors": found}))
        return OK
    for error in found:
        first, last = moment_text(error["first_wall_ns"]), moment_text(error["last_wall_ns"])
        say(f"{error['worker']:<16} x{error['count']:<6} {first} to {last}  {clean(error['text'])}")
    if not found:
        say("no errors")
    return OK
