"""Beside: blocks of lines next to each other, or below each other where there is no room.

In: blocks of lines. Out: lines. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from dashboard.formatting import clean, fit
from dashboard.widgets.panel import Line

GAP = "  "


def column_width(count: int, width: int, least: int) -> int:
    """How wide each of `count` blocks is; the whole width where they would be narrower than `least`."""
    cells = (width - len(GAP) * (count - 1)) // max(1, count)
    return cells if cells >= least else width


def beside(blocks: Sequence[Sequence[Line]], cells: int, width: int) -> list[Line]:
    """The blocks, each `cells` wide: in as many columns as `width` has room for."""
    columns = max(1, (width + len(GAP)) // (cells + len(GAP)))
    lines: list[Line] = []
    for first in range(0, len(blocks), columns):
        row = blocks[first : first + columns]
        for at in range(max(map(len, row), default=0)):
            line: Line = []
            for number, block in enumerate(row):
                part = cut(block[at] if at < len(block) else [], cells)
                line += [(GAP, "plain"), *part] if number else part
            lines.append(line)
    return lines


def cut(line: Line, cells: int) -> Line:
    """The line in exactly `cells`; what is cut ends in "…"."""
    kept: Line = []
    left = cells
    for text, role in line:
        text = clean(text)  # noqa: PLW2901 - as it will be drawn
        wide = cell_len(text)
        if wide > left:
            return [*kept, (fit(text, left), role)] if left else kept
        kept.append((text, role))
        left -= wide
    return [*kept, (" " * left, "plain")] if left else kept
