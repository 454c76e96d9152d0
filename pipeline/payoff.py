"""Payoff tables: what one unit of every leg of a trade pays in each way its markets can end.

In: an event and the plans of its legs. Out: rows with exact dollars, the worst of them, and what it
leaves of a trade. Pure. The scanner prices with the worst row, `why` and the dashboard show the table.

A market pays a value from 0 to 1 to its YES and the rest to its NO. Called off, Kalshi may choose any
value (result "scalar"), Polymarket one half, and some rules give back what was paid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from pipeline.model import EXACT
from pipeline.model_events import BASKET, COMPLEMENT, IMPLICATION, LADDER, SPOT, Event, EventLeg, LegPlan

ZERO, HALF, ONE = Decimal(0), Decimal("0.5"), Decimal(1)

VENUE_VOID = {"kalshi": "zero", "polymarket": "half"}
"""The venues' own rules for a market that is called off; markets of all others are never called off."""

Values = tuple[Decimal, ...]
Markets = tuple[tuple[int, ...], ...]
"""Numbers of plans, by the market they are of."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to end: `payoff` dollars for a unit of all legs, at worst. The name counts the event's legs.

    `refunded` numbers the plans (from 0) that get their price back beside that payoff, or give back
    what they brought where they sold; `void` numbers those whose market was called off.
    """

    name: str
    payoff: Decimal
    refunded: tuple[int, ...] = ()
    void: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PayoffTable:
    """All rows of a trade, and what follows from them in dollars a unit of all legs.

    `worst` is paid for sure where nothing is refunded (a row with a refund depends on the prices: where
    `may_refund`, ask `worst_net` too), `settled` for sure if no market is called off, and `most` at best
    then, which is what a close gives up. `may_be_void` says that a market can be called off at all.
    """

    rows: tuple[Row, ...]
    worst: Decimal = field(init=False)
    settled: Decimal = field(init=False)
    most: Decimal = field(init=False)
    may_refund: bool = field(init=False)
    may_be_void: bool = field(init=False)

    def __post_init__(self) -> None:
        """Draw the conclusions once: every look at a pair asks for them."""
        decided = [row.payoff for row in self.rows if not row.void]
        conclusions = {
            "worst": min(row.payoff for row in self.rows if not row.refunded),
            "settled": min(decided),
            "most": max(decided),
            "may_refund": any(row.refunded for row in self.rows),
            "may_be_void": any(row.void for row in self.rows),
        }
        for name, value in conclusions.items():
            object.__setattr__(self, name, value)


def table(event: Event, plans: Sequence[LegPlan]) -> PayoffTable:
    """The rows of trading one unit of each plan; their legs are legs of the event.

    Worlds by kind: yes and no; each leg of a basket alone, and none where it is not exhaustive; for an
    implication each leg implies the next, on a ladder (rising strikes) the one before. Each world is
    settled, or with one market void, or with all, or with all those void that then pay less. A sold leg
    is owed, so with a sale the worst row is the most that holding could have paid. Spot pays nothing
    later: coins are worth coins.
    """
    if event.kind == SPOT:
        return PayoffTable((Row("settled", ZERO),))
    with localcontext(EXACT):
        return PayoffTable(tuple(_rows(event, tuple(plans))))


def worst_net(table: PayoffTable, size: Decimal, costs: Sequence[Decimal], fees: Decimal) -> Decimal:
    """Dollars that the worst row leaves of `size` units of all legs, for the refunded rows too.

    `costs` are dollars by plan before fees, negative where it brings money. Fees are never refunded.
    """
    with localcontext(EXACT):
        paid = sum(costs, fees)
        return min(row.payoff * size + sum(costs[i] for i in row.refunded) - paid for row in table.rows)


def void_payment(leg: EventLeg) -> str:
    """One of `model_events.VOID_RULES`: the leg's own, else its venue's."""
    return leg.void or VENUE_VOID.get(leg.venue, "never")


def _rows(event: Event, plans: tuple[LegPlan, ...]) -> Iterator[Row]:
    """Worlds times what is called off; where nothing is left to be decided the world is not named."""
    markets = _voidable(event, plans)
    voids = _void_sets(event, markets)
    for name, truth in _worlds(event):
        values = _market_values(event, plans, truth)
        yield Row(name, _payoff(plans, values, ()))
        worst = tuple(market for market in markets if _loses(plans, values, market))
        costliest = [worst] if len(voids) > 1 and worst and worst not in voids else []
        for void in [*voids, *costliest]:
            if len(_flat(void)) < len(plans):
                legs = {event.legs.index(plans[number].leg) + 1 for number in _flat(void)}
                yield _void_row(f"{name}, {_legs_text(legs)} void", plans, values, void)
    if voids and len(_flat(markets)) == len(plans):
        yield _void_row("all void", plans, values, markets)


def _worlds(event: Event) -> list[tuple[str, tuple[bool, ...]]]:
    """Each way the event can be decided: a name, and by leg whether the event's YES of it is true."""
    count = len(event.legs)
    if event.kind == BASKET:
        wins = [(f"leg {won + 1} wins", tuple(i == won for i in range(count))) for won in range(count)]
        return wins if event.exhaustive else [*wins, ("none wins", (False,) * count)]
    if event.kind in {IMPLICATION, LADDER}:
        return [_chain(event.kind, count, held) for held in range(count + 1)]
    return [("yes", (True,) * count), ("no", (False,) * count)]


def _chain(kind: str, count: int, held: int) -> tuple[str, tuple[bool, ...]]:
    """The world where `held` legs of an implication (the last) or a ladder (the first) are true."""
    truth = (True,) * held + (False,) * (count - held)
    truth = truth if kind == LADDER else truth[::-1]
    return ", ".join(f"{number + 1} {'yes' if true else 'no'}" for number, true in enumerate(truth)), truth


def _market_values(event: Event, plans: tuple[LegPlan, ...], truth: tuple[bool, ...]) -> Values:
    """By plan what its market pays to its own YES, which is our NO where the polarity is inverse."""
    inverse = [plan.leg.polarity == "inverse" for plan in plans]
    true = [truth[event.legs.index(plan.leg)] for plan in plans]
    return tuple(ONE if yes != flipped else ZERO for yes, flipped in zip(true, inverse, strict=True))


def _voidable(event: Event, plans: tuple[LegPlan, ...]) -> Markets:
    """The markets that can be called off; the two tokens of a complement are one market."""
    found: dict[tuple[str, str], list[int]] = {}
    for number, plan in enumerate(plans):
        if plan.outcome != "base" and void_payment(plan.leg) != "never":
            market = "" if event.kind == COMPLEMENT else plan.leg.market
            found.setdefault((plan.leg.venue, market), []).append(number)
    return tuple(tuple(numbers) for numbers in found.values())


def _void_sets(event: Event, markets: Markets) -> list[Markets]:
    """What may be called off together by the reviewed rule: each market alone, and all at last."""
    rule = event.review.void_rule.strip().lower() if event.review else ""
    if rule.startswith("never") or not markets:
        return []
    if rule.startswith("both") or len(markets) == 1:
        return [markets]
    return [*((market,) for market in markets), markets]


def _void_row(name: str, plans: tuple[LegPlan, ...], values: Values, void: Markets) -> Row:
    refunded = tuple(number for number in _flat(void) if void_payment(plans[number].leg) == "refund")
    return Row(name, _payoff(plans, values, void), refunded, _flat(void))


def _payoff(plans: tuple[LegPlan, ...], values: Values, void: Markets) -> Decimal:
    """Dollars of one unit of all plans, at worst, with markets called off; refunds not counted."""
    off = set(_flat(void))
    settled = [_pays(plan, values[i]) for i, plan in enumerate(plans) if i not in off]
    return sum((*settled, *(_called_off(plans, values, market) for market in void)), ZERO)


def _loses(plans: tuple[LegPlan, ...], values: Values, market: tuple[int, ...]) -> bool:
    """Whether a market may pay less when called off; a refund is at worst nothing, or a dollar owed."""
    settled = sum(_pays(plans[number], values[number]) for number in market)
    refunded = [plans[number] for number in market if void_payment(plans[number].leg) == "refund"]
    owed = sum(plan.action == "sell" for plan in refunded)
    return _called_off(plans, values, market) - owed < settled


def _called_off(plans: tuple[LegPlan, ...], values: Values, market: tuple[int, ...]) -> Decimal:
    """Dollars of the plans of one called-off market at worst, refunds not counted.

    A free value is chosen as is worst for us: the sum is linear in it, so at an end. YES and NO of one
    market, or both tokens of a complement, share it: together they still pay 1.
    """
    rules = [(plans[number], values[number], void_payment(plans[number].leg)) for number in market]
    halves = sum((_pays(plan, HALF) for plan, _value, rule in rules if rule == "half"), ZERO)
    as_decided = sum((_pays(plan, value) for plan, value, rule in rules if rule == "zero"), ZERO)
    opposite = sum((_pays(plan, ONE - value) for plan, value, rule in rules if rule == "zero"), ZERO)
    return halves + min(as_decided, opposite)


def _pays(plan: LegPlan, value: Decimal) -> Decimal:
    """Dollars of one unit where its market pays `value` to YES; a sold unit is owed."""
    if plan.outcome == "base":
        return ZERO
    worth = value if plan.outcome == "yes" else ONE - value
    return worth if plan.action == "buy" else -worth


def _flat(markets: Markets) -> tuple[int, ...]:
    return tuple(sorted(number for market in markets for number in market))


def _legs_text(legs: set[int]) -> str:
    return f"leg{'s' if len(legs) > 1 else ''} {', '.join(map(str, sorted(legs)))}"
