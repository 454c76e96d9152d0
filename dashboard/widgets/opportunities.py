"""Opportunities: decisions in a line each, for the Live tab (the last ten) and the event's own screen.

In: a snapshot. Out: a line each, newest first. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from dashboard.formatting import bp_text, clean, clock_text, fit, usd_text
from dashboard.snapshot import Snapshot
from dashboard.widgets.decision_words import action_word, confidence_word, deal_word, result_text
from dashboard.widgets.panel import Line
from pipeline.model import Action
from shm.records import DecisionRow

MONEY = 8
SHOWN = 10
# time, confidence, action, and the gaps between all columns
_FIXED = 8 + 4 + 8 + 6


def draw_opportunities(snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
    """Time, event, direction, edge in bp, confidence, action, and its size and result or reason."""
    if not snapshot.decisions:
        return [[("none yet: they appear when an edge is worth a look", "dim")]]
    return decision_lines(snapshot.decisions[:SHOWN], snapshot, width)


def decision_lines(
    rows: Sequence[DecisionRow], snapshot: Snapshot, width: int, *, named: bool = True
) -> list[Line]:
    """A line each, their columns as wide as these rows need; without the event where not `named`."""
    if not rows:
        return []
    deals = [deal_word(row, snapshot) for row in rows]
    edges = [bp_text(row.edge_bp) for row in rows]
    deal_cells, edge_cells = max(map(cell_len, deals)), max(map(len, edges))
    fixed = _FIXED + deal_cells + edge_cells
    longest = max(cell_len(clean(row.event_id)) for row in rows)
    event_cells = min(max(longest, 8), (width - fixed) // 2) if named else 0
    rest = width - fixed - event_cells
    lines: list[Line] = []
    for row, deal, edge in zip(rows, deals, edges, strict=True):
        name = f" {fit(row.event_id, event_cells)} " if named else " "
        how = f"{fit(deal, deal_cells)} {fit(edge, edge_cells, 'right')} "
        lines.append([(clock_text(row.wall_ns), "dim"), (name + how, "plain"), *_outcome(row, rest)])
    return lines


def _outcome(row: DecisionRow, rest: int) -> Line:
    """Confidence and action, then money and result in `rest` cells."""
    action, role = action_word(row)
    word, weight = confidence_word(row)
    # What was not traded has no size worth showing, and its reason needs the room.
    sized = row.cash_micros and row.action != Action.REJECTED
    money = fit(usd_text(row.cash_micros), MONEY, "right") + " " if sized else ""
    return [
        (fit(word, 4) + " ", weight),
        (fit(action, 8) + " ", role),
        (money, "plain"),
        (fit(result_text(row), rest - len(money)), role if role == "bad" else "plain"),
    ]
