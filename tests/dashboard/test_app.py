"""The app: its keys, its mouse and its sizes, over pictures that were made by hand."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input

from dashboard.app import ParallaxApp
from dashboard.dialogs.confirm import ConfirmScreen
from dashboard.dialogs.help import HelpScreen
from dashboard.dialogs.leave import QuitScreen
from dashboard.dialogs.setting import SettingScreen
from dashboard.event_views import ListedEvents
from dashboard.snapshot import Snapshot
from dashboard.themes import THEMES
from dashboard.widgets.grid import Grid
from dashboard.widgets.tab_line import TabLine
from tests.dashboard.canned import (
    CannedSource,
    CannedSupervisor,
    app_of,
    everything,
    halted,
    live,
    logs_in,
    quiet,
    replaying,
    stopped,
)

WIDE, NARROW = (120, 36), (80, 24)
TABS = ("live", "opportunities", "positions", "kelly", "workers", "logs")
# What a key that changes the run may be called.
CHANGING = (
    "restart",
    "kill",
    "start",
    "stop",
    "halt",
    "resume",
    "reload",
    "setting",
    "flatten",
    "log level",
    "tape",
)

CHANGING_ACTIONS = ("ask", "flatten", "switch", "reload", "setting", "tape", "seek", "speed")

Drive = Callable[..., None]
Screen = Callable[[ParallaxApp], str]


def grid_of(app: ParallaxApp) -> Grid:
    """The grid of the tab in sight."""
    assert app.tab.grid is not None
    return app.tab.grid


def told(app: ParallaxApp) -> list[str]:
    """What the app has told its user in passing; drawn only where notifications are on."""
    return [note.message for note in app._notifications]


def row_with(app: ParallaxApp, word: str) -> str:
    """The first line of the grid in sight that contains `word`."""
    found = [line for line in grid_of(app).text().splitlines() if word in line]
    assert found, f"{word!r} is nowhere on\n{grid_of(app).text()}"
    return found[0]


def shuffled(picture: Snapshot, *, without: str = "") -> Snapshot:
    """The same picture with its events the other way round."""
    rows = [picture.events[index] for index in reversed(range(len(picture.events)))]
    return replace(picture, events=ListedEvents([row for row in rows if row.id != without or not without]))


async def settle(app: ParallaxApp, pilot: Pilot[Any]) -> None:
    """Draw the picture that is there now."""
    app.tick()
    await pilot.pause()


# -- tabs -------------------------------------------------------------------------------------------------


def test_every_tab_has_its_number(drive: Drive, screen: Screen) -> None:
    """1 to 6 show the six tabs; the one in sight stands in brackets and has the keys."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        for at in (5, 0, 3, 2, 4, 1):
            await pilot.press(str(at + 1))
            assert TABS[at] == app.tab.NAME
            assert f"[{at + 1} " in app.query_one(TabLine).text()
            assert app.focused is not None
            assert app.focused in app.tab.walk_children()

    drive(app, WIDE, steps)


def test_tab_and_shift_tab_turn_round(drive: Drive) -> None:
    """Tab goes to the next tab and from the last to the first, shift+Tab the other way."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        seen = []
        for _ in TABS:
            await pilot.press("tab")
            seen.append(app.tab.NAME)
        assert seen == [*TABS[1:], TABS[0]]
        await pilot.press("shift+tab")
        assert TABS[-1] == app.tab.NAME

    drive(app, WIDE, steps)


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_click_on_its_name_shows_a_tab(drive: Drive, size: tuple[int, int]) -> None:
    """Every name on the line of tabs can be clicked; a click beside them changes nothing."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        for at in (4, 0, 5, 2, 1, 3):
            line = app.query_one(TabLine).text()
            await pilot.click("#tabs", offset=(line.index(f"{at + 1} "), 0))
            assert TABS[at] == app.tab.NAME
        await pilot.click("#tabs", offset=(size[0] - 2, 0))
        assert TABS[3] == app.tab.NAME

    drive(app, size, steps)


# -- filter -----------------------------------------------------------------------------------------------


def test_a_filter_acts_while_it_is_typed(drive: Drive, screen: Screen) -> None:
    """/ asks, every letter filters, Enter keeps it and gives the keys back, Esc then shows all again."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        whole = grid_of(app).count
        await pilot.press("slash", *"BTC")
        await pilot.pause()
        assert grid_of(app).needle == "BTC"
        assert 0 < grid_of(app).count < whole
        assert "fed-hold" not in grid_of(app).text()
        assert "filter: BTC" in app.query_one(TabLine).text()
        await pilot.press("enter")
        assert app.focused is grid_of(app)
        assert not app.query_one("#filter", Input).display
        assert grid_of(app).needle == "BTC"
        await pilot.press("escape")
        assert grid_of(app).count == whole
        assert "filter" not in app.query_one(TabLine).text()

    drive(app, WIDE, steps)


def test_esc_in_the_filter_shows_all(drive: Drive) -> None:
    """Esc while typing clears the filter at once; keys are keys again and no letters."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        whole = grid_of(app).count
        await pilot.press("slash", *"xq5?", "escape")
        assert grid_of(app).needle == ""
        assert grid_of(app).count == whole
        assert app.tab.NAME == "live"
        assert len(app.screen_stack) == 1
        await pilot.press("5")
        assert app.tab.NAME == "workers"

    drive(app, WIDE, steps)


def test_a_filter_that_finds_nothing_says_so(drive: Drive, screen: Screen) -> None:
    """Where no row has it, the grid says so and how to go on, and still does when the picture changes."""
    source = CannedSource(everything())
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("slash", *"no such thing", "enter")
        assert grid_of(app).count == 0
        assert "Esc shows all" in screen(app)
        source.shown = quiet()
        await settle(app, pilot)
        assert "Esc shows all" in screen(app)

    drive(app, WIDE, steps)


def test_every_table_filters_by_what_stands_in_it(drive: Drive) -> None:
    """Decisions, positions and workers are filtered by any of their words, each tab by its own filter."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        for key, word in (("2", "fed-hold"), ("3", "fed-hold"), ("5", "feed-kraken")):
            await pilot.press(key)
            whole = grid_of(app).count
            assert grid_of(app).needle == ""
            await pilot.press("slash", *word, "enter")
            await pilot.pause()
            assert 0 < grid_of(app).count < whole
            assert row_with(app, word)

    drive(app, WIDE, steps)


# -- order ------------------------------------------------------------------------------------------------


def test_s_sorts_by_one_column_after_the_other(drive: Drive) -> None:
    """s takes the next order and says which, S turns it; after the last comes the scanner's own."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        grid = grid_of(app)
        await settle(app, pilot)
        own = grid.text()
        seen = []
        for _ in range(20):
            await pilot.press("s")
            await pilot.pause()
            seen.append(grid.sort.key)
            if not grid.sort.key:
                break
            assert f"sort: {grid.sort.key} ▼" in app.query_one(TabLine).text()
            down = grid.text()
            await pilot.press("S")
            await pilot.pause()
            assert f"sort: {grid.sort.key} ▲" in app.query_one(TabLine).text()
            assert grid.text() != down
        assert {"edge", "net", "age", "event"} <= set(seen)
        assert grid.text() == own

    drive(app, WIDE, steps)


def test_a_click_on_a_heading_sorts_by_it(drive: Drive) -> None:
    """A heading that sorts is clicked once for the largest on top, once more for the smallest."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        grid = grid_of(app)
        head = grid.text().splitlines()[0]
        top = grid.content_region.offset - grid.region.offset

        async def click() -> list[str]:
            await pilot.click("#events", offset=(top.x + head.index("K→P"), top.y))
            await pilot.pause()
            rows = [line.split()[0].lstrip(">") for line in grid.text().splitlines()]
            return [word for word in rows if word in ("nfl-kc-win", "btc-97k", "fed-hold")]

        assert (await click())[:2] == ["nfl-kc-win", "btc-97k"]
        assert (grid.sort.key, grid.sort.descending) == ("edge", True)
        assert (await click())[:2] == ["fed-hold", "btc-97k"]
        assert not grid.sort.descending

    drive(app, WIDE, steps)


def test_every_grid_says_what_it_is_sorted_by(drive: Drive) -> None:
    """In each tab that has an order, s marks a column and the line of tabs names it."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        for at in range(5):
            await pilot.press(str(at + 1), "s")
            await pilot.pause()
            line = app.query_one(TabLine).text()
            assert f"sort: {grid_of(app).sort.key}" in line, TABS[at]
            assert grid_of(app).sort.key, TABS[at]

    drive(app, WIDE, steps)


def test_the_cursor_stays_on_its_row(drive: Drive) -> None:
    """While rows move and orders change, the cursor stands on the row it was put on."""
    source = CannedSource(everything())
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        grid = grid_of(app)
        await pilot.press("down", "down", "down")
        assert ">cpi-0.3" in grid.text()
        for change in ("s", "S", "s"):
            await pilot.press(change)
            assert ">cpi-0.3" in grid.text()
        source.shown = shuffled(everything())
        await settle(app, pilot)
        assert ">cpi-0.3" in grid.text()
        await pilot.press("slash", *"cpi", "enter", "escape")
        assert ">cpi-0.3" in grid.text()

    drive(app, NARROW, steps)


def test_the_cursor_of_a_row_that_is_gone_stays_on_its_line(drive: Drive) -> None:
    """When its row ends, the cursor stands on the one that came there, never outside."""
    source = CannedSource(everything())
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        grid = grid_of(app)
        await pilot.press("down", "down", "down")
        source.shown = replace(
            everything(),
            events=ListedEvents(
                [row for row in map(everything().events.__getitem__, range(19)) if row.id != "cpi-0.3"]
            ),
        )
        await settle(app, pilot)
        assert ">rain-nyc" in grid.text()
        await pilot.press("end")
        source.shown = quiet()
        await settle(app, pilot)
        assert ">rain-nyc" in grid.text()
        source.shown = replace(quiet(), events=ListedEvents())
        await settle(app, pilot)
        assert grid.row is None
        await pilot.press("up", "down", "enter", "c")
        assert len(app.screen_stack) == 1

    drive(app, NARROW, steps)


def test_a_long_grid_scrolls_under_its_heading(drive: Drive, screen: Screen) -> None:
    """End, page and wheel scroll; the heading of the rows in sight stays on top, and Home brings all back."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        grid = grid_of(app)
        await pilot.press("end")
        await pilot.pause()
        top = grid.content_region.y
        lines = screen(app).splitlines()
        assert lines[top].startswith(" ")
        assert sum(line.startswith(">") for line in lines) == 1
        assert "btc-97k               61.1" not in screen(app)
        await pilot.press("home")
        await pilot.pause()
        assert "K" in screen(app).splitlines()[top]
        assert screen(app).splitlines()[top + 1].startswith(">btc")
        await pilot.press("pagedown", "pageup", "up")
        assert screen(app).splitlines()[top + 1].startswith(">btc")

    drive(app, NARROW, steps)


# -- a row ------------------------------------------------------------------------------------------------


def test_enter_opens_the_event_and_esc_returns(drive: Drive, screen: Screen) -> None:
    """Enter shows the row's own screen with its ladders; Esc leads back to the very row."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("down", "enter")
        await pilot.pause()
        assert len(app.screen_stack) == 2
        text = screen(app)
        assert "fed-hold" in text
        assert "71.6" in text and "73.5" in text
        await pilot.press("escape")
        assert len(app.screen_stack) == 1
        assert ">fed-hold" in grid_of(app).text()

    drive(app, NARROW, steps)


def test_a_double_click_opens_the_event(drive: Drive) -> None:
    """A click takes the cursor, a second one on the same row opens it."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        grid = grid_of(app)
        top = grid.content_region.offset - grid.region.offset
        await pilot.click("#events", offset=(top.x + 4, top.y + 3))
        assert ">nfl-kc-win" in grid.text()
        assert len(app.screen_stack) == 1
        await pilot.click("#events", offset=(top.x + 4, top.y + 3), times=2)
        await pilot.pause()
        assert len(app.screen_stack) == 2

    drive(app, WIDE, steps)


def test_c_copies_the_row_as_it_is_read(drive: Drive) -> None:
    """c puts the row's texts on the clipboard, single blanks between them, and says what."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("c")
        assert app.clipboard.startswith("btc-97k Bitcoin above 97,000 at 14:15")
        for word in ("61.1×680", "62.1×687", "0.1s", "63.4×566", "+95▲H", "-265", "82% n=37"):
            assert word in app.clipboard
        assert "  " not in app.clipboard
        assert told(app) == [f"copied: {app.clipboard}"]
        for key in ("2", "5"):
            await pilot.press(key, "c")
            assert "\n" not in app.clipboard
        assert app.clipboard.split()[0] == "supervisor"

    drive(app, WIDE, steps)


# -- pause ------------------------------------------------------------------------------------------------


def test_pause_holds_the_view_but_not_the_truth(drive: Drive, screen: Screen) -> None:
    """While paused the rows stand still and say so; the first lines still tell of a crash."""
    source = CannedSource(everything())
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("p")
        source.shown = stopped()
        await settle(app, pilot)
        head = "\n".join(screen(app).splitlines()[:4])
        assert "○ STOPPED 12s ago" in head
        assert "RUNNING" not in head
        assert "VIEW PAUSED at" in head
        assert "61.1" in row_with(app, "btc-97k")
        for key in "23456":
            await pilot.press(key)
            await pilot.pause()
            assert "VIEW PAUSED" in screen(app).splitlines()[3], key
            assert "○ STOPPED" in screen(app).splitlines()[0], key
        await pilot.press("5")
        assert "gone" not in grid_of(app).text()
        await pilot.press("1", "p")
        await pilot.pause()
        assert "PAUSED" not in screen(app)
        assert "DEAD" in row_with(app, "btc-97k")

    drive(app, WIDE, steps)


class MovingEvents(ListedEvents):
    """Rows that are made when they are looked at, out of whatever is there then."""

    moved = False

    def __getitem__(self, index: int) -> Any:
        row = super().__getitem__(index)
        return replace(row, title="MOVED") if self.moved else row


def test_rows_that_come_into_sight_later_are_paused_too(drive: Drive) -> None:
    """What is scrolled to, sorted or filtered while paused is what was there when it was paused."""
    seen = everything()
    events = MovingEvents([seen.events[index] for index in range(len(seen.events))])
    source = CannedSource(replace(seen, events=events))
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("p")
        events.moved = True
        await pilot.press("end", "s", "s")
        await settle(app, pilot)
        assert "MOVED" not in grid_of(app).text()
        await pilot.press("p")
        await pilot.pause()
        assert "MOVED" in grid_of(app).text()

    drive(app, (200, 36), steps)


# -- looks ------------------------------------------------------------------------------------------------


def test_t_puts_on_one_theme_after_the_other(drive: Drive, screen: Screen) -> None:
    """t goes through all themes and back to the first; no word on the screen depends on it."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await settle(app, pilot)
        text = screen(app)
        worn = []
        for _ in THEMES:
            await pilot.press("t")
            await pilot.pause()
            worn.append(app.theme)
            assert screen(app) == text
        assert sorted(worn) == sorted(THEMES)
        assert "colour-blind" in worn

    drive(app, WIDE, steps)


def test_help_names_keys_and_signs(drive: Drive) -> None:
    """? opens one page with the keys that work here and what every sign means; Esc closes it."""
    app = app_of(CannedSource(everything()), send=CannedSupervisor())

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = "\n".join(str(part.render()) for part in app.screen.query("Text"))
        for word in ("DEAD", "STALE", "▲", "⚠", "pause", "quit", "filter", "sort", "halt", "theme", "copy"):
            assert word in text, word
        await pilot.press("end", "home", "escape")
        assert not isinstance(app.screen, HelpScreen)

    drive(app, NARROW, steps)


def test_help_of_a_read_only_screen_offers_no_change(drive: Drive) -> None:
    """Without a way to the supervisor the page names no key that would change anything."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        for key in "123456":
            await pilot.press(key, "question_mark")
            await pilot.pause()
            keys = str(app.screen.query_one("#keys").render())
            assert not [word for word in CHANGING if word in keys], keys
            await pilot.press("escape")

    drive(app, WIDE, steps)


def test_the_palette_has_every_command(drive: Drive) -> None:
    """ctrl+p finds tabs, themes and commands by name; Esc closes it and nothing was done."""
    supervisor = CannedSupervisor()
    app = app_of(CannedSource(everything()), send=supervisor)

    async def steps(pilot: Pilot[Any]) -> None:
        names = [command.title for command in app.get_system_commands(app.screen)]
        for word in ("Tab: Workers", "Theme: colour-blind", "Halt or resume", "Restart feed-kalshi", "Quit"):
            assert any(name.startswith(word) for name in names), word
        await pilot.press("ctrl+p")
        assert isinstance(app.screen, CommandPalette)
        await pilot.press("escape")
        assert len(app.screen_stack) == 1

    drive(app, WIDE, steps)
    assert supervisor.asked == []


def test_the_palette_does_what_its_names_say(drive: Drive) -> None:
    """Commands of the palette show tabs, put on themes, and ask before they change the run."""
    supervisor = CannedSupervisor()
    app = app_of(CannedSource(everything()), send=supervisor)

    async def steps(pilot: Pilot[Any]) -> None:
        commands = {command.title: command.callback for command in app.get_system_commands(app.screen)}
        commands["Theme: light"]()
        assert app.theme == "light"
        commands[next(name for name in commands if name.startswith("Tab: Kelly"))]()
        assert app.tab.NAME == "kelly"
        commands["Restart feed-kalshi"]()
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("y")
        await app.workers.wait_for_complete()

    drive(app, WIDE, steps)
    assert supervisor.asked == [("restart", {"worker": "feed-kalshi", "pid": "4211"})]


# -- the run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "picture", "command"), [("h", everything, "halt"), ("K", halted, "resume")])
def test_h_halts_and_resumes_after_a_question(
    drive: Drive, screen: Screen, key: str, picture: Callable[[], Snapshot], command: str
) -> None:
    """h or K asks in every tab, with Cancel chosen; y sends it, and what came of it is told."""
    supervisor = CannedSupervisor(text="so be it")
    app = app_of(CannedSource(picture()), send=supervisor)

    async def steps(pilot: Pilot[Any]) -> None:
        for tab in "25":
            await pilot.press(tab, key)
            assert isinstance(app.screen, ConfirmScreen)
            assert app.focused is not None
            assert app.focused.id == "cancel"
            await pilot.press("enter")
            assert len(app.screen_stack) == 1
        await pilot.press(key)
        await pilot.pause()
        if command == "resume":
            assert "UNHEDGED: one leg" in screen(app)
        await pilot.press("y")
        await app.workers.wait_for_complete()
        assert told(app) == ["so be it"]

    drive(app, WIDE, steps)
    assert [asked for asked, _ in supervisor.asked] == [command]


def test_a_supervisor_that_refuses_is_said(drive: Drive, screen: Screen) -> None:
    """What went wrong is told as plain text, and the screen goes on."""
    app = app_of(CannedSource(quiet()), send=CannedSupervisor(done=False, text="[bold]no run\x1b[2J here"))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("h", "y")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert told(app) == ["refused: [bold]no run[2J here"]
        assert not any(note.markup for note in app._notifications)
        assert "RUNNING" in screen(app)

    drive(app, WIDE, steps)


def test_reload_and_settings_ask(drive: Drive) -> None:
    """R asks before config.toml is read again; = opens the settings; Esc leaves both without a change."""
    supervisor = CannedSupervisor()
    app = app_of(CannedSource(quiet()), send=supervisor)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("R")
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("escape", "equals_sign")
        assert isinstance(app.screen, SettingScreen)
        await pilot.press("escape", "R", "y")
        await app.workers.wait_for_complete()
        assert len(app.screen_stack) == 1

    drive(app, NARROW, steps)
    assert supervisor.asked == [("reload", {})]


def test_where_real_money_is_traded_resuming_takes_a_word(drive: Drive) -> None:
    """In a live run y alone ends no halt: the word must be typed, and then the button pressed."""
    supervisor = CannedSupervisor()
    picture = live()
    assert picture.summary is not None
    picture = replace(picture, summary=picture.summary._replace(halted=1, halt_cause="lost $20"))
    app = app_of(CannedSource(picture), send=supervisor)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("h", "y")
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.click("#typed")
        await pilot.press(*"resume")
        assert supervisor.asked == []
        await pilot.click("#yes")
        await app.workers.wait_for_complete()

    drive(app, WIDE, steps)
    assert supervisor.asked == [("resume", {})]


def test_a_tape_is_moved_by_keys(drive: Drive, screen: Screen) -> None:
    """Space, . [ ] { } < > move a tape that is played; without one they are no keys at all."""
    supervisor = CannedSupervisor()
    source = CannedSource(replaying())
    app = app_of(source, send=supervisor)

    async def steps(pilot: Pilot[Any]) -> None:
        assert "PAUSED" in app.query_one("#tape").text()  # type: ignore[attr-defined]
        keys = ("space", "full_stop", "left_square_bracket", "right_curly_bracket", "greater_than_sign")
        await pilot.press(*keys)
        await app.workers.wait_for_complete()
        source.shown = quiet()
        await settle(app, pilot)
        await pilot.press(*keys)
        await app.workers.wait_for_complete()

    drive(app, WIDE, steps)
    assert [args for _, args in supervisor.asked] == [
        {"action": "resume", "value": ""},
        {"action": "step", "value": ""},
        {"action": "seek", "value": "-10"},
        {"action": "seek", "value": "+60"},
        {"action": "speed", "value": "50"},
    ]


@pytest.mark.parametrize("picture", [everything, replaying])
def test_a_read_only_screen_has_no_key_that_changes_anything(
    drive: Drive, picture: Callable[[], Snapshot]
) -> None:
    """In no tab is there a key, nor in the palette a name, that would change the run."""
    app = app_of(CannedSource(picture()))

    async def steps(pilot: Pilot[Any]) -> None:
        for tab in "123456":
            await pilot.press(tab)
            await pilot.pause()
            offered = [
                active.binding.description for active in app.screen.active_bindings.values() if active.enabled
            ]
            assert not [word for word in CHANGING if any(word in text for text in offered)], (tab, offered)
            actions = {
                active.binding.action for active in app.screen.active_bindings.values() if active.enabled
            }
            assert not [name for name in actions if name.startswith(CHANGING_ACTIONS)], tab
        names = [command.title.casefold() for command in app.get_system_commands(app.screen)]
        assert not [name for name in names if name.startswith(CHANGING)]

    drive(app, WIDE, steps)


# -- the end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "answer", "by_key"),
    [(WIDE, "leave", True), (WIDE, "stop", False), (NARROW, "leave", False), (NARROW, "stop", True)],
)
def test_q_asks_and_returns_the_answer(
    drive: Drive, screen: Screen, size: tuple[int, int], answer: Any, by_key: bool
) -> None:
    """The preselected answer is Enter, either has its letter, and the app returns it."""
    app = app_of(CannedSource(quiet()), ask_on_quit=answer, send=CannedSupervisor())

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("q")
        assert isinstance(app.screen, QuitScreen)
        assert app.focused is not None
        assert app.focused.id == answer
        await pilot.pause()
        text = screen(app)
        for word in ("Leave running", "Stop all", "Cancel", "run.py down"):
            assert word in text
        await pilot.press(answer[0] if by_key else "enter")

    drive(app, size, steps)
    assert app.return_value == answer


def test_the_question_of_q_can_be_taken_back(drive: Drive) -> None:
    """Cancel, Esc and a second q go back to the screen, which is drawn on; ctrl+c asks too."""
    app = app_of(CannedSource(quiet()), ask_on_quit="stop", send=CannedSupervisor())

    async def steps(pilot: Pilot[Any]) -> None:
        for key in ("escape", "n", "q"):
            await pilot.press("q", key)
            assert not isinstance(app.screen, QuitScreen)
        await pilot.press("ctrl+c")
        assert isinstance(app.screen, QuitScreen)
        app.tick()
        await pilot.press("right", "enter")
        assert not isinstance(app.screen, QuitScreen)
        assert app.return_value is None

    drive(app, WIDE, steps)


@pytest.mark.parametrize(
    ("options", "key"),
    [({}, "q"), ({"ask_on_quit": "stop"}, "ctrl+q"), ({"send": CannedSupervisor()}, "ctrl+c")],
)
def test_q_leaves_at_once_where_nothing_may_be_asked(drive: Drive, options: dict[str, Any], key: str) -> None:
    """Read-only, or attached by hand, `q` closes and the bot goes on."""
    app = app_of(CannedSource(quiet()), **options)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("5", key)

    drive(app, WIDE, steps)
    assert app.return_value == "leave"


# -- sizes and wrong keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", ["1", "2", "3", "4", "5", "6"])
def test_every_size_is_drawn_whole(drive: Drive, screen: Screen, tab: str) -> None:
    """From 70x15 to 200x60 and back every tab fits its window, cell by cell, and says its state."""
    app = app_of(CannedSource(everything()), send=CannedSupervisor())

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press(tab)
        for size in ((70, 15), (100, 40), (140, 20), (200, 60)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            await pilot.pause()
            lines = screen(app).splitlines()
            assert len(lines) == size[1]
            assert {cell_len(line) for line in lines} == {size[0]}, size
            assert "RUNNING" in lines[0]
            assert f"[{tab} " in "\n".join(lines[:5])
            assert "$38.20 MED" in lines[0]
            assert "quit" in lines[-1] or size[0] < 100

    drive(app, WIDE, steps)


@pytest.mark.parametrize("size", [(69, 40), (120, 14), (20, 3)])
def test_too_small_is_one_clear_line(drive: Drive, screen: Screen, size: tuple[int, int]) -> None:
    """Below 70x15 one line says what is needed; a bigger window brings everything back."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        text = " ".join(screen(app).split())
        assert f"terminal too small ({size[0]}x{size[1]}), needs 70x15"[: size[0] - 1] in text
        assert "RUNNING" not in text
        await pilot.press("5", "p", "p", "s", "down")
        await pilot.resize_terminal(*WIDE)
        await pilot.pause()
        await pilot.pause()
        assert "RUNNING" in screen(app)
        assert "[5 Workers" in screen(app)
        await pilot.press("1")
        assert "+95▲" in row_with(app, "btc-97k")

    drive(app, size, steps)


# Textual's names of the keys that people press by mistake.
ODD_KEYS = [*string.ascii_letters, *"07890ä€…", *(f"f{number}" for number in range(1, 13))]
ODD_KEYS += """
minus plus comma full_stop colon semicolon at exclamation_mark quotation_mark number_sign dollar_sign
percent_sign ampersand apostrophe left_parenthesis right_parenthesis asterisk equals_sign less_than_sign
greater_than_sign left_square_bracket right_square_bracket backslash circumflex_accent underscore
grave_accent left_curly_bracket vertical_line right_curly_bracket tilde slash question_mark space
backspace delete insert home end pageup pagedown left right up down tab shift+tab shift+down enter
ctrl+a ctrl+l ctrl+r ctrl+p
""".split()


@pytest.mark.parametrize(
    ("tab", "read_only"),
    [
        ("1", False),
        ("5", False),
        ("5", True),
        *(pytest.param(tab, False, marks=pytest.mark.stress) for tab in "2346"),
    ],
)
def test_no_key_breaks_anything_or_acts_unasked(
    drive: Drive, screen: Screen, tmp_path: Path, tab: str, read_only: bool
) -> None:
    """Every printable key, every function key, in every tab: nothing is sent, and the screen goes on."""
    supervisor = CannedSupervisor()
    options: dict[str, Any] = {} if read_only else {"send": supervisor, "ask_on_quit": "leave"}
    keys = [key for key in ODD_KEYS if key != "q" or not read_only]
    logs = logs_in(tmp_path)
    app = app_of(CannedSource(everything()), logs=logs, pictures=tmp_path, **options)

    async def steps(pilot: Pilot[Any]) -> None:
        for key in keys:
            if TABS[int(tab) - 1] != app.tab.NAME:
                await pilot.press(tab)
            # Without the pilot's wait for a frame: so many keys come at once.
            await app._press_keys([key, "escape"])
            for _ in range(3):
                if len(app.screen_stack) > 1:
                    await pilot.press("escape")
            assert len(app.screen_stack) == 1, key
            assert app.return_value is None, key
        await settle(app, pilot)
        assert "RUNNING" in screen(app)

    drive(app, NARROW, steps)
    logs.close()
    assert supervisor.asked == []
