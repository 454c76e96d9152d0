"""Polling: each market once an interval, and answers that make a book or do not."""

from __future__ import annotations

from pipeline.feed.book import BookKeeper
from pipeline.feed.polling import OLDER_MAX, Poller
from pipeline.model import BookState
from pipeline.venues.asking import Sample, rest_book
from pipeline.venues.codec import Ignored, Snapshot

SECOND = 1_000_000_000


def sample(market: str, asked: int, venue_ns: int = 0, bid: int = 40) -> Sample:
    return Sample(rest_book(market, [(bid, 10)], [(60, 10)], venue_ns=venue_ns), asked, asked + 1)


def test_each_market_is_asked_for_once_an_interval() -> None:
    """A new one at once; one that waits is not asked for twice."""
    poller = Poller(SECOND, 5 * SECOND)
    assert poller.due(["A", "B"], 0) == ["A", "B"]
    assert poller.due(["A", "B", "C"], SECOND - 1) == ["C"]
    assert poller.due(["A", "B", "C"], SECOND) == ["A", "B"]


def test_an_answer_is_a_snapshot_that_the_keeper_takes() -> None:
    """A polled book is LIVE like any other, and each answer replaces it."""
    poller, keeper = Poller(SECOND, 5 * SECOND), BookKeeper("kalshi")
    poller.due(["A"], 0)
    for bid in (40, 41):
        assert keeper.apply_frame(poller.events(sample("A", bid, bid=bid))) == ["A"]
        assert keeper.books["A"].top() == ([(bid, 10)], [(60, 10)])
    assert keeper.books["A"].state == BookState.LIVE
    assert (poller.answers, poller.proof_ns) == (2, 42)


def test_an_answer_older_than_the_book_is_left_out() -> None:
    """By the venue's time or by when it was asked; it is counted and changes nothing."""
    poller = Poller(SECOND, 5 * SECOND)
    poller.due(["A"], 0)
    assert isinstance(poller.events(sample("A", 10, venue_ns=2_000))[0], Snapshot)
    assert isinstance(poller.events(sample("A", 11, venue_ns=1_999))[0], Ignored)
    assert isinstance(poller.events(sample("A", 9, venue_ns=3_000))[0], Ignored)
    assert poller.stale == 2
    assert isinstance(poller.events(sample("A", 12, venue_ns=2_000))[0], Snapshot)


def test_a_venue_whose_clock_went_back_is_believed_in_the_end() -> None:
    """A few older answers are a cache; more are a new clock."""
    poller = Poller(SECOND, 5 * SECOND)
    poller.due(["A"], 0)
    poller.events(sample("A", 1, venue_ns=9_000))
    kinds = [type(poller.events(sample("A", 2 + n, venue_ns=100 + n))[0]) for n in range(OLDER_MAX + 2)]
    assert kinds == [Ignored] * OLDER_MAX + [Snapshot] * 2


def test_a_market_that_does_not_answer_is_told_once() -> None:
    """After the timeout, counted from its last answer or from when it was first asked for."""
    poller = Poller(SECOND, 5 * SECOND)
    poller.due(["A", "B"], 0)
    poller.events(sample("A", 4 * SECOND))
    assert poller.overdue(5 * SECOND) == []
    assert poller.overdue(6 * SECOND) == ["B"]
    assert poller.overdue(7 * SECOND) == []
    assert poller.overdue(10 * SECOND) == ["A"]
    poller.events(sample("A", 11 * SECOND))
    poller.failed()
    assert poller.overdue(20 * SECOND) == ["A"]
    assert poller.failures == 1


def test_what_is_forgotten_makes_no_book() -> None:
    """An answer that was on its way is ignored, and it is never overdue."""
    poller = Poller(SECOND, 5 * SECOND)
    poller.due(["A"], 0)
    poller.forget(["A", "B"])
    assert isinstance(poller.events(sample("A", 1))[0], Ignored)
    assert poller.answers == 0
    assert poller.overdue(99 * SECOND) == []
    assert poller.due(["A"], 1) == ["A"]
