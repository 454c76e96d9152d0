"""CCXT feed: one process for one exchange that ccxt streams, into the same rows as a native feed.

In: books of ccxt's `watch_order_book`, run/config.json. Out: the segment feed-ccxt:NAME and the scanner's
doorbell. Started by the supervisor as `run.py feed ccxt:NAME`.

What ccxt tells is taken as unverified: it hands out a stale book for ever when a venue falls silent while
pongs come, conflates, and for most exchanges checks no sequence. So each symbol has a deadline of our own,
each book is judged before it is published, and on any trouble the exchange object is thrown away and made
anew. A process that cannot get anywhere ends, and the supervisor starts a fresh one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from pipeline.clock import Clock, SleepWatch
from pipeline.config import Config, VenueConfig
from pipeline.feed.book import BookKeeper
from pipeline.feed.ccxt_books import PREFIX
from pipeline.feed.ccxt_exchange import LOAD_SECONDS, Exchange, LostError, RefusedError, library, text_of
from pipeline.feed.ccxt_markets import CcxtMarkets, Trouble
from pipeline.feed.display import Display
from pipeline.feed.doorbell import Doorbell
from pipeline.feed.gauges import COUNTERS, Gauges
from pipeline.feed.publisher import Publisher
from pipeline.feed.session import Access, Habits, Session
from pipeline.lifecycle import Worker
from pipeline.model import BookFault, BookFlag, BookState, ConnectionState
from pipeline.venues.codec import Bad, Event, Snapshot
from shm import books as memory

OWN_COUNTERS = ("refused_books", "off_scale", "crossed_too_long", "library_errors")
BEAT_SECONDS = 0.02
TURN_SECONDS = 0.05
GAUGES_NS = 1_000_000_000
METADATA_SECONDS = 600.0
# A symbol that the exchange refused is asked for again no sooner.
REFUSED_SECONDS = 60.0
# After so many failures in a row a fresh process is the better try, if max_retries does not say so earlier.
TRIES = 10
CONNECTION = 0
HELD = frozenset({BookState.LIVE, BookState.CROSSED})


class GaveUpError(Exception):
    """The exchange could not be reached or used so often that a fresh process is the better try."""


class CcxtFeed:
    """The life of one feed process. Raises CcxtError before it owns anything."""

    def __init__(self, venue: str, config: Config, clock: Clock, random: Random) -> None:
        self.venue = venue
        self.name = venue.removeprefix(PREFIX)
        self._ccxt = library(self.name)
        self._clock = clock
        self._settings: VenueConfig = config.venues[venue]
        sections = memory.feed_sections(config.shm.max_markets, config.shm.depth, 1, config.shm.history)
        names = (*COUNTERS, *OWN_COUNTERS)
        self.worker = Worker(f"feed-{venue}", config, clock, sections, names, self._on_config)
        self._cells = self.worker.segment.words(memory.CONNECTIONS)
        writer = memory.BookWriter(self.worker.segment)
        self._depth = writer.depth
        self._publisher = Publisher(venue, writer, BookFlag.UNVERIFIED, config.fees.get(venue))
        self._keeper = BookKeeper(venue, shown=writer.depth)
        self._gauges = Gauges(self.worker, self._keeper, clock)
        self._gauges_ns = 0
        self._sleep_watch = SleepWatch(clock)
        shm_directory, run_directory = Path(config.shm_directory), Path(config.run_directory)
        doorbell = Doorbell(shm_directory, run_directory, clock)
        self._display = Display(self._keeper, self._publisher, self._gauges, doorbell, clock, self._tradable)
        self._markets = CcxtMarkets(venue, self._publisher, self._keeper.forget)
        self._trouble = Trouble()
        self._access = Access()
        self._session = Session(Habits.of(self._settings), self._access, random)
        self._current: Exchange | None = None
        # The object that read the list of markets last, and when.
        self._lists: Exchange | None = None
        self._listed_ns = 0
        self._changed = self._loading = False
        self._want(config)
        self._show()

    def run(self) -> None:
        """Turn until told to stop. Raises GaveUpError when a fresh process is the better try."""
        with self.worker:
            asyncio.run(self.main())

    async def main(self) -> None:
        """What `run` does, inside a loop that turns already."""
        asyncio.get_running_loop().set_exception_handler(self._on_stray)
        life = asyncio.create_task(self._live())
        try:
            # The loop that the books come through is the one that beats.
            while self.worker.go_on() and not life.done():
                if self._loading:
                    self.worker.busy(LOAD_SECONDS)
                self._measure()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            self._gauges.carry()
        if not life.cancelled():
            life.result()

    # -- one book ------------------------------------------------------------------------------

    def take(self, symbol: str, book: Mapping[str, Any], socket_ns: int) -> None:
        """One book as ccxt hands it out: convert, apply, publish, ring."""
        if symbol not in self._publisher:
            return
        event = self._read(symbol, book, socket_ns)
        nonce = book.get("nonce")
        self._gauges.frames(CONNECTION, 1, nonce if isinstance(nonce, int) and 0 <= nonce < 2**63 else 0)
        self._display.show(self._keeper.apply_frame((event,), CONNECTION), socket_ns)
        self._cells[memory.C_PROOF_NS] = self._cells[memory.C_PROOF_NS] or socket_ns
        if self._session.state is not ConnectionState.UP:
            # ccxt does not tell when a socket opens: the first book says that all went well.
            self._session.opened(socket_ns)
            self._session.confirmed()
            self._show()
            self.worker.counters.add("connects")
            self.worker.log.info("connected", exchange=self.name)
        self._judge(symbol, socket_ns)

    def _read(self, symbol: str, book: Mapping[str, Any], now_ns: int) -> Event:
        """The book as an event; what cannot be used voids what was there."""
        found = self._markets.read(symbol, book, self._depth, now_ns)
        if isinstance(found, Snapshot):
            return found
        self.worker.counters.add("off_scale" if found.off_scale else "refused_books")
        self.worker.report(f"{symbol}: book refused: {found.why}")
        return Bad(found.why, lost=True, markets=(symbol,))

    def _tradable(self, symbol: str, now_ns: int) -> bool:
        """Whether the config trusts this exchange, and the market is known to be open."""
        return self._settings.trusted and self._markets.open(symbol, now_ns)

    def _judge(self, symbol: str, now_ns: int) -> None:
        """A book that is not LIVE for long ends the exchange object, once."""
        book = self._keeper.books.get(symbol)
        state = book.state if book is not None else BookState.EMPTY
        if self._trouble.heard(symbol, now_ns, good=state == BookState.LIVE):
            crossed = state == BookState.CROSSED
            why = f"{symbol} was {'crossed' if crossed else 'of no use'} for too long"
            raise LostError(why, "crossed_too_long" if crossed else "")

    def _measure(self) -> None:
        """Once a second, what the feed counts and measures of itself."""
        now = self._clock.monotonic_ns()
        if now >= self._gauges_ns:
            self._gauges_ns = now + GAUGES_NS
            symbols = self._publisher.markets
            self._gauges.show(1 if symbols else 0, len(symbols), polling=False)
            self._gauges.carry()

    # -- the exchange object -------------------------------------------------------------------

    async def _live(self) -> None:
        """One exchange object after the other, with waits between them."""
        session = self._session
        while True:
            if not self._publisher.markets or not session.dial_due(self._clock.monotonic_ns()):
                await asyncio.sleep(BEAT_SECONDS)
                continue
            session.dialled(self._clock.monotonic_ns())
            self._show()
            exchange = self._current = Exchange(self._ccxt, self.name, self._settings)
            fault = BookFault.DISCONNECTED
            try:
                await self._use(exchange)
                self.worker.log.info("the addresses were changed")
                session.closed()
            except LostError as error:
                fault = error.fault
                self._lost(exchange, error)
            finally:
                self._current = None
                # What was void before keeps its own fault.
                books = self._keeper.books.values()
                self._display.void([book.market for book in books if book.state in HELD], fault)
                self._show()
                await self._close(exchange)

    async def _use(self, exchange: Exchange) -> None:
        """Follow every wanted symbol until something is lost (LostError) or the addresses are changed."""
        self._changed = False
        self._cells[memory.C_PROOF_NS] = 0
        await self._load(exchange)
        self._trouble.opened(self._clock.monotonic_ns())
        tasks = {"": asyncio.create_task(self._reload(exchange))}
        try:
            while not self._changed:
                self._match(exchange, tasks)
                done, _ = await asyncio.wait(
                    tasks.values(), timeout=TURN_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if task.cancelled():
                        raise LostError("ccxt cancelled a subscription")
                    task.result()
                now = self._clock.monotonic_ns()
                self._cells[memory.C_PROOF_NS] = exchange.prove(now)
                self._wake_up()
                if self._session.ping_due(now):
                    await exchange.ping()
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    def _match(self, exchange: Exchange, tasks: dict[str, asyncio.Task[None]]) -> None:
        """One task a wanted symbol, none for others."""
        wanted = self._publisher.markets
        for symbol in [name for name in tasks if name and name not in wanted]:
            tasks.pop(symbol).cancel()
        fresh = [symbol for symbol in wanted if symbol not in tasks]
        if fresh and exchange.by_hand:
            exchange.say(wanted)
        elif fresh:
            self._describe(exchange, fresh)
        self._keeper.expect(fresh, CONNECTION)
        for symbol in fresh:
            tasks[symbol] = asyncio.create_task(self._follow(exchange, symbol))

    async def _follow(self, exchange: Exchange, symbol: str) -> None:
        """Take the books of one symbol as they come. Raises LostError."""
        deadline = self._settings.first_book_timeout
        while True:
            try:
                book = await exchange.watch(symbol, deadline)
            except TimeoutError:
                self._silent(symbol, deadline)
                continue
            except RefusedError as error:
                self.worker.counters.add("refused_subscriptions")
                self.worker.report(f"{symbol}: {error}")
                self._display.void([symbol], BookFault.VENUE)
                await asyncio.sleep(REFUSED_SECONDS)
                continue
            self.take(symbol, book, self._clock.monotonic_ns())
            settings = self._settings
            is_canary = symbol == settings.canary
            deadline = settings.canary_timeout if is_canary else settings.data_timeout
            # A library that never waits must not keep the others from their turn.
            await asyncio.sleep(0)

    def _silent(self, symbol: str, deadline: float) -> None:
        """A symbol had no book within its deadline: its book is void, and the exchange object goes, once."""
        why = f"no book of {symbol} for {deadline:g} s"
        self.worker.report(why)
        self._display.void([symbol], BookFault.SILENT)
        if self._trouble.silent(symbol, self._clock.monotonic_ns(), round(deadline * 1e9)):
            raise LostError(why, "silences")
        self.worker.counters.add("silences")

    def _lost(self, exchange: Exchange, error: LostError) -> None:
        """Count a loss and say when to try again. Raises GaveUpError when a fresh process should."""
        was_up = self._session.state is ConnectionState.UP
        self.worker.log.warning("connection lost", why=str(error))
        self.worker.report(f"connection lost: {error}")
        self.worker.counters.add("reconnects" if was_up else "connects_failed")
        self._cells[memory.C_RECONNECTS] += was_up
        if error.counter:
            self.worker.counters.add(error.counter)
        now = self._clock.monotonic_ns()
        keep = self._session.lost(now)
        self._access.refused(now, 0, exchange.told_to_wait_ns())
        if not keep or self._session.failures > TRIES:
            raise GaveUpError(f"gave up after {self._session.failures} tries: {error}")

    async def _close(self, exchange: Exchange) -> None:
        try:
            await exchange.close()
        except Exception as error:
            # Whatever it was: the object is not used any more, and its sockets are cut.
            self.worker.report(f"closing: {text_of(error)}")

    def _on_stray(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody awaited; one in a callback has ended the loop that reads a socket."""
        error = context.get("exception")
        text = f"ccxt: {context.get('message', '')}: {text_of(error) if error else ''}"
        self.worker.counters.add("library_errors")
        self.worker.report(text)
        if "handle" in context and self._current is not None:
            self._current.strayed(text)

    def _wake_up(self) -> None:
        """After a sleep of the machine nothing is known: sockets look open and books look fresh."""
        slept = self._sleep_watch.slept_ns()
        if slept:
            raise LostError(f"this machine slept {slept // 10**9} s", "suspends", BookFault.SUSPENDED)

    def _show(self) -> None:
        """Publish the session's state, and since when it lasts."""
        self._cells[memory.C_STATE] = self._session.state
        self._cells[memory.C_SINCE_NS] = self._clock.monotonic_ns()
        self._cells[memory.C_MARKETS] = len(self._publisher.markets)

    # -- metadata and settings -----------------------------------------------------------------

    async def _load(self, exchange: Exchange) -> None:
        """Give the object its list of markets: the last one while it is young, or ours to say."""
        if exchange.by_hand:
            return
        now = self._clock.monotonic_ns()
        if self._lists is not None and now - self._listed_ns < METADATA_SECONDS * 1e9:
            exchange.inherit(self._lists)
            return
        self._loading = True
        try:
            await exchange.load()
        finally:
            self._loading = False
        self._lists, self._listed_ns = exchange, self._clock.monotonic_ns()

    async def _reload(self, exchange: Exchange) -> None:
        """Read the list of markets again and again; what fails is told, and the last list holds."""
        while True:
            await asyncio.sleep(METADATA_SECONDS)
            try:
                await self._load(exchange)
            except LostError as error:
                self.worker.counters.add(error.counter)
                self.worker.report(str(error))
                continue
            self._describe(exchange, self._publisher.markets)

    def _describe(self, exchange: Exchange, symbols: Iterable[str]) -> None:
        """Publish what the exchange lists about these symbols; of markets made by hand that is nothing."""
        for symbol in () if exchange.by_hand else symbols:
            listed = exchange.listed(symbol)
            if listed is None:
                self.worker.report(f"{self.name} does not list {symbol}")
                continue
            self._markets.describe(symbol, listed, exchange.precision_mode, self._listed_ns)
            self.worker.counters.add("rest_markets")
            self._display.show([symbol])

    def _want(self, config: Config) -> None:
        """Make the rows be those that the config asks for; the tasks follow in the next turn."""
        wanted = config.markets_of(self.venue)
        _, released, refused = self._publisher.want(wanted, self._clock.monotonic_ns())
        if refused:
            self.worker.counters.add("no_room", len(refused))
            self.worker.report(f"no row for {len(refused)} markets: raise shm.max_markets")
        for symbol in released:
            self._keeper.forget(symbol)
            self._markets.forget(symbol)
            self._trouble.forget(symbol)
        self._cells[memory.C_MARKETS] = len(self._publisher.markets)

    def _on_config(self, old: Config, new: Config) -> None:
        """Act on a new configuration: markets, habits and fees at once, addresses with a reconnect."""
        before, self._settings = self._settings, new.venues[self.venue]
        self._session.adopt(Habits.of(self._settings))
        if old.fees.get(self.venue) != new.fees.get(self.venue):
            self._publisher.set_fees(new.fees.get(self.venue))
        if (before.url, before.rest_url) != (self._settings.url, self._settings.rest_url):
            self._changed, self._lists = True, None
            self._access.reset()
        self._want(new)
