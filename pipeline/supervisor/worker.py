"""Supervisor worker: the loop that keeps the workers of one data directory up.

In: a resolved config, ends and heartbeats of the workers, commands, changes of the configuration. Out: worker
processes, the segment `supervisor` (worker table, usage, run), run/config.json. Started by `run.py up`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from pipeline import bus, guards
from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.config_changes import Settings
from pipeline.lifecycle import Worker
from pipeline.supervisor import cleanup
from pipeline.supervisor.commands import Commands
from pipeline.supervisor.configuration import Configuration, MergeLab
from pipeline.supervisor.control import Doors
from pipeline.supervisor.notify import Notifier
from pipeline.supervisor.processes import Interrupts
from pipeline.supervisor.staff import MAX_WORKERS, Staff
from shm import segment as segments
from shm.records import RUN, USAGE, WORKER

COUNTERS = (
    "starts",
    "exits",
    "kills",
    "spares_used",
    "flaps",
    "commands",
    "commands_refused",
    "frames_refused",
    "lab_changes",
)
# A turn waits so long at most. Ends of workers and commands cut it short; where the system cannot say that a
# child ended (no pidfd), the turn is as short as an end may go unseen.
TURN_MS, BLIND_TURN_MS = 20, 5
ROLE = "supervisor"
ROLE_TRIES = 20


class Supervisor:
    """The life of one run. Raises bus.RoleTakenError when another supervisor has the data directory.

    `spare_word` is the script's word for a process that waits to become a worker; without one none waits.
    """

    def __init__(
        self,
        config: Config,
        script: Path,
        clock: Clock,
        random: Random,
        merge_lab: MergeLab,
        settings: Settings | None = None,
        spare_word: str = "",
    ) -> None:
        self._run_directory = Path(config.run_directory)
        self._shm_directory = Path(config.shm_directory)
        self._clock = clock
        self._stopping = False
        self.lost = ""
        os.umask(0o077)
        self._role = _take_role(self._run_directory)
        try:
            cleanup.leftovers(self._run_directory, self._shm_directory, clock)
            key = bus.make_key(self._run_directory)
            bus.make_bell(self._run_directory)
            tables = [WORKER.section("workers", MAX_WORKERS), USAGE.section("usage", MAX_WORKERS)]
            sections = [*tables, RUN.section("run", 1)]
            self._doors = Doors(config.control, self._run_directory, key, clock)
            self.worker = Worker(ROLE, config, clock, sections, COUNTERS, _ignore_config)
        except BaseException:
            # What could not begin leaves nothing behind, but for workers that did not end.
            cleanup.directories(self._run_directory, self._shm_directory)
            self._role.close()
            raise
        self._interrupts = Interrupts()
        self._own = segments.attach(self._shm_directory, ROLE)
        self._notifier = Notifier(os.environ)
        self._configuration = Configuration(config, self.worker, clock, merge_lab, settings)
        on = guards.of(self.worker, os.environ, "death", "hang")
        started = self._configuration.restarted
        self._staff = Staff(config, self.worker, script, clock, random, on, started, spare_word)
        self._commands = Commands(self.worker, self._staff, self._configuration, clock, self._end)

    def run(self, on_turn: Callable[[], bool], before_stop: Callable[[], None]) -> None:
        """Supervise until asked to stop or `on_turn` says False; then stop everything and clean up.

        `before_stop` is called while every worker still runs. Afterwards `lost` says what made going on
        impossible, "" where nothing did.
        """
        self._notifier.send("READY=1")
        try:
            with self.worker as worker:
                try:
                    while self._goes_on() and on_turn():
                        self.turn()
                    self._notifier.send("STOPPING=1")
                    self.worker.log.info("ending", why=self._interrupts.first or self.lost)
                    before_stop()
                finally:
                    # Whatever goes wrong above, no worker is left behind.
                    self._staff.stop_all(self._at_once)
                    cleanup.segments_of(self._shm_directory, keep=worker.name)
                    worker.segment.close(unlink=not self.lost)
        finally:
            self._doors.close()
            self._notifier.close()
            if self.lost:
                cleanup.segments_of(self._shm_directory, keep="")
            if self._role.holds() or not self._role.path.exists():
                # Else somebody took the role that was removed, and the directory is that run's.
                cleanup.directories(self._run_directory, self._shm_directory)
            self._role.close()

    def turn(self) -> None:
        """One turn: wait for something to do, then commands, the configuration, each worker."""
        waiting = [*self._doors.sources(), *self._staff.ends()]
        bus.wait_any(waiting, BLIND_TURN_MS if self._staff.blind else TURN_MS)
        for word in self._doors.serve(self._commands.obey):
            # It is counted and not answered.
            self.worker.counters.add("frames_refused")
            self.worker.report(f"control: {word} frame")
        self._configuration.watch()
        self._staff.turn(addressed=self._configuration.addressed)
        self._notifier.beat(self._clock.monotonic_ns())

    def _goes_on(self) -> bool:
        """Beat, and say whether to take another turn."""
        gone = self._gone()
        if gone:
            # Made anew it would not be what readers, workers and the next supervisor know, with nobody able
            # to say what else was removed. The run ends in order, and what starts next starts clean.
            self.lost = f"{gone} was removed or replaced: nobody could see or command the run any more"
            self.worker.log.error("run directory damaged", path=str(gone))
            return False
        return self.worker.go_on() and not self._stopping and not self._interrupts.count

    def _gone(self) -> Path | None:
        """What a run cannot be without and somebody took away."""
        if self._own.outdated():
            return self._own.path
        if not self._role.holds():
            return self._role.path
        needed = (self._run_directory / name for name in (bus.CONTROL, bus.KEY_FILE))
        return next((path for path in needed if not path.exists()), None)

    def _at_once(self) -> bool:
        """Whether somebody asked a second time."""
        return self._interrupts.count > 1

    def _end(self) -> None:
        self._stopping = True


def _take_role(run_directory: Path) -> bus.RoleLock:
    """Be the one supervisor of a run directory, which an ending run may be removing at this moment."""
    for _ in range(ROLE_TRIES):
        segments.make_directory(run_directory)
        try:
            return bus.RoleLock(run_directory, ROLE)
        except FileNotFoundError:
            continue
    raise bus.BusError(f"{run_directory} is removed again and again: is another run just ending there?")


def _ignore_config(_old: Config, _new: Config) -> None:
    """The supervisor writes the config; it does not follow it."""
