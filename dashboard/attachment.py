"""Attachment: one worker's memory file, followed through restarts, replacement and removal.

In: a directory and a worker's name. Out: the current view, or the last one with `gone` set, so that
what was last known can still be shown as such. Run by `source` once a tick; reads only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

from shm.layout import SLOTS, WORD, Record
from shm.segment import SegmentError, View, attach, pid_start
from shm.tables import COUNTER_LABEL_WORDS, COUNTER_WORDS, COUNTERS, TableReader, read_counters

RowT = TypeVar("RowT", bound=tuple[Any, ...])

# A file that cannot be read for so many ticks is a fault; before that, a process is starting.
PATIENCE_TICKS = 4
# Workers beat many times a second; the supervisor itself calls one hung after 2 s.
LIVELY_NS = 1_000_000_000
# Whoever has not beaten for so long is looked for in the table of processes: dead is known at once then.
SUSPECT_NS = 250_000_000


class Rows(Generic[RowT]):
    """A table of which only changed rows are unpacked again."""

    def __init__(self, view: View, name: str, record: Record[RowT]) -> None:
        self._reader: TableReader[RowT] = TableReader(view, name, record)
        self._numbers: list[int] = []
        # The copy of each row and the number that it is of.
        self._known: dict[int, tuple[int, RowT]] = {}
        self._all: list[tuple[int, RowT]] = []
        self._ordered: tuple[RowT, ...] = ()
        self.version = 0
        """Grows whenever a row is another one than it was."""

    def get(self, index: int) -> RowT | None:
        """One row; the copy of an earlier tick if the writer overtook every try."""
        number = self._reader.number(index)
        known = self._known.get(index)
        if known is not None and known[0] == number:
            return known[1]
        fresh = self._reader.get(index)
        if fresh is not None:
            self._known[index] = (number, fresh)
            return fresh
        return known[1] if known is not None else None

    def all(self) -> list[tuple[int, RowT]]:
        """Every row whose first field is set, with its index; the same list while nothing changes."""
        numbers = self._reader.numbers()
        if numbers != self._numbers:
            rows = [(index, self.get(index)) for index, number in enumerate(numbers) if number]
            self._all = [(index, row) for index, row in rows if row is not None and row[0]]
            # A row that could not be read has an older number than the table says: it is tried again.
            known = self._known
            self._numbers = [known[index][0] if index in known else 0 for index in range(len(numbers))]
            self._ordered = ()
            self.version += 1
        return self._all

    def newest_first(self) -> tuple[RowT, ...]:
        """Every row of a ring, whose first field is its number: the last one first."""
        rows = self.all()
        if not self._ordered:
            self._ordered = tuple(sorted((row for _, row in rows), key=lambda row: -row[0]))
        return self._ordered

    @property
    def retries(self) -> int:
        """How often a row was under its writer's hands and was read again."""
        return self._reader.retries


class Attachment:
    """What is known of one worker's segment. `refresh` once a tick, then ask."""

    def __init__(self, directory: Path, name: str, boot: bytes) -> None:
        self.name = name
        # The segment as last seen; None when it never was.
        self.view: View | None = None
        # Why there is a file and it still cannot be used; "" otherwise.
        self.problem = ""
        # Grows with each new view, so that users know when to build their readers anew.
        self.generation = 0
        self._directory = directory
        self._boot = boot
        self._gone = True
        self._failures = 0
        self._rows: dict[str, Rows[Any] | None] = {}
        self._labels: tuple[str, ...] = ()
        self._retries = 0

    def refresh(self) -> None:
        """Attach if there is something new; a view that lost its file is kept as gone."""
        if self.view is not None and not self._gone and not self.view.outdated():
            return
        try:
            fresh = attach(self._directory, self.name)
        except SegmentError as error:
            self._fail(str(error))
            return
        if fresh.header.boot_id != self._boot:
            self._fail(f"{self.name}: its memory file is from before the last boot")
            return
        self.view, self._gone, self.problem, self._failures = fresh, False, "", 0
        self.generation += 1
        self._retries = self.read_again
        self._rows, self._labels = {}, ()

    def _fail(self, problem: str) -> None:
        """Note that there is nothing to attach to; a missing file is no fault."""
        self._gone = True
        self._failures += 1
        there = (self._directory / self.name).exists()
        self.problem = problem if there and self._failures >= PATIENCE_TICKS else ""

    @property
    def retired(self) -> bool:
        """Whether what the view shows is history: its file was replaced or removed."""
        return self._gone or self.view is None or self.view.header.retired

    def beat_age_ns(self, now_ns: int) -> int:
        """Age of the owner's last heartbeat; 0 if there never was one."""
        return max(0, now_ns - self.view.header.heartbeat_ns) if self.view is not None else 0

    def alive(self, now_ns: int, limit_ns: int) -> bool:
        """Whether the owner's heart beat within `limit_ns`; a process that is gone is dead sooner."""
        if self.view is None or self.retired:
            return False
        age_ns = self.beat_age_ns(now_ns)
        if age_ns > limit_ns:
            return False
        return age_ns <= SUSPECT_NS or self.there

    @property
    def there(self) -> bool:
        """Whether the owner's very process is still in the table of processes, beating or not."""
        if self.view is None or self.retired:
            return False
        header = self.view.header
        return pid_start(header.pid) == header.pid_start

    @property
    def memory_bytes(self) -> int:
        """What the segment takes."""
        return len(self.view.cells) * WORD if self.view is not None else 0

    @property
    def read_again(self) -> int:
        """How often a row of its tables was under its writer's hands and was read again."""
        return self._retries + sum(rows.retries for rows in self._rows.values() if rows is not None)

    def counters(self) -> dict[str, int]:
        """The owner's counters by name; {} where it keeps none."""
        if self.view is None or COUNTERS not in self.view.sections():
            return {}
        section = self.view.sections()[COUNTERS]
        if section.kind == SLOTS or section.words != COUNTER_WORDS:
            return {}
        if len(self._labels) != section.rows or "" in self._labels:
            # Names are written once, soon after the file is made.
            self._labels = tuple(read_counters(self.view))
        values = self.view.all_words(COUNTERS)[COUNTER_LABEL_WORDS::COUNTER_WORDS].tolist()
        return dict(zip(self._labels, values, strict=False))

    def has(self, name: str, words: int) -> bool:
        """Whether the segment has a SLOTS table of that name with rows as long as we read them."""
        section = self.view.sections().get(name) if self.view is not None else None
        return section is not None and section.kind == SLOTS and section.words == words

    def rows(self, name: str, record: Record[RowT]) -> Rows[RowT] | None:
        """A table of the segment, or None if it has none such or none that we can read."""
        if self.view is None:
            return None
        if name not in self._rows:
            self._rows[name] = self._open(name, record)
        return self._rows[name]

    def all(self, name: str, record: Record[RowT]) -> list[tuple[int, RowT]]:
        """The rows of a table whose first field is set, with their indexes; none without such a table."""
        rows = self.rows(name, record)
        return rows.all() if rows is not None else []

    def ring(self, name: str, record: Record[RowT]) -> tuple[RowT, ...]:
        """The rows of a ring, newest first; none where it has no such table."""
        rows = self.rows(name, record)
        return rows.newest_first() if rows is not None else ()

    def first(self, name: str, record: Record[RowT]) -> RowT | None:
        """The only row of a table; None where there is none, or it was never written."""
        rows = self.rows(name, record)
        return rows.get(0) if rows is not None else None

    def _open(self, name: str, record: Record[RowT]) -> Rows[RowT] | None:
        """Readers of a table, None where it is drawn otherwise: by another version of this program."""
        if self.view is None or not self.has(name, record.words):
            return None
        try:
            return Rows(self.view, name, record)
        except SegmentError:
            return None
