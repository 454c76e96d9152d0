"""Spare: one process that has loaded what workers need and waits to be told which of them it is.

In: how it is started, then the words of a worker. Out: that worker's process, in a hundredth of a second
instead of a third; and soon after another spare. Run by the supervisor's staff.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.supervisor.processes import Child

AGAIN_NS = 1_000_000_000
"""Between two starts of a spare, so that one that cannot live costs little."""

Start = Callable[[], Child]


class Spare:
    """The spare of a run, if there is to be one."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._child: Child | None = None
        self._next_ns = 0

    def keep(self, now_ns: int) -> None:
        """Have one. Call it while no worker is being started: loading takes a core for half a second."""
        if self._child is not None and not self._child.alive():
            self.end()
        if self._child is None and now_ns >= self._next_ns:
            self._next_ns = now_ns + AGAIN_NS
            try:
                self._child = self._start()
            except OSError:
                # No process or handle is left: a worker is then started in the ordinary way, and says so.
                return

    def take(self, words: tuple[str, ...], environment: dict[str, str], output: Path) -> Child | None:
        """The spare as the worker of these words; None where there is none to be had."""
        child, self._child = self._child, None
        return child if child is not None and child.become(words, environment, output) else None

    def end(self) -> None:
        """End it: it does nothing that could be left half done."""
        child, self._child = self._child, None
        if child is not None:
            child.end()
