"""Supervisor worker: the loop that keeps the workers of one data directory up.

In: a resolved config, exits and heartbeats of the workers, commands on `ctl`, run/lab.json. Out: worker
processes, the segment `supervisor` (worker table, run), run/config.json. Started by `run.py up`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from pipeline import bus
from pipeline.clock import Clock
from pipeline.config import Config, encode, sealed
from pipeline.halt import HALT_FILE, HaltFile
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY, SUPERVISOR_PID, Worker
from pipeline.logs import log_directory
from pipeline.model import WorkerState
from pipeline.supervisor import cleanup, policy
from pipeline.supervisor.control import Gatekeeper
from pipeline.supervisor.processes import Child, signal_number
from pipeline.version import VERSION
from pipeline.wire import Request, Sealer
from shm import segment as segments
from shm.records import RUN, WORKER, RunRow, WorkerRow
from shm.tables import TableWriter

COUNTERS = (
    "starts",
    "exits",
    "kills",
    "commands",
    "commands_refused",
    "frames_refused",
    "lab_changes",
)
MAX_WORKERS = 32
TURN_MS = 10
LAB_POLL_NS = 50_000_000
LAB_FILE = "lab.json"
# The trader stops first, so that nothing is sent on books that are going away; the lab stops last.
STOP_ORDER = ("trader", "paper", "scanner", "feed", "lab")

MergeLab = Callable[[Config, Mapping[str, object]], Config]


@dataclass(slots=True)
class Managed:
    """One worker: how it is started, the process if there is one, and what policy makes of it."""

    name: str
    arguments: tuple[str, ...]
    standing: policy.Standing = field(default_factory=policy.Standing)
    child: Child | None = None
    view: segments.View | None = None
    exit_status: int = 0
    exits: int = 0
    shown: WorkerRow | None = None


class Supervisor:
    """The life of one run. Raises bus.RoleTakenError when another supervisor has the data directory."""

    def __init__(
        self, config: Config, script: Path, clock: Clock, random: Random, merge_lab: MergeLab
    ) -> None:
        self._run_directory = Path(config.run_directory)
        self._shm_directory = Path(config.shm_directory)
        os.umask(0o077)
        segments.make_directory(self._run_directory)
        self._role = bus.RoleLock(self._run_directory, "supervisor")
        cleanup.leftovers(self._run_directory, self._shm_directory, clock)
        self._base = config
        self._clock = clock
        self._random = random
        self._merge_lab = merge_lab
        self._script = script
        key = bus.make_key(self._run_directory)
        bus.make_bell(self._run_directory)
        sections = [WORKER.section("workers", MAX_WORKERS), RUN.section("run", 1)]
        self.worker = Worker("supervisor", config, clock, sections, COUNTERS, _ignore_config)
        self._table: TableWriter[WorkerRow] = TableWriter(self.worker.segment, "workers", WORKER)
        self._run_table: TableWriter[RunRow] = TableWriter(self.worker.segment, "run", RUN)
        self._server = bus.CommandServer(self._run_directory)
        self._gatekeeper = Gatekeeper(Sealer(key))
        self._halt = HaltFile(Path(config.data_directory) / HALT_FILE)
        self._managed = _workers(config)
        self._lab_seen = (0, 0)
        self._lab_at_ns = 0
        self._version = config.version - 1
        self._stopping = False
        self._addressed = not config.simulated
        self._publish_config(config)

    def run(self, on_turn: Callable[[], bool], before_stop: Callable[[], None]) -> None:
        """Supervise until asked to stop or `on_turn` says False; then stop everything and clean up.

        `before_stop` is called while every worker still runs.
        """
        try:
            with self.worker as worker:
                try:
                    while worker.go_on() and not self._stopping and on_turn():
                        self.turn()
                    before_stop()
                finally:
                    # Whatever goes wrong above, no worker is left behind.
                    self._stop_all()
                    cleanup.segments_of(self._shm_directory, keep=worker.name)
                    worker.segment.close(unlink=True)
        finally:
            self._server.close()
            cleanup.directories(self._run_directory, self._shm_directory)
            self._role.close()

    def turn(self) -> None:
        """One turn: a command if there is one, each worker's state, the lab's news."""
        self._command(TURN_MS)
        self._watch_lab()
        for managed in self._managed.values():
            self._step(managed)

    # -- workers ---------------------------------------------------------------------------------

    def _step(self, managed: Managed) -> None:
        if managed.standing.state == WorkerState.STOPPED and not self._may_start(managed):
            return
        before = managed.standing.state
        alive = managed.child is not None and managed.child.alive()
        if managed.child is not None and not alive:
            self._reap(managed)
        facts = self._facts(managed, alive=alive)
        now = self._clock.monotonic_ns()
        limits = self.worker.config.supervisor
        managed.standing, action = policy.step(managed.standing, facts, now, limits, self._random.random())
        self._act(managed, action)
        if managed.standing.state != before:
            self.worker.log.info("worker", name_=managed.name, state=managed.standing.state.name)
        self._show(managed)

    def _may_start(self, managed: Managed) -> bool:
        """Whether a stopped worker may come up: all but the lab wait for a config with addresses."""
        return managed.standing.again and (managed.name == "lab" or self._addressed)

    def _facts(self, managed: Managed, *, alive: bool) -> policy.Facts:
        """Heartbeat and announced wait of the worker's segment, if it is this process's."""
        if not alive or managed.child is None:
            return policy.Facts(alive, 0, 0)
        if managed.view is None or managed.view.outdated():
            try:
                managed.view = segments.attach(self._shm_directory, managed.name)
            except segments.SegmentError:
                managed.view = None
                return policy.Facts(alive, 0, 0)
        header = managed.view.header
        if header.pid != managed.child.pid:
            return policy.Facts(alive, 0, 0)
        return policy.Facts(alive, header.heartbeat_ns, header.busy_until_ns)

    def _act(self, managed: Managed, action: policy.Action) -> None:
        if action is policy.Action.START:
            self._start(managed)
        elif managed.child is not None and action is policy.Action.TERMINATE:
            managed.child.signal(signal.SIGTERM)
        elif managed.child is not None and action is policy.Action.KILL:
            self.worker.counters.add("kills")
            managed.child.signal(signal.SIGKILL)

    def _start(self, managed: Managed) -> None:
        self.worker.counters.add("starts")
        environment = dict(os.environ)
        environment[RUN_DIRECTORY] = str(self._run_directory)
        environment[SUPERVISOR_PID] = str(os.getpid())
        command = [sys.executable, str(self._script), *managed.arguments]
        output = log_directory(Path(self._base.data_directory)) / f"{managed.name}.out"
        managed.view = None
        managed.child = Child(command, environment, output)

    def _reap(self, managed: Managed) -> None:
        assert managed.child is not None
        managed.exit_status = managed.child.exit_status
        managed.exits += 1
        managed.child = None
        managed.view = None
        self.worker.counters.add("exits")
        self.worker.log.warning("worker ended", name_=managed.name, status=managed.exit_status)

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
            cleanup.exit_words(managed.exit_status) if managed.exits else "",
        )
        if row != managed.shown:
            self._table.put(list(self._managed).index(managed.name), row)
            managed.shown = row

    def _stop_all(self) -> None:
        """Stop the workers kind by kind, so that whoever depends on another goes first."""
        for kind in STOP_ORDER:
            group = [m for m in self._managed.values() if m.name.split("-")[0] == kind]
            for managed in group:
                now = self._clock.monotonic_ns()
                managed.standing, action = policy.ask_stop(managed.standing, now, again=False)
                self._act(managed, action)
            while any(m.standing.state != WorkerState.STOPPED for m in group):
                for managed in group:
                    self._step(managed)
                self.worker.segment.beat(self._clock.monotonic_ns())
                self._clock.sleep(0.005)

    # -- commands --------------------------------------------------------------------------------

    def _command(self, timeout_ms: int) -> None:
        received = self._server.receive(timeout_ms)
        if received is None:
            return
        sender, frame = received
        request = self._gatekeeper.admit(frame, self._clock.monotonic_ns())
        if isinstance(request, str):
            self.worker.counters.add("frames_refused")
            self.worker.report(f"control: {request} frame")
            return
        ok, text = self._obey(request)
        self.worker.counters.add("commands" if ok else "commands_refused")
        self.worker.log.info("command", who=request.who, command=request.command, args_=request.args, ok=ok)
        self._server.reply(sender, self._gatekeeper.answer(request, ok=ok, text=text))

    def _obey(self, request: Request) -> tuple[bool, str]:
        """Do what is asked; the text says what was done, or why not."""
        if request.command == "down":
            self._stopping = True
            return True, "stopping"
        if request.command in {"halt", "resume"}:
            return self._switch(request)
        if request.command not in {"start", "restart", "kill"}:
            return False, f"unknown command {request.command!r}"
        name = request.args.get("worker", "")
        managed = self._managed.get(name)
        if managed is None:
            return False, f"no worker {name!r}; there are: {', '.join(self._managed)}"
        now = self._clock.monotonic_ns()
        if request.command == "start":
            managed.standing = policy.ask_start(managed.standing)
            return True, f"{name} starts" if managed.child is None else f"{name} runs, or is on its way"
        if request.command == "restart":
            managed.standing, action = policy.ask_stop(managed.standing, now, again=True)
            self._act(managed, action)
            return True, f"{name} restarts"
        return self._kill(managed, request.args.get("signal", "TERM"))

    def _kill(self, managed: Managed, signal_name: str) -> tuple[bool, str]:
        number = signal_number(signal_name)
        if number is None:
            return False, f"unknown signal {signal_name!r}"
        if managed.child is None or not managed.child.alive():
            return False, f"{managed.name} is not running"
        pid = managed.child.pid
        managed.child.signal(number)
        return True, f"sent {signal.Signals(number).name} to {managed.name} (pid {pid})"

    def _switch(self, request: Request) -> tuple[bool, str]:
        """Write the HALT file or remove it; the trader looks at it before each order."""
        try:
            if request.command == "halt":
                cause = request.args.get("why", "") or "halted by a person"
                self._halt.set(cause, request.who, self._clock.wall_ns())
                return True, f"halted: {cause}"
            halt = self._halt.clear()
        except OSError as error:
            return False, f"{self._halt.path}: {error.strerror}"
        return True, f"resumed; it was halted: {halt.cause}" if halt else "it was not halted"

    # -- configuration ---------------------------------------------------------------------------

    def _watch_lab(self) -> None:
        """Carry the lab's addresses and events into the config when run/lab.json changes."""
        now = self._clock.monotonic_ns()
        if not self._base.simulated or now < self._lab_at_ns:
            return
        self._lab_at_ns = now + LAB_POLL_NS
        path = self._run_directory / LAB_FILE
        try:
            found = path.stat()
        except FileNotFoundError:
            return
        seen = (found.st_mtime_ns, found.st_ino)
        if seen == self._lab_seen:
            return
        self._lab_seen = seen
        try:
            merged = self._merge_lab(self._base, json.loads(path.read_text()))
        except ValueError as error:
            # msgspec's and json's errors are ValueErrors; the config that holds goes on.
            self.worker.report(f"run/lab.json: {error}")
            return
        self.worker.counters.add("lab_changes")
        self._publish_config(merged)
        self._addressed = True

    def _publish_config(self, config: Config) -> None:
        """Replace run/config.json atomically; workers notice the version within half a second."""
        self._version += 1
        config = sealed(msgspec.structs.replace(config, version=self._version))
        path = self._run_directory / CONFIG_FILE
        temporary = path.with_suffix(".new")
        temporary.write_bytes(encode(config))
        temporary.replace(path)
        self.worker.config = config
        self.worker.segment.set_config_version(config.version)
        row = RunRow(
            config.instance,
            config.profile,
            config.mode,
            config.data_directory,
            config.source,
            config.hash,
            "",
            "",
            self._clock.wall_ns(),
            VERSION,
            int(bool(config.simulated)),
        )
        self._run_table.put(0, row)


def _workers(config: Config) -> dict[str, Managed]:
    """The workers of a run, in the order in which they start."""
    names: list[tuple[str, tuple[str, ...]]] = []
    if config.simulated:
        names.append(("lab", ("lab",)))
    names += [(f"feed-{venue}", ("feed", venue)) for venue in config.feeds()]
    names += [("scanner", ("scanner",)), ("paper", ("paper",)), ("trader", ("trader",))]
    assert len(names) <= MAX_WORKERS
    return {name: Managed(name, arguments) for name, arguments in names}


def _ignore_config(_old: Config, _new: Config) -> None:
    """The supervisor writes the config; it does not follow it."""
