"""Tables: typed rows over slots, counters, distinct errors, and the ring of last rows.

In: a segment (to write) or a view (to read). Out: NamedTuples and numbers. Run by every process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

from shm import layout as lo
from shm.records import ERROR, ErrorRow
from shm.segment import Segment, View

RowT = TypeVar("RowT", bound=tuple[Any, ...])

COUNTERS = "counters"
COUNTER_LABEL_WORDS = 6
COUNTER_LABEL_BYTES = COUNTER_LABEL_WORDS * lo.WORD
COUNTER_WORDS = 8
ERRORS = "errors"
ERROR_ROWS = 32


class TableWriter(Generic[RowT]):
    """Publishes records into the rows of one SLOTS section."""

    def __init__(self, segment: Segment, name: str, record: lo.Record[RowT]) -> None:
        self._slots = segment.slots(name)
        self._record = record

    def __len__(self) -> int:
        """Rows in the table."""
        return len(self._slots)

    def put(self, row: int, value: RowT) -> int:
        """Publish `value` in `row`; return the row's new number."""
        return self._slots.publish(row, self._record.pack(value))

    def clear(self, row: int) -> None:
        """Publish zeros, if the row was ever published."""
        if self._slots.number(row):
            self._slots.publish(row, self._record.pack(self._record.empty()))


class TableReader(Generic[RowT]):
    """Reads records from the rows of one SLOTS section."""

    def __init__(self, view: View, name: str, record: lo.Record[RowT]) -> None:
        view.check(name, record.drawing)
        self._slots = view.slots(name, record.words)
        self._record = record

    def __len__(self) -> int:
        """Rows in the table."""
        return len(self._slots)

    def number(self, row: int) -> int:
        """The row's published number; equal numbers mean an unchanged row."""
        return self._slots.number(row)

    def numbers(self) -> list[int]:
        """The published number of every row; equal lists mean an unchanged table."""
        return self._slots.numbers()

    @property
    def retries(self) -> int:
        """Reads that were overtaken by the writer and tried again."""
        return self._slots.retries

    def get(self, row: int) -> RowT | None:
        """The row, or None if it was never published or kept changing while it was read."""
        found = self._slots.read(row)
        return None if found is None else self._record.unpack(found[1])

    def published(self) -> list[int]:
        """The rows that were ever published."""
        return self._slots.published()

    def rows(self) -> Iterator[tuple[int, RowT]]:
        """Every row whose first field is set, with its index."""
        for index in self._slots.published():
            row = self.get(index)
            if row is not None and row[0]:
                yield index, row


def counter_section(names: Sequence[str]) -> lo.Section:
    """A section of monotone counters, named at creation and kept over restarts."""
    assert len(set(names)) == len(names), "two counters of one name"
    assert all(len(name) <= COUNTER_LABEL_BYTES for name in names)
    return lo.Section(COUNTERS, lo.WORDS, len(names), COUNTER_WORDS, kept=True, drawing=",".join(names))


class Counters:
    """The owner's counters by name. `add` is one load and one store: there is one writer."""

    def __init__(self, segment: Segment, names: Iterable[str]) -> None:
        self._cells: dict[str, memoryview[int]] = {}
        for row, name in enumerate(names):
            words = segment.words(COUNTERS, row)
            for at, word in enumerate(lo.text_to_words(name, COUNTER_LABEL_WORDS)):
                words[at] = word
            self._cells[name] = words[COUNTER_LABEL_WORDS : COUNTER_LABEL_WORDS + 1]

    def add(self, name: str, count: int = 1) -> None:
        """Count `count` more of `name`."""
        self._cells[name][0] += count

    def get(self, name: str) -> int:
        """The counter's value."""
        return self._cells[name][0]


def read_counters(view: View) -> dict[str, int]:
    """Every counter of a segment by name, from memory alone."""
    if COUNTERS not in view.sections():
        return {}
    cells = view.all_words(COUNTERS)
    labels, step = cells.tobytes(), COUNTER_WORDS * lo.WORD
    names = (_label(labels[at : at + COUNTER_LABEL_BYTES]) for at in range(0, len(labels), step))
    # One load a value, as its writer makes one store.
    return dict(zip(names, cells[COUNTER_LABEL_WORDS::COUNTER_WORDS].tolist(), strict=True))


@lru_cache(maxsize=4096)
def _label(cells: bytes) -> str:
    """A counter's name: there are some hundreds, and whoever watches reads them each second."""
    return lo.words_to_text(memoryview(cells).cast("q"))


def error_section() -> lo.Section:
    """A section of distinct errors, kept over restarts."""
    return ERROR.section(ERRORS, ERROR_ROWS, kept=True)


class ErrorTable:
    """Distinct errors with count, first and last time: cannot flood, and survives its writer's crash."""

    def __init__(self, segment: Segment) -> None:
        self._table = TableWriter(segment, ERRORS, ERROR)
        self._known: list[ErrorRow] = []
        self._known.extend(_own_errors(segment))

    def report(self, text: str, wall_ns: int) -> None:
        """Note an error. When the table is full the one not seen for longest gives way."""
        text = lo.words_to_text(lo.text_to_words(text, 200 // lo.WORD))
        for row, known in enumerate(self._known):
            if known.text == text:
                self._put(row, known._replace(seen=known.seen + 1, last_wall_ns=wall_ns))
                return
        fresh = ErrorRow(text, 1, wall_ns, wall_ns)
        if len(self._known) < len(self._table):
            self._known.append(fresh)
            self._put(len(self._known) - 1, fresh)
        else:
            oldest = min(range(len(self._known)), key=lambda row: self._known[row].last_wall_ns)
            self._put(oldest, fresh)

    def _put(self, row: int, error: ErrorRow) -> None:
        self._known[row] = error
        self._table.put(row, error)


def _own_errors(segment: Segment) -> list[ErrorRow]:
    """What earlier epochs of the same owner left: rows are filled from the first on, without holes."""
    reader = segment.reader(ERRORS)
    found = (reader.read(row) for row in range(len(reader)))
    return [ERROR.unpack(entry[1]) for entry in found if entry is not None]


def read_errors(view: View) -> list[ErrorRow]:
    """The distinct errors of a segment, latest first."""
    reader = TableReader(view, ERRORS, ERROR)
    return sorted((row for _, row in reader.rows()), key=lambda row: -row.last_wall_ns)


class RingWriter(Generic[RowT]):
    """The last `rows` records: record number n (from 1) lies in row n % rows. Field 0 must be n."""

    def __init__(self, segment: Segment, name: str, record: lo.Record[RowT]) -> None:
        self._table = TableWriter(segment, name, record)

    def append(self, value: RowT) -> None:
        """Add the record whose first field is its number."""
        assert value[0] > 0
        self._table.put(value[0] % len(self._table), value)


def read_ring(view: View, name: str, record: lo.Record[RowT]) -> list[RowT]:
    """The records of a ring, newest first."""
    reader = TableReader(view, name, record)
    return sorted((row for _, row in reader.rows()), key=lambda row: row[0], reverse=True)
