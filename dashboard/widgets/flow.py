"""Flow: facts side by side, in as many lines as the width makes of them.

In: groups of spans. Out: lines. Pure. A group is never cut or parted, so that no number stands without its
name or becomes a smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from dashboard.formatting import clean, usd_text
from dashboard.widgets.panel import Line, Span

GAP = "  "


def flow(groups: Sequence[Line], width: int) -> list[Line]:
    """The groups in order, as many a line as fit; one that fits no line has one of its own."""
    lines: list[Line] = []
    used = 0
    for group in groups:
        cells = sum(cell_len(clean(text)) for text, _ in group)
        if lines and used + len(GAP) + cells <= width:
            lines[-1] += [(GAP, "plain"), *group]
            used += len(GAP) + cells
        else:
            lines.append(list(group))
            used = cells
    return lines


def fact(name: str, value: str, role: str = "plain", more: str = "") -> Line:
    """A name, what is so called, and a word about it."""
    group: Line = [(f"{name} ", "dim"), (value, role)]
    return [*group, (f" {more}", "dim")] if more else group


def signed_usd(micros: int) -> Span:
    """Money with its sign and the role of its colour; what is less than half a cent has neither."""
    text = usd_text(micros, sign=True)
    return text, {"+": "good", "-": "bad"}.get(text[0], "plain")
