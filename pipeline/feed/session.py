"""Session: when to connect again, when to ping, when to give a silent connection up.

In: what happened and when. Out: what to do next. Pure: time and chance are arguments. Used by the
feed's worker, which does the connecting.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

# A connection that lived this long ends a streak of failures.
HEALTHY_NS = 60_000_000_000
# A book that was asked for again is asked for at most this often.
RESYNC_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Habits:
    """A venue's settings, in seconds (config [venues.NAME]); `max_retries` 0 never gives up."""

    reconnect_delay: float
    max_reconnect_delay: float
    heartbeat_interval: float
    timeout: float
    max_retries: int


class Session:
    """The state of one venue connection between its openings and its losses."""

    def __init__(self, habits: Habits, random: Random) -> None:
        self._habits = habits
        self._random = random
        self._failures = 0
        self._opened_ns = 0
        self._next_ping_ns = 0
        self.retry_at_ns = 0

    @property
    def failures(self) -> int:
        """Losses in a row without a healthy connection between them."""
        return self._failures

    def adopt(self, habits: Habits) -> None:
        """Act on changed settings from the next decision on."""
        self._habits = habits

    def opened(self, now_ns: int) -> None:
        """A connection is open."""
        self._opened_ns = now_ns
        self._next_ping_ns = now_ns + round(self._habits.heartbeat_interval * 1e9)

    def lost(self, now_ns: int) -> bool:
        """A connection was lost or refused; sets `retry_at_ns`. False when it is time to give up.

        Full jitter: a random wait below a bound that doubles up to the longest delay, so that many
        clients cut off at once do not come back at once.
        """
        if self._opened_ns and now_ns - self._opened_ns > HEALTHY_NS:
            self._failures = 0
        self._opened_ns = 0
        bound = min(
            self._habits.reconnect_delay * 2 ** min(self._failures, 30), self._habits.max_reconnect_delay
        )
        self._failures += 1
        self.retry_at_ns = now_ns + round(self._random.uniform(0, bound) * 1e9)
        return not self._habits.max_retries or self._failures <= self._habits.max_retries

    def ping_due(self, now_ns: int) -> bool:
        """Whether to ping now; at most once an interval."""
        if now_ns < self._next_ping_ns:
            return False
        self._next_ping_ns = now_ns + round(self._habits.heartbeat_interval * 1e9)
        return True

    def silent(self, proof_ns: int, now_ns: int) -> bool:
        """Whether the last proof of life is too old to go on waiting."""
        return now_ns - proof_ns > round(self._habits.timeout * 1e9)


class Repairs:
    """Which books were asked for again and when, so that a gap asks once and not at every frame."""

    def __init__(self) -> None:
        self._asked_ns: dict[str, int] = {}

    def due(self, markets: set[str], now_ns: int) -> list[str]:
        """The markets to ask for now; they are taken as asked."""
        ready = [m for m in sorted(markets) if now_ns - self._asked_ns.get(m, -RESYNC_NS) >= RESYNC_NS]
        self._asked_ns.update(dict.fromkeys(ready, now_ns))
        return ready

    def settled(self, market: str) -> None:
        """The market has a fresh snapshot."""
        self._asked_ns.pop(market, None)

    def clear(self) -> None:
        """A new connection asks for everything anyway."""
        self._asked_ns.clear()
