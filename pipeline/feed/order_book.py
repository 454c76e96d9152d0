"""One order book: its levels, its state, and when it may be believed.

In: snapshots and changes in integers. Out: levels, a state, a fault, and the book's row of shared memory
laid out. Pure. Held by pipeline/feed/book.py, published by pipeline/feed/publisher.py.

A book is EMPTY until its first snapshot, then LIVE. It becomes GAP, and is emptied, when a change
may have been lost: a sequence jumped, a frame could not be read, a checksum did not match, or a
step took more than there was. Only a snapshot ends that. It is CROSSED while its best bid is not
below its best ask, and LIVE again as soon as a message ends that: where there is a checksum it has
proven that message.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum

from pipeline.feed.side import Side
from pipeline.model import BookFault, BookState, Level, Scale
from pipeline.venues.codec import Change, Snapshot
from pipeline.venues.memo import moment_ns
from shm.books import BOOK_HEAD_WORDS, new_page

# Looking up a member of an enum costs as much as the rest of a comparison: the hot path uses names.
EMPTY, LIVE, GAP, CROSSED = BookState.EMPTY, BookState.LIVE, BookState.GAP, BookState.CROSSED


class Verdict(IntEnum):
    """What became of one message for one book."""

    IGNORED = 0
    APPLIED = 1
    VERIFIED = 2
    WRONG_CHECKSUM = 3
    IMPOSSIBLE = 4
    CONTRADICTED = 5


IGNORED, APPLIED, VERIFIED = Verdict.IGNORED, Verdict.APPLIED, Verdict.VERIFIED
WRONG_CHECKSUM = Verdict.WRONG_CHECKSUM


class Book:
    """One market's book, and its row of shared memory as far as it is made of levels.

    `page` is that row (shm/books.py): the best `shown` levels of each side are in their place after
    every message, so publishing copies it and no more. `depth` > 0 cuts each side after every message;
    `venue_ns`, `socket_ns` and `witness_ns` are 0 while unknown; the last two are kept for the worker.
    """

    __slots__ = (
        "_cross_from",
        "_moment",
        "_venue_ns",
        "asks",
        "batch",
        "bids",
        "checked",
        "connection",
        "crossed_messages",
        "depth",
        "fault",
        "market",
        "page",
        "scale",
        "shown",
        "socket_ns",
        "state",
        "tradable",
        "unsettled",
        "witness_ns",
    )

    def __init__(self, market: str, scale: Scale | None, *, shown: int = 0) -> None:
        """An EMPTY book. `scale` is None while nobody has told it; only text output needs it."""
        self.market = market
        self.scale = scale
        self.state = EMPTY
        self.fault = BookFault.NONE
        self.depth = 0
        self.socket_ns = self.witness_ns = self._venue_ns = 0
        self._moment: datetime | None = None
        self.tradable = True
        self.connection = 0
        self.crossed_messages = 0
        self.batch = ""
        self.unsettled = False
        # Whether checksums are compared; see pipeline/guards.py.
        self.checked = True
        # How far the best bid may not come above the best ask.
        self._cross_from = 0
        self.shown = shown
        self.page = new_page(shown)
        self.bids = Side(1, self.page, BOOK_HEAD_WORDS, shown)
        self.asks = Side(-1, self.page, BOOK_HEAD_WORDS + 2 * shown, shown)

    @property
    def venue_ns(self) -> int:
        """The venue's time of the last message, 0 while unknown."""
        if self._moment is not None:
            self._venue_ns, self._moment = moment_ns(self._moment), None
        return self._venue_ns

    def apply_snapshot(self, snapshot: Snapshot) -> Verdict:
        """Replace the whole book; ends every earlier GAP."""
        if self.state is LIVE:
            self.fault = BookFault.NONE
        self.bids.replace(snapshot.bids)
        self.asks.replace(snapshot.asks)
        self.depth = snapshot.depth
        self._venue_ns, self._moment = snapshot.venue_ns, None
        verdict = self._verify(snapshot)
        if verdict is not WRONG_CHECKSUM:
            self._judge()
        return verdict

    def apply_change(self, change: Change) -> Verdict:
        """Change some levels; ignored while the book is EMPTY or GAP."""
        state = self.state
        if state is not LIVE and state is not CROSSED:
            return IGNORED
        if not self._change_levels(change):
            return Verdict.IMPOSSIBLE
        verdict = APPLIED
        if change.checksum is not None or self.depth:
            verdict = self._verify(change)
            if verdict is WRONG_CHECKSUM:
                return verdict
        # What `_judge` says, in place: the sum of the best keys is best bid - best ask.
        bid_keys, ask_keys = self.bids.keys, self.asks.keys
        crossed = bid_keys and ask_keys and bid_keys[-1] + ask_keys[-1] >= self._cross_from
        if crossed or state is not LIVE:
            self._judge()
        return verdict

    def _change_levels(self, change: Change) -> bool:
        """Set sizes or add steps; False, with the book void, when a step cannot be."""
        bids, asks = self.bids, self.asks
        if not change.relative:
            if change.bids:
                bids.change(change.bids)
            if change.asks:
                asks.change(change.asks)
        elif (change.bids and not bids.step(change.bids)) or (change.asks and not asks.step(change.asks)):
            self.void(BookFault.IMPOSSIBLE)
            return False
        self._venue_ns, self._moment = change.venue_ns, change.moment
        return True

    def _verify(self, message: Snapshot | Change) -> Verdict:
        """Cut the book to its depth and compare its checksum, where the message has one."""
        depth, bids, asks = self.depth, self.bids, self.asks
        if depth:
            if len(bids.keys) > depth:
                bids.cut(depth)
            if len(asks.keys) > depth:
                asks.cut(depth)
        if message.checksum is None or not self.checked:
            return APPLIED
        if message.checksum == bids.checksum(asks.checksum(0)):
            return VERIFIED
        self.state = LIVE  # it had a snapshot, even if only this wrong one
        self.void(BookFault.CHECKSUM)
        return WRONG_CHECKSUM

    def _judge(self) -> None:
        """LIVE or CROSSED, after a message that stands for itself or at the end of a batch."""
        if self.is_crossed:
            if self.state is not CROSSED:
                self.state = CROSSED
                self.fault = BookFault.CROSSED
            self.crossed_messages += 1
        else:
            self._uncross()

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is above the best ask, or equal to it where that is no lock allowed."""
        bids, asks = self.bids.keys, self.asks.keys
        return bool(bids and asks and bids[-1] + asks[-1] >= self._cross_from)

    def _uncross(self) -> None:
        """LIVE: after a snapshot, or because a message ended the crossing."""
        if self.state is CROSSED:
            self.fault = BookFault.NONE
        self.state = LIVE
        self.crossed_messages = 0

    def void(self, fault: BookFault) -> bool:
        """Forget the levels: the book is unknown until its next snapshot. Whether anything changed.

        A book that never had a snapshot stays EMPTY. The latest fault is the one that is shown.
        """
        changed = self.fault is not fault
        self.fault = fault
        if self.state is LIVE or self.state is CROSSED:
            self.state = GAP
            changed = True
            self.bids.replace(())
            self.asks.replace(())
            self.crossed_messages = 0
        return changed

    def top(self, depth: int = 0) -> tuple[list[Level], list[Level]]:
        """Bids and asks as (ticks, units), best first, at most `depth` a side; 0 means all."""
        return self.bids.top(depth), self.asks.top(depth)

    def checksum(self) -> int:
        """CRC32 of the ten best asks and then bids, as Kraken computes it (v2, channel book)."""
        return self.bids.checksum(self.asks.checksum(0))
