"""Live: the grid of events, and below it the last opportunities and what is held.

In: snapshots. Out: the first tab. Run by the app.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container

from dashboard.messages import EventWanted
from dashboard.snapshot import Snapshot
from dashboard.tabs.tab import Tab
from dashboard.widgets.events import EventRows
from dashboard.widgets.grid import Grid
from dashboard.widgets.opportunities import draw_opportunities
from dashboard.widgets.panel import OF_TRADER, Line, Panel
from dashboard.widgets.positions import draw_positions, positions_title
from dashboard.widgets.singles import is_single


class LiveTab(Tab):
    """Tab 1."""

    NAME: ClassVar[str] = "live"
    TITLE: ClassVar[str] = "Live"
    SHORT: ClassVar[str] = "Live"
    SCOPED_CSS = False
    DEFAULT_CSS = """
    #last { width: 1fr; height: 100%; overflow-y: hidden; }
    #held { width: 48; height: 100%; overflow-y: hidden; }
    .compact #last { height: 6; }
    .compact #held { height: 4; }
    .compact.tall #last { height: 11; }
    .compact.tall #held { height: 8; }
    .compact.low #last { height: 4; }
    .low #held { display: none; }
    """

    def compose(self) -> ComposeResult:
        """The events, what became of them, what is held."""
        yield Grid("events")
        with Container(classes="lower"):
            yield Panel(draw_opportunities, "last", title="Last 10 opportunities", classes="box")
            yield Panel(self._draw_held, "held", title="Positions", classes=f"box {OF_TRADER}")

    def fill(self, snapshot: Snapshot) -> None:
        """The events of this picture."""
        self.query_one("#events", Grid).show(EventRows(snapshot, self.look.stale_ns))
        self.query_one("#held", Panel).border_title = positions_title(snapshot)

    def info(self, snapshot: Snapshot) -> str:
        """How many events there are."""
        known = len(snapshot.events.ids)
        return f"{known} event{'' if known == 1 else 's'}"

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        """Show the event by itself; a book that belongs to none has no more to show."""
        event.stop()
        if is_single(event.key):
            self.app.notify("this book belongs to no event: what is known of it stands in its row")
        else:
            self.post_message(EventWanted(key=event.key))

    def next_to(self, key: str, by: int, snapshot: Snapshot) -> str | None:
        """The event so many rows from that one, as the grid is sorted and filtered; None beyond its ends.

        Where the grid does not show that one, the first.
        """
        grid = self.query_one("#events", Grid)
        rows = EventRows(snapshot, self.look.stale_ns)
        keys = [rows.key(row) for row in rows.arrange(grid.sort, grid.needle) if row >= 0]
        keys = [one for one in keys if not is_single(one)]
        at = keys.index(key) + by if key in keys else 0
        return keys[at] if 0 <= at < len(keys) else None

    def _draw_held(self, snapshot: Snapshot, width: int, compact: bool) -> list[Line]:
        height = self.query_one("#held", Panel).place.height
        return draw_positions(snapshot, width, compact, height)
