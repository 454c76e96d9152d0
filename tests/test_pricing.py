"""Pricing: what a look at the books of a direction gives: the edge, and the first check that fails."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.config import Config
from pipeline.look import Look
from pipeline.model import BookState, FeeKind, MarketStatus, Reason
from pipeline.model_events import BINARY, COMPLEMENT, SPOT, Event, EventLeg, Review
from pipeline.pairs import closing, directions
from pipeline.pairs_checks import YEAR_NS, limits_of
from pipeline.pricing import discount, price, unwind_cost
from shm.books import BookRow
from shm.records import MARKET

NOW, WALL = 10**13, 1_790_000_000 * 10**9
LIMITS = limits_of(Config())
NEVER = Review("tester", void_rule="never void")
D = Decimal


class Shelf:
    """Books by venue and market, as the feeds would show them."""

    def __init__(self) -> None:
        self.looks: dict[tuple[str, str], Look] = {}

    def put(self, venue, market, bids, asks, *, decimals=(2, 2), state=BookState.LIVE, **cells) -> None:
        row = MARKET.empty()._replace(
            market=market, price_decimals=decimals[0], size_decimals=decimals[1],
            fee_kind=FeeKind.BPS, status=MarketStatus.OPEN,
        )  # fmt: skip
        row = row._replace(**cells)
        book = BookRow(1, 1, 1, 0, BookState.LIVE, 0, 0, 0, NOW - 1000, NOW - 500, tuple(bids), tuple(asks))
        self.looks[venue, market] = Look(0, book, row, state)

    def read(self, venue: str, market: str, _now_ns: int) -> Look | None:
        return self.looks.get((venue, market))


def pair(kind=BINARY, review=NEVER, **extra) -> Event:
    venues = ("kraken", "coinbase") if kind == SPOT else ("kalshi", "polymarket")
    outcome = "base" if kind == SPOT else "yes"
    return Event("e", "E", kind, tuple(EventLeg(v, v[0], outcome) for v in venues), review=review, **extra)


def shelf(bid=50, ask=40) -> Shelf:
    """YES at `ask` cents on Kalshi, bid for at `bid` cents on Polymarket, a hundred contracts each."""
    books = Shelf()
    books.put("kalshi", "k", [(ask - 2, 10_000)], [(ask, 10_000)])
    books.put("polymarket", "p", [(bid, 10_000)], [(bid + 2, 10_000)])
    return books


def look_at(books, event=None, index=0, **extra):
    return price(directions([event or pair()])[index], books, LIMITS, NOW, WALL, **extra)


def test_a_cheap_yes_and_a_dear_one_leave_the_difference() -> None:
    """Both books are read, priced, and pass; the other direction leaves nothing."""
    found, back = look_at(shelf()), look_at(shelf(), index=1)
    assert found.edge is not None
    assert (found.verdict.reason, found.edge.net, found.edge.cash) == (Reason.NONE, D(10), D(90))
    assert back.verdict.reason == Reason.NO_EDGE


def test_a_book_that_is_not_believed_is_not_priced() -> None:
    """A stale, a missing and a scaleless book each give their reason and no number."""
    for cells, reason in (
        ({"state": BookState.STALE}, Reason.BOOK_STALE),
        ({"decimals": (-1, -1)}, Reason.BOOK_MISSING),
        ({"fee_kind": FeeKind.UNKNOWN}, Reason.FEE_UNKNOWN),
    ):
        books = shelf()
        books.put("polymarket", "p", [(50, 100)], [(52, 100)], **cells)
        found = look_at(books)
        assert (found.verdict.reason, found.edge) == (reason, None)
    books.looks.clear()
    assert look_at(books).verdict.reason == Reason.BOOK_MISSING


def test_a_pair_that_can_be_called_off_is_no_arbitrage() -> None:
    """Where one leg alone may be void, the worst row decides, and the refusal says what it leaves."""
    found = look_at(shelf(), pair(review=Review("tester", void_rule="each venue by its own rules")))
    assert found.edge is not None
    assert found.verdict == (Reason.VOID_PAYOFF, D(-90), D(0))
    assert found.edge.net == 10  # what a good end would leave
    both_half = pair(review=Review("tester", void_rule="both"))
    halves = replace(both_half, legs=tuple(replace(leg, void="half") for leg in both_half.legs))
    assert look_at(shelf(), halves).verdict.reason == Reason.NONE
    refunds = replace(both_half, legs=tuple(replace(leg, void="refund") for leg in both_half.legs))
    assert look_at(shelf(), refunds).verdict.reason == Reason.VOID_PAYOFF


def test_an_unreviewed_event_shows_the_numbers_of_a_good_end() -> None:
    """It is refused for the missing review, whatever its void rules."""
    found = look_at(shelf(), pair(review=None))
    assert found.edge is not None
    assert (found.verdict.reason, found.edge.net) == (Reason.NOT_REVIEWED, 10)


def test_what_is_held_is_sold_when_that_beats_the_wait() -> None:
    """A close sells both outcomes, no more than is held, against their discounted settlement."""
    books = Shelf()
    books.put("kalshi", "k", [(60, 10_000)], [(62, 10_000)])  # YES brings 60
    books.put("polymarket", "p", [(54, 10_000)], [(56, 10_000)])  # NO brings 44
    event = pair(close_ns=WALL + YEAR_NS)
    back = closing(directions([event])[0])
    assert back is not None
    found = price(back, books, LIMITS, NOW, WALL, held=D("12.5"))
    assert found.edge is not None
    assert found.verdict.reason == Reason.NONE
    assert D(found.edge.size_units).scaleb(-found.edge.size_decimals) == D("12.5")
    worth = discount(LIMITS.hurdle_pct, YEAR_NS)
    assert worth == 1 / D("1.04")
    assert found.edge.net == pytest.approx(D("12.5") * (D("1.04") - worth), abs=D("0.00002"))
    assert price(back, books, LIMITS, NOW, WALL, held=D(0)).edge is None


def test_two_tokens_of_one_market_are_a_complement() -> None:
    """Buying both sides of a Polymarket market for less than a dollar leaves the rest, void or not."""
    books = Shelf()
    books.put("polymarket", "yes", [(40, 10_000)], [(45, 10_000)])
    books.put("polymarket", "no", [(45, 10_000)], [(50, 10_000)])
    legs = EventLeg("polymarket", "yes"), EventLeg("polymarket", "no")
    found = look_at(books, Event("c", "C", COMPLEMENT, legs, review=Review("tester")))
    assert found.edge is not None
    assert (found.verdict.reason, found.edge.net) == (Reason.NONE, 5)


def test_coins_in_two_currencies_meet_in_dollars() -> None:
    """A leg in another currency is priced through a live book, and is watched only."""
    books = Shelf()
    books.put("kraken", "k", [(9_990, 100)], [(10_000, 100)])
    books.put("coinbase", "c", [(10_500, 100)], [(10_510, 100)])
    books.put("kraken", "USDT/USD", [(9_990, 10**9)], [(10_010, 10**9)], decimals=(4, 2))
    event = pair(SPOT)
    first, second = event.legs
    event = replace(event, legs=(first, replace(second, convert=("kraken", "USDT/USD"))))
    found = look_at(books, event)
    assert found.edge is not None
    assert found.verdict.reason == Reason.WATCH_ONLY
    assert found.edge.net == D("105") * D("0.999") - D(100)
    del books.looks["kraken", "USDT/USD"]
    assert look_at(books, event).verdict.reason == Reason.BOOK_MISSING


def test_bringing_coins_back_costs() -> None:
    """The amortised transfer cost of a coin is taken from the net of every coin."""
    books = Shelf()
    books.put("kraken", "k", [(9_990, 100)], [(10_000, 100)])
    books.put("coinbase", "c", [(10_500, 100)], [(10_510, 100)])
    free, dear = look_at(books, pair(SPOT)), look_at(books, pair(SPOT, transfer_usd=D(2)))
    assert free.edge is not None
    assert dear.edge is not None
    assert (free.edge.net, dear.edge.net) == (5, 3)


def test_one_leg_alone_costs_its_spread_and_two_fees() -> None:
    """What is at stake if only one order fills is the dearer leg's way back."""
    found = look_at(shelf())
    assert unwind_cost(found) == D("0.02") * 100
