"""Edge: what a trade of several legs in equal sizes leaves, to the last unit.

In: `EdgeLeg`s, the side of each book that is used up, as ladders of integers in the book's own
prices, and the dollars that a unit of all legs pays for sure. Out: the `Edge` of the size with the
largest net. Pure, no floats: integers inside, exact Decimals at the end. Used by scanner, trader
and cli.

The ladders are walked together in equal sizes. The size is that of the largest net with one fill a
level, each with its venue's rounding; beside it stands the net with the fees of the worst split.
`edge_walk` finds the size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from math import lcm
from typing import NamedTuple

from pipeline.edge_sides import NO_LIMIT, EdgeLeg
from pipeline.edge_walk import Cap, Walk
from pipeline.fees import money_decimals
from pipeline.model import EXACT, Ladder
from pipeline.money import to_decimal

__all__ = ["Edge", "EdgeLeg", "LegEdge", "Trade", "evaluate"]

PAYOFF_DECIMALS = 9
"""A payoff finer than this is rounded down, to our disadvantage."""

_DOWN = Context(prec=60, rounding=ROUND_FLOOR)


class LegEdge(NamedTuple):
    """One leg of an edge, in exact dollars: `fee` at one fill a level, `fee_high` at the worst
    split, `cash` what the leg takes with `fee` (0 where it sells).

    `limit_ticks` is the worst book price walked; `fills` are (ticks, units) on the leg's own scale.
    """

    fee: Decimal
    fee_high: Decimal
    cash: Decimal
    limit_ticks: int
    fills: Ladder


@dataclass(frozen=True, slots=True)
class Edge:
    """A size and what it leaves, in exact dollars: gross - depth - fee = net.

    `size_units` is on `size_decimals`, the finest of the legs'. `gross` is at the best prices for
    the whole size, payoff included; `depth` is what the worse levels cost. `net_low` is the net at
    the fees of the worst split. `cash` is all that is paid, fees included; where nothing is bought
    it is what is given up, the payoff and the fees. `gross_bp` and `edge_bp` are gross and net over
    cash, rounded down (0 without cash). `payoff` is that of one unit, as it was counted.
    """

    size_units: int
    size_decimals: int
    gross: Decimal
    depth: Decimal
    fee: Decimal
    net: Decimal
    net_low: Decimal
    cash: Decimal
    gross_bp: int
    edge_bp: int
    payoff: Decimal
    legs: tuple[LegEdge, ...]

    @property
    def walked_gross(self) -> Decimal:
        """Gross after walking the depth and before fees: `gross` of `run.py edge`."""
        return EXACT.subtract(self.gross, self.depth)

    @property
    def profitable(self) -> bool:
        """Whether anything is left after the fees of the worst split."""
        return self.net_low > 0


def evaluate(
    legs: Sequence[EdgeLeg],
    payoff: Decimal,
    *,
    max_size_units: int | None = None,
    max_cash: Decimal | None = None,
    cash: Sequence[Decimal | None] | None = None,
    shared: Sequence[int] | None = None,
) -> Edge | None:
    """The edge of all `legs` at the size with the largest net; of equal nets the smallest size.

    `payoff` is the dollars that a unit of all legs pays for sure; what has to be given up or paid
    besides is a negative payoff (transfer of a coin; the worth of a pair that is closed). Where no
    allowed size has a positive gross, this is the edge of the smallest one, with its negative
    numbers. None where a ladder is empty, its best level impossible, or shows less than the smallest
    order, and where the caps leave no allowed size.

    `max_size_units` is on the finest of the legs' size scales (inventory to sell goes here),
    `max_cash` bounds the cash of all legs, `cash` that of each leg. Legs with the same number in
    `shared` draw on one account: together they may take the least that `cash` states for any of
    them. What sells takes no cash. Raises ValueError where a fee is not known.
    """
    trade = Trade(legs, payoff)
    smallest = trade.smallest(legs)
    largest = NO_LIMIT if max_size_units is None else max_size_units
    if smallest is None or smallest > largest:
        return None
    caps = trade.caps(max_cash, cash, shared)
    if trade.margin() <= 0 or trade.walked(smallest) <= 0:
        if not caps:
            return trade.edge(smallest)
        largest = smallest
    size = Walk(trade.sides, trade.payoff, trade.lot, smallest, largest, caps).best_size()
    return None if size is None else trade.edge(size)


class Trade:
    """Legs on common scales: sizes on `size_decimals`, money on `decimals`.

    A unit price is the money that one size unit costs, `payoff` the money that one unit of all legs
    pays.
    """

    __slots__ = ("decimals", "lot", "payoff", "sides", "size_decimals")

    def __init__(self, legs: Sequence[EdgeLeg], payoff: Decimal) -> None:
        assert legs, "a trade without legs"
        size = max([leg.scale.size_decimals for leg in legs])
        decimals = money_decimals(max([leg.scale.price_decimals for leg in legs]), size)
        self.size_decimals = size
        self.decimals, self.payoff = _payoff(payoff, size, decimals)
        sides = self.sides = [leg.side(size, self.decimals) for leg in legs]
        self.lot = lcm(*[(leg.lot_units or 1) * side.units for leg, side in zip(legs, sides, strict=True)])

    def smallest(self, legs: Sequence[EdgeLeg]) -> int | None:
        """The smallest size all venues accept, on all size grids; None where a side shows less."""
        least = 1
        micro = 10 ** (self.decimals - 6)
        for leg, side in zip(legs, self.sides, strict=True):
            least = max(least, leg.min_units * side.units)
            if leg.min_cost_micros > 0:
                worth = side.units_worth(leg.min_cost_micros * micro)
                if worth is None:
                    return None
                least = max(least, worth)
        size = -(-least // self.lot) * self.lot
        return size if all(side.shows(size) for side in self.sides) else None

    def margin(self) -> int:
        """What a unit leaves at the best prices, before fees."""
        margin = self.payoff
        for side in self.sides:
            price = side.price(side.ladder[0][0])
            margin += price if side.sold else -price
        return margin

    def walked(self, size: int) -> int:
        """What `size` units leave after walking and before fees."""
        gross = self.payoff * size
        for side in self.sides:
            amount = side.amount(size)
            gross += amount if side.sold else -amount
        return gross

    def caps(
        self,
        max_cash: Decimal | None,
        cash: Sequence[Decimal | None] | None,
        shared: Sequence[int] | None,
    ) -> list[Cap]:
        """The caps in money units, rounded down."""
        caps = []
        if max_cash is not None:
            caps.append(Cap(tuple(range(len(self.sides))), _whole(max_cash, self.decimals)))
        if cash is not None:
            groups = range(len(self.sides)) if shared is None else shared
            assert len(cash) == len(groups) == len(self.sides), "a cap for each leg"
            for group in dict.fromkeys(groups):
                members = tuple([index for index, number in enumerate(groups) if number == group])
                amounts = [amount for index in members if (amount := cash[index]) is not None]
                if amounts:
                    caps.append(Cap(members, _whole(min(amounts), self.decimals)))
        return caps

    def edge(self, size: int) -> Edge:
        """The edge of a size that all sides show."""
        # One multiplication an amount: this is the order path, and these are most of its Decimals.
        unit, usd = _unit(self.decimals), EXACT.multiply
        best = walked = given_up = self.payoff * size
        fees = highs = paid = 0
        bought = False
        legs = []
        for side in self.sides:
            amount, fee, high, fills = side.taken(size)
            at_best = side.price(fills[0][0]) * size
            fees += fee
            highs += high
            cash = 0
            if side.sold:
                best, walked = best + at_best, walked + amount
            else:
                best, walked, bought = best - at_best, walked - amount, True
                cash = amount + fee
                paid += cash
            legs.append(
                LegEdge(usd(fee, unit), usd(high, unit), usd(cash, unit), fills[-1][0], fills),
            )
        net = walked - fees
        cash = paid if bought else fees - given_up
        return Edge(
            size,
            self.size_decimals,
            usd(best, unit),
            usd(best - walked, unit),
            usd(fees, unit),
            usd(net, unit),
            usd(walked - highs, unit),
            usd(cash, unit),
            best * 10_000 // cash if cash > 0 else 0,
            net * 10_000 // cash if cash > 0 else 0,
            usd(self.payoff, _unit(self.decimals - self.size_decimals)),
            tuple(legs),
        )


@lru_cache(maxsize=64)
def _unit(decimals: int) -> Decimal:
    """One unit of 10^-decimals."""
    return to_decimal(1, decimals)


@lru_cache(maxsize=256)
def _payoff(payoff: Decimal, size_decimals: int, decimals: int) -> tuple[int, int]:
    """Decimals of money that the payoff fits on too, and what it is for one size unit."""
    exponent = payoff.as_tuple().exponent
    assert isinstance(exponent, int), f"{payoff} is no amount"
    decimals = max(decimals, size_decimals + min(-exponent, PAYOFF_DECIMALS))
    return decimals, _whole(payoff, decimals - size_decimals)


def _whole(amount: Decimal, decimals: int) -> int:
    """Whole units of 10^-decimals, rounded down."""
    return int(amount.scaleb(decimals, _DOWN).to_integral_value(ROUND_FLOOR))
