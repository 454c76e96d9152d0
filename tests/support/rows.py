"""Book rows as a feed would write them, for tests of those who read them.

In: a market and ladders of integers. Out: one publication through the real `BookWriter`.
"""

from __future__ import annotations

from collections.abc import Sequence

from shm.books import BOOK_HEAD_WORDS, BookWriter, new_page


def publish(  # as few words as a test may want
    writer: BookWriter,
    market: str,
    state: int,
    bids: Sequence[tuple[int, int]],
    asks: Sequence[tuple[int, int]],
    now_ns: int,
    *,
    flags: int = 0,
    reason: int = 0,
    venue_ns: int = 0,
    witness_ns: int = 0,
) -> int:
    """Publish a claimed market's book as of `now_ns`; the row's new number."""
    row = writer.claim(writer.market(market))
    assert row is not None, "claimed by the caller"
    page = new_page(writer.depth)
    for start, side in ((BOOK_HEAD_WORDS, bids), (BOOK_HEAD_WORDS + 2 * writer.depth, asks)):
        for rank, (ticks, units) in enumerate(side[: writer.depth]):
            page[start + 2 * rank], page[start + 2 * rank + 1] = ticks, units
    return writer.publish(
        row,
        page,
        min(len(bids), writer.depth),
        min(len(asks), writer.depth),
        0,
        state,
        reason,
        flags,
        venue_ns,
        now_ns,
        now_ns,
        witness_ns,
        0,
    )
