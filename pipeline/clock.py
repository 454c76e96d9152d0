"""Clock: the only door to time.

In: nothing. Out: nanoseconds. Every process makes one `SystemClock` and hands it down; tests and the
lab hand down a `ManualClock`, so no other module can read the time behind its caller's back.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What a process knows about time. Ages are differences of `monotonic_ns`, never of `wall_ns`."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC: comparable between processes on one boot."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC: for people, journals and venues' deadlines only."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_ns(self) -> int:
        """Read CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Read the wall clock."""
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for `seconds`."""
        time.sleep(seconds)


class ManualClock:
    """A clock that moves only when told to; both clocks move together."""

    def __init__(self, monotonic_ns: int = 1_000_000_000, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns

    def monotonic_ns(self) -> int:
        """Return the set monotonic time."""
        return self._monotonic_ns

    def wall_ns(self) -> int:
        """Return the set wall time."""
        return self._wall_ns

    def sleep(self, seconds: float) -> None:
        """Advance by `seconds` without waiting."""
        self.advance(round(seconds * 1e9))

    def advance(self, ns: int) -> None:
        """Move both clocks forward by `ns` nanoseconds."""
        self._monotonic_ns += ns
        self._wall_ns += ns
