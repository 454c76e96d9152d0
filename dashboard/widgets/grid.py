"""Grid: rows with a cursor, sorted, filtered and copied; only the lines in sight are ever made.

In: `Rows` a tick, keys and the mouse. Out: terminal cells, and messages when a row is chosen or the
arrangement changes. Run by the tabs. The cursor stays on its row while rows move, and on its line when the
row is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from dashboard.formatting import clean
from dashboard.widgets.panel import HEAD, Canvas, Line

# The cursor's mark, and what stands there on other lines.
MARK, NO_MARK = ">", " "
DOWN, UP = "▼", "▲"


@dataclass(frozen=True, slots=True)
class Sort:
    """What rows are sorted by; "" is their own order."""

    key: str = ""
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Heading:
    """One cell of a heading: its text with all its blanks, and what a click sorts by ("" for nothing)."""

    text: str
    sort: str = ""


class Rows(Protocol):
    """What a grid shows at one moment. Rows and headings have numbers."""

    @property
    def sorts(self) -> Sequence[str]:
        """What the rows can be sorted by."""
        ...

    def arrange(self, sort: Sort, needle: str) -> Sequence[int]:
        """The lines from top to bottom: n is row n, ~n is heading n."""
        ...

    def heading(self, number: int, width: int) -> list[Heading]:
        """A heading in so many cells."""
        ...

    def line(self, row: int, width: int) -> Line:
        """A row in so many cells."""
        ...

    def key(self, row: int) -> str:
        """What names the row from one picture to the next."""
        ...

    def find(self, key: str) -> int | None:
        """The row of that key."""
        ...

    def nothing(self) -> str:
        """What stands there when there are no rows."""
        ...


class Grid(Canvas):
    """A table on the line interface. `show` once a tick."""

    can_focus = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "move(-1000000)", "first", show=False),
        Binding("end", "move(1000000)", "last", show=False),
        Binding("enter", "choose", "open"),
        Binding("s", "next_sort", "sort"),
        Binding("S", "turn_sort", "turn the order", show=False),
        Binding("c", "copy", "copy row", show=False),
        Binding("escape", "clear", "clear the filter", show=False),
    ]

    class Chosen(Message):
        """Somebody wants to see more of a row."""

        def __init__(self, grid: Grid, key: str) -> None:
            super().__init__()
            self.grid = grid
            self.key = key

        @property
        def control(self) -> Grid:
            """The grid whose row it is."""
            return self.grid

    class Changed(Message):
        """The cursor stands on another row, or rows are sorted or filtered otherwise."""

        def __init__(self, grid: Grid) -> None:
            super().__init__()
            self.grid = grid

        @property
        def control(self) -> Grid:
            """The grid that changed."""
            return self.grid

    def __init__(self, name: str, *, title: str = "", sort: Sort | None = None, classes: str = "") -> None:
        super().__init__(name, classes=classes)
        self.border_title = title
        self.sort = sort if sort is not None else Sort()
        self.needle = ""
        # Whether the view ends with the last row, as new ones come below.
        self.follow = False
        self._rows: Rows | None = None
        self._lines: Sequence[int] = ()
        self._cursor = 0
        self._key: str | None = None

    # -- what is shown ------------------------------------------------------------------------

    def show(self, rows: Rows) -> None:
        """Draw these rows from now on."""
        self._rows = rows
        self._arrange()

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._arrange()

    def _arrange(self) -> None:
        """Sort and filter; the cursor follows its row."""
        if self._rows is None:
            return
        self._lines = self._rows.arrange(self.sort, self.needle)
        if self.follow and self._lines:
            self._cursor = len(self._lines) - 1
            self._key = None
        elif self._key is not None:
            row = self._rows.find(self._key)
            if row is not None and row in self._lines:
                self._cursor = list(self._lines).index(row)
        self._cursor = self._nearest(self._cursor, 1)
        size = Size(self.place.width, max(1, len(self._lines)))
        grown = size.height != self.virtual_size.height
        self.virtual_size = size
        self._remember()
        self._keep_in_sight()
        self.refresh(layout=grown)

    def _nearest(self, at: int, step: int) -> int:
        """The line of a row at or beyond `at` in the direction of `step`, else the nearest the other way."""
        at = max(0, min(at, len(self._lines) - 1))
        for way in (step, -step):
            found = at
            while 0 <= found < len(self._lines):
                if self._lines[found] >= 0:
                    return found
                found += way
        return 0

    def _remember(self) -> None:
        """Note which row the cursor stands on, and say so when it is another."""
        row = self.row
        key = self._rows.key(row) if self._rows is not None and row is not None else None
        if key != self._key:
            self._key = key
            self.post_message(self.Changed(self))

    def _keep_in_sight(self) -> None:
        """Scroll just so far that the cursor's line is seen below the heading that stays."""
        height = self.place.height
        if not height:
            return
        top = self.scroll_offset.y
        first = top + (1 if top and self._heading_above(top) is not None else 0)
        if self._cursor < first:
            above = 1 if self._heading_above(self._cursor) is not None else 0
            self.scroll_to(y=max(0, self._cursor - above), animate=False, immediate=True, force=True)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False, immediate=True, force=True)

    def _heading_above(self, at: int) -> int | None:
        """The nearest heading at or above line `at`."""
        for index in range(min(at, len(self._lines) - 1), -1, -1):
            if self._lines[index] < 0:
                return ~self._lines[index]
        return None

    @property
    def row(self) -> int | None:
        """The number of the row under the cursor."""
        if self._cursor < len(self._lines) and self._lines[self._cursor] >= 0:
            return self._lines[self._cursor]
        return None

    @property
    def key(self) -> str | None:
        """The key of the row under the cursor."""
        return self._key

    @property
    def count(self) -> int:
        """How many rows are shown."""
        return sum(line >= 0 for line in self._lines)

    def text(self) -> str:
        """Every line as plain text, seen or scrolled away."""
        if self._rows is None or not self._lines:
            return self._rows.nothing() if self._rows is not None else ""
        width = self.place.width
        lines = (self._line(at, width) for at in range(len(self._lines)))
        return "\n".join("".join(clean(text) for text, _ in line) for line in lines)

    # -- drawing ------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One line of cells; above the first of a scrolled view stands its heading."""
        width = self.place.width
        at = self.scroll_offset.y + y
        if self._rows is None:
            return self.strip_of([], width)
        if not self._lines:
            return self.strip_of([(f" {self._rows.nothing()}", "dim")] if y == 0 else [], width)
        if at >= len(self._lines):
            return self.strip_of([], width)
        if y == 0 and self.scroll_offset.y:
            heading = self._heading_above(at)
            if heading is not None:
                return self.strip_of(self._heading(heading, width), width)
        here = at == self._cursor and self._lines[at] >= 0
        under = self.style_of("cursor").background_style if here and self.has_focus else None
        return self.strip_of(self._line(at, width), width, under=under)

    def _line(self, at: int, width: int) -> Line:
        """A heading, or a row behind the cursor's mark."""
        assert self._rows is not None, "lines come from rows"
        number = self._lines[at]
        if number < 0:
            return self._heading(~number, width)
        mark = MARK if at == self._cursor else NO_MARK
        return [(mark, "strong"), *self._rows.line(number, width - 1)]

    def _heading(self, number: int, width: int) -> Line:
        """A heading whose sorted column is marked."""
        assert self._rows is not None, "headings come from rows"
        cells = self._rows.heading(number, width - 1)
        drawn = [(_marked(cell.text, self.sort), "sorted") if self._sorts(cell) else (cell.text, HEAD)
                 for cell in cells]  # fmt: skip
        return [(NO_MARK, HEAD), *drawn]

    def _sorts(self, cell: Heading) -> bool:
        return bool(cell.sort) and cell.sort == self.sort.key

    # -- keys and mouse -----------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Put the cursor so many lines further."""
        self.follow = False
        self._cursor = self._nearest(self._cursor + by, 1 if by > 0 else -1)
        if self._cursor == self._nearest(0, 1):
            # The first row's heading comes into sight with it.
            self.scroll_to(y=0, animate=False, immediate=True, force=True)
        self._remember()
        self._keep_in_sight()
        self.refresh()

    def action_page(self, way: int) -> None:
        """A screenful up or down."""
        self.action_move(way * max(1, self.place.height - 2))

    def action_choose(self) -> None:
        """Ask for more of the row under the cursor."""
        if self._key is not None:
            self.post_message(self.Chosen(self, self._key))

    def action_next_sort(self) -> None:
        """Sort by the next column, and after the last one as the rows come."""
        known = ["", *(self._rows.sorts if self._rows is not None else ())]
        at = known.index(self.sort.key) if self.sort.key in known else 0
        self.sort_by(Sort(known[(at + 1) % len(known)], descending=True))

    def action_turn_sort(self) -> None:
        """The other way round."""
        self.sort_by(replace(self.sort, descending=not self.sort.descending))

    def action_copy(self) -> None:
        """Put the row as text on the clipboard of the terminal (OSC 52)."""
        if self._rows is None or self.row is None:
            return
        width = max(200, self.place.width)
        text = " ".join("".join(clean(text) for text, _ in self._rows.line(self.row, width)).split())
        self.app.copy_to_clipboard(text)
        self.app.notify(f"copied: {text}", markup=False)

    def action_clear(self) -> None:
        """Show every row again."""
        self.filter("")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Esc belongs to whoever is behind, where there is no filter to clear."""
        if action == "clear" and not self.needle:
            return False
        if action in ("next_sort", "turn_sort") and self._rows is not None and not self._rows.sorts:
            return False
        return super().check_action(action, parameters)

    def sort_by(self, sort: Sort) -> None:
        """Sort so from now on."""
        self.sort = sort
        self._arrange()
        self.post_message(self.Changed(self))

    def filter(self, needle: str) -> None:
        """Show only the rows that contain `needle`."""
        if needle == self.needle:
            return
        self.needle = needle
        self._arrange()
        self.refresh_bindings()
        self.post_message(self.Changed(self))

    def on_click(self, event: Click) -> None:
        """A heading sorts, a row takes the cursor, the cursor's row opens."""
        offset = event.get_content_offset(self)
        if offset is None or self._rows is None or not self._lines:
            return
        at = self.scroll_offset.y + offset.y
        sticky = offset.y == 0 and self.scroll_offset.y and self._heading_above(at) is not None
        if at >= len(self._lines):
            return
        if sticky or self._lines[at] < 0:
            number = self._heading_above(at)
            assert number is not None, "a heading was clicked"
            self._click_heading(number, offset.x)
        elif at == self._cursor and event.chain > 1:
            self.action_choose()
        else:
            self.action_move(at - self._cursor)

    def _click_heading(self, number: int, x: int) -> None:
        """Sort by the column at cell `x`, or the other way round where it is sorted by it."""
        assert self._rows is not None, "headings come from rows"
        end = 1
        for cell in self._rows.heading(number, self.place.width - 1):
            end += cell_len(cell.text)
            if x < end:
                if cell.sort and cell.sort == self.sort.key:
                    self.action_turn_sort()
                elif cell.sort:
                    self.sort_by(Sort(cell.sort))
                return


def _marked(text: str, sort: Sort) -> str:
    """The heading with the sign of its order in place of one of its blanks."""
    sign = DOWN if sort.descending else UP
    bare = text.strip()
    left = len(text) - len(text.lstrip())
    right = len(text) - len(text.rstrip())
    if right:
        return " " * left + bare + sign + " " * (right - 1)
    return " " * (left - 1) + bare + sign if left else text
