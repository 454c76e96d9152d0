"""Edge: the walk against brute force in fractions, and the promises of `evaluate`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor, lcm

import pytest

from pipeline.edge import Edge, EdgeLeg, evaluate
from pipeline.edge_curve import break_even, curve
from pipeline.model import FeeKind, FeeSchedule, Ladder, Scale

KALSHI = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
DIRECT = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 100)
POLYMARKET = FeeSchedule(FeeKind.POLYMARKET, 50_000, 0, 1)
CURVED = FeeSchedule(FeeKind.POLYMARKET, 250_000, 0, 2)
SHARE = FeeSchedule(FeeKind.BPS, 4_000)
FLAT = FeeSchedule(FeeKind.FLAT, per_unit_micros=7_500, precision_micros=10_000)
CUSTOM = FeeSchedule(FeeKind.CUSTOM, 3_000, per_unit_micros=1_000, precision_micros=1_000)
FREE = FeeSchedule(FeeKind.POLYMARKET, 0, 0, 1)
FEES = (KALSHI, DIRECT, POLYMARKET, CURVED, SHARE, FLAT, CUSTOM, FREE)

CENTS = Scale(2, 0)
MILLS = Scale(3, 0)
TENTHS = Scale(6, 1)
HUNDREDTHS = Scale(4, 2)
SCALES = (CENTS, MILLS, TENTHS, HUNDREDTHS)
# Sizes so fine that Polymarket's fifth decimal decides; only together, or none is a multiple of others.
DUST = Scale(3, 5)

KINDS = ("binary", "complement", "basket yes", "basket no", "implication", "close", "spot", "split")


@dataclass(frozen=True)
class Case:
    """Legs, and what a unit of all of them pays."""

    legs: tuple[EdgeLeg, ...]
    payoff: Decimal


def up(value: Fraction, step: Fraction) -> Fraction:
    """`value` up to a multiple of `step`."""
    return ceil(value / step) * step


def brute_fee(fee: FeeSchedule, price: Fraction, count: Fraction, *, sold: bool) -> Fraction:
    """The fee of one fill as the venues' pages put it, in fractions: our second opinion."""
    rate, unit = Fraction(fee.rate_ppm, 10**6), Fraction(fee.per_unit_micros, 10**6)
    if rate == 0 and unit == 0:
        return Fraction(0)
    if fee.kind == FeeKind.BPS:
        return up(rate * price * count, Fraction(1, 10**8))
    step = Fraction(fee.precision_micros, 10**6)
    if fee.kind in (FeeKind.FLAT, FeeKind.CUSTOM):
        return up(unit * count + rate * price * count, step)
    raw = rate * count * (price * (1 - price)) ** fee.exponent
    if fee.kind == FeeKind.POLYMARKET:
        return Fraction(0) if raw < Fraction(1, 10**5) else Fraction(round(raw * 10**5), 10**5)
    revenue = price * count if sold else -price * count
    return revenue - floor((revenue - up(raw, Fraction(1, 10**4))) / step) * step


class BruteLeg:
    """A leg in fractions: its levels up to the first impossible one, and what they add up to."""

    def __init__(self, leg: EdgeLeg) -> None:
        self.leg, self.sold = leg, leg.action == "sell"
        self.levels: list[tuple[Fraction, Fraction]] = []
        one = 10**leg.scale.price_decimals
        for ticks, units in leg.ladder:
            inside = ticks > 0 and (leg.outcome == "base" or ticks < one)
            curved = leg.fee.kind in (FeeKind.KALSHI, FeeKind.POLYMARKET)
            if not inside or (curved and ticks >= one) or units <= 0 or ticks % (leg.grid_ticks or 1):
                break
            price = Fraction(ticks, one)
            price = 1 - price if leg.outcome == "no" else price
            self.levels.append((price, Fraction(units, 10**leg.scale.size_decimals)))
        self.shown = sum([count for _, count in self.levels], Fraction(0))
        self.before = [(Fraction(0), Fraction(0), Fraction(0))]
        for price, count in self.levels:
            start, amount, fee = self.before[-1]
            more = brute_fee(leg.fee, price, count, sold=self.sold)
            self.before.append((start + count, amount + price * count, fee + more))

    def walk(self, size: Fraction) -> tuple[Fraction, Fraction]:
        """(price * size, fee) of a size, one fill a level."""
        index = max(i for i, row in enumerate(self.before) if row[0] < size)
        start, amount, fee = self.before[index]
        price, rest = self.levels[index][0], size - start
        return amount + price * rest, fee + brute_fee(self.leg.fee, price, rest, sold=self.sold)


@dataclass(frozen=True)
class Tried:
    """What brute force knows of one size."""

    net: Fraction
    gross: Fraction
    cash: tuple[Fraction, ...]


def brute(case: Case) -> dict[int, Tried]:
    """Every size that the venues accept, on the finest of the size scales."""
    decimals = max(leg.scale.size_decimals for leg in case.legs)
    sides = [BruteLeg(leg) for leg in case.legs]
    ups = [10 ** (decimals - leg.scale.size_decimals) for leg in case.legs]
    lot = lcm(*[(leg.lot_units or 1) * more for leg, more in zip(case.legs, ups, strict=True)])
    found: dict[int, Tried] = {}
    for units in range(lot, int(min(side.shown for side in sides) * 10**decimals) + 1, lot):
        size = Fraction(units, 10**decimals)
        walked = [side.walk(size) for side in sides]
        small = any(
            units < leg.min_units * more or amount * 10**6 < leg.min_cost_micros
            for leg, more, (amount, _fee) in zip(case.legs, ups, walked, strict=True)
        )
        if small:
            continue
        gross = Fraction(case.payoff) * size
        gross += sum(a if side.sold else -a for side, (a, _fee) in zip(sides, walked, strict=True))
        cash = tuple(0 if side.sold else a + fee for side, (a, fee) in zip(sides, walked, strict=True))
        found[units] = Tried(gross - sum(fee for _, fee in walked), gross, cash)
    return found


@dataclass(frozen=True)
class Caps:
    """The caps of one evaluation."""

    size: int | None = None
    total: Decimal | None = None
    each: tuple[Decimal | None, ...] | None = None
    shared: tuple[int, ...] | None = None

    def allow(self, units: int, cash: tuple[Fraction, ...]) -> bool:
        """Whether a size is within them."""
        if (self.size is not None and units > self.size) or (
            self.total is not None and sum(cash) > self.total
        ):
            return False
        groups = self.shared or tuple(range(len(cash)))
        for group in set(groups):
            members = [i for i, number in enumerate(groups) if number == group]
            stated = [self.each[i] for i in members if self.each and self.each[i] is not None]
            if stated and sum(cash[i] for i in members) > min(stated):
                return False
        return True


def agrees(case: Case, caps: Caps | None = None, known: dict[int, Tried] | None = None) -> Edge | None:
    """Evaluate, and hold size and every number against brute force."""
    caps = caps or Caps()
    found = brute(case) if known is None else known
    edge = evaluate(
        case.legs,
        case.payoff,
        max_size_units=caps.size,
        max_cash=caps.total,
        cash=caps.each,
        shared=caps.shared,
    )
    allowed = {units: tried for units, tried in found.items() if caps.allow(units, tried.cash)}
    smallest = min(found, default=None)
    if smallest is None or smallest not in allowed:
        assert edge is None
        return None
    assert edge is not None
    wanted = smallest
    if found[smallest].gross > 0:
        wanted = max(allowed, key=lambda units: (allowed[units].net, -units))
    tried = allowed[wanted]
    assert (edge.size_units, Fraction(edge.net)) == (wanted, tried.net)
    assert Fraction(edge.walked_gross) == tried.gross
    assert tuple(Fraction(leg.cash) for leg in edge.legs) == tried.cash
    holds(case, edge)
    return edge


def holds(case: Case, edge: Edge) -> None:
    """The invariants of every edge."""
    for leg, part in zip(case.legs, edge.legs, strict=True):
        more = 10 ** (edge.size_decimals - leg.scale.size_decimals)
        assert sum(units for _, units in part.fills) * more == edge.size_units, "equal size on all legs"
        assert (edge.size_units // more) % (leg.lot_units or 1) == 0
        assert part.limit_ticks == part.fills[-1][0]
        assert part.fee_high >= part.fee >= 0
    assert edge.fee == sum(part.fee for part in edge.legs)
    assert edge.net == edge.gross - edge.depth - edge.fee
    assert edge.net_low == edge.walked_gross - sum(part.fee_high for part in edge.legs)
    assert edge.depth >= 0
    assert edge.payoff == case.payoff
    size = Decimal(edge.size_units).scaleb(-edge.size_decimals)
    if all(leg.action == "sell" for leg in case.legs):
        assert edge.cash == edge.fee - case.payoff * size
    else:
        assert edge.cash == sum(part.cash for part in edge.legs)
    if edge.cash > 0:
        assert edge.edge_bp == Fraction(edge.net) * 10_000 // Fraction(edge.cash)
        assert edge.gross_bp == Fraction(edge.gross) * 10_000 // Fraction(edge.cash)
    assert edge.profitable == (edge.net_low > 0)


def curve_agrees(case: Case, found: dict[int, Tried]) -> None:
    """The curve's points and the break-even sizes are those of brute force."""
    points = curve(case.legs, case.payoff)
    assert [point.size_units for point in points] == sorted({point.size_units for point in points})
    for point in points:
        assert Fraction(point.net) == found[point.size_units].net
    if found:
        assert points[0].size_units == min(found)
        assert points[-1].size_units == max(found)
    even = break_even(case.legs, case.payoff)
    assert even.smallest == min((u for u, tried in found.items() if tried.net > 0), default=None)
    assert even.largest == max((u for u, tried in found.items() if tried.net >= 0), default=None)


def random_leg(
    rng: random.Random, fee: FeeSchedule, price: int, action: str, outcome: str, *, dust: bool
) -> EdgeLeg:
    """A leg whose units cost or bring about `price` hundredths, and get worse from level to level."""
    scale = DUST if dust else rng.choice(SCALES)
    if dust and action == "sell" and fee.kind == FeeKind.KALSHI:
        fee = POLYMARKET  # Kalshi sells nothing finer than hundredths of a contract.
    cent = 10 ** (scale.price_decimals - 2)
    worse = 1 if action == "buy" else -1
    ticks = price * cent
    if outcome == "no":
        ticks, worse = 100 * cent - ticks, -worse
    tick = rng.choice((cent, cent, 1))
    biggest = 25 * 10 ** min(scale.size_decimals, 1)
    levels = []
    for _ in range(rng.randint(1, 5)):
        levels.append((ticks, rng.randint(1, biggest)))
        ticks += worse * tick * rng.randint(1, 3)
    if rng.random() < 0.03:
        broken = rng.randrange(len(levels))
        bad = rng.choice(
            (
                (levels[broken][0], 0),
                (levels[broken][0], -3),
                (0, 5),
                (0 if outcome == "base" else 100 * cent, 5),
            )
        )
        levels[broken] = bad
    return EdgeLeg(
        tuple(levels),
        scale,
        fee,
        action,
        outcome,
        rng.choice((0, 0, 0, tick)),
        rng.choice((0, 0, 1, 2, 3)),
        rng.choice((0, 0, 1, 5)),
        0 if dust else rng.choice((0, 0, 0, 1_000_000)),
    )


def random_costs(rng: random.Random, count: int, total: int) -> list[int]:
    """`count` prices in hundredths, each between 1 and 99, of about `total` together."""
    low, costs = max(1, total // count - 25), []
    for left in range(count, 1, -1):
        most = min(99, total - (left - 1))
        least = max(1, low, total - 99 * (left - 1))
        costs.append(rng.randint(min(least, most), most))
        total -= costs[-1]
    return [*costs, min(99, max(1, total))]


def random_case(rng: random.Random, kind: str, fees: Sequence[FeeSchedule] = FEES) -> Case:
    """Legs of one kind that leave something more often than not."""
    gap, dust = rng.randint(-2, 12), rng.random() < 0.15
    if kind == "spot":
        ask = rng.randint(3, 90)
        buy = random_leg(rng, rng.choice(fees), ask, "buy", "base", dust=dust)
        sell = random_leg(rng, rng.choice(fees), min(98, max(1, ask + gap)), "sell", "base", dust=dust)
        return Case((buy, sell), Decimal(rng.choice((0, 0, -7, -11))).scaleb(-3))
    if kind in ("close", "split"):
        outcomes = ("yes", "no") if kind == "close" else ("yes", "yes")
        prices = random_costs(rng, 2, min(190, 100 + gap))
        pairs = zip(prices, outcomes, strict=True)
        legs = [
            random_leg(rng, rng.choice(fees), price, "sell", outcome, dust=dust) for price, outcome in pairs
        ]
        worth = Decimal(1) if kind == "split" else Decimal(rng.choice((10**9, 991_234_567, 987_654_321)))
        return Case(tuple(legs), -worth if kind == "split" else -worth.scaleb(-9))
    count, payoff, outcomes = 2, 1, [rng.choice(("yes", "no")) for _ in range(2)]
    if kind == "complement":
        outcomes = ["yes", rng.choice(("yes", "no"))]
        fees = (rng.choice(fees),)
    elif kind == "implication":
        outcomes = ["yes", "no"]
    elif kind.startswith("basket"):
        count = rng.choice((3, 3, 4))
        outcomes = [kind.split()[1]] * count
        payoff = 1 if kind == "basket yes" else count - 1
        fees = tuple(rng.choice(fees) for _ in range(2))
    costs = random_costs(rng, count, 100 * payoff - gap)
    planned = zip(costs, outcomes, strict=True)
    legs = [random_leg(rng, rng.choice(fees), cost, "buy", outcome, dust=dust) for cost, outcome in planned]
    return Case(tuple(legs), Decimal(payoff))


def try_seed(seed: int) -> bool:
    """One random case against brute force, with and without caps; whether it left something."""
    rng = random.Random(seed)
    case = random_case(rng, KINDS[seed % len(KINDS)])
    found = brute(case)
    edge = agrees(case, known=found)
    curve_agrees(case, found)
    if rng.random() < 0.5:
        cap = Decimal(rng.randint(1, 3000)) / 100
        agrees(case, Caps(total=cap), found)
        each = tuple(rng.choice((None, cap, Decimal(rng.randint(1, 1000)) / 100)) for _ in case.legs)
        shared = rng.choice((None, tuple(rng.randint(0, 1) for _ in case.legs)))
        agrees(case, Caps(rng.randint(1, 400), None, each, shared), found)
    return edge is not None and edge.net > 0


def test_the_walk_finds_what_brute_force_finds() -> None:
    """For every kind and fee, size and net equal those of trying every size in fractions."""
    left = sum(try_seed(seed) for seed in range(500))
    assert left > 150, "the random books hardly cross any more"


@pytest.mark.stress
def test_the_walk_finds_what_brute_force_finds_many_times() -> None:
    """The same over 20,000 random sets of books."""
    for seed in range(500, 20_500):
        try_seed(seed)


@pytest.mark.parametrize("second", FEES)
@pytest.mark.parametrize("first", FEES)
def test_every_pair_of_fees_is_exact_on_fractional_sizes(first, second) -> None:
    """Hundredths of a contract, a marginal level and sub-cent prices: still the best size of all."""
    rng = random.Random(f"{first}{second}")
    ask = rng.randint(1000, 8500)
    asks = tuple((ask + 7 * i * i, rng.randint(15, 60)) for i in range(3))
    bids = sorted([(ask + rng.randint(150, 600) - 11 * i, rng.randint(15, 60)) for i in range(3)])
    bids.reverse()
    agrees(Case((EdgeLeg(asks, HUNDREDTHS, first), no(tuple(bids), HUNDREDTHS, second)), Decimal(1)))


def yes(asks: Ladder, scale: Scale = CENTS, fee: FeeSchedule = FREE, **limits: int) -> EdgeLeg:
    """YES bought from asks."""
    return EdgeLeg(asks, scale, fee, **limits)


def no(bids: Ladder, scale: Scale = CENTS, fee: FeeSchedule = FREE, **limits: int) -> EdgeLeg:
    """NO bought from bids."""
    return EdgeLeg(bids, scale, fee, "buy", "no", **limits)


def pair(*legs: EdgeLeg, **caps) -> Edge | None:
    """The edge of legs that pay 1 together."""
    return evaluate(legs, Decimal(1), **caps)


def test_a_plain_pair_is_what_a_person_would_compute() -> None:
    """100 YES at 0.50 and NO at 1 - 0.56: cash 94 and fees, net 6 less 1.75 (Kalshi) and 1.232."""
    edge = pair(yes(((50, 100),), fee=KALSHI), no(((56, 200),), fee=POLYMARKET))
    assert edge is not None
    assert (edge.size_units, edge.gross, edge.depth) == (100, Decimal(6), 0)
    assert [leg.fee for leg in edge.legs] == [Decimal("1.75"), Decimal("1.232")]
    assert [leg.cash for leg in edge.legs] == [Decimal("51.75"), Decimal("45.232")]
    assert (edge.net, edge.cash) == (Decimal("3.018"), Decimal("96.982"))
    assert (edge.gross_bp, edge.edge_bp) == (618, 311)


def test_a_basket_of_no_pays_all_but_one() -> None:
    """NO of three outcomes for 0.62 each pays 2: 0.14 a unit, less fees."""
    edge = evaluate([no(((38, 10),), fee=SHARE)] * 3, Decimal(2))
    assert edge is not None
    assert (edge.size_units, edge.gross) == (10, Decimal("1.4"))
    assert edge.net == Decimal("1.4") - 3 * Decimal("0.0248")


def test_spot_pays_for_the_bought_side_alone() -> None:
    """Buy 1 at 100, sell at 102 with 40 bp each side, 0.30 to bring a coin back: cash 100.40."""
    scale = Scale(2, 2)
    buy = EdgeLeg(((10_000, 100),), scale, SHARE, "buy", "base")
    sell = EdgeLeg(((10_200, 100),), scale, SHARE, "sell", "base")
    edge = evaluate((buy, sell), Decimal(0))
    assert edge is not None
    assert (edge.net, edge.cash, edge.edge_bp) == (Decimal("1.192"), Decimal("100.40"), 118)
    moved = evaluate((buy, sell), Decimal("-0.30"))
    assert moved is not None
    assert (moved.net, moved.cash) == (Decimal("0.892"), Decimal("100.40"))


def test_closing_a_pair_gives_up_what_it_would_have_paid() -> None:
    """Selling YES at 0.60 and NO at 0.42 beats 0.99 at settlement by 0.03 a unit, on 0.99."""
    sold = (
        EdgeLeg(((60, 10),), CENTS, FREE, "sell", "yes"),
        EdgeLeg(((58, 20),), CENTS, FREE, "sell", "no"),
    )
    edge = evaluate(sold, Decimal("-0.99"))
    assert edge is not None
    assert (edge.size_units, edge.net, edge.cash) == (10, Decimal("0.30"), Decimal("9.90"))
    assert edge.edge_bp == 303
    assert [leg.cash for leg in edge.legs] == [0, 0]
    capped = evaluate(sold, Decimal("-0.99"), max_cash=Decimal("0.01"))
    assert capped == edge, "what sells takes no cash"


def test_kalshi_rounds_the_balance_of_a_seller_too() -> None:
    """One contract sold at 0.337: 0.337 less 0.0157 is credited as 0.32, so 0.017 are fees."""
    sell = EdgeLeg(((337, 1),), MILLS, KALSHI, "sell", "yes")
    edge = evaluate((sell,), Decimal("-0.3"))
    assert edge is not None
    assert (edge.legs[0].fee, edge.net) == (Decimal("0.017"), Decimal("0.02"))


def test_depth_grows_with_size_and_the_walk_stops_where_it_no_longer_pays() -> None:
    """Bigger caps never lower the depth cost, and levels that lose are left alone."""
    buy = yes(((40, 10), (42, 10), (44, 10), (60, 500)))
    sell = no(((50, 10), (48, 10), (46, 10), (30, 500)))
    depths = []
    for most in range(1, 40):
        edge = pair(buy, sell, max_size_units=most)
        assert edge is not None
        assert edge.size_units == min(most, 30)
        depths.append(edge.depth)
    assert depths == sorted(depths)
    assert [leg.limit_ticks for leg in edge.legs] == [44, 46]
    assert edge.legs[0].fills == ((40, 10), (42, 10), (44, 10))


def test_the_other_outcome_of_both_books_has_the_same_edge() -> None:
    """A book of NO seen as a book of YES, asks at 1 - bids, gives the same size and net."""
    for seed in range(100):
        rng = random.Random(seed)
        case = random_case(rng, "binary", FEES[:4])
        mirrored = []
        for leg in case.legs:
            one = 10**leg.scale.price_decimals
            ladder = tuple([(one - ticks, units) for ticks, units in leg.ladder])
            flipped = {"yes": "no", "no": "yes"}[leg.outcome]
            mirrored.append(replace(leg, ladder=ladder, outcome=flipped))
        edge, mirror = evaluate(case.legs, case.payoff), evaluate(mirrored, case.payoff)
        if edge is None or mirror is None:
            assert edge is mirror
            continue
        assert (mirror.size_units, mirror.net, mirror.cash) == (edge.size_units, edge.net, edge.cash)
        assert [leg.fee for leg in mirror.legs] == [leg.fee for leg in edge.legs]


def test_books_that_do_not_cross_show_how_far_away_they_are() -> None:
    """No positive gross: the smallest allowed size, with its negative numbers."""
    edge = pair(yes(((52, 100),), fee=KALSHI, min_units=5), no(((50, 100),), min_cost_micros=3_000_000))
    assert edge is not None
    assert edge.size_units == 6, "three dollars of NO at 0.50"
    assert edge.walked_gross == Decimal("-0.12")
    assert not edge.profitable
    assert edge.edge_bp < edge.gross_bp < 0


def test_a_minimum_that_eats_the_edge_is_not_undercut() -> None:
    """One contract would pay, the venue's five do not: the edge of five is shown, at a loss."""
    edge = pair(yes(((40, 1), (60, 10)), min_units=5), no(((45, 100),)))
    assert edge is not None
    assert (edge.size_units, edge.walked_gross) == (5, Decimal("-0.55"))


def test_sizes_fall_on_all_lot_grids() -> None:
    """Lots of 2 and 3 meet at 6, and what is shown beyond the last common lot stays."""
    edge = pair(yes(((40, 20),), lot_units=2), no(((50, 23),), lot_units=3))
    assert edge is not None
    assert edge.size_units == 18


def test_scales_meet_on_the_finer_one() -> None:
    """Whole contracts against millionths of a share: each leg's fills are on its own scale."""
    buy = yes(((400_000, 500),), Scale(6, 2), KALSHI, lot_units=100)
    edge = pair(buy, no(((500_000, 3_999_999),), Scale(6, 6), POLYMARKET))
    assert edge is not None
    assert (edge.size_units, edge.size_decimals) == (3_000_000, 6)
    assert [leg.fills for leg in edge.legs] == [((400_000, 300),), ((500_000, 3_000_000),)]


def test_a_cent_on_a_tiny_order_is_seen() -> None:
    """The rounding trap: a 2 cent gap leaves nothing on one contract, and most on 9, not on 10."""
    sell = no(((12, 10),), fee=KALSHI)
    one, ten = pair(yes(((10, 1),), fee=KALSHI), sell), pair(yes(((10, 10),), fee=KALSHI), sell)
    assert one is not None
    assert ten is not None
    assert (one.fee, one.net) == (Decimal("0.02"), 0)
    assert (ten.size_units, ten.fee, ten.net) == (9, Decimal("0.13"), Decimal("0.05"))
    even = break_even((yes(((10, 10),), fee=KALSHI), sell), Decimal(1))
    assert (even.smallest, even.largest) == (3, 10)


def test_caps_bound_cash_size_and_each_venue() -> None:
    """Cash includes fees; where not even the smallest order fits, there is no edge to show."""
    legs = yes(((40, 1000),), fee=KALSHI), no(((50, 1000),), fee=POLYMARKET)
    case = Case(legs, Decimal(1))
    ten, lots = Decimal(10), Decimal(100)
    for caps in (
        Caps(total=Decimal(25)),
        Caps(size=7),
        Caps(each=(ten, lots)),
        Caps(each=(lots, Decimal("7.77"))),
        Caps(total=Decimal("9.99"), each=(Decimal(5), Decimal(6))),
        Caps(each=(ten, lots), shared=(3, 3)),
    ):
        assert agrees(case, caps) is not None
    assert pair(*legs, max_cash=Decimal("0.90")) is None
    assert pair(*legs, max_size_units=0) is None
    assert pair(*legs, cash=(Decimal(0), lots)) is None


def test_no_edge_where_there_is_no_book_to_price() -> None:
    """Empty sides, less than the smallest order, and impossible best levels give no edge."""
    ask, bid = yes(((40, 10),)), no(((50, 10),))
    assert pair(yes(()), bid) is None
    assert pair(ask, no(())) is None
    assert pair(replace(ask, min_units=11), bid) is None
    assert pair(replace(ask, lot_units=100), bid) is None
    assert pair(replace(ask, min_cost_micros=4_000_001), bid) is None
    for ladder in (((0, 10),), ((100, 10),), ((101, 10),), ((-1, 10),), ((40, 0),), ((40, -10),)):
        assert pair(replace(ask, ladder=ladder), bid) is None
        assert pair(ask, replace(bid, ladder=ladder)) is None
    assert pair(replace(ask, grid_ticks=5), replace(bid, grid_ticks=7)) is None
    assert evaluate([EdgeLeg(((0, 10),), CENTS, SHARE, "sell", "base")], Decimal(-1)) is None


def test_levels_behind_an_impossible_one_are_not_walked() -> None:
    """The size ends before a level off the grid, without size, or at a price no contract has."""
    bid = no(((60, 100),))
    for second in ((43, 50), (45, 0), (45, -5), (100, 5)):
        edge = pair(yes(((40, 10), second, (46, 10)), grid_ticks=5), bid)
        assert edge is not None
        assert edge.size_units == 10


def test_an_unknown_fee_is_never_priced() -> None:
    """A market whose fee is not known raises instead of trading for free."""
    with pytest.raises(ValueError, match="not known"):
        pair(yes(((40, 10),), fee=FeeSchedule()), no(((50, 10),)))


def test_the_curve_is_thinned_to_a_bounded_number_of_points() -> None:
    """A deep book gives no more points than asked for, the first and the last size among them."""
    legs = yes(tuple((i, 7) for i in range(10, 90))), no(tuple((i, 9) for i in range(95, 10, -1)))
    points = curve(legs, Decimal(1), points=12)
    assert len(points) <= 12
    assert [points[0].size_units, points[-1].size_units] == [1, 560]
    assert (points[0].net, points[0].edge_bp) == (Decimal("0.85"), 56666)
    assert 0 < points[-1].net < max(point.net for point in points)
