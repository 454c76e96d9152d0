"""Pairs: polarity in all four combinations, and each named reason for a no."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.config import RiskConfig
from pipeline.edge import BINARY, SPOT, EdgeLeg, evaluate
from pipeline.model import (
    BOOK_REASONS,
    BookFlag,
    BookState,
    Event,
    EventLeg,
    FeeKind,
    FeeSchedule,
    MarketStatus,
    Reason,
    Scale,
    order_price_ticks,
)
from pipeline.pairs import (
    PASSED,
    LegView,
    check_books,
    check_edge,
    directions,
    edge_leg,
    limits_of,
    order_legs,
    published_fee,
)
from shm.books import BookRow
from shm.records import MarketRow

KALSHI = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
POLYMARKET = FeeSchedule(FeeKind.POLYMARKET, 50_000, 0, 1, 0)
ONE = 1_000_000
NOW = 10_000_000_000
WALL = 1_700_000_000_000_000_000


def event(kind: str = BINARY, first: str = "same", second: str = "same", **extra) -> Event:
    legs = (EventLeg("kalshi", "K", polarity=first), EventLeg("polymarket", "P", polarity=second))
    return Event("e", "An event", kind, legs, reviewed=True, **extra)


def book(bids=((540_000, 500),), asks=((550_000, 500),), **extra) -> BookRow:
    row = BookRow(7, 1, 1, 0, BookState.LIVE, 0, 0, 0, NOW - 40_000_000, NOW - 39_000_000, bids, asks)
    return row._replace(**extra)


def market(fee: FeeSchedule = KALSHI, size_decimals: int = 2, **extra) -> MarketRow:
    row = MarketRow(
        market="M", partner="", title="", incarnation=1, price_decimals=6, size_decimals=size_decimals,
        grid_ticks=10_000, lot_units=10**size_decimals, min_units=10**size_decimals, min_cost_micros=0,
        fee_kind=fee.kind, fee_rate_ppm=fee.rate_ppm, fee_maker_rate_ppm=0, fee_exponent=fee.exponent,
        fee_precision_micros=fee.precision_micros, close_wall_ns=0, status=MarketStatus.OPEN, result=0,
        updated_ns=1, rules_hash="", rules="",
    )  # fmt: skip
    return row._replace(**extra)


def view(**extra) -> LegView:
    return replace(LegView(book(), BookState.LIVE, market(), KALSHI), **extra)


LIMITS = limits_of(RiskConfig())


def test_an_event_has_two_directions() -> None:
    """Index 0 buys the first leg and sells the second, index 1 the other way round."""
    one, other = directions([event()])
    assert (one.index, one.buy.venue, one.sell.venue) == (0, "kalshi", "polymarket")
    assert (other.index, other.buy.venue, other.sell.venue) == (1, "polymarket", "kalshi")


def test_what_is_no_pair_has_no_direction() -> None:
    """Another kind, three legs, one market twice, or an inverse spot leg are left out."""
    leg = EventLeg("kalshi", "K")
    assert directions([event("basket"), event(SPOT, second="inverse")]) == []
    assert directions([replace(event(), legs=(leg, leg)), replace(event(), legs=(leg,) * 3)]) == []


@pytest.mark.parametrize("second", ["same", "inverse"])
@pytest.mark.parametrize("first", ["same", "inverse"])
@pytest.mark.parametrize("index", [0, 1])
def test_polarity_survives_the_way_there_and_back(index: int, first: str, second: str) -> None:
    """In all combinations, the orders hit the side, at the price, that the edge was computed
    from.
    """
    fair = {"same": (400_000, 420_000), "inverse": (580_000, 600_000)}
    dear = {"same": (500_000, 520_000), "inverse": (480_000, 500_000)}
    direction = directions([event(first=first, second=second)])[index]
    buy_bid, buy_ask = fair[direction.buy.polarity]
    sell_bid, sell_ask = dear[direction.sell.polarity]
    buy_book = book(((buy_bid, 300),), ((buy_ask, 300),))
    sell_book = book(((sell_bid, 3_000_000),), ((sell_ask, 3_000_000),))
    buy_market, sell_market = market(KALSHI, 2), market(POLYMARKET, 6)
    buy = edge_leg(buy_book, buy_market, direction.buy.polarity == "inverse", KALSHI)
    sell = edge_leg(sell_book, sell_market, direction.sell.polarity == "inverse", POLYMARKET)
    edge = evaluate(BINARY, buy, sell)
    assert edge is not None
    assert (edge.buy_limit_ticks, edge.sell_limit_ticks) == (420_000, 500_000)
    bought, sold = order_legs(direction, edge, buy.scale, sell.scale)
    assert (bought.size_units, sold.size_units) == (300, 3_000_000)
    assert bought.action == sold.action == "buy"
    for order, side, inverse, pays in (
        (bought, buy_book, direction.buy.polarity == "inverse", 420_000),
        (sold, sell_book, direction.sell.polarity != "inverse", ONE - 500_000),
    ):
        assert order.outcome == ("no" if inverse else "yes")
        hit = side.asks if order.takes_asks else side.bids
        assert order.limit_ticks == hit[0][0]
        assert order_price_ticks(order) == pays
    cost = sum(order_price_ticks(order) for order in (bought, sold)) * 3
    assert Decimal(cost).scaleb(-6) + edge.fee_buy + edge.fee_sell == edge.cash


def test_spot_buys_and_sells_the_base() -> None:
    """Spot has no outcomes: one buy into the asks, one sale into the bids."""
    scale = Scale(2, 4)
    fee = FeeSchedule(FeeKind.BPS, 100)
    buy = EdgeLeg((), ((10_000, 5_000),), scale, fee)
    sell = EdgeLeg(((10_100, 9_000),), (), scale, fee)
    edge = evaluate(SPOT, buy, sell)
    assert edge is not None
    bought, sold = order_legs(directions([event(SPOT)])[0], edge, scale, scale)
    assert (bought.outcome, bought.action, bought.limit_ticks) == ("base", "buy", 10_000)
    assert (sold.outcome, sold.action, sold.limit_ticks) == ("base", "sell", 10_100)
    assert (bought.takes_asks, sold.takes_asks) == (True, False)
    assert order_price_ticks(sold) == 10_100
    assert bought.size_units == sold.size_units == 5_000


def test_good_books_pass() -> None:
    """Two young LIVE books of open, reviewed markets with known fees have nothing against them."""
    assert check_books(directions([event()])[0], view(), view(), LIMITS, NOW, WALL) == PASSED
    assert published_fee(market(POLYMARKET)) == POLYMARKET


OLD = book(socket_ns=NOW - 2_000_000_001)
REFUSALS = [
    (view(book=None), Reason.BOOK_MISSING),
    (view(market=None), Reason.BOOK_MISSING),
    (view(market=market(price_decimals=-1)), Reason.BOOK_MISSING),
    *((view(state=state), reason) for state, reason in BOOK_REASONS.items()),
    (view(book=book(bids=(), asks=())), Reason.ONE_SIDED),
    (view(book=book(flags=BookFlag.SIM | BookFlag.NOT_TRADABLE)), Reason.NOT_TRADABLE),
    (view(book=book(((ONE, 5),), ((ONE, 5),))), Reason.NOT_TRADABLE),
    (view(book=book(((0, 5),), ((0, 5),))), Reason.NOT_TRADABLE),
    *(
        (view(market=market(status=status)), Reason.MARKET_CLOSED)
        for status in (MarketStatus.PAUSED, MarketStatus.CLOSED, MarketStatus.SETTLED)
    ),
    (view(market=market(status=MarketStatus.UNKNOWN)), Reason.NOT_LISTED),
    (view(market=market(close_wall_ns=WALL - 1)), Reason.MARKET_CLOSED),
    (view(fee=FeeSchedule()), Reason.FEE_UNKNOWN),
    (view(book=OLD), Reason.BOOK_TOO_OLD),
    (view(book=book(socket_ns=NOW - 1_500_000_000)), Reason.LEG_SKEW),
]


@pytest.mark.parametrize(("bad", "reason"), REFUSALS)
def test_each_fault_of_a_leg_has_its_name(bad: LegView, reason: Reason) -> None:
    """The same fault on either leg gives the same named refusal with its number and limit."""
    direction = directions([event()])[0]
    for buy, sell in ((bad, view()), (view(), bad)):
        verdict = check_books(direction, buy, sell, LIMITS, NOW, WALL)
        assert verdict.reason == reason
        assert verdict.value != verdict.limit or reason == Reason.NOT_TRADABLE


def test_only_the_side_that_is_needed_must_be_there() -> None:
    """Buying takes asks and selling bids, and the other way round on an inverse market."""
    only_asks, only_bids = view(book=book(bids=())), view(book=book(asks=()))
    straight = directions([event()])[0]
    flipped = directions([event(first="inverse", second="inverse")])[0]
    assert check_books(straight, only_asks, only_bids, LIMITS, NOW, WALL) == PASSED
    assert check_books(flipped, only_bids, only_asks, LIMITS, NOW, WALL) == PASSED
    assert check_books(straight, only_bids, only_asks, LIMITS, NOW, WALL).reason == Reason.ONE_SIDED


def test_the_event_itself_can_be_refused() -> None:
    """Closed by its own time, not reviewed, or with a leg on the ambiguous outcome "no"."""
    first, second = event().legs
    for bad, reason in (
        (event(close_ns=WALL - 1), Reason.MARKET_CLOSED),
        (replace(event(), reviewed=False), Reason.NOT_REVIEWED),
        (replace(event(), legs=(replace(first, outcome="no"), second)), Reason.NOT_TRADABLE),
    ):
        assert check_books(directions([bad])[0], view(), view(), LIMITS, NOW, WALL).reason == reason


def test_ages_are_given_in_milliseconds() -> None:
    """A refusal for age says how old and how old it may be."""
    verdict = check_books(directions([event()])[0], view(book=OLD), view(book=OLD), LIMITS, NOW, WALL)
    assert verdict == (Reason.BOOK_TOO_OLD, Decimal("2000.000001"), Decimal(2000))


def priced(gap: int, size: int = 100, fee: int = 0):
    scale = Scale(4, 0)
    schedule = FeeSchedule(FeeKind.BPS, fee)
    buy = EdgeLeg((), ((5000, size),), scale, schedule)
    return evaluate(BINARY, buy, EdgeLeg(((5000 + gap, size),), (), scale, schedule))


@pytest.mark.parametrize(
    ("edge", "changes", "reason", "value", "limit"),
    [
        (None, {}, Reason.BELOW_MINIMUM, "0", "1"),
        (priced(-10), {}, Reason.NO_EDGE, "-10", "0"),
        (priced(0), {}, Reason.NO_EDGE, "0", "0"),
        (priced(40), {}, Reason.EDGE_TOO_SMALL, "40", "50"),
        (priced(200, 1), {}, Reason.NONE, "0", "0"),
        (priced(100, 1), {}, Reason.PROFIT_TOO_SMALL, "0.01", "0.02"),
        (priced(100), {"min_profit_pct": Decimal(2)}, Reason.PROFIT_TOO_SMALL, None, "2"),
        (priced(100), {}, Reason.NONE, "0", "0"),
    ],
)
def test_an_edge_must_be_worth_its_orders(edge, changes, reason, value, limit) -> None:
    """No size, no net, too few bp, too few cents, too few per cent: each by name, number and
    limit.
    """
    verdict = check_edge(edge, replace(LIMITS, **changes))
    assert verdict.reason == reason
    assert verdict.limit == Decimal(limit)
    if value is not None:
        assert verdict.value == Decimal(value)
