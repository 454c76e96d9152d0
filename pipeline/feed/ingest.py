"""Ingest: the hot path of a feed, from the messages of a connection to the rows of shared memory.

In: frames that came together. Out: books applied and published, the scanner woken, other events handed on.
Used by the feed's worker for every read; what happens rarely is in the worker.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.feed.book import BookKeeper
from pipeline.feed.display import Display
from pipeline.feed.gauges import Gauges
from pipeline.feed.link import Link
from pipeline.feed.second_source import SecondSource
from pipeline.venues.codec import Change, Event

Note = Callable[[Link, Event], None]


class Ingest:
    """Applies and publishes. `note` is told of every event that is more than a change of a book."""

    def __init__(
        self,
        keeper: BookKeeper,
        gauges: Gauges,
        display: Display,
        second: SecondSource,
        note: Note,
    ) -> None:
        self._keeper = keeper
        self._gauges = gauges
        self._display = display
        self._second = second
        self._note = note

    def take(self, link: Link, frames: list[bytes], socket_ns: int) -> None:
        """Frames that came together: decode and apply each, publish every book they touched, ring.

        A book that several of them changed is published once, as the last of them left it: under a
        burst readers get the newest book, and no queue grows.
        """
        # Waking takes the scanner as long as all that follows takes us: so both happen at once.
        self._display.announce(socket_ns)
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
            self._display.show(touched, socket_ns)
            link.watch.heard(touched, socket_ns)
