"""Walk: finds the size of the largest net on two ladders, in integers, exactly.

In: two `Side`s on one size scale and one money scale. Out: a size. Pure; used by `pipeline.edge`
alone.

Within one level of each side the net is a straight line less what rounding takes, so it is a
sawtooth. First the ends of all such stretches are priced. Then, in the few stretches whose line
still reaches the best net found, the sizes are tried from the high end of the line down. Where an
account rounds to cents, nearly all of those are hopeless, and the next one that is not is computed
instead of searched for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.fees import FLOOR_SCALE, FeeFormula
from pipeline.model import Ladder

SCAN_LIMIT = 4096
"""Most sizes tried between level ends. Beyond it the best one found stands: the line is then so
flat that what is missed is less than the rounding of two fills."""


class Part(NamedTuple):
    """One side within one of its levels, which holds the sizes from `start` to `end`.

    `paid` is the cash of all levels before; `price` is the unit price the fee is charged on, `cost`
    what a unit costs (negative where it is sold), `rate` at most its unrounded fee, in
    1/FLOOR_SCALE.
    """

    price: int
    cost: int
    start: int
    end: int
    paid: int
    rate: int
    formula: FeeFormula

    def cash(self, size: int) -> int:
        """Cash that `size` units cost on this side, fees included."""
        units = size - self.start
        return self.paid + self.cost * units + self.formula.fee(self.price, units)

    def floor(self, size: int) -> int:
        """At most `cash(size)`, on a straight line, in 1/FLOOR_SCALE of the money unit."""
        fixed = (self.paid - self.formula.slack) * FLOOR_SCALE
        return fixed + (self.cost * FLOOR_SCALE + self.rate) * (size - self.start)


class Side:
    """One ladder to be used up. `units` and `money` bring its sizes and prices to the common
    scales.

    With `flip` (the price of a whole contract) a level costs `flip` - price: buying NO from bids
    for YES. `sold` makes it proceeds: a negative cost.
    """

    __slots__ = ("flip", "formula", "ladder", "money", "sold", "units")

    def __init__(
        self, ladder: Ladder, units: int, money: int, formula: FeeFormula, flip: int, *, sold: bool
    ) -> None:
        self.ladder, self.units, self.money = ladder, units, money
        self.formula, self.flip, self.sold = formula, flip, sold

    def price(self, ticks: int) -> int:
        """The unit price the fee is charged on."""
        return self.flip - ticks * self.money if self.flip else ticks * self.money

    def part(self, index: int, start: int, paid: int) -> Part:
        """The level at `index`, reached at size `start` with `paid` spent before."""
        ticks, units = self.ladder[index]
        price = self.price(ticks)
        cost = -price if self.sold else price
        rate = self.formula.floor_rate(price)
        return Part(price, cost, start, start + units * self.units, paid, rate, self.formula)

    def taken(self, size: int) -> list[tuple[int, int]]:
        """The parts (ticks, common units) of the ladder that `size` uses up."""
        parts = []
        for ticks, level in self.ladder:
            part = min(level * self.units, size)
            if part > 0:
                parts.append((ticks, part))
                size -= part
            if size <= 0:
                break
        return parts

    def shows(self, size: int) -> bool:
        """Whether the ladder holds `size` units."""
        for _ticks, level in self.ladder:
            size -= level * self.units
            if size <= 0:
                return True
        return False

    def units_worth(self, amount: int) -> int:
        """The fewest units whose walked price * size reaches `amount`; beyond the book where none
        do.
        """
        units = 0
        for ticks, level in self.ladder:
            price, size = self.price(ticks), level * self.units
            if price * size >= amount:
                return units - (-amount // price) if price else units
            amount -= price * size
            units += size
        return units + 1


class Caps(NamedTuple):
    """Most cash in money units: for the bought side, for the other side, for both together."""

    buy: int
    sell: int
    both: int


class Stretch(NamedTuple):
    """Sizes `low` to `high` on the lot grid, within one level of each side.

    `slope` is that of the net's line, a unit, in 1/FLOOR_SCALE of the money unit.
    """

    low: int
    high: int
    buy: Part
    sell: Part
    slope: int


class Walk:
    """Both sides, what a pair pays, and the sizes that are allowed: from `smallest` up on the `lot`
    grid.

    `largest` bounds the size; `caps` the cash, where the `sell` cap is for sides that cost
    something.
    """

    __slots__ = ("buy", "caps", "largest", "lot", "payoff", "sell", "smallest")

    def __init__(
        self,
        buy: Side,
        sell: Side,
        payoff: int,
        lot: int,
        smallest: int,
        largest: int,
        caps: Caps | None,
    ) -> None:
        self.buy, self.sell, self.payoff = buy, sell, payoff
        self.lot, self.smallest, self.largest, self.caps = lot, smallest, largest, caps

    def best_size(self) -> int | None:
        """The size of the largest net, the smaller of equals; None where the caps allow none."""
        stretches: list[Stretch] = []
        best, best_size, waiting = 0, None, None
        for stretch in self._stretches():
            if stretch.slope > 0 and self.caps is None:
                # Its line ends higher than all before, so only the last such end is priced.
                stretches.append(stretch)
                waiting = stretch
                continue
            if waiting is not None:
                best, best_size, waiting = self._net(waiting, waiting.high), waiting.high, None
            high = self._within_caps(stretch)
            if high is None:
                break
            net = self._net(stretch, high)
            if best_size is None or net > best:
                best, best_size = net, high
            stretches.append(stretch if high == stretch.high else stretch._replace(high=high))
            if high < stretch.high or self._past_the_top(stretch, best):
                break
        if waiting is not None:
            best, best_size = self._net(waiting, waiting.high), waiting.high
        if best_size is None:
            return None
        return self._refined(stretches, best, best_size)

    def _stretches(self) -> Iterator[Stretch]:
        """The stretches from the best levels on; those with no size on the lot grid are left
        out.
        """
        low = self.smallest
        i = j = 0
        buy, sell = self.buy.part(0, 0, 0), self.sell.part(0, 0, 0)
        while True:
            end = min(buy.end, sell.end, self.largest)
            high = end - end % self.lot
            if high >= low:
                slope = (self.payoff - buy.cost - sell.cost) * FLOOR_SCALE - buy.rate - sell.rate
                yield Stretch(low, high, buy, sell, slope)
                low = high + self.lot
            if end == self.largest:
                return
            if end == buy.end:
                i += 1
                if i == len(self.buy.ladder):
                    return
                buy = self.buy.part(i, end, buy.cash(end))
            if end == sell.end:
                j += 1
                if j == len(self.sell.ladder):
                    return
                sell = self.sell.part(j, end, sell.cash(end))

    def _net(self, stretch: Stretch, size: int) -> int:
        """What `size` leaves, exactly."""
        return self.payoff * size - stretch.buy.cash(size) - stretch.sell.cash(size)

    def _bound(self, stretch: Stretch, size: int) -> int:
        """At least the net of `size`, on a straight line, in 1/FLOOR_SCALE of the money unit."""
        return self.payoff * size * FLOOR_SCALE - stretch.buy.floor(size) - stretch.sell.floor(size)

    def _past_the_top(self, stretch: Stretch, best: int) -> bool:
        """Whether no larger size can beat `best`: prices only get worse, so the line falls from
        here.

        A rounding in the buyer's favour, at most `slack` a level, is granted for all levels to
        come.
        """
        if stretch.slope > 0:
            return False
        slack = self.buy.formula.slack * len(self.buy.ladder)
        slack += self.sell.formula.slack * len(self.sell.ladder)
        return self._bound(stretch, stretch.high) + slack * FLOOR_SCALE <= best * FLOOR_SCALE

    def _within_caps(self, stretch: Stretch) -> int | None:
        """The largest size of the stretch whose cash fits; cash never falls as the size grows."""
        if self._fits(stretch, stretch.high):
            return stretch.high
        if not self._fits(stretch, stretch.low):
            return None
        fits, over = 0, (stretch.high - stretch.low) // self.lot
        while over - fits > 1:
            middle = (fits + over) // 2
            if self._fits(stretch, stretch.low + middle * self.lot):
                fits = middle
            else:
                over = middle
        return stretch.low + fits * self.lot

    def _fits(self, stretch: Stretch, size: int) -> bool:
        """Whether the cash of `size` is within the caps."""
        if self.caps is None:
            return True
        buy = stretch.buy.cash(size)
        sell = 0 if self.sell.sold else stretch.sell.cash(size)
        return buy <= self.caps.buy and sell <= self.caps.sell and buy + sell <= self.caps.both

    def _refined(self, stretches: list[Stretch], best: int, best_size: int) -> int:
        """The best size when those between level ends are tried too."""
        budget = SCAN_LIMIT
        for stretch in reversed(stretches):
            rising = stretch.slope > 0
            size, step = (stretch.high, -self.lot) if rising else (stretch.low, self.lot)
            left = (stretch.high - stretch.low) // self.lot + 1
            bound = self._bound(stretch, size)
            while left > 0 and budget > 0:
                room = bound - best * FLOOR_SCALE
                if room < 0 or (room == 0 and size > best_size and not rising):
                    break
                skip = _hopeless(stretch, size, step, room)
                if skip is None or skip >= left:
                    break
                size += skip * step
                bound += skip * step * stretch.slope
                net = self._net(stretch, size)
                if net > best or (net == best and size < best_size):
                    best, best_size = net, size
                size += step
                bound += step * stretch.slope
                left -= skip + 1
                budget -= 1
        return best_size


def _hopeless(stretch: Stretch, size: int, step: int, room: int) -> int | None:
    """How many sizes from `size` on lose more than `room` to rounding on one side; None: all do.

    The side is the one whose account rounds coarser; its rounding is what is missing to the next
    multiple of that step. `rate` falls short of the truth by less than 1 a unit, hence the
    allowance.
    """
    part = stretch.buy if stretch.buy.formula.step >= stretch.sell.formula.step else stretch.sell
    modulus = part.formula.step * FLOOR_SCALE
    room += FLOOR_SCALE + part.end - part.start
    if room >= modulus:
        return 0
    slope = part.price * FLOOR_SCALE + part.rate
    missing = -slope * (size - part.start) % modulus
    if missing <= room:
        return 0
    low = modulus - missing
    return _first_within(-slope * step % modulus, modulus, low, low + room)


def _first_within(factor: int, modulus: int, low: int, high: int) -> int | None:
    """The least n >= 0 with low <= factor * n mod modulus <= high, as Euclid's algorithm finds it.

    For 0 < low <= high < modulus. If no multiple of `factor` lies in the interval, ask which
    multiple of the modulus does so modulo `factor`: the same question in smaller numbers.
    """
    steps: list[tuple[int, int, int]] = []
    while True:
        if factor == 0:
            return None
        n = -(-low // factor)
        if factor * n <= high:
            break
        steps.append((factor, modulus, low))
        factor, modulus, low, high = modulus % factor, factor, -high % factor, -low % factor
        if low == 0:
            n = 0
            break
    for outer_factor, outer_modulus, outer_low in reversed(steps):
        n = -(-(outer_low + outer_modulus * n) // outer_factor)
    return n
