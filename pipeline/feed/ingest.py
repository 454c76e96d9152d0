"""Ingest: the hot path of a feed, from the messages of a connection to the rows of shared memory.

In: frames that came together, over a socket (pipeline/feed/link.py) or from a tape (pipeline/feed/replay.py).
Out: books applied and published, the scanner woken, other events handed on. Used by the worker of either for
every read; what happens rarely is in the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from pipeline.feed.book import BookKeeper
from pipeline.feed.display import Display
from pipeline.feed.gauges import Gauges
from pipeline.venues.codec import Change, Codec, Event


class Heard(Protocol):
    """Who wants to know of which markets something came, and when."""

    def heard(self, markets: Mapping[str, None], now_ns: int) -> None:
        """Something came for these markets."""
        ...


class Source(Protocol):
    """One connection, open or recorded: its place among the feed's, its codec, and who watches over it."""

    @property
    def index(self) -> int:
        """Its row among the feed's connections."""
        ...

    @property
    def codec(self) -> Codec:
        """Its codec."""
        ...

    @property
    def watch(self) -> Heard:
        """Who is told what came."""
        ...


class Witnessing(Protocol):
    """Whether somebody compares the books with a second source, and is to be told what is applied."""

    @property
    def watching(self) -> bool:
        """Whether applied events must be told to `note`."""
        ...

    def note(self, event: Event) -> None:
        """An event was applied to a book."""
        ...


SourceT = TypeVar("SourceT", bound=Source)


class Ingest(Generic[SourceT]):
    """Applies and publishes. `note` is told of every event that is more than a change of a book."""

    def __init__(
        self,
        keeper: BookKeeper,
        gauges: Gauges,
        display: Display,
        second: Witnessing,
        note: Callable[[SourceT, Event], None],
    ) -> None:
        self._keeper = keeper
        self._gauges = gauges
        self._display = display
        self._second = second
        self._note = note

    def take(self, link: SourceT, frames: list[bytes], socket_ns: int) -> None:
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
