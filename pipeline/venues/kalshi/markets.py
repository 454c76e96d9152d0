"""Kalshi's public REST metadata: which paths to ask for, and their answers as `Market` values.

In: tickers, response bodies. Out: paths under `.../trade-api/v2`, and markets in YES terms. Pure;
the feed's MarketDirectory (feed/rest.py) does the asking.

Two steps: `/markets` says grid, status, result and rules; the fee formula belongs to the series and may be
overridden by the event, so `/series/S` and `/events/E` are asked next (`fee_paths`, `parse_fees`), unless
the configuration gives the fee. A market may be waived of its fee for a time; the schedule says until when.
Fee changes to come (`/series/fee_changes`) are not asked for: metadata is read again every ten minutes, and
when the socket announces a change.

A market that is cancelled may be settled at a value between 0 and 1 (result "scalar"): it counts as settled
when that value is there.

Of an event's outcomes one at most wins where it says `mutually_exclusive`; until it has said so, and where
it does not, `hides_outcome` is set. That those listed are all there are is for a person to say.

`grid_ticks` is the finest step of a market's grid. A tapered grid is coarser near 0.50, so a price on
`grid_ticks` need not be one that Kalshi takes; one that was read from the book is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
_MULTIPLIER_MAX = 100
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
# Where a schedule says it comes from.
SERIES_SOURCE, EVENT_SOURCE = "kalshi /series", "kalshi /events"
_PAID = {"finalized", "settled"}
_RESULT = {"yes": MarketResult.YES, "no": MarketResult.NO, "scalar": MarketResult.SCALAR}


class PriceRange(msgspec.Struct, gc=False):
    """A stretch of the price grid; `step` is its distance in dollars."""

    step: str


@dataclass(frozen=True, slots=True)
class EventMarket(Market):
    """A market whose fee is not known before its event has been asked for overrides too.

    Until then `fee` is of kind UNKNOWN, and its rates are those of the series once that has answered.
    `waived_until_ns` (wall clock, 0 for never) is when a waiver of the fee ends.
    """

    event: str = ""
    waived_until_ns: int = 0


class _Market(msgspec.Struct, gc=False):
    ticker: str
    event_ticker: str = ""
    status: str = ""
    result: str | None = None
    settlement_value_dollars: str | None = None
    settlement_value: str | int | float | None = None
    close_time: str | None = None
    title: str | None = None
    price_ranges: list[PriceRange] | None = None
    fractional_trading_enabled: bool | None = None
    fee_waiver_expiration_time: str | None = None
    rules_primary: str | None = None
    rules_secondary: str | None = None


class _Markets(msgspec.Struct, gc=False):
    markets: list[_Market]


class _Series(msgspec.Struct, gc=False):
    ticker: str
    fee_type: str | None = None
    fee_multiplier: Decimal | None = None


class _Event(msgspec.Struct, gc=False):
    event_ticker: str
    fee_type_override: str | None = None
    fee_multiplier_override: Decimal | None = None
    mutually_exclusive: bool | None = None


class _FeeAnswer(msgspec.Struct, gc=False):
    """`/series/S` answers with a series, `/events/E` with an event."""

    series: _Series | None = None
    event: _Event | None = None


_decode_markets = msgspec.json.Decoder(_Markets).decode
_decode_fees = msgspec.json.Decoder(_FeeAnswer).decode


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


def parse(body: bytes, wanted: Sequence[str], fee: FeeSchedule | None, _as_of_ns: int = 0) -> list[Market]:
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
    value_micros = _value_micros(sent) if result is MarketResult.SCALAR else -1
    if result is MarketResult.SCALAR and value_micros < 0:
        # Decided, but who knows for how much: nothing is paid on it until the venue says so.
        result = MarketResult.NONE
    if sent.status in _PAID:
        status = MarketStatus.SETTLED if result else MarketStatus.CLOSED
    else:
        result = MarketResult.NONE
    return EventMarket(
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
        rules="\n\n".join(part for part in (sent.rules_primary, sent.rules_secondary) if part),
        hides_outcome=True,
        event=sent.event_ticker,
        waived_until_ns=iso_ns(sent.fee_waiver_expiration_time),
        value_micros=value_micros if result else -1,
    )


def _value_micros(sent: _Market) -> int:
    """What YES is paid in millionths of a dollar, -1 where it is not said yet; ValueError for nonsense.

    `settlement_value_dollars` is dollars in text. `settlement_value`, which is older, is whole cents where it
    is a number (docs.kalshi.com, market object).
    """
    text, old = sent.settlement_value_dollars, sent.settlement_value
    if text:
        micros = to_units(text, 6)
    elif isinstance(old, int):
        micros = old * 10_000
    elif old and isinstance(old, str):
        micros = to_units(old, 6)
    else:
        return -1
    if not 0 <= micros <= 1_000_000:
        raise ValueError(f"a settlement value of {text or old} is not between 0 and 1 dollar")
    return micros


def fee_paths(markets: Sequence[Market]) -> list[str]:
    """Paths that answer for the fees of `markets` whose fee is not known: one a series, one an event."""
    asked = [each for each in markets if each.fee == UNKNOWN_FEE]
    series = dict.fromkeys(series_of(each.market) for each in asked)
    events = dict.fromkeys(_event_of(each) for each in asked)
    return [
        *(f"/series/{quote(name, safe='')}" for name in series),
        *(f"/events/{quote(name, safe='')}" for name in events if name),
    ]


def _event_of(market: Market) -> str:
    """The market's event; "" where the venue has not named one, and then the series decides alone."""
    return market.event if isinstance(market, EventMarket) else ""


def parse_fees(body: bytes, markets: Sequence[Market], as_of_ns: int = 0) -> list[Market]:
    """`markets` with the fee of the series or event in `body`; others unchanged. ValueError for nonsense.

    The series comes first; the fee is known when the event has said that it overrides nothing, or what.
    A fee type without a published formula (`flat`) stays unknown, so the market is not traded. `as_of_ns`
    is when the answer came (wall clock).
    """
    try:
        answer = _decode_fees(body)
        if answer.series is None and answer.event is None:
            raise ValueError("neither a series nor an event is in it")
        return [_priced(each, answer.series, answer.event, as_of_ns) for each in markets]
    except UNREADABLE as error:
        raise ValueError(f"Kalshi's series or event cannot be read: {text_of(error)}") from error


def _priced(market: Market, series: _Series | None, event: _Event | None, as_of_ns: int) -> Market:
    """A market with what a series or an event says of its fee, unless the fee is known already."""
    if market.fee.kind is not FeeKind.UNKNOWN:
        return market
    own_event = _event_of(market)
    if series is not None and series_of(market.market) == series.ticker:
        fee = _rates(series.fee_type, series.fee_multiplier)
        return replace(market, fee=fee if own_event else _known(fee, market, SERIES_SOURCE, as_of_ns))
    if event is not None and event.event_ticker == own_event:
        overrides = event.fee_type_override is not None or event.fee_multiplier_override is not None
        source = EVENT_SOURCE if overrides else SERIES_SOURCE
        fee = _known(_overridden(market.fee, event), market, source, as_of_ns)
        return replace(market, fee=fee, hides_outcome=not event.mutually_exclusive)
    return market


def _overridden(series: FeeSchedule, event: _Event) -> FeeSchedule:
    """The rates where the event overrides formula, multiplier, both, or nothing (null) of the series."""
    kind, multiplier = event.fee_type_override, event.fee_multiplier_override
    if kind is not None:
        if multiplier is None:
            multiplier = Decimal(series.rate_ppm) / _TAKER_PPM if series != UNKNOWN_FEE else None
        return _rates(kind, multiplier)
    if multiplier is None or series == UNKNOWN_FEE:
        return series
    fee = _rates("quadratic", multiplier)
    if series.rate_ppm:
        maker = Decimal(fee.rate_ppm * series.maker_rate_ppm) / series.rate_ppm
    else:
        # Nothing times a share is nothing: which share it was cannot be seen, so the largest counts.
        maker = max(_MAKER_PPM.values()) * multiplier
    return replace(fee, maker_rate_ppm=_ppm(maker))


def _rates(kind: str | None, multiplier: Decimal | None) -> FeeSchedule:
    """The rates of a formula times a multiplier, of kind UNKNOWN still; UNKNOWN_FEE without a formula."""
    maker = _MAKER_PPM.get(kind or "")
    if maker is None or multiplier is None:
        return UNKNOWN_FEE
    if not multiplier.is_finite() or not 0 <= multiplier <= _MULTIPLIER_MAX:
        raise ValueError(f"a fee multiplier of {multiplier} makes no sense")
    return FeeSchedule(
        rate_ppm=_ppm(_TAKER_PPM * multiplier),
        maker_rate_ppm=_ppm(maker * multiplier),
        precision_micros=_PRECISION_MICROS,
    )


def _known(fee: FeeSchedule, market: Market, source: str, as_of_ns: int) -> FeeSchedule:
    """The market's fee from rates that are final; UNKNOWN_FEE where there are none."""
    if fee == UNKNOWN_FEE:
        return UNKNOWN_FEE
    waived_ns = market.waived_until_ns if isinstance(market, EventMarket) else 0
    return replace(fee, kind=FeeKind.KALSHI, waived_until_ns=waived_ns, source=source, as_of_ns=as_of_ns)


def _ppm(rate: Decimal) -> int:
    """Millionths, rounded up: a fee may be overstated, never understated."""
    return int(rate.to_integral_value(ROUND_CEILING))
