"""Books: a feed's order books, its market directory, its connections, and the columns for the screen.

In: book rows that a feed keeps ready. Out: whole book rows to scanner, trader and dashboard. Row i of
the books, of the directory, of the screen and of the history speak of the same market; shm.notices says
which rows changed. Book payload, in words, called a page:

    0 epoch  1 incarnation  2 connection  3 state  4 reason  5 flags
    6 venue_ns  7 socket_ns  8 publish_ns  9 bid levels  10 ask levels  11 witness_ns  12..18 spare
    19..  depth x (ticks, units) bids, best first; then depth x (ticks, units) asks; 0 where there is none
"""

from __future__ import annotations

import struct
from array import array
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from shm import layout as lo
from shm.history import HISTORY, HistoryWriter, history_section
from shm.notices import (
    ENTRIES,
    LAP,
    NOTICES,
    PLACEMENTS_AT,
    ROW_MASK,
    NoticeReader,
    notice_section,
)
from shm.records import MARKET, MarketRow
from shm.segment import Segment, View
from shm.statistics import statistics_section
from shm.tables import TableReader, TableWriter

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

BOOKS, MARKETS, SCREEN, CONNECTIONS = "books", "markets", "screen", "connections"
(B_EPOCH, B_INCARNATION, B_CONNECTION, B_STATE, B_REASON, B_FLAGS) = range(6)
(B_VENUE_NS, B_SOCKET_NS, B_PUBLISH_NS, B_BIDS, B_ASKS, B_WITNESS_NS) = range(6, 12)
BOOK_HEAD_WORDS = 19

# Columns of the screen, a cache line a market: numpy reads a column of all markets in one view.
(S_BID, S_BID_UNITS, S_ASK, S_ASK_UNITS, S_STATE, S_NUMBER) = range(6)
SCREEN_COLUMNS = lo.LINE

# Native integers, so that each word is one store (shm.slots says why that matters).
_pack_head = struct.Struct("12q").pack_into
_pack_screen = struct.Struct("6q").pack_into
_levels_of = struct.Struct("2q").iter_unpack

# Cells of a connection row; each is valid by itself.
(C_STATE, C_PROOF_NS, C_SINCE_NS, C_RECONNECTS, C_LAST_SEQUENCE, C_FRAMES, C_MARKETS, C_PING_NS) = range(8)
CONNECTION_WORDS = 8 + lo.SPARE_WORDS


class BookRow(NamedTuple):
    """One book as a reader gets it. `state` is the stored one: ask `model.book_state` what it is worth.

    `reason` is a `model.BookFault`; `witness_ns` is when the venue's REST last agreed with it, 0 for never.
    """

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
    witness_ns: int = 0


class ConnectionRow(NamedTuple):
    """One connection. `proof_ns` is the last proof that the venue is alive on it, `ping_ns` how long it took
    to answer the last ping, 0 while it has answered none.
    """

    state: int
    proof_ns: int
    since_ns: int
    reconnects: int
    last_sequence: int
    frames: int
    markets: int
    ping_ns: int = 0


BOOK_DRAWING = (
    "epoch incarnation connection state reason flags venue socket publish bids asks witness spare7 levels"
)
SCREEN_DRAWING = "bid,units,ask,units,state,number,spare2 a market"
CONNECTION_DRAWING = ",".join(ConnectionRow._fields)


def feed_sections(markets: int, depth: int, connections: int, history: int = 0) -> list[lo.Section]:
    """Sections of a feed's segment beside counters and errors.

    `depth` levels a side are published; `history` price events of each market are kept, 0 for none.
    """
    book_words = BOOK_HEAD_WORDS + 4 * depth
    sections = [
        lo.Section(CONNECTIONS, lo.WORDS, connections, CONNECTION_WORDS, drawing=CONNECTION_DRAWING),
        MARKET.section(MARKETS, markets),
        lo.Section(BOOKS, lo.SLOTS, markets, book_words, drawing=BOOK_DRAWING),
        lo.Section(SCREEN, lo.WORDS, 1, SCREEN_COLUMNS * markets, drawing=SCREEN_DRAWING),
        notice_section(),
        statistics_section(),
    ]
    return [*sections, history_section(markets, history)] if history else sections


def new_page(depth: int) -> array[int]:
    """An empty book row of `depth` levels a side: its owner fills in levels, `publish` the head."""
    return array("q", [0]) * (BOOK_HEAD_WORDS + 4 * depth)


class BookWriter:
    """A feed's side of its books: rows are claimed for markets, published, and released."""

    def __init__(self, segment: Segment) -> None:
        self._slots = segment.slots(BOOKS)
        self._directory: TableWriter[MarketRow] = TableWriter(segment, MARKETS, MARKET)
        self._screen = segment.words(SCREEN)
        self._notices = segment.words(NOTICES)
        self._places = cycle(range(ENTRIES))
        self._lap = 0
        self.depth = (segment.section(BOOKS).words - BOOK_HEAD_WORDS) // 4
        rows = len(self._slots)
        assert rows <= ROW_MASK, rows
        self._asks_at = BOOK_HEAD_WORDS + 2 * self.depth
        self._history = _history_of(segment)
        # What the screen and the history last said of each row.
        self._tops: list[tuple[int, int, int, int, int]] = [(0, 0, 0, 0, 0)] * rows
        self._incarnations = [0] * rows
        self._number_at = [row * SCREEN_COLUMNS + S_NUMBER for row in range(rows)]
        self._rows: dict[str, int] = {}
        self._market_rows: dict[str, MarketRow] = {}
        self._free = list(reversed(range(rows)))
        self._incarnation = segment.header.epoch << 32
        self._epoch = segment.header.epoch

    def claim(self, market: MarketRow) -> int | None:
        """Give `market` a row and return which, or None when the table is full."""
        if market.market in self._rows:
            return self._rows[market.market]
        if not self._free:
            return None
        row = self._free.pop()
        self._incarnation += 1
        self._rows[market.market] = row
        self._incarnations[row] = self._incarnation
        self._tops[row] = (0, 0, 0, 0, 0)
        # The ring is empty before anyone can know the incarnation that it is now of.
        if self._history is not None:
            self._history.reset(row, self._incarnation)
        self.describe(market._replace(incarnation=self._incarnation))
        return row

    def describe(self, market: MarketRow) -> None:
        """Publish new metadata of a claimed market; its incarnation stays."""
        known = self._market_rows.get(market.market)
        if known is not None:
            market = market._replace(incarnation=known.incarnation)
        self._market_rows[market.market] = market
        self._directory.put(self._rows[market.market], market)
        if known is None or known.price_decimals != market.price_decimals:
            self._notices[PLACEMENTS_AT] += 1

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
        self._slots.publish(row, new_page(self.depth))
        _pack_screen(self._screen, row * SCREEN_COLUMNS * lo.WORD, 0, 0, 0, 0, 0, 0)
        if self._history is not None:
            self._history.reset(row, 0)
        self._directory.clear(row)
        self._notices[PLACEMENTS_AT] += 1
        self._notice(row)
        self._free.append(row)

    def _notice(self, row: int) -> None:
        """Tell whoever waits for notices that a row was published."""
        place = next(self._places)
        if not place:
            self._lap += LAP
        self._notices[place] = self._lap + row

    def publish(  # the hot path: positional, one call a book
        self,
        row: int,
        page: array[int],
        bid_count: int,
        ask_count: int,
        connection: int,
        state: int,
        reason: int,
        flags: int,
        venue_ns: int,
        socket_ns: int,
        publish_ns: int,
        witness_ns: int,
        wall_ns: int,
    ) -> int:
        """Publish the book of a claimed row whole, and return the row's new number.

        `page` is the row with its best `depth` levels a side in place, and 0 in the words after the last
        (`new_page`); the counts say how many there are. Its head is filled in here. When best prices,
        their sizes or the state are new, the history gets a price event; `wall_ns` is for that alone.
        """
        _pack_head(
            page,
            0,
            self._epoch,
            self._incarnations[row],
            connection,
            state,
            reason,
            flags,
            venue_ns,
            socket_ns,
            publish_ns,
            bid_count,
            ask_count,
            witness_ns,
        )
        number = self._slots.publish(row, page)
        asks_at = self._asks_at
        bid, bid_units = page[BOOK_HEAD_WORDS], page[BOOK_HEAD_WORDS + 1]
        ask, ask_units = page[asks_at], page[asks_at + 1]
        top = (bid, bid_units, ask, ask_units, state)
        if top == self._tops[row]:
            self._screen[self._number_at[row]] = number
        else:
            self._tops[row] = top
            at = row * SCREEN_COLUMNS * lo.WORD
            _pack_screen(self._screen, at, bid, bid_units, ask, ask_units, state, number)
            if self._history is not None:
                self._history.append(
                    row, state, flags, venue_ns, socket_ns, wall_ns, bid, bid_units, ask, ask_units
                )
        # `_notice` without the call; last, so that whoever sees it sees all of the above.
        place = next(self._places)
        if not place:
            self._lap += LAP
        self._notices[place] = self._lap + row
        return number


def _history_of(segment: Segment) -> HistoryWriter | None:
    """The writer of the segment's history, None where it has none."""
    try:
        segment.section(HISTORY)
    except KeyError:
        return None
    return HistoryWriter(segment)


class BookReader:
    """Anyone's side of a feed's books. Raises SegmentError for a segment that is not a feed's."""

    def __init__(self, view: View) -> None:
        view.check(BOOKS, BOOK_DRAWING)
        view.check(CONNECTIONS, CONNECTION_DRAWING)
        view.check(SCREEN, SCREEN_DRAWING)
        self._slots = view.slots(BOOKS, BOOK_HEAD_WORDS)
        self._view = view
        rows = view.sections()[CONNECTIONS].rows
        self._connections = [view.words(CONNECTIONS, row, CONNECTION_WORDS) for row in range(rows)]
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
        return BookRow._make((number, *cells[:B_BIDS], bids, asks, cells[B_WITNESS_NS]))

    @property
    def screen(self) -> memoryview[int]:
        """The screen's cells, SCREEN_COLUMNS a row, S_BID first: for a look at a few of them."""
        return self._view.words(SCREEN)

    def columns(self) -> NDArray[int64]:
        """The screen as a read-only numpy view of the memory itself: a line a column, a cell a row.

        Each cell is whole, but cells of one row may be of different publications: the screen only says
        where to look; what matters is read again from its row.
        """
        # Only readers of columns pay for numpy: a feed that is restarted should be back soon.
        import numpy as np

        return np.frombuffer(self.screen, dtype=np.int64).reshape(-1, SCREEN_COLUMNS).T

    def column(self, column: int) -> NDArray[int64]:
        """One column of the screen (S_BID ...), as `columns` gives it."""
        cells: NDArray[int64] = self.columns()[column]
        return cells

    def notices(self) -> NoticeReader:
        """A place of one's own in the feed's notices. Raises SegmentError where there are none."""
        return NoticeReader(self._view, self.column(S_NUMBER))

    def connection(self, index: int) -> ConnectionRow:
        """The connection row that a book names."""
        return ConnectionRow(*self._connections[index][: len(ConnectionRow._fields)])

    def proof_ns(self, index: int) -> int:
        """`ConnectionRow.proof_ns` alone, which every look at a book needs."""
        return self._connections[index][C_PROOF_NS]

    def connections(self) -> list[ConnectionRow]:
        """Every connection of the feed."""
        return [self.connection(index) for index in range(len(self._connections))]


def _levels(cells: array[int], start: int, count: int) -> tuple[tuple[int, int], ...]:
    """The first `count` (ticks, units) pairs from `start`."""
    return tuple(_levels_of(cells[start : start + 2 * count]))
