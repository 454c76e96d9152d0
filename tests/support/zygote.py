"""A process that has imported the trader and forks real traders: each starts in a hundredth of the time.

In: lines on stdin: "start RUN_DIRECTORY POINT SIGNAL" with a crash point or "-" and what it sends itself
there, and "clear". Out: a line for each start: "pid NUMBER", and when that trader has ended, "ended NUMBER
STATUS" (a signal is negative); for "clear", when no trader is left, "cleared". Run once a test process by
`trader_run` as `python -m tests.support.zygote`; it ends, and its trader with it, when stdin does.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

from pipeline.clock import SystemClock
from pipeline.config import decode
from pipeline.crash import VARIABLE, CrashPoints
from pipeline.lifecycle import CONFIG_FILE
from pipeline.trader import worker
from pipeline.trader.worker import Trader


def main() -> None:
    """Serve until stdin ends."""
    running = 0
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], 0.002 if running else None)
        if ready:
            line = sys.stdin.readline()
            if not line:
                break
            if line == "clear\n":
                if running:
                    os.kill(running, signal.SIGKILL)
                    os.waitpid(running, 0)
                    running = 0
                print("cleared", flush=True)
                continue
            directory, point, number = line.split()[1:]
            running = start(Path(directory), point, number)
            print(f"pid {running}", flush=True)
        if running:
            pid, status = os.waitpid(running, os.WNOHANG)
            if pid:
                running = 0
                print(f"ended {pid} {os.waitstatus_to_exitcode(status)}", flush=True)
    if running:
        os.kill(running, signal.SIGKILL)


class Stops(CrashPoints):
    """Stops at the point instead of killing; whoever waits for it lets it go on."""

    def at(self, name: str) -> None:
        """Pass a point."""
        if name == self._name:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGSTOP)


def start(run_directory: Path, point: str, number: str) -> int:
    """Fork a trader that kills (or stops) itself at `point` ("-": at none); its pid."""
    pid = os.fork()
    if pid:
        return pid
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.environ[VARIABLE] = "" if point == "-" else point
    if int(number) == signal.SIGSTOP:
        worker.from_environment = lambda: Stops(point)
    status = 1
    try:
        Trader(decode((run_directory / CONFIG_FILE).read_bytes()), SystemClock()).run()
        status = 0
    finally:
        os._exit(status)
    return 0


if __name__ == "__main__":
    main()
