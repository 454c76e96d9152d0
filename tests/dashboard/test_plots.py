"""Lines over two axes: exact in cells, nothing lost, readable without colour."""

from datetime import UTC

from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.plots import chart, curve
from tests.support.lines import plain, widths

T0, S = 1_767_700_800 * 10**9, 10**9
AMOUNTS = st.integers(-(2**63), 2**63)
POINTS = st.lists(st.tuples(st.integers(0, 10**18), AMOUNTS), max_size=30)
NETS = [(0, 0), (100, 900_000), (250, 1_500_000), (400, 1_400_000), (687, -300_000)]


def dots(line: str) -> int:
    """How many signs of a line have braille dots."""
    return sum("\u2800" < sign <= "\u28ff" for sign in line)


@settings(max_examples=40)
@given(POINTS, st.integers(0, 80), st.integers(0, 12))
def test_a_chart_has_its_cells(points: list[tuple[int, int]], width: int, height: int) -> None:
    """A chart of anything has exactly its lines and cells."""
    assert widths(chart(points, width, height, zone=UTC)) == [width] * height


@settings(max_examples=40)
@given(POINTS, st.integers(0, 80), st.integers(0, 12), st.none() | st.integers(0, 10**18))
def test_a_curve_has_its_cells(
    points: list[tuple[int, int]], width: int, height: int, mark: int | None
) -> None:
    """A curve of anything has exactly its lines and cells."""
    assert widths(curve(points, width, height, str, mark=mark)) == [width] * height


@settings(max_examples=40)
@given(st.lists(AMOUNTS, min_size=1, max_size=20), st.integers(30, 80), st.integers(4, 12))
def test_a_chart_has_no_holes(values: list[int], width: int, height: int) -> None:
    """From the left edge to the right there is a dot in every column, and zero is named."""
    lines = plain(chart([(T0 + at * S, value) for at, value in enumerate(values)], width, height, zone=UTC))
    rows = lines.splitlines()[:-1]
    start = min(row.index(sign) for row in rows for sign in "│┤┼" if sign in row) + 1
    for at in range(start, width):
        assert any(dots(row[at]) for row in rows)
    assert any(row.lstrip().startswith("$0 ┼") for row in rows)


def test_one_moment_among_ten_thousand_is_seen() -> None:
    """A spike of a single point reaches its height however many points there are."""
    points = [(T0 + at * S, 50_000_000 if at == 7_777 else 0) for at in range(10_000)]
    top = plain(chart(points, 70, 8, zone=UTC)).splitlines()[0]
    assert dots(top) == 1


def test_a_loss_stands_below_the_zero_line() -> None:
    """Gains are above the line and losses below it, each with its role and its label."""
    points = [(T0, 4_000_000), (T0 + 3600 * S, -4_000_000)]
    lines = chart(points, 60, 11, zone=UTC)
    text = plain(lines).splitlines()
    zero = next(at for at, row in enumerate(text) if "$0 ┼" in row)
    roles = [{role for part, role in line if dots(part)} for line in lines]
    assert "gain" in set().union(*roles[:zero]) and "bad" not in set().union(*roles[:zero])
    assert set().union(*roles[zero + 1 :]) == {"bad"}
    assert any("+$" in row for row in text[:zero]) and any("-$" in row for row in text[zero:])
    assert "12:00" in text[-1] and text[-1].endswith("13:00")


def test_few_points_and_little_room_are_said() -> None:
    """Without a point it says so, one point is a level line, and without room the number stays."""
    assert plain(chart([], 40, 5)).startswith("no history yet")
    assert plain(curve([], 40, 5, str)).startswith("no size can be priced")
    level = plain(chart([(T0, 3_000_000)], 40, 5, zone=UTC)).splitlines()
    assert dots(level[0]) > 30
    assert plain(chart([(T0, 3_000_000)], 12, 5, zone=UTC)).startswith("now +$3")


def test_the_best_size_is_pointed_at() -> None:
    """The marked size stands under its column with what it leaves, also where that is the right edge."""
    *rows, axis = plain(curve(NETS, 60, 8, str, mark=250)).splitlines()
    at = axis.index("▲")
    assert "▲ 250: +$1.50" in axis and axis.rstrip().endswith("687")
    assert dots(rows[0][at])
    assert "687: -$0.30 ▲" in plain(curve(NETS, 40, 8, str, mark=687)).splitlines()[-1]
