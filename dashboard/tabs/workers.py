"""Workers & venues: every process, with keys that start, stop and kill it, and every venue's feed.

In: snapshots, keys. Out: the fifth tab, wishes of people, "show its log". Run by the app. The target of a key
is the worker under the cursor at that moment; what the dialog shows then moves no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from dashboard.actions import Action, Refused
from dashboard.dialogs.confirm import ChoiceScreen, kill_screen, level_screen
from dashboard.messages import LogWanted, Wanted
from dashboard.snapshot import Snapshot, WorkerView
from dashboard.tabs.tab import Look, Tab
from dashboard.widgets.grid import Grid
from dashboard.widgets.panel import Line, Panel
from dashboard.widgets.processes import (
    draw_alerts,
    draw_errors,
    draw_totals,
    errors_title,
    is_well,
    worker_rows,
)
from dashboard.widgets.venue_table import draw_venue_table
from dashboard.worker_actions import restart_worker, start_worker, stop_worker

Made = Callable[[Snapshot, str], Action | ChoiceScreen | Refused]
_ASKED: dict[str, Made] = {
    "restart": restart_worker,
    "kill": kill_screen,
    "start": start_worker,
    "stop": stop_worker,
    "level": level_screen,
}


class WorkersTab(Tab):
    """Tab 5."""

    NAME: ClassVar[str] = "workers"
    TITLE: ClassVar[str] = "Workers & venues"
    SHORT: ClassVar[str] = "Workers"
    SCOPED_CSS = False
    DEFAULT_CSS = """
    #feeds {
        height: auto; max-height: 10; padding: 0 1;
        border-top: solid $panel-lighten-2; border-title-color: $text-accent;
    }
    #totals { height: auto; max-height: 4; padding: 0 1; border-top: solid $panel-lighten-2; }
    #lower-box { height: 7; }
    #alerts, #errors { height: 100%; }
    #errors, .erring #alerts { display: none; }
    .erring #errors { display: block; }
    .compact #totals { border-top: none; max-height: 3; }
    .compact #lower-box { display: none; }
    .compact .erring #lower-box { display: block; height: 5; }
    .compact .erring #feeds { display: none; }
    .compact.tall #lower-box { display: block; height: 6; }
    .compact.tall .erring #feeds { display: block; }
    .low #feeds, .low #totals { display: none; }
    .low .erring #lower-box { height: 4; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "ask('restart')", "restart"),
        Binding("k", "ask('kill')", "kill"),
        Binding("u", "ask('start')", "start"),
        Binding("o", "ask('stop')", "stop"),
        Binding("l", "ask('level')", "level"),
        Binding("e", "errors", "errors"),
    ]

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._erring = False

    def compose(self) -> ComposeResult:
        """The processes, the venues, the totals, and alerts or errors."""
        yield Grid("processes")
        yield Panel(draw_venue_table, "feeds", title="Venues")
        yield Panel(draw_totals, "totals")
        with Container(id="lower-box"):
            yield Panel(draw_alerts, "alerts", title="Last alerts (e: errors of the worker)", classes="box")
            yield Panel(self._draw_errors, "errors", title="Errors", classes="box", focus=True)

    def fill(self, snapshot: Snapshot) -> None:
        """The processes of this picture."""
        self.query_one("#processes", Grid).show(worker_rows(snapshot))
        self.query_one("#errors", Panel).border_title = Text(errors_title(self._chosen(snapshot)))

    def info(self, snapshot: Snapshot) -> str:
        """How many run of how many."""
        workers = snapshot.workers
        if not workers:
            return ""
        well = sum(is_well(worker) for worker in workers)
        return f"{well}/{len(workers)} running"

    def _chosen(self, snapshot: Snapshot) -> WorkerView | None:
        """The worker under the cursor."""
        key = self.query_one("#processes", Grid).key
        return next((worker for worker in snapshot.workers if worker.name == key), None)

    def _draw_errors(self, snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
        return draw_errors(self._chosen(snapshot), width)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whoever only reads has no key that changes anything."""
        if action == "ask" and self.look.read_only:
            return False
        return super().check_action(action, parameters)

    def action_ask(self, what: str) -> None:
        """Want something of the worker under the cursor, as it is now."""
        worker = self.query_one("#processes", Grid).key
        latest = self.latest
        if worker is not None and latest is not None:
            self.post_message(Wanted(_ASKED[what](latest, worker)))

    def action_errors(self) -> None:
        """Show the distinct errors of the worker under the cursor in place of the alerts, or the alerts."""
        self._erring = not self._erring
        self.set_class(self._erring, "erring")

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        """Read its log."""
        event.stop()
        self.post_message(LogWanted(event.key))
