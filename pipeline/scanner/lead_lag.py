"""Lead and lag: which leg of an event moves first, by how much, and how often.

In: best bid and ask of each leg whenever they change, with the time their message was received. Out: the
leading leg, or that there is none, with the median lag and counts. Pure; run by the scanner for events whose
legs are prices of the same thing.

A leg's mid moves; if the next leg to move within WINDOW_NS goes the same way, the first led it by the time in
between, and if it goes the other way, that is a contradiction. Moves of the first leg in the meantime
belong to its first one; if it goes back, nothing is left to follow. What the follower moves on the same way
is still its answer. On walks that know nothing of each other, leads and contradictions are alike frequent,
however much more often one of them moves; so a leg leads only if it is followed more often than
contradicted and also leads more often than the others, both by more than chance would have it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_NS = 2_000_000_000
LAGS = 101
"""The median is that of the last so many lags of each leg."""

LEAST_LEADS = 10
"""Fewer leads than these say nothing."""


@dataclass(frozen=True, slots=True)
class LeadSummary:
    """Leg `leg` (-1: neither) led `count` of `total` times; `lag_ns` is its median, 0 for neither.

    For neither, `count` is that of the leg which led most often.
    """

    leg: int
    lag_ns: int
    count: int
    total: int


NOTHING = LeadSummary(-1, 0, 0, 0)


class LeadLag:
    """Who leads among the legs of one event. `signs` is 1 for each leg, -1 for one of inverse polarity."""

    def __init__(self, signs: Sequence[int]) -> None:
        assert all(sign in {1, -1} for sign in signs), signs
        self._signs = tuple(signs)
        # Bid plus ask, twice the mid, in the leg's own ticks; None while a side is empty.
        self._mids: list[int | None] = [None] * len(signs)
        self._leads = [0] * len(signs)
        self._contradictions = [0] * len(signs)
        self._lags: list[deque[int]] = [deque(maxlen=LAGS) for _ in signs]
        # The move that waits for an answer, and the last one that was an answer: leg, way, time.
        self._first: tuple[int, int, int] | None = None
        self._answer: tuple[int, int, int] | None = None
        self._summary: LeadSummary | None = NOTHING

    def quote(self, leg: int, bid_ticks: int | None, ask_ticks: int | None, at_ns: int) -> None:
        """The best prices of a leg at a time of receipt; None for a side that is empty or not believed.

        After such a gap the next prices are a new beginning and no move.
        """
        mid = None if bid_ticks is None or ask_ticks is None else bid_ticks + ask_ticks
        before = self._mids[leg]
        if mid == before:
            return
        self._mids[leg] = mid
        if mid is not None and before is not None:
            self._moved(leg, self._signs[leg] * (1 if mid > before else -1), at_ns)

    def summary(self) -> LeadSummary:
        """Who leads by what has been seen so far."""
        if self._summary is None:
            self._summary = self._judged()
        return self._summary

    def _moved(self, leg: int, way: int, at_ns: int) -> None:
        first, answer = self._first, self._answer
        if first is not None and abs(at_ns - first[2]) > WINDOW_NS:
            first = None
        if first is None:
            going_on = answer is not None and answer[:2] == (leg, way) and abs(at_ns - answer[2]) <= WINDOW_NS
            self._first = None if going_on else (leg, way, at_ns)
            self._answer = answer if going_on else None
        elif first[0] == leg:
            self._first = first if first[1] == way else None
        else:
            # Feeds are read one after the other: the move that we saw last may have come first.
            leader, follower = (first[0], leg) if at_ns >= first[2] else (leg, first[0])
            self._note(leader, abs(at_ns - first[2]), same=first[1] == way)
            self._first = None
            self._answer = (follower, way, max(at_ns, first[2])) if first[1] == way else None

    def _note(self, leader: int, lag_ns: int, *, same: bool) -> None:
        """Count one lead or contradiction; of two moves in one instant neither led."""
        if not lag_ns:
            return
        self._summary = None
        if same:
            self._leads[leader] += 1
            self._lags[leader].append(lag_ns)
        else:
            self._contradictions[leader] += 1

    def _judged(self) -> LeadSummary:
        """The leg that led most, if both its numbers are beyond two standard deviations of a fair coin."""
        total = sum(self._leads)
        leg = max(range(len(self._leads)), key=self._leads.__getitem__)
        count = self._leads[leg]
        answered = count + self._contradictions[leg]
        if count < LEAST_LEADS or not (_beyond_chance(count, answered) and _beyond_chance(count, total)):
            return LeadSummary(-1, 0, count, total)
        return LeadSummary(leg, sorted(self._lags[leg])[len(self._lags[leg]) // 2], count, total)


def _beyond_chance(count: int, total: int) -> bool:
    """Whether 2k - n > 2 sqrt(n): more than two standard deviations above half of n."""
    excess = 2 * count - total
    return excess > 0 and excess * excess > 4 * total
