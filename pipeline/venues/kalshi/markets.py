"""Kalshi's public REST metadata: which paths to ask for, and their answers as `Market` values.

In: tickers, response bodies. Out: paths under `.../trade-api/v2`, and markets in YES terms. Pure;
the feed's MarketDirectory (feed/rest.py) does the asking.

Two steps: `/markets` says grid, status and result; the fee formula belongs to the series, so
`/series/S` is asked next (`fee_paths`, `parse_fees`), unless the configuration gives the fee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal
from urllib.parse import quote

import msgspec

from pipeline.model import (
    DEFAULT_SCALES,
    UNKNOWN_FEE,
    FeeKind,
    FeeSchedule,
    Market,
    MarketResult,
    MarketStatus,
    Scale,
    to_units,
)
from pipeline.venues.parsing import UNREADABLE, iso_ns, text_of

MARKETS_PER_REQUEST = 100

# Fee schedule of 2026-07-07: taker 0.07 x multiplier; makers pay nothing, a quarter or half of it.
_TAKER_PPM = 70_000
_MAKER_PPM = {
    "quadratic": 0,
    "quadratic_with_maker_fees": 17_500,
    "quadratic_with_combo_maker_fees": 35_000,
}
# Balances of accounts behind a broker round to the cent; direct members' to 0.0001 dollar.
_PRECISION_MICROS = 10_000

_STATUS = {
    "active": MarketStatus.OPEN,
    "initialized": MarketStatus.PAUSED,
    "inactive": MarketStatus.PAUSED,
    "closed": MarketStatus.CLOSED,
    # A determined result may still be disputed and amended: nothing is paid on it yet.
    "determined": MarketStatus.CLOSED,
    "disputed": MarketStatus.CLOSED,
    "amended": MarketStatus.CLOSED,
}
_PAID = {"finalized", "settled"}
_RESULT = {"yes": MarketResult.YES, "no": MarketResult.NO, "scalar": MarketResult.VOID}


class PriceRange(msgspec.Struct, gc=False):
    """A stretch of the price grid; `step` is its distance in dollars."""

    step: str


class _Market(msgspec.Struct, gc=False):
    ticker: str
    status: str = ""
    result: str | None = None
    close_time: str | None = None
    title: str | None = None
    price_ranges: list[PriceRange] | None = None
    fractional_trading_enabled: bool | None = None


class _Markets(msgspec.Struct, gc=False):
    markets: list[_Market]


class _Series(msgspec.Struct, gc=False):
    ticker: str
    fee_type: str | None = None
    fee_multiplier: Decimal | None = None


class _SeriesAnswer(msgspec.Struct, gc=False):
    series: _Series


_decode_markets = msgspec.json.Decoder(_Markets).decode
_decode_series = msgspec.json.Decoder(_SeriesAnswer).decode


def smallest_step(ranges: Sequence[PriceRange], scale: Scale) -> int:
    """The finest step of a price grid in ticks, 0 when there is none; ValueError for nonsense."""
    steps = [to_units(each.step, scale.price_decimals) for each in ranges]
    if any(step <= 0 for step in steps):
        raise ValueError("a price step is not above 0")
    return min(steps, default=0)


def series_of(ticker: str) -> str:
    """The series of a market: its ticker up to the first hyphen."""
    return ticker.partition("-")[0]


def paths(markets: Sequence[str]) -> list[str]:
    """Paths that answer for `markets`, a hundred in each."""
    starts = range(0, len(markets), MARKETS_PER_REQUEST)
    chunks = (",".join(markets[start : start + MARKETS_PER_REQUEST]) for start in starts)
    return [f"/markets?limit=1000&tickers={quote(chunk, safe=',')}" for chunk in chunks]


def parse(body: bytes, wanted: Sequence[str], fee: FeeSchedule | None) -> list[Market]:
    """The wanted markets in an answer to `paths`; ValueError in one sentence for nonsense.

    Without `fee` the markets have an unknown one until `parse_fees`.
    """
    names = frozenset(wanted)
    try:
        listed = _decode_markets(body).markets
        return [_market(each, fee or UNKNOWN_FEE) for each in listed if each.ticker in names]
    except UNREADABLE as error:
        raise ValueError(f"Kalshi's list of markets cannot be read: {text_of(error)}") from error


def _market(sent: _Market, fee: FeeSchedule) -> Market:
    scale = DEFAULT_SCALES["kalshi"]
    contract = int(10**scale.size_decimals)
    # Until summer 2026 a flag said whether parts of a contract trade; now it is gone and all do.
    lot = contract if sent.fractional_trading_enabled is False else 1
    result = _RESULT.get(sent.result or "", MarketResult.NONE)
    status = _STATUS.get(sent.status, MarketStatus.UNKNOWN)
    if sent.status in _PAID:
        status = MarketStatus.SETTLED if result else MarketStatus.CLOSED
    else:
        result = MarketResult.NONE
    return Market(
        "kalshi",
        sent.ticker,
        scale,
        grid_ticks=smallest_step(sent.price_ranges or [], scale),
        lot_units=lot,
        min_units=lot,
        fee=fee,
        close_ns=iso_ns(sent.close_time),
        status=status,
        result=result,
        title=text_of(sent.title or ""),
    )


def fee_paths(markets: Sequence[Market]) -> list[str]:
    """Paths that answer for the fees of `markets` whose fee is not known: one a series."""
    series = dict.fromkeys(series_of(each.market) for each in markets if each.fee == UNKNOWN_FEE)
    return [f"/series/{quote(name, safe='')}" for name in series]


def parse_fees(body: bytes, markets: Sequence[Market]) -> list[Market]:
    """`markets` with the fee of the series in `body`; others unchanged. ValueError for nonsense.

    A fee type without a published formula (`flat`) stays unknown, so the market is not traded.
    """
    try:
        series = _decode_series(body).series
        fee = _fee(series)
    except UNREADABLE as error:
        raise ValueError(f"Kalshi's series cannot be read: {text_of(error)}") from error
    return [
        replace(each, fee=fee)
        if each.fee == UNKNOWN_FEE and series_of(each.market) == series.ticker
        else each
        for each in markets
    ]


def _fee(series: _Series) -> FeeSchedule:
    multiplier = series.fee_multiplier
    maker = _MAKER_PPM.get(series.fee_type or "")
    if maker is None or multiplier is None:
        return UNKNOWN_FEE
    if not multiplier.is_finite() or not 0 <= multiplier <= 100:
        raise ValueError(f"a fee multiplier of {multiplier} makes no sense")
    return FeeSchedule(
        FeeKind.KALSHI,
        rate_ppm=_ppm(_TAKER_PPM * multiplier),
        maker_rate_ppm=_ppm(maker * multiplier),
        precision_micros=_PRECISION_MICROS,
    )


def _ppm(rate: Decimal) -> int:
    """Millionths, rounded up: a fee may be overstated, never understated."""
    return int(rate.to_integral_value(ROUND_CEILING))
