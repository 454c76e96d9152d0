"""Display: publishes the books of a feed as they are now, and wakes the scanner.

In: which books changed. Out: their rows in shared memory, what the gauges make of them, a bell. Used by
native feeds (pipeline/feed/ingest.py too) and by those of ccxt's exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.clock import Clock
from pipeline.feed.book import BookKeeper
from pipeline.feed.doorbell import Doorbell
from pipeline.feed.gauges import Gauges
from pipeline.feed.publisher import Publisher
from pipeline.model import BookFault


class Display:
    """`believed` says whether a market's metadata is young enough at a time to trade on it."""

    def __init__(
        self,
        keeper: BookKeeper,
        publisher: Publisher,
        gauges: Gauges,
        doorbell: Doorbell,
        clock: Clock,
        believed: Callable[[str, int], bool],
    ) -> None:
        self._keeper = keeper
        self._publisher = publisher
        self._gauges = gauges
        self._doorbell = doorbell
        self._clock = clock
        self._believed = believed

    def announce(self, now_ns: int) -> None:
        """Wake the scanner for what is about to be published; it waits for that a moment."""
        if self._doorbell.ring(now_ns):
            self._gauges.bell()

    def show(self, touched: Iterable[str], socket_ns: int = 0) -> None:
        """Publish books as they are now, and wake the scanner; `socket_ns` 0 where no message came."""
        now = self._clock.monotonic_ns()
        wall = self._clock.wall_ns()
        books, publisher, believed = self._keeper.books, self._publisher, self._believed
        shown = False
        for market in touched:
            book = books.get(market)
            if book is None:
                continue
            shown = True
            if socket_ns:
                book.socket_ns = socket_ns
            publisher.publish(book, now, wall, tradable=believed(market, now))
            self._gauges.published(book, socket_ns, now, wall)
        if shown:
            self._gauges.log_changes()
            if self._doorbell.ring(now):
                self._gauges.bell()

    def void(self, markets: Iterable[str], fault: BookFault) -> None:
        """These books are unknown from this moment, and readers see it at once."""
        held = [market for market in markets if market in self._keeper.books]
        self.show(self._keeper.void(held, fault))
