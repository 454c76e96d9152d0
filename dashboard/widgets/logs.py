"""Logs: lines of logs as the Logs tab shows them, and the words above them.

In: entries of a LogTail. Out: lines of spans, one an entry or, wrapped, as many as it needs; `LogRows` for a
Grid. Pure. The level is always a word, errors and warnings in capitals; never a colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from rich.cells import chop_cells

from dashboard.formatting import clean, fit, join_fitting
from dashboard.log_tail import LogEntry, LogTail, clock_of
from dashboard.widgets.grid import Heading, Sort
from dashboard.widgets.panel import Line
from pipeline.logs import LEVELS

TIME, LEVEL = 12, 5
WORKER, NARROW_WORKER = 16, 10
NARROW = 100
INDENT = 4
# An entry of more lines is cut, and says so: whoever wants all of it copies it.
MOST_LINES = 40
MORE = "…"
# What stands for a level, and the role of its line.
_LEVELS = {
    "error": ("ERROR", "bad"),
    "warning": ("WARN", "fair"),
    "info": ("info", "plain"),
    "debug": ("debug", "dim"),
}
_BROKEN = ("?????", "fair")


def draw_entry(entry: LogEntry, width: int, *, wrap: bool) -> list[Line]:
    """An entry in one line of `width` cells; wrapped in as many as it needs, at most MOST_LINES."""
    word, role = _LEVELS.get(entry.level, _BROKEN)
    cells = _worker_cells(width)
    head: Line = [
        (f"{clock_of(entry.wall_ns)} ", "dim"),
        (fit(word, LEVEL) + " ", role),
        (fit(entry.worker, cells) + " ", "plain"),
    ]
    rest = width - TIME - LEVEL - cells - 3
    text, *trace = entry.text.split("\n")
    told = f"{entry.event}  {text}".rstrip()
    if not wrap:
        # Of a traceback the last line says what happened.
        told += f"  {trace[-1].strip()}" if trace else ""
        return [[*head, *_told(fit(told, rest), len(clean(entry.event)), role)]]
    first, *more = _chop(clean(told), rest)
    lines: list[Line] = [[*head, *_told(first, len(clean(entry.event)), role)]]
    under = _chop("".join(more), width - INDENT) if more else []
    under += [part for each in trace for part in _chop(clean(each), width - INDENT)]
    if len(under) >= MOST_LINES:
        left = len(under) - MOST_LINES + 2
        under = [*under[: MOST_LINES - 2], f"{MORE} {left} more lines: copy the row to have all of it"]
    return lines + [[(" " * INDENT + part, "dim")] for part in under]


def _chop(text: str, cells: int) -> list[str]:
    """A text in pieces of at most so many cells, at least one."""
    cells = max(2, cells)
    if text.isascii():
        return [text[at : at + cells] for at in range(0, len(text), cells)] or [""]
    return chop_cells(text, cells) or [""]


def _told(text: str, event_signs: int, role: str) -> Line:
    """The event in its level's colour, the fields dim beside it."""
    event, fields = text[:event_signs], text[event_signs:]
    return [(event, role), (fields, "dim")] if fields else [(event, role)]


def _worker_cells(width: int) -> int:
    return NARROW_WORKER if width < NARROW else WORKER


def next_level(level: str) -> str:
    """The level that the key turns to: debug, info, warning, error, and debug again."""
    levels = list(LEVELS)
    return levels[(levels.index(level) + 1) % len(levels)]


def next_worker(workers: Sequence[str], worker: str) -> str:
    """The worker that the key turns to; "" is all of them, and stands between the last and the first."""
    turns = ["", *workers]
    return turns[(turns.index(worker) + 1) % len(turns)] if worker in turns else ""


def draw_choice(tail: LogTail, shown: int, level: str, worker: str, *, follow: bool, width: int) -> Line:
    """What is shown of what there is, in one line; `shown` counts the entries that passed."""
    parts = [
        f"{shown:,} lines",
        f"level {level}" + (" and worse" if level != "error" else ""),
        f"worker {clean(worker) or 'all'}",
        "following" if follow else "NOT FOLLOWING",
    ]
    role = "dim" if follow else "fair"
    troubles = []
    if tail.broken:
        troubles.append(f"{tail.broken:,} broken")
    if tail.skipped_bytes:
        troubles.append(f"{-(-tail.skipped_bytes // 1000):,} kB left out")
    if tail.problem:
        troubles.append(clean(tail.problem))
    left = join_fitting(parts, width)
    right = join_fitting(troubles, width - len(left) - 2)
    return [(left, role), ("  " + right, "fair")] if right else [(left, role)]


class LogRows:
    """`Rows` of a Grid: the newest entry at the bottom, none sorted otherwise.

    `choose(needle)` gives the entries; with `wrap_width` an entry takes the rows that it needs in so many
    cells, else one.
    """

    sorts: Sequence[str] = ()

    def __init__(self, choose: Callable[[str], Sequence[LogEntry]], wrap_width: int | None = None) -> None:
        self._choose = choose
        self._wrap_width = wrap_width
        self._needle = ""
        self._entries: Sequence[LogEntry] = ()
        # Wrapped, row n is line `part` of an entry; else row n is entry n.
        self._parts: list[tuple[int, int]] = []
        self._lines: dict[int, list[Line]] = {}

    def arrange(self, sort: Sort, needle: str) -> Sequence[int]:  # noqa: ARG002 - a log has one order
        """The heading, and below it the rows from the oldest to the newest."""
        self._needle = needle
        self._entries = self._choose(needle)
        self._parts, self._lines = [], {}
        count = len(self._entries)
        if self._wrap_width is not None:
            for at, entry in enumerate(self._entries):
                self._parts += [(at, part) for part in range(_lines_needed(entry, self._wrap_width))]
            count = len(self._parts)
        return [~0, *range(count)] if count else []

    def heading(self, number: int, width: int) -> list[Heading]:  # noqa: ARG002 - there is one
        """The titles of the columns."""
        head = f"{fit('TIME', TIME)} {fit('LEVEL', LEVEL)} {fit('WORKER', _worker_cells(width))} EVENT"
        return [Heading(fit(head, width))]

    def line(self, row: int, width: int) -> Line:
        """A row in so many cells."""
        at, part = self._place(row)
        if self._wrap_width is None:
            return draw_entry(self._entries[at], width, wrap=False)[0]
        if at not in self._lines:
            self._lines[at] = draw_entry(self._entries[at], self._wrap_width, wrap=True)
        return self._lines[at][part]

    def entry(self, row: int) -> LogEntry:
        """The entry that a row belongs to: what is copied."""
        return self._entries[self._place(row)[0]]

    def key(self, row: int) -> str:
        """What names the row from one picture to the next."""
        at, part = self._place(row)
        return f"{self._entries[at].number}.{part}"

    def find(self, key: str) -> int | None:
        """The row of that key."""
        number, part = (int(word) for word in key.split("."))
        place = next((at for at, entry in enumerate(self._entries) if entry.number == number), None)
        if place is None or self._wrap_width is None:
            return place
        return next((row for row, shown in enumerate(self._parts) if shown == (place, part)), None)

    def nothing(self) -> str:
        """What stands there when there are no rows."""
        return f"no line has {clean(self._needle)!r}" if self._needle else "no lines of this level and worker"

    def _place(self, row: int) -> tuple[int, int]:
        return (row, 0) if self._wrap_width is None else self._parts[row]


# Rows are counted anew with every line that comes: what an entry needs does not change.
@lru_cache(maxsize=8192)
def _lines_needed(entry: LogEntry, width: int) -> int:
    """How many lines `draw_entry` makes of an entry that is wrapped."""
    return len(draw_entry(entry, width, wrap=True))
