"""History: the last price events of each market, a ring a row in the feed's segment.

In: a market's best prices whenever they, their sizes or the book's state changed. Out: the last `length`
of them, oldest first. Written by `shm.books` at publication, read by `pipeline.client` and anyone else.

A row is a WORDS row: 0 how many events were ever appended, 1 the incarnation, 6 spare, then `length` + 1
entries of 8 words. Event number n lies in entry n % (length + 1). The writer stores the entry first and
the count last, so event `count` + 1 may lie half written in the place of event `count` - `length`, and
nothing else can be. A reader copies, looks at the count again, and drops what that writer may have
touched meanwhile: no lock, no retry, no stamp. This rests on the store order of x86-64, as shm.slots does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import starmap
from typing import NamedTuple

from shm import layout as lo
from shm.segment import Segment, View

HISTORY = "history"
ENTRY_WORDS = HEAD_WORDS = lo.LINE  # head and entries are a cache line each
# A writer that went round the whole ring meanwhile leaves nothing of a copy; then another is made.
READ_TRIES = 16
FLAG_BITS = 8  # the state's cell carries the book's flags above so many bits

# Native integers, so that each word is one store.
_ENTRY = struct.Struct(f"{ENTRY_WORDS}q")
_BYTES = _ENTRY.size
DRAWING = "count incarnation spare6 entries:state+flags<<8,venue,socket,wall,bid,units,ask,units"


class PricePoint(NamedTuple):
    """One price event. `number` counts the market's events from 1; 0 units is an empty side.

    `state` and `flags` are those of the book then, as numbers of pipeline.model; `wall_ns` is 0 where
    the writer did not say.
    """

    number: int
    state: int
    flags: int
    venue_ns: int
    socket_ns: int
    wall_ns: int
    bid: int
    bid_units: int
    ask: int
    ask_units: int


def history_section(markets: int, length: int) -> lo.Section:
    """Rings of `length` price events for so many markets: `length` x 64 bytes each.

    It is kept over restarts, because to empty it takes time; a row is emptied when a market takes it.
    """
    assert length > 0, length
    words = HEAD_WORDS + (length + 1) * ENTRY_WORDS
    return lo.Section(HISTORY, lo.WORDS, markets, words, kept=True, drawing=DRAWING)


class HistoryWriter:
    """The feed's side: exactly one exists per segment."""

    def __init__(self, segment: Segment) -> None:
        section = segment.section(HISTORY)
        self._rows = [segment.words(HISTORY, row) for row in range(section.rows)]
        self._entries = (section.words - HEAD_WORDS) // ENTRY_WORDS
        self._pack: Callable[..., None] = _ENTRY.pack_into

    def reset(self, row: int, incarnation: int) -> None:
        """Empty a row for the market that takes it; nobody reads it before its incarnation is stored."""
        words = self._rows[row]
        words[1] = 0
        words[0] = 0
        words[1] = incarnation

    def append(  # on the hot path: positional
        self,
        row: int,
        state: int,
        flags: int,
        venue_ns: int,
        socket_ns: int,
        wall_ns: int,
        bid: int,
        bid_units: int,
        ask: int,
        ask_units: int,
    ) -> None:
        """Add a price event to a row that was reset for its market. Prices in ticks, sizes in units."""
        words = self._rows[row]
        number = words[0] + 1
        self._pack(
            words,
            _BYTES + number % self._entries * _BYTES,
            state | flags << FLAG_BITS,
            venue_ns,
            socket_ns,
            wall_ns,
            bid,
            bid_units,
            ask,
            ask_units,
        )
        words[0] = number


class HistoryReader:
    """Anyone's side. Raises SegmentError for a segment without a history."""

    def __init__(self, view: View) -> None:
        view.check(HISTORY, DRAWING)
        section = view.sections()[HISTORY]
        self._rows = [view.words(HISTORY, row) for row in range(section.rows)]
        self._entries = (section.words - HEAD_WORDS) // ENTRY_WORDS

    def __len__(self) -> int:
        """Rows in the section."""
        return len(self._rows)

    @property
    def length(self) -> int:
        """Events that a full row gives."""
        return self._entries - 1

    def count(self, row: int, incarnation: int) -> int:
        """Events appended to a row since this incarnation took it; 0 if another one holds it."""
        words = self._rows[row]
        count = words[0]
        return count if words[1] == incarnation else 0

    def read(self, row: int, incarnation: int, last: int | None = None) -> list[PricePoint]:
        """The newest `last` events of a row (None: all there are), oldest first, numbers without a hole.

        Empty if another market holds the row. Under a writer that never rests the oldest may be missing.
        """
        words = self._rows[row]
        wanted = self.length if last is None else min(last, self.length)
        for _ in range(READ_TRIES):
            before = words[0]
            first = max(1, before - wanted + 1)
            raw = self._copy(words, first, before)
            after = words[0]
            # Looked at after the copy: a row that was given away meanwhile has lost this incarnation.
            if words[1] != incarnation or not raw:
                break
            # Event after + 1 may be half written where event after + 1 - entries lay.
            safe = max(first, after + 2 - self._entries)
            if safe <= before:
                found = _ENTRY.iter_unpack(raw[(safe - first) * _BYTES :])
                return list(starmap(_point, ((safe + at, *entry) for at, entry in enumerate(found))))
        return []

    def _copy(self, words: memoryview[int], first: int, last: int) -> bytes:
        """The entries of events `first` to `last`, in their order, as bytes."""
        if last < first:
            return b""
        start, stop = first % self._entries, last % self._entries
        if start <= stop:
            return _entries(words, start, stop + 1)
        return _entries(words, start, self._entries) + _entries(words, 0, stop + 1)


def _entries(words: memoryview[int], start: int, stop: int) -> bytes:
    """The bytes of entries `start` to `stop` - 1."""
    return words[HEAD_WORDS + start * ENTRY_WORDS : HEAD_WORDS + stop * ENTRY_WORDS].tobytes()


def _point(number: int, mark: int, *rest: int) -> PricePoint:
    """An entry with its number; its first cell is state and flags."""
    return PricePoint(number, mark & (1 << FLAG_BITS) - 1, mark >> FLAG_BITS, *rest)
