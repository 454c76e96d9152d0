"""Policy: what to do with one worker process, given what is seen of it.

In: a `Standing` (what we made of the worker so far), `Facts` (what is seen now) and the time. Out: the
next `Standing` and at most one `Action`. Pure: no clock, no process. Run by the supervisor's loop.

    STOPPED  -> STARTING   a start is wanted
    STARTING -> RUNNING    it beats
    STARTING -> HUNG       it never beat within the allowance, or a signal stopped it: kill
    RUNNING  -> HUNG       it was silent for too long (`silence`), and no bounded wait excuses it: kill
    STARTING, RUNNING -> STOPPING        it takes more memory than it may: terminate, start again
    STARTING, RUNNING, HUNG -> BACKOFF   it ended without being asked
    STARTING, RUNNING, HUNG -> FLAPPING  it did so once more after `restart_limit` restarts in the window
    BACKOFF  -> STARTING   the wait is over
    FLAPPING -> STOPPED    somebody starts, stops or restarts it; nothing else leads out
    any      -> STOPPING   stop or restart is asked: terminate, kill after a while
    STOPPING -> STOPPED    it ended; STARTING if a restart was asked, as BACKOFF if it was for its memory
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from pipeline.config import SupervisorConfig
from pipeline.model import WorkerState
from pipeline.supervisor.silence import NO_WAITS, Silence, Waits, listen

# A worker that has had so much time after its start and has not beaten is not going to.
START_ALLOWANCE_NS = 10_000_000_000
# An end so soon after a person's signal is taken to be its effect.
EXCUSED_NS = 10_000_000_000
SECOND_NS = 1_000_000_000
MIB = 1 << 20
UNHEARD = Silence()


class Action(Enum):
    """What the supervisor is to do to the process."""

    NONE = "none"
    START = "start"
    TERMINATE = "terminate"
    KILL = "kill"


class Cause(Enum):
    """Why a worker is being ended, or was; UNASKED where it ended by itself."""

    UNASKED = ""
    HUNG = "no heartbeat"
    MEMORY = "too much memory"
    PERSON = "asked for"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is seen: whether the process exists, what it takes, of its segment beat and announced wait,
    whether a signal has stopped it, and what it waited for the machine.
    """

    alive: bool
    heartbeat_ns: int
    busy_until_ns: int
    memory_bytes: int = 0
    stopped: bool = False
    waits: Waits = NO_WAITS


@dataclass(frozen=True, slots=True)
class Standing:
    """What the supervisor makes of a worker. `again` asks for a start once it has stopped.

    `failures` in a row make waits longer; `recent` are the times of restarts after a failure, oldest first,
    of which there may be `restart_limit` in `restart_window`. What a person asks for is in neither.
    """

    state: WorkerState = WorkerState.STOPPED
    since_ns: int = 0
    restarts: int = 0
    failures: int = 0
    failed_ns: int = 0
    recent: tuple[int, ...] = ()
    retry_at_ns: int = 0
    again: bool = True
    killed: bool = False
    cause: Cause = Cause.UNASKED
    excused_until_ns: int = 0
    silence: Silence = UNHEARD


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
            # HUNG -> BACKOFF or FLAPPING once the kill has taken effect
            return (standing, Action.NONE) if facts.alive else _ended(standing, now_ns, limits, jitter)
        case WorkerState.BACKOFF:
            return _backoff(standing, now_ns)
        case WorkerState.FLAPPING:
            # A person has to look: nothing that happens leads out of here.
            return standing, Action.NONE
        case WorkerState.STOPPING:
            return _stopping(standing, facts, now_ns, limits, jitter)


def ask_start(standing: Standing, now_ns: int) -> Standing:
    """Somebody wants the worker up: it starts at the next step, with a clean slate."""
    clean = _forgiven(replace(standing, again=True, retry_at_ns=0))
    if standing.state == WorkerState.FLAPPING:
        # FLAPPING -> STOPPED, and from there at once to STARTING
        return replace(clean, state=WorkerState.STOPPED, since_ns=now_ns)
    return clean


def ask_stop(standing: Standing, now_ns: int, *, again: bool) -> tuple[Standing, Action]:
    """Somebody wants the worker down, or (`again`) down and up."""
    clean = _forgiven(replace(standing, again=again, retry_at_ns=0, since_ns=now_ns))
    if standing.state in {WorkerState.STOPPED, WorkerState.BACKOFF, WorkerState.FLAPPING}:
        # STOPPED, BACKOFF, FLAPPING -> STOPPED: there is no process to end
        return replace(clean, state=WorkerState.STOPPED), Action.NONE
    # STARTING, RUNNING, HUNG, STOPPING -> STOPPING
    asked = replace(clean, state=WorkerState.STOPPING, killed=False, cause=Cause.PERSON)
    return asked, Action.TERMINATE


def excuse(standing: Standing, now_ns: int) -> Standing:
    """Somebody sends the worker a signal: if it ends of it, that is no failure."""
    return replace(standing, excused_until_ns=now_ns + EXCUSED_NS)


def _forgiven(standing: Standing) -> Standing:
    """Without the failures so far."""
    return replace(standing, failures=0, failed_ns=0, recent=())


def _started(standing: Standing, now_ns: int) -> Standing:
    """STARTING, with nothing left of how the last process ended."""
    return replace(
        standing,
        state=WorkerState.STARTING,
        since_ns=now_ns,
        killed=False,
        cause=Cause.UNASKED,
        excused_until_ns=0,
        silence=Silence(now_ns),
    )


def _stopped(standing: Standing, now_ns: int) -> tuple[Standing, Action]:
    """STOPPED -> STARTING when a start is wanted; else it stays down."""
    if not standing.again:
        return standing, Action.NONE
    return _started(standing, now_ns), Action.START


def _backoff(standing: Standing, now_ns: int) -> tuple[Standing, Action]:
    """BACKOFF -> STARTING when the wait is over."""
    if now_ns < standing.retry_at_ns:
        return standing, Action.NONE
    recent = standing.recent if standing.cause is Cause.PERSON else (*standing.recent, now_ns)
    started = replace(_started(standing, now_ns), restarts=standing.restarts + 1, recent=recent)
    return started, Action.START


def _up(
    standing: Standing, facts: Facts, now_ns: int, limits: SupervisorConfig, jitter: float
) -> tuple[Standing, Action]:
    """What becomes of a worker that should be up."""
    if not facts.alive:
        # STARTING, RUNNING -> BACKOFF or FLAPPING: it ended without being asked
        return _ended(standing, now_ns, limits, jitter)
    if limits.memory_mb and facts.memory_bytes > limits.memory_mb * MIB:
        # STARTING, RUNNING -> STOPPING: it gets the time to end in order, and comes again
        over = replace(standing, state=WorkerState.STOPPING, since_ns=now_ns, again=True)
        return replace(over, killed=False, cause=Cause.MEMORY), Action.TERMINATE
    silence = listen(standing.silence, facts.heartbeat_ns, facts.busy_until_ns, facts.waits, now_ns)
    standing = replace(standing, silence=silence)
    if standing.state == WorkerState.STARTING:
        if facts.heartbeat_ns >= standing.since_ns:
            # STARTING -> RUNNING: it beats
            return replace(standing, state=WorkerState.RUNNING, since_ns=now_ns), Action.NONE
        # A slow start gets all its time, a stopped process no more than one that runs.
        if silence.is_longer_than(limits.hung_after * SECOND_NS if facts.stopped else START_ALLOWANCE_NS):
            # STARTING -> HUNG: it never came up
            return _hung(standing, now_ns), Action.KILL
        return standing, Action.NONE
    if silence.is_longer_than(limits.hung_after * SECOND_NS):
        # RUNNING -> HUNG: no beat, and no announced wait that would explain it
        return _hung(standing, now_ns), Action.KILL
    if standing.failures and now_ns - standing.since_ns > limits.healthy_after * SECOND_NS:
        return _forgiven(standing), Action.NONE
    return standing, Action.NONE


def _hung(standing: Standing, now_ns: int) -> Standing:
    return replace(standing, state=WorkerState.HUNG, since_ns=now_ns, cause=Cause.HUNG)


def _ended(
    standing: Standing, now_ns: int, limits: SupervisorConfig, jitter: float
) -> tuple[Standing, Action]:
    """-> BACKOFF, or FLAPPING where there were as many restarts as may be.

    The first failure in a while is restarted at once. Each one after it doubles the wait, up to the longest,
    plus jitter.
    """
    if now_ns < standing.excused_until_ns:
        # A person's signal did it: again at once, and nothing is counted.
        asked = replace(standing, state=WorkerState.BACKOFF, since_ns=now_ns, retry_at_ns=now_ns)
        return replace(asked, cause=Cause.PERSON, excused_until_ns=0), Action.NONE
    window_ns = round(limits.restart_window * SECOND_NS)
    recent = tuple(at for at in standing.recent if now_ns - at < window_ns)
    in_a_row = standing.failures if now_ns - standing.failed_ns < window_ns else 0
    ended = replace(standing, since_ns=now_ns, failures=in_a_row + 1, failed_ns=now_ns, recent=recent)
    if len(recent) >= limits.restart_limit:
        return replace(ended, state=WorkerState.FLAPPING, retry_at_ns=0), Action.NONE
    wait_ns = 0
    if in_a_row:
        delay = min(limits.restart_delay * 2 ** min(in_a_row - 1, 30), limits.max_restart_delay)
        wait_ns = round(delay * (1 + jitter / 4) * SECOND_NS)
    return replace(ended, state=WorkerState.BACKOFF, retry_at_ns=now_ns + wait_ns), Action.NONE


def _stopping(
    standing: Standing, facts: Facts, now_ns: int, limits: SupervisorConfig, jitter: float
) -> tuple[Standing, Action]:
    """STOPPING -> what follows once it has ended; SIGKILL if SIGTERM did not help."""
    if facts.alive:
        if not standing.killed and now_ns - standing.since_ns > limits.stop_after * SECOND_NS:
            return replace(standing, killed=True), Action.KILL
        return standing, Action.NONE
    if standing.cause is Cause.MEMORY:
        # STOPPING -> BACKOFF or FLAPPING: growing too large is a failure like any other
        return _ended(standing, now_ns, limits, jitter)
    if standing.again:
        # STOPPING -> BACKOFF without a wait
        return replace(standing, state=WorkerState.BACKOFF, since_ns=now_ns, retry_at_ns=now_ns), Action.NONE
    # STOPPING -> STOPPED
    return replace(standing, state=WorkerState.STOPPED, since_ns=now_ns), Action.NONE
