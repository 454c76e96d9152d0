"""Session: waits that grow and spread, pings that keep time, silence that is noticed."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from pipeline.feed.session import (
    AUTH_WINDOW_NS,
    HEALTHY_NS,
    MAX_RETRY_AFTER_NS,
    REPAIR_TRIES,
    RESYNC_NS,
    SPACING_NS,
    Access,
    Habits,
    Repairs,
    Session,
)
from pipeline.model import ConnectionState

SECOND = 1_000_000_000
HABITS = Habits(1.0, 30.0, 1.0, 5.0, 0)
DELAYS = st.floats(0.001, 100)


@given(DELAYS, DELAYS, st.integers(1, 80), st.integers(0, 2**32), st.integers(0, 10**18))
def test_a_wait_is_within_its_bound(
    delay: float, longest: float, losses: int, seed: int, now_ns: int
) -> None:
    """After n losses in a row the wait is between 0 and delay * 2^n, never beyond the longest."""
    session = Session(
        replace(HABITS, reconnect_delay=delay, max_reconnect_delay=longest), Access(), Random(seed)
    )
    for number in range(losses):
        assert session.lost(now_ns)
        bound = min(delay * 2**number, longest)
        assert now_ns <= session.retry_at_ns <= now_ns + round(bound * SECOND)
    assert session.failures == losses


def test_waits_are_spread_over_the_whole_bound() -> None:
    """Full jitter: many clients cut off at once come back at times spread over all of the wait."""
    waits = []
    for seed in range(1000):
        session = Session(HABITS, Access(), Random(seed))
        session.lost(0)
        waits.append(session.retry_at_ns / SECOND)
    assert min(waits) < 0.05
    assert max(waits) > 0.95
    assert 0.45 < sum(waits) / len(waits) < 0.55


def test_a_healthy_connection_ends_a_streak() -> None:
    """Losses are forgotten after a connection that lived long, not after one that just opened."""
    session = Session(HABITS, Access(), Random(1))
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


def test_a_venue_that_is_busy_is_left_alone_as_long_as_it_asks() -> None:
    """No connection of the venue is tried before Retry-After, nor after more than five minutes of it."""
    access = Access()
    first, second = (Session(HABITS, access, Random(seed)) for seed in (1, 2))
    first.dialled(0)
    first.lost(SECOND, 429, 100 * SECOND)
    for session in (first, second):
        assert not session.dial_due(101 * SECOND - 1)
        assert session.dial_due(101 * SECOND)
    second.dialled(101 * SECOND)
    second.lost(101 * SECOND, 503, 10**9 * SECOND)
    assert not first.dial_due(101 * SECOND + MAX_RETRY_AFTER_NS - 1)
    assert first.dial_due(101 * SECOND + MAX_RETRY_AFTER_NS)


def test_a_busy_venue_without_a_word_about_when_gets_the_shortest_delay() -> None:
    """A 429 without Retry-After is never answered by a try in the same moment."""
    for seed in range(200):
        session = Session(HABITS, Access(), Random(seed))
        session.lost(0, 429)
        assert session.retry_at_ns >= SECOND


def test_who_is_not_known_is_tried_three_times_by_all_connections_together() -> None:
    """After three 401 or 403 within five minutes nothing is tried any more until somebody helps."""
    access = Access()
    sessions = [Session(HABITS, access, Random(seed)) for seed in range(10)]
    now, tries = 0, 0
    while now < 2 * AUTH_WINDOW_NS:
        for session in sessions:
            if session.dial_due(now):
                session.dialled(now)
                tries += 1
                session.lost(now, 401 if tries % 2 else 403)
        now += SECOND // 2
    assert tries == 3
    assert all(session.state is ConnectionState.AUTH_FAILED for session in sessions)
    access.reset()
    assert sessions[0].dial_due(now)


def test_refusals_that_are_far_apart_are_no_reason_to_give_up() -> None:
    """Three refusals over more than five minutes leave the venue to be tried again."""
    access = Access()
    session = Session(HABITS, access, Random(1))
    for number in range(6):
        session.lost(number * (AUTH_WINDOW_NS // 2 + 1), 401)
    assert not access.auth_failed
    access.opened()
    assert session.dial_due(100 * AUTH_WINDOW_NS)


def test_connections_are_opened_one_after_another() -> None:
    """Eight a second while the venue answers, one a second while it does not."""
    access = Access()
    one, two = (Session(HABITS, access, Random(seed)) for seed in (1, 2))
    one.dialled(0)
    assert not two.dial_due(SPACING_NS - 1)
    assert two.dial_due(SPACING_NS)
    two.dialled(SPACING_NS)
    two.lost(SPACING_NS)
    one.lost(SPACING_NS)
    now = max(one.retry_at_ns, two.retry_at_ns, 2 * SPACING_NS)
    one.dialled(now)
    assert not two.dial_due(now + SECOND - 1)
    one.opened(now)
    assert one.state is ConnectionState.SUBSCRIBING
    one.confirmed()
    assert one.state is ConnectionState.UP


class SessionMachine(RuleBasedStateMachine):
    """Any order of what can happen to a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.access = Access()
        self.session = Session(HABITS, self.access, Random(3))
        self.not_before = 0

    @rule(step=st.integers(0, 400 * SECOND))
    def wait(self, step: int) -> None:
        self.now += step

    @precondition(lambda self: self.session.dial_due(self.now))
    @rule()
    def dial(self) -> None:
        assert self.now >= self.not_before
        self.session.dialled(self.now)

    @precondition(lambda self: self.session.state is ConnectionState.CONNECTING)
    @rule()
    def open(self) -> None:
        self.session.opened(self.now)

    @rule()
    def confirm(self) -> None:
        was = self.session.state
        self.session.confirmed()
        assert (self.session.state is was) != (was is ConnectionState.SUBSCRIBING)

    @precondition(lambda self: self.session.state.name in {"CONNECTING", "SUBSCRIBING", "UP"})
    @rule(status=st.sampled_from([0, 401, 403, 429, 503, 500]), after=st.integers(0, 10**12))
    def lose(self, status: int, after: int) -> None:
        opening = self.session.state is ConnectionState.CONNECTING
        assert self.session.lost(self.now, status, after)
        if opening:
            self.not_before = max(self.not_before, self.now + min(after, MAX_RETRY_AFTER_NS))

    @invariant()
    def a_connection_that_is_open_or_refused_for_good_is_not_dialled(self) -> None:
        if self.session.state.name in {"CONNECTING", "SUBSCRIBING", "UP", "AUTH_FAILED"}:
            assert not self.session.dial_due(self.now)


test_any_order_of_events_keeps_the_promises = SessionMachine.TestCase


@given(st.integers(1, 20))
def test_giving_up_is_for_those_who_ask_for_it(retries: int) -> None:
    """With max_retries the loss after the last retry says stop; with 0 no loss ever does."""
    bounded = Session(replace(HABITS, max_retries=retries), Access(), Random(1))
    assert [bounded.lost(0) for _ in range(retries + 2)] == [True] * retries + [False, False]
    endless = Session(HABITS, Access(), Random(1))
    assert all(endless.lost(0) for _ in range(200))


def test_changed_habits_count_from_the_next_decision() -> None:
    """New settings bound the next wait and the next interval."""
    session = Session(HABITS, Access(), Random(1))
    session.opened(0)
    session.adopt(Habits(0.0, 0.0, 10.0, 50.0, 0))
    session.lost(7)
    assert session.retry_at_ns == 7
    session.opened(0)
    assert not session.ping_due(10 * SECOND - 1)
    assert session.ping_due(10 * SECOND)


def test_pings_keep_their_interval() -> None:
    """The first ping is due an interval after opening, then at most one an interval, however late we look."""
    session = Session(HABITS, Access(), Random(1))
    session.opened(100 * SECOND)
    assert not session.ping_due(101 * SECOND - 1)
    assert session.ping_due(101 * SECOND)
    assert not session.ping_due(101 * SECOND + 1)
    assert session.ping_due(200 * SECOND)
    assert not session.ping_due(200 * SECOND + 1)


def test_silence_is_longer_than_the_timeout() -> None:
    """A proof of life is believed for exactly the timeout."""
    session = Session(HABITS, Access(), Random(1))
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


def test_a_book_that_stays_broken_ends_the_connection_once() -> None:
    """Three requests without a sound book blame the connection; on the next one the market alone."""
    repairs, now, asked = Repairs(), 0, 0
    while not repairs.exhausted():
        asked += len(repairs.due({"a"}, now))
        now += RESYNC_NS
    assert asked == REPAIR_TRIES + 1
    repairs.clear()
    for _ in range(300):
        assert repairs.due({"a"}, now) == ["a"]
        assert repairs.exhausted() == ""
        now += RESYNC_NS
    repairs.settled("a")
    for number in range(REPAIR_TRIES + 1):
        assert repairs.due({"a"}, now + number * RESYNC_NS) == ["a"]
    assert repairs.exhausted() == "a"


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
