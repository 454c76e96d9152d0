"""A replay with real processes: the whole tape arrives, orders are obeyed, and nothing is left afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.ask import ask
from pipeline.cli.books import VenueBooks, build_report
from pipeline.cli.common import SCRIPT, last_config
from pipeline.cli.replay import ReplayWatch
from pipeline.config import Config
from pipeline.feed.book import BookKeeper
from pipeline.lab.replay_player import State
from pipeline.model import BookFlag, BookState, Reason, to_text
from pipeline.tape import TapeLine, read
from pipeline.wire import Reply
from shm.books import BookReader, BookRow
from shm.records import EVENT, ReplayRow
from shm.segment import SegmentError, View, attach, pid_start
from shm.tables import TableReader

DATA = Path(__file__).parents[1] / "venues" / "data"
VENUES = ("coinbase", "kalshi", "kraken", "polymarket")
DEPTH = 60
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our payloads of all four venues on one tape, a line of each in turn, ten milliseconds apart."""
    texts = [(DATA / f"{venue}.jsonl").read_text().splitlines() for venue in VENUES]
    lines = [line for same in zip(*texts, strict=False) for line in same]
    start = 1_780_000_000_000_000_000
    path = tmp_path_factory.mktemp("tape") / "all.jsonl"
    timed = (
        json.dumps(json.loads(line) | {"t": start + 10_000_000 * number}) for number, line in enumerate(lines)
    )
    path.write_text("\n".join(timed))
    return path


def attached(directory: Path, name: str) -> View:
    """A worker's segment, once it is ready: one that has just started sets it up first."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return attach(directory, name)
        except SegmentError:
            assert time.monotonic() < deadline, f"{name} did not come"
            time.sleep(0.02)


class Played:
    """A replay that runs, and what can be seen and asked of it."""

    def __init__(self, screen: subprocess.Popen[str], config: Config, tape: Path) -> None:
        self.screen = screen
        self.config = config
        self.tape = tape
        self._watch = ReplayWatch(Path(config.shm_directory))

    def order(self, action: str, value: str = "") -> Reply:
        return ask(Path(self.config.run_directory), "replay", {"action": action, "value": value})

    def obeyed(self, action: str, value: str = "") -> ReplayRow:
        """Give an order and wait until the lab says that it is obeyed."""
        reply = self.order(action, value)
        assert reply.ok, reply.text
        number = int(reply.text.split()[1].rstrip(":"))
        return self.when(lambda row: row.order >= number and row.state != State.SEEKING)

    def when(self, holds: Callable[[ReplayRow], bool]) -> ReplayRow:
        """The lab's row, once it is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            row = self._watch.row()
            if row is not None and holds(row):
                return row
            time.sleep(0.01)
        raise AssertionError(f"waited in vain: {self._watch.row()}")

    def reader(self, venue: str) -> BookReader:
        return BookReader(attached(Path(self.config.shm_directory), f"feed-{venue}"))

    def books(self) -> dict[str, Any]:
        """Every book in memory, in the form of `run.py books --json`."""
        return {venue: self._books_of(self.reader(venue)) for venue in VENUES}

    def _books_of(self, reader: BookReader) -> dict[str, Any]:
        found = {}
        for row, market in reader.directory.rows():
            book = reader.get(row)
            if book is not None and (book.state or market.market):
                scale = market.price_decimals, market.size_decimals
                found[market.market] = _as_text(book, scale)
        return found

    def expected(self, count: int) -> dict[str, Any]:
        """The books after so many lines of the tape, by the same code that `run.py books` runs."""
        seen = {venue: VenueBooks(BookKeeper(venue)) for venue in VENUES}
        for line in list(read(self.tape))[:count]:
            assert isinstance(line, TapeLine)
            seen[line.venue].take(line)
        if count == len(list(read(self.tape))):
            for each in seen.values():
                each.keeper.settle()
        books: dict[str, Any] = build_report(seen, 0, DEPTH)["books"]
        return books

    def check(self, count: int) -> None:
        """Every book is as it is after so many lines; a market that did not come yet is EMPTY."""
        shown, expected = self.books(), self.expected(count)
        empty = {"state": "EMPTY", "bids": [], "asks": []}
        for venue in VENUES:
            assert shown[venue] == {market: expected[venue].get(market, empty) for market in shown[venue]}
            assert expected[venue].keys() <= shown[venue].keys()


def _as_text(book: BookRow, scale: tuple[int, int]) -> dict[str, Any]:
    if scale[0] < 0:
        return {"state": BookState(book.state).name, "bids": [], "asks": []}
    sides = {"bids": book.bids, "asks": book.asks}
    texts = {
        name: [[to_text(ticks, scale[0]), to_text(units, scale[1])] for ticks, units in side]
        for name, side in sides.items()
    }
    return {"state": BookState(book.state).name, **texts}


SCREEN = """
import sys, time
from pathlib import Path
from pipeline.cli.replay_start import start_replay

with start_replay(Path(sys.argv[1]), speed="max", sets=[sys.argv[2]]) as run:
    print(run.data, flush=True)
    time.sleep(600)
"""
"""What a dashboard does, without the drawing."""


@pytest.fixture(scope="module")
def played(tape: Path) -> Iterator[Played]:
    """A replay that a process of its own has started, as a dashboard would."""
    words = [sys.executable, "-c", SCREEN, str(tape), f"shm.depth={DEPTH}"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=SCRIPT.parent)
    assert child.stdout is not None
    config = last_config(Path(child.stdout.readline().strip()))
    assert config is not None
    yield Played(child, config, tape)
    child.kill()
    child.wait()
    child.stdout.close()


def test_the_books_at_the_end_are_those_of_the_tape(played: Played) -> None:
    """As fast as it can be played, every line arrives at every venue's books, flagged REPLAY."""
    row = played.when(lambda row: row.state == State.ENDED)
    assert row.frames == row.total_frames == len(list(read(played.tape)))
    played.check(row.frames)
    flags = {book.flags & BookFlag.REPLAY for book in map(played.reader("kraken").get, range(3)) if book}
    assert flags == {BookFlag.REPLAY}


def test_steps_and_places_are_exact(played: Played) -> None:
    """Back and forth, at each place and after each step the books are those of as many lines."""
    played.obeyed("pause")
    epoch = attached(Path(played.config.shm_directory), "feed-kraken").epoch
    row = played.obeyed("seek", "30%")
    assert row.state == State.PAUSED
    assert attached(Path(played.config.shm_directory), "feed-kraken").epoch == epoch + 1
    played.check(row.frames)
    for _ in range(3):
        after = played.obeyed("step")
        assert after.frames == row.frames + 1
        played.check(after.frames)
        row = after
    ahead = played.obeyed("seek", "+2")
    assert ahead.frames > row.frames
    played.check(ahead.frames)


def test_a_feed_that_is_killed_gets_its_lines_again(played: Played) -> None:
    """In the middle of a paused tape a new feed process comes to the same books as the old one had."""
    played.obeyed("pause")
    row = played.obeyed("seek", "60%")
    before = attached(Path(played.config.shm_directory), "feed-coinbase")
    os.kill(before.header.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (before.outdated() and played.books()["coinbase"] == played.expected(row.frames)["coinbase"]):
        assert time.monotonic() < deadline, "its books did not come back"
        time.sleep(0.05)
    played.check(row.frames)


def test_spot_pairs_of_the_tape_are_looked_at_and_not_traded(played: Played) -> None:
    """The scanner has a row for each direction of a pair of coins that two venues have, never reviewed."""
    played.obeyed("seek", "100%")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        table = TableReader(attached(Path(played.config.shm_directory), "scanner"), "events", EVENT)
        rows = [row for _, row in table.rows()]
        if any(row.has_numbers for row in rows):
            break
        time.sleep(0.05)
    assert {row.event_id for row in rows} >= {"tape-btc-usd", "tape-eth-usd"}
    priced = [row for row in rows if row.has_numbers]
    assert priced
    assert {Reason(row.reason) for row in priced} <= {Reason.NOT_REVIEWED, Reason.BOOK_QUIET}


def test_orders_that_make_no_sense_are_answered(played: Played) -> None:
    """A bad action or value is refused in words, and the tape goes on."""
    for action, value, words in (("rewind", "", "there are"), ("speed", "0", "0.1"), ("seek", "soon", "25%")):
        reply = played.order(action, value)
        assert not reply.ok
        assert words in reply.text


def test_nothing_is_left_when_the_screen_is_killed(played: Played) -> None:
    """With whoever started it, however that ended, the run, its memory and its directories go."""
    config = played.config
    folders = [Path(name) for name in (config.data_directory, config.run_directory, config.shm_directory)]
    header = attach(folders[2], "supervisor").header
    played.screen.kill()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(folder.exists() for folder in folders) or pid_start(header.pid) == header.pid_start:
        assert time.monotonic() < deadline, [folder for folder in folders if folder.exists()]
        time.sleep(0.05)


@pytest.mark.stress
def test_run_py_replay_ends_with_its_tape(tape: Path) -> None:
    """Without a screen the run ends when the tape does, and says as JSON how it was."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "replay", str(tape), "--speed", "max", "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout.splitlines()[-1])
    assert state["replay"]["frames"] == state["replay"]["total_frames"]
    assert set(state["venues"]) == set(VENUES)
