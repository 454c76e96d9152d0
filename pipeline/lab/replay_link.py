"""Replay link: the lab's end of the streams on which a tape's lines go to the feeds.

In: connections of feeds on the run's stream socket, items for them. Out: items sent, marks that came back.
Used by the lab's replay. A feed that does not read holds back whoever sends, for as long as it lives: no line
is dropped, and `idle` is called meanwhile, so that the lab's heart goes on.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from pathlib import Path

from pipeline.tape_link import Item, Kind, LinkError, Unpacker, packed

READ_BYTES = 4096
WAIT_SECONDS = 0.02
MOST_FEEDS = 64


class StreamLostError(Exception):
    """The feed has gone, or is told to: its lines are sent anew when it comes again."""


class Stream:
    """One feed's stream. `venue` is "" until it has said hello."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._unpacker = Unpacker()
        self.venue = ""
        self.marked = 0

    def fileno(self) -> int:
        """Its descriptor."""
        return self._socket.fileno()

    def read(self) -> None:
        """Take what the feed says. Raises StreamLostError."""
        try:
            data = self._socket.recv(READ_BYTES)
            items = self._unpacker.feed(data)
        except BlockingIOError:
            return
        except (OSError, LinkError) as error:
            raise StreamLostError(str(error)) from error
        if not data:
            raise StreamLostError("the feed has closed its stream")
        for item in items:
            if item.kind == Kind.HELLO:
                self.venue = item.text
            elif item.kind == Kind.MARK:
                self.marked = item.number

    def send(self, item: Item, idle: Callable[[], bool]) -> None:
        """Send all of it; `idle` is called while the feed does not read, and says whether to go on.

        Raises StreamLostError.
        """
        left = memoryview(packed(item))
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                if not select.select([], [self._socket], [], WAIT_SECONDS)[1] and not idle():
                    raise StreamLostError("told to end") from None
            except OSError as error:
                raise StreamLostError(str(error)) from error

    def close(self) -> None:
        """Let go."""
        self._socket.close()


class Streams:
    """All feeds' streams, by venue; of two for one venue the later counts."""

    def __init__(self, path: Path, idle: Callable[[], bool]) -> None:
        """Listen at `path`, in a directory that only this user can enter. Raises OSError."""
        self._idle = idle
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        os.chmod(path, 0o600)
        self._listener.listen(MOST_FEEDS)
        self._listener.setblocking(False)
        self._strangers: list[Stream] = []
        self._known: dict[str, Stream] = {}
        self.lost = 0
        """How many streams have ended; only grows."""

    @property
    def venues(self) -> set[str]:
        """The venues whose feeds are here."""
        return set(self._known)

    def wait(self, seconds: float) -> None:
        """Wait for a word of anyone, at most so long."""
        streams = {each.fileno(): each for each in (*self._strangers, *self._known.values())}
        ready, _, _ = select.select([self._listener.fileno(), *streams], [], [], seconds)
        for number in ready:
            if number not in streams:
                self._accept()
                continue
            try:
                streams[number].read()
            except StreamLostError:
                self._drop(streams[number])

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        if len(self._strangers) < MOST_FEEDS:
            self._strangers.append(Stream(connection))
        else:
            connection.close()

    def newcomers(self) -> list[str]:
        """The venues whose feeds have said hello since the last call; from now on they are sent to."""
        come = [one for one in self._strangers if one.venue]
        for stream in come:
            self._strangers.remove(stream)
            if stream.venue in self._known:
                self._drop(self._known[stream.venue])
            self._known[stream.venue] = stream
        return [stream.venue for stream in come]

    def send(self, venue: str, item: Item) -> bool:
        """Send to the venue's feed; False where there is none, or none any more."""
        stream = self._known.get(venue)
        if stream is None:
            return False
        try:
            stream.send(item, self._idle)
        except StreamLostError:
            self._drop(stream)
            return False
        return True

    def to_all(self, item: Item) -> None:
        """Send to every feed that is here."""
        for venue in list(self._known):
            self.send(venue, item)

    def marked(self, number: int) -> bool:
        """Whether every feed that is here has answered this mark."""
        return all(stream.marked >= number for stream in self._known.values())

    def _drop(self, stream: Stream) -> None:
        self.lost += 1
        stream.close()
        if stream in self._strangers:
            self._strangers.remove(stream)
        if self._known.get(stream.venue) is stream:
            del self._known[stream.venue]

    def close(self) -> None:
        """Let go of everything."""
        for stream in [*self._strangers, *self._known.values()]:
            stream.close()
        self._listener.close()
