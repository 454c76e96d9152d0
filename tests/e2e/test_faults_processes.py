"""Faults A of processes and C of shared memory, each with real processes (docs/FAULTS.md has the list)."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from pipeline import places
from pipeline.books import FeedBooks
from pipeline.cli.main import main
from pipeline.clock import SystemClock
from pipeline.config import Config, encode
from pipeline.lifecycle import CONFIG_FILE, FENCED
from pipeline.look import Look
from pipeline.model import BookState, StateLimits
from pipeline.status import process
from shm import layout as lo
from shm import segment as segments
from shm.segment import SegmentBusyError, SegmentError, View, attach
from shm.tables import read_counters
from tests.support.nursery import MARKET_NAME, PATIENCE_SECONDS, VENUE, Nursery
from tests.support.planted import Garden, Plant
from tests.support.scanner_run import ScannerRun, detect, easy_config, lay_out, show, stand

T = TypeVar("T")
LIMITS = StateLimits()
FEED = f"feed-{VENUE}"
CI_KILLS, STRESS_KILLS = 30, 1_000
CI_STOPS, STRESS_STOPS = 20, 100
READERS = 100
SCANNER_KILLS = 2


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """Small workers and readers of one segment."""
    with Nursery(tmp_path) as made:
        yield made


class Reader:
    """Reads the book as the scanner does, and judges each look."""

    def __init__(self, nursery: Nursery) -> None:
        self._books = FeedBooks(nursery.shm, [VENUE], LIMITS)
        self.looks = 0

    def look(self) -> Look | None:
        """The book now, checked: no torn row, and never LIVE on an old heartbeat or of an earlier epoch."""
        now = time.monotonic_ns()
        self._books.refresh(now)
        look = self._books.read(VENUE, MARKET_NAME, now)
        feed = self._books.feed(VENUE)
        if look is None or feed is None:
            return look
        self.looks += 1
        levels = {*look.book.bids, *look.book.asks}
        assert len(levels) <= 1, f"torn: {levels}"
        if look.state is BookState.LIVE:
            assert now - feed.view.header.heartbeat_ns <= LIMITS.heartbeat_ns
            assert look.book.epoch == feed.view.epoch
        return look

    def written_by(self, pid: int) -> None:
        """Look until the book is LIVE and this process wrote it."""
        self.until(BookState.LIVE, lambda look: look.book.bids[0][1] == pid)

    def until(self, state: BookState, good: Callable[[Look], bool] = lambda _look: True) -> Look:
        """Look until the book has a state."""

        def found() -> Look | None:
            look = self.look()
            return look if look is not None and look.state is state and good(look) else None

        return until(found)


def until(get: Callable[[], T | None]) -> T:
    """The first true value; the bound is for a machine that hangs, not a figure."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        value = get()
        if value:
            return value
    raise AssertionError("never came true")


def view_of(nursery: Nursery) -> View | None:
    """The feed's segment, if it is there."""
    try:
        return attach(nursery.shm, FEED)
    except SegmentError:
        return None


def owned_by(nursery: Nursery, pid: int) -> bool:
    """Whether the feed's segment belongs to this process."""
    view = view_of(nursery)
    return view is not None and view.header.pid == pid


def own(nursery: Nursery) -> segments.Segment:
    """Try to own the feed's segment."""
    clock = SystemClock()
    now, wall = clock.monotonic_ns(), clock.wall_ns()
    section = lo.Section("rows", lo.WORDS, 1, 1)
    return segments.create(
        nursery.shm, FEED, [section], segments.this_owner(), monotonic_ns=now, wall_ns=wall, sleep=clock.sleep
    )


@pytest.mark.parametrize("kills", [CI_KILLS, pytest.param(STRESS_KILLS, marks=pytest.mark.stress)])
def test_a_killed_feed_is_never_read_torn_nor_believed(nursery: Nursery, kills: int) -> None:
    """A1: killed at random while it is read: no torn row, not LIVE on an old heartbeat, LIVE again after."""
    chance = random.Random(1)
    reader = Reader(nursery)
    for number in range(1, kills + 1):
        pid = nursery.start("feed")
        reader.written_by(pid)
        for _ in range(chance.randrange(200)):
            reader.look()
        nursery.kill(pid)
        assert nursery.wait(pid) == -signal.SIGKILL
        if number % 6 == 0:
            # Nobody replaces it: its last row stays whole, and is DEAD.
            assert reader.until(BookState.DEAD).book.bids
    assert reader.looks > 10 * kills
    view = view_of(nursery)
    assert view is not None and view.header.epoch == kills


@pytest.mark.parametrize("stops", [CI_STOPS, pytest.param(STRESS_STOPS, marks=pytest.mark.stress)])
def test_a_stopped_feed_that_was_replaced_never_writes_again(nursery: Nursery, stops: int) -> None:
    """A3: stopped, its place taken, continued: it writes nothing that is read, and ends with 75."""
    for number in range(stops):
        old = nursery.start("feed")
        until(lambda: owned_by(nursery, old))  # noqa: B023
        reader = Reader(nursery)
        reader.written_by(old)
        nursery.kill(old, signal.SIGSTOP)
        # While it lives its lock keeps everybody else away; only by hand can room be made.
        if not number:
            reader.until(BookState.DEAD)
            with pytest.raises(SegmentBusyError):
                own(nursery)
        for path in list(nursery.shm.iterdir()):
            path.unlink()
        new = nursery.start("feed")
        until(lambda: owned_by(nursery, new))  # noqa: B023
        reader = Reader(nursery)
        reader.written_by(new)
        nursery.kill(old, signal.SIGCONT)
        while old not in nursery.ended:
            look = reader.look()
            assert look is None or look.book.bids[0][1] == new
            nursery.look()
        assert nursery.ended[old] == FENCED
        nursery.kill(new)
        nursery.wait(new)


def test_a_feed_that_hangs_in_its_own_code_is_not_believed(nursery: Nursery) -> None:
    """A4: a loop that writes and never comes round beats no more: its newest row is DEAD."""
    reader = Reader(nursery)
    pid = nursery.start("hang")
    first = reader.until(BookState.DEAD)
    later = reader.until(BookState.DEAD, lambda look: look.book.number > first.book.number)
    assert later.book.state == BookState.LIVE, "what it stored says LIVE: only the heartbeat tells"
    nursery.kill(pid)
    nursery.wait(pid)
    reader.written_by(nursery.start("feed"))


def test_killed_readers_change_nothing_for_the_feed(nursery: Nursery) -> None:
    """A13: a hundred readers killed at random: the same file, the same epoch, and the feed writes on."""
    pid = nursery.start("feed")
    view = until(lambda: view_of(nursery))
    chance = random.Random(13)
    written = 0
    for _ in range(READERS):
        reader = nursery.start("reader")
        time.sleep(chance.uniform(0.0, 0.004))
        nursery.kill(reader)
        nursery.wait(reader)
        written = until(partial(more, view, written))
    assert not view.outdated()
    assert view.header.epoch == 1 and view.header.pid == pid


def more(view: View, than: int) -> int:
    """How many books the feed has written, if more than so many."""
    count = read_counters(view).get("books", 0)
    return count if count > than else 0


@pytest.mark.parametrize("gone", [FEED, f"{FEED}.lock", ""], ids=["segment", "lock", "directory"])
def test_a_removed_segment_is_noticed_by_its_owner(nursery: Nursery, gone: str) -> None:
    """C4: whatever is removed by hand, its owner ends with 75 within ten times the two seconds."""
    pid = nursery.start("feed")
    until(lambda: view_of(nursery))
    started = time.monotonic()
    for path in [nursery.shm / gone] if gone else list(nursery.shm.iterdir()):
        path.unlink()
    assert nursery.wait(pid) == FENCED
    assert time.monotonic() - started < 20
    # Nothing keeps the next one from starting.
    again = nursery.start("feed")
    assert until(lambda: owned_by(nursery, again))


# -- the scanner ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scanning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ScannerRun, Plant]]:
    """A real scanner between feeds of ours, with one event that can be made to cross."""
    plant = next(each for each in Garden(3).plants(20, near=False) if each.kind == "binary")
    config = msgspec.structs.replace(easy_config(), instance="0123456789")
    with ScannerRun(tmp_path_factory.mktemp("faults"), config) as run:
        lay_out(run, [plant])
        yield run, plant


def test_a_worker_is_known_by_its_title(scanning: tuple[ScannerRun, Plant]) -> None:
    """`ps` shows what a process is and which data directory's run it belongs to."""
    run, _ = scanning
    assert run.view is not None
    line = Path(f"/proc/{run.view.header.pid}/cmdline").read_bytes()
    assert line.startswith(f"parallax: scanner [{run.config.instance}]".encode())


def test_a_scanner_killed_between_deciding_and_sending_sends_nothing_twice(
    scanning: tuple[ScannerRun, Plant],
) -> None:
    """A5: what it had in hand is lost or whole; the next one counts anew in its own epoch and repeats none.

    No order follows: only the trader orders, and it commits first (tests/e2e/test_kills.py).
    """
    run, plant = scanning
    chance = random.Random(5)
    detect(run, plant)
    first = run.arrivals[0].opportunity.run_epoch
    for _ in range(SCANNER_KILLS):
        stand(run, plant)
        time.sleep(chance.uniform(0.0, 0.003))
        run.signal(signal.SIGKILL)
        run.receive(20)
        for leg in plant.traded:
            show(run, leg, calm=True)
        run.start()
        detect(run, plant)
    names = [(arrival.opportunity.run_epoch, arrival.opportunity.sequence) for arrival in run.arrivals]
    assert names == sorted(set(names)), "an opportunity came twice, or of an epoch that was over"
    assert {epoch for epoch, _ in names} == set(range(first, first + SCANNER_KILLS + 1))


def test_a_stopped_scanner_is_seen_and_the_trader_is_left_alone(scanning: tuple[ScannerRun, Plant]) -> None:
    """A6: stopped, its heartbeat is old for everybody and nothing is sent; continued, it finds again.

    What is held is managed by the trader, which asks the scanner for nothing.
    """
    run, plant = scanning
    view = run.view
    assert view is not None
    run.signal(signal.SIGSTOP)
    run.receive(100)
    since = len(run.arrivals)
    stand(run, plant)

    def old() -> float:
        age_ms: float = process(view, time.monotonic_ns())["heartbeat_age_ms"]
        return age_ms if age_ms > LIMITS.heartbeat_ns / 1e6 else 0

    assert until(old) < 10 * 500
    run.receive(50)
    assert len(run.arrivals) == since
    run.signal(signal.SIGCONT)
    assert run.arrival_of(plant.name, since).opportunity.run_epoch == view.header.epoch


# -- another version of the program ----------------------------------------------------------------------

COMMANDS = (
    ["status"], ["status", "--counters"], ["why", "rain"], ["dashboard"], ["down"], ["restart", "scanner"],
)  # fmt: skip


def test_memory_of_another_version_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """C2: every command beside a run of another layout says so in one line, and exits with 1."""
    data = tmp_path / "data"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    run_directory = places.run_directory(places.instance_of(data), os.environ, os.geteuid())
    run_directory.mkdir(mode=0o700)
    config = Config(
        data_directory=str(data), run_directory=str(run_directory), shm_directory=str(tmp_path / "shm")
    )
    (run_directory / CONFIG_FILE).write_bytes(encode(config))
    section = lo.Section("rows", lo.WORDS, 1, 1)
    made = segments.create(
        tmp_path / "shm", "supervisor", [section], segments.this_owner(), monotonic_ns=1, wall_ns=1,
        sleep=time.sleep,
    )  # fmt: skip
    made.cells[lo.H_VERSION] = 9
    for command in COMMANDS:
        assert main([*command, "--data", str(data)]) == 1
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        assert "has layout version 9, this program reads 1: run both sides from the same" in printed.err
    made.close()
