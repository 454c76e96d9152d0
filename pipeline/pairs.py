"""Pairs: an event as the directions in which it can be traded, its books as legs, its legs as orders.

In: events, book rows, market rows. Out: `Direction`, `EdgeLeg`s and `OrderLeg`s. Pure. Polarity is
flipped here, when an event becomes directions, and nowhere else: from then on a leg says what is done
with the venue's own market.

Directions are numbered for ever: of the legs i < j of a pair, number 2k buys leg i and sells leg j, 2k + 1
is the reverse; a basket's 0 buys every YES and 1 every NO; implications and ladders have one for each
i < j; a held pair is closed by its own number + CLOSE_BASE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import combinations

from pipeline.edge import Edge, EdgeLeg
from pipeline.model import FeeKind, FeeSchedule, Scale
from pipeline.model_events import (
    BASKET,
    BINARY,
    CLOSE,
    COMPLEMENT,
    IMPLICATION,
    LADDER,
    MODEL,
    SPOT,
    Event,
    EventLeg,
    LegPlan,
    OrderLeg,
)
from pipeline.payoff import PayoffTable, table
from shm.books import BookRow
from shm.records import MarketRow

CLOSE_BASE = 1_000


@dataclass(frozen=True, slots=True)
class Direction:
    """One way to trade an event: what is done with which legs. `kind` is the event's, or CLOSE."""

    event: Event
    index: int
    kind: str
    legs: tuple[LegPlan, ...]
    table: PayoffTable = field(compare=False)

    @property
    def buy(self) -> EventLeg:
        """The first leg: of a pair, the one whose YES or coin is bought."""
        return self.legs[0].leg

    @property
    def sell(self) -> EventLeg:
        """The second leg; of a direction with one leg, that one."""
        return self.legs[-1 if len(self.legs) == 1 else 1].leg

    @property
    def key(self) -> tuple[str, int]:
        """What names it in messages and tables."""
        return self.event.id, self.index


def directions(events: Iterable[Event]) -> list[Direction]:
    """Every direction of every event that makes sense; what does not make sense has none.

    Spot has no other outcome, so an inverse spot leg makes no pair, and no market pairs with itself.
    """
    return [direction for event in events for direction in _of(event)]


def _of(event: Event) -> Iterator[Direction]:
    named = {(leg.venue, leg.market) for leg in event.legs}
    if len(named) < max(2, len(event.legs)):
        return
    if event.kind in {BINARY, SPOT}:
        plans = _spot_plans if event.kind == SPOT else _binary_plans
        index = 0
        for first, second in combinations(event.legs, 2):
            for buy, sell in ((first, second), (second, first)):
                if event.kind == BINARY or not (is_inverse(buy) or is_inverse(sell)):
                    yield _direction(event, index, plans(buy, sell))
                index += 1
    elif event.kind == COMPLEMENT and len(event.legs) == 2:
        # Each token has a book of its own: both are bought from their own asks.
        first, second = event.legs
        if is_inverse(first) == is_inverse(second):
            second = replace(second, polarity="same" if is_inverse(first) else "inverse")
            event = replace(event, legs=(first, second))
        yield _direction(event, 0, (LegPlan(first, "buy", "yes"), LegPlan(second, "buy", "yes")))
    elif event.kind == BASKET:
        for index, yes in enumerate((True, False)):
            yield _direction(event, index, tuple(_contract(leg, yes=yes) for leg in event.legs))
    elif event.kind in {IMPLICATION, LADDER}:
        for index, (low, high) in enumerate(combinations(event.legs, 2)):
            # An implication's legs imply those that follow, a ladder's (by rising strike) those before.
            implying, implied = (low, high) if event.kind == IMPLICATION else (high, low)
            legs = _contract(implied, yes=True), _contract(implying, yes=False)
            yield _direction(event, index, legs)
    elif event.kind == MODEL:
        asked = [leg for leg in event.legs if leg.outcome != "base"]
        if len(asked) == 1:
            for index, yes in enumerate((True, False)):
                yield _direction(event, index, (_contract(asked[0], yes=yes),))


def _direction(event: Event, index: int, plans: tuple[LegPlan, ...]) -> Direction:
    return Direction(event, index, event.kind, plans, table(event, plans))


def is_inverse(leg: EventLeg) -> bool:
    """Whether the YES of this market is the event's NO."""
    return leg.polarity == "inverse"


def _contract(leg: EventLeg, *, yes: bool) -> LegPlan:
    """Buy the event's YES or NO on a market."""
    return LegPlan(leg, "buy", "yes" if yes != is_inverse(leg) else "no")


def _binary_plans(buy: EventLeg, sell: EventLeg) -> tuple[LegPlan, LegPlan]:
    """Binary pairs only ever buy: the event's YES on one venue, its NO on the other."""
    return _contract(buy, yes=True), _contract(sell, yes=False)


def _spot_plans(buy: EventLeg, sell: EventLeg) -> tuple[LegPlan, LegPlan]:
    return LegPlan(buy, "buy", "base"), LegPlan(sell, "sell", "base")


def closing(direction: Direction) -> Direction | None:
    """How what the direction bought is sold again; None where that is no close (spot, baskets, models)."""
    if direction.kind not in {BINARY, COMPLEMENT, IMPLICATION, LADDER}:
        return None
    legs = tuple(LegPlan(plan.leg, "sell", plan.outcome) for plan in direction.legs)
    return Direction(direction.event, CLOSE_BASE + direction.index, CLOSE, legs, direction.table)


Held = Mapping[tuple[str, str, str, str], Decimal]
"""Contracts by event, venue, market and outcome."""


def least_held(closing: Direction, held: Held) -> Decimal:
    """How much of all that a closing direction sells is held: the least of its legs, in contracts."""
    event = closing.event.id
    sold = ((event, plan.leg.venue, plan.leg.market, plan.outcome) for plan in closing.legs)
    return min(held.get(key, Decimal(0)) for key in sold)


def published_fee(market: MarketRow) -> FeeSchedule:
    """The schedule that the feed found for the market."""
    return FeeSchedule(
        FeeKind(market.fee_kind),
        market.fee_rate_ppm,
        market.fee_maker_rate_ppm,
        market.fee_exponent,
        market.fee_precision_micros,
        market.fee_per_unit_micros,
        market.fee_waived_until_ns,
        market.fee_source,
        market.fee_as_of_ns,
    )


def edge_leg(plan: LegPlan, book: BookRow, market: MarketRow, fee: FeeSchedule) -> EdgeLeg:
    """The side of the book that the plan uses up. The market's scale must be known."""
    return EdgeLeg(
        book.asks if plan.takes_asks else book.bids,
        Scale(market.price_decimals, market.size_decimals),
        fee,
        plan.action,
        plan.outcome,
        market.grid_ticks,
        market.lot_units,
        market.min_units,
        market.min_cost_micros,
    )


def order_legs(direction: Direction, edge: Edge, scales: Sequence[Scale]) -> tuple[OrderLeg, ...]:
    """The orders of an edge, one a leg, with limits in the books' own terms."""
    return tuple(
        _order(plan, leg.limit_ticks, edge, scale)
        for plan, leg, scale in zip(direction.legs, edge.legs, scales, strict=True)
    )


def _order(plan: LegPlan, limit_ticks: int, edge: Edge, scale: Scale) -> OrderLeg:
    """An order for the edge's size on the market's own scale."""
    units, rest = divmod(edge.size_units, 10 ** (edge.size_decimals - scale.size_decimals))
    assert rest == 0, f"{edge.size_units} is off the size scale of {plan.leg.venue} {plan.leg.market}"
    leg = plan.leg
    return OrderLeg(leg.venue, leg.market, plan.outcome, plan.action, limit_ticks, units, scale)
