"""Event table: what the scanner looks at, copied whole once a tick and unpacked row by row when asked.

In: the scanner's segment, pictures of the feeds. Out: `TableEvents`, a picture that stands still, and the
recent edges of every row. Run by `source` once a tick. What a direction is (texts, legs) is looked at only
where it changed; numbers stay in numpy until a row of them is drawn.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import numpy as np
from numpy import int64
from numpy.typing import NDArray

from dashboard.attachment import LIVELY_NS, Attachment
from dashboard.event_layout import CELLS, NONE, STATIC_WORDS, Layout, Named, named
from dashboard.event_rows import line_view, pair_view
from dashboard.event_views import EventView, LegView, LineView
from dashboard.feed_picture import FeedPicture
from pipeline.model import BookState
from shm.records import EVENT, EventRow
from shm.segment import SegmentError
from shm.slot_copy import SlotCopy

EVENTS = "events"
TICKS = 120
MAX_ROWS = 8192
"""Edges are remembered of so many rows of the table."""
UNPRICED = -(2**31)
MOST_BP = 2**31 - 1
_EDGE, _NET, _PRICED = (CELLS[name][0] for name in ("edge_bp", "net_micros", "has_numbers"))

Feeds = Mapping[str, FeedPicture]


class TableEvents:
    """`Events` of one tick. `unpacked` counts the rows of the table that somebody asked for."""

    def __init__(self, layout: Layout, words: NDArray[int64], feeds: Feeds, now_ns: int) -> None:
        self.layout = layout
        self.now_ns = now_ns
        self.unpacked = 0
        self._words = words
        self._feeds = feeds
        self._made: dict[int, EventView | LineView] = {}

    def __len__(self) -> int:
        return len(self.layout)

    def __getitem__(self, index: int) -> EventView | LineView:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        if index not in self._made:
            self._made[index] = self._make(index)
        return self._made[index]

    @property
    def ids(self) -> set[str]:
        """The ids of the events."""
        return self.layout.ids

    def key(self, index: int) -> str:
        """What names this row from one picture to the next."""
        return self.layout.keys[index]

    def group(self, index: int) -> tuple[str, str] | None:
        """The venues of a pair of markets, None for another direction."""
        return self.layout.groups[index]

    def find(self, key: str) -> int | None:
        """The row of that key, None where it is gone."""
        return self.layout.places.get(key)

    def rows(self, index: int) -> tuple[EventRow | None, EventRow | None]:
        """What the scanner wrote of a row's one or two directions."""
        even, odd = int(self.layout.even[index]), int(self.layout.odd[index])
        return self._row(even), self._row(odd)

    def arrange(self, sort: str, *, descending: bool, needle: str = "") -> Sequence[int]:
        """The rows that contain `needle`, sorted by one of EVENT_SORTS: as `ListedEvents` does it."""
        found = self.layout.matching(needle.casefold())
        if not sort:
            unsorted: list[int] = found.tolist()
            return unsorted
        ranks, there = self._ranks(sort)
        ranked, rest = found[there[found]], found[~there[found]]
        keys = ranks[ranked]
        # ~rank turns the order round without an overflow, and leaves rows of equal rank as they are.
        order = np.argsort(~keys if descending else keys, kind="stable")
        placed: list[int] = np.concatenate([ranked[order], rest]).tolist()
        return placed

    def leg(self, venue: str, market: str, inverse: bool) -> LegView:
        """A leg as its feed's picture shows it; DEAD where there is no such feed."""
        feed = self._feeds.get(venue)
        return feed.leg(market, inverse=inverse) if feed else LegView(venue, market, BookState.DEAD)

    def _row(self, index: int) -> EventRow | None:
        if index == NONE:
            return None
        self.unpacked += 1
        return EVENT.unpack(array("q", self._words[index].tobytes()))

    def _make(self, index: int) -> EventView | LineView:
        even, odd = self.rows(index)
        if index < self.layout.pairs:
            return pair_view(even, odd, self.leg, self.now_ns)
        assert even is not None, "a direction of its own has one row"
        return line_view(even, self.leg, self.now_ns)

    def _ranks(self, sort: str) -> tuple[NDArray[int64], NDArray[np.bool_]]:
        """A number for each place, and which of them have one."""
        layout = self.layout
        if sort in {"event", "kind"}:
            ranks = layout.id_ranks if sort == "event" else layout.kind_ranks
            return ranks, np.ones(len(self), np.bool_)
        if sort == "close":
            return layout.closes, layout.closes != 0
        if sort == "age":
            ages = self._ages_ns()
            return ages, ages >= 0
        return self._best({"edge": _EDGE, "net": _NET}[sort])

    def _best(self, column: int) -> tuple[NDArray[int64], NDArray[np.bool_]]:
        """The larger value of both directions, and whether either is priced."""
        least = np.iinfo(int64).min
        best = np.full(len(self), least, int64)
        there = np.zeros(len(self), np.bool_)
        for rows in (self.layout.even, self.layout.odd):
            named_here = np.flatnonzero(rows != NONE)
            priced = named_here[self._words[rows[named_here], _PRICED] != 0]
            best[priced] = np.maximum(best[priced], self._words[rows[priced], column])
            there[priced] = True
        return best, there

    def _ages_ns(self) -> NDArray[int64]:
        """The age of the older leg of each place; -1 where neither has one."""
        ages = np.full(len(self), -1, int64)
        for venue, feed in self._feeds.items():
            for places, rows in self.layout.lying(venue, feed.directory):
                ages[places] = np.maximum(ages[places], feed.ages_ns(rows))
        return ages


class EventTable:
    """The scanner's table as this reader follows it. Call `refresh` once a tick."""

    def __init__(self) -> None:
        self._generation = 0
        self._copy: SlotCopy | None = None
        self._named: dict[int, Named] = {}
        self._retries = 0
        # A line a tick: the edge of each row of the table.
        self._edges = np.zeros((TICKS, 0), np.int32)
        self._times_ns = np.zeros(TICKS, int64)
        self._ticks = 0
        self.layout = Layout({})

    @property
    def read_again(self) -> int:
        """How often a row was under the scanner's hands and was read again."""
        return self._retries + (self._copy.read_again if self._copy is not None else 0)

    def refresh(self, scanner: Attachment, feeds: Feeds, now_ns: int) -> TableEvents:
        """The picture of this tick."""
        if scanner.generation != self._generation:
            self._generation = scanner.generation
            self._open(scanner)
        copy = self._copy
        if copy is None:
            return TableEvents(self.layout, np.zeros((0, EVENT.words), int64), feeds, now_ns)
        before = copy.words
        if copy.refresh().size:
            self._follow(before, copy.words)
        self._remember(copy.words, now_ns, alive=scanner.alive(now_ns, LIVELY_NS))
        return TableEvents(self.layout, copy.words, feeds, now_ns)

    def history(self, index: int, now_ns: int) -> list[tuple[int, tuple[int | None, int | None]]]:
        """(age in ns, edges of both directions in bp) of a place of the last picture, oldest first."""
        rows = int(self.layout.even[index]), int(self.layout.odd[index])
        sides = [self._history_of(row) for row in rows]
        first = max(0, self._ticks - TICKS)
        found: list[tuple[int, tuple[int | None, int | None]]] = []
        for tick in range(first, self._ticks):
            edges = sides[0][tick % TICKS], sides[1][tick % TICKS]
            if edges != (None, None) or found:
                found.append((max(0, now_ns - int(self._times_ns[tick % TICKS])), edges))
        return found

    def _history_of(self, row: int) -> list[int | None]:
        if not 0 <= row < self._edges.shape[1]:
            return [None] * TICKS
        return [None if edge == UNPRICED else edge for edge in self._edges[:, row].tolist()]

    def _open(self, scanner: Attachment) -> None:
        """A reader of a new segment; none where its table is drawn otherwise."""
        self._retries = self.read_again
        self._copy = None
        self._named, self.layout = {}, Layout({})
        self._edges = np.full((TICKS, 0), UNPRICED, np.int32)
        if scanner.view is None or not scanner.has(EVENTS, EVENT.words):
            return
        try:
            scanner.view.check(EVENTS, EVENT.drawing)
        except SegmentError:
            return
        self._copy = SlotCopy(scanner.view.slots(EVENTS, EVENT.words))

    def _follow(self, before: NDArray[int64], words: NDArray[int64]) -> None:
        """Look again at what the directions are, where that is not what it was."""
        known = min(len(before), len(words))
        other = np.ones(len(words), np.bool_)
        other[:known] = (before[:known, :STATIC_WORDS] != words[:known, :STATIC_WORDS]).any(axis=1)
        changed = np.flatnonzero(other)
        if not changed.size:
            return
        others = []
        for index, row in zip(changed.tolist(), named(words[changed]), strict=True):
            before_row = self._named.pop(index, None)
            if row.event_id:
                self._named[index] = row
            if before_row is None or before_row.identity != row.identity:
                others.append(index)
        self.layout = Layout(dict(sorted(self._named.items())))
        # Another direction has no past in this row.
        self._edges[:, [index for index in others if index < self._edges.shape[1]]] = UNPRICED

    def _remember(self, words: NDArray[int64], now_ns: int, *, alive: bool) -> None:
        """Note the edge of every row; of a scanner that does not live there is none."""
        rows = min(len(words), MAX_ROWS)
        if rows > self._edges.shape[1]:
            more = np.full((TICKS, rows - self._edges.shape[1]), UNPRICED, np.int32)
            self._edges = np.concatenate([self._edges, more], axis=1)
        at = self._ticks % TICKS
        edges = np.clip(words[:rows, _EDGE], -MOST_BP, MOST_BP)
        self._edges[at] = UNPRICED
        if alive:
            self._edges[at, :rows] = np.where(words[:rows, _PRICED] != 0, edges, UNPRICED)
        self._times_ns[at] = now_ns
        self._ticks += 1
