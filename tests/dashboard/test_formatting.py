"""Numbers and foreign texts on the screen."""

import unicodedata
from datetime import UTC
from typing import get_args, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from dashboard import formatting as fm
from dashboard.reasons import limit_keys, reason_plain, reason_sentence, reason_word
from pipeline.config import Config
from pipeline.model import Reason

DIRECTIONS = {"R", "AL", "AN", "RLE", "LRE", "RLO", "LRO", "PDF", "RLI", "LRI", "FSI", "PDI"}
HOSTILE = [
    "[bold red]x[/] [link=file:///etc]y[/link]",
    "\x1b[2J\x1b]0;owned\x07\x9b31m",
    "line\nbreak\ttab\rreturn\x00nul",
    "\u202eright to left\u2066",
    "z" * 300,
    "🤖🚀👩‍👩‍👧 ⚠️ " * 30,
    "z̸̢̛̫͍̹͓a̶̡̛l̵g̷o",
    "漢字" * 100,
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("cells", [0, 1, 7, 20])
def test_fit_is_exact_and_harmless(text: str, cells: int) -> None:
    """Whatever a venue calls its market takes exactly its cells and cannot command the terminal."""
    fitted = fm.fit(text, cells)
    assert cell_len(fitted) == cells
    assert fitted.isprintable()


@given(st.text(max_size=300), st.integers(0, 60), st.sampled_from(["left", "right"]))
@example("\u200d9\ufe0f\u20e3\U0001f1fa\U0001f1f8\u3164\u3000\xa0x", 9, "left")
@example("a\u05d0\u0661 95 \u202e\u2069", 20, "right")
@example("\ud800\udfff\u0903\u1100\u1161\u11a8", 5, "left")
def test_any_text_keeps_its_column_and_its_order(text: str, cells: int, align: str) -> None:
    """No text of anybody's is wider than its column, hides a sign, or turns its neighbours round."""
    cleaned, fitted = fm.clean(text), fm.fit(text, cells, align)
    assert cell_len(fitted) == cells
    assert fm.clean(cleaned) == cleaned
    for shown in (cleaned, fitted):
        assert shown.isprintable()
        assert not {unicodedata.bidirectional(sign) for sign in shown} & DIRECTIONS
        # Each sign is as wide as if it stood alone, so where one is cut does not change the others.
        assert all(cell_len(sign) in (1, 2) for sign in shown)
        assert sum(map(cell_len, shown)) == cell_len(shown)


def test_what_is_readable_stays_so() -> None:
    """Accents, wide letters and emoji stay; flags become letters, and foreign spaces spaces."""
    assert fm.clean("Caf\u00e9 \u6f22\u5b57 \U0001f680") == "Caf\u00e9 \u6f22\u5b57 \U0001f680"
    assert fm.clean("\U0001f1fa\U0001f1f8\xa0wins\u3000?") == "US wins ?"
    assert fm.clean("[b]x[/b]") == "[b]x[/b]"


@pytest.mark.parametrize(
    ("ticks", "decimals", "kind", "bid", "ask"),
    [
        (611_000, 6, "binary", "61.1", "61.1"),
        (611_500, 6, "binary", "61.15", "61.15"),
        (611_549, 6, "binary", "61.15", "61.16"),
        (55, 2, "binary", "55.0", "55.0"),
        (9_712_341_000_000, 8, "spot", "97123.41", "97123.41"),
        (9_712_341_900_000, 8, "spot", "97123.41", "97123.42"),
        (234_567, 5, "spot", "2.34567", "2.34567"),
        (1_234_567_899, 2, "spot", "12345678", "12345679"),
    ],
)
def test_prices_are_never_rounded_in_our_favour(
    ticks: int, decimals: int, kind: str, bid: str, ask: str
) -> None:
    """A bid that does not fit is cut down, an ask is cut up."""
    assert fm.price_text(ticks, decimals, kind, ask=False) == bid
    assert fm.price_text(ticks, decimals, kind, ask=True) == ask


@pytest.mark.parametrize("exponent", range(20))
def test_sizes_keep_their_column(exponent: int) -> None:
    """A size of any magnitude takes at most five cells and never claims more than there is."""
    for units in (10**exponent, 10**exponent * 9 + 1):
        if units < 2**63:
            assert len(fm.size_text(units, 8)) <= 5
            assert len(fm.size_text(units, 0)) <= 5


def test_sizes_read_as_people_write_them() -> None:
    """Sizes are plain where they fit and shortened where they do not."""
    pairs = {(68_000, 2): "680", (51_234_567, 8): "0.512", (44_100, 0): "44.1k", (1, 8): "<.001"}
    assert {key: fm.size_text(*key) for key in pairs} == pairs


def test_ages_and_spans_keep_their_columns() -> None:
    """Ages take at most five cells and spans at most six, from nothing to a year."""
    for seconds in (0, 0.04, 9.94, 9.96, 59, 99.4, 100, 3_599, 5_999, 86_399, 360_000, 31_536_000):
        ns = round(seconds * 10**9)
        assert len(fm.age_text(ns)) <= 5
        assert len(fm.span_text(ns)) <= 6
    assert (fm.age_text(300_000_000), fm.age_text(42 * 10**9)) == ("0.3s", "42s")
    assert fm.up_text(8_049 * 10**9) == "02:14:09"


@pytest.mark.parametrize(
    ("usd", "word"), [(0, "LOW"), (19.99, "LOW"), (20, "MED"), (50, "MED"), (50.01, "HIGH")]
)
def test_exposure_has_the_seeds_thresholds(usd: float, word: str) -> None:
    """Exposure is LOW under $20, MED to $50 and HIGH above."""
    assert fm.exposure_word(round(usd * 10**6))[0] == word


def test_money_has_its_sign_before_the_dollar() -> None:
    """Money is read with its sign, and zero has none."""
    texts = [fm.usd_text(micros, sign=True) for micros in (12_480_000, -150_000, 0, -1)]
    assert texts == ["+$12.48", "-$0.15", "$0.00", "$0.00"]


def test_the_clock_is_the_zone_s() -> None:
    """A decision's time of day is that of the zone asked for."""
    assert fm.clock_text(1_700_000_000 * 10**9, UTC) == "22:13:20"


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason: Reason) -> None:
    """No reason of the model is left without a word that fits the grid and a sentence."""
    assert len(reason_word(reason, has_numbers=False)) <= 7
    assert bool(reason_sentence(reason, 0, 0)) == (reason is not Reason.NONE)
    assert bool(reason_sentence(reason, 1_000_000, 2_000_000)) == (reason is not Reason.NONE)


def test_reasons_name_their_number_and_limit() -> None:
    """A refusal says what failed against what, in the limit's unit."""
    million = 10**6
    assert reason_sentence(Reason.EDGE_TOO_SMALL, 42 * million, 50 * million) == "edge 42 < 50 bp"
    event = reason_sentence(Reason.EVENT_EXPOSURE, 52 * million, 50 * million)
    assert event == "event $52.00 > $50.00"
    assert reason_sentence(Reason.BOOK_TOO_OLD, 2_345 * million, 2_000 * million) == ("book 2345 > 2000 ms")
    assert reason_sentence(999, 1, 2) == "reason 999"


def test_new_reasons_are_told_in_their_units() -> None:
    """A hurdle is per cent a year, a gap of closing times seconds, a lasting milliseconds."""
    million = 10**6
    hurdle = reason_sentence(Reason.BELOW_HURDLE, 1_500_000, 4 * million)
    assert hurdle == "return 1.5 < 4% a year"
    assert reason_sentence(Reason.CLOSE_TIMES, 7200 * million, 3600 * million) == "closes apart 7200 > 3600 s"
    assert reason_sentence(Reason.UNCONFIRMED, 120 * million, 500 * million) == "seen for 120 < 500 ms"
    assert reason_sentence(Reason.MISMATCH, 20_000, 10_000) == "mismatch 0.02 ≥ 0.01"
    assert reason_sentence(Reason.HIDDEN_OUTCOME, 0, million) == "an outcome may not be listed"


@pytest.mark.parametrize("reason", list(Reason))
def test_every_limit_is_a_key_of_the_configuration(reason: Reason) -> None:
    """What sets a reason's limit is a key that config.toml knows."""
    assert bool(reason_plain(reason)) == (reason is not Reason.NONE)
    for key in limit_keys(reason):
        shape: object = Config
        for part in key.split("."):
            assert isinstance(shape, type) and part in shape.__struct_fields__, key
            shape = get_type_hints(shape)[part]
            for inner in (*get_args(shape), shape):
                if hasattr(inner, "__struct_fields__"):
                    shape = inner
    assert reason_plain(999) == "reason 999"
    assert limit_keys(999) == ()


def test_the_race_says_what_it_rests_on() -> None:
    """A prior is called one, a measurement has its count, and neither is ever wider than its column."""
    assert fm.race_text(500_000, 0) == "50% prior"
    assert fm.race_text(820_000, 37) == "82% n=37"
    assert fm.race_text(0, 0) == ""
    assert fm.race_text(0, 3) == "0% n=3"
    assert len(fm.race_text(1_000_000, 123_456)) <= 11


def test_figures_of_workers_read_as_in_top() -> None:
    """Memory is short and rounded up, the processor's share has one decimal, counts their thousands."""
    texts = [fm.bytes_text(size) for size in (None, 0, 999, 1000, 63 << 20, (1 << 20) - 1, 2_200_000)]
    assert texts == ["-", "0B", "999B", "1.0K", "63M", "1.0M", "2.1M"]
    assert (fm.cpu_text(None), fm.cpu_text(112), fm.cpu_text(7), fm.cpu_text(2000)) == (
        "-", "11.2", "0.7", "200.0")  # fmt: skip
    assert (fm.count_text(6_742_113), fm.count_text(None)) == ("6,742,113", "-")
    assert (fm.percent_text(710_000), fm.percent_text(41, 2), fm.percent_text(410_000, 0)) == (
        "71.0 %", "0.00 %", "41 %")  # fmt: skip


@given(st.integers(0, 2**70))
def test_memory_keeps_its_column(size: int) -> None:
    """Any amount of memory takes at most five cells and is never told smaller than it is."""
    text = fm.bytes_text(size)
    assert len(text) <= 5
    shift = "BKMGTP".index(text[-1]) * 10
    if text[0] != ">":
        assert float(text[:-1]) * 2**shift >= size * 0.999999
        assert float(text[:-1]) * 2**shift <= size * 1.11 + 1


@given(st.integers(-(2**63), 2**63))
def test_latencies_and_amounts_keep_their_columns(value: int) -> None:
    """Milliseconds take at most eight cells, labels of money nine, durations eight; a sign is never lost."""
    assert len(fm.millis_text(value)) <= 8
    assert len(fm.axis_usd_text(value)) <= 9
    assert len(fm.duration_text(value)) <= 8
    assert fm.axis_usd_text(value)[0] == ("+" if value > 0 else "-" if value < 0 else "$")


def test_latencies_and_times_read_as_people_write_them() -> None:
    """Milliseconds lose decimals as they grow; a duration is hours, minutes and seconds."""
    spans = (None, 0, 40_000, 1_300_000, 18_000_000, -5_000_000, 12_345_000_000)
    assert [fm.millis_text(ns) for ns in spans] == ["-", "0", "0.04", "1.3", "18", "-5.0", "12,345"]
    assert [fm.duration_text(s * 10**9) for s in (8_049, 0, 360_000)] == ["2:14:09", "0:00:00", "4d04h"]
    wall_ns = 1_700_000_000_204_000_000
    assert fm.stamp_text(wall_ns, UTC) == "22:13:20.204"
    spans = (60 * 10**9, 3_600 * 10**9, 30 * 86_400 * 10**9)
    assert [fm.tick_text(wall_ns, span, UTC) for span in spans] == ["22:13:20", "22:13", "14 Nov"]


def test_labels_of_money_are_short() -> None:
    """An axis has round amounts with their signs, cents only where they matter."""
    amounts = (14_000_000, -500_000, 0, 5_000, 12_345_000_000, 3_400_000 * 10**6, 9_990_000)
    texts = ["+$14", "-$0.50", "$0", "+$.005", "+$12.3k", "+$3.4M", "+$9.99"]
    assert [fm.axis_usd_text(micros) for micros in amounts] == texts
