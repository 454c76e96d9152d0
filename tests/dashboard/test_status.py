"""The lines above all tabs: whose money it is, whether it runs, which venues speak, what needs attention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from dashboard.snapshot import LimitsView, RunView, Snapshot
from dashboard.source import MemorySource
from dashboard.widgets.notice import draw_notice
from dashboard.widgets.panel import Line
from dashboard.widgets.status import draw_status, draw_venues
from pipeline.clock import ManualClock
from pipeline.config import Config, RiskConfig
from pipeline.model import ConnectionState
from tests.dashboard import canned
from tests.dashboard.conftest import LIMITS as STATE_LIMITS
from tests.dashboard.conftest import FakeRun

S = canned.S
USD = canned.USD
STALE_NS = 5 * S
PICTURES = {
    name: getattr(canned, name)()
    for name in ("quiet", "everything", "halted", "stopped", "waiting", "live", "replaying")
}
LIMITS = LimitsView(exposure_micros=100 * USD, day_loss_micros=50 * USD, losses=5, half_life_ms=500)


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def roles_of(lines: list[Line], word: str) -> set[str]:
    return {role for line in lines for text, role in line if word in text}


def status(picture: Snapshot, width: int = 118) -> str:
    return text_of(draw_status(picture, width, width < 118))


def venues(picture: Snapshot, width: int = 118) -> str:
    return text_of(draw_venues(picture, width, width < 118))


def notice(picture: Snapshot, width: int = 118) -> str:
    return text_of(draw_notice(picture, width, STALE_NS))


@pytest.mark.parametrize("width", [68, 78, 118, 200])
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_the_three_lines_fit(name: str, width: int) -> None:
    """Each of the lines is one line and never wider than its place, so that nothing is cut by its edge."""
    picture = PICTURES[name]
    for lines in (
        draw_status(picture, width, width < 118),
        draw_venues(picture, width, width < 118),
        draw_notice(picture, width, STALE_NS),
    ):
        assert len(lines) == 1
        assert cell_len(text_of(lines).rstrip()) <= width


def test_whose_money_and_market_it_is_stands_first() -> None:
    """SIM, PAPER, LIVE and REPLAY are words on grounds of their own, and never stand together by mistake."""
    for name, words, absent in (
        ("everything", (" SIM ", " PAPER "), (" LIVE ", " REPLAY ")),
        ("live", (" LIVE ",), (" SIM ", " PAPER ", " REPLAY ")),
        ("replaying", (" REPLAY ",), (" SIM ", " LIVE ")),
    ):
        line = draw_status(PICTURES[name], 78, True)
        first = text_of(line).split("●")[0]
        assert all(word in first for word in words), first
        assert not any(word in first for word in absent), first
        for word in words:
            assert roles_of(line, word) == {word.strip().lower()}


def test_a_mode_that_nobody_knows_looks_like_real_money() -> None:
    """What this program does not know is drawn as dangerous as it may be."""
    picture = replace(PICTURES["quiet"], run=replace(PICTURES["quiet"].run, simulated=False, mode="novel"))
    assert roles_of(draw_status(picture, 118, False), " NOVEL ") == {"live"}


def test_running_only_while_the_heart_beats() -> None:
    """A run whose supervisor does not beat is STOPPED, with an age that grows, and no uptime."""
    seen = PICTURES["everything"]
    assert "● RUNNING" in status(seen)
    for seconds in (2, 61, 7300):
        run = replace(seen.run, alive=False, beat_age_ns=seconds * S)
        line = status(replace(seen, run=run))
        assert "○ STOPPED" in line
        assert "RUNNING" not in line
        assert "up " not in line
        assert {2: "2s ago", 61: "1m01s ago", 7300: "2h01m ago"}[seconds] in line


@pytest.mark.parametrize("mode", ["taker", "maker_hedge"])
def test_the_first_line_says_what_the_seed_asks_for(mode: str) -> None:
    """Mode, uptime, P&L of the day, exposure with word and limit, opportunities and trades."""
    picture = replace(PICTURES["everything"], limits=LIMITS, summary=canned.summary(mode=mode))
    wide = status(picture, 140)
    for word in (mode, "up 02:14:09", "+$12.48", "$38.20 MED /$100", "opps 148", "trades 31"):
        assert word in wide
    narrow = status(picture, 78)
    for word in (mode.removesuffix("_hedge"), "+$12.48", "$38.20 MED", "opp 148"):
        assert word in narrow


def test_no_number_is_cut_into_a_smaller_one() -> None:
    """Whatever the width, a figure stands there whole or not at all."""
    picture = replace(PICTURES["everything"], limits=LIMITS)
    whole = {"+$12.48", "$38.20", "/$100", "148", "31", "02:14:09", "2h14m", "v3"}
    for width in range(30, 150):
        figures = [word for word in status(picture, width).split() if any(sign.isdigit() for sign in word)]
        assert set(figures) <= whole, (width, figures)


def test_figures_of_a_trader_that_is_gone_are_marked() -> None:
    """Without a trader the same figures stand there dim and with ⚠."""
    line = draw_status(replace(PICTURES["everything"], trader_alive=False), 118, False)
    assert roles_of(line, "+$12.48") == {"dim"}
    assert "+$12.48⚠" in text_of(line)


# -- venues -----------------------------------------------------------------------------------------------


def test_three_lights_of_a_venue_differ() -> None:
    """A dead process, a socket that retries, a silent venue and one whose books lag are told apart."""
    well = canned.venue("kalshi", 842.0, 48)
    pictures = {
        "dead": replace(well, alive=False, beat_age_ns=12 * S),
        "retry": replace(well, connection=ConnectionState.BACKOFF, proof_age_ns=9 * S),
        "silent": replace(well, silent=True, proof_age_ns=9 * S),
        "45/48 books": replace(well, live_books=45),
        "✓8.0s": well,
    }
    drawn = {word: venues(replace(PICTURES["quiet"], venues=(one,))) for word, one in pictures.items()}
    assert len(set(drawn.values())) == len(drawn)
    for word, line in drawn.items():
        assert word in line
        assert line.startswith("○" if word in {"dead", "retry", "silent"} else "●")
    assert "12s" in drawn["dead"]


def test_subscriptions_and_rate_stand_where_there_is_room() -> None:
    """A venue that is well says its rate, its subscriptions and its books."""
    assert "● kalshi 842/s 48 sub 48 books ✓8.0s" in venues(
        replace(PICTURES["quiet"], venues=(canned.venue("kalshi", 842.0, 48),))
    )


@pytest.mark.parametrize("width", [68, 78, 118])
def test_no_venue_is_left_out_in_silence(width: int) -> None:
    """Every venue is there, those in trouble first of all; what has no room is counted."""
    many = tuple(canned.venue(f"venue-{at}", 1000.0, 9) for at in range(12))
    ill = replace(canned.venue("coinbase", 0.0, 2), alive=False, beat_age_ns=12 * S)
    line = venues(replace(PICTURES["quiet"], venues=(*many, ill)), width)
    shown = line.count("●") + line.count("○")
    assert "dead 12s" in line
    assert shown == 13 or f"+{13 - shown}" in line


# -- what needs attention ---------------------------------------------------------------------------------


def test_the_worst_stands_first_and_the_rest_is_counted() -> None:
    """A run that is dead says so before anything else; what does not fit is a number, never half a word."""
    assert notice(PICTURES["stopped"], 78).startswith("⚠ the bot does not run")
    assert notice(PICTURES["halted"], 78).startswith("⚠ HALTED: UNHEDGED: one leg of rain-nyc is open")
    assert " more" in notice(PICTURES["halted"], 78)


def test_a_sick_worker_is_named() -> None:
    """A worker that does not run stands in the notice with its state, and only then."""
    assert "feed-coinbase backoff" in notice(PICTURES["everything"])
    assert "feed-" not in notice(PICTURES["quiet"])


def test_without_trouble_the_best_edge_is_told() -> None:
    """When nothing is wrong the line says the accepted edge that leaves most, with its race."""
    seen = PICTURES["everything"]
    well = replace(
        seen,
        workers=(),
        venues=PICTURES["quiet"].venues,
        summary=canned.summary(unhedged=0, unknown_orders=0),
    )
    line = notice(well, 160)
    assert "18 events" in line
    assert "▲ nfl-kc-win P→K  +312 bp" in line
    assert "race 50% prior" in line


def test_before_the_first_run_it_says_how_to_start_one() -> None:
    """An empty data directory is no error: the way to start stands there."""
    assert "STOPPED" in status(PICTURES["waiting"])
    assert "run.py up" in notice(PICTURES["waiting"])


def test_texts_of_others_are_only_text() -> None:
    """A halt's cause with control signs is drawn without them."""
    told = canned.summary(halted=1, halt_cause="\x1b[31mred\x1b[0m \u202eback")
    line = notice(replace(PICTURES["quiet"], summary=told, run=RunView(seen=True, alive=True)))
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "red" in line


def test_limits_are_those_of_the_runs_configuration(run: FakeRun, tmp_path: Path, clock: ManualClock) -> None:
    """What stands beside a figure is what config.toml sets for this run; without one nothing stands there."""
    config = Config(risk=RiskConfig(max_exposure_usd="123.50", max_consecutive_losses=7))
    found = MemorySource(tmp_path / "shm", STATE_LIMITS, clock, lambda: config).snapshot().limits
    assert found is not None
    assert (found.exposure_micros, found.losses) == (123_500_000, 7)
    assert MemorySource(tmp_path / "shm", STATE_LIMITS, clock).snapshot().limits is None
