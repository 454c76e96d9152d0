"""Window: all sizes that the levels of one book had over a stretch of time, compared with REST.

In: a book as the window opens, the events applied to it since, a sample. Out: a `Doubt`: the levels whose
size by REST was none of those. Pure. Used by `witness.Witness`.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from typing import Protocol

from pipeline.model import Level
from pipeline.venues.asking import Sample
from pipeline.venues.codec import Change, Snapshot

# Levels a side that a window holds; deeper ones are not compared. All of a grid of 0.001.
LEVELS_MAX = 1_000
# Sizes noted on a side before it is too much: a window lasts seconds, and this is thousands a second.
NOTED_MAX = 20_000
# A sample may be so much older than our book by the venues' clock: they write whole seconds and
# milliseconds, and send some things out of order.
OLDER_NS = 1_500_000_000
_SHOWN = 3


class SeenBook(Protocol):
    """What a window reads of a book (feed/book.py)."""

    @property
    def state(self) -> int:
        """A model.BookState."""
        ...

    @property
    def depth(self) -> int:
        """Levels a side that the venue keeps us informed of; 0 is all."""
        ...

    @property
    def venue_ns(self) -> int:
        """The venue's time of the last message, 0 where it sends none."""
        ...

    def top(self, depth: int = 0) -> tuple[list[Level], list[Level]]:
        """Bids and asks, best first."""
        ...


class _Side:
    """One side. A key is a bid's price, or an ask's price negated, so that a better level's is greater.

    `lowest` is the least key that was in sight all the time. `noted` holds the sizes of levels that were
    touched; those of all others are in `sizes`.
    """

    __slots__ = ("count", "depth", "lowest", "noted", "sign", "sizes")

    def __init__(self, sign: int, levels: list[Level], depth: int) -> None:
        self.sign = sign
        self.depth = depth
        self.sizes = {ticks * sign: units for ticks, units in levels}
        self.noted: dict[int, set[int]] = {}
        self.count = 0
        self.lowest: int | None = None
        self._cut()

    def set(self, ticks: int, units: int, *, relative: bool) -> None:
        """A level was given a size, or a step."""
        key = ticks * self.sign
        if self.lowest is not None and key < self.lowest:
            return
        old = self.sizes.get(key, 0)
        new = old + units if relative else units
        known = self.noted.get(key)
        if known is None:
            self.noted[key] = {old, new}
            self.count += 1
        else:
            self.count += new not in known
            known.add(new)
        if new > 0:
            self.sizes[key] = new
            if not old and self.depth:
                self._cut()
        elif old:
            del self.sizes[key]

    def replace(self, levels: Iterable[Level]) -> None:
        """The side was replaced: both the old sizes and the new count."""
        before, self.sizes = self.sizes, {ticks * self.sign: units for ticks, units in levels if units}
        self._cut()
        for key in before.keys() | self.sizes.keys():
            old, new = before.get(key, 0), self.sizes.get(key, 0)
            if old != new:
                self.noted.setdefault(key, {old}).update((old, new))
                self.count += 1

    def _cut(self) -> None:
        """Keep to what can be seen, and remember how far that is."""
        limit = self.depth or LEVELS_MAX
        if len(self.sizes) < limit:
            return
        if len(self.sizes) == limit + 1:
            del self.sizes[min(self.sizes)]
        elif len(self.sizes) > limit:
            self.sizes = {key: self.sizes[key] for key in nlargest(limit, self.sizes)}
        worst = min(self.sizes)
        self.lowest = worst if self.lowest is None else max(self.lowest, worst)

    def wrong(self, levels: Iterable[Level], reach_ticks: int, step_units: int) -> dict[int, tuple[int, int]]:
        """Our size and theirs, by price, of levels that never had the size that REST gives them."""
        theirs = {ticks * self.sign: units for ticks, units in levels}
        lowest = reach_ticks * self.sign
        if self.lowest is not None:
            lowest = max(lowest, self.lowest)
        found = {}
        for key in theirs.keys() | self.sizes.keys() | self.noted.keys():
            if key < lowest:
                continue
            told, ours = theirs.get(key, 0), self.sizes.get(key, 0)
            if abs(told - ours) < step_units:
                continue
            if all(abs(told - units) >= step_units for units in self.noted.get(key, ())):
                found[key * self.sign] = (ours, told)
        return found


class Window:
    """What one book was like since `opened_ns`. `asked_ns` is when REST was to be asked, 0 before."""

    __slots__ = ("_asks", "_bids", "_venue_ns", "asked_ns", "opened_ns")

    def __init__(self, book: SeenBook, now_ns: int) -> None:
        # One more than we hold tells whether there are more.
        bids, asks = book.top(LEVELS_MAX + 1)
        self.opened_ns = now_ns
        self.asked_ns = 0
        self._venue_ns = book.venue_ns
        self._bids = _Side(1, bids, book.depth)
        self._asks = _Side(-1, asks, book.depth)

    @property
    def too_much(self) -> bool:
        """Whether more happened than we note."""
        return self._bids.count + self._asks.count > NOTED_MAX

    def change(self, change: Change) -> None:
        """Levels were changed."""
        if self.too_much:
            return
        for side, levels in ((self._bids, change.bids), (self._asks, change.asks)):
            for ticks, units in levels:
                side.set(ticks, units, relative=change.relative)

    def replace(self, snapshot: Snapshot) -> None:
        """The book was replaced."""
        if not self.too_much:
            self._bids.replace(snapshot.bids)
            self._asks.replace(snapshot.asks)

    def newer_than(self, sample: Sample) -> bool:
        """Whether the sample says that it is older than our book was as the window opened."""
        told_ns = sample.snapshot.venue_ns
        return 0 < told_ns < self._venue_ns - OLDER_NS

    def compare(self, sample: Sample) -> Doubt | None:
        """The levels that never had the size that REST gives them; None where there are none."""
        book = sample.book
        step = book.size_step_units
        bids = self._bids.wrong(book.snapshot.bids, book.bids_from_ticks, step)
        asks = self._asks.wrong(book.snapshot.asks, book.asks_to_ticks, step)
        return Doubt(bids, asks) if bids or asks else None


class Doubt:
    """Levels that REST contradicted once: our size and theirs, by price. Whatever is touched goes."""

    __slots__ = ("asks", "bids")

    def __init__(self, bids: dict[int, tuple[int, int]], asks: dict[int, tuple[int, int]]) -> None:
        self.bids = bids
        self.asks = asks

    def stands(self) -> bool:
        """Whether a level is left that has not been touched."""
        return bool(self.bids or self.asks)

    def change(self, change: Change) -> None:
        """Levels were changed: the stream knows of them."""
        for doubted, levels in ((self.bids, change.bids), (self.asks, change.asks)):
            for ticks, _ in levels:
                doubted.pop(ticks, None)

    def replace(self, snapshot: Snapshot) -> None:
        """The whole book came anew: what is as it was stays in doubt."""
        for doubted, levels in ((self.bids, snapshot.bids), (self.asks, snapshot.asks)):
            sizes = dict(levels)
            for ticks in [ticks for ticks, (ours, _) in doubted.items() if sizes.get(ticks, 0) != ours]:
                del doubted[ticks]

    def confirmed_by(self, second: Doubt) -> str | None:
        """Words for a level that was wrong both times and untouched between; None if there is none."""
        words = [
            f"{name} {ticks}: {ours} here, {told} by REST"
            for name, first, again in (("bid", self.bids, second.bids), ("ask", self.asks, second.asks))
            for ticks, (ours, told) in again.items()
            if ticks in first and first[ticks][0] == ours
        ]
        if not words:
            return None
        more = f" and {len(words) - _SHOWN} more levels" if len(words) > _SHOWN else ""
        return ", ".join(words[:_SHOWN]) + more
