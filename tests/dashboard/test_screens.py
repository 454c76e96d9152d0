"""From memory to the screen: what a run's segments say stands on the terminal, and nothing that is not so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.picture import screenshot
from dashboard.source import MemorySource
from dashboard.widgets.grid import Grid
from pipeline.clock import ManualClock
from pipeline.model import BookFlag, BookState, MarketStatus, Reason
from shm import records as rec
from shm.tables import TableWriter
from tests.dashboard.canned import NEVER_MS

S = 10**9
WIDE, NARROW = (120, 36), (80, 24)
Drive = Callable[..., None]
Screen = Callable[[ParallaxApp], str]
STATES = [
    (BookState.GAP, MarketStatus.OPEN, "GAP", "gap"),
    (BookState.EMPTY, MarketStatus.OPEN, "EMPTY", "empty"),
    (BookState.CROSSED, MarketStatus.OPEN, "CROSSED", "crossed"),
    (BookState.EMPTY, MarketStatus.SETTLED, "SETTLED", "closed"),
]


@pytest.fixture
def app(source: MemorySource) -> ParallaxApp:
    return ParallaxApp(source, refresh_ms=NEVER_MS)


async def settle(app: ParallaxApp, pilot: Pilot[Any]) -> None:
    """Draw the memory as it is now."""
    app.tick()
    await pilot.pause()


def row_with(app: ParallaxApp, word: str) -> str:
    """The first line of the grid in sight that contains `word`."""
    assert app.tab.grid is not None
    found = [line for line in app.tab.grid.text().splitlines() if word in line]
    assert found, f"{word!r} is nowhere on\n{app.tab.grid.text()}"
    return found[0]


@pytest.mark.parametrize("no_color", [False, True])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_one_look_tells_it_all(
    source: MemorySource, run: Any, drive: Drive, screen: Screen, monkeypatch: Any, size: Any, no_color: bool
) -> None:
    """Badges, state, account, venues, prices, ages, edges, decisions and positions are there at once."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    app = ParallaxApp(source, refresh_ms=NEVER_MS)

    async def steps(pilot: Pilot[Any]) -> None:
        text = screen(app)
        status = text.splitlines()[0]
        for word in ("SIM", "PAPER", "● RUNNING", "up ", "+$12.48", "$38.20 MED", "148", "31"):
            assert word in status
        assert text.splitlines()[1].count("●") == 4
        row = row_with(app, "btc-97k")
        for word in ("60.0", "60.5", "62.0", "66.0", "0.0s", "+95▲", "-265"):
            assert word in row
        for word in ("K→P", "executed", "+$0.42 41 ms", "edge 42 < 50 bp"):
            assert word in text
        assert "97123.4" in app.query_one("#events", Grid).text()

    drive(app, size, steps)


def test_a_screen_that_was_there_first_attaches(
    app: ParallaxApp, request: pytest.FixtureRequest, drive: Drive, screen: Screen
) -> None:
    """Without a bot it says how to start one, and shows the run as soon as there is one."""

    async def steps(pilot: Pilot[Any]) -> None:
        text = screen(app)
        assert "○ STOPPED" in text
        assert "RUNNING" not in text
        assert "python3 run.py up" in text
        request.getfixturevalue("run")
        await settle(app, pilot)
        assert "● RUNNING" in screen(app)
        assert row_with(app, "btc-97k")

    drive(app, NARROW, steps)


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_killed_bot_is_stopped_on_the_next_picture(
    app: ParallaxApp, run: Any, clock: ManualClock, drive: Drive, screen: Screen, size: Any
) -> None:
    """After a crash no RUNNING, no price and no edge stay on the screen, and ages grow."""

    async def steps(pilot: Pilot[Any]) -> None:
        for seconds in (12, 30):
            clock.advance((seconds - (12 if seconds > 12 else 0)) * S)
            await settle(app, pilot)
            text = screen(app)
            assert f"○ STOPPED {seconds}s ago" in text
            assert "RUNNING" not in text
            row = row_with(app, "btc-97k")
            assert "DEAD" in row
            assert f"⚠{seconds}s" in row
            assert "dead" in row
            assert "▲" not in text.replace("▲ the scanner", "")
            assert "60.0" not in row
        await pilot.press("5")
        assert "● running" not in screen(app)

    drive(app, size, steps)


def test_a_word_stands_where_no_price_may_be_believed(app: ParallaxApp, run: Any, drive: Drive) -> None:
    """A book that is not LIVE shows its state instead of a price, and the edges say the same."""

    async def steps(pilot: Pilot[Any]) -> None:
        for state, status, word, edge in STATES:
            book = [("0.6", "1")], [("0.61", "1")]
            run.feeds["kalshi"].book("KX-btc-97k", *book, state, status)
            await settle(app, pilot)
            row = row_with(app, "btc-97k")
            assert word in row
            assert row.count(edge) == 2
            assert "60.0" not in row

    drive(app, WIDE, steps)


def test_old_data_is_marked_and_never_green(
    app: ParallaxApp, run: Any, clock: ManualClock, drive: Drive
) -> None:
    """Beyond stale_seconds ages and edges carry ⚠, and no ▲ stands beside them."""

    async def steps(pilot: Pilot[Any]) -> None:
        clock.advance(7_300_000_000)
        run.step()
        await settle(app, pilot)
        row = row_with(app, "btc-97k")
        assert "⚠7.3s" in row
        assert "+95⚠" in row
        assert "▲" not in row

    drive(app, WIDE, steps)


def test_a_dead_scanner_leaves_no_edges(
    app: ParallaxApp, run: Any, clock: ManualClock, drive: Drive, screen: Screen
) -> None:
    """Edges of a scanner that no longer looks are replaced; prices of living feeds stay."""
    run.dead.add("scanner")

    async def steps(pilot: Pilot[Any]) -> None:
        clock.advance(2 * S)
        run.step()
        await settle(app, pilot)
        assert "no scanner" in screen(app)
        row = row_with(app, "btc-97k")
        assert row.count("no scan") == 2
        assert "60.0" in row

    drive(app, WIDE, steps)


def test_what_changes_everything_is_a_word_in_the_first_lines(
    app: ParallaxApp, run: Any, drive: Drive, screen: Screen
) -> None:
    """Halted, replayed, unhedged, unknown and refused: each is said above all tabs."""
    cause = "UNHEDGED: one leg\x1b"
    run.summary(halted=1, halt_cause=cause, unhedged=2, exposure_micros=51_000_000, day_pnl_micros=-3_000_000)
    flags = BookFlag.REPLAY | BookFlag.UNVERIFIED
    run.feeds["kalshi"].book("KX-btc-97k", [("0.6", "1")], [("0.61", "1")], flags=flags)

    async def steps(pilot: Pilot[Any]) -> None:
        for tab in "15":
            await pilot.press(tab)
            text = "\n".join(screen(app).splitlines()[:3])
            for word in (
                " HALTED ",
                "REPLAY",
                "HALTED: UNHEDGED: one leg",
                "2 unhedged",
                "$51.00 HIGH",
                "-$3.00",
            ):
                assert word in text
        run.summary()
        row = rec.RUN.empty()._replace(profile="demo", mode="paper", simulated=1)
        table = TableWriter(run.supervisor.segment, "run", rec.RUN)
        table.put(0, row._replace(config_problem="config.toml:4: risk.x: unknown key", config_waits="a: all"))
        await settle(app, pilot)
        assert "config refused: config.toml:4: risk.x: unknown key" in screen(app).splitlines()[2]

    drive(app, WIDE, steps)


YES, NO = ("buy", "yes"), ("buy", "no")
K, P = ("kalshi", "KX-btc-97k"), ("polymarket", "770")


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_every_kind_has_its_line(app: ParallaxApp, run: Any, drive: Drive, size: Any) -> None:
    """Below the pairs stands each other direction: its kind, what is done at which price, and its edge."""
    run.direction("tokens", "complement", [(*P, *YES), ("polymarket", "771", *YES)], edge=70)
    run.direction("winner", "basket", [(*P, *YES), ("polymarket", "771", *YES), ("polymarket", "772", *YES)])
    run.direction("strikes", "ladder", [(*K, *YES), (*P, *NO)], reason=Reason.NO_EDGE, edge=-80)
    run.direction("held", "close", [(*K, "sell", "yes"), (*P, "sell", "no")], number=1000, edge=33)
    odds = {"model_low_ppm": 550_000, "model_ppm": 612_000, "model_high_ppm": 660_000}
    run.direction("asked", "model", [(*K, *YES)], edge=900, **odds)

    async def steps(pilot: Pilot[Any]) -> None:
        text = app.query_one("#events", Grid).text()
        for word in ("COMPL", "BASKET", "LADDER", "CLOSE", "yes P 66.0 + yes P 66.0 + 1 more", "-80"):
            assert word in text
        assert "sell yes K 60.0 + no P 34.0" in row_with(app, "held")
        assert "yes K 60.5 + no P 38.0" in row_with(app, "strikes")
        row = row_with(app, "asked")
        for word in ("MODEL", "model 55–61–66", "+900"):
            assert word in row
        assert "▲" not in row
        run.feeds["polymarket"].book("771", [], [], state=BookState.GAP)
        await settle(app, pilot)
        row = row_with(app, "tokens")
        assert "yes P GAP" in row
        assert "▲" not in row

    drive(app, size, steps)


def test_the_screenshot_is_a_picture_that_needs_nothing_else(
    source: MemorySource, run: Any, tmp_path: Path
) -> None:
    """`screenshot` writes an SVG of the real screen that loads nothing from any server."""
    path = tmp_path / "screen.svg"
    screenshot(ParallaxApp(source, refresh_ms=50), path, WIDE, keys=("5",))
    svg = path.read_text()
    assert svg.startswith("<svg")
    assert "RUNNING" in svg
    assert "feed&#45;kalshi" in svg or "feed-kalshi" in svg
    assert "url(&quot;http" not in svg
    assert 'url("http' not in svg


def test_ctrl_s_saves_the_screen_where_the_data_are(
    source: MemorySource, run: Any, tmp_path: Path, drive: Drive
) -> None:
    """The screenshot key writes one file and says where; where that cannot be, it says why."""
    place = tmp_path / "pictures"
    app = ParallaxApp(source, refresh_ms=NEVER_MS, pictures=place)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+s")
        assert "No such file" in [note.message for note in app._notifications][-1]
        place.mkdir()
        await pilot.press("ctrl+s")

    drive(app, WIDE, steps)
    (saved,) = os.listdir(place)
    assert (place / saved).read_text().startswith("<svg")
