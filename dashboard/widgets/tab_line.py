"""Tab line: the names of the tabs, the one in sight in brackets, and what it says about itself.

In: the tabs' names, a click. Out: one line, and a message with the number of the tab. Run by the app.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.events import Click
from textual.message import Message
from textual.strip import Strip

from dashboard.formatting import clean, fit
from dashboard.widgets.panel import Canvas, Line

# Below this width the tabs have their short names.
FULL_NAMES = 110


class TabLine(Canvas):
    """One line of names."""

    can_focus = False

    class Chosen(Message):
        """Somebody clicked a tab; `number` counts from 0."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, titles: Sequence[tuple[str, str]]) -> None:
        super().__init__("tabs")
        self._titles = titles
        self._at = 0
        self._info = ""

    def show(self, at: int, info: str) -> None:
        """Name the tab in sight and what it says."""
        if (at, info) != (self._at, self._info):
            self._at, self._info = at, info
            self.refresh()

    def _names(self, width: int) -> list[str]:
        """What each tab is called in so many cells, brackets and blanks included."""
        short = width < FULL_NAMES
        names = []
        for number, (title, brief) in enumerate(self._titles):
            name = f"{number + 1} {brief if short else title}"
            names.append(f"[{name}]" if number == self._at else f" {name} ")
        return names

    def text(self) -> str:
        """The line as plain text."""
        return "".join(text for text, _ in self._line(self.size.width))

    def _line(self, width: int) -> Line:
        names = self._names(width)
        line: Line = [(name, "tab" if number == self._at else "plain") for number, name in enumerate(names)]
        left = width - sum(cell_len(name) for name in names) - 2
        info = clean(self._info)
        if left > 0:
            line.append(("  " + fit(info, left, "right"), "dim"))
        return line

    def render_line(self, y: int) -> Strip:
        """The line."""
        width = self.size.width
        return self.strip_of(self._line(width) if y == 0 else [], width)

    def on_click(self, event: Click) -> None:
        """The tab whose name was clicked."""
        end = 0
        for number, name in enumerate(self._names(self.size.width)):
            end += cell_len(name)
            if event.x < end:
                self.post_message(self.Chosen(number))
                return
