"""Trade steps: what a trade may ask its executor to do, and how long it waits for what.

In: [trader] of the config. Out: frozen values. Pure; made by `trade.Trade.step`, done by the executor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from pipeline.config import TraderConfig
from pipeline.trader.plan import TradePlan

MS_NS = 1_000_000
SECOND_NS = 1_000_000_000
ANSWER_NS = 500 * MS_NS
"""Without any report for so long beyond its latency, an order is UNKNOWN and asked for."""
ASK_EVERY_NS = 100 * MS_NS
BOOKING_NS = 250 * MS_NS
"""How long after its deadline a venue may take until it knows an order."""
RETRY_NS = SECOND_NS


@dataclass(frozen=True, slots=True)
class Excess:
    """The leg that holds more than the other, and by how many shares or coins."""

    leg: int
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Timing:
    """How long is waited, in ns, and what is too small to mend.

    `answer_ns`: without any report for so long, an order is UNKNOWN. `ask_every_ns`: it is asked for, or
    cancelled, no more often. `booking_ns`: after its deadline, how long a venue may take until it can be
    asked for. `hedge_ns`: an excess or an UNKNOWN order that lasts so long is an alarm; after it a repair
    is tried every `retry_ns`, and provisional fills are asked for as often. `dust(plan, leg, quantity)`:
    whether an excess of `leg` is so small that it stays.
    """

    answer_ns: int
    ask_every_ns: int
    booking_ns: int
    hedge_ns: int
    retry_ns: int
    dust: Callable[[TradePlan, int, Decimal], bool]

    @classmethod
    def of(cls, trader: TraderConfig, dust: Callable[[TradePlan, int, Decimal], bool]) -> Timing:
        """The times that follow from the latencies of the config."""
        latency_ns = max(trader.paper_latency_ms * 2, trader.paper_latency_p95_ms) * MS_NS
        return cls(
            answer_ns=ANSWER_NS + 2 * latency_ns,
            ask_every_ns=ASK_EVERY_NS,
            booking_ns=BOOKING_NS + trader.paper_booking_ms * MS_NS,
            hedge_ns=round(trader.hedge_seconds * SECOND_NS),
            retry_ns=RETRY_NS,
            dust=dust,
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now."""


@dataclass(frozen=True, slots=True)
class SendSecond:
    """The first leg is known: send `leg` for `quantity`. Said once; what is not sent then is repaired."""

    leg: int
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Repair:
    """`leg` holds `quantity` more than the other: complete the other leg or take this one back."""

    leg: int
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the broker what became of these orders."""

    order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The venue never knew these orders and takes them no more: book them NOT_SENT and mark them so."""

    order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CancelQuote:
    """Ask for the end of these quotes."""

    order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alarm:
    """Since `since_ns` nobody could mend this: `leg` holds `quantity` more, or has an UNKNOWN order of it."""

    leg: int
    quantity: Decimal
    since_ns: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing is open, nothing can fail any more."""


Step = Wait | SendSecond | Repair | Ask | GiveUp | CancelQuote | Alarm | Ended

WAIT, ENDED = Wait(), Ended()
