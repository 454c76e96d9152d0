"""Opportunities: the last decisions, why the one under the cursor was taken so, and how all of them ended.

In: snapshots. Out: the second tab, "show this event". Run by the app.
"""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from dashboard.messages import EventWanted
from dashboard.snapshot import Snapshot
from dashboard.tabs.tab import Look, Tab
from dashboard.widgets.decisions import decision_rows, draw_edges, draw_tally, spread_title
from dashboard.widgets.grid import Grid
from dashboard.widgets.panel import Line, Panel
from dashboard.widgets.why import draw_why, why_title
from shm.records import DecisionRow


class OpportunitiesTab(Tab):
    """Tab 2."""

    NAME: ClassVar[str] = "opportunities"
    TITLE: ClassVar[str] = "Opportunities"
    SHORT: ClassVar[str] = "Opps"
    SCOPED_CSS = False
    DEFAULT_CSS = """
    #why { height: 11; }
    #all-decisions { layout: horizontal; height: 6; }
    #tally { width: 1fr; height: 100%; }
    #edges { width: 46; height: 100%; overflow-y: hidden; }
    .tall #why { height: 12; }
    .compact #why, .compact.tall #why { height: 6; }
    .compact.tall #why { height: 12; }
    .compact #all-decisions { height: auto; }
    .compact #tally { height: auto; max-height: 3; }
    .compact #edges, .low #all-decisions { display: none; }
    .low #why { height: 3; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "every", "checks"),
        Binding("shift+down", "more(1)", "more of why", show=False),
        Binding("shift+up", "more(-1)", "back in why", show=False),
    ]

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._every = False
        # Whose "why" is shown.
        self._at = 0

    def compose(self) -> ComposeResult:
        """The decisions, why, and how many of which."""
        yield Grid("decisions")
        yield Panel(self._draw_why, "why", title="Why", classes="box")
        with Container(id="all-decisions"):
            yield Panel(draw_tally, "tally", title="All decisions", classes="box")
            yield Panel(self._draw_edges, "edges", title="Edges", classes="box")

    def fill(self, snapshot: Snapshot) -> None:
        """The decisions of this picture; "why" follows the cursor."""
        grid = self.query_one("#decisions", Grid)
        grid.show(decision_rows(snapshot, grid.place.width))
        row, why = self._chosen(snapshot), self.query_one("#why", Panel)
        # A title is markup to Textual, unless it is Text.
        why.border_title = Text(why_title(row, snapshot))
        if row is not None and row.sequence != self._at:
            self._at = row.sequence
            why.scroll_home(animate=False)
        self.query_one("#edges", Panel).border_title = spread_title(snapshot)

    def info(self, snapshot: Snapshot) -> str:
        """How many decisions are kept; one opportunity may be decided on more than once."""
        count = len(snapshot.decisions)
        return f"last {count} decisions" if count else ""

    def _chosen(self, snapshot: Snapshot) -> DecisionRow | None:
        """The decision under the cursor."""
        key = self.query_one("#decisions", Grid).key
        return next((row for row in snapshot.decisions if str(row.sequence) == key), None)

    def _draw_why(self, snapshot: Snapshot, width: int, compact: bool) -> list[Line]:
        return draw_why(self._chosen(snapshot), snapshot, width, compact, every=self._every)

    def _draw_edges(self, snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
        height = self.query_one("#edges", Panel).place.height
        return draw_edges(snapshot, width, height)

    def action_every(self) -> None:
        """Name every check, or only those of the stage that failed."""
        self._every = not self._every
        self.query_one("#why", Panel).redraw()

    def action_more(self, by: int) -> None:
        """Scroll in "why"."""
        self.query_one("#why", Panel).scroll_relative(y=by, animate=False)

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        """Show the event of the decision."""
        event.stop()
        row = self._chosen(self.snapshot) if self.snapshot is not None else None
        if row is not None:
            self.post_message(EventWanted(event_id=row.event_id))
