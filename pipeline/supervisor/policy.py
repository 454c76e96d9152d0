"""Policy: what to do with one worker process, given what is seen of it.

In: a `Standing` (what we made of the worker so far), `Facts` (what is seen now) and the time. Out: the
next `Standing` and at most one `Action`. Pure: no clock, no process. Run by the supervisor's loop.

    STOPPED  -> STARTING   start is wanted
    STARTING -> RUNNING    it beats
    STARTING -> HUNG       it never beat within the allowance: kill
    RUNNING  -> HUNG       its heartbeat is old and no bounded wait excuses it: kill
    STARTING, RUNNING, HUNG -> BACKOFF   it ended without being asked
    BACKOFF  -> STARTING   the wait is over
    any      -> STOPPING   stop or restart is asked: terminate, kill after a while
    STOPPING -> STOPPED    it ended, or BACKOFF with no wait if a restart was asked
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from pipeline.config import SupervisorConfig
from pipeline.model import WorkerState

# A worker that has not beaten by then after its start is not going to.
START_ALLOWANCE_NS = 10_000_000_000


class Action(Enum):
    """What the supervisor is to do to the process."""

    NONE = "none"
    START = "start"
    TERMINATE = "terminate"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is seen: whether the process exists, and of its segment the beat and the announced wait."""

    alive: bool
    heartbeat_ns: int
    busy_until_ns: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What the supervisor makes of a worker. `again` asks for a start once it has stopped."""

    state: WorkerState = WorkerState.STOPPED
    since_ns: int = 0
    restarts: int = 0
    failures: int = 0
    retry_at_ns: int = 0
    again: bool = True
    killed: bool = False


def step(
    standing: Standing, facts: Facts, now_ns: int, limits: SupervisorConfig, jitter: float
) -> tuple[Standing, Action]:
    """The next standing and the action it takes. `jitter` in [0, 1) spreads restarts."""
    match standing.state:
        case WorkerState.STOPPED:
            return _stopped(standing, now_ns)
        case WorkerState.STARTING | WorkerState.RUNNING:
            return _up(standing, facts, now_ns, limits, jitter)
        case WorkerState.HUNG:
            # HUNG -> BACKOFF once the kill has taken effect
            return (standing, Action.NONE) if facts.alive else _ended(standing, now_ns, limits, jitter)
        case WorkerState.BACKOFF:
            return _backoff(standing, now_ns)
        case WorkerState.FLAPPING:
            return standing, Action.NONE
        case WorkerState.STOPPING:
            return _stopping(standing, facts, now_ns, limits)


def ask_start(standing: Standing) -> Standing:
    """Somebody wants the worker up: it starts at the next step, without waiting out a backoff."""
    return replace(standing, again=True, retry_at_ns=0, failures=0)


def ask_stop(standing: Standing, now_ns: int, *, again: bool) -> tuple[Standing, Action]:
    """Somebody wants the worker down, or (`again`) down and up."""
    if standing.state in {WorkerState.STOPPED, WorkerState.BACKOFF}:
        down = replace(standing, state=WorkerState.STOPPED, since_ns=now_ns)
        return replace(down, again=again, retry_at_ns=0, failures=0), Action.NONE
    asked = replace(standing, state=WorkerState.STOPPING, since_ns=now_ns, again=again, killed=False)
    return asked, Action.TERMINATE


def _stopped(standing: Standing, now_ns: int) -> tuple[Standing, Action]:
    """STOPPED -> STARTING when a start is wanted; else it stays down."""
    if not standing.again:
        return standing, Action.NONE
    return replace(standing, state=WorkerState.STARTING, since_ns=now_ns), Action.START


def _backoff(standing: Standing, now_ns: int) -> tuple[Standing, Action]:
    """BACKOFF -> STARTING when the wait is over."""
    if now_ns < standing.retry_at_ns:
        return standing, Action.NONE
    restarts = standing.restarts + 1
    return replace(standing, state=WorkerState.STARTING, since_ns=now_ns, restarts=restarts), Action.START


def _up(
    standing: Standing, facts: Facts, now_ns: int, limits: SupervisorConfig, jitter: float
) -> tuple[Standing, Action]:
    """What becomes of a worker that should be up."""
    if not facts.alive:
        # STARTING, RUNNING -> BACKOFF: it ended without being asked
        return _ended(standing, now_ns, limits, jitter)
    if standing.state == WorkerState.STARTING:
        if facts.heartbeat_ns >= standing.since_ns:
            # STARTING -> RUNNING: it beats
            return replace(standing, state=WorkerState.RUNNING, since_ns=now_ns), Action.NONE
        if now_ns - standing.since_ns > START_ALLOWANCE_NS:
            # STARTING -> HUNG: it never came up
            return replace(standing, state=WorkerState.HUNG, since_ns=now_ns), Action.KILL
        return standing, Action.NONE
    last_ns = max(facts.heartbeat_ns, facts.busy_until_ns, standing.since_ns)
    if now_ns - last_ns > limits.hung_after * 1e9:
        # RUNNING -> HUNG: no beat, and no announced wait that would explain it
        return replace(standing, state=WorkerState.HUNG, since_ns=now_ns), Action.KILL
    if standing.failures and now_ns - standing.since_ns > limits.healthy_after * 1e9:
        return replace(standing, failures=0), Action.NONE
    return standing, Action.NONE


def _ended(
    standing: Standing, now_ns: int, limits: SupervisorConfig, jitter: float
) -> tuple[Standing, Action]:
    """-> BACKOFF with a wait that doubles with each failure in a row, up to the longest, plus jitter."""
    delay = min(limits.restart_delay * 2 ** min(standing.failures, 30), limits.max_restart_delay)
    wait_ns = round(delay * (1 + jitter / 4) * 1e9)
    failures = standing.failures + 1
    state = WorkerState.BACKOFF
    ended = replace(standing, state=state, since_ns=now_ns, failures=failures, retry_at_ns=now_ns + wait_ns)
    return ended, Action.NONE


def _stopping(
    standing: Standing, facts: Facts, now_ns: int, limits: SupervisorConfig
) -> tuple[Standing, Action]:
    """STOPPING -> STOPPED or BACKOFF without a wait; SIGKILL if SIGTERM did not help."""
    if facts.alive:
        if not standing.killed and now_ns - standing.since_ns > limits.stop_after * 1e9:
            return replace(standing, killed=True), Action.KILL
        return standing, Action.NONE
    if standing.again:
        return replace(standing, state=WorkerState.BACKOFF, since_ns=now_ns, retry_at_ns=now_ns), Action.NONE
    return replace(standing, state=WorkerState.STOPPED, since_ns=now_ns), Action.NONE
