"""Publisher: rows in real memory: claimed and released, metadata merged, fees overridden, ages kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.clock import SystemClock
from pipeline.config import FeeConfig
from pipeline.feed.batched_book import BatchedBook
from pipeline.feed.book import Book
from pipeline.feed.publisher import Publisher, market_row, merge
from pipeline.fees import TieredMarket, TierTable
from pipeline.model import (
    BookFault,
    BookFlag,
    BookState,
    FeeKind,
    FeeSchedule,
    Market,
    MarketResult,
    MarketStatus,
    Scale,
)
from pipeline.venues.codec import Change, Snapshot
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


def book_of(name: str, socket_ns: int = 0) -> Book:
    """A LIVE book of three bids and one ask."""
    book = BatchedBook(name, Scale(6, 2), shown=DEPTH)
    bids = [(530_000, 100), (520_000, 50), (510_000, 25)]
    book.apply_snapshot(Snapshot(name, bids, [(550_000, 70)], 9, batch="0"))
    book.socket_ns = socket_ns
    return book


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
    publisher.publish(book_of("A", 777), 1234, 0, tradable=True)
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
    """Released and wanted again, a market has neither the book nor the metadata it had before."""
    publisher.want(["A"], 1)
    publisher.describe(Market("kalshi", "A", title="before"), 1)
    publisher.publish(book_of("A", 777), 1234, 0, tradable=True)
    publisher.want([], 2)
    publisher.want(["A"], 3)
    book = memory.reader.get(memory.row_of("A"))
    assert book is not None
    assert (book.state, book.socket_ns, book.publish_ns) == (BookState.EMPTY, 0, 3)
    assert (memory.described()["A"].title, memory.described()["A"].updated_ns) == ("", 0)


def test_a_book_is_published_cut_to_its_depth(memory: Memory, publisher: Publisher) -> None:
    """Readers get state, fault, stamps and the best levels that there is room for."""
    publisher.want(["A"], 1)
    book = book_of("A", 777)
    book.witness_ns, book.connection, book.fault = 55, 3, BookFault.SEQUENCE
    publisher.publish(book, 1234, 0, tradable=True)
    row = memory.reader.get(memory.row_of("A"))
    assert row is not None
    assert row.bids == ((530_000, 100), (520_000, 50))
    assert row.asks == ((550_000, 70),)
    assert (row.state, row.venue_ns, row.socket_ns, row.publish_ns) == (BookState.LIVE, 9, 777, 1234)
    assert (row.witness_ns, row.connection, row.reason) == (55, 3, BookFault.SEQUENCE)
    assert row.flags == BookFlag.SIM


def test_every_change_is_in_the_next_publication(memory: Memory, publisher: Publisher) -> None:
    """The row that a book keeps ready follows its changes, and its loss, without being built again."""
    publisher.want(["A"], 1)
    book, at = book_of("A", 777), memory.row_of("A")
    book.apply_change(Change("A", [(530_000, 0), (525_000, 9)], [(540_000, 8)]))
    publisher.publish(book, 2, 0, tradable=True)
    row = memory.reader.get(at)
    assert row is not None
    assert (row.bids, row.asks) == (((525_000, 9), (520_000, 50)), ((540_000, 8), (550_000, 70)))
    book.void(BookFault.DISCONNECTED)
    publisher.publish(book, 3, 0, tradable=True)
    row = memory.reader.get(at)
    assert row is not None
    assert (row.state, row.reason, row.bids, row.asks) == (BookState.GAP, BookFault.DISCONNECTED, (), ())
    assert row.socket_ns == 777


def test_a_book_without_a_row_is_passed_over(memory: Memory, publisher: Publisher) -> None:
    """What still arrives for a market that was released is no error."""
    publisher.want(["A"], 1)
    publisher.publish(book_of("B", 777), 1234, 0, tradable=True)
    assert set(memory.described()) == {"A"}
    assert memory.reader.number(memory.row_of("A")) == 1


def test_whoever_says_no_makes_a_book_untradable(memory: Memory, publisher: Publisher) -> None:
    """The caller, the venue, or a batch that does not yet agree: any of them sets the flag."""
    publisher.want(["A"], 1)
    at = memory.row_of("A")

    def flags(book: Book, *, tradable: bool = True) -> int:
        publisher.publish(book, 2, 0, tradable=tradable)
        row = memory.reader.get(at)
        assert row is not None
        return row.flags

    closed = BookFlag.SIM | BookFlag.NOT_TRADABLE
    book = book_of("A")
    assert (flags(book), flags(book, tradable=False)) == (BookFlag.SIM, closed)
    book.tradable = False
    assert flags(book) == closed
    book.tradable = True
    book.apply_change(Change("A", [(540_000, 1)], [], batch="1", best_bid=545_000))
    assert (flags(book), book.state) == (closed, BookState.LIVE)
    book.apply_change(Change("A", [(545_000, 1)], [], batch="1", best_bid=545_000))
    assert flags(book) == BookFlag.SIM


def test_metadata_adds_up(memory: Memory, publisher: Publisher) -> None:
    """What REST and the socket say are put together; what a source leaves out stays."""
    publisher.want(["A"], 1)
    publisher.describe(Market("kalshi", "A", title="Up?", fee=FEE, close_ns=99, status=MarketStatus.OPEN), 2)
    publisher.describe(Market("kalshi", "A", scale=Scale(4, 2), grid_ticks=100), 0)
    row = memory.described()["A"]
    assert (row.title, row.close_wall_ns, row.fee_rate_ppm) == ("Up?", 99, 70_000)
    assert row.status == MarketStatus.OPEN
    assert (row.price_decimals, row.size_decimals, row.grid_ticks, row.updated_ns) == (4, 2, 100, 2)
    assert publisher.scales == {"A": Scale(4, 2)}
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
    publisher.set_fees(FeeConfig(taker_coefficient="0.035"))
    assert memory.described()["A"].fee_rate_ppm == 35_000
    publisher.set_fees(None)
    assert memory.described()["A"].fee_rate_ppm == 70_000


def test_all_of_a_schedule_is_published(memory: Memory, publisher: Publisher) -> None:
    """Its numbers, its waiver, who stated it and when, and whether the event hides an outcome."""
    publisher.want(["A"], 1)
    fee = FeeSchedule(FeeKind.KALSHI, 70_000, 17_500, 1, 10_000, 0, 99, "kalshi /series", 7)
    publisher.describe(Market("kalshi", "A", fee=fee, hides_outcome=True), 1)
    row = memory.described()["A"]
    assert (row.fee_kind, row.fee_rate_ppm, row.fee_maker_rate_ppm) == (FeeKind.KALSHI, 70_000, 17_500)
    assert (row.fee_exponent, row.fee_precision_micros, row.fee_per_unit_micros) == (1, 10_000, 0)
    assert (row.fee_waived_until_ns, row.fee_source, row.fee_as_of_ns) == (99, "kalshi /series", 7)
    assert row.hides_outcome == 1
    publisher.set_fees(FeeConfig(kind="flat", per_unit="0.01", source="é" * 40))
    row = memory.described()["A"]
    assert (row.fee_kind, row.fee_per_unit_micros, row.fee_waived_until_ns) == (FeeKind.FLAT, 10_000, 0)
    assert row.fee_source == "é" * 24


def test_a_volume_chooses_among_the_venues_own_tiers(memory: Memory) -> None:
    """Each market by its own table, at once; what a socket says of the market leaves the table."""
    publisher = Publisher("kraken", memory.writer, BookFlag(0), None)
    publisher.want(["BTC/USD"], 1)
    rows = (Decimal(0), 4_000), (Decimal(10_000), 3_500)
    tiers = TierTable(rows, rows, "kraken AssetPairs", 7)
    fee = tiers.schedule(Decimal(0))
    assert fee is not None
    publisher.describe(TieredMarket("kraken", "BTC/USD", Scale(1, 8), fee=fee, tiers=tiers), 2)
    publisher.describe(Market("kraken", "BTC/USD", Scale(1, 8), grid_ticks=1), 0)
    for volume, rate in (("10000", 3_500), ("9999", 4_000), (None, 4_000)):
        publisher.set_fees(FeeConfig(volume_usd=volume))
        row = memory.described()["BTC/USD"]
        assert (row.fee_rate_ppm, row.fee_source, row.fee_as_of_ns) == (rate, "kraken AssetPairs", 7)


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
    assert publisher.scales == {}


def test_rules_are_shown_by_their_beginning_and_their_hash(memory: Memory, publisher: Publisher) -> None:
    """The hash is of all of the text, so that a change beyond the part shown is seen; no text, no hash."""
    publisher.want(["A"], 1)
    assert memory.described()["A"].rules_hash == ""
    hashes = set()
    for end in "ab":
        text = "Ü" * 400 + end
        publisher.describe(Market("kalshi", "A", rules=text), 1)
        row = memory.described()["A"]
        assert text.startswith(row.rules) and len(row.rules.encode()) == 512
        assert row.rules_hash == hashlib.sha256(text.encode()).hexdigest()
        hashes.add(row.rules_hash)
    assert len(hashes) == 2


def test_merging_nothing_changes_nothing() -> None:
    """Fields that state nothing never erase what is known, and merging twice is merging once."""
    known = Market("kalshi", "A", Scale(6, 2), 1, 2, 3, 4, FEE, 5, MarketStatus.OPEN, title="t", partner="p")
    assert merge(known, Market("kalshi", "A")) == known
    fresh = Market("kalshi", "A", lot_units=9)
    once = merge(known, fresh)
    assert once.lot_units == 9
    assert merge(once, fresh) == once
    assert market_row(known, 1).partner == "p"


def test_a_settlement_value_of_nothing_is_a_value() -> None:
    """0 replaces what was not known, and what comes without a value later takes nothing away."""
    known = Market("kalshi", "A")
    assert market_row(known, 1).value_micros == -1
    paid = merge(known, Market("kalshi", "A", value_micros=0))
    assert market_row(merge(paid, Market("kalshi", "A")), 1).value_micros == 0
