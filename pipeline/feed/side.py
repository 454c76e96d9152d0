"""One side of an order book: every level, and the best of them laid out ready for shared memory.

In: levels in integers. Out: the same levels sorted, the best ones as flat words (ticks, units, ticks,
units ...), and the text that Kraken's checksum covers. Pure. Run by pipeline/feed/book.py, which is on
the hot path: what a change costs here is paid for each message of a venue.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from pipeline.model import INT64_MAX, Level

# Kraken's checksum covers so many levels a side, whatever the subscribed depth.
CHECKSUM_LEVELS = 10

# Where most changes are.
NEAR_LEVELS = 64


class Side:
    """All levels of one side as two lists in step, keys rising, so that the best level is the last.

    A key is a bid's price, or an ask's price negated. Most changes are near the best, so an insertion
    moves next to nothing, however deep the book is. The best `shown` levels also lie in `page`, the
    book's row of shared memory, from word `first` on, best first; the words after the last level are 0.
    """

    __slots__ = (
        "_first",
        "_page",
        "_shown",
        "_sign",
        "_sum",
        "_sum_start",
        "_text",
        "_texts",
        "keys",
        "units",
    )

    def __init__(self, sign: int, page: array[int], first: int, shown: int) -> None:
        """`sign` is 1 for bids and -1 for asks; `page` has room for `shown` levels from word `first`."""
        self._sign = sign
        self._page = page
        self._first = first
        self._shown = shown
        self._texts: list[bytes] | None = None  # of each level, once a checksum was asked for
        self._text: bytes | None = None  # of the best levels together
        self._sum = self._sum_start = 0
        self.keys: list[int] = []
        self.units: list[int] = []

    @property
    def best(self) -> int:
        """The best price in ticks, 0 when the side is empty."""
        return self.keys[-1] * self._sign if self.keys else 0

    def top(self, depth: int) -> list[Level]:
        """The best `depth` levels, best first; 0 means all."""
        sign = self._sign
        keys, units = self.keys[-depth:], self.units[-depth:]
        return [(key * sign, size) for key, size in zip(reversed(keys), reversed(units), strict=True)]

    def replace(self, levels: Iterable[Level]) -> None:
        """Take these levels and no others; of a price that comes twice the last counts."""
        sign = self._sign
        last = {price * sign: size for price, size in levels}
        self.keys = [key for key in sorted(last) if last[key]]
        self.units = [last[key] for key in self.keys]
        self._texts = self._text = None
        flat = [word for level in self.top(self._shown) for word in level] if self._shown else []
        flat += [0] * (2 * self._shown - len(flat))
        self._page[self._first : self._first + 2 * self._shown] = array("q", flat)

    def change(self, levels: Sequence[Level]) -> None:
        """Set sizes in the order given; 0 removes a level."""
        sign, keys = self._sign, self.keys
        for price, size in levels:
            key = price * sign
            count = len(keys)
            # In a deep book a search among the best levels finds most of what changes, in fewer steps.
            low = count - NEAR_LEVELS
            at = bisect_left(keys, key, low) if low > 0 and keys[low] <= key else bisect_left(keys, key)
            if at < count and keys[at] == key:
                if size:
                    self._resize(at, count - at, price, size)
                else:
                    self._remove(at, count - at)
            elif size:
                self._insert(at, key, size)

    def step(self, levels: Sequence[Level]) -> bool:
        """Add signed steps to sizes; False, with the side spoilt, when a size cannot be what comes out."""
        keys, units = self.keys, self.units
        for price, step in levels:
            key = price * self._sign
            at = bisect_left(keys, key)
            rank = len(keys) - at  # 1 is the best; 0 is better than any
            if rank and keys[at] == key:
                size = units[at] + step
                if 0 < size <= INT64_MAX:
                    self._resize(at, rank, price, size)
                elif size:
                    return False
                else:
                    self._remove(at, rank)
            elif 0 < step <= INT64_MAX:
                self._insert(at, key, step)
            elif step:
                return False
        return True

    def _resize(self, at: int, rank: int, price: int, size: int) -> None:
        """Another size, above 0, of the level at index `at`, which is the `rank`th best."""
        self.units[at] = size
        if rank <= self._shown:
            self._page[self._first + 2 * rank - 1] = size
        if self._texts is not None:
            self._texts[at] = b"%d%d" % (price, size)
            if rank <= CHECKSUM_LEVELS:
                self._text = None

    def _insert(self, at: int, key: int, size: int) -> None:
        """A new level before index `at`; in the page, those behind it move one place back."""
        behind = len(self.keys) - at  # levels better than this one
        self.keys.insert(at, key)
        self.units.insert(at, size)
        price = key * self._sign
        if self._texts is not None:
            self._texts.insert(at, b"%d%d" % (price, size))
            if behind < CHECKSUM_LEVELS:
                self._text = None
        shown, page, first = self._shown, self._page, self._first
        if behind < shown:
            word = first + 2 * behind
            end = first + 2 * shown
            page.insert(word, size)
            page.insert(word, price)
            del page[end : end + 2]

    def _remove(self, at: int, rank: int) -> None:
        """The level at index `at` goes; in the page, those behind it move up, and one more comes in."""
        keys, units = self.keys, self.units
        del keys[at]
        del units[at]
        if self._texts is not None:
            del self._texts[at]
            if rank <= CHECKSUM_LEVELS:
                self._text = None
        shown, page, first = self._shown, self._page, self._first
        if rank <= shown:
            word = first + 2 * rank - 2
            last = first + 2 * shown - 2
            more = len(keys) >= shown
            del page[word : word + 2]
            page.insert(last, units[-shown] if more else 0)
            page.insert(last, keys[-shown] * self._sign if more else 0)

    def cut(self, depth: int) -> None:
        """Forget all but the best `depth` levels of a side that has more."""
        excess = len(self.keys) - depth
        assert excess > 0
        shown, first = self._shown, self._first
        for rank in range(depth, min(shown, len(self.keys))):
            self._page[first + 2 * rank] = self._page[first + 2 * rank + 1] = 0
        del self.keys[:excess]
        del self.units[:excess]
        if self._texts is not None:
            del self._texts[:excess]
        if depth < CHECKSUM_LEVELS:
            self._text = None

    def checksum(self, start: int) -> int:
        """CRC32, going on from `start`, of the digits of price and size of ten levels, best first.

        Digits of a fixed-precision number without point and leading zeros are its integer (Kraken, v2
        guide to checksums). Each level's text is kept: a change makes only those anew that it changed.
        """
        if self._text is None:
            if self._texts is None:
                sign = self._sign
                levels = zip(self.keys, self.units, strict=True)
                self._texts = [b"%d%d" % (key * sign, size) for key, size in levels]
            self._text = b"".join(self._texts[: -CHECKSUM_LEVELS - 1 : -1])
            self._sum_start = -1
        if start != self._sum_start:
            self._sum_start = start
            self._sum = zlib.crc32(self._text, start)
        return self._sum
