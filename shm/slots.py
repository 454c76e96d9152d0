"""Slots: the only concurrency in the repository. Rows that are read whole or not at all.

In: words from the one writer. Out: the same words, never torn, to any number of readers. Run by every
process. A row has four slots used in turn. The writer of number n marks slot n % 4 with begin = -n,
copies the payload, sets end = n, and then publishes n. A reader copies the slot of the published
number and believes the copy when begin and end fit and begin has still not changed afterwards: the
writer would have had to change it before it touched that slot again. A writer killed at any store has
published nothing, so the last good row stays readable.

This rests on stores becoming visible in program order, as x86-64 guarantees; shm.segment refuses other
machines. The begin and end stamps are stores of their own because the copy between them may run in
any direction.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from shm.layout import ROW_HEAD_WORDS, SLOT_COUNT, Placed

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

READ_TRIES = 16


class SlotWriter:
    """Writes the rows of one SLOTS section; exactly one exists per section."""

    def __init__(self, cells: memoryview[int], placed: Placed) -> None:
        section = placed.section
        self._cells = cells
        self._words = section.words
        self._rows = [placed.offset + i * section.row_words for i in range(section.rows)]
        # Of each slot the begin stamp, the payload, the end stamp: a publication computes nothing.
        self._slots = [
            [
                (begin, slice(begin + 1, begin + 1 + section.words), begin + 1 + section.words)
                for begin in range(head + ROW_HEAD_WORDS, head + section.row_words, section.slot_words)
            ]
            for head in self._rows
        ]

    def __len__(self) -> int:
        """Rows in the section."""
        return len(self._rows)

    def number(self, row: int) -> int:
        """How many times the row was published; 0 for never."""
        return self._cells[self._rows[row]]

    def publish(self, row: int, payload: array[int]) -> int:
        """Make `payload` (exactly the section's words) the row's content; return its new number."""
        assert len(payload) == self._words
        cells = self._cells
        head = self._rows[row]
        number = cells[head] + 1
        begin, body, end = self._slots[row][number % SLOT_COUNT]
        cells[begin] = -number
        cells[body] = payload
        cells[end] = number
        cells[head] = number
        return number


class SlotReader:
    """Reads the rows of one SLOTS section from a read-only mapping."""

    def __init__(self, cells: memoryview[int], placed: Placed) -> None:
        self._cells = cells
        self._words = self.words = placed.section.words
        self._slot_words = placed.section.slot_words
        step = placed.section.row_words
        self._rows = range(placed.offset, placed.offset + placed.section.rows * step, step)
        self.retries = 0
        self.give_ups = 0

    def __len__(self) -> int:
        """Rows in the section."""
        return len(self._rows)

    def number(self, row: int) -> int:
        """The row's published number; 0 for never. It only grows, so it tells whether to read again."""
        return self._cells[self._rows[row]]

    def numbers(self) -> list[int]:
        """The published number of every row: equal lists mean an unchanged table."""
        return self._cells[self._rows.start : self._rows.stop : self._rows.step].tolist()

    def matrix(self) -> NDArray[int64]:
        """The section as a read-only numpy view of the memory itself: head and slots, a line a row.

        Nothing in it may be believed as it is: `shm.slot_copy` does what it takes.
        """
        # Only readers of whole tables pay for numpy.
        import numpy as np

        cells = np.frombuffer(self._cells[self._rows.start : self._rows.stop], dtype=np.int64)
        return cells.reshape(len(self._rows), self._rows.step)

    def published(self) -> list[int]:
        """The rows that were ever published: most tables are far longer than what is in them."""
        cells = self._cells
        return [row for row, head in enumerate(self._rows) if cells[head]]

    def read(self, row: int) -> tuple[int, array[int]] | None:
        """Number and payload of the row, or None if never published or overtaken READ_TRIES times."""
        cells = self._cells
        head = self._rows[row]
        words = self._words
        for _ in range(READ_TRIES):
            number = cells[head]
            if number <= 0:
                return None
            slot = head + ROW_HEAD_WORDS + number % SLOT_COUNT * self._slot_words
            copy = array("q", cells[slot : slot + words + 2].tobytes())
            if copy[0] == -number and copy[words + 1] == number and cells[slot] == -number:
                return number, copy[1 : words + 1]
            self.retries += 1
        self.give_ups += 1
        return None
