"""Ratios that are exact and can be shown, and amounts of dollars as people give them.

In: fractions; amounts as Decimal, int, text or float. Out: a `Ratio`, a finite `Decimal`. Pure; used by
Kelly.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from math import isfinite
from typing import Any, overload

from pipeline.money import money_text, to_decimal

Amount = Decimal | int | str | float

FLOAT_DECIMALS = 6
"""A float says no more of an amount than its millionths of a dollar."""

MOST_DIGITS = 24
"""Digits before and behind the point of an amount: sums of such stay exact in 60 digits."""

SHOWN = Context(prec=60, rounding=ROUND_HALF_EVEN)
MILLIONTH = Decimal("0.000001")


class Ratio(Fraction):
    """An exact fraction that prints as a number: f"{ratio * 100:.1f}", which Fraction learns in Python 3.12.

    As text it has at most six decimals. All else is a Fraction's; times a whole number it stays a Ratio.
    """

    @overload
    def __mul__(self, other: int | Fraction) -> Ratio: ...
    @overload
    def __mul__(self, other: float) -> float: ...
    @overload
    def __mul__(self, other: complex) -> complex: ...
    def __mul__(self, other: Any) -> Any:
        product = super().__mul__(other)
        return Ratio(product) if isinstance(product, Fraction) else product

    __rmul__ = __mul__

    def __format__(self, spec: str) -> str:
        return format(self._shown(), spec) if spec else str(self)

    def __str__(self) -> str:
        return money_text(self._shown().quantize(MILLIONTH, context=SHOWN))

    def _shown(self) -> Decimal:
        return SHOWN.divide(Decimal(self.numerator), Decimal(self.denominator))


def amount_of(value: Amount) -> Decimal:
    """An amount in dollars; a float is taken to the millionth, all else as it is.

    Raises ValueError for what is no finite number and beyond MOST_DIGITS digits on either side of the point,
    TypeError for a bool, which Python counts among the whole numbers.
    """
    if isinstance(value, bool):
        raise TypeError(f"{value} is no amount of dollars; is it meant to be is_winning=?")
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{value} is no amount of dollars")
        return amount_of(to_decimal(round(Fraction(value) * 10**FLOAT_DECIMALS), FLOAT_DECIMALS))
    try:
        amount = Decimal(value)
    except ArithmeticError as error:
        raise ValueError(f"{value!r} is no amount of dollars") from error
    if not amount.is_finite():
        raise ValueError(f"{value} is no amount of dollars")
    smallest = amount.as_tuple().exponent
    if isinstance(smallest, int) and (smallest < -MOST_DIGITS or amount.adjusted() >= MOST_DIGITS):
        raise ValueError(f"{value} has more than {MOST_DIGITS} digits on one side of the point")
    return amount
