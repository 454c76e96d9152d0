"""One order book: its levels, its state, and when it may be believed.

In: snapshots and changes in integers. Out: levels, a state, a fault, and the book's row of shared memory
laid out. Pure. Held by pipeline/feed/book.py, published by pipeline/feed/publisher.py.

A book is EMPTY until its first snapshot, then LIVE. It becomes GAP, and is emptied, when a change
may have been lost: a sequence jumped, a frame could not be read, a checksum did not match, or a
step took more than there was. Only a snapshot ends that. It is CROSSED while its best bid is not
below its best ask, and LIVE again as soon as a message ends that: where there is a checksum it has
proven that message.

Polymarket has neither number nor checksum. It says with each change what the best prices are at the end
of the batch, which may take several frames. Within a batch the book may be locked or crossed for 1 or 2
ms, so it is judged at the batch's end: when a message of another batch comes, when nothing more comes
(`BookKeeper.settle`), or when the tape ends. Until then a book that does not yet agree is `unsettled`:
LIVE, and published as not tradable. A lock (bid = ask) is LIVE there even after the batch.
"""

from __future__ import annotations

from enum import IntEnum

from pipeline.feed.side import Side
from pipeline.model import BookFault, BookState, Level, Scale
from pipeline.venues.codec import Change, Snapshot
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
        "_stated_ask",
        "_stated_bid",
        "asks",
        "batch",
        "bids",
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
        "venue_ns",
        "witness_ns",
    )

    def __init__(
        self, market: str, scale: Scale | None, *, lock_allowed: bool = False, shown: int = 0
    ) -> None:
        """An EMPTY book. `scale` is None while nobody has told it; only text output needs it."""
        self.market = market
        self.scale = scale
        self.state = EMPTY
        self.fault = BookFault.NONE
        self.depth = 0
        self.venue_ns = self.socket_ns = self.witness_ns = 0
        self.tradable = True
        self.connection = 0
        self.crossed_messages = 0
        self.batch = ""
        self.unsettled = False
        self._stated_bid: int | None = None
        self._stated_ask: int | None = None
        self._cross_from = 1 if lock_allowed else 0
        self.shown = shown
        self.page = new_page(shown)
        self.bids = Side(1, self.page, BOOK_HEAD_WORDS, shown)
        self.asks = Side(-1, self.page, BOOK_HEAD_WORDS + 2 * shown, shown)

    def apply_snapshot(self, snapshot: Snapshot) -> Verdict:
        """Replace the whole book; ends every earlier GAP, and its batch without a judgement."""
        if self.state is LIVE:
            self.fault = BookFault.NONE
        self._begin_batch(snapshot.batch)
        self.bids.replace(snapshot.bids)
        self.asks.replace(snapshot.asks)
        self.depth = snapshot.depth
        self.venue_ns = snapshot.venue_ns
        verdict = self._verify(snapshot)
        if verdict is not WRONG_CHECKSUM:
            self._judge()
        return verdict

    def apply_change(self, change: Change) -> Verdict:
        """Change some levels; ignored while the book is EMPTY or GAP, or if the batch before it voids it."""
        state = self.state
        if state is not LIVE and state is not CROSSED:
            return IGNORED
        if self.unsettled and change.batch != self.batch and not self.end_batch():
            return Verdict.CONTRADICTED
        bids, asks = self.bids, self.asks
        bid_levels, ask_levels = change.bids, change.asks
        if not change.relative:
            if bid_levels:
                bids.change(bid_levels)
            if ask_levels:
                asks.change(ask_levels)
        elif not (bids.step(bid_levels) and asks.step(ask_levels)):
            self.void(BookFault.IMPOSSIBLE)
            return Verdict.IMPOSSIBLE
        self.venue_ns = change.venue_ns
        if self.batch or change.batch:
            return self._judge_in_batch(change)
        verdict = APPLIED
        if change.checksum is not None or self.depth:
            verdict = self._verify(change)
            if verdict is WRONG_CHECKSUM:
                return verdict
        # What `_judge` says, in place: the sum of the best keys is best bid - best ask.
        bid_keys, ask_keys = bids.keys, asks.keys
        crossed = bid_keys and ask_keys and bid_keys[-1] + ask_keys[-1] >= self._cross_from
        if crossed or state is not LIVE:
            self._judge()
        return verdict

    def _verify(self, message: Snapshot | Change) -> Verdict:
        """Cut the book to its depth and compare its checksum, where the message has one."""
        depth, bids, asks = self.depth, self.bids, self.asks
        if depth:
            if len(bids.keys) > depth:
                bids.cut(depth)
            if len(asks.keys) > depth:
                asks.cut(depth)
        if message.checksum is None:
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

    def _judge_in_batch(self, change: Change) -> Verdict:
        """Take the best prices stated for the batch's end, and see whether they hold already."""
        if change.batch != self.batch:
            self._begin_batch(change.batch)
            if not self.batch:
                self._judge()
                return APPLIED
        if change.best_bid is not None:
            self._stated_bid = change.best_bid
        if change.best_ask is not None:
            self._stated_ask = change.best_ask
        crossed = self.is_crossed
        self.unsettled = crossed or self.contradicted
        if not crossed:
            self._uncross()
        return APPLIED

    def _begin_batch(self, batch: str) -> None:
        self.batch = batch
        self._stated_bid = self._stated_ask = None
        self.unsettled = False

    def end_batch(self) -> bool:
        """Judge a book that its batch left unsettled: crossed, or void. False when it is void."""
        self.unsettled = False
        if self.contradicted:
            self.void(BookFault.BEST_PRICE)
            return False
        self._judge()
        return True

    @property
    def contradicted(self) -> bool:
        """Whether a best price that the venue stated for the end of this batch is not the book's."""
        bid, ask = self._stated_bid, self._stated_ask
        return (bid is not None and bid != self.bids.best) or (ask is not None and ask != self.asks.best)

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
            self._begin_batch("")
        return changed

    def top(self, depth: int = 0) -> tuple[list[Level], list[Level]]:
        """Bids and asks as (ticks, units), best first, at most `depth` a side; 0 means all."""
        return self.bids.top(depth), self.asks.top(depth)

    def checksum(self) -> int:
        """CRC32 of the ten best asks and then bids, as Kraken computes it (v2, channel book)."""
        return self.bids.checksum(self.asks.checksum(0))
