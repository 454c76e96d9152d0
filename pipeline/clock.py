"""Clock: the only door to time.

In: nothing. Out: nanoseconds. Every process makes one `SystemClock` and hands it down; tests and the
lab hand down a `ManualClock`, so no other module can read the time behind its caller's back.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a process knows about time. Ages are differences of `monotonic_ns`, never of `wall_ns`."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC: comparable between processes on one boot."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC: for people, journals and venues' deadlines only."""
        ...

    def asleep_ns(self) -> int:
        """Nanoseconds this machine has slept since its boot, which `monotonic_ns` leaves out."""
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

    def asleep_ns(self) -> int:
        """CLOCK_BOOTTIME less CLOCK_MONOTONIC; 0 where the system has no such clock."""
        boottime = getattr(time, "CLOCK_BOOTTIME", None)
        return 0 if boottime is None else time.clock_gettime_ns(boottime) - time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for `seconds`."""
        time.sleep(seconds)


# A longer sleep of the machine than this voids what was known before it.
SLEEP_NS = 2_000_000_000


class SleepWatch:
    """Notices that the machine has slept: ages by CLOCK_MONOTONIC stood still meanwhile and look young."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen_ns = clock.asleep_ns()

    def slept_ns(self) -> int:
        """How long the machine has slept since the last call; 0 for anything below SLEEP_NS."""
        asleep = self._clock.asleep_ns()
        slept, self._seen_ns = asleep - self._seen_ns, asleep
        return slept if slept > SLEEP_NS else 0


class ManualClock:
    """A clock that moves only when told to; both clocks move together."""

    def __init__(self, monotonic_ns: int = 1_000_000_000, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._asleep_ns = 0

    def monotonic_ns(self) -> int:
        """Return the set monotonic time."""
        return self._monotonic_ns

    def wall_ns(self) -> int:
        """Return the set wall time."""
        return self._wall_ns

    def asleep_ns(self) -> int:
        """Return the time slept so far."""
        return self._asleep_ns

    def fall_asleep(self, ns: int) -> None:
        """As when the lid is closed for `ns`: the wall clock goes on, the monotonic one stands still."""
        self._asleep_ns += ns
        self._wall_ns += ns

    def jump_wall(self, ns: int) -> None:
        """Set the wall clock forward or, below 0, back; nothing else moves."""
        self._wall_ns += ns

    def sleep(self, seconds: float) -> None:
        """Advance by `seconds` without waiting."""
        self.advance(round(seconds * 1e9))

    def advance(self, ns: int) -> None:
        """Move both clocks forward by `ns` nanoseconds."""
        self._monotonic_ns += ns
        self._wall_ns += ns


def moment_text(wall_ns: int) -> str | None:
    """A wall-clock time as ISO-8601 in UTC, to the second; None for 0, which no moment is."""
    if not wall_ns:
        return None
    return datetime.fromtimestamp(wall_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
