"""Session: what one venue connection does next, and what all of a venue's connections may do together.

In: what happened and when. Out: what to do next. Pure: time and chance are arguments. Used by the
feed's links, which do the connecting.

    DOWN --dialled--> CONNECTING --opened--> SUBSCRIBING --confirmed--> UP
      ^                   |                       |                      |
      |                   +---------- lost -------+----------------------+
      |                              |
      +---- the wait is over ---- BACKOFF        AUTH_FAILED (only a changed configuration ends it)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet
from random import Random

import msgspec

from pipeline.config import VenueConfig
from pipeline.model import ConnectionState

SECOND_NS = 1_000_000_000
# A connection that lived this long ends a streak of failures.
HEALTHY_NS = 60 * SECOND_NS
# A book that was asked for again is asked for at most this often.
RESYNC_NS = SECOND_NS
# So many requests in a row that bring no sound book end the connection, once for each market.
REPAIR_TRIES = 3
# Answers to a handshake: who we are is not accepted; come back later.
UNAUTHORISED = frozenset({401, 403})
BUSY = frozenset({429, 503})
# So many refusals of who we are within this time, and only a person can help.
AUTH_TRIES, AUTH_WINDOW_NS = 3, 300 * SECOND_NS
MAX_RETRY_AFTER_SECONDS = 300.0
MAX_RETRY_AFTER_NS = round(MAX_RETRY_AFTER_SECONDS * SECOND_NS)
# Coinbase takes 8 new connections a second from one address; nobody documents less.
SPACING_NS = SECOND_NS // 8
# While a venue refuses us, its connections try one after another.
REFUSED_SPACING_NS = SECOND_NS


class Habits(msgspec.Struct, frozen=True, gc=False):
    """A venue's settings, in seconds (config [venues.NAME]); `max_retries` 0 never gives up."""

    reconnect_delay: float
    max_reconnect_delay: float
    heartbeat_interval: float
    timeout: float
    max_retries: int

    @classmethod
    def of(cls, settings: VenueConfig) -> Habits:
        """The connection habits among a venue's settings."""
        return cls(
            settings.reconnect_delay,
            settings.max_reconnect_delay,
            settings.heartbeat_interval,
            settings.timeout,
            settings.max_retries,
        )


def retry_after(text: str) -> float:
    """Seconds of a Retry-After header, at most MAX_RETRY_AFTER_SECONDS; dates count as the most."""
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    return MAX_RETRY_AFTER_SECONDS


class Access:
    """What the venue lets us do, over all our connections to it: how soon to try, and whether at all."""

    def __init__(self) -> None:
        self._not_before_ns = 0
        self._refusals_ns: deque[int] = deque(maxlen=AUTH_TRIES)
        self._refusing = False
        self.auth_failed = False

    def open_at_ns(self) -> int:
        """When the next connection may be tried."""
        return self._not_before_ns

    def dialled(self, now_ns: int) -> None:
        """A connection is being tried."""
        spacing = REFUSED_SPACING_NS if self._refusing else SPACING_NS
        self._not_before_ns = max(self._not_before_ns, now_ns + spacing)

    def opened(self) -> None:
        """The venue let us in."""
        self._refusing = False
        self._refusals_ns.clear()

    def refused(self, now_ns: int, status: int, retry_after_ns: int) -> None:
        """The venue answered the handshake with an HTTP status; 0 is no answer at all.

        `Retry-After` is obeyed, up to five minutes. 401 and 403 are tried three times in five minutes.
        """
        self._refusing = True
        wait_ns = min(retry_after_ns, MAX_RETRY_AFTER_NS)
        self._not_before_ns = max(self._not_before_ns, now_ns + wait_ns)
        if status in UNAUTHORISED:
            self._refusals_ns.append(now_ns)
            full = len(self._refusals_ns) == AUTH_TRIES
            self.auth_failed |= full and now_ns - self._refusals_ns[0] <= AUTH_WINDOW_NS

    def unusable(self) -> None:
        """We have nothing to show: a key that cannot be read."""
        self.auth_failed = True

    def reset(self) -> None:
        """Somebody has changed address or keys: try anew."""
        self.__init__()  # type: ignore[misc]


class Session:
    """The state of one connection between its openings and its losses."""

    def __init__(self, habits: Habits, access: Access, random: Random) -> None:
        self._habits = habits
        self._access = access
        self._random = random
        self._opened_ns = 0
        self._next_ping_ns = 0
        self._retry_at_ns = 0
        self.state = ConnectionState.DOWN
        self.failures = 0
        """Losses in a row without a healthy connection between them."""

    def adopt(self, habits: Habits) -> None:
        """Act on changed settings from the next decision on."""
        self._habits = habits

    @property
    def retry_at_ns(self) -> int:
        """When to connect next, as far as this connection alone knows."""
        return self._retry_at_ns

    def dial_due(self, now_ns: int) -> bool:
        """Whether to connect now."""
        if self._access.auth_failed:
            self.state = ConnectionState.AUTH_FAILED
            return False
        if self.state not in {ConnectionState.DOWN, ConnectionState.BACKOFF, ConnectionState.AUTH_FAILED}:
            return False
        return now_ns >= max(self._retry_at_ns, self._access.open_at_ns())

    def dialled(self, now_ns: int) -> None:
        """A connection is being opened."""
        self._access.dialled(now_ns)
        self.state = ConnectionState.CONNECTING

    def opened(self, now_ns: int) -> None:
        """The connection is open; what we asked for on it has not come yet."""
        self._access.opened()
        self._opened_ns = now_ns
        self._next_ping_ns = now_ns + round(self._habits.heartbeat_interval * 1e9)
        self.state = ConnectionState.SUBSCRIBING

    def confirmed(self) -> None:
        """The venue has acknowledged a subscription or sent a first book."""
        if self.state is ConnectionState.SUBSCRIBING:
            self.state = ConnectionState.UP

    def lost(self, now_ns: int, status: int = 0, retry_after_ns: int = 0) -> bool:
        """A connection was lost or refused; sets `retry_at_ns`. False when it is time to give up.

        Full jitter: a random wait below a bound that doubles up to the longest delay, so that many
        clients cut off at once do not come back at once. A venue that says that it is busy, or does not
        know us, is left alone for the whole of the shortest delay at least.
        """
        if self._opened_ns and now_ns - self._opened_ns > HEALTHY_NS:
            self.failures = 0
        was_open, self._opened_ns = bool(self._opened_ns), 0
        habits = self._habits
        bound = min(habits.reconnect_delay * 2 ** min(self.failures, 30), habits.max_reconnect_delay)
        least = min(habits.reconnect_delay, bound) if status in BUSY | UNAUTHORISED else 0.0
        self.failures += 1
        self._retry_at_ns = now_ns + round(self._random.uniform(least, bound) * 1e9)
        if not was_open:
            self._access.refused(now_ns, status, retry_after_ns)
        self.state = ConnectionState.AUTH_FAILED if self._access.auth_failed else ConnectionState.BACKOFF
        return not habits.max_retries or self.failures <= habits.max_retries

    def hurry(self, now_ns: int) -> None:
        """Connect again at once: the loss was our doing (a changed address, a machine that slept)."""
        self._retry_at_ns = now_ns
        self.failures = 0

    def closed(self) -> None:
        """The connection is not needed any more."""
        self._opened_ns = 0
        self.state = ConnectionState.DOWN

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
    """Which books were asked for again and when, so that a gap asks once and not at every frame.

    A book that stays broken after REPAIR_TRIES requests is a reason to connect anew, but only once, so
    that one bad book does not cost its neighbours theirs again and again.
    """

    def __init__(self) -> None:
        self._asked_ns: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        self._hopeless: set[str] = set()

    def due(self, markets: AbstractSet[str], now_ns: int) -> list[str]:
        """The markets to ask for now; they are taken as asked."""
        ready = [m for m in sorted(markets) if now_ns - self._asked_ns.get(m, -RESYNC_NS) >= RESYNC_NS]
        for market in ready:
            self._asked_ns[market] = now_ns
            self._tries[market] = self._tries.get(market, 0) + 1
        return ready

    def exhausted(self) -> str:
        """A market that REPAIR_TRIES requests did not mend, told once; "" if there is none."""
        for market, tries in self._tries.items():
            if tries > REPAIR_TRIES and market not in self._hopeless:
                self._hopeless.add(market)
                return market
        return ""

    def settled(self, market: str) -> None:
        """The market has a fresh and sound book."""
        if self._asked_ns.pop(market, None) is not None:
            del self._tries[market]
            self._hopeless.discard(market)

    def forget(self, market: str) -> None:
        """The market is not wanted any more."""
        self.settled(market)
        self._hopeless.discard(market)

    def clear(self) -> None:
        """A new connection asks for everything anyway."""
        self._asked_ns.clear()
        self._tries.clear()
