"""Books: the feeds' books as scanner and trader read them, found by venue and market.

In: the feeds' segments, read-only. Out: a whole book with its metadata and what its state is worth now.
Feeds come and go: their segments are attached again when they were replaced or restarted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.look import Look
from pipeline.model import BookState, StateLimits, book_state
from shm.books import BookReader
from shm.records import MarketRow
from shm.segment import SegmentError, View, attach

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

# How often a missing feed or market is looked for again, and a feed's file compared with its name.
SEARCH_NS = 50_000_000


class FeedView:
    """One feed's segment and where its markets lie. It is of one epoch: a restart makes another one."""

    def __init__(self, venue: str, view: View) -> None:
        self.view = view
        self.books = BookReader(view)
        self._venue = venue
        self._rows: dict[str, int] = {}
        self._markets: dict[int, tuple[int, MarketRow]] = {}
        # What `changed` answers, by row: made once, not with each publication.
        self._names: dict[int, tuple[str, str]] = {}
        self._searched_at, self._searched_ns = -1, 0
        self._looks: dict[int, Look] = {}
        self._notices = self.books.notices()

    @property
    def placements(self) -> int:
        """Changes whenever a market took a row, left one, or got other decimals."""
        return self._notices.placements

    @property
    def screen(self) -> memoryview[int]:
        """The cells of the feed's screen, as `shm.books` draws it."""
        return self.books.screen

    def columns(self) -> NDArray[int64]:
        """The same cells, a line a column: `shm.books.BookReader.columns`."""
        return self.books.columns()

    def price_decimals(self, row: int) -> int:
        """Decimals of the prices in a row, -1 while they are unknown or the row is free."""
        known = self._markets.get(row)
        return known[1].price_decimals if known else -1

    def changed(self) -> list[tuple[str, str]]:
        """(venue, market) of books published since the last call; it costs one load if there are none."""
        rows = self._notices.rows()
        return [name for row in rows if (name := self._name_at(row))] if rows else []

    def _name_at(self, row: int) -> tuple[str, str] | None:
        """The market that lies in a row now, None for a free one."""
        known = self._markets.get(row)
        if known is None or known[0] != self.books.directory.number(row):
            self._look_up(row)
        return self._names.get(row)

    def find(self, market: str, now_ns: int) -> tuple[int, MarketRow] | None:
        """A market's row and metadata, or None when the feed does not have it."""
        row = self._rows.get(market)
        if row is not None:
            known = self._markets[row]
            if known[0] == self.books.directory.number(row):
                return row, known[1]
            self._look_up(row)
            row = self._rows.get(market)
        if row is None:
            # A market that is not there is looked for when any moved, and now and then.
            if self.placements == self._searched_at and now_ns - self._searched_ns < SEARCH_NS:
                return None
            self._search(now_ns)
            row = self._rows.get(market)
        return None if row is None else (row, self._markets[row][1])

    def look(self, row: int, market: MarketRow) -> Look | None:
        """The book that lies in the market's row, in the state that is stored; None where there is none.

        A row with the number that it had before is not read again: that number counts its publications.
        """
        last = self._looks.get(row)
        if last is not None and last.book.number == self.books.number(row) and last.market is market:
            return last
        book = self.books.get(row)
        if book is None or book.incarnation != market.incarnation:
            return None
        found = self._looks[row] = Look(row, book, market, BookState(book.state))
        return found

    def _search(self, now_ns: int) -> None:
        """Read every row of the directory that is not known as it is."""
        # Noted first: what moves during the search is searched for again.
        self._searched_at, self._searched_ns = self.placements, now_ns
        directory = self.books.directory
        for row in range(len(directory)):
            known = self._markets.get(row)
            if directory.number(row) != (known[0] if known else 0):
                self._look_up(row)

    def _look_up(self, row: int) -> None:
        """Read one row of the directory, and forget what lay there."""
        forgotten = self._markets.pop(row, None)
        if forgotten is not None and self._rows.get(forgotten[1].market) == row:
            del self._rows[forgotten[1].market]
        self._names.pop(row, None)
        directory = self.books.directory
        number = directory.number(row)
        found = directory.get(row) if number else None
        if found is not None and found.market:
            self._rows[found.market] = row
            self._markets[row] = (number, found)
            self._names[row] = (self._venue, found.market)


class FeedBooks:
    """Every feed's books. Call `refresh` once a turn, then read."""

    def __init__(self, shm_directory: Path, venues: Iterable[str], limits: StateLimits) -> None:
        self._directory = shm_directory
        self._limits = limits
        self._feeds: dict[str, FeedView | None] = dict.fromkeys(venues)
        self._next_ns = 0
        self._woke_ns = 0

    def adopt(self, venues: Iterable[str], limits: StateLimits) -> None:
        """Act on a changed configuration."""
        self._limits = limits
        self._feeds = {venue: self._feeds.get(venue) for venue in venues}

    def refresh(self, now_ns: int) -> None:
        """Attach to feeds that came, were restarted or were replaced; cheap between searches."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + SEARCH_NS
        for venue, feed in self._feeds.items():
            if feed is None or feed.view.outdated():
                try:
                    self._feeds[venue] = FeedView(venue, attach(self._directory, f"feed-{venue}"))
                except SegmentError:
                    # A feed that is gone keeps its last view: its heartbeat says that it is DEAD.
                    continue

    def woke_up(self, now_ns: int) -> None:
        """The machine has slept: no book is believed until it was heard on a connection made since."""
        self._woke_ns = now_ns

    def changed(self, now_ns: int) -> list[tuple[str, str]]:
        """(venue, market) of every book that was published since the last call."""
        self.refresh(now_ns)
        found: list[tuple[str, str]] = []
        for feed in self._feeds.values():
            if feed is not None:
                found += feed.changed()
        return found

    def place(self, venue: str, market: str, now_ns: int) -> tuple[FeedView, int] | None:
        """The feed in whose memory the market's book lies, and its row there; None where it is not.

        It holds until the feed is attached again (`feed`) or its `placements` change.
        """
        feed = self._feeds.get(venue)
        found = feed.find(market, now_ns) if feed else None
        return (feed, found[0]) if feed and found else None

    def feed(self, venue: str) -> FeedView | None:
        """A venue's feed as it is attached now, None where it is not."""
        return self._feeds.get(venue)

    def read(self, venue: str, market: str, now_ns: int) -> Look | None:
        """The market's book as it is now, or None if it is not there or kept changing."""
        feed = self._feeds.get(venue)
        found = feed.find(market, now_ns) if feed else None
        if feed is None or found is None:
            return None
        look = feed.look(*found)
        if look is None:
            return None
        book, header = look.book, feed.view.header
        if self._woke_ns:
            since_ns = feed.books.connection(book.connection).since_ns
            if book.socket_ns < self._woke_ns or since_ns < self._woke_ns:
                return replace(look, state=BookState.STALE)
        state = book_state(
            book.state,
            # A row of another epoch than the owner's is what an earlier life left there.
            retired=header.retired or not book.epoch == header.epoch == feed.view.epoch,
            heartbeat_ns=header.heartbeat_ns,
            proof_ns=feed.books.proof_ns(book.connection),
            socket_ns=book.socket_ns,
            now_ns=now_ns,
            limits=self._limits,
        )
        return look if state is look.state else replace(look, state=state)

    def market(self, venue: str, market: str, now_ns: int) -> MarketRow | None:
        """A market's metadata, or None when the feed does not have it."""
        feed = self._feeds.get(venue)
        found = feed.find(market, now_ns) if feed else None
        return found[1] if found else None

    def retries(self) -> int:
        """Reads that a writer overtook and that were tried again, over all feeds attached now."""
        return sum(feed.books.retries for feed in self._feeds.values() if feed)
