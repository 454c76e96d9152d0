"""Matching: what an order gets of a book, once, within its limit, and proof of it; and what venues refuse."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fees import order_fee
from pipeline.model import BookState, FeeKind, FeeSchedule, MarketStatus, Scale
from pipeline.paper import matching
from pipeline.paper.matching import Depth
from tests.support.paper_world import COIN, FEES, NO, YES, a_look

KALSHI = FEES["kalshi"]
WALL_NS = 1_700_000_000_000_000_000


def taken_by(leg, look, depth, fee=KALSHI):
    """Let an order take; its executions and their evidence."""
    taken = depth.taken(leg, look)
    evidence = json.loads(matching.evidence_of(look, leg, taken))
    parts = matching.take(matching.hit_side(look, leg), leg, leg.size_units, taken)
    matching.note_taken(taken, parts)
    return matching.charge(leg, fee, (), parts), evidence


def parts(leg, look, depth):
    return [execution[:2] for execution in taken_by(leg, look, depth)[0]]


def test_levels_are_taken_best_first_up_to_the_limit():
    """The order walks the ladder and stops at its limit."""
    look = a_look("kalshi", asks=((480_000, 300), (490_000, 400), (490_001, 9000)))
    assert parts(YES, look, Depth()) == [(480_000, 300), (490_000, 400)]


def test_buying_no_takes_the_bids():
    """A NO order hits YES bids at its limit or above; its fee is that of 1 - the book's price."""
    look = a_look("kalshi", bids=((553_000, 600), (540_000, 100), (530_000, 9000)))
    leg = replace(YES, outcome="no", limit_ticks=540_000)
    executions, _ = taken_by(leg, look, Depth())
    assert [each[:2] for each in executions] == [(553_000, 600), (540_000, 100)]
    assert sum(each.fee for each in executions) == order_fee(
        KALSHI, [(447_000, 600), (460_000, 100)], leg.scale
    )


def test_depth_is_consumed_once():
    """What we took of a book is not there for our next order, until that book changes."""
    depth = Depth()
    look = a_look("kalshi", asks=((480_000, 1500), (490_000, 200)))
    assert parts(YES, look, depth) == [(480_000, 1000)]
    assert parts(YES, look, depth) == [(480_000, 500), (490_000, 200)]
    assert parts(YES, look, depth) == []
    for change in ({"number": 2}, {"number": 2, "epoch": 2}):
        other = a_look("kalshi", asks=((480_000, 1500),), **change)
        assert parts(YES, other, depth) == [(480_000, 1000)]


def test_the_two_sides_of_a_book_are_consumed_apart():
    """Taking asks leaves the bids of the same price as they were."""
    depth = Depth()
    look = a_look("kalshi", bids=((480_000, 1000),), asks=((480_000, 1000),))
    assert parts(YES, look, depth) == [(480_000, 1000)]
    assert parts(replace(YES, outcome="no", limit_ticks=480_000), look, depth) == [(480_000, 1000)]


def test_memory_of_books_is_bounded():
    """Markets come and go; what was taken is remembered for the newest of them."""
    depth = Depth()
    for number in range(matching.MAX_BOOKS + 10):
        depth.taken(replace(YES, market=f"m{number}"), a_look("kalshi"))
    assert len(depth) == matching.MAX_BOOKS


def test_fees_follow_the_order_not_the_fill():
    """Kalshi's rounding is paid back within an order, also by fills that come later."""
    ladder = ((505_500, 100), (505_600, 100), (505_700, 100))
    whole = sum(each.fee for each in matching.charge(YES, KALSHI, (), ladder))
    first = matching.charge(YES, KALSHI, (), ladder[:1])
    later = matching.charge(YES, KALSHI, ladder[:1], ladder[1:])
    assert whole == order_fee(KALSHI, ladder, YES.scale) == sum(each.fee for each in (*first, *later))
    assert whole < sum(order_fee(KALSHI, [level], YES.scale) for level in ladder)


def test_sides():
    """Who takes asks rests among the bids, and the other way round."""
    look = a_look("kalshi", bids=((1, 1),), asks=((2, 2),))
    assert (matching.hit_side(look, YES), matching.own_side(look, YES)) == (look.book.asks, look.book.bids)
    assert (matching.hit_side(look, NO), matching.own_side(look, NO)) == (look.book.bids, look.book.asks)


levels = st.lists(
    st.tuples(st.integers(1, 999_999), st.integers(1, 2000)), max_size=8, unique_by=lambda x: x[0]
)
orders = st.tuples(levels, st.booleans(), st.integers(1, 999_999), st.integers(1, 3000), st.integers(0, 2))


@given(
    st.lists(orders, min_size=1, max_size=6),
    st.sampled_from([KALSHI, FeeSchedule(FeeKind.POLYMARKET, 50_000), FeeSchedule(FeeKind.BPS, 4000)]),
)
def test_every_fill_can_be_recomputed_from_its_evidence(placed, fee):
    """The journalled evidence gives the same fills and fees; no level is taken beyond its size, no price
    beyond the limit, no order beyond its own size.
    """
    depth, shown, used = Depth(), {}, {}
    for ladder, buys_yes, limit, size, number in placed:
        side = tuple(sorted(ladder, reverse=not buys_yes))
        sides = {"asks": side} if buys_yes else {"bids": side}
        market = f"K{buys_yes}{number}"
        look = shown.setdefault(market, a_look("kalshi", number=number, **sides))
        leg = replace(YES, market=market, outcome="yes" if buys_yes else "no",
                      limit_ticks=limit, size_units=size)  # fmt: skip
        executions, evidence = taken_by(leg, look, depth, fee)
        assert matching.recompute(leg, fee, evidence) == executions
        assert sum(each.size_units for each in executions) <= size
        for price_ticks, units, _ in executions:
            assert price_ticks <= limit if buys_yes else price_ticks >= limit
            used[market, price_ticks] = used.get((market, price_ticks), 0) + units
    sizes = {
        (market, price): size
        for market, look in shown.items()
        for price, size in (*look.book.bids, *look.book.asks)
    }
    assert all(units <= sizes[key] for key, units in used.items())


def test_evidence_of_something_else_is_refused():
    """Recomputing from what is no evidence is an error, not an empty fill."""
    for evidence in ({}, {"ladder": 5, "taken": []}, {"ladder": [["x", 1]], "taken": []}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            matching.recompute(YES, KALSHI, evidence)


@pytest.mark.parametrize(
    ("cells", "leg", "word"),
    [
        ({"grid_ticks": 10_000}, replace(YES, limit_ticks=485_000), "grid"),
        ({"lot_units": 100}, replace(YES, size_units=950), "lot"),
        ({"min_units": 2000}, YES, "minimum"),
        ({"min_cost_micros": 4_900_001}, YES, "costs less"),
        ({}, replace(YES, limit_ticks=0), "price"),
        ({}, replace(YES, limit_ticks=1_000_000), "price"),
        ({}, replace(YES, outcome="no", limit_ticks=1_000_000), "price"),
        ({}, replace(YES, size_units=0), "minimum"),
        ({}, replace(YES, scale=Scale(4, 2)), "counts on"),
    ],
)
def test_venues_refuse_by_their_rules(cells, leg, word):
    """Off the grid, off the lot, too small, too cheap, impossible, miscounted: refused with a sentence."""
    assert word in matching.order_refusal(leg, "ioc", a_look("kalshi", **cells))


def test_what_keeps_the_rules_is_taken():
    """An order on grid and lot, at the minimum, is no reason to complain; coins cost more than a dollar."""
    exact = {"grid_ticks": 10_000, "lot_units": 100, "min_units": 1000, "min_cost_micros": 4_900_000}
    assert matching.order_refusal(YES, "ioc", a_look("kalshi", **exact)) == ""
    assert matching.order_refusal(COIN, "ioc", a_look("kraken")) == ""


def test_a_quote_may_not_take():
    """Post-only: at the other side's best price it would take, one tick below it rests."""
    look = a_look("kalshi", asks=((490_000, 1),))
    assert "post-only" in matching.order_refusal(YES, "maker", look)
    assert matching.order_refusal(replace(YES, limit_ticks=489_999), "maker", look) == ""


@pytest.mark.parametrize("state", [state for state in BookState if state is not BookState.LIVE])
def test_only_a_live_book_fills(state):
    """A book in any other state refuses, and names the state."""
    assert state.name in matching.book_refusal(YES, a_look("kalshi", state=state), WALL_NS)


@pytest.mark.parametrize(
    ("cells", "word"),
    [
        ({"status": MarketStatus.CLOSED}, "closed"),
        ({"status": MarketStatus.SETTLED}, "closed"),
        ({"close_wall_ns": WALL_NS}, "closed"),
        ({"status": MarketStatus.PAUSED}, "PAUSED"),
        ({"status": MarketStatus.UNKNOWN}, "UNKNOWN"),
    ],
)
def test_only_an_open_market_trades(cells, word):
    """A market that closed, paused or was never described takes nothing."""
    assert word in matching.book_refusal(YES, a_look("kalshi", **cells), WALL_NS)


def test_a_missing_book_is_named():
    """Without a book there is a sentence; with an open, live one there is none."""
    assert "missing" in matching.book_refusal(YES, None, WALL_NS)
    assert matching.book_refusal(YES, a_look("kalshi", close_wall_ns=WALL_NS + 1), WALL_NS) == ""


def test_money_is_exact():
    """Fees are Decimals that no rounding of ours has touched."""
    executions = matching.charge(NO, FEES["polymarket"], (), [(560_000, 10_000_000)])
    assert executions[0].fee == Decimal("0.09856")
