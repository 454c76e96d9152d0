"""Notices: which books were published, so that a reader finds what changed without looking at the rest.

In: a row number with each publication. Out: the rows noticed since a reader last asked. Written by
`shm.books` after everything else of a publication, read by the scanner. One WORDS row:

    0..1023  entries, each (lap << 20) + row: the ring is filled from 0 on, again and again, laps from 1
    1024     placements: how often a market took a row, left one, or changed its decimals   1025.. spare

An entry carries its own lap and is one store, so it is whole, it cannot be mistaken for an older one, and
there is no count to be kept in step with it. A reader knows the lap that it waits for: one load says
whether the entry has come. One that fell behind by more than the ring finds a later lap there, and
compares the row numbers of all books once. This rests on the store order of x86-64, as shm.slots does:
whoever sees a notice sees the book that it is of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shm import layout as lo

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

    from shm.segment import View

NOTICES = "notices"
ENTRIES = 1024
PLACEMENTS_AT, WORDS = ENTRIES, ENTRIES + lo.LINE
ROW_BITS = 20
LAP = 1 << ROW_BITS
ROW_MASK = LAP - 1
DRAWING = f"entries{ENTRIES}:lap<<{ROW_BITS}+row,placements spare7"


def notice_section() -> lo.Section:
    """The section of one feed's notices; a restart empties it."""
    return lo.Section(NOTICES, lo.WORDS, 1, WORDS, drawing=DRAWING)


class NoticeReader:
    """One reader's place in a feed's notices; the first answer names every book ever published.

    `numbers` is the column of the books' row numbers. Raises SegmentError for a segment without notices.
    """

    def __init__(self, view: View, numbers: NDArray[int64]) -> None:
        view.check(NOTICES, DRAWING)
        self._words = view.words(NOTICES, 0, WORDS)
        self._numbers = numbers
        self._seen = numbers.copy()
        self._seen.fill(0)
        # The entry that is waited for, and its lap. Lap 0 is never waited for: it stands for being behind.
        self._at = self._lap = 0
        self.overruns = 0

    @property
    def placements(self) -> int:
        """Changes whenever a market took a row, left one, or got other decimals."""
        return self._words[PLACEMENTS_AT]

    def rows(self) -> list[int]:
        """Rows published since the last call, each once, in the order of their first notice."""
        entry = self._words[self._at]
        lap = self._lap
        if entry >> ROW_BITS < lap:
            return []
        rows: dict[int, None] = {}
        while entry >> ROW_BITS == lap and lap:
            rows[entry & ROW_MASK] = None
            self._at += 1
            if self._at == ENTRIES:
                self._at, lap = 0, lap + 1
            entry = self._words[self._at]
        self._lap = lap
        if entry >> ROW_BITS > lap or not lap:
            self.overruns += bool(lap)
            rows.update(dict.fromkeys(self._compare()))
        return list(rows)

    def _compare(self) -> list[int]:
        """Rows whose number is not that of the last comparison, and a new place in the ring."""
        # Noted first: what is published while numbers are compared is noticed after that place.
        laps = [entry >> ROW_BITS for entry in self._words[:ENTRIES]]
        last = max(laps)
        self._lap, self._at = max(last, 1), laps.count(last) if last else 0
        if self._at == ENTRIES:
            self._lap, self._at = self._lap + 1, 0
        numbers = self._numbers.copy()
        changed: list[int] = (numbers != self._seen).nonzero()[0].tolist()
        self._seen = numbers
        return changed
