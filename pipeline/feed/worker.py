"""Feed worker: one process per venue turns the venue's sockets into books in shared memory.

In: frames from one venue, metadata and books by REST, run/config.json. Out: the segment feed-VENUE
(connections, market directory, books, history, counters) and the scanner's doorbell. Started by the
supervisor as `run.py feed VENUE`. A price goes: receive -> decode -> apply -> publish -> ring.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random

from pipeline import guards
from pipeline.clock import Clock, SleepWatch
from pipeline.config import Config, VenueConfig
from pipeline.feed.book import BookKeeper
from pipeline.feed.connection import Connection, ConnectionLostError, wait
from pipeline.feed.credentials import address, headers
from pipeline.feed.display import Display
from pipeline.feed.doorbell import Doorbell
from pipeline.feed.gauges import COUNTERS, Gauges
from pipeline.feed.ingest import Ingest
from pipeline.feed.link import Link
from pipeline.feed.metadata import Metadata
from pipeline.feed.publisher import Publisher
from pipeline.feed.rest import Failure, MarketDirectory
from pipeline.feed.rest_books import RestBooks
from pipeline.feed.second_source import SecondSource
from pipeline.feed.session import Access, Habits
from pipeline.feed.spread import Spread
from pipeline.feed.watch import Patience
from pipeline.feed.witness import Verdict
from pipeline.lifecycle import Worker
from pipeline.model import BookFault, BookFlag, ConnectionState, MarketStatus
from pipeline.venues.codec import Event, Listed, Settled, Snapshot, Status, Subscribed
from pipeline.venues.registry import PER_CONNECTION
from pipeline.venues.signing import KeyFileError
from shm import books as memory

TURN_SECONDS = 0.02
TEND_NS = 5_000_000
# More connections than the markets need, for a venue that takes fewer on one than it used to.
SPARE_CONNECTIONS = 3
SECOND_NS = 1_000_000_000
NOTHING: frozenset[str] = frozenset()


class Feed:
    """The life of one feed process."""

    def __init__(self, venue: str, config: Config, clock: Clock, random: Random) -> None:
        self.venue = venue
        self._clock = clock
        self._random = random
        self._settings: VenueConfig = config.venues[venue]
        capacity = PER_CONNECTION[venue]
        connections = -(-config.shm.max_markets // capacity) + SPARE_CONNECTIONS
        sections = memory.feed_sections(
            config.shm.max_markets, config.shm.depth, connections, config.shm.history
        )
        self.worker = Worker(f"feed-{venue}", config, clock, sections, COUNTERS, self._on_config)
        flags = BookFlag.SIM if venue in config.simulated else BookFlag(0)
        if not self._settings.enable_websocket:
            flags |= BookFlag.POLLED
        writer = memory.BookWriter(self.worker.segment)
        self._publisher = Publisher(venue, writer, flags, config.fees.get(venue))
        own = guards.of(self.worker, os.environ, "sequence", "checksum", "freshness")
        self.keeper = BookKeeper(venue, shown=writer.depth, guards=own)
        self._fresh = own.on("freshness")
        self._gauges = Gauges(self.worker, self.keeper, clock)
        self._access = Access()
        self._spread = Spread(connections, capacity)
        self.links = [self._make_link(index) for index in range(connections)]
        directory = MarketDirectory(venue, self._settings.rest_url, clock=clock, random=random)
        self._metadata = Metadata(directory, clock)
        self._second = SecondSource(venue, self._settings, self._rest_books())
        doorbell = Doorbell(Path(config.shm_directory), Path(config.run_directory), clock)
        self._display = Display(
            self.keeper, self._publisher, self._gauges, doorbell, clock, self._metadata.believed
        )
        self.ingest = Ingest(self.keeper, self._gauges, self._display, self._second, self._note)
        self._sleep_watch = SleepWatch(clock)
        # Markets that were paused when their connection was lost.
        self._doubted: set[str] = set()
        self._tend_ns = self._show_ns = 0
        self._want(config)

    def _make_link(self, index: int) -> Link:
        return Link(
            self.venue,
            index,
            self.worker.segment.words(memory.CONNECTIONS, index),
            Habits.of(self._settings),
            Patience.of(self._settings),
            self._access,
            self._clock,
            self._random,
            self.worker.counters.add,
        )

    def _rest_books(self) -> RestBooks:
        url = self._settings.book_url or self._settings.rest_url
        return RestBooks(self.venue, url, self._clock, self._random)

    def run(self) -> None:
        """Turn until told to stop."""
        # A thread that reads a long REST answer must not hold up the loop for Python's usual 5 ms.
        sys.setswitchinterval(0.001)
        with self.worker as worker:
            # Before the first wait: the venue answers while the rest of us gets ready.
            self._tend()
            while worker.go_on():
                self.turn()
            self.close()

    def turn(self) -> None:
        """Receive what has come, at most for a few milliseconds, and do what time demands."""
        connected = [(link, link.connection) for link in self.links if link.connection is not None]
        if len(connected) == 1:
            self._receive(*connected[0], TURN_SECONDS)
        elif connected:
            ready = wait([connection for _, connection in connected], TURN_SECONDS)
            for link, connection in connected:
                if connection in ready:
                    self._receive(link, connection, 0.0)
        else:
            self._wait_unconnected()
        # After receiving: after a pause of ours, what proves the venue's life may still be in the socket.
        if self._clock.monotonic_ns() >= self._tend_ns:
            self._tend()

    def close(self) -> None:
        """Let go of every connection; all books are unknown."""
        for link in self.links:
            self._drop(link, BookFault.DISCONNECTED)
        self._metadata.close()
        self._second.close()
        self._gauges.carry()

    # -- frames --------------------------------------------------------------------------------------

    def _receive(self, link: Link, connection: Connection, timeout: float) -> None:
        """The messages that have come together, if any."""
        try:
            frames = connection.receive(timeout)
        except ConnectionLostError as error:
            self._lost(link, error)
            return
        if frames:
            # The read that completed the frames is when the venue's word reached us.
            self.ingest.take(link, frames, connection.proof_ns)

    def _note(self, link: Link, event: Event) -> None:
        """What an event means beside the books."""
        if isinstance(event, Snapshot):
            # One that was no better than what it replaced leaves the book to be asked for again.
            if event.market not in self.keeper.resync:
                link.repairs.settled(event.market)
            link.confirmed()
        elif isinstance(event, Listed):
            self._publisher.describe(event.market, 0)
        elif isinstance(event, Settled):
            self._metadata.ask(event.market)
        elif isinstance(event, Subscribed):
            if event.ok:
                link.confirmed()
            else:
                self._refused(link, event)

    def _refused(self, link: Link, event: Subscribed) -> None:
        """The venue will not send some books: not at all, or not on this connection."""
        self.worker.counters.add("refused_subscriptions")
        self.worker.report(f"subscription refused: {event.why}")
        if not event.full:
            link.refused(event.markets)
            return
        moved = self._spread.full(link.index, event.markets)
        link.forget(market for markets in moved.values() for market in markets)
        self._subscribe(moved)

    # -- connections ---------------------------------------------------------------------------------

    def _tend(self) -> None:
        """Everything that is due by time."""
        now = self._clock.monotonic_ns()
        self._tend_ns = now + TEND_NS
        self._wake_up(now)
        for link in self.links:
            if link.markets or link.connection is not None:
                self._tend_link(link)
        self._display.show(self.keeper.settle(now))
        self._metadata_turn(now)
        self._second_turn(now)
        if now >= self._show_ns:
            self._show_ns = now + SECOND_NS
            self._display.show(self._metadata.turned_stale())
            self._gauges.follow("rest_dropped", self._metadata.dropped + self._second.dropped)
            self._gauges.follow("witness_stale", self._second.witness.stale)
            self._gauges.follow("witness_unanswered", self._second.witness.unanswered)
            polling = self._second.polling
            connections = 1 if polling else sum(bool(link.markets) for link in self.links)
            self._gauges.show(connections, len(self._publisher.markets), polling=polling)
        self._gauges.carry()

    def _tend_link(self, link: Link) -> None:
        """Connect it, ping it, repair its books."""
        if self._second.polling:
            return
        try:
            link.dial(self._settings.url, self._headers)
            if link.poll(0.0, self._publisher.scales):
                self._opened(link)
            broken = self.keeper.resync & link.markets.keys() if self.keeper.resync else NOTHING
            link.tend(broken, lambda: self._vouched_ns(link))
        except ConnectionLostError as error:
            self._lost(link, error)

    def _vouched_ns(self, link: Link) -> int:
        """When a witness last found a book of this connection right; 0 for never."""
        agreed = self._second.witness.agreed_ns
        return max((agreed[market] for market in link.markets if market in agreed), default=0)

    def _opened(self, link: Link) -> None:
        self.keeper.know(self._publisher.scales)
        self.keeper.resync.difference_update(link.markets)
        if link.opened_before:
            # What happened to a market meanwhile was not told: ask, and let REST end a pause from before.
            for market in link.markets:
                self._metadata.ask(market)
            self._doubted.update(market for market in link.markets if not self.keeper.tradable(market))
        link.opened_before = True
        self.worker.counters.add("connects")
        self.worker.log.info(
            "connected", url=self._settings.url, connection=link.index, markets=len(link.markets)
        )

    def _wait_unconnected(self) -> None:
        """Pass a moment: the connection that is being opened may come up in it."""
        for link in self.links:
            if link.dialling:
                try:
                    if link.poll(TURN_SECONDS / 4, self._publisher.scales):
                        self._opened(link)
                except ConnectionLostError as error:
                    self._lost(link, error)
                return
        self._clock.sleep(TURN_SECONDS / 4)

    def _lost(self, link: Link, error: ConnectionLostError) -> None:
        """A connection is gone or was refused: its books are unknown; wait, then try again."""
        self.worker.log.warning("connection lost", connection=link.index, why=str(error))
        self.worker.report(f"connection lost: {error}")
        keep = link.lost(error)
        self._display.void(link.markets, BookFault.SILENT if link.frozen else BookFault.DISCONNECTED)
        if link.session.state is ConnectionState.AUTH_FAILED:
            self.worker.report("the venue does not accept us: mend the key, then restart this worker")
        if not keep:
            raise ConnectionLostError(f"gave up after {self._settings.max_retries} tries: {error}")

    def _drop(self, link: Link, fault: BookFault) -> None:
        link.close()
        self._display.void(link.markets, fault)

    def _wake_up(self, now_ns: int) -> None:
        """After a sleep of the machine nothing is known: sockets look open and books look fresh."""
        slept = self._sleep_watch.slept_ns()
        if not slept:
            return
        self.worker.counters.add("suspends")
        self.worker.log.warning("this machine slept", seconds=round(slept / 1e9, 1))
        for link in self.links:
            if link.connection is not None:
                self._drop(link, BookFault.SUSPENDED)
                link.session.hurry(now_ns)
        self._display.void(list(self.keeper.books), BookFault.SUSPENDED)

    def _headers(self) -> Mapping[str, str]:
        """What the handshake must carry. Raises ConnectionLostError where a key cannot be used."""
        try:
            return headers(self.venue, self._settings, self._clock.wall_ns() // 1_000_000)
        except KeyFileError as error:
            self._access.unusable()
            raise ConnectionLostError(str(error)) from error

    # -- REST ----------------------------------------------------------------------------------------

    def _metadata_turn(self, now_ns: int) -> None:
        """Take metadata that came by REST."""
        described = []
        for found in self._metadata.turn(lambda: self._publisher.markets):
            if isinstance(found, Failure):
                self.worker.counters.add("rest_failures")
                self.worker.report(f"metadata: {found.why}")
                continue
            self.worker.counters.add("rest_markets")
            self._publisher.describe(found, now_ns)
            described.append(found.market)
            if self._second.polling:
                self.keeper.apply(Listed(found))
            if found.market in self._doubted:
                self._doubted.discard(found.market)
                if found.status == MarketStatus.OPEN:
                    self.keeper.apply(Status(found.market, tradable=True, word="open"))
        self._display.show(described)

    def _second_turn(self, now_ns: int) -> None:
        """Books by REST: polled ones are applied, the witness's verdicts are acted on."""
        report = self._second.turn(self.keeper.books, self._publisher.scales, now_ns)
        for events, answered_ns in report.polled:
            self._gauges.frames(0, 1, 0)
            self._display.show(self.keeper.apply_frame(events), answered_ns)
        for failure in report.failures:
            self.worker.counters.add("rest_failures")
            self.worker.report(f"books: {failure.why}")
        for verdict in report.verdicts:
            self._judged(verdict)
        if self._second.polling:
            self._display.void(self._second.poller.overdue(now_ns), BookFault.SILENT)
            self._gauges.polled(self._second.poller, self._settings, len(self._publisher.markets))

    def _judged(self, verdict: Verdict) -> None:
        """A witness has seen the same book, or another."""
        self.worker.counters.add("witness_checks")
        book = self.keeper.books.get(verdict.market)
        if book is None:
            return
        if verdict.agrees or not self._fresh:
            book.witness_ns = verdict.at_ns
            self._display.show([verdict.market])
            return
        self.worker.counters.add("witness_mismatches")
        self.worker.log.warning("the witness saw another book", market=verdict.market, why=verdict.why)
        self.worker.report(f"the witness saw another book: {verdict.why}")
        self._display.void([verdict.market], BookFault.WITNESS)

    # -- settings ------------------------------------------------------------------------------------

    def _want(self, config: Config) -> None:
        """Make the rows and the subscriptions be those that the config asks for."""
        now = self._clock.monotonic_ns()
        added, released, refused = self._publisher.want(config.markets_of(self.venue), now)
        if refused:
            self.worker.counters.add("no_room", len(refused))
            self.worker.report(f"no row for {len(refused)} markets: raise shm.max_markets")
        self._metadata.want(added, released)
        self._second.want(added, released, now)
        for index, markets in self._spread.remove(released).items():
            try:
                self.links[index].unsubscribe(markets)
            except ConnectionLostError as error:
                self._lost(self.links[index], error)
        for market in released:
            self.keeper.forget(market)
        self._subscribe(self._spread.place(added))

    def _subscribe(self, placed: Mapping[int, list[str]]) -> None:
        """Ask for the books of markets on the connections that were chosen for them."""
        for index, markets in placed.items():
            self.keeper.expect(markets, index)
            try:
                self.links[index].subscribe(markets)
            except ConnectionLostError as error:
                self._lost(self.links[index], error)

    def _on_config(self, old: Config, new: Config) -> None:
        """Act on a new configuration: markets, habits and fees at once, addresses with a reconnect."""
        before, self._settings = old.venues[self.venue], new.venues[self.venue]
        settings = self._settings
        for link in self.links:
            link.session.adopt(Habits.of(settings))
            link.watch.adopt(Patience.of(settings))
        self._second.adopt(settings)
        if old.fees.get(self.venue) != new.fees.get(self.venue):
            self._publisher.set_fees(new.fees.get(self.venue))
        if before.rest_url != settings.rest_url:
            self._metadata.adopt(
                MarketDirectory(self.venue, settings.rest_url, clock=self._clock, random=self._random)
            )
        if (before.rest_url, before.book_url) != (settings.rest_url, settings.book_url):
            self._second.adopt_rest(self._rest_books())
        if address(before) != address(settings):
            self._access.reset()
            for link in self.links:
                self._drop(link, BookFault.DISCONNECTED)
                link.session.hurry(self._clock.monotonic_ns())
        self._want(new)
