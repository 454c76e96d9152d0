"""Fee formulas: what each kind of venue charges for a fill, on plain integers, to its own rounding.

In: a `FeeSchedule`, the decimals of sizes and of money. Out: a `FeeFormula`. Pure; used through
`pipeline.fees` by all that knows a fee.

A price here is what the buyer pays for the outcome bought: for NO that is 1 - book price. Kalshi
and Polymarket charge the same for p and 1 - p, but Kalshi rounds the balance, and that includes the
price. What a sale of a contract at p leaves on the balance ends with the same digits as what buying
the other outcome at 1 - p leaves, so on Kalshi that is its fee (`fee_price_ticks`).

`high` is the fee of the worst split. A split makes several fills of what is taken on one level, each
of a whole number of contracts, shares or coins, but for one fill that also takes what is no whole
one. The bounds on Polymarket and of basis points hold for parts of any size, as long as there are no
more of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import gcd
from typing import NamedTuple

from pipeline.model import FeeKind, FeeSchedule

MILLION = 1_000_000
"""Rates are in millionths."""

FLOOR_SCALE = 10**12
"""`FeeFormula.floor_rate` counts 1/FLOOR_SCALE of the money unit."""

MIN_MONEY_DECIMALS = 8
"""Every fee is a whole number of 10^-8 dollars, unless Kalshi's balance carries more digits."""

MAX_EXPONENT = 4
"""Polymarket's exponents are 1 and 2; more than this is a misread schedule."""

CENT_MICROS = 10_000
"""Rounding step where a schedule states none: the cent of a Kalshi account behind a broker (a direct
member's is $0.0001), and that of flat and custom fees."""


class FeeFormula(NamedTuple):
    """A schedule made ready for one size scale and one money scale; all numbers are integers.

    `fee(unit_price, units)` is the fee of one fill, where `unit_price` is the money one size unit
    costs. `floor_rate(unit_price)` is at most the unrounded fee of a unit, in 1/FLOOR_SCALE of the
    money unit; `slack` is how far below it the rounded fee of a fill can be. `step` is what price *
    size + fee of a fill is rounded up to a multiple of, 0 where only the fee itself is rounded.
    `high(unit_price, units)` is never below the sum of the fees of any split of that fill, alone in
    its order or not, and so never below `fee`.
    """

    fee: Callable[[int, int], int]
    floor_rate: Callable[[int], int]
    slack: int
    step: int
    high: Callable[[int, int], int]


def is_known(schedule: FeeSchedule) -> bool:
    """Whether fees can be computed at all. False means: watch the market, never trade it."""
    return (
        schedule.kind != FeeKind.UNKNOWN
        and 0 <= schedule.rate_ppm < MILLION
        and 0 <= schedule.maker_rate_ppm < MILLION
        and 0 <= schedule.exponent <= MAX_EXPONENT
        and schedule.precision_micros >= 0
        and schedule.per_unit_micros >= 0
    )


def money_decimals(price_decimals: int, size_decimals: int) -> int:
    """Decimals on which every product of price and size, and every fee, is a whole number."""
    return max(price_decimals + size_decimals, MIN_MONEY_DECIMALS)


@lru_cache(maxsize=1024)
def formula(schedule: FeeSchedule, size_decimals: int, decimals: int) -> FeeFormula:
    """The taker formula of `schedule` for sizes and money of these decimals.

    `decimals` is at least `money_decimals` of the market. A waiver changes nothing here: ask for
    the formula of what is `effective`. A rate of 0 is free, whatever the balance rounds to. Raises
    ValueError for an unknown schedule: callers check `is_known` first, and refuse the market.
    """
    if not is_known(schedule):
        raise ValueError(f"the fee is not known: {schedule}")
    one: int = 10 ** (decimals - size_decimals)
    by_unit = schedule.kind in {FeeKind.FLAT, FeeKind.CUSTOM}
    if not (schedule.rate_ppm and schedule.kind != FeeKind.FLAT) and not (
        by_unit and schedule.per_unit_micros
    ):
        return FeeFormula(lambda _price, _units: 0, lambda _price: 0, 0, 0, lambda _price, _units: 0)
    if schedule.kind == FeeKind.KALSHI:
        return _kalshi(schedule, size_decimals, decimals, one)
    if schedule.kind == FeeKind.POLYMARKET:
        return _polymarket(schedule, size_decimals, decimals, one)
    if by_unit:
        return _by_unit(schedule, size_decimals, decimals)
    return _basis_points(schedule, size_decimals, decimals, one)


def precision_micros(schedule: FeeSchedule) -> int:
    """The rounding step in millionths of a dollar; where none is stated, the cent."""
    return schedule.precision_micros or CENT_MICROS


def kalshi_trade_fee(rate_ppm: int, size_decimals: int, decimals: int) -> Callable[[int, int], int]:
    """Kalshi's step 1: rate * C * P * (1 - P), rounded up to $0.0001 (venue page K5)."""
    one: int = 10 ** (decimals - size_decimals)
    divisor: int = 10 ** (size_decimals + 2) * one * one
    tick: int = 10 ** (decimals - 4)

    def trade_fee(price: int, units: int) -> int:
        return -(-rate_ppm * units * price * (one - price) // divisor) * tick

    return trade_fee


def _kalshi(schedule: FeeSchedule, size_decimals: int, decimals: int, one: int) -> FeeFormula:
    """Kalshi, one fill (its `fee_rounding` page): the buyer's balance change -P*C - trade fee is
    floored to the account's precision, and what is floored away is a fee too.
    """
    rate = schedule.rate_ppm
    step: int = precision_micros(schedule) * 10 ** (decimals - 6)
    trade_fee = kalshi_trade_fee(rate, size_decimals, decimals)

    def fee(price: int, units: int) -> int:
        notional = price * units
        return -(-(notional + trade_fee(price, units)) // step) * step - notional

    def floor_rate(price: int) -> int:
        return rate * price * (one - price) * FLOOR_SCALE // (MILLION * one)

    return FeeFormula(fee, floor_rate, 0, step, _kalshi_high(step, size_decimals, decimals, fee, trade_fee))


def _kalshi_high(
    step: int,
    size_decimals: int,
    decimals: int,
    fee: Callable[[int, int], int],
    trade_fee: Callable[[int, int], int],
) -> Callable[[int, int], int]:
    """Kalshi's worst split, through the accumulator of its order. Two bounds, of which the lower counts.

    Nothing is paid back: rounding up is dearest where each contract is rounded alone. Or: what a split
    costs is its trade fees and what the accumulator holds at the end. A fill of a cent or more brings what
    is above a cent down by one at least, so the end is at most a cent and the roundings of those fills
    that cost less than a cent. On these nothing can be paid back, because no fill costs less than nothing;
    at whole cents there are none, because a contract leaves whole cents.
    """
    contract: int = 10**size_decimals
    tick, cent = 10 ** (decimals - 4), 10 ** (decimals - 2)
    grid = gcd(step, cent)

    # The same few prices come again and again.
    @lru_cache(maxsize=256)
    def of_one(price: int) -> tuple[int, int, int, int]:
        """Of one contract the fee alone and the trade fee, what stays of it, and of any part of one."""
        least = trade_fee(price, contract)
        charged = gcd(step, price * contract)
        small = max(0, (cent - 1) // charged * charged - least)
        return fee(price, contract), least, small, step - gcd(step, price, tick)

    def high(price: int, units: int) -> int:
        whole, rest = divmod(units, contract)
        if whole + bool(rest) <= 1:
            return fee(price, units)
        alone, least, small, of_rest = of_one(price)
        worst = whole * alone
        if rest:
            worst += fee(price, rest)
        if step > cent:
            return worst
        notional = price * units
        held = cent + whole * small + (of_rest if rest else 0)
        paid: int = notional + whole * least + (trade_fee(price, rest) if rest else 0) + held
        # Balances are whole steps and rebates whole cents, so what is paid in all is so too.
        return min(worst, paid // grid * grid - notional)

    return high


def _polymarket(schedule: FeeSchedule, size_decimals: int, decimals: int, one: int) -> FeeFormula:
    """Polymarket: C * rate * (p(1-p))^exponent, half even to 5 decimals, 0 below 0.00001. A fill of a
    split gains the venue at most half of the fifth decimal.
    """
    rate, exponent = schedule.rate_ppm, schedule.exponent
    contract: int = 10**size_decimals
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

    def high(price: int, units: int) -> int:
        fills = -(-units // contract)
        if fills <= 1:
            return fee(price, units)
        raw: int = units * rate * (price * (one - price)) ** exponent
        return (raw + fills * (divisor // 2)) // divisor * tick

    return FeeFormula(fee, floor_rate, tick, 0, high)


def _basis_points(schedule: FeeSchedule, size_decimals: int, decimals: int, one: int) -> FeeFormula:
    """Spot venues: a share of price * size, rounded up to 10^-8 dollars. Coins are bought in parts, so a
    split has as many fills as there are coins or dollars, whichever are more, and one.
    """
    rate = schedule.rate_ppm
    contract: int = 10**size_decimals
    dollar = one * contract
    tick: int = 10 ** (decimals - MIN_MONEY_DECIMALS)
    divisor: int = MILLION * tick

    def fee(price: int, units: int) -> int:
        return -(-rate * price * units // divisor) * tick

    def floor_rate(price: int) -> int:
        return rate * price * FLOOR_SCALE // MILLION

    def high(price: int, units: int) -> int:
        fills = max(units // contract, price * units // dollar) + 1
        return (rate * price * units + fills * (divisor - 1)) // divisor * tick

    return FeeFormula(fee, floor_rate, 0, 0, high)


def _by_unit(schedule: FeeSchedule, size_decimals: int, decimals: int) -> FeeFormula:
    """Flat: so much a contract. Custom: that and a share of price * size. Rounded up to the step, which is
    dearest where each contract is rounded alone.
    """
    contract: int = 10**size_decimals
    flat: int = schedule.per_unit_micros * 10 ** (decimals - 6) * MILLION
    share: int = schedule.rate_ppm * contract if schedule.kind == FeeKind.CUSTOM else 0
    tick: int = precision_micros(schedule) * 10 ** (decimals - 6)
    scale: int = contract * MILLION
    divisor: int = scale * tick

    def fee(price: int, units: int) -> int:
        return -(-units * (flat + share * price) // divisor) * tick

    def floor_rate(price: int) -> int:
        return (flat + share * price) * FLOOR_SCALE // scale

    def high(price: int, units: int) -> int:
        whole, rest = divmod(units, contract)
        if whole + bool(rest) <= 1:
            return fee(price, units)
        return whole * fee(price, contract) + fee(price, rest)

    return FeeFormula(fee, floor_rate, 0, 0, high)
