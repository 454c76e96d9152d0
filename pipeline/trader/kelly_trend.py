"""Trend: whether the last ten closed trades won more often than all of them.

In: which of the last trades won, and the record's counts. Out: a `KellyTrend`. Pure; used by the sizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.trader.kelly_ratio import Ratio

RECENT_TRADES = 10


class TrendDirection(StrEnum):
    """How recent trades compare with all; as often is STEADY."""

    RISING = "rising"
    STEADY = "steady"
    FALLING = "falling"


@dataclass(frozen=True, slots=True)
class KellyTrend:
    """Recent against overall. `recent_trades` is at most RECENT_TRADES; with fewer it is STEADY.

    `recent_win_rate` is over the trades that there are; 0 without any.
    """

    direction: TrendDirection
    recent_trades: int
    recent_win_rate: Ratio
    overall_win_rate: Ratio

    @property
    def enough(self) -> bool:
        """Whether there are trades enough to speak of a trend."""
        return self.recent_trades == RECENT_TRADES

    @property
    def sign(self) -> int:
        """1 rising, 0 steady, -1 falling."""
        return {TrendDirection.RISING: 1, TrendDirection.STEADY: 0, TrendDirection.FALLING: -1}[
            self.direction
        ]

    def __str__(self) -> str:
        """The trend in a sentence."""
        if not self.enough:
            return f"{self.direction}: {self.recent_trades} of the {RECENT_TRADES} trades that a trend takes"
        recent, overall = self.recent_win_rate * 100, self.overall_win_rate * 100
        return f"{self.direction}: the last {RECENT_TRADES} trades won {recent:.1f} %, all {overall:.1f} %"


def trend_of(recent: Sequence[bool], winning_trades: int, total_trades: int) -> KellyTrend:
    """The trend of a record whose last trades won or not, as `recent` says, oldest first."""
    last = recent[-RECENT_TRADES:]
    rate = Ratio(sum(last), len(last) or 1)
    overall = Ratio(winning_trades, total_trades or 1)
    direction = TrendDirection.STEADY
    if len(last) == RECENT_TRADES and rate != overall:
        direction = TrendDirection.RISING if rate > overall else TrendDirection.FALLING
    return KellyTrend(direction, len(last), rate, overall)
