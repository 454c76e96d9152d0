"""Journal records: what the ledger holds, as frozen values, and how each becomes a row and comes
back.

In: model values, exact numbers. Out: dictionaries of integers and text for the journal's tables,
and the tables themselves. Money is decimal text, sizes and prices are integers on the market's
scale; a float cannot get in. Pure; used by the journal, and by whoever reads or writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Any

from pipeline.model import FeeKind, FeeSchedule, MarketResult, Scale
from pipeline.model_events import OrderLeg
from pipeline.money import money_text

Evidence = Mapping[str, object]

LEDGER_FILE = "ledger.sqlite"
FINAL_STATUSES = ("FILLED", "CANCELLED", "REJECTED", "NOT_SENT")

_LEG = (
    "venue TEXT NOT NULL, market TEXT NOT NULL, outcome TEXT NOT NULL, action TEXT NOT NULL,"
    " polarity TEXT NOT NULL, size_units INTEGER NOT NULL, price_decimals INTEGER NOT NULL,"
    " size_decimals INTEGER NOT NULL"
)

CHAINED = {
    "runs": "run_id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, instance TEXT NOT NULL,"
    " boot_id TEXT NOT NULL, epoch INTEGER NOT NULL, pid INTEGER NOT NULL, mode TEXT NOT NULL,"
    " program_version TEXT NOT NULL, config_version INTEGER NOT NULL, config_hash TEXT NOT NULL",
    "intents": "order_id TEXT NOT NULL UNIQUE, trade_id TEXT NOT NULL, leg INTEGER NOT NULL,"
    " run_id TEXT NOT NULL REFERENCES runs(run_id), event_id TEXT NOT NULL, kind TEXT NOT NULL,"
    " direction INTEGER NOT NULL, run_epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " config_version INTEGER NOT NULL, config_hash TEXT NOT NULL, program_version TEXT NOT NULL,"
    f" decided_ns INTEGER NOT NULL, {_LEG}, limit_ticks INTEGER NOT NULL, fee TEXT NOT NULL,"
    " book TEXT NOT NULL, edge TEXT NOT NULL, kelly TEXT NOT NULL, UNIQUE (trade_id, leg)",
    "orders": "order_id TEXT NOT NULL REFERENCES intents(order_id), status TEXT NOT NULL,"
    " at_ns INTEGER NOT NULL, why TEXT NOT NULL, evidence TEXT NOT NULL",
    "fills": "fill_id TEXT NOT NULL, order_id TEXT NOT NULL REFERENCES intents(order_id),"
    f" trade_id TEXT NOT NULL, event_id TEXT NOT NULL, {_LEG}, price_ticks INTEGER NOT NULL,"
    " fee TEXT NOT NULL, at_ns INTEGER NOT NULL, evidence TEXT NOT NULL, UNIQUE (venue, fill_id)",
    "settlements": "account TEXT NOT NULL, event_id TEXT NOT NULL, venue TEXT NOT NULL, market TEXT NOT NULL,"
    " outcome TEXT NOT NULL, result TEXT NOT NULL, units INTEGER NOT NULL,"
    " size_decimals INTEGER NOT NULL, payoff TEXT NOT NULL,"
    " UNIQUE (account, event_id, venue, market, outcome)",
}
_STAMP = "wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL"


def _table(name: str, columns: str) -> str:
    plain, unique, keys = columns.partition(", UNIQUE (")
    return f"CREATE TABLE {name} (seq INTEGER PRIMARY KEY, {plain}, {_STAMP}{unique}{keys})"


SCHEMA = (
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER, hash TEXT)",
    *(_table(name, columns) for name, columns in CHAINED.items()),
    f"CREATE UNIQUE INDEX one_final_status ON orders (order_id) WHERE status IN {FINAL_STATUSES}",
    "CREATE INDEX fills_of_order ON fills (order_id)",
    *(
        f"CREATE TRIGGER {name}_only_grows_{verb} BEFORE {verb} ON {name}"
        f" BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END"
        for name in CHAINED
        for verb in ("UPDATE", "DELETE")
    ),
)


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
    """One leg as it will be sent. `book` is what the last look saw: ladder, row, epoch, number,
    stamps.
    """

    order_id: str
    leg: OrderLeg
    fee: FeeSchedule
    polarity: str = "same"
    book: Evidence = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TradeRecord:
    """Why a trade is made: the opportunity (`run_epoch`, `sequence`), the config, the numbers, both
    legs.
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
    intents: tuple[IntentRecord, IntentRecord]


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
    evidence: Evidence = field(default_factory=dict)
    wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class SettlementRecord:
    """What a held outcome paid: `payoff` dollars for `units`; `result` is the market's."""

    event_id: str
    venue: str
    market: str
    outcome: str
    result: MarketResult
    units: int
    size_decimals: int
    payoff: Decimal
    wall_ns: int = 0


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
        return money_text(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no exact text, so a journal cannot hold it")


def run_row(run_id: str, run: RunRecord) -> dict[str, Any]:
    """The row of a run."""
    return {"run_id": run_id} | {name: getattr(run, name) for name in RunRecord.__slots__}


_TRADE = (
    "trade_id",
    "run_id",
    "event_id",
    "kind",
    "direction",
    "run_epoch",
    "sequence",
    "config_version",
    "config_hash",
    "program_version",
    "decided_ns",
)


def intent_rows(trade: TradeRecord) -> list[dict[str, Any]]:
    """The rows of a trade, one for each leg; what both share stands in both."""
    shared = {name: getattr(trade, name) for name in _TRADE}
    shared |= {"edge": canonical(trade.edge), "kelly": canonical(trade.kelly)}
    return [
        {"order_id": intent.order_id, "leg": number, **shared}
        | _leg_row(intent.leg, intent.polarity)
        | {"limit_ticks": intent.leg.limit_ticks}
        | {"fee": _fee_text(intent.fee), "book": canonical(intent.book)}
        for number, intent in enumerate(trade.intents)
    ]


def trade_of(first: Mapping[str, Any], second: Mapping[str, Any]) -> TradeRecord:
    """The trade whose two rows these are."""
    assert first["trade_id"] == second["trade_id"], "both legs of a trade stand side by side"
    return TradeRecord(
        **{name: first[name] for name in _TRADE},
        edge=json.loads(first["edge"]),
        kelly=json.loads(first["kelly"]),
        intents=(_intent_of(first), _intent_of(second)),
    )


def _intent_of(row: Mapping[str, Any]) -> IntentRecord:
    leg = OrderLeg(
        row["venue"],
        row["market"],
        row["outcome"],
        row["action"],
        row["limit_ticks"],
        row["size_units"],
        Scale(row["price_decimals"], row["size_decimals"]),
    )
    fee = json.loads(row["fee"])
    schedule = FeeSchedule(FeeKind[fee.pop("kind")], **fee)
    return IntentRecord(row["order_id"], leg, schedule, row["polarity"], json.loads(row["book"]))


def _leg_row(leg: OrderLeg | FillRecord, polarity: str) -> dict[str, Any]:
    plain = {name: getattr(leg, name) for name in ("venue", "market", "outcome", "action", "size_units")}
    decimals = {
        "price_decimals": leg.scale.price_decimals,
        "size_decimals": leg.scale.size_decimals,
    }
    return plain | decimals | {"polarity": polarity}


def _fee_text(fee: FeeSchedule) -> str:
    return canonical({name: getattr(fee, name) for name in FeeSchedule.__slots__})


def fill_row(fill: FillRecord) -> dict[str, Any]:
    """The row of a fill, without the journal's stamps."""
    names = ("fill_id", "order_id", "trade_id", "event_id", "price_ticks", "at_ns")
    exact = {"fee": money_text(fill.fee), "evidence": canonical(fill.evidence)}
    return {name: getattr(fill, name) for name in names} | _leg_row(fill, fill.polarity) | exact


def fill_of(row: Mapping[str, Any]) -> FillRecord:
    """The fill whose row this is."""
    exact = {"fee", "evidence", "scale"}
    return FillRecord(
        **{name: row[name] for name in FillRecord.__slots__ if name not in exact},
        scale=Scale(row["price_decimals"], row["size_decimals"]),
        fee=Decimal(row["fee"]),
        evidence=json.loads(row["evidence"]),
    )


def settlement_row(settlement: SettlementRecord) -> dict[str, Any]:
    """The row of a settlement, without the journal's stamps."""
    names = ("event_id", "venue", "market", "outcome", "units", "size_decimals")
    exact = {"result": settlement.result.name, "payoff": money_text(settlement.payoff)}
    return {name: getattr(settlement, name) for name in names} | exact


def settlement_of(row: Mapping[str, Any]) -> SettlementRecord:
    """The settlement whose row this is."""
    return SettlementRecord(
        row["event_id"],
        row["venue"],
        row["market"],
        row["outcome"],
        MarketResult[row["result"]],
        row["units"],
        row["size_decimals"],
        Decimal(row["payoff"]),
        row["wall_ns"],
    )
