"""Groups of markets that hang together: a basket of which one outcome wins, a ladder of strikes.

In: the time of each model step, the spot price, orders of the world to misprice. Out: book batches, trades
and notices. Who runs it: `groups.Groups`. All randomness comes from the seed, in streams of their own.

The ladders of a group are moved together, falling ones first, so that without mispricing they contradict
each other in no state and, by less than the fees, in none between two messages either.
"""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

from pipeline.lab.contract import GRID, Contract, Terms
from pipeline.lab.exchange import utc_seconds
from pipeline.lab.listing import (
    STEP_MS,
    Emit,
    Ended,
    Notice,
    Rolling,
    State,
    StepTime,
)
from pipeline.lab.quotes import ONE

HOLD_MS = 250
"""Rest between two moves of a group's references."""
LOWEST, HIGHEST = 300, 9_600
"""Where references stay, in 1e-4 dollars."""
LARGEST_SHIFT = 2_500
"""A mispriced ladder is at most so far from its place."""
PLAYERS = ("Ada", "Ben", "Cleo")
BTC_SIGMA = 7.1e-5
"""Volatility of the lab's Bitcoin over one second: `spot.SpotPair`, calm and wild together."""
STRAY_VARIANCE = 2.3e-8
"""Variance of one venue's price around the common one: `spot.SpotBook`."""
STRIKES_APART = 0.2
"""Distance of two strikes in standard deviations of the price at the close, seen from the opening."""


def whole_second(wall_ms: int) -> int:
    """The next full second of wall time."""
    return -(-wall_ms // 1_000) * 1_000


class Group(Rolling):
    """What baskets and ladders share: a life, references that move together, one mispriced ladder."""

    kind: Literal["basket", "ladder"]

    def __init__(self, name: str, title: str, open_ms: int, close_ms: int) -> None:
        """`name` is the event's id; subclasses fill `contracts`."""
        self.id, self.title = name, title
        self.open_ms, self.close_ms = open_ms, close_ms
        self.state: State = "active"
        self.replaced = False
        self.mispriced_until_ms: int | None = None
        self.contracts: list[Contract] = []
        self._hold_until_ms = 0

    def can_misprice(self, wall_ms: int, longest_ms: int) -> bool:
        """Whether there is time enough left, and all ladders are in their places."""
        return (
            self.state == "active"
            and self.mispriced_until_ms is None
            and self.open_ms + 1_000 <= wall_ms < self.close_ms - longest_ms - 2_000
        )

    def misprice(self, gap: int, up: bool, first: int, until_ms: int, time: StepTime, emit: Emit) -> bool:
        """Move one ladder (the `first`, or the next with room) so that the group's best prices leave
        `gap` (1e-4 dollars) before fees until `until_ms` of elapsed time. False without room for it.
        """
        for contract, shift in self._shifts(gap, up, first):
            shift = (-(-shift // GRID) if up else shift // GRID) * GRID  # noqa: PLW2901 - onto the grid
            bid, ask = contract.side.quotes.quoted()
            if abs(shift) <= LARGEST_SHIFT and bid + shift <= HIGHEST and ask + shift >= LOWEST:
                contract.side.quotes.offset = shift
                self.mispriced_until_ms = until_ms
                self._move([contract], time, emit)
                return True
        return False

    @abstractmethod
    def _fair(self, wall_ms: int) -> Sequence[float]:
        """Each contract's probability now."""

    @abstractmethod
    def _shifts(self, gap: int, up: bool, first: int) -> list[tuple[Contract, int]]:
        """Which ladders could be moved, and how far, to leave the gap."""

    @abstractmethod
    def _paying(self) -> Sequence[bool]:
        """Which contracts pay, asked once, when the group is determined."""

    def _follow(self, time: StepTime, emit: Emit) -> None:
        """End a mispricing that is over; else follow the fair prices, all contracts at once."""
        if self.mispriced_until_ms is not None:
            if time.elapsed_ms < self.mispriced_until_ms:
                return
            self.mispriced_until_ms = None
            for contract in self.contracts:
                contract.side.quotes.offset = 0
            self._move(self.contracts, time, emit)
        if time.elapsed_ms < self._hold_until_ms:
            return
        wanted = [share * ONE for share in self._fair(time.wall_ms)]
        slack = 0.3 * GRID
        sides = [contract.side for contract in self.contracts]
        if all(-slack <= want - s.reference < GRID + slack for want, s in zip(wanted, sides, strict=True)):
            return
        moves = []
        for contract, reference in zip(self.contracts, references(wanted), strict=True):
            if reference != contract.side.reference:
                moves.append((reference > contract.side.reference, contract))
                contract.side.reference = reference
        falling = [contract for rises, contract in reversed(moves) if not rises]
        self._move(falling + [contract for rises, contract in moves if rises], time, emit)
        self._hold_until_ms = time.elapsed_ms + HOLD_MS

    def _move(self, contracts: Sequence[Contract], time: StepTime, emit: Emit) -> None:
        for contract in contracts:
            side = contract.side
            contract.send(side, side.quotes.move(side.reference), time, emit)

    def _close(self, time: StepTime, emit: Emit) -> None:
        for contract in self.contracts:
            contract.send(contract.side, contract.side.quotes.book.clear(), time, emit)
        self._enter("closed", time, emit)

    def _stir(self, time: StepTime, emit: Emit) -> None:
        for contract in self.contracts:
            for _ in range(contract.side.bursts.due(time.elapsed_ms)):
                contract.churn(contract.side, time, emit)

    def _decide(self) -> None:
        for contract, pays in zip(self.contracts, self._paying(), strict=True):
            contract.result = "yes" if pays else "no"

    def _enter(self, state: Ended, time: StepTime, emit: Emit) -> None:
        self.state = state
        for contract in self.contracts:
            contract.state = state
        for contract in self.contracts:
            emit(Notice(state, contract, time.stamp_us()))


def references(wanted: Sequence[float]) -> list[int]:
    """References on the grid at or below prices in 1e-4 dollars, where ladders can stand."""
    return [min(max(int(price) // GRID * GRID, LOWEST), HIGHEST) for price in wanted]


class Basket(Group):
    """Three outcomes on Polymarket of which exactly one wins."""

    kind = "basket"

    def __init__(self, seed: int, number: int, wall_ms: int, life_ms: int) -> None:
        """Open now and close after `life_ms`, rounded up to a second."""
        close_ms = whole_second(wall_ms + life_ms)
        name, close = f"sim-cup-{number}", utc_seconds(close_ms)
        super().__init__(name, f"SIM winner of the Loopback Cup by {close[11:19]}?", wall_ms, close_ms)
        self._walk = random.Random(f"{seed}/{name}/walk")
        self._weights = [self._walk.uniform(-0.5, 0.5) for _ in PLAYERS]
        places = references([share * ONE for share in self._fair(wall_ms)])
        for index, (player, reference) in enumerate(zip(PLAYERS, places, strict=True)):
            terms = Terms(
                "polymarket",
                f"{name}-{player.lower()}",
                number * len(PLAYERS) + index,
                f"SIM {player} wins the Loopback Cup by {close[11:19]}?",
                f"Resolves Yes if {player} wins by the lab's own seeded draw at {close}; exactly one of "
                f"{', '.join(PLAYERS)} wins; a simulated question, never void.",
                group_title=player,
            )
            self.contracts.append(Contract(terms, seed, wall_ms, close_ms, reference))

    def _drift(self) -> None:
        sigma = 0.04 * math.sqrt(STEP_MS / 1_000)
        self._weights = [
            min(max(weight + self._walk.gauss(0.0, sigma), -0.8), 0.8) for weight in self._weights
        ]

    def _fair(self, _wall_ms: int) -> list[float]:
        """Shares that add up to one, each between 9 % and 72 %."""
        powers = [math.exp(weight) for weight in self._weights]
        return [power / sum(powers) for power in powers]

    def _shifts(self, gap: int, up: bool, first: int) -> list[tuple[Contract, int]]:
        """Every YES bid adds up to a dollar and the gap, or every YES ask to a dollar less the gap."""
        quoted = [contract.side.quotes.quoted() for contract in self.contracts]
        bids, asks = sum(bid for bid, _ in quoted), sum(ask for _, ask in quoted)
        shift = ONE + gap - bids if up else ONE - gap - asks
        count = len(self.contracts)
        return [(self.contracts[(first + index) % count], shift) for index in range(count)]

    def _paying(self) -> list[bool]:
        winner = self._walk.choices(range(len(self.contracts)), weights=self._fair(0))[0]
        return [index == winner for index in range(len(self.contracts))]


class Strikes(Group):
    """Two markets on Kalshi, each on whether Bitcoin is above a strike at the close.

    Both are priced from the lab's own spot price with the same noise, so the lower strike is never worth
    less than the higher; both are decided by that price at the close.
    """

    kind = "ladder"

    def __init__(
        self, seed: int, number: int, wall_ms: int, life_ms: int, spot: Callable[[], float], day: str
    ) -> None:
        """Open now and close after `life_ms`, rounded up to a second. `spot` gives dollars now."""
        close_ms = whole_second(wall_ms + life_ms)
        name, close = f"sim-strikes-{number}", utc_seconds(close_ms)
        super().__init__(name, f"SIM how high Bitcoin is at {close[11:19]}", wall_ms, close_ms)
        self._spot = spot
        self._at_close = 0.0
        self._noise = random.Random(f"{seed}/{name}/noise")
        self._wrong = 0.0
        deviation = spot() * math.sqrt(self._variance(wall_ms))
        low = round(spot() + deviation * (self._noise.uniform(-0.4, 0.4) - STRIKES_APART / 2))
        self.strikes = (low, low + max(1, round(deviation * STRIKES_APART)))
        for index, (strike, price) in enumerate(
            zip(self.strikes, references([share * ONE for share in self._fair(wall_ms)]), strict=True)
        ):
            terms = Terms(
                "kalshi",
                f"{name}-{strike}",
                number * 2 + index,
                f"SIM Bitcoin above {strike} dollars at {close[11:19]}?",
                f"Resolves Yes if the middle of simulated Coinbase's BTC-USD book is above {strike} dollars "
                f"at {close}; a simulated question, never void.",
                subject="the price of simulated Bitcoin",
                series="KXSIMBTC",
                ticker=f"KXSIMBTC-{day}N{number}-T{strike}",
                group_title=f"above {strike}",
                strike=strike,
            )
            self.contracts.append(Contract(terms, seed, wall_ms, close_ms, price))

    def _variance(self, wall_ms: int) -> float:
        """Of the log price at the close, seen from now."""
        return BTC_SIGMA**2 * max(self.close_ms - wall_ms, 0) / 1_000 + STRAY_VARIANCE

    def _drift(self) -> None:
        """The market's error in standard deviations: it comes back to nothing within seconds."""
        self._wrong = 0.998 * self._wrong + self._noise.gauss(0.0, 0.004)

    def _fair(self, wall_ms: int) -> list[float]:
        """N(d2 + error) for each strike, drift and the half variance left out: they are far below a cent."""
        deviation, spot = math.sqrt(self._variance(wall_ms)), self._spot()
        return [
            0.5 * math.erfc(-(math.log(spot / strike) / deviation + self._wrong) / math.sqrt(2.0))
            for strike in self.strikes
        ]

    def _shifts(self, gap: int, up: bool, _first: int) -> list[tuple[Contract, int]]:
        """The higher strike is bid the gap above the lower strike's ask."""
        low, high = self.contracts
        shift = low.side.quotes.quoted()[1] + gap - high.side.quotes.quoted()[0]
        return [(high, shift)] if up else [(low, -shift)]

    def _close(self, time: StepTime, emit: Emit) -> None:
        self._at_close = self._spot()
        super()._close(time, emit)

    def _paying(self) -> list[bool]:
        return [self._at_close > strike for strike in self.strikes]
