"""One simulated venue's ladder of a binary market: where it quotes, and the noise around that.

In: a reference bid price that both venues share, an offset while the venue diverges, a generator.
Out: `Change` lists, removals first, so that no state between two changes is crossed.
Who runs it: `binary.BinaryEvent`, one object a venue. Prices are 1e-4 dollars, sizes 0.01 contract.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from pipeline.lab.book import Book, Change, Side

ONE = 10_000
"""One dollar in price units."""
CENT = 100
MIN_TOP = 5_000
"""Fewest units (50 contracts) at the best price, so that a divergence can be traded."""
MIN_LEVELS, MAX_LEVELS = 8, 25

SizeLaw = Callable[[random.Random], int]


def kalshi_size(rng: random.Random) -> int:
    """A resting Kalshi size: median 100, p90 about 1,800, p99 about 15,000 contracts."""
    contracts = min(rng.lognormvariate(math.log(100), 2.2), 20_000)
    if rng.random() < 0.1:
        return max(1, round(contracts * 100))
    return max(1, round(contracts)) * 100


def polymarket_size(rng: random.Random) -> int:
    """A resting Polymarket size: log-uniform 20 to 5,000 shares, half of them whole."""
    shares = 20 * math.exp(rng.random() * math.log(250))
    return round(shares) * 100 if rng.random() < 0.5 else round(shares * 100)


class Quotes:
    """The ladder of one venue around the event's reference price."""

    def __init__(
        self, book: Book, grid: int, width: int, mirrored: bool, law: SizeLaw, rng: random.Random
    ) -> None:
        """`mirrored` books ask the opposite question: their YES price is one minus the event's."""
        self.book = book
        self.grid = grid
        self.width = width
        self.mirrored = mirrored
        self.least_width = 0
        """What a scenario makes of the width: it is never less than this."""
        self.offset = 0
        self.shade_bid = 0
        self.shade_ask = 0
        self._law = law
        self._rng = rng

    def target(self, reference: int) -> tuple[int, int]:
        """Best bid and ask in event terms: the bid never above the reference, the ask never
        below the reference plus one grid, unless the venue diverges. That is what keeps two
        venues with neighbouring references from ever crossing each other.
        """
        width = max(self.width, self.least_width)
        base = reference // self.grid * self.grid
        low = (width - self.grid) // 2 // self.grid * self.grid
        bid = base - low + self.offset - self.shade_bid
        ask = base - low + width + self.offset + self.shade_ask
        bid = min(max(bid, self.grid), ONE - width - self.grid)
        return bid, min(max(ask, bid + width), ONE - self.grid)

    def quoted(self) -> tuple[int, int]:
        """Best bid and ask that stand in the book now, in event terms; both sides must exist."""
        bid, ask = self.book.best_bid(), self.book.best_ask()
        assert bid is not None, "an open market lost its bids"
        assert ask is not None, "an open market lost its asks"
        return (ONE - ask, ONE - bid) if self.mirrored else (bid, ask)

    def move(self, reference: int) -> list[Change]:
        """Bring the ladder to the target: removals, then additions, then the far end."""
        bid, ask = self.target(reference)
        if self.mirrored:
            bid, ask = ONE - ask, ONE - bid
        changes = [self.book.set("bid", p, 0) for p in reversed(self.book.bid_prices) if p > bid]
        changes += [self.book.set("ask", p, 0) for p in list(self.book.ask_prices) if p < ask]
        changes += self._stand("bid", bid, -self.grid)
        changes += self._stand("ask", ask, self.grid)
        changes += self._far_end("bid", -self.grid)
        changes += self._far_end("ask", self.grid)
        return changes

    def churn(self) -> list[Change]:
        """One random change away from the best price, or a resize; often nothing at all changes."""
        side: Side = "bid" if self._rng.random() < 0.5 else "ask"
        away = -self.grid if side == "bid" else self.grid
        best, count = self.book.best(side), len(self.book.prices(side))
        assert best is not None, "an open market lost a side"
        draw = self._rng.random()
        if draw < (0.06 if self.grid == 10 else 0.16) and count > MIN_LEVELS:
            return [self.book.set(side, self._price_at(side, self._rng.randrange(2, count)), 0)]
        if draw < 0.30 and count < MAX_LEVELS:
            price = best + away * self._rng.randrange(2, MAX_LEVELS)
            if self._fits(price) and price not in self.book.sizes(side):
                return [self.book.set(side, price, self._law(self._rng))]
        rank = min(int(self._rng.expovariate(0.4)), count - 1)
        change = self.book.set(side, self._price_at(side, rank), self._size(rank))
        return [change] if change.old != change.new else []

    def take(self) -> Change | None:
        """A trade against the best level that leaves at least the minimum; None when too thin."""
        side: Side = "bid" if self._rng.random() < 0.5 else "ask"
        best = self.book.best(side)
        assert best is not None, "an open market lost a side"
        spare = self.book.sizes(side)[best] - MIN_TOP
        if spare < 100:
            return None
        size = min(self._rng.choice((500, 1_000, 2_500, 10_000)), spare)
        return self.book.set(side, best, self.book.sizes(side)[best] - size)

    def reshade(self) -> None:
        """Draw the extra cent a side that some quotes keep: Kalshi stands at one cent mostly."""
        self.shade_bid = self.grid if self._rng.random() < 0.06 else 0
        self.shade_ask = self.grid if self._rng.random() < 0.06 else 0

    def _size(self, rank: int) -> int:
        size = self._law(self._rng)
        return MIN_TOP + size if rank == 0 and size < MIN_TOP else size

    def _price_at(self, side: Side, rank: int) -> int:
        prices = self.book.prices(side)
        return prices[-1 - rank] if side == "bid" else prices[rank]

    def _fits(self, price: int) -> bool:
        return self.grid <= price <= ONE - self.grid

    def _stand(self, side: Side, best: int, away: int) -> list[Change]:
        changes = []
        sizes = self.book.sizes(side)
        for rank in range(3):
            price = best + rank * away
            enough = sizes.get(price, 0) >= (MIN_TOP if rank == 0 else 1)
            if self._fits(price) and not enough:
                changes.append(self.book.set(side, price, self._size(rank)))
        return changes

    def _far_end(self, side: Side, away: int) -> list[Change]:
        changes = []
        while len(self.book.prices(side)) > MAX_LEVELS:
            changes.append(self.book.set(side, self.book.worst(side), 0))
        while len(self.book.prices(side)) < MIN_LEVELS:
            price = self.book.worst(side) + away * self._rng.randrange(1, 3)
            if not self._fits(price):
                break
            changes.append(self.book.set(side, price, self._law(self._rng)))
        return changes

    def fill(self, reference: int) -> None:
        """Make the first ladder: 10 to 20 levels a side with some holes."""
        self.move(reference)
        away: tuple[tuple[Side, int], ...] = (("bid", -self.grid), ("ask", self.grid))
        for side, step in away:
            for _ in range(self._rng.randrange(3, 13)):
                price = self.book.worst(side) + step * (2 if self._rng.random() < 0.1 else 1)
                if self._fits(price):
                    self.book.set(side, price, self._law(self._rng))
