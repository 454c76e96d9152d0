"""Journal reader: opens a ledger for reading, gives its records back and checks its hash chain.

In: data/ledger.sqlite, while the trader writes it or afterwards. Out: records in the order they
were booked, and every defect as a sentence. Run by the trader at its start, by cli, and by tests.
With `journal`, which writes, this is the door to sqlite3.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any

from pipeline.journal_records import (
    CHAINED,
    FINAL_STATUSES,
    FillRecord,
    OrderRecord,
    SettlementRecord,
    TradeRecord,
    canonical,
    fill_of,
    settlement_of,
    trade_of,
)

SCHEMA_VERSION = 1
APPLICATION_ID = 0x50785831
BUSY_SECONDS = 2.0
GENESIS = "0" * 64

Row = dict[str, Any]


class JournalError(Exception):
    """The journal cannot be opened, read or written. Says what, where, and what to do."""


class JournalReader:
    """Reads one ledger. Make it with `open_readonly`; it sees each commit as soon as it is made."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def trades(self) -> list[TradeRecord]:
        """Every trade with both legs' intents, oldest first."""
        legs = self._rows("SELECT * FROM intents ORDER BY seq")
        return [trade_of(pair[0], pair[1]) for pair in zip(legs[::2], legs[1::2], strict=True)]

    def orders(self) -> list[OrderRecord]:
        """Every order event, oldest first."""
        rows = self._rows("SELECT * FROM orders ORDER BY seq")
        return [
            OrderRecord(
                row["order_id"],
                row["status"],
                row["at_ns"],
                row["why"],
                json.loads(row["evidence"]),
            )
            for row in rows
        ]

    def fills(self) -> list[FillRecord]:
        """Every fill, oldest first."""
        return [fill_of(row) for row in self._rows("SELECT * FROM fills ORDER BY seq")]

    def settlements(self) -> list[SettlementRecord]:
        """Every settlement, oldest first."""
        return [settlement_of(row) for row in self._rows("SELECT * FROM settlements ORDER BY seq")]

    def history(self, account: str) -> list[FillRecord | SettlementRecord]:
        """An account's fills and settlements in the order they were booked: they make its
        positions.

        A fill belongs to the account of the run that intended its order.
        """
        fills = self._rows(
            "SELECT fills.* FROM fills JOIN intents USING (order_id) JOIN runs USING (run_id)"
            " WHERE account=?",
            (account,),
        )
        settled = self._rows("SELECT * FROM settlements WHERE account=?", (account,))
        booked: list[tuple[int, FillRecord | SettlementRecord]] = []
        booked += [(row["seq"], fill_of(row)) for row in fills]
        booked += [(row["seq"], settlement_of(row)) for row in settled]
        return [record for _, record in sorted(booked, key=itemgetter(0))]

    def open_intents(self) -> list[str]:
        """Ids of orders without a final event: after a restart nobody knows what became of them."""
        final = f"SELECT order_id FROM orders WHERE status IN {FINAL_STATUSES}"  # noqa: S608
        query = f"SELECT order_id FROM intents WHERE order_id NOT IN ({final}) ORDER BY seq"  # noqa: S608
        return [row["order_id"] for row in self._rows(query)]

    def verify(self) -> list[str]:
        """Every problem found, as sentences: SQLite's own checks, then the chain. [] is good."""
        try:
            self._db.execute("BEGIN")  # one snapshot, whatever the writer adds meanwhile
            try:
                return self._verify_file() + self._verify_chain()
            finally:
                self._db.execute("ROLLBACK")
        except (sqlite3.Error, JournalError) as error:
            return [f"{self.path} cannot be read: {error}"]

    def _verify_file(self) -> list[str]:
        lines = self._db.execute("PRAGMA quick_check").fetchall()
        orphans = self._db.execute("PRAGMA foreign_key_check").fetchall()
        return [f"SQLite: {line[0]}" for line in lines if line[0] != "ok"] + [
            f"{row[0]}: a row names one of {row[2]} that is missing" for row in orphans
        ]

    def _verify_chain(self) -> list[str]:
        found = []
        seq, last = 0, GENESIS
        for at, table, row in merge(*map(self._each, CHAINED), key=itemgetter(0)):
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

    def _each(self, table: str) -> Iterator[tuple[int, str, Row]]:
        cursor = self._db.execute(f"SELECT * FROM {table} ORDER BY seq")  # noqa: S608
        names = [column[0] for column in cursor.description]
        for values in cursor:
            row = dict(zip(names, values, strict=True))
            yield row["seq"], table, row

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
        check_kind(path, db)
    except sqlite3.Error as error:
        raise explained(path, error) from error
    return JournalReader(path, db)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to an existing file; `mode` is SQLite's: "ro" or "rw". Transactions are ours."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def check_kind(path: Path, db: sqlite3.Connection) -> None:
    """Raise JournalError unless the file is a ledger of the one version that this program knows."""
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise JournalError(f"{path} is a database of another program; use another data directory")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise JournalError(
            f"{path} has schema version {version}, this program knows {SCHEMA_VERSION};"
            " use the program that wrote it, or another data directory"
        )


def digest(table: str, row: Mapping[str, object]) -> str:
    """SHA-256 over the row's content, its number and stamps, and the hash before it (`prev`)."""
    content = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(canonical([table, content]).encode()).hexdigest()


def intact(table: str, row: Mapping[str, object]) -> bool:
    """Whether a row still has the content that was hashed."""
    try:
        return row["hash"] == digest(table, row)
    except TypeError:  # damage turned a column into bytes or a float
        return False


def explained(path: Path, error: sqlite3.Error) -> JournalError:
    """The error in words that say what to do."""
    text = str(error)
    damaged = "it is damaged or not ours; keep the file and use another data directory"
    advice = {
        "locked": "another process holds it; stop that one",
        "readonly": "it may not be written; check the owner and mode of the file and its directory",
        "unable to open": "check that the directory exists and may be entered",
        "full": "free some space; no order is sent until then",
        "malformed": damaged,
        "not a database": damaged,
        "disk I/O": "the disk failed; check it before anything else",
    }
    hint = next((advice[part] for part in advice if part in text), "nothing was written")
    return JournalError(f"{path}: {text}: {hint}")
