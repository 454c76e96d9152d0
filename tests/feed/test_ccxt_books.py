"""ccxt's dicts into integers: exact or refused, scales stated and guessed, patience with a symbol."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import SystemClock
from pipeline.feed.ccxt_books import (
    DECIMAL_PLACES,
    TICK_SIZE,
    Refusal,
    made_market,
    market_of,
    moved,
    scale_of,
    snapshot_of,
    text_of,
    venue_ns,
    widest,
)
from pipeline.feed.ccxt_markets import BELIEVED_NS, TROUBLE_NS, CcxtMarkets, Trouble
from pipeline.feed.publisher import Publisher
from pipeline.model import (
    BookFlag,
    MarketStatus,
    Scale,
)
from pipeline.money import to_decimal
from pipeline.venues.codec import Snapshot
from shm import segment as segments
from shm.books import BookReader, BookWriter, feed_sections

SIGNIFICANT_DIGITS = 3
SCALE = Scale(2, 4)
SECOND_NS = 1_000_000_000


def book(bids: list[Any], asks: list[Any], **more: Any) -> dict[str, Any]:
    return {"bids": bids, "asks": asks, "timestamp": None, "nonce": None, **more}


def test_a_book_becomes_integers() -> None:
    """Prices and sizes on the scale, milliseconds as nanoseconds; a third element of a level is a count."""
    found = snapshot_of("M", book([[99.5, 1.25], [99, 2]], [[100.25, 3e-4, 7]], timestamp=1_700), SCALE, 5)
    assert found == Snapshot("M", [(9950, 12500), (9900, 20000)], [(10025, 3)], 1_700_000_000)


def test_only_the_best_levels_are_looked_at() -> None:
    """What lies deeper than the published depth costs nothing and spoils nothing."""
    deep = book([[9, 1], [8, 1], ["junk", None]], [[10, 1], [11, 1], [float("nan"), 1]])
    assert isinstance(snapshot_of("M", deep, SCALE, 2), Snapshot)
    assert isinstance(snapshot_of("M", deep, SCALE, 3), Refusal)


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([[9, 1], [9.5, 1]], [[10, 1]]),  # not best first
        ([[9, 1]], [[10, 1], [10, 2]]),  # the same price twice
        ([[9, -1]], [[10, 1]]),
        ([[-9, 1]], [[10, 1]]),
        ([[0, 1]], [[10, 1]]),
        ([[float("nan"), 1]], [[10, 1]]),
        ([[9, float("inf")]], [[10, 1]]),
        ([[9, None]], [[10, 1]]),
        ([[True, 1]], [[10, 1]]),
        ([[9]], [[10, 1]]),
        ([9], [[10, 1]]),
        (None, [[10, 1]]),
        ([], [[10, 1]]),
        ([[9, 1]], []),
        ([[9, 0]], [[10, 1]]),
    ],
)
def test_a_book_that_is_none_is_refused(bids: Any, asks: Any) -> None:
    """Unsorted, negative, not finite, not a number, no level, an empty side: never a snapshot."""
    found = snapshot_of("M", book(bids, asks), SCALE, 5)
    assert isinstance(found, Refusal)
    assert not found.off_scale


@pytest.mark.parametrize(
    "level", [[9.001, 1], [9, 0.00001], [9, 123456789.1234567], [9, 1e300], [9, 2**53 + 1.0]]
)
def test_what_does_not_fit_the_scale_is_refused_not_rounded(level: list[float]) -> None:
    """A digit beyond the scale, beyond int64, or beyond what a float keeps."""
    found = snapshot_of("M", book([level], [[10, 1]]), SCALE, 5)
    assert isinstance(found, Refusal)
    assert found.off_scale


@given(
    st.integers(1, 10**15 - 1),
    st.integers(1, 10**15 - 1),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_every_text_of_fifteen_digits_survives_the_float(
    ticks: int, units: int, price_decimals: int, size_decimals: int
) -> None:
    """A venue's text of up to 15 digits is the same integer after ccxt made a float of it."""
    scale = Scale(price_decimals, size_decimals)
    level = [float(to_decimal(ticks, price_decimals)), float(to_decimal(units, size_decimals))]
    ask = [float(Decimal(10**16)), 1]
    found = snapshot_of("M", book([level], [ask]), scale, 1)
    if isinstance(found, Snapshot):
        assert found.bids == [(ticks, units)]
    else:  # the ask does not fit int64 on this scale
        assert price_decimals > 2


def test_the_widest_text_gives_a_scale() -> None:
    """As many decimals as the best levels show, never fewer than before; exponents count too."""
    shown = book([[60000.1, 5e-07]], [[60000.25, 2]])
    assert widest(shown, 5) == Scale(2, 7)
    assert widest(shown, 5, Scale(4, 1)) == Scale(4, 7)
    assert widest(book([[100.0, 20]], [[1e16, 1]]), 5) == Scale(0, 0)
    assert widest(book([], []), 5) is None
    assert widest(book([["x", 1]], [[1, 1]]), 5) is None
    assert widest(book([[1e-30, 1]], [[1, 1]]), 5) is None


@pytest.mark.parametrize(
    ("precision", "mode", "scale"),
    [
        ({"price": 0.01, "amount": 1e-8}, TICK_SIZE, Scale(2, 8)),
        ({"price": 0.5, "amount": 10}, TICK_SIZE, Scale(1, 0)),
        ({"price": 2, "amount": 8}, DECIMAL_PLACES, Scale(2, 8)),
        ({"price": 5, "amount": 8}, SIGNIFICANT_DIGITS, None),
        ({"price": None, "amount": 8}, DECIMAL_PLACES, None),
        ({"price": 0, "amount": 0.1}, TICK_SIZE, None),
        ({"price": -1, "amount": 2}, DECIMAL_PLACES, None),
        ({"price": 19, "amount": 2}, DECIMAL_PLACES, None),
        ({"price": "x", "amount": 2}, TICK_SIZE, None),
        (None, TICK_SIZE, None),
    ],
)
def test_a_stated_precision_gives_a_scale(precision: Any, mode: int, scale: Scale | None) -> None:
    """Tick sizes and counts of decimals do; significant digits do not, for the tick moves with the price."""
    assert scale_of({"precision": precision}, mode) == scale


def test_a_listing_becomes_a_market() -> None:
    """Grid, lot and minima in units, rounded up; only an active spot market is OPEN."""
    listed = {
        "precision": {"price": 0.5, "amount": 0.001},
        "limits": {"amount": {"min": 0.0025}, "cost": {"min": 5}},
        "active": True,
        "spot": True,
        "expiry": None,
    }
    market = market_of("ccxt:x", "A/B", listed, TICK_SIZE)
    assert (market.scale, market.grid_ticks, market.lot_units) == (Scale(1, 3), 5, 1)
    assert (market.min_units, market.min_cost_micros, market.close_ns) == (3, 5_000_000, 0)
    assert market.status is MarketStatus.OPEN
    assert market_of("ccxt:x", "A/B", listed | {"active": False}, TICK_SIZE).status is MarketStatus.PAUSED
    assert market_of("ccxt:x", "A/B", listed | {"spot": False}, TICK_SIZE).status is MarketStatus.UNKNOWN
    assert market_of("ccxt:x", "A/B", {}, TICK_SIZE).scale is None


def test_times_that_are_none_are_zero() -> None:
    """Some exchanges tell no time, and nobody's nonsense overflows a cell."""
    assert [venue_ns(time) for time in (None, True, -1, 2**62, 1.5, "7")] == [0] * 6
    assert venue_ns(7) == 7_000_000


@pytest.mark.parametrize("number", [float("nan"), float("-inf"), None, True, "", "1_000", "9" * 41, [1]])
def test_what_is_no_number_has_no_text(number: Any) -> None:
    """Only finite numbers have one."""
    with pytest.raises(ValueError, match=r"."):
        text_of(number)


def test_addresses_keep_their_paths() -> None:
    """Scheme and host are replaced in every string, however deep; the rest stays as it is."""
    urls = {"public": {"spot": "wss://a.{host}/v5/spot", "x": ["https://b", 7]}, "word": "none"}
    assert moved(urls, "ws://127.0.0.1:9") == {
        "public": {"spot": "ws://127.0.0.1:9/v5/spot", "x": ["ws://127.0.0.1:9", 7]},
        "word": "none",
    }


def test_a_made_market_speaks_the_exchange_s_ids() -> None:
    """Ids as the six exchanges that were tried write them; a settle currency makes it a swap."""
    ids = {
        name: made_market(name, "BTC/USD")["id"]
        for name in ("bybit", "okx", "bitfinex", "gemini", "cryptocom")
    }
    assert ids == {
        "bybit": "BTCUSD",
        "okx": "BTC-USD",
        "bitfinex": "tBTCUSD",
        "gemini": "btcusd",
        "cryptocom": "BTC_USD",
    }
    swap = made_market("hyperliquid", "BTC/USDC:USDC")
    assert (swap["swap"], swap["spot"], swap["linear"], swap["baseName"]) == (True, False, True, "BTC")


class Rows:
    """A publisher on a real segment, and what a reader sees of it."""

    def __init__(self, directory: Path) -> None:
        clock = SystemClock()
        self.segment = segments.create(
            directory,
            "feed-ccxt:x",
            feed_sections(2, 3, 1),
            segments.this_owner(),
            monotonic_ns=clock.monotonic_ns(),
            wall_ns=clock.wall_ns(),
            sleep=clock.sleep,
        )
        self.publisher = Publisher("ccxt:x", BookWriter(self.segment), BookFlag.UNVERIFIED, None)
        self.publisher.want(["A/B", "C/D"], 1)
        self.reader = BookReader(segments.attach(directory, "feed-ccxt:x"))
        self.forgotten: list[str] = []
        self.markets = CcxtMarkets("ccxt:x", self.publisher, self.forgotten.append)

    def incarnation(self, symbol: str) -> int:
        return next(row.incarnation for _, row in self.reader.directory.rows() if row.market == symbol)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Two markets of one exchange."""
    made = Rows(tmp_path / "shm")
    yield made
    made.segment.close(unlink=True)


def test_a_guessed_scale_grows_and_takes_a_new_row(rows: Rows) -> None:
    """The first book gives the scale in place; a wider number gives a wider one under a new incarnation."""
    first = rows.incarnation("A/B")
    assert rows.markets.read("A/B", book([[9.5, 1]], [[10, 1]]), 3, 1) == Snapshot(
        "A/B", [(95, 1)], [(100, 1)]
    )
    assert rows.incarnation("A/B") == first
    wider = rows.markets.read("A/B", book([[9.55, 1]], [[10, 1]]), 3, 2)
    assert wider == Snapshot("A/B", [(955, 1)], [(1000, 1)])
    assert rows.incarnation("A/B") != first
    assert rows.forgotten == ["A/B"]
    assert rows.publisher.market("A/B").scale == Scale(2, 0)


def test_a_refused_book_changes_no_scale(rows: Rows) -> None:
    """A book that is refused anyway, or has no levels, teaches nothing."""
    rows.markets.read("A/B", book([[9.5, 1]], [[10, 1]]), 3, 1)
    assert isinstance(rows.markets.read("A/B", book([[9.555, -1]], [[10, 1]]), 3, 2), Refusal)
    assert isinstance(rows.markets.read("C/D", book([], []), 3, 2), Refusal)
    assert rows.publisher.market("A/B").scale == Scale(1, 0)
    assert rows.publisher.market("C/D").scale is None


def test_a_stated_scale_is_kept(rows: Rows) -> None:
    """What the exchange states is not widened by what it sends; and it alone opens a market, for an hour."""
    listed = {"precision": {"price": 0.1, "amount": 1}, "active": True, "spot": True}
    rows.markets.read("A/B", book([[9.55, 1]], [[10, 1]]), 3, 1)
    assert not rows.markets.open("A/B", 5)
    rows.markets.describe("A/B", listed, TICK_SIZE, 5)
    assert rows.publisher.market("A/B").scale == Scale(1, 0)
    refused = rows.markets.read("A/B", book([[9.55, 1]], [[10, 1]]), 3, 6)
    assert isinstance(refused, Refusal)
    assert refused.off_scale
    assert rows.markets.open("A/B", 5 + BELIEVED_NS)
    assert not rows.markets.open("A/B", 6 + BELIEVED_NS)


def test_bad_books_cost_the_others_their_exchange_once() -> None:
    """After ten bad seconds the object goes; then not again until the symbol had a good book."""
    trouble = Trouble()
    assert not trouble.heard("A", 0, good=False)
    assert not trouble.heard("A", TROUBLE_NS - 1, good=False)
    assert trouble.heard("A", TROUBLE_NS, good=False)
    trouble.opened(TROUBLE_NS)
    assert not trouble.heard("A", 2 * TROUBLE_NS, good=False)
    assert not trouble.heard("A", 9 * TROUBLE_NS, good=False)
    assert not trouble.heard("A", 10 * TROUBLE_NS, good=True)
    assert not trouble.heard("A", 11 * TROUBLE_NS, good=False)
    assert trouble.heard("A", 12 * TROUBLE_NS, good=False)


def test_one_dead_symbol_does_not_cost_the_others_theirs() -> None:
    """A silent symbol ends the object once, and again only while nothing else is heard."""
    trouble = Trouble()
    trouble.opened(0)
    assert trouble.silent("A", 10 * SECOND_NS, 10 * SECOND_NS)
    trouble.opened(11 * SECOND_NS)
    trouble.heard("B", 20 * SECOND_NS, good=True)
    assert not trouble.silent("A", 21 * SECOND_NS, 10 * SECOND_NS)
    assert trouble.silent("A", 40 * SECOND_NS, 10 * SECOND_NS)
