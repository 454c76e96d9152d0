"""Literal: the grid as one would first write it: every row of a tick into a DataTable, changed cells updated.

In: a data directory. Out: the same rows as the dashboard's first tab, in a widget of Textual's own. Started
by `bench dashboard` in a terminal of its own: `python -m bench.dashboard_parts.literal DATA`.
"""

import sys
from pathlib import Path

from textual.app import App, ComposeResult
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from dashboard.event_views import EventView
from dashboard.snapshot import Snapshot, Source
from dashboard.widgets.events import EventRows
from pipeline.cli.screen import config_of, source_of

WIDTH = 118
REFRESH_SECONDS = 0.5
STALE_NS = 5_000_000_000
MARK = "│"


class LiteralApp(App[None]):
    """One DataTable, drawn from a fresh snapshot twice a second."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._shown: list[list[str]] = []

    def compose(self) -> ComposeResult:
        """The table alone."""
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        """Draw at once, then at every beat."""
        self.tick()
        self.set_interval(REFRESH_SECONDS, self.tick)

    def tick(self) -> None:
        """Take a fresh picture and change the cells that are others."""
        self.update(self._source.snapshot())

    def update(self, picture: Snapshot) -> None:
        """Show this picture."""
        table = self.query_one(DataTable)
        drawn = cells_of(picture)
        if drawn and not self._shown:
            for number in range(len(drawn[0])):
                table.add_column(str(number))
        for row, cells in enumerate(drawn):
            if row >= len(self._shown):
                table.add_row(*cells)
                continue
            for column, (text, before) in enumerate(zip(cells, self._shown[row], strict=True)):
                if text != before:
                    table.update_cell_at(Coordinate(row, column), text)
        self._shown = drawn


def cells_of(picture: Snapshot) -> list[list[str]]:
    """Every pair's row in cells, as the dashboard would write it."""
    rows = EventRows(picture, STALE_NS)
    found = []
    for index in range(len(picture.events)):
        if isinstance(picture.events[index], EventView):
            line = "".join(text for text, _ in rows.line(index, WIDTH))
            found.append([cell.strip() for cell in line.split(MARK)])
    return found


if __name__ == "__main__":
    LiteralApp(source_of(config_of(Path(sys.argv[1])))).run()
