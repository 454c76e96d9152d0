"""Lanes: the directions that are scanned, each with its row in shared memory, found by the books they need.

In: the events of the config, what the trader holds. Out: lanes, found by book. Pure but for the table whose
rows it gives out. Used by the scanner's worker. Closing directions come and go with what is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from pipeline.model import Reason
from pipeline.model_events import MODEL, Event
from pipeline.pairs import Direction, closing, directions
from pipeline.scanner.rows import named_row
from shm.records import EventRow

Book = tuple[str, str]
"""Venue and market."""


@dataclass(slots=True, eq=False)
class Lane:
    """One direction, its row with what never changes of it, and what was last thought of it.

    `looked_ns` is when it was last priced, `sent_ns` when last offered. `born_ns` is since when an edge
    stands here without a break, 0 where none does. `held` bounds a close, in contracts. `number` is its
    place on the screen.
    """

    direction: Direction
    row: int
    named: EventRow
    number: int = -1
    looked_ns: int = 0
    sent_ns: int = 0
    born_ns: int = 0
    reason: Reason | None = None
    held: Decimal | None = None

    @property
    def books(self) -> list[Book]:
        """The books that a change of changes this lane."""
        plans = self.direction.legs
        needed = [(plan.leg.venue, plan.leg.market) for plan in plans]
        needed += [plan.leg.convert for plan in plans if plan.leg.convert[1]]
        if self.direction.kind == MODEL:
            needed += [(leg.venue, leg.market) for leg in self.direction.event.legs]
        return list(dict.fromkeys(needed))


class Lanes:
    """All lanes. `clear` empties the row of one that goes, `no_room` hears of one that finds none."""

    def __init__(
        self, rows: int, clear: Callable[[Lane], None], no_room: Callable[[Direction], None]
    ) -> None:
        self._free = list(reversed(range(rows)))
        self._clear = clear
        self._no_room = no_room
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._of: dict[Book, list[Lane]] = {}
        self._closings: dict[tuple[str, int], Direction] = {}
        self.version = 0
        """Changes whenever the lanes do."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        """All of them, in the order in which they came."""
        return iter(self._lanes.values())

    def of(self, book: Book) -> list[Lane]:
        """The lanes that need a book."""
        return self._of.get(book, [])

    def follow(self, events: Iterable[Event], held: Callable[[Direction], Decimal]) -> None:
        """Make the lanes be those of these events, and of what can be closed of them."""
        found = directions(events)
        closings = [close for direction in found if (close := closing(direction)) is not None]
        self._closings = {close.key: close for close in closings}
        wanted = {direction.key: direction for direction in found}
        self._adopt(wanted, held)

    def hold(self, held: Callable[[Direction], Decimal]) -> None:
        """Act on changed holdings: a pair that is held can be closed, one that is not cannot."""
        known = {key: lane.direction for key, lane in self._lanes.items() if key not in self._closings}
        self._adopt(known, held)

    def _adopt(self, wanted: dict[tuple[str, int], Direction], held: Callable[[Direction], Decimal]) -> None:
        quantities = {key: quantity for key, d in self._closings.items() if (quantity := held(d)) > 0}
        wanted = wanted | {key: self._closings[key] for key in quantities}
        for key in [key for key in self._lanes if key not in wanted]:
            lane = self._lanes.pop(key)
            self._clear(lane)
            self._free.append(lane.row)
            self.version += 1
        for key, direction in wanted.items():
            lane_or_none = self._lanes.get(key)
            if lane_or_none is None:
                if not self._free:
                    self._no_room(direction)
                    continue
                lane_or_none = self._lanes[key] = Lane(direction, self._free.pop(), named_row(direction))
                self.version += 1
            elif lane_or_none.direction != direction:
                lane_or_none.direction = direction
                lane_or_none.named = named_row(direction)
                self.version += 1
            lane_or_none.held = quantities.get(key)
        self._of = {}
        for lane in self._lanes.values():
            for book in lane.books:
                self._of.setdefault(book, []).append(lane)
