"""Broker: the port through which orders leave and events come back.

In: `Approved` trades, and only those: the type is the proof that the risk gate passed them and that
their intents were committed. Out: order events, later, from `poll`; never a fill from `submit`.
Implemented by `paper`; live brokers come behind the same two methods and the same contract tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Protocol

from pipeline.model import FeeSchedule, Reason
from pipeline.model_events import OrderLeg


class OrderStatus(IntEnum):
    """What a broker says of an order. FILLED, CANCELLED and REJECTED are final."""

    ACCEPTED = 1
    PARTIAL = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """One leg to be sent, as committed to the journal. `order_id` is `run-opportunity-leg`, for ever."""

    order_id: str
    leg: OrderLeg
    fee: FeeSchedule


@dataclass(frozen=True, slots=True)
class Approved:
    """A trade that passed every check; what a broker accepts. Legs have equal sizes on their own scales."""

    trade_id: str
    event_id: str
    kind: str
    intents: tuple[OrderIntent, OrderIntent]
    edge_bp: int
    net: Decimal
    cash: Decimal


@dataclass(frozen=True, slots=True)
class Refused:
    """A trade that did not pass: the check that failed, its number and its limit."""

    reason: Reason
    value: Decimal
    limit: Decimal


@dataclass(frozen=True, slots=True)
class OrderFill:
    """One execution against one price level, in book terms; `price_ticks` is the book's, `fee` dollars."""

    fill_id: str
    price_ticks: int
    size_units: int
    fee: Decimal


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What a broker reports about one order. `evidence` is what the fills were made from (paper)."""

    order_id: str
    status: OrderStatus
    at_ns: int
    fills: tuple[OrderFill, ...] = ()
    why: str = ""
    evidence: Mapping[str, object] = field(default_factory=dict)


class Broker(Protocol):
    """Sends approved orders and reports what became of them."""

    def submit(self, approved: Approved, now_ns: int) -> None:
        """Take a trade's orders for sending; returns at once and never reports a fill."""
        ...

    def poll(self, now_ns: int) -> list[OrderEvent]:
        """Events since the last poll, in order."""
        ...
