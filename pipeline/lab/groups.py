"""The groups of the simulated world: one basket and one ladder always open, now and then mispriced.

In: seed, divergence, steps, the spot price. Out: what its groups emit; contracts by their names.
Who runs it: `market.MarketModel`, after everything else in a step, so that the binary events' and spot
books' paths are what they are without groups. Pure.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import deque
from collections.abc import Callable

from pipeline.lab.contract import Contract
from pipeline.lab.group import Basket, Group, Strikes
from pipeline.lab.listing import Emit, Notice, StepTime

FIRST_LIVES_MS = (95_000, 125_000)
"""Lives of the first basket and the first ladder."""
LIFE_MS = (60_000, 300_000)
SHOWN_AFTER_SETTLEMENT_MS = 15_000
KEPT_FINISHED = 16
GAP_CENTS = (3, 8)
MISPRICED_MS = (500, 3_000)
BETWEEN_MS = (8_000, 16_000)


class Groups:
    """Groups that are open or lately finished, and their names."""

    def __init__(
        self,
        seed: int,
        divergence: float,
        time: StepTime,
        spot: Callable[[], float],
        forget: Callable[[Contract], None],
    ) -> None:
        """`spot` is Bitcoin's price in dollars now; `forget` is told of contracts that are let go."""
        self._seed, self._divergence, self._spot = seed, divergence, spot
        self._forget = forget
        self.live: list[Group] = []
        self._finished: deque[Group] = deque()
        self._index: dict[str, Contract] = {}
        self._numbers = 0
        self._lives = random.Random(f"{seed}/groups/lives")
        self._gaps = random.Random(f"{seed}/groups/gaps")
        self._next_gap_ms = 4_000
        for kind, life_ms in zip(("basket", "ladder"), FIRST_LIVES_MS, strict=True):
            self._open(kind, life_ms + self._lives.randrange(8_000), time)

    def find(self, name: str) -> Contract | None:
        """The contract with this ticker, token or condition."""
        return self._index.get(name)

    def contracts(self) -> list[Contract]:
        """All contracts of live and lately finished groups, oldest first."""
        return [contract for group in (*self._finished, *self.live) for contract in group.contracts]

    def step(self, time: StepTime, emit: Emit) -> bool:
        """One model step. True when the list of live groups has changed."""
        for group in self.live:
            group.step(time, emit)
        changed = self._roll(time, emit)
        self._misprice(time, emit)
        return changed

    def _open(self, kind: str, life_ms: int, time: StepTime) -> Group:
        self._numbers += 1
        group: Group
        if kind == "basket":
            group = Basket(self._seed, self._numbers, time.wall_ms, life_ms)
        else:
            day = f"{dt.datetime.fromtimestamp(time.wall_ms // 1_000, dt.UTC):%y%b%d}".upper()
            group = Strikes(self._seed, self._numbers, time.wall_ms, life_ms, self._spot, day)
        self.live.append(group)
        for contract in group.contracts:
            self._index.update(dict.fromkeys(contract.names(), contract))
        return group

    def _roll(self, time: StepTime, emit: Emit) -> bool:
        """Replace what closed, and let go of what has been settled long enough."""
        changed = False
        for group in list(self.live):
            if group.state == "closed" and not group.replaced:
                group.replaced = changed = True
                opened = self._open(group.kind, self._lives.randrange(*LIFE_MS), time)
                for contract in opened.contracts:
                    emit(Notice("opened", contract, time.stamp_us()))
            over_ms = group.settled_ms + SHOWN_AFTER_SETTLEMENT_MS
            if group.state == "settled" and time.wall_ms >= over_ms:
                changed = True
                self.live.remove(group)
                self._finish(group)
        return changed

    def _finish(self, group: Group) -> None:
        """Keep a finished group for its results; forget the oldest when there are too many."""
        self._finished.append(group)
        if len(self._finished) > KEPT_FINISHED:
            for contract in self._finished.popleft().contracts:
                for name in contract.names():
                    del self._index[name]
                self._forget(contract)

    def _misprice(self, time: StepTime, emit: Emit) -> None:
        """Every 8 to 16 s one group is mispriced by 3 to 8 cents (times the divergence) for 0.5 to 3 s."""
        if time.elapsed_ms < self._next_gap_ms:
            return
        self._next_gap_ms = time.elapsed_ms + self._gaps.randrange(*BETWEEN_MS)
        gap = round(self._gaps.randint(*GAP_CENTS) * self._divergence) * 100
        until_ms = time.elapsed_ms + self._gaps.randrange(*MISPRICED_MS)
        up, first = self._gaps.random() < 0.5, self._gaps.randrange(12)
        able = [group for group in self.live if group.can_misprice(time.wall_ms, MISPRICED_MS[1])]
        if gap == 0 or not able:
            return
        self._gaps.choice(able).misprice(gap, up, first, until_ms, time, emit)
