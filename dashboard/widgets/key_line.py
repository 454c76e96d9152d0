"""Key line: the keys that work now, at the bottom of the screen; those that matter most where room is short.

In: the bindings of the focused widget, its tab and the app. Out: one line. Run by the app. The help (`?`)
lists all keys, so a line that is too short leaves some out whole: a cut word helps nobody.
"""

from __future__ import annotations

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Footer

# By their descriptions, which go first where not all fit.
SPARED = ("sort", "errors", "checks", "pause view", "open", "level", "filter")


class KeyLine(Footer):
    """Textual's footer, and no key that is cut."""

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)
        self._drawn_for = 0

    def compose(self) -> ComposeResult:
        """The keys that fit."""
        keys = list(super().compose())
        self._drawn_for = self.size.width
        for word in SPARED:
            if sum(map(_cells, keys)) <= self._drawn_for + 1:
                break
            keys = [key for key in keys if _words(key)[1] != word]
        yield from keys

    def on_resize(self, event: Resize) -> None:
        """Choose again."""
        if event.size.width != self._drawn_for:
            self.call_after_refresh(self.recompose)


def _words(key: Widget) -> tuple[str, str]:
    """The key and what it does."""
    return getattr(key, "key_display", ""), getattr(key, "description", "")


def _cells(key: Widget) -> int:
    """Key, word, and the gap behind each."""
    return sum(cell_len(word) + 1 for word in _words(key))
