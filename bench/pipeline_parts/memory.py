"""A feed's memory without a feed, for books that the bench itself writes.

In: a venue, how many markets, prices in cents. Out: a segment like that of a feed, every market listed and
live. Used by `bench scan`, and by the process beside this one that stands in for Polymarket.
"""

from array import array
from pathlib import Path

from bench.pipeline_parts.setting import CENT, CONTRACT, market_cells
from pipeline.clock import Clock
from pipeline.model import BookState
from shm import segment as segments
from shm.books import (
    BOOK_HEAD_WORDS,
    C_PROOF_NS,
    CONNECTIONS,
    BookWriter,
    feed_sections,
    new_page,
)

DEPTH = 25


class Feed:
    """A feed's own side of its memory. It beats only when told to."""

    def __init__(self, directory: Path, venue: str, markets: int, clock: Clock) -> None:
        self._clock = clock
        self.segment = segments.create(
            directory,
            f"feed-{venue}",
            feed_sections(markets, DEPTH, 1),
            segments.this_owner(),
            monotonic_ns=clock.monotonic_ns(),
            wall_ns=clock.wall_ns(),
            sleep=clock.sleep,
        )
        self._writer = BookWriter(self.segment)
        self._contract = CONTRACT[venue]
        rows = [self._writer.claim(market_cells(venue, number)) for number in range(markets)]
        assert rows == list(range(markets))
        self.beat()

    def beat(self) -> None:
        """A sign of life of the feed, and of the venue on its connection."""
        now = self._clock.monotonic_ns()
        self.segment.beat(now)
        self.segment.words(CONNECTIONS)[C_PROOF_NS] = now

    def put(self, number: int, bid_cents: int, ask_cents: int, size: int = 100) -> None:
        """Publish a market's book: a level each cent, the best of so many contracts, each deeper one more."""
        page, now = new_page(DEPTH), self._clock.monotonic_ns()
        counts = []
        for side, prices in enumerate((range(bid_cents, 0, -1), range(ask_cents, 100))):
            at = BOOK_HEAD_WORDS + 2 * DEPTH * side
            shown = prices[:DEPTH]
            for level, cents in enumerate(shown):
                units = self._contract * size * (1 + level)
                page[at + 2 * level : at + 2 * level + 2] = array("q", (cents * CENT, units))
            counts.append(len(shown))
        self._writer.publish(number, page, *counts, 0, int(BookState.LIVE), 0, 0, now, now, now, 0, 0)
