"""Books: the order books of one venue, built from its codec's events, and how healthy that went.

In: events (pipeline/venues/codec.py). Out: books in integers, states, counts, and the markets whose
books must be asked for again. Pure. Run by a feed's worker, `run.py books` and the replay.

A book is EMPTY until its first snapshot, then LIVE. It becomes GAP, and is emptied, when a change
may have been lost: a sequence jumped, a frame could not be read, a checksum did not match, or a
step took more than there was. Only a snapshot ends that. It is CROSSED while its best bid is not
below its best ask, and LIVE again as soon as a message ends that: where there is a checksum it has
proven that message, and elsewhere the venue itself may pass through it within a batch. On
Polymarket even bid = ask is LIVE: the frames of a batch lock the book for 1 or 2 ms as a rule.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum

from pipeline.model import DEFAULT_SCALES, INT64_MAX, BookState, Level, Market, Scale
from pipeline.venues.codec import (
    Bad,
    Change,
    Event,
    Gap,
    Ignored,
    Listed,
    Snapshot,
    Status,
)

BOOKS_MAX = 10_000

# A book that stays crossed for so many messages of its own will not right itself.
CROSSED_MAX = 20

# Kraken's checksum covers so many levels a side, whatever the subscribed depth.
CHECKSUM_LEVELS = 10

LOCKING_VENUES = frozenset({"polymarket"})


class Verdict(IntEnum):
    """What became of one message for one book."""

    IGNORED = 0
    APPLIED = 1
    VERIFIED = 2
    WRONG_CHECKSUM = 3
    IMPOSSIBLE = 4


class Side:
    """One side of a book: sizes by key, and the keys in rising order, so that the best is last.

    A key is a bid's price, or an ask's price negated. Most changes are near the best, so most
    insertions into the list move next to nothing, however deep the book is.
    """

    __slots__ = ("_sign", "_text", "keys", "sizes")

    def __init__(self, sign: int) -> None:
        """`sign` is 1 for bids and -1 for asks."""
        self._sign = sign
        self._text: str | None = None
        self.keys: list[int] = []
        self.sizes: dict[int, int] = {}

    def replace(self, levels: Iterable[Level]) -> None:
        """Take these levels and no others; of a price that comes twice the last counts."""
        sign = self._sign
        last = dict(levels)
        self.sizes = {price * sign: units for price, units in last.items() if units}
        self.keys = sorted(self.sizes)
        self._text = None

    def set_levels(self, levels: Sequence[Level]) -> None:
        """Set absolute sizes in the order given; 0 removes a level."""
        if levels:
            self._text = None
        sign, sizes, keys = self._sign, self.sizes, self.keys
        for price, units in levels:
            key = price * sign
            if units:
                if key not in sizes:
                    insort(keys, key)
                sizes[key] = units
            elif sizes.pop(key, 0):
                del keys[bisect_left(keys, key)]

    def add_levels(self, steps: Iterable[Level]) -> bool:
        """Add signed steps; False, with the side spoilt, when a size cannot be what comes out."""
        for price, step in steps:
            units = self.sizes.get(price * self._sign, 0) + step
            if not 0 <= units <= INT64_MAX:
                return False
            self.set_levels(((price, units),))
        return True

    def cut(self, depth: int) -> None:
        """Forget all but the best `depth` levels."""
        excess = len(self.keys) - depth
        if excess > 0:
            for key in self.keys[:excess]:
                del self.sizes[key]
            del self.keys[:excess]
            self._text = None

    def top(self, depth: int) -> list[Level]:
        """The best `depth` levels, best first; 0 means all."""
        sign, sizes = self._sign, self.sizes
        return [(key * sign, sizes[key]) for key in reversed(self.keys[-depth:])]

    def checksum_text(self) -> str:
        """The side's part of Kraken's checksum: digits of price and size of ten levels, best first.

        Digits of a fixed-precision number without point and leading zeros are its integer. The
        text is kept while the side is: most messages change one side only.
        """
        if self._text is None:
            sign, sizes = self._sign, self.sizes
            keys = reversed(self.keys[-CHECKSUM_LEVELS:])
            self._text = "".join([f"{key * sign}{sizes[key]}" for key in keys])
        return self._text


class Book:
    """One market's book. `depth` > 0 cuts each side after every message; `venue_ns` may be 0."""

    __slots__ = (
        "_asks",
        "_bids",
        "_lock_allowed",
        "connection",
        "crossed_messages",
        "depth",
        "market",
        "scale",
        "state",
        "tradable",
        "venue_ns",
    )

    def __init__(self, market: str, scale: Scale | None, *, lock_allowed: bool = False) -> None:
        """An EMPTY book. `scale` is None while nobody has told it; only text output needs it."""
        self.market = market
        self.scale = scale
        self.state = BookState.EMPTY
        self.depth = 0
        self.venue_ns = 0
        self.tradable = True
        self.connection: float | str = 0
        self.crossed_messages = 0
        self._lock_allowed = lock_allowed
        self._bids = Side(1)
        self._asks = Side(-1)

    def apply_snapshot(self, snapshot: Snapshot) -> Verdict:
        """Replace the whole book; ends every earlier GAP."""
        self._bids.replace(snapshot.bids)
        self._asks.replace(snapshot.asks)
        self.depth = snapshot.depth
        return self._settle(snapshot)

    def apply_change(self, change: Change) -> Verdict:
        """Change some levels; ignored while the book is EMPTY or GAP."""
        if self.state not in {BookState.LIVE, BookState.CROSSED}:
            return Verdict.IGNORED
        if not change.relative:
            self._bids.set_levels(change.bids)
            self._asks.set_levels(change.asks)
        elif not (self._bids.add_levels(change.bids) and self._asks.add_levels(change.asks)):
            self.void()
            return Verdict.IMPOSSIBLE
        return self._settle(change)

    def _settle(self, message: Snapshot | Change) -> Verdict:
        """Cut, verify and judge the book after a message."""
        if self.depth:
            self._bids.cut(self.depth)
            self._asks.cut(self.depth)
        self.venue_ns = message.venue_ns
        if message.checksum is not None and message.checksum != self.checksum():
            self.state = BookState.LIVE  # it had a snapshot, even if only this wrong one
            self.void()
            return Verdict.WRONG_CHECKSUM
        if self._is_crossed():
            self.state = BookState.CROSSED
            self.crossed_messages += 1
        else:
            self.state = BookState.LIVE
            self.crossed_messages = 0
        return Verdict.APPLIED if message.checksum is None else Verdict.VERIFIED

    def _is_crossed(self) -> bool:
        bids, asks = self._bids.keys, self._asks.keys
        if not bids or not asks:
            return False
        overlap = bids[-1] + asks[-1]  # best bid - best ask
        return overlap > 0 or (overlap == 0 and not self._lock_allowed)

    def void(self) -> bool:
        """Forget the levels: the book is unknown until its next snapshot. Whether that is news.

        A book that never had a snapshot stays EMPTY.
        """
        self._bids.replace(())
        self._asks.replace(())
        self.crossed_messages = 0
        if self.state in {BookState.EMPTY, BookState.GAP}:
            return False
        self.state = BookState.GAP
        return True

    def top(self, depth: int = 0) -> tuple[list[Level], list[Level]]:
        """Bids and asks as (ticks, units), best first, at most `depth` a side; 0 means all."""
        return self._bids.top(depth), self._asks.top(depth)

    def checksum(self) -> int:
        """CRC32 of the ten best asks and then bids, as Kraken computes it (v2, channel book)."""
        text = self._asks.checksum_text() + self._bids.checksum_text()
        return zlib.crc32(text.encode("ascii"))


class BookKeeper:
    """All books of one venue. Counts are of frames where `apply_frame` is used.

    `resync` holds the markets that need a fresh snapshot; each leaves it with its next snapshot.
    The worker asks for them and limits how often. `venue_tradable` is the venue's word on them all.
    """

    def __init__(self, venue: str, scales: Mapping[str, Scale] | None = None) -> None:
        """`scales` are those that the venue's codecs were made with, by market."""
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
        self._scales = dict(scales or {})
        self._paused: set[str] = set()

    def expect(self, markets: Iterable[str], connection: float | str = 0) -> None:
        """Make EMPTY books for markets that were subscribed to on this connection."""
        for market in markets:
            book = self._book(market)
            if book is not None:
                book.connection = connection

    def apply_frame(self, events: Iterable[Event], connection: float | str = 0) -> list[str]:
        """Apply all events of one frame; the markets touched, each once, in order.

        A book is touched when its content, its state, its venue time or whether it may be traded
        has changed. A frame with several bad parts counts as one bad frame.
        """
        touched: dict[str, None] = {}
        has_book = has_bad = False
        for event in events:
            if isinstance(event, Snapshot | Change):
                has_book = True
                if self._apply_message(event, connection):
                    touched[event.market] = None
                continue
            has_bad = has_bad or isinstance(event, Bad)
            touched.update(dict.fromkeys(self._apply_other(event, connection)))
        self.book_messages += has_book
        self.bad_frames += has_bad
        return list(touched)

    def apply(self, event: Event, connection: float | str = 0) -> list[str]:
        """Apply one event as if it were a frame of its own; the markets touched."""
        return self.apply_frame((event,), connection)

    def disconnect(self, connection: float | str = 0) -> list[str]:
        """The connection is gone: its books are unknown. The markets touched."""
        return self._void((), connection)

    def forget(self, market: str) -> None:
        """Drop all that is known of a market that was unsubscribed from."""
        self.books.pop(market, None)
        self.listed.pop(market, None)
        self.resync.discard(market)
        self._paused.discard(market)

    def tradable(self, market: str) -> bool:
        """Whether venue and market are both open to orders, as far as the venue has said."""
        return self.venue_tradable and market not in self._paused

    def _book(self, market: str) -> Book | None:
        """The market's book, made when new; None when there are too many."""
        book = self.books.get(market)
        if book is None and len(self.books) < BOOKS_MAX:
            scale = self._scales.get(market, DEFAULT_SCALES.get(self.venue))
            book = Book(market, scale, lock_allowed=self.venue in LOCKING_VENUES)
            book.tradable = market not in self._paused
            self.books[market] = book
        return book

    def _apply_message(self, event: Snapshot | Change, connection: float | str) -> bool:
        """Apply a snapshot or change; whether the book was touched."""
        book = self.books.get(event.market) or self._book(event.market)
        if book is None:
            return False
        if isinstance(event, Snapshot):
            book.connection = connection
            self.resync.discard(event.market)
            verdict = book.apply_snapshot(event)
        else:
            verdict = book.apply_change(event)
        if verdict is Verdict.VERIFIED:
            self.checksums_ok += 1
        elif verdict is Verdict.WRONG_CHECKSUM:
            self.checksums_bad += 1
            self.resync.add(event.market)
        elif verdict is Verdict.IMPOSSIBLE:
            self.desyncs += 1
            self.resync.add(event.market)
        if book.crossed_messages == CROSSED_MAX:
            self.resync.add(event.market)
        return verdict is not Verdict.IGNORED

    def _apply_other(self, event: Event, connection: float | str) -> list[str]:
        """Apply an event that is no book message; the markets touched."""
        if isinstance(event, Gap):
            self.gaps += event.counted
            return self._void(event.markets, connection)
        if isinstance(event, Bad):
            return self._void(event.markets, connection) if event.lost else []
        if isinstance(event, Listed):
            return self._apply_listed(event.market)
        if isinstance(event, Status):
            return self._apply_status(event)
        if isinstance(event, Ignored):
            self.duplicates += event.duplicate
        # Subscribed and Settled change no book; the worker acts on them.
        return []

    def _void(self, markets: tuple[str, ...], connection: float | str) -> list[str]:
        """Make these books unknown, or all of the connection; the markets touched."""
        if not markets:
            held = self.books.items()
            markets = tuple(name for name, book in held if book.connection == connection)
        touched = []
        for market in markets:
            if len(self.resync) < BOOKS_MAX:
                self.resync.add(market)
            book = self.books.get(market)
            if book is not None and book.void():
                touched.append(market)
        return touched

    def _apply_listed(self, market: Market) -> list[str]:
        """Keep a market's metadata; on a new scale its levels mean nothing any more."""
        name = market.market
        if name not in self.listed and len(self.listed) >= BOOKS_MAX:
            return []
        self.listed[name] = market
        book = self.books.get(name)
        if market.scale is None:
            return []
        self._scales[name] = market.scale
        if book is None or book.scale == market.scale:
            return []
        book.scale = market.scale
        self.resync.add(name)
        return [name] if book.void() else []

    def _apply_status(self, event: Status) -> list[str]:
        """Keep the venue's word on trading; the markets whose tradability changed."""
        if not event.market:
            changed = self.venue_tradable != event.tradable
            self.venue_tradable = event.tradable
            return list(self.books) if changed else []
        if event.tradable:
            self._paused.discard(event.market)
        elif len(self._paused) < BOOKS_MAX:
            self._paused.add(event.market)
        book = self.books.get(event.market)
        if book is None or book.tradable == event.tradable:
            return []
        book.tradable = event.tradable
        return [event.market]
