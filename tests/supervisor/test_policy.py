"""Policy: every arrow of a worker's life as a table, and no order of events that breaks its promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.config import SupervisorConfig
from pipeline.model import WorkerState as W
from pipeline.supervisor.policy import (
    EXCUSED_NS,
    MIB,
    START_ALLOWANCE_NS,
    Action,
    Cause,
    Facts,
    Standing,
    ask_start,
    ask_stop,
    excuse,
    step,
)
from pipeline.supervisor.silence import LONGEST_LOOK_NS, STRETCH, Silence, Waits

LIMITS = SupervisorConfig()
SECOND = 1_000_000_000
NOW = 1000 * SECOND
HUNG_NS = round(LIMITS.hung_after * SECOND)
STOP_NS = round(LIMITS.stop_after * SECOND)
HEALTHY_NS = round(LIMITS.healthy_after * SECOND)
WINDOW_NS = round(LIMITS.restart_window * SECOND)

TURN_NS = 20_000_000

GONE = Facts(alive=False, heartbeat_ns=0, busy_until_ns=0)
MUTE = Facts(alive=True, heartbeat_ns=0, busy_until_ns=0)
STOPPED = Facts(alive=True, heartbeat_ns=0, busy_until_ns=0, stopped=True)


def beating(at_ns: int, busy_until_ns: int = 0) -> Facts:
    return Facts(True, at_ns, busy_until_ns)


def up(since_ns: int = NOW, **more: int) -> Standing:
    return Standing(W.RUNNING, since_ns, **more)


def often(state: W, **more: object) -> Standing:
    """A worker that was restarted as often as it may be."""
    return replace(Standing(state, NOW), recent=(NOW,) * LIMITS.restart_limit, **more)


LARGE = Facts(True, NOW, 0, LIMITS.memory_mb * MIB + 1)


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
        (Standing(W.STARTING, NOW), GONE, NOW + 1, W.BACKOFF, Action.NONE),
        # RUNNING
        (up(), beating(NOW + HUNG_NS), NOW + 2 * HUNG_NS, W.RUNNING, Action.NONE),
        (up(), GONE, NOW + 1, W.BACKOFF, Action.NONE),
        (often(W.RUNNING), GONE, NOW + 1, W.FLAPPING, Action.NONE),
        (often(W.STARTING), GONE, NOW + 1, W.FLAPPING, Action.NONE),
        (often(W.RUNNING), GONE, NOW + WINDOW_NS, W.BACKOFF, Action.NONE),
        (up(), replace(LARGE, memory_bytes=LARGE.memory_bytes - 1), NOW + 1, W.RUNNING, Action.NONE),
        (up(), LARGE, NOW + 1, W.STOPPING, Action.TERMINATE),
        (Standing(W.STARTING, NOW), LARGE, NOW + 1, W.STOPPING, Action.TERMINATE),
        # HUNG
        (Standing(W.HUNG, NOW), MUTE, NOW + 100 * SECOND, W.HUNG, Action.NONE),
        (Standing(W.HUNG, NOW), beating(NOW + 1), NOW + 2, W.HUNG, Action.NONE),
        (Standing(W.HUNG, NOW), GONE, NOW + 1, W.BACKOFF, Action.NONE),
        (often(W.HUNG), GONE, NOW + 1, W.FLAPPING, Action.NONE),
        # FLAPPING
        (often(W.FLAPPING), GONE, NOW + 1000 * WINDOW_NS, W.FLAPPING, Action.NONE),
        # BACKOFF
        (Standing(W.BACKOFF, NOW, retry_at_ns=NOW + 5), GONE, NOW + 4, W.BACKOFF, Action.NONE),
        (Standing(W.BACKOFF, NOW, retry_at_ns=NOW + 5), GONE, NOW + 5, W.STARTING, Action.START),
        # STOPPING
        (Standing(W.STOPPING, NOW, again=False), MUTE, NOW + STOP_NS, W.STOPPING, Action.NONE),
        (Standing(W.STOPPING, NOW, again=False), MUTE, NOW + STOP_NS + 1, W.STOPPING, Action.KILL),
        (Standing(W.STOPPING, NOW, killed=True), MUTE, NOW + 9 * STOP_NS, W.STOPPING, Action.NONE),
        (Standing(W.STOPPING, NOW, again=False), GONE, NOW + 1, W.STOPPED, Action.NONE),
        (Standing(W.STOPPING, NOW, again=True), GONE, NOW + 1, W.BACKOFF, Action.NONE),
        (often(W.STOPPING, cause=Cause.MEMORY), GONE, NOW + 1, W.FLAPPING, Action.NONE),
        (often(W.STOPPING, cause=Cause.PERSON), GONE, NOW + 1, W.BACKOFF, Action.NONE),
    ],
)
def test_every_arrow(before: Standing, facts: Facts, now_ns: int, state: W, action: Action) -> None:
    """Each state, seen with these facts at this time, goes where the drawing says and does just that."""
    after, done = step(before, facts, now_ns, LIMITS, 0.0)
    assert (after.state, done) == (state, action)
    assert after.since_ns == (before.since_ns if state == before.state else now_ns)


@pytest.mark.parametrize(
    ("state", "facts", "patience_ns"),
    [
        (W.STARTING, MUTE, START_ALLOWANCE_NS),
        (W.STARTING, STOPPED, HUNG_NS),
        (W.RUNNING, beating(NOW), HUNG_NS),
        # an announced wait, and then as long as always
        (W.RUNNING, beating(NOW, NOW + SECOND), SECOND + HUNG_NS),
        # a segment that is replaced under a running worker is given as long as a heartbeat
        (W.RUNNING, MUTE, HUNG_NS),
    ],
)
def test_a_silent_worker_is_killed_after_its_time(state: W, facts: Facts, patience_ns: int) -> None:
    """Watched turn by turn a worker that does not beat is left alone up to its limit, and killed after it."""
    watched = Watched(state)
    assert watched.for_(patience_ns, lambda _: facts) == [Action.NONE] * (patience_ns // TURN_NS)
    assert watched.standing.state == state
    assert watched.for_(TURN_NS, lambda _: facts) == [Action.KILL]
    assert (watched.standing.state, watched.standing.since_ns) == (W.HUNG, watched.now)


class Watched:
    """A worker that has just come into a state, and a supervisor that looks at it each turn."""

    def __init__(self, state: W = W.RUNNING) -> None:
        heard = Silence(NOW, 0 if state == W.STARTING else NOW)
        self.standing = Standing(state, NOW, silence=heard)
        self.now = NOW

    def for_(self, ns: int, seen: Callable[[int], Facts], turn_ns: int = TURN_NS) -> list[Action]:
        """Look for so long, every `turn_ns`, at what there is to be seen at that time."""
        actions = []
        for _ in range(ns // turn_ns):
            self.now += turn_ns
            self.standing, action = step(self.standing, seen(self.now), self.now, LIMITS, 0.0)
            actions.append(action)
        return actions


@pytest.mark.parametrize("state", [W.STARTING, W.RUNNING])
def test_a_supervisor_that_was_away_blames_nobody(state: W) -> None:
    """After a pause of the supervisor or the whole machine a worker still has nearly all its time to beat."""
    watched = Watched(state)
    silent = MUTE if state == W.STARTING else beating(NOW)
    assert watched.for_(3600 * SECOND, lambda _: silent, 3600 * SECOND) == [Action.NONE]
    limit_ns = START_ALLOWANCE_NS if state == W.STARTING else HUNG_NS
    spent = LONGEST_LOOK_NS // TURN_NS
    actions = watched.for_(limit_ns, lambda _: silent)
    assert Action.KILL not in actions[: limit_ns // TURN_NS - spent - 1]
    assert Action.KILL in actions


@pytest.mark.parametrize("state", [W.STARTING, W.RUNNING])
def test_a_worker_that_gets_no_processor_is_not_blamed_for_it(state: W) -> None:
    """What it waits for a processor is not silence, up to a multiple of the limit; then it is replaced."""
    watched = Watched(state)
    limit_ns = START_ALLOWANCE_NS if state == W.STARTING else HUNG_NS
    silent = MUTE if state == W.STARTING else beating(NOW)

    def starved(now: int) -> Facts:
        return replace(silent, waits=Waits(queued_ns=7 * SECOND + now - NOW))

    assert set(watched.for_(STRETCH * limit_ns, starved)) == {Action.NONE}
    assert watched.for_(TURN_NS, starved) == [Action.KILL]


def test_half_a_processor_is_half_the_silence() -> None:
    """A loop that lost its way is found after as much time as it could have used, wherever the rest went."""
    watched = Watched()
    actions = watched.for_(
        4 * HUNG_NS, lambda now: replace(beating(NOW), waits=Waits(SECOND + (now - NOW) // 2))
    )
    at_ns = (actions.index(Action.KILL) + 1) * TURN_NS
    assert 2 * HUNG_NS - TURN_NS <= at_ns <= 2 * HUNG_NS + TURN_NS


def test_a_worker_that_waits_for_a_disk_is_not_blamed_for_it() -> None:
    """No signal would reach it; once it is back it has as long as always."""
    watched = Watched()
    stuck = replace(beating(NOW), waits=Waits(blocked=True))
    assert Action.KILL not in watched.for_(3 * HUNG_NS, lambda _: stuck)
    actions = watched.for_(2 * HUNG_NS, lambda _: beating(NOW))
    assert actions.index(Action.KILL) == HUNG_NS // TURN_NS


def test_a_beat_ends_all_silence() -> None:
    """However slowly a worker goes, each beat gives it the whole limit again."""
    watched = Watched()
    for _ in range(10):
        beat = beating(watched.now + 1)
        assert Action.KILL not in watched.for_(HUNG_NS, lambda _, beat=beat: beat)
    assert watched.standing.state == W.RUNNING


def test_waits_double_up_to_the_longest() -> None:
    """The first failure is restarted at once; each further one in a row doubles the wait, to the longest."""
    patient = msgspec.structs.replace(LIMITS, restart_limit=10_000)
    standing, waits = up(), []
    for _ in range(40):
        standing, _ = step(replace(standing, state=W.RUNNING), GONE, NOW, patient, 0.0)
        waits.append((standing.retry_at_ns - NOW) / SECOND)
    assert waits[:6] == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == LIMITS.max_restart_delay
    assert waits == sorted(waits)


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 10_000))
def test_chance_only_lengthens_a_wait_by_a_quarter(jitter: float, failures: int) -> None:
    """Jitter spreads restarts within [wait, 1.25 wait], however many failures there were."""
    failed = up(failures=failures, failed_ns=NOW)
    plain, _ = step(failed, GONE, NOW, LIMITS, 0.0)
    spread, _ = step(failed, GONE, NOW, LIMITS, jitter)
    wait = plain.retry_at_ns - NOW
    assert wait <= spread.retry_at_ns - NOW <= wait * 1.25 + 1
    assert wait <= LIMITS.max_restart_delay * SECOND


def test_a_healthy_while_ends_a_streak() -> None:
    """Failures are forgotten after the healthy time in RUNNING, not before."""
    sick = replace(up(failures=5), recent=(NOW, NOW))
    at = NOW + HEALTHY_NS
    still, _ = step(sick, beating(at), at, LIMITS, 0.0)
    well, _ = step(sick, beating(at), at + 1, LIMITS, 0.0)
    assert (still.failures, well.failures) == (5, 0)
    assert (len(still.recent), len(well.recent)) == (2, 0)


def test_a_failure_long_after_the_last_is_the_first_again() -> None:
    """Without a failure within the window a worker comes back at once, even if it never lived long."""
    failed = Standing(W.STARTING, NOW, failures=4, failed_ns=NOW)
    soon, _ = step(failed, GONE, NOW + WINDOW_NS - 1, LIMITS, 0.0)
    late, _ = step(failed, GONE, NOW + WINDOW_NS, LIMITS, 0.0)
    assert soon.retry_at_ns - soon.since_ns == 2 * SECOND
    assert late.retry_at_ns == late.since_ns


class Crashing:
    """A worker that ends some time after each start, seen by a loop."""

    def __init__(self, lives_ns: int = 1, turn_ns: int = 20_000_000) -> None:
        self.lives_ns = lives_ns
        self.turn_ns = turn_ns
        self.now = NOW
        self.standing = Standing()
        self.starts: list[int] = []

    def run(self, until_ns: int) -> None:
        while self.now < until_ns:
            started = self.starts[-1] if self.starts else 0
            alive = self.standing.state in {W.STARTING, W.RUNNING} and self.now < started + self.lives_ns
            facts = beating(self.now) if alive else GONE
            self.standing, action = step(self.standing, facts, self.now, LIMITS, 0.5)
            if action is Action.START:
                self.starts.append(self.now)
            self.now += self.turn_ns


def test_a_worker_that_exits_at_once_is_started_six_times_in_its_first_minute() -> None:
    """Five restarts, then it is FLAPPING and stays so: with the defaults, on a clock of our own."""
    worker = Crashing()
    worker.run(NOW + 60 * SECOND)
    assert len(worker.starts) == 6
    assert worker.starts[1] - NOW <= 40_000_000
    worker.run(NOW + 600 * SECOND)
    assert (len(worker.starts), worker.standing.state) == (6, W.FLAPPING)
    worker.standing = ask_start(worker.standing, worker.now)
    worker.run(worker.now + 60 * SECOND)
    assert (len(worker.starts), worker.standing.state) == (12, W.FLAPPING)


@settings(max_examples=40)
@given(st.integers(1, 90_000))
def test_restarts_in_any_window_are_bounded(lives_ms: int) -> None:
    """However long a failing worker lives, no window sees more restarts than the limit."""
    worker = Crashing(lives_ms * 1_000_000, turn_ns=250_000_000)
    worker.run(NOW + 150 * SECOND)
    restarts = worker.starts[1:]
    for first in restarts:
        assert sum(first <= at < first + WINDOW_NS for at in restarts) <= LIMITS.restart_limit
    assert worker.standing.state in {W.FLAPPING, W.BACKOFF, W.STARTING, W.RUNNING}


@pytest.mark.parametrize("ask", ["start", "restart", "stop"])
def test_only_a_person_leads_out_of_flapping(ask: str) -> None:
    """start and restart bring it up at once and with a clean slate; stop keeps it down."""
    flapping = often(W.FLAPPING, failures=6, failed_ns=NOW)
    if ask == "start":
        asked = ask_start(flapping, NOW)
    else:
        asked, action = ask_stop(flapping, NOW, again=ask == "restart")
        assert action is Action.NONE
    assert (asked.state, asked.recent, asked.failures) == (W.STOPPED, (), 0)
    wanted = Action.NONE if ask == "stop" else Action.START
    assert step(asked, GONE, NOW, LIMITS, 0.0)[1] is wanted


def test_what_a_person_kills_has_not_failed() -> None:
    """The end that follows a signal asked for is no failure, once; a later end is one."""
    limit = often(W.RUNNING)
    excused = excuse(limit, NOW)
    ended, _ = step(excused, GONE, NOW + EXCUSED_NS - 1, LIMITS, 0.9)
    assert (ended.state, ended.retry_at_ns, ended.failures) == (W.BACKOFF, ended.since_ns, 0)
    started, action = step(ended, GONE, ended.since_ns, LIMITS, 0.9)
    assert (action, started.recent) == (Action.START, limit.recent)
    again, _ = step(started, GONE, ended.since_ns + 1, LIMITS, 0.9)
    assert again.state == W.FLAPPING
    late, _ = step(excused, GONE, NOW + EXCUSED_NS, LIMITS, 0.9)
    assert late.state == W.FLAPPING


def test_too_large_is_a_failure_that_may_end_in_order() -> None:
    """Over its memory a worker is terminated, killed if deaf, and comes back as after a crash."""
    asked, action = step(up(), LARGE, NOW + 1, LIMITS, 0.0)
    assert (asked.state, asked.cause, action) == (W.STOPPING, Cause.MEMORY, Action.TERMINATE)
    _, action = step(asked, LARGE, NOW + 2 + STOP_NS, LIMITS, 0.0)
    assert action is Action.KILL
    gone, _ = step(asked, GONE, NOW + 5, LIMITS, 0.0)
    assert (gone.state, gone.failures, gone.retry_at_ns) == (W.BACKOFF, 1, NOW + 5)
    boundless = msgspec.structs.replace(LIMITS, memory_mb=0)
    assert step(up(), LARGE, NOW + 1, boundless, 0.0)[1] is Action.NONE


def test_a_restart_that_was_asked_for_does_not_wait() -> None:
    """Stop with `again` terminates, and once the process is gone the next two steps start it."""
    asked, action = ask_stop(up(failures=9), NOW, again=True)
    assert action is Action.TERMINATE
    gone, _ = step(asked, GONE, NOW + 1, LIMITS, 0.9)
    started, action = step(gone, GONE, NOW + 1, LIMITS, 0.9)
    assert (started.state, action, started.restarts) == (W.STARTING, Action.START, 1)


@pytest.mark.parametrize("state", [W.STOPPED, W.BACKOFF, W.FLAPPING])
def test_a_restart_of_what_is_down_starts_it_at_once(state: W) -> None:
    """Restarting a worker that waits or is down neither signals anybody nor waits on."""
    down = Standing(state, NOW, failures=9, retry_at_ns=NOW + 99 * SECOND, again=False)
    asked, action = ask_stop(down, NOW, again=True)
    assert action is Action.NONE
    assert step(asked, GONE, NOW, LIMITS, 0.0)[1] is Action.START


def test_a_start_that_was_asked_for_ends_a_backoff() -> None:
    """`start` does not wait out a backoff, and begins a new streak."""
    waiting = Standing(W.BACKOFF, NOW, failures=9, retry_at_ns=NOW + 99 * SECOND)
    started, action = step(ask_start(waiting, NOW), GONE, NOW, LIMITS, 0.0)
    assert (started.state, started.failures, action) == (W.STARTING, 0, Action.START)


def test_starting_what_runs_changes_nothing_that_is_done() -> None:
    """`start` of a running worker starts no second one."""
    after, action = step(ask_start(up(), NOW), beating(NOW), NOW + 1, LIMITS, 0.0)
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
        self.memory = 0
        self.restarts: list[int] = []

    def facts(self) -> Facts:
        return Facts(True, self.heartbeat, self.busy_until, self.memory) if self.alive else GONE

    def do(self, before: Standing, action: Action) -> None:
        if action is Action.START:
            assert not self.alive, "started twice"
            assert self.now >= before.retry_at_ns or self.asked_at_once
            self.alive = True
            self.memory = 0
            if not self.asked_at_once and before.cause is not Cause.PERSON:
                self.restarts.append(self.now)
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
        if before.state == W.FLAPPING:
            assert self.standing == before, "left FLAPPING by itself"
        if before.failures and not self.standing.failures:
            self.restarts.clear()

    @precondition(lambda self: self.alive)
    @rule(grown=st.booleans())
    def grows(self, grown: bool) -> None:
        self.memory = LARGE.memory_bytes if grown else 0

    @precondition(lambda self: self.alive)
    @rule()
    def is_killed_by_a_person(self) -> None:
        self.standing = excuse(self.standing, self.now)
        self.alive = False

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
        self.standing = ask_start(self.standing, self.now)
        self.asked_at_once = True
        self.restarts.clear()

    @rule(again=st.booleans())
    def stop_is_asked(self, again: bool) -> None:
        before = self.standing
        self.standing, action = ask_stop(before, self.now, again=again)
        assert action in {Action.NONE, Action.TERMINATE}
        down = {W.STOPPED, W.BACKOFF, W.FLAPPING}
        assert (action is Action.TERMINATE) == (before.state not in down)
        self.kills_allowed += 1
        self.asked_at_once = True
        self.restarts.clear()

    @invariant()
    def down_means_no_process(self) -> None:
        if self.standing.state in {W.STOPPED, W.BACKOFF, W.FLAPPING}:
            assert not self.alive
            longest = LIMITS.max_restart_delay * 1.25 * SECOND
            assert self.standing.retry_at_ns - self.now <= longest

    @invariant()
    def restarts_are_bounded(self) -> None:
        recent = [at for at in self.restarts if self.now - at < WINDOW_NS]
        assert len(recent) <= LIMITS.restart_limit
        assert len(self.standing.recent) <= LIMITS.restart_limit

    def teardown(self) -> None:
        """Whatever happened: a worker that then behaves well comes up, and one that is told to stop stops."""
        self.standing = ask_start(self.standing, self.now)
        self.memory = 0
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
