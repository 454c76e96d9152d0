"""Doorbell: a feed wakes the scanner, but only if the scanner says that it sleeps.

In: the scanner's segment. Out: one byte into the run's FIFO. Used by a feed after it has published.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.bus_bell import Bell
from pipeline.clock import Clock
from shm import segment as segments

# The scanner's segment is looked up again so often, because it may have been restarted.
SEARCH_NS = 100_000_000


class Doorbell:
    """The way to the scanner of one run."""

    def __init__(self, shm_directory: Path, run_directory: Path, clock: Clock) -> None:
        self._shm_directory = shm_directory
        self._run_directory = run_directory
        self._clock = clock
        self._bell: Bell | None = None
        self._scanner: segments.View | None = None
        self._search_ns = 0

    def ring(self, now_ns: int) -> bool:
        """Wake the scanner if it sleeps; whether that was needed."""
        if now_ns >= self._search_ns:
            self._find(now_ns)
        scanner = self._scanner
        if scanner is None or not scanner.header.sleeping:
            return False
        # A scanner that sleeps has opened the bell, so it is there.
        self._bell = self._bell or Bell(self._run_directory)
        self._bell.ring()
        return True

    def _find(self, now_ns: int) -> None:
        self._search_ns = now_ns + SEARCH_NS
        if self._scanner is None or self._scanner.outdated():
            try:
                self._scanner = segments.attach(self._shm_directory, "scanner")
            except segments.SegmentError:
                self._scanner = None
