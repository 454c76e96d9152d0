"""Edge curve: net against size over the whole depth, and the sizes where a trade begins and ceases to
pay.

In: the legs and the payoff of `edge.evaluate`. Out: points and sizes, exact, at one fill a level. Pure;
for people and reports, not for the order path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.edge import EdgeLeg, Trade
from pipeline.edge_sides import NO_LIMIT
from pipeline.edge_walk import Stretch, Walk
from pipeline.fees import FLOOR_SCALE

SEARCH_LIMIT = 200_000
"""Most sizes tried for one break-even size. Beyond it the nearest level end stands."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What a size leaves. `size_units` is on the finest of the legs' size scales, `edge_bp` as in
    `Edge`.
    """

    size_units: int
    net: Decimal
    edge_bp: int


@dataclass(frozen=True, slots=True)
class BreakEven:
    """The smallest size with a net above 0 and the largest with one not below; None where there is
    none.
    """

    smallest: int | None
    largest: int | None


def curve(legs: Sequence[EdgeLeg], payoff: Decimal, points: int = 64) -> list[CurvePoint]:
    """Net and bp at the smallest order and at every level's end, on the lot grid.

    At most `points` of them (at least 2), evenly taken, the first and the last always. Empty where
    `evaluate` gives None without caps. Raises ValueError where a fee is not known.
    """
    found = _walk(legs, payoff)
    if found is None:
        return []
    trade, walk = found
    sizes = [walk.smallest, *[stretch.high for stretch in walk.stretches()]]
    sizes = list(dict.fromkeys(sizes))
    if len(sizes) > points:
        last, steps = len(sizes) - 1, max(points, 2) - 1
        sizes = [sizes[step * last // steps] for step in range(steps + 1)]
    edges = [trade.edge(size) for size in sizes]
    return [CurvePoint(edge.size_units, edge.net, edge.edge_bp) for edge in edges]


def break_even(legs: Sequence[EdgeLeg], payoff: Decimal) -> BreakEven:
    """The sizes between which a trade pays; rounding makes single sizes within lose all the same.

    No caps are counted. Raises ValueError where a fee is not known.
    """
    found = _walk(legs, payoff)
    if found is None:
        return BreakEven(None, None)
    walk = found[1]
    stretches = list(walk.stretches())
    smallest = largest = None
    for stretch in stretches:
        smallest = _first(walk, stretch, least=1, upward=True)
        if smallest is not None:
            break
    for stretch in reversed(stretches):
        largest = _first(walk, stretch, least=0, upward=False)
        if largest is not None:
            break
    return BreakEven(smallest, largest)


def _walk(legs: Sequence[EdgeLeg], payoff: Decimal) -> tuple[Trade, Walk] | None:
    """The walk over all sizes that the venues accept."""
    trade = Trade(legs, payoff)
    smallest = trade.smallest(legs)
    if smallest is None:
        return None
    return trade, Walk(trade.sides, trade.payoff, trade.lot, smallest, NO_LIMIT)


def _first(walk: Walk, stretch: Stretch, *, least: int, upward: bool) -> int | None:
    """The first size of a stretch with a net of at least `least` money units, from its low end or
    from its high end.

    The net is never above its line, so sizes where the line is below `least` are jumped over.
    """
    lot, slope = walk.lot, stretch.slope
    low, high = stretch.low, stretch.high
    goal = least * FLOOR_SCALE + stretch.offset
    if slope > 0:
        low = max(low, _on_grid(-(-goal // slope), lot))
    elif slope < 0:
        high = min(high, goal // slope // lot * lot)
    elif goal > 0:
        return None
    size, end, step = (low, high, lot) if upward else (high, low, -lot)
    for _ in range(SEARCH_LIMIT):
        if not low <= size <= high:
            return None
        skip = walk.hopeless(stretch, size, step, slope * (size if slope * step < 0 else end) - goal)
        if skip is None:
            return None
        size += skip * step
        if low <= size <= high and walk.net(stretch, size) >= least:
            return size
        size += step
    end = stretch.high if upward else stretch.low
    return end if walk.net(stretch, end) >= least else None


def _on_grid(size: int, lot: int) -> int:
    """The next size on the grid."""
    return -(-size // lot) * lot
