"""Feeds: what one venue's memory file says, as legs of events and as a line about the venue.

In: an attached feed segment. Out: `LegView` and `VenueView`. Run by `source` once a tick; a book
that did not change is not copied again. What a book is worth is judged by `model.book_state` alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from dashboard.attachment import Attachment
from dashboard.snapshot import CONNECTED, LegView, VenueView
from pipeline.model import (
    BookFlag,
    BookState,
    ConnectionState,
    Ladder,
    Level,
    MarketResult,
    MarketStatus,
    StateLimits,
    book_state,
)
from shm.books import (
    BOOK_HEAD_WORDS,
    BOOKS,
    CONNECTIONS,
    MARKETS,
    BookReader,
    BookRow,
    ConnectionRow,
)
from shm.layout import SLOTS
from shm.records import MARKET, MarketRow
from shm.segment import View
from shm.tables import read_counters

RATE_SPAN_NS = 3_000_000_000
RATE_SAMPLES = 32


class FeedMemory:
    """One feed's segment, book by book. Call `refresh` once a tick, then ask."""

    def __init__(self, venue: str, attachment: Attachment, limits: StateLimits) -> None:
        self.venue = venue
        self.attachment = attachment
        self._limits = limits
        self._generation = 0
        self._reader: BookReader | None = None
        self._books: dict[int, BookRow] = {}
        self._markets: dict[str, tuple[int, MarketRow]] = {}
        self._connections: list[ConnectionRow] = []
        self._counters: dict[str, int] = {}
        self._frames: deque[tuple[int, int]] = deque(maxlen=RATE_SAMPLES)

    def refresh(self, now_ns: int) -> None:
        """Follow the segment, and copy its directory, connections and counters."""
        self.attachment.refresh()
        view = self.attachment.view
        if view is None:
            return
        if self.attachment.generation != self._generation:
            self._generation = self.attachment.generation
            self._reader = BookReader(view) if _is_feed(view) else None
            self._books = {}
        if self._reader is None:
            return
        table = self.attachment.rows(MARKETS, MARKET)
        self._markets = {row.market: (index, row) for index, row in table.all()} if table else {}
        self._connections = self._reader.connections()
        self._counters = read_counters(view)
        self._sample(now_ns)

    def leg(self, market: str, now_ns: int, *, inverse: bool) -> LegView:
        """The market as a leg of an event; `inverse` turns the book round, once (DESIGN 4)."""
        found = self._markets.get(market)
        book = self._book(*found) if found is not None else None
        state = self._state(book, now_ns)
        if found is None:
            return LegView(self.venue, market, state)
        row = found[1]
        status = _status(row)
        if book is None or row.price_decimals < 0 or row.size_decimals < 0:
            return LegView(self.venue, market, state, status=status[0], result=status[1])
        bid, ask = _top(book.bids), _top(book.asks)
        if inverse:
            one = 10**row.price_decimals
            bid, ask = _mirrored(ask, one), _mirrored(bid, one)
        return LegView(
            self.venue,
            market,
            state,
            bid,
            ask,
            row.price_decimals,
            row.size_decimals,
            max(0, now_ns - book.socket_ns) if book.socket_ns else None,
            *status,
            BookFlag(book.flags),
        )

    def line(self, now_ns: int) -> VenueView:
        """The venue as a whole."""
        books = [self._book(index, row) for index, row in self._markets.values()]
        live = sum(self._state(book, now_ns) is BookState.LIVE for book in books)
        used = [row for row in self._connections if _used(row)]
        weakest = min(used, key=_strength, default=None)
        proof_ns = weakest.proof_ns if weakest is not None else 0
        proof_age_ns = max(0, now_ns - proof_ns) if proof_ns else 0
        alive = self.attachment.alive(now_ns, self._limits.heartbeat_ns)
        return VenueView(
            name=self.venue,
            alive=alive,
            connection=_connection_state(weakest),
            connections=len(used),
            beat_age_ns=self.attachment.beat_age_ns(now_ns),
            proof_age_ns=proof_age_ns,
            silent=not proof_ns or proof_age_ns > self._limits.proof_ns,
            rate=self._rate() if alive else 0.0,
            frames=self._counters.get("frames", 0),
            books=len(books),
            live_books=live,
            gaps=self._counters.get("gaps", 0),
            bad_frames=self._counters.get("bad_frames", 0),
            reconnects=self._counters.get("reconnects", 0),
            simulated=any(book is not None and book.flags & BookFlag.SIM for book in books),
            witnessed_ns=_oldest_witness(books, now_ns),
        )

    def _book(self, index: int, market: MarketRow) -> BookRow | None:
        """The market's book; None before its first publication and while the row changes hands."""
        reader = self._reader
        assert reader is not None
        if index >= len(reader):
            return None
        known = self._books.get(index)
        if known is None or known.number != reader.number(index):
            # A writer that overtakes every try leaves us the copy of an earlier tick.
            known = reader.get(index) or known
            if known is not None:
                self._books[index] = known
        return known if known is not None and known.incarnation == market.incarnation else None

    def _state(self, book: BookRow | None, now_ns: int) -> BookState:
        """What the book is worth now."""
        view = self.attachment.view
        stored = BookState.EMPTY
        proof_ns = socket_ns = 0
        if book is not None:
            known = book.state in BookState.__members__.values()
            stored = BookState(book.state) if known else BookState.GAP
            socket_ns = book.socket_ns
            if 0 <= book.connection < len(self._connections):
                proof_ns = self._connections[book.connection].proof_ns
        return book_state(
            stored,
            retired=self.attachment.retired,
            heartbeat_ns=view.header.heartbeat_ns if view is not None else 0,
            proof_ns=proof_ns,
            socket_ns=socket_ns,
            now_ns=now_ns,
            limits=self._limits,
        )

    def _sample(self, now_ns: int) -> None:
        """Note the count of frames; a count that went back belongs to a new file."""
        frames = self._counters.get("frames", 0)
        if self._frames and frames < self._frames[-1][1]:
            self._frames.clear()
        self._frames.append((now_ns, frames))
        while now_ns - self._frames[0][0] > RATE_SPAN_NS and len(self._frames) > 2:
            self._frames.popleft()

    def _rate(self) -> float | None:
        """Frames a second over the last RATE_SPAN_NS, or None until two counts are known."""
        if len(self._frames) < 2 or self._frames[-1][0] == self._frames[0][0]:
            return None
        (from_ns, first), (to_ns, last) = self._frames[0], self._frames[-1]
        return (last - first) * 1e9 / (to_ns - from_ns)


def _is_feed(view: View) -> bool:
    """Whether the segment has a feed's tables in shapes that the reader understands."""
    sections = view.sections()
    if not {BOOKS, MARKETS, CONNECTIONS} <= sections.keys():
        return False
    books, markets = sections[BOOKS], sections[MARKETS]
    shaped = books.kind == markets.kind == SLOTS and books.words >= BOOK_HEAD_WORDS
    return shaped and markets.words == MARKET.words


def _top(ladder: Ladder) -> Level | None:
    """The best level, if there is one."""
    return ladder[0] if ladder else None


def _mirrored(level: Level | None, one_ticks: int) -> Level | None:
    """A level of NO as one of YES: its price is 1 - price."""
    return None if level is None else (one_ticks - level[0], level[1])


def _strength(connection: ConnectionRow) -> tuple[bool, int]:
    """Orders connections by how much they can be relied on, weakest first."""
    return connection.state in CONNECTED, connection.proof_ns


def _used(connection: ConnectionRow) -> bool:
    """Whether the feed wants this link: it does something, or has markets and so ought to."""
    return connection.state != ConnectionState.DOWN or connection.markets > 0


def _connection_state(connection: ConnectionRow | None) -> ConnectionState:
    """The state as an enum; DOWN for none and for a number that this program does not know."""
    if connection is None or connection.state not in ConnectionState.__members__.values():
        return ConnectionState.DOWN
    return ConnectionState(connection.state)


def _status(row: MarketRow) -> tuple[MarketStatus, MarketResult]:
    """Status and result of a market as enums; unknown numbers count as nothing said."""
    status = row.status if row.status in MarketStatus.__members__.values() else 0
    result = row.result if row.result in MarketResult.__members__.values() else 0
    return MarketStatus(status), MarketResult(result)


def _oldest_witness(books: Iterable[BookRow | None], now_ns: int) -> int | None:
    """How long ago REST agreed with the book that it agreed with longest ago; None if one never was."""
    oldest = min((book.witness_ns if book is not None else 0 for book in books), default=0)
    return max(0, now_ns - oldest) if oldest else None
