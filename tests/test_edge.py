"""Edge: the walk against brute force in fractions, and the promises of `evaluate`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, lcm

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.edge import BINARY, SPOT, Edge, EdgeLeg, evaluate, inverted
from pipeline.fees import fee_high
from pipeline.model import FeeKind, FeeSchedule, Ladder, Scale

KALSHI = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
DIRECT = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 100)
POLYMARKET = FeeSchedule(FeeKind.POLYMARKET, 50_000, 0, 1)
CURVED = FeeSchedule(FeeKind.POLYMARKET, 250_000, 0, 2)
SPOT_FEE = FeeSchedule(FeeKind.BPS, 4_000)
FREE_KALSHI = FeeSchedule(FeeKind.KALSHI, 0, 0, 1, 10_000)
FREE_POLYMARKET = FeeSchedule(FeeKind.POLYMARKET, 0, 0, 1)
FEES = (KALSHI, DIRECT, POLYMARKET, CURVED, SPOT_FEE, FREE_KALSHI, FREE_POLYMARKET)

CENTS = Scale(2, 0)
HALF_CENTS_HUNDREDTHS = Scale(4, 2)

Caps = tuple[Decimal, Decimal]


def rounded(value: Fraction, step: Fraction) -> Fraction:
    """`value` up to a multiple of `step`."""
    return ceil(value / step) * step


def brute_fee(fee: FeeSchedule, price: Fraction, count: Fraction) -> Fraction:
    """The fee of one fill as the venues' pages put it, in fractions: our second opinion."""
    rate = Fraction(fee.rate_ppm, 10**6)
    if rate == 0:
        return Fraction(0)
    if fee.kind == FeeKind.BPS:
        return rounded(rate * price * count, Fraction(1, 10**8))
    raw = rate * count * (price * (1 - price)) ** fee.exponent
    if fee.kind == FeeKind.POLYMARKET:
        return Fraction(0) if raw < Fraction(1, 10**5) else Fraction(round(raw * 10**5), 10**5)
    change = -price * count - rounded(raw, Fraction(1, 10**4))
    step = Fraction(fee.precision_micros, 10**6)
    floored = (change // step) * step
    return -floored - price * count


def brute_cost(ladder: Ladder, scale: Scale, size: Fraction, price_of: Callable[[Fraction], Fraction],
               fee: FeeSchedule) -> tuple[Fraction, Fraction]:  # fmt: skip
    """(price * size, fee) of walking a ladder, one fill a level."""
    total = fees = Fraction(0)
    for ticks, units in ladder:
        part = min(size, Fraction(units, 10**scale.size_decimals))
        price = price_of(Fraction(ticks, 10**scale.price_decimals))
        if part > 0:
            total += price * part
            fees += brute_fee(fee, price, part)
            size -= part
    assert size <= 0, "the ladder is too short"
    return total, fees


def depth_units(ladder: Ladder, scale: Scale, decimals: int) -> int:
    """Units a ladder shows, on `decimals`."""
    return sum(units for _, units in ladder) * 10 ** (decimals - scale.size_decimals)


def brute(kind: str, buy: EdgeLeg, sell: EdgeLeg, most: int | None = None,
          max_cash: Decimal | None = None, cash: Caps | None = None) -> dict[int, Fraction]:  # fmt: skip
    """Net of every allowed size, by trying them all."""
    decimals = max(buy.scale.size_decimals, sell.scale.size_decimals)
    buy_up, sell_up = 10 ** (decimals - buy.scale.size_decimals), 10 ** (decimals - sell.scale.size_decimals)
    lot = lcm((buy.lot_units or 1) * buy_up, (sell.lot_units or 1) * sell_up)
    shown = min(depth_units(buy.asks, buy.scale, decimals), depth_units(sell.bids, sell.scale, decimals))
    if most is not None:
        shown = min(shown, most)
    nets: dict[int, Fraction] = {}
    for units in range(lot, shown + 1, lot):
        size = Fraction(units, 10**decimals)
        paid, fee_buy = brute_cost(buy.asks, buy.scale, size, lambda p: p, buy.fee)
        flip = (lambda p: 1 - p) if kind == BINARY else (lambda p: p)
        moved, fee_sell = brute_cost(sell.bids, sell.scale, size, flip, sell.fee)
        if units < buy.min_units * buy_up or units < sell.min_units * sell_up:
            continue
        if paid * 10**6 < buy.min_cost_micros or moved * 10**6 < sell.min_cost_micros:
            continue
        buy_cash, sell_cash = paid + fee_buy, (moved + fee_sell if kind == BINARY else Fraction(0))
        if cash and (buy_cash > Fraction(cash[0]) or (kind == BINARY and sell_cash > Fraction(cash[1]))):
            continue
        if max_cash is not None and buy_cash + sell_cash > Fraction(max_cash):
            continue
        if kind == BINARY:
            nets[units] = size - buy_cash - sell_cash
        else:
            nets[units] = moved - fee_sell - buy_cash
    return nets


def walked_gross(kind: str, buy: EdgeLeg, sell: EdgeLeg, units: int, decimals: int) -> Fraction:
    """Proceeds less cost of a size before fees."""
    free = FREE_POLYMARKET
    size = Fraction(units, 10**decimals)
    paid, _ = brute_cost(buy.asks, buy.scale, size, lambda p: p, free)
    got, _ = brute_cost(sell.bids, sell.scale, size, lambda p: p, free)
    return got - paid


def agrees(kind: str, buy: EdgeLeg, sell: EdgeLeg, most: int | None = None,
           max_cash: Decimal | None = None, cash: Caps | None = None) -> Edge | None:  # fmt: skip
    """Evaluate, and hold size and every number against brute force."""
    edge = evaluate(kind, buy, sell, most, max_cash, cash)
    decimals = max(buy.scale.size_decimals, sell.scale.size_decimals)
    nets = brute(kind, buy, sell, most, max_cash, cash)
    everything = brute(kind, buy, sell)
    smallest = min(everything, default=None)
    if smallest is None or smallest not in nets:
        assert edge is None
        return None
    assert edge is not None
    if walked_gross(kind, buy, sell, smallest, decimals) <= 0:
        wanted = smallest
    else:
        wanted = max(nets, key=lambda units: (nets[units], -units))
    assert (edge.size_units, Fraction(edge.net)) == (wanted, nets[wanted])
    assert Fraction(edge.walked_gross) == walked_gross(kind, buy, sell, wanted, decimals)
    holds(kind, buy, sell, edge)
    return edge


def holds(kind: str, buy: EdgeLeg, sell: EdgeLeg, edge: Edge) -> None:
    """The invariants of every edge."""
    up_buy = 10 ** (edge.size_decimals - buy.scale.size_decimals)
    up_sell = 10 ** (edge.size_decimals - sell.scale.size_decimals)
    assert sum(units for _, units in edge.buy_fills) * up_buy == edge.size_units
    assert sum(units for _, units in edge.sell_fills) * up_sell == edge.size_units
    assert (edge.size_units // up_buy) % (buy.lot_units or 1) == 0
    assert (edge.size_units // up_sell) % (sell.lot_units or 1) == 0
    assert edge.net == edge.gross - edge.depth - edge.fee_buy - edge.fee_sell
    assert edge.depth >= 0
    assert edge.fee_buy == fee_high(buy.fee, edge.buy_fills, buy.scale)
    one = 10**sell.scale.price_decimals
    paid = [((one - ticks if kind == BINARY else ticks), units) for ticks, units in edge.sell_fills]
    assert edge.fee_sell == fee_high(sell.fee, paid, sell.scale)
    assert edge.buy_limit_ticks == edge.buy_fills[-1][0]
    assert edge.sell_limit_ticks == edge.sell_fills[-1][0]
    assert edge.edge_bp == Fraction(edge.net) * 10_000 // Fraction(edge.cash)
    assert edge.gross_bp == Fraction(edge.gross) * 10_000 // Fraction(edge.cash)
    assert edge.profitable == (edge.net > 0)


def random_ladder(rng: random.Random, scale: Scale, best: int, direction: int, sizes: int) -> Ladder:
    """Up to six levels from about `best` (in hundredths) outwards, whole cents or finer."""
    tick = 10 ** (scale.price_decimals - 2) if rng.random() < 0.5 else 1
    price = best * 10 ** (scale.price_decimals - 2)
    levels: list[tuple[int, int]] = []
    for _ in range(rng.randint(1, 6)):
        if 0 < price < 10**scale.price_decimals:
            levels.append((price, rng.randint(1, sizes)))
        price += direction * tick * rng.randint(1, 3)
    return tuple(levels)


def random_pair(rng: random.Random, fees: tuple[FeeSchedule, FeeSchedule]) -> tuple[EdgeLeg, EdgeLeg]:
    """Two legs that cross more often than not, with limits now and then."""
    ask = rng.randint(3, 95)
    bid = min(98, max(2, ask + rng.randint(-2, 9)))
    scales = [rng.choice((CENTS, Scale(3, 0), Scale(6, 1), HALF_CENTS_HUNDREDTHS)) for _ in range(2)]
    legs = []
    for scale, fee, best, direction in ((scales[0], fees[0], ask, 1), (scales[1], fees[1], bid, -1)):
        ladder = random_ladder(rng, scale, best, direction, 12 * 10 ** min(scale.size_decimals, 1))
        legs.append(
            EdgeLeg(
                bids=ladder if direction < 0 else (),
                asks=ladder if direction > 0 else (),
                scale=scale,
                fee=fee,
                lot_units=rng.choice((0, 0, 1, 2, 3)),
                min_units=rng.choice((0, 0, 1, 5)),
                min_cost_micros=rng.choice((0, 0, 0, 1_000_000)),
            )
        )
    return legs[0], legs[1]


def try_seed(seed: int) -> None:
    """One random pair of books against brute force, with and without caps."""
    rng = random.Random(seed)
    kind = rng.choice((BINARY, BINARY, SPOT))
    fees = (rng.choice(FEES), rng.choice(FEES))
    buy, sell = random_pair(rng, fees)
    if not buy.asks or not sell.bids:
        assert evaluate(kind, buy, sell) is None
        return
    agrees(kind, buy, sell)
    if rng.random() < 0.5:
        cap = Decimal(rng.randint(1, 3000)) / 100
        agrees(kind, buy, sell, max_cash=cap)
        agrees(kind, buy, sell, most=rng.randint(1, 400), cash=(cap, Decimal(rng.randint(1, 1000)) / 100))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.integers(min_value=0, max_value=2**32))
def test_the_walk_finds_what_brute_force_finds(seed: int) -> None:
    """For every fee pair and kind, size and net equal those of trying every size in fractions."""
    try_seed(seed)


@pytest.mark.stress
def test_the_walk_finds_what_brute_force_finds_many_times() -> None:
    """The same over 20,000 random pairs."""
    for seed in range(20_000):
        try_seed(seed)


@pytest.mark.parametrize("kind", [BINARY, SPOT])
@pytest.mark.parametrize("sell_fee", FEES)
@pytest.mark.parametrize("buy_fee", FEES)
def test_every_pair_of_fees_is_exact_on_fractional_sizes(kind, buy_fee, sell_fee) -> None:
    """Hundredths of a contract, a marginal level and sub-cent prices: still the best size of
    all.
    """
    rng = random.Random(f"{kind}{buy_fee}{sell_fee}")
    scale = HALF_CENTS_HUNDREDTHS
    ask = rng.randint(1000, 8500)
    asks = tuple((ask + 7 * i * i, rng.randint(15, 80)) for i in range(3))
    bids = tuple((ask + rng.randint(150, 600) - 11 * i, rng.randint(15, 80)) for i in range(3))
    bids = tuple(sorted(bids, reverse=True))
    agrees(kind, EdgeLeg((), asks, scale, buy_fee), EdgeLeg(bids, (), scale, sell_fee))


def leg(bids: Ladder = (), asks: Ladder = (), fee: FeeSchedule = FREE_KALSHI, **limits: int) -> EdgeLeg:
    """A leg in cents and whole contracts."""
    return EdgeLeg(bids, asks, CENTS, fee, **limits)


def test_a_plain_pair_is_what_a_person_would_compute() -> None:
    """100 YES at 0.50 and NO at 1 - 0.56: cash 94 and fees, net 6 less 1.75 (Kalshi) and 1.232."""
    edge = evaluate(BINARY, leg(asks=((50, 100),), fee=KALSHI), leg(bids=((56, 200),), fee=POLYMARKET))
    assert edge is not None
    assert (edge.size_units, edge.gross, edge.depth) == (100, Decimal(6), 0)
    assert (edge.fee_buy, edge.fee_sell) == (Decimal("1.75"), Decimal("1.232"))
    assert (edge.net, edge.cash) == (Decimal("3.018"), Decimal("96.982"))
    assert (edge.gross_bp, edge.edge_bp) == (618, 311)
    assert edge.profitable


def test_spot_pays_for_the_bought_side_alone() -> None:
    """Buy 1 at 100, sell at 102 with 40 bp each side: cash 100.40, net 2 - 0.40 - 0.408."""
    scale = Scale(2, 2)
    buy = EdgeLeg((), ((10_000, 100),), scale, SPOT_FEE)
    sell = EdgeLeg(((10_200, 100),), (), scale, SPOT_FEE)
    edge = evaluate(SPOT, buy, sell)
    assert edge is not None
    assert (edge.net, edge.cash, edge.edge_bp) == (Decimal("1.192"), Decimal("100.40"), 118)


def test_depth_grows_with_size_and_the_walk_stops_where_it_no_longer_pays() -> None:
    """Bigger caps never lower the depth cost, and levels that lose are left alone."""
    buy = leg(asks=((40, 10), (42, 10), (44, 10), (60, 500)))
    sell = leg(bids=((50, 10), (48, 10), (46, 10), (30, 500)))
    depths = []
    for most in range(1, 40):
        edge = evaluate(BINARY, buy, sell, most)
        assert edge is not None
        assert edge.size_units == min(most, 30)
        depths.append(edge.depth)
    assert depths == sorted(depths)
    assert (edge.buy_limit_ticks, edge.sell_limit_ticks) == (44, 46)
    assert edge.buy_fills == ((40, 10), (42, 10), (44, 10))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(min_value=0, max_value=2**32))
def test_the_other_outcome_of_both_books_has_the_same_edge(seed: int) -> None:
    """Selling YES here and buying it there is buying NO here and selling it there: same net."""
    rng = random.Random(seed)
    buy, sell = random_pair(rng, (rng.choice(FEES[:4]), rng.choice(FEES[:4])))
    assert inverted(inverted(buy)) == buy
    edge = evaluate(BINARY, buy, sell)
    mirror = evaluate(BINARY, inverted(sell), inverted(buy))
    if edge is None or mirror is None:
        assert edge is mirror
        return
    assert (mirror.size_units, mirror.net, mirror.cash) == (edge.size_units, edge.net, edge.cash)
    assert (mirror.fee_buy, mirror.fee_sell) == (edge.fee_sell, edge.fee_buy)


def test_books_that_do_not_cross_show_how_far_away_they_are() -> None:
    """No positive gross: the smallest allowed size, with its negative numbers."""
    buy = leg(asks=((52, 100),), fee=KALSHI, min_units=5)
    sell = leg(bids=((50, 100),), fee=POLYMARKET, min_cost_micros=3_000_000)
    edge = evaluate(BINARY, buy, sell)
    assert edge is not None
    assert edge.size_units == 6, "three dollars of NO at 0.50"
    assert edge.walked_gross == Decimal("-0.12")
    assert not edge.profitable
    assert edge.edge_bp < edge.gross_bp < 0


def test_a_minimum_that_eats_the_edge_is_not_undercut() -> None:
    """One contract would pay, the venue's five do not: the edge of five is shown, at a loss."""
    buy = leg(asks=((40, 1), (60, 10)), min_units=5)
    edge = evaluate(BINARY, buy, leg(bids=((45, 100),)))
    assert edge is not None
    assert (edge.size_units, edge.walked_gross) == (5, Decimal("-0.55"))


def test_sizes_fall_on_both_lot_grids() -> None:
    """Lots of 2 and 3 meet at 6, and what is shown beyond the last common lot stays."""
    edge = evaluate(BINARY, leg(asks=((40, 20),), lot_units=2), leg(bids=((50, 23),), lot_units=3))
    assert edge is not None
    assert edge.size_units == 18


def test_scales_meet_on_the_finer_one() -> None:
    """Whole contracts against millionths of a share: sizes on six decimals, fills on each own
    scale.
    """
    buy = EdgeLeg((), ((400_000, 500),), Scale(6, 2), KALSHI, lot_units=100)
    sell = EdgeLeg(((500_000, 3_999_999),), (), Scale(6, 6), POLYMARKET)
    edge = evaluate(BINARY, buy, sell)
    assert edge is not None
    assert (edge.size_units, edge.size_decimals) == (3_000_000, 6)
    assert (edge.buy_fills, edge.sell_fills) == (((400_000, 300),), ((500_000, 3_000_000),))


def test_a_cent_on_a_tiny_order_is_seen() -> None:
    """The rounding trap: a 2 cent gap pays on 10 contracts at 0.10, and loses on a single one."""
    buy, sell = leg(asks=((10, 10),), fee=KALSHI), leg(bids=((12, 10),))
    one = evaluate(BINARY, replace(buy, asks=((10, 1),)), sell)
    ten = evaluate(BINARY, buy, sell)
    assert one is not None
    assert ten is not None
    assert (one.fee_buy, one.net) == (Decimal("0.01"), Decimal("0.01"))
    assert (ten.fee_buy, ten.net) == (Decimal("0.07"), Decimal("0.13"))
    worse = evaluate(BINARY, replace(buy, asks=((10, 1),)), leg(bids=((12, 10),), fee=KALSHI))
    assert worse is not None
    assert worse.net == 0
    assert not worse.profitable


def test_caps_bound_cash_size_and_each_venue() -> None:
    """Cash includes fees; where not even the smallest order fits, there is no edge to show."""
    buy, sell = leg(asks=((40, 1000),), fee=KALSHI), leg(bids=((50, 1000),), fee=POLYMARKET)
    for most, cash, each in (
        (None, Decimal(25), None),
        (7, None, None),
        (None, None, (Decimal(10), Decimal(100))),
        (None, None, (Decimal(100), Decimal("7.77"))),
        (None, Decimal("9.99"), (Decimal(5), Decimal(6))),
    ):
        edge = agrees(BINARY, buy, sell, most, cash, each)
        assert edge is not None
    assert evaluate(BINARY, buy, sell, max_cash=Decimal("0.90")) is None
    assert evaluate(BINARY, buy, sell, max_size_units=0) is None
    assert evaluate(BINARY, buy, sell, cash=(Decimal(0), Decimal(100))) is None


def test_no_edge_where_there_is_no_book_to_price() -> None:
    """Empty sides, less than the smallest order, and prices at 0 or 1 give no edge."""
    good_ask, good_bid = leg(asks=((40, 10),)), leg(bids=((50, 10),))
    assert evaluate(BINARY, leg(), good_bid) is None
    assert evaluate(BINARY, good_ask, leg()) is None
    assert evaluate(BINARY, replace(good_ask, min_units=11), good_bid) is None
    assert evaluate(BINARY, replace(good_ask, lot_units=100), good_bid) is None
    assert evaluate(BINARY, replace(good_ask, min_cost_micros=4_000_001), good_bid) is None
    assert evaluate(BINARY, leg(asks=((0, 10),)), good_bid) is None
    assert evaluate(BINARY, good_ask, leg(bids=((100, 10),))) is None
    assert evaluate(BINARY, leg(asks=((101, 10),)), good_bid) is None


def test_an_unknown_fee_is_never_priced() -> None:
    """A market whose fee is not known raises instead of trading for free."""
    with pytest.raises(ValueError, match="not known"):
        evaluate(BINARY, leg(asks=((40, 10),), fee=FeeSchedule()), leg(bids=((50, 10),)))
