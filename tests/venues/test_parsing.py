"""Readers of venue text: exact numbers, bounded memories, times that never raise."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import DEFAULT_SCALES, INT64_MAX, Scale, to_units
from pipeline.venues import parsing
from pipeline.venues.parsing import Reader, Readers, iso_ns, millis_ns, seconds_ns, text_of

READER = Reader(Scale(6, 2))


@pytest.mark.parametrize(
    ("text", "ticks"),
    [("0.5600", 560_000), (".5", 500_000), ("0.000001", 1), ("0.999999", 999_999), ("4e-1", 400_000)],
)
def test_prices_are_exact_ticks(text: str, ticks: int) -> None:
    """Asked twice, the answer comes from memory and is the same."""
    reader = Reader(Scale(6, 2))
    assert [reader.ticks(text), reader.ticks(text)] == [ticks, ticks]
    assert reader.prices == {text: ticks}
    assert reader.one == 1_000_000


@pytest.mark.parametrize(
    "text", ["0", "1", "1.0000", "-0.5", "0.0000001", "", ".", "x", "NaN", "١", "0x1", " .5"]
)
def test_a_price_is_between_nothing_and_one(text: str) -> None:
    """Both ends are no prices; nothing is rounded; a refusal is not remembered as a price."""
    for _ in range(2):
        with pytest.raises(ValueError, match=r"."):
            READER.ticks(text)


@pytest.mark.parametrize(
    ("text", "units"), [("10.00", 1_000), ("-54.5", -5_450), ("0.00", 0), ("1e3", 100_000)]
)
def test_sizes_are_exact_and_signed(text: str, units: int) -> None:
    """A step of a size may be negative."""
    assert READER.steps[text] == units


@pytest.mark.parametrize("text", ["0.001", "1e99", "Infinity", "", str(INT64_MAX)])
def test_a_size_off_the_scale_or_beyond_int64_is_refused(text: str) -> None:
    """Neither rounded nor cut."""
    with pytest.raises(ValueError, match=r"."):
        READER.steps[text]


def test_a_size_of_a_level_is_not_negative() -> None:
    """A step may be, a level may not."""
    assert READER.size("5") == 500
    assert READER.steps["-5"] == -500
    with pytest.raises(ValueError, match="size '-5' is out of its range"):
        READER.size("-5")


@given(
    number=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4)
)
def test_a_size_is_the_number_or_refused(number: Decimal) -> None:
    """Against the decimal arithmetic of the language."""
    try:
        units = READER.steps[str(number)]
    except ValueError:
        assert number * 100 != int(number * 100)
    else:
        assert Decimal(units) == number * 100


@pytest.mark.parametrize(
    ("text", "ticks"),
    [("0", 0), ("0.0", 0), ("1", 0), ("1.00", 0), ("1e0", 0), (".5", 500_000), ("0.0025", 2_500)],
)
def test_a_best_price_at_either_end_is_an_empty_side(text: str, ticks: int) -> None:
    """Nobody bids 0 and nobody offers at 1; asked twice, the answer is the same."""
    reader = Reader(Scale(6, 2))
    assert [reader.bests[text], reader.bests[text]] == [ticks, ticks]


@pytest.mark.parametrize("text", ["", ".", "-0.1", "1.000001", "2", "0.0000001", "NaN", "x"])
def test_a_best_price_beyond_the_ends_is_refused(text: str) -> None:
    """Neither a price nor an empty side."""
    with pytest.raises(ValueError, match=r"."):
        READER.bests[text]


@given(text=st.text(alphabet="0123456789.-+e \u0661_", max_size=24) | st.from_regex(r"\d{1,20}\.?\d{0,7}"))
def test_the_short_way_reads_what_the_long_way_reads(text: str) -> None:
    """Whatever the text, a memory gives the number that `to_units` gives, or refuses with it."""
    try:
        expected = to_units(text, 2)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            Reader(Scale(6, 2)).steps[text]
    else:
        assert Reader(Scale(6, 2)).steps[text] == expected


@pytest.mark.parametrize(
    ("value", "ns"),
    [(1_793_607_330, 1_793_607_330 * 10**9), (0, 0), (-1, 0), (True, 0), (10**30, 0), ("5", 0)],
)
def test_seconds_are_whole_numbers(value: Any, ns: int) -> None:
    """Kalshi's announcements; 0 means that the time is not known."""
    assert seconds_ns(value) == ns


def test_memories_are_bounded_and_forget_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that never repeats a price or a size, or names markets for ever, fills no memory."""
    monkeypatch.setattr(parsing, "CACHE_MAX", 4)
    monkeypatch.setattr(parsing, "MARKETS_MAX", 4)
    reader, readers = Reader(Scale(6, 2)), Readers("kalshi", {})
    for number in range(1, 40):
        assert reader.ticks(f"0.{number:06d}") == number
        assert reader.steps[f"{number}"] == number * 100
        assert readers.of(f"KX-{number}").one == 1_000_000
        assert max(len(reader.prices), len(reader.steps), len(readers._by_market)) <= 4


def test_markets_on_one_scale_share_a_reader() -> None:
    """The default is the venue's; a scale that is known wins."""
    readers = Readers("polymarket", {"narrow": Scale(2, 2)})
    assert readers.of("a") is readers.of("b")
    assert readers.scale_of("a") == DEFAULT_SCALES["polymarket"]
    assert (readers.scale_of("narrow"), readers.of("narrow").one) == (Scale(2, 2), 100)


@pytest.mark.parametrize(
    ("value", "ns"),
    [(1669149841000, 1_669_149_841_000_000_000), ("1757908892351", 1_757_908_892_351_000_000), ("1", 10**6)],
)
def test_milliseconds_are_numbers_or_their_text(value: Any, ns: int) -> None:
    """Kalshi sends a number, Polymarket its text."""
    assert millis_ns(value) == ns


@pytest.mark.parametrize(
    "value", [None, 0, -1, True, 1.5, "", "-1", "1.5", "1e3", "١", "9" * 14, 2**63, [], {}]
)
def test_other_milliseconds_are_no_time(value: Any) -> None:
    """0 means that the time is not known."""
    assert millis_ns(value) == 0


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("2026-11-02T08:15:30.25075Z", 1_793_607_330_250_750_000),
        ("2026-11-02T08:15:30.123456789Z", 1_793_607_330_123_456_000),
        ("2026-11-02T10:15:30+02:00", 1_793_607_330_000_000_000),
        ("2026-11-02T08:15:30", 1_793_607_330_000_000_000),
    ],
)
def test_times_in_words_are_utc_nanoseconds(text: str, ns: int) -> None:
    """Whatever their zone and digits; below a microsecond nothing is kept."""
    assert iso_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59Z",
        "1969-12-31T23:59:59Z",
        None,
        5,
        "\u0661",
    ],
)
def test_times_that_cannot_be_are_no_time(text: object) -> None:
    """Before 1970, beyond int64, or no time at all."""
    assert iso_ns(text) == 0


@given(moment=st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_every_moment_survives(moment: datetime) -> None:
    """To the microsecond, without a float in between."""
    since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86_400 + since.seconds
    assert iso_ns(moment.isoformat() + "Z") == seconds * 10**9 + since.microseconds * 1_000


@given(text=st.text(max_size=40))
def test_any_text_has_a_time_or_none(text: str) -> None:
    """No text raises."""
    for ns in (iso_ns(text), millis_ns(text)):
        assert 0 <= ns <= INT64_MAX


def test_words_of_an_error_fit_a_log_line() -> None:
    """A venue may write a novel."""
    assert text_of(ValueError("no")) == "no"
    assert len(text_of("x" * 10_000)) == 160
