"""One event to full depth: ladders as they are, and curves that agree with what the scanner wrote."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
import pytest

from bench.pipeline_parts.memory import DEPTH, Feed
from bench.pipeline_parts.setting import CENT, KALSHI, POLYMARKET, pipeline_config
from dashboard.detail import POINTS
from dashboard.source import MemorySource
from pipeline.books import FeedBooks
from pipeline.clock import ManualClock
from pipeline.config import Config
from pipeline.model import BookState
from pipeline.pairs import Direction, closing, directions
from pipeline.pairs_checks import limits_of
from pipeline.pricing import price
from pipeline.scanner.lead_lag import LeadSummary
from pipeline.scanner.rows import Belief, event_row, named_row
from shm import records as rec
from shm.segment import Segment, create, this_owner
from shm.tables import TableWriter

PAIRS = 3
LEAD = LeadSummary(-1, 0, 0, 0)


class Run:
    """Two feeds, and a scanner's table that is written with the scanner's own functions."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.config: Config = pipeline_config(folder, PAIRS)
        self.directory = Path(self.config.shm_directory)
        self.feeds = {venue: Feed(self.directory, venue, PAIRS, clock) for venue in (KALSHI, POLYMARKET)}
        self.parts = {
            "supervisor": self.part("supervisor", rec.RUN.section("run", 1)),
            "scanner": self.part("scanner", rec.EVENT.section("events", 16)),
            "trader": self.part("trader", rec.POSITION.section("positions", 8)),
        }
        TableWriter(self.parts["supervisor"], "run", rec.RUN).put(0, rec.RUN.empty()._replace(profile="demo"))
        self.books = FeedBooks(self.directory, self.config.feeds(), self.config.scanner.limits())
        self.rows: TableWriter[rec.EventRow] = TableWriter(self.parts["scanner"], "events", rec.EVENT)
        self.directions = directions(self.config.all_events())

    def part(self, name: str, section) -> Segment:
        return create(
            self.directory,
            name,
            [section],
            this_owner(),
            monotonic_ns=self.clock.monotonic_ns(),
            wall_ns=self.clock.wall_ns(),
            sleep=self.clock.sleep,
        )

    def scan(self, at: int, direction: Direction, held: Decimal | None = None) -> rec.EventRow:
        """Price a direction and write its row, as the scanner does."""
        now, wall = self.clock.monotonic_ns(), self.clock.wall_ns()
        self.books.refresh(now)
        priced = price(direction, self.books, limits_of(self.config), now, wall, held)
        row = event_row(named_row(direction), priced, priced.verdict, Belief(), LEAD, Decimal(0), now)
        self.rows.put(at, row)
        return row

    def source(self) -> MemorySource:
        limits = self.config.scanner.limits()
        return MemorySource(self.directory, limits, self.clock, lambda: self.config)

    def close(self) -> None:
        for feed in self.feeds.values():
            feed.segment.close()
        for segment in self.parts.values():
            segment.close()


@pytest.fixture
def world(tmp_path: Path, clock: ManualClock) -> Iterator[Run]:
    run = Run(tmp_path, clock)
    yield run
    run.close()


@pytest.mark.parametrize("seed", range(8))
def test_the_largest_net_of_a_curve_is_the_scanner_s(world: Run, seed: int) -> None:
    """On random books: a point at the scanner's size with the scanner's net, none above, all priced."""
    random = Random(seed)
    for feed in world.feeds.values():
        for number in range(PAIRS):
            bid = random.randint(10, 80)
            feed.put(number, bid, bid + random.randint(1, 15), random.randint(5, 500))
    written = [world.scan(at, direction) for at, direction in enumerate(world.directions)]
    source = world.source()
    events = source.snapshot().events
    assert len(events) == PAIRS
    for place in range(PAIRS):
        detail = source.detail(events.key(place))
        assert detail is not None
        assert not detail.gone
        rows = [row for row in written if row.event_id == detail.row.id]
        for row, curve in zip(rows, detail.curves, strict=True):
            assert (curve.buy_venue, curve.problem) == (row.buy_venue, "")
            assert curve.size_decimals == row.size_decimals
            assert 2 <= len(curve.points) <= POINTS + 1
            assert [size for size, _ in curve.points] == sorted({size for size, _ in curve.points})
            assert dict(curve.points)[row.size_units] == row.net_micros
            if row.net_micros > 0:
                assert max(net for _, net in curve.points) == row.net_micros


def test_ladders_are_the_books_to_full_depth(world: Run) -> None:
    """Both legs, best first, as deep as the feed publishes them."""
    for feed in world.feeds.values():
        feed.put(0, 40, 42, 100)
    world.scan(0, world.directions[0])
    source = world.source()
    detail = source.detail(source.snapshot().events.key(0))
    assert detail is not None
    assert [ladder.leg.venue for ladder in detail.ladders] == [KALSHI, POLYMARKET]
    for ladder in detail.ladders:
        assert ladder.leg.state is BookState.LIVE
        assert [ticks for ticks, _ in ladder.bids] == [(40 - level) * CENT for level in range(DEPTH)]
        assert [ticks for ticks, _ in ladder.asks] == [(42 + level) * CENT for level in range(DEPTH)]
        assert (ladder.leg.bid, ladder.leg.ask) == (ladder.bids[0], ladder.asks[0])


def test_an_inverse_leg_is_turned_round_whole(source: MemorySource, run) -> None:
    """Every level of NO becomes the other side of YES, at 1 less its price."""
    run.feeds["polymarket"].book("770", [("0.62", "5"), ("0.60", "6")], [("0.66", "7"), ("0.70", "8")])
    run.event("turned", "", "binary", ("kalshi", "KX-btc-97k"), ("polymarket", "770"), inverse=(0, 1))
    events = source.snapshot().events
    place = next(at for at in range(len(events)) if events[at].id == "turned")
    detail = source.detail(events.key(place))
    assert detail is not None
    turned = detail.ladders[1]
    assert turned.bids == ((340_000, 7 * 10**6), (300_000, 8 * 10**6))
    assert turned.asks == ((380_000, 5 * 10**6), (400_000, 6 * 10**6))


def test_a_book_that_is_not_live_has_a_problem_and_no_curve(world: Run, clock: ManualClock) -> None:
    """Where the trading path prices nothing, neither does the screen; it says why."""
    world.feeds[KALSHI].put(0, 40, 42, 100)
    world.scan(0, world.directions[0])
    source = world.source()
    detail = source.detail(source.snapshot().events.key(0))
    assert detail is not None
    (curve,) = detail.curves
    assert curve.points == ()
    assert curve.problem
    clock.advance(3_600 * 10**9)
    detail = source.detail(source.snapshot().events.key(0))
    assert detail is not None
    assert detail.curves[0].problem
    assert detail.ladders[0].leg.state is BookState.DEAD


def test_a_close_is_priced_for_what_is_held(world: Run) -> None:
    """The curve of a pair to close ends with what is held of both legs, and agrees with the scanner."""
    world.feeds[KALSHI].put(0, 50, 52, 100)
    world.feeds[POLYMARKET].put(0, 30, 32, 100)
    close = closing(world.directions[0])
    assert close is not None
    held = TableWriter(world.parts["trader"], "positions", rec.POSITION)
    for at, plan in enumerate(close.legs):
        held.put(
            at,
            rec.POSITION.empty()._replace(
                event_id=close.event.id,
                venue=plan.leg.venue,
                market=plan.leg.market,
                outcome=plan.outcome,
                units=700,
                size_decimals=2,
            ),
        )
    row = world.scan(0, close, Decimal(7))
    source = world.source()
    detail = source.detail(source.snapshot().events.key(0))
    assert detail is not None
    (curve,) = detail.curves
    assert curve.problem == ""
    assert dict(curve.points)[row.size_units] == row.net_micros
    assert curve.points[-1][0] <= 7 * 10**curve.size_decimals


def test_what_is_gone_keeps_its_last_picture(world: Run) -> None:
    """A row that the scanner let go of is marked as gone; one that never was is None."""
    for feed in world.feeds.values():
        feed.put(0, 40, 42, 100)
    world.scan(0, world.directions[0])
    source = world.source()
    key = source.snapshot().events.key(0)
    before = source.detail(key)
    assert before is not None
    world.rows.clear(0)
    assert source.detail(key) is not None, "the last picture still has it"
    source.snapshot()
    after = source.detail(key)
    assert after is not None
    assert (after.gone, after.row) == (True, None)
    assert after.ladders
    assert after.curves
    assert source.detail("nobody binary a/b c/d") is None


def test_without_a_configuration_there_are_ladders_and_a_reason(source: MemorySource, run) -> None:
    """A dashboard that cannot read the run's configuration prices nothing and says so."""
    detail = source.detail(source.snapshot().events.key(0))
    assert detail is not None
    assert [ladder.bids for ladder in detail.ladders] == [((600_000, 68_000),), ((620_000, 566_000_000),)]
    assert all("configuration" in curve.problem for curve in detail.curves)


def test_a_new_configuration_is_followed(world: Run) -> None:
    """When the supervisor acts on another version, curves are those of that one."""
    for feed in world.feeds.values():
        feed.put(0, 40, 42, 100)
    world.scan(0, world.directions[0])
    source = world.source()
    key = source.snapshot().events.key(0)
    detail = source.detail(key)
    assert detail is not None
    assert detail.curves[0].points
    world.config = msgspec.structs.replace(world.config, version=2, events=())
    detail = source.detail(key)
    assert detail is not None
    assert detail.curves[0].points, "nobody said that there is another one"
    world.parts["supervisor"].set_config_version(2)
    source.snapshot()
    detail = source.detail(key)
    assert detail is not None
    assert "configuration" in detail.curves[0].problem
