"""Books: the order books of one venue, built from its codec's events, and how healthy that went.

In: events (pipeline/venues/codec.py). Out: books (pipeline/feed/order_book.py), counts, the markets that
changed, and those whose books must be asked for again. Pure. Run by a feed's worker, which publishes what
changed (pipeline/feed/publisher.py), by `run.py books` and by the replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipeline.feed.batched_book import BatchedBook
from pipeline.feed.order_book import APPLIED, CROSSED, EMPTY, GAP, IGNORED, LIVE, VERIFIED, Book, Verdict
from pipeline.guards import ALL_ON, Guards
from pipeline.model import DEFAULT_SCALES, BookFault, BookState, Market, Scale
from pipeline.venues.codec import Bad, Change, Event, Gap, Ignored, Listed, Snapshot, Status

# A book is made and read through this module, whatever it was split into.
__all__ = ["BATCH_NS", "BOOKS_MAX", "CROSSED_MAX", "Book", "BookKeeper", "Verdict"]

BOOKS_MAX = 10_000

# A book that stays crossed for so many messages of its own will not right itself.
CROSSED_MAX = 20

# A batch of which nothing more came for so long is over; its frames come within 1 or 2 ms.
BATCH_NS = 50_000_000

BATCHED_VENUES = frozenset({"polymarket"})


class BookKeeper:
    """All books of one venue. Counts are of frames where `apply_frame` is used.

    `resync` holds the markets that need a fresh snapshot; each leaves it with its next snapshot.
    The worker asks for them and limits how often. `venue_tradable` is the venue's word on them all.
    `voided` counts by fault how often a book stopped being LIVE; `best_mismatches` the batches that ended
    on another best price than the venue's, `times_back` its times that went backwards, which is normal.
    """

    def __init__(
        self,
        venue: str,
        scales: Mapping[str, Scale] | None = None,
        shown: int = 0,
        guards: Guards = ALL_ON,
    ) -> None:
        """`scales` are those that the venue's codecs were made with, by market.

        `shown` is how many levels a side are laid out for shared memory: the segment's depth.
        """
        self.venue = venue
        self.books: dict[str, Book] = {}
        self.listed: dict[str, Market] = {}
        self.resync: set[str] = set()
        self.venue_tradable = True
        self.book_messages = 0
        self.bad_frames = 0
        self.gaps = 0
        self.checksums_ok = 0
        self.checksums_bad = 0
        self.duplicates = 0
        self.desyncs = 0
        self.best_mismatches = 0
        self.times_back = 0
        self.voided = dict.fromkeys(BookFault, 0)
        self._make = BatchedBook if venue in BATCHED_VENUES else Book
        self._shown = shown
        self._sequence, self._checksum = guards.on("sequence"), guards.on("checksum")
        self._scales = dict(scales or {})
        self._paused: set[str] = set()
        # The batch that each of these waits for, and when `settle` first saw it: 0 is not yet.
        self._unsettled: dict[str, tuple[str, int]] = {}

    def expect(self, markets: Iterable[str], connection: int = 0) -> None:
        """Make EMPTY books for markets that were subscribed to on this connection."""
        for market in markets:
            book = self._book(market)
            if book is not None:
                book.connection = connection

    def know(self, scales: Mapping[str, Scale]) -> None:
        """Take the scales that a new codec was made with, for books of which nobody has told one."""
        for market, scale in scales.items():
            book = self.books.get(market)
            if book is not None and book.scale is None:
                book.scale = scale
                self._scales[market] = scale

    def apply_frame(self, events: Sequence[Event], connection: int = 0) -> list[str]:
        """Apply all events of one frame; the markets touched, each once, in order."""
        touched: dict[str, None] = {}
        self.apply_into(touched, events, connection)
        return list(touched)

    def apply_into(self, touched: dict[str, None], events: Sequence[Event], connection: int) -> bool:
        """Apply all events of one frame, and add the markets touched; whether there was but one change.

        A book is touched when its content, its state, its fault, its venue time or whether it may be
        traded has changed. A frame with several bad parts counts as one bad frame.
        """
        if len(events) == 1:
            only = events[0]
            if type(only) is Change:
                # Nearly every message; what is done here in place is what `_apply_change` does.
                self.book_messages += 1
                market = only.market
                book = self.books.get(market)
                if book is None or only.batch or book.state is not LIVE:
                    if self._apply_change(only):
                        touched[market] = None
                    return True
                touched[market] = None
                verdict = book.apply_change(only)
                if verdict is VERIFIED:
                    self.checksums_ok += 1
                elif verdict is not APPLIED:
                    self._count(verdict, market)
                if book.state is not LIVE:
                    self._compare_states(book, LIVE)
                return True
        has_book = has_bad = False
        for event in events:
            if type(event) is Change:
                has_book = True
                if self._apply_change(event):
                    touched[event.market] = None
            elif type(event) is Snapshot:
                has_book = True
                if self._apply_snapshot(event, connection):
                    touched[event.market] = None
            else:
                has_bad = has_bad or type(event) is Bad
                touched.update(dict.fromkeys(self._apply_other(event, connection)))
        self.book_messages += has_book
        self.bad_frames += has_bad
        return False

    def apply(self, event: Event, connection: int = 0) -> list[str]:
        """Apply one event as if it were a frame of its own; the markets touched."""
        return self.apply_frame((event,), connection)

    def settle(self, now_ns: int | None = None) -> list[str]:
        """Judge the batches that got no more frames for BATCH_NS, or all if None; the markets touched.

        Call it once a turn, after everything that had arrived was applied: a batch is as old as the
        first call that saw it unsettled. `now_ns` is any clock that never goes back.
        """
        touched: list[str] = []
        if not self._unsettled:
            return touched
        for market, (batch, seen_ns) in list(self._unsettled.items()):
            if now_ns is not None and not seen_ns:
                self._unsettled[market] = (batch, now_ns)
            elif now_ns is None or now_ns - seen_ns >= BATCH_NS:
                del self._unsettled[market]
                book = self.books[market]
                before = book.state
                if isinstance(book, BatchedBook) and not book.end_batch():
                    self._contradicted(market)
                self._compare_states(book, before)
                touched.append(market)
        return touched

    def void(self, markets: Iterable[str], fault: BookFault) -> list[str]:
        """Make these books unknown, and ask for them again; the markets touched."""
        touched = []
        for market in markets:
            if len(self.resync) < BOOKS_MAX:
                self.resync.add(market)
            self._unsettled.pop(market, None)
            book = self.books.get(market)
            if book is None:
                continue
            before = book.state
            if book.void(fault):
                touched.append(market)
            self._compare_states(book, before)
        return touched

    def forget(self, market: str) -> None:
        """Drop all that is known of a market that was unsubscribed from."""
        self.books.pop(market, None)
        self.listed.pop(market, None)
        self.resync.discard(market)
        self._paused.discard(market)
        self._unsettled.pop(market, None)

    def tradable(self, market: str) -> bool:
        """Whether venue and market are both open to orders, as far as the venue has said."""
        return self.venue_tradable and market not in self._paused

    def _on(self, connection: int) -> tuple[str, ...]:
        """The markets whose books came over this connection."""
        return tuple(name for name, book in self.books.items() if book.connection == connection)

    def _book(self, market: str) -> Book | None:
        """The market's book, made when new; None when there are too many."""
        book = self.books.get(market)
        if book is None and len(self.books) < BOOKS_MAX:
            scale = self._scales.get(market, DEFAULT_SCALES.get(self.venue))
            book = self._make(market, scale, shown=self._shown)
            book.tradable = self.tradable(market)
            book.checked = self._checksum
            self.books[market] = book
        return book

    def _apply_change(self, event: Change) -> bool:
        """Apply a change; whether the book was touched. The hot path: most messages are one change."""
        book = self.books.get(event.market)
        if book is None:
            self._book(event.market)
            return False
        before = book.state
        if event.batch and 0 < event.venue_ns < book.venue_ns:
            self.times_back += 1
        verdict = book.apply_change(event)
        if verdict is not APPLIED:
            self._count(verdict, event.market)
        if book.state is not before or before is CROSSED:
            self._compare_states(book, before)
        if event.batch or self._unsettled:
            self._follow_batch(book)
        return verdict is not IGNORED

    def _apply_snapshot(self, event: Snapshot, connection: int) -> bool:
        """Apply a snapshot; whether the book was touched."""
        book = self._book(event.market)
        if book is None:
            return False
        book.connection = connection
        self.resync.discard(event.market)
        before = book.state
        if event.batch and 0 < event.venue_ns < book.venue_ns:
            self.times_back += 1
        verdict = book.apply_snapshot(event)
        if verdict is not APPLIED:
            self._count(verdict, event.market)
        self._compare_states(book, before)
        self._follow_batch(book)
        return True

    def _follow_batch(self, book: Book) -> None:
        """Remember which books wait for the end of which batch."""
        if not book.unsettled:
            self._unsettled.pop(book.market, None)
        elif self._unsettled.get(book.market, ("", 0))[0] != book.batch:
            self._unsettled[book.market] = (book.batch, 0)

    def _count(self, verdict: Verdict, market: str) -> None:
        """Count what became of a message, and ask again for a book that it voided."""
        if verdict is VERIFIED:
            self.checksums_ok += 1
        elif verdict is Verdict.WRONG_CHECKSUM:
            self.checksums_bad += 1
            self.resync.add(market)
        elif verdict is Verdict.IMPOSSIBLE:
            self.desyncs += 1
            self.resync.add(market)
        elif verdict is Verdict.CONTRADICTED:
            self._contradicted(market)

    def _contradicted(self, market: str) -> None:
        self.best_mismatches += 1
        self.resync.add(market)

    def _compare_states(self, book: Book, before: BookState) -> None:
        """Count by its fault a book that is LIVE no more; ask again for one that stays crossed."""
        state = book.state
        if state is not before and (state is GAP or state is CROSSED):
            self.voided[book.fault] += 1
        if book.crossed_messages == CROSSED_MAX:
            self.resync.add(book.market)

    def _apply_other(self, event: Event, connection: int) -> list[str]:
        """Apply an event that is no book message; the markets touched."""
        if isinstance(event, Gap):
            if event.counted and not self._sequence:
                return []
            self.gaps += event.counted
            fault = BookFault.SEQUENCE if event.counted else BookFault.VENUE
            return self.void(event.markets or self._on(connection), fault)
        if isinstance(event, Bad):
            if not event.lost:
                return []
            return self.void(event.markets or self._on(connection), BookFault.BAD_FRAME)
        if isinstance(event, Listed):
            return self._apply_listed(event.market)
        if isinstance(event, Status):
            return self._apply_status(event)
        if isinstance(event, Ignored):
            self.duplicates += event.duplicate
        # Subscribed and Settled change no book; the worker acts on them.
        return []

    def _apply_listed(self, market: Market) -> list[str]:
        """Keep a market's metadata; on a new scale its levels mean nothing any more."""
        name = market.market
        if name not in self.listed and len(self.listed) >= BOOKS_MAX:
            return []
        self.listed[name] = market
        if market.scale is None:
            return []
        self._scales[name] = market.scale
        book = self.books.get(name)
        if book is None or book.scale == market.scale:
            return []
        # The first scale of a book that has no levels yet makes nothing wrong.
        first = book.scale is None and book.state is EMPTY
        book.scale = market.scale
        return [] if first else self.void((name,), BookFault.VENUE)

    def _apply_status(self, event: Status) -> list[str]:
        """Keep the venue's word on trading; the markets whose tradability changed."""
        if not event.market:
            self.venue_tradable = event.tradable
        elif event.tradable:
            self._paused.discard(event.market)
        elif len(self._paused) < BOOKS_MAX:
            self._paused.add(event.market)
        touched = []
        for market in (event.market,) if event.market else tuple(self.books):
            book = self.books.get(market)
            if book is not None and book.tradable != self.tradable(market):
                book.tradable = not book.tradable
                touched.append(market)
        return touched
