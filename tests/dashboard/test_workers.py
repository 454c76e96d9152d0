"""Tab 5: every process and every venue, how they are, and the keys that start, stop and kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.cells import cell_len
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.dialogs.confirm import ChoiceScreen, ConfirmScreen
from dashboard.snapshot import Snapshot
from dashboard.widgets.grid import Grid, Sort
from dashboard.widgets.panel import Line, Panel
from dashboard.widgets.processes import (
    STATES,
    draw_alerts,
    draw_errors,
    draw_totals,
    is_well,
    state_cell,
    worker_rows,
)
from dashboard.widgets.venue_table import SPARK, draw_venue_table
from pipeline.model import WorkerState
from shm.records import AlertRow
from tests.dashboard.canned import (
    CannedSource,
    CannedSupervisor,
    app_of,
    everything,
    halted,
    stopped,
    waiting,
    worker,
)

Drive = Callable[..., None]
Screen = Callable[[ParallaxApp], str]
WIDE = (120, 36)


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def rows_of(seen: Snapshot, width: int = 119) -> dict[str, str]:
    """Every line of the workers' grid by its worker."""
    rows = worker_rows(seen)
    lines = [text_of([rows.line(row, width)]) for row in range(len(seen.workers))]
    return {line.split()[0]: line for line in lines}


def venue_line(seen: Snapshot, name: str, width: int = 118) -> str:
    return next(line for line in text_of(draw_venue_table(seen, width, False)).splitlines() if name in line)


# -- what is drawn ----------------------------------------------------------------------------------------


def test_every_state_has_a_sign_and_a_word_of_its_own() -> None:
    """No two states look alike without colour, and every state of the supervisor's has its look."""
    drawn = {state: state_cell(worker("w", 7, state)) for state in STATES}
    assert len({text for text, _ in drawn.values()}) == len(STATES)
    assert {state.name.lower() for state in WorkerState} <= set(STATES)
    assert drawn["running"] == ("● running", "good")
    assert drawn["gone"] == ("○ DEAD", "bad")
    assert drawn["hung"] == ("⚠ HUNG", "bad")
    assert state_cell(worker("w", 7, "state 9")) == ("? state 9", "fair")


def test_a_runner_without_a_beat_is_not_shown_as_running() -> None:
    """Whatever the supervisor says: a heart that does not beat is NO BEAT."""
    silent = worker("w", 7, fresh=False, beat_age_ns=2 * 10**9)
    assert state_cell(silent)[0] == "⚠ NO BEAT"
    assert not is_well(silent)
    assert is_well(worker("w", 7))


def test_a_row_says_what_a_worker_takes_and_does() -> None:
    """Pid, state, uptime, restarts, CPU, memory, files, heartbeat, rate, and how it last ended."""
    seen = everything()
    rows = rows_of(replace(seen, workers=tuple(replace(one, rate_word="msg") for one in seen.workers)))
    told = "feed-polymarket 4298 ● running 0:11:32 1 13.8 61M 23 0.1s 1204 msg/s SIGKILL"
    assert rows["feed-polymarket"].split() == told.split()
    assert rows["feed-coinbase"].split() == "feed-coinbase - ◇ backoff - 4 - - - 12s - exit 1".split()
    assert "LAST EXIT" not in "".join(cell.text for cell in worker_rows(everything()).heading(0, 79))
    assert all(cell_len(line) <= 79 for line in rows_of(everything(), 79).values())
    assert all("○ DEAD" in line for line in rows_of(stopped()).values())
    old = replace(seen, workers=(replace(seen.workers[0], up_ns=5 * 86_400 * 10**9),))
    assert " 5d00h " in "".join(rows_of(old).values())


def test_the_worst_state_comes_first_when_sorted_by_it() -> None:
    """Descending, what a person must look at stands on top."""
    rows = worker_rows(everything())
    placed = [rows.items[row].state for row in rows.arrange(Sort("state"), "")[1:]]
    assert placed[:4] == ["no beat", "hung", "flapping", "backoff"]
    assert set(placed[4:]) == {"running"}


def test_socket_feed_and_rest_fail_each_for_itself() -> None:
    """A dead feed, a socket that is down, a venue that is silent, and books that nobody confirms look
    different.
    """
    seen = everything()
    assert venue_line(seen, "kalshi").split()[:5] == ["kalshi", "●", "up", "●", "0.1s"]
    assert "✗ never" in venue_line(seen, "kraken")
    assert venue_line(seen, "coinbase").split()[1:5] == ["○", "DEAD", "12s", "○"]
    assert "○ backoff" in venue_line(seen, "bitstamp")
    silent = replace(seen.venues[0], silent=True, proof_age_ns=9 * 10**9)
    assert "● up         ○ 9.0s" in venue_line(replace(seen, venues=(silent,)), "kalshi")
    assert text_of(draw_venue_table(waiting(), 118, False)) == "no feed yet"


def test_a_venue_has_its_counts_and_its_last_minute() -> None:
    """Subscriptions, books, events, rate, faults, ping, lag, a sparkline; fewer of them at 80."""
    told = venue_line(everything(), "polymarket")
    assert told.split()[7:16] == "48 45/48 9,632,000 1204 1 2 3 11 -5.0/120".split()
    assert len(told.split()[16]) == SPARK and set(told.split()[16]) == {"▇", "█"}
    head = text_of(draw_venue_table(everything(), 118, False)).splitlines()[0]
    assert head.split()[4:10] == ["SUBS", "BOOKS", "EVENTS", "MSG/S", "RECONN", "BAD"]
    narrow = text_of(draw_venue_table(everything(), 78, False)).splitlines()
    assert all(cell_len(line) <= 78 for line in narrow)
    assert "-5.0/120" in narrow[2]


def test_totals_say_what_was_missed_and_what_waits() -> None:
    """Messages, memory, books, rows that were read again, doorbells, and the state of the configuration."""
    seen = halted()
    counters = {
        "scanner": {"bells": 1200, "missed_bells": 3, "read_retries": 7},
        "trader": {"opportunities_missed": 2},
    }
    text = text_of(draw_totals(replace(seen, counters=counters), 400, False))
    for told in (
        "messages 19,528,000",
        "memory 2.1M",
        "live books 95/101",
        "rows read again 12 here, 7 by the scanner",
        "doorbell 1,200, 3 missed",
        "opportunities missed 2",
        "config v3 c0ffeec0",
        "waits: scanner.persist_ms: scanner",
        "refused: config.toml:4",
    ):
        assert told in text
    assert draw_totals(waiting(), 100, False) == []


def test_alerts_say_what_became_of_them() -> None:
    """Sent, failed, kept back, waiting or without anybody to send it to; one that is over says so."""
    lines = text_of(draw_alerts(everything(), 110, False)).splitlines()
    assert [line.split()[1] for line in lines] == ["sent", "FAILED", "held", "no", "waits"]
    assert "✓ over  venue_silent: bitstamp speaks again" in lines[3]
    assert "large_edge nfl-kc-win: an edge of 312 bp" in lines[2]
    odd = replace(everything(), alerts=(AlertRow(1, 0, "r", "[red]x", "\x1b[2J" + "y" * 300, 0, 9),))
    assert cell_len(text_of(draw_alerts(odd, 60, False))) <= 60
    assert "\x1b" not in text_of(draw_alerts(odd, 60, False))


def test_errors_are_told_once_with_their_count() -> None:
    """How often, first, last, and what; a worker without any says so."""
    seen = everything().workers
    lines = text_of(draw_errors(seen[3], 110)).splitlines()
    assert lines[0].split()[0] == "3×"
    assert lines[0].endswith("polymarket sent a best price that is not on its book: 770113")
    assert text_of(draw_errors(seen[0], 110)) == "no error since it began"
    assert text_of(draw_errors(None, 110)) == "no worker is chosen"


# -- keys -------------------------------------------------------------------------------------------------


async def settle(app: ParallaxApp, pilot: Pilot[Any]) -> None:
    """Draw the picture that is there now."""
    app.tick()
    await pilot.pause()


async def to_worker(app: ParallaxApp, pilot: Pilot[Any], name: str) -> None:
    """Put the cursor on a worker."""
    grid = app.query_one("#processes", Grid)
    rows = [one.name for one in everything().workers]
    grid.action_move(rows.index(name) - rows.index(grid.key or "supervisor"))
    await pilot.pause()
    assert grid.key == name


def test_a_key_asks_and_then_sends(drive: Drive) -> None:
    """r, o and u name worker and pid, and y sends just that; l offers levels; what cannot be is only said."""
    asked = CannedSupervisor()
    app = app_of(CannedSource(everything()), send=asked)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("5")
        for key, name in (("r", "feed-kalshi"), ("o", "scanner"), ("u", "feed-coinbase")):
            await to_worker(app, pilot, name)
            await pilot.press(key)
            assert isinstance(app.screen, ConfirmScreen)
            await pilot.press("y")
        await pilot.press("l")
        assert isinstance(app.screen, ChoiceScreen)
        await pilot.press("escape")
        await to_worker(app, pilot, "supervisor")
        await pilot.press("k")
        assert len(app.screen_stack) == 1
        assert any("run.py down" in note.message for note in app._notifications)
        await app.workers.wait_for_complete()
        assert asked.asked == [
            ("restart", {"worker": "feed-kalshi", "pid": "4211"}),
            ("stop", {"worker": "scanner", "pid": "4216"}),
            ("start", {"worker": "feed-coinbase", "pid": "0"}),
        ]

    drive(app, WIDE, steps)


def test_the_target_is_the_worker_of_now_and_then_fixed(drive: Drive) -> None:
    """In a view that is paused a key asks about the process that runs now; whatever moves behind the dialog,
    what is sent is what it showed, with the signal that was chosen.
    """
    asked = CannedSupervisor()
    source = CannedSource(everything())
    app = app_of(source, send=asked)

    def with_pid(pid: int) -> None:
        """Another pid and another order."""
        workers = [
            replace(one, pid=pid) if one.name == "feed-kalshi" else one for one in source.shown.workers
        ]
        source.shown = replace(source.shown, workers=tuple(reversed(workers)))
        app.tick()

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("5")
        await to_worker(app, pilot, "feed-kalshi")
        await pilot.press("p")
        with_pid(8888)
        assert "8888" not in app.query_one("#processes", Grid).text()
        await pilot.press("k")
        with_pid(9999)
        await pilot.press("down", "y")
        await app.workers.wait_for_complete()
        assert asked.asked == [("kill", {"worker": "feed-kalshi", "pid": "8888", "signal": "KILL"})]

    drive(app, WIDE, steps)


def test_read_only_has_no_such_key_but_errors_and_the_log(drive: Drive, screen: Screen) -> None:
    """Without a way to the supervisor the keys do nothing and are not in the footer. e shows the errors of
    the worker under the cursor and follows it; Enter goes to its log.
    """
    app = app_of(CannedSource(everything()))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("5")
        await to_worker(app, pilot, "feed-polymarket")
        await pilot.press("r", "k", "u", "o", "l")
        assert len(app.screen_stack) == 1
        there = {one.binding.description for one in app.screen.active_bindings.values() if one.enabled}
        assert not there & {"restart", "kill", "start", "stop", "level"}
        await pilot.press("e")
        for width, height in (WIDE, (80, 24), (70, 15)):
            await pilot.resize_terminal(width, height)
            await settle(app, pilot)
            assert "Errors of feed-polymarket: 2 distinct" in screen(app)
            assert "polymarket sent a best" in screen(app)
            assert not app.query_one("#alerts", Panel).display
        await pilot.press("down")
        await settle(app, pilot)
        assert "Errors of feed-kraken: 0 distinct" in screen(app)
        await pilot.press("e")
        await settle(app, pilot)
        assert "Errors of" not in screen(app)
        assert ">feed-kraken" in screen(app)
        await pilot.press("enter")
        await settle(app, pilot)
        assert app.tab.NAME == "logs"

    drive(app, WIDE, steps)


def test_the_tab_has_workers_and_venues(drive: Drive, screen: Screen) -> None:
    """Both at once, with how many run; before a run it says that nobody works."""
    source = CannedSource(everything())
    app = app_of(source)

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("5")
        for width, height in (WIDE, (80, 24)):
            await pilot.resize_terminal(width, height)
            await settle(app, pilot)
            shown = screen(app)
            assert "7/11 running" in shown
            assert "HEARTBEAT" in shown
            assert "○ DEAD 12s" in shown
            assert "messages 19,528,000" in shown
        source.shown = waiting()
        await settle(app, pilot)
        assert "No worker yet." in screen(app)

    drive(app, WIDE, steps)
