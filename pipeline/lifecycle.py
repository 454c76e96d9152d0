"""Lifecycle: what every worker process shares: its segment, its beat, its config, its end.

In: a name, sections, counters and run/config.json. Out: a `Worker` whose `go_on` is called once a turn
of the worker's own loop, so that a heartbeat proves that very loop. Run inside every worker.

It ends in order at SIGTERM, and when its supervisor is gone, which the kernel tells it by the same signal
(PR_SET_PDEATHSIG). A worker that owns its segment no longer is fenced: it writes nothing more and ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

import msgspec

from pipeline.clock import Clock
from pipeline.config import Config, decode
from pipeline.logs import open_log
from pipeline.secrets import redact
from shm import segment as segments
from shm.layout import Section
from shm.tables import Counters, ErrorTable, counter_section, error_section

CONFIG_FILE = "config.json"
CONFIG_POLL_NS = 500_000_000
BEAT_NS = 20_000_000
# How often a worker looks whether its segment is still its own; after a longer stop it looks before all else.
FENCE_NS = 100_000_000
FENCED = 75
"""Exit code of a worker that lost its segment: EX_TEMPFAIL of sysexits.h, "try again"."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h
COMMON_COUNTERS = ("errors", "config_reloads", "config_refused")
SUPERVISOR_PID = "PARALLAX_SUPERVISOR_PID"
RUN_DIRECTORY = "PARALLAX_RUN_DIRECTORY"

OnConfig = Callable[[Config, Config], None]


class FencedError(SystemExit):
    """This process owns its segment no longer and ends, with FENCED, without a further write."""

    def __init__(self, why: str) -> None:
        super().__init__(FENCED)
        self.why = why

    def __str__(self) -> str:
        """What happened."""
        return self.why


class Worker:
    """One worker process. Use as a context; leave the loop when `go_on` says False."""

    def __init__(
        self,
        name: str,
        config: Config,
        clock: Clock,
        sections: Iterable[Section],
        counters: Sequence[str],
        on_config: OnConfig,
    ) -> None:
        os.umask(0o077)
        self.name = name
        self.config = config
        self.clock = clock
        self._on_config = on_config
        self.log = open_log(name, Path(config.data_directory), config.logs)
        names = (*COMMON_COUNTERS, *counters)
        self.segment = segments.create(
            Path(config.shm_directory),
            name,
            [counter_section(names), error_section(), *sections],
            segments.this_owner(config.version),
            monotonic_ns=clock.monotonic_ns(),
            wall_ns=clock.wall_ns(),
            sleep=clock.sleep,
        )
        self.counters = Counters(self.segment, names)
        self.errors = ErrorTable(self.segment)
        self._config_path = Path(config.run_directory) / CONFIG_FILE
        self._config_seen = (0, 0)
        self._next_poll_ns = 0
        self._next_beat_ns = 0
        self._next_fence_ns = 0
        self._stop = ""
        self._parent = int(os.environ.get(SUPERVISOR_PID, "0"))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if self._parent:
            # One that died before this is noticed by the first turn, which asks who the parent is.
            end_with_parent()
        self.log.info("started", pid=os.getpid(), epoch=self.segment.header.epoch, config=config.version)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop = "the supervisor is gone" if self._orphaned() else signal.Signals(number).name

    def _orphaned(self) -> bool:
        """Whether there was a supervisor, and it is not our parent any more."""
        return bool(self._parent) and os.getppid() != self._parent

    def __enter__(self) -> Self:
        """Enter the worker's life."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Log how it ended and let go of the segment; the file stays for its readers."""
        if isinstance(error, FencedError):
            # Its counters are not ours to write any more: the log is where this can be said.
            self.log.error("fenced", why=error.why, exit_code=FENCED)
        elif error is not None:
            self.report(f"{type(error).__name__}: {error}")
            self.log.crash("crashed")
        else:
            self.log.info("stopped", why=self._stop)
        self.segment.close()
        self.log.close()

    def go_on(self) -> bool:
        """Beat, notice a new config, and say whether to take another turn. Cheap: call it every turn.

        Raises FencedError, which nobody should catch, when the segment is not ours any more.
        """
        now = self.clock.monotonic_ns()
        if now >= self._next_fence_ns:
            self._next_fence_ns = now + FENCE_NS
            self._stay_owner()
        if now >= self._next_beat_ns:
            self.segment.beat(now)
            self._next_beat_ns = now + BEAT_NS
        if now >= self._next_poll_ns:
            self._next_poll_ns = now + CONFIG_POLL_NS
            self._poll_config()
            if self._orphaned():
                self._stop = "the supervisor is gone"
        return not self._stop

    def _stay_owner(self) -> None:
        """Before anything is written: is the segment still ours?"""
        why = self.segment.fenced()
        if why:
            raise FencedError(why)

    def busy(self, seconds: float) -> None:
        """Announce a bounded wait (connect, TLS): restarts wait for it, trading does not."""
        now = self.clock.monotonic_ns()
        self.segment.beat(now, now + round(seconds * 1e9))

    def report(self, text: str) -> None:
        """Count an error and keep its text, without a secret in it, among the distinct ones in memory."""
        self.counters.add("errors")
        self.errors.report(redact(text), self.clock.wall_ns())

    def _poll_config(self) -> None:
        try:
            status = self._config_path.stat()
            # Two replacements may fall into one tick of the file system's clock: the inode tells them apart.
            seen = (status.st_mtime_ns, status.st_ino)
            if seen == self._config_seen:
                return
            self._config_seen = seen
            fresh = decode(self._config_path.read_bytes())
        except FileNotFoundError:
            return
        except msgspec.MsgspecError as error:
            self.counters.add("config_refused")
            self.report(f"run/config.json: {error}")
            return
        if fresh.version == self.config.version:
            return
        old, self.config = self.config, fresh
        self.log.set_level(fresh.logs.of(self.name))
        self._on_config(old, fresh)
        self.segment.set_config_version(fresh.version)
        self.counters.add("config_reloads")


def end_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the process that started us ends; see prctl(2). Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
