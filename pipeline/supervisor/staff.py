"""Staff: the worker processes of a run: started, watched, measured, stopped, shown.

In: a resolved config, ends and heartbeats of the processes. Out: processes, and the sections `workers` and
`usage` of the supervisor's segment. `policy` decides, `processes` does. Run by the supervisor's loop.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.guards import Guards
from pipeline.lifecycle import RUN_DIRECTORY, SUPERVISOR_PID, Worker
from pipeline.logs import log_directory
from pipeline.model import WorkerState
from pipeline.supervisor import cleanup, policy
from pipeline.supervisor.notify import VARIABLES
from pipeline.supervisor.policy import Action, Cause
from pipeline.supervisor.processes import Child
from pipeline.supervisor.silence import NO_WAITS
from pipeline.supervisor.spare import Spare
from shm import segment as segments
from shm.records import USAGE, WORKER, UsageRow, WorkerRow
from shm.tables import TableWriter

MAX_WORKERS = 32
MEASURE_NS = 1_000_000_000
# A worker that is silent for longer than this is asked what it waits for.
LATE_NS = 200_000_000
STOP_TURN_SECONDS = 0.005
# An orderly end takes no longer, unless [supervisor] gives a single worker more than that.
END_SECONDS = 5.0
# A worker that ended may be started in the same turn: BACKOFF and STARTING without a wait between them.
MOST_STEPS = 3
# The trader stops first, so that nothing is sent on books that are going away; the lab stops last.
STOP_ORDER = ("trader", "paper", "scanner", "feed", "observer", "lab")


@dataclass(slots=True)
class Managed:
    """One worker: how it is started, the process if there is one, and what policy makes of it."""

    name: str
    arguments: tuple[str, ...]
    row: int
    standing: policy.Standing = field(default_factory=policy.Standing)
    child: Child | None = None
    view: segments.View | None = None
    memory_bytes: int = 0
    measure_at_ns: int = 0
    exit_status: int = 0
    exits: int = 0
    ended_of: Cause = Cause.UNASKED
    no_start: str = ""
    shown: WorkerRow | None = None


class Staff:
    """The workers of one run. `on_start` is told the name of each worker that is started."""

    def __init__(
        self,
        config: Config,
        worker: Worker,
        script: Path,
        clock: Clock,
        random: Random,
        guards: Guards,
        on_start: Callable[[str], None],
        spare_word: str = "",
    ) -> None:
        self._worker = worker
        self._script = script
        self._clock = clock
        self._random = random
        self._guards = guards
        self._on_start = on_start
        self._run_directory = Path(config.run_directory)
        self._shm_directory = Path(config.shm_directory)
        self._logs = log_directory(Path(config.data_directory))
        self._table: TableWriter[WorkerRow] = TableWriter(worker.segment, "workers", WORKER)
        self._usage: TableWriter[UsageRow] = TableWriter(worker.segment, "usage", USAGE)
        self.managed = _workers(config)
        self._spare = Spare(lambda: self._start_spare(spare_word)) if spare_word else None

    def ends(self) -> Iterator[int]:
        """Descriptors that become readable when a worker ends."""
        for managed in self.managed.values():
            if managed.child is not None and managed.child.end_fd >= 0:
                yield managed.child.end_fd

    @property
    def blind(self) -> bool:
        """Whether the end of some worker is seen only by asking."""
        return any(m.child is not None and m.child.end_fd < 0 for m in self.managed.values())

    def turn(self, *, addressed: bool) -> None:
        """Each worker's next step. But for the lab none starts before the venues' addresses are known."""
        for managed in self.managed.values():
            idle = managed.standing.state == WorkerState.STOPPED
            if idle and not (addressed or managed.name == "lab"):
                continue
            self.step(managed)
        self._measure()
        starting = any(m.standing.state == WorkerState.STARTING for m in self.managed.values())
        # Beside a worker that is being started it would only be in the way.
        if self._spare is not None and addressed and not starting:
            self._spare.keep(self._clock.monotonic_ns())

    def step(self, managed: Managed) -> None:
        """See what became of a worker and do what policy makes of it."""
        for _ in range(MOST_STEPS):
            before = managed.standing.state
            alive = managed.child is not None and managed.child.alive()
            if managed.child is not None and not alive:
                self._reap(managed)
            facts = self._facts(managed, alive=alive)
            now, limits = self._clock.monotonic_ns(), self._worker.config.supervisor
            chance = self._random.random()
            managed.standing, action = policy.step(managed.standing, facts, now, limits, chance)
            self._act(managed, action)
            self._show(managed)
            if managed.standing.state == before:
                return
            self._tell(managed)

    # -- what a person asks for --------------------------------------------------------------------

    def start(self, managed: Managed) -> None:
        """Somebody wants the worker up."""
        managed.standing = policy.ask_start(managed.standing, self._clock.monotonic_ns())

    def stop(self, managed: Managed, *, again: bool) -> None:
        """Somebody wants the worker down, or down and up again."""
        now = self._clock.monotonic_ns()
        managed.standing, action = policy.ask_stop(managed.standing, now, again=again)
        self._act(managed, action)
        self._show(managed)

    def signal(self, managed: Managed, number: int) -> int:
        """Somebody sends a signal: the pid that it went to, 0 where there is no process."""
        if managed.child is None or not managed.child.alive():
            return 0
        if number != signal.SIGCONT:
            managed.standing = policy.excuse(managed.standing, self._clock.monotonic_ns())
        managed.child.signal(number)
        return managed.child.pid

    def stop_all(self, at_once: Callable[[], bool]) -> None:
        """Stop the workers kind by kind, so that whoever depends on another goes first.

        From when `at_once` says so, and in any case after END_SECONDS, whatever still runs is killed.
        """
        if self._spare is not None:
            self._spare.end()
        begun_ns = self._clock.monotonic_ns()
        limit_ns = round(max(END_SECONDS, self._worker.config.supervisor.stop_after) * 1e9)
        killed: set[int] = set()
        for kind in STOP_ORDER:
            group = [m for m in self.managed.values() if m.name.split("-")[0] == kind]
            for managed in group:
                self.stop(managed, again=False)
            while any(m.standing.state != WorkerState.STOPPED for m in group):
                now = self._clock.monotonic_ns()
                if at_once() or now - begun_ns > limit_ns:
                    self._kill_all(killed)
                for managed in group:
                    self.step(managed)
                self._worker.segment.beat(now)
                self._clock.sleep(STOP_TURN_SECONDS)

    def _kill_all(self, killed: set[int]) -> None:
        """SIGKILL to every child that has not had one; nobody is started again."""
        for managed in self.managed.values():
            managed.standing = replace(managed.standing, again=False)
            if managed.child is not None and managed.child.pid not in killed:
                killed.add(managed.child.pid)
                self._worker.counters.add("kills")
                managed.child.signal(signal.SIGKILL)

    # -- processes -------------------------------------------------------------------------------

    def _facts(self, managed: Managed, *, alive: bool) -> policy.Facts:
        """Heartbeat and announced wait of the worker's segment, if it is this process's."""
        if not alive or managed.child is None:
            return policy.Facts(alive, 0, 0)
        heartbeat_ns, busy_until_ns = self._beat(managed, managed.child.pid)
        if managed.standing.state == WorkerState.RUNNING and not self._guards.on("hang"):
            heartbeat_ns = self._clock.monotonic_ns()
        starting = managed.standing.state == WorkerState.STARTING
        stopped = starting and self._guards.on("hang") and managed.child.stopped()
        # Of one that beats as it should nobody asks what it waits for.
        waits = managed.child.waits() if managed.standing.silence.whole_ns > LATE_NS else NO_WAITS
        return policy.Facts(alive, heartbeat_ns, busy_until_ns, managed.memory_bytes, stopped, waits)

    def _beat(self, managed: Managed, pid: int) -> tuple[int, int]:
        """When the process's loop last turned, and until when it said that it waits; 0 before its first turn,
        because what a worker sets up between making its segment and that can take longer than a turn may.
        """
        if managed.view is None or managed.view.outdated():
            try:
                managed.view = segments.attach(self._shm_directory, managed.name)
            except segments.SegmentError:
                managed.view = None
                return 0, 0
        header = managed.view.header
        if header.pid != pid or header.heartbeat_ns == header.started_ns:
            return 0, 0
        return header.heartbeat_ns, header.busy_until_ns

    def _act(self, managed: Managed, action: Action) -> None:
        if action is Action.START:
            self._start(managed)
        elif managed.child is not None and action is Action.TERMINATE:
            managed.child.signal(signal.SIGTERM)
        elif managed.child is not None and action is Action.KILL:
            self._worker.counters.add("kills")
            managed.child.signal(signal.SIGKILL)

    def _start(self, managed: Managed) -> None:
        self._worker.counters.add("starts")
        environment, output = self._environment(managed.name), self._logs / f"{managed.name}.out"
        managed.view = None
        managed.memory_bytes = 0
        try:
            told = self._spare.take(managed.arguments, environment, output) if self._spare else None
            if told is not None:
                self._worker.counters.add("spares_used")
            managed.child = told or Child(self._command(*managed.arguments), environment, output)
        except OSError as error:
            # No process, handle or room is left: policy sees that nothing lives, and tries again later.
            managed.no_start = f"cannot be started: {error.strerror}"
            self._worker.report(f"{managed.name} {managed.no_start}")
            return
        managed.no_start = ""
        managed.measure_at_ns = self._clock.monotonic_ns() + MEASURE_NS
        self._on_start(managed.name)

    def _start_spare(self, word: str) -> Child:
        """A process that waits to be told which worker it is; it knows no secret until then."""
        return Child(self._command(word), self._environment(word), self._logs / f"{word}.out", waiting=True)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, str(self._script), *words]

    def _environment(self, name: str) -> dict[str, str]:
        """What a worker's process is to know."""
        kept_back = {*VARIABLES} | _secrets_of_others(self._worker.config, name)
        environment = {key: value for key, value in os.environ.items() if key not in kept_back}
        environment[RUN_DIRECTORY] = str(self._run_directory)
        environment[SUPERVISOR_PID] = str(os.getpid())
        return environment

    def _reap(self, managed: Managed) -> None:
        assert managed.child is not None
        managed.exit_status = managed.child.exit_status
        managed.exits += 1
        standing = managed.standing
        excused = self._clock.monotonic_ns() < standing.excused_until_ns
        managed.ended_of = Cause.PERSON if excused else standing.cause
        self._worker.counters.add("exits")
        asked = managed.ended_of is Cause.PERSON
        log = self._worker.log.info if asked else self._worker.log.warning
        log(
            "worker ended",
            name_=managed.name,
            pid=managed.child.pid,
            status=managed.exit_status,
            why=managed.ended_of.value,
        )
        managed.child = None
        managed.view = None
        managed.memory_bytes = 0
        self._usage.put(managed.row, _usage_row(managed.name))
        if not self._guards.on("death") and standing.state in {WorkerState.STARTING, WorkerState.RUNNING}:
            stopped = WorkerState.STOPPED
            managed.standing = replace(
                standing, state=stopped, since_ns=self._clock.monotonic_ns(), again=False
            )

    def _measure(self) -> None:
        """Measure the next worker whose second is over: one a turn, so that no turn takes long."""
        now = self._clock.monotonic_ns()
        for managed in self.managed.values():
            if managed.child is None or now < managed.measure_at_ns:
                continue
            managed.measure_at_ns = now + MEASURE_NS
            usage = managed.child.usage(now)
            if usage is not None:
                managed.memory_bytes = usage.rss_bytes
                row = UsageRow(managed.name, managed.child.pid, *usage, measured_ns=now)
                self._usage.put(managed.row, row)
            return

    # -- what people see -------------------------------------------------------------------------

    def _tell(self, managed: Managed) -> None:
        """Log a worker's new state; one that is given up is an error."""
        state = managed.standing.state
        self._worker.log.info("worker", name_=managed.name, state=state.name)
        if state == WorkerState.FLAPPING:
            self._worker.counters.add("flaps")
            self._worker.report(f"{managed.name} is FLAPPING: {self._detail(managed)}")
            self._worker.log.error("worker given up", name_=managed.name, why=self._detail(managed))

    def _detail(self, managed: Managed) -> str:
        """How the last process ended and why, and what a person can do where nobody else will."""
        words = managed.no_start
        if managed.exits and not words:
            words = cleanup.exit_words(managed.exit_status)
            if managed.ended_of is not Cause.UNASKED:
                words += f" ({managed.ended_of.value})"
        if managed.standing.state == WorkerState.FLAPPING:
            words += f"; run.py start {managed.name}"
        return words

    def _show(self, managed: Managed) -> None:
        """Publish the worker's row when it changed."""
        child = managed.child
        row = WorkerRow(
            managed.name,
            child.pid if child else 0,
            child.pid_start if child else 0,
            managed.standing.state,
            managed.standing.restarts,
            managed.standing.since_ns,
            managed.exit_status,
            managed.exits,
            self._detail(managed),
        )
        if row != managed.shown:
            self._table.put(managed.row, row)
            managed.shown = row


def _secrets_of_others(config: Config, name: str) -> frozenset[str]:
    """Environment variables with secrets that this worker has no use for: anyone of our uid may read them."""
    holders = {"observer": {config.alerts.urls_env}}
    for venue, settings in config.venues.items():
        holders[f"feed-{venue}"] = {settings.key_id_env, settings.key_env}
    own = holders.pop(name, set())
    return frozenset().union(*holders.values()) - own


def _usage_row(name: str) -> UsageRow:
    """A worker without a process."""
    return UsageRow(name, 0, 0, 0, 0, 0, 0, 0, 0)


def _workers(config: Config) -> dict[str, Managed]:
    """The workers of a run, in the order in which they start."""
    names: list[tuple[str, tuple[str, ...]]] = []
    if config.has_lab:
        names.append(("lab", ("lab",)))
    names += [(f"feed-{venue}", ("feed", venue)) for venue in config.feeds()]
    names += [("scanner", ("scanner",)), ("paper", ("paper",)), ("trader", ("trader",))]
    if config.observer.enabled:
        names.append(("observer", ("observer",)))
    assert len(names) <= MAX_WORKERS
    return {name: Managed(name, arguments, row) for row, (name, arguments) in enumerate(names)}
