"""Slot copy: the last believed copy of a whole SLOTS table, or of some of its words, taken with numpy.

In: a reader of the table. Out: matrices of words, a line a row, in which no row is ever torn. Used by
readers that look at a whole table many times a minute, as the dashboard does.

Each changed row is copied and judged as `shm.slots` says: both stamps of the slot must fit the number that
was published, and begin must still be the same after the copy. Rows that do not fit are read again, and
after READ_TRIES the copy of an earlier refresh stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import int64
from numpy.typing import NDArray

from shm.layout import ROW_HEAD_WORDS, SLOT_COUNT
from shm.slots import READ_TRIES, SlotReader


class SlotCopy:
    """The rows up to the last that was ever published. `refresh` once a tick, then look.

    `columns` are the payload words to copy, None for all. What `numbers` and `words` name is never changed
    afterwards: a refresh that finds something new makes new ones, so whoever holds the old ones keeps a
    picture that stands still.
    """

    def __init__(self, reader: SlotReader, columns: Sequence[int] | None = None) -> None:
        matrix = reader.matrix()
        rows = len(reader)
        self._heads = matrix[:, 0]
        self._slots = matrix[:, ROW_HEAD_WORDS:].reshape(rows, SLOT_COUNT, -1)
        self._end = reader.words + 1
        # The stamps are copied with the payload: begin first, end last.
        wanted = range(reader.words) if columns is None else columns
        self._columns = None if columns is None else np.array([0, *(at + 1 for at in wanted), self._end])
        self._width = len(wanted)
        self.numbers: NDArray[int64] = np.zeros(0, int64)
        """The number of each row's copy; 0 for a row without one."""
        self.words: NDArray[int64] = np.zeros((0, self._width), int64)
        """The payload of each row, zeros for a row without a copy."""
        self.read_again = 0
        """How often a row was under its writer's hands and was read again."""

    def refresh(self) -> NDArray[np.intp]:
        """Copy every row that was published since; the rows whose copies are new, in order."""
        todo = np.flatnonzero(self._differing())
        if not todo.size:
            return todo
        found: list[tuple[NDArray[np.intp], NDArray[int64], NDArray[int64]]] = []
        for attempt in range(READ_TRIES):
            self.read_again += todo.size if attempt else 0
            numbers = self._heads[todo]
            slots = numbers % SLOT_COUNT
            copy = self._gather(todo, slots)
            good = copy[:, 0] == -numbers
            good &= copy[:, self._width + 1] == numbers
            # Looked at last: a writer that had come round to this slot would have changed it.
            good &= self._slots[todo, slots, 0] == -numbers
            if good.all():
                found.append((todo, numbers, copy))
                break
            found.append((todo[good], numbers[good], copy[good]))
            todo = todo[~good]
        return self._keep(found)

    def _differing(self) -> NDArray[np.bool_]:
        """Which rows have another number than their copy."""
        heads = self._heads.copy()
        known = np.zeros_like(heads)
        known[: len(self.numbers)] = self.numbers
        differing: NDArray[np.bool_] = (heads != known) & (heads > 0)
        return differing

    def _gather(self, rows: NDArray[np.intp], slots: NDArray[int64]) -> NDArray[int64]:
        """Begin, payload and end of one slot of each row."""
        if self._columns is None:
            whole: NDArray[int64] = self._slots[rows, slots]
            return whole
        some: NDArray[int64] = self._slots[rows[:, None], slots[:, None], self._columns]
        return some

    def _keep(self, found: list[tuple[NDArray[np.intp], NDArray[int64], NDArray[int64]]]) -> NDArray[np.intp]:
        """Make the copies the table's rows."""
        rows = np.concatenate([one[0] for one in found])
        if not rows.size:
            return rows
        length = max(len(self.numbers), int(rows.max()) + 1)
        if len(found) == 1 and len(rows) == length:
            # Every row is new: nothing of the old copy is left.
            self.numbers, self.words = found[0][1], found[0][2][:, 1 : self._width + 1]
            return rows
        numbers = np.zeros(length, int64)
        words = np.zeros((length, self._width), int64)
        numbers[: len(self.numbers)] = self.numbers
        words[: len(self.words)] = self.words
        for at, number, copy in found:
            numbers[at], words[at] = number, copy[:, 1 : self._width + 1]
        self.numbers, self.words = numbers, words
        return np.sort(rows)
