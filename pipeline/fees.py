"""Fees: what a venue charges a taker for a fill, exact to the venue's own rounding.

In: a `FeeSchedule`, prices and sizes as integers on the market's scale. Out: exact Decimal dollars,
or for the edge arithmetic a `FeeFormula` on plain integers. Pure; used by edge, trader, lab and
cli.

A price here is what the buyer pays for the outcome bought: for NO that is 1 - book price. Kalshi
and Polymarket charge the same for p and 1 - p, but Kalshi rounds the balance, and that includes the
price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from pipeline.config import FeeConfig
from pipeline.model import (
    FeeKind,
    FeeSchedule,
    Scale,
    to_units,
)
from pipeline.money import to_decimal

MILLION = 1_000_000
"""Rates are in millionths."""

FLOOR_SCALE = 10**12
"""`FeeFormula.floor_rate` counts 1/FLOOR_SCALE of the money unit."""

MIN_MONEY_DECIMALS = 8
"""Every fee is a whole number of 10^-8 dollars, unless Kalshi's balance carries more digits."""

MAX_EXPONENT = 4
"""Polymarket's exponents are 1 and 2; more than this is a misread schedule."""

KALSHI_COEFFICIENT = "0.07"
"""Taker coefficient of Kalshi's base model (schedule effective 2026-07-07)."""

KALSHI_PRECISION_MICROS = 10_000
"""Balance precision of an account through a broker, $0.01; a direct member has $0.0001."""

KALSHI_BASE = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, KALSHI_PRECISION_MICROS)
"""Kalshi's base model, for `run.py fee`. A market's fee comes from its own metadata, never from
here."""


class FeeFormula(NamedTuple):
    """A schedule made ready for one size scale and one money scale; all numbers are integers.

    `fee(unit_price, units)` is the fee of one fill, where `unit_price` is the money one size unit
    costs. `floor_rate(unit_price)` is at most the unrounded fee of a unit, in 1/FLOOR_SCALE of the
    money unit; `slack` is how far below it the rounded fee of a fill can be. `step` is what price *
    size + fee of a fill is rounded up to a multiple of, 0 where only the fee itself is rounded.
    """

    fee: Callable[[int, int], int]
    floor_rate: Callable[[int], int]
    slack: int
    step: int


def is_known(schedule: FeeSchedule) -> bool:
    """Whether fees can be computed at all. False means: watch the market, never trade it."""
    return (
        schedule.kind != FeeKind.UNKNOWN
        and 0 <= schedule.rate_ppm < MILLION
        and 0 <= schedule.exponent <= MAX_EXPONENT
        and schedule.precision_micros >= 0
    )


def money_decimals(price_decimals: int, size_decimals: int) -> int:
    """Decimals on which every product of price and size, and every fee, is a whole number."""
    return max(price_decimals + size_decimals, MIN_MONEY_DECIMALS)


@lru_cache(maxsize=1024)
def formula(schedule: FeeSchedule, size_decimals: int, decimals: int) -> FeeFormula:
    """The formula of `schedule` for sizes and money of these decimals.

    `decimals` is at least `money_decimals` of the market. Raises ValueError for an unknown
    schedule: callers check `is_known` first, and refuse the market.
    """
    if not is_known(schedule):
        raise ValueError(f"the fee is not known: {schedule}")
    one: int = 10 ** (decimals - size_decimals)
    if schedule.rate_ppm == 0:
        return FeeFormula(lambda _price, _units: 0, lambda _price: 0, 0, 0)
    if schedule.kind == FeeKind.KALSHI:
        return _kalshi(schedule, size_decimals, decimals, one)
    if schedule.kind == FeeKind.POLYMARKET:
        return _polymarket(schedule, size_decimals, decimals, one)
    return _basis_points(schedule, decimals)


def _kalshi_trade_fee(rate: int, size_decimals: int, decimals: int, one: int) -> Callable[[int, int], int]:
    """Kalshi's step 1: rate * C * P * (1 - P), rounded up to $0.0001."""
    divisor: int = 10 ** (size_decimals + 2) * one * one
    tick: int = 10 ** (decimals - 4)

    def trade_fee(price: int, units: int) -> int:
        return -(-rate * units * price * (one - price) // divisor) * tick

    return trade_fee


def _kalshi(schedule: FeeSchedule, size_decimals: int, decimals: int, one: int) -> FeeFormula:
    """Kalshi, one fill (its `fee_rounding` page): the buyer's balance change -P*C - trade fee is
    floored to the account's precision, and what is floored away is a fee too.
    """
    rate = schedule.rate_ppm
    step: int = _precision(schedule) * 10 ** (decimals - 6)
    trade_fee = _kalshi_trade_fee(rate, size_decimals, decimals, one)

    def fee(price: int, units: int) -> int:
        notional = price * units
        return -(-(notional + trade_fee(price, units)) // step) * step - notional

    def floor_rate(price: int) -> int:
        return rate * price * (one - price) * FLOOR_SCALE // (MILLION * one)

    return FeeFormula(fee, floor_rate, 0, step)


def _polymarket(schedule: FeeSchedule, size_decimals: int, decimals: int, one: int) -> FeeFormula:
    """Polymarket: C * rate * (p(1-p))^exponent, half even to 5 decimals, 0 below 0.00001."""
    rate, exponent = schedule.rate_ppm, schedule.exponent
    divisor: int = 10 ** (size_decimals + 1) * one ** (2 * exponent)
    floor_divisor: int = MILLION * one ** (2 * exponent)
    tick: int = 10 ** (decimals - 5)

    def fee(price: int, units: int) -> int:
        curve: int = (price * (one - price)) ** exponent
        whole, rest = divmod(units * rate * curve, divisor)
        if whole == 0:
            return 0
        twice = 2 * rest
        if twice > divisor or (twice == divisor and whole & 1):
            whole += 1
        return whole * tick

    def floor_rate(price: int) -> int:
        curve: int = (price * (one - price)) ** exponent
        return rate * one * curve * FLOOR_SCALE // floor_divisor

    return FeeFormula(fee, floor_rate, tick, 0)


def _basis_points(schedule: FeeSchedule, decimals: int) -> FeeFormula:
    """Spot venues: a share of price * size, rounded up to 10^-8 dollars."""
    rate = schedule.rate_ppm
    tick: int = 10 ** (decimals - MIN_MONEY_DECIMALS)
    divisor: int = MILLION * tick

    def fee(price: int, units: int) -> int:
        return -(-rate * price * units // divisor) * tick

    def floor_rate(price: int) -> int:
        return rate * price * FLOOR_SCALE // MILLION

    return FeeFormula(fee, floor_rate, 0, 0)


def _precision(schedule: FeeSchedule) -> int:
    """The account's precision in micros; where none is stated, the coarser one."""
    return schedule.precision_micros or KALSHI_PRECISION_MICROS


def _unit_price(schedule: FeeSchedule, price_ticks: int, size_units: int, scale: Scale) -> int:
    """The money a size unit costs; ValueError for what cannot be a fill under this schedule."""
    one = 10**scale.price_decimals
    quadratic = schedule.kind in {FeeKind.KALSHI, FeeKind.POLYMARKET}
    if size_units < 0 or price_ticks < 0 or (quadratic and price_ticks > one):
        raise ValueError(f"no fill has price {price_ticks} and size {size_units} on {scale}")
    decimals = money_decimals(scale.price_decimals, scale.size_decimals)
    return int(price_ticks * 10 ** (decimals - scale.price_decimals - scale.size_decimals))


def taker_fee(schedule: FeeSchedule, price_ticks: int, size_units: int, scale: Scale) -> Decimal:
    """Fee of one taker fill in dollars. `price_ticks` is what the buyer pays: 1 - book price for
    NO.

    Raises ValueError for an unknown schedule and for a price or size no fill can have.
    """
    decimals = money_decimals(scale.price_decimals, scale.size_decimals)
    ready = formula(schedule, scale.size_decimals, decimals)
    price = _unit_price(schedule, price_ticks, size_units, scale)
    return to_decimal(ready.fee(price, size_units), decimals)


def order_fee(schedule: FeeSchedule, fills: Sequence[tuple[int, int]], scale: Scale) -> Decimal:
    """Fee in dollars of one order filled by `fills` (price ticks, size units) in that order.

    Kalshi adds what its rounding took to an accumulator per order; when that exceeds $0.01, whole
    cents are paid back, but a fill never costs less than nothing. Other venues sum the fills.
    """
    if schedule.kind != FeeKind.KALSHI or not is_known(schedule) or schedule.rate_ppm == 0:
        return fee_high(schedule, fills, scale)
    decimals = money_decimals(scale.price_decimals, scale.size_decimals)
    one = 10 ** (decimals - scale.size_decimals)
    cent = 10 ** (decimals - 2)
    fee = formula(schedule, scale.size_decimals, decimals).fee
    trade_fee = _kalshi_trade_fee(schedule.rate_ppm, scale.size_decimals, decimals, one)
    total = accumulator = 0
    for price_ticks, size_units in fills:
        price = _unit_price(schedule, price_ticks, size_units, scale)
        charged = fee(price, size_units)
        accumulator += charged - trade_fee(price, size_units)
        cents = accumulator // cent if accumulator > cent else 0
        rebate = min(cents, charged // cent) * cent
        accumulator -= rebate
        total += charged - rebate
    return to_decimal(total, decimals)


def fee_high(schedule: FeeSchedule, fills: Sequence[tuple[int, int]], scale: Scale) -> Decimal:
    """The high end of an order's fee in dollars, for decisions: one fill a level, no rebate
    counted.

    How a level splits into fills is not known before the order; Kalshi's rebate gives most of a
    split's rounding back, but it comes only with later fills, so a decision does not rely on it.
    """
    if not is_known(schedule):
        raise ValueError(f"the fee is not known: {schedule}")
    total = Decimal(0)
    for price_ticks, size_units in fills:
        total += taker_fee(schedule, price_ticks, size_units, scale)
    return total


def schedule_from_config(venue: str, config: FeeConfig | None, published: FeeSchedule) -> FeeSchedule:
    """The schedule to use: what `[fees.VENUE]` sets wins over what the venue publishes.

    Where nothing is published, the config has to state the rate itself (Kalshi `taker_coefficient`
    or `multiplier`, Polymarket `rate`, others `taker_bps`), else the fee stays UNKNOWN. Raises
    ValueError for text finer than a millionth, for a negative rate and for a rate of 1 or more.
    """
    kind = published.kind
    if kind == FeeKind.UNKNOWN:
        kind = {"kalshi": FeeKind.KALSHI, "polymarket": FeeKind.POLYMARKET}.get(venue, FeeKind.BPS)
    config = config or FeeConfig()
    if kind == FeeKind.KALSHI:
        made = _kalshi_config(config, published)
    elif kind == FeeKind.POLYMARKET:
        made = _polymarket_config(config, published)
    else:
        made = _basis_points_config(config, published)
    if made.kind != FeeKind.UNKNOWN and not is_known(made):
        raise ValueError(f"[fees.{venue}] gives no possible fee: {made}")
    return made


def _kalshi_config(config: FeeConfig, published: FeeSchedule) -> FeeSchedule:
    rate, maker = published.rate_ppm, published.maker_rate_ppm
    stated = config.taker_coefficient is not None or config.multiplier is not None
    if published.kind == FeeKind.UNKNOWN and not stated:
        return published
    multiplier = config.multiplier or "1"
    if stated:
        rate = _product_ppm(config.taker_coefficient or KALSHI_COEFFICIENT, multiplier)
    if config.maker_coefficient is not None:
        maker = _product_ppm(config.maker_coefficient, multiplier)
    precision = _precision(published)
    if config.account_precision is not None:
        precision = to_units(config.account_precision, 6)
        if precision <= 0:
            raise ValueError(f"account_precision {config.account_precision!r} is not above 0")
    return FeeSchedule(FeeKind.KALSHI, rate, maker, 1, precision)


def _polymarket_config(config: FeeConfig, published: FeeSchedule) -> FeeSchedule:
    if published.kind == FeeKind.UNKNOWN and config.rate is None:
        return published
    rate = published.rate_ppm if config.rate is None else to_units(config.rate, 6)
    exponent = published.exponent if config.exponent is None else config.exponent
    return FeeSchedule(FeeKind.POLYMARKET, rate, published.maker_rate_ppm, exponent, 0)


def _basis_points_config(config: FeeConfig, published: FeeSchedule) -> FeeSchedule:
    if published.kind == FeeKind.UNKNOWN and config.taker_bps is None:
        return published
    # A basis point is a hundred millionths, so two decimals of a bp are exactly ppm.
    taker = published.rate_ppm if config.taker_bps is None else to_units(config.taker_bps, 2)
    maker = published.maker_rate_ppm if config.maker_bps is None else to_units(config.maker_bps, 2)
    return FeeSchedule(FeeKind.BPS, taker, maker, 1, 0)


def _product_ppm(coefficient: str, multiplier: str) -> int:
    """coefficient * multiplier in millionths, or ValueError where that is not exact."""
    whole, rest = divmod(to_units(coefficient, 6) * to_units(multiplier, 6), MILLION)
    if rest:
        raise ValueError(f"{coefficient} * {multiplier} is finer than a millionth")
    return whole
