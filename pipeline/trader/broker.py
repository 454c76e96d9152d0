"""Broker: the port through which orders leave and events come back.

In: `Approved` orders, and only those: the type is the proof that the risk gate (or, for hedges, the rules
of repair) passed them and that their intents were committed. Out: order events, later, from `poll`; never
from `submit`. Implemented by `paper`; live brokers come behind the same methods and the same contract tests.

What a broker reports may come twice, late, or never. Fills have ids, so twice is harmless; what never
comes is asked for. An order is never sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Protocol

from pipeline.model import FeeSchedule, Reason
from pipeline.model_events import OrderLeg


class OrderStatus(IntEnum):
    """What a broker says of an order. FILLED, CANCELLED and REJECTED are final.

    NOT_FOUND answers a question: the venue knows no such order now. It may still be on its way.
    """

    ACCEPTED = 1
    PARTIAL = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5
    NOT_FOUND = 8


class Style(StrEnum):
    """How an order stands at its venue: what is not filled at once ends, or it rests and never takes."""

    IOC = "ioc"
    MAKER = "maker"


class Purpose(StrEnum):
    """What an order is for. OPEN and CLOSE take both legs; QUOTE rests for one; HEDGE completes a pair of
    which one leg is filled; UNWIND sells that leg back.
    """

    OPEN = "open"
    CLOSE = "close"
    QUOTE = "quote"
    HEDGE = "hedge"
    UNWIND = "unwind"


REPAIRS = frozenset({Purpose.HEDGE, Purpose.UNWIND})


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """One order to be sent, as committed to the journal. `order_id` is `trade-number`, for ever.

    `leg` is the leg of the trade, 0 or 1, that it fills (or, for UNWIND, takes back). The venue refuses it
    when it arrives after `deadline_ns`, and ends a resting one at `expires_ns` (both CLOCK_MONOTONIC of
    this machine; 0: never). `fee` is the schedule for its style: a maker's for MAKER.
    """

    order_id: str
    order: OrderLeg
    fee: FeeSchedule
    leg: int
    purpose: Purpose = Purpose.OPEN
    style: Style = Style.IOC
    deadline_ns: int = 0
    expires_ns: int = 0


@dataclass(frozen=True, slots=True)
class Approved:
    """Orders of one trade that may be sent. Made by `risk.approve` and `risk.approve_repair` alone.

    Two of equal size for a pair that is taken; one for a quote, a first leg, a hedge or an unwind.
    """

    trade_id: str
    event_id: str
    intents: tuple[OrderIntent, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A trade that did not pass: the check that failed, its number and its limit."""

    reason: Reason
    value: Decimal
    limit: Decimal


@dataclass(frozen=True, slots=True)
class OrderFill:
    """One execution, in book terms; `price_ticks` is the book's, `fee` dollars.

    `maker` is a fill of a quote that rested. A `provisional` one may still fail (Polymarket: MATCHED is
    not CONFIRMED); the broker says later which it was.
    """

    fill_id: str
    price_ticks: int
    size_units: int
    fee: Decimal
    maker: bool = False
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What a broker reports about one order: its status, and fills (all so far, or those that are new).

    `confirmed` and `failed` are ids of fills that were provisional. `matched_units` is the sum of all fills
    so far, -1 where the broker does not say: fills that never came are missed by it. `evidence` is what
    the fills were made from (paper). `at_ns` is CLOCK_MONOTONIC.
    """

    order_id: str
    status: OrderStatus
    at_ns: int
    fills: tuple[OrderFill, ...] = ()
    confirmed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    why: str = ""
    matched_units: int = -1
    evidence: Mapping[str, object] = field(default_factory=dict)


Place = tuple[str, str, str]
"""Venue, market, outcome: where a position is."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the venues say that the account has: an answer to the question `look`.

    `amounts` are bought less sold at the places that were asked for, `fills` counts those of all places
    since `born_wall_ns` (wall clock), when their record began; failed ones never happened.
    """

    look: int
    born_wall_ns: int
    fills: int
    amounts: Mapping[Place, Decimal]


class Broker(Protocol):
    """Sends approved orders and reports what became of them. No method waits for a venue."""

    def submit(self, approved: Approved, now_ns: int) -> None:
        """Take orders for sending; returns at once and never reports a fill."""
        ...

    def cancel(self, order_id: str, now_ns: int) -> None:
        """Ask for an order's end; its last event says what became of it. A filled order stays filled."""
        ...

    def cancel_all(self, now_ns: int) -> None:
        """Ask for the end of everything that rests for this account at any venue, known to us or not."""
        ...

    def ask(self, order_ids: Sequence[str], now_ns: int) -> None:
        """Ask what became of orders; each is answered by an event with all its fills, or NOT_FOUND."""
        ...

    def ask_holdings(self, look: int, places: Sequence[Place], now_ns: int) -> int:
        """Ask what the account has at these places; in how many answers it will come."""
        ...

    def holdings(self) -> list[Holdings]:
        """Answers to that since the last call; `poll` takes them in."""
        ...

    def poll(self, now_ns: int) -> list[OrderEvent]:
        """Events since the last poll, in order."""
        ...

    def reachable(self, now_ns: int) -> bool:
        """Whether the venues' side answered lately: where not, nothing new is sent."""
        ...
