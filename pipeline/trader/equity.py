"""Equity: what the account was worth at moments ten seconds apart, and how far it fell from its best.

In: the account and marks, the time. Out: points for the trader's segment, the largest drawdown. Pure;
used by the trader. It is money that is shown, never booked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from pipeline.model import EXACT
from pipeline.trader.holding import ZERO, Mark, exact_sum
from pipeline.trader.positions import Positions

EVERY_NS = 10 * 10**9
POINTS = 720
"""Points that are shown: the last two hours."""


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """One moment: `equity` is cash and what is open at what it would fetch, at cost where no book says."""

    sequence: int
    wall_ns: int
    equity: Decimal
    realised: Decimal
    unrealised: Decimal
    exposure: Decimal


def worth_after_results(positions: Positions, before_wall_ns: int) -> list[Decimal]:
    """What the account came to after each of its closed trades until then, in the order they closed: cash
    that was paid in, and all results so far. What is open counts at cost.
    """
    worth = exact_sum(*(positions.start_cash(venue) for venue in positions.venues()))
    found = [worth]
    for result in positions.results():
        if result.closed_wall_ns <= before_wall_ns:
            worth = EXACT.add(worth, result.result)
            found.append(worth)
    return found


class EquityCurve:
    """Takes a point when one is due, and remembers the highest (`peak`, None before the first) and the
    deepest fall since.

    `earlier` is what the account was worth before, oldest first: after each result that no point tells of
    (`worth_after_results`), then at the points that an earlier run of the trader left. `last` is the number
    of the latest of these: the curve goes on.
    """

    def __init__(self, earlier: Iterable[Decimal] = (), last: int = 0) -> None:
        self._due_ns = 0
        self._sequence = last
        self.peak: Decimal | None = None
        self.drawdown = ZERO
        self.max_drawdown = ZERO
        for equity in earlier:
            self._fall(equity)

    def take(self, positions: Positions, mark: Mark, now_ns: int, wall_ns: int) -> EquityPoint | None:
        """The point of this moment, None while none is due. `now_ns` is CLOCK_MONOTONIC.

        `drawdown` (dollars below the highest point, 0 or more) and `max_drawdown` then include it. Money
        that is paid in or out counts as gained or lost.
        """
        if now_ns < self._due_ns:
            return None
        self._due_ns = now_ns + EVERY_NS
        self._sequence += 1
        equity = positions.equity(mark)
        self._fall(equity)
        return EquityPoint(
            self._sequence,
            wall_ns,
            equity,
            positions.realised(),
            positions.unrealised(mark),
            positions.exposure(),
        )

    def _fall(self, equity: Decimal) -> None:
        self.peak = equity if self.peak is None else max(self.peak, equity)
        self.drawdown = EXACT.subtract(self.peak, equity)
        self.max_drawdown = max(self.max_drawdown, self.drawdown)
