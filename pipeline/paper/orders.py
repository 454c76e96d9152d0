"""Orders: what the paper exchange knows of an order, its fills, and the ids that it takes.

In: `PlaceOrder` messages. Out: a `PaperOrder` that the exchange moves on. Pure; used by all of the stage.
Sources of the rules of ids: docs.kraken.com (cl_ord_id is unique among open orders only), docs.kalshi.com
(a repeated client_order_id is a conflict, 409), Polymarket (the id is the order's hash; a repeat is
"Duplicated"), Coinbase Advanced Trade (a repeat returns the first order).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum

from pipeline.fees import is_known
from pipeline.model import FeeKind, FeeSchedule, Scale
from pipeline.model_events import OrderLeg
from pipeline.wire import PlaceOrder

IOC, MAKER = "ioc", "maker"
"""Styles: what is not filled at once ends, or it rests and never takes."""

MAX_NAME = 96
MAX_DECIMALS = 18
MAX_NUMBER = 2**62


class Status(IntEnum):
    """Where an order stands. 1 to 8 are the statuses of `wire.OrderReport`.

    COMING: on its way, the venue does not know it yet. DROPPED: a repeat of an id, which never was an order.
    """

    COMING = 0
    ACCEPTED = 1
    PARTIAL = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5
    NOT_FOUND = 8
    DROPPED = 9


RESTING = frozenset({Status.ACCEPTED, Status.PARTIAL})
FINAL = frozenset({Status.FILLED, Status.CANCELLED, Status.REJECTED, Status.DROPPED})


class FillState(IntEnum):
    """What a fill is worth. A FAILED one never happened."""

    FINAL = 0
    PROVISIONAL = 1
    CONFIRMED = 2
    FAILED = 3


class Ids(Enum):
    """What a venue does with an order whose id it has seen."""

    OPEN = "a new order, unless one of that id is still open"
    FOREVER = "it is refused, always"
    FIRST = "it is answered with the first order"


ID_RULES = {"kraken": Ids.OPEN, "kalshi": Ids.FOREVER, "polymarket": Ids.FOREVER, "coinbase": Ids.FIRST}
UNSTATED_IDS = Ids.OPEN
"""Of venues that state no rule the worst is assumed."""

PROVISIONAL_VENUES = frozenset({"polymarket"})
"""Where a match is final only when the chain has confirmed it."""


@dataclass(slots=True)
class Fill:
    """One execution, in book terms; `fee` in dollars. `evidence` is empty where it is that of the fill
    before. `due_ns` is when a provisional one is confirmed or fails.
    """

    fill_id: str
    price_ticks: int
    size_units: int
    fee: Decimal
    at_ns: int
    maker: bool
    evidence: str
    state: FillState = FillState.FINAL
    due_ns: int = 0


@dataclass(slots=True, eq=False)
class PaperOrder:
    """One order as it was placed, and what became of it. Times are CLOCK_MONOTONIC of the boot `boot`.

    `booking` counts the orders with this id at this venue, from 1. `stored` says that the record knows it,
    `unsaved` names the fills that it does not know as they are.
    """

    serial: int
    account: str
    order_id: str
    leg: OrderLeg
    fee: FeeSchedule
    style: str
    deadline_ns: int
    expires_ns: int
    sent_ns: int
    arrives_ns: int
    boot: str
    booking: int = 1
    arrived_ns: int = 0
    status: Status = Status.COMING
    at_ns: int = 0
    why: str = ""
    fills: list[Fill] = field(default_factory=list)
    stored: bool = False
    unsaved: set[int] = field(default_factory=set)

    @property
    def left_units(self) -> int:
        """Units that are not filled yet."""
        return self.leg.size_units - sum(fill.size_units for fill in self.fills)

    @property
    def is_provisional(self) -> bool:
        """Whether a fill may still fail."""
        return any(fill.state is FillState.PROVISIONAL for fill in self.fills)

    def next_fill_id(self) -> str:
        """The id of the fill after those it has: no other fill ever has it."""
        again = f".{self.booking}" if self.booking > 1 else ""
        return f"{self.order_id}{again}-{len(self.fills)}"


def order_of(message: PlaceOrder, serial: int, arrives_ns: int, boot: str) -> PaperOrder:
    """The order that a message places. Raises ValueError for what no client of ours would send."""
    names = (message.account, message.order_id, message.venue, message.market)
    if not all(0 < len(name) <= MAX_NAME for name in names):
        raise ValueError("a name is empty or too long")
    decimals = message.price_decimals, message.size_decimals
    if not all(0 <= count <= MAX_DECIMALS for count in decimals):
        raise ValueError("decimals beyond the scale")
    times = message.deadline_ns, message.expires_ns, message.sent_ns
    if not all(abs(number) < MAX_NUMBER for number in (message.limit_ticks, message.size_units, *times)):
        raise ValueError("a number beyond its bounds")
    if message.style not in {IOC, MAKER} or message.action not in {"buy", "sell"}:
        raise ValueError("no such style or action")
    if message.outcome not in {"yes", "no", "base"}:
        raise ValueError("no such outcome")
    return PaperOrder(
        serial,
        message.account,
        message.order_id,
        OrderLeg(
            message.venue,
            message.market,
            message.outcome,
            message.action,
            message.limit_ticks,
            message.size_units,
            Scale(*decimals),
        ),
        fee_of(message.fee),
        message.style,
        *times[:2],
        sent_ns=message.sent_ns,
        arrives_ns=arrives_ns,
        boot=boot,
    )


def fee_of(numbers: tuple[int, int, int, int, int, int]) -> FeeSchedule:
    """The schedule of a message. Raises ValueError for a kind or a number that there is not."""
    kind, rate_ppm, maker_rate_ppm, exponent, precision_micros, per_unit_micros = numbers
    schedule = FeeSchedule(
        FeeKind(kind), rate_ppm, maker_rate_ppm, exponent, precision_micros, per_unit_micros
    )
    if max(numbers) >= MAX_NUMBER:
        raise ValueError("a number beyond its bounds")
    if not is_known(schedule):
        raise ValueError("a fee that is not known")
    return schedule


def fee_numbers(schedule: FeeSchedule) -> tuple[int, int, int, int, int, int]:
    """The numbers of a schedule, as a message and the record carry them."""
    return (
        int(schedule.kind),
        schedule.rate_ppm,
        schedule.maker_rate_ppm,
        schedule.exponent,
        schedule.precision_micros,
        schedule.per_unit_micros,
    )
