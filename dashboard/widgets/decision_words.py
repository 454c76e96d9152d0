"""Decision words: how a decision of the trader is told in few cells, wherever it is shown.

In: a `DecisionRow`. Out: words with their roles. Pure; used by all who show decisions.
"""

from __future__ import annotations

from dashboard.event_layout import PAIR_KINDS
from dashboard.formatting import arrow, usd_text
from dashboard.reasons import reason_sentence
from dashboard.snapshot import Snapshot
from dashboard.widgets.panel import Span
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


def action_word(row: DecisionRow) -> Span:
    """What became of it, in at most 8 cells."""
    return _ACTIONS.get(row.action, ("?", "bad"))


def confidence_word(row: DecisionRow) -> Span:
    """The scanner's grade, in at most 4 cells."""
    return _CONFIDENCE.get(row.confidence, ("?", "dim"))


def deal_word(row: DecisionRow, snapshot: Snapshot) -> str:
    """The direction of a pair, and of anything else its kind, in at most 6 cells."""
    kind = row.kind or snapshot.kinds.get((row.event_id, row.direction), "")
    return arrow(row.buy_venue, row.sell_venue) if kind in {"", *PAIR_KINDS} else _KINDS.get(kind, kind)


def result_text(row: DecisionRow) -> str:
    """What came of it: the profit and the time since the price was received, or why not."""
    if row.action == Action.EXECUTED or (row.action == Action.UNWOUND and not row.reason):
        start_ns = row.socket_ns or row.scan_ns
        took = f" {(row.fill_ns - start_ns) / 1e6:.0f} ms" if row.fill_ns and start_ns else ""
        return f"{usd_text(row.net_micros, sign=True)}{took}"
    return reason_sentence(row.reason, row.value_micros, row.limit_micros)
