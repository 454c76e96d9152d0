"""Link: one connection of a feed, over all its openings and losses.

In: the markets that it carries, time. Out: messages, and what the venue must be asked. Used by the
feed's worker, which applies the messages; one link for each row of the segment's connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from random import Random

from pipeline.clock import Clock
from pipeline.feed.connection import Connection, ConnectionLostError, Dial
from pipeline.feed.frames import MIB
from pipeline.feed.session import REPAIR_TRIES, Access, Habits, Repairs, Session
from pipeline.feed.watch import Patience, Watch
from pipeline.model import ConnectionState, Scale
from pipeline.venues.codec import Codec
from pipeline.venues.registry import CODECS
from shm.books import C_MARKETS, C_PING_NS, C_PROOF_NS, C_RECONNECTS, C_SINCE_NS, C_STATE

# Where the venue has a ping of its own beside the WebSocket's, it wants one so often.
APP_PING_NS = 10_000_000_000
# So many of those without an answer, and nobody reads at the other end.
APP_PINGS_UNANSWERED = 3
# A channel beside the books that the venue refused or ended is asked for again after this.
AGAIN_NS = 10_000_000_000
# A whole Coinbase book is a message of over 5 MB; nobody else has reason to send a megabyte at once.
MESSAGE_BYTES = {"coinbase": 16 * MIB}

Count = Callable[[str], None]


class Link:
    """One connection to a venue. Whatever ends it is raised as ConnectionLostError; then call `lost`."""

    def __init__(
        self,
        venue: str,
        index: int,
        cells: memoryview[int],
        habits: Habits,
        patience: Patience,
        access: Access,
        clock: Clock,
        random: Random,
        count: Count,
    ) -> None:
        """`cells` is the link's row in the segment; `count` counts an event by its counter's name."""
        self.venue = venue
        self.index = index
        self.markets: dict[str, None] = {}
        self.session = Session(habits, access, random)
        self.watch = Watch(patience)
        self.repairs = Repairs()
        self.codec: Codec = CODECS[venue]({})
        self.connection: Connection | None = None
        self.opened_before = False
        """Whether a connection of this link has been taken up; its owner sets it."""
        self.frozen = False
        """Whether the last connection was given up because it was alive and useless."""
        self._cells = cells
        self._clock = clock
        self._count = count
        self._dial: Dial | None = None
        self._stuck: Dial | None = None
        self._app_ping_ns = self._again_ns = 0
        self._show()

    # -- opening and losing ------------------------------------------------------------------------

    def dial(self, url: str, headers: Callable[[], Mapping[str, str]]) -> None:
        """Begin to connect, if it is time to and there is something to subscribe to."""
        now = self._clock.monotonic_ns()
        if not self.markets or self._dial is not None or not self.session.dial_due(now):
            self._show()
            return
        if self._stuck is not None and self._stuck.stuck:
            return
        self._stuck = None
        signed = headers()
        self.session.dialled(now)
        self._show()
        limit_bytes = MESSAGE_BYTES.get(self.venue, MIB)
        self._dial = Dial(url, signed, self._clock, limit_bytes=limit_bytes)

    @property
    def dialling(self) -> bool:
        """Whether a connection is being opened."""
        return self._dial is not None

    def poll(self, timeout: float, scales: Mapping[str, Scale]) -> bool:
        """Take up a connection that has opened; whether one has. Raises ConnectionLostError."""
        dial = self._dial
        if dial is None:
            return False
        try:
            connection = dial.poll(timeout)
        except ConnectionLostError:
            self._dial, self._stuck = None, dial
            raise
        if connection is None:
            return False
        self._dial = None
        now = self._clock.monotonic_ns()
        self.connection = connection
        # A fresh connection has a fresh codec: sequences begin anew.
        self.codec = CODECS[self.venue](dict(scales))
        self.repairs.clear()
        self.session.opened(now)
        self.watch.opened(now)
        self.frozen = False
        self._again_ns = 0
        self._app_ping_ns = now + APP_PING_NS
        self._cells[C_PROOF_NS] = connection.proof_ns
        self._show()
        self.subscribe(list(self.markets))
        return True

    def lost(self, error: ConnectionLostError) -> bool:
        """The connection is gone or was refused; False when it is time to give up."""
        if self.connection is not None:
            self._count("reconnects")
            self._cells[C_RECONNECTS] += 1
        else:
            self._count("connects_failed")
        self.close()
        keep = self.session.lost(self._clock.monotonic_ns(), error.status, error.retry_after_ns)
        self._show()
        return keep

    def close(self) -> None:
        """Drop the connection, or the attempt at one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self._dial is not None:
            self._dial.abandon()
            self._dial, self._stuck = None, self._dial
        self.session.closed()
        self._show()

    # -- what we send ------------------------------------------------------------------------------

    def subscribe(self, markets: list[str]) -> None:
        """Ask for the books of markets of this link. Raises ConnectionLostError."""
        self.markets.update(dict.fromkeys(markets))
        self._cells[C_MARKETS] = len(self.markets)
        if self.connection is not None and markets:
            self._send(self.codec.subscribe(markets))
            self.watch.asked(markets, self._clock.monotonic_ns())

    def unsubscribe(self, markets: list[str]) -> None:
        """Ask for these books no longer. Raises ConnectionLostError."""
        self.forget(markets)
        if self.connection is not None:
            self._send(self.codec.unsubscribe(markets))

    def forget(self, markets: Iterable[str]) -> None:
        """These markets belong to this link no longer."""
        gone = list(markets)
        for market in gone:
            self.markets.pop(market, None)
            self.repairs.forget(market)
        self.watch.forget(gone)
        self._cells[C_MARKETS] = len(self.markets)

    def _send(self, texts: Iterable[str]) -> None:
        assert self.connection is not None, "checked by the callers"
        for text in texts:
            self.connection.send(text)

    # -- what time demands -------------------------------------------------------------------------

    def tend(self, broken: AbstractSet[str], vouched_ns: Callable[[], int]) -> None:
        """Ping, notice silence, and ask again for books that are broken, late or too quiet.

        `broken` are the markets of this link that need a snapshot; `vouched_ns` says when a witness last
        found one of its books right. Raises ConnectionLostError when the connection is of no use.
        """
        connection = self.connection
        if connection is None:
            return
        now = self._clock.monotonic_ns()
        self._cells[C_PROOF_NS] = connection.proof_ns
        self._cells[C_PING_NS] = connection.ping_ns
        if self.session.ping_due(now):
            connection.ping()
        if now >= self._app_ping_ns:
            self._app_ping(connection, now)
        if self.session.silent(connection.proof_ns, now):
            self._count("silences")
            raise ConnectionLostError("no sign of life within the timeout")
        self._repair(broken, now)
        self._listen(now, vouched_ns)

    def _app_ping(self, connection: Connection, now: int) -> None:
        """The venue's own ping, where it has one."""
        self._app_ping_ns = now + APP_PING_NS
        if self.codec.unanswered >= APP_PINGS_UNANSWERED:
            self._count("silences")
            raise ConnectionLostError(f"{self.codec.unanswered} pings were not answered")
        text = self.codec.ping()
        if text is not None:
            connection.send(text)

    def _repair(self, broken: AbstractSet[str], now: int) -> None:
        """Ask again for the books that a gap or a bad checksum voided."""
        due = self.repairs.due(broken, now) if broken else []
        stuck = self.repairs.exhausted() if due else ""
        if stuck:
            raise ConnectionLostError(f"no sound book of {stuck[:40]} after {REPAIR_TRIES} requests")
        if due:
            self._count("resyncs")
            self._send(self.codec.resync(due))

    def refused(self, markets: Iterable[str]) -> None:
        """The venue will not send these books; none named means a channel beside the books."""
        now = self._clock.monotonic_ns()
        mine = [market for market in markets if market in self.markets]
        self.watch.refused(mine, now)
        if not mine:
            self._again_ns = self._again_ns or now + AGAIN_NS

    def _listen(self, now: int, vouched_ns: Callable[[], int]) -> None:
        """Ask again for first books that are late, probe a long silence, and judge."""
        if 0 < self._again_ns <= now:
            self._again_ns = 0
            self._send(self.codec.subscribe(()))
        late = self.watch.overdue(now)
        if late:
            self._count("redrives")
            self._send(self.codec.resync(late))
        probe = self.watch.probe(now, vouched_ns)
        if probe is not None:
            self._count("probes")
            self._send(self.codec.resync([probe]))
        why = self.watch.frozen(now)
        if why:
            self.frozen = True
            self._count("frozen")
            raise ConnectionLostError(why)

    def _show(self) -> None:
        """Publish the session's state, and since when it lasts."""
        state = self.session.state
        if not self.markets and state is not ConnectionState.UP:
            state = ConnectionState.DOWN
        if self._cells[C_STATE] != state or not self._cells[C_SINCE_NS]:
            self._cells[C_STATE] = state
            self._cells[C_SINCE_NS] = self._clock.monotonic_ns()

    def confirmed(self) -> None:
        """The venue has shown that it took our subscription."""
        if self.session.state is not ConnectionState.UP:
            self.session.confirmed()
            self._show()
