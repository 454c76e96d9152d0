"""Payoff tables against every state of the world, one by one."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model_events import (
    BASKET,
    BINARY,
    COMPLEMENT,
    IMPLICATION,
    LADDER,
    MODEL,
    SPOT,
    Event,
    EventLeg,
    LegPlan,
    Review,
)
from pipeline.payoff import Row, table, void_payment, worst_net

KALSHI, POLYMARKET = EventLeg("kalshi", "K"), EventLeg("polymarket", "P")
TOKENS = EventLeg("polymarket", "YES"), EventLeg("polymarket", "NO", polarity="inverse")
BUCKETS = tuple(EventLeg("polymarket", f"B{number}") for number in range(4))


def event(kind: str, *legs: EventLeg, void_rule: str = "", exhaustive: bool = False) -> Event:
    return Event("e", "e", kind, legs, review=Review("me", void_rule=void_rule), exhaustive=exhaustive)


def buy(leg: EventLeg, outcome: str = "yes") -> LegPlan:
    return LegPlan(leg, "buy", outcome)


PAIR = buy(KALSHI), buy(POLYMARKET, "no")


def by_name(rows: tuple[Row, ...]) -> dict[str, Decimal]:
    return {row.name: row.payoff for row in rows}


def test_a_pair_of_both_venues_has_a_row_for_each_void() -> None:
    """Kalshi may settle at 0, Polymarket at one half: each alone and both are rows, the worst is 0."""
    found = table(event(BINARY, KALSHI, POLYMARKET), PAIR)
    assert by_name(found.rows) == {
        "yes": 1,
        "yes, leg 1 void": 0,
        "yes, leg 2 void": Decimal("1.5"),
        "no": 1,
        "no, leg 1 void": 1,
        "no, leg 2 void": Decimal("0.5"),
        "all void": Decimal("0.5"),
    }
    assert (found.worst, found.settled, found.may_refund) == (0, 1, False)


@pytest.mark.parametrize(
    ("rule", "worst"), [("Never: both say so", 1), ("  BOTH", "0.5"), ("", 0), ("as the venue sees fit", 0)]
)
def test_the_reviewed_rule_says_which_voids_are_possible(rule: str, worst: str) -> None:
    """Never has no void rows, both only that of all legs; anything else, also nothing, has each alone."""
    found = table(event(BINARY, KALSHI, POLYMARKET, void_rule=rule), PAIR)
    assert found.worst == Decimal(worst)
    assert found.settled == 1


def test_an_event_nobody_reviewed_may_be_called_off_on_one_leg() -> None:
    """No review is no promise that both venues call it off together."""
    assert table(Event("e", "e", BINARY, (KALSHI, POLYMARKET)), PAIR).worst == 0


def test_the_venue_has_a_rule_where_the_leg_has_none() -> None:
    """Kalshi pays nothing at worst, Polymarket one half, others cannot call off; the leg's word wins."""
    named = {"kalshi": "zero", "polymarket": "half", "ccxt:binance": "never", "kraken": "never"}
    assert {venue: void_payment(EventLeg(venue, "M")) for venue in named} == named
    assert void_payment(EventLeg("kalshi", "M", void="refund")) == "refund"


def test_a_leg_that_cannot_be_called_off_stays_decided() -> None:
    """With one leg that is never void, "all void" is that of the other, in each world."""
    sure = EventLeg("polymarket", "P", void="never")
    found = table(event(BINARY, KALSHI, sure, void_rule="both"), (buy(KALSHI), buy(sure, "no")))
    assert by_name(found.rows) == {"yes": 1, "yes, leg 1 void": 0, "no": 1, "no, leg 1 void": 1}


@pytest.mark.parametrize(
    "legs", [TOKENS, (EventLeg("kalshi", "A"), EventLeg("kalshi", "B", polarity="inverse"))]
)
def test_both_tokens_of_one_market_pay_one_however_it_ends(legs: tuple[EventLeg, EventLeg]) -> None:
    """Void together: at a half both pay half, at Kalshi's value v one pays v and the other 1 - v."""
    found = table(event(COMPLEMENT, *legs), [buy(leg) for leg in legs])
    assert [row.payoff for row in found.rows] == [1, 1, 1]
    assert table(event(COMPLEMENT, *legs), [LegPlan(leg, "sell", "yes") for leg in legs]).worst == -1


def test_yes_and_no_of_one_market_pay_one_too() -> None:
    """The same leg planned twice, for YES and for NO."""
    found = table(event(COMPLEMENT, KALSHI), [buy(KALSHI), buy(KALSHI, "no")])
    assert (found.worst, found.settled) == (1, 1)


def test_every_yes_of_a_basket_pays_one_only_if_one_must_win() -> None:
    """Where another outcome may win there is a row in which nothing is paid."""
    plans = [buy(leg) for leg in BUCKETS]
    sure = table(event(BASKET, *BUCKETS, void_rule="never", exhaustive=True), plans)
    assert sure.worst == 1
    assert len(sure.rows) == 4
    open_ended = table(event(BASKET, *BUCKETS, void_rule="never"), plans)
    assert by_name(open_ended.rows)["none wins"] == 0
    assert open_ended.worst == 0


@pytest.mark.parametrize("exhaustive", [True, False])
def test_every_no_of_a_basket_pays_for_all_but_one(exhaustive: bool) -> None:
    """At most one wins, so N - 1 NOs pay; where none may win, that is the better row."""
    plans = [buy(leg, "no") for leg in BUCKETS]
    found = table(event(BASKET, *BUCKETS, void_rule="never", exhaustive=exhaustive), plans)
    assert found.worst == found.settled == 3


def test_an_implication_pays_one_or_two() -> None:
    """A implies B: YES of B with NO of A pays 2 where B alone comes true, and 1 otherwise."""
    legs = EventLeg("polymarket", "A"), EventLeg("polymarket", "B")
    found = table(event(IMPLICATION, *legs, void_rule="never"), [buy(legs[1]), buy(legs[0], "no")])
    assert by_name(found.rows) == {"1 no, 2 no": 1, "1 no, 2 yes": 2, "1 yes, 2 yes": 1}
    assert table(event(IMPLICATION, *legs, void_rule="never"), [buy(legs[0]), buy(legs[1], "no")]).worst == 0


def test_a_ladder_runs_the_other_way() -> None:
    """Above the higher strike is above the lower: YES of the lower with NO of the higher pays 1 or 2."""
    low, middle, high = BUCKETS[:3]
    found = table(event(LADDER, low, middle, high, void_rule="never"), [buy(low), buy(high, "no")])
    assert [row.payoff for row in found.rows] == [1, 2, 2, 1]
    assert table(event(LADDER, low, high, void_rule="never"), [buy(high), buy(low, "no")]).worst == 0


def test_spot_pays_nothing_later() -> None:
    """One row of 0, whatever the review says."""
    legs = EventLeg("kraken", "BTC/USD", "base"), EventLeg("coinbase", "BTC-USD", "base")
    found = table(event(SPOT, *legs), [LegPlan(legs[0], "buy", "base"), LegPlan(legs[1], "sell", "base")])
    assert found.rows == (Row("settled", Decimal(0)),)
    assert (found.worst, found.settled) == (0, 0)


def test_a_model_has_nothing_for_sure() -> None:
    """One prediction leg beside a coin pays 1 or 0: the table never makes an arbitrage of it."""
    legs = KALSHI, EventLeg("kraken", "BTC/USD", "base")
    found = table(event(MODEL, *legs), [buy(KALSHI)])
    assert (found.settled, found.worst) == (0, 0)
    assert max(row.payoff for row in found.rows) == 1


def test_a_refund_makes_a_lone_leg_lose_its_whole_price() -> None:
    """YES is refunded and NO loses: the row pays nothing beside the refund, and its net shows it."""
    legs = EventLeg("polymarket", "P", void="refund"), EventLeg("kalshi", "K", void="never")
    found = table(event(BINARY, *legs), [buy(legs[0]), buy(legs[1], "no")])
    assert Row("yes, leg 1 void", Decimal(0), (0,), (0,)) in found.rows
    assert (found.worst, found.may_refund) == (1, True)
    assert worst_net(found, Decimal(10), [Decimal("4.5"), Decimal(5)], Decimal("0.1")) == Decimal("-5.1")


def test_a_refund_of_everything_leaves_minus_the_fees() -> None:
    """Prices come back, fees never do."""
    legs = EventLeg("polymarket", "P", void="refund"), EventLeg("kalshi", "K", void="refund")
    found = table(event(BINARY, *legs, void_rule="both"), [buy(legs[0]), buy(legs[1], "no")])
    assert worst_net(found, Decimal(10), [Decimal("4.5"), Decimal(5)], Decimal("0.1")) == Decimal("-0.1")


def test_of_three_markets_those_two_may_be_void_that_cost_most() -> None:
    """Neither one void NO nor all are the worst of a basket: it is the winners among them, at a half."""
    found = table(event(BASKET, *BUCKETS, exhaustive=True), [buy(leg, "no") for leg in BUCKETS])
    rows = by_name(found.rows)
    assert rows["leg 2 wins, legs 1, 3, 4 void"] == found.worst == Decimal("1.5")
    assert rows["all void"] == 2


def test_a_sale_that_is_taken_back_costs_what_it_brought() -> None:
    """Three sold YES of a basket: worst is that the losers' prices go back and the winner is owed."""
    legs = tuple(EventLeg("polymarket", f"R{number}", void="refund") for number in range(3))
    found = table(event(BASKET, *legs, exhaustive=True), [LegPlan(leg, "sell", "yes") for leg in legs])
    brought = [Decimal("-0.5"), Decimal("-0.3"), Decimal("-0.4")]
    assert worst_net(found, Decimal(1), brought, Decimal(0)) == Decimal("-0.7")


# every state of the world, one by one


def _truths(made: Event) -> list[tuple[bool, ...]]:
    """Every assignment of yes and no to the event's legs that its kind allows."""
    count = len(made.legs)
    allowed = {
        BASKET: lambda truth: sum(truth) == 1 or (sum(truth) == 0 and not made.exhaustive),
        IMPLICATION: lambda truth: all(truth[i] <= truth[i + 1] for i in range(count - 1)),
        LADDER: lambda truth: all(truth[i] >= truth[i + 1] for i in range(count - 1)),
    }.get(made.kind, lambda truth: len(set(truth)) == 1)
    return [truth for truth in product((False, True), repeat=count) if allowed(truth)]


def _off_sets(made: Event, markets: list[int]) -> list[set[int]]:
    """Every set of markets that may be called off together."""
    assert made.review is not None
    rule = made.review.void_rule
    able = {m for leg, m in zip(made.legs, markets, strict=True) if void_payment(leg) != "never"}
    if rule == "never" or not able:
        return [set()]
    if rule == "both":
        return [set(), able]
    return [
        {m for m, off in zip(able, chosen, strict=True) if off}
        for chosen in product((False, True), repeat=len(able))
    ]


def _nets(made: Event, plans: list[LegPlan], costs: list[Fraction]) -> list[Fraction]:
    """What a unit of all legs leaves in every state, with Kalshi's value at 0, at 1 and between."""
    complement = made.kind == COMPLEMENT
    markets = [0 if complement else number for number in range(len(made.legs))]
    nets = []
    for truth, off in product(_truths(made), _off_sets(made, markets)):
        for values in product((Fraction(0), Fraction(1, 3), Fraction(1)), repeat=len(set(markets))):
            net = Fraction(0)
            for plan, cost in zip(plans, costs, strict=True):
                number = made.legs.index(plan.leg)
                pays = Fraction(truth[number])
                if markets[number] in off:
                    rule = void_payment(plan.leg)
                    value = {"zero": values[markets[number]], "half": Fraction(1, 2), "refund": None}
                    pays = pays if rule == "never" else value[rule]
                if pays is None:
                    continue
                pays = 1 - pays if (plan.leg.polarity == "inverse") != (plan.outcome == "no") else pays
                net += (pays if plan.action == "buy" else -pays) - cost
            nets.append(net)
    return nets


@st.composite
def trades(draw: st.DrawFn) -> tuple[Event, list[LegPlan], list[Fraction]]:
    """An event of any binary kind, a plan for some of its legs, and what each costs."""
    kind = draw(st.sampled_from((BINARY, COMPLEMENT, BASKET, IMPLICATION, LADDER)))
    count = 2 if kind in {BINARY, COMPLEMENT} else draw(st.integers(2, 4))
    # Two tokens of one market have one rule.
    shared = draw(st.sampled_from(("zero", "half", "never")))
    legs = tuple(
        EventLeg(
            "polymarket",
            f"M{number}",
            polarity=draw(st.sampled_from(("same", "inverse"))),
            void=shared if kind == COMPLEMENT else draw(st.sampled_from(("zero", "half", "refund", "never"))),
        )
        for number in range(count)
    )
    rule = draw(st.sampled_from(("never", "both", "")))
    made = event(kind, *legs, void_rule=rule, exhaustive=draw(st.booleans()))
    action = draw(st.sampled_from(("buy", "sell")))
    chosen = draw(st.lists(st.sampled_from(legs), min_size=1, unique_by=lambda leg: leg.market))
    plans = [LegPlan(leg, action, draw(st.sampled_from(("yes", "no")))) for leg in chosen]
    prices = [Fraction(draw(st.integers(1, 99)), 100) for _plan in plans]
    return made, plans, [price if action == "buy" else -price for price in prices]


@given(trades())
def test_no_state_of_the_world_leaves_less_than_the_worst_row(
    trade: tuple[Event, list[LegPlan], list[Fraction]],
) -> None:
    """Over all worlds, all sets of void markets and all values, the least net is that of the worst row."""
    made, plans, costs = trade
    found = table(made, plans)
    money = [Decimal(cost.numerator) / cost.denominator for cost in costs]
    least = min(_nets(made, plans, costs))
    assert Fraction(worst_net(found, Decimal(1), money, Decimal(0))) == least
    if not found.may_refund:
        assert Fraction(found.worst) - sum(costs) == least
    assert found.worst <= found.settled
    assert len({row.name for row in found.rows}) == len(found.rows)
