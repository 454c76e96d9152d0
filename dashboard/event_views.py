"""Event views: events, edges, books and their depth, as frozen values.

In: what `source` copied out of memory. Out: parts of a `Snapshot`, and the detail of one event. Ages are
those of the picture's moment. Texts are as others wrote them: whoever draws them cleans them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.model import BookFlag, BookState, Level, MarketResult, MarketStatus
from shm.records import LifeRow

NO_FLAGS = BookFlag(0)


@dataclass(frozen=True, slots=True)
class LegView:
    """One market of an event; `bid` and `ask` (ticks, units) are in the event's YES terms."""

    venue: str
    market: str
    state: BookState
    bid: Level | None = None
    ask: Level | None = None
    price_decimals: int = 0
    size_decimals: int = 0
    age_ns: int | None = None
    status: MarketStatus = MarketStatus.UNKNOWN
    result: MarketResult = MarketResult.NONE
    flags: BookFlag = NO_FLAGS


@dataclass(frozen=True, slots=True)
class EdgeView:
    """One direction as the scanner evaluated it; numbers mean something only with `has_numbers`."""

    buy_venue: str
    sell_venue: str
    has_numbers: bool
    edge_bp: int
    gross_bp: int
    reason: int
    value_micros: int
    limit_micros: int
    confidence: int
    size_units: int
    size_decimals: int
    age_ns: int
    net_micros: int = 0
    cash_micros: int = 0
    annual_bp: int = 0
    race_ppm: int = 0
    race_count: int = 0
    """How many lives the race is measured on; 0 where it is the prior."""
    gross_micros: int = 0
    depth_micros: int = 0
    fee_buy_micros: int = 0
    fee_sell_micros: int = 0
    leg_risk_micros: int = 0
    lock_up_micros: int = 0
    mismatch_ppm: int = 0
    life_ns: int | None = None
    """How long the edge has lived; None where there is none."""


@dataclass(frozen=True, slots=True)
class EventView:
    """One event on one pair of venues: edges[0] buys the first leg, edges[1] the second."""

    id: str
    title: str
    kind: str
    close_wall_ns: int
    legs: tuple[LegView, LegView]
    edges: tuple[EdgeView | None, EdgeView | None]


@dataclass(frozen=True, slots=True)
class LineView:
    """One direction that is no pair of venues to and fro: a complement, a basket, an implication, a
    ladder, a model, or a held pair to close.

    `legs` are the named ones of `count`, in their book's own terms, and `deals` what is done with each:
    action and outcome. `odds` are the model's low, middle and high in millionths, None for arbitrage.
    """

    id: str
    title: str
    kind: str
    close_wall_ns: int
    count: int
    legs: tuple[LegView, ...]
    deals: tuple[tuple[str, str], ...]
    edge: EdgeView
    odds: tuple[int, int, int] | None = None


class Events(Protocol):
    """What the scanner looks at: a row per pair of markets, then a row per other direction.

    A row is made when it is asked for: drawing a screen costs what is in sight, not what there is.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> EventView | LineView: ...

    @property
    def ids(self) -> set[str]:
        """The ids of the events."""
        ...

    def key(self, index: int) -> str:
        """What names this row from one picture to the next."""
        ...

    def group(self, index: int) -> tuple[str, str] | None:
        """The venues of a pair of markets, None for another direction: what a heading stands over."""
        ...

    def find(self, key: str) -> int | None:
        """The row of that key, None where it is gone."""
        ...

    def arrange(self, sort: str, *, descending: bool, needle: str = "") -> Sequence[int]:
        """The rows whose event id, title, kind, venue or market contains `needle` (case does not matter),
        sorted by one of EVENT_SORTS; "" is the scanner's order. Rows of equal rank stay in that order.

        Whatever `descending`, rows without a number come last.
        """
        ...


EVENT_SORTS = ("event", "edge", "net", "age", "close", "kind")


@dataclass(frozen=True, slots=True)
class LadderView:
    """One leg's book to full depth, in the event's YES terms; levels are (ticks, units), best first."""

    leg: LegView
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    witnessed_ns: int | None = None
    """How long ago the venue's REST agreed with it; None where it never did."""


@dataclass(frozen=True, slots=True)
class CurveView:
    """What one direction leaves at each size: (units on `size_decimals`, net in micros), smallest first.

    Empty where `problem` says why it could not be priced. Every point is `pipeline.edge`'s.
    """

    buy_venue: str
    sell_venue: str
    size_decimals: int = 0
    points: tuple[tuple[int, int], ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class EventDetail:
    """One row of `Events` to full depth. `row` is None once the scanner no longer has it; the ladders and
    curves are then those of the last picture, and `gone` is set.
    """

    key: str
    row: EventView | LineView | None
    ladders: tuple[LadderView, ...] = ()
    curves: tuple[CurveView, ...] = ()
    history: tuple[tuple[int, tuple[int | None, int | None]], ...] = ()
    """(age in ns, the edges in bp of both directions; None where there was none), oldest first."""
    lives: tuple[LifeRow, ...] = ()
    """Opportunities of this event that ended, newest first."""
    gone: bool = False


class ListedEvents:
    """`Events` that are all there already: of a test, and of a run without a scanner."""

    def __init__(self, rows: Sequence[EventView | LineView] = ()) -> None:
        # Pairs come before lines.
        self._rows = sorted(rows, key=lambda row: isinstance(row, LineView))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> EventView | LineView:
        return self._rows[index]

    @property
    def ids(self) -> set[str]:
        """The ids of the events."""
        return {row.id for row in self._rows}

    def key(self, index: int) -> str:
        """What names this row from one picture to the next."""
        row = self._rows[index]
        # Both directions of a basket have the same legs: what is done with them tells them apart.
        deals = row.deals if isinstance(row, LineView) else (("", ""),) * len(row.legs)
        legs = zip(row.legs, deals, strict=False)
        named = (f"{leg.venue}/{leg.market}/{action}/{outcome}" for leg, (action, outcome) in legs)
        return " ".join([row.id, row.kind, *named])

    def group(self, index: int) -> tuple[str, str] | None:
        """The venues of a pair of markets, None for another direction."""
        row = self._rows[index]
        return None if isinstance(row, LineView) else (row.legs[0].venue, row.legs[1].venue)

    def find(self, key: str) -> int | None:
        """The row of that key, None where it is gone."""
        return next((index for index in range(len(self)) if self.key(index) == key), None)

    def arrange(self, sort: str, *, descending: bool, needle: str = "") -> Sequence[int]:
        """The rows that contain `needle`, sorted."""
        needle = needle.casefold()
        found = [index for index in range(len(self)) if needle in _words(self._rows[index])]
        if not sort:
            return found
        ranked = [(rank, index) for index in found if (rank := _rank(self._rows[index], sort)) is not None]
        ranked.sort(key=lambda one: one[0], reverse=descending)
        placed = [index for _, index in ranked]
        return placed + [index for index in found if index not in set(placed)]


def _words(row: EventView | LineView) -> str:
    """What a filter looks at."""
    legs = [word for leg in row.legs for word in (leg.venue, leg.market)]
    return " ".join([row.id, row.title, row.kind, *legs]).casefold()


def _rank(row: EventView | LineView, sort: str) -> str | int | None:
    """Where a row stands in one of EVENT_SORTS."""
    found = (row.edge,) if isinstance(row, LineView) else row.edges
    priced = [edge for edge in found if edge is not None and edge.has_numbers]
    ages = [leg.age_ns for leg in row.legs if leg.age_ns is not None]
    ranks: dict[str, str | int | None] = {
        "event": row.id,
        "kind": row.kind,
        "edge": max((edge.edge_bp for edge in priced), default=None),
        "net": max((edge.net_micros for edge in priced), default=None),
        "age": max(ages, default=None),
        "close": row.close_wall_ns or None,
    }
    return ranks[sort]
