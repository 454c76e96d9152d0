"""Events: the grid: a row per event with both venues' best prices, sizes and ages, and both edges.

In: a snapshot. Out: lines, made only when they are looked at. Pure. A price that must not be
believed is not shown: a word stands there. An edge is the scanner's figure or the word why there is none.
Below the pairs stands a line for each direction that is no pair (`lines`), and below those one for each book
that no direction names (`singles`).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from dashboard.event_views import EVENT_SORTS, EventView, LineView
from dashboard.formatting import arrow, bp_text, fit, letter, race_text, size_text
from dashboard.snapshot import Snapshot
from dashboard.widgets.cells import (
    AGE,
    EDGE,
    accepted,
    age_cell,
    closes_text,
    edge_cell,
    edge_word,
    name_cell,
    state_word,
)
from dashboard.widgets.grid import Heading, Sort
from dashboard.widgets.lines import line_head, line_row
from dashboard.widgets.panel import Line
from dashboard.widgets.quotes import ASK, BID, BLOCK, QUOTE, SIZE, block, quote
from dashboard.widgets.singles import arrange_singles, is_single, single_head, single_key, single_row
from pipeline.money import to_decimal

# Cells. A wide row is an event, two blocks and two edges; a block is bid, ask and age.
WIDE = 117
WIDE_REST = 3 * 3 + 2 * BLOCK + 2 * EDGE + 1
NARROW_REST = 2 * (1 + QUOTE) + (1 + SIZE) + (1 + AGE) + 2 * (1 + EDGE)
NARROW_NAME = 10
GROSS, CLOSE, RACE = 7, 7, 11

_SHORT = {"polymarket": "POLY", "coinbase": "COINB"}


class EventRows:
    """`Rows` of the grid: a heading per pair of venues, then its events; then the other directions; at the
    end the books that belong to none: their numbers go on from those of the events.
    """

    sorts = EVENT_SORTS

    def __init__(self, snapshot: Snapshot, stale_ns: int) -> None:
        self._snapshot = snapshot
        self._events = snapshot.events
        self._singles = snapshot.singles
        self._stale_ns = stale_ns
        # Headings in the order of their first event, so that they stand still while events are sorted.
        self._groups: list[tuple[str, str] | None] = []
        self._group_of: list[int] = []
        numbers: dict[tuple[str, str] | None, int] = {}
        for index in range(len(self._events)):
            group = self._events.group(index)
            if group not in numbers:
                numbers[group] = len(numbers)
                self._groups.append(group)
            self._group_of.append(numbers[group])

    def arrange(self, sort: Sort, needle: str) -> Sequence[int]:
        """Headings and events from top to bottom."""
        placed: list[list[int]] = [[] for _ in self._groups]
        for row in self._events.arrange(sort.key, descending=sort.descending, needle=needle):
            placed[self._group_of[row]].append(int(row))
        lines: list[int] = []
        for number, rows in enumerate(placed):
            lines += [~number, *rows] if rows else []
        first = len(self._events)
        others = [first + at for at in arrange_singles(self._singles, sort, needle)]
        return [*lines, ~len(self._groups), *others] if others else lines

    def heading(self, number: int, width: int) -> list[Heading]:
        """The heading of a pair of venues, or that of the other directions or books."""
        if number == len(self._groups):
            return single_head(width)
        group = self._groups[number]
        wide = width >= WIDE
        if group is None:
            return line_head(width, _event_cells(width) if wide else 0)
        return _wide_head(group, width) if wide else _narrow_head(group, width)

    def line(self, row: int, width: int) -> Line:
        """One event, direction or book."""
        if row >= len(self._events):
            return single_row(self._singles[row - len(self._events)], width, self._stale_ns)
        event = self._events[row]
        wide = width >= WIDE
        if isinstance(event, LineView):
            return line_row(event, width, _event_cells(width) if wide else 0, self._snapshot, self._stale_ns)
        draw = _wide_row if wide else _narrow_row
        return draw(event, width, self._snapshot, self._stale_ns)

    def key(self, row: int) -> str:
        """What names the row."""
        known = len(self._events)
        return self._events.key(row) if row < known else single_key(self._singles[row - known])

    def find(self, key: str) -> int | None:
        """The row of that key."""
        if not is_single(key):
            return self._events.find(key)
        keys = [single_key(leg) for leg in self._singles]
        return len(self._events) + keys.index(key) if key in keys else None

    def nothing(self) -> str:
        """What an empty grid says."""
        if len(self._events) or self._singles:
            return "No event has that in it. Esc shows all."
        if not self._snapshot.run.seen:
            return "No run yet."
        if self._snapshot.run.alive:
            return "No events yet: the scanner has not looked."
        return "No events."


# -- wide --------------------------------------------------------------------------------------


def _extras(width: int) -> tuple[bool, bool, bool]:
    """Whether a wide row has room for time to close, for gross edges beside the net ones, for the race."""
    spare = width - WIDE_REST - 18
    close, gross = CLOSE + 1, CLOSE + 1 + 2 * (GROSS + 1)
    return spare >= close, spare >= gross, spare >= gross + RACE + 1


def _event_cells(width: int) -> int:
    """What is left for the event's name in a wide row."""
    close, gross, race = _extras(width)
    extras = (CLOSE + 1) * close + 2 * (GROSS + 1) * gross + (RACE + 1) * race
    return width - WIDE_REST - extras


def _wide_head(pair: tuple[str, str], width: int) -> list[Heading]:
    """The heading of a pair of venues."""
    close, gross, race = _extras(width)
    line = [Heading(fit("EVENT", _event_cells(width)), "event")]
    if close:
        line.append(Heading(" " + fit("closes", CLOSE, "right"), "close"))
    for venue in pair:
        name = fit(_SHORT.get(venue, venue.upper()), BID - SIZE - len(" bid×"))
        bid = fit(f"{name} bid×size", BID)
        ask = fit(fit("ask", ASK - SIZE - 1, "right") + "×size", ASK)
        line += [Heading(f" │ {bid} {ask}"), Heading(" " + fit("age", AGE, "right"), "age")]
    line.append(Heading(" │ "))
    for at, (buy, sell) in enumerate((pair, pair[::-1])):
        line.append(Heading((" " if at else "") + fit(arrow(buy, sell), EDGE - 2, "right") + "  ", "edge"))
        line += [Heading(" " + fit("gross", GROSS, "right"))] if gross else []
    return [*line, Heading(" " + fit("race", RACE, "right"))] if race else line


def _wide_row(event: EventView, width: int, snapshot: Snapshot, stale_ns: int) -> Line:
    """An event in full."""
    close, gross, race = _extras(width)
    line: Line = [name_cell(event.id, event.title, _event_cells(width))]
    if close:
        left = closes_text(event.close_wall_ns, snapshot.wall_ns)
        line.append((" " + fit(left, CLOSE, "right"), "dim"))
    for leg in event.legs:
        line += [(" │ ", "dim"), *block(leg, event.kind, stale_ns)]
    line.append((" │ ", "dim"))
    for at in (0, 1):
        edge = edge_cell(event.legs, event.edges[at], snapshot, stale_ns)
        line += [(" " if at else "", "plain"), edge]
        if gross:
            line.append((" " + fit(_gross(event, at, snapshot), GROSS, "right"), "dim"))
    if race:
        line.append((" " + fit(_race(event, snapshot, stale_ns), RACE, "right"), "dim"))
    return line


def _race(event: EventView, snapshot: Snapshot, stale_ns: int) -> str:
    """The odds that an edge the scanner accepts is still there when orders arrive."""
    for edge in event.edges:
        if edge is not None and accepted(event.legs, edge, snapshot, stale_ns):
            return race_text(edge.race_ppm, edge.race_count)
    return ""


def _gross(event: EventView, at: int, snapshot: Snapshot) -> str:
    """The edge before fees, where there is a net one to stand beside."""
    edge = event.edges[at]
    if edge is None or edge_word(event.legs, edge, snapshot)[0]:
        return "--"
    return bp_text(edge.gross_bp)


# -- narrow ------------------------------------------------------------------------------------


def _sized(width: int) -> bool:
    """Whether a narrow row has room for sizes: a name that nobody can read is worth less."""
    return width - NARROW_REST >= NARROW_NAME


def _narrow_name(width: int) -> int:
    return width - NARROW_REST + (0 if _sized(width) else SIZE + 1)


def _narrow_head(pair: tuple[str, str], width: int) -> list[Heading]:
    """The heading of a pair of venues in few columns."""
    line = [Heading(fit("EVENT", _narrow_name(width)), "event")]
    line += [Heading(" " + fit(f"{letter(venue)} bid/ask", QUOTE, "right")) for venue in pair]
    line += [Heading(" " + fit("SIZE", SIZE, "right"))] if _sized(width) else []
    line.append(Heading(" " + fit("AGE", AGE, "right"), "age"))
    for buy, sell in (pair, pair[::-1]):
        line.append(Heading(" " + fit(arrow(buy, sell), EDGE - 2, "right") + "  ", "edge"))
    return line


def _narrow_row(event: EventView, width: int, snapshot: Snapshot, stale_ns: int) -> Line:
    """An event in few columns: the smallest size on top, and the age of the older book."""
    line: Line = [name_cell(event.id, event.title, _narrow_name(width))]
    for leg in event.legs:
        line += [(" ", "plain"), quote(leg, event.kind, stale_ns)]
    line.append((f" {fit(_smallest(event), SIZE, 'right')} " if _sized(width) else " ", "dim"))
    oldest = max(event.legs, key=lambda leg: leg.age_ns or 0)
    line.append(age_cell(oldest, stale_ns))
    for at in (0, 1):
        line += [(" ", "plain"), edge_cell(event.legs, event.edges[at], snapshot, stale_ns)]
    return line


def _smallest(event: EventView) -> str:
    """The smallest size on top of both books: what trades either way at these prices."""
    best: tuple[Decimal, str] | None = None
    for leg in event.legs:
        if state_word(leg) is not None or leg.bid is None or leg.ask is None:
            return "--"
        for _, units in (leg.bid, leg.ask):
            size = to_decimal(units, leg.size_decimals), size_text(units, leg.size_decimals)
            best = size if best is None else min(best, size)
    return best[1] if best is not None else "--"
