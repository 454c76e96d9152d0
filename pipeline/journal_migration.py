"""Journal migration: makes a ledger of an older schema version into one of this version, or leaves it alone.

In: data/ledger.sqlite of version 1. Out: the same file of this version with every row in its order, and the
old one beside it as `ledger.sqlite.v1-YYYYMMDDTHHMMSSZ.bak`. The new chain begins with the last hash of the
old one, so the backup proves where it comes from. Run by the journal when it is opened for writing.

A kill at any moment leaves the old file whole or the new one: the new one is made beside it, checked, brought
to the disk and then moved into the old one's place. A ledger whose chain is broken is not touched.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path

from pipeline.journal_reader import (
    APPLICATION_ID,
    MOST_NAMED,
    SCHEMA_VERSION,
    JournalError,
    JournalReader,
    check_kind,
    connect,
    explained,
    version_of,
)
from pipeline.journal_records import FINAL_STATUSES
from pipeline.journal_rows import GENESIS, SCHEMA, Row, digest

MIGRATION_POINTS = (
    "migration_verified",
    "migration_alone",
    "migration_copied",
    "migration_kept",
    "migration_row",
    "migration_made",
    "migration_checked",
    "migration_replaced",
)
"""What `at` is told, in this order; "migration_row" before each row."""

UNANSWERED = "the paper exchange of schema version 1 ended with its trader"
# What one unit of YES paid; version 1 knew no other results.
_VALUES = {"YES": "1", "NO": "0", "VOID": "0.5"}


class _OldReader(JournalReader):
    """Reads a ledger of version 1, whose chain begins with zeros."""

    tables = ("runs", "intents", "orders", "fills", "settlements")

    def _genesis(self) -> str:
        return GENESIS

    def head(self) -> tuple[int, str]:
        """Number and hash of the last row."""
        return self._head()

    def copy_to(self, db: sqlite3.Connection) -> None:
        """Copy the whole file into an empty database."""
        self._db.backup(db)


def migrate(
    path: Path,
    *,
    wall_ns: Callable[[], int],
    monotonic_ns: Callable[[], int],
    at: Callable[[str], None],
) -> bool:
    """Make the ledger at `path` one of this version; False when there is nothing to do.

    Raises JournalError, with the file as it was, for one that is not ours, newer, damaged or in use, and
    when the disk does not take the copies. `at` is told MIGRATION_POINTS.
    """
    if not path.stat().st_size or _version(path) == SCHEMA_VERSION:
        return False
    made = path.with_name(f"{path.name}.v{SCHEMA_VERSION}.new")
    try:
        head = _verified(path)
        at("migration_verified")
        with closing(_alone(path)) as db:
            old = _OldReader(path, db)
            if old.head() != head:
                raise JournalError(f"{path}: another process writes this journal; stop it")
            at("migration_alone")
            _back_up(path, old, wall_ns(), at)
            at("migration_kept")
            _make(made, old, wall_ns, monotonic_ns, at)
            at("migration_checked")
            os.replace(made, path)
            _sync(path.parent)
        at("migration_replaced")
    except sqlite3.Error as error:
        raise explained(path, error) from error
    except OSError as error:
        raise JournalError(
            f"{path} could not be made into schema version {SCHEMA_VERSION}: {error.strerror}:"
            " it is as it was; check the space and the mode of its directory"
        ) from error
    return True


def make_tables(db: sqlite3.Connection, genesis: str) -> None:
    """Make the tables of this version in an empty database, for a chain that continues `genesis`."""
    for statement in SCHEMA:
        db.execute(statement)
    db.execute("INSERT INTO head VALUES (1, 0, ?, ?)", (genesis, genesis))
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _version(path: Path) -> int:
    """The file's version, 0 for an empty database."""
    try:
        with closing(connect(path, "ro")) as db:
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return SCHEMA_VERSION
            version = version_of(path, db)
            if version != 1:
                check_kind(path, db)
            return version
    except sqlite3.Error as error:
        raise explained(path, error) from error


def _verified(path: Path) -> tuple[int, str]:
    """The last row of an old ledger whose chain is whole. Raises JournalError for any other."""
    with closing(connect(path, "ro")) as db:
        old = _OldReader(path, db)
        problems = old.verify()
        if problems:
            raise JournalError(
                f"{path} has schema version 1 and is not as it was written:"
                f" {'; '.join(problems[:MOST_NAMED])}. It was not touched: keep it, and use a copy that is"
                " whole or another data directory"
            )
        return old.head()


def _alone(path: Path) -> sqlite3.Connection:
    """A connection beside which there is no other, without a write-ahead log.

    A log that was left behind would be taken for one of the new file.
    """
    db = connect(path, "rw")
    try:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        if db.execute("PRAGMA journal_mode=DELETE").fetchone()[0] != "delete":
            raise JournalError(f"{path}: another process holds it; stop that one")
        # The lock is kept until the connection is closed.
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _back_up(path: Path, old: _OldReader, now_ns: int, at: Callable[[str], None]) -> None:
    """Keep a copy of the old file, on the disk; the one of an earlier attempt will do."""
    for kept in sorted(path.parent.glob(f"{path.name}.v1-*.bak")):
        if _is_copy(kept, old.head()):
            return
    moment = datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y%m%dT%H%M%SZ")
    copy = path.with_name(f"{path.name}.v1.new")
    with _fresh(copy) as db:
        old.copy_to(db)
    at("migration_copied")
    os.replace(copy, path.with_name(f"{path.name}.v1-{moment}.bak"))
    _sync(path.parent)


def _is_copy(path: Path, head: tuple[int, str]) -> bool:
    """Whether a backup is whole and ends with this row."""
    try:
        # As it lies there: a file that nobody writes needs no lock and gets no side files.
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            kept = _OldReader(path, db)
            return version_of(path, db) == 1 and kept.head() == head and not kept.verify()
    except (sqlite3.Error, JournalError):
        return False


def _make(
    made: Path,
    old: _OldReader,
    wall_ns: Callable[[], int],
    monotonic_ns: Callable[[], int],
    at: Callable[[str], None],
) -> None:
    """Write the new file, check it, and bring it to the disk."""
    head = old.head()
    with _fresh(made) as db:
        db.execute("BEGIN")
        make_tables(db, head[1])
        chain = _Chain(db, head[1])
        for table, row in _rows(old):
            at("migration_row")
            chain.append(table, row)
        for content in _ends(old, monotonic_ns()):
            stamps = {"wall_ns": wall_ns(), "mono_ns": monotonic_ns()}
            chain.append("orders", {"seq": chain.seq + 1} | content | stamps)
        db.execute("UPDATE head SET seq=?, hash=?", (chain.seq, chain.hash))
        db.execute("COMMIT")
        at("migration_made")
        problems = JournalReader(made, db).verify()
        if problems:
            raise JournalError(f"{made} came out wrong ({problems[0]}); the old file is as it was")


class _Chain:
    """Appends rows to a new chain."""

    def __init__(self, db: sqlite3.Connection, genesis: str) -> None:
        self._db = db
        self.seq = 0
        self.hash = genesis

    def append(self, table: str, content: Row) -> None:
        """Append a row that has its number and its stamps."""
        row = content | {"prev": self.hash}
        row["hash"] = digest(table, row)
        marks = ",".join("?" * len(row))
        statement = f"INSERT INTO {table} ({','.join(row)}) VALUES ({marks})"  # noqa: S608
        self._db.execute(statement, tuple(row.values()))
        self.seq, self.hash = int(row["seq"]), str(row["hash"])


def _rows(old: _OldReader) -> Iterator[tuple[str, Row]]:
    """Every row of the old ledger as this version writes it, in their order, without the chain."""

    def named(table: str) -> Iterator[tuple[str, Row]]:
        for row in old.each(table):
            yield table, _upgraded(table, row)

    return merge(*map(named, old.tables), key=lambda pair: int(pair[1]["seq"]))


def _upgraded(table: str, row: Row) -> Row:
    """A row of version 1 with what version 2 adds. Version 1 knew trades that take both legs at once."""
    plain = {name: value for name, value in row.items() if name not in {"prev", "hash"}}
    if table == "intents":
        purpose = "close" if row["kind"] == "close" else "open"
        added = {"number": row["leg"], "purpose": purpose, "style": "ioc", "plan": "{}"}
        return plain | added | {"deadline_ns": 0, "expires_ns": 0}
    if table == "fills":
        return plain | {"maker": 0, "provisional": 0}
    if table == "settlements":
        return plain | {"value": _VALUES[row["result"]]}
    return plain


def _ends(old: _OldReader, at_ns: int) -> list[Row]:
    """Ends for orders that have none: nobody is left who could fill them."""
    filled = {row["order_id"] for row in old.each("fills")}
    ended = {row["order_id"] for row in old.each("orders") if row["status"] in FINAL_STATUSES}
    return [
        {
            "order_id": row["order_id"],
            "status": "CANCELLED" if row["order_id"] in filled else "NOT_SENT",
            "at_ns": at_ns,
            "why": UNANSWERED,
            "evidence": json.dumps({}),
        }
        for row in old.each("intents")
        if row["order_id"] not in ended
    ]


@contextmanager
def _fresh(path: Path) -> Iterator[sqlite3.Connection]:
    """An empty database of its owner's; on the disk when all went well, else gone."""
    for name in (path.name, f"{path.name}-journal"):
        path.with_name(name).unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    done = False
    try:
        with closing(connect(path, "rw")) as db:
            # Nothing is lost with this file, so it needs no journal; it is synced as a whole.
            db.execute("PRAGMA journal_mode=MEMORY")
            db.execute("PRAGMA synchronous=OFF")
            yield db
        _sync(path)
        done = True
    finally:
        if not done:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
