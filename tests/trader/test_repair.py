"""Repair: the cheaper of completing and taking back, at the books as they are, and what is left as dust."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fees import fee_high, fee_price_ticks
from pipeline.look import Look
from pipeline.model import BookFlag, BookState, FeeKind, FeeSchedule, MarketStatus, Reason, Scale
from pipeline.model_events import takes_asks
from pipeline.money import to_decimal
from pipeline.trader.broker import Purpose
from pipeline.trader.plan import PlanLeg
from pipeline.trader.repair import Choice, Impossible, choose, is_dust
from shm.books import BookRow
from shm.records import MARKET
from tests.support.trades import FIRST, SECOND, plan_for

WALL = 1_790_000_000 * 10**9
D = Decimal
RICH = {"kalshi": D(1000), "polymarket": D(1000), "kraken": D(100_000), "coinbase": D(100_000)}
REAL = {"kalshi": {"fee_kind": FeeKind.KALSHI, "fee_rate_ppm": 70_000, "fee_precision_micros": 10_000},
        "polymarket": {"fee_kind": FeeKind.POLYMARKET, "fee_rate_ppm": 40_000}}  # fmt: skip
PLAN = plan_for()


def book(leg, bids=(), asks=(), *, state=BookState.LIVE, flags=0, **cells):
    """A look at a leg's market; levels are (price, contracts) as people write them. No fee unless given."""
    price, size = leg.scale.price_decimals, leg.scale.size_decimals
    row = MARKET.empty()._replace(
        market=leg.market, price_decimals=price, size_decimals=size, fee_kind=FeeKind.FLAT, fee_exponent=1,
        status=MarketStatus.OPEN,
    )._replace(**cells)  # fmt: skip
    sides = [
        tuple((int(D(p).scaleb(price)), int(D(units).scaleb(size))) for p, units in side)
        for side in (bids, asks)
    ]
    return Look(0, BookRow(1, 1, 1, 0, BookState.LIVE, 0, flags, 0, 1, 1, *sides), row, state)


def mend(looks, quantity="10", leg=0, *, plan=PLAN, cash=RICH, stock="1000"):
    return choose(plan, leg, D(quantity), looks, cash, lambda _leg: D(stock), WALL)


def pair(no_cost="0.45", yes_bid="0.46", depth="100", first=None, second=None):
    """NO at Polymarket for `no_cost`, YES at Kalshi sold at `yes_bid`."""
    return (
        book(FIRST, [(yes_bid, "100")], [("0.99", "100")], **(first or {})),
        book(SECOND, [(1 - D(no_cost), depth)], [("0.99", "100")], **(second or {})),
    )


def test_completing_that_costs_less_is_chosen():
    """Ten NO at 0.45 leave 5.50 of the payoff, the YES sold at 0.46 bring 4.60: the pair is completed."""
    found = mend(pair())
    assert isinstance(found, Choice)
    assert (found.purpose, found.leg) == (Purpose.HEDGE, 1)
    assert (found.cost, found.other_cost, found.compared) == (D("-5.5"), D("-4.6"), D(10))
    order = found.order
    assert (order.venue, order.outcome, order.action) == ("polymarket", "no", "buy")
    assert (order.limit_ticks, order.size_units, order.scale) == (550_000, 10_000_000, Scale(6, 6))


def test_taking_back_that_costs_less_is_chosen():
    """The YES bring 5.60 where NO would leave 5.50: they are sold."""
    found = mend(pair(yes_bid="0.56"))
    assert isinstance(found, Choice)
    assert (found.purpose, found.leg, found.cost, found.other_cost) == (
        Purpose.UNWIND, 0, D("-5.6"), D("-5.5"),
    )  # fmt: skip
    assert (found.order.action, found.order.outcome, found.order.size_units) == ("sell", "yes", 1000)


def test_of_equals_the_pair_is_completed():
    """Both are worth 5.50."""
    found = mend(pair(yes_bid="0.55"))
    assert isinstance(found, Choice)
    assert (found.purpose, found.cost, found.other_cost) == (Purpose.HEDGE, D("-5.5"), D("-5.5"))


def test_fees_turn_the_choice():
    """By prices alone NO at 0.45 and YES at 0.56 sell back (5.60 against 5.50). Kalshi's fee on the sale is
    0.18 at the worst split, Polymarket's 0.09905: 5.42 against 5.40095 still; at 0.55 it is completed.

    Kalshi: 0.07 x 0.56 x 0.44 is 0.0173 a contract rounded up; ten and a held cent on 4.40 are 4.583, less
    what is no whole cent 4.58. Polymarket: 0.04 x 10 x 0.45 x 0.55 = 0.099 and half a fifth decimal a fill.
    """
    sold = mend(pair(yes_bid="0.56", first=REAL["kalshi"], second=REAL["polymarket"]))
    assert isinstance(sold, Choice)
    assert (sold.purpose, sold.cost, sold.other_cost) == (Purpose.UNWIND, D("-5.42"), D("-5.40095"))
    assert (sold.fee.kind, sold.fee.rate_ppm) == (FeeKind.KALSHI, 70_000)
    bought = mend(pair(yes_bid="0.55", first=REAL["kalshi"], second=REAL["polymarket"]))
    assert isinstance(bought, Choice)
    assert (bought.purpose, bought.fee.kind) == (Purpose.HEDGE, FeeKind.POLYMARKET)


def test_the_book_is_walked_and_the_limit_is_the_worst_level():
    """Six at 0.45 and four at 0.50 cost 4.70; the limit is the book's 0.50."""
    looks = pair(yes_bid="0.30")
    deep = book(SECOND, [("0.55", "6"), ("0.50", "100")], [("0.99", "1")])
    found = mend((looks[0], deep))
    assert isinstance(found, Choice)
    assert (found.cost, found.order.limit_ticks) == (D("-5.3"), 500_000)


def test_what_the_book_shows_bounds_the_order():
    """Three NO on the book make an order for three, compared with three sold back."""
    found = mend(pair(depth="3"))
    assert isinstance(found, Choice)
    assert (found.purpose, found.order.size_units, found.compared) == (Purpose.HEDGE, 3_000_000, D(3))
    assert (found.cost, found.other_cost) == (D("-1.65"), D("-1.38"))


def test_cash_bounds_what_is_bought():
    """2.30 dollars buy five NO at 0.45, on a lot of one; none leaves only the sale."""
    looks = pair(second={"lot_units": 1_000_000})
    found = mend(looks, cash={"polymarket": D("2.30")})
    assert isinstance(found, Choice)
    assert (found.purpose, found.order.size_units) == (Purpose.HEDGE, 5_000_000)
    broke = mend(looks, cash={})
    assert isinstance(broke, Choice)
    assert (broke.purpose, broke.cost, broke.other_cost) == (Purpose.UNWIND, D("-4.6"), None)
    assert "VENUE_CASH" in broke.why


def test_cash_pays_for_the_fees_too():
    """Ten NO at 0.45 take 4.59905 with the worst fee: a hundred-thousandth less buys nine."""
    looks = pair(second=REAL["polymarket"] | {"lot_units": 1_000_000})
    for cash, units in (("4.59905", 10_000_000), ("4.59904", 9_000_000)):
        found = mend(looks, cash={"polymarket": D(cash)})
        assert isinstance(found, Choice) and found.order.size_units == units


def test_stock_bounds_what_is_sold():
    """Only what is there can be sold back; without any, and without cash, nothing can be done."""
    looks = pair(yes_bid="0.56")
    found = mend(looks, stock="4")
    assert isinstance(found, Choice)
    assert (found.purpose, found.order.size_units) == (Purpose.UNWIND, 400)
    none = mend(pair(second={"lot_units": 1_000_000}), cash={}, stock="0")
    assert none == Impossible(
        Reason.VENUE_CASH,
        D("0.45"),
        D(0),
        "completing: VENUE_CASH (0.45 against 0); taking back: INVENTORY (0 against 0.01)",
    )


def test_an_order_below_the_venues_minimum_is_not_made():
    """Three where the venue takes five, or 1.35 dollars where it takes two: the other way, or none."""
    five = pair(second={"min_units": 5_000_000})
    found = mend(five, "3")
    assert isinstance(found, Choice) and found.purpose is Purpose.UNWIND
    costly = pair(second={"min_cost_micros": 2_000_000})
    assert isinstance(mend(costly, "4.44"), Choice)
    both = mend((book(FIRST, [("0.46", "9")], min_units=400), costly[1]), "3")
    assert isinstance(both, Impossible)
    assert (both.reason, both.value, both.limit) == (Reason.BELOW_MINIMUM, D(3), D("4.444445"))


def test_a_book_too_thin_for_the_minimum_cost_is_no_way():
    """Two YES at 0.20 and one at 0.01 bring 0.41 where an order must be worth 0.60."""
    thin = book(FIRST, [("0.20", "2"), ("0.01", "1")], min_cost_micros=600_000)
    found = mend((thin, None), "3")
    assert isinstance(found, Impossible)
    assert found.why.endswith("BELOW_MINIMUM (0.41 against 0.6)")


def test_sizes_are_rounded_down_to_the_lot():
    """10.7 at a venue of whole contracts is an order for ten; the rest is the next repair's."""
    found = mend(pair(second={"lot_units": 1_000_000}), "10.7")
    assert isinstance(found, Choice)
    assert (found.order.size_units, found.compared) == (10_000_000, D(10))


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (None, Reason.BOOK_MISSING),
        ({"state": BookState.STALE}, Reason.BOOK_STALE),
        ({"state": BookState.DEAD}, Reason.BOOK_DEAD),
        ({"flags": BookFlag.NOT_TRADABLE}, Reason.NOT_TRADABLE),
        ({"status": MarketStatus.PAUSED}, Reason.MARKET_CLOSED),
        ({"close_wall_ns": WALL}, Reason.MARKET_CLOSED),
        ({"fee_kind": FeeKind.UNKNOWN}, Reason.FEE_UNKNOWN),
        ({"size_decimals": 2}, Reason.BOOK_MISSING),
    ],
)
def test_a_market_that_cannot_be_traded_is_no_way(second, reason):
    """Each of these leaves the other way alone; where that is shut too, the first one's reason is given."""
    looks = pair()
    other = None if second is None else pair(second=second)[1]
    found = mend((looks[0], other))
    assert isinstance(found, Choice) and found.purpose is Purpose.UNWIND
    nothing = mend((None, other))
    assert isinstance(nothing, Impossible) and nothing.reason is reason


def test_a_book_without_the_side_is_no_way():
    """Nobody bids for YES at Polymarket, so no NO can be bought there."""
    found = mend((None, book(SECOND, [], [("0.60", "10")])))
    assert isinstance(found, Impossible) and found.reason is Reason.ONE_SIDED


def test_no_bought_at_kalshi_is_sold_into_the_asks():
    """Inverse polarity: NO at Kalshi, YES at Polymarket. NO is sold at 1 - 0.42, where YES asks stand."""
    legs = replace(FIRST, outcome="no"), replace(SECOND, outcome="yes")
    plan = plan_for(legs)
    looks = (
        book(legs[0], [("0.30", "100")], [("0.42", "100")]),
        book(legs[1], [("0.10", "50")], [("0.50", "50")]),
    )
    found = mend(looks, plan=plan)
    assert isinstance(found, Choice)
    assert (found.purpose, found.cost, found.other_cost) == (Purpose.UNWIND, D("-5.8"), D("-5.0"))
    assert (found.order.action, found.order.outcome, found.order.limit_ticks) == ("sell", "no", 420_000)
    assert found.order.takes_asks


class TestSpot:
    """Coins bought at Kraken and sold at Coinbase; to bring one back costs half a dollar."""

    legs: ClassVar = (
        PlanLeg("kraken", "BTC/USD", "base", "buy", "same", Scale(1, 8), FeeSchedule(FeeKind.BPS, 1000)),
        PlanLeg("coinbase", "BTC-USD", "base", "sell", "same", Scale(2, 8), FeeSchedule(FeeKind.BPS, 1000)),
    )
    fee: ClassVar = {"fee_kind": FeeKind.BPS, "fee_rate_ppm": 1000}

    def looks(self, kraken=("100.0", "100.2"), coinbase=("101.00", "101.10")):
        return tuple(
            book(leg, [(bid, "5")], [(ask, "5")], **self.fee)
            for leg, (bid, ask) in zip(self.legs, (kraken, coinbase), strict=True)
        )

    def mend(self, leg, looks):
        return mend(looks, "1", leg, plan=plan_for(self.legs, payoff="-0.5", kind="spot"))

    def test_a_coin_too_many_is_sold_where_more_is_left(self):
        """There 101.00 less 0.101 and the transfer, here 100.00 less 0.10: with a worst split of 102 and 101
        parts, each up to a hundred-millionth dearer.
        """
        found = self.mend(0, self.looks())
        assert isinstance(found, Choice)
        assert (found.purpose, found.order.venue, found.order.action) == (Purpose.HEDGE, "coinbase", "sell")
        assert D("-100.399") <= found.cost <= D("-100.39899")
        assert found.other_cost is not None and D("-99.9") <= found.other_cost <= D("-99.89899")
        back = self.mend(0, self.looks(coinbase=("100.40", "101.10")))
        assert isinstance(back, Choice)
        assert (back.purpose, back.order.venue, back.order.action) == (Purpose.UNWIND, "kraken", "sell")

    def test_a_coin_too_few_is_bought_where_it_costs_less(self):
        """At Kraken 100.20 and the transfer, at Coinbase 101.10; at 100.60 it is bought back there."""
        found = self.mend(1, self.looks())
        assert isinstance(found, Choice)
        assert (found.purpose, found.order.venue, found.order.action) == (Purpose.HEDGE, "kraken", "buy")
        assert D("100.8002") <= found.cost <= D("100.80021")
        back = self.mend(1, self.looks(coinbase=("100.00", "100.50")))
        assert isinstance(back, Choice)
        assert (back.purpose, back.order.venue, back.order.action) == (Purpose.UNWIND, "coinbase", "buy")


def test_half_a_close_is_finished_or_bought_back():
    """The YES of a held pair is sold alone. Selling the NO at 0.48 gives up 0.98 a pair: 5.00 for ten; buying
    YES back at 0.51 costs 5.10. Without NO to sell, it is bought back.
    """
    legs = replace(FIRST, action="sell"), replace(SECOND, action="sell")
    plan = plan_for(legs, payoff="-0.98", kind="close")
    looks = (
        book(legs[0], [("0.49", "50")], [("0.51", "50")]),
        book(legs[1], [("0.40", "50")], [("0.52", "50")]),
    )
    found = mend(looks, plan=plan)
    assert isinstance(found, Choice)
    assert (found.purpose, found.cost, found.other_cost) == (Purpose.HEDGE, D("5.0"), D("5.1"))
    assert (found.order.action, found.order.outcome, found.order.limit_ticks) == ("sell", "no", 520_000)
    back = mend(looks, plan=plan, stock="0")
    assert isinstance(back, Choice)
    assert (back.purpose, back.order.action, back.order.limit_ticks) == (Purpose.UNWIND, "buy", 510_000)


def test_an_excess_is_above_zero():
    """Anything else is a mistake of the caller."""
    with pytest.raises(ValueError, match="above 0"):
        mend(pair(), "0")


# Dust.

SMALL = {"lot_units": 100, "min_units": 100}, {"min_units": 5_000_000}


def dust(quantity, usd="1", first=SMALL[0], second=SMALL[1], **prices):
    looks = pair(first=first, second=second, **prices)
    return is_dust(PLAN, 0, D(quantity), looks, D(usd))


def test_dust_is_what_no_order_can_be_made_of():
    """Less than a contract at Kalshi and than five at Polymarket; one contract can be sold back."""
    assert dust("0.99")
    assert not dust("1")
    assert not dust("5", first={"min_units": 2000})
    assert dust("4.99", "5", first={"min_units": 2000})


def test_dust_is_little():
    """It is worth its dearer best price: 0.99 a YES here. Beyond the limit it is no dust."""
    assert dust("0.99", "0.9801")
    assert not dust("0.99", "0.98")
    bare = pair(first=SMALL[0], second=SMALL[1])
    empty = book(FIRST, **SMALL[0])
    assert is_dust(PLAN, 0, D("0.5"), (empty, bare[1]), D("0.5"))
    assert not is_dust(PLAN, 0, D("0.5"), (empty, bare[1]), D("0.49"))


def test_what_waits_for_a_better_book_is_no_dust():
    """A book that is not LIVE changes nothing; where a market is not known nothing is dust."""
    stale = pair(first=SMALL[0] | {"state": BookState.STALE}, second=SMALL[1])
    assert not is_dust(PLAN, 0, D(2), stale, D(9))
    assert is_dust(PLAN, 0, D("0.5"), stale, D(9))
    assert not is_dust(PLAN, 0, D("0.5"), (stale[0], None), D(9))


# Against brute force: every size, with plain arithmetic.

LEVELS = st.lists(st.tuples(st.integers(1, 99), st.integers(1, 9)), min_size=1, max_size=3)
SCHEDULES = [
    FeeSchedule(FeeKind.FLAT),
    FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000),
    FeeSchedule(FeeKind.POLYMARKET, 40_000),
    FeeSchedule(FeeKind.BPS, 4_000),
]
LEG = st.fixed_dictionaries(
    {
        "levels": LEVELS,
        "fee": st.sampled_from(SCHEDULES),
        "lot": st.sampled_from([0, 1, 2, 3]),
        "least": st.integers(0, 4),
        "least_cents": st.sampled_from([0, 0, 60, 150]),
        "outcome": st.sampled_from(["yes", "no"]),
        "action": st.sampled_from(["buy", "sell"]),
    }
)
CENTS = Scale(2, 0)


def value(leg, action, levels, size, payoff):
    """Dollars of one way for `size` contracts; None where the book shows less."""
    taken, left = [], size
    for ticks, units in levels:
        if left:
            taken.append((ticks, min(units, left)))
            left -= taken[-1][1]
    if left:
        return None
    own = [(100 - ticks if leg.outcome == "no" else ticks, units) for ticks, units in taken]
    gross = sum(D(ticks) * units / 100 for ticks, units in own)
    charged = [(fee_price_ticks(leg.fee, action, leg.outcome, ticks, CENTS), units) for ticks, units in taken]
    fee = fee_high(leg.fee, charged, CENTS)
    return payoff * size + (gross - fee if action == "sell" else -gross - fee), gross


def sorted_levels(leg, action, levels):
    """One level a price, best first for this order."""
    asks = takes_asks(action, leg.outcome)
    return sorted(dict(levels).items(), reverse=not asks)


def brute(leg, action, spec, quantity, payoff, cash, stock):
    """The largest size of one way that is allowed, and the worth of each size."""
    levels = sorted_levels(leg, action, spec["levels"])
    worths, best = {}, 0
    for size in range(1, quantity + 1):
        found = value(leg, action, levels, size, payoff)
        if found is None:
            break
        worths[size], gross = found
        allowed = size % (spec["lot"] or 1) == 0 and size >= spec["least"]
        allowed = allowed and gross * 100 >= spec["least_cents"]
        allowed = allowed and (size <= stock if action == "sell" else payoff * size - worths[size] <= cash)
        best = size if allowed else best
    return best, worths


@given(
    specs=st.tuples(LEG, LEG),
    number=st.integers(0, 1),
    quantity=st.integers(1, 14),
    payoff=st.sampled_from([D(1), D("-0.98"), D("-0.02")]),
    cash=st.sampled_from([D("0.5"), D(2), D(100)]),
    stock=st.sampled_from([0, 3, 100]),
)
def test_the_choice_is_that_of_brute_force(specs, number, quantity, payoff, cash, stock):
    """Each way the largest size that is allowed; of the two ways the one worth more at the smaller size."""
    legs = tuple(
        PlanLeg(venue, "M", spec["outcome"], spec["action"], "same", CENTS, spec["fee"])
        for venue, spec in zip(("kalshi", "polymarket"), specs, strict=True)
    )
    looks, found = [], {}
    for index, (leg, spec) in enumerate(zip(legs, specs, strict=True)):
        purpose = Purpose.UNWIND if index == number else Purpose.HEDGE
        action = leg.undo if purpose is Purpose.UNWIND else leg.action
        levels = [(to_decimal(t, 2), D(u)) for t, u in sorted_levels(leg, action, spec["levels"])]
        sides = ((), levels) if takes_asks(action, leg.outcome) else (levels, ())
        looks.append(
            book(leg, *sides, lot_units=spec["lot"], min_units=spec["least"],
                 min_cost_micros=spec["least_cents"] * 10_000, fee_kind=leg.fee.kind,
                 fee_rate_ppm=leg.fee.rate_ppm, fee_precision_micros=leg.fee.precision_micros)
        )  # fmt: skip
        shared = quantity, payoff if purpose is Purpose.HEDGE else D(0), cash, stock
        found[purpose] = brute(leg, action, spec, *shared)
    chosen = choose(
        plan_for(legs, payoff=str(payoff)), number, D(quantity), tuple(looks),
        dict.fromkeys(("kalshi", "polymarket"), cash), lambda _leg: D(stock), WALL,
    )  # fmt: skip
    possible = {purpose: size for purpose, (size, _) in found.items() if size}
    if not possible:
        assert isinstance(chosen, Impossible)
        return
    assert isinstance(chosen, Choice)
    assert chosen.purpose in possible
    assert chosen.order.size_units == possible[chosen.purpose]
    compared = min(possible.values())
    worths = {purpose: found[purpose][1][compared] for purpose in possible}
    assert (chosen.compared, -chosen.cost) == (compared, worths[chosen.purpose])
    assert -chosen.cost == max(worths.values())
    others = [-worth for purpose, worth in worths.items() if purpose is not chosen.purpose]
    assert [chosen.other_cost] == (others or [None])
