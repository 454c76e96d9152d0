"""Logs: the logs of all workers merged by time, followed, filtered, wrapped.

In: the logs' directory, read only while this tab is in sight; keys. Out: the sixth tab. Run by the app.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from dashboard.log_tail import LogTail
from dashboard.snapshot import Snapshot
from dashboard.tabs.tab import Look, Tab
from dashboard.widgets.grid import Grid
from dashboard.widgets.logs import LogRows, draw_choice, next_level, next_worker
from dashboard.widgets.panel import Line, Panel


class LogsTab(Tab):
    """Tab 6. `logs` is None where nobody knows a directory of logs: the tab then says so."""

    NAME: ClassVar[str] = "logs"
    TITLE: ClassVar[str] = "Logs"
    SHORT: ClassVar[str] = "Logs"
    DEFAULT_CSS = """
    #choice { height: 1; padding: 0 1; overflow-y: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "follow"),
        Binding("v", "level", "level"),
        Binding("w", "worker", "worker"),
        Binding("z", "wrap", "wrap"),
    ]

    def __init__(self, look: Look, logs: LogTail | None) -> None:
        super().__init__(look)
        self._logs = logs
        self._level = "info"
        self._worker = ""
        self._wrap = False

    def compose(self) -> ComposeResult:
        """What is chosen, and the lines."""
        yield Panel(self._draw_choice, "choice")
        yield Grid("entries")

    def on_mount(self) -> None:
        """New lines come below."""
        self.query_one("#entries", Grid).follow = True

    def fill(self, snapshot: Snapshot) -> None:  # noqa: ARG002 - the logs are no part of the picture
        """Read what came, unless the view is paused, and show what is chosen."""
        if self._logs is not None:
            if not self.screen.has_class("paused"):
                self._logs.poll()
            self._show()

    def _show(self) -> None:
        """Give the grid its rows."""
        logs = self._logs
        if logs is None:
            return
        grid = self.query_one("#entries", Grid)
        width = grid.place.width - 1
        grid.show(
            LogRows(
                lambda needle: logs.entries(self._level, self._worker, needle),
                max(20, width) if self._wrap else None,
            )
        )

    def _draw_choice(self, _: Snapshot, width: int, _compact: bool) -> list[Line]:
        """What is shown of what there is."""
        if self._logs is None:
            return [[("no directory of logs is known here", "fair")]]
        grid = self.query_one("#entries", Grid)
        shown = len(self._logs.entries(self._level, self._worker, grid.needle))
        return [draw_choice(self._logs, shown, self._level, self._worker, follow=grid.follow, width=width)]

    def show_worker(self, worker: str) -> None:
        """Show one worker's lines from now on."""
        self._worker = worker
        self._again()

    def action_follow(self) -> None:
        """Stay with the newest line, or stand still."""
        grid = self.query_one("#entries", Grid)
        grid.follow = not grid.follow
        self._again()

    def action_level(self) -> None:
        """Show only worse lines, and after the worst all again."""
        self._level = next_level(self._level)
        self._again()

    def action_worker(self) -> None:
        """Show the next worker's lines, and after the last those of all."""
        self._worker = next_worker(self._logs.workers if self._logs is not None else (), self._worker)
        self._again()

    def action_wrap(self) -> None:
        """Give a line the room that it needs, or one line of the screen."""
        self._wrap = not self._wrap
        self._again()

    def _again(self) -> None:
        """Draw the new choice at once."""
        self._show()
        self.query_one("#choice", Panel).redraw()
