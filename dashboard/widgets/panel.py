"""Panel: the one widget that draws lines of coloured text, from a function that makes the lines.

In: a `draw` function and a snapshot a tick. Out: terminal cells, only of the lines in sight: Textual's
line interface costs a tenth of a DataTable of the same rows. Run by the dashboard. Whatever others
wrote is cleaned here once more and never parsed as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from dashboard.formatting import clean
from dashboard.snapshot import Snapshot

# A span is a text and the role that colours it; a line is its spans from left to right.
Span = tuple[str, str]
Line = list[Span]
Draw = Callable[[Snapshot, int, bool], Sequence[Line]]

# What each role looks like is in dashboard.tcss: .panel--ROLE.
ROLES = (
    "plain", "dim", "strong", "head", "good", "gain", "fair", "bad", "info",
    "sim", "paper", "live", "replay", "halt",
)  # fmt: skip
HEAD = "head"


class Panel(ScrollView):
    """Lines of a snapshot; `draw(snapshot, width, compact)` may make them lazily.

    With `sticky` the last heading (a line that begins with the role "head") above the scrolled-to
    line stays in sight.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"panel--{role}" for role in ROLES}

    def __init__(self, draw: Draw, name: str, *, title: str = "", sticky: bool = False) -> None:
        super().__init__(id=name)
        # Only the panel with the sticky heading is long: keys scroll that one.
        self.can_focus = sticky
        self.border_title = title
        self._draw = draw
        self._sticky = sticky
        self._lines: Sequence[Line] = ()
        self._shown: tuple[Snapshot, bool] | None = None

    def show(self, snapshot: Snapshot, *, compact: bool) -> None:
        """Draw this picture from now on."""
        self._shown = (snapshot, compact)
        self._redraw()

    def on_resize(self) -> None:
        """Lay the same picture out for the new width."""
        self._redraw()

    def _redraw(self) -> None:
        if self._shown is None:
            return
        snapshot, compact = self._shown
        width = self.scrollable_content_region.width
        self._lines = self._draw(snapshot, width, compact)
        size = Size(width, len(self._lines))
        grown = size.height != self.virtual_size.height
        self.virtual_size = size
        self.refresh(layout=grown)

    def text(self) -> str:
        """Everything in the panel as plain text, seen or scrolled away."""
        return "\n".join("".join(clean(text) for text, _ in line) for line in self._lines)

    def render_line(self, y: int) -> Strip:
        """One line of cells. Every cell has a style: Textual's NO_COLOR filter needs one."""
        base = self._style("plain")
        width = self.scrollable_content_region.width
        at = self.scroll_offset.y + y
        if y == 0 and self._sticky:
            at = self._heading(at)
        line = self._lines[at] if at < len(self._lines) else []
        segments = [Segment(clean(text), self._style(role)) for text, role in line]
        return Strip(segments).adjust_cell_length(width, base)

    def _heading(self, at: int) -> int:
        """The nearest heading at or above line `at`, or `at` itself where there is none."""
        for index in range(min(at, len(self._lines) - 1), -1, -1):
            if self._lines[index] and self._lines[index][0][1] == HEAD:
                return index
        return at

    def _style(self, role: str) -> Style:
        return self.get_component_rich_style(f"panel--{role}")
