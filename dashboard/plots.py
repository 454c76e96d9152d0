"""Plots: a line over two axes, in braille: what the account made over time, what a trade leaves at each size.

In: points of integers. Out: lines of exactly the cells asked for. Pure; drawn by the panels of the tabs.
Every column of dots shows the least and the most that happened in it, so no spike is lost however many
points there are. Above zero is "gain", below "bad", and the zero line and the labels say it without colour.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from rich.cells import cell_len

from dashboard.charts import nice_step
from dashboard.formatting import axis_usd_text, fit, tick_text
from dashboard.widgets.panel import Line, Span

# Dots of a braille sign by (column, row), as Unicode numbers them.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE = 0x2800
_COLUMNS, _ROWS = 2, 4
# Below this a plot is only its last number; a label of the x axis wants so much room.
MIN_WIDTH, MIN_HEIGHT, LABEL = 16, 3, 12


@dataclass(frozen=True, slots=True)
class _Scale:
    """A range of values on a number of dots, both ends included."""

    low: int
    high: int
    dots: int

    def dot(self, value: int) -> int:
        """The dot of a value, from 0; exact for integers of any size."""
        value = min(self.high, max(self.low, value))
        span = max(1, self.high - self.low)
        return (2 * (value - self.low) * (self.dots - 1) + span) // (2 * span)


def chart(
    points: Sequence[tuple[int, int]], width: int, height: int, *, zone: tzinfo | None = None
) -> list[Line]:
    """Money over time: points of (wall ns, micros), each holding until the next; `height` lines of `width`.

    The axis of money always has zero on it; that of time is in the machine's own zone unless one is given.
    """
    if not points:
        return _message("no history yet", width, height)
    ordered = sorted(points, key=lambda point: point[0])
    first, last = ordered[0][0], ordered[-1][0]
    return _plot(ordered, width, height, lambda wall_ns: tick_text(wall_ns, last - first, zone), held=True)


def curve(
    points: Sequence[tuple[int, int]],
    width: int,
    height: int,
    size_text: Callable[[int], str],
    *,
    mark: int | None = None,
) -> list[Line]:
    """What is left at each size: points of (units, net in micros), straight between them.

    `mark` is the size in units that is pointed at with ▲; its size, and what the nearest point leaves, stand
    beside it. `size_text` makes a size readable.
    """
    if not points:
        return _message("no size can be priced", width, height)
    ordered = sorted(points, key=lambda point: point[0])
    return _plot(ordered, width, height, size_text, held=False, mark=mark)


def _message(text: str, width: int, height: int) -> list[Line]:
    lines: list[Line] = [[(" " * width, "plain")] for _ in range(height)]
    if lines and width > 0:
        lines[0] = [(fit(text, width), "dim")]
    return lines


def _plot(
    points: Sequence[tuple[int, int]],
    width: int,
    height: int,
    x_text: Callable[[int], str],
    *,
    held: bool,
    mark: int | None = None,
) -> list[Line]:
    """The whole picture: the labels of money on the left, the line, the labels of x below."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return _message(f"now {axis_usd_text(points[-1][1])}", width, height)
    rows = height - 1
    low, high = min(0, *(y for _, y in points)), max(0, *(y for _, y in points))
    # Where nothing was made or lost, a dollar's worth of nothing.
    y_scale = _Scale(low, high if low < high else 10**6, rows * _ROWS)
    ticks = _ticks(y_scale, rows)
    labels = max(len(axis_usd_text(tick)) for tick in ticks.values())
    cells = width - labels - 2
    x_scale = _Scale(points[0][0], points[-1][0], cells * _COLUMNS)
    grid = _dots((_held if held else _straight)(points, x_scale), y_scale, rows, cells)
    zero = rows - 1 - y_scale.dot(0) // _ROWS
    lines = [_line(grid[row], row, ticks.get(row), zero, labels) for row in range(rows)]
    below = _times(x_scale, cells, x_text) if mark is None else _marked(points, mark, x_scale, cells, x_text)
    return [*lines, [(" " * (labels + 2), "plain"), *below]]


def _ticks(scale: _Scale, rows: int) -> dict[int, int]:
    """Round amounts on the scale by their row from the top, zero among them."""
    # One label every other row at most.
    step = nice_step(scale.high - scale.low, max(1, (rows - 1) // 2))
    amounts = [at * step for at in range(-(-scale.low // step), scale.high // step + 1)]
    rest = [amount for amount in amounts if amount]
    return {rows - 1 - scale.dot(amount) // _ROWS: amount for amount in [*rest, 0]}


def _held(points: Sequence[tuple[int, int]], scale: _Scale) -> list[tuple[int, int]]:
    """The least and the most in each column of dots, where a value holds until the next."""
    times, values = [x for x, _ in points], [y for _, y in points]
    spans = []
    at, before = 0, values[0]
    for column in range(scale.dots):
        # Up to half a column further, as `_Scale.dot` rounds.
        reach = (2 * column + 1) * (scale.high - scale.low) // (2 * (scale.dots - 1))
        until = len(times) if column == scale.dots - 1 else bisect_right(times, scale.low + reach)
        inside = [before, *values[at:until]]
        spans.append((min(inside), max(inside)))
        at, before = until, inside[-1]
    return spans


def _straight(points: Sequence[tuple[int, int]], scale: _Scale) -> list[tuple[int, int]]:
    """The least and the most in each column of dots, on straight lines between the points."""
    spans: dict[int, tuple[int, int]] = {}

    def reach(column: int, value: int) -> None:
        low, high = spans.get(column, (value, value))
        spans[column] = min(low, value), max(high, value)

    reach(scale.dot(points[0][0]), points[0][1])
    for (_, from_y), (to_x, to_y), start in zip(
        points, points[1:], (scale.dot(x) for x, _ in points), strict=False
    ):
        end = scale.dot(to_x)
        for column in range(start, end):
            # Each column reaches to where the next begins, so that the line has no holes.
            value = from_y + (to_y - from_y) * (column + 1 - start) // (end - start)
            reach(column, value)
            reach(column + 1, value)
        reach(end, to_y)
    # Only where all points have one size are there columns without: the line is then level.
    return [spans.get(column, (points[-1][1], points[-1][1])) for column in range(scale.dots)]


def _dots(spans: Sequence[tuple[int, int]], scale: _Scale, rows: int, cells: int) -> list[list[int]]:
    """Braille dots of each cell, rows from the top."""
    grid = [[0] * cells for _ in range(rows)]
    for column, span in enumerate(spans):
        for dot in range(scale.dot(span[0]), scale.dot(span[1]) + 1):
            down = scale.dots - 1 - dot
            grid[down // _ROWS][column // _COLUMNS] |= _DOTS[column % _COLUMNS][down % _ROWS]
    return grid


def _line(dots: list[int], row: int, tick: int | None, zero: int, labels: int) -> Line:
    """One line: its label, the axis, the dots, and the zero line where there are none."""
    role = "gain" if row < zero else "bad" if row > zero else "plain"
    label = "" if tick is None else axis_usd_text(tick)
    sign = "│" if tick is None else "┼" if tick == 0 else "┤"
    spans: Line = [(fit(label, labels, "right") + " " + sign, "dim")]
    drawn = ""
    drawn_role = role
    for cell in dots:
        text, text_role = (chr(_BRAILLE + cell), role) if cell else ("╌" if row == zero else " ", "dim")
        if text_role != drawn_role and drawn:
            spans.append((drawn, drawn_role))
            drawn = ""
        drawn, drawn_role = drawn + text, text_role
    return [*spans, (drawn, drawn_role)]


def _times(scale: _Scale, cells: int, x_text: Callable[[int], str]) -> Line:
    """Labels below the axis, each beginning under its column; the last ends at the right edge."""
    if scale.low == scale.high:
        return [(fit(x_text(scale.low), cells), "dim")]
    count = max(1, cells // LABEL)
    drawn = ""
    for at in range(count):
        x = scale.low + (scale.high - scale.low) * at // count
        drawn = drawn.ljust(cells * at // count) + x_text(x)
    end = x_text(scale.high)
    room = cells - cell_len(drawn) - cell_len(end)
    return [(drawn + " " * room + end if room > 0 else fit(drawn, cells), "dim")]


def _marked(
    points: Sequence[tuple[int, int]], mark: int, scale: _Scale, cells: int, x_text: Callable[[int], str]
) -> Line:
    """A ▲ under the marked size with its numbers beside it, and the ends where they do not touch them."""
    left = min(points, key=lambda point: abs(point[0] - mark))[1]
    told = f"{x_text(mark)}: {axis_usd_text(left)}"
    at = min(cells - 1, scale.dot(mark) // _COLUMNS)
    if at + 2 + cell_len(told) <= cells:
        before, marked = at, f"▲ {told}"
    elif at >= cell_len(told) + 1:
        before, marked = at - cell_len(told) - 1, f"{told} ▲"
    else:
        return [(fit("▲ " + told, cells), "strong")]
    start, end = x_text(scale.low), x_text(scale.high)
    rest = cells - before - cell_len(marked)
    spans: list[Span] = [
        (fit(start, before) if cell_len(start) < before else " " * before, "dim"),
        (marked, "strong"),
        (fit(end, rest, "right") if cell_len(end) < rest else " " * rest, "dim"),
    ]
    return [span for span in spans if span[0]]
