"""What a person does to the dashboard: every command from every screen, dialogs, odd sizes, lone workers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from dashboard.dialogs.confirm import ConfirmScreen
from dashboard.signs import needs_ascii
from dashboard.snapshot import Snapshot
from dashboard.widgets.notice import draw_notice
from dashboard.widgets.panel import Panel
from pipeline.flatten import FLATTEN_FILE, FlattenFile
from pipeline.supervisor.cleanup import directories
from tests.dashboard.canned import CannedSource, CannedSupervisor, app_of, everything, stopped

Drive = Callable[..., None]
WIDE = (120, 36)


def test_every_command_of_the_palette_runs_over_an_event(drive: Drive, tmp_path: Path) -> None:
    """From an event's own screen no command of ctrl+p ends the dashboard, though the tab lies below."""
    app = app_of(CannedSource(everything()), send=CannedSupervisor(), pictures=tmp_path)

    async def steps(pilot: Pilot[Any]) -> None:
        for command in list(app.get_system_commands(app.screen)):
            if command.title.partition(" ")[0] in {"Start", "Stop", "Theme:", "Restart", "Quit"}:
                continue
            await pilot.press("1", "enter")
            done = command.callback()
            if inspect.isawaitable(done):
                await done
            await pilot.pause()
            while len(app.screen_stack) > 1:
                app.pop_screen()
            await pilot.pause()

    drive(app, WIDE, steps)


def test_keys_of_a_tab_work_again_after_the_terminal_was_too_small(drive: Drive) -> None:
    """When a terminal that was too small grows, its tab has the keys as before."""
    app = app_of(CannedSource(everything()), send=CannedSupervisor())

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("3")
        # What Textual does with who had them, once the terminal was too small for it.
        app.screen.set_focus(None)
        app.tick()
        await pilot.pause()
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)

    drive(app, WIDE, steps)


def test_a_tab_that_comes_back_is_whole_at_once(drive: Drive) -> None:
    """The first picture of a tab that was out of sight is laid out for its real width."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("3")
        await pilot.pause()
        stake = app.query_one("#stake", Panel)
        before = stake.text()
        await pilot.press("1")
        await pilot.pause()
        await pilot.press("3")
        assert stake.text() == before
        assert len(before.splitlines()[0]) > WIDE[0] // 2

    drive(app, WIDE, steps)


def test_behind_a_question_the_screen_stays_in_sight(drive: Drive) -> None:
    """A dialog lets the status line and the tab through: a question hides nothing that it is about."""
    app = app_of(CannedSource(everything()), send=CannedSupervisor())

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("h")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        assert 0 < app.screen.styles.background.a < 1

    drive(app, WIDE, steps)


def alone(trader: str) -> Snapshot:
    """A run whose supervisor stands still while its workers go on."""
    picture = stopped()
    workers = tuple(
        replace(one, state="orphan" if one.name != "trader" else trader) if one.name != "supervisor" else one
        for one in picture.workers
    )
    return replace(picture, workers=workers, trader_alive=trader == "orphan")


@pytest.mark.parametrize("trader", ["orphan", "gone"])
def test_workers_without_a_supervisor_are_not_called_the_last_that_was_said(trader: str) -> None:
    """Where orphans are at work the notice says so, and what a trader among them still does."""
    picture = alone(trader)
    [line] = draw_notice(picture, 200, 5 * 10**9)
    text = "".join(part for part, _ in line)
    count = sum(one.state == "orphan" for one in picture.workers)
    assert f"no supervisor: {count} workers still at work alone" in text
    assert ("nothing new is opened" in text) == (trader == "orphan")
    assert "does not run" not in text


@pytest.mark.parametrize(
    ("encoding", "locale", "needed"),
    [("utf-8", "C", True), ("utf-8", "POSIX", True), ("utf-8", "C.UTF-8", False)],
)
def test_who_sets_the_c_locale_gets_ascii(encoding: str, locale: str, *, needed: bool) -> None:
    """LC_ALL=C asks for ASCII, though Python then writes UTF-8."""
    assert needs_ascii(encoding, locale) is needed


def test_an_order_to_flatten_does_not_outlive_its_run(tmp_path: Path) -> None:
    """The file of orders goes with the run, so that its directory is gone: `down` waits for that."""
    run, shm = tmp_path / "run", tmp_path / "shm"
    run.mkdir()
    FlattenFile(run / FLATTEN_FILE).give("event", "somebody", 1_000_000_000)
    directories(run, shm)
    assert not run.exists()
