"""Memos: what number texts mean, remembered, because a feed repeats a few of them for ever; and moments.

In: numbers as a venue wrote them, moments as the decoder read them. Out: integers on one scale, or
ValueError; nanoseconds. Pure. Used by the spot venues' codecs. On recordings of both, 54 to 84 % of the
texts had been seen before, and a look-up costs a tenth of reading a text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, AnyStr

import msgspec

from pipeline.model import INT64_MAX, to_units

# An RFC 3339 time; one without a zone is none.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

# Markets of one scale share a memo; a full one is emptied.
MEMO_MAX = 8_192
# A longer number is neither a price nor a size.
NUMBER_MAX = 32

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POWERS = tuple(10**zeros for zeros in range(20))


class Amounts(dict[AnyStr, int]):
    """Units of number texts at `decimals`: `amounts[text]` reads a text that is new.

    ValueError for what is no number, is off the scale, is below `least`, or is beyond int64.
    """

    __slots__ = ("_decimals", "_least", "_point")

    def __init__(self, decimals: int, least: int, point: AnyStr) -> None:
        """`point` is the decimal point, as text or as bytes: what the texts are made of."""
        super().__init__()
        self._decimals = decimals
        self._least = least
        self._point: AnyStr = point

    def __missing__(self, text: AnyStr) -> int:
        units = read_digits(text, self._point, self._decimals, self._least)
        if len(self) >= MEMO_MAX:
            self.clear()
        self[text] = units
        return units


def read_amount(text: str, decimals: int, least: int) -> int:
    """Units of one number text, nothing remembered; ValueError as with `Amounts`."""
    return read_digits(text, ".", decimals, least)


def read_digits(text: AnyStr, point: AnyStr, decimals: int, least: int) -> int:
    """The same of text or of bytes, with a decimal point of that kind.

    The plain spelling, digits with at most one point, is read here; `model.to_units` reads all others.
    """
    whole, _, fraction = text.partition(point)
    digits = whole + fraction
    missing = decimals - len(fraction)
    if missing >= 0 and len(digits) <= NUMBER_MAX and digits.isdigit() and digits.isascii():
        units: int = int(digits) * _POWERS[missing]
    elif len(text) <= NUMBER_MAX:
        units = to_units(_as_text(text), decimals)
    else:
        raise ValueError(f"a number of {len(text)} characters")
    if not least <= units <= INT64_MAX:
        raise ValueError(f"no price or size can be {text!r}")
    return units


def _as_text(text: str | bytes) -> str:
    return text if isinstance(text, str) else str(text, "ascii")


def moment_ns(moment: datetime | None) -> int:
    """Nanoseconds since 1970 of a moment with a zone, to the microsecond; 0 for none and out of range."""
    if moment is None:
        return 0
    since = moment - _EPOCH
    ns: int = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
    return ns if 0 < ns <= INT64_MAX else 0
