"""All books of a venue at once: counted and judged as one by one."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from dashboard.snapshot import VenueView
from dashboard.source import MemorySource
from pipeline.clock import ManualClock
from pipeline.model import BookFlag, BookState, ConnectionState
from shm import books
from shm.statistics import Statistics
from tests.dashboard.conftest import LIMITS
from tests.support.feed_memory import FeedMemory, publish

S = 10**9


def line(source: MemorySource) -> VenueView:
    (venue,) = source.snapshot().venues
    return venue


@pytest.mark.parametrize("seed", range(6))
def test_live_books_are_those_that_are_live_one_by_one(tmp_path: Path, clock: ManualClock, seed: int) -> None:
    """Whatever the stored states, links, ages and heartbeats: the count is that of the legs."""
    random = Random(seed)
    feed = FeedMemory(tmp_path / "shm", "kraken", clock, links=3, markets=40)
    source = MemorySource(tmp_path / "shm", LIMITS, clock)
    for link in (1, 2):
        feed.link(link, random.choice(list(ConnectionState)))
    for number in range(40):
        feed.list_market(f"m{number}")
    for _ in range(4):
        clock.advance(40 * S)
        feed.beat()
        now = clock.monotonic_ns()
        for number in random.sample(range(40), 25):
            publish(
                feed.writer,
                f"m{number}",
                [(1, 1)],
                [(2, 1)],
                now_ns=now,
                state=random.choice([*BookState, BookState.LIVE, BookState.LIVE, 77]),
                connection=random.choice([0, 1, 2, 9]),
                socket_ns=now - random.choice([0, 29 * S, 31 * S, 90 * S]),
                flags=random.choice([BookFlag.SIM, BookFlag.POLLED, BookFlag(0)]),
            )
        if random.random() < 0.5:
            feed.hush(random.randrange(3), 10 * S)
        clock.advance(random.choice([0, LIMITS.heartbeat_ns + 1]) if random.random() < 0.3 else 0)
        picture = source.snapshot()
        legs = [leg for leg in picture.singles if leg.venue == "kraken"]
        assert len(legs) == picture.venues[0].books == 40
        live = sum(leg.state is BookState.LIVE for leg in legs)
        assert picture.venues[0].live_books == live
        flags = BookFlag(0)
        for leg in legs:
            flags |= leg.flags
        assert picture.venues[0].flags == flags


def test_a_row_that_changed_hands_shows_nothing(tmp_path: Path, clock: ManualClock) -> None:
    """A market that took over a row is EMPTY until its own first book, whatever lies there."""
    feed = FeedMemory(tmp_path / "shm", "kraken", clock, markets=2)
    source = MemorySource(tmp_path / "shm", LIMITS, clock)
    feed.list_market("A")
    publish(feed.writer, "A", [(1, 1)], [(2, 1)], now_ns=clock.monotonic_ns())
    assert [(leg.market, leg.state) for leg in source.snapshot().singles] == [("A", BookState.LIVE)]
    feed.writer.release("A")
    feed.list_market("B")
    (leg,) = source.snapshot().singles
    assert (leg.market, leg.state, leg.bid, leg.age_ns) == ("B", BookState.EMPTY, None, None)


def test_the_gauges_of_a_feed_are_on_its_line(tmp_path: Path, clock: ManualClock) -> None:
    """Subscriptions, lag (negative too) and ping are what the feed measured; None where it did not."""
    feed = FeedMemory(tmp_path / "shm", "kraken", clock)
    source = MemorySource(tmp_path / "shm", LIMITS, clock)
    venue = line(source)
    assert (venue.subscriptions, venue.lag_ns, venue.ping_ns) == (0, None, None)
    feed.gauges.put(Statistics(subscriptions=48, lag_p50_ns=-3_000_000, lag_p99_ns=64_000_000, lag_samples=9))
    feed.segment.words(books.CONNECTIONS, 0)[books.C_PING_NS] = 11_000_000
    venue = line(source)
    assert (venue.subscriptions, venue.lag_ns, venue.ping_ns) == (48, (-3_000_000, 64_000_000), 11_000_000)


def test_rates_of_the_last_minute(tmp_path: Path, clock: ManualClock) -> None:
    """A value for each second that the dashboard watched, and zeros once the feed stands still."""
    feed = FeedMemory(tmp_path / "shm", "kraken", clock)
    source = MemorySource(tmp_path / "shm", LIMITS, clock)
    line(source)
    for count in (100, 300, 0):
        feed.counters.add("frames", count)
        clock.advance(S)
        feed.beat()
        line(source)
    assert line(source).rates == (100, 300, 0)


def test_an_empty_directory_is_no_fault(tmp_path: Path, clock: ManualClock) -> None:
    """A feed that has no market yet has no books, no flags and no witness."""
    FeedMemory(tmp_path / "shm", "kraken", clock)
    venue = line(MemorySource(tmp_path / "shm", LIMITS, clock))
    assert (venue.books, venue.live_books, venue.flags, venue.witnessed_ns) == (0, 0, BookFlag(0), None)
