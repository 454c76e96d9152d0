"""Table: rows of a grid from plain items and a list of columns.

In: items of one picture and how each column draws one. Out: `Rows` for a Grid. Pure. Few items (hundreds):
the events have rows of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dashboard.formatting import clean, fit
from dashboard.widgets.grid import Heading, Sort
from dashboard.widgets.panel import Line, Span

ItemT = TypeVar("ItemT")

ALL = 10_000
"""A column that grows by so much takes all that the others leave."""
COMFORT = 6
"""A column that grows has so many cells more before columns stay that could be spared."""


@dataclass(frozen=True, slots=True)
class Column(Generic[ItemT]):
    """One column: `cells` wide, and up to `grows` wider where there is room (one column of a table).

    `rank` is what it sorts by: a value that compares with its like, None for "comes last"; without `rank`
    it does not sort. Where the columns do not fit, those with the highest `spare` go first, one by one, and
    those with 0 never.
    """

    title: str
    cells: int
    draw: Callable[[ItemT], Span]
    rank: Callable[[ItemT], Any] | None = None
    right: bool = False
    grows: int = 0
    spare: int = 0

    @property
    def key(self) -> str:
        """What its sorting is called."""
        return self.title.strip().casefold()


class Table(Generic[ItemT]):
    """`Rows` of items; every one has a key that names it from one picture to the next."""

    def __init__(
        self,
        items: Sequence[ItemT],
        columns: Sequence[Column[ItemT]],
        key: Callable[[ItemT], str],
        nothing: str,
    ) -> None:
        self.items = items
        self.sorts = [column.key for column in columns if column.rank is not None]
        self._columns = columns
        self._key = key
        self._nothing = nothing

    def arrange(self, sort: Sort, needle: str) -> Sequence[int]:
        """The heading, and below it the rows that contain `needle`."""
        rows = [row for row in range(len(self.items)) if not needle or self._contains(row, needle)]
        ranks = {column.key: column.rank for column in self._columns}
        rank = ranks.get(sort.key)
        if rank is not None:
            ranked = [(rank(self.items[row]), row) for row in rows]
            known = [one for one in ranked if one[0] is not None]
            known.sort(key=lambda one: one[0], reverse=sort.descending)
            rows = [row for _, row in known] + [row for value, row in ranked if value is None]
        return [~0, *rows] if rows else []

    def _contains(self, row: int, needle: str) -> bool:
        """Whether any column says it; case does not matter."""
        item = self.items[row]
        text = " ".join([self._key(item), *(column.draw(item)[0] for column in self._columns)])
        return needle.casefold() in clean(text).casefold()

    def heading(self, number: int, width: int) -> list[Heading]:  # noqa: ARG002 - it has one
        """The titles of the columns."""
        cells = []
        for column, room in self._laid_out(width):
            text = fit(column.title, room, "right" if column.right else "left") + " "
            cells.append(Heading(text, column.key if column.rank is not None else ""))
        rest = width - sum(len(cell.text) for cell in cells)
        return [*cells, Heading(" " * rest)] if rest > 0 else cells

    def line(self, row: int, width: int) -> Line:
        """One item."""
        line: Line = []
        for column, room in self._laid_out(width):
            text, role = column.draw(self.items[row])
            line.append((fit(text, room, "right" if column.right else "left") + " ", role))
        rest = width - sum(room + 1 for _, room in self._laid_out(width))
        return [*line, (" " * rest, "plain")] if rest > 0 else line

    def _laid_out(self, width: int) -> list[tuple[Column[ItemT], int]]:
        """The columns that are there in so many cells, and how many each takes."""
        shown = list(self._columns)
        left = _left(shown, width)
        for column in sorted(self._columns, key=lambda one: -one.spare):
            if left >= _wanted(shown) or not column.spare:
                break
            shown.remove(column)
            left = _left(shown, width)
        return [(column, column.cells + max(0, min(left, column.grows))) for column in shown]

    def key(self, row: int) -> str:
        """The item's key."""
        return self._key(self.items[row])

    def find(self, key: str) -> int | None:
        """The item of that key."""
        return next((row for row, item in enumerate(self.items) if self._key(item) == key), None)

    def nothing(self) -> str:
        """What stands there without items."""
        return self._nothing


def _left(shown: Sequence[Column[ItemT]], width: int) -> int:
    """What is left of so many cells."""
    return width - sum(column.cells + 1 for column in shown)


def _wanted(shown: Sequence[Column[ItemT]]) -> int:
    """What has to be left for the column that grows, before others may stay."""
    return max((min(column.grows, COMFORT) for column in shown), default=0)
