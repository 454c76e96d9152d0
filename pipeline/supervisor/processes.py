"""Processes: starting, signalling, measuring and reaping worker processes. The door to subprocess, signal
and psutil.

In: a worker's name and arguments. Out: a child whose output goes to its own file, what it takes of the
machine, and its end. Run by the supervisor only; only its own children, or processes proven by their start
time, are ever signalled.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import psutil

from pipeline.supervisor.silence import NO_WAITS, Waits
from shm.segment import pid_start

SIGNALS = {"TERM": signal.SIGTERM, "KILL": signal.SIGKILL, "INT": signal.SIGINT, "HUP": signal.SIGHUP}
SIGNALS |= {"STOP": signal.SIGSTOP, "CONT": signal.SIGCONT, "ABRT": signal.SIGABRT, "QUIT": signal.SIGQUIT}
SIGNALS |= {"USR1": signal.SIGUSR1}


class Usage(NamedTuple):
    """What a process takes of the machine. `cpu_permille` is of one core since the last measurement; the
    switches are counts since its start.
    """

    cpu_permille: int
    rss_bytes: int
    descriptors: int
    threads: int
    voluntary_switches: int
    involuntary_switches: int


class Child:
    """One worker process that we started.

    One that is started `waiting` becomes the worker that it is told to be; it ends when we do.
    """

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], output: Path, *, waiting: bool = False
    ) -> None:
        """Start the process in a session of its own, so that a Ctrl-C at the terminal is ours alone."""
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as sink:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if waiting else subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=environment,
                start_new_session=True,
                close_fds=True,
            )
        self.pid = self._process.pid
        self.pid_start = pid_start(self.pid) or 0
        self._end_fd = _open_end(self.pid)
        self._measured: psutil.Process | None = None
        self._cpu_seconds = 0.0
        self._measured_ns = 0

    def become(self, words: Sequence[str], environment: dict[str, str], output: Path) -> bool:
        """Tell a waiting process which worker it is; False where nobody listens any more."""
        assert self._process.stdin is not None, "only a waiting process can be told"
        if not self.alive():
            self.end()
            return False
        order = {"words": list(words), "environment": environment, "output": str(output)}
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.close()
        except OSError:
            self.end()
            return False
        return True

    def end(self) -> None:
        """Kill it and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self.alive()

    @property
    def end_fd(self) -> int:
        """A descriptor that becomes readable when the process ends; -1 where the system has none."""
        return self._end_fd

    def alive(self) -> bool:
        """Whether it still runs; reaps it when not."""
        if self._process.poll() is None:
            return True
        if self._end_fd >= 0:
            os.close(self._end_fd)
            self._end_fd = -1
        return False

    def stopped(self) -> bool:
        """Whether a signal has stopped it (SIGSTOP) and none has woken it; unknown counts as no."""
        if self._end_fd < 0:
            return False
        try:
            # WNOWAIT: only a look, what there is to be waited for stays.
            seen = os.waitid(os.P_PIDFD, self._end_fd, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return seen is not None and seen.si_code == os.CLD_STOPPED

    def waits(self) -> Waits:
        """For how long its loop was ready to run and got no processor, and whether it waits for a disk now.

        The second number of /proc/PID/schedstat (sched-stats.rst of Linux) is that of the main thread, and so
        is the state. Where the system does not say, it has waited for nothing.
        """
        try:
            queued = int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1])
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError, IndexError):
            return NO_WAITS
        return Waits(queued, state == "D")

    @property
    def exit_status(self) -> int:
        """Exit code, minus the signal's number, or 0 while it runs."""
        return self._process.returncode or 0

    def signal(self, number: int) -> None:
        """Send a signal. A child that has ended but is not reaped yet swallows it: its pid is still ours."""
        if self.alive():
            self._process.send_signal(number)

    def usage(self, now_ns: int) -> Usage | None:
        """What it takes now; None once it has ended. `now_ns` gives the time between two measurements.

        psutil remembers when the process began, so a pid that was given to another is not measured for it.
        """
        try:
            if self._measured is None:
                self._measured = psutil.Process(self.pid)
            process = self._measured
            if not process.is_running():
                return None
            with process.oneshot():
                cpu, memory, switches = process.cpu_times(), process.memory_info(), process.num_ctx_switches()
                threads = process.num_threads()
                descriptors = _descriptors(process)
        except psutil.Error:
            # It ended while we looked: the supervisor sees that by itself.
            return None
        seconds = cpu.user + cpu.system
        elapsed_ns = now_ns - self._measured_ns if self._measured_ns else 0
        spent = max(seconds - self._cpu_seconds, 0.0)
        permille = round(spent * 1e12 / elapsed_ns) if elapsed_ns > 0 else 0
        self._cpu_seconds, self._measured_ns = seconds, now_ns
        counts = switches.voluntary, switches.involuntary
        return Usage(permille, memory.rss, descriptors, threads, *counts)


def _descriptors(process: psutil.Process) -> int:
    """Open file descriptors; 0 for a process that holds a secret and hides from all but the superuser."""
    try:
        return process.num_fds()
    except psutil.AccessDenied:
        return 0


class Interrupts:
    """Counts SIGINT, SIGTERM and SIGHUP: the first asks for an orderly end, the second for one now.

    A SIGHUP that our parent made us ignore (nohup) stays ignored.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first = ""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.first = self.first or signal.Signals(number).name


def _open_end(pid: int) -> int:
    """A pidfd of our child; -1 where the system has none (macOS) and the child is asked each turn."""
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def signal_proven(pid: int, started: int, number: int) -> bool:
    """Signal a process that is not our child, only if its start time proves that it is the one meant."""
    if pid <= 0 or pid == os.getpid() or pid_start(pid) != started:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def signal_number(name: str) -> int | None:
    """The number of a signal by its name, with or without SIG."""
    return SIGNALS.get(name.upper().removeprefix("SIG"))
