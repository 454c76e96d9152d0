"""Events: the grid: a row per event with both venues' best prices, sizes and ages, and both edges.

In: a snapshot. Out: lines, made only when they are looked at. Pure. A price that must not be
believed is not shown: a word stands there. An edge is the scanner's figure or the word why there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import overload

from dashboard.formatting import age_text, arrow, bp_text, fit, letter, price_text, size_text
from dashboard.reasons import reason_word
from dashboard.snapshot import EdgeView, EventView, LegView, Snapshot
from dashboard.widgets.panel import HEAD, Line, Span
from pipeline.model import (
    BookState,
    Level,
    MarketResult,
    MarketStatus,
    Reason,
)
from pipeline.money import to_decimal

# Cells. A wide row is an event, two blocks and two edges; a block is bid, ask and age.
WIDE = 118
EDGE, AGE = 7, 6
BID, ASK, SIZE = 16, 14, 5
BLOCK = BID + 1 + ASK + 1 + AGE
WIDE_REST = 3 * 3 + 2 * BLOCK + 2 * EDGE + 1
QUOTE = 15
NARROW_REST = 2 * (1 + QUOTE) + (1 + SIZE) + (1 + AGE) + 2 * (1 + EDGE)
GROSS, CLOSE = 7, 7
# From this width of the first column on, titles stand beside ids.
TITLED = 32

_SHORT = {"polymarket": "POLY", "coinbase": "COINB"}
# States in which the last price is no price any more, and what people should make of it.
_WORDS = {
    BookState.DEAD: ("DEAD", "feed gone", "bad"),
    BookState.STALE: ("STALE", "venue silent", "fair"),
    BookState.GAP: ("GAP", "awaiting snapshot", "fair"),
    BookState.EMPTY: ("EMPTY", "no book yet", "dim"),
    BookState.CROSSED: ("CROSSED", "bid over ask", "fair"),
}
_WORST_FIRST = (
    BookState.DEAD,
    BookState.GAP,
    BookState.EMPTY,
    BookState.CROSSED,
    BookState.STALE,
    BookState.QUIET,
    BookState.LIVE,
)
_OVER = {MarketStatus.CLOSED, MarketStatus.SETTLED}
# Refusals of an edge that is nevertheless a true profit after fees.
_PROFITABLE = {Reason.NONE, Reason.EDGE_TOO_SMALL, Reason.PROFIT_TOO_SMALL, Reason.BELOW_MINIMUM}


class Grid(Sequence[Line]):
    """The grid: a heading per pair of venues, then its events. A line is made when asked for."""

    def __init__(self, snapshot: Snapshot, width: int, stale_ns: int) -> None:
        self._snapshot = snapshot
        self._width = width
        self._stale_ns = stale_ns
        pairs: dict[tuple[str, str], list[EventView]] = {}
        for event in snapshot.events:
            pairs.setdefault((event.legs[0].venue, event.legs[1].venue), []).append(event)
        self._rows: list[tuple[str, str] | EventView] = []
        for pair, events in pairs.items():
            self._rows += [pair, *events]

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


def _extras(width: int) -> tuple[bool, bool]:
    """Whether a wide row has room for time to close, and for gross edges beside the net ones."""
    spare = width - WIDE_REST - 20
    return spare >= CLOSE + 1, spare >= CLOSE + 1 + 2 * (GROSS + 1)


def _event_cells(width: int) -> int:
    """What is left for the event's name in a wide row."""
    close, gross = _extras(width)
    return width - WIDE_REST - (CLOSE + 1 if close else 0) - (2 * (GROSS + 1) if gross else 0)


def _wide_head(pair: tuple[str, str], width: int) -> Line:
    """The heading of a pair of venues."""
    close, gross = _extras(width)
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
        text += (" " if at else "") + fit(arrow(buy, sell), EDGE - 1, "right") + " "
        text += " " + fit("gross", GROSS, "right") if gross else ""
    return [*line, (" │ ", "dim"), (text, HEAD)]


def _wide_row(event: EventView, width: int, snapshot: Snapshot, stale_ns: int) -> Line:
    """An event in full."""
    close, gross = _extras(width)
    line: Line = [_name(event, _event_cells(width))]
    if close:
        line.append((" " + fit(_closes(event, snapshot.wall_ns), CLOSE, "right"), "dim"))
    for leg in event.legs:
        line += [(" │ ", "dim"), *_block(leg, event.kind, stale_ns)]
    line.append((" │ ", "dim"))
    for at in (0, 1):
        line += [(" " if at else "", "plain"), edge_cell(event, at, snapshot, stale_ns)]
        if gross:
            line.append((" " + fit(_gross(event, at, snapshot), GROSS, "right"), "dim"))
    return line


def _block(leg: LegView, kind: str, stale_ns: int) -> Line:
    """Bid, ask and age of one leg, or the word for why there is none."""
    age = _age(leg, stale_ns)
    word = _word(leg)
    if word is not None:
        text = f"{word[0]:<8}{word[1]}"
        return [(fit(text, BID + 1 + ASK), word[2]), (" ", "plain"), age]
    role = _price_role(leg, stale_ns)
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


def _closes(event: EventView, wall_ns: int) -> str:
    """Time to close, "open" for an event that never closes, "over" after it."""
    if not event.close_wall_ns:
        return "open"
    left_ns = event.close_wall_ns - wall_ns
    return age_text(left_ns) if left_ns > 0 else "over"


def _gross(event: EventView, at: int, snapshot: Snapshot) -> str:
    """The edge before fees, where there is a net one to stand beside."""
    edge = event.edges[at]
    if edge is None or _edge_word(event, edge, snapshot)[0]:
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
        text += " " + fit(arrow(buy, sell), EDGE - 1, "right") + " "
    return [(fit(text, width), HEAD)]


def _narrow_row(event: EventView, width: int, snapshot: Snapshot, stale_ns: int) -> Line:
    """An event in few columns: the smallest size on top, and the age of the older book."""
    line: Line = [_name(event, width - NARROW_REST)]
    for leg in event.legs:
        line += [(" ", "plain"), _quote(leg, event.kind, stale_ns)]
    line.append((f" {fit(_smallest(event), SIZE, 'right')} ", "dim"))
    oldest = max(event.legs, key=lambda leg: leg.age_ns or 0)
    line.append(_age(oldest, stale_ns))
    for at in (0, 1):
        line += [(" ", "plain"), edge_cell(event, at, snapshot, stale_ns)]
    return line


def _quote(leg: LegView, kind: str, stale_ns: int) -> Span:
    """Bid/ask of one leg, or the word for why there is none."""
    word = _word(leg)
    if word is not None:
        return fit(word[0], QUOTE, "right"), word[2]
    sides = []
    for level, ask in ((leg.bid, False), (leg.ask, True)):
        decimals, cells = leg.price_decimals, QUOTE // 2
        sides.append(price_text(level[0], decimals, kind, ask=ask, cells=cells) if level else "--")
    return fit("/".join(sides), QUOTE, "right"), _price_role(leg, stale_ns)


def _smallest(event: EventView) -> str:
    """The smallest size on top of both books: what trades either way at these prices."""
    best: tuple[Decimal, str] | None = None
    for leg in event.legs:
        if _word(leg) is not None or leg.bid is None or leg.ask is None:
            return "--"
        for _, units in (leg.bid, leg.ask):
            size = to_decimal(units, leg.size_decimals), size_text(units, leg.size_decimals)
            best = size if best is None else min(best, size)
    return best[1] if best is not None else "--"


# -- cells -------------------------------------------------------------------------------------


def edge_cell(event: EventView, at: int, snapshot: Snapshot, stale_ns: int) -> Span:
    """The scanner's edge of one direction, or the word for why there is none to believe.

    Green only where it is a profit after all costs, bold with ▲ only where the scanner accepts it.
    """
    edge = event.edges[at]
    if edge is None:
        return fit("--", EDGE - 1, "right") + " ", "dim"
    word, role = _edge_word(event, edge, snapshot)
    if word:
        return fit(word, EDGE, "right"), role
    text = fit(bp_text(edge.edge_bp), EDGE - 1, "right")
    if any((leg.age_ns or 0) > stale_ns for leg in event.legs):
        return text + "⚠", "fair"
    if edge.reason == Reason.NONE:
        return text + "▲", "good"
    if edge.edge_bp > 0:
        return text + " ", "gain" if edge.reason in _PROFITABLE else "plain"
    return text + " ", "dim"


def _edge_word(event: EventView, edge: EdgeView, snapshot: Snapshot) -> Span:
    """Why an edge must not be believed now, worst first; "" where it may."""
    worst = min((leg.state for leg in event.legs), key=_WORST_FIRST.index)
    if worst is BookState.DEAD:
        return "dead", "bad"
    if not snapshot.scanner_alive:
        return "no scan", "fair"
    if any(leg.status in _OVER for leg in event.legs):
        return "closed", "dim"
    if worst is not BookState.LIVE:
        return worst.name.lower(), "fair"
    word = reason_word(edge.reason, has_numbers=edge.has_numbers)
    return word, "fair" if edge.reason in range(Reason.BOOK_MISSING, Reason.LEG_SKEW + 1) else "dim"


def _name(event: EventView, cells: int) -> Span:
    """The event's id, which commands take; its title where there is room."""
    title = event.title if event.title != event.id else ""
    room = title and cells >= max(TITLED, len(event.id) + 12)
    return fit(f"{event.id}  {title}" if room else event.id, cells), "plain"


def _word(leg: LegView) -> tuple[str, str, str] | None:
    """Word, explanation and role where the leg's price must not be believed."""
    if leg.state is not BookState.DEAD and leg.status in _OVER:
        result = "" if leg.result is MarketResult.NONE else leg.result.name
        return leg.status.name, result, "dim"
    return _WORDS.get(leg.state)


def _price_role(leg: LegView, stale_ns: int) -> str:
    """Yellow beyond `stale_ns`, dim for a quiet market."""
    if leg.state is BookState.QUIET:
        return "dim"
    return "fair" if (leg.age_ns or 0) > stale_ns else "plain"


def _age(leg: LegView, stale_ns: int) -> Span:
    """How long ago this market last said something, marked when that is too long."""
    if leg.age_ns is None:
        return fit("--", AGE, "right"), "dim"
    old = leg.age_ns > stale_ns
    return fit(("⚠" if old else "") + age_text(leg.age_ns), AGE, "right"), "fair" if old else "dim"
