"""Why decisions: what the trader made of an event last, and what it refuses most.

In: the trader's segment and its log of decisions. Out: plain values. Used by `why`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashboard.reasons import limit_keys, reason_sentence
from pipeline.cli.why_facts import Memory
from pipeline.clock import moment_text
from pipeline.decision_log import DECISIONS_FILE, DecisionLogError, read_decisions
from pipeline.model import Action, to_text
from pipeline.status import rejections
from shm import records
from shm.tables import TableReader, read_counters, read_ring

SHOWN = 5


def decision_facts(memory: Memory, event_id: str) -> dict[str, Any]:
    """The last decisions on the event, newest first, and the trader's own state."""
    trader = memory.views.get("trader")
    if trader is None:
        return {"trader": None, "decisions": [], "trader_refusals": {}, "log_problem": None}
    ring = [row for row in read_ring(trader, "decisions", records.DECISION) if row.event_id == event_id]
    decisions = [decision(row._asdict()) for row in ring[:SHOWN]]
    problem = None
    if not decisions:
        # The ring is short and of all events: the log remembers longer.
        decisions, problem = _logged(Path(memory.config.data_directory) / DECISIONS_FILE, event_id)
    summary = TableReader(trader, "summary", records.SUMMARY).get(0)
    kelly = TableReader(trader, "kelly", records.KELLY).get(0)
    return {
        "trader": _trader(summary, kelly) if summary is not None else None,
        "decisions": decisions,
        "trader_refusals": rejections(read_counters(trader)),
        "log_problem": problem,
    }


def decision(row: Mapping[str, Any]) -> dict[str, Any]:
    """One decision as text."""
    action = row["action"]
    known = action in Action.__members__.values()
    return {
        "at": moment_text(row["wall_ns"]),
        "direction": row["direction"],
        # The log may be older than these two.
        "kind": row.get("kind", ""),
        "mode": row.get("mode", ""),
        "action": Action(action).name.lower() if known else str(action),
        "sentence": reason_sentence(row["reason"], row["value_micros"], row["limit_micros"]),
        "keys": list(limit_keys(row["reason"])),
        "edge_bp": row["edge_bp"],
        "last_look_bp": row["last_look_bp"],
        "size": to_text(row["size_units"], row["size_decimals"]),
        "net": to_text(row["net_micros"], 6),
        "cash": to_text(row["cash_micros"], 6),
    }


def _trader(row: records.SummaryRow, kelly: records.KellyRow | None) -> dict[str, Any]:
    """What holds for every event."""
    return {
        "halted": bool(row.halted),
        "halt_cause": row.halt_cause,
        "resolving": row.resolving,
        "unhedged": row.unhedged,
        "exposure": to_text(row.exposure_micros, 6),
        "day_pnl": to_text(row.day_pnl_micros, 6),
        "consecutive_losses": row.consecutive_losses,
        "kelly_usd": to_text(kelly.recommended_micros if kelly is not None else 0, 6),
    }


def _logged(path: Path, event_id: str) -> tuple[list[dict[str, Any]], str | None]:
    """The last decisions in the log, newest first, and what is wrong with it."""
    if not path.exists():
        return [], None
    try:
        rows = read_decisions(path, event_id=event_id, last=SHOWN)
        return [decision(row) for row in reversed(rows)], None
    except DecisionLogError as error:
        # The file is the trader's and may be damaged or of another version; memory has said the rest.
        return [], str(error)
