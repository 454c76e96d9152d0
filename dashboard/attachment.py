"""Attachment: one worker's memory file, followed through restarts, replacement and removal.

In: a directory and a worker's name. Out: the current view, or the last one with `gone` set, so that
what was last known can still be shown as such. Run by `source` once a tick; reads only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

from shm.layout import SLOTS, Record
from shm.segment import SegmentError, View, attach
from shm.tables import TableReader

RowT = TypeVar("RowT", bound=tuple[Any, ...])

# A file that cannot be read for so many ticks is a fault; before that, a process is starting.
PATIENCE_TICKS = 4


class Rows(Generic[RowT]):
    """A table of which only changed rows are unpacked again."""

    def __init__(self, view: View, name: str, record: Record[RowT]) -> None:
        self._reader: TableReader[RowT] = TableReader(view, name, record)
        self._known: dict[int, tuple[int, RowT]] = {}

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
        """Every row whose first field is set, with its index."""
        rows = ((index, self.get(index)) for index in range(len(self._reader)))
        return [(index, row) for index, row in rows if row is not None and row[0]]


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
        self._rows = {}

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
        """Whether the owner's heart beat within `limit_ns`."""
        return self.view is not None and not self.retired and self.beat_age_ns(now_ns) <= limit_ns

    def has(self, name: str, words: int) -> bool:
        """Whether the segment has a SLOTS table of that name with rows as long as we read them."""
        section = self.view.sections().get(name) if self.view is not None else None
        return section is not None and section.kind == SLOTS and section.words == words

    def rows(self, name: str, record: Record[RowT]) -> Rows[RowT] | None:
        """A table of the segment, or None if it has none such or none that we can read."""
        if self.view is None:
            return None
        if name not in self._rows:
            fits = self.has(name, record.words)
            self._rows[name] = Rows(self.view, name, record) if fits else None
        return self._rows[name]
