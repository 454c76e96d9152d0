"""Tab: what the six tabs have in common.

In: a snapshot a tick while it is the one in sight. Out: the same to its panels, rows to its grid. Run by
the app.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

from textual.binding import Binding, BindingType
from textual.containers import Vertical

from dashboard.snapshot import Snapshot
from dashboard.widgets.grid import Grid
from dashboard.widgets.panel import OF_TRADER, Canvas, Panel


@dataclass(frozen=True, slots=True)
class Look:
    """What every tab draws by: the age from which a book is marked, and whether nothing may be changed."""

    stale_ns: int
    read_only: bool = False


class _Seeing(Protocol):
    """An app that knows the picture of now, also while a paused one is shown."""

    @property
    def latest(self) -> Snapshot | None: ...


class Tab(Vertical):
    """One tab. `NAME` is its id, `TITLE` and `SHORT` what the line of tabs says."""

    # Here and not in the app: Textual's screen would take these keys before it.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.turn_tab(1)", "next tab", show=False),
        Binding("shift+tab", "app.turn_tab(-1)", "tab before", show=False),
    ]
    NAME: ClassVar[str]
    TITLE: ClassVar[str]
    SHORT: ClassVar[str]
    # Whether all of it is what the trader wrote.
    OF_TRADER: ClassVar[bool] = False

    def __init__(self, look: Look) -> None:
        super().__init__(id=self.NAME)
        self.look = look
        self.snapshot: Snapshot | None = None

    def show(self, snapshot: Snapshot, *, compact: bool) -> None:
        """Draw this picture from now on."""
        if self.screen.focused is None:
            # Who had the keys went out of sight: the terminal was too small, or a panel was closed.
            self.take_focus()
        self.snapshot = snapshot
        self.fill(snapshot)
        for canvas in self.query(Canvas):
            muted = not snapshot.trader_alive and (self.OF_TRADER or canvas.has_class(OF_TRADER))
            if muted is not canvas.muted:
                canvas.muted = muted
                canvas.refresh()
        for panel in self.query(Panel):
            panel.show(snapshot, compact=compact)

    def fill(self, snapshot: Snapshot) -> None:
        """Give the grids their rows."""

    @property
    def latest(self) -> Snapshot | None:
        """The picture of now: what a key asks for is meant of it, also while a paused one is shown."""
        return cast("_Seeing", self.app).latest

    @property
    def grid(self) -> Grid | None:
        """The grid that has the keys, that is sorted and filtered."""
        return next(iter(self.query(Grid)), None)

    def take_focus(self) -> None:
        """Give the keys to whoever moves in this tab."""
        if self.grid is not None:
            self.grid.focus()

    def info(self, snapshot: Snapshot) -> str:  # noqa: ARG002 - what most tabs say is about the picture
        """What the end of the line of tabs says; order and filter of the grid are added to it."""
        return ""
