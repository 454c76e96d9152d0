"""What a replay is asked: which words are orders, and which place of the tape they mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.tape_orders import (
    FASTEST_PPM,
    KEPT_ORDERS,
    TapeOrder,
    TapeOrderError,
    as_text,
    checked,
    from_text,
    place_ns,
    speed_ppm,
)

SECOND = 1_000_000_000
FIRST = int(datetime(2026, 3, 1, 23, 59, 0, tzinfo=UTC).timestamp()) * SECOND + 250_000_000
LAST = FIRST + 600 * SECOND


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0%", 0.0),
        ("25%", 150.0),
        ("100%", 600.0),
        ("+30", 130.0),
        ("-30s", 70.0),
        ("-1000", 0.0),
        ("+1000", 600.0),
        ("23:59:30.25", 30.0),
        ("00:00:00.25", 60.0),
        ("23:58:00", 600.0),
    ],
)
def test_a_place_is_a_share_a_distance_or_a_time_of_the_tape(text: str, seconds: float) -> None:
    """Shares, seconds from here and times of day (after midnight: of the next) stay within the tape."""
    assert place_ns(text, FIRST, LAST, FIRST + 100 * SECOND) == FIRST + round(seconds * SECOND)


@pytest.mark.parametrize("text", ["", "101%", "%", "30", "+", "+x", "24:00:00", "1:2:3", "٣%", "1e3%", "+-3"])
def test_what_is_no_place_is_refused_in_words(text: str) -> None:
    """Whatever is no place of a tape is answered with how to write one."""
    with pytest.raises(TapeOrderError, match="25%"):
        checked(1, "seek", text)


def test_speeds() -> None:
    """A speed is a number from a tenth to a thousand, or max."""
    assert (speed_ppm("0.1"), speed_ppm("2.5"), speed_ppm("max")) == (100_000, 2_500_000, FASTEST_PPM)
    for text in ("0", "0.01", "1001", "-1", "fast", ""):
        with pytest.raises(TapeOrderError, match="max"):
            speed_ppm(text)


def test_unknown_actions_and_stray_values_are_refused() -> None:
    """An action that there is not, and a value where none belongs, are no orders."""
    for action, value in (("rewind", ""), ("pause", "3"), ("step", "2")):
        with pytest.raises(TapeOrderError):
            checked(1, action, value)


def test_orders_survive_their_file_and_only_the_last_are_kept() -> None:
    """What is written is what is read, without limitless growth; another text is refused."""
    orders = [TapeOrder(number, "step") for number in range(1, KEPT_ORDERS + 10)]
    assert from_text(as_text(orders)) == tuple(orders[-KEPT_ORDERS:])
    for text in (b"", b"[]", b'{"orders": [{"number": "x"}]}'):
        with pytest.raises(TapeOrderError):
            from_text(text)
