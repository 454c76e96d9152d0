"""A feed's memory without a feed: a real segment, written by the test through the real writers.

In: a directory of segments, a venue, a clock. Out: books, histories, gauges and counters that any reader
takes for a feed's. It beats only when told to. Used by the tests of what reads feeds, and by benches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.clock import Clock
from pipeline.model import BookFault, BookFlag, BookState, ConnectionState, to_units
from shm import books
from shm import segment as segments
from shm.records import MARKET
from shm.statistics import Statistics, StatisticsWriter
from shm.tables import Counters, counter_section, error_section

COUNTERS = ("frames", "book_messages", "gaps", "reconnects", "bad_frames", "checksums_bad")
Levels = Sequence[tuple[int, int]]
Texts = Sequence[tuple[str, str]]


def publish(
    writer: books.BookWriter,
    market: str,
    bids: Levels,
    asks: Levels,
    *,
    now_ns: int,
    state: int = BookState.LIVE,
    reason: int = BookFault.NONE,
    flags: int = 0,
    connection: int = 0,
    venue_ns: int = 0,
    socket_ns: int | None = None,
    witness_ns: int = 0,
    wall_ns: int = 0,
) -> None:
    """Publish a book given as (ticks, units), best first, of a market that has a row."""
    row = writer.claim(MARKET.empty()._replace(market=market))
    assert row is not None
    page = books.new_page(writer.depth)
    for start, levels in ((0, bids), (2 * writer.depth, asks)):
        at = books.BOOK_HEAD_WORDS + start
        for ticks, units in levels:
            page[at], page[at + 1] = ticks, units
            at += 2
    socket_ns = now_ns if socket_ns is None else socket_ns
    counts = len(bids), len(asks)
    stamps = venue_ns, socket_ns, now_ns, witness_ns, wall_ns
    writer.publish(row, page, *counts, connection, state, reason, flags, *stamps)


class FeedMemory:
    """One venue's segment, owned by this process. Its first link is up from the start."""

    def __init__(
        self,
        directory: Path,
        venue: str,
        clock: Clock,
        *,
        links: int = 3,
        history: int = 100,
        markets: int = 8,
        depth: int = 5,
    ) -> None:
        self.clock = clock
        self.silent: set[int] = set()
        """Links on which the venue shows no life any more."""
        self.segment = segments.create(
            directory,
            f"feed-{venue}",
            [
                counter_section(COUNTERS),
                error_section(),
                *books.feed_sections(markets, depth, links, history),
            ],
            segments.this_owner(),
            monotonic_ns=clock.monotonic_ns(),
            wall_ns=clock.wall_ns(),
            sleep=clock.sleep,
        )
        self.counters = Counters(self.segment, COUNTERS)
        self.writer = books.BookWriter(self.segment)
        self.gauges = StatisticsWriter(self.segment)
        self.link(0, ConnectionState.UP)

    def link(self, index: int, state: ConnectionState, markets: int = 1) -> None:
        """Show a connection in a state."""
        cells = self.segment.words(books.CONNECTIONS, index)
        cells[books.C_STATE], cells[books.C_MARKETS] = state, markets
        cells[books.C_SINCE_NS] = cells[books.C_PROOF_NS] = self.clock.monotonic_ns()

    def beat(self) -> None:
        """A sign of life of the feed, and of the venue on every link that is not silent."""
        now = self.clock.monotonic_ns()
        self.segment.beat(now)
        for index in set(range(self.segment.section(books.CONNECTIONS).rows)) - self.silent:
            self.segment.words(books.CONNECTIONS, index)[books.C_PROOF_NS] = now

    def hush(self, link: int, age_ns: int) -> None:
        """From now on the venue shows no life on a link, and has not for so long."""
        self.silent.add(link)
        self.segment.words(books.CONNECTIONS, link)[books.C_PROOF_NS] = self.clock.monotonic_ns() - age_ns

    def list_market(self, market: str, price_decimals: int = 2, size_decimals: int = 4) -> None:
        """Give a market its row."""
        decimals = {"price_decimals": price_decimals, "size_decimals": size_decimals}
        assert self.writer.claim(MARKET.empty()._replace(market=market, **decimals)) is not None

    def describe(self, market: str, **cells: Any) -> None:
        """Set cells of a market's directory row; it is given one if it has none."""
        if market not in self.writer.markets():
            assert self.writer.claim(MARKET.empty()._replace(market=market)) is not None
        self.writer.describe(self.writer.market(market)._replace(**cells))

    def show(
        self,
        market: str,
        bids: Levels,
        asks: Levels,
        *,
        age_ns: int = 0,
        epoch: int | None = None,
        **cells: int,
    ) -> int:
        """Publish a book of (ticks, units), heard `age_ns` ago; when it was published. It does not beat.

        `epoch` writes a row as an earlier life of this feed would have left it.
        """
        now = self.clock.monotonic_ns()
        own = self.writer._epoch
        self.writer._epoch = own if epoch is None else epoch
        publish(self.writer, market, bids, asks, now_ns=now, socket_ns=now - age_ns, **cells)
        self.writer._epoch = own
        return now

    def book(
        self,
        market: str,
        bids: Texts,
        asks: Texts,
        *,
        state: BookState = BookState.LIVE,
        flags: BookFlag = BookFlag.SIM,
        witness_ns: int = 0,
        reason: BookFault = BookFault.NONE,
    ) -> None:
        """Publish a book given as decimal text, now."""
        if market not in self.writer.markets():
            self.list_market(market)
        known, now = self.writer.market(market), self.clock.monotonic_ns()
        ladders = [
            [(to_units(p, known.price_decimals), to_units(s, known.size_decimals)) for p, s in side]
            for side in (bids, asks)
        ]
        self.beat()
        wall = self.clock.wall_ns()
        stamps = {"now_ns": now, "venue_ns": wall - 3_000_000, "wall_ns": wall, "witness_ns": witness_ns}
        publish(self.writer, market, *ladders, state=state, flags=flags, reason=reason, **stamps)
        self.counters.add("frames")
        self.counters.add("book_messages")

    def measured(self, **values: int) -> None:
        """Show these gauges."""
        self.gauges.put(Statistics(**values))

    def close(self, *, unlink: bool = False) -> None:
        """Die, or end in order."""
        self.segment.close(unlink=unlink)
