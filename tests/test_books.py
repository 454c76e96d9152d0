"""Feeds' books as a reader finds them: through restarts, replacements, silences and moved rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.books import SEARCH_NS, FeedBooks
from pipeline.clock import ManualClock
from pipeline.model import BookState, StateLimits
from shm import books as memory
from shm import segment as segments
from shm.records import MARKET
from shm.tables import TableWriter
from tests.support.rows import publish

LIMITS = StateLimits(heartbeat_ns=250_000_000, proof_ns=1_000_000_000, quiet_ns=2_000_000_000)
MS = 1_000_000


class FakeFeed:
    """A feed's own side of real memory, without a process."""

    def __init__(self, directory: Path, clock: ManualClock, venue: str = "kalshi", rows: int = 4) -> None:
        self.clock = clock
        self.segment = segments.create(
            directory,
            f"feed-{venue}",
            memory.feed_sections(rows, 2, connections=1),
            segments.this_owner(),
            monotonic_ns=clock.monotonic_ns(),
            wall_ns=clock.wall_ns(),
            sleep=clock.sleep,
        )
        self.writer = memory.BookWriter(self.segment)
        self.alive()

    def alive(self) -> None:
        """Beat, and have had word from the venue."""
        self.segment.beat(self.clock.monotonic_ns())
        self.segment.words(memory.CONNECTIONS)[memory.C_PROOF_NS] = self.clock.monotonic_ns()

    def put(self, market: str, bid: int = 50, state: BookState = BookState.LIVE) -> None:
        """Publish a market's book as of now."""
        self.writer.claim(MARKET.empty()._replace(market=market, title=f"title of {market}"))
        now = self.clock.monotonic_ns()
        publish(self.writer, market, state, [(bid, 1)], [(bid + 2, 1)], now)


@pytest.fixture
def clock() -> ManualClock:
    """Time that moves when told to."""
    return ManualClock()


@pytest.fixture
def feed(tmp_path: Path, clock: ManualClock) -> Iterator[FakeFeed]:
    """The feed of Kalshi with one live book, A."""
    made = FakeFeed(tmp_path / "shm", clock)
    made.put("A")
    yield made
    made.segment.close()


@pytest.fixture
def books(feed: FakeFeed, tmp_path: Path, clock: ManualClock) -> FeedBooks:
    """A reader that has attached."""
    made = FeedBooks(tmp_path / "shm", ["kalshi", "kraken"], LIMITS)
    made.refresh(clock.monotonic_ns())
    return made


def state(books: FeedBooks, clock: ManualClock, market: str = "A", venue: str = "kalshi") -> BookState | None:
    look = books.read(venue, market, clock.monotonic_ns())
    return look.state if look else None


def test_a_book_comes_with_its_row_and_its_metadata(books: FeedBooks, clock: ManualClock) -> None:
    """A look has the book, the market's metadata and the state that it is worth."""
    look = books.read("kalshi", "A", clock.monotonic_ns())
    assert look is not None
    assert (look.state, look.book.bids, look.market.title) == (BookState.LIVE, ((50, 1),), "title of A")
    market = books.market("kalshi", "A", clock.monotonic_ns())
    assert market == look.market


def test_what_is_not_there_is_none(books: FeedBooks, clock: ManualClock) -> None:
    """An unknown venue, a feed that is not up and an unknown market are None and 0, never an error."""
    now = clock.monotonic_ns()
    for venue, market in (("kalshi", "Z"), ("kraken", "A"), ("nowhere", "A")):
        assert books.read(venue, market, now) is None
        assert books.market(venue, market, now) is None


def test_a_publication_is_noticed_once(books: FeedBooks, feed: FakeFeed, clock: ManualClock) -> None:
    """A book counts as changed once after each publication, even one of the same content."""
    now = clock.monotonic_ns()
    assert ("kalshi", "A") in books.changed(now)
    assert books.changed(now) == []
    feed.put("A", bid=51)
    feed.put("A", bid=51)
    assert books.changed(now) == [("kalshi", "A")]
    assert books.changed(now) == []
    feed.put("B")
    feed.writer.release("A")
    feed.put("C")
    # The row of A is C's now; a row that is nobody's has no name.
    assert books.changed(now) == [("kalshi", "B"), ("kalshi", "C")]
    feed.writer.release("C")
    assert books.changed(now) == []


def test_a_book_dies_with_its_owners_heartbeat(books: FeedBooks, feed: FakeFeed, clock: ManualClock) -> None:
    """A LIVE book is DEAD once the heartbeat is older than the limit, and LIVE when it beats again."""
    clock.advance(LIMITS.heartbeat_ns)
    assert state(books, clock) == BookState.LIVE
    clock.advance(1)
    assert state(books, clock) == BookState.DEAD
    books.refresh(clock.monotonic_ns())
    assert state(books, clock) == BookState.DEAD
    feed.alive()
    assert state(books, clock) == BookState.LIVE


def test_a_killed_and_removed_feed_stays_dead_in_view(
    books: FeedBooks, feed: FakeFeed, clock: ManualClock
) -> None:
    """A feed whose file is gone is still shown, DEAD: nothing is forgotten and nothing raises."""
    feed.segment.close(unlink=True)
    clock.advance(LIMITS.heartbeat_ns + SEARCH_NS)
    books.refresh(clock.monotonic_ns())
    look = books.read("kalshi", "A", clock.monotonic_ns())
    assert look is not None
    assert (look.state, look.book.bids) == (BookState.DEAD, ((50, 1),))


def test_no_word_from_the_venue_is_stale_and_none_for_the_market_is_quiet(
    books: FeedBooks, feed: FakeFeed, clock: ManualClock
) -> None:
    """The states between LIVE and DEAD come from the connection's proof and the book's own age."""
    clock.advance(LIMITS.proof_ns + 1)
    feed.segment.beat(clock.monotonic_ns())
    assert state(books, clock) == BookState.STALE
    clock.advance(LIMITS.quiet_ns)
    feed.alive()
    assert state(books, clock) == BookState.QUIET
    feed.put("A", state=BookState.GAP)
    assert state(books, clock) == BookState.GAP


def test_a_restarted_feed_is_found_again(
    books: FeedBooks, feed: FakeFeed, clock: ManualClock, tmp_path: Path
) -> None:
    """After a restart in the same file the old view is DEAD at once, then the new epoch's books are read."""
    feed.segment.close()
    again = FakeFeed(tmp_path / "shm", clock)
    assert state(books, clock) in {BookState.DEAD, None}
    again.put("B")
    again.put("A", bid=60)
    clock.advance(SEARCH_NS)
    again.alive()
    assert state(books, clock) == BookState.DEAD
    books.refresh(clock.monotonic_ns())
    look = books.read("kalshi", "A", clock.monotonic_ns())
    assert look is not None
    assert (look.state, look.book.epoch, look.book.bids) == (BookState.LIVE, 2, ((60, 1),))
    again.segment.close()


def test_a_replaced_feed_is_found_again(
    books: FeedBooks, feed: FakeFeed, clock: ManualClock, tmp_path: Path
) -> None:
    """A new file under the old name: what was mapped is DEAD, the next refresh reads the new one."""
    feed.segment.close()
    other = FakeFeed(tmp_path / "shm", clock, rows=8)
    other.put("A", bid=70)
    assert state(books, clock) == BookState.DEAD
    clock.advance(SEARCH_NS)
    other.alive()
    books.refresh(clock.monotonic_ns())
    look = books.read("kalshi", "A", clock.monotonic_ns())
    assert look is not None
    assert (look.state, look.book.bids) == (BookState.LIVE, ((70, 1),))
    other.segment.close()


def test_a_feed_that_comes_later_is_found(books: FeedBooks, clock: ManualClock, tmp_path: Path) -> None:
    """A feed that was not up when the reader came is found within the search interval."""
    late = FakeFeed(tmp_path / "shm", clock, "kraken")
    late.put("BTC/USD")
    books.refresh(clock.monotonic_ns())
    assert state(books, clock, "BTC/USD", "kraken") is None
    clock.advance(SEARCH_NS)
    books.refresh(clock.monotonic_ns())
    assert state(books, clock, "BTC/USD", "kraken") == BookState.LIVE
    late.segment.close()


def test_a_market_that_comes_later_is_found(books: FeedBooks, feed: FakeFeed, clock: ManualClock) -> None:
    """A market that its feed takes up later is found at once."""
    assert state(books, clock, "B") is None
    feed.put("B")
    assert state(books, clock, "B") == BookState.LIVE


def test_a_row_given_to_another_market_is_never_read_as_the_first(
    books: FeedBooks, feed: FakeFeed, clock: ManualClock
) -> None:
    """A released market is None at once, and its row's next market is found under its own name."""
    assert state(books, clock) == BookState.LIVE
    feed.writer.release("A")
    assert state(books, clock) is None
    assert books.place("kalshi", "A", clock.monotonic_ns()) is None
    feed.put("B", bid=10)
    assert state(books, clock) is None
    look = books.read("kalshi", "B", clock.monotonic_ns())
    assert look is not None
    assert (look.row, look.book.bids, look.market.market) == (0, ((10, 1),), "B")


def test_book_and_directory_of_different_incarnations_are_none(
    books: FeedBooks, feed: FakeFeed, clock: ManualClock
) -> None:
    """Between the moments when directory and book change hands neither is believed."""
    table = TableWriter(feed.segment, memory.MARKETS, MARKET)
    row = feed.writer.market("A")
    table.put(0, row._replace(incarnation=row.incarnation + 1))
    assert state(books, clock) is None
    table.put(0, row)
    assert state(books, clock) == BookState.LIVE


def test_a_row_of_another_epoch_than_its_owner_is_dead(
    books: FeedBooks, feed: FakeFeed, clock: ManualClock
) -> None:
    """What an earlier life of the feed left in a row is never LIVE, even under the right market."""
    page = memory.new_page(2)
    stamps = feed.clock.monotonic_ns()
    incarnation = feed.writer.market("A").incarnation
    for epoch, expected in ((1, BookState.LIVE), (2, BookState.DEAD), (0, BookState.DEAD)):
        for cell, value in (
            (memory.B_EPOCH, epoch),
            (memory.B_INCARNATION, incarnation),
            (memory.B_STATE, BookState.LIVE),
            (memory.B_SOCKET_NS, stamps),
        ):
            page[cell] = value
        feed.segment.slots(memory.BOOKS).publish(0, page)
        assert state(books, clock) is expected


def test_a_market_has_a_place(books: FeedBooks, feed: FakeFeed, clock: ManualClock, tmp_path: Path) -> None:
    """A market's feed and row, whose cells are those of its book; another feed object after a restart."""
    place = books.place("kalshi", "A", clock.monotonic_ns())
    assert place is not None and place == (books.feed("kalshi"), 0)
    assert place[0].screen[memory.S_BID] == 50 == place[0].columns()[memory.S_BID, 0]
    assert books.place("kraken", "A", clock.monotonic_ns()) is None and books.feed("kraken") is None
    feed.segment.close()
    again = FakeFeed(tmp_path / "shm", clock)
    clock.advance(SEARCH_NS)
    books.refresh(clock.monotonic_ns())
    assert books.feed("kalshi") is not place[0]
    again.segment.close()


def test_changed_metadata_is_seen_at_once(books: FeedBooks, feed: FakeFeed, clock: ManualClock) -> None:
    """A market described anew is read anew at the next look."""
    assert state(books, clock) == BookState.LIVE
    feed.writer.describe(feed.writer.market("A")._replace(title="new title", close_wall_ns=5))
    market = books.market("kalshi", "A", clock.monotonic_ns())
    assert market is not None
    assert (market.title, market.close_wall_ns) == ("new title", 5)


def test_a_changed_config_keeps_what_is_attached(books: FeedBooks, clock: ManualClock) -> None:
    """New limits count at once, venues that stay need no search, and those that went are gone."""
    books.adopt(["kalshi"], StateLimits(heartbeat_ns=0))
    clock.advance(MS)
    assert state(books, clock) == BookState.DEAD
    books.adopt(["kraken"], LIMITS)
    assert state(books, clock) is None
    assert books.retries() == 0


def test_after_a_sleep_nothing_older_is_believed(
    books: FeedBooks, feed: FakeFeed, clock: ManualClock
) -> None:
    """A book from before the machine slept is STALE until it is heard again on a connection made since."""
    assert state(books, clock) is BookState.LIVE
    clock.advance(MS)
    books.woke_up(clock.monotonic_ns())
    assert state(books, clock) is BookState.STALE
    clock.advance(MS)
    feed.alive()
    feed.put("A")
    assert state(books, clock) is BookState.STALE
    feed.segment.words(memory.CONNECTIONS)[memory.C_SINCE_NS] = clock.monotonic_ns()
    assert state(books, clock) is BookState.LIVE
