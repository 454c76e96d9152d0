"""Answers: what a thread has found, for a loop that never waits.

In: findings from one thread. Out: all of them at once, in order. Used by the feed's two REST threads.
"""

from __future__ import annotations

from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")


class Answers(Queue[T]):
    """A bounded queue. When nobody drains it the newest is dropped: who comes back asks again."""

    def __init__(self, most: int) -> None:
        """Room for `most` findings; `dropped` counts those that found none."""
        super().__init__(most)
        self.dropped = 0

    def offer(self, found: T) -> None:
        """Put a finding in, if there is room."""
        try:
            self.put_nowait(found)
        except Full:
            self.dropped += 1

    def drain(self) -> list[T]:
        """What has come since the last call; never waits."""
        found: list[T] = []
        while True:
            try:
                found.append(self.get_nowait())
            except Empty:
                return found
