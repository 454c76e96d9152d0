"""Replay: a recording played through the same workers, in a scratch run of its own.

In: a tape, the user's config.toml. Out: a run whose venues are the tape's, in a data directory that is gone
afterwards; a line of state every five seconds, a summary when the tape ends. Run by people; `run.py dashboard
--replay` starts one (replay_start.py) and attaches to it. docs/REPLAY.md says what is the same as live.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from pipeline import guards, status
from pipeline.bus import BusError, RoleTakenError
from pipeline.cli.common import (
    BAD_CONFIG,
    FAILED,
    OK,
    ROOT,
    SCRIPT,
    complain,
    run_directory_of,
    say,
    shown,
)
from pipeline.cli.replay_config import TapeError, look_through, replay_config
from pipeline.cli.settings import resolve_or_complain
from pipeline.cli.up import Reporter, already_running, summary_lines
from pipeline.cli.work import SPARE
from pipeline.clock import Clock, SystemClock
from pipeline.config import Config
from pipeline.places import shm_directory
from pipeline.tape_orders import TapeOrderError, speed_ppm
from shm.records import REPLAY, ReplayRow
from shm.segment import SegmentError, View, attach
from shm.tables import TableReader

PREFIX = "parallax-replay-"
ENDED, UNREADABLE = 3, 4
"""Of `shm.records.ReplayRow.state`."""
LOOK_NS = 50_000_000
# What the last lines led to reaches the journal within this.
LINGER_NS = 500_000_000
FURTHER = 2
"""So many of a summary's last lines name files of the data directory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("tape", metavar="TAPE", type=Path, help="a .jsonl, .jsonl.gz or .jsonl.zst file")
    parser.add_argument(
        "--speed", metavar="X", type=_speed, default="1", help="0.1 to 1000 times as recorded, or max"
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="keep the run's data here (default: a directory that is removed)",
    )
    parser.add_argument("--for", metavar="SECONDS", type=float, dest="seconds", help="stop by itself")
    parser.add_argument("--json", action="store_true", help="the last line is the status as JSON")
    parser.add_argument("--profile", metavar="NAME", help="demo (default) or paper: whose settings to use")
    parser.add_argument("--config", metavar="PATH", type=Path, default=ROOT / "config.toml")
    parser.add_argument("--set", metavar="a.b=c", action="append", default=[], help="change one key")
    # Said by `start_replay` only: tell the data directory when up, and go on until stdin ends.
    parser.add_argument("--attached", action="store_true", help=argparse.SUPPRESS)


def _speed(text: str) -> str:
    """A speed. Raises ArgumentTypeError."""
    try:
        speed_ppm(text)
    except TapeOrderError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def run(args: argparse.Namespace) -> int:
    """Play the tape in a run of its own, until it ends."""
    clock = SystemClock()
    try:
        found = look_through(args.tape)
    except TapeError as error:
        complain(f"replay: {error}")
        return FAILED
    if found.unknown and not args.attached:
        complain(f"replay: venues of the tape that nobody here speaks to: {', '.join(found.unknown)}")
    with _data_directory(args.data) as data:
        config = resolve_or_complain(args.config, args.profile, args.set, data)
        if config is None:
            return BAD_CONFIG
        try:
            config = replay_config(config, args.tape, found, args.speed, clock.wall_ns())
        except TapeError as error:
            complain(f"replay: {error}")
            return FAILED
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _supervise(config, args, clock)


@contextmanager
def _data_directory(wanted: Path | None) -> Iterator[Path]:
    """The directory that was asked for, or one that is gone afterwards."""
    if wanted is not None:
        yield wanted
        return
    _sweep()
    # The real path: the run is named after it.
    scratch = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep() -> None:
    """Remove what replays left behind that were killed: their data, sockets and memory."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        mine = left.is_dir() and not left.is_symlink() and left.stat().st_uid == os.geteuid()
        if not mine or not pid.isdigit() or Path(f"/proc/{pid}").exists() or not Path("/proc/self").exists():
            continue
        run_directory = run_directory_of(left)
        instance = run_directory.name.rpartition("-")[2]
        for path in (run_directory, shm_directory(instance, "", os.geteuid()), left):
            shutil.rmtree(path, ignore_errors=True)


def _supervise(config: Config, args: argparse.Namespace, clock: Clock) -> int:
    """Be the supervisor of the scratch run."""
    from pipeline.config_schema import merge_lab
    from pipeline.supervisor.worker import Supervisor

    jitter = Random()  # noqa: S311 - not for secrets
    try:
        supervisor = Supervisor(config, SCRIPT, clock, jitter, merge_lab, None, SPARE)
    except RoleTakenError as error:
        return already_running(config.data_directory, error.pid, error.since_wall_ns)
    except (SegmentError, BusError, guards.UnknownGuardError) as error:
        complain(str(error))
        return FAILED
    reporter = ReplayReporter(config, args, clock)
    supervisor.run(reporter.turn, reporter.last_look)
    reporter.finish()
    for problem in filter(None, (supervisor.lost, reporter.problem)):
        complain(f"replay: {problem}")
    return FAILED if supervisor.lost or reporter.problem else OK


class ReplayReporter:
    """Says how the replay is, ends it with the tape, or with whoever started it for a screen."""

    def __init__(self, config: Config, args: argparse.Namespace, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._attached: bool = args.attached
        self._json: bool = args.json
        seconds = None if args.attached else args.seconds
        self._reporter = Reporter(config, clock, seconds, quiet=args.json, silent=args.attached)
        self._kept: bool = args.data is not None
        self._state: dict[str, Any] = {}
        self._watch = ReplayWatch(Path(config.shm_directory))
        self._told = False
        self._look_ns = 0
        self._end_ns: int | None = None
        self._row: ReplayRow | None = None
        self.problem = ""

    def turn(self) -> bool:
        """Called each turn of the supervisor; False when the replay is over."""
        now = self._clock.monotonic_ns()
        if now >= self._look_ns:
            self._look_ns = now + LOOK_NS
            self._row = self._watch.row() or self._row
            if self._attached:
                return self._go_on_attached()
            self._look_for_end(now)
        return self._reporter.turn() and (self._end_ns is None or now < self._end_ns)

    def _go_on_attached(self) -> bool:
        """Say once that all is up; go on until our stdin ends, which nothing is ever written to."""
        if not self._told and self._row is not None:
            self._told = True
            say(json.dumps({"data": self._config.data_directory}))
        return not select.select([sys.stdin], [], [], 0)[0] or bool(os.read(sys.stdin.fileno(), 4096))

    def _look_for_end(self, now_ns: int) -> None:
        if self._row is not None and self._row.state in {ENDED, UNREADABLE} and self._end_ns is None:
            self._end_ns = now_ns + LINGER_NS
            # A tape that was cut off is played up to there, and that is worth a word, no failure.
            self.problem = self._row.problem if not self._row.frames else ""

    def last_look(self) -> None:
        """Called just before the workers are stopped."""
        directory = Path(self._config.shm_directory)
        self._state = status.gather(self._config, status.attach_all(directory), self._clock)
        self._row = self._watch.row() or self._row

    def finish(self) -> None:
        """What came of it."""
        if self._attached:
            return
        stream = sys.stderr if self._json else sys.stdout
        for line in self._lines():
            stream.write(shown(line) + "\n")
        stream.flush()
        if self._json:
            say(json.dumps(self._state | {"replay": self._row._asdict() if self._row else None}))

    def _lines(self) -> Iterator[str]:
        """The result for people; where its data are gone there is nothing to look at further."""
        row = self._row
        if row is not None:
            broken = f", {row.bad_lines} broken lines" if row.bad_lines else ""
            cut = f"; {row.problem}" if row.problem else ""
            yield f"played {row.frames} of {row.total_frames} lines of {row.tape}{broken}{cut}"
        lines = summary_lines(self._state, Path(self._config.data_directory), "recorded")
        yield from lines if self._kept else lines[:-FURTHER]


class ReplayWatch:
    """Where the tape of a run stands, read from the lab's segment."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._view: View | None = None

    def row(self) -> ReplayRow | None:
        """The lab's row; None while there is no lab that has said so."""
        try:
            if self._view is None or self._view.outdated():
                self._view = attach(self._directory, "lab")
            return TableReader(self._view, "replay", REPLAY).get(0)
        except SegmentError:
            self._view = None
            return None
