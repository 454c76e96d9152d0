"""Trade steps: what a trade may ask its executor to do, and how long it waits for what.

In: nothing. Out: frozen values. Pure; made by `trade.Trade.step`, done by the executor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from pipeline.trader.plan import TradePlan


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
