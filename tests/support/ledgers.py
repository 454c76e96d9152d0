"""Ledgers that tests write: a run, trades with their fills, and a ledger of schema version 1."""

import hashlib
import json
import os
import sqlite3
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from pipeline.clock import ManualClock
from pipeline.journal import Journal
from pipeline.journal_records import FillRecord, IntentRecord, OrderRecord, RunRecord, TradeRecord
from pipeline.model import FeeKind, FeeSchedule, Scale
from pipeline.model_events import OrderLeg

RUN = RunRecord("paper", "abc0123456", "boot", 3, 4242, "paper", "0.1.0", 7, "f" * 64)
KALSHI, POLY = Scale(6, 2), Scale(6, 6)


PLAN = {"mode": "taker", "payoff": Decimal(1), "first": -1}


def opened(path, clock=None, **more):
    clock = clock or ManualClock()
    return Journal.open(path, wall_ns=clock.wall_ns, monotonic_ns=clock.monotonic_ns, **more)


def a_trade(run_id, number=1):
    trade_id = f"{run_id}-9.{number}"
    buy = OrderLeg("kalshi", "K-1", "yes", "buy", 480_000, 1000, KALSHI)
    sell = OrderLeg("polymarket", "77", "no", "buy", 550_000, 10_000_000, POLY)
    fee = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
    seen = {"ladder": [[480_000, 1200]], "row": 4, "epoch": 2, "number": 981, "socket_ns": 5}
    return TradeRecord(
        trade_id, run_id, "event", "binary", 0, 9, number, 7, "f" * 64, "0.1.0", 123,
        {"net": Decimal("0.3510"), "edge_bp": 364}, {"usd": Decimal(5), "trades": 0}, PLAN,
        (
            IntentRecord(f"{trade_id}-0", buy, fee, 0, "open", "ioc", 900, 0, "same", seen),
            IntentRecord(
                f"{trade_id}-1", sell, FeeSchedule(FeeKind.POLYMARKET, 40_000), 1,
                polarity="inverse", book=seen,
            ),
        ),
    )  # fmt: skip


def more_of(trade, number, purpose, leg, **changes):
    """A further order of a trade, as it is committed."""
    first = trade.intents[leg]
    intent = replace(first, order_id=f"{trade.trade_id}-{number}", purpose=purpose)
    return replace(trade, edge={"why": purpose}, intents=(replace(intent, **changes),))


def a_fill(trade, leg=0, number=0, **changes):
    intent = trade.intents[leg]
    order = intent.order
    fill = FillRecord(
        order.venue, f"{intent.order_id}-{number}", intent.order_id, trade.trade_id, "event",
        order.market, order.outcome, order.action, order.limit_ticks, order.size_units, order.scale,
        Decimal("0.18"), 200, intent.polarity, evidence={"ladder": [[480_000, 1200]], "taken": []},
    )  # fmt: skip
    return replace(fill, **changes)


def filled(trade, leg=0):
    return OrderRecord(trade.intents[leg].order_id, "FILLED", 200, "", {"row": 1})


def in_child(work: Callable[[], None]) -> int:
    """Do it in a forked child; its wait status. Nothing of the child's Python is cleaned up."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


# Schema version 1, as it was released.
_LEG_V1 = (
    "venue TEXT NOT NULL, market TEXT NOT NULL, outcome TEXT NOT NULL, action TEXT NOT NULL,"
    " polarity TEXT NOT NULL, size_units INTEGER NOT NULL, price_decimals INTEGER NOT NULL,"
    " size_decimals INTEGER NOT NULL"
)
_STAMP_V1 = "wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL"
_FINAL_V1 = "('FILLED', 'CANCELLED', 'REJECTED', 'NOT_SENT')"
TABLES_V1 = {
    "runs": "run_id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, instance TEXT NOT NULL,"
    " boot_id TEXT NOT NULL, epoch INTEGER NOT NULL, pid INTEGER NOT NULL, mode TEXT NOT NULL,"
    " program_version TEXT NOT NULL, config_version INTEGER NOT NULL, config_hash TEXT NOT NULL",
    "intents": "order_id TEXT NOT NULL UNIQUE, trade_id TEXT NOT NULL, leg INTEGER NOT NULL,"
    " run_id TEXT NOT NULL REFERENCES runs(run_id), event_id TEXT NOT NULL, kind TEXT NOT NULL,"
    " direction INTEGER NOT NULL, run_epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " config_version INTEGER NOT NULL, config_hash TEXT NOT NULL, program_version TEXT NOT NULL,"
    f" decided_ns INTEGER NOT NULL, {_LEG_V1}, limit_ticks INTEGER NOT NULL, fee TEXT NOT NULL,"
    " book TEXT NOT NULL, edge TEXT NOT NULL, kelly TEXT NOT NULL",
    "orders": "order_id TEXT NOT NULL REFERENCES intents(order_id), status TEXT NOT NULL,"
    " at_ns INTEGER NOT NULL, why TEXT NOT NULL, evidence TEXT NOT NULL",
    "fills": "fill_id TEXT NOT NULL, order_id TEXT NOT NULL REFERENCES intents(order_id),"
    f" trade_id TEXT NOT NULL, event_id TEXT NOT NULL, {_LEG_V1}, price_ticks INTEGER NOT NULL,"
    " fee TEXT NOT NULL, at_ns INTEGER NOT NULL, evidence TEXT NOT NULL",
    "settlements": "account TEXT NOT NULL, event_id TEXT NOT NULL, venue TEXT NOT NULL, market TEXT NOT NULL,"
    " outcome TEXT NOT NULL, result TEXT NOT NULL, units INTEGER NOT NULL,"
    " size_decimals INTEGER NOT NULL, payoff TEXT NOT NULL",
}
_KEYS_V1 = {
    "intents": ", UNIQUE (trade_id, leg)",
    "fills": ", UNIQUE (venue, fill_id)",
    "settlements": ", UNIQUE (account, event_id, venue, market, outcome)",
}
SCHEMA_V1 = (
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER, hash TEXT)",
    *(
        f"CREATE TABLE {name} (seq INTEGER PRIMARY KEY, {columns}, {_STAMP_V1}{_KEYS_V1.get(name, '')})"
        for name, columns in TABLES_V1.items()
    ),
    f"CREATE UNIQUE INDEX one_final_status ON orders (order_id) WHERE status IN {_FINAL_V1}",
    "CREATE INDEX fills_of_order ON fills (order_id)",
    *(
        f"CREATE TRIGGER {name}_only_grows_{verb} BEFORE {verb} ON {name}"
        f" BEGIN SELECT RAISE(ABORT, 'the journal only grows'); END"
        for name in TABLES_V1
        for verb in ("UPDATE", "DELETE")
    ),
)


class OldLedger:
    """Writes a ledger of schema version 1 as that version did, row by row."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=OFF")
        for statement in SCHEMA_V1:
            self.db.execute(statement)
        self.db.execute("INSERT INTO head VALUES (1, 0, ?)", ("0" * 64,))
        self.db.execute(f"PRAGMA application_id={0x50785831}")
        self.db.execute("PRAGMA user_version=1")
        self.seq, self.hash = 0, "0" * 64

    def append(self, table, **content):
        """Append one row."""
        self.seq += 1
        row = {"seq": self.seq} | content
        row |= {"wall_ns": 1_790_000_000_000_000_000 + self.seq, "mono_ns": 5_000 + self.seq}
        row["prev"] = self.hash
        text = json.dumps([table, row], sort_keys=True, separators=(",", ":"))
        self.hash = row["hash"] = hashlib.sha256(text.encode()).hexdigest()
        marks = ",".join("?" * len(row))
        self.db.execute(f"INSERT INTO {table} ({','.join(row)}) VALUES ({marks})", tuple(row.values()))
        self.db.execute("UPDATE head SET seq=?, hash=?", (self.seq, self.hash))

    def run(self, run_id="r1", account="paper"):
        """Book a start of the trader."""
        self.append(
            "runs", run_id=run_id, account=account, instance="abc0123456", boot_id="boot", epoch=3, pid=42,
            mode="paper", program_version="0.1.0", config_version=7, config_hash="f" * 64,
        )  # fmt: skip

    def trade(self, trade_id="r1-9.1", run_id="r1", kind="binary"):
        """Book the two intents of a trade."""
        fee = '{"exponent":1,"kind":"KALSHI","maker_rate_ppm":0,"precision_micros":10000,"rate_ppm":70000}'
        for leg, venue, market, decimals in ((0, "kalshi", "K-1", 2), (1, "polymarket", "77", 6)):
            self.append(
                "intents", order_id=f"{trade_id}-{leg}", trade_id=trade_id, leg=leg, run_id=run_id,
                event_id="event", kind=kind, direction=0, run_epoch=9, sequence=1, config_version=7,
                config_hash="f" * 64, program_version="0.1.0", decided_ns=123, venue=venue, market=market,
                outcome=("yes", "no")[leg], action="buy", polarity="same", size_units=10 * 10**decimals,
                price_decimals=6, size_decimals=decimals, limit_ticks=480_000, fee=fee,
                book='{"row":4}', edge='{"edge_bp":364,"net":"0.351"}', kelly='{"trades":0}',
            )  # fmt: skip

    def order(self, order_id, status="FILLED"):
        """Book an order event."""
        self.append("orders", order_id=order_id, status=status, at_ns=200, why="", evidence="{}")

    def fill(self, order_id, leg=0):
        """Book a fill of a whole order."""
        venue, market, decimals = (("kalshi", "K-1", 2), ("polymarket", "77", 6))[leg]
        self.append(
            "fills", fill_id=f"{order_id}-0", order_id=order_id, trade_id=order_id.rpartition("-")[0],
            event_id="event", venue=venue, market=market, outcome=("yes", "no")[leg], action="buy",
            polarity="same", size_units=10 * 10**decimals, price_decimals=6, size_decimals=decimals,
            price_ticks=480_000, fee="0.18", at_ns=200, evidence='{"ladder":[[480000,1200]]}',
        )  # fmt: skip

    def settle(self, result="YES", payoff="10"):
        """Book what the first leg's market paid."""
        self.append(
            "settlements", account="paper", event_id="event", venue="kalshi", market="K-1", outcome="yes",
            result=result, units=1000, size_decimals=2, payoff=payoff,
        )  # fmt: skip

    def close(self):
        """Close the file; its log goes with it."""
        self.db.close()


def an_old_ledger(path, trades=2):
    """A ledger of version 1: trades that are filled, settled, and one that nobody heard of again."""
    old = OldLedger(path)
    old.run()
    for number in range(trades):
        trade_id = f"r1-9.{number}"
        old.trade(trade_id, kind="close" if number == 1 else "binary")
        for leg in (0, 1):
            old.order(f"{trade_id}-{leg}")
            old.fill(f"{trade_id}-{leg}", leg)
    old.settle()
    old.trade("r1-10.0")
    old.order("r1-10.0-1", "PARTIAL")
    old.fill("r1-10.0-1", 1)
    return old
