"""Daily: when the summary of the last day is due, once a day at `alerts.daily_at` (UTC).

In: that time of day, the wall clock. Out: the day to tell about. Pure; used by the observer's worker. A
process that starts after that time of day waits for the next.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.config import Config

DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9

Tell = Callable[[Config, int, int], str]
"""Makes the text of what happened between two moments of the wall clock, in nanoseconds."""


class Daily:
    """Which moment is next. A clock that is set back makes it wait again, never tell twice at once."""

    def __init__(self) -> None:
        self._daily_at = ""
        self._next_ns = 0

    def due(self, daily_at: str, wall_ns: int) -> tuple[int, int] | None:
        """From when to when is to be told now; None when nothing is. `daily_at` is "HH:MM" or ""."""
        if daily_at != self._daily_at or self._next_ns - wall_ns > DAY_NS:
            self._daily_at, self._next_ns = daily_at, next_ns(daily_at, wall_ns)
        if not daily_at or wall_ns < self._next_ns:
            return None
        self._next_ns = next_ns(daily_at, wall_ns)
        return wall_ns - DAY_NS, wall_ns


def next_ns(daily_at: str, wall_ns: int) -> int:
    """The next moment after `wall_ns` with this time of day; 0 without one."""
    if not daily_at:
        return 0
    hours, _, minutes = daily_at.partition(":")
    of_day_ns = (int(hours) * 60 + int(minutes)) * MINUTE_NS
    today_ns = wall_ns - wall_ns % DAY_NS + of_day_ns
    return today_ns if today_ns > wall_ns else today_ns + DAY_NS
