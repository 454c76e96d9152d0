"""App: the dashboard's one screen, redrawn from a fresh snapshot twice a second.

In: a source of snapshots, keys, a way to ask for halt and resume. Out: the terminal, and at the end
"leave" or "stop", which the caller acts on. Run by `run.py up` and `run.py dashboard`. It writes to no
memory and signals nobody: killed or closed, it changes nothing in the bot.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Resize
from textual.pilot import Pilot
from textual.types import AnimationLevel
from textual.widgets import Footer, Static

from dashboard.formatting import clean, clock_text
from dashboard.snapshot import Snapshot, Source
from dashboard.widgets.dialogs import Answer, HaltScreen, HelpScreen, QuitScreen, Turn
from dashboard.widgets.events import draw_events
from dashboard.widgets.opportunities import draw_opportunities
from dashboard.widgets.panel import Panel
from dashboard.widgets.positions import draw_positions
from dashboard.widgets.status import draw_notice, draw_status, draw_venues
from dashboard.widgets.workers import draw_workers

MIN_WIDTH, MIN_HEIGHT = 70, 15
# Below this the panels stand in one column and say less.
FULL_WIDTH, FULL_HEIGHT = 118, 30
# In one column: with so many lines there is room for more of each, with so few for the events alone.
TALL_HEIGHT, LOW_HEIGHT = 36, 20
# These never pause: a picture may stand still, but not claim that a dead bot runs.
ALWAYS_TRUE = ("status", "venues", "notice")
# An SVG as Rich writes it names a font on somebody's server; the reader's own will do.
_FONT_ADDRESS = re.compile(r',?\s*url\("https?://[^"]*"\)(\s*format\("[^"]*"\))?')


Switch = Callable[[Turn], tuple[bool, str]]
"""Asks the supervisor to halt or to resume: whether it did, and a sentence. May take seconds."""


class ParallaxApp(App[Answer]):
    """The dashboard. `run()` returns "leave" or "stop".

    `q` asks which only where `ask_on_quit` names the preselected answer and `read_only` is not set;
    else it closes at once and leaves the bot running. `h` asks too, and then turns `switch`; without one, or
    with `read_only`, there is no such key. `stale_seconds` is the age from which a book
    is marked, `refresh_ms` the time between two pictures.
    """

    CSS_PATH = "dashboard.tcss"
    TITLE = "Parallax"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit", priority=False),
        Binding("ctrl+q,ctrl+c", "quit", show=False),
        Binding("p", "pause", "pause view"),
        Binding("h", "halt", "halt"),
        Binding("question_mark", "help", "help", key_display="?"),
    ]

    def __init__(
        self,
        source: Source,
        *,
        refresh_ms: int = 500,
        stale_seconds: float = 5.0,
        read_only: bool = False,
        ask_on_quit: Answer | None = None,
        switch: Switch | None = None,
    ) -> None:
        super().__init__()
        self.animation_level: AnimationLevel = "none"
        self.refresh_ms = refresh_ms
        self._source = source
        self._stale_ns = round(stale_seconds * 1e9)
        self._ask_on_quit = None if read_only else ask_on_quit
        self._switch = None if read_only else switch
        # The picture that stands still, and None while the view is not paused.
        self._frozen: Snapshot | None = None
        self._latest: Snapshot | None = None

    def compose(self) -> ComposeResult:
        """Three lines, the events, what became of them, what is held, who works, and the keys."""
        yield Panel(draw_status, "status")
        yield Panel(draw_venues, "venues")
        yield Panel(lambda shown, width, _: draw_notice(shown, width, self._stale_ns), "notice")
        yield Panel(draw_events(self._stale_ns), "events", sticky=True)
        with Container(id="lower"):
            yield Panel(draw_opportunities, "opportunities", title="Last 10 opportunities")
            yield Panel(draw_positions, "positions", title="Positions")
        yield Panel(draw_workers, "workers", title="Workers")
        yield Footer()
        yield Static("", id="small", markup=False)

    def on_mount(self) -> None:
        """Draw at once, then at every beat."""
        self.query_one("#events").focus()
        self.call_after_refresh(self.tick)
        self.set_interval(self.refresh_ms / 1000, self.tick)

    def on_resize(self, event: Resize) -> None:
        """Choose the layout for the new size."""
        width, height = event.size
        small = width < MIN_WIDTH or height < MIN_HEIGHT
        main = self.screen_stack[0]
        main.set_class(small, "small")
        main.set_class(self._compact(width, height), "compact")
        main.set_class(height >= TALL_HEIGHT, "tall")
        main.set_class(height < LOW_HEIGHT, "low")
        self.query_one("#small", Static).update(
            f"terminal too small ({width}x{height}), needs {MIN_WIDTH}x{MIN_HEIGHT}"
        )
        self.call_after_refresh(self._draw)

    @staticmethod
    def _compact(width: int, height: int) -> bool:
        return width < FULL_WIDTH or height < FULL_HEIGHT

    def tick(self) -> None:
        """Take a fresh picture and draw it."""
        self._latest = self._source.snapshot()
        self._draw()

    def _draw(self) -> None:
        """Draw the latest picture; while paused only the lines that must stay true."""
        if self._latest is None:
            return
        compact = self._compact(*self.size)
        for panel in self.screen_stack[0].query(Panel):
            standing = self._frozen if panel.id not in ALWAYS_TRUE else None
            panel.show(standing or self._latest, compact=compact)

    def action_pause(self) -> None:
        """Let the picture stand still, or go on. The bot notices neither."""
        events = self.query_one("#events", Panel)
        if self._frozen is None:
            self._frozen = self._latest
            stopped = clock_text(self._latest.wall_ns) if self._latest is not None else ""
            events.border_title = f"VIEW PAUSED at {stopped}: p goes on; the bot does anyway"
        else:
            self._frozen = None
            events.border_title = ""
        self.screen_stack[0].set_class(self._frozen is not None, "paused")
        self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key is there: without a switch there is none to halt."""
        if action == "halt" and self._switch is None:
            return False
        return super().check_action(action, parameters)

    def action_halt(self) -> None:
        """Ask whether to halt, or to end the halt."""
        total = self._latest.summary if self._latest is not None else None
        halted = total is not None and total.halted
        cause = clean(total.halt_cause) if total is not None and halted else None
        if not isinstance(self.screen, HaltScreen):
            self.push_screen(HaltScreen(cause), self._turn)

    def _turn(self, turn: Turn | None) -> None:
        """Ask the supervisor in a thread: the picture goes on meanwhile."""
        if turn is not None:
            self.run_worker(self._ask_switch(turn))

    async def _ask_switch(self, turn: Turn) -> None:
        assert self._switch is not None, "without a switch there is no key"
        done, text = await asyncio.to_thread(self._switch, turn)
        self.notify(clean(text), severity="information" if done else "error", markup=False)

    def action_help(self) -> None:
        """Show keys and signs."""
        self.push_screen(HelpScreen())

    async def action_quit(self) -> None:
        """Close, asking first what happens to the bot where that is ours to say."""
        if self._ask_on_quit is None:
            self.exit("leave")
        elif not isinstance(self.screen, QuitScreen):
            await self.push_screen(QuitScreen(self._ask_on_quit), self._answered)

    def _answered(self, answer: Answer | None) -> None:
        """Close with the answer; None goes back to the screen."""
        if answer is not None:
            self.exit(answer)


def screenshot(
    source: Source,
    path: Path,
    size: tuple[int, int] = (120, 36),
    *,
    stale_seconds: float = 5.0,
) -> None:
    """Write the screen as it is now to `path` as an SVG that needs nothing from elsewhere.

    Takes two pictures a beat apart, because a rate needs two. Raises OSError when `path` cannot be
    written.
    """
    app = ParallaxApp(source, stale_seconds=stale_seconds, read_only=True)
    drawn: list[str] = []

    async def shoot(pilot: Pilot[object]) -> None:
        await pilot.pause(1.2 * app.refresh_ms / 1000)
        app.tick()
        await pilot.pause()
        drawn.append(app.export_screenshot(title="Parallax"))
        app.exit("leave")

    app.run(headless=True, size=size, auto_pilot=shoot)
    assert drawn, "the app closed before its picture was taken"
    # Without this some readers of SVG drop the spaces that columns are made of.
    svg = drawn[0].replace("<svg ", '<svg xml:space="preserve" ', 1)
    path.write_text(_FONT_ADDRESS.sub("", svg), encoding="utf-8")
