"""Journal records: what the ledger holds, as frozen values with exact numbers.

In: model values. Out: records of runs, orders, fills, money and switches, and the one text of evidence
that is hashed. Money is exact decimals, sizes and prices are integers on the market's scale; a float
cannot get in. Pure; used by the journal, and by whoever reads or writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from pipeline.model import FeeSchedule, MarketResult, Scale
from pipeline.model_events import OrderLeg
from pipeline.money import money_text

Evidence = Mapping[str, object]

LEDGER_FILE = "ledger.sqlite"
FINAL_STATUSES = ("FILLED", "CANCELLED", "REJECTED", "NOT_SENT")
TURNS = ("HALT", "RESUME")
"""States of a `SwitchRecord` that are turns of the kill switch."""
CONFIRMED, FAILED = "CONFIRMED", "FAILED"
"""What becomes of a provisional fill."""
OPENING = "opening balance"
"""Why the first cash and coins of an account are there."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One start of a trader process and what it was. `account` is whose money its trades move."""

    account: str
    instance: str
    boot_id: str
    epoch: int
    pid: int
    mode: str
    program_version: str
    config_version: int
    config_hash: str


@dataclass(frozen=True, slots=True)
class IntentRecord:
    """One order as it will be sent: the fields of a broker's `OrderIntent`, and what it was decided on.

    `leg` is the leg of the trade that it fills or takes back. `book` is what the last look saw: ladder,
    row, epoch, number, stamps.
    """

    order_id: str
    order: OrderLeg
    fee: FeeSchedule
    leg: int
    purpose: str = "open"
    style: str = "ioc"
    deadline_ns: int = 0
    expires_ns: int = 0
    polarity: str = "same"
    book: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TradeRecord:
    """Why orders of a trade are sent: the opportunity (`run_epoch`, `sequence`), the config, the numbers.

    The first record of a trade has its opening orders and its `plan` (`trader.plan.TradePlan.evidence`);
    later ones, of the same `trade_id`, have the orders that hedge or unwind it, and `edge` says why.
    Read back, a trade is one record with all its intents, and `edge`, `kelly`, `plan` of the first.
    """

    trade_id: str
    run_id: str
    event_id: str
    kind: str
    direction: int
    run_epoch: int
    sequence: int
    config_version: int
    config_hash: str
    program_version: str
    decided_ns: int
    edge: Evidence
    kelly: Evidence
    plan: Evidence
    intents: tuple[IntentRecord, ...]


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """What was reported of an order. `status` names an `OrderState`; `at_ns` is CLOCK_MONOTONIC."""

    order_id: str
    status: str
    at_ns: int
    why: str = ""
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FillRecord:
    """One execution in book terms; `fee` dollars. (venue, fill_id) is unique.

    `evidence` is the book it was made from; `wall_ns` is when the journal booked it.
    """

    venue: str
    fill_id: str
    order_id: str
    trade_id: str
    event_id: str
    market: str
    outcome: str
    action: str
    price_ticks: int
    size_units: int
    scale: Scale
    fee: Decimal
    at_ns: int
    polarity: str = "same"
    maker: bool = False
    provisional: bool = False
    evidence: Evidence = field(default_factory=dict)
    wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class ConfirmationRecord:
    """What became of a provisional fill: `status` is CONFIRMED or FAILED. A failed one never happened."""

    venue: str
    fill_id: str
    status: str
    at_ns: int
    wall_ns: int = 0


def standing(fills: Iterable[FillRecord], confirmations: Iterable[ConfirmationRecord]) -> list[FillRecord]:
    """The fills that happened, or may have: all but those that failed."""
    failed = {(each.venue, each.fill_id) for each in confirmations if each.status == FAILED}
    return [fill for fill in fills if (fill.venue, fill.fill_id) not in failed]


@dataclass(frozen=True, slots=True)
class CashRecord:
    """Money or coins that came to an account or left it other than by trades: `amount` of `market`'s coin
    at `venue`, of dollars where `market` is empty.
    """

    venue: str
    market: str
    amount: Decimal
    why: str
    wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class SwitchRecord:
    """A turn of the kill switch: `state` is HALT or RESUME, `cause` a sentence, `who` a person or a rule.

    Beside them stand people's orders to close an event: FLATTEN when one is begun; then FLAT, or NOT FLAT
    where something is left. Their cause begins with the order's number and the event.
    """

    state: str
    cause: str
    who: str
    wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class SettlementRecord:
    """What a held outcome paid: `payoff` dollars for `units`; `result` is the market's.

    `value` is what one unit of YES paid, between 0 and 1.
    """

    event_id: str
    venue: str
    market: str
    outcome: str
    result: MarketResult
    units: int
    size_decimals: int
    payoff: Decimal
    value: Decimal = Decimal(0)
    wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class Booked:
    """What of some reports was new to the journal, as it stands there now."""

    fills: tuple[FillRecord, ...] = ()
    confirmations: tuple[ConfirmationRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class TradeParts:
    """All that the journal knows of one trade, each part in the order it was booked."""

    trade: TradeRecord
    orders: tuple[OrderRecord, ...]
    fills: tuple[FillRecord, ...]
    confirmations: tuple[ConfirmationRecord, ...]


class RecentTrade(NamedTuple):
    """When (wall clock) orders of a trade were first committed, and on what."""

    wall_ns: int
    event_id: str
    direction: int
    trade_id: str


def exact_text(amount: Decimal) -> str:
    """The plain decimal text of an amount. Raises ValueError for one that is no number."""
    if not amount.is_finite():
        raise ValueError(f"{amount} is no amount, so a journal cannot hold it")
    return money_text(amount)


def canonical(value: object) -> str:
    """The one JSON text of a value. Raises TypeError for a float, or whatever else is not exact."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, int):
        return value
    if isinstance(value, Decimal):
        return exact_text(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no exact text, so a journal cannot hold it")
