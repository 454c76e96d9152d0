"""Export tables: the history as flat rows with stable, typed columns: docs/EXPORTS.md lists them.

In: the ledger, decisions.sqlite. Out: rows one by one, and what each column is. Used by `export`. Every row
of a table has every column, of one type or null, so that Parquet, SQL and data frames take them as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.cli.account_history import positions_of
from pipeline.cli.journal_export import clean, utc_text
from pipeline.decision_log import DECISIONS_FILE, each_decision
from pipeline.journal_reader import JournalReader
from pipeline.journal_records import FAILED, FINAL_STATUSES
from pipeline.model import Action, Confidence, Reason, to_text
from pipeline.money import money_text

Row = dict[str, Any]
# Types of columns. A decimal is exact, as text; a time is ISO-8601 in UTC to the microsecond.
TEXT, INTEGER, DECIMAL, TIME, BOOLEAN = "text", "integer", "decimal", "time", "boolean"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted: rows of [since, until), of one account ("" for all)."""

    data: Path
    since_ns: int
    until_ns: int
    account: str

    def has(self, wall_ns: int) -> bool:
        """Whether a row of that moment is wanted."""
        return self.since_ns <= wall_ns < self.until_ns


@dataclass(frozen=True, slots=True)
class Table:
    """One thing that can be exported: its columns in order, and where its rows come from."""

    columns: Mapping[str, str]
    rows: Callable[[JournalReader, Asked], Iterator[Row]]
    about: str


def accounts_of(journal: JournalReader, asked: Asked) -> list[str]:
    """The accounts that are wanted."""
    return [asked.account] if asked.account else journal.accounts()


def trades(journal: JournalReader, asked: Asked) -> Iterator[Row]:
    """A row for the first commit of each trade, with its result once it is closed."""
    for account in accounts_of(journal, asked):
        results = {result.trade_id: result for result in positions_of(journal, account).results()}
        last = ""
        for row in journal.each("intents", account):
            # The orders of one commit follow each other; later commits of a trade mend it.
            first = row["trade_id"] != last and row["number"] == 0
            last = row["trade_id"]
            if not first or not asked.has(row["wall_ns"]):
                continue
            edge, plan = json.loads(row["edge"]), json.loads(row["plan"])
            result = results.get(row["trade_id"])
            yield {
                "utc": utc_text(row["wall_ns"]),
                "account": account,
                "trade_id": row["trade_id"],
                "event_id": row["event_id"],
                "kind": row["kind"],
                "direction": row["direction"],
                "mode": plan.get("mode", "taker"),
                "size": to_text(edge.get("size_units", 0), edge.get("size_decimals", 0)),
                "edge_bp": edge.get("edge_bp", 0),
                "net_usd": _amount(edge.get("net")),
                "cash_usd": _amount(edge.get("cash")),
                "closed_utc": utc_text(result.closed_wall_ns) if result else None,
                "result_usd": money_text(result.result) if result else None,
                "config_version": row["config_version"],
                "program_version": row["program_version"],
            }


def _amount(value: object) -> str | None:
    return None if value is None else str(value)


def orders(journal: JournalReader, asked: Asked) -> Iterator[Row]:
    """A row an order: what was intended, and what became of it."""
    for account in accounts_of(journal, asked):
        ends: dict[str, tuple[str, str]] = {}
        for row in journal.each("orders", account):
            if ends.get(row["order_id"], ("",))[0] not in FINAL_STATUSES:
                ends[row["order_id"]] = row["status"], row["why"]
        failed = _failed(journal, account)
        filled: dict[str, int] = {}
        for row in journal.each("fills", account):
            if (row["venue"], row["fill_id"]) not in failed:
                filled[row["order_id"]] = filled.get(row["order_id"], 0) + row["size_units"]
        for row in journal.each("intents", account):
            if asked.has(row["wall_ns"]):
                status, why = ends.get(row["order_id"], ("INTENT", ""))
                yield {
                    **_order(row, account),
                    "limit_price": to_text(row["limit_ticks"], row["price_decimals"]),
                    "filled": to_text(filled.get(row["order_id"], 0), row["size_decimals"]),
                    "status": status,
                    "why": why,
                }


def _failed(journal: JournalReader, account: str) -> set[tuple[str, str]]:
    """Fills that never happened."""
    rows = journal.each("confirmations", account)
    return {(row["venue"], row["fill_id"]) for row in rows if row["status"] == FAILED}


def _order(row: Row, account: str) -> Row:
    """The columns that orders and fills share."""
    names = ("order_id", "trade_id", "event_id", "venue", "market", "outcome", "action", "polarity")
    found = {name: row[name] for name in names}
    size = to_text(row["size_units"], row["size_decimals"])
    if "leg" in row:
        found |= {"leg": row["leg"], "purpose": row["purpose"], "style": row["style"]}
    return {"utc": utc_text(row["wall_ns"]), "account": account, **found, "size": size}


def fills(journal: JournalReader, asked: Asked) -> Iterator[Row]:
    """A row an execution; prices in the book's terms."""
    for account in accounts_of(journal, asked):
        states = {
            (row["venue"], row["fill_id"]): row["status"].lower()
            for row in journal.each("confirmations", account)
        }
        for row in journal.each("fills", account):
            if asked.has(row["wall_ns"]):
                first = "provisional" if row["provisional"] else "final"
                yield {
                    **_order(row, account),
                    "fill_id": row["fill_id"],
                    "price": to_text(row["price_ticks"], row["price_decimals"]),
                    "fee_usd": row["fee"],
                    "maker": bool(row["maker"]),
                    "state": states.get((row["venue"], row["fill_id"]), first),
                }


def cash(journal: JournalReader, asked: Asked) -> Iterator[Row]:
    """Money and coins that came or went other than by trades."""
    for row in journal.each("cash", asked.account):
        if asked.has(row["wall_ns"]):
            yield {
                "utc": utc_text(row["wall_ns"]),
                "account": row["account"],
                "venue": row["venue"],
                "coin_market": row["market"],
                "amount": row["amount"],
                "why": row["why"],
            }


def settlements(journal: JournalReader, asked: Asked) -> Iterator[Row]:
    """What held outcomes paid."""
    for row in journal.each("settlements", asked.account):
        if asked.has(row["wall_ns"]):
            names = ("account", "event_id", "venue", "market", "outcome", "result")
            yield {
                "utc": utc_text(row["wall_ns"]),
                **{name: row[name] for name in names},
                "size": to_text(row["units"], row["size_decimals"]),
                "payoff_usd": row["payoff"],
                "value": row["value"],
            }


def switches(journal: JournalReader, asked: Asked) -> Iterator[Row]:
    """Turns of the kill switch."""
    for row in journal.each("switches", asked.account):
        if asked.has(row["wall_ns"]):
            names = ("account", "state", "who", "cause")
            yield {"utc": utc_text(row["wall_ns"]), **{name: row[name] for name in names}}


def runs(journal: JournalReader, asked: Asked) -> Iterator[Row]:
    """Starts of the trader."""
    for row in journal.each("runs", asked.account):
        if asked.has(row["wall_ns"]):
            names = ("run_id", "account", "instance", "epoch", "pid", "mode", "program_version")
            more = {name: row[name] for name in ("config_version", "config_hash")}
            yield {"utc": utc_text(row["wall_ns"]), **{name: row[name] for name in names}, **more}


def decisions(_journal: JournalReader | None, asked: Asked) -> Iterator[Row]:
    """What was decided on each opportunity; the newest 200,000 are kept. Of all accounts."""
    for body in each_decision(asked.data / DECISIONS_FILE, asked.since_ns, asked.until_ns):
        yield decision_row(body)


def decision_row(body: Mapping[str, Any]) -> Row:
    """One decision; what an older program did not write is null."""
    reason = _name(Reason, body.get("reason"))
    return {
        "utc": utc_text(body["wall_ns"]),
        "sequence": _integer(body.get("sequence")),
        "event_id": str(body.get("event_id", "")),
        "kind": _text(body.get("kind")),
        "mode": _text(body.get("mode")),
        "direction": _integer(body.get("direction")),
        "buy_venue": _text(body.get("buy_venue")),
        "sell_venue": _text(body.get("sell_venue")),
        "action": _name(Action, body.get("action")) or str(body["entry"]),
        "reason": reason if reason != "none" else None,
        "value": _micros(body.get("value_micros")),
        "limit": _micros(body.get("limit_micros")),
        "size": _scaled(body.get("size_units"), body.get("size_decimals")),
        "edge_bp": _integer(body.get("edge_bp")),
        "last_look_bp": _integer(body.get("last_look_bp")),
        "net_usd": _micros(body.get("net_micros")),
        "cash_usd": _micros(body.get("cash_micros")),
        "confidence": _name(Confidence, body.get("confidence")),
        "race_probability": _micros(body.get("race_ppm")),
        **{name: _integer(body.get(name)) for name in STAMPS},
    }


STAMPS = (
    "socket_ns", "book_ns", "scan_ns", "send_ns", "receive_ns", "decide_ns", "intent_ns", "order_ns",
    "fill_ns",
)  # fmt: skip


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _micros(value: object) -> str | None:
    return to_text(value, 6) if isinstance(value, int) else None


def _scaled(units: object, decimals: object) -> str | None:
    known = isinstance(units, int) and isinstance(decimals, int) and 0 <= decimals <= 18
    return to_text(units, decimals) if known else None  # type: ignore[arg-type]


def _name(kind: type[Action | Reason | Confidence], value: object) -> str | None:
    """The word of a number; a number of another version as text."""
    if not isinstance(value, int):
        return None
    return kind(value).name.lower() if value in kind.__members__.values() else str(value)


_ORDER = {
    "utc": TIME, "account": TEXT, "order_id": TEXT, "trade_id": TEXT, "event_id": TEXT, "venue": TEXT,
    "market": TEXT, "outcome": TEXT, "action": TEXT, "polarity": TEXT,
}  # fmt: skip

TABLES: dict[str, Table] = {
    "trades": Table(
        {
            "utc": TIME, "account": TEXT, "trade_id": TEXT, "event_id": TEXT, "kind": TEXT,
            "direction": INTEGER, "mode": TEXT, "size": DECIMAL, "edge_bp": INTEGER, "net_usd": DECIMAL,
            "cash_usd": DECIMAL, "closed_utc": TIME, "result_usd": DECIMAL, "config_version": INTEGER,
            "program_version": TEXT,
        },
        trades,
        "a row a trade: what was expected of it, and its result after all fees once it is closed",
    ),
    "orders": Table(
        {
            **_ORDER, "leg": INTEGER, "purpose": TEXT, "style": TEXT, "size": DECIMAL,
            "limit_price": DECIMAL, "filled": DECIMAL, "status": TEXT, "why": TEXT,
        },
        orders,
        "a row an order: what was intended, and what became of it",
    ),
    "fills": Table(
        {
            **_ORDER, "size": DECIMAL, "fill_id": TEXT, "price": DECIMAL, "fee_usd": DECIMAL,
            "maker": BOOLEAN, "state": TEXT,
        },
        fills,
        "a row an execution; `state` is final, provisional, confirmed or failed (it never happened)",
    ),
    "cash": Table(
        {"utc": TIME, "account": TEXT, "venue": TEXT, "coin_market": TEXT, "amount": DECIMAL, "why": TEXT},
        cash,
        "money (`coin_market` is empty) and coins that came or went other than by trades",
    ),
    "settlements": Table(
        {
            "utc": TIME, "account": TEXT, "event_id": TEXT, "venue": TEXT, "market": TEXT, "outcome": TEXT,
            "result": TEXT, "size": DECIMAL, "payoff_usd": DECIMAL, "value": DECIMAL,
        },
        settlements,
        "what held outcomes paid; `value` is what one unit of YES paid",
    ),
    "switches": Table(
        {"utc": TIME, "account": TEXT, "state": TEXT, "who": TEXT, "cause": TEXT},
        switches,
        "turns of the kill switch",
    ),
    "runs": Table(
        {
            "utc": TIME, "run_id": TEXT, "account": TEXT, "instance": TEXT, "epoch": INTEGER, "pid": INTEGER,
            "mode": TEXT, "program_version": TEXT, "config_version": INTEGER, "config_hash": TEXT,
        },
        runs,
        "starts of the trader, with the program and the configuration",
    ),
    "decisions": Table(
        {
            "utc": TIME, "sequence": INTEGER, "event_id": TEXT, "kind": TEXT, "mode": TEXT,
            "direction": INTEGER, "buy_venue": TEXT, "sell_venue": TEXT, "action": TEXT, "reason": TEXT,
            "value": DECIMAL, "limit": DECIMAL, "size": DECIMAL, "edge_bp": INTEGER, "last_look_bp": INTEGER,
            "net_usd": DECIMAL, "cash_usd": DECIMAL, "confidence": TEXT, "race_probability": DECIMAL,
            **dict.fromkeys(STAMPS, INTEGER),
        },
        decisions,
        "what was decided on each opportunity; stamps are CLOCK_MONOTONIC, 0 for a hop it did not reach",
    ),
}  # fmt: skip
"""Every table by the name that the command takes."""


def shown(value: object) -> object:
    """A value for JSON: texts without what steers a terminal."""
    return clean(value) if isinstance(value, str) else value
