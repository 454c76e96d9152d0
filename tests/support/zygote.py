"""A process that has imported trader and paper exchange and forks real ones, each in a hundredth of the time.

In: lines on stdin: "trader RUN_DIRECTORY POINT SIGNAL" with a crash point or "-" and what it sends itself
there, "paper RUN_DIRECTORY", and "clear". Out: a line for each start: "pid NUMBER"; when a trader has ended,
"ended NUMBER STATUS" (a signal is negative); for "clear", when neither is left, "cleared". Run once a test
process by `trader_run` as `python -m tests.support.zygote`; it and its children end when stdin does.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.clock import SystemClock
from pipeline.config import Config, decode
from pipeline.crash import VARIABLE, CrashPoints
from pipeline.lifecycle import CONFIG_FILE
from pipeline.paper.worker import PaperVenue
from pipeline.trader import worker
from pipeline.trader.worker import Trader


def main() -> None:
    """Serve until stdin ends."""
    running: dict[int, str] = {}
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], 0.002 if running else None)
        words = sys.stdin.readline().split() if ready else []
        if ready and words in ([], ["clear"]):
            end(running)
            if not words:
                break
            print("cleared", flush=True)
        elif ready:
            pid = start(*words)
            running[pid] = words[0]
            print(f"pid {pid}", flush=True)
        for pid in list(running):
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone and running.pop(pid) == "trader":
                print(f"ended {pid} {os.waitstatus_to_exitcode(status)}", flush=True)


def end(running: dict[int, str]) -> None:
    """Kill the trader, end the exchange in order, and wait for both."""
    for pid, role in running.items():
        os.kill(pid, signal.SIGKILL if role == "trader" else signal.SIGTERM)
    for pid in running:
        os.waitpid(pid, 0)
    running.clear()


class Stops(CrashPoints):
    """Stops at the point instead of killing; whoever waits for it lets it go on."""

    def at(self, name: str) -> None:
        """Pass a point."""
        if name == self._name:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGSTOP)


def start(role: str, run_directory: str, point: str = "-", number: str = "9") -> int:
    """Fork a worker; a trader kills (or stops) itself at `point` ("-": at none); its pid."""
    pid = os.fork()
    if pid:
        return pid
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.environ[VARIABLE] = "" if point == "-" else point
    if int(number) == signal.SIGSTOP:
        worker.from_environment = lambda: Stops(point)
    make: Callable[[Config, SystemClock], Trader | PaperVenue] = Trader if role == "trader" else PaperVenue
    status = 1
    try:
        make(decode((Path(run_directory) / CONFIG_FILE).read_bytes()), SystemClock()).run()
        status = 0
    finally:
        os._exit(status)
    return 0


if __name__ == "__main__":
    main()
