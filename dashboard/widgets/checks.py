"""Checks: the questions that a decision went through, in their order, and how far it came.

In: a `DecisionRow`. Out: each check as passed, failed or not reached. Pure; drawn by `why`. The order is
that of the trader: what has arrived, `pipeline.pairs_checks` at its last look, `pipeline.trader.risk_checks`.
A test compares them, for the dashboard does not load the trader.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from pipeline.model import Action, Reason
from shm.records import DecisionRow

FLATTEN = "flatten"
"""`DecisionRow.mode` of what a person had sold: it passes every limit."""


class Came(Enum):
    """How far a decision came with one check."""

    PASSED = "✓"
    FAILED = "✗"
    UNREACHED = "–"


class Check(NamedTuple):
    """A check: what is good when it passes, and the reason that it gives when it does not."""

    word: str
    reason: Reason


class Stage(NamedTuple):
    """Checks that are asked together."""

    name: str
    checks: tuple[Check, ...]


def _stage(name: str, **checks: str) -> Stage:
    """A stage of `REASON="word"`s."""
    return Stage(name, tuple(Check(word, Reason[reason]) for reason, word in checks.items()))


ARRIVED = _stage("arrived", EXPIRED="in time", WATCH_ONLY="for trade", COOLDOWN="not just closed")
BOOKS = _stage(
    "books",
    BOOK_MISSING="known",
    BOOK_EMPTY="filled",
    BOOK_GAP="no gap",
    BOOK_DEAD="feed alive",
    BOOK_STALE="venue speaks",
    BOOK_QUIET="not quiet",
    BOOK_CROSSED="not crossed",
    ONE_SIDED="both sides",
    NOT_TRADABLE="tradable",
    NOT_LISTED="listed",
    MARKET_CLOSED="open",
    FEE_UNKNOWN="fees known",
    NOT_REVIEWED="reviewed",
    RULES_CHANGED="same rules",
    CLOSE_TIMES="close together",
    HIDDEN_OUTCOME="all outcomes",
    BOOK_TOO_OLD="young",
    LEG_SKEW="of one moment",
)
LOOK = _stage(
    "last look",
    BELOW_MINIMUM="size",
    NO_EDGE="an edge",
    EDGE_TOO_SMALL="edge",
    PROFIT_TOO_SMALL="profit",
    MISMATCH="mismatch",
    BELOW_HURDLE="hurdle",
    VOID_PAYOFF="void",
)
GATE = _stage(
    "gate",
    HALTED="no halt",
    NOT_ARMED="armed",
    NO_SUPERVISOR="supervised",
    JOURNAL="journal",
    UNRESOLVED="all resolved",
    OTHER_MODE="mode",
    EXPIRED="in time",
    UNHEDGED_LEG="hedged",
    NET_EXPOSURE="net",
    TOO_MANY_LEGS="two legs",
    MARKET_CLOSED="open",
    NOT_REVIEWED="reviewed",
    FEE_UNKNOWN="fees",
    DUPLICATE="alone",
    COOLDOWN="cooled",
    ORDERS_PER_SECOND="orders/s",
    ORDERS_PER_MINUTE="orders/min",
    TRADES_PER_HOUR="trades/h",
    OPEN_ORDERS="open orders",
    BOOK_TOO_OLD="young",
    LEG_SKEW="skew",
    RACE_LOST="race",
    DAILY_LOSS="day loss",
    CONSECUTIVE_LOSSES="losses",
)
ORDERS = _stage(
    "orders",
    NO_EDGE="an edge",
    EDGE_TOO_SMALL="edge",
    PROFIT_TOO_SMALL="profit",
    MISMATCH="mismatch",
    BELOW_HURDLE="hurdle",
    NOT_TRADABLE="price",
    PRICE_COLLAR="collar",
    OFF_GRID="grid",
    BELOW_MINIMUM="minimum",
)
SIZES = _stage(
    "size",
    ORDER_SIZE="order",
    MARKET_EXPOSURE="market",
    EVENT_EXPOSURE="event",
    VENUE_EXPOSURE="venue",
    TOTAL_EXPOSURE="total",
    VENUE_CASH="cash",
    INVENTORY="coins",
    KELLY_SIZE="Kelly",
)
STAGES = (ARRIVED, BOOKS, LOOK, GATE, ORDERS, SIZES)
# Where the trader asks Kelly, the look at the books is behind it.
_BEFORE_KELLY, _AFTER_KELLY = STAGES[:3], STAGES[3:]
_OPENED = {Action.APPROVED, Action.EXECUTED, Action.UNWOUND, Action.UNHEDGED, Action.WITHDRAWN}

Asked = list[tuple[Stage, list[tuple[Check, Came]]]]


def checks_of(row: DecisionRow) -> Asked:
    """Every stage with its checks; [] for what a person had sold: it is not asked.

    Of the limits of size the one that leaves least is named: then no more is known of the others, nor of
    whether the orders would have been right at a smaller size. So they count as not reached.
    """
    if row.mode == FLATTEN:
        return []
    if row.intent_ns or row.action in _OPENED:
        return [(stage, [(check, Came.PASSED) for check in stage.checks]) for stage in STAGES]
    failed = _failed(row)
    asked, passing = [], failed is not None
    for stage in STAGES:
        came = []
        for check in stage.checks:
            here = failed == (stage, check)
            passing = passing and not here
            known = passing and not (failed is not None and failed[0] is SIZES and stage in (ORDERS, SIZES))
            came.append((check, Came.FAILED if here else Came.PASSED if known else Came.UNREACHED))
        asked.append((stage, came))
    return asked


def _failed(row: DecisionRow) -> tuple[Stage, Check] | None:
    """The check that refused it; None where none did, or nobody here knows it."""
    if row.action != Action.REJECTED:
        return None
    kelly_asked = bool(row.kelly_ppm or row.wanted_micros)
    first, then = (_AFTER_KELLY, _BEFORE_KELLY) if kelly_asked else (_BEFORE_KELLY, _AFTER_KELLY)
    for stage in (*first, *then):
        for check in stage.checks:
            if check.reason == row.reason:
                return stage, check
    return None
