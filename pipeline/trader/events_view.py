"""Events view: what is held of each event, over all venues, and what of it is hedged.

In: the account, marks, what a pair of an event pays at worst, which rests are dust and which events have
orders on their way. Out: an `EventPosition` an event. Pure; used by the trader for its segment and by
reports.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import IntEnum

from pipeline.model import EXACT
from pipeline.money import to_decimal
from pipeline.trader.holding import ONE, ZERO, Dust, Holding, Mark, exact_sum
from pipeline.trader.positions import Positions

MEDIUM_USD, HIGH_USD = Decimal(20), Decimal(50)

Place = tuple[str, str]
"""Venue and outcome."""


class Band(IntEnum):
    """S1's colours of an exposure: below $20 green, $20 to $50 yellow, above red. Both ends are yellow."""

    GREEN = 0
    YELLOW = 1
    RED = 2


class Hedge(IntEnum):
    """HEDGED: no rest, or dust. ON_ITS_WAY: a rest, and orders that may hedge it. UNHEDGED: a rest alone."""

    HEDGED = 0
    ON_ITS_WAY = 1
    UNHEDGED = 2


@dataclass(frozen=True, slots=True)
class EventPosition:
    """What is held of one event.

    `quantities` and `averages` (dollars a unit, rounded, for display) are by venue and outcome. `hedged` is
    held in pairs, `net` without a counterpart (YES or coins positive). `gross` is the cost of all that is
    open, `net_exposure` that of the rest alone; the band is that of `gross`. `fees` are those of the trades
    that are open. `locked` is what the pairs earn for sure: their payoff at worst less their cost and all
    `fees`; of spot it is 0, because a coin that was bought and sold is a result already. `unrealised` is
    what selling all now would bring beyond its cost, None where a live book is missing.
    """

    event_id: str
    quantities: Mapping[Place, Decimal]
    averages: Mapping[Place, Decimal]
    hedged: Decimal
    net: Decimal
    gross: Decimal
    net_exposure: Decimal
    fees: Decimal
    locked: Decimal
    unrealised: Decimal | None
    band: Band
    state: Hedge
    size_decimals: int
    opened_wall_ns: int


def band_of(dollars: Decimal) -> Band:
    """The colour of an exposure; exactly $20 and exactly $50 are yellow."""
    if dollars < MEDIUM_USD:
        return Band.GREEN
    return Band.YELLOW if dollars <= HIGH_USD else Band.RED


def event_positions(
    positions: Positions,
    mark: Mark,
    payoff: Callable[[str], Decimal] = lambda _event_id: ONE,
    dust: Dust | None = None,
    working: Container[str] = frozenset(),
) -> list[EventPosition]:
    """Every event of which something is open, the oldest first.

    `payoff` says what a pair of an event pays at worst (a binary pair 1), `working` names events that have
    orders on their way.
    """
    by_event: dict[str, list[Holding]] = {}
    for holding in positions.holdings():
        by_event.setdefault(holding.key.event_id, []).append(holding)
    fees = positions.open_fees()
    lone = positions.unhedged_events(dust)
    found = []
    for event_id, held in by_event.items():
        state = Hedge.HEDGED
        if event_id in lone:
            state = Hedge.ON_ITS_WAY if event_id in working else Hedge.UNHEDGED
        paid = fees.get(event_id, ZERO)
        found.append(_event(positions, event_id, held, mark, payoff(event_id), paid, state))
    return found


def _event(
    positions: Positions,
    event_id: str,
    held: list[Holding],
    mark: Mark,
    payoff: Decimal,
    fees: Decimal,
    state: Hedge,
) -> EventPosition:
    split = positions.split(event_id)
    gross = exact_sum(*(each.cost.copy_abs() for each in held))
    quantities = _by_place(held, lambda each: to_decimal(each.units, each.size_decimals))
    opened = _by_place(held, lambda each: each.open_quantity)
    costs = _by_place(held, lambda each: each.cost)
    hedged, locked = split.hedged, ZERO
    if any(each.key.outcome == "base" for each in held):
        # Coins bought at one venue and sold at another: a stock that has moved, and a result already.
        hedged = min(
            exact_sum(*(abs(size) for size in quantities.values() if (size > 0) == bought))
            for bought in (True, False)
        )
    elif hedged:
        with localcontext(EXACT):
            locked = payoff * hedged - split.pair_cost - fees
    return EventPosition(
        event_id=event_id,
        quantities=quantities,
        averages={place: costs[place] / opened[place] if opened[place] else ZERO for place in costs},
        hedged=hedged,
        net=split.net,
        gross=gross,
        net_exposure=split.net_cost,
        fees=fees,
        locked=locked,
        unrealised=_unrealised(held, mark),
        band=band_of(gross),
        state=state,
        size_decimals=max(each.size_decimals for each in held),
        opened_wall_ns=min(each.opened_wall_ns for each in held),
    )


def _by_place(held: list[Holding], amount: Callable[[Holding], Decimal]) -> dict[Place, Decimal]:
    found: dict[Place, Decimal] = {}
    for each in held:
        place = each.key.venue, each.key.outcome
        found[place] = EXACT.add(found.get(place, ZERO), amount(each))
    return found


def _unrealised(held: list[Holding], mark: Mark) -> Decimal | None:
    gains = []
    for each in held:
        if each.open_quantity:
            value = mark(each.key, each.open_quantity)
            if value is None:
                return None
            gains.append(EXACT.subtract(value, each.cost))
    return exact_sum(*gains)
