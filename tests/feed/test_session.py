"""Session: waits that grow and spread, pings that keep time, silence that is noticed."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.feed.session import HEALTHY_NS, RESYNC_NS, Habits, Repairs, Session

SECOND = 1_000_000_000
HABITS = Habits(1.0, 30.0, 1.0, 5.0, 0)
DELAYS = st.floats(0.001, 100)


@given(DELAYS, DELAYS, st.integers(1, 80), st.integers(0, 2**32), st.integers(0, 10**18))
def test_a_wait_is_within_its_bound(
    delay: float, longest: float, losses: int, seed: int, now_ns: int
) -> None:
    """After n losses in a row the wait is between 0 and delay * 2^n, never beyond the longest."""
    session = Session(replace(HABITS, reconnect_delay=delay, max_reconnect_delay=longest), Random(seed))
    for number in range(losses):
        assert session.lost(now_ns)
        bound = min(delay * 2**number, longest)
        assert now_ns <= session.retry_at_ns <= now_ns + round(bound * SECOND)
    assert session.failures == losses


def test_waits_are_spread_over_the_whole_bound() -> None:
    """Full jitter: many clients cut off at once come back at times spread over all of the wait."""
    waits = []
    for seed in range(1000):
        session = Session(HABITS, Random(seed))
        session.lost(0)
        waits.append(session.retry_at_ns / SECOND)
    assert min(waits) < 0.05
    assert max(waits) > 0.95
    assert 0.45 < sum(waits) / len(waits) < 0.55


def test_a_healthy_connection_ends_a_streak() -> None:
    """Losses are forgotten after a connection that lived long, not after one that just opened."""
    session = Session(HABITS, Random(1))
    for _ in range(4):
        session.lost(SECOND)
    session.opened(SECOND)
    session.lost(SECOND + HEALTHY_NS)
    assert session.failures == 5
    session.opened(SECOND)
    session.lost(SECOND + HEALTHY_NS + 1)
    assert session.failures == 1
    session.lost(9 * HEALTHY_NS)
    assert session.failures == 2


@given(st.integers(1, 20))
def test_giving_up_is_for_those_who_ask_for_it(retries: int) -> None:
    """With max_retries the loss after the last retry says stop; with 0 no loss ever does."""
    bounded = Session(replace(HABITS, max_retries=retries), Random(1))
    assert [bounded.lost(0) for _ in range(retries + 2)] == [True] * retries + [False, False]
    endless = Session(HABITS, Random(1))
    assert all(endless.lost(0) for _ in range(200))


def test_changed_habits_count_from_the_next_decision() -> None:
    """New settings bound the next wait and the next interval."""
    session = Session(HABITS, Random(1))
    session.opened(0)
    session.adopt(Habits(0.0, 0.0, 10.0, 50.0, 0))
    session.lost(7)
    assert session.retry_at_ns == 7
    session.opened(0)
    assert not session.ping_due(10 * SECOND - 1)
    assert session.ping_due(10 * SECOND)


def test_pings_keep_their_interval() -> None:
    """The first ping is due an interval after opening, then at most one an interval, however late we look."""
    session = Session(HABITS, Random(1))
    session.opened(100 * SECOND)
    assert not session.ping_due(101 * SECOND - 1)
    assert session.ping_due(101 * SECOND)
    assert not session.ping_due(101 * SECOND + 1)
    assert session.ping_due(200 * SECOND)
    assert not session.ping_due(200 * SECOND + 1)


def test_silence_is_longer_than_the_timeout() -> None:
    """A proof of life is believed for exactly the timeout."""
    session = Session(HABITS, Random(1))
    assert not session.silent(10 * SECOND, 15 * SECOND)
    assert session.silent(10 * SECOND, 15 * SECOND + 1)
    assert not session.silent(10 * SECOND, 9 * SECOND)


def test_a_gap_asks_once_and_not_at_every_frame() -> None:
    """A broken book is asked for at once, then at most once in the interval, until it has come."""
    repairs = Repairs()
    assert repairs.due({"b", "a"}, 0) == ["a", "b"]
    assert repairs.due({"b", "a", "c"}, 1) == ["c"]
    assert repairs.due({"a"}, RESYNC_NS - 1) == []
    assert repairs.due({"a"}, RESYNC_NS) == ["a"]
    repairs.settled("a")
    assert repairs.due({"a"}, RESYNC_NS + 1) == ["a"]
    repairs.settled("never asked")
    repairs.clear()
    assert repairs.due({"a", "b"}, RESYNC_NS + 2) == ["a", "b"]


@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.integers(0, RESYNC_NS)), max_size=40))
def test_no_market_is_asked_for_twice_within_the_interval(looks: list[tuple[set[str], int]]) -> None:
    """Whatever breaks and whenever one looks, two askings of a market are an interval apart."""
    repairs, asked, now = Repairs(), {}, 0
    for broken, step_ns in looks:
        now += step_ns
        for market in repairs.due(broken, now):
            assert market in broken
            assert now - asked.get(market, -RESYNC_NS) >= RESYNC_NS
            asked[market] = now
