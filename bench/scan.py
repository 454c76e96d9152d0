"""Scan: what it costs to screen every pair, and to look at one pair whose book changed.

In: two feeds' segments of our own in a temporary directory, with books of 25 levels a side. Out:
microseconds, each the median over the runs of medians; the ratio to a loop over numpy scalars.
Run by `run.py bench scan` while nothing else runs.

The full scan is `Screen.crossed` over both directions of each pair. The dirty pair is a whole turn of the
real scanner on a clock that stands still: notice, screen, and where it crosses exact evaluation, belief,
the opportunity made and sealed, and the event row. `dirty_pair_crossing` hands it to nobody, as the other
figures do nothing outside the process; `dirty_pair_sent` hands it to ZeroMQ, whose threads then run too.
"""

import argparse
import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from bench.pipeline_parts.memory import Feed
from bench.pipeline_parts.setting import CENT, KALSHI, POLYMARKET, market_name, pipeline_config
from pipeline.books import FeedBooks
from pipeline.bus import Inbox, make_bell, make_key
from pipeline.cli.common import say
from pipeline.clock import ManualClock
from pipeline.model import BookState
from pipeline.scanner.screen import Lane, LaneLeg, Screen
from pipeline.scanner.worker import Scanner
from shm.books import S_ASK, S_ASK_UNITS, S_BID, S_BID_UNITS, S_STATE

SIZES = (1_000, 10_000)
SCANS, LITERAL_SCANS, TURNS = 300, 3, 2_000
DIRTY_PAIRS = 64
LIVE, DOLLAR = int(BookState.LIVE), 100 * CENT
CALM, CROSSING = (50, 52), (40, 42)  # cents: best bid and ask of the pair's book on Kalshi
WARM_UP, SETTLE_NS, PATIENCE_MS = 40, 25_000_000, 5_000
GOALS_US = {"full_scan_1000": 40, "full_scan_10000": 400, "dirty_pair": 15, "dirty_pair_crossing": 150}


def run(args: argparse.Namespace) -> int:
    """Measure `args.runs` times and print the medians."""
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder:
        rows = [one_run(Path(folder) / str(number), number) for number in range(args.runs)]
    table = {name: round(median(row[name] for row in rows), 2) for name in rows[0]}
    if args.json:
        say(json.dumps({"runs": args.runs, "median_us": table, "goals_us": GOALS_US}))
        return 0
    say(f"scan, microseconds, median of {args.runs}")
    for name, value in table.items():
        say(f"  {name:<36}{value:>12,.2f}" + (f"   goal {GOALS_US[name]}" if name in GOALS_US else ""))
    return 0


def one_run(folder: Path, seed: int, sizes: tuple[int, ...] = SIZES) -> dict[str, float]:
    """Every figure once."""
    figures: dict[str, float] = {}
    for pairs in sizes:
        figures |= full_scan(folder / f"full{pairs}", pairs, Random(seed))
    return figures | dirty_pair(folder / "dirty", Random(seed))


@contextmanager
def feeds(directory: Path, markets: int, clock: ManualClock, random: Random) -> Iterator[dict[str, Feed]]:
    """Both feeds, with books that do not cross: YES and NO of a pair cost a dollar and a cent or more."""
    made = {venue: Feed(directory, venue, markets, clock) for venue in (KALSHI, POLYMARKET)}
    try:
        for number in range(markets):
            middle = random.randint(10, 90)
            for feed in made.values():
                feed.put(number, middle - 1, middle + 1)
        yield made
    finally:
        for feed in made.values():
            feed.segment.close(unlink=True)


def full_scan(directory: Path, pairs: int, random: Random) -> dict[str, float]:
    """All lanes of so many pairs at once, and the same by a loop over numpy scalars."""
    clock = ManualClock()
    with feeds(directory, pairs, clock, random) as written:
        books = FeedBooks(directory, written, pipeline_config(directory, 0).scanner.limits())
        books.refresh(clock.monotonic_ns())
        screen = Screen(books)
        screen.watch([lane for number in range(pairs) for lane in lanes(number)])
        now = clock.monotonic_ns()
        screen.refresh(now)
        # A few cross, so that neither way finds nothing.
        for number in range(0, pairs, 100):
            written[KALSHI].put(number, 1, 2)

        def scan() -> list[int]:
            screen.refresh(now)
            return screen.crossed()

        literal = Literal(books, pairs, now)
        assert sorted(scan()) == literal.crossed()
        ours, theirs = median(timed(scan, SCANS)), median(timed(literal.crossed, LITERAL_SCANS))
    return {
        f"full_scan_{pairs}": ours,
        f"full_scan_{pairs}_literal": theirs,
        f"full_scan_{pairs}_ratio": theirs / ours,
    }


def lanes(number: int) -> Iterator[Lane]:
    """Both directions of a pair: YES here and NO there, then the other way round."""
    legs = [(venue, market_name(venue, number)) for venue in (KALSHI, POLYMARKET)]
    for yes, no in (legs, legs[::-1]):
        yield Lane((LaneLeg(*yes, "buy", "yes"), LaneLeg(*no, "buy", "no")), Decimal(1))


class Literal:
    """The scan as one would first write it: a loop over pairs, each cell a numpy scalar of its column."""

    def __init__(self, books: FeedBooks, pairs: int, now_ns: int) -> None:
        self._rows: list[list[int]] = [[], []]
        self._columns: list[Any] = []
        for side, venue in enumerate((KALSHI, POLYMARKET)):
            for number in range(pairs):
                place = books.place(venue, market_name(venue, number), now_ns)
                assert place is not None
                self._rows[side].append(place[1])
            feed = books.feed(venue)
            assert feed is not None
            columns = feed.columns()
            wanted = (S_STATE, S_BID, S_BID_UNITS, S_ASK, S_ASK_UNITS)
            self._columns.append(tuple(columns[column] for column in wanted))

    def crossed(self) -> list[int]:
        """The same lanes, by the same numbers."""
        found = []
        state_a, bid_a, bid_units_a, ask_a, ask_units_a = self._columns[0]
        state_b, bid_b, bid_units_b, ask_b, ask_units_b = self._columns[1]
        for number, (a, b) in enumerate(zip(*self._rows, strict=True)):
            if state_a[a] == LIVE and state_b[b] == LIVE:
                if ask_units_a[a] > 0 and bid_units_b[b] > 0 and ask_a[a] + DOLLAR - bid_b[b] < DOLLAR:
                    found.append(2 * number)
                if ask_units_b[b] > 0 and bid_units_a[a] > 0 and ask_b[b] + DOLLAR - bid_a[a] < DOLLAR:
                    found.append(2 * number + 1)
        return found


def dirty_pair(folder: Path, random: Random, turns: int = TURNS) -> dict[str, float]:
    """A turn of the scanner after one book of one pair changed, not crossing and crossing."""
    clock = ManualClock()
    config = pipeline_config(folder, DIRTY_PAIRS)
    run_directory = Path(config.run_directory)
    run_directory.mkdir(parents=True, mode=0o700)
    Path(config.data_directory).mkdir()
    make_key(run_directory)
    make_bell(run_directory)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    inbox = Inbox(run_directory)
    with feeds(Path(config.shm_directory), DIRTY_PAIRS, clock, random) as written:
        # Buying YES on Kalshi and NO, for 0.51, on Polymarket crosses below 0.49.
        written[POLYMARKET].put(0, 49, 51)
        scanner = Scanner(config, clock)
        try:
            calm = turn_times(scanner, clock, written[KALSHI], inbox, CALM, turns)
            sent = turn_times(scanner, clock, written[KALSHI], inbox, CROSSING, turns)
            scanner._sender.close()  # noqa: SLF001 - the one part that is not measured
            scanner._sender = Nobody()  # type: ignore[assignment]  # noqa: SLF001
            crossing = turn_times(scanner, clock, written[KALSHI], None, CROSSING, turns)
        finally:
            scanner.close()
            scanner.worker.segment.close(unlink=True)
            inbox.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
    figures = {"dirty_pair": calm, "dirty_pair_crossing": crossing, "dirty_pair_sent": sent}
    return {name: median(times) for name, times in figures.items()}


class Nobody:
    """Takes what a scanner sends, and keeps the last of it."""

    def __init__(self) -> None:
        self.frame = b""

    def announce(self) -> None:
        """Hear that a frame may follow."""

    def send(self, frame: bytes) -> bool:
        """Take a frame."""
        self.frame = frame
        return True

    def close(self) -> None:
        """Nothing is held."""


def turn_times(
    scanner: Scanner,
    clock: ManualClock,
    feed: Feed,
    inbox: Inbox | None,
    prices: tuple[int, int],
    turns: int,
) -> list[float]:
    """Microseconds of each turn after a publication with these best prices; `inbox` gets what is sent."""
    crosses = prices == CROSSING
    for _ in range(WARM_UP):
        clock.advance(SETTLE_NS)
        feed.put(0, *prices)
        scanner.turn()
    while inbox is not None and inbox.receive(50) is not None:
        continue
    times = []
    sent = scanner.worker.counters.get("sent")
    for number in range(turns):
        feed.put(0, *prices, 100 + number % 50)
        # So little that nothing else falls due.
        clock.advance(1)
        before = time.perf_counter_ns()
        scanner.turn()
        times.append((time.perf_counter_ns() - before) / 1e3)
        if inbox is not None:
            assert (inbox.receive(PATIENCE_MS if crosses else 0) is not None) == crosses
    assert (scanner.worker.counters.get("sent") - sent == turns) == crosses
    return times


def timed(call: Callable[[], object], count: int) -> list[float]:
    """Microseconds of each of `count` calls."""
    times = []
    for _ in range(count):
        before = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - before) / 1e3)
    return times
