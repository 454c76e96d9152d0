"""Survival: how many things of each class lived how long, kept in a process's own segment over restarts.

In: the class of a life as label text, its length, and whether its end was seen. Out: per class two rows of
counts, ended and censored, by the logarithm of the length. Written by the scanner when an opportunity
ends, read by it again after a restart and by anyone who shows them. What the counts mean is said by
`pipeline.survival`.

A row is a WORDS row: 12 words of label, a use number, 3 spare, then a count of ended and a count of
censored lives for each bucket of LIVES. A free row has no label. When all rows are taken, the class that
got a life longest ago gives way; its label goes first and the new one comes last, so a writer killed in
between leaves a free row and never counts under a foreign name.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from shm import layout as lo
from shm.histogram import LogBuckets
from shm.segment import Segment, View

SURVIVAL = "survival"
LIVES = LogBuckets(resolution_bits=16, part_bits=3, longest_bits=42)
"""From 0.5 ms to 73 min in eighths of a doubling; below, 66 us each."""

LABEL_WORDS = 12
LABEL_BYTES = LABEL_WORDS * lo.WORD
_USED = LABEL_WORDS
_HEAD_WORDS = 2 * lo.LINE
_ENDED = slice(_HEAD_WORDS, _HEAD_WORDS + LIVES.count)
_CENSORED = slice(_HEAD_WORDS + LIVES.count, _HEAD_WORDS + 2 * LIVES.count)
ROW_WORDS = lo.round_up(_CENSORED.stop)
DRAWING = f"label{LABEL_WORDS} used spare3 ended,censored each:{LIVES}"


class LifeCounts(NamedTuple):
    """Of one class the number of lives in each bucket of LIVES: those seen to end, and the censored."""

    ended: Sequence[int]
    censored: Sequence[int]


def survival_section(classes: int) -> lo.Section:
    """Room for so many classes, 3.2 KB each, kept over restarts."""
    return lo.Section(SURVIVAL, lo.WORDS, classes, ROW_WORDS, kept=True, drawing=DRAWING)


class SurvivalTable:
    """The owner's side; exactly one exists per segment. It begins with what an earlier owner left.

    `gave_way` counts the classes that lost their row since this owner began.
    """

    def __init__(self, segment: Segment) -> None:
        self._rows = [segment.words(SURVIVAL, row) for row in range(segment.section(SURVIVAL).rows)]
        self._labels = [lo.words_to_text(words[:LABEL_WORDS]) for words in self._rows]
        self._row_of = {label: row for row, label in enumerate(self._labels) if label}
        self._used = max(words[_USED] for words in self._rows)
        self.gave_way = 0

    def counts(self, label: str) -> LifeCounts | None:
        """The counts of a class as they lie in the segment, None where it has none."""
        row = self._row_of.get(label)
        return None if row is None else LifeCounts(self._rows[row][_ENDED], self._rows[row][_CENSORED])

    def add(self, label: str, life_ns: int, *, censored: bool) -> str:
        """Count one life. Returns the class that gave way to this one, "" for none.

        A label is 1 to LABEL_BYTES bytes of UTF-8.
        """
        row = self._row_of.get(label)
        gone = ""
        if row is None:
            row, gone = self._take(label)
        words = self._rows[row]
        self._used += 1
        words[_USED] = self._used
        words[(_CENSORED if censored else _ENDED).start + LIVES.bucket(life_ns)] += 1
        return gone

    def _take(self, label: str) -> tuple[int, str]:
        """A row for a new class, and the class whose it was."""
        assert 0 < len(label.encode()) <= LABEL_BYTES, label
        row = min(range(len(self._rows)), key=lambda at: (bool(self._labels[at]), self._rows[at][_USED]))
        gone = self._labels[row]
        if gone:
            del self._row_of[gone]
            self.gave_way += 1
        words = self._rows[row]
        words[0] = 0  # a label of no bytes
        words[:] = memoryview(array("q", bytes(ROW_WORDS * lo.WORD)))
        cells = array("q", lo.text_to_words(label, LABEL_WORDS))
        words[1:LABEL_WORDS] = memoryview(cells)[1:]
        words[0] = cells[0]
        self._labels[row] = label
        self._row_of[label] = row
        return row, gone


def read_survival(view: View) -> dict[str, LifeCounts]:
    """A copy of every class's counts by label; {} for a segment that keeps none.

    Raises SegmentError for cells of another meaning.
    """
    section = view.sections().get(SURVIVAL)
    found: dict[str, LifeCounts] = {}
    if section is None:
        return found
    view.check(SURVIVAL, DRAWING)
    for row in range(section.rows):
        words = view.words(SURVIVAL, row, ROW_WORDS)
        label = lo.words_to_text(words[:LABEL_WORDS])
        if label:
            found[label] = LifeCounts(words[_ENDED].tolist(), words[_CENSORED].tolist())
    return found
