"""Rates: how many of something there are a second, from a counter that is looked at now and then.

In: the counter's value and the time, at every tick. Out: the rate of the last seconds, and a value for each
second of the last minute. Run by `source`, one for each thing that is counted.
"""

from __future__ import annotations

from collections import deque

SPAN_NS = 3_000_000_000
SAMPLES = 32
SECOND_NS = 1_000_000_000
SECONDS = 60


class Rate:
    """One counter as this reader has watched it."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque(maxlen=SAMPLES)
        self._seconds: deque[float] = deque(maxlen=SECONDS)
        # Where the second that is not over yet began.
        self._since: tuple[int, int] | None = None

    def note(self, now_ns: int, count: int) -> None:
        """Look at the counter; a count that went back belongs to a new file."""
        if self._counts and count < self._counts[-1][1]:
            self._counts.clear()
            self._since = None
        self._counts.append((now_ns, count))
        while now_ns - self._counts[0][0] > SPAN_NS and len(self._counts) > 2:
            self._counts.popleft()
        if self._since is None:
            self._since = now_ns, count
        passed_ns = now_ns - self._since[0]
        if passed_ns >= SECOND_NS:
            # A reader that did not look for a while knows the mean of that time only.
            whole = min(SECONDS, round(passed_ns / SECOND_NS))
            self._seconds.extend([(count - self._since[1]) * 1e9 / passed_ns] * whole)
            self._since = now_ns, count

    def a_second(self) -> float | None:
        """The rate over the last SPAN_NS, None until two counts are known."""
        if len(self._counts) < 2 or self._counts[-1][0] == self._counts[0][0]:
            return None
        (from_ns, first), (to_ns, last) = self._counts[0], self._counts[-1]
        return (last - first) * 1e9 / (to_ns - from_ns)

    def last_minute(self) -> tuple[float, ...]:
        """A value for each second, oldest first; () before the first second is over."""
        return tuple(self._seconds)
