"""Statistics: how late a venue's messages are, and how many come in a second.

In: one number a message, or a total now and then. Out: quantiles and a rate. Pure; run by the feed, which
shows them in its segment (shm.statistics) once a second.
"""

from __future__ import annotations

from collections import deque

SAMPLES = 1000
# A venue's clock may be off, never by so much; and a message without a time has the time 0.
MOST_NS = 3_600_000_000_000
RATE_SPAN_NS = 5_000_000_000
RATE_SAMPLES = 64


class Lag:
    """The last SAMPLES lags of a feed. `samples` and `skipped` count all since it began."""

    def __init__(self) -> None:
        self._last: deque[int] = deque(maxlen=SAMPLES)
        self.samples = 0
        self.skipped = 0

    def note(self, lag_ns: int) -> None:
        """Take one lag. Negative ones are normal, for clocks differ; beyond MOST_NS it is no sample."""
        if -MOST_NS <= lag_ns <= MOST_NS:
            self._last.append(lag_ns)
            self.samples += 1
        else:
            self.skipped += 1

    def quantiles(self) -> tuple[int, int]:
        """p50 and p99 of the last SAMPLES in nanoseconds, by nearest rank; zeros before the first."""
        ordered = sorted(self._last)
        if not ordered:
            return 0, 0
        return ordered[nearest_rank(len(ordered), 50)], ordered[nearest_rank(len(ordered), 99)]


class Rate:
    """How fast a total grows. Tell it the total now and then: once a second is right."""

    def __init__(self) -> None:
        self._totals: deque[tuple[int, int]] = deque(maxlen=RATE_SAMPLES)

    def note(self, total: int, now_ns: int) -> None:
        """Take the total as it is at `now_ns` (CLOCK_MONOTONIC)."""
        self._totals.append((now_ns, total))
        while len(self._totals) > 2 and now_ns - self._totals[1][0] >= RATE_SPAN_NS:
            self._totals.popleft()

    def milli_per_s(self) -> int:
        """Thousandths a second over the last RATE_SPAN_NS; 0 until two totals are known."""
        if len(self._totals) < 2:
            return 0
        (from_ns, first), (to_ns, last) = self._totals[0], self._totals[-1]
        return (last - first) * 10**12 // (to_ns - from_ns) if to_ns > from_ns else 0


def nearest_rank(count: int, percent: int) -> int:
    """Index of a percentile among `count` > 0 sorted samples: ceil(percent / 100 x count), from 1."""
    return max(0, -(-percent * count // 100) - 1)


def lag_ns(venue_ns: int, socket_ns: int, now_ns: int, wall_ns: int) -> int:
    """How late a message of the venue's time `venue_ns` reached us at `socket_ns` (CLOCK_MONOTONIC).

    `now_ns` and `wall_ns` are both clocks at one later moment: a venue's time is wall-clock time.
    """
    return wall_ns - (now_ns - socket_ns) - venue_ns
