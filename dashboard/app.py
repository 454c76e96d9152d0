"""App: the dashboard's six tabs, drawn from a fresh snapshot twice a second.

In: a source of snapshots, keys, a way to ask the supervisor. Out: the terminal, and at the end "leave" or
"stop", which the caller acts on. Run by `run.py up` and `run.py dashboard`. It writes to no memory and
signals nobody: killed or closed, it changes nothing in the bot.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.events import Key, Resize
from textual.filter import LineFilter
from textual.screen import Screen
from textual.types import AnimationLevel
from textual.widgets import ContentSwitcher, Input, Static

from dashboard.actions import Action, Refused
from dashboard.client import Send
from dashboard.dialogs.help import HelpScreen, keys_of
from dashboard.dialogs.leave import Leaving, QuitScreen
from dashboard.dialogs.setting import Load
from dashboard.event_screen import EventScreen, key_of
from dashboard.event_views import ListedEvents
from dashboard.formatting import clock_text
from dashboard.log_tail import LogTail
from dashboard.messages import EventWanted, LogWanted, Wanted
from dashboard.palette import commands
from dashboard.picture import save
from dashboard.signs import AsciiFilter
from dashboard.snapshot import Snapshot, Source
from dashboard.steering import Steering
from dashboard.tabs.kelly import KellyTab
from dashboard.tabs.live import LiveTab
from dashboard.tabs.logs import LogsTab
from dashboard.tabs.opportunities import OpportunitiesTab
from dashboard.tabs.positions import PositionsTab
from dashboard.tabs.tab import Look, Tab
from dashboard.tabs.workers import WorkersTab
from dashboard.themes import THEMES, next_theme
from dashboard.widgets.grid import DOWN, UP, Grid
from dashboard.widgets.key_line import KeyLine
from dashboard.widgets.notice import draw_notice
from dashboard.widgets.panel import Panel, Swatch
from dashboard.widgets.status import draw_status, draw_venues
from dashboard.widgets.tab_line import TabLine
from dashboard.widgets.tape import TAPE_KEYS, draw_tape

MIN_WIDTH, MIN_HEIGHT = 70, 15
# Below this the panels stand in one column and say less.
FULL_WIDTH, FULL_HEIGHT = 118, 30
# In one column: with so many lines there is room for more of each, with so few for the grid alone.
TALL_HEIGHT, LOW_HEIGHT = 36, 20


class ParallaxApp(App[Leaving]):
    """The dashboard. `run()` returns "leave" or "stop".

    `q` asks which only where `ask_on_quit` names the preselected answer and there is `send`; else it closes
    at once and leaves the bot running. Without `send` no key changes anything. `stale_seconds` is the age
    from which a book is marked, `refresh_ms` the time between two pictures.
    """

    CSS_PATH = "dashboard.tcss"
    TITLE = "Parallax"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(n + 1), f"tab({n})", show=False) for n in range(6)),
        Binding("slash", "find", "filter", key_display="/"),
        Binding("p", "pause", "pause view"),
        Binding("t", "theme", "theme", show=False),
        Binding("h,K", "switch", "halt"),
        Binding("R", "reload", "reload config.toml", show=False),
        Binding("equals_sign", "setting", "change a setting", key_display="=", show=False),
        Binding("ctrl+s", "picture", "screenshot", show=False),
        *TAPE_KEYS,
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "quit", "quit", priority=False),
        Binding("ctrl+q,ctrl+c", "quit", show=False),
        Binding("ctrl+z", "suspend_process", show=False),
    ]

    def __init__(
        self,
        source: Source,
        *,
        refresh_ms: int = 500,
        stale_seconds: float = 5.0,
        ask_on_quit: Leaving | None = None,
        send: Send | None = None,
        load: Load = tuple,
        ascii_only: bool = False,
        theme: str = "parallax",
        pictures: Path = Path(),
        logs: LogTail | None = None,
    ) -> None:
        super().__init__()
        self.animation_level: AnimationLevel = "none"
        self.refresh_ms = refresh_ms
        # One and the same each time: Textual keeps what it drew by it.
        self._filters_of_ours = (AsciiFilter(),) if ascii_only else ()
        self._source = source
        self._look = Look(round(stale_seconds * 1e9), read_only=send is None)
        self._pictures = pictures
        self.steering = Steering(self, send, load, lambda: self._latest) if send is not None else None
        for made in THEMES.values():
            self.register_theme(made)
        self.theme = theme if theme in THEMES else next(iter(THEMES))
        self._ask_on_quit = ask_on_quit if send is not None else None
        # The picture that stands still, and None while the view is not paused.
        self._frozen: Snapshot | None = None
        self._latest: Snapshot | None = None
        shown = (LiveTab, OpportunitiesTab, PositionsTab, KellyTab, WorkersTab)
        self._log_tab = LogsTab(self._look, logs)
        self._tabs: tuple[Tab, ...] = (*(tab(self._look) for tab in shown), self._log_tab)
        self._at = 0

    def compose(self) -> ComposeResult:
        """Four lines, the tab in sight, the filter, and the keys."""
        stale_ns = self._look.stale_ns
        yield Swatch()
        yield Panel(draw_status, "status")
        yield Panel(draw_venues, "venues")
        yield Panel(lambda shown, width, _: draw_notice(shown, width, stale_ns), "notice")
        yield Panel(draw_tape, "tape")
        yield TabLine([(tab.TITLE, tab.SHORT) for tab in self._tabs])
        with ContentSwitcher(id="switcher", initial=self._tabs[0].NAME):
            yield from self._tabs
        yield Input(id="filter", placeholder="show only rows with ...   Enter keeps it, Esc shows all")
        yield KeyLine()
        yield Static("", id="small", markup=False)

    def on_mount(self) -> None:
        """Draw at once, then at every beat."""
        self.tab.take_focus()
        self.call_after_refresh(self.tick)
        self.set_interval(self.refresh_ms / 1000, self.tick)
        # What is loaded by now stays: looking through it again and again would hold up keys.
        gc.freeze()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What every line goes through: ASCII last where the terminal shows nothing else."""
        return [*super().get_line_filters(), *self._filters_of_ours]

    @property
    def tab(self) -> Tab:
        """The tab in sight."""
        return self._tabs[self._at]

    @property
    def latest(self) -> Snapshot | None:
        """The last picture, paused or not."""
        return self._latest

    # -- drawing ------------------------------------------------------------------------------

    def on_resize(self, event: Resize) -> None:
        """Choose the layout for the new size."""
        width, height = event.size
        main = self.screen_stack[0]
        main.set_class(width < MIN_WIDTH or height < MIN_HEIGHT, "small")
        main.set_class(width < FULL_WIDTH or height < FULL_HEIGHT, "compact")
        main.set_class(height >= TALL_HEIGHT, "tall")
        main.set_class(height < LOW_HEIGHT, "low")
        self.query_one("#small", Static).update(
            f"terminal too small ({width}x{height}), needs {MIN_WIDTH}x{MIN_HEIGHT}; see run.py status"
        )
        self.call_after_refresh(self._draw)

    def tick(self) -> None:
        """Take a fresh picture and draw it."""
        self._latest = self._source.snapshot()
        self._draw()

    def _draw(self) -> None:
        """Draw the latest picture; while paused only the lines that must stay true."""
        if self._latest is None or not self.screen_stack:
            # Nothing is seen yet, or no more: messages may still come while the app closes.
            return
        compact = self.screen_stack[0].has_class("compact")
        self.screen_stack[0].set_class(self._latest.replay is not None, "playing")
        for name in ("#status", "#venues", "#notice", "#tape"):
            self.screen_stack[0].query_one(name, Panel).show(self._latest, compact=compact)
        shown = self._frozen or self._latest
        self.tab.show(shown, compact=compact)
        self._say_tab(shown)
        for screen in self.screen_stack:
            if isinstance(screen, EventScreen):
                screen.show(self._latest, self._source.detail(screen.key), compact=compact)

    def _say_tab(self, shown: Snapshot) -> None:
        """The line of tabs, with what the tab says of itself, and how its grid is arranged."""
        words = [self.tab.info(shown)]
        grid = self.tab.grid
        if grid is not None and grid.sort.key:
            words.append(f"sort: {grid.sort.key} {DOWN if grid.sort.descending else UP}")
        if grid is not None and grid.needle:
            words.append(f"filter: {grid.needle}  Esc")
        if self._frozen is not None:
            words.insert(
                0, f"VIEW PAUSED at {clock_text(self._frozen.wall_ns)}: p goes on; the bot does anyway"
            )
        self.query_one(TabLine).show(self._at, "  ".join(word for word in words if word))

    def on_grid_changed(self, event: Grid.Changed) -> None:
        """Say the new order or filter at once, and let the tab follow the cursor."""
        event.stop()
        self._draw()

    # -- tabs ---------------------------------------------------------------------------------

    def action_tab(self, number: int) -> None:
        """Show a tab; an event that stands over it goes."""
        if isinstance(self.screen, EventScreen):
            self.pop_screen()
        self._at = number
        main = self.screen_stack[0]
        main.query_one(ContentSwitcher).current = self.tab.NAME
        self._hide_filter()
        self._draw()
        self.tab.take_focus()

    def action_turn_tab(self, by: int) -> None:
        """Show the next tab, or the one before."""
        self.action_tab((self._at + by) % len(self._tabs))

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        """A click on the line of tabs."""
        self.action_tab(event.number)

    # -- filter -------------------------------------------------------------------------------

    def action_find(self) -> None:
        """Ask what the rows shall contain."""
        grid = self.tab.grid
        if grid is not None:
            line = self.query_one("#filter", Input)
            line.value = grid.needle
            line.add_class("shown")
            line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if event.input.id == "filter" and event.input.has_class("shown") and self.tab.grid is not None:
            self.tab.grid.filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter and give the keys back."""
        if event.input.id == "filter":
            self._hide_filter()
            self.tab.take_focus()

    def on_key(self, event: Key) -> None:
        """Esc in the filter shows all rows again."""
        line = self.screen_stack[0].query_one("#filter", Input)
        if event.key == "escape" and line.has_focus:
            event.stop()
            if self.tab.grid is not None:
                self.tab.grid.filter("")
            self._hide_filter()
            self.tab.take_focus()

    def _hide_filter(self) -> None:
        self.screen_stack[0].query_one("#filter", Input).remove_class("shown")

    # -- keys ---------------------------------------------------------------------------------

    def action_pause(self) -> None:
        """Let the picture stand still, or go on. The bot notices neither."""
        if self._frozen is not None:
            self._frozen = None
        elif self._latest is not None:
            # Rows are made when looked at: those of a picture that stands still are made now.
            events = self._latest.events
            rows = ListedEvents([events[index] for index in range(len(events))])
            self._frozen = replace(self._latest, events=rows)
        self.screen_stack[0].set_class(self._frozen is not None, "paused")
        self._draw()

    def action_help(self) -> None:
        """Show keys and signs."""
        self.push_screen(HelpScreen(keys_of(self)))

    async def action_quit(self) -> None:
        """Close, asking first what happens to the bot where that is ours to say."""
        if self._ask_on_quit is None:
            self.exit("leave")
        elif not isinstance(self.screen, QuitScreen):
            await self.push_screen(QuitScreen(self._ask_on_quit), self._answered)

    def _answered(self, answer: Leaving | None) -> None:
        """Close with the answer; None goes back to the screen."""
        if answer is not None:
            self.exit(answer)

    # -- steering -----------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key is there: without a way to the supervisor none changes anything."""
        if action in ("switch", "reload", "setting") and self.steering is None:
            return False
        if action in ("find", "pause") and isinstance(self.screen, EventScreen):
            return False
        if action in ("tape", "seek", "speed"):
            return self.steering is not None and self._latest is not None and self._latest.replay is not None
        return super().check_action(action, parameters)

    def on_wanted(self, event: Wanted) -> None:
        """A tab wants something of the run."""
        event.stop()
        if self.steering is not None:
            self.steering.want(event.wish)

    def on_event_wanted(self, event: EventWanted) -> None:
        """Show an event by itself."""
        event.stop()
        key = event.key or (key_of(self._latest.events, event.event_id) if self._latest else None)
        if key is None:
            self.notify(f"the scanner has no event {event.event_id} now", markup=False)
        elif isinstance(self.screen, EventScreen):
            self.screen.turn_to(key)
        else:
            self.push_screen(EventScreen(key, self._look.stale_ns, self.query_one(LiveTab).next_to))
        self._draw()

    def on_log_wanted(self, event: LogWanted) -> None:
        """Show what one worker logs."""
        event.stop()
        self.action_tab(self._tabs.index(self._log_tab))
        self._log_tab.show_worker(event.worker)

    def want_of_run(self, made: Callable[[Snapshot, str], Action | Refused], name: str) -> None:
        """Want something of a worker as it is now."""
        if self.steering is not None and self._latest is not None:
            self.steering.want(made(self._latest, name))

    def action_switch(self) -> None:
        """Halt, or end the halt."""
        if self.steering is not None:
            self.steering.switch()

    def action_reload(self) -> None:
        """Read config.toml again."""
        if self.steering is not None:
            self.steering.reload()

    def action_setting(self) -> None:
        """Change a key of config.toml."""
        if self.steering is not None:
            self.steering.setting()

    def action_tape(self, what: str) -> None:
        """Pause the tape or let it go on; one step of it."""
        if self.steering is not None:
            self.steering.tape(what)

    def action_seek(self, seconds: int) -> None:
        """Go so far on or back on the tape."""
        if self.steering is not None:
            self.steering.play("seek", f"{seconds:+d}")

    def action_speed(self, by: int) -> None:
        """Play the tape faster or slower by one step."""
        if self.steering is not None:
            self.steering.speed(by)

    # -- looks --------------------------------------------------------------------------------

    def action_theme(self) -> None:
        """Put on the next theme."""
        self.put_on(next_theme(self.theme))

    def put_on(self, name: str) -> None:
        """Put on a theme; it lasts until the dashboard closes."""
        self.theme = name
        self.notify(f"theme {name}; for good: dashboard.theme in config.toml", markup=False)

    def get_system_commands(self, screen: Screen[object]) -> Iterator[SystemCommand]:  # noqa: ARG002
        """What ctrl+p offers."""
        return commands(self)

    @property
    def titles(self) -> list[str]:
        """What the tabs are called."""
        return [tab.TITLE for tab in self._tabs]

    def action_picture(self) -> None:
        """Save the screen as SVG where the data of the run are."""
        try:
            path = save(self, self._pictures)
        except OSError as error:
            self.notify(f"{self._pictures}: {error.strerror}", severity="error", markup=False)
        else:
            self.notify(f"saved {path}", markup=False)
