"""Tape line: where a tape stands is never cut, at any width."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboard.widgets.tape import SPEEDS, draw_tape, next_speed
from shm.records import REPLAY
from tests.dashboard.canned import quiet
from tests.support.lines import plain

MINUTE = 60_000_000_000
ROW = REPLAY.empty()._replace(
    tape="t.jsonl", first_wall_ns=MINUTE, last_wall_ns=11 * MINUTE, at_wall_ns=6 * MINUTE,
    frames=1_234_567, total_frames=2_469_134, speed_ppm=10_000_000, state=1,
)  # fmt: skip


@pytest.mark.parametrize("width", [70, 80, 100, 120, 160])
def test_the_line_fits_and_says_the_essential(width: int) -> None:
    """State, place, share and speed stand there whole; the rest goes as the room does."""
    text = plain(draw_tape(replace(quiet(), replay=ROW), width - 2, width < 118))
    assert len(text) <= width - 2
    for said in ("PAUSED", "50%", "×10"):
        assert said in text
    assert "frames" in text
    assert ("space" in text) is (width >= 120)


def test_without_a_tape_there_is_no_line() -> None:
    """A run of real or simulated venues says nothing of tapes."""
    assert draw_tape(quiet(), 120, False) == []


def test_speed_goes_from_step_to_step_and_stays_at_its_ends() -> None:
    """From any speed the next one is a step of the list; 0 is as fast as it goes."""
    assert next_speed(1_000_000, 1) == "2"
    assert next_speed(1_100_000, -1) == "0.5"
    assert next_speed(100_000, -1) == SPEEDS[0]
    assert next_speed(0, 1) == SPEEDS[-1]
    assert next_speed(0, -1) == "1000"
