"""Journal rows: the tables of the ledger, and how each record becomes a row and comes back.

In: records. Out: dictionaries of integers and text, one a row, and the SQL that makes the tables, of this
version. Pure; used by the journal, its reader and its migration.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from pipeline.journal_records import (
    CONFIRMED,
    FAILED,
    FINAL_STATUSES,
    OPENING,
    CashRecord,
    ConfirmationRecord,
    FillRecord,
    IntentRecord,
    OrderRecord,
    RunRecord,
    SettlementRecord,
    SwitchRecord,
    TradeRecord,
    canonical,
    exact_text,
)
from pipeline.model import FeeKind, FeeSchedule, MarketResult, Scale
from pipeline.model_events import OrderLeg

Row = dict[str, Any]

GENESIS = "0" * 64
"""What the first row of a ledger continues that continues no other."""

_LEG = (
    "venue TEXT NOT NULL, market TEXT NOT NULL, outcome TEXT NOT NULL, action TEXT NOT NULL,"
    " polarity TEXT NOT NULL, size_units INTEGER NOT NULL, price_decimals INTEGER NOT NULL,"
    " size_decimals INTEGER NOT NULL"
)
_STAMP = "wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL"

TABLES = {
    "runs": "run_id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, instance TEXT NOT NULL,"
    " boot_id TEXT NOT NULL, epoch INTEGER NOT NULL, pid INTEGER NOT NULL, mode TEXT NOT NULL,"
    " program_version TEXT NOT NULL, config_version INTEGER NOT NULL, config_hash TEXT NOT NULL",
    "intents": "order_id TEXT NOT NULL UNIQUE, trade_id TEXT NOT NULL, number INTEGER NOT NULL,"
    " leg INTEGER NOT NULL, purpose TEXT NOT NULL, style TEXT NOT NULL, deadline_ns INTEGER NOT NULL,"
    " expires_ns INTEGER NOT NULL, run_id TEXT NOT NULL REFERENCES runs(run_id),"
    " event_id TEXT NOT NULL, kind TEXT NOT NULL, direction INTEGER NOT NULL,"
    " run_epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, config_version INTEGER NOT NULL,"
    " config_hash TEXT NOT NULL, program_version TEXT NOT NULL, decided_ns INTEGER NOT NULL,"
    f" {_LEG}, limit_ticks INTEGER NOT NULL, fee TEXT NOT NULL, book TEXT NOT NULL,"
    " edge TEXT NOT NULL, kelly TEXT NOT NULL, plan TEXT NOT NULL",
    "orders": "order_id TEXT NOT NULL REFERENCES intents(order_id), status TEXT NOT NULL,"
    " at_ns INTEGER NOT NULL, why TEXT NOT NULL, evidence TEXT NOT NULL",
    "fills": "fill_id TEXT NOT NULL, order_id TEXT NOT NULL REFERENCES intents(order_id),"
    f" trade_id TEXT NOT NULL, event_id TEXT NOT NULL, {_LEG}, price_ticks INTEGER NOT NULL,"
    " fee TEXT NOT NULL, at_ns INTEGER NOT NULL, maker INTEGER NOT NULL,"
    " provisional INTEGER NOT NULL, evidence TEXT NOT NULL",
    "confirmations": "venue TEXT NOT NULL, fill_id TEXT NOT NULL,"
    f" status TEXT NOT NULL CHECK (status IN ('{CONFIRMED}', '{FAILED}')), at_ns INTEGER NOT NULL",
    "cash": "account TEXT NOT NULL, venue TEXT NOT NULL, market TEXT NOT NULL, amount TEXT NOT NULL,"
    " why TEXT NOT NULL",
    "settlements": "account TEXT NOT NULL, event_id TEXT NOT NULL, venue TEXT NOT NULL, market TEXT NOT NULL,"
    " outcome TEXT NOT NULL, result TEXT NOT NULL, units INTEGER NOT NULL,"
    " size_decimals INTEGER NOT NULL, payoff TEXT NOT NULL, value TEXT NOT NULL",
    "switches": "account TEXT NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, who TEXT NOT NULL",
}
"""The chained tables and their columns, without number and stamps."""

# What is unique or refers to another table: SQL wants it after the stamps.
_KEYS = {
    "intents": ", UNIQUE (trade_id, number)",
    "fills": ", UNIQUE (venue, fill_id)",
    "confirmations": ", UNIQUE (venue, fill_id),"
    " FOREIGN KEY (venue, fill_id) REFERENCES fills (venue, fill_id)",
    "settlements": ", UNIQUE (account, event_id, venue, market, outcome)",
}

SCHEMA = (
    # `genesis` is what the first row continues: the last hash of the older ledger that this one was made of.
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER, hash TEXT, genesis TEXT)",
    *(
        f"CREATE TABLE {name} (seq INTEGER PRIMARY KEY, {columns}, {_STAMP}{_KEYS.get(name, '')})"
        for name, columns in TABLES.items()
    ),
    f"CREATE UNIQUE INDEX one_final_status ON orders (order_id) WHERE status IN {FINAL_STATUSES}",
    f"CREATE UNIQUE INDEX one_opening ON cash (account, venue, market) WHERE why = '{OPENING}'",
    "CREATE INDEX orders_of_order ON orders (order_id)",
    "CREATE INDEX fills_of_order ON fills (order_id)",
    *(
        f"CREATE TRIGGER {name}_only_grows_{verb} BEFORE {verb} ON {name}"
        f" BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END"
        for name in TABLES
        for verb in ("UPDATE", "DELETE")
    ),
)

_OWN = "account=?"
_RUN = "run_id IN (SELECT run_id FROM runs WHERE account=?)"
_ORDER = f"order_id IN (SELECT order_id FROM intents WHERE {_RUN})"  # noqa: S608
OWNED = {
    "runs": _OWN,
    "intents": _RUN,
    "orders": _ORDER,
    "fills": _ORDER,
    "confirmations": f"(venue, fill_id) IN (SELECT venue, fill_id FROM fills WHERE {_ORDER})",  # noqa: S608
    "cash": _OWN,
    "settlements": _OWN,
    "switches": _OWN,
}
"""Condition for a table's rows of one account: an order is of the account of the run that intended it."""


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
# Four times as fast, and the same text as long as that is plain ASCII.
_QUICK_JSON = msgspec.json.Encoder(order="sorted").encode
_DELETE = b"\x7f"


def cells(row: Mapping[str, object]) -> Row:
    """A row of nothing but integers and text. Raises TypeError for a float or whatever else."""
    return {name: _cell(value) for name, value in row.items()}


def _cell(value: object) -> int | str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"{type(value).__name__} has no exact text, so a journal cannot hold it")


def digest(table: str, row: Mapping[str, object]) -> str:
    """SHA-256 over the row's content, its number and stamps, and the hash before it (`prev`).

    Raises TypeError for bytes.
    """
    content = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(_text([table, content])).hexdigest()


def _text(content: list[Any]) -> bytes:
    """What is hashed: canonical JSON, all but ASCII escaped. Raises TypeError for bytes."""
    if bytes in map(type, content[1].values()):
        # The quick encoder would write them as the text of another row.
        raise TypeError("bytes have no exact text")
    try:
        text = _QUICK_JSON(content)
    except (UnicodeEncodeError, msgspec.MsgspecError):
        return _JSON(content).encode()
    # It leaves as they are what the other escapes: everything beyond ASCII, and its last sign.
    return text if text.isascii() and _DELETE not in text else _JSON(content).encode()


def intact(table: str, row: Mapping[str, object]) -> bool:
    """Whether a row still has the content that was hashed."""
    try:
        return bool(row["hash"] == digest(table, row))
    except TypeError:  # damage turned a column into bytes
        return False


def run_row(run_id: str, run: RunRecord) -> Row:
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
_EVIDENCE = ("edge", "kelly", "plan")
_INTENT = ("order_id", "leg", "purpose", "style", "deadline_ns", "expires_ns")


def intent_rows(trade: TradeRecord) -> list[Row]:
    """The rows of a trade's orders; what they share stands in each."""
    assert trade.intents, "a trade without an order is nothing to write down"
    shared = {name: getattr(trade, name) for name in _TRADE}
    shared |= {name: canonical(getattr(trade, name)) for name in _EVIDENCE}
    return [
        {name: getattr(intent, name) for name in _INTENT}
        | {"number": number_of(trade.trade_id, intent.order_id)}
        | shared
        | _leg_row(intent.order, intent.polarity)
        | {"limit_ticks": intent.order.limit_ticks}
        | {"fee": _fee_text(intent.fee), "book": canonical(intent.book)}
        for intent in trade.intents
    ]


def number_of(trade_id: str, order_id: str) -> int:
    """The number of an order in its trade. Raises ValueError unless the id is `trade_id`-number."""
    before, _, number = order_id.rpartition("-")
    if before != trade_id or not (number.isascii() and number.isdigit()):
        raise ValueError(f"order {order_id} is none of trade {trade_id}: it must be {trade_id}-NUMBER")
    return int(number)


def trade_of(rows: Sequence[Row]) -> TradeRecord:
    """The trade whose rows these are; what they share is told by the first."""
    rows = sorted(rows, key=lambda row: int(row["number"]))
    first = rows[0]
    return TradeRecord(
        **{name: first[name] for name in _TRADE},
        **{name: json.loads(first[name]) for name in _EVIDENCE},
        intents=tuple(_intent_of(row) for row in rows),
    )


def same_commit(one: Row, other: Row) -> bool:
    """Whether two neighbouring rows of intents say that they were decided together."""
    return all(one[name] == other[name] for name in (*_TRADE, *_EVIDENCE))


def _intent_of(row: Mapping[str, Any]) -> IntentRecord:
    order = OrderLeg(
        row["venue"],
        row["market"],
        row["outcome"],
        row["action"],
        row["limit_ticks"],
        row["size_units"],
        Scale(row["price_decimals"], row["size_decimals"]),
    )
    fee = json.loads(row["fee"])
    return IntentRecord(
        **{name: row[name] for name in _INTENT},
        order=order,
        fee=FeeSchedule(FeeKind[fee.pop("kind")], **fee),
        polarity=row["polarity"],
        book=json.loads(row["book"]),
    )


def _leg_row(leg: OrderLeg | FillRecord, polarity: str) -> Row:
    plain = {name: getattr(leg, name) for name in ("venue", "market", "outcome", "action", "size_units")}
    decimals = {"price_decimals": leg.scale.price_decimals, "size_decimals": leg.scale.size_decimals}
    return plain | decimals | {"polarity": polarity}


def _fee_text(fee: FeeSchedule) -> str:
    return canonical({name: getattr(fee, name) for name in FeeSchedule.__slots__})


def order_row(order: OrderRecord) -> Row:
    """The row of an order event."""
    plain = {name: getattr(order, name) for name in ("order_id", "status", "at_ns", "why")}
    return plain | {"evidence": canonical(order.evidence)}


def order_of(row: Mapping[str, Any]) -> OrderRecord:
    """The order event whose row this is."""
    evidence = json.loads(row["evidence"])
    return OrderRecord(row["order_id"], row["status"], row["at_ns"], row["why"], evidence)


def fill_row(fill: FillRecord) -> Row:
    """The row of a fill, without the journal's stamps."""
    names = ("fill_id", "order_id", "trade_id", "event_id", "price_ticks", "at_ns", "maker", "provisional")
    exact = {"fee": exact_text(fill.fee), "evidence": canonical(fill.evidence)}
    return {name: getattr(fill, name) for name in names} | _leg_row(fill, fill.polarity) | exact


def fill_of(row: Mapping[str, Any]) -> FillRecord:
    """The fill whose row this is."""
    exact = {"fee", "evidence", "scale", "maker", "provisional"}
    return FillRecord(
        **{name: row[name] for name in FillRecord.__slots__ if name not in exact},
        scale=Scale(row["price_decimals"], row["size_decimals"]),
        fee=Decimal(row["fee"]),
        maker=bool(row["maker"]),
        provisional=bool(row["provisional"]),
        evidence=json.loads(row["evidence"]),
    )


def confirmation_row(confirmation: ConfirmationRecord) -> Row:
    """The row of a confirmation, without the journal's stamps."""
    return {name: getattr(confirmation, name) for name in ("venue", "fill_id", "status", "at_ns")}


def confirmation_of(row: Mapping[str, Any]) -> ConfirmationRecord:
    """The confirmation whose row this is."""
    return ConfirmationRecord(**{name: row[name] for name in ConfirmationRecord.__slots__})


def cash_row(cash: CashRecord) -> Row:
    """The row of a movement of money or coins, without account and stamps."""
    return {
        "venue": cash.venue,
        "market": cash.market,
        "amount": exact_text(cash.amount),
        "why": cash.why,
    }


def cash_of(row: Mapping[str, Any]) -> CashRecord:
    """The movement whose row this is."""
    return CashRecord(row["venue"], row["market"], Decimal(row["amount"]), row["why"], row["wall_ns"])


def switch_row(switch: SwitchRecord) -> Row:
    """The row of a turn of the kill switch, without account and stamps."""
    return {name: getattr(switch, name) for name in ("state", "cause", "who")}


def switch_of(row: Mapping[str, Any]) -> SwitchRecord:
    """The turn of the kill switch whose row this is."""
    return SwitchRecord(**{name: row[name] for name in SwitchRecord.__slots__})


def settlement_row(settlement: SettlementRecord) -> Row:
    """The row of a settlement, without account and stamps."""
    names = ("event_id", "venue", "market", "outcome", "units", "size_decimals")
    exact = {
        "result": settlement.result.name,
        "payoff": exact_text(settlement.payoff),
        "value": exact_text(settlement.value),
    }
    return {name: getattr(settlement, name) for name in names} | exact


def settlement_of(row: Mapping[str, Any]) -> SettlementRecord:
    """The settlement whose row this is."""
    names = ("event_id", "venue", "market", "outcome", "units", "size_decimals", "wall_ns")
    return SettlementRecord(
        **{name: row[name] for name in names},
        result=MarketResult[row["result"]],
        payoff=Decimal(row["payoff"]),
        value=Decimal(row["value"]),
    )
