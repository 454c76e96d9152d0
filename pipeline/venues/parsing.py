"""Readers of venue text that venues share: prices between 0 and 1, sizes, times, error words.

In: text as a venue sent it. Out: integers on a market's scale, or ValueError. Pure. Used by the
codecs and metadata parsers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from pipeline.model import DEFAULT_SCALES, INT64_MAX, Scale, to_units
from pipeline.venues.memo import moment_ns, read_amount

# What hostile JSON can raise: msgspec's errors and bad UTF-8 are ValueErrors, deep nesting is not.
UNREADABLE = (ValueError, RecursionError)

# Bounds on what is accepted. A number of more than 32 characters is neither a price nor a size.
NumberText = Annotated[str, msgspec.Meta(max_length=32)]
MarketName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Counter = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
MARKETS_MAX = 10_000
CACHE_MAX = 8_192

_MILLIS_DIGITS = 13
MILLIS_MAX = INT64_MAX // 1_000_000
_WHY_MAX = 160


class VenueTroubleError(ValueError):
    """An answer in which the venue says that it cannot answer now; nothing is wrong with the question."""


def text_of(error: object) -> str:
    """Words of an error or of a venue: cut to a length that suits a log line, and a space for each sign that
    a terminal might obey.
    """
    return "".join(sign if sign.isprintable() else " " for sign in str(error)[:_WHY_MAX])


def iso_ns(text: object) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time, UTC without a zone; 0 for anything else."""
    if not isinstance(text, str) or not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
        return moment_ns(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return 0


def published_units(number: object, decimals: int) -> int:
    """Units of a published size or step on a scale; 0 where none was sent. ValueError if below 0."""
    units = 0 if number is None else to_units(str(number), decimals)
    if units < 0:
        raise ValueError(f"{number} is below 0")
    return units


def millis_ns(value: Any) -> int:
    """Nanoseconds of a time in milliseconds, a number or its text; 0 for anything else."""
    if type(value) is str:
        plain = len(value) <= _MILLIS_DIGITS and value.isdigit() and value.isascii()
        value = int(value) if plain else 0
    if type(value) is int and 0 < value <= MILLIS_MAX:
        return value * 1_000_000
    return 0


def seconds_ns(value: Any) -> int:
    """Nanoseconds of a time in whole seconds since 1970; 0 for anything else."""
    if type(value) is int and 0 < value <= INT64_MAX // 1_000_000_000:
        return value * 1_000_000_000
    return 0


class Memo(dict[str, int]):
    """Numbers on a scale by the text they were sent as; a new text is read, and then remembered.

    A book repeats a few hundred texts for ever, so that a look-up mostly replaces the parsing. What
    cannot be read, or is not within the bounds, raises ValueError and is not remembered. A full memory
    is emptied.
    """

    __slots__ = ("_decimals", "_least", "_most", "_what")

    def __init__(self, what: str, decimals: int, least: int, most: int) -> None:
        """`what` names the number in errors; both bounds are allowed."""
        super().__init__()
        self._what = what
        self._decimals = decimals
        self._least, self._most = least, most

    def __missing__(self, text: str) -> int:
        number = read_amount(text, self._decimals, -INT64_MAX)
        if not self._least <= number <= self._most:
            raise ValueError(f"{self._what} {text!r} is out of its range")
        if len(self) >= CACHE_MAX:
            self.clear()
        self[text] = number
        return number


class Bests(Memo):
    """Best prices between 0 and 1: both ends mean that the side is empty, which is 0."""

    __slots__ = ()

    def __missing__(self, text: str) -> int:
        number = self[text] = super().__missing__(text) % self._most
        return number


class Reader:
    """Reads prices between 0 and 1 and sizes of one scale. The memories are there for hot paths.

    `prices` are ticks of a level's price, both ends excluded: the venues' grids begin one step above 0
    and end one step below 1. `bests` are ticks of a best price, 0 for an empty side. `steps` are units
    with a sign, `sizes` units without one.
    """

    __slots__ = ("bests", "one", "prices", "sizes", "steps")

    def __init__(self, scale: Scale) -> None:
        self.one = int(10**scale.price_decimals)
        self.prices = Memo("price", scale.price_decimals, 1, self.one - 1)
        self.bests = Bests("best price", scale.price_decimals, 0, self.one)
        self.sizes = Memo("size", scale.size_decimals, 0, INT64_MAX)
        self.steps = Memo("step", scale.size_decimals, -INT64_MAX, INT64_MAX)

    def ticks(self, text: str) -> int:
        """Ticks of a price; ValueError unless between 0 and 1, both excluded, and on the scale."""
        return self.prices[text]

    def size(self, text: str) -> int:
        """Units of a size that cannot be negative; ValueError otherwise."""
        return self.sizes[text]


class Readers:
    """The reader of each market of one venue; markets on the same scale share one."""

    __slots__ = ("_by_market", "_by_scale", "_default", "_scales")

    def __init__(self, venue: str, scales: Mapping[str, Scale]) -> None:
        self._scales = scales
        self._default = DEFAULT_SCALES[venue]
        self._by_scale: dict[Scale, Reader] = {}
        self._by_market: dict[str, Reader] = {}

    def scale_of(self, market: str) -> Scale:
        """The market's scale, or the venue's default."""
        return self._scales.get(market, self._default)

    def of(self, market: str) -> Reader:
        """The market's reader."""
        reader = self._by_market.get(market)
        if reader is None:
            scale = self.scale_of(market)
            reader = self._by_scale.setdefault(scale, Reader(scale))
            if len(self._by_market) >= MARKETS_MAX:
                self._by_market.clear()
            self._by_market[market] = reader
        return reader
