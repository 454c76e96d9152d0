"""Store: the paper exchange's own record, in data/paper.sqlite. The door to sqlite3.

In: orders as they are now. Out: rows that are committed (WAL, synchronous FULL) when `save` returns, the
same orders read back, and for people and tests what this venue says was traded (`venue_record`). Run by the
stage's worker, which reports nothing before it is committed. It is bounded: orders that ended more than
seven days ago are removed, but never the newest ten thousand. Times are CLOCK_MONOTONIC of the boot that is
named beside them; of an earlier boot they mean nothing, and read back they are 1 (has arrived) or 0.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.model import EXACT, Scale
from pipeline.model_events import OrderLeg
from pipeline.money import money_text, to_decimal
from pipeline.paper import holdings
from pipeline.paper.orders import Fill, FillState, PaperOrder, Status, fee_numbers, fee_of

PAPER_FILE = "paper.sqlite"
APPLICATION_ID = 0x50785050
SCHEMA_VERSION = 2
BUSY_SECONDS = 2.0
KEPT_ORDERS = 10_000
KEPT_NS = 7 * 86_400 * 10**9

_SCHEMA = """
CREATE TABLE orders (serial INTEGER PRIMARY KEY, account TEXT NOT NULL, order_id TEXT NOT NULL,
    venue TEXT NOT NULL, market TEXT NOT NULL, outcome TEXT NOT NULL, action TEXT NOT NULL,
    limit_ticks INTEGER NOT NULL, size_units INTEGER NOT NULL, price_decimals INTEGER NOT NULL,
    size_decimals INTEGER NOT NULL, fee TEXT NOT NULL, style TEXT NOT NULL, deadline_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL, sent_ns INTEGER NOT NULL, arrives_ns INTEGER NOT NULL, boot TEXT NOT NULL,
    booking INTEGER NOT NULL, arrived_ns INTEGER NOT NULL, status INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    why TEXT NOT NULL, wall_ns INTEGER NOT NULL);
CREATE INDEX orders_of_id ON orders (account, order_id);
CREATE INDEX orders_open ON orders (status) WHERE status IN (0, 1, 2);
CREATE TABLE fills (fill_id TEXT NOT NULL, serial INTEGER NOT NULL REFERENCES orders, number INTEGER NOT NULL,
    price_ticks INTEGER NOT NULL, size_units INTEGER NOT NULL, fee TEXT NOT NULL, at_ns INTEGER NOT NULL,
    maker INTEGER NOT NULL, evidence TEXT NOT NULL, state INTEGER NOT NULL, due_ns INTEGER NOT NULL,
    PRIMARY KEY (serial, number));
CREATE INDEX fills_provisional ON fills (state) WHERE state = 1;
"""
_PUT_ORDER = f"INSERT OR REPLACE INTO orders VALUES ({','.join('?' * 24)})"  # noqa: S608
_PUT_FILL = f"INSERT OR REPLACE INTO fills VALUES ({','.join('?' * 11)})"  # noqa: S608
_OPEN = (
    "SELECT account, order_id FROM orders WHERE status IN (0, 1, 2) UNION"
    " SELECT account, order_id FROM orders JOIN fills USING (serial) WHERE state = 1"
)
_PRUNABLE = (
    "SELECT serial FROM orders WHERE serial <= (SELECT max(serial) FROM orders) - ? AND wall_ns < ?"
    " AND status NOT IN (0, 1, 2) AND serial NOT IN (SELECT serial FROM fills WHERE state = 1)"
)

Row = dict[str, Any]


class StoreError(Exception):
    """The record cannot be opened, read or written. Says what, where, and what to do."""


class VenueRecord(NamedTuple):
    """What the venue says of one account; failed fills never happened, provisional ones count.

    `positions` are units bought less sold, by (venue, market, outcome). `cash` is dollars by venue that
    trades brought, all fees paid. `bookings` counts the orders that each id was accepted as. `fills` names
    the order of each fill.
    """

    positions: dict[tuple[str, str, str], int]
    cash: dict[str, Decimal]
    bookings: dict[str, int]
    fills: dict[str, str]


class PaperStore:
    """The one writer of a record. Make it with `open`; `wall_ns` is asked for the time of each save."""

    def __init__(self, path: Path, db: sqlite3.Connection, boot: str, wall_ns: Callable[[], int]) -> None:
        self.path = path
        self._db = db
        self._boot = boot
        self._wall_ns = wall_ns

    @classmethod
    def open(cls, path: Path, boot: str, *, wall_ns: Callable[[], int]) -> PaperStore:
        """Open or create the record. Raises StoreError for a file that is not ours or not to be written."""
        db: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            _prepare(path, db, wall_ns())
        except (sqlite3.Error, OSError, StoreError) as error:
            if db is not None:
                db.close()
            raise error if isinstance(error, StoreError) else _explained(path, error) from error
        return cls(path, db, boot, wall_ns)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def save(self, orders: Iterable[PaperOrder]) -> None:
        """Put orders on record as they are now; they are on the disk when this returns.

        Raises StoreError, and then nothing of it is on record.
        """
        orders = list(orders)
        wall_ns = self._wall_ns()
        with self._transaction():
            for order in orders:
                self._db.execute(_PUT_ORDER, (*_order_row(order), wall_ns))
                rows = [_fill_row(order, number) for number in sorted(order.unsaved)]
                self._add_up(order)
                self._db.executemany(_PUT_FILL, rows)
        for order in orders:
            order.stored = True
            order.unsaved.clear()

    def probe(self) -> None:
        """Raise StoreError unless a commit that writes succeeds now."""
        with self._transaction():
            self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def prune(self) -> int:
        """Remove what is old; how many orders. Raises StoreError."""
        with self._transaction():
            bounds = (KEPT_ORDERS, self._wall_ns() - KEPT_NS)
            old = [row[0] for row in self._db.execute(_PRUNABLE, bounds)]
            for table in ("fills", "orders"):
                statement = f"DELETE FROM {table} WHERE serial=?"  # noqa: S608
                self._db.executemany(statement, [(serial,) for serial in old])
        return len(old)

    def holdings(self, account: str, places: Iterable[holdings.Place]) -> holdings.Holdings:
        """What the account has at these places by all of its fills, pruned ones too. Raises StoreError."""
        born = self._rows("SELECT born_wall_ns FROM about")[0]["born_wall_ns"]
        rows = [row for place in places for row in self._rows(holdings.OF_PLACE, (account, *place))]
        fills = self._rows(holdings.FILLS, (account,))[0]["fills"]
        return holdings.Holdings(born, fills, holdings.amounts(rows))

    def _add_up(self, order: PaperOrder) -> None:
        """Let the holdings follow what changed of an order's fills, before that is put on record."""
        for number in order.unsaved:
            known = self._db.execute(holdings.KNOWN, (order.serial, number)).fetchone()
            was = known is not None and known[0] != FillState.FAILED
            fill = order.fills[number]
            turn = int(fill.state is not FillState.FAILED) - int(was)
            if turn:
                self._db.execute(holdings.ADD, holdings.change(order, fill, turn))

    def next_serial(self) -> int:
        """The number of the next order. Raises StoreError."""
        found = self._rows("SELECT coalesce(max(serial), 0) AS last FROM orders")
        return int(found[0]["last"]) + 1

    def find(self, account: str, order_id: str) -> list[PaperOrder]:
        """The orders of an id, oldest first. Raises StoreError."""
        return self._orders("WHERE account=? AND order_id=?", (account, order_id))

    def open_orders(self) -> list[PaperOrder]:
        """Orders that have not ended or have provisional fills, and all others of their ids, oldest first.

        Raises StoreError.
        """
        return self._orders(f"WHERE (account, order_id) IN ({_OPEN})", ())

    def _orders(self, where: str, values: Sequence[object]) -> list[PaperOrder]:
        rows = self._rows(f"SELECT * FROM orders {where} ORDER BY serial", values)  # noqa: S608
        query = (
            f"SELECT * FROM fills WHERE serial IN (SELECT serial FROM orders {where})"  # noqa: S608
            " ORDER BY serial, number"
        )
        fills = {
            serial: list(each) for serial, each in groupby(self._rows(query, values), itemgetter("serial"))
        }
        try:
            return [self._order_of(row, fills.get(row["serial"], [])) for row in rows]
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.path} is damaged: {error}; move it away and start again") from error

    def _order_of(self, row: Row, fills: list[Row]) -> PaperOrder:
        """An order as it was saved."""
        is_ours = row["boot"] == self._boot
        return PaperOrder(
            row["serial"],
            row["account"],
            row["order_id"],
            _leg_of(row),
            fee_of(tuple(json.loads(row["fee"]))),
            row["style"],
            row["deadline_ns"],
            row["expires_ns"],
            row["sent_ns"],
            row["arrives_ns"],
            row["boot"],
            row["booking"],
            row["arrived_ns"] if is_ours else min(1, row["arrived_ns"]),
            Status(row["status"]),
            row["at_ns"],
            row["why"],
            [_fill_of(fill, is_ours=is_ours) for fill in fills],
            stored=True,
        )

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        try:
            return _rows(self._db, query, values)
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def venue_record(path: Path, account: str) -> VenueRecord:
    """What the exchange has on record for an account; it may be writing meanwhile. Raises StoreError."""
    positions: dict[tuple[str, str, str], int] = defaultdict(int)
    cash: dict[str, Decimal] = defaultdict(Decimal)
    bookings: dict[str, int] = defaultdict(int)
    order_of_fill: dict[str, str] = {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.execute("BEGIN")
            orders = _rows(db, "SELECT * FROM orders WHERE account=?", (account,))
            fills = _rows(
                db,
                "SELECT fills.* FROM fills JOIN orders USING (serial) WHERE account=? AND state<>?",
                (account, int(FillState.FAILED)),
            )
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    by_serial = {row["serial"]: row for row in orders}
    accepted = (Status.ACCEPTED, Status.PARTIAL, Status.FILLED, Status.CANCELLED)
    for row in orders:
        bookings[row["order_id"]] += row["status"] in accepted
    for fill in fills:
        row = by_serial[fill["serial"]]
        leg = _leg_of(row)
        bought = 1 if leg.action == "buy" else -1
        positions[leg.venue, leg.market, leg.outcome] += bought * fill["size_units"]
        cash[leg.venue] += _cash_of(leg, fill)
        order_of_fill[fill["fill_id"]] = row["order_id"]
    counted = {order_id: count for order_id, count in bookings.items() if count}
    return VenueRecord(dict(positions), dict(cash), counted, order_of_fill)


def _cash_of(leg: OrderLeg, fill: Row) -> Decimal:
    """Dollars that a fill brought; NO costs 1 less the book's price."""
    scale = leg.scale
    ticks = fill["price_ticks"]
    own = 10**scale.price_decimals - ticks if leg.outcome == "no" else ticks
    notional = to_decimal(own * fill["size_units"], scale.price_decimals + scale.size_decimals)
    received = -notional if leg.action == "buy" else notional
    return EXACT.subtract(received, Decimal(fill["fee"]))


def _rows(db: sqlite3.Connection, query: str, values: Sequence[object]) -> list[Row]:
    cursor = db.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _order_row(order: PaperOrder) -> tuple[object, ...]:
    leg = order.leg
    return (
        order.serial,
        order.account,
        order.order_id,
        *(leg.venue, leg.market, leg.outcome, leg.action, leg.limit_ticks, leg.size_units),
        *(leg.scale.price_decimals, leg.scale.size_decimals),
        json.dumps(fee_numbers(order.fee)),
        *(order.style, order.deadline_ns, order.expires_ns, order.sent_ns, order.arrives_ns, order.boot),
        *(order.booking, order.arrived_ns, int(order.status), order.at_ns, order.why),
    )


def _fill_row(order: PaperOrder, number: int) -> tuple[object, ...]:
    fill = order.fills[number]
    return (
        *(fill.fill_id, order.serial, number, fill.price_ticks, fill.size_units, money_text(fill.fee)),
        *(fill.at_ns, int(fill.maker), fill.evidence, int(fill.state), fill.due_ns),
    )


def _leg_of(row: Row) -> OrderLeg:
    return OrderLeg(
        row["venue"],
        row["market"],
        row["outcome"],
        row["action"],
        row["limit_ticks"],
        row["size_units"],
        Scale(row["price_decimals"], row["size_decimals"]),
    )


def _fill_of(row: Row, *, is_ours: bool) -> Fill:
    return Fill(
        row["fill_id"],
        row["price_ticks"],
        row["size_units"],
        Decimal(row["fee"]),
        row["at_ns"],
        bool(row["maker"]),
        row["evidence"],
        FillState(row["state"]),
        row["due_ns"] if is_ours else 0,
    )


def _prepare(path: Path, db: sqlite3.Connection, wall_ns: int) -> None:
    """Create the tables in an empty file, add those that version 1 lacked, or check that the file is ours."""
    if db.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise StoreError(f"{path}: this file system cannot hold it; use a local disk")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("BEGIN IMMEDIATE")
    try:
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in (_SCHEMA + holdings.SCHEMA).split(";"):
                db.execute(statement)
            db.execute("INSERT INTO about VALUES (1, ?)", (wall_ns,))
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        elif _kind(db) == (APPLICATION_ID, 1):
            for statement in (holdings.SCHEMA + holdings.FROM_VERSION_1).split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    if _kind(db) != (APPLICATION_ID, SCHEMA_VERSION):
        raise StoreError(
            f"{path} is of another program or version; move it away or use another data directory"
        )


def _kind(db: sqlite3.Connection) -> tuple[int, int]:
    """Whose file it is, and of which version."""
    return (
        int(db.execute("PRAGMA application_id").fetchone()[0]),
        int(db.execute("PRAGMA user_version").fetchone()[0]),
    )


def _explained(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path}: {error}: no paper order is taken until it can be written; see to the disk")
