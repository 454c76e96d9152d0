"""A venue's line when its feed has several connections."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.snapshot import VenueView
from dashboard.source import MemorySource
from pipeline.clock import ManualClock
from pipeline.model import ConnectionState
from tests.support.feed_memory import FeedMemory

S = 10**9


@pytest.fixture
def feed(tmp_path: Path, clock: ManualClock) -> FeedMemory:
    """A feed with three links, the first of them up."""
    return FeedMemory(tmp_path / "shm", "kraken", clock)


def line(source: MemorySource) -> VenueView:
    (venue,) = source.snapshot().venues
    return venue


def test_links_that_were_never_used_do_not_count(source: MemorySource, feed: FeedMemory) -> None:
    """A feed with one link up and two spare ones is up, with one connection."""
    venue = line(source)
    assert (venue.state, venue.connected, venue.connections) == ("up", True, 1)
    feed.link(1, ConnectionState.DOWN, markets=0)
    assert line(source).connections == 1


def test_the_weakest_link_speaks_for_the_venue(source: MemorySource, feed: FeedMemory) -> None:
    """One link of several that is not up, or silent, is what the venue's line says."""
    feed.link(1, ConnectionState.AUTH_FAILED)
    venue = line(source)
    assert (venue.state, venue.connected, venue.connections) == ("auth failed", False, 2)
    feed.link(1, ConnectionState.DOWN)
    assert line(source).state == "down"
    feed.link(1, ConnectionState.UP)
    assert line(source).connected


def test_a_silent_link_is_seen_beside_one_that_speaks(
    source: MemorySource, feed: FeedMemory, clock: ManualClock
) -> None:
    """Proof of life on one link is none for the other."""
    feed.link(1, ConnectionState.UP)
    clock.advance(60 * S)
    feed.segment.beat(clock.monotonic_ns())
    feed.link(0, ConnectionState.UP)
    assert (line(source).state, line(source).connected) == ("silent", False)


def test_a_venue_that_is_polled_is_connected(source: MemorySource, feed: FeedMemory) -> None:
    """Polling in the place of a socket is shown in its word, and is no fault."""
    feed.link(0, ConnectionState.POLLING)
    venue = line(source)
    assert (venue.state, venue.connected) == ("polling", True)


def test_a_venue_shows_its_oldest_witness(source: MemorySource, feed: FeedMemory, clock: ManualClock) -> None:
    """Only when every book was found right by REST is there an age, that of the oldest such finding."""
    now = clock.monotonic_ns()
    feed.book("A", [("1", "1")], [("2", "1")], witness_ns=now)
    feed.book("B", [("1", "1")], [("2", "1")])
    assert line(source).witnessed_ns is None
    clock.advance(5 * S)
    feed.book("B", [("1", "1")], [("2", "1")], witness_ns=clock.monotonic_ns())
    assert line(source).witnessed_ns == 5 * S
