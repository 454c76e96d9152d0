"""Model lane: a probability from our own spot feed beside the ask, with its doubt, and never an arbitrage."""

from __future__ import annotations

from decimal import Decimal

from pipeline.config import Config
from pipeline.digital import Mids
from pipeline.look import Look
from pipeline.model import BookState, FeeKind, MarketStatus, Reason
from pipeline.model_events import MODEL, Digital, Event, EventLeg, Review
from pipeline.pairs import directions
from pipeline.pairs_checks import limits_of
from pipeline.scanner.model_lane import price_model, reference
from shm.books import BookRow
from shm.records import MARKET

NOW, WALL = 10**13, 1_790_000_000 * 10**9
LIMITS = limits_of(Config())
LEGS = EventLeg("kalshi", "KX"), EventLeg("kraken", "BTC/USD", "base")


def event(strike: str, **extra) -> Event:
    asked = Digital(Decimal(strike), **extra)
    review = Review("tester", void_rule="never")
    return Event("m", "M", MODEL, LEGS, WALL + 3600 * 10**9, review, digital=asked)


class Shelf:
    """The prediction market asks 40 cents; spot stands at 100 dollars."""

    def __init__(self, spot_state: BookState = BookState.LIVE) -> None:
        self.looks = {
            "KX": self.look("KX", ((3_900, 10_000),), ((4_000, 10_000),), BookState.LIVE),
            "BTC/USD": self.look("BTC/USD", ((999_900, 10),), ((1_000_100, 10),), spot_state),
        }

    def look(self, market: str, bids, asks, state: BookState) -> Look:
        row = MARKET.empty()._replace(
            market=market, price_decimals=4, size_decimals=2, fee_kind=FeeKind.BPS,
            status=MarketStatus.OPEN,
        )  # fmt: skip
        return Look(0, BookRow(1, 1, 1, 0, BookState.LIVE, 0, 0, 0, NOW - 5, NOW - 4, bids, asks), row, state)

    def read(self, _venue: str, market: str, _now_ns: int) -> Look | None:
        return self.looks.get(market)


def calm() -> Mids:
    """Two minutes of small steps around 100 dollars."""
    mids = Mids()
    for second in range(120):
        mids.add(second * 10**9, 100.0 + 0.001 * (second % 2))
    return mids


def test_far_below_spot_is_cheap_and_only_watched() -> None:
    """YES at 40 cents on what is all but sure leaves the rest, and the verdict is to watch."""
    yes, no = directions([event("90")])
    found = price_model(yes, Shelf(), calm(), LIMITS, NOW, WALL)
    assert found.modelled is not None
    assert found.modelled.low_ppm > 990_000
    assert found.priced.edge is not None
    assert found.priced.edge.net > 59
    assert found.priced.verdict.reason == Reason.WATCH_ONLY
    other = price_model(no, Shelf(), calm(), LIMITS, NOW, WALL)
    assert other.priced.edge is not None
    assert other.priced.edge.net < 0
    assert other.priced.verdict.reason == Reason.NO_EDGE


def test_the_doubt_about_the_index_counts_against_us() -> None:
    """An index that may be away from our spot widens the bounds; the edge is the lower bound's."""
    yes = directions([event("99.9")])[0]
    doubted = directions([event("99.9", basis_bp=Decimal(20))])[0]
    sure = price_model(yes, Shelf(), calm(), LIMITS, NOW, WALL)
    wide = price_model(doubted, Shelf(), calm(), LIMITS, NOW, WALL)
    assert sure.modelled is not None
    assert wide.modelled is not None
    assert wide.modelled.low_ppm < sure.modelled.low_ppm <= sure.modelled.high_ppm <= wide.modelled.high_ppm
    assert wide.priced.payoff == Decimal(wide.modelled.low_ppm).scaleb(-6)


def test_without_a_believed_spot_there_is_no_number() -> None:
    """A stale spot book or too few prices give no probability and no edge."""
    yes = directions([event("90")])[0]
    for shelf, mids, reason in (
        (Shelf(BookState.STALE), calm(), Reason.BOOK_MISSING),
        (Shelf(), Mids(), Reason.WATCH_ONLY),
    ):
        found = price_model(yes, shelf, mids, LIMITS, NOW, WALL)
        assert (found.modelled, found.priced.edge) == (None, None)
        assert found.priced.verdict.reason == reason
    assert reference(yes) == LEGS[1]
