"""Feed picture: every book of one venue at one tick, as columns that never change afterwards.

In: the columns copied out of the feed's memory, its directory, its signs of life. Out: legs of events, how
many books there are and are worth something, ages. Made by `feeds` once a tick. What a book is worth is
judged by `model.book_state` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import int64
from numpy.typing import NDArray

from dashboard.event_views import NO_FLAGS, LadderView, LegView
from pipeline.model import (
    BookFlag,
    BookState,
    Ladder,
    Level,
    MarketResult,
    MarketStatus,
    StateLimits,
    book_state,
)
from shm.books import (
    B_ASKS,
    B_BIDS,
    B_CONNECTION,
    B_FLAGS,
    B_INCARNATION,
    B_SOCKET_NS,
    B_STATE,
    B_WITNESS_NS,
    BOOK_HEAD_WORDS,
    BookRow,
    ConnectionRow,
)
from shm.records import MarketRow

# What is copied of a book's page: its head, and the best level of each side.
HEAD = B_WITNESS_NS + 1
BID, BID_UNITS, ASK, ASK_UNITS = range(HEAD, HEAD + 4)


def page_columns(depth: int) -> list[int]:
    """The words of a page that a picture needs, in its order."""
    bids, asks = BOOK_HEAD_WORDS, BOOK_HEAD_WORDS + 2 * depth
    return [*range(HEAD), bids, bids + 1, asks, asks + 1]


class Directory:
    """The markets of a feed, by name and as columns: row i describes book i."""

    def __init__(self, rows: Sequence[tuple[int, MarketRow]]) -> None:
        self.markets = {row.market: (index, row) for index, row in rows}
        length = max((index for index, _ in rows), default=-1) + 1
        self.there = np.zeros(length, np.bool_)
        self.scaled = np.zeros(length, np.bool_)
        self.incarnations = np.zeros(length, int64)
        for index, row in self.markets.values():
            self.there[index] = True
            self.scaled[index] = row.price_decimals >= 0 and row.size_decimals >= 0
            self.incarnations[index] = row.incarnation

    def rows_of(self, markets: Sequence[str]) -> NDArray[np.intp]:
        """Where the markets lie; -1 for one that is not there."""
        found = [self.markets[name][0] if name in self.markets else -1 for name in markets]
        return np.array(found, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Life:
    """The signs of life that the state of every book of a feed depends on."""

    now_ns: int
    retired: bool
    heartbeat_ns: int
    limits: StateLimits
    connections: Sequence[ConnectionRow]

    def state(self, stored: int, connection: int, socket_ns: int) -> BookState:
        """What a book with these three cells is worth."""
        known = stored in BookState.__members__.values()
        proof_ns = self.connections[connection].proof_ns if 0 <= connection < len(self.connections) else 0
        return book_state(
            stored if known else BookState.GAP,
            retired=self.retired,
            heartbeat_ns=self.heartbeat_ns,
            proof_ns=proof_ns,
            socket_ns=socket_ns,
            now_ns=self.now_ns,
            limits=self.limits,
        )


class FeedPicture:
    """The books of one feed at `life.now_ns`. `words` has HEAD + 4 columns, a line a row of the feed."""

    def __init__(
        self, venue: str, directory: Directory, numbers: NDArray[int64], words: NDArray[int64], life: Life
    ) -> None:
        self.venue = venue
        self.directory = directory
        self.life = life
        self._words = words
        length = min(len(numbers), len(directory.there))
        # A row that has changed hands since it was published shows nothing.
        self._valid = (numbers[:length] > 0) & directory.there[:length]
        self._valid &= words[:length, B_INCARNATION] == directory.incarnations[:length]

    def leg(self, market: str, *, inverse: bool) -> LegView:
        """The market as a leg of an event; `inverse` turns the book round, once (DESIGN 4)."""
        found = self.directory.markets.get(market)
        if found is None:
            return LegView(self.venue, market, self.life.state(BookState.EMPTY, -1, 0))
        index, row = found
        status, result = _status(row)
        if index >= len(self._valid) or not self._valid[index]:
            state = self.life.state(BookState.EMPTY, -1, 0)
            return LegView(self.venue, market, state, status=status, result=result)
        page: list[int] = self._words[index].tolist()
        state = self.life.state(page[B_STATE], page[B_CONNECTION], page[B_SOCKET_NS])
        if row.price_decimals < 0 or row.size_decimals < 0:
            return LegView(self.venue, market, state, status=status, result=result)
        bid = (page[BID], page[BID_UNITS]) if page[B_BIDS] > 0 else None
        ask = (page[ASK], page[ASK_UNITS]) if page[B_ASKS] > 0 else None
        if inverse:
            bid, ask = _mirrored(ask, 10**row.price_decimals), _mirrored(bid, 10**row.price_decimals)
        return LegView(
            self.venue,
            market,
            state,
            bid,
            ask,
            row.price_decimals,
            row.size_decimals,
            max(0, self.life.now_ns - page[B_SOCKET_NS]) if page[B_SOCKET_NS] else None,
            status,
            result,
            BookFlag(page[B_FLAGS]),
        )

    def ladder(self, market: str, book: BookRow | None, *, inverse: bool) -> LadderView:
        """A leg to full depth, from `book`, a whole reading of its row at this picture's time."""
        found = self.directory.markets.get(market)
        if found is None or book is None or book.incarnation != found[1].incarnation:
            state = self.life.state(BookState.EMPTY, -1, 0)
            return LadderView(LegView(self.venue, market, state))
        row = found[1]
        status, result = _status(row)
        state = self.life.state(book.state, book.connection, book.socket_ns)
        if row.price_decimals < 0 or row.size_decimals < 0:
            return LadderView(LegView(self.venue, market, state, status=status, result=result))
        bids, asks = book.bids, book.asks
        if inverse:
            one = 10**row.price_decimals
            bids, asks = _turned(book.asks, one), _turned(book.bids, one)
        leg = LegView(
            self.venue,
            market,
            state,
            bids[0] if bids else None,
            asks[0] if asks else None,
            row.price_decimals,
            row.size_decimals,
            max(0, self.life.now_ns - book.socket_ns) if book.socket_ns else None,
            status,
            result,
            BookFlag(book.flags),
        )
        witnessed_ns = max(0, self.life.now_ns - book.witness_ns) if book.witness_ns else None
        return LadderView(leg, bids, asks, witnessed_ns)

    def ages_ns(self, rows: NDArray[np.intp]) -> NDArray[int64]:
        """The age of each row's last message; -1 where its leg has none, and for row -1."""
        ages = np.full(len(rows), -1, int64)
        shown = self._valid & self.directory.scaled[: len(self._valid)]
        there = (rows >= 0) & (rows < len(shown))
        there[there] = shown[rows[there]]
        sockets = self._words[rows[there], B_SOCKET_NS]
        ages[there] = np.where(sockets != 0, np.maximum(0, self.life.now_ns - sockets), -1)
        return ages

    @property
    def books(self) -> int:
        """The markets of the feed."""
        return len(self.directory.markets)

    def live_books(self) -> int:
        """How many books are LIVE now."""
        words = self._words[: len(self._valid)]
        stored = self._valid & (words[:, B_STATE] == BookState.LIVE)
        if not stored.any():
            return 0
        connections, sockets = words[stored, B_CONNECTION], words[stored, B_SOCKET_NS]
        return sum(
            self._live_of(connection, sockets[connections == connection])
            for connection in set(connections.tolist())
        )

    def _live_of(self, connection: int, sockets: NDArray[int64]) -> int:
        """How many of one connection's books, stored as LIVE, are.

        Of two such books the one that was heard later is never worth less: where the oldest is LIVE all
        are, and where the youngest is not none is.
        """

        def live(socket_ns: int) -> bool:
            return self.life.state(BookState.LIVE, connection, socket_ns) is BookState.LIVE

        if live(int(sockets.min())):
            return len(sockets)
        if not live(int(sockets.max())):
            return 0
        return sum(live(socket_ns) for socket_ns in sockets.tolist())

    def flags(self) -> BookFlag:
        """The flags of all books together."""
        found = self._words[: len(self._valid)][self._valid, B_FLAGS]
        return BookFlag(int(np.bitwise_or.reduce(found))) if len(found) else NO_FLAGS

    def witnessed_ns(self) -> int | None:
        """How long ago REST agreed with the book that it agreed with longest ago; None if one never was."""
        if not self.books or int(self._valid.sum()) < self.books:
            return None
        oldest = int(self._words[: len(self._valid)][self._valid, B_WITNESS_NS].min())
        return max(0, self.life.now_ns - oldest) if oldest else None


def _mirrored(level: Level | None, one_ticks: int) -> Level | None:
    """A level of NO as one of YES: its price is 1 - price."""
    return None if level is None else (one_ticks - level[0], level[1])


def _turned(ladder: Ladder, one_ticks: int) -> Ladder:
    """A side of NO as the other side of YES."""
    return tuple((one_ticks - ticks, units) for ticks, units in ladder)


def _status(row: MarketRow) -> tuple[MarketStatus, MarketResult]:
    """Status and result of a market as enums; unknown numbers count as nothing said."""
    status = row.status if row.status in MarketStatus.__members__.values() else 0
    result = row.result if row.result in MarketResult.__members__.values() else 0
    return MarketStatus(status), MarketResult(result)
