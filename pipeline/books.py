"""Books: the feeds' books as scanner and trader read them, found by venue and market.

In: the feeds' segments, read-only. Out: a whole book with its metadata and what its state is worth now.
Feeds come and go: their segments are attached again when they were replaced or restarted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.look import Look
from pipeline.model import BookState, StateLimits, book_state
from shm.books import S_NUMBER, BookReader
from shm.records import MarketRow
from shm.segment import SegmentError, View, attach

# How often a missing feed or market is looked for again, and a feed's file compared with its name.
SEARCH_NS = 50_000_000


class _FeedView:
    """One feed's segment and where its markets lie."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.books = BookReader(view)
        self._rows: dict[str, int] = {}
        self._markets: dict[int, tuple[int, MarketRow]] = {}
        self._searched_ns = 0
        self._numbers = self.books.column(S_NUMBER)
        self._seen = self._numbers.copy()
        self._seen.fill(0)

    def changed(self, now_ns: int) -> list[str]:
        """Markets published since the last call: one vectorised comparison, whatever their number."""
        numbers = self._numbers.copy()
        rows = (numbers != self._seen).nonzero()[0].tolist()
        self._seen = numbers
        return [market for row in rows if (market := self._market_at(row, now_ns))]

    def _market_at(self, row: int, now_ns: int) -> str:
        """The market that lies in a row now, "" for a free one."""
        known = self._markets.get(row)
        if known is None or known[0] != self.books.directory.number(row):
            self._search(now_ns)
            known = self._markets.get(row)
        return known[1].market if known else ""

    def find(self, market: str, now_ns: int) -> tuple[int, MarketRow] | None:
        """A market's row and metadata, or None when the feed does not have it."""
        row = self._rows.get(market)
        if row is not None:
            known = self._markets[row]
            if known[0] == self.books.directory.number(row):
                return row, known[1]
        elif now_ns - self._searched_ns < SEARCH_NS:
            return None
        self._search(now_ns)
        row = self._rows.get(market)
        return None if row is None else (row, self._markets[row][1])

    def _search(self, now_ns: int) -> None:
        self._searched_ns = now_ns
        self._rows.clear()
        self._markets.clear()
        directory = self.books.directory
        for row in range(len(directory)):
            number = directory.number(row)
            found = directory.get(row) if number else None
            if found is not None and found.market:
                self._rows[found.market] = row
                self._markets[row] = (number, found)


class FeedBooks:
    """Every feed's books. Call `refresh` once a turn, then read."""

    def __init__(self, shm_directory: Path, venues: Iterable[str], limits: StateLimits) -> None:
        self._directory = shm_directory
        self._limits = limits
        self._feeds: dict[str, _FeedView | None] = dict.fromkeys(venues)
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
                    self._feeds[venue] = _FeedView(attach(self._directory, f"feed-{venue}"))
                except SegmentError:
                    # A feed that is gone keeps its last view: its heartbeat says that it is DEAD.
                    continue

    def woke_up(self, now_ns: int) -> None:
        """The machine has slept: no book is believed until it was heard on a connection made since."""
        self._woke_ns = now_ns

    def changed(self, now_ns: int) -> list[tuple[str, str]]:
        """(venue, market) of every book that was published since the last call."""
        return [
            (venue, market)
            for venue, feed in self._feeds.items()
            if feed is not None
            for market in feed.changed(now_ns)
        ]

    def read(self, venue: str, market: str, now_ns: int) -> Look | None:
        """The market's book as it is now, or None if it is not there or kept changing."""
        feed = self._feeds.get(venue)
        found = feed.find(market, now_ns) if feed else None
        if feed is None or found is None:
            return None
        row, described = found
        book = feed.books.get(row)
        if book is None or book.incarnation != described.incarnation:
            return None
        header = feed.view.header
        connection = feed.books.connection(book.connection)
        if self._woke_ns and (book.socket_ns < self._woke_ns or connection.since_ns < self._woke_ns):
            return Look(row, book, described, BookState.STALE)
        state = book_state(
            book.state,
            retired=header.retired or header.epoch != feed.view.epoch,
            heartbeat_ns=header.heartbeat_ns,
            proof_ns=connection.proof_ns,
            socket_ns=book.socket_ns,
            now_ns=now_ns,
            limits=self._limits,
        )
        return Look(row, book, described, state)

    def market(self, venue: str, market: str, now_ns: int) -> MarketRow | None:
        """A market's metadata, or None when the feed does not have it."""
        feed = self._feeds.get(venue)
        found = feed.find(market, now_ns) if feed else None
        return found[1] if found else None

    def retries(self) -> int:
        """Reads that a writer overtook and that were tried again, over all feeds attached now."""
        return sum(feed.books.retries for feed in self._feeds.values() if feed)
