"""Flattening: what sells off what is held of an event: which pairs, which legs alone, at which prices.

In: an event's directions, what is held of it, its books as they are now. Out: a plan with its orders, or in
words why there is none. Pure; asked by `flatten`.

Pairs go first, both legs in equal sizes, so that nothing stands alone which did not before; then legs whose
counterpart is gone. A plan promises nothing and its pair is worth nothing, because the person wants out: so a
leg that comes short is completed wherever its book allows it, and taken back only where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from pipeline.look import Look
from pipeline.model import FeeKind, FeeSchedule, Reason, Scale
from pipeline.model_events import CLOSE, MODEL, SPOT, LegPlan, OrderLeg
from pipeline.money import money_text
from pipeline.pairs import CLOSE_BASE, Direction
from pipeline.pricing import leg_view
from pipeline.trader.broker import Refused
from pipeline.trader.evidence import polarity_of
from pipeline.trader.plan import FLATTEN, PlanLeg, TradePlan
from pipeline.trader.repair import Sale, Stock, sell_off

Looks = Callable[[LegPlan], Look | None]
Held = Callable[[Direction], Decimal]
NO_FEE = FeeSchedule(FeeKind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class SellOff:
    """What is sent next: the plan, its orders by leg, the books they were priced on, and how many contracts
    of each leg are held.
    """

    plan: TradePlan
    sales: tuple[Sale, ...]
    looks: tuple[Look | None, Look | None]
    held: Decimal

    @property
    def orders(self) -> tuple[OrderLeg, OrderLeg]:
        """The order of each leg; of a leg that is not sold nobody asks."""
        return self.sales[0].order, self.sales[-1].order

    def evidence(self, number: int) -> dict[str, object]:
        """Why it is sent, for the journal."""
        return {
            "flatten": number,
            "held": self.held,
            "size_units": self.plan.size_units,
            "size_decimals": self.plan.size_decimals,
            "brings": [sale.brings for sale in self.sales],
            "fees": [sale.fee for sale in self.sales],
            "fees_high": [sale.fee_high for sale in self.sales],
            "edge_bp": 0,
            "net": Decimal(0),
            "cash": Decimal(0),
        }


@dataclass(frozen=True, slots=True)
class NoSale:
    """Nothing can be sold now, for `why`. `waits` says whether later books may change that."""

    why: str
    waits: bool


def next_sale(
    directions: Iterable[Direction], held: Held, stock: Stock, look: Looks, trade_id: str, wall_ns: int
) -> SellOff | NoSale:
    """The next orders that sell what is held of one event. `held` says how many contracts there are of all
    legs of a direction that sells, `stock` how many of one leg.
    """
    ways = list(_ways(directions, held))
    refusals: list[NoSale] = []
    for plan_of, legs, quantity, alone in ways:
        found = _try(plan_of, legs, quantity, alone, stock, look, trade_id, wall_ns)
        if isinstance(found, SellOff):
            return found
        refusals.append(found)
    if not refusals:
        return NoSale("no direction of the event sells what is held of it", waits=False)
    return next((each for each in refusals if each.waits), refusals[0])


Way = tuple[Direction, tuple[LegPlan, LegPlan], Decimal, int]
"""A direction that opens, its legs as they are sold, how much is held, the leg sold alone (-1: both)."""


def _ways(directions: Iterable[Direction], held: Held) -> list[Way]:
    """Every pair that is held; where there is none, every leg of what is left."""
    pairs: list[Way] = []
    alone: dict[tuple[str, str, str], Way] = {}
    for direction in directions:
        plans = direction.legs
        opens = direction.kind not in {CLOSE, MODEL, SPOT} and len(plans) == 2
        if not opens or any(plan.action != "buy" for plan in plans):
            continue
        first, second = (LegPlan(plan.leg, "sell", plan.outcome) for plan in plans)
        both = held(replace(direction, kind=CLOSE, legs=(first, second)))
        if both > 0:
            pairs.append((direction, (first, second), both, -1))
        for number, leg in enumerate((first, second)):
            one = held(replace(direction, kind=CLOSE, legs=(leg,)))
            if one > 0:
                name = leg.leg.venue, leg.leg.market, leg.outcome
                alone.setdefault(name, (direction, (first, second), one, number))
    return pairs or list(alone.values())


def _try(
    direction: Direction,
    legs: tuple[LegPlan, LegPlan],
    quantity: Decimal,
    alone: int,
    stock: Stock,
    look: Looks,
    trade_id: str,
    wall_ns: int,
) -> SellOff | NoSale:
    """The orders of one way, or why there are none."""
    looks = look(legs[0]), look(legs[1])
    sold = [looks[alone]] if alone >= 0 else looks
    if any(each is None or min(each.scale.price_decimals, each.scale.size_decimals) < 0 for each in sold):
        return NoSale(_words(legs, alone, Reason.BOOK_MISSING), waits=True)
    plan = _plan(direction, legs, looks, alone, trade_id, wall_ns)
    sales = sell_off(plan, quantity, looks, stock, wall_ns)
    if isinstance(sales, Refused):
        # What is less than an order however the books are stays for ever.
        too_little = sales.reason is Reason.BELOW_MINIMUM and sales.value == quantity
        numbers = f" ({money_text(sales.value)} against {money_text(sales.limit)})"
        return NoSale(_words(legs, alone, sales.reason) + numbers, waits=not too_little)
    order = sales[0].order
    plan = replace(plan, size_units=order.size_units, size_decimals=order.scale.size_decimals)
    return SellOff(plan, sales, looks, quantity)


def _words(legs: tuple[LegPlan, LegPlan], alone: int, reason: Reason) -> str:
    """What cannot be sold, and why."""
    named = legs if alone < 0 else (legs[alone],)
    texts = [f"{plan.outcome} at {plan.leg.venue}" for plan in named]
    return f"{' and '.join(texts)}: {reason.name}"


def _plan(
    direction: Direction,
    legs: tuple[LegPlan, LegPlan],
    looks: tuple[Look | None, Look | None],
    alone: int,
    trade_id: str,
    wall_ns: int,
) -> TradePlan:
    """The trade before its size is known; a leg that is not sold and has no book counts like the other."""
    scales = [look.scale for look in looks if look is not None]
    plan_legs = []
    for number, (plan, look) in enumerate(zip(legs, looks, strict=True)):
        scale: Scale = look.scale if look is not None else scales[0]
        fee = leg_view(look, wall_ns).fee if look is not None else NO_FEE
        names = plan.leg.venue, plan.leg.market, plan.outcome, plan.action
        plan_legs.append(PlanLeg(*names, polarity_of(direction, number), scale, fee))
    return TradePlan(
        trade_id=trade_id,
        event_id=direction.event.id,
        kind=CLOSE,
        direction=CLOSE_BASE + direction.index,
        mode=FLATTEN,
        legs=(plan_legs[0], plan_legs[1]),
        payoff=Decimal(0),
        size_units=1,
        size_decimals=0,
        edge_bp=0,
        net=Decimal(0),
        cash=Decimal(0),
        race_ppm=0,
        latency_ns=0,
        first=alone,
    )
