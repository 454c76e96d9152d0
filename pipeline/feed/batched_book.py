"""An order book whose venue states best prices for the end of each batch of changes: Polymarket's.

In: snapshots and changes in integers. Out: as pipeline/feed/order_book.py. Pure. Held by
pipeline/feed/book.py, which asks for the end of a batch when nothing more comes.

Polymarket has neither number nor checksum. It says with each change what the best prices are at the end
of the batch, which may take several frames. Within a batch the book may be locked or crossed for 1 or 2
ms, so it is judged at the batch's end: when a message of another batch comes, when nothing more comes
(`BookKeeper.settle`), or when the tape ends. Until then a book that does not yet agree is `unsettled`:
LIVE, and published as not tradable. A lock (bid = ask) is LIVE there even after the batch.
"""

from __future__ import annotations

from pipeline.feed.order_book import APPLIED, CROSSED, IGNORED, LIVE, Book, Verdict
from pipeline.model import BookFault, Scale
from pipeline.venues.codec import Change, Snapshot


class BatchedBook(Book):
    """One token's book. `batch` names the batch that is under way, "" for none."""

    __slots__ = ("_stated_ask", "_stated_bid")

    def __init__(self, market: str, scale: Scale | None, *, shown: int = 0) -> None:
        """An EMPTY book."""
        super().__init__(market, scale, shown=shown)
        self._stated_bid: int | None = None
        self._stated_ask: int | None = None
        self._cross_from = 1

    def apply_snapshot(self, snapshot: Snapshot) -> Verdict:
        """Replace the whole book; ends every earlier GAP, and its batch without a judgement."""
        self._begin_batch(snapshot.batch)
        return super().apply_snapshot(snapshot)

    def apply_change(self, change: Change) -> Verdict:
        """Change some levels; ignored while the book is EMPTY or GAP, or if the batch before it voids it."""
        if self.state is not LIVE and self.state is not CROSSED:
            return IGNORED
        if self.unsettled and change.batch != self.batch and not self.end_batch():
            return Verdict.CONTRADICTED
        if not self._change_levels(change):
            return Verdict.IMPOSSIBLE
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

    def void(self, fault: BookFault) -> bool:
        """Forget the levels, and the batch with them."""
        self._begin_batch("")
        return super().void(fault)

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

    def _begin_batch(self, batch: str) -> None:
        self.batch = batch
        self._stated_bid = self._stated_ask = None
        self.unsettled = False
