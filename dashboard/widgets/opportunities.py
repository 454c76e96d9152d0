"""Opportunities: the last ten, with what became of each and why.

In: a snapshot. Out: a line each, newest first. Pure.
"""

from __future__ import annotations

from rich.cells import cell_len

from dashboard.event_rows import PAIR_KINDS
from dashboard.formatting import arrow, bp_text, clean, clock_text, fit, usd_text
from dashboard.reasons import reason_sentence
from dashboard.snapshot import Snapshot
from dashboard.widgets.panel import Line, Span
from pipeline.model import Action, Confidence
from shm.records import DecisionRow

_ACTIONS: dict[int, Span] = {
    Action.DETECTED: ("detected", "plain"),
    Action.APPROVED: ("approved", "info"),
    Action.EXECUTED: ("executed", "good"),
    Action.REJECTED: ("rejected", "bad"),
    Action.UNHEDGED: ("UNHEDGED", "bad"),
    Action.UNWOUND: ("unwound", "fair"),
    Action.WITHDRAWN: ("untaken", "dim"),
}
_CONFIDENCE: dict[int, Span] = {
    Confidence.HIGH: ("high", "strong"),
    Confidence.MEDIUM: ("med", "plain"),
    Confidence.LOW: ("low", "dim"),
}
# Kinds that are too long for their column.
_KINDS = {"complement": "compl", "implication": "impl"}
MONEY = 8
DEAL = 6
# time, direction, edge, confidence, action, and the gaps between all columns
_FIXED = 8 + DEAL + 6 + 4 + 8 + 6


def draw_opportunities(snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
    """Time, event, direction, edge in bp, confidence, action, and its size and result or reason."""
    if not snapshot.decisions:
        return [[("none yet: they appear when an edge is worth a look", "dim")]]
    longest = max(cell_len(clean(row.event_id)) for row in snapshot.decisions)
    event_cells = min(max(longest, 8), (width - _FIXED) // 2)
    rest = width - _FIXED - event_cells
    return [_decision(row, snapshot, event_cells, rest) for row in snapshot.decisions]


def _decision(row: DecisionRow, snapshot: Snapshot, event_cells: int, rest: int) -> Line:
    """One decision."""
    action, role = _ACTIONS.get(row.action, ("?", "bad"))
    word, weight = _CONFIDENCE.get(row.confidence, ("?", "dim"))
    # What was not traded has no size worth showing, and its reason needs the room.
    sized = row.cash_micros and row.action != Action.REJECTED
    money = fit(usd_text(row.cash_micros), MONEY, "right") + " " if sized else ""
    return [
        (clock_text(row.wall_ns), "dim"),
        (f" {fit(row.event_id, event_cells)} ", "plain"),
        (fit(_deal(row, snapshot), DEAL), "plain"),
        (fit(bp_text(row.edge_bp), 6, "right") + " ", "plain"),
        (fit(word, 4) + " ", weight),
        (fit(action, 8) + " ", role),
        (money, "plain"),
        (fit(_result(row), rest - len(money)), role if role == "bad" else "plain"),
    ]


def _deal(row: DecisionRow, snapshot: Snapshot) -> str:
    """The direction of a pair, and of anything else its kind."""
    kind = snapshot.kinds.get((row.event_id, row.direction), "")
    return arrow(row.buy_venue, row.sell_venue) if kind in {"", *PAIR_KINDS} else _KINDS.get(kind, kind)


def _result(row: DecisionRow) -> str:
    """What came of it: the profit and the time it took, or why not."""
    if row.action == Action.EXECUTED or (row.action == Action.UNWOUND and not row.reason):
        start_ns = row.socket_ns or row.scan_ns
        took = f" {(row.fill_ns - start_ns) / 1e6:.0f} ms" if row.fill_ns and start_ns else ""
        return f"{usd_text(row.net_micros, sign=True)}{took}"
    return reason_sentence(row.reason, row.value_micros, row.limit_micros)
