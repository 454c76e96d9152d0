"""Edge: what buying on one venue and selling on the other leaves, to the last unit.

In: two `EdgeLeg`s, ladders of integers in the event's own terms. Out: the `Edge` of the size with
the largest net. Pure, no floats: integers inside, exact Decimals at the end. Used by scanner,
trader and cli.

Both ladders are walked together in equal sizes. Fees count one fill a level, each with its venue's
rounding (`fees.fee_high`). `edge_walk` finds the size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Context, Decimal
from math import lcm

from pipeline.edge_walk import Caps, Side, Walk
from pipeline.fees import formula, money_decimals
from pipeline.model import (
    EXACT,
    FeeKind,
    FeeSchedule,
    Ladder,
    Scale,
)
from pipeline.money import to_decimal

BINARY, SPOT = "binary", "spot"
KINDS = (BINARY, SPOT)

NO_CAP = 1 << 200
"""More money units than there are."""


@dataclass(frozen=True, slots=True)
class EdgeLeg:
    """One venue's book for the arithmetic, in the event's terms; 0 means the venue states no such
    limit.

    `lot_units` is the size grid, `min_units` and `min_cost_micros` the smallest order, `grid_ticks`
    the price grid, which every level of a book is on. Ladders are best first.
    """

    bids: Ladder
    asks: Ladder
    scale: Scale
    fee: FeeSchedule
    grid_ticks: int = 0
    lot_units: int = 0
    min_units: int = 0
    min_cost_micros: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """A size and what it leaves, in exact dollars: gross - depth - fee_buy - fee_sell = net.

    `gross` is at the best prices for the whole size, `depth` what the worse levels cost. `cash` is
    all that is paid, fees included: both asks for a binary pair, the bought side alone for spot.
    `size_units` is on `size_decimals`, the finer of the two legs'. Limits (the worst price walked)
    and fills are on each leg's own scale, in the terms of its `EdgeLeg`. `gross_bp` and `edge_bp`
    are gross and net over cash, rounded down.
    """

    size_units: int
    size_decimals: int
    gross: Decimal
    depth: Decimal
    fee_buy: Decimal
    fee_sell: Decimal
    net: Decimal
    cash: Decimal
    gross_bp: int
    edge_bp: int
    buy_limit_ticks: int
    sell_limit_ticks: int
    buy_fills: Ladder
    sell_fills: Ladder

    @property
    def profitable(self) -> bool:
        """Whether anything is left after fees."""
        return self.net > 0

    @property
    def walked_gross(self) -> Decimal:
        """Gross after walking the depth and before fees: `gross` of `run.py edge`."""
        return EXACT.subtract(self.gross, self.depth)


class _Pair:
    """Two legs on common scales: sizes on `size_decimals`, money on `decimals`.

    A unit price is the money one size unit costs, `one` that of a contract. Selling YES of a binary
    pair is buying NO at 1 - bid, and the pair pays `one`; spot is sold for the bid, and the pair
    pays nothing.
    """

    __slots__ = ("buy", "decimals", "lot", "one", "payoff", "sell", "size_decimals", "spot")

    def __init__(self, kind: str, buy: EdgeLeg, sell: EdgeLeg) -> None:
        assert kind in KINDS, kind
        b, s = buy.scale, sell.scale
        size = max(b.size_decimals, s.size_decimals)
        decimals = money_decimals(max(b.price_decimals, s.price_decimals), size)
        digits = decimals - size
        buy_units, sell_units = 10 ** (size - b.size_decimals), 10 ** (size - s.size_decimals)
        self.spot = kind == SPOT
        self.size_decimals, self.decimals = size, decimals
        self.one: int = 10**digits
        self.payoff = 0 if self.spot else self.one
        buy_fee, sell_fee = formula(buy.fee, size, decimals), formula(sell.fee, size, decimals)
        buy_money, sell_money = 10 ** (digits - b.price_decimals), 10 ** (digits - s.price_decimals)
        self.buy = Side(buy.asks, buy_units, buy_money, buy_fee, 0, sold=False)
        self.sell = Side(sell.bids, sell_units, sell_money, sell_fee, self.payoff, sold=self.spot)
        self.lot = lcm((buy.lot_units or 1) * buy_units, (sell.lot_units or 1) * sell_units)

    def possible(self, buy: EdgeLeg, sell: EdgeLeg) -> bool:
        """Whether all prices are above 0, and at most 1 where a contract pays 1 or the fee assumes
        it.
        """
        asks, bids = self.buy.ladder, self.sell.ladder
        lowest_ask, lowest_bid = asks[0][0], bids[-1][0] * self.sell.money
        highest_ask, highest_bid = asks[-1][0] * self.buy.money, bids[0][0] * self.sell.money
        if not self.spot:
            return lowest_ask > 0 and lowest_bid >= 0 and highest_ask <= self.one > highest_bid
        return (
            lowest_ask > 0
            and lowest_bid > 0
            and (buy.fee.kind == FeeKind.BPS or highest_ask <= self.one)
            and (sell.fee.kind == FeeKind.BPS or highest_bid <= self.one)
        )

    def margin(self) -> int:
        """Best bid less best ask, a unit."""
        return self.sell.ladder[0][0] * self.sell.money - self.buy.ladder[0][0] * self.buy.money

    def smallest(self, buy: EdgeLeg, sell: EdgeLeg) -> int | None:
        """The smallest size both venues accept, on both size grids; None where a side shows
        less.
        """
        least = max(buy.min_units * self.buy.units, sell.min_units * self.sell.units, 1)
        micro = 10 ** (self.decimals - 6)
        for side, micros in ((self.buy, buy.min_cost_micros), (self.sell, sell.min_cost_micros)):
            if micros:
                least = max(least, side.units_worth(micros * micro))
        size = -(-least // self.lot) * self.lot
        return size if self.buy.shows(size) and self.sell.shows(size) else None

    def gross(self, size: int) -> int:
        """Proceeds less cost of `size` units, after walking and before fees."""
        sold = sum([ticks * units for ticks, units in self.sell.taken(size)])
        bought = sum([ticks * units for ticks, units in self.buy.taken(size)])
        return sold * self.sell.money - bought * self.buy.money

    def edge(self, size: int) -> Edge:
        """The edge of a size that both sides show."""
        buy, sell = self.buy, self.sell
        bought, sold = buy.taken(size), sell.taken(size)
        assert sum([u for _, u in bought]) == size == sum([u for _, u in sold]), "unequal legs"
        walked = sum([ticks * u for ticks, u in sold]) * sell.money
        paid = sum([ticks * u for ticks, u in bought]) * buy.money
        fee_buy = sum([buy.formula.fee(buy.price(ticks), u) for ticks, u in bought])
        fee_sell = sum([sell.formula.fee(sell.price(ticks), u) for ticks, u in sold])
        gross = self.margin() * size
        net = walked - paid - fee_buy - fee_sell
        cash = paid + fee_buy
        if not self.spot:
            cash += self.one * size - walked + fee_sell
        decimals = self.decimals
        return Edge(
            size,
            self.size_decimals,
            to_decimal(gross, decimals),
            to_decimal(gross - walked + paid, decimals),
            to_decimal(fee_buy, decimals),
            to_decimal(fee_sell, decimals),
            to_decimal(net, decimals),
            to_decimal(cash, decimals),
            gross * 10_000 // cash,
            net * 10_000 // cash,
            bought[-1][0],
            sold[-1][0],
            tuple([(ticks, u // buy.units) for ticks, u in bought]),
            tuple([(ticks, u // sell.units) for ticks, u in sold]),
        )

    def caps(self, max_cash: Decimal | None, cash: tuple[Decimal, Decimal] | None) -> Caps | None:
        """The caps in money units, rounded down; None where there are none."""
        if max_cash is None and cash is None:
            return None
        amounts = (*(cash or (None, None)), max_cash)
        down = Context(prec=60, rounding=ROUND_FLOOR)
        units = [
            NO_CAP
            if amount is None
            else int(amount.scaleb(self.decimals, down).to_integral_value(ROUND_FLOOR))
            for amount in amounts
        ]
        return Caps(*units)


def inverted(leg: EdgeLeg) -> EdgeLeg:
    """The same book in terms of the other outcome: a bid for YES is an offer of NO at 1 - price."""
    one = 10**leg.scale.price_decimals
    bids = tuple([(one - ticks, units) for ticks, units in leg.asks])
    asks = tuple([(one - ticks, units) for ticks, units in leg.bids])
    return replace(leg, bids=bids, asks=asks)


def evaluate(
    kind: str,
    buy: EdgeLeg,
    sell: EdgeLeg,
    max_size_units: int | None = None,
    max_cash: Decimal | None = None,
    cash: tuple[Decimal, Decimal] | None = None,
) -> Edge | None:
    """The edge of buying on `buy` and selling on `sell` at the size with the largest net.

    Of equal nets the smallest size wins. Where no allowed size has a positive gross, the edge of
    the smallest one, with its negative numbers. None where a needed side is empty, shows less than
    the smallest order, has a price no contract can have, or where the caps leave no allowed size.
    `max_size_units` is on the finer of the two size scales (for spot the inventory to sell goes
    here), `max_cash` bounds the cash of both legs, `cash` that of each (for spot the second part is
    unused). Raises ValueError where a fee is not known.
    """
    if not buy.asks or not sell.bids:
        return None
    pair = _Pair(kind, buy, sell)
    if not pair.possible(buy, sell):
        return None
    smallest = pair.smallest(buy, sell)
    largest = NO_CAP if max_size_units is None else max_size_units
    if smallest is None or smallest > largest:
        return None
    caps = pair.caps(max_cash, cash)
    if pair.margin() <= 0 or pair.gross(smallest) <= 0:
        if caps is None:
            return pair.edge(smallest)
        largest = smallest
    walk = Walk(pair.buy, pair.sell, pair.payoff, pair.lot, smallest, largest, caps)
    size = walk.best_size()
    return None if size is None else pair.edge(size)
