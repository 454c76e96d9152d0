"""Journal reader: opens a ledger for reading, gives its records back and checks its hash chain.

In: data/ledger.sqlite, while the trader writes it or afterwards. Out: records in the order they
were booked, and every defect as a sentence. Run by the trader at its start, by cli, and by tests.
With `journal`, which writes, this is the door to sqlite3.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from heapq import merge
from operator import itemgetter
from pathlib import Path

from pipeline.journal_records import (
    FINAL_STATUSES,
    OPENING,
    TURNS,
    CashRecord,
    ConfirmationRecord,
    FillRecord,
    OrderRecord,
    RecentTrade,
    SettlementRecord,
    SwitchRecord,
    TradeParts,
    TradeRecord,
)
from pipeline.journal_rows import (
    OWNED,
    TABLES,
    Row,
    cash_of,
    confirmation_of,
    fill_of,
    intact,
    order_of,
    same_commit,
    settlement_of,
    switch_of,
    trade_of,
)
from pipeline.money import to_decimal

SCHEMA_VERSION = 2
APPLICATION_ID = 0x50785831
BUSY_SECONDS = 2.0
MOST_NAMED = 3

Movement = FillRecord | ConfirmationRecord | SettlementRecord | CashRecord
"""What changes an account."""

_FINAL = f"SELECT order_id FROM orders WHERE status IN {FINAL_STATUSES}"  # noqa: S608


class JournalError(Exception):
    """The journal cannot be opened, read or written. Says what, where, and what to do."""


class JournalReader:
    """Reads one ledger. Make it with `open_readonly`; it sees each commit as soon as it is made.

    Where a method takes an account, "" stands for all of them. Every method raises JournalError for a file
    that cannot be read.
    """

    tables: tuple[str, ...] = tuple(TABLES)
    """The chained tables, of this version."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def trades(self, account: str = "") -> list[TradeRecord]:
        """Every trade with all its intents in the order of their numbers, oldest first."""
        rows: dict[str, list[Row]] = {}
        for row in self.rows("intents", account):
            rows.setdefault(row["trade_id"], []).append(row)
        return [trade_of(intents) for intents in rows.values()]

    def commits(self, account: str = "") -> list[TradeRecord]:
        """The records of trades one by one as they were committed: a hedge has its own `edge` here."""
        found: list[list[Row]] = []
        for row in self.rows("intents", account):
            if found and found[-1][-1]["seq"] == row["seq"] - 1 and same_commit(found[-1][-1], row):
                found[-1].append(row)
            else:
                found.append([row])
        return [trade_of(rows) for rows in found]

    def orders(self, account: str = "") -> list[OrderRecord]:
        """Every order event, oldest first."""
        return [order_of(row) for row in self.rows("orders", account)]

    def fills(self, account: str = "") -> list[FillRecord]:
        """Every fill, oldest first; those that failed later too."""
        return [fill_of(row) for row in self.rows("fills", account)]

    def confirmations(self, account: str = "") -> list[ConfirmationRecord]:
        """What became of provisional fills, oldest first."""
        return [confirmation_of(row) for row in self.rows("confirmations", account)]

    def settlements(self, account: str = "") -> list[SettlementRecord]:
        """Every settlement, oldest first."""
        return [settlement_of(row) for row in self.rows("settlements", account)]

    def cash(self, account: str = "") -> list[CashRecord]:
        """Every movement of money or coins that is no trade, oldest first."""
        return [cash_of(row) for row in self.rows("cash", account)]

    def switches(self, account: str = "") -> list[SwitchRecord]:
        """Every turn of the kill switch, oldest first."""
        return [turn for turn in self._switches(account) if turn.state in TURNS]

    def flattens(self, account: str) -> list[SwitchRecord]:
        """What was begun and ended of people's orders to close an event, oldest first."""
        return [each for each in self._switches(account) if each.state not in TURNS]

    def _switches(self, account: str) -> list[SwitchRecord]:
        return [switch_of(row) for row in self.rows("switches", account)]

    def history(self, account: str) -> list[Movement]:
        """What made an account's positions and cash, in the order it was booked, opening balances first.

        A fill belongs to the account of the run that intended its order. An account of the first schema
        version has its opening balances booked after its trades; they stand first all the same.
        """
        booked: list[tuple[int, Movement]] = []
        booked += [(row["seq"], fill_of(row)) for row in self.rows("fills", account)]
        booked += [(row["seq"], confirmation_of(row)) for row in self.rows("confirmations", account)]
        booked += [(row["seq"], settlement_of(row)) for row in self.rows("settlements", account)]
        booked += [
            (0 if row["why"] == OPENING else row["seq"], cash_of(row)) for row in self.rows("cash", account)
        ]
        return [record for _, record in sorted(booked, key=itemgetter(0))]

    def opening(self, account: str) -> bool:
        """Whether the account's opening balances were booked."""
        return bool(self._rows("SELECT seq FROM cash WHERE account=? AND why=? LIMIT 1", (account, OPENING)))

    def open_intents(self, account: str = "") -> list[str]:
        """Ids of orders without a final event: after a restart nobody knows what became of them."""
        where, values = f"order_id NOT IN ({_FINAL})", ()
        rows = self._select("order_id", "intents", where, values, account)
        return [row["order_id"] for row in rows]

    def recent_intents(self, account: str, since_wall_ns: int) -> list[RecentTrade]:
        """Trades whose first orders were committed at `since_wall_ns` or later, oldest first."""
        query = (
            "SELECT wall_ns, event_id, direction, trade_id, min(seq) FROM intents"  # noqa: S608
            f" WHERE {OWNED['intents']} GROUP BY trade_id HAVING wall_ns>=? ORDER BY min(seq)"
        )
        rows = self._rows(query, (account, since_wall_ns))
        return [
            RecentTrade(row["wall_ns"], row["event_id"], row["direction"], row["trade_id"]) for row in rows
        ]

    def recent_orders(self, account: str, since_wall_ns: int) -> list[int]:
        """When (wall clock) orders were committed, those of `since_wall_ns` or later, oldest first."""
        rows = self._select("wall_ns", "intents", "wall_ns>=?", (since_wall_ns,), account)
        return [row["wall_ns"] for row in rows]

    def trade_parts(self, account: str) -> list[TradeParts]:
        """All that is known of each trade that may not have ended, oldest first.

        That is one with an order without a final event, with a provisional fill nobody confirmed, or with
        legs of unequal size. Trades of the first schema version have no plan and have all ended.
        """
        open_orders = f"order_id NOT IN ({_FINAL})"
        provisional = (
            "order_id IN (SELECT order_id FROM fills WHERE provisional=1"
            " AND (venue, fill_id) NOT IN (SELECT venue, fill_id FROM confirmations))"
        )
        where = f"plan<>'{{}}' AND ({open_orders} OR {provisional})"
        rows = self._select("trade_id", "intents", where, (), account)
        wanted = {row["trade_id"] for row in rows} | self._unequal(account)
        parts = [self.parts_of(trade_id) for trade_id in wanted]
        return [part for _, part in sorted(parts, key=itemgetter(0)) if part.trade.plan]

    def parts_of(self, trade_id: str) -> tuple[int, TradeParts]:
        """When a trade was first committed (its first row's number), and all that is known of it.

        Raises JournalError for a trade that is not there.
        """
        intents = self._rows("SELECT * FROM intents WHERE trade_id=? ORDER BY seq", (trade_id,))
        if not intents:
            raise JournalError(f"{self.path}: there is no trade {trade_id}; see run.py journal trades")
        mine = "order_id IN (SELECT order_id FROM intents WHERE trade_id=?)"
        orders = self._select("*", "orders", mine, (trade_id,))
        fills = self._select("*", "fills", mine, (trade_id,))
        ids = f"(venue, fill_id) IN (SELECT venue, fill_id FROM fills WHERE {mine})"  # noqa: S608
        confirmations = self._select("*", "confirmations", ids, (trade_id,))
        return intents[0]["seq"], TradeParts(
            trade_of(intents),
            tuple(map(order_of, orders)),
            tuple(map(fill_of, fills)),
            tuple(map(confirmation_of, confirmations)),
        )

    def _unequal(self, account: str) -> set[str]:
        """Trades whose legs differ: what orders filled, less what unwinding took back and what failed."""
        query = (
            "SELECT i.trade_id, leg, purpose='unwind' AS back, f.size_decimals, sum(f.size_units) AS units"
            " FROM fills f JOIN intents i USING (order_id) JOIN runs USING (run_id) WHERE account=?"
            " AND (f.venue, fill_id) NOT IN"
            "  (SELECT venue, fill_id FROM confirmations WHERE status='FAILED')"
            " GROUP BY i.trade_id, leg, back, f.size_decimals"
        )
        excess: dict[str, Decimal] = {}
        for row in self._rows(query, (account,)):
            sign = -1 if bool(row["leg"]) != bool(row["back"]) else 1
            quantity = sign * to_decimal(row["units"], row["size_decimals"])
            excess[row["trade_id"]] = excess.get(row["trade_id"], Decimal(0)) + quantity
        return {trade_id for trade_id, quantity in excess.items() if quantity}

    def verify(self) -> list[str]:
        """Every problem found, as sentences: SQLite's own checks, then the chain. [] is good."""
        try:
            with self.snapshot():
                return self._verify_file() + self._verify_chain()
        except (sqlite3.Error, JournalError) as error:
            return [f"{self.path} cannot be read: {error}"]

    def require_whole(self) -> None:
        """Raise JournalError, saying what is wrong, unless every row is as it was written."""
        problems = self.verify()
        if problems:
            more = f" (and {len(problems) - MOST_NAMED} more)" if len(problems) > MOST_NAMED else ""
            raise JournalError(
                f"{self.path} is not as it was written: {'; '.join(problems[:MOST_NAMED])}{more}. Nothing is"
                " traded on it: keep the file, and use a copy of it that is whole or another data directory"
            )

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within it all reads see one state, whatever the writer adds meanwhile."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def _verify_file(self) -> list[str]:
        lines = self._db.execute("PRAGMA quick_check").fetchall()
        orphans = self._db.execute("PRAGMA foreign_key_check").fetchall()
        return [f"SQLite: {line[0]}" for line in lines if line[0] != "ok"] + [
            f"{row[0]}: a row names one of {row[2]} that is missing" for row in orphans
        ]

    def _verify_chain(self) -> list[str]:
        try:
            return self._broken_links()
        except JournalError:
            # A damaged text is no UTF-8: read it all the same, so that its row is named.
            self._db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            try:
                return self._broken_links()
            finally:
                self._db.text_factory = str

    def _broken_links(self) -> list[str]:
        found = []
        seq, last = 0, self._genesis()
        for at, row, table in merge(*map(self._named, self.tables), key=itemgetter(0)):
            if at != seq + 1:
                found.append(f"{table}: row {at} follows row {seq}")
            if row["prev"] != last:
                found.append(f"{table}: row {at} does not continue the chain")
            if not intact(table, row):
                found.append(f"{table}: row {at} was changed after it was written")
            seq, last = at, row["hash"]
        head = self._head()
        if head != (seq, last):
            found.append(f"the last row is {seq}, but {head[0]} were written")
        return found

    def _head(self) -> tuple[int, str]:
        row = self._db.execute("SELECT seq, hash FROM head").fetchone()
        if row is None:
            raise JournalError(f"{self.path}: its head is missing; keep the file, use another")
        return int(row[0]), str(row[1])

    def _genesis(self) -> str:
        """What the first row continues."""
        row = self._db.execute("SELECT genesis FROM head").fetchone()
        return str(row[0]) if row else ""

    def _named(self, table: str) -> Iterator[tuple[int, Row, str]]:
        for row in self.each(table):
            yield row["seq"], row, table

    def accounts(self) -> list[str]:
        """Every account that had a run, oldest first."""
        rows = self._rows("SELECT account FROM runs GROUP BY account ORDER BY min(seq)")
        return [row["account"] for row in rows]

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns, its number and the chain's among them."""
        assert table in self.tables, f"{table} is no table of the journal"
        return [row["name"] for row in self._rows(f"PRAGMA table_info({table})")]

    def each(self, table: str, account: str = "") -> Iterator[Row]:
        """A table's rows, oldest first, one by one."""
        assert table in self.tables, f"{table} is no table of the journal"
        where, values = (f" WHERE {OWNED[table]}", (account,)) if account else ("", ())
        try:
            cursor = self._db.execute(f"SELECT * FROM {table}{where} ORDER BY seq", values)  # noqa: S608
            names = [column[0] for column in cursor.description]
            for cells in cursor:
                yield dict(zip(names, cells, strict=True))
        except sqlite3.Error as error:
            raise explained(self.path, error) from error

    def rows(self, table: str, account: str = "") -> list[Row]:
        """A table's rows, oldest first."""
        return list(self.each(table, account))

    def _select(
        self, what: str, table: str, where: str, values: Sequence[object], account: str = ""
    ) -> list[Row]:
        if account:
            where, values = f"{where} AND {OWNED[table]}", (*values, account)
        return self._rows(f"SELECT {what} FROM {table} WHERE {where} ORDER BY seq", values)  # noqa: S608

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Row]:
        try:
            cursor = self._db.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]
        except sqlite3.Error as error:
            raise explained(self.path, error) from error


def open_readonly(path: Path) -> JournalReader:
    """Open a ledger for reading, beside its writer. Raises JournalError when it is none of ours."""
    try:
        db = connect(path, "ro")
        try:
            check_kind(path, db)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise explained(path, error) from error
    return JournalReader(path, db)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to an existing file; `mode` is SQLite's: "ro" or "rw". Transactions are ours."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def version_of(path: Path, db: sqlite3.Connection) -> int:
    """The schema version of a ledger. Raises JournalError for another program's file."""
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise JournalError(f"{path} is a database of another program; use another data directory")
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_kind(path: Path, db: sqlite3.Connection) -> None:
    """Raise JournalError unless the file is a ledger of the one version that this program knows."""
    version = version_of(path, db)
    if 0 < version < SCHEMA_VERSION:
        raise JournalError(
            f"{path} has the older schema version {version}: start the trader once (run.py up); it keeps a"
            f" copy and makes version {SCHEMA_VERSION} of it"
        )
    if version != SCHEMA_VERSION:
        raise JournalError(
            f"{path} has schema version {version}, this program knows {SCHEMA_VERSION};"
            " use the program that wrote it, or another data directory"
        )


def explained(path: Path, error: sqlite3.Error) -> JournalError:
    """The error in words that say what to do."""
    text = str(error)
    damaged = "it is damaged or not ours; keep the file and use another data directory"
    advice = {
        "locked": "another process holds it; stop that one",
        "readonly": "it may not be written; check the owner and mode of the file and its directory",
        "unable to open": "check that the directory exists and may be entered and written",
        "full": "free some space; no order is sent until then",
        "malformed": damaged,
        "not a database": damaged,
        "disk I/O": "the disk failed; check it before anything else",
    }
    hint = next((advice[part] for part in advice if part in text), "nothing was written")
    return JournalError(f"{path}: {text}: {hint}")
