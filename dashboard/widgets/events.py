"""Events: the grid: a row per event with both venues' best prices, sizes and ages, and both edges.

In: a snapshot. Out: lines, made only when they are looked at. Pure. A price that must not be
believed is not shown: a word stands there. An edge is the scanner's figure or the word why there is none.
Below the pairs stands a line for each direction that is no pair (`lines`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import overload

from dashboard.formatting import arrow, bp_text, fit, letter, price_text, race_text, size_text
from dashboard.snapshot import EventView, LegView, LineView, Snapshot
from dashboard.widgets.cells import (
    AGE,
    EDGE,
    accepted,
    age_cell,
    closes_text,
    edge_cell,
    edge_word,
    name_cell,
    price_role,
    state_word,
)
from dashboard.widgets.lines import line_head, line_row
from dashboard.widgets.panel import HEAD, Line, Span
from pipeline.model import Level
from pipeline.money import to_decimal

# Cells. A wide row is an event, two blocks and two edges; a block is bid, ask and age.
WIDE = 118
BID, ASK, SIZE = 16, 14, 5
BLOCK = BID + 1 + ASK + 1 + AGE
WIDE_REST = 3 * 3 + 2 * BLOCK + 2 * EDGE + 1
QUOTE = 15
NARROW_REST = 2 * (1 + QUOTE) + (1 + SIZE) + (1 + AGE) + 2 * (1 + EDGE)
GROSS, CLOSE, RACE = 7, 7, 11

_SHORT = {"polymarket": "POLY", "coinbase": "COINB"}
# What follows the pairs: everything that is no pair of venues to and fro.
OTHERS = "others"


class Grid(Sequence[Line]):
    """The grid: a heading per pair of venues, then its events; at the end the other directions.

    A line is made when asked for.
    """

    def __init__(self, snapshot: Snapshot, width: int, stale_ns: int) -> None:
        self._snapshot = snapshot
        self._width = width
        self._stale_ns = stale_ns
        pairs: dict[tuple[str, str], list[EventView]] = {}
        for event in snapshot.events:
            pairs.setdefault((event.legs[0].venue, event.legs[1].venue), []).append(event)
        self._rows: list[tuple[str, str] | EventView | LineView | str] = []
        for pair, events in pairs.items():
            self._rows += [pair, *events]
        if snapshot.lines:
            self._rows += [OTHERS, *snapshot.lines]

    def __len__(self) -> int:
        """Headings and events."""
        return len(self._rows) or 1

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> list[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | list[Line]:
        """The line, or the lines of a slice."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        if not self._rows:
            return [(_nothing(self._snapshot), "dim")]
        row = self._rows[index]
        wide = self._width >= WIDE
        if isinstance(row, str):
            return line_head(self._width, _event_cells(self._width) if wide else 0)
        if isinstance(row, LineView):
            cells = _event_cells(self._width) if wide else 0
            return line_row(row, self._width, cells, self._snapshot, self._stale_ns)
        if isinstance(row, tuple):
            return _wide_head(row, self._width) if wide else _narrow_head(row, self._width)
        draw = _wide_row if wide else _narrow_row
        return draw(row, self._width, self._snapshot, self._stale_ns)


def draw_events(stale_ns: int) -> Callable[[Snapshot, int, bool], Sequence[Line]]:
    """A draw function that marks books older than `stale_ns`."""
    return lambda snapshot, width, _compact: Grid(snapshot, width, stale_ns)


def _nothing(snapshot: Snapshot) -> str:
    """What an empty grid says."""
    if not snapshot.run.seen:
        return "No run yet."
    return "No events yet: the scanner has not looked." if snapshot.run.alive else "No events."


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


def _wide_head(pair: tuple[str, str], width: int) -> Line:
    """The heading of a pair of venues."""
    close, gross, race = _extras(width)
    line: Line = [(fit("EVENT", _event_cells(width)), HEAD)]
    if close:
        line.append((" " + fit("closes", CLOSE, "right"), HEAD))
    for venue in pair:
        name = fit(_SHORT.get(venue, venue.upper()), BID - SIZE - len(" bid×"))
        bid = fit(f"{name} bid×size", BID)
        ask = fit(fit("ask", ASK - SIZE - 1, "right") + "×size", ASK)
        line += [(" │ ", "dim"), (f"{bid} {ask} {fit('age', AGE, 'right')}", HEAD)]
    text = ""
    for at, (buy, sell) in enumerate((pair, pair[::-1])):
        text += (" " if at else "") + fit(arrow(buy, sell), EDGE - 2, "right") + "  "
        text += " " + fit("gross", GROSS, "right") if gross else ""
    text += " " + fit("race", RACE, "right") if race else ""
    return [*line, (" │ ", "dim"), (text, HEAD)]


def _wide_row(event: EventView, width: int, snapshot: Snapshot, stale_ns: int) -> Line:
    """An event in full."""
    close, gross, race = _extras(width)
    line: Line = [name_cell(event.id, event.title, _event_cells(width))]
    if close:
        left = closes_text(event.close_wall_ns, snapshot.wall_ns)
        line.append((" " + fit(left, CLOSE, "right"), "dim"))
    for leg in event.legs:
        line += [(" │ ", "dim"), *_block(leg, event.kind, stale_ns)]
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


def _block(leg: LegView, kind: str, stale_ns: int) -> Line:
    """Bid, ask and age of one leg, or the word for why there is none."""
    age = age_cell(leg, stale_ns)
    word = state_word(leg)
    if word is not None:
        text = f"{word[0]:<8}{word[1]}"
        return [(fit(text, BID + 1 + ASK), word[2]), (" ", "plain"), age]
    role = price_role(leg, stale_ns)
    return [
        *_priced(leg.bid, leg, kind, BID, role, ask=False),
        (" ", "plain"),
        *_priced(leg.ask, leg, kind, ASK, role, ask=True),
        (" ", "plain"),
        age,
    ]


def _priced(level: Level | None, leg: LegView, kind: str, cells: int, role: str, *, ask: bool) -> Line:
    """A price, its size and the sign between them; dashes where that side is empty."""
    wide = cells - SIZE - 1
    if level is None:
        return [(fit("--", wide, "right") + " " + fit("--", SIZE), "dim")]
    price = price_text(level[0], leg.price_decimals, kind, ask=ask)
    size = size_text(level[1], leg.size_decimals)
    return [(fit(price, wide, "right"), role), ("×", "dim"), (fit(size, SIZE), role)]


def _gross(event: EventView, at: int, snapshot: Snapshot) -> str:
    """The edge before fees, where there is a net one to stand beside."""
    edge = event.edges[at]
    if edge is None or edge_word(event.legs, edge, snapshot)[0]:
        return "--"
    return bp_text(edge.gross_bp)


# -- narrow ------------------------------------------------------------------------------------


def _narrow_head(pair: tuple[str, str], width: int) -> Line:
    """The heading of a pair of venues in few columns."""
    text = fit("EVENT", width - NARROW_REST)
    for venue in pair:
        text += " " + fit(f"{letter(venue)} bid/ask", QUOTE, "right")
    text += f" {fit('SIZE', SIZE, 'right')} {fit('AGE', AGE, 'right')}"
    for buy, sell in (pair, pair[::-1]):
        text += " " + fit(arrow(buy, sell), EDGE - 2, "right") + "  "
    return [(fit(text, width), HEAD)]


def _narrow_row(event: EventView, width: int, snapshot: Snapshot, stale_ns: int) -> Line:
    """An event in few columns: the smallest size on top, and the age of the older book."""
    line: Line = [name_cell(event.id, event.title, width - NARROW_REST)]
    for leg in event.legs:
        line += [(" ", "plain"), _quote(leg, event.kind, stale_ns)]
    line.append((f" {fit(_smallest(event), SIZE, 'right')} ", "dim"))
    oldest = max(event.legs, key=lambda leg: leg.age_ns or 0)
    line.append(age_cell(oldest, stale_ns))
    for at in (0, 1):
        line += [(" ", "plain"), edge_cell(event.legs, event.edges[at], snapshot, stale_ns)]
    return line


def _quote(leg: LegView, kind: str, stale_ns: int) -> Span:
    """Bid/ask of one leg, or the word for why there is none."""
    word = state_word(leg)
    if word is not None:
        return fit(word[0], QUOTE, "right"), word[2]
    sides = []
    for level, ask in ((leg.bid, False), (leg.ask, True)):
        decimals, cells = leg.price_decimals, QUOTE // 2
        sides.append(price_text(level[0], decimals, kind, ask=ask, cells=cells) if level else "--")
    return fit("/".join(sides), QUOTE, "right"), price_role(leg, stale_ns)


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
