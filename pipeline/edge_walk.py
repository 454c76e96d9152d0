"""Walk: finds the size of the largest net on several ladders, in integers, exactly.

In: `Side`s on one size scale and one money scale. Out: a size. Pure; used by the edge arithmetic
alone.

Within one level of each side the net is a straight line less what rounding takes, so it is a
sawtooth. First the line is followed to its top. Then, in the few stretches whose line still reaches
the best net found, the sizes are tried from the high end of the line down. Where an account rounds
to cents, nearly all of those are hopeless, and the next one that is not is computed instead of
searched for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.edge_sides import Part, Side
from pipeline.fees import FLOOR_SCALE

SCAN_LIMIT = 4096
"""Most sizes tried between level ends. Beyond it the best one found stands: the line is then so
flat that what is missed is less than the rounding of two fills."""


class Cap(NamedTuple):
    """Most cash in money units that the sides at `indices` may take together."""

    indices: tuple[int, ...]
    most: int


class Stretch(NamedTuple):
    """Sizes `low` to `high` on the lot grid, within one level of each side.

    The net is never above the line `slope` * size - `offset`; up to `high` it is nowhere above
    `ceiling` as long as slopes are positive. All three in 1/FLOOR_SCALE of the money unit.
    """

    low: int
    high: int
    slope: int
    offset: int
    ceiling: int
    parts: tuple[Part, ...]


class Walk:
    """The sides, what a unit of all of them pays, and the sizes that are allowed: from `smallest`
    up to `largest` on the `lot` grid, within the caps.
    """

    __slots__ = ("caps", "coarsest", "largest", "lot", "payoff", "sides", "slack", "smallest")

    def __init__(
        self,
        sides: Sequence[Side],
        payoff: int,
        lot: int,
        smallest: int,
        largest: int,
        caps: Sequence[Cap] = (),
    ) -> None:
        self.sides, self.payoff, self.lot = sides, payoff, lot
        self.smallest, self.largest, self.caps = smallest, largest, caps
        slack = coarsest = 0
        for index, side in enumerate(sides):
            slack += side.formula.slack * len(side.ladder)
            if side.step > sides[coarsest].step:
                coarsest = index
        # Roundings in the buyer's favour, granted for all levels there are.
        self.slack: int = slack * FLOOR_SCALE
        self.coarsest = coarsest

    def best_size(self) -> int | None:
        """The size of the largest net, the smaller of equals; None where the caps allow none."""
        stretches: list[Stretch] = []
        best, best_size, waiting = 0, None, None
        slack, capped = self.slack, bool(self.caps)
        for stretch in self.stretches():
            high = stretch.high
            if capped:
                within = self._within_caps(stretch)
                if within is None:
                    break
                if within < high:
                    stretches.append(stretch._replace(high=within))
                    waiting = stretches[-1] if stretch.slope > 0 else waiting
                    break
            if stretch.slope > 0:
                # Its line ends higher than all before, so only the last such end is priced.
                stretches.append(stretch)
                waiting = stretch
                continue
            if waiting is not None:
                best, best_size, waiting = self.net(waiting, waiting.high), waiting.high, None
            elif best_size is None:
                best, best_size = self.net(stretch, stretch.low), stretch.low
            # Prices only get worse: where the falling line is below the best, it stays there.
            goal = best * FLOOR_SCALE - slack
            if stretch.slope * stretch.low - stretch.offset <= goal:
                break
            stretches.append(stretch)
            if stretch.slope * high - stretch.offset <= goal:
                break
        if waiting is not None:
            best, best_size = self.net(waiting, waiting.high), waiting.high
        elif best_size is None and stretches:
            best, best_size = self.net(stretches[0], stretches[0].low), stretches[0].low
        if best_size is None:
            return None
        return self._refined(stretches, best, best_size)

    def stretches(self) -> Iterator[Stretch]:
        """The stretches from the best levels on; those with no size on the lot grid are left
        out.
        """
        sides, lot, low = self.sides, self.lot, self.smallest
        largest = self.largest
        parts: list[Part] = []
        slope, offset = self.payoff * FLOOR_SCALE, 0
        for side in sides:
            part = side.part(0)
            if part is None:
                return
            slope -= part.rate
            offset += part.offset
            parts.append(part)
        ends = [part.end for part in parts]
        ideal, reached = self.slack, 0
        while True:
            end = min(*ends, largest)
            ideal += slope * (end - reached)
            reached = end
            high = end - end % lot
            if high >= low:
                yield Stretch(low, high, slope, offset, ideal, tuple(parts))
                low = high + lot
            if end == largest:
                return
            for index, reach in enumerate(ends):
                if reach == end:
                    part = parts[index]
                    following = sides[index].part(part.level + 1)
                    if following is None:
                        return
                    slope += part.rate - following.rate
                    offset += following.offset - part.offset
                    parts[index], ends[index] = following, following.end

    def net(self, stretch: Stretch, size: int) -> int:
        """What `size` leaves, exactly, with one fill a level."""
        net = self.payoff * size
        for part in stretch.parts:
            net -= part.base + part.cost * size + part.fee(part.price, size - part.start)
        return net

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
        """Whether the cash of `size` is within the caps. What is sold takes none."""
        cash = [
            0 if side.sold else part.cash(size) for side, part in zip(self.sides, stretch.parts, strict=True)
        ]
        return all(sum([cash[index] for index in cap.indices]) <= cap.most for cap in self.caps)

    def _refined(self, stretches: list[Stretch], best: int, best_size: int) -> int:
        """The best size when those between level ends are tried too."""
        budget, lot = SCAN_LIMIT, self.lot
        for stretch in reversed(stretches):
            slope = stretch.slope
            rising = slope > 0
            if rising and stretch.ceiling < best * FLOOR_SCALE:
                break
            size, step = (stretch.high, -lot) if rising else (stretch.low, lot)
            left = (stretch.high - stretch.low) // lot + 1
            bound = slope * size - stretch.offset
            while left > 0 and budget > 0:
                room = bound - best * FLOOR_SCALE
                if room < 0 or (room == 0 and size > best_size and not rising):
                    break
                skip = self.hopeless(stretch, size, step, room)
                if skip is None or skip >= left:
                    break
                size += skip * step
                bound += skip * step * slope
                net = self.net(stretch, size)
                if net > best or (net == best and size < best_size):
                    best, best_size = net, size
                size += step
                bound += step * slope
                left -= skip + 1
                budget -= 1
        return best_size

    def hopeless(self, stretch: Stretch, size: int, step: int, room: int) -> int | None:
        """How many sizes from `size` on lose more than `room` to rounding on one side; None: all
        do.

        The side is the one that rounds coarsest; its rounding is what is missing to the next
        multiple of that step. `rate` falls short of the truth by less than 1 a unit, hence the
        allowance.
        """
        side, part = self.sides[self.coarsest], stretch.parts[self.coarsest]
        modulus = side.step * FLOOR_SCALE
        if room >= modulus:
            return 0
        room += FLOOR_SCALE + part.end - part.start
        if room >= modulus:
            return 0
        slope = part.rate - part.cost * FLOOR_SCALE
        if side.rounds_balance:
            slope += part.price * FLOOR_SCALE
        missing = -slope * (size - part.start) % modulus
        if missing <= room:
            return 0
        low = modulus - missing
        return first_within(-slope * step % modulus, modulus, low, low + room)


def first_within(factor: int, modulus: int, low: int, high: int) -> int | None:
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
