"""Queue position: how much stands before a quote of ours at its price, estimated from what the book shows.

In: the size that a level shows, and trades at its price where they are known. Out: the units that must go
before the quote is filled, and what of it was filled. Pure; the scanner shows it for a quote that had joined
when a price became best, the paper exchange fills maker orders by it.

A book of levels does not say where in the queue an order was cancelled. As hftbacktest does it (its
models/queue.rs): the quote joins behind all that is shown; a trade takes from the front; of what else the
level loses, the share p was behind the quote. With `front` before the quote, `back` behind it, and `change`
what was cancelled:

    front' = front - (1 - p) change + min(0, back - p change), and never more than the level shows
    p = 1                                    risk-averse: only trades move us
    p = back^n / (back^n + front^n)          power n
    p = ln(1 + back) / (ln(1 + back) + ln(1 + front))    logarithmic

What is given to the front beyond what stands there is counted as cancelled behind, so `front` never falls
below 0 but by trades. Inside it is counted in millionths of a unit, so that many small cancels add up.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log1p

PARTS = 1_000_000
"""Parts of a unit, and of a probability of 1."""

Share = Callable[[int, int], int]
"""P(a cancelled unit was behind) in parts, from front and back in parts of a unit, neither negative."""

POWER = 3
"""The exponent that is shown and filled by."""


def risk_averse(_front: int, _back: int) -> int:
    """All that is cancelled was behind us."""
    return PARTS


def power(exponent: int) -> Share:
    """back^n / (back^n + front^n): 1 takes cancels evenly from the queue, more from its longer part."""

    def share(front: int, back: int) -> int:
        ahead, behind = front**exponent, back**exponent
        return PARTS * behind // (ahead + behind) if ahead else PARTS

    return share


def logarithmic(front: int, back: int) -> int:
    """ln(1 + back) / (ln(1 + back) + ln(1 + front)), of units: nearly even between unequal parts."""
    ahead, behind = log1p(front / PARTS), log1p(back / PARTS)
    return round(PARTS * behind / (ahead + behind)) if front else PARTS


class QueuePosition:
    """One quote in the queue of one level, which showed `level_units` without ours when it joined."""

    def __init__(self, share: Share, level_units: int) -> None:
        assert level_units >= 0, level_units
        self._share = share
        self._level = self._front = level_units * PARTS
        self._traded = 0

    @property
    def front_units(self) -> int:
        """Units before us, a part counted as a whole one; 0 where we are next."""
        return max(0, -(-self._front // PARTS))

    def trade(self, units: int) -> None:
        """Somebody traded `units` at our price; ask `filled` afterwards."""
        assert units >= 0, units
        self._front -= units * PARTS
        self._traded += units * PARTS

    def depth(self, units: int) -> None:
        """The level shows `units` now; the trades since it was last shown are in that already."""
        assert units >= 0, units
        level, change = units * PARTS, self._level - units * PARTS - self._traded
        before = self._level
        self._level, self._traded = level, 0
        if change > 0 and self._front > 0:
            back = max(0, before - self._front)
            behind = change * self._share(self._front, back) // PARTS
            self._front = max(0, self._front - (change - behind) + min(0, back - behind))
        self._front = min(self._front, level)

    def filled(self, lot_units: int = 1) -> int:
        """Units of ours that trades have reached, to the nearest lot; they are given out once.

        What is left under half a lot waits for the next trade. The caller knows how large the quote was.
        """
        lot = max(1, lot_units) * PARTS
        lots = (2 * -self._front + lot) // (2 * lot)
        if lots <= 0:
            return 0
        self._front = 0
        return lots * lot // PARTS
