"""Edge sides: one leg's ladder on the scales that all legs of a trade share, level by level.

In: a leg's ladder, its limits and its fee. Out: `Part`s with the cash of every level, made as the
walk reaches them. Pure integers; used by the edge arithmetic alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.fees import FLOOR_SCALE, formula
from pipeline.fees_formula import precision_micros
from pipeline.model import FeeKind, FeeSchedule, Ladder, Scale

NO_LIMIT = 1 << 200
"""More ticks, units and money than there are."""


@dataclass(frozen=True, slots=True)
class EdgeLeg:
    """The side of one book that a leg uses up: best first, prices and sizes as in the book.

    Buying YES or base takes the asks, buying NO the bids (a unit costs 1 - price); selling YES or
    base takes the bids, selling NO the asks (a unit brings 1 - price). `action` is "buy" or "sell",
    `outcome` "yes", "no" or "base". `grid_ticks` is the price grid, `lot_units` the size grid,
    `min_units` and `min_cost_micros` the smallest order; 0 means the venue states none. `sides` keeps
    the leg on the scales that it was priced on: a leg is often priced with one changing partner.
    """

    ladder: Ladder
    scale: Scale
    fee: FeeSchedule
    action: str = "buy"
    outcome: str = "yes"
    grid_ticks: int = 0
    lot_units: int = 0
    min_units: int = 0
    min_cost_micros: int = 0
    shown_units: int = field(default=0, init=False, compare=False, repr=False)
    sides: dict[tuple[int, int], Side] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Add up what the ladder shows, on the leg's own scale."""
        object.__setattr__(self, "shown_units", sum([units for _, units in self.ladder]))

    def side(self, size_decimals: int, decimals: int) -> Side:
        """The leg on these scales."""
        made = self.sides.get((size_decimals, decimals))
        if made is None:
            made = self.sides[size_decimals, decimals] = Side(self, size_decimals, decimals)
        return made


class Part(NamedTuple):
    """One level of a side, which holds the sizes from above `start` up to `end`.

    `level` is its index, `price` the unit price its fee is charged on, and `cost` what a unit costs
    (negative where it is sold). `base` is the cash of all levels before, less `cost` * `start`. A
    line that is never above the cash is `offset` + `rate` * size, in 1/FLOOR_SCALE of the money
    unit.
    """

    level: int
    price: int
    cost: int
    start: int
    end: int
    base: int
    offset: int
    rate: int
    fee: Callable[[int, int], int]

    def cash(self, size: int) -> int:
        """Cash that `size` units cost on this side, fees included."""
        return self.base + self.cost * size + self.fee(self.price, size - self.start)


class Taken(NamedTuple):
    """What a size takes from a side: price * size before fees, the fee at one fill a level and at
    the worst split, in money units; and the fills as (ticks, units) on the leg's own scale.
    """

    amount: int
    fee: int
    fee_high: int
    fills: Ladder


class Side:
    """A leg to be used up, on common scales: `units` brings its sizes to `size_decimals`.

    A unit costs (or brings, where it is `sold`) `zero` + ticks * `money` in money of `decimals`.
    Levels from the first impossible one on are as if they were not there: a price not between 0 and
    `top` ticks or off the grid, a size not above 0.

    `step` is the coarsest that money is rounded to here, which is the balance where
    `rounds_balance`, else the fee. Kalshi rounds a seller's balance too, revenue less fee, towards
    minus infinity (its `fee_rounding` page). In hundredths of a contract, the finest there are, that
    costs what buying the other outcome at 1 - price does, so `mirror` is the price of a whole
    contract there.
    """

    __slots__ = (
        "fee",
        "formula",
        "grid",
        "ladder",
        "mirror",
        "money",
        "parts",
        "rounds_balance",
        "sold",
        "step",
        "top",
        "units",
        "zero",
    )

    def __init__(self, leg: EdgeLeg, size_decimals: int, decimals: int) -> None:
        kind, scale, digits = leg.fee.kind, leg.scale, decimals - size_decimals
        self.ladder = leg.ladder
        self.grid = leg.grid_ticks or 1
        self.sold = leg.action == "sell"
        self.units: int = 10 ** (size_decimals - scale.size_decimals)
        self.money: int = 10 ** (digits - scale.price_decimals)
        self.zero = self.mirror = 0
        if leg.outcome == "no":
            self.zero, self.money = 10**digits, -self.money
        kalshi = kind == FeeKind.KALSHI
        # Fees of p * (1 - p) exist for prices between 0 and 1 alone.
        contract = leg.outcome != "base" or kalshi or kind == FeeKind.POLYMARKET
        self.top: int = 10**scale.price_decimals if contract else NO_LIMIT
        if kalshi and self.sold:
            self.mirror = 10**digits
        self.formula = formula(leg.fee, size_decimals, decimals)
        self.fee = self.formula.fee
        self.step, self.rounds_balance = self.formula.step, True
        if self.step == 0 and kind in (FeeKind.FLAT, FeeKind.CUSTOM):
            self.step, self.rounds_balance = precision_micros(leg.fee) * 10 ** (decimals - 6), False
        self.parts: list[Part] = []

    def price(self, ticks: int) -> int:
        """What a unit costs or brings."""
        return self.zero + ticks * self.money

    def level(self, index: int) -> tuple[int, int] | None:
        """The price and the common units of a level; None where it is impossible or not there."""
        if index >= len(self.ladder):
            return None
        ticks, units = self.ladder[index]
        if units <= 0 or not 0 < ticks < self.top or ticks % self.grid:
            return None
        return self.zero + ticks * self.money, units * self.units

    def part(self, index: int) -> Part | None:
        """The level at `index`, once all before it were asked for; None where there is none."""
        parts = self.parts
        if index < len(parts):
            return parts[index]
        if index >= len(self.ladder):
            return None
        ticks, units = self.ladder[index]
        if units <= 0 or not 0 < ticks < self.top or ticks % self.grid:
            return None
        fee, ready = self.fee, self.formula
        cost = price = self.zero + ticks * self.money
        start = paid = 0
        if self.sold:
            cost = -price
            if self.mirror:
                price = self.mirror - price
        if index:
            _level, before, per_unit, since, start, base, _offset, _rate, _fee = parts[-1]
            paid = base + per_unit * start + fee(before, start - since)
        rate = cost * FLOOR_SCALE + ready.floor_rate(price)
        offset = (paid - ready.slack) * FLOOR_SCALE - rate * start
        end = start + units * self.units
        part = Part(index, price, cost, start, end, paid - cost * start, offset, rate, fee)
        parts.append(part)
        return part

    def taken(self, size: int) -> Taken:
        """What `size` takes, which the ladder shows."""
        fee_of, high_of, mirror = self.fee, self.formula.high, self.mirror
        zero, money, each = self.zero, self.money, self.units
        # The walk has priced the levels that it reached.
        walked = bool(self.parts) and self.parts[-1].end >= size
        amount = fee = high = 0
        left = size
        fills = []
        for ticks, shown in self.ladder:
            units = min(shown * each, left)
            price = zero + ticks * money
            amount += price * units
            if mirror:
                price = mirror - price
            if not walked:
                fee += fee_of(price, units)
            high += high_of(price, units)
            fills.append((ticks, units // each))
            left -= units
            if left == 0:
                break
        assert left == 0, "unequal legs"
        if walked:
            cash = self.parts[len(fills) - 1].cash(size)
            fee = cash + amount if self.sold else cash - amount
        return Taken(amount, fee, high, tuple(fills))

    def amount(self, size: int) -> int:
        """Price * size of `size` units, which the ladder shows."""
        amount = 0
        for ticks, shown in self.ladder:
            units = min(shown * self.units, size)
            amount += (self.zero + ticks * self.money) * units
            size -= units
            if size == 0:
                break
        return amount

    def shows(self, size: int) -> bool:
        """Whether the ladder holds `size` units at possible prices."""
        index = 0
        while size > 0:
            level = self.level(index)
            if level is None:
                return False
            size -= level[1]
            index += 1
        return True

    def units_worth(self, amount: int) -> int | None:
        """The fewest units whose walked price * size reaches `amount`; None where none do."""
        units = index = 0
        while (level := self.level(index)) is not None:
            price, shown = level
            if price * shown >= amount:
                return units - (-amount // price)
            amount -= price * shown
            units += shown
            index += 1
        return None
