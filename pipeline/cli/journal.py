"""Journal: what the ledger holds, read-only.

In: data/ledger.sqlite. Out: the result of a full check; trades, orders, fills, cash or turns of the kill
switch as lines or JSON; or everything, as files of comma-separated values or lines of JSON. Run by people;
the trader may go on writing meanwhile.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.cli.common import FAILED, OK, USAGE, add_data, complain, say
from pipeline.cli.journal_export import export_csv, export_lines, utc_text
from pipeline.journal_reader import JournalError, JournalReader, open_readonly
from pipeline.journal_records import (
    FINAL_STATUSES,
    LEDGER_FILE,
    FillRecord,
    IntentRecord,
    OrderRecord,
    TradeRecord,
    standing,
)
from pipeline.logs_text import clean
from pipeline.model import to_text
from pipeline.money import money_text
from pipeline.trader.positions import Positions

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("what", choices=("verify", *LISTS, "export"))
    parser.add_argument("--json", action="store_true", help="one JSON object (export: a line a row)")
    parser.add_argument("--csv", metavar="DIR", type=Path, help="export: write TABLE.csv files into DIR")
    parser.add_argument("--account", metavar="A", default="", help="of this account only")


def run(args: argparse.Namespace) -> int:
    """Verify, list or export."""
    if args.csv and (args.what != "export" or args.json):
        complain("--csv goes with export, and without --json: run.py journal export --csv DIR")
        return USAGE
    path = args.data / LEDGER_FILE
    try:
        journal = open_readonly(path)
    except JournalError as error:
        complain(str(error))
        return FAILED
    try:
        return _answer(journal, args)
    except JournalError as error:
        complain(str(error))
    except (ValueError, KeyError, ArithmeticError, AssertionError) as error:
        complain(f"{path}: a row makes no sense ({error!r}); see what run.py journal verify says")
    finally:
        journal.close()
    return FAILED


def _answer(journal: JournalReader, args: argparse.Namespace) -> int:
    if args.what == "verify":
        return verify(journal, as_json=args.json)
    if args.account and args.account not in journal.accounts():
        complain(f"no account {args.account} in {journal.path}: it has {', '.join(journal.accounts())}")
        return FAILED
    if args.what == "export":
        return export(journal, args.csv, args.account)
    # Several questions, one state: the trader may be writing.
    with journal.snapshot():
        rows = LISTS[args.what](journal, args.account)
    if args.json:
        say(json.dumps({args.what: rows}))
        return OK
    for row in rows:
        say("  ".join(_shown(value) for key, value in row.items() if key != "evidence"))
    return OK


def _shown(value: object) -> str:
    return clean(" / ".join(map(str, value)) if isinstance(value, list) else str(value))


def verify(journal: JournalReader, *, as_json: bool) -> int:
    """Recompute the whole chain and say what is wrong with it."""
    problems = journal.verify()
    if as_json:
        say(json.dumps({"good": not problems, "problems": problems}))
    else:
        for problem in problems or ["good: every row is as it was written"]:
            say(clean(problem))
    return FAILED if problems else OK


def export(journal: JournalReader, folder: Path | None, account: str) -> int:
    """Write every table into a folder, or say every row."""
    if folder is None:
        for line in export_lines(journal, account):
            say(line)
        return OK
    try:
        for file, count in export_csv(journal, folder, account):
            say(f"{file}: {count} rows")
    except OSError as error:
        complain(f"{folder} cannot be written: {error.strerror}; check its mode and the space there")
        return FAILED
    return OK


def trade_rows(journal: JournalReader, account: str) -> list[Row]:
    """The trades for people, with the end of each order and, once it is closed, the result."""
    ends = last_events(journal, account)
    found: list[Row] = []
    for name in [account] if account else journal.accounts():
        positions = Positions()
        positions.apply(journal.history(name))
        results = {result.trade_id: result.result for result in positions.results()}
        times = {recent.trade_id: recent.wall_ns for recent in journal.recent_intents(name, 0)}
        found += [
            {"trade_id": trade.trade_id, "utc": utc_text(times[trade.trade_id]), "account": name}
            | trade_row(trade, ends, results.get(trade.trade_id))
            for trade in journal.trades(name)
        ]
    return found


def trade_row(trade: TradeRecord, ends: dict[str, OrderRecord], result: Decimal | None) -> Row:
    """A trade for people. `result` is dollars after all fees, None while it is open."""
    first = {intent.leg: intent for intent in reversed(trade.intents)}
    legs = [_order_text(first[leg]) for leg in sorted(first)]
    orders = [
        f"{intent.purpose} {_status(ends.get(intent.order_id))} {_order_text(intent)}"
        for intent in trade.intents
    ]
    return {
        "event_id": trade.event_id,
        "direction": trade.direction,
        "mode": trade.plan.get("mode", "taker"),
        "legs": " / ".join(legs),
        "edge_bp": trade.edge.get("edge_bp", 0),
        "net_usd": str(trade.edge.get("net", "")),
        "cash_usd": str(trade.edge.get("cash", "")),
        "result_usd": "open" if result is None else money_text(result),
        "config_version": trade.config_version,
        "orders": orders,
    }


def _order_text(intent: IntentRecord) -> str:
    return f"{intent.order.action} {intent.order.outcome} {intent.order.venue}"


def _status(event: OrderRecord | None) -> str:
    return event.status if event else "INTENT"


def last_events(journal: JournalReader, account: str) -> dict[str, OrderRecord]:
    """The end of each order, or the last that was heard of it."""
    found: dict[str, OrderRecord] = {}
    for event in journal.orders(account):
        known = found.get(event.order_id)
        if known is None or known.status not in FINAL_STATUSES:
            found[event.order_id] = event
    return found


def order_rows(journal: JournalReader, account: str) -> list[Row]:
    """The orders for people: what was intended, and what became of it."""
    ends = last_events(journal, account)
    filled: dict[str, int] = {}
    for fill in standing(journal.fills(account), journal.confirmations(account)):
        filled[fill.order_id] = filled.get(fill.order_id, 0) + fill.size_units
    return [
        {
            "order_id": intent.order_id,
            "event_id": trade.event_id,
            "leg": intent.leg,
            "purpose": intent.purpose,
            "style": intent.style,
            "venue": intent.order.venue,
            "market": intent.order.market,
            "order": f"{intent.order.action} {intent.order.outcome}",
            "limit": to_text(intent.order.limit_ticks, intent.order.scale.price_decimals),
            "size": to_text(intent.order.size_units, intent.order.scale.size_decimals),
            "filled": to_text(filled.get(intent.order_id, 0), intent.order.scale.size_decimals),
            "status": _status(ends.get(intent.order_id)),
            "why": ends[intent.order_id].why if intent.order_id in ends else "",
        }
        for trade in journal.trades(account)
        for intent in trade.intents
    ]


def fill_rows(journal: JournalReader, account: str = "") -> list[Row]:
    """The fills for people; prices in the book's terms."""
    known = {(c.venue, c.fill_id): c.status.lower() for c in journal.confirmations(account)}
    return [
        fill_row(fill, known.get((fill.venue, fill.fill_id), "provisional" if fill.provisional else "final"))
        for fill in journal.fills(account)
    ]


def fill_row(fill: FillRecord, state: str) -> Row:
    """A fill for people, with the book that it was made from; `state`: final, provisional and what became
    of it.
    """
    return {
        "fill_id": fill.fill_id,
        "event_id": fill.event_id,
        "venue": fill.venue,
        "market": fill.market,
        "order": f"{fill.action} {fill.outcome}",
        "price": to_text(fill.price_ticks, fill.scale.price_decimals),
        "size": to_text(fill.size_units, fill.scale.size_decimals),
        "fee_usd": money_text(fill.fee),
        "role": "maker" if fill.maker else "taker",
        "state": state,
        "evidence": dict(fill.evidence),
    }


def cash_rows(journal: JournalReader, account: str) -> list[Row]:
    """Money and coins that came or went other than by trades."""
    return [
        {
            "utc": utc_text(cash.wall_ns),
            "venue": cash.venue,
            "of": cash.market or "dollars",
            "amount": money_text(cash.amount),
            "why": cash.why,
        }
        for cash in journal.cash(account)
    ]


def switch_rows(journal: JournalReader, account: str) -> list[Row]:
    """The turns of the kill switch."""
    return [
        {"utc": utc_text(turn.wall_ns), "state": turn.state, "who": turn.who, "cause": turn.cause}
        for turn in journal.switches(account)
    ]


LISTS: dict[str, Callable[[JournalReader, str], list[Row]]] = {
    "trades": trade_rows,
    "orders": order_rows,
    "fills": fill_rows,
    "cash": cash_rows,
    "switches": switch_rows,
}
"""What can be listed."""
