"""Kelly & P&L: the record and the size that it supports, what the account made, predictions as they came.

In: snapshots. Out: the fourth tab. Run by the app.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container

from dashboard.formatting import clean
from dashboard.snapshot import Snapshot
from dashboard.tabs.tab import Tab
from dashboard.widgets.grid import Grid
from dashboard.widgets.kelly import draw_kelly
from dashboard.widgets.panel import Line, Panel
from dashboard.widgets.performance import (
    draw_performance,
    draw_pnl,
    draw_spread,
    outcome_rows,
    pnl_title,
)


class KellyTab(Tab):
    """Tab 4."""

    NAME: ClassVar[str] = "kelly"
    TITLE: ClassVar[str] = "Kelly & P&L"
    SHORT: ClassVar[str] = "Kelly"
    OF_TRADER: ClassVar[bool] = True
    SCOPED_CSS = False
    DEFAULT_CSS = """
    #account { layout: horizontal; height: 16; }
    #sizing { width: 52; height: 100%; }
    #results { width: 1fr; height: 100%; }
    #pnl { height: 1fr; overflow-y: hidden; }
    #performance { height: 9; }
    #came { layout: horizontal; height: 1fr; }
    #spread { width: 38; height: 100%; overflow-y: hidden; }
    .tall #account { height: 18; }
    .compact #account, .compact.tall #account { layout: vertical; height: auto; }
    .compact #sizing { height: auto; }
    .compact #results { height: auto; }
    .compact #pnl { height: 4; }
    .compact.tall #pnl { height: 9; }
    .compact #performance { height: auto; max-height: 4; }
    .compact.tall #performance { max-height: 8; }
    .compact #spread, .low #results { display: none; }
    """

    def compose(self) -> ComposeResult:
        """The size and the results side by side; below them trade by trade."""
        with Container(id="account"):
            yield Panel(draw_kelly, "sizing", title="Kelly", classes="box", focus=True)
            with Container(id="results"):
                yield Panel(self._draw_pnl, "pnl", title="P&L", classes="box")
                yield Panel(draw_performance, "performance", title="Performance", classes="box")
        with Container(id="came"):
            yield Grid("trades")
            yield Panel(self._draw_spread, "spread", title="Edges that came", classes="box")

    def fill(self, snapshot: Snapshot) -> None:
        """The last trades; the chart says since when it is."""
        self.query_one("#trades", Grid).show(outcome_rows(snapshot))
        self.query_one("#pnl", Panel).border_title = pnl_title(snapshot)

    def info(self, snapshot: Snapshot) -> str:
        """Which share of Kelly's fraction is used, and where that is set."""
        row = snapshot.kelly
        return f"kelly.mode {clean(row.mode).upper()}" if row is not None else ""

    def _draw_pnl(self, snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
        return draw_pnl(snapshot, width, self._height("#pnl"))

    def _draw_spread(self, snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
        return draw_spread(snapshot, width, self._height("#spread"))

    def _height(self, name: str) -> int:
        """What a panel has room for."""
        return self.query_one(name, Panel).place.height
