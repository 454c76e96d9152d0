"""Replay player: where a tape stands, and which of its lines is due.

In: the tape's lines, time, orders. Out: lines one at a time, in the tape's order, and the position. Pure but
for the iterator that it is given. Used by the lab's replay.

The tape's time is its lines' own `t`. It stands still while paused, runs `speed` times as fast as ours while
playing, and never runs back: a line that is older than the one before it is due at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from pipeline.tape import BrokenLine, TapeLine
from pipeline.tape_orders import AS_RECORDED_PPM, FASTEST_PPM, TapeOrder, place_ns, speed_ppm

Lines = Callable[[], Iterator[TapeLine | BrokenLine]]


class State(IntEnum):
    """The `state` cell of `shm.records.ReplayRow`."""

    PLAYING = 0
    PAUSED = 1
    SEEKING = 2
    ENDED = 3
    UNREADABLE = 4


@dataclass(frozen=True, slots=True)
class Extent:
    """What a first look at the whole tape found: times of its first and latest line, lines, broken ones."""

    first_ns: int
    last_ns: int
    lines: int
    broken: int


def measure(lines: Iterator[TapeLine | BrokenLine], beat: Callable[[], object]) -> Extent:
    """Read the whole tape once; `beat` is called every 1,000 lines."""
    first = last = count = broken = 0
    for line in lines:
        if isinstance(line, BrokenLine):
            broken += 1
        else:
            first = first if count else line.t_ns
            last = max(last, line.t_ns)
            count += 1
            if count % 1000 == 0:
                beat()
    return Extent(first, max(first, last), count, broken)


class Player:
    """Plays one tape. `frames` lines of it were taken, `at_ns` is the tape's time as of the last call."""

    def __init__(self, lines: Lines, extent: Extent, ppm: int) -> None:
        self._make = lines
        self._lines = lines()
        self._next: TapeLine | None = None
        self.extent = extent
        self.speed_ppm = ppm
        self.paused = False
        self.ended = False
        self.at_ns = extent.first_ns
        self.frames = 0
        self.bad_lines = 0
        self.problem = ""
        self._goal_ns: int | None = None
        self._steps = 0
        self._origin_ns = self._from_ns = 0
        self._advance()

    @property
    def state(self) -> State:
        """Where it stands."""
        if self._goal_ns is not None:
            return State.SEEKING
        if self.ended:
            return State.UNREADABLE if self.problem else State.ENDED
        return State.PAUSED if self.paused else State.PLAYING

    def start(self, now_ns: int) -> None:
        """The tape's time runs from here on, as of now: call it after every delay that is not the tape's."""
        self._origin_ns, self._from_ns = now_ns, self.at_ns

    def obey(self, order: TapeOrder, now_ns: int) -> bool:
        """Do what was ordered; whether the tape begins anew for it. Raises TapeOrderError."""
        self._run_on(now_ns)
        again = False
        if order.action == "pause":
            self.paused = True
        elif order.action == "resume":
            self.paused = False
        elif order.action == "speed":
            self.speed_ppm = speed_ppm(order.value)
        elif order.action == "step":
            # On the way to a place it stops where it is.
            self.paused, self._goal_ns = True, None
            self._steps += 1
        elif order.action == "seek":
            again = self._seek(place_ns(order.value, self.extent.first_ns, self.extent.last_ns, self.at_ns))
        self.start(now_ns)
        return again

    def _seek(self, goal_ns: int) -> bool:
        again = goal_ns < self.at_ns
        if again:
            self._lines = self._make()
            self.at_ns = self.extent.first_ns
            self.frames = self.bad_lines = 0
            self.ended, self.problem = False, ""
            self._advance()
        self._steps = 0
        self._goal_ns = goal_ns
        return again

    def take(self, now_ns: int) -> TapeLine | None:
        """The next line, if it is due."""
        self._run_on(now_ns)
        line = self._next
        if line is None or not self._due(line):
            if self._goal_ns is not None:
                # Whatever was to be played on the way has been.
                self.at_ns = max(self.at_ns, self._goal_ns)
                self._goal_ns = None
                self.start(now_ns)
            return None
        self._steps -= bool(self._steps)
        self.frames += 1
        self.at_ns = max(self.at_ns, line.t_ns)
        self._advance()
        return line

    def wait_ns(self, now_ns: int) -> int:
        """How long until the next line is due at this speed; a second where none will be by itself."""
        line = self._next
        if line is None or (self.paused and self._goal_ns is None and not self._steps):
            return 1_000_000_000
        if self._due(line):
            return 0
        return max(
            0, (line.t_ns - self._from_ns) * AS_RECORDED_PPM // self.speed_ppm - now_ns + self._origin_ns
        )

    def _due(self, line: TapeLine) -> bool:
        if self._goal_ns is not None:
            return line.t_ns <= self._goal_ns
        if self.paused:
            return self._steps > 0
        return self.speed_ppm == FASTEST_PPM or line.t_ns <= self.at_ns

    def _run_on(self, now_ns: int) -> None:
        """Let the tape's time pass, up to its next line at most: what was not taken has not been played."""
        if self.paused or self._goal_ns is not None or self._next is None or self.speed_ppm == FASTEST_PPM:
            return
        place = self._from_ns + (now_ns - self._origin_ns) * self.speed_ppm // AS_RECORDED_PPM
        self.at_ns = max(self.at_ns, min(place, self._next.t_ns))

    def _advance(self) -> None:
        """Look at the next good line."""
        self._next = None
        try:
            for line in self._lines:
                if isinstance(line, TapeLine):
                    self._next = line
                    return
                self.bad_lines += 1
                if line.final:
                    self.problem = f"line {line.number}: {line.why}"
        except OSError as error:
            # It was there when it was measured: somebody has moved it away, or the disk fails.
            self.problem = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        self.ended = True
