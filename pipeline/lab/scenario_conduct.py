"""Conduct: what the simulated venues' markets do because a scenario says so: wide quotes, more trades, a gap
between the venues of an event.

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
from pipeline.lab.scenario import CONDUCT_KINDS, DIVERGE, Step

ENDLESS_MS = 1 << 40
"""A gap that is to stay to the end."""


class Conduct:
    """The markets' part of a scenario."""

    def __init__(self, steps: Sequence[Step], seed: int) -> None:
        """Nothing has happened yet."""
        self._scripted = self._steps = _conduct(steps)
        self._begun: set[Step] = set()
        self._over: set[Step] = set()
        self._random = random.Random(f"{seed}/conduct")

    def order(self, steps: Sequence[Step]) -> None:
        """Beside the script do this, in place of what was ordered before: gaps of then are over."""
        self._steps = (*self._scripted, *_conduct(steps))
        self._over |= self._begun.difference(self._steps)
        self._begun.intersection_update(self._steps)

    def act(self, live: Iterable[BinaryEvent], time: StepTime, emit: Emit) -> None:
        """One model step: bring each market to what is asked of it now. An event that is never to pay
        keeps its own width.
        """
        live = list(live)
        for step in self._over:
            self._end(step, live, time)
        self._over.clear()
        if not self._steps:
            return
        wide, trades = self._now("wide", time), self._now("trades", time)
        self._diverge(live, time, emit)
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

    def _diverge(self, live: Sequence[BinaryEvent], time: StepTime, emit: Emit) -> None:
        """Open the gaps that are due and were not opened yet: the venue's own prices rise, if there is room,
        else the other's fall. An event that cannot diverge now may a little later.
        """
        for step in self._steps:
            if step.what != DIVERGE or step in self._begun or not step.is_on(time.elapsed_ms):
                continue
            lasts_ms = step.until_ms - time.elapsed_ms if step.until_ms else 0
            for event in live:
                if event.id == step.market and event.can_diverge(time.wall_ms, lasts_ms):
                    cents = int(step.value)
                    if event.diverge(step.venue, cents * CENT, _until_ms(step), True, time, emit):
                        self._begun.add(step)

    def _end(self, step: Step, live: Sequence[BinaryEvent], time: StepTime) -> None:
        """Have the event's next step close the gap that this one opened, if it still stands."""
        for event in live:
            if event.id == step.market and event.diverged_until_ms == _until_ms(step):
                event.diverged_until_ms = time.elapsed_ms

    def _now(self, what: str, time: StepTime) -> dict[str, int]:
        """By venue the value that is asked for now; of two the larger."""
        found: dict[str, int] = {}
        for step in self._steps:
            if step.what == what and step.is_on(time.elapsed_ms):
                found[step.venue] = max(int(step.value), found.get(step.venue, 0))
        return found


def _until_ms(step: Step) -> int:
    return step.until_ms or ENDLESS_MS


def _conduct(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps that are the markets' part."""
    return tuple(step for step in steps if step.what in CONDUCT_KINDS)
