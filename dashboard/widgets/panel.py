"""Panel: lines of coloured text from a function that makes them; Canvas: what Panel and Grid have in common.

In: a `draw` function and a snapshot a tick. Out: terminal cells, only of the lines in sight: Textual's
line interface costs a tenth of a DataTable of the same rows. Run by the dashboard. Whatever others
wrote is cleaned here once more and never parsed as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from dashboard.formatting import clean
from dashboard.snapshot import Snapshot

# A span is a text and the role that colours it; a line is its spans from left to right.
Span = tuple[str, str]
Line = list[Span]
Draw = Callable[[Snapshot, int, bool], Sequence[Line]]

# What each role looks like is in dashboard.tcss: .swatch--ROLE.
ROLES = (
    "plain", "dim", "strong", "head", "sorted", "good", "gain", "fair", "bad", "info",
    "sim", "paper", "live", "replay", "halt", "tab", "cursor",
)  # fmt: skip
HEAD = "head"
# What promises something, where it may be true no longer. Warnings stay.
MUTED = {"good": "dim", "gain": "dim", "info": "dim"}
# The class of canvases that show what the trader wrote.
OF_TRADER = "of-trader"


class Swatch(Widget):
    """What each role looks like in the theme that is on; never in sight itself, one for all of an app.

    Textual looks every component class of a widget up anew with each class that changes above it: with the
    roles on every canvas that was a third of the work of a start.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"swatch--{role}" for role in ROLES}

    def __init__(self) -> None:
        super().__init__(id="swatch")
        # Looking a style up costs more than drawing with it.
        self._known: dict[str, Style] = {}

    def style_of(self, role: str) -> Style:
        """How a role looks."""
        style = self._known.get(role)
        if style is None:
            style = self._known[role] = self.get_component_rich_style(f"swatch--{role}")
        return style

    def notify_style_update(self) -> None:
        """Another theme: look the styles up anew, and have everything drawn with them."""
        super().notify_style_update()
        self._known.clear()
        for screen in self.app.screen_stack:
            for canvas in screen.query(Canvas):
                canvas.refresh()


class Canvas(ScrollView):
    """Draws lines of spans, cell by cell. Its app has a Swatch on its first screen."""

    ALLOW_SELECT = False

    def __init__(self, name: str, *, classes: str = "") -> None:
        self._swatch: Swatch | None = None
        # Whether it shows the last that a process said which is no more: nothing in it is bright then.
        self.muted = False
        self._place = Size(0, 0)
        super().__init__(id=name, classes=classes)

    @property
    def place(self) -> Size:
        """The cells for lines. Out of sight there are none: then those it last had, so that the first
        picture of a tab that comes back is whole.
        """
        size = self.scrollable_content_region.size
        if size.width:
            self._place = size
        return self._place

    def strip_of(self, line: Line, width: int, *, under: Style | None = None) -> Strip:
        """One line of exactly `width` cells; `under` lies below every colour of its own.

        Every cell has a style: Textual's NO_COLOR filter needs one.
        """
        base = self.style_of("plain")
        base = base + under if under is not None else base
        segments = []
        for text, role in line:
            style = self.style_of(MUTED.get(role, role) if self.muted else role)
            segments.append(Segment(clean(text), style + under if under is not None else style))
        return Strip(segments).adjust_cell_length(width, base)

    def render_str(self, text_content: str | Content) -> Content:
        """A title in the border: letters, as everything else here, and never markup."""
        plain = text_content if isinstance(text_content, str) else text_content.plain
        return Content(clean(plain))

    def style_of(self, role: str) -> Style:
        """How a role looks in the theme that is on."""
        if self._swatch is None:
            self._swatch = self.app.screen_stack[0].query_one("#swatch", Swatch)
        return self._swatch.style_of(role)


class Panel(Canvas):
    """Lines of a snapshot; `draw(snapshot, width, compact)` makes them."""

    def __init__(
        self, draw: Draw, name: str, *, title: str = "", classes: str = "", focus: bool = False
    ) -> None:
        super().__init__(name, classes=classes)
        # Few panels are longer than their place: keys scroll those.
        self.can_focus = focus
        self.border_title = title
        self._draw = draw
        self._lines: Sequence[Line] = ()
        self._shown: tuple[Snapshot, bool] | None = None

    def show(self, snapshot: Snapshot, *, compact: bool) -> None:
        """Draw this picture from now on."""
        self._shown = (snapshot, compact)
        self.redraw()

    def on_resize(self) -> None:
        """Lay the same picture out for the new width."""
        self.redraw()

    def redraw(self) -> None:
        """Make the lines of the latest picture anew."""
        if self._shown is None:
            return
        snapshot, compact = self._shown
        width = self.place.width
        lines = self._draw(snapshot, width, compact)
        size = Size(width, len(lines))
        if lines == self._lines and size == self.virtual_size:
            return
        self._lines = lines
        grown = size.height != self.virtual_size.height
        self.virtual_size = size
        self.refresh(layout=grown)

    def text(self) -> str:
        """Everything in the panel as plain text, seen or scrolled away."""
        return "\n".join("".join(clean(text) for text, _ in line) for line in self._lines)

    def render_line(self, y: int) -> Strip:
        """One line of cells."""
        at = self.scroll_offset.y + y
        line = self._lines[at] if at < len(self._lines) else []
        return self.strip_of(line, self.place.width)
