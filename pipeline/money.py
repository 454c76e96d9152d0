"""Money: integers as exact decimals, and decimals as text or as millionths for the screen.

In: integers with their decimals, amounts. Out: `Decimal`, text. Pure. Used wherever money is booked or
shown.
"""

from __future__ import annotations

from decimal import Decimal

from pipeline.model import EXACT

MILLION = Decimal(1_000_000)


def to_decimal(units: int, decimals: int) -> Decimal:
    """The exact Decimal of an integer count of 10^-decimals."""
    return Decimal(units).scaleb(-decimals, EXACT)


def money_text(amount: Decimal) -> str:
    """Plain decimal text of an amount of money without trailing zeros and never in exponent form."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def to_micros(amount: Decimal) -> int:
    """Millionths of a dollar for display columns in shared memory, rounded half even; never booked."""
    return round(amount * MILLION)
