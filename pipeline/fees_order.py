"""Order fees: what a fill costs, what an order costs fill by fill, and between what an order will cost.

In: a `FeeSchedule`, fills as integers on the market's scale. Out: exact Decimal dollars. Pure; used
through `pipeline.fees`. A price is what `fee_price_ticks` says: for NO it is 1 - book price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from pipeline.fees_formula import (
    FeeFormula,
    formula,
    kalshi_trade_fee,
    money_decimals,
    precision_micros,
)
from pipeline.model import FeeKind, FeeSchedule, Scale
from pipeline.money import to_decimal

Role = Literal["taker", "maker"]
Fill = tuple[int, int]
"""Price ticks and size units."""

WAIVER_MARGIN_NS = 60_000_000_000
"""A waiver that ends sooner than this is not counted on: an order may be filled after it."""


class Accumulator:
    """Kalshi's balance rounding of one order, taker and later maker fills alike (venue page K5).

    `step` is the account's precision and `cent` a cent, in money units; `held` is what rounding took
    and has not been paid back.
    """

    __slots__ = ("_cent", "_step", "held")

    def __init__(self, step: int, cent: int) -> None:
        self._step, self._cent = step, cent
        self.held = 0

    def charge(self, notional: int, trade_fee: int) -> int:
        """What a fill costs beside its notional, in money units.

        The balance after the fill is floored to the step, and what that takes is held. When more than a
        cent is held, whole cents are paid back, but no fill costs less than nothing.
        """
        charged = -(-(notional + trade_fee) // self._step) * self._step - notional
        self.held += charged - trade_fee
        if self.held <= self._cent:
            return charged
        rebate = min(self.held // self._cent, charged // self._cent) * self._cent
        self.held -= rebate
        return charged - rebate


class OrderFees:
    """The fee of one order as its fills come, in dollars; `total` is that of all so far.

    Raises ValueError for a schedule that is not known.
    """

    __slots__ = ("_accumulator", "_decimals", "_paid", "_scale", "_schedule")

    def __init__(self, schedule: FeeSchedule, scale: Scale) -> None:
        self._schedule, self._scale = schedule, scale
        self._decimals = money_decimals(scale.price_decimals, scale.size_decimals)
        formula(schedule, scale.size_decimals, self._decimals)
        step = precision_micros(schedule) * 10 ** (self._decimals - 6)
        self._accumulator = Accumulator(step, 10 ** (self._decimals - 2))
        self._paid = 0

    @property
    def total(self) -> Decimal:
        """Dollars that all fills so far have cost."""
        return to_decimal(self._paid, self._decimals)

    def add(self, price_ticks: int, size_units: int, role: Role = "taker") -> Decimal:
        """Dollars that the next fill costs. Raises ValueError for a price or size no fill can have."""
        schedule = schedule_for(self._schedule, role)
        scale, decimals = self._scale, self._decimals
        price = _unit_price(schedule, price_ticks, size_units, scale)
        if schedule.kind == FeeKind.KALSHI and schedule.rate_ppm:
            trade_fee = kalshi_trade_fee(schedule.rate_ppm, scale.size_decimals, decimals)
            fee = self._accumulator.charge(price * size_units, trade_fee(price, size_units))
        else:
            fee = formula(schedule, scale.size_decimals, decimals).fee(price, size_units)
        self._paid += fee
        return to_decimal(fee, decimals)


def schedule_for(schedule: FeeSchedule, role: Role) -> FeeSchedule:
    """The schedule as a taker of this role pays it: for a maker the maker rate takes the taker's place.

    Polymarket charges makers nothing (its daily rebates are not booked by trade). What is charged by
    the contract is the same for both.
    """
    if role == "taker":
        return schedule
    rate = 0 if schedule.kind == FeeKind.POLYMARKET else schedule.maker_rate_ppm
    return replace(schedule, rate_ppm=rate)


def effective(schedule: FeeSchedule, wall_ns: int) -> FeeSchedule:
    """The schedule that counts now: free while it is waived for another minute at least, else in full.

    `wall_ns` is the wall clock. What comes back names no waiver. An unknown fee stays unknown.
    """
    if not schedule.waived_until_ns:
        return schedule
    if schedule.waived_until_ns - wall_ns < WAIVER_MARGIN_NS:
        return replace(schedule, waived_until_ns=0)
    return replace(schedule, rate_ppm=0, maker_rate_ppm=0, per_unit_micros=0, waived_until_ns=0)


def fee_price_ticks(schedule: FeeSchedule, action: str, outcome: str, price_ticks: int, scale: Scale) -> int:
    """The price that the fee of a fill goes by, from the book's price: 1 - price for NO.

    A sale on Kalshi goes by the other outcome's price: its fee is that of buying that one.
    """
    one = int(10**scale.price_decimals)
    own = one - price_ticks if outcome == "no" else price_ticks
    mirrored = action == "sell" and outcome != "base" and schedule.kind == FeeKind.KALSHI
    return one - own if mirrored else own


def taker_fee(schedule: FeeSchedule, price_ticks: int, size_units: int, scale: Scale) -> Decimal:
    """Fee of one taker fill in dollars, alone in its order.

    Raises ValueError for an unknown schedule and for a price or size no fill can have.
    """
    ready, decimals = _ready(schedule, scale)
    price = _unit_price(schedule, price_ticks, size_units, scale)
    return to_decimal(ready.fee(price, size_units), decimals)


def order_fee(schedule: FeeSchedule, fills: Sequence[Fill], scale: Scale) -> Decimal:
    """Fee in dollars of one taker order filled by `fills` in that order, Kalshi's rebates included."""
    fees = OrderFees(schedule, scale)
    for price_ticks, size_units in fills:
        fees.add(price_ticks, size_units)
    return fees.total


def fee_high(schedule: FeeSchedule, fills: Sequence[Fill], scale: Scale) -> Decimal:
    """The high end of an order's fee in dollars, for decisions: each level filled in the worst split.

    How a level splits into fills is not known before the order; `pipeline.fees_formula` says which
    splits are counted with.
    """
    ready, decimals = _ready(schedule, scale)
    total = 0
    for price_ticks, size_units in fills:
        total += ready.high(_unit_price(schedule, price_ticks, size_units, scale), size_units)
    return to_decimal(total, decimals)


def fee_interval(schedule: FeeSchedule, fills: Sequence[Fill], scale: Scale) -> tuple[Decimal, Decimal]:
    """What an order will cost in dollars that takes `fills`, one of each level: `order_fee` of one fill
    a level, and `fee_high`.
    """
    return order_fee(schedule, fills, scale), fee_high(schedule, fills, scale)


def _ready(schedule: FeeSchedule, scale: Scale) -> tuple[FeeFormula, int]:
    decimals = money_decimals(scale.price_decimals, scale.size_decimals)
    return formula(schedule, scale.size_decimals, decimals), decimals


def _unit_price(schedule: FeeSchedule, price_ticks: int, size_units: int, scale: Scale) -> int:
    """The money a size unit costs; ValueError for what cannot be a fill under this schedule."""
    one = 10**scale.price_decimals
    quadratic = schedule.kind in {FeeKind.KALSHI, FeeKind.POLYMARKET}
    if size_units < 0 or price_ticks < 0 or (quadratic and price_ticks > one):
        raise ValueError(f"no fill has price {price_ticks} and size {size_units} on {scale}")
    decimals = money_decimals(scale.price_decimals, scale.size_decimals)
    return int(price_ticks * 10 ** (decimals - scale.price_decimals - scale.size_decimals))
