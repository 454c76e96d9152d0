"""Conduct: what the simulated venues' markets do because a scenario says so: wide quotes, more trades.

In: the steps of a scenario, the time of each model step, the live binary events. Out: book batches and
trades through a callback, as from the events themselves. Pure; run by `market.MarketModel`. Chance is of
its own, so that a world without a script is the same as ever.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from pipeline.lab.binary import BinaryEvent
from pipeline.lab.listing import STEP_MS, Emit, StepTime
from pipeline.lab.quotes import CENT
from pipeline.lab.scenario import CONDUCT_KINDS, Step


class Conduct:
    """The markets' part of a scenario."""

    def __init__(self, steps: Sequence[Step], seed: int) -> None:
        """Nothing has happened yet."""
        self._steps = tuple(step for step in steps if step.what in CONDUCT_KINDS)
        self._random = random.Random(f"{seed}/conduct")

    def act(self, live: Iterable[BinaryEvent], time: StepTime, emit: Emit) -> None:
        """One model step: bring each market to what is asked of it now. An event that is never to pay
        keeps its own width.
        """
        if not self._steps:
            return
        wide, trades = self._now("wide", time), self._now("trades", time)
        for event in live:
            if event.state != "active":
                continue
            for side in (event.kalshi, event.polymarket):
                asked = 0 if event.topic.never_pays else wide.get(side.venue, 0) * CENT
                if side.quotes.least_width != asked:
                    side.quotes.least_width = asked
                    event.send(side, side.quotes.move(side.reference), time, emit)
                rate = trades.get(side.venue, 0)
                if rate and self._random.random() < rate * STEP_MS / 1_000:
                    event.trade(side, time, emit)

    def _now(self, what: str, time: StepTime) -> dict[str, int]:
        """By venue the value that is asked for now; of two the larger."""
        found: dict[str, int] = {}
        for step in self._steps:
            if step.what == what and step.is_on(time.elapsed_ms):
                found[step.venue] = max(int(step.value), found.get(step.venue, 0))
        return found
