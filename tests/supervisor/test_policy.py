"""Policy: every arrow of a worker's life as a table, and no order of events that breaks its promises."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.config import SupervisorConfig
from pipeline.model import WorkerState as W
from pipeline.supervisor.policy import (
    START_ALLOWANCE_NS,
    Action,
    Facts,
    Standing,
    ask_start,
    ask_stop,
    step,
)

LIMITS = SupervisorConfig()
SECOND = 1_000_000_000
NOW = 1000 * SECOND
HUNG_NS = round(LIMITS.hung_after * SECOND)
STOP_NS = round(LIMITS.stop_after * SECOND)
HEALTHY_NS = round(LIMITS.healthy_after * SECOND)

GONE = Facts(alive=False, heartbeat_ns=0, busy_until_ns=0)
MUTE = Facts(alive=True, heartbeat_ns=0, busy_until_ns=0)


def beating(at_ns: int, busy_until_ns: int = 0) -> Facts:
    return Facts(True, at_ns, busy_until_ns)


def up(since_ns: int = NOW, **more: int) -> Standing:
    return Standing(W.RUNNING, since_ns, **more)


@pytest.mark.parametrize(
    ("before", "facts", "now_ns", "state", "action"),
    [
        # STOPPED
        (Standing(), GONE, NOW, W.STARTING, Action.START),
        (Standing(again=False), GONE, NOW, W.STOPPED, Action.NONE),
        # STARTING
        (Standing(W.STARTING, NOW), MUTE, NOW + SECOND, W.STARTING, Action.NONE),
        (Standing(W.STARTING, NOW), beating(NOW), NOW + 1, W.RUNNING, Action.NONE),
        (Standing(W.STARTING, NOW), beating(NOW - 1), NOW + 1, W.STARTING, Action.NONE),
        (Standing(W.STARTING, NOW), MUTE, NOW + START_ALLOWANCE_NS, W.STARTING, Action.NONE),
        (Standing(W.STARTING, NOW), MUTE, NOW + START_ALLOWANCE_NS + 1, W.HUNG, Action.KILL),
        (Standing(W.STARTING, NOW), GONE, NOW + 1, W.BACKOFF, Action.NONE),
        # RUNNING
        (up(), beating(NOW + HUNG_NS), NOW + 2 * HUNG_NS, W.RUNNING, Action.NONE),
        (up(), beating(NOW), NOW + HUNG_NS, W.RUNNING, Action.NONE),
        (up(), beating(NOW), NOW + HUNG_NS + 1, W.HUNG, Action.KILL),
        (up(), beating(NOW, NOW + SECOND), NOW + SECOND + HUNG_NS, W.RUNNING, Action.NONE),
        (up(), beating(NOW, NOW + SECOND), NOW + SECOND + HUNG_NS + 1, W.HUNG, Action.KILL),
        (up(), GONE, NOW + 1, W.BACKOFF, Action.NONE),
        # a segment that is replaced under a running worker is given as long as a heartbeat
        (up(), MUTE, NOW + HUNG_NS, W.RUNNING, Action.NONE),
        # HUNG
        (Standing(W.HUNG, NOW), MUTE, NOW + 100 * SECOND, W.HUNG, Action.NONE),
        (Standing(W.HUNG, NOW), beating(NOW + 1), NOW + 2, W.HUNG, Action.NONE),
        (Standing(W.HUNG, NOW), GONE, NOW + 1, W.BACKOFF, Action.NONE),
        # BACKOFF
        (Standing(W.BACKOFF, NOW, retry_at_ns=NOW + 5), GONE, NOW + 4, W.BACKOFF, Action.NONE),
        (Standing(W.BACKOFF, NOW, retry_at_ns=NOW + 5), GONE, NOW + 5, W.STARTING, Action.START),
        # STOPPING
        (Standing(W.STOPPING, NOW, again=False), MUTE, NOW + STOP_NS, W.STOPPING, Action.NONE),
        (Standing(W.STOPPING, NOW, again=False), MUTE, NOW + STOP_NS + 1, W.STOPPING, Action.KILL),
        (Standing(W.STOPPING, NOW, killed=True), MUTE, NOW + 9 * STOP_NS, W.STOPPING, Action.NONE),
        (Standing(W.STOPPING, NOW, again=False), GONE, NOW + 1, W.STOPPED, Action.NONE),
        (Standing(W.STOPPING, NOW, again=True), GONE, NOW + 1, W.BACKOFF, Action.NONE),
    ],
)
def test_every_arrow(before: Standing, facts: Facts, now_ns: int, state: W, action: Action) -> None:
    """Each state, seen with these facts at this time, goes where the drawing says and does just that."""
    after, done = step(before, facts, now_ns, LIMITS, 0.0)
    assert (after.state, done) == (state, action)
    assert after.since_ns == (before.since_ns if state == before.state else now_ns)


def test_waits_double_up_to_the_longest() -> None:
    """Each failure in a row doubles the wait, from the shortest to the longest, and never beyond it."""
    standing, waits = up(), []
    for _ in range(40):
        standing, _ = step(replace(standing, state=W.RUNNING), GONE, NOW, LIMITS, 0.0)
        waits.append((standing.retry_at_ns - NOW) / SECOND)
    assert waits[:5] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == LIMITS.max_restart_delay
    assert waits == sorted(waits)


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 10_000))
def test_chance_only_lengthens_a_wait_by_a_quarter(jitter: float, failures: int) -> None:
    """Jitter spreads restarts within [wait, 1.25 wait], however many failures there were."""
    plain, _ = step(up(failures=failures), GONE, NOW, LIMITS, 0.0)
    spread, _ = step(up(failures=failures), GONE, NOW, LIMITS, jitter)
    wait = plain.retry_at_ns - NOW
    assert wait <= spread.retry_at_ns - NOW <= wait * 1.25 + 1
    assert wait <= LIMITS.max_restart_delay * SECOND


def test_a_healthy_while_ends_a_streak() -> None:
    """Failures are forgotten after the healthy time in RUNNING, not before."""
    sick = up(failures=5)
    at = NOW + HEALTHY_NS
    still, _ = step(sick, beating(at), at, LIMITS, 0.0)
    well, _ = step(sick, beating(at), at + 1, LIMITS, 0.0)
    assert (still.failures, well.failures) == (5, 0)


def test_a_restart_that_was_asked_for_does_not_wait() -> None:
    """Stop with `again` terminates, and once the process is gone the next two steps start it."""
    asked, action = ask_stop(up(failures=9), NOW, again=True)
    assert action is Action.TERMINATE
    gone, _ = step(asked, GONE, NOW + 1, LIMITS, 0.9)
    started, action = step(gone, GONE, NOW + 1, LIMITS, 0.9)
    assert (started.state, action, started.restarts) == (W.STARTING, Action.START, 1)


@pytest.mark.parametrize("state", [W.STOPPED, W.BACKOFF])
def test_a_restart_of_what_is_down_starts_it_at_once(state: W) -> None:
    """Restarting a worker that waits or is down neither signals anybody nor waits on."""
    down = Standing(state, NOW, failures=9, retry_at_ns=NOW + 99 * SECOND, again=False)
    asked, action = ask_stop(down, NOW, again=True)
    assert action is Action.NONE
    assert step(asked, GONE, NOW, LIMITS, 0.0)[1] is Action.START


def test_a_start_that_was_asked_for_ends_a_backoff() -> None:
    """`start` does not wait out a backoff, and begins a new streak."""
    waiting = Standing(W.BACKOFF, NOW, failures=9, retry_at_ns=NOW + 99 * SECOND)
    started, action = step(ask_start(waiting), GONE, NOW, LIMITS, 0.0)
    assert (started.state, started.failures, action) == (W.STARTING, 0, Action.START)


def test_starting_what_runs_changes_nothing_that_is_done() -> None:
    """`start` of a running worker starts no second one."""
    after, action = step(ask_start(up()), beating(NOW), NOW + 1, LIMITS, 0.0)
    assert (after.state, action) == (W.RUNNING, Action.NONE)


class OneWorker(RuleBasedStateMachine):
    """A process that may do anything, people who may ask anything, and the policy between them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.standing = Standing()
        self.alive = False
        self.heartbeat = self.busy_until = 0
        self.kills = self.kills_allowed = 0
        self.asked_at_once = True

    def facts(self) -> Facts:
        return Facts(True, self.heartbeat, self.busy_until) if self.alive else GONE

    def do(self, before: Standing, action: Action) -> None:
        if action is Action.START:
            assert not self.alive, "started twice"
            assert self.now >= before.retry_at_ns or self.asked_at_once
            self.alive = True
            self.heartbeat = self.busy_until = self.kills = 0
            self.kills_allowed = 1
            self.asked_at_once = False
        elif action is Action.KILL:
            assert self.alive, "killed what is not there"
            self.kills += 1
            assert self.kills <= self.kills_allowed, "killed twice for one hang"
            if before.state == W.RUNNING:
                assert self.now > max(self.heartbeat, self.busy_until) + HUNG_NS
            if before.state == W.STOPPING:
                assert self.now > before.since_ns + STOP_NS

    @rule(ms=st.integers(0, 5000), jitter=st.floats(0, 1, exclude_max=True))
    def turn(self, ms: int, jitter: float) -> None:
        self.now += ms * 1_000_000
        before = self.standing
        self.standing, action = step(before, self.facts(), self.now, LIMITS, jitter)
        self.do(before, action)

    @precondition(lambda self: self.alive)
    @rule(busy_ms=st.integers(0, 4000))
    def beats(self, busy_ms: int) -> None:
        self.heartbeat = self.now
        self.busy_until = self.now + busy_ms * 1_000_000 if busy_ms else 0

    @precondition(lambda self: self.alive)
    @rule()
    def dies(self) -> None:
        self.alive = False

    @rule()
    def start_is_asked(self) -> None:
        self.standing = ask_start(self.standing)
        self.asked_at_once = True

    @rule(again=st.booleans())
    def stop_is_asked(self, again: bool) -> None:
        before = self.standing
        self.standing, action = ask_stop(before, self.now, again=again)
        assert action in {Action.NONE, Action.TERMINATE}
        assert (action is Action.TERMINATE) == (before.state not in {W.STOPPED, W.BACKOFF})
        self.kills_allowed += 1
        self.asked_at_once = True

    @invariant()
    def down_means_no_process(self) -> None:
        if self.standing.state in {W.STOPPED, W.BACKOFF}:
            assert not self.alive
            longest = LIMITS.max_restart_delay * 1.25 * SECOND
            assert self.standing.retry_at_ns - self.now <= longest

    def teardown(self) -> None:
        """Whatever happened: a worker that then behaves well comes up, and one that is told to stop stops."""
        self.standing = ask_start(self.standing)
        for _ in range(6):
            if self.standing.state in {W.HUNG, W.STOPPING}:
                self.alive = False
            self.heartbeat = self.now
            self.turn(40_000 if self.standing.state == W.BACKOFF else 1, 0.5)
        assert self.standing.state == W.RUNNING
        self.stop_is_asked(again=False)
        self.alive = False
        self.turn(1, 0.5)
        self.turn(60_000, 0.5)
        assert self.standing.state == W.STOPPED


OneWorker.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestOneWorker = OneWorker.TestCase
