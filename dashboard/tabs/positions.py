"""Positions: what is held of each event, orders on their way, and where the money of each venue is.

In: snapshots, keys. Out: the third tab, wishes of people, "show this event". Run by the app. What a key asks
for is the event under the cursor at that moment; what the dialog shows then moves no more.
"""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from dashboard.actions import Refused, flatten
from dashboard.messages import EventWanted, Wanted
from dashboard.snapshot import PositionView, Snapshot
from dashboard.tabs.tab import Tab
from dashboard.widgets.grid import Grid
from dashboard.widgets.holdings import (
    draw_holding,
    draw_orders,
    draw_totals,
    holding_rows,
    holding_title,
)
from dashboard.widgets.money import draw_money, money_title
from dashboard.widgets.panel import Line, Panel


class PositionsTab(Tab):
    """Tab 3."""

    NAME: ClassVar[str] = "positions"
    TITLE: ClassVar[str] = "Positions"
    SHORT: ClassVar[str] = "Pos"
    OF_TRADER: ClassVar[bool] = True
    SCOPED_CSS = False
    DEFAULT_CSS = """
    #stake { height: auto; max-height: 3; padding: 0 1; border-top: solid $panel-lighten-2; }
    #at-work { layout: horizontal; height: 15; }
    #pieces { width: 1fr; height: 100%; }
    #holding { height: 7; }
    #orders { height: 1fr; }
    #money { width: 58; height: 100%; }
    .tall #at-work { height: 17; }
    .compact #at-work, .compact.tall #at-work { layout: vertical; height: auto; }
    .compact #stake { border-top: none; max-height: 2; padding: 0; }
    .compact #pieces { width: 100%; height: auto; }
    .compact #holding { display: none; }
    .compact #orders { height: auto; max-height: 4; }
    .compact #money { width: 100%; height: auto; max-height: 5; }
    .compact.tall #orders { max-height: 7; }
    .compact.tall #money { max-height: 9; }
    .low #at-work { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "flatten", "flatten"),
        Binding("shift+down", "more(1)", "more of what is held", show=False),
        Binding("shift+up", "more(-1)", "back in what is held", show=False),
    ]

    def compose(self) -> ComposeResult:
        """The events; all together; what is at work, and the money."""
        yield Grid("holdings")
        yield Panel(draw_totals, "stake")
        with Container(id="at-work"):
            with Container(id="pieces"):
                yield Panel(self._draw_holding, "holding", title="Held", classes="box")
                yield Panel(draw_orders, "orders", title="Orders", classes="box")
            yield Panel(draw_money, "money", title="Money", classes="box")

    def fill(self, snapshot: Snapshot) -> None:
        """What is held in this picture."""
        grid = self.query_one("#holdings", Grid)
        grid.show(holding_rows(snapshot, grid.place.width))
        chosen = self._chosen(snapshot)
        # A title is markup to Textual, unless it is Text.
        self.query_one("#holding", Panel).border_title = Text(holding_title(chosen))
        self.query_one("#orders", Panel).border_title = f"Orders on their way: {len(snapshot.orders)}"
        self.query_one("#money", Panel).border_title = money_title(snapshot)

    def info(self, snapshot: Snapshot) -> str:
        """How many events are held."""
        count = len(snapshot.positions)
        return f"{count} event{'' if count == 1 else 's'} held"

    def _chosen(self, snapshot: Snapshot) -> PositionView | None:
        """The event under the cursor."""
        key = self.query_one("#holdings", Grid).key
        return next((one for one in snapshot.positions if one.event_id == key), None)

    def _draw_holding(self, snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
        return draw_holding(self._chosen(snapshot), snapshot, width)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whoever only reads has no key that changes anything."""
        if action == "flatten" and self.look.read_only:
            return False
        return super().check_action(action, parameters)

    def action_flatten(self) -> None:
        """Want all that is held of the event under the cursor sold, as it is now."""
        latest = self.latest
        if latest is None:
            return
        event = self.query_one("#holdings", Grid).key
        wish = Refused("nothing is held") if event is None else flatten(latest, event)
        self.post_message(Wanted(wish))

    def action_more(self, by: int) -> None:
        """Scroll in what is held of the event."""
        self.query_one("#holding", Panel).scroll_relative(y=by, animate=False)

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        """Show the event."""
        event.stop()
        self.post_message(EventWanted(event_id=event.key))
