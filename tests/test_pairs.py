"""Pairs: polarity in all four combinations, and each named reason for a no."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.config import Config
from pipeline.edge import EdgeLeg, evaluate
from pipeline.model import (
    BOOK_REASONS,
    BookFlag,
    BookState,
    FeeKind,
    FeeSchedule,
    MarketStatus,
    Reason,
    Scale,
)
from pipeline.model_events import (
    BASKET,
    BINARY,
    CLOSE,
    COMPLEMENT,
    IMPLICATION,
    LADDER,
    SPOT,
    Event,
    EventLeg,
    Review,
    order_price_ticks,
)
from pipeline.pairs import CLOSE_BASE, closing, directions, edge_leg, order_legs, published_fee
from pipeline.pairs_checks import PASSED, YEAR_NS, LegView, check_books, check_edge, limits_of
from shm.books import BookRow
from shm.records import MarketRow

KALSHI = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
POLYMARKET = FeeSchedule(FeeKind.POLYMARKET, 50_000, 0, 1, 0)
ONE = 1_000_000
NOW = 10_000_000_000
WALL = 1_700_000_000_000_000_000


def event(kind: str = BINARY, first: str = "same", second: str = "same", **extra) -> Event:
    legs = (EventLeg("kalshi", "K", polarity=first), EventLeg("polymarket", "P", polarity=second))
    extra.setdefault("review", Review("tester", void_rule="never"))
    return Event("e", "An event", kind, legs, **extra)


def book(bids=((540_000, 500),), asks=((550_000, 500),), **extra) -> BookRow:
    row = BookRow(7, 1, 1, 0, BookState.LIVE, 0, 0, 0, NOW - 40_000_000, NOW - 39_000_000, bids, asks)
    return row._replace(**extra)


def market(fee: FeeSchedule = KALSHI, size_decimals: int = 2, **extra) -> MarketRow:
    row = MarketRow(
        market="M", partner="", title="", incarnation=1, price_decimals=6, size_decimals=size_decimals,
        grid_ticks=10_000, lot_units=10**size_decimals, min_units=10**size_decimals, min_cost_micros=0,
        fee_kind=fee.kind, fee_rate_ppm=fee.rate_ppm, fee_maker_rate_ppm=0, fee_exponent=fee.exponent,
        fee_precision_micros=fee.precision_micros, close_wall_ns=0, status=MarketStatus.OPEN, result=0,
        updated_ns=1, hides_outcome=0, fee_per_unit_micros=0, fee_waived_until_ns=0, fee_source="",
        fee_as_of_ns=0, rules_hash="", rules="", value_micros=-1,
    )  # fmt: skip
    return row._replace(**extra)


def view(**extra) -> LegView:
    return replace(LegView(book(), BookState.LIVE, market(), KALSHI), **extra)


LIMITS = limits_of(Config())


def test_an_event_has_two_directions() -> None:
    """Index 0 buys the first leg and sells the second, index 1 the other way round."""
    one, other = directions([event()])
    assert (one.index, one.buy.venue, one.sell.venue) == (0, "kalshi", "polymarket")
    assert (other.index, other.buy.venue, other.sell.venue) == (1, "polymarket", "kalshi")


def test_what_is_no_pair_has_no_direction() -> None:
    """Another kind, three legs, one market twice, or an inverse spot leg are left out."""
    leg = EventLeg("kalshi", "K")
    assert directions([event("lottery"), event(SPOT, second="inverse")]) == []
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
    buy = edge_leg(direction.legs[0], buy_book, buy_market, KALSHI)
    sell = edge_leg(direction.legs[1], sell_book, sell_market, POLYMARKET)
    edge = evaluate((buy, sell), Decimal(1))
    assert edge is not None
    bought, sold = order_legs(direction, edge, (buy.scale, sell.scale))
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
    assert Decimal(cost).scaleb(-6) + edge.fee == edge.cash


def test_spot_buys_and_sells_the_base() -> None:
    """Spot has no outcomes: one buy into the asks, one sale into the bids."""
    scale = Scale(2, 4)
    fee = FeeSchedule(FeeKind.BPS, 100)
    buy = EdgeLeg(((10_000, 5_000),), scale, fee, "buy", "base")
    sell = EdgeLeg(((10_100, 9_000),), scale, fee, "sell", "base")
    edge = evaluate((buy, sell), Decimal(0))
    assert edge is not None
    bought, sold = order_legs(directions([event(SPOT)])[0], edge, (scale, scale))
    assert (bought.outcome, bought.action, bought.limit_ticks) == ("base", "buy", 10_000)
    assert (sold.outcome, sold.action, sold.limit_ticks) == ("base", "sell", 10_100)
    assert (bought.takes_asks, sold.takes_asks) == (True, False)
    assert order_price_ticks(sold) == 10_100
    assert bought.size_units == sold.size_units == 5_000


def test_good_books_pass() -> None:
    """Two young LIVE books of open, reviewed markets with known fees have nothing against them."""
    assert check_books(directions([event()])[0], (view(), view()), LIMITS, NOW, WALL) == PASSED
    assert published_fee(market(POLYMARKET)) == POLYMARKET


OLD = book(socket_ns=NOW - 2_000_000_001)
REFUSALS = [
    (view(book=None), Reason.BOOK_MISSING),
    (view(market=None), Reason.BOOK_MISSING),
    (view(market=market(price_decimals=-1)), Reason.BOOK_MISSING),
    *((view(state=state), reason) for state, reason in BOOK_REASONS.items()),
    (view(book=book(bids=(), asks=())), Reason.ONE_SIDED),
    (view(book=book(flags=BookFlag.SIM | BookFlag.NOT_TRADABLE)), Reason.NOT_TRADABLE),
    (view(book=book(((ONE, 5),), ((ONE + 1, 5),))), Reason.NOT_TRADABLE),
    (view(book=book(((-1, 5),), ((0, 5),))), Reason.NOT_TRADABLE),
    (view(book=book(((550_000, 5),), ((550_000, 5),))), Reason.BOOK_CROSSED),
    (view(book=book(((560_000, 5),), ((550_000, 5),))), Reason.BOOK_CROSSED),
    (view(market=market(rules_hash="a" * 64)), Reason.NOT_REVIEWED),
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
        verdict = check_books(direction, (buy, sell), LIMITS, NOW, WALL)
        assert verdict.reason == reason
        assert verdict.value != verdict.limit or reason in {Reason.NOT_TRADABLE, Reason.BOOK_CROSSED}


def test_only_the_side_that_is_needed_must_be_there() -> None:
    """Buying takes asks and selling bids, and the other way round on an inverse market."""
    only_asks, only_bids = view(book=book(bids=())), view(book=book(asks=()))
    straight = directions([event()])[0]
    flipped = directions([event(first="inverse", second="inverse")])[0]
    assert check_books(straight, (only_asks, only_bids), LIMITS, NOW, WALL) == PASSED
    assert check_books(flipped, (only_bids, only_asks), LIMITS, NOW, WALL) == PASSED
    assert check_books(straight, (only_bids, only_asks), LIMITS, NOW, WALL).reason == Reason.ONE_SIDED


def test_the_event_itself_can_be_refused() -> None:
    """Closed by its own time, not reviewed, or with a leg on the ambiguous outcome "no"."""
    first, second = event().legs
    for bad, reason in (
        (event(close_ns=WALL - 1), Reason.MARKET_CLOSED),
        (event(review=None), Reason.NOT_REVIEWED),
        (event(review=Review("")), Reason.NOT_REVIEWED),
        (replace(event(), legs=(replace(first, outcome="no"), second)), Reason.NOT_TRADABLE),
    ):
        assert check_books(directions([bad])[0], (view(), view()), LIMITS, NOW, WALL).reason == reason


def test_ages_are_given_in_milliseconds() -> None:
    """A refusal for age says how old and how old it may be."""
    verdict = check_books(directions([event()])[0], (view(book=OLD), view(book=OLD)), LIMITS, NOW, WALL)
    assert verdict == (Reason.BOOK_TOO_OLD, Decimal("2000.000001"), Decimal(2000))


def priced(gap: int, size: int = 100, fee: int = 0):
    scale = Scale(4, 0)
    schedule = FeeSchedule(FeeKind.BPS, fee)
    buy = EdgeLeg(((5000, size),), scale, schedule)
    sell = EdgeLeg(((5000 + gap, size),), scale, schedule, "buy", "no")
    return evaluate((buy, sell), Decimal(1))


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
    verdict = check_edge(edge, directions([event()])[0], replace(LIMITS, **changes), 0)
    assert verdict.reason == reason
    assert verdict.limit == Decimal(limit)
    if value is not None:
        assert verdict.value == Decimal(value)


def legs(*names: str) -> tuple[EventLeg, ...]:
    return tuple(EventLeg("polymarket", name) for name in names)


def plans(direction) -> list[tuple[str, str, str]]:
    return [(plan.leg.market, plan.action, plan.outcome) for plan in direction.legs]


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        (COMPLEMENT, 2, [[("A", "buy", "yes"), ("B", "buy", "yes")]]),
        (
            BASKET,
            3,
            [[(name, "buy", "yes") for name in "ABC"], [(name, "buy", "no") for name in "ABC"]],
        ),
        (IMPLICATION, 2, [[("B", "buy", "yes"), ("A", "buy", "no")]]),
        (
            LADDER,
            3,
            [
                [("A", "buy", "yes"), ("B", "buy", "no")],
                [("A", "buy", "yes"), ("C", "buy", "no")],
                [("B", "buy", "yes"), ("C", "buy", "no")],
            ],
        ),
    ],
)
def test_each_kind_has_its_directions(kind, count, expected) -> None:
    """What is bought in each direction of each kind, and what it pays at least."""
    found = directions([replace(event(kind), legs=legs(*"ABC"[:count]), exhaustive=True)])
    assert [plans(direction) for direction in found] == expected
    assert [direction.index for direction in found] == list(range(len(expected)))
    payoffs = [direction.table.settled for direction in found]
    assert payoffs == ([1, 2] if kind == BASKET else [1] * len(expected))


def test_three_venues_make_six_directions() -> None:
    """Every ordered pair of a binary event's legs is a direction, the first pair's numbers being 0 and 1."""
    found = directions([replace(event(), legs=legs(*"ABC"))])
    pairs = [(d.index, d.buy.market, d.sell.market) for d in found]
    assert pairs == [(0, "A", "B"), (1, "B", "A"), (2, "A", "C"), (3, "C", "A"), (4, "B", "C"), (5, "C", "B")]


def test_a_close_sells_what_was_bought() -> None:
    """Pairs of contracts are closed by selling the very outcomes; spot, baskets and models are not."""
    for direction in directions([event(second="inverse")]):
        back = closing(direction)
        assert back is not None
        assert (back.kind, back.index) == (CLOSE, CLOSE_BASE + direction.index)
        assert plans(back) == [(market, "sell", outcome) for market, _, outcome in plans(direction)]
    assert closing(directions([event(SPOT)])[0]) is None
    assert closing(directions([replace(event(BASKET), legs=legs("A", "B"))])[0]) is None


def test_rules_are_held_to_what_was_read() -> None:
    """Reviewed hashes pass, one for all legs or one each; another hash is named as a change."""
    one, other = "a" * 64, "b" * 64
    views = view(market=market(rules_hash=one)), view(market=market(rules_hash=other))
    both = event(review=Review("tester", frozenset((one, other)), void_rule="never"))
    assert check_books(directions([both])[0], views, LIMITS, NOW, WALL) == PASSED
    changed = event(review=Review("tester", frozenset((one,)), void_rule="never"))
    assert check_books(directions([changed])[0], views, LIMITS, NOW, WALL).reason == Reason.RULES_CHANGED


def test_legs_must_close_together() -> None:
    """Close times further apart than the limit are a refusal in seconds."""
    far = LIMITS.max_close_gap_ns + 1
    views = [view(market=market(close_wall_ns=WALL + 10**12 + gap)) for gap in (0, far)]
    verdict = check_books(directions([event()])[0], views, LIMITS, NOW, WALL)
    assert verdict == (Reason.CLOSE_TIMES, Decimal("3600.000000001"), Decimal(3600))


def test_a_basket_must_be_complete() -> None:
    """Buying every YES needs a person's word and no word of the venue against it; every NO does not."""
    bare = replace(event(BASKET), legs=legs("A", "B"))
    whole = replace(bare, exhaustive=True)
    views = view(), view()
    hiding = view(), view(market=market(hides_outcome=1))
    for basket, seen, reason in (
        (bare, views, Reason.HIDDEN_OUTCOME),
        (whole, views, Reason.NONE),
        (whole, hiding, Reason.HIDDEN_OUTCOME),
    ):
        every_yes, every_no = directions([basket])
        assert check_books(every_yes, seen, LIMITS, NOW, WALL).reason == reason
        assert check_books(every_no, seen, LIMITS, NOW, WALL).reason == Reason.NONE


def test_the_high_end_of_fees_decides() -> None:
    """What the worst split would eat is no edge, whatever one fill a level leaves."""
    edge = replace(priced(100), net_low=Decimal(0))
    verdict = check_edge(edge, directions([event()])[0], LIMITS, 0)
    assert verdict.reason == Reason.NO_EDGE


def test_a_year_must_beat_the_hurdle() -> None:
    """One per cent until settlement beats four a year in a month and not in a year."""
    edge, direction = priced(100), directions([event()])[0]
    assert check_edge(edge, direction, LIMITS, YEAR_NS // 12).reason == Reason.NONE
    assert check_edge(edge, direction, LIMITS, YEAR_NS).reason == Reason.BELOW_HURDLE


def test_a_mismatch_can_eat_an_edge() -> None:
    """An edge of one per cent is worth nothing where one pair in a hundred is not the same contract."""
    doubted = event(review=Review("tester", mismatch=Decimal("0.02"), void_rule="never"))
    edge = priced(100)
    verdict = check_edge(edge, directions([doubted])[0], LIMITS, 0)
    assert verdict.reason == Reason.MISMATCH
    assert verdict.limit < verdict.value == Decimal("0.02")


def test_what_is_held_is_closed_for_any_profit() -> None:
    """A close needs no minimum of basis points, only the dollars."""
    back = closing(directions([event()])[0])
    assert back is not None
    assert check_edge(priced(10), back, LIMITS, YEAR_NS).reason == Reason.NONE
    assert check_edge(priced(1), back, LIMITS, YEAR_NS).reason == Reason.PROFIT_TOO_SMALL
