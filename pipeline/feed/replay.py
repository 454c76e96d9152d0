"""Replay feed: the feed process of a replay: a tape in the place of sockets, and from there the same way.

In: the lines of one venue, from the lab that plays the tape (pipeline/tape_link.py). Out: as feed/worker.py:
the segment feed-VENUE, every book flagged REPLAY, and the scanner's doorbell. Started by the supervisor as
`run.py feed VENUE` for a replay. Nothing is dialled, asked for again or compared: what is not on the
tape never comes, so that the books are those of `run.py books` after as many lines.

When the tape begins anew this process begins a new life: another epoch of its segment, all books EMPTY.
While the tape is paused the lab's beats go on, and are the proof of life of every recorded connection.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.feed.book import BookKeeper
from pipeline.feed.display import Display
from pipeline.feed.doorbell import Doorbell
from pipeline.feed.gauges import COUNTERS, Gauges
from pipeline.feed.ingest import Ingest
from pipeline.feed.publisher import Publisher
from pipeline.lifecycle import Worker
from pipeline.model import DEFAULT_SCALES, BookFault, BookFlag, ConnectionState, Market, MarketStatus
from pipeline.tape_link import SOCKET, Item, Kind, LinkError, Unpacker, packed
from pipeline.venues.codec import Codec, Event, Listed
from pipeline.venues.registry import CODECS
from shm import books as memory

TURN_SECONDS = 0.02
RETRY_SECONDS = 0.05
READ_BYTES = 256 * 1024
SECOND_NS = 1_000_000_000
# A tape's connections are told apart up to this; those after it share the last row.
MAX_CONNECTIONS = 256


class TapeLostError(Exception):
    """The lab that plays the tape is gone."""


class TapeSource:
    """The stream of one venue's lines."""

    def __init__(self, path: Path, venue: str) -> None:
        """Raises OSError while no lab listens."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._unpacker = Unpacker()
        try:
            self._socket.connect(str(path))
            self.send(Item(Kind.HELLO, text=venue))
        except OSError:
            self._socket.close()
            raise

    def receive(self, timeout: float) -> list[Item]:
        """What has come, after at most `timeout` seconds. Raises TapeLostError."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return []
        try:
            data = self._socket.recv(READ_BYTES)
            items = self._unpacker.feed(data)
        except (OSError, LinkError) as error:
            raise TapeLostError(str(error)) from error
        if not data:
            raise TapeLostError("the lab has closed the stream")
        return items

    def send(self, item: Item) -> None:
        """Tell the lab; an item of ours is so short that it never waits."""
        self._socket.sendall(packed(item))

    def close(self) -> None:
        """Let go."""
        self._socket.close()


class TapeConnection:
    """One connection that was recorded: a source of frames for `Ingest`. Nobody waits for its books."""

    def __init__(self, index: int, codec: Codec) -> None:
        self.index = index
        self.codec = codec
        self.watch = self

    def heard(self, markets: Mapping[str, None], now_ns: int) -> None:
        """Nothing to do: what is late on a tape stays late."""


class NoWitness:
    """There is nothing to compare a recorded book with."""

    watching = False

    def note(self, event: Event) -> None:
        """Never asked."""


class Pass:
    """One life of the feed, from the tape's start on."""

    def __init__(self, venue: str, config: Config, clock: Clock) -> None:
        self.venue = venue
        self._clock = clock
        sizes = config.shm
        sections = memory.feed_sections(sizes.max_markets, sizes.depth, MAX_CONNECTIONS, sizes.history)
        self.worker = Worker(f"feed-{venue}", config, clock, sections, COUNTERS, self._on_config)
        writer = memory.BookWriter(self.worker.segment)
        self._publisher = Publisher(venue, writer, BookFlag.REPLAY, config.fees.get(venue))
        self._keeper = BookKeeper(venue, shown=writer.depth)
        self._gauges = Gauges(self.worker, self._keeper, clock)
        bell = Doorbell(Path(config.shm_directory), Path(config.run_directory), clock)
        self._display = Display(
            self._keeper, self._publisher, self._gauges, bell, clock, lambda _market, _now: True
        )
        self._ingest: Ingest[TapeConnection] = Ingest(
            self._keeper, self._gauges, self._display, NoWitness(), self._note
        )
        self._connections: dict[float | str, TapeConnection] = {}
        self._full = False
        self._show_ns = 0
        self._want()

    @property
    def pristine(self) -> bool:
        """Whether no line was applied yet."""
        return not self._connections

    def take(self, items: Sequence[Item]) -> None:
        """Lines that came together; those that follow each other on one connection go in as one."""
        for conn, lines in groupby(items, key=lambda item: item.conn):
            frames = [line.text.encode() for line in lines]
            self._ingest.take(self._connection(conn), frames, self._clock.monotonic_ns())
        if len(self._keeper.books) > len(self._publisher.markets):
            self._want()

    def end(self) -> None:
        """The tape's end is the end of every batch on it."""
        self._display.show(self._keeper.settle())

    def alive(self) -> None:
        """The lab lives: so does whatever it plays."""
        now = self._clock.monotonic_ns()
        for connection in self._connections.values():
            self.worker.segment.words(memory.CONNECTIONS, connection.index)[memory.C_PROOF_NS] = now

    def lost(self) -> None:
        """Nothing comes any more: all books are unknown, and no connection is up."""
        self._display.void(list(self._keeper.books), BookFault.DISCONNECTED)
        now = self._clock.monotonic_ns()
        for connection in self._connections.values():
            cells = self.worker.segment.words(memory.CONNECTIONS, connection.index)
            cells[memory.C_STATE], cells[memory.C_SINCE_NS] = ConnectionState.BACKOFF, now

    def tend(self) -> None:
        """Everything that is due by time."""
        now = self._clock.monotonic_ns()
        if now >= self._show_ns:
            self._show_ns = now + SECOND_NS
            self._count_markets()
            self._gauges.show(len(self._rows), len(self._publisher.markets), polling=False)
        self._gauges.carry()

    @property
    def _rows(self) -> set[int]:
        return {connection.index for connection in self._connections.values()}

    def _count_markets(self) -> None:
        counts = dict.fromkeys(self._rows, 0)
        for book in self._keeper.books.values():
            if book.connection in counts:
                counts[book.connection] += 1
        for row, count in counts.items():
            self.worker.segment.words(memory.CONNECTIONS, row)[memory.C_MARKETS] = count

    def _connection(self, conn: float | str) -> TapeConnection:
        """The recorded connection of this name, with a codec of its own."""
        known = self._connections.get(conn)
        if known is None:
            index = min(len(self._connections), MAX_CONNECTIONS - 1)
            known = self._connections[conn] = TapeConnection(index, CODECS[self.venue]({}))
            cells = self.worker.segment.words(memory.CONNECTIONS, index)
            now = self._clock.monotonic_ns()
            cells[memory.C_STATE], cells[memory.C_SINCE_NS] = ConnectionState.UP, now
            cells[memory.C_PROOF_NS] = now
            self.worker.counters.add("connects")
            self._show_ns = 0
        return known

    def _note(self, _connection: TapeConnection, event: Event) -> None:
        """Metadata is what the tape says of it: nobody else is asked."""
        if isinstance(event, Listed):
            self._publisher.describe(event.market, 0)

    def _want(self) -> None:
        """A row for each market of the config, and of the tape: one that is quoted there was open."""
        names = dict.fromkeys([*self.worker.config.markets_of(self.venue), *self._keeper.books])
        added, _, refused = self._publisher.want(names, self._clock.monotonic_ns())
        for name in added:
            scale = DEFAULT_SCALES.get(self.venue)
            self._publisher.describe(Market(self.venue, name, scale, status=MarketStatus.OPEN), 0)
            if name in self._keeper.listed:
                self._publisher.describe(self._keeper.listed[name], 0)
        if refused and not self._full:
            self._full = True
            self.worker.counters.add("no_room", len(refused))
            self.worker.report(f"no row for {len(refused)} markets of the tape: raise shm.max_markets")
        self._display.show(added)

    def _on_config(self, old: Config, new: Config) -> None:
        """Act on changed fees and events."""
        if old.fees.get(self.venue) != new.fees.get(self.venue):
            self._publisher.set_fees(new.fees.get(self.venue))
        self._want()


class ReplayFeed:
    """The process: one pass after another, over one stream."""

    def __init__(self, venue: str, config: Config, clock: Clock) -> None:
        self._venue = venue
        self._config = config
        self._clock = clock
        self._path = Path(config.run_directory) / SOCKET
        self._source: TapeSource | None = None
        self._waiting: deque[Item] = deque()

    def run(self) -> None:
        """Play until told to stop."""
        while self._play():
            pass
        if self._source is not None:
            self._source.close()

    def _play(self) -> bool:
        """One pass; whether the tape begins anew."""
        one = Pass(self._venue, self._config, self._clock)
        with one.worker as worker:
            again = False
            while not again and worker.go_on():
                again = self._turn(one)
            one.tend()
            self._config = worker.config
        return again

    def _turn(self, one: Pass) -> bool:
        """Receive what has come and apply it; whether the tape begins anew, which ends this pass."""
        if not self._waiting:
            self._receive(one)
        again = self._apply(one)
        one.tend()
        return again

    def _receive(self, one: Pass) -> None:
        try:
            if self._source is None:
                self._source = TapeSource(self._path, self._venue)
            self._waiting.extend(self._source.receive(TURN_SECONDS))
        except OSError:
            # No lab listens yet, or its socket is left from one that ended.
            self._clock.sleep(RETRY_SECONDS)
        except TapeLostError as error:
            self._lost(one, str(error))

    def _lost(self, one: Pass, why: str) -> None:
        """The lab is gone; the next one plays the tape from its start."""
        one.worker.log.warning("tape lost", why=why)
        one.worker.report(f"tape: {why}")
        one.worker.counters.add("reconnects")
        if self._source is not None:
            self._source.close()
        self._source = None
        self._waiting.clear()
        one.lost()

    def _apply(self, one: Pass) -> bool:
        """Apply what waits, in order, up to where the tape begins anew."""
        lines: list[Item] = []
        while self._waiting:
            item = self._waiting.popleft()
            if item.kind == Kind.LINE:
                lines.append(item)
                continue
            one.take(lines)
            lines = []
            if item.kind == Kind.RESET and not one.pristine:
                return True
            self._obey(one, item)
        one.take(lines)
        return False

    def _obey(self, one: Pass, item: Item) -> None:
        one.alive()
        if item.kind == Kind.END:
            one.end()
        elif item.kind == Kind.MARK and self._source is not None:
            try:
                self._source.send(Item(Kind.MARK, number=item.number))
            except OSError as error:
                self._lost(one, str(error))
