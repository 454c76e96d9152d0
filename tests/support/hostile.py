"""A hostile venue and the real feed in one process: the lab in a thread, a clock that we move.

The lab's world stands still until `step`; then all that follows is in the kernel's buffers when `step`
returns. So what is in shared memory can be compared with the venue's own book without a race.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from pipeline.books import FeedBooks
from pipeline.clock import SystemClock
from pipeline.config import Config, ScannerConfig, ShmConfig, VenueConfig
from pipeline.feed import worker
from pipeline.feed.worker import Feed
from pipeline.lab.book import BookBatch
from pipeline.lab.exchange import Item
from pipeline.lab.faults import Fault
from pipeline.lab.market import MarketModel
from pipeline.lab.server import Attempt, LabServer
from pipeline.look import Look
from pipeline.model import BookFault, BookFlag, BookState, ConnectionState
from shm.books import BookReader
from shm.segment import attach
from shm.tables import read_counters

VENUES = ("kalshi", "polymarket", "kraken", "coinbase")
PATIENCE_NS = 30_000_000_000
SECOND_NS = 1_000_000_000
SHORT_TURN = 0.0005
"""An idle turn of the feed in seconds: whatever the lab has sent is there already."""
START_WALL_MS = 1_795_000_000_000
Result = TypeVar("Result")


class JumpClock(SystemClock):
    """The machine's clock, which can be moved: sockets wait in real time, deadlines need not."""

    def __init__(self, wall_ms: int) -> None:
        """The wall clock shows `wall_ms` now."""
        self._ahead_ns = self._asleep_ns = 0
        self._wall_ns = wall_ms * 1_000_000 - super().monotonic_ns()

    def monotonic_ns(self) -> int:
        """The machine's, and what was skipped."""
        return super().monotonic_ns() + self._ahead_ns

    def wall_ns(self) -> int:
        """What was set, with all that was skipped and slept since."""
        return self.monotonic_ns() + self._asleep_ns + self._wall_ns

    def asleep_ns(self) -> int:
        """What was slept."""
        return self._asleep_ns

    def skip(self, seconds: float) -> None:
        """Let time pass at once."""
        self._ahead_ns += round(seconds * SECOND_NS)

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock; nothing else moves."""
        self._wall_ns += round(seconds * SECOND_NS)

    def fall_asleep(self, seconds: float) -> None:
        """Close the lid for so long."""
        self._asleep_ns += round(seconds * SECOND_NS)


class WatchedLab(LabServer):
    """A lab that remembers whose book changed, and when."""

    def __init__(self, model: MarketModel, **more: Any) -> None:
        super().__init__(model, **more)
        self.changed: dict[tuple[str, str], int] = {}

    def _emitted(self, item: Item) -> None:
        if isinstance(item, BookBatch):
            self.changed[item.venue, item.market] = self.model.time.elapsed_ms
        super()._emitted(item)


class LabThread:
    """The lab's four venues on loopback, stepped from outside."""

    def __init__(self, seed: int = 7, **more: Any) -> None:
        self.model = MarketModel(seed, 1.0, START_WALL_MS, coinbase_levels=40)
        for event in self.model.live:  # no market closes before a test says so
            event.close_ms += 3_600_000
        self.server = WatchedLab(self.model, fault_seed=seed, **more)
        self._loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.thread.start()
        self._await(self.server.start())
        self.addresses = self.server.addresses()

    def _await(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def call(self, function: Callable[[], Result]) -> Result:
        """Do something in the server's thread."""

        async def work() -> Result:
            return function()

        result: Result = self._await(work())
        return result

    def step(self, steps: int = 1) -> None:
        """Let the world go on by so many steps of 10 ms."""
        self.call(lambda: self.server.advance(steps))

    def answer(self) -> None:
        """Let the lab answer all that it was sent: read it, wake the session, write."""
        for _ in range(3):
            self.call(lambda: None)

    def settle(self) -> None:
        """Send what venues hold back for a moment (Coinbase's batches); no book changes."""

        def push() -> None:
            self.model.skip(60)
            for client in list(self.server._clients):
                self.server._push(client, client.session.ticked(self.model.time.wall_ms))

        self.call(push)

    def faults(self, *faults: Fault) -> None:
        """Have these faults and no others; with none all is well again."""
        self.call(lambda: self.server.set_faults(faults))

    def acted(self, kind: str) -> int:
        """How often a fault has acted."""
        return self.server.faults.acted[kind]

    def attempts(self, venue: str) -> list[Attempt]:
        """The handshakes that were begun at a venue."""
        return [each for each in self.call(lambda: list(self.server.attempts)) if each.venue == venue]

    def open_connections(self, venue: str) -> int:
        """Connections that stand now."""
        return self.call(lambda: sum(c.venue == venue for c in self.server._clients))

    def markets(self, venue: str) -> list[str]:
        """Every market of a venue: tickers, YES tokens, symbols."""
        if venue == "kalshi":
            return [event.ticker for event in self.model.live]
        if venue == "polymarket":
            return [event.yes_token for event in self.model.live]
        return [market for (name, market), _ in self.model.spot_books() if name == venue]

    def book(self, venue: str, market: str, depth: int) -> tuple[list[Any], list[Any]]:
        """The venue's own book as decimals, best first."""

        def read() -> tuple[list[Any], list[Any]]:
            book = self.model.book(venue, market)
            assert book is not None, f"{market} is no market of {venue}"
            sides = [
                [
                    (Decimal(price).scaleb(-book.price_decimals), Decimal(size).scaleb(-book.size_decimals))
                    for price, size in book.top(side, depth)
                ]
                for side in ("bid", "ask")
            ]
            return sides[0], sides[1]

        return self.call(read)

    def close(self) -> None:
        """End every connection and the thread."""

        async def finish() -> None:
            await self.server.stop()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        self._await(finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.thread.join(20)
        self._loop.close()


class World:
    """One venue of a lab and its real feed, turned by the test."""

    def __init__(self, lab: LabThread, venue: str, folder: Path, **settings: Any) -> None:
        self.lab, self.venue = lab, venue
        self.clock: JumpClock = settings.pop("clock", None) or JumpClock(lab.model.time.wall_ms)
        scanner = settings.pop("scanner", ScannerConfig(heartbeat_ms=20_000))
        self.markets: list[str] = list(settings.pop("markets", lab.markets(venue)))
        at = lab.addresses[venue]
        habits: dict[str, Any] = {
            "url": at["ws"],
            "rest_url": at["rest"],
            "book_url": at["rest"],
            "markets": tuple(self.markets),
            "reconnect_delay": 0.05,
            "max_reconnect_delay": 0.2,
            "heartbeat_interval": 0.2,
            "timeout": 10.0,
            "witness_interval": 0.0,
            "first_book_timeout": 1.0,
            "data_timeout": 0.0,
        }
        self.config = Config(
            data_directory=str(folder / "data"),
            run_directory=str(folder / "run"),
            shm_directory=str(folder / f"shm-{venue}"),
            venues={venue: VenueConfig(**{**habits, **settings})},
            scanner=scanner,
            shm=ShmConfig(max_markets=16, history=16),
        )
        self.feed = Feed(venue, self.config, self.clock, Random(11))
        self.feed.worker.__enter__()
        self.books = FeedBooks(Path(self.config.shm_directory), [venue], scanner.limits())
        self._view = attach(Path(self.config.shm_directory), f"feed-{venue}")

    # -- time ----------------------------------------------------------------------------------------

    def turn(self, times: int = 1, skip: float = 0.0) -> None:
        """Turn the feed, each time after `skip` seconds of the clock, but for those of a handshake.

        The lab answers in real time; a deadline that we skipped meanwhile would be our own doing.
        """
        for _ in range(times):
            if skip and ConnectionState.CONNECTING not in self.connections():
                self.clock.skip(skip)
            self.feed.worker.go_on()
            self.feed.turn()
            if skip:
                self.lab.answer()

    def wait(self, seconds: float, skip: float) -> None:
        """Turn until so much time of the clock has passed, in steps of `skip`."""
        end_ns = self.clock.monotonic_ns() + round(seconds * SECOND_NS)
        while self.clock.monotonic_ns() < end_ns:
            self.turn(skip=skip)

    def until(
        self, done: Callable[[], object], what: str, *, skip: float = 0.0, also: Callable[[], object] = bool
    ) -> None:
        """Turn until something is so; `also` is called after each turn, to assert what must hold."""
        start = SystemClock().monotonic_ns()
        while SystemClock().monotonic_ns() - start < PATIENCE_NS:
            self.turn(skip=skip)
            also()
            if done():
                return
        raise AssertionError(f"never: {what}; {self.report()}")

    def drain(self) -> None:
        """Turn until nothing more comes of what the lab has sent."""
        self.lab.settle()
        self.lab.answer()
        idle = 0
        while idle < 2:
            before = self.counter("frames")
            self.turn(skip=0.006)  # what was counted is shown now and then
            idle = idle + 1 if self.counter("frames") == before else 0

    def play(self, steps: int) -> None:
        """Let the world go on, and the feed after it."""
        self.lab.step(steps)
        self.drain()

    def heal(self) -> float:
        """End all faults, and play until every book is LIVE and the venue has changed each since.

        Lines that are broken already are noticed first, and frames that were held back come. Gives the
        seconds of the clock until all were LIVE.
        """
        self.lab.faults()
        began_ns = self.clock.monotonic_ns()
        self.wait(3.0, 0.25)
        self.until(self.all_live, "all LIVE again", skip=0.1)
        took = (self.clock.monotonic_ns() - began_ns) / SECOND_NS
        self.play(40)
        since_ms, changed = self.lab.model.time.elapsed_ms, self.lab.server.changed
        for _ in range(200):
            self.play(40)
            if self.all_live() and all(changed.get((self.venue, m), 0) > since_ms for m in self.markets):
                return took
            self.turn(skip=0.2)
        raise AssertionError(f"not healed: {self.report()}")

    # -- what readers see ----------------------------------------------------------------------------

    def look(self, market: str) -> Look | None:
        """The market's book as scanner and trader get it."""
        now = self.clock.monotonic_ns()
        self.books.refresh(now)
        return self.books.read(self.venue, market, now)

    def state(self, market: str) -> BookState:
        """What the market's book is worth now."""
        look = self.look(market)
        return BookState.EMPTY if look is None else look.state

    def states(self) -> dict[str, BookState]:
        """What each book is worth now."""
        return {market: self.state(market) for market in self.markets}

    def all_live(self) -> bool:
        """Whether every book is LIVE."""
        return all(state is BookState.LIVE for state in self.states().values())

    def none_live(self) -> bool:
        """Whether no book is LIVE."""
        return BookState.LIVE not in self.states().values()

    def tradable(self, market: str) -> bool:
        """Whether a LIVE book says that it may be traded."""
        look = self.look(market)
        ready = look is not None and look.state is BookState.LIVE
        return ready and look is not None and not look.book.flags & BookFlag.NOT_TRADABLE

    def is_right(self, market: str) -> bool:
        """Whether a book in memory is the venue's own, as far as that can be known.

        Kraken's checksum covers ten levels a side. Polymarket states the best prices, and no more.
        """
        look = self.look(market)
        if look is None:
            return False
        depth = {"kraken": 10, "polymarket": 1}.get(self.venue, self.config.shm.depth)
        scale = look.scale
        ours = tuple(
            [
                (Decimal(ticks).scaleb(-scale.price_decimals), Decimal(units).scaleb(-scale.size_decimals))
                for ticks, units in side[:depth]
            ]
            for side in (look.book.bids, look.book.asks)
        )
        theirs = self.lab.book(self.venue, market, depth)
        if self.venue == "polymarket":
            return [[price for price, _ in side] for side in ours] == [[p for p, _ in s] for s in theirs]
        return ours == theirs

    def wrong(self) -> list[str]:
        """Markets whose book is LIVE and not the venue's own."""
        return [m for m in self.markets if self.state(m) is BookState.LIVE and not self.is_right(m)]

    def faults_of_books(self) -> set[BookFault]:
        """Why books that are not LIVE are not."""
        looks = [look for m in self.markets if (look := self.look(m)) and look.state is not BookState.LIVE]
        return {BookFault(look.book.reason) for look in looks}

    def counter(self, name: str) -> int:
        """One of the feed's counters."""
        return read_counters(self._view)[name]

    def counters(self) -> dict[str, int]:
        """All counters that are not 0."""
        return {name: value for name, value in read_counters(self._view).items() if value}

    def connections(self) -> list[ConnectionState]:
        """The states of the feed's connections."""
        return [ConnectionState(row.state) for row in BookReader(self._view).connections()]

    def report(self) -> str:
        """What to know when something failed."""
        states = [state.name for state in self.states().values()]
        reasons = [look.book.reason for m in self.markets if (look := self.look(m))]
        return f"{states} {reasons} {self.counters()} {self.connections()}"

    def close(self) -> None:
        """End the feed."""
        self.feed.close()
        self.feed.worker.__exit__(None, None, None)


@contextmanager
def worlds(folder: Path, **lab_settings: Any) -> Iterator[Callable[..., World]]:
    """Make worlds of one lab; signal handlers that feeds install are taken back at the end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    before = set(threading.enumerate())
    lab = LabThread(**lab_settings)
    made: list[World] = []
    patience, worker.TURN_SECONDS = worker.TURN_SECONDS, SHORT_TURN

    def make(venue: str, *, live: bool = True, **settings: Any) -> World:
        world = World(lab, venue, folder, **settings)
        made.append(world)
        if live:
            lab.step(5)
            world.until(world.all_live, "all books LIVE")
            world.drain()
        return world

    try:
        yield make
    finally:
        for world in made:
            world.close()
        for thread in set(threading.enumerate()) - before - {lab.thread}:
            thread.join(20)  # whoever still asks the lab by HTTP
        lab.close()
        worker.TURN_SECONDS = patience
        for number, handler in handlers.items():
            signal.signal(number, handler)
