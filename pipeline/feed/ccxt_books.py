"""CCXT books: an order book and a market as ccxt tells them, in our integers, or why not.

In: ccxt's dicts, whose numbers are floats. Out: a `Snapshot`, a `Scale`, a `Market`, or a `Refusal`. Pure.
Used by ccxt_feed. ccxt parsed the venue's text into a float: its shortest text is the venue's own as long
as that had at most 15 significant digits, so more digits than that are refused, and nothing is rounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from itertools import islice
from typing import Any

from pipeline.model import INT64_MAX, Level, Market, MarketStatus, Scale, to_units
from pipeline.venues.codec import Snapshot

PREFIX = "ccxt:"
# The values of an exchange's `precisionMode` (ccxt/base/decimal_to_precision.py). The third one,
# significant digits, gives no fixed scale: the tick moves with the price.
DECIMAL_PLACES, TICK_SIZE = 2, 4
EXACT_DIGITS = 15  # a double keeps every decimal text of so many significant digits (IEEE 754)
MAX_DECIMALS = 18
MILLISECOND_NS = 1_000_000
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
# How exchanges write the id of a spot market; those that were not tried write the two names together.
SPOT_IDS = {"bitfinex": "t{base}{quote}", "cryptocom": "{base}_{quote}", "okx": "{base}-{quote}"}
LOWER_CASE_IDS = frozenset({"gemini"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A book that cannot be used. `off_scale` is True where a number does not fit the market's scale."""

    why: str
    off_scale: bool = False


class _OffScaleError(ValueError):
    """A number of a book has more digits than the scale or a float holds."""


def snapshot_of(market: str, book: Mapping[str, Any], scale: Scale, depth: int) -> Snapshot | Refusal:
    """The best `depth` levels a side of ccxt's `book` on `scale`; each side must be best first.

    A level is (price, size) or (price, size, count); a size of 0 is no level. A book without bids or without
    asks is refused. Its time is the venue's `timestamp` in milliseconds, 0 where it tells none.
    """
    try:
        bids = _ladder(book.get("bids"), 1, scale, depth)
        asks = _ladder(book.get("asks"), -1, scale, depth)
    except _OffScaleError as error:
        return Refusal(str(error), off_scale=True)
    except ValueError as error:
        return Refusal(str(error))
    if not bids or not asks:
        # Some of ccxt's classes hand out a book before its snapshot has come.
        return Refusal("a side is empty")
    return Snapshot(market, bids, asks, venue_ns(book.get("timestamp")))


def _ladder(side: Any, sign: int, scale: Scale, depth: int) -> list[Level]:
    """The best levels of one side. Raises ValueError for what is no ladder, best first."""
    if not isinstance(side, list | tuple):
        raise ValueError(f"a side is {type(side).__name__}, not a list")  # noqa: TRY004 - all one refusal
    found: list[Level] = []
    for level in islice(side, depth):
        if not isinstance(level, list | tuple) or len(level) < 2:
            raise ValueError(f"a level is {level!r:.40}")
        ticks = _integer(level[0], scale.price_decimals)
        units = _integer(level[1], scale.size_decimals)
        if ticks <= 0 or units < 0:
            raise ValueError(f"a level is {level!r:.40}")
        if found and (found[-1][0] - ticks) * sign <= 0:
            raise ValueError(f"{level[0]!r} is not worse than the level before it")
        if units:
            found.append((ticks, units))
    return found


def _integer(number: Any, decimals: int) -> int:
    """A number of ccxt as a count of 10^-decimals, exactly."""
    text = text_of(number)
    if len(text) > EXACT_DIGITS + 1 and isinstance(number, float) and _digits(text) > EXACT_DIGITS:
        raise _OffScaleError(f"{text} has more digits than a float keeps")
    try:
        return to_units(text, decimals)
    except ValueError as error:
        raise _OffScaleError(str(error)) from error


def text_of(number: Any) -> str:
    """The shortest text of a number that ccxt tells. Raises ValueError for what is no finite number."""
    if isinstance(number, bool) or not isinstance(number, int | float | str):
        raise ValueError(f"{number!r:.40} is not a number")  # noqa: TRY004 - all one refusal
    text = number if isinstance(number, str) else repr(number)
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:40]} is not a finite number")
    return text


def _digits(text: str) -> int:
    """Significant digits of a number's text."""
    return len(text.lower().partition("e")[0].replace(".", "").lstrip("-0").rstrip("0"))


def _decimals(text: str) -> int:
    """Decimals that a number's text needs."""
    exponent = Decimal(text).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def widest(book: Mapping[str, Any], depth: int, least: Scale | None = None) -> Scale | None:
    """The smallest scale, not below `least`, that holds the best `depth` levels of `book`.

    For exchanges that state no fixed precision. None for a book without levels, with a level that is none,
    or with one that no scale holds: what is wrong with it is then `snapshot_of`'s to say.
    """
    price, size = (least.price_decimals, least.size_decimals) if least else (0, 0)
    levels = 0
    try:
        for side in ("bids", "asks"):
            for level in islice(book.get(side) or (), depth):
                price = max(price, _decimals(text_of(level[0])))
                size = max(size, _decimals(text_of(level[1])))
                levels += 1
    except (ValueError, TypeError, IndexError):
        return None
    return Scale(price, size) if levels and max(price, size) <= MAX_DECIMALS else None


def venue_ns(timestamp: Any) -> int:
    """ccxt's milliseconds as nanoseconds; 0 for None and for what is no time."""
    if isinstance(timestamp, bool) or not isinstance(timestamp, int):
        return 0
    return timestamp * MILLISECOND_NS if 0 < timestamp <= INT64_MAX // MILLISECOND_NS else 0


def scale_of(listed: Mapping[str, Any], mode: int) -> Scale | None:
    """The scale that a market's stated `precision` gives, or None where it gives none."""
    precision = listed.get("precision") or {}
    decimals = [_stated(precision.get(name), mode) for name in ("price", "amount")]
    if decimals[0] is None or decimals[1] is None:
        return None
    return Scale(decimals[0], decimals[1])


def _stated(precision: Any, mode: int) -> int | None:
    """Decimals of a stated precision: a count of them, or a tick size."""
    if precision is None:
        return None
    try:
        text = text_of(precision)
        decimals = _decimals(text) if mode == TICK_SIZE else int(Decimal(text))
    except ValueError:
        return None
    usable = mode in {DECIMAL_PLACES, TICK_SIZE} and Decimal(text) > (0 if mode == TICK_SIZE else -1)
    return decimals if usable and 0 <= decimals <= MAX_DECIMALS else None


def market_of(venue: str, symbol: str, listed: Mapping[str, Any], mode: int) -> Market:
    """What an exchange lists about a market. Only an active spot market is OPEN.

    Sizes of swaps and futures count contracts, whose worth ccxt tells elsewhere: such a market's status
    stays unknown, and it is watched only. Fees are left out: ccxt's tables of them are old.
    """
    scale = scale_of(listed, mode)
    limits = listed.get("limits") or {}
    precision = (listed.get("precision") or {}) if mode == TICK_SIZE else {}
    status = MarketStatus.UNKNOWN
    if listed.get("active") is False:
        status = MarketStatus.PAUSED
    elif listed.get("active") is True and listed.get("spot") is True:
        status = MarketStatus.OPEN
    price, size = (scale.price_decimals, scale.size_decimals) if scale else (0, 0)
    return Market(
        venue,
        symbol,
        scale,
        grid_ticks=_at_least(precision.get("price"), price) if scale else 0,
        lot_units=_at_least(precision.get("amount"), size) if scale else 0,
        min_units=_at_least((limits.get("amount") or {}).get("min"), size) if scale else 0,
        min_cost_micros=_at_least((limits.get("cost") or {}).get("min"), 6),
        close_ns=venue_ns(listed.get("expiry")),
        status=status,
    )


def _at_least(number: Any, decimals: int) -> int:
    """A stated least amount as an integer, rounded up; 0 where none is stated."""
    if number is None:
        return 0
    try:
        scaled = Decimal(text_of(number)).scaleb(decimals)
    except ValueError:
        return 0
    return min(max(0, int(scaled.to_integral_value(ROUND_CEILING))), INT64_MAX)


def made_market(exchange: str, symbol: str) -> dict[str, Any]:
    """A market in ccxt's form for a symbol such as BTC/USDT or BTC/USDC:USDC, where none can be loaded.

    Only for exchanges on this machine. It states no precision: the scale comes from the books.
    """
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    spot = not settle
    market_id = SPOT_IDS.get(exchange, "{base}{quote}").format(base=base, quote=quote)
    if exchange in LOWER_CASE_IDS:
        market_id = market_id.lower()
    if exchange == "hyperliquid":
        # There a swap's books go by its base coin, and ccxt finds the market by its symbol.
        market_id = symbol
    return {
        "id": market_id,
        "lowercaseId": market_id.lower(),
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "settle": settle or None,
        "baseId": base,
        "quoteId": quote,
        "settleId": settle or None,
        "baseName": base,
        "type": "spot" if spot else "swap",
        "spot": spot,
        "swap": not spot,
        "future": False,
        "option": False,
        "contract": not spot,
        "linear": None if spot else settle == quote,
        "inverse": None if spot else settle == base,
        "active": True,
        "info": {},
    }


def moved(urls: Any, origin: str) -> Any:
    """ccxt's `urls`, lists and tables within, with scheme and host of each replaced by `origin`.

    Paths stay: some of ccxt's classes tell the kind of market by them.
    """
    if isinstance(urls, Mapping):
        return {key: moved(value, origin) for key, value in urls.items()}
    if isinstance(urls, list | tuple):
        return [moved(value, origin) for value in urls]
    if not isinstance(urls, str) or "://" not in urls:
        return urls
    _, slash, path = urls.partition("://")[2].partition("/")
    return origin + slash + path
