"""Feed worker: one process per venue turns the venue's socket into books in shared memory.

In: frames from one venue, market metadata by REST, run/config.json. Out: the segment feed-VENUE
(connections, market directory, books, counters) and the scanner's doorbell. Started by the supervisor
as `run.py feed VENUE`. A price goes: receive -> decode -> apply -> publish -> ring.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from pipeline.bus import Bell
from pipeline.clock import Clock
from pipeline.config import Config, VenueConfig
from pipeline.feed.book import BookKeeper
from pipeline.feed.connection import CONNECT_SECONDS, Connection, ConnectionLostError
from pipeline.feed.frames import MIB
from pipeline.feed.publisher import Publisher
from pipeline.feed.rest import Failure, MarketDirectory
from pipeline.feed.session import Habits, Repairs, Session
from pipeline.lifecycle import Worker
from pipeline.model import BookFlag, ConnectionState
from pipeline.venues.codec import Codec, Event, Listed, Settled, Snapshot, Subscribed
from pipeline.venues.registry import CODECS
from pipeline.venues.signing import KalshiSigner
from shm import books as memory
from shm import segment as segments

COUNTERS = (
    "frames",
    "book_messages",
    "bad_frames",
    "gaps",
    "checksums_ok",
    "checksums_bad",
    "duplicates",
    "desyncs",
    "connects",
    "connects_failed",
    "reconnects",
    "silences",
    "resyncs",
    "refused_subscriptions",
    "bells",
    "rest_markets",
    "rest_failures",
    "no_room",
)
KEPT_BY_KEEPER = (
    "book_messages",
    "bad_frames",
    "gaps",
    "checksums_ok",
    "checksums_bad",
    "duplicates",
    "desyncs",
)
TURN_SECONDS = 0.02
APP_PING_NS = 10_000_000_000
# A connection that does not repair its books within this time is given up.
REPAIR_NS = 10_000_000_000
# Metadata is read again this often, and each second while a closed market has no result.
METADATA_NS = 600_000_000_000
RESULT_NS = 1_000_000_000
SCANNER_NS = 100_000_000
# A whole Coinbase book is a message of over 5 MB; nobody else has reason to send a megabyte at once.
MESSAGE_BYTES = {"coinbase": 16 * MIB}


class Feed:
    """The life of one feed process."""

    def __init__(self, venue: str, config: Config, clock: Clock, random: Random) -> None:
        self.venue = venue
        self._clock = clock
        self._settings: VenueConfig = config.venues[venue]
        sections = memory.feed_sections(config.shm.max_markets, config.shm.depth, connections=1)
        self.worker = Worker(f"feed-{venue}", config, clock, sections, COUNTERS, self._on_config)
        self._cells = self.worker.segment.words(memory.CONNECTIONS)
        flags = BookFlag.SIM if venue in config.simulated else BookFlag(0)
        writer = memory.BookWriter(self.worker.segment)
        self._publisher = Publisher(venue, writer, flags, config.fees.get(venue))
        self._depth = writer.depth
        self._keeper = BookKeeper(venue)
        self._counted = dict.fromkeys(KEPT_BY_KEEPER, 0)
        self._random = random
        self._session = Session(habits(self._settings), random)
        self._repairs = Repairs()
        self._rest = MarketDirectory(venue, self._settings.rest_url, clock=clock, random=random)
        self._bell: Bell | None = None
        self._scanner: segments.View | None = None
        self._scanner_at_ns = self._metadata_at_ns = self._result_at_ns = 0
        self._connection: Connection | None = None
        self._codec: Codec = CODECS[venue]({})
        self._app_ping_ns = self._gap_since_ns = 0
        self._want(config)
        self._state(ConnectionState.DOWN)

    def run(self) -> None:
        """Turn until told to stop."""
        with self.worker as worker:
            while worker.go_on():
                if self._connection is None:
                    self._connect()
                else:
                    self._receive(self._connection)
                self._metadata()
            self._drop()
            self._rest.close()

    # -- one frame -----------------------------------------------------------------------------

    def _receive(self, connection: Connection) -> None:
        """One frame, if one comes, and what time demands of the connection."""
        try:
            frame = connection.receive(TURN_SECONDS)
            if frame is not None:
                # The read that completed the frame is when the venue's word reached us.
                self.take(frame, connection.proof_ns)
            self._keep_alive(connection)
        except ConnectionLostError as error:
            self._lost(str(error))

    def take(self, frame: bytes, socket_ns: int) -> None:
        """One frame: decode, apply, publish every book it touched, then ring."""
        self._cells[memory.C_FRAMES] += 1
        self.worker.counters.add("frames")
        events = self._codec.decode(frame)
        touched = self._keeper.apply_frame(events)
        for event in events:
            self._note(event)
        for market in touched:
            self._publish(market, socket_ns)
        if touched:
            self._ring()
        self._cells[memory.C_LAST_SEQUENCE] = self._codec.last_sequence
        self._count()

    def _publish(self, market: str, socket_ns: int) -> None:
        """Publish one book as the keeper has it now."""
        book = self._keeper.books.get(market)
        if book is None or market not in self._publisher:
            return
        bids, asks = book.top(self._depth)
        self._publisher.publish(
            market,
            book.state,
            book.venue_ns,
            bids,
            asks,
            socket_ns,
            self._clock.monotonic_ns(),
            tradable=self._keeper.tradable(market),
        )

    def _ring(self) -> None:
        """Wake the scanner if it says that it sleeps."""
        scanner = self._scanner
        if scanner is None or self._clock.monotonic_ns() >= self._scanner_at_ns:
            scanner = self._find_scanner()
        if scanner is not None and scanner.header.sleeping:
            # A scanner that sleeps has opened the bell, so it is there.
            self._bell = self._bell or Bell(Path(self.worker.config.run_directory))
            self._bell.ring()
            self.worker.counters.add("bells")

    def _find_scanner(self) -> segments.View | None:
        """The scanner's segment, looked up again now and then because it may have been restarted."""
        self._scanner_at_ns = self._clock.monotonic_ns() + SCANNER_NS
        if self._scanner is None or self._scanner.outdated():
            try:
                self._scanner = segments.attach(Path(self.worker.config.shm_directory), "scanner")
            except segments.SegmentError:
                self._scanner = None
        return self._scanner

    def _note(self, event: Event) -> None:
        """What an event means beside the books."""
        if isinstance(event, Snapshot):
            self._repairs.settled(event.market)
        elif isinstance(event, Listed):
            self._publisher.describe(event.market, self._clock.monotonic_ns())
        elif isinstance(event, Settled):
            self._rest.request([event.market])
        elif isinstance(event, Subscribed) and not event.ok:
            self.worker.counters.add("refused_subscriptions")
            self.worker.report(f"subscription refused: {event.why}")

    def _count(self) -> None:
        """Carry the keeper's statistics, which begin at 0 with each process, into the kept counters."""
        for name, seen in self._counted.items():
            total = getattr(self._keeper, name)
            if total != seen:
                self.worker.counters.add(name, total - seen)
                self._counted[name] = total

    # -- the connection ------------------------------------------------------------------------

    def _keep_alive(self, connection: Connection) -> None:
        """Ping, notice silence, and ask again for books that lost their way."""
        now = self._clock.monotonic_ns()
        self._cells[memory.C_PROOF_NS] = connection.proof_ns
        if self._session.ping_due(now):
            connection.ping()
        if now >= self._app_ping_ns:
            self._app_ping_ns = now + APP_PING_NS
            text = self._codec.ping()
            if text is not None:
                connection.send(text)
        if self._session.silent(connection.proof_ns, now):
            self.worker.counters.add("silences")
            raise ConnectionLostError(f"silent for {self._settings.timeout:g} s")
        self._repair(connection, now)

    def _repair(self, connection: Connection, now: int) -> None:
        """Ask again for the books that a gap or a bad checksum voided."""
        broken = self._keeper.resync.intersection(self._publisher.markets)
        if not broken:
            self._gap_since_ns = 0
            return
        self._gap_since_ns = self._gap_since_ns or now
        if now - self._gap_since_ns > REPAIR_NS:
            raise ConnectionLostError("the venue sent no fresh books")
        due = self._repairs.due(broken, now)
        for text in self._codec.resync(due) if due else ():
            self.worker.counters.add("resyncs")
            connection.send(text)

    def _connect(self) -> None:
        """Connect and subscribe if it is time to, else let a moment pass."""
        now = self._clock.monotonic_ns()
        if now < self._session.retry_at_ns:
            self._clock.sleep(min(TURN_SECONDS, (self._session.retry_at_ns - now) / 1e9))
            return
        self._state(ConnectionState.CONNECTING)
        self.worker.busy(CONNECT_SECONDS + 1.0)
        try:
            limit_bytes = MESSAGE_BYTES.get(self.venue, MIB)
            self._connection = Connection(
                self._settings.url, self._headers(), self._clock, limit_bytes=limit_bytes
            )
            self._opened(self._connection)
        except ConnectionLostError as error:
            self.worker.counters.add("connects_failed")
            self._lost(str(error))

    def _opened(self, connection: Connection) -> None:
        """A fresh connection has a fresh codec: sequences begin anew."""
        now = self._clock.monotonic_ns()
        self._codec = CODECS[self.venue](self._publisher.scales())
        self._repairs.clear()
        self._keeper.resync.clear()
        self._session.opened(now)
        self._gap_since_ns = 0
        self._app_ping_ns = now + APP_PING_NS
        self._cells[memory.C_PROOF_NS] = connection.proof_ns
        self.worker.counters.add("connects")
        self._state(ConnectionState.UP)
        self.worker.log.info("connected", url=self._settings.url, markets=len(self._publisher.markets))
        for text in self._codec.subscribe(self._publisher.markets):
            connection.send(text)

    def _lost(self, why: str) -> None:
        """The connection is gone or was refused: wait, then try again."""
        self.worker.log.warning("connection lost", why=why)
        self.worker.report(f"connection lost: {why}")
        if self._connection is not None:
            self.worker.counters.add("reconnects")
            self._cells[memory.C_RECONNECTS] += 1
        self._drop()
        if not self._session.lost(self._clock.monotonic_ns()):
            raise ConnectionLostError(f"gave up after {self._settings.max_retries} tries: {why}")
        self._state(ConnectionState.BACKOFF)

    def _drop(self) -> None:
        """Every book is unknown from this moment, and readers see it at once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for market in self._keeper.disconnect():
            self._publish(market, 0)
        self._state(ConnectionState.DOWN)

    def _state(self, state: ConnectionState) -> None:
        self._cells[memory.C_STATE] = state
        self._cells[memory.C_SINCE_NS] = self._clock.monotonic_ns()
        self._cells[memory.C_MARKETS] = len(self._publisher.markets)

    def _headers(self) -> dict[str, str]:
        """Signed headers where the venue wants them and a key is configured."""
        key_id = os.environ.get(self._settings.key_id_env, "") if self._settings.key_id_env else ""
        if self.venue != "kalshi" or not key_id or not self._settings.key_file:
            return {}
        signer = KalshiSigner.from_file(key_id, Path(self._settings.key_file).expanduser())
        path = "/" + self._settings.url.split("://", 1)[-1].partition("/")[2].partition("?")[0]
        return signer.headers("GET", path, self._clock.wall_ns() // 1_000_000)

    # -- metadata and settings -----------------------------------------------------------------

    def _metadata(self) -> None:
        """Take metadata that came by REST; ask again when it is old or a result is due."""
        now = self._clock.monotonic_ns()
        for found in self._rest.poll():
            if isinstance(found, Failure):
                self.worker.counters.add("rest_failures")
                self.worker.report(f"metadata: {found.why}")
                continue
            self.worker.counters.add("rest_markets")
            self._publisher.describe(found, now)
            if found.market in self._publisher:
                self._publish(found.market, 0)
                self._ring()
        if now >= self._metadata_at_ns:
            self._metadata_at_ns = now + METADATA_NS
            self._rest.request(self._publisher.markets)
        if now >= self._result_at_ns:
            self._result_at_ns = now + RESULT_NS
            due = self._publisher.closing(self._clock.wall_ns())
            if due:
                self._rest.request(due)

    def _want(self, config: Config) -> None:
        """Make the rows and the subscriptions be those that the config asks for."""
        now = self._clock.monotonic_ns()
        added, released, refused = self._publisher.want(config.markets_of(self.venue), now)
        if refused:
            self.worker.counters.add("no_room", len(refused))
            self.worker.report(f"no row for {len(refused)} markets: raise shm.max_markets")
        if added:
            self._rest.request(added)
        self._rest.forget(released)
        for market in released:
            self._keeper.forget(market)
            self._repairs.settled(market)
        self._cells[memory.C_MARKETS] = len(self._publisher.markets)
        connection = self._connection
        if connection is None:
            return
        try:
            for text in [*self._codec.unsubscribe(released), *self._codec.subscribe(added)]:
                connection.send(text)
        except ConnectionLostError as error:
            self._lost(str(error))

    def _on_config(self, old: Config, new: Config) -> None:
        """Act on a new configuration: markets, habits and fees at once, addresses with a reconnect."""
        self._settings = new.venues[self.venue]
        self._session.adopt(habits(self._settings))
        if old.fees.get(self.venue) != new.fees.get(self.venue):
            self._publisher.set_fees(new.fees.get(self.venue), self._clock.monotonic_ns())
        if old.venues[self.venue].rest_url != self._settings.rest_url:
            self._rest.close()
            self._rest = MarketDirectory(
                self.venue, self._settings.rest_url, clock=self._clock, random=self._random
            )
            self._metadata_at_ns = 0
        if old.venues[self.venue].url != self._settings.url and self._connection is not None:
            self._lost("the address was changed")
        self._want(new)


def habits(settings: VenueConfig) -> Habits:
    """The connection habits among a venue's settings."""
    return Habits(
        settings.reconnect_delay,
        settings.max_reconnect_delay,
        settings.heartbeat_interval,
        settings.timeout,
        settings.max_retries,
    )
