"""Journal: what was decided, sent, filled and settled, kept for ever in data/ledger.sqlite.

In: records of runs, trades, orders, fills, cash, settlements and switches. Out: rows that are committed
(WAL, synchronous FULL) when a method returns, and the same records read back. Every row has the next
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from pipeline.journal_migration import make_tables, migrate
from pipeline.journal_reader import (
    SCHEMA_VERSION,
    JournalError,
    JournalReader,
    check_kind,
    connect,
    explained,
    open_readonly,
)
from pipeline.journal_records import (
    FINAL_STATUSES,
    OPENING,
    Booked,
    CashRecord,
    ConfirmationRecord,
    FillRecord,
    OrderRecord,
    RunRecord,
    SettlementRecord,
    SwitchRecord,
    TradeRecord,
)
from pipeline.journal_rows import (
    GENESIS,
    Row,
    cash_of,
    cash_row,
    cells,
    confirmation_of,
    confirmation_row,
    digest,
    fill_of,
    fill_row,
    intact,
    intent_rows,
    order_row,
    run_row,
    settlement_of,
    settlement_row,
    switch_of,
    switch_row,
)

__all__ = ["Journal", "JournalError", "open_readonly"]

ROOM_BYTES = 1 << 20
"""Free space below which a journal that failed is not tried again: many trades fit in it."""

Report = tuple[OrderRecord, Sequence[FillRecord], Sequence[ConfirmationRecord]]
"""What a broker says of one order at a time."""


def _nowhere(_point: str) -> None:
    """Pass a point where nobody waits."""


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
        at: Callable[[str], None] = _nowhere,
    ) -> None:
        super().__init__(path, db)
        self.ok = True
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._at = at
        self._seq, self._hash = self._head()
        # Whose cash, settlements and switches are booked; "" until a run has begun.
        self._account = ""

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
        at: Callable[[str], None] = _nowhere,
    ) -> Journal:
        """Open or create the ledger. Raises JournalError for a file that is not to be written.

        Checks the file's kind, its version, that it can be written and that its last row is whole;
        `require_whole` checks all rows and belongs after it. An older version is made into this one first
        (`journal_migration`). `at` is told the points at which a kill would be most awkward:
        "before_commit" within every transaction, "after_commit", and those of the migration.
        """
        _create(path)
        db: sqlite3.Connection | None = None
        try:
            migrate(path, wall_ns=wall_ns, monotonic_ns=monotonic_ns, at=at)
            db = connect(path, "rw")
            if db.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
                raise JournalError(f"{path}: this file system cannot hold a journal; use a local disk")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA foreign_keys=ON")
            _prepare(path, db)
            journal = cls(path, db, wall_ns=wall_ns, monotonic_ns=monotonic_ns, at=at)
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

    def open_account(
        self, cash: Mapping[str, Decimal], coins: Mapping[tuple[str, str], Decimal] | None = None
    ) -> bool:
        """Book what the run's account begins with, in one transaction; False when it began before.

        `cash` is dollars by venue, `coins` amounts by venue and market. Amounts given later change nothing.
        An account that begins with nothing at all has not begun.
        """
        account = self._own_account()
        amounts = {(venue, ""): amount for venue, amount in cash.items()} | dict(coins or {})
        with self._transaction():
            if self.opening(account):
                return False
            for (venue, market), amount in amounts.items():
                row = cash_row(CashRecord(venue, market, amount, OPENING))
                self._append("cash", {"account": account} | row)
        return bool(amounts)

    def commit_intents(self, trade: TradeRecord) -> None:
        """Book the orders of a trade, its first or further ones, in one transaction.

        Before it returns, nothing may be sent. Raises JournalError for an order id or number that is used,
        and ValueError for an id that is not `trade_id`-number.
        """
        rows = intent_rows(trade)
        with self._transaction():
            for row in rows:
                self._append("intents", row)

    def record_order(
        self,
        order: OrderRecord,
        fills: Sequence[FillRecord] = (),
        confirmations: Sequence[ConfirmationRecord] = (),
    ) -> Booked:
        """Book one order event with its fills; as `record_orders`."""
        return self.record_orders([(order, fills, confirmations)])

    def record_orders(self, reports: Sequence[Report]) -> Booked:
        """Book order events, their fills and what became of fills; returns what of both was new.

        What a broker reports at once belongs in one call: a kill cannot then fall between two legs.
        A report that comes again is no row. An order ends once: what is reported later adds fills, and is
        written down with the step it must have made before. Raises JournalError, and books nothing, when a
        known fill comes with other figures, a confirmation with another outcome or without its fill, or
        another end without a fill of an order that its venue has ended.
        """
        fills: list[FillRecord] = []
        confirmations: list[ConfirmationRecord] = []
        with self._transaction():
            for order, filled, _ in reports:
                new = self._new(list(map(fill_row, filled)), "fills")
                self._book_event(order, fills=bool(filled), new=bool(new))
                fills += [fill_of(self._append("fills", row)) for row in new]
            for _, _, confirmed in reports:
                rows = self._new(list(map(confirmation_row, confirmed)), "confirmations")
                confirmations += [confirmation_of(self._append("confirmations", row)) for row in rows]
        return Booked(tuple(fills), tuple(confirmations))

    def record_fills(self, fills: Sequence[FillRecord]) -> list[FillRecord]:
        """Book fills alone, even of a closed order; replays are no-ops. Returns those that were
        new.

        Raises JournalError when a known (venue, fill id) comes with other figures.
        """
        with self._transaction():
            new = self._new(list(map(fill_row, fills)), "fills")
            return [fill_of(self._append("fills", row)) for row in new]

    def record_cash(self, cash: CashRecord) -> CashRecord:
        """Book a movement of money or coins of the run's account. Each call is a movement of its own."""
        assert cash.why != OPENING, "opening balances are booked by open_account"
        account = self._own_account()
        with self._transaction():
            return cash_of(self._append("cash", {"account": account} | cash_row(cash)))

    def record_switch(self, switch: SwitchRecord) -> SwitchRecord:
        """Book a turn of the kill switch of the run's account."""
        account = self._own_account()
        with self._transaction():
            return switch_of(self._append("switches", {"account": account} | switch_row(switch)))

    def record_settlement(self, settlement: SettlementRecord) -> SettlementRecord | None:
        """Book what a held outcome paid, once: None when it is booked already."""
        row = {"account": self._own_account()} | settlement_row(settlement)
        with self._transaction():
            for new in self._new([row], "settlements"):
                return settlement_of(self._append("settlements", new))
        return None

    def resolve_open(self, order_id: str, why: str) -> str:
        """Close an order left open by a restart: NOT_SENT, or CANCELLED where a part is filled.

        Returns the status booked. Raises JournalError for an order that is not open.
        """
        with self._transaction():
            known = self._rows("SELECT seq FROM intents WHERE order_id=?", (order_id,))
            if not known or self._end_of(order_id):
                raise JournalError(f"{self.path}: order {order_id} is not open; there is nothing to resolve")
            filled = self._rows("SELECT seq FROM fills WHERE order_id=? LIMIT 1", (order_id,))
            status = "CANCELLED" if filled else "NOT_SENT"
            self._append("orders", order_row(OrderRecord(order_id, status, self._monotonic_ns(), why)))
        return status

    def probe(self) -> bool:
        """Whether a commit succeeds now, with room for more; sets `ok`. Tried again after a failure."""
        try:
            free = os.statvfs(self.path.parent)
            self.ok = free.f_bavail * free.f_frsize >= ROOM_BYTES
            if self.ok:
                with self._transaction():
                    self._check_tail()
                    # SQLite writes no page that has not changed: this always writes one.
                    self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except (JournalError, OSError):
            self.ok = False
        return self.ok

    def _own_account(self) -> str:
        assert self._account, "money belongs to the account of a run"
        return self._account

    def _book_event(self, order: OrderRecord, *, fills: bool, new: bool) -> None:
        """Append an order event, unless it says what is known; `new`: some of its fills are."""
        row, ended = order_row(order), self._end_of(order.order_id)
        other = bool(ended) and order.status in FINAL_STATUSES and order.status != ended
        if other and not fills and ended != "NOT_SENT":
            raise JournalError(
                f"{self.path}: order {order.order_id} ended as {ended}, and now as {order.status};"
                " ask its venue which is true"
            )
        if other:
            row["why"] = f"{order.status} was reported after {ended}" + (order.why and f": {order.why}")
        if ended:
            # What comes after the end is no second end: it shows that the order had got as far as this.
            row["status"] = "PARTIAL" if fills else "ACCEPTED"
        query = "SELECT status, why FROM orders WHERE order_id=? ORDER BY seq DESC LIMIT 1"
        known = self._rows(query, (order.order_id,)) == [{"status": row["status"], "why": row["why"]}]
        if new or (not known and (other or not ended)):
            self._append("orders", row)

    def _end_of(self, order_id: str) -> str:
        """The final status of an order, "" while it has none."""
        query = f"SELECT status FROM orders WHERE order_id=? AND status IN {FINAL_STATUSES}"  # noqa: S608
        rows = self._rows(query, (order_id,))
        return str(rows[0]["status"]) if rows else ""

    def _new(self, rows: Sequence[Row], table: str) -> list[Row]:
        """Those rows whose key is not booked, each once. Raises JournalError where figures differ.

        A replay may differ in when it was seen and from what, never in its figures.
        """
        names = _KEYS[table]
        where = " AND ".join(f"{name}=?" for name in names)
        found: dict[tuple[object, ...], Row] = {}
        for row in map(cells, rows):
            key = tuple(row[name] for name in names)
            booked = self._rows(f"SELECT * FROM {table} WHERE {where}", key)  # noqa: S608
            known = booked[0] if booked else found.setdefault(key, row)
            other = [name for name in row if name not in {"at_ns", "evidence"} and known[name] != row[name]]
            if other:
                text = " ".join(map(str, key))
                raise JournalError(f"{self.path}: {table} {text} is booked with another {', '.join(other)}")
        return list(found.values())

    def _append(self, table: str, content: Row) -> Row:
        row: Row = {"seq": self._seq + 1} | cells(content)
        row |= {"wall_ns": self._wall_ns(), "mono_ns": self._monotonic_ns(), "prev": self._hash}
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
            self._at("before_commit")
            self._db.execute("COMMIT")
            done = self.ok = True
            self._at("after_commit")
        except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError) as error:
            raise JournalError(f"{self.path}: refused, nothing was written: {error}") from error
        except sqlite3.Error as error:
            self.ok = False
            raise explained(self.path, error) from error
        finally:
            if not done:
                self._seq, self._hash = before
                self._roll_back()

    def _roll_back(self) -> None:
        """Drop what is not committed. A disk that fails here too leaves it to SQLite's recovery."""
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            self.ok = False

    def _check_tail(self) -> None:
        """A cheap look at the end of the chain: the row the head names is there, last and whole."""
        tail = [
            (row["seq"], row["hash"], intact(table, row))
            for table in self.tables
            for row in self._rows(f"SELECT * FROM {table} WHERE seq>=?", (self._seq,))  # noqa: S608
        ]
        if tail != ([(self._seq, self._hash, True)] if self._seq else []):
            raise JournalError(f"{self.path}: its end was changed; keep the file, use another")


_KEYS = {
    "fills": ("venue", "fill_id"),
    "confirmations": ("venue", "fill_id"),
    "settlements": ("account", "event_id", "venue", "market", "outcome"),
}


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
            make_tables(db, GENESIS)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    check_kind(path, db)
