"""Processes: starting, signalling and reaping worker processes. The door to subprocess and signal.

In: a worker's name and arguments. Out: a child whose output goes to its own file, and its end. Run by
the supervisor only; only its own children, or processes proven by their start time, are ever signalled.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from shm.segment import pid_start

SIGNALS = {"TERM": signal.SIGTERM, "KILL": signal.SIGKILL, "INT": signal.SIGINT, "HUP": signal.SIGHUP}
SIGNALS |= {"STOP": signal.SIGSTOP, "CONT": signal.SIGCONT, "ABRT": signal.SIGABRT, "QUIT": signal.SIGQUIT}


class Child:
    """One worker process that we started."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], output: Path) -> None:
        """Start the process in a session of its own, so that a Ctrl-C at the terminal is ours alone."""
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as sink:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=environment,
                start_new_session=True,
                close_fds=True,
            )
        self.pid = self._process.pid
        self.pid_start = pid_start(self.pid) or 0

    def alive(self) -> bool:
        """Whether it still runs; reaps it when not."""
        return self._process.poll() is None

    @property
    def exit_status(self) -> int:
        """Exit code, minus the signal's number, or 0 while it runs."""
        return self._process.returncode or 0

    def signal(self, number: int) -> None:
        """Send a signal. A child that has ended but is not reaped yet swallows it: its pid is still ours."""
        if self.alive():
            self._process.send_signal(number)


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
