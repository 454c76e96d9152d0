"""Decision log: opportunities and decisions with their reasons, in data/decisions.sqlite, bounded.

In: (kind, mapping) pairs that `put` takes without ever waiting. Out: rows, written in batches by a
thread of its own, the newest `max_rows` kept. It is off the order path: what the queue or the disk
cannot take is dropped and counted. Run by the trader; read with `read_decisions`. A door to
sqlite3.
"""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from pipeline.money import money_text

DECISIONS_FILE = "decisions.sqlite"
MAX_ROWS = 200_000
QUEUE_ROWS = 4096
BATCH_ROWS = 512
BATCH_SECONDS = 0.1
BUSY_SECONDS = 2.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decisions (id INTEGER PRIMARY KEY AUTOINCREMENT,
    wall_ns INTEGER NOT NULL, kind TEXT NOT NULL, event_id TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS decisions_of_event ON decisions (event_id, id);
"""

Entry = tuple[int, str, dict[str, object]]


class DecisionLogError(Exception):
    """The file of decisions cannot be read; the text says which and why."""


class DecisionLog:
    """Takes entries from one thread and writes them from another.

    `dropped` counts entries that were not written; `error` is the last thing that went wrong, "" if
    none.
    """

    def __init__(
        self,
        path: Path,
        *,
        wall_ns: Callable[[], int],
        max_rows: int = MAX_ROWS,
        queue_rows: int = QUEUE_ROWS,
    ) -> None:
        self.path = path
        self.error = ""
        self._wall_ns = wall_ns
        self._max_rows = max_rows
        self._refused = 0  # by `put`: the queue was full
        self._lost = 0  # by the writer: the disk would not take them
        # None ends the writer.
        self._queue: queue.Queue[Entry | None] = queue.Queue(queue_rows)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="decision-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Entries lost so far, to a full queue or a failing disk."""
        return self._refused + self._lost

    def put(self, kind: str, body: Mapping[str, object]) -> bool:
        """Queue one entry of JSON values and Decimals; at once. False when it was dropped."""
        try:
            self._queue.put_nowait((self._wall_ns(), kind, dict(body)))
        except queue.Full:
            self._refused += 1
            return False
        return True

    def close(self, timeout_seconds: float = 2.0) -> bool:
        """Write what is queued and end the thread. False when the disk did not finish in time."""
        if not self._closing.is_set():
            self._closing.set()
            try:
                self._queue.put(None, timeout=timeout_seconds)
            except queue.Full:
                self.error = f"{self.path}: the disk is too slow; what was queued is lost"
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _write_all(self) -> None:
        """The thread: wait for one entry, let more gather, write them together."""
        db: sqlite3.Connection | None = None
        going = True
        while going:
            first = self._queue.get()
            if first is None:
                break
            self._closing.wait(BATCH_SECONDS)
            going, batch = self._gather(first)
            try:
                db = db or _open(self.path)
                self._write(db, batch)
            except (sqlite3.Error, OSError) as error:
                self._lost += len(batch)
                self.error = f"{self.path}: {error}; these decisions are lost, trading goes on"
                if db is not None:
                    db.close()
                db = None
        if db is not None:
            db.close()

    def _gather(self, first: Entry) -> tuple[bool, list[Entry]]:
        """What is queued by now, at most a batch, and whether more is to come."""
        batch = [first]
        while len(batch) < BATCH_ROWS:
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                return False, batch
            batch.append(entry)
        return True, batch

    def _write(self, db: sqlite3.Connection, batch: list[Entry]) -> None:
        rows = [
            (
                wall_ns,
                kind,
                str(body.get("event_id", "")),
                json.dumps(body, sort_keys=True, default=_text),
            )
            for wall_ns, kind, body in batch
        ]
        with db:
            db.executemany("INSERT INTO decisions (wall_ns, kind, event_id, body) VALUES (?,?,?,?)", rows)
            newest = "(SELECT max(id) FROM decisions)"
            db.execute(f"DELETE FROM decisions WHERE id <= {newest} - ?", (self._max_rows,))  # noqa: S608


def _text(value: object) -> str:
    return money_text(value) if isinstance(value, Decimal) else str(value)


def _open(path: Path) -> sqlite3.Connection:
    """The file, made 0600 when missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=BUSY_SECONDS)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def read_decisions(path: Path, *, event_id: str = "", last: int = 50) -> list[dict[str, object]]:
    """The newest entries (of one event), oldest first, each with `wall_ns` and `entry` (its kind)
    added.

    Raises DecisionLogError when the file is missing, damaged or of another version.
    """
    query = "SELECT wall_ns, kind, body FROM decisions WHERE ?1 IN ('', event_id) ORDER BY id DESC LIMIT ?2"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            rows = db.execute(query, (event_id, last)).fetchall()
        found = [{**json.loads(body), "wall_ns": wall_ns, "entry": kind} for wall_ns, kind, body in rows]
    except (sqlite3.Error, ValueError) as error:
        raise DecisionLogError(f"{path}: {error}") from error
    return found[::-1]


def each_decision(path: Path, since_wall_ns: int, until_wall_ns: int) -> Iterator[dict[str, object]]:
    """Entries from `since_wall_ns` until before `until_wall_ns`, oldest first and one by one, as
    `read_decisions` gives them. Raises DecisionLogError when the file is missing, damaged or of another
    version.
    """
    query = "SELECT wall_ns, kind, body FROM decisions WHERE wall_ns >= ? AND wall_ns < ? ORDER BY id"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            for wall_ns, kind, body in db.execute(query, (since_wall_ns, until_wall_ns)):
                yield {**json.loads(body), "wall_ns": wall_ns, "entry": kind}
    except (sqlite3.Error, ValueError) as error:
        raise DecisionLogError(f"{path}: {error}") from error
