"""Publisher: rows in real memory: claimed and released, metadata merged, fees overridden, ages kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.clock import SystemClock
from pipeline.config import FeeConfig
from pipeline.feed.publisher import Publisher, market_row, merge
from pipeline.model import (
    BookFlag,
    BookState,
    FeeKind,
    FeeSchedule,
    Market,
    MarketResult,
    MarketStatus,
    Scale,
)
from shm import segment as segments
from shm.books import BookReader, BookWriter, feed_sections
from shm.records import MarketRow

CLOCK = SystemClock()
ROWS, DEPTH = 3, 2
FEE = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)


class Memory:
    """A feed's segment as its owner and as a reader see it."""

    def __init__(self, directory: Path) -> None:
        self.segment = segments.create(
            directory,
            "feed-kalshi",
            feed_sections(ROWS, DEPTH, connections=1),
            segments.this_owner(),
            monotonic_ns=CLOCK.monotonic_ns(),
            wall_ns=CLOCK.wall_ns(),
            sleep=CLOCK.sleep,
        )
        self.writer = BookWriter(self.segment)
        self.reader = BookReader(segments.attach(directory, "feed-kalshi"))

    def described(self) -> dict[str, MarketRow]:
        """The directory as a reader sees it."""
        return {row.market: row for _, row in self.reader.directory.rows()}

    def row_of(self, market: str) -> int:
        return next(index for index, row in self.reader.directory.rows() if row.market == market)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """A feed's segment with room for three markets."""
    made = Memory(tmp_path / "shm")
    yield made
    made.segment.close(unlink=True)


@pytest.fixture
def publisher(memory: Memory) -> Publisher:
    """A publisher of a simulated Kalshi."""
    return Publisher("kalshi", memory.writer, BookFlag.SIM, None)


def publish(publisher: Publisher, name: str, socket_ns: int, *, tradable: bool = True) -> None:
    levels = [(530_000, 100), (520_000, 50), (510_000, 25)]
    publisher.publish(name, BookState.LIVE, 9, levels, [(550_000, 70)], socket_ns, 1234, tradable=tradable)


def test_wanted_markets_get_rows_and_unwanted_give_them_back(memory: Memory, publisher: Publisher) -> None:
    """Rows are those of the markets asked for; the answer says what changed."""
    assert publisher.want(["A", "B"], 1) == (["A", "B"], [], [])
    assert publisher.want(["A", "B"], 2) == ([], [], [])
    assert publisher.want(["C", "B"], 3) == (["C"], ["A"], [])
    assert set(memory.described()) == {"B", "C"}
    assert publisher.markets == ["B", "C"]
    assert "A" not in publisher
    assert "C" in publisher


def test_without_room_the_rest_is_refused_and_named(memory: Memory, publisher: Publisher) -> None:
    """A full table refuses what does not fit, keeps what it has, and takes it once there is room."""
    assert publisher.want(["A", "B", "C", "D", "E"], 1) == (["A", "B", "C"], [], ["D", "E"])
    assert set(memory.described()) == {"A", "B", "C"}
    assert publisher.want(["A", "D", "C"], 2) == (["D"], ["B"], [])


def test_a_fresh_row_is_empty_and_untradable(memory: Memory, publisher: Publisher) -> None:
    """A claimed market has a book at once: EMPTY, not tradable, simulated, of its directory's incarnation."""
    publisher.want(["A"], 5)
    book = memory.reader.get(memory.row_of("A"))
    assert book is not None
    assert (book.state, book.flags) == (BookState.EMPTY, BookFlag.SIM | BookFlag.NOT_TRADABLE)
    assert (book.bids, book.asks, book.socket_ns) == ((), (), 0)
    assert book.incarnation == memory.described()["A"].incarnation


def test_a_row_given_to_another_market_shows_nothing_of_the_first(
    memory: Memory, publisher: Publisher
) -> None:
    """The next market of a row has a new incarnation, no levels, no age and no metadata of the last one."""
    publisher.want(["A"], 1)
    publisher.describe(Market("kalshi", "A", title="first", fee=FEE, close_ns=7), 1)
    publish(publisher, "A", 777)
    row, first = memory.row_of("A"), memory.described()["A"].incarnation
    publisher.want([], 2)
    assert memory.described() == {}
    gone = memory.reader.get(row)
    assert gone is not None
    assert (gone.state, gone.bids, gone.incarnation) == (BookState.EMPTY, (), 0)
    publisher.want(["B"], 3)
    assert memory.row_of("B") == row
    fresh = memory.described()["B"]
    assert fresh.incarnation > first
    assert (fresh.title, fresh.fee_kind, fresh.close_wall_ns) == ("", FeeKind.UNKNOWN, 0)


def test_a_market_that_comes_back_starts_anew(memory: Memory, publisher: Publisher) -> None:
    """Released and wanted again, a market has neither the age nor the metadata it had before."""
    publisher.want(["A"], 1)
    publisher.describe(Market("kalshi", "A", title="before"), 1)
    publish(publisher, "A", 777)
    publisher.want([], 2)
    publisher.want(["A"], 3)
    publish(publisher, "A", 0)
    book = memory.reader.get(memory.row_of("A"))
    assert book is not None
    assert book.socket_ns == 0
    assert memory.described()["A"].title == ""


def test_a_book_is_published_cut_to_its_depth(memory: Memory, publisher: Publisher) -> None:
    """Readers get state, stamps and the best levels that there is room for."""
    publisher.want(["A"], 1)
    publish(publisher, "A", 777)
    book = memory.reader.get(memory.row_of("A"))
    assert book is not None
    assert book.bids == ((530_000, 100), (520_000, 50))
    assert book.asks == ((550_000, 70),)
    assert (book.state, book.venue_ns, book.socket_ns, book.publish_ns) == (BookState.LIVE, 9, 777, 1234)
    assert book.flags == BookFlag.SIM


def test_without_a_message_the_age_goes_on(memory: Memory, publisher: Publisher) -> None:
    """A publication that no message caused keeps the time of the last message."""
    publisher.want(["A"], 1)
    publish(publisher, "A", 777)
    publish(publisher, "A", 0, tradable=False)
    book = memory.reader.get(memory.row_of("A"))
    assert book is not None
    assert book.socket_ns == 777
    assert book.flags & BookFlag.NOT_TRADABLE


def test_metadata_adds_up(memory: Memory, publisher: Publisher) -> None:
    """What REST and the socket say are put together; what a source leaves out stays."""
    publisher.want(["A"], 1)
    publisher.describe(Market("kalshi", "A", title="Up?", fee=FEE, close_ns=99, status=MarketStatus.OPEN), 2)
    publisher.describe(Market("kalshi", "A", scale=Scale(4, 2), grid_ticks=100), 3)
    row = memory.described()["A"]
    assert (row.title, row.close_wall_ns, row.fee_rate_ppm) == ("Up?", 99, 70_000)
    assert row.status == MarketStatus.OPEN
    assert (row.price_decimals, row.size_decimals, row.grid_ticks, row.updated_ns) == (4, 2, 100, 3)
    assert publisher.scales() == {"A": Scale(4, 2)}
    publisher.describe(Market("kalshi", "A", status=MarketStatus.SETTLED, result=MarketResult.NO), 4)
    row = memory.described()["A"]
    assert (row.status, row.result, row.title) == (MarketStatus.SETTLED, MarketResult.NO, "Up?")


def test_metadata_of_a_market_without_a_row_is_ignored(memory: Memory, publisher: Publisher) -> None:
    """A late answer about a market that was released makes no row."""
    publisher.describe(Market("kalshi", "Z", title="late"), 1)
    assert memory.described() == {}


def test_configured_fees_win_and_can_be_taken_back(memory: Memory, publisher: Publisher) -> None:
    """[fees] overrides what the venue publishes, at once, and without it the venue's own returns."""
    publisher.want(["A"], 1)
    publisher.describe(Market("kalshi", "A", fee=FEE), 1)
    publisher.set_fees(FeeConfig(taker_coefficient="0.035"), 2)
    assert memory.described()["A"].fee_rate_ppm == 35_000
    publisher.set_fees(None, 3)
    assert memory.described()["A"].fee_rate_ppm == 70_000


@pytest.mark.parametrize(
    "fee", [FeeSchedule(FeeKind.KALSHI, 5_000_000), FeeSchedule(FeeKind.POLYMARKET, 1000, exponent=99)]
)
def test_a_fee_that_cannot_be_is_not_known(memory: Memory, publisher: Publisher, fee: FeeSchedule) -> None:
    """A schedule that no venue could charge leaves the fee UNKNOWN, and the feed alive."""
    publisher.want(["A"], 1)
    publisher.describe(Market("kalshi", "A", title="odd", fee=fee), 2)
    row = memory.described()["A"]
    assert (row.title, row.fee_kind) == ("odd", FeeKind.UNKNOWN)


def test_a_scale_that_nobody_stated_is_unknown(memory: Memory) -> None:
    """Kraken has no default scale: -1 in memory until its instrument channel says it."""
    publisher = Publisher("kraken", memory.writer, BookFlag(0), None)
    publisher.want(["BTC/USD"], 1)
    row = memory.described()["BTC/USD"]
    assert (row.price_decimals, row.size_decimals) == (-1, -1)
    assert publisher.scales() == {}


def test_closing_names_what_waits_for_its_result(publisher: Publisher) -> None:
    """Markets past their close without a result; not those that are open, settled or never close."""
    publisher.want(["A", "B", "C"], 1)
    publisher.describe(Market("kalshi", "A", close_ns=100), 1)
    publisher.describe(Market("kalshi", "B", close_ns=100, status=MarketStatus.SETTLED), 1)
    assert publisher.closing(99) == []
    assert publisher.closing(100) == ["A"]
    publisher.describe(Market("kalshi", "A", status=MarketStatus.SETTLED), 2)
    assert publisher.closing(10**18) == []


def test_merging_nothing_changes_nothing() -> None:
    """Fields that state nothing never erase what is known, and merging twice is merging once."""
    known = Market("kalshi", "A", Scale(6, 2), 1, 2, 3, 4, FEE, 5, MarketStatus.OPEN, title="t", partner="p")
    assert merge(known, Market("kalshi", "A")) == known
    fresh = Market("kalshi", "A", lot_units=9)
    once = merge(known, fresh)
    assert once.lot_units == 9
    assert merge(once, fresh) == once
    assert market_row(known, 1).partner == "p"
