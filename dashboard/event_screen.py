"""Event screen: one event by itself, over the tabs: ladders, waterfalls, curves, history.

In: a snapshot and the event's detail a tick. Out: terminal cells. Run by the app; Esc goes back, n and N show
the next event and the one before. An event that goes away keeps its last picture and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from dashboard.event_views import EventDetail, Events
from dashboard.messages import EventWanted
from dashboard.snapshot import Snapshot
from dashboard.widgets.event_picture import Seen, draw_event
from dashboard.widgets.key_line import KeyLine
from dashboard.widgets.notice import draw_notice
from dashboard.widgets.panel import Line, Panel
from dashboard.widgets.status import draw_status, draw_venues
from dashboard.widgets.tape import draw_tape

# From a key and a number of rows to the key of another event of a picture; None beyond the first and last.
Neighbour = Callable[[str, int, Snapshot], str | None]


class EventScreen(Screen[None]):
    """One event. `show` once a tick with what the source knows of `key` then."""

    DEFAULT_CSS = """
    EventScreen #event { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.pop_screen", "back"),
        Binding("n", "next(1)", "next event"),
        Binding("N", "next(-1)", "event before"),
    ]

    def __init__(self, key: str, stale_ns: int, next_to: Neighbour) -> None:
        super().__init__()
        self.key = key
        self._stale_ns = stale_ns
        self._next_to = next_to
        self._seen: Seen | None = None
        self._shown: tuple[Snapshot, bool] | None = None

    def compose(self) -> ComposeResult:
        """The lines that stand over everything, then the event."""
        yield Panel(draw_status, "status")
        yield Panel(draw_venues, "venues")
        yield Panel(lambda shown, width, _: draw_notice(shown, width, self._stale_ns), "notice")
        yield Panel(draw_tape, "tape")
        yield Panel(self._draw, "event", title="Event", classes="box", focus=True)
        yield KeyLine()

    def on_mount(self) -> None:
        """Draw what was shown before there was a place for it; the event has the keys that scroll."""
        self._redraw()
        self.query_one("#event").focus()

    def show(self, snapshot: Snapshot, detail: EventDetail | None, *, compact: bool) -> None:
        """Draw this picture from now on; without a `detail`, or one that is gone, the last one stays."""
        if detail is not None and detail.row is not None and not detail.gone:
            self._seen = Seen(detail, detail.row, snapshot.now_ns, snapshot.wall_ns)
        elif self._seen is not None:
            self._seen = Seen(
                self._seen.detail, self._seen.row, self._seen.now_ns, self._seen.wall_ns, gone=True
            )
        self._shown = snapshot, compact
        self.set_class(snapshot.replay is not None, "playing")
        self.set_class(compact, "compact")
        self._redraw()

    def _redraw(self) -> None:
        if self._shown is not None:
            for panel in self.query(Panel):
                panel.show(self._shown[0], compact=self._shown[1])

    def _draw(self, snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
        if self._seen is None:
            return [[("the scanner does not have this event", "dim")]]
        return draw_event(self._seen, snapshot, width, self._stale_ns)

    def action_next(self, by: int) -> None:
        """Show the event so many rows further."""
        key = self._next_to(self.key, by, self._shown[0]) if self._shown is not None else None
        if key is None:
            self.app.notify("no further event this way")
        else:
            self.post_message(EventWanted(key=key))

    def turn_to(self, key: str) -> None:
        """Show another event from now on, from its top."""
        self.key, self._seen = key, None
        self.query_one("#event", Panel).scroll_to(y=0, animate=False, immediate=True, force=True)


def key_of(events: Events, event_id: str) -> str | None:
    """The key of the first row of that event; None where there is none."""
    for row in events.arrange("", descending=True, needle=event_id):
        if events[row].id == event_id:
            return events.key(row)
    return None
