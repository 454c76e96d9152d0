"""Ingest: the hot path of a feed, from the messages of a connection to the rows of shared memory.

In: frames that came together. Out: books applied and published, the scanner woken, other events handed on.
Used by the feed's worker for every read; what happens rarely is in the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.clock import Clock
from pipeline.feed.book import BookKeeper
from pipeline.feed.doorbell import Doorbell
from pipeline.feed.gauges import Gauges
from pipeline.feed.link import Link
from pipeline.feed.metadata import Metadata
from pipeline.feed.publisher import Publisher
from pipeline.feed.second_source import SecondSource
from pipeline.model import BookFault
from pipeline.venues.codec import Change, Event

Note = Callable[[Link, Event], None]


class Ingest:
    """Applies and publishes. `note` is told of every event that is more than a change of a book."""

    def __init__(
        self,
        keeper: BookKeeper,
        publisher: Publisher,
        gauges: Gauges,
        metadata: Metadata,
        second: SecondSource,
        doorbell: Doorbell,
        clock: Clock,
        note: Note,
    ) -> None:
        self._keeper = keeper
        self._publisher = publisher
        self._gauges = gauges
        self._metadata = metadata
        self._second = second
        self._doorbell = doorbell
        self._clock = clock
        self._note = note

    def take(self, link: Link, frames: list[bytes], socket_ns: int) -> None:
        """Frames that came together: decode and apply each, publish every book they touched, ring.

        A book that several of them changed is published once, as the last of them left it: under a
        burst readers get the newest book, and no queue grows.
        """
        decode, apply, index = link.codec.decode, self._keeper.apply_into, link.index
        watching = self._second.watching
        touched: dict[str, None] = {}
        for frame in frames:
            events = decode(frame)
            if apply(touched, events, index) and not watching:
                continue
            for event in events:
                if watching:
                    self._second.note(event)
                if type(event) is not Change:
                    self._note(link, event)
        self._gauges.frames(index, len(frames), link.codec.last_sequence)
        if touched:
            self.show(touched, socket_ns)
            link.watch.heard(touched, socket_ns)

    def show(self, touched: Iterable[str], socket_ns: int = 0) -> None:
        """Publish books as they are now, and wake the scanner; `socket_ns` 0 where no message came."""
        now = self._clock.monotonic_ns()
        wall = self._clock.wall_ns()
        books, publisher, believed = self._keeper.books, self._publisher, self._metadata.believed
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
