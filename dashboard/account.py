"""Account: what the trader wrote: cash, positions, orders, trades as predicted and as they came, refusals.

In: the trader's segment. Out: the fields of a `Snapshot` that are its. Run by `source` once a tick. Rows that
a restart emptied count as not written yet.
"""

from __future__ import annotations

from typing import TypedDict

from dashboard.attachment import Attachment
from dashboard.event_rows import EventRows
from dashboard.snapshot import PositionView
from pipeline.model import Reason
from shm.records import (
    CALIBRATION,
    CASH,
    DECISION,
    EQUITY,
    EVENT_POSITION,
    FLATTEN,
    KELLY,
    ORDER,
    OUTCOME,
    POSITION,
    SUMMARY,
    CalibrationRow,
    CashRow,
    DecisionRow,
    EquityRow,
    FlattenRow,
    KellyRow,
    OrderRow,
    OutcomeRow,
    PositionRow,
    SummaryRow,
)

DECISIONS = 64
_REFUSED = {reason.counter: int(reason) for reason in Reason}


class AccountFields(TypedDict):
    """The fields of `Snapshot` that the trader fills, by their names there."""

    decisions: tuple[DecisionRow, ...]
    positions: tuple[PositionView, ...]
    cash: tuple[CashRow, ...]
    orders: tuple[OrderRow, ...]
    outcomes: tuple[OutcomeRow, ...]
    calibration: CalibrationRow | None
    equity: tuple[EquityRow, ...]
    summary: SummaryRow | None
    kelly: KellyRow | None
    refusals: dict[int, int]
    flattens: tuple[FlattenRow, ...]


def account_of(trader: Attachment, rows: EventRows) -> AccountFields:
    """Everything of the trader's; `rows` knows the polarity of each market."""
    summary = trader.first("summary", SUMMARY)
    kelly = trader.first("kelly", KELLY)
    calibration = trader.first("calibration", CALIBRATION)
    return AccountFields(
        decisions=trader.ring("decisions", DECISION)[:DECISIONS],
        positions=_positions(trader, rows),
        cash=tuple(row for _, row in trader.all("cash", CASH)),
        orders=tuple(row for _, row in trader.all("orders", ORDER)),
        outcomes=trader.ring("outcomes", OUTCOME),
        # A row of zeros is what a restart leaves until the trader writes.
        calibration=calibration if calibration is not None and calibration.trades else None,
        equity=trader.ring("equity", EQUITY)[::-1],
        summary=summary if summary is not None and summary.updated_ns else None,
        kelly=kelly if kelly is not None and kelly.computed_wall_ns else None,
        refusals={
            _REFUSED[name]: count for name, count in trader.counters().items() if count and name in _REFUSED
        },
        flattens=trader.ring("flattens", FLATTEN),
    )


def _positions(trader: Attachment, rows: EventRows) -> tuple[PositionView, ...]:
    """What is held, by event; outcomes are turned into the event's YES terms."""
    grouped: dict[str, list[PositionRow]] = {}
    for _, row in trader.all("positions", POSITION):
        if row.units:
            grouped.setdefault(row.event_id, []).append(row)
    totals = {row.event_id: row for _, row in trader.all("events", EVENT_POSITION)}
    return tuple(rows.position(held, totals.get(event)) for event, held in grouped.items())
