"""Decisions: the Opportunities tab: the rows of the last decisions, and what the trader made of all it saw.

In: a snapshot. Out: rows of a table, lines. Pure. A decision is named by its number, which no other has.
"""

from __future__ import annotations

from rich.cells import cell_len

from dashboard.charts import histogram
from dashboard.formatting import (
    axis_usd_text,
    bp_text,
    clean,
    count_text,
    millis_text,
    percent_text,
    stamp_text,
    usd_text,
)
from dashboard.reasons import reason_plain
from dashboard.snapshot import Snapshot
from dashboard.widgets.beside import cut
from dashboard.widgets.decision_words import action_word, confidence_word, deal_word, result_text
from dashboard.widgets.flow import fact, flow
from dashboard.widgets.panel import Line, Span
from dashboard.widgets.table import ALL, Column, Table
from pipeline.model import Action
from shm.records import DecisionRow

HOUR_NS = 3_600 * 10**9
RING = 64
"""So many outcomes of trades are kept: as many within an hour may be more."""
_PPM = 1_000_000
_SHORTEST_ID, _LEAST_ID = 8, 16


def decision_rows(snapshot: Snapshot, width: int) -> Table[DecisionRow]:
    """The decisions, newest first, for a grid of so many cells."""
    if snapshot.trader_alive or snapshot.summary is not None:
        nothing = "No decision yet: they appear when an edge is worth a look."
    else:
        nothing = "No decision yet: no trader runs."
    return Table(snapshot.decisions, _columns(snapshot, width), lambda row: str(row.sequence), nothing)


def _columns(snapshot: Snapshot, width: int) -> tuple[Column[DecisionRow], ...]:
    longest = max((cell_len(clean(row.event_id)) for row in snapshot.decisions), default=0)
    event = max(_SHORTEST_ID, min(longest, max(_LEAST_ID, width // 5)))
    return (
        Column("TIME", 12, lambda row: (stamp_text(row.wall_ns), "dim"), lambda row: row.wall_ns),
        Column("EVENT", event, lambda row: (row.event_id, "plain"), lambda row: row.event_id),
        Column("DIR", 6, lambda row: (deal_word(row, snapshot), "plain"),
               lambda row: deal_word(row, snapshot), spare=1),
        Column("EDGE", 6, lambda row: (bp_text(row.edge_bp), "plain"), lambda row: row.edge_bp, True),
        Column("CONF", 5, confidence_word, lambda row: row.confidence, spare=3),
        Column("SIZE", 9, _size, lambda row: row.cash_micros or None, True, spare=2),
        Column("ACTION", 8, action_word, lambda row: action_word(row)[0].casefold()),
        Column("REASON / RESULT", 20, _result, result_text, grows=ALL),
        Column("SCAN→ACT", 8, lambda row: (_acted(row), "dim"), _act_ns, True, spare=4),
    )  # fmt: skip


def _size(row: DecisionRow) -> Span:
    """What it took; what a refused one would have taken stands in brackets, cut."""
    if not row.cash_micros:
        return "-", "dim"
    if row.action == Action.REJECTED:
        return f"({axis_usd_text(row.cash_micros).removeprefix('+')})", "dim"
    return usd_text(row.cash_micros), "plain"


def _result(row: DecisionRow) -> Span:
    """Why not, or what came of it."""
    return result_text(row), "bad" if row.action in (Action.REJECTED, Action.UNHEDGED) else "plain"


def _act_ns(row: DecisionRow) -> int | None:
    """From the scan to the last thing that was done."""
    acted = row.fill_ns or row.order_ns or row.decide_ns
    return acted - row.scan_ns if acted and row.scan_ns else None


def _acted(row: DecisionRow) -> str:
    took = _act_ns(row)
    return "-" if took is None else f"{millis_text(took)} ms"


# -- all of them ------------------------------------------------------------------------------------------


def draw_tally(snapshot: Snapshot, width: int, compact: bool) -> list[Line]:
    """How much was approved, executed and refused and why, and how often a trade comes."""
    total = snapshot.summary
    if total is None:
        return [[("no trader yet", "dim")]]
    seen = total.opportunities
    refused = count_text(total.rejected)
    groups = [
        fact("approved", count_text(total.approved), "info",
             f"of {count_text(seen)} opportunities{_share(total.approved, seen)}"),
        fact("executed", count_text(total.executed), "good", _share(total.executed, seen).strip()),
        fact("trades an hour", _hourly(snapshot)),
        fact("refused", refused, "bad" if total.rejected else "plain", "times"),
    ]  # fmt: skip
    ranked = sorted(snapshot.refusals.items(), key=lambda one: (-one[1], one[0]))
    groups += [[(f"{reason_plain(reason)} ", "dim"), (count_text(n), "plain")] for reason, n in ranked]
    lines = [cut(line, width) for line in flow(groups, width)]
    return lines[:2] if compact else lines


def _share(part: int, whole: int) -> str:
    return f" ({percent_text(part * _PPM // whole, 0)})" if whole else ""


def _hourly(snapshot: Snapshot) -> str:
    """How many trades ended within the last hour; where that is more than are kept, about as many."""
    ended = [row.wall_ns for row in snapshot.outcomes if row.wall_ns > snapshot.wall_ns - HOUR_NS]
    if len(ended) < RING:
        return str(len(ended))
    pace = len(ended) * HOUR_NS // max(1, snapshot.wall_ns - min(ended))
    return f"~{count_text(pace)}"


def spread_title(snapshot: Snapshot) -> str:
    """Which edges these are."""
    count = len(snapshot.decisions)
    return f"Edges of the last {count}" if count else "Edges"


def draw_edges(snapshot: Snapshot, width: int, height: int) -> list[Line]:
    """How often which edge was decided on; from the mark on it is large enough (risk.min_edge_bp)."""
    edges = [row.edge_bp for row in snapshot.decisions]
    mark = snapshot.limits.edge_bp if snapshot.limits is not None else None
    return histogram(edges, width, height, mark=mark, unit="bp")
