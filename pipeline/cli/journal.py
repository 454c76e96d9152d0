"""Journal: what the ledger holds, read-only.

In: data/ledger.sqlite. Out: the result of a full check, or trades or fills, as lines or JSON. Run by
people; the trader may go on writing meanwhile.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from pipeline.cli.common import FAILED, OK, add_data, complain, say
from pipeline.journal_reader import JournalError, JournalReader, open_readonly
from pipeline.journal_records import LEDGER_FILE, FillRecord, TradeRecord
from pipeline.model import to_text
from pipeline.money import money_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    parser.add_argument("what", choices=("verify", "trades", "fills"))
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Verify, or list."""
    try:
        journal = open_readonly(args.data / LEDGER_FILE)
    except JournalError as error:
        complain(str(error))
        return FAILED
    try:
        if args.what == "verify":
            return verify(journal, as_json=args.json)
        rows = [trade_row(t) for t in journal.trades()] if args.what == "trades" else fill_rows(journal)
    finally:
        journal.close()
    if args.json:
        say(json.dumps({args.what: rows}))
    else:
        for row in rows:
            say("  ".join(str(value) for key, value in row.items() if key != "evidence"))
    return OK


def verify(journal: JournalReader, *, as_json: bool) -> int:
    """Recompute the whole chain and say what is wrong with it."""
    problems = journal.verify()
    if as_json:
        say(json.dumps({"good": not problems, "problems": problems}))
    else:
        for problem in problems or ["good: every row is as it was written"]:
            say(problem)
    return FAILED if problems else OK


def trade_row(trade: TradeRecord) -> dict[str, Any]:
    """A trade for people."""
    legs = [f"{intent.leg.action} {intent.leg.outcome} {intent.leg.venue}" for intent in trade.intents]
    return {
        "trade_id": trade.trade_id,
        "event_id": trade.event_id,
        "direction": trade.direction,
        "legs": " / ".join(legs),
        "edge_bp": trade.edge["edge_bp"],
        "net_usd": str(trade.edge["net"]),
        "cash_usd": str(trade.edge["cash"]),
        "config_version": trade.config_version,
    }


def fill_rows(journal: JournalReader) -> list[dict[str, Any]]:
    """The fills for people; prices in the book's terms."""
    return [fill_row(fill) for fill in journal.fills()]


def fill_row(fill: FillRecord) -> dict[str, Any]:
    """A fill for people, with the book that it was made from."""
    return {
        "fill_id": fill.fill_id,
        "event_id": fill.event_id,
        "venue": fill.venue,
        "market": fill.market,
        "order": f"{fill.action} {fill.outcome}",
        "price": to_text(fill.price_ticks, fill.scale.price_decimals),
        "size": to_text(fill.size_units, fill.scale.size_decimals),
        "fee_usd": money_text(fill.fee),
        "evidence": dict(fill.evidence),
    }
