"""Health: a feed's connections, gauges and counters as one value.

In: a feed's segment, the time. Out: a frozen `Health`. Used by `pipeline.client` and by `status`, so that
both mean the same by "connected": every link that the feed wants is up, and its heart beats.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.model import ConnectionState, StateLimits
from shm.books import BookReader, ConnectionRow
from shm.segment import View
from shm.statistics import Statistics, read_counted, read_statistics

# States in which prices may arrive.
GOOD = (ConnectionState.UP, ConnectionState.POLLING)


@dataclass(frozen=True, slots=True)
class Health:
    """How a feed is. `connections` are the links it uses, by index; `counted` is since its file was made."""

    alive: bool
    connections: tuple[tuple[int, ConnectionRow], ...]
    gauges: Statistics
    counted: dict[str, int]

    @property
    def connected(self) -> bool:
        """Whether every link that the feed wants is up, or polls."""
        return self.alive and bool(self.connections) and self.up == len(self.connections)

    @property
    def subscriptions(self) -> int:
        """Markets confirmed now: none once the feed is dead."""
        return self.gauges.subscriptions if self.alive else 0

    @property
    def word(self) -> str:
        """The connections in a word or two for people."""
        states = [row.state for _, row in self.connections]
        if not self.alive or not states:
            return "down"
        if ConnectionState.AUTH_FAILED in states:
            return "auth failed"
        good = self.up
        if good == len(states):
            return "polling" if ConnectionState.POLLING in states else "up"
        if good:
            return f"{good}/{len(states)} up"
        return connection_word(max(states))

    @property
    def up(self) -> int:
        """Links that are up, or poll."""
        return sum(row.state in GOOD for _, row in self.connections)


def feed_health(view: View, books: BookReader, limits: StateLimits, now_ns: int) -> Health:
    """How the feed of this segment is at `now_ns` (CLOCK_MONOTONIC)."""
    header = view.header
    lost = header.retired or header.epoch != view.epoch
    return Health(
        not lost and now_ns - header.heartbeat_ns <= limits.heartbeat_ns,
        tuple((at, row) for at, row in enumerate(books.connections()) if used(row)),
        read_statistics(view),
        read_counted(view),
    )


def used(connection: ConnectionRow) -> bool:
    """Whether the feed wants this link: it does something, or has markets and so ought to."""
    return connection.state != ConnectionState.DOWN or connection.markets > 0


def connection_word(state: int) -> str:
    """The name of a connection's state for people; a number of another version shows as itself."""
    if state not in ConnectionState.__members__.values():
        return f"state {state}"
    return ConnectionState(state).name.lower().replace("_", " ")
