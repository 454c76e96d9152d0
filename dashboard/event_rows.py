"""Event rows: what the scanner wrote about each direction, as pairs to and fro and as lines of their own.

In: rows of the scanner's table, legs from the feeds' memory. Out: `EventView`, `LineView`, and holdings in
the event's terms. Run by `source` once a tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dashboard.snapshot import EdgeView, EventView, LegView, LineView, PositionLeg, PositionView
from shm.records import EventRow, PositionRow

# Kinds whose two directions buy the same and sell the same, one the other way round.
PAIR_KINDS = ("binary", "spot")
MODEL = "model"
# Kinds that are hedged by holding as much of every leg.
EQUAL_KINDS = ("basket", "complement")
MAX_REMEMBERED = 4096

# venue, market, inverse -> the leg as its feed shows it
LegReader = Callable[[str, str, bool], LegView]


class EventRows:
    """Turns rows into views, and remembers what positions need while the scanner is away."""

    def __init__(self) -> None:
        # Whether the YES of (venue, market) is the event's NO.
        self._inverse: dict[tuple[str, str], bool] = {}
        self.kinds: dict[tuple[str, int], str] = {}
        """The kind of every direction seen, by event and number."""
        # How many legs the events of EQUAL_KINDS have.
        self._equal: dict[str, int] = {}

    def views(
        self, rows: Iterable[EventRow], leg: LegReader, now_ns: int
    ) -> tuple[tuple[EventView, ...], tuple[LineView, ...]]:
        """One view per event and pair of markets, one per other direction; in the scanner's order."""
        pairs: dict[tuple[str, frozenset[tuple[str, str]]], dict[int, EventRow]] = {}
        lines = []
        for row in rows:
            self._remember(row)
            if row.kind in PAIR_KINDS:
                legs = ((row.buy_venue, row.buy_market), (row.sell_venue, row.sell_market))
                # Of a pair, even numbers buy its first leg and odd ones its second.
                pairs.setdefault((row.event_id, frozenset(legs)), {})[row.direction % 2] = row
            else:
                lines.append(_line(row, leg, now_ns))
        return tuple(_pair(found, leg, now_ns) for found in pairs.values()), tuple(lines)

    def _remember(self, row: EventRow) -> None:
        """Note the polarity of both legs, and how many legs must be equal."""
        remembered: tuple[dict[Any, Any], ...] = (self._inverse, self._equal, self.kinds)
        for known in remembered:
            if len(known) >= MAX_REMEMBERED:
                known.clear()
        self.kinds[row.event_id, row.direction] = row.kind
        self._inverse[row.buy_venue, row.buy_market] = bool(row.buy_inverse)
        self._inverse[row.sell_venue, row.sell_market] = bool(row.sell_inverse)
        if row.kind in EQUAL_KINDS:
            self._equal[row.event_id] = row.legs

    def position(self, rows: list[PositionRow]) -> PositionView:
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
        )


def _held(each: dict[tuple[str, str], int]) -> Iterator[PositionLeg]:
    """Holdings by venue and market as one leg a venue."""
    venues: dict[str, list[int]] = {}
    for (venue, _), units in each.items():
        venues.setdefault(venue, []).append(units)
    for venue, sizes in venues.items():
        most = sizes[0] if len(sizes) == 1 else max(abs(size) for size in sizes)
        yield PositionLeg(venue, most, len(sizes))


def _pair(rows: dict[int, EventRow], leg: LegReader, now_ns: int) -> EventView:
    """An event from one or both of its directions; the even one buys the first leg."""
    row = rows.get(0) or rows[1]
    bought = leg(row.buy_venue, row.buy_market, bool(row.buy_inverse))
    sold = leg(row.sell_venue, row.sell_market, bool(row.sell_inverse))
    return EventView(
        id=row.event_id,
        title=row.title,
        kind=row.kind,
        close_wall_ns=row.close_wall_ns,
        legs=(bought, sold) if 0 in rows else (sold, bought),
        edges=(
            _edge(rows[0], now_ns) if 0 in rows else None,
            _edge(rows[1], now_ns) if 1 in rows else None,
        ),
    )


def _line(row: EventRow, leg: LegReader, now_ns: int) -> LineView:
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
