"""Journal: what was decided, sent, filled and settled, kept for ever in data/ledger.sqlite.

In: records of runs, trades, orders, fills and settlements. Out: rows that are committed (WAL,
synchronous FULL) when a method returns, and the same records read back. Every row has the next
number of one sequence over all tables, and a SHA-256 over its content and the hash before it.
SQLite's own check misses changed values (reliability.md 0.13); `verify` does not.

One trader writes: it holds a role lock of its own, so this file uses SQLite's normal locking and
reports may read it at any time. A second writer is fenced all the same: an append finds the head
moved and fails. Run by the trader; read by cli and tests through `open_readonly`. The door to
sqlite3.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.journal_reader import (
    APPLICATION_ID,
    GENESIS,
    SCHEMA_VERSION,
    JournalError,
    JournalReader,
    Row,
    check_kind,
    connect,
    digest,
    explained,
    intact,
    open_readonly,
)
from pipeline.journal_records import (
    CHAINED,
    SCHEMA,
    FillRecord,
    OrderRecord,
    RunRecord,
    SettlementRecord,
    TradeRecord,
    canonical,
    fill_of,
    fill_row,
    intent_rows,
    run_row,
    settlement_of,
    settlement_row,
)

__all__ = ["Journal", "JournalError", "open_readonly"]


class Journal(JournalReader):
    """The one writer of a ledger. Each method is one transaction; it is on the disk when it
    returns.

    `ok` is False after a commit that the disk refused, until `probe` or a later commit succeeds:
    then no new order may be sent. A failed method leaves nothing behind.
    """

    def __init__(
        self,
        path: Path,
        db: sqlite3.Connection,
        *,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        super().__init__(path, db)
        self.ok = True
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._seq, self._hash = self._head()
        # Whose settlements are booked; "" until a run has begun.
        self._account = ""

    @classmethod
    def open(cls, path: Path, *, wall_ns: Callable[[], int], monotonic_ns: Callable[[], int]) -> Journal:
        """Open or create the ledger. Raises JournalError for a file that is not to be written.

        Checks the file's kind, its version, that it can be written and that its last row is whole;
        `verify` checks all rows and belongs after it.
        """
        _create(path)
        db: sqlite3.Connection | None = None
        try:
            db = connect(path, "rw")
            if db.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
                raise JournalError(f"{path}: this file system cannot hold a journal; use a local disk")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA foreign_keys=ON")
            _prepare(path, db)
            journal = cls(path, db, wall_ns=wall_ns, monotonic_ns=monotonic_ns)
            journal._check_tail()
        except (sqlite3.Error, JournalError) as error:
            if db is not None:
                db.close()
            raise error if isinstance(error, JournalError) else explained(path, error) from error
        return journal

    def begin_run(self, run: RunRecord) -> str:
        """Book the start of a trader; returns the run's id, the first part of every order id."""
        with self._transaction():
            before = self._rows("SELECT count(*) AS runs FROM runs")[0]["runs"]
            run_id = f"r{before + 1}"
            self._append("runs", run_row(run_id, run))
        self._account = run.account
        return run_id

    def commit_intents(self, trade: TradeRecord) -> None:
        """Book both legs in one transaction: before it returns, nothing may be sent."""
        with self._transaction():
            for row in intent_rows(trade):
                self._append("intents", row)

    def record_order(self, order: OrderRecord, fills: Sequence[FillRecord] = ()) -> list[FillRecord]:
        """Book one order event with its fills; as `record_orders`."""
        return self.record_orders([(order, fills)])

    def record_orders(self, reports: Sequence[tuple[OrderRecord, Sequence[FillRecord]]]) -> list[FillRecord]:
        """Book order events and their fills together; returns the fills that were new, with
        `wall_ns`.

        What a broker reports at once belongs in one call: a kill cannot then fall between two legs.
        """
        booked: list[FillRecord] = []
        with self._transaction():
            for order, fills in reports:
                row = {"order_id": order.order_id, "status": order.status, "at_ns": order.at_ns}
                self._append("orders", row | {"why": order.why, "evidence": canonical(order.evidence)})
                booked += self._book_fills(fills)
        return booked

    def record_fills(self, fills: Sequence[FillRecord]) -> list[FillRecord]:
        """Book fills alone, even of a closed order; replays are no-ops. Returns those that were
        new.

        Raises JournalError when a known (venue, fill id) comes with other figures.
        """
        with self._transaction():
            return self._book_fills(fills)

    def record_settlement(self, settlement: SettlementRecord) -> SettlementRecord | None:
        """Book what a held outcome paid, once: None when it is booked already."""
        assert self._account, "a settlement belongs to the account of a run"
        row = {"account": self._account} | settlement_row(settlement)
        names = ("account", "event_id", "venue", "market", "outcome")
        key, where = [row[name] for name in names], " AND ".join(f"{name}=?" for name in names)
        with self._transaction():
            known = self._rows(f"SELECT * FROM settlements WHERE {where}", key)  # noqa: S608
            if not known:
                return settlement_of(self._append("settlements", row))
            self._same("settlement of", " ".join(key), known[0], row)
            return None

    def resolve_open(self, order_id: str, why: str) -> str:
        """Close an order left open by a restart: NOT_SENT, or CANCELLED where a part is filled.

        Returns the status booked. Raises JournalError for an order that is not open.
        """
        with self._transaction():
            if order_id not in self.open_intents():
                raise JournalError(f"{self.path}: order {order_id} is not open; there is nothing to resolve")
            filled = self._rows("SELECT seq FROM fills WHERE order_id=? LIMIT 1", (order_id,))
            status = "CANCELLED" if filled else "NOT_SENT"
            row = {
                "order_id": order_id,
                "status": status,
                "at_ns": self._monotonic_ns(),
                "why": why,
            }
            self._append("orders", row | {"evidence": "{}"})
        return status

    def probe(self) -> bool:
        """Whether a commit succeeds now; sets `ok`. Tried now and then after a failure."""
        try:
            with self._transaction():
                pass
        except JournalError:
            return False
        return True

    def _book_fills(self, fills: Sequence[FillRecord]) -> list[FillRecord]:
        booked = []
        for fill in fills:
            row, key = fill_row(fill), (fill.venue, fill.fill_id)
            known = self._rows("SELECT * FROM fills WHERE venue=? AND fill_id=?", key)
            if known:
                self._same("fill", " ".join(key), known[0], row)
            else:
                booked.append(fill_of(self._append("fills", row)))
        return booked

    def _same(self, what: str, key: str, known: Row, row: Row) -> None:
        """A replay may differ in when it was seen and from what, never in its figures."""
        other = [name for name in row if name not in {"at_ns", "evidence"} and known[name] != row[name]]
        if other:
            raise JournalError(f"{self.path}: {what} {key} is booked with another {', '.join(other)}")

    def _append(self, table: str, content: Row) -> Row:
        row = {
            "seq": self._seq + 1,
            **content,
            "wall_ns": self._wall_ns(),
            "mono_ns": self._monotonic_ns(),
        }
        row["prev"] = self._hash
        row["hash"] = digest(table, row)
        marks = ",".join("?" * len(row))
        statement = f"INSERT INTO {table} ({','.join(row)}) VALUES ({marks})"  # noqa: S608
        self._db.execute(statement, tuple(row.values()))
        self._seq, self._hash = row["seq"], row["hash"]
        return row

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, in the file and in the head that this object remembers."""
        before = self._seq, self._hash
        done = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if self._head() != before:
                self.ok = False
                raise JournalError(f"{self.path}: another process writes this journal; stop one of the two")
            yield
            self._db.execute("UPDATE head SET seq=?, hash=?", (self._seq, self._hash))
            self._db.execute("COMMIT")
            done = self.ok = True
        except sqlite3.IntegrityError as error:
            raise JournalError(f"{self.path}: refused, nothing was written: {error}") from error
        except sqlite3.Error as error:
            self.ok = False
            raise explained(self.path, error) from error
        finally:
            if not done:
                self._seq, self._hash = before
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _check_tail(self) -> None:
        """A cheap look at the end of the chain: the row the head names is there, last and whole."""
        tail = [
            (row["seq"], row["hash"], intact(table, row))
            for table in CHAINED
            for row in self._rows(f"SELECT * FROM {table} WHERE seq>=?", (self._seq,))  # noqa: S608
        ]
        if tail != ([(self._seq, self._hash, True)] if self._seq else []):
            raise JournalError(f"{self.path}: its end was changed; keep the file, use another")


def _create(path: Path) -> None:
    """Make the file, readable by its owner only: SQLite gives its side files the same mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Never open a file that exists: closing it would drop SQLite's locks in this process.
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise JournalError(f"{path} cannot be created: {error.strerror}; check the data directory") from error


def _prepare(path: Path, db: sqlite3.Connection) -> None:
    """Create the tables in an empty file, or check that the file is ours."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in SCHEMA:
                db.execute(statement)
            db.execute("INSERT INTO head VALUES (1, 0, ?)", (GENESIS,))
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    check_kind(path, db)
