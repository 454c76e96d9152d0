"""Tab 6: logs merged by time, followed, filtered and wrapped by keys; read only while in sight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.log_tail import LogTail
from dashboard.widgets.grid import Grid
from pipeline.clock import ManualClock
from pipeline.logs import log_directory
from tests.dashboard.canned import CannedSource, app_of, everything
from tests.support.log_lines import line, write

Drive = Callable[..., None]
Screen = Callable[[ParallaxApp], str]
LINES = {
    "scanner.jsonl": [line(n, f"scan{n:02}", worker="scanner") for n in range(0, 60, 2)],
    "feed-kalshi.jsonl": [
        *(line(n, f"feed{n:02}", worker="feed-kalshi") for n in range(1, 59, 2)),
        line(59, "feed59", "error", "feed-kalshi", why="x" * 300),
    ],
}


@pytest.fixture
def tail(tmp_path: Path) -> Iterator[LogTail]:
    for name, lines in LINES.items():
        write(tmp_path, name, lines)
    made = LogTail(log_directory(tmp_path), ManualClock())
    yield made
    made.close()


def grid_of(app: ParallaxApp) -> Grid:
    return app.query_one("#entries", Grid)


def append(data: Path, name: str, text: str) -> None:
    with (log_directory(data) / name).open("a", encoding="utf-8") as file:
        file.write(text + "\n")


async def settle(app: ParallaxApp, pilot: Pilot[Any]) -> None:
    app.tick()
    await pilot.pause()


def test_lines_of_all_workers_stand_in_order_and_new_ones_below(
    drive: Drive, screen: Screen, tail: LogTail, tmp_path: Path
) -> None:
    """The newest line is in sight, also the next one; moving up stays with a line, f is back with the newest.
    Nothing is read before the tab is shown.
    """
    app = app_of(CannedSource(everything()), logs=tail)

    async def steps(pilot: Pilot[Any]) -> None:
        await settle(app, pilot)
        assert tail.entries() == []
        await pilot.press("6")
        await settle(app, pilot)
        events = [row.split()[3] for row in grid_of(app).text().replace(">", " ").splitlines()[1:]]
        assert events == sorted(events, key=lambda event: event[-2:])
        assert "feed59" in screen(app)
        assert "60 lines  level info and worse  worker all  following" in screen(app)
        append(tmp_path, "scanner.jsonl", line(61, "scan61", worker="scanner"))
        await settle(app, pilot)
        assert "scan61" in screen(app)
        await pilot.press("up")
        await settle(app, pilot)
        held = grid_of(app).key
        append(tmp_path, "scanner.jsonl", line(62, "scan62", worker="scanner"))
        await settle(app, pilot)
        assert grid_of(app).key == held
        assert "NOT FOLLOWING" in screen(app)
        await pilot.press("f")
        await settle(app, pilot)
        assert grid_of(app).key != held
        assert "NOT FOLLOWING" not in screen(app)

    drive(app, (120, 36), steps)


def test_level_worker_and_words_narrow_it_and_z_wraps(drive: Drive, screen: Screen, tail: LogTail) -> None:
    """v turns through the levels, w through the workers, a filter searches, all of them together; z gives an
    entry all the lines that it needs.
    """
    app = app_of(CannedSource(everything()), logs=tail)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("6")
        await settle(app, pilot)
        await pilot.press("v", "v")
        await settle(app, pilot)
        assert grid_of(app).count == 1
        assert "level error" in screen(app)
        await pilot.press("z")
        await settle(app, pilot)
        assert grid_of(app).text().count("x") >= 300
        assert grid_of(app).count > 3
        await pilot.press("z", "v", "w")
        await settle(app, pilot)
        assert grid_of(app).count == 30
        assert "worker feed-kalshi" in screen(app)
        grid_of(app).filter("FEED2")
        assert grid_of(app).count == 5
        await pilot.press("escape", "w", "w")
        await settle(app, pilot)
        assert grid_of(app).count == 60

    drive(app, (80, 24), steps)


def test_a_paused_view_reads_nothing(drive: Drive, tail: LogTail, tmp_path: Path) -> None:
    """While it is paused no line comes; afterwards all that came meanwhile."""
    app = app_of(CannedSource(everything()), logs=tail)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("6")
        await settle(app, pilot)
        await pilot.press("p")
        append(tmp_path, "scanner.jsonl", line(61, "scan61", worker="scanner"))
        await settle(app, pilot)
        assert grid_of(app).count == 60
        await pilot.press("p")
        await settle(app, pilot)
        assert grid_of(app).count == 61

    drive(app, (120, 36), steps)


def test_enter_on_a_worker_shows_its_lines_alone(drive: Drive, screen: Screen, tail: LogTail) -> None:
    """From the workers' tab to the log of the one under the cursor."""
    app = app_of(CannedSource(everything()), logs=tail)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("5", "down", "down")
        assert app.query_one("#processes", Grid).key == "feed-kalshi"
        await pilot.press("enter")
        await settle(app, pilot)
        assert app.tab.NAME == "logs"
        assert "worker feed-kalshi" in screen(app)
        assert "scan" not in grid_of(app).text()

    drive(app, (120, 36), steps)


def test_without_a_directory_it_says_so(drive: Drive, screen: Screen) -> None:
    """Nobody told where the logs are: a sentence stands there, and the keys do no harm."""
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("6", "f", "v", "w", "z")
        await pilot.pause()
        assert "no directory of logs is known here" in screen(app)

    drive(app, (70, 15), steps)
