"""Event rows: what the scanner wrote about a direction, as one row of the screen, and holdings as another.

In: rows of the scanner's table, legs from the feeds' pictures. Out: `EventView`, `LineView`, and holdings in
the event's terms. `event_table` asks for a view when a row is drawn, `source` for holdings once a tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dashboard.event_layout import Named
from dashboard.event_views import (
    EdgeView,
    EventView,
    LegView,
    LineView,
)
from dashboard.snapshot import PositionLeg, PositionView
from shm.records import EventPositionRow, EventRow, PositionRow

MODEL = "model"
# Kinds that are hedged by holding as much of every leg.
EQUAL_KINDS = ("basket", "complement")
MAX_REMEMBERED = 16_384

# venue, market, inverse -> the leg as its feed shows it
LegReader = Callable[[str, str, bool], LegView]


class EventRows:
    """Remembers what positions need while the scanner is away."""

    def __init__(self) -> None:
        # Whether the YES of (venue, market) is the event's NO.
        self._inverse: dict[tuple[str, str], bool] = {}
        self.kinds: dict[tuple[str, int], str] = {}
        """The kind of every direction seen, by event and number."""
        # How many legs the events of EQUAL_KINDS have.
        self._equal: dict[str, int] = {}

    def remember(self, rows: Iterable[Named]) -> None:
        """Note the polarity of all legs, how many legs must be equal, and the kinds."""
        for row in rows:
            self.kinds[row.event_id, row.direction] = row.kind
            self._inverse[row.buy_venue, row.buy_market] = bool(row.buy_inverse)
            self._inverse[row.sell_venue, row.sell_market] = bool(row.sell_inverse)
            if row.kind in EQUAL_KINDS:
                self._equal[row.event_id] = row.legs
        remembered: tuple[dict[Any, Any], ...] = (self._inverse, self._equal, self.kinds)
        for known in remembered:
            while len(known) > MAX_REMEMBERED:
                del known[next(iter(known))]

    def position(self, rows: list[PositionRow], total: EventPositionRow | None) -> PositionView:
        """One event's holdings in its YES terms; several outcomes of one market are netted.

        EQUAL_KINDS are hedged by holding as much of every leg, anything else by YES against NO.
        """
        decimals = max(row.size_decimals for row in rows)
        each: dict[tuple[str, str], int] = {}
        for row in rows:
            inverse = self._inverse.get((row.venue, row.market), False)
            sign = -1 if (row.outcome == "no") != inverse else 1
            units = sign * row.units * 10 ** (decimals - row.size_decimals)
            each[row.venue, row.market] = each.get((row.venue, row.market), 0) + units
        net = sum(each.values())
        legs = self._equal.get(rows[0].event_id)
        if legs is not None:
            sizes = [*(abs(units) for units in each.values()), *[0] * (legs - len(each))]
            net = max(sizes) - min(sizes)
        marked = all(row.marked for row in rows)
        return PositionView(
            event_id=rows[0].event_id,
            title=rows[0].title,
            legs=tuple(_held(each)),
            net_units=net,
            size_decimals=decimals,
            cost_micros=sum(row.cost_micros for row in rows),
            unrealised_micros=sum(row.unrealised_micros for row in rows) if marked else None,
            total=total,
            outcomes=tuple(rows),
        )


def _held(each: dict[tuple[str, str], int]) -> Iterator[PositionLeg]:
    """Holdings by venue and market as one leg a venue."""
    venues: dict[str, list[int]] = {}
    for (venue, _), units in each.items():
        venues.setdefault(venue, []).append(units)
    for venue, sizes in venues.items():
        most = sizes[0] if len(sizes) == 1 else max(abs(size) for size in sizes)
        yield PositionLeg(venue, most, len(sizes))


def pair_view(even: EventRow | None, odd: EventRow | None, leg: LegReader, now_ns: int) -> EventView:
    """An event from one or both of its directions; the even one buys the first leg."""
    row = even or odd
    assert row is not None, "a pair has a direction"
    bought = leg(row.buy_venue, row.buy_market, bool(row.buy_inverse))
    sold = leg(row.sell_venue, row.sell_market, bool(row.sell_inverse))
    return EventView(
        id=row.event_id,
        title=row.title,
        kind=row.kind,
        close_wall_ns=row.close_wall_ns,
        legs=(bought, sold) if even is not None else (sold, bought),
        edges=(
            _edge(even, now_ns) if even is not None else None,
            _edge(odd, now_ns) if odd is not None else None,
        ),
    )


def line_view(row: EventRow, leg: LegReader, now_ns: int) -> LineView:
    """A direction by itself: its one or two named legs as their venues publish them."""
    named = [(row.buy_venue, row.buy_market, row.buy_action, row.buy_outcome)]
    if row.legs > 1:
        named.append((row.sell_venue, row.sell_market, row.sell_action, row.sell_outcome))
    return LineView(
        id=row.event_id,
        title=row.title,
        kind=row.kind,
        close_wall_ns=row.close_wall_ns,
        count=max(row.legs, len(named)),
        legs=tuple(leg(venue, market, False) for venue, market, _, _ in named),
        deals=tuple((action, outcome) for _, _, action, outcome in named),
        edge=_edge(row, now_ns),
        odds=(row.model_low_ppm, row.model_ppm, row.model_high_ppm) if row.kind == MODEL else None,
    )


def _edge(row: EventRow, now_ns: int) -> EdgeView:
    """One direction of an event as the scanner left it."""
    return EdgeView(
        buy_venue=row.buy_venue,
        sell_venue=row.sell_venue,
        has_numbers=bool(row.has_numbers),
        edge_bp=row.edge_bp,
        gross_bp=row.gross_bp,
        reason=row.reason,
        value_micros=row.value_micros,
        limit_micros=row.limit_micros,
        confidence=row.confidence,
        size_units=row.size_units,
        size_decimals=row.size_decimals,
        age_ns=max(0, now_ns - row.computed_ns),
        net_micros=row.net_micros,
        cash_micros=row.cash_micros,
        annual_bp=row.annual_bp,
        race_ppm=row.race_ppm,
        race_count=row.race_count,
        gross_micros=row.gross_micros,
        depth_micros=row.depth_micros,
        fee_buy_micros=row.fee_buy_micros,
        fee_sell_micros=row.fee_sell_micros,
        leg_risk_micros=row.leg_risk_micros,
        lock_up_micros=row.lock_up_micros,
        mismatch_ppm=row.mismatch_ppm,
        life_ns=max(0, now_ns - row.born_ns) if row.born_ns else None,
    )


def deal_ticks(leg: LegView, action: str, outcome: str) -> tuple[int, bool] | None:
    """What a unit of the outcome costs at the best level, or brings if sold, in ticks, and whether it is
    paid; None where that side is empty.

    A contract's NO is bought from the bids of YES at 1 less their price, and sold to its asks.
    """
    pays = action != "sell"
    level = leg.ask if pays == (outcome != "no") else leg.bid
    if level is None:
        return None
    return (10**leg.price_decimals - level[0] if outcome == "no" else level[0]), pays
