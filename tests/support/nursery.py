"""A process that forks small workers and readers: each starts in a hundredth of the time of a new Python.

In: lines on stdin, "start ROLE". Out: the child's pid, a line each; and "ended PID STATUS" (a signal is
negative) when that child has ended. Children are real workers by `pipeline.lifecycle` that write the books of
a feed as fast as they can, each level of a book made of one number, so that a torn row shows; or readers of
them. Run by `Nursery` as `python -m tests.support.nursery FOLDER`; when stdin ends, it and its children do.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.books import FeedBooks
from pipeline.clock import SystemClock
from pipeline.config import Config, decode, encode
from pipeline.lifecycle import Worker
from pipeline.model import StateLimits
from shm import books
from shm.records import MARKET
from tests.support.feed_memory import publish

VENUE, MARKET_NAME, DEPTH = "kraken", "BTC/USD", 25
CONFIG_NAME = "nursery.json"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


def serve(folder: Path) -> None:
    """Fork what is asked for until stdin ends."""
    config = decode((folder / CONFIG_NAME).read_bytes())
    children: set[int] = set()
    while True:
        if select.select([sys.stdin], [], [], 0.002)[0]:
            line = sys.stdin.readline()
            if not line:
                break
            pid = os.fork()
            if pid == 0:
                be(line.split()[1], config)
            children.add(pid)
            print(pid, flush=True)
        for pid in list(children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                children.discard(pid)
                print("ended", pid, os.waitstatus_to_exitcode(status), flush=True)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def be(role: str, config: Config) -> None:
    """Be a child until it ends or is killed."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    status = 1
    try:
        {"feed": feed, "hang": hang, "reader": reader}[role](config)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


class Writer:
    """A feed with one market, which is written by the words of this process alone."""

    def __init__(self, config: Config) -> None:
        self.clock = SystemClock()
        sections = books.feed_sections(4, DEPTH, 1)
        self.worker = Worker(
            f"feed-{VENUE}", config, self.clock, sections, ["books"], lambda _old, _new: None
        )
        self._books = books.BookWriter(self.worker.segment)
        self._books.claim(MARKET.empty()._replace(market=MARKET_NAME))
        self._number = 0

    def write(self) -> None:
        """Publish the next book: every level's price is its number, every size who wrote it."""
        self._number += 1
        now = self.clock.monotonic_ns()
        self.worker.segment.words(books.CONNECTIONS)[books.C_PROOF_NS] = now
        side = [(self._number, os.getpid())] * DEPTH
        publish(self._books, MARKET_NAME, side, side, now_ns=now)
        self.worker.counters.add("books")


def feed(config: Config) -> None:
    """Write flat out until told to stop."""
    writer = Writer(config)
    with writer.worker as worker:
        while worker.go_on():
            writer.write()


def hang(config: Config) -> None:
    """Turn once, then write for ever without another turn: a loop that has lost its way."""
    writer = Writer(config)
    with writer.worker as worker:
        worker.go_on()
        while True:
            writer.write()


def reader(config: Config) -> None:
    """Read flat out until killed."""
    found = FeedBooks(Path(config.shm_directory), [VENUE], StateLimits())
    while True:
        now = time.monotonic_ns()
        found.refresh(now)
        found.read(VENUE, MARKET_NAME, now)


class Nursery:
    """The other side: starts, kills and waits for children. Use as a context."""

    def __init__(self, folder: Path) -> None:
        self.config = Config(
            data_directory=str(folder / "data"),
            run_directory=str(folder / "run"),
            shm_directory=str(folder / "shm"),
        )
        (folder / "run").mkdir(mode=0o700)
        (folder / CONFIG_NAME).write_bytes(encode(self.config))
        self.shm = folder / "shm"
        self.ended: dict[int, int] = {}
        """Exit status of each child that has ended, by its pid."""
        command = [sys.executable, "-m", "tests.support.nursery", str(folder)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, bufsize=0)
        self._heard = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # The end of its input is the end of it and of its children.
        self._process.communicate(timeout=PATIENCE_SECONDS)

    def start(self, role: str) -> int:
        """Start a child; its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"start {role}\n".encode())
        while True:
            line = self._line(PATIENCE_SECONDS)
            if line[0] != "ended":
                return int(line[0])
            self.ended[int(line[1])] = int(line[2])

    def wait(self, pid: int) -> int:
        """Wait until a child has ended; its exit status."""
        while pid not in self.ended:
            self.look(PATIENCE_SECONDS)
        return self.ended[pid]

    def look(self, seconds: float = 0.0) -> None:
        """Take notice of a child that has ended, if one ends in so many seconds."""
        if line := self._line(seconds):
            self.ended[int(line[1])] = int(line[2])

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Signal a child."""
        os.kill(pid, number)

    def _line(self, seconds: float) -> list[str]:
        """The words of the next line; none where none comes in time."""
        assert self._process.stdout is not None
        while b"\n" not in self._heard:
            if not select.select([self._process.stdout], [], [], seconds)[0]:
                assert seconds < PATIENCE_SECONDS, "the nursery says nothing"
                return []
            more = os.read(self._process.stdout.fileno(), 4096)
            assert more, "the nursery ended"
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode().split()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
