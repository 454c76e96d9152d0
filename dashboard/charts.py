"""Charts: numbers drawn as bars: sparklines, shares, histograms, and what is left of a gross.

In: numbers. Out: text or lines of exactly the cells asked for. Pure; drawn by the panels of the tabs. No
colour says what a sign or a number beside it does not say as well. Curves are in `plots`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal

from rich.cells import cell_len

from dashboard.formatting import fit, usd_text
from dashboard.signs import LEVELS
from dashboard.widgets.panel import Line, Span
from pipeline.money import to_decimal

FULL, SHADED, EMPTY = "█", "▒", "░"
# Of a histogram's values so many in a thousand on either side may lie beyond its ends.
_TAIL_PERMILLE = 10
# A waterfall's bar, and a histogram, in fewer cells than this say less than the numbers alone.
_MIN_BAR, _MIN_HISTOGRAM = 8, 10


def sparkline(
    values: Sequence[float | None], cells: int, low: float | None = None, high: float | None = None
) -> str:
    """Values as columns of eight heights, the newest on the right, in exactly `cells`.

    More values than cells share cells, and the largest of those in a cell is shown; None and what is not
    finite are gaps. `low` and `high` are the ends of the scale, of the values themselves where not given.
    Values that are all the same stand in the middle, at zero at the bottom.
    """
    if cells <= 0:
        return ""
    known = [value if value is not None and math.isfinite(value) else None for value in values]
    columns = [_largest(part) for part in _parts(known, cells)]
    found = [value for value in columns if value is not None]
    if not found:
        return " " * cells
    bottom = min(found) if low is None else low
    top = max(found) if high is None else high
    drawn = "".join(" " if value is None else _level(value, bottom, top) for value in columns)
    return drawn.rjust(cells)


def _parts(values: list[float | None], count: int) -> list[list[float | None]]:
    """The values in order as at most `count` parts of nearly one length."""
    count = min(count, len(values))
    return [values[len(values) * at // count : len(values) * (at + 1) // count] for at in range(count)]


def _largest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _level(value: float, bottom: float, top: float) -> str:
    if top <= bottom:
        return LEVELS[0] if value <= 0 or value < bottom else LEVELS[3]
    # Halves first: the difference of two large numbers may be more than a float can hold.
    share = (value / 2 - bottom / 2) / (top / 2 - bottom / 2)
    return LEVELS[min(7, max(0, int(share * 8)))]


def bar(share: float, cells: int) -> str:
    """A share of 0 to 1 as a bar of exactly `cells`; only nothing looks empty, and only all looks full."""
    if cells <= 0:
        return ""
    share = min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0
    filled = round(share * cells)
    if cells > 1:
        filled = min(cells - (share < 1), max(share > 0, filled))
    return FULL * filled + EMPTY * (cells - filled)


def histogram(
    values: Sequence[int], width: int, height: int, *, mark: int | None = None, unit: str = "bp"
) -> list[Line]:
    """How often which value came: `height` lines of exactly `width` cells, the last of them the axis.

    What reaches `mark` (a threshold) stands right of the "▲", which names it, and is "good". Values far
    beyond the rest are counted in the outermost column, whose end of the axis then says ≤ or ≥. The largest
    column's count stands at its top.
    """
    if width <= 0 or height <= 0:
        return []
    if not values or height < 2 or width < _MIN_HISTOGRAM:
        return [[(fit(f"no {unit} yet" if not values else f"{len(values)} values", width), "dim")]] + [
            [(" " * width, "plain")] for _ in range(height - 1)
        ]
    ranked = sorted(values)
    tail = len(ranked) * _TAIL_PERMILLE // 1000
    peak_cells = min(len(str(len(ranked))) + 2, width - 2)
    edges = _edges(ranked[tail], ranked[-1 - tail], mark, width - peak_cells)
    counts = [0] * (len(edges) - 1)
    for value in ranked:
        counts[min(len(counts) - 1, max(0, bisect_right(edges, value) - 1))] += 1
    first_good = len(counts) if mark is None else bisect_right(edges, mark) - 1
    lines = [_row(counts, at, height - 1, first_good, peak_cells, width) for at in range(height - 1)]
    axis = _axis(edges, ranked, mark, width - peak_cells, unit)
    return [*lines, [(" " * peak_cells, "plain"), *axis]]


def _edges(low: int, high: int, mark: int | None, columns: int) -> list[int]:
    """Where columns begin and end, equally wide, `mark` among them; one column a cell at most."""
    if mark is not None:
        low, high = min(low, mark - 1), max(high, mark)
    origin = 0 if mark is None else mark
    step = nice_step(high - low + 1, max(1, columns - 1))
    while True:
        first = (low - origin) // step
        count = (high - origin) // step + 1 - first
        if count <= columns or columns < 2:
            return [origin + (first + at) * step for at in range(max(1, count) + 1)]
        step = nice_step(step * columns + 1, columns)


def nice_step(span: int, parts: int) -> int:
    """The least of 1, 2, 5, 10, 20 ... of which `parts` cover `span`."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if step * factor * parts >= span:
                return step * factor
        step *= 10


def _row(counts: list[int], at: int, rows: int, first_good: int, peak_cells: int, width: int) -> Line:
    """One line of the columns, the first at the top."""
    peak = max(counts)
    signs = []
    for count in counts:
        # In eighths of a cell; what came at all is seen.
        eighths = max(-(-count * rows * 8 // peak), 1 if count else 0) - (rows - 1 - at) * 8
        signs.append(" " if eighths <= 0 else LEVELS[min(8, eighths) - 1])
    label = fit(str(peak), peak_cells - 1, "right") if at == 0 else " " * (peak_cells - 1)
    drawn = "".join(signs)
    rest = " " * (width - peak_cells - len(drawn))
    line = [(label + " ", "dim"), (drawn[:first_good], "plain"), (drawn[first_good:] + rest, "good")]
    return [span for span in line if span[0]]


def _axis(edges: list[int], ranked: list[int], mark: int | None, cells: int, unit: str) -> Line:
    """Ends of the scale and the mark under its column; whatever does not fit beside the mark is left out."""
    low = f"{'≤' if ranked[0] < edges[0] else ''}{edges[0]}"
    high = f"{'≥' if ranked[-1] >= edges[-1] else ''}{edges[-1] - 1} {unit}"
    if mark is None:
        room = cells - len(low) - cell_len(high)
        return [(low + " " * room + high if room > 0 else fit(low, cells), "dim")]
    at = min(bisect_right(edges, mark) - 1, cells - 1)
    sign = f"▲{mark}"
    before = fit(low, at) if len(low) < at else " " * at
    rest = cells - at - len(sign)
    if rest < 0:
        return [(before, "dim"), (fit("▲", cells - at), "good")]
    after = fit(high, rest, "right") if cell_len(high) < rest else " " * rest
    return [(before, "dim"), (sign, "good"), (after, "dim")]


def waterfall(terms: Sequence[tuple[str, int, bool]], width: int) -> list[Line]:
    """What is left of a gross, term by term: name, dollars, and a bar from where the last one ended.

    A term is (name, micros, whether it is a sum). A sum's bar starts at the zero line and is full, that of a
    step is shaded and starts at what was left so far. Only the last sum is green where it is a profit: a
    gross is none. Lines are exactly `width` wide; without room for bars only the numbers stand there.
    """
    if not terms or width <= 0:
        return []
    terms = to_cents(terms)
    names = min(max(cell_len(name) for name, _, _ in terms), max(1, width // 3))
    money = max(len(usd_text(micros, sign=True)) for _, micros, _ in terms)
    cells = width - names - money - 3
    reached, spans = 0, []
    for _, micros, is_sum in terms:
        start = 0 if is_sum else reached
        reached = start + micros
        spans.append((start, reached))
    low, high = min(0, *map(min, spans)), max(0, *map(max, spans))
    lines: list[Line] = []
    for at, ((name, micros, is_sum), (start, end)) in enumerate(zip(terms, spans, strict=True)):
        role = term_role(micros, last=at == len(terms) - 1)
        head = f"{fit(name, names)} {fit(usd_text(micros, sign=True), money, 'right')}"
        line: Line = [(fit(head, min(width, names + money + 1)), role)]
        if cells >= _MIN_BAR:
            line.append(("  ", "plain"))
            line += _floating(start, end, low, high, cells, FULL if is_sum else SHADED, role)
        lines.append(_filled(line, width))
    return lines


def to_cents(terms: Sequence[tuple[str, int, bool]]) -> list[tuple[str, int, bool]]:
    """The terms of a waterfall in whole cents that add up: each step is what was left before it less what is
    left after it, both rounded as `usd_text` does, so it is less than a cent from its own value.
    """
    rounded, exact, shown = [], 0, 0
    for name, micros, is_sum in terms:
        exact = micros if is_sum else exact + micros
        left = int(to_decimal(exact, 4).quantize(Decimal(1))) * 10**4
        rounded.append((name, left if is_sum else left - shown, is_sum))
        shown = left
    return rounded


def term_role(micros: int, *, last: bool) -> str:
    """The colour of a waterfall's term: green for what is left at the end alone."""
    if micros > 0:
        return "good" if last else "plain"
    return "bad" if micros < 0 else "dim"


def _floating(start: int, end: int, low: int, high: int, cells: int, sign: str, role: str) -> Line:
    """A bar between two amounts on a scale of `cells`, with the zero line; what is not zero is seen."""
    span = max(1, high - low)
    # One cell is the zero line's own.
    zero = (0 - low) * (cells - 1) // span
    left, right = (round((value - low) * (cells - 1) / span) for value in sorted((start, end)))
    if start != end and left == right:
        left, right = (left - 1, right) if left > zero or right == cells - 1 else (left, right + 1)
    drawn = [" "] * cells
    for at in range(max(0, left), min(cells - 1, right)):
        # Right of the zero line everything stands one cell further.
        drawn[at + (at >= zero)] = sign
    drawn[zero] = "│"
    return [("".join(drawn[:zero]), role), ("│", "dim"), ("".join(drawn[zero + 1 :]), role)]


def _filled(line: Line, width: int) -> Line:
    rest = width - sum(cell_len(text) for text, _ in line)
    spans: list[Span] = [*line, (" " * rest, "plain")] if rest > 0 else line
    return [span for span in spans if span[0]]
