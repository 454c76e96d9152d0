"""Books: a feed's order books, its market directory, its connections, and the columns for the screen.

In: ladders of integers from a feed. Out: whole book rows to scanner, trader and dashboard. Row i of
the books and of the directory speak of the same market. Book payload, in words:

    0 epoch  1 incarnation  2 connection  3 state  4 reason  5 flags
    6 venue_ns  7 socket_ns  8 publish_ns  9 bid levels  10 ask levels  11..18 spare
    19..  depth x (ticks, units) bids, best first; then depth x (ticks, units) asks
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from shm import layout as lo
from shm.records import MARKET, MarketRow
from shm.segment import Segment, View
from shm.tables import TableReader, TableWriter

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

BOOKS, MARKETS, SCREEN, CONNECTIONS = "books", "markets", "screen", "connections"
(B_EPOCH, B_INCARNATION, B_CONNECTION, B_STATE, B_REASON, B_FLAGS) = range(6)
(B_VENUE_NS, B_SOCKET_NS, B_PUBLISH_NS, B_BIDS, B_ASKS) = range(6, 11)
BOOK_HEAD_WORDS = 11 + lo.SPARE_WORDS

# Screen columns, each one WORDS row as long as the table: numpy reads them without a row in sight.
(S_BID, S_BID_UNITS, S_ASK, S_ASK_UNITS, S_STATE, S_NUMBER) = range(6)
SCREEN_COLUMNS = 6

# Cells of a connection row; each is valid by itself.
(C_STATE, C_PROOF_NS, C_SINCE_NS, C_RECONNECTS, C_LAST_SEQUENCE, C_FRAMES, C_MARKETS) = range(7)
CONNECTION_WORDS = 7 + lo.SPARE_WORDS


class BookRow(NamedTuple):
    """One book as a reader gets it. `state` is the stored one: ask `model.book_state` what it is worth."""

    number: int
    epoch: int
    incarnation: int
    connection: int
    state: int
    reason: int
    flags: int
    venue_ns: int
    socket_ns: int
    publish_ns: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class ConnectionRow(NamedTuple):
    """One connection. `proof_ns` is the last proof that the venue is alive on it."""

    state: int
    proof_ns: int
    since_ns: int
    reconnects: int
    last_sequence: int
    frames: int
    markets: int


BOOK_DRAWING = "epoch incarnation connection state reason flags venue socket publish bids asks spare8 levels"
CONNECTION_DRAWING = ",".join(ConnectionRow._fields)


def feed_sections(markets: int, depth: int, connections: int) -> list[lo.Section]:
    """Sections of a feed's segment beside counters and errors; `depth` levels a side are published."""
    book_words = BOOK_HEAD_WORDS + 4 * depth
    return [
        lo.Section(CONNECTIONS, lo.WORDS, connections, CONNECTION_WORDS, drawing=CONNECTION_DRAWING),
        MARKET.section(MARKETS, markets),
        lo.Section(BOOKS, lo.SLOTS, markets, book_words, drawing=BOOK_DRAWING),
        lo.Section(SCREEN, lo.WORDS, SCREEN_COLUMNS, markets, drawing="bid,units,ask,units,state,number"),
    ]


class BookWriter:
    """A feed's side of its books: rows are claimed for markets, published, and released."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._slots = segment.slots(BOOKS)
        self._directory: TableWriter[MarketRow] = TableWriter(segment, MARKETS, MARKET)
        self._screen = [segment.words(SCREEN, column) for column in range(SCREEN_COLUMNS)]
        words = segment.section(BOOKS).words
        self.depth = (words - BOOK_HEAD_WORDS) // 4
        self._shadow = [array("q", bytes(words * lo.WORD)) for _ in range(len(self._slots))]
        self._rows: dict[str, int] = {}
        self._market_rows: dict[str, MarketRow] = {}
        self._free = list(reversed(range(len(self._slots))))
        self._incarnation = segment.header.epoch << 32
        self._epoch = segment.header.epoch

    def claim(self, market: MarketRow) -> int | None:
        """Give `market` a row, or return None when the table is full."""
        if market.market in self._rows:
            return self._rows[market.market]
        if not self._free:
            return None
        row = self._free.pop()
        self._incarnation += 1
        self._rows[market.market] = row
        self.describe(market._replace(incarnation=self._incarnation))
        shadow = self._shadow[row]
        shadow[:] = array("q", bytes(len(shadow) * lo.WORD))
        shadow[B_EPOCH] = self._epoch
        shadow[B_INCARNATION] = self._incarnation
        return row

    def describe(self, market: MarketRow) -> None:
        """Publish new metadata of a claimed market; its incarnation stays."""
        known = self._market_rows.get(market.market)
        if known is not None:
            market = market._replace(incarnation=known.incarnation)
        self._market_rows[market.market] = market
        self._directory.put(self._rows[market.market], market)

    def market(self, name: str) -> MarketRow:
        """The metadata last published for a claimed market."""
        return self._market_rows[name]

    def markets(self) -> list[str]:
        """The claimed markets."""
        return list(self._rows)

    def release(self, market: str) -> None:
        """Give a market's row back; readers see an empty directory row and an empty book."""
        row = self._rows.pop(market)
        del self._market_rows[market]
        self._slots.publish(row, array("q", bytes(len(self._shadow[row]) * lo.WORD)))
        for column in self._screen:
            column[row] = 0
        self._directory.clear(row)
        self._free.append(row)

    def publish(  # the hot path: positional, one call a message
        self,
        market: str,
        connection: int,
        state: int,
        reason: int,
        flags: int,
        venue_ns: int,
        socket_ns: int,
        publish_ns: int,
        bids: Sequence[tuple[int, int]],
        asks: Sequence[tuple[int, int]],
    ) -> int:
        """Publish a book whole, cut to `depth` levels a side, and return the row's new number."""
        row = self._rows[market]
        shadow = self._shadow[row]
        depth = self.depth
        bid_count, ask_count = min(len(bids), depth), min(len(asks), depth)
        shadow[B_CONNECTION] = connection
        shadow[B_STATE] = state
        shadow[B_REASON] = reason
        shadow[B_FLAGS] = flags
        shadow[B_VENUE_NS] = venue_ns
        shadow[B_SOCKET_NS] = socket_ns
        shadow[B_PUBLISH_NS] = publish_ns
        shadow[B_BIDS] = bid_count
        shadow[B_ASKS] = ask_count
        at = BOOK_HEAD_WORDS
        for level in bids[:bid_count]:
            shadow[at], shadow[at + 1] = level
            at += 2
        at = BOOK_HEAD_WORDS + 2 * depth
        for level in asks[:ask_count]:
            shadow[at], shadow[at + 1] = level
            at += 2
        number = self._slots.publish(row, shadow)
        screen = self._screen
        screen[S_BID][row], screen[S_BID_UNITS][row] = bids[0] if bid_count else (0, 0)
        screen[S_ASK][row], screen[S_ASK_UNITS][row] = asks[0] if ask_count else (0, 0)
        screen[S_STATE][row] = state
        screen[S_NUMBER][row] = number
        return number


class BookReader:
    """Anyone's side of a feed's books. Raises SegmentError for a segment that is not a feed's."""

    def __init__(self, view: View) -> None:
        view.check(BOOKS, BOOK_DRAWING)
        view.check(CONNECTIONS, CONNECTION_DRAWING)
        self._slots = view.slots(BOOKS, BOOK_HEAD_WORDS)
        self._view = view
        self.connection(0)  # refuses a segment without connections
        self.directory: TableReader[MarketRow] = TableReader(view, MARKETS, MARKET)
        self.depth = (view.sections()[BOOKS].words - BOOK_HEAD_WORDS) // 4

    def __len__(self) -> int:
        """Rows in the table."""
        return len(self._slots)

    def number(self, row: int) -> int:
        """The row's published number; it grows with every publication."""
        return self._slots.number(row)

    @property
    def retries(self) -> int:
        """Reads that were overtaken by the writer and tried again."""
        return self._slots.retries

    def get(self, row: int) -> BookRow | None:
        """The book in `row`, or None if it was never published or kept changing while it was read."""
        found = self._slots.read(row)
        if found is None:
            return None
        number, cells = found
        asks_at = BOOK_HEAD_WORDS + 2 * self.depth
        bids = _levels(cells, BOOK_HEAD_WORDS, cells[B_BIDS])
        asks = _levels(cells, asks_at, cells[B_ASKS])
        return BookRow._make((number, *cells[:B_BIDS], bids, asks))

    def column(self, column: int) -> NDArray[int64]:
        """A screen column (S_BID ...) as a read-only numpy view of the memory itself, a cell a row.

        Each cell is whole, but cells of one row may be of different publications: the screen only says
        where to look; what matters is read again from its row.
        """
        # Only readers of columns pay for numpy: a feed that is restarted should be back soon.
        import numpy as np

        return np.frombuffer(self._view.words(SCREEN, column), dtype=np.int64)

    def connection(self, index: int) -> ConnectionRow:
        """The connection row that a book names."""
        words = self._view.words(CONNECTIONS, index, CONNECTION_WORDS)
        return ConnectionRow(*words[: len(ConnectionRow._fields)])

    def connections(self) -> list[ConnectionRow]:
        """Every connection of the feed."""
        return [self.connection(index) for index in range(self._view.sections()[CONNECTIONS].rows)]


def _levels(cells: array[int], start: int, count: int) -> tuple[tuple[int, int], ...]:
    """The first `count` (ticks, units) pairs from `start`."""
    flat = cells[start : start + 2 * count]
    return tuple(zip(flat[::2], flat[1::2], strict=True))
