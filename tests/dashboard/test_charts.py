"""Bars: exact in cells, true in height, readable without colour."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from dashboard.charts import bar, histogram, nice_step, sparkline, to_cents, waterfall
from dashboard.formatting import usd_text
from dashboard.signs import LEVELS
from tests.support.lines import plain, widths

NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**63), 2**63) | st.none()
AMOUNTS = st.integers(-(2**63), 2**63)
EDGE = [
    ("gross", 1_430_000, True),
    ("depth", -120_000, False),
    ("fee Kalshi", -280_000, False),
    ("net", 1_030_000, True),
    ("lock-up", -30_000, False),
    ("remains", 1_000_000, True),
]


@settings(max_examples=40)
@given(st.lists(NUMBERS, max_size=40), st.integers(0, 40))
def test_a_sparkline_has_its_cells(values: list[float | None], cells: int) -> None:
    """A sparkline of anything is exactly as wide as asked, and made of blanks and eight heights."""
    drawn = sparkline(values, cells)
    assert cell_len(drawn) == cells
    assert set(drawn) <= {" ", *LEVELS}


def test_a_sparkline_shows_gaps_the_newest_and_every_spike() -> None:
    """Gaps are blank, the newest value is on the right, and one spike among thousands is seen."""
    assert sparkline([1, None, 8], 5) == "  ▁ █"
    assert sparkline([0, 5, math.nan], 3, low=0, high=10) == "▁▅ "
    assert sparkline([0] * 5_000 + [9] + [0] * 4_999, 20).count("█") == 1
    assert (sparkline([0, 0], 2), sparkline([7, 7], 2), sparkline([], 2)) == ("▁▁", "▄▄", "  ")


@settings(max_examples=40)
@given(st.floats(), st.integers(2, 40))
def test_only_nothing_looks_empty_and_only_all_looks_full(share: float, cells: int) -> None:
    """A bar has its cells; a hair is seen, and so is a hair that is missing."""
    drawn = bar(share, cells)
    assert cell_len(drawn) == cells
    assert ("█" in drawn) == (math.isfinite(share) and share > 0)
    assert ("░" in drawn) == (not math.isfinite(share) or share < 1)
    assert bar(0.71, 20) == "█" * 14 + "░" * 6


@settings(max_examples=40)
@given(
    st.lists(AMOUNTS | st.integers(-200, 200), max_size=30),
    st.integers(0, 70),
    st.integers(0, 8),
    st.none() | AMOUNTS | st.integers(-60, 60),
)
def test_a_histogram_has_its_cells(values: list[int], width: int, height: int, mark: int | None) -> None:
    """A histogram of anything has exactly its lines and cells."""
    assert widths(histogram(values, width, height, mark=mark)) == [width] * (height if width else 0)


def test_a_histogram_parts_at_its_mark() -> None:
    """What reaches the threshold stands from its ▲ on, which names it; what does not, left of it."""
    lines = histogram([10] * 30 + [49] * 10 + [50] * 20 + [60] * 3, 50, 5, mark=50)
    axis = plain(lines).splitlines()[-1]
    assert "▲50" in axis
    at = axis.index("▲")
    bars = plain(lines).splitlines()[-2]
    assert bars[at] != " " and bars[at - 1] != " "
    good = [text for text, role in lines[-2] if role == "good"]
    assert cell_len(good[0]) == 50 - at
    assert plain(lines).split()[0] == "30"


def test_a_histogram_says_what_lies_beyond_its_ends() -> None:
    """One absurd value among hundreds does not flatten the rest; the axis says that there is more."""
    lines = histogram([*range(300), 10**9], 60, 4, mark=50)
    axis = plain(lines).splitlines()[-1]
    assert "≥" in axis and axis.rstrip().endswith("bp")
    assert len([sign for sign in plain(lines).splitlines()[-2] if sign in LEVELS]) > 20
    assert plain(histogram([], 20, 3)).startswith("no bp yet")


@settings(max_examples=40)
@given(st.integers(1, 2**70), st.integers(1, 40))
def test_a_step_is_round_and_no_larger_than_needed(span: int, parts: int) -> None:
    """A step of an axis is 1, 2 or 5 with zeros, covers the span, and the next smaller would not."""
    step = nice_step(span, parts)
    assert str(step).rstrip("0") in ("1", "2", "5")
    assert step * parts >= span
    assert step == 1 or step * parts < span * 2.5 + 1


@settings(max_examples=40)
@given(st.lists(st.tuples(st.text(max_size=12), AMOUNTS, st.booleans()), max_size=8), st.integers(0, 90))
def test_a_waterfall_has_its_cells(terms: list[tuple[str, int, bool]], width: int) -> None:
    """A waterfall of anything has a line a term, each exactly as wide as asked."""
    assert widths(waterfall(terms, width)) == [width] * (len(terms) if width else 0)


def test_a_waterfall_shows_each_term_where_the_last_ended() -> None:
    """Sums are full bars from zero, costs shaded ones that end where the sum before them ended."""
    lines = plain(waterfall(EDGE, 70)).splitlines()
    gross, depth, fee, net, *_ = lines
    assert all("│" in line for line in lines)
    assert depth.rstrip().endswith("▒") and len(depth.rstrip()) == len(gross.rstrip())
    assert fee.rindex("▒") == depth.index("▒") - 1
    assert net.rindex("█") == fee.index("▒") - 1
    assert "+$1.43" in gross and "-$0.12" in depth and "+$1.03" in net


@settings(max_examples=60)
@given(AMOUNTS, st.lists(AMOUNTS, max_size=5))
def test_the_cents_of_a_waterfall_add_up(gross: int, steps: list[int]) -> None:
    """What is shown of the gross and the steps makes what is shown of the net; no step is a cent off."""
    net = gross + sum(steps)
    terms = [("gross", gross, True), *(("fee", step, False) for step in steps), ("net", net, True)]
    shown = [micros for _, micros, _ in to_cents(terms)]
    assert all(micros % 10_000 == 0 for micros in shown)
    assert sum(shown[:-1]) == shown[-1]
    assert all(abs(said - exact) <= 10_000 for said, (_, exact, _) in zip(shown, terms, strict=True))
    assert all(usd_text(said) == usd_text(exact) for said, exact in ((shown[0], gross), (shown[-1], net)))


def test_a_gross_is_never_green() -> None:
    """Only what is left at the end may look like a profit."""
    lines = waterfall([("gross", 400_000, True), ("fee", -700_000, False), ("net", -300_000, True)], 60)
    assert not {role for line in lines for _, role in line} & {"good", "gain"}


def test_a_loss_is_left_of_the_zero_line() -> None:
    """A net below zero stands left of the line and has its minus."""
    *_, net = plain(
        waterfall([("gross", 400_000, True), ("fee", -700_000, False), ("net", -300_000, True)], 60)
    ).splitlines()
    assert net.index("█") < net.index("│")
    assert "█" not in net.partition("│")[2]
    assert "-$0.30" in net


@pytest.mark.parametrize("width", [5, 20, 28])
def test_a_narrow_waterfall_keeps_its_numbers(width: int) -> None:
    """Without room for bars the numbers are what stays."""
    lines = waterfall(EDGE, width)
    assert widths(lines) == [width] * len(EDGE)
    assert ("│" in plain(lines)) == (width >= 28)
    assert width < 20 or "+$1.43" in plain(lines)
