"""Kraken's public REST metadata: which paths to ask for, and their answers as `Market` values.

In: v2 symbols such as BTC/USD, response bodies. Out: paths under the API host, and markets. Pure; the
feed's MarketDirectory (feed/rest.py) does the asking. REST still says XBT and XDG for BTC and DOGE.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from urllib.parse import quote

import msgspec

from pipeline.fees import TieredMarket, TierTable
from pipeline.fees_tiers import BASE_VOLUME, threshold_problem
from pipeline.model import UNKNOWN_FEE, FeeSchedule, Market, MarketStatus, Scale
from pipeline.venues.kraken.frames import DECIMALS_MAX, STATUSES
from pipeline.venues.parsing import UNREADABLE, VenueTroubleError, published_units, text_of

_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
# Thresholds of fee tiers are 30-day volumes in some currency; an account's is known in dollars.
_VOLUME_MAX = 10**15
# Where a schedule says it comes from, and the currency of thresholds that can be used.
FEE_SOURCE, VOLUME_UNIT = "kraken AssetPairs", "ZUSD"


class _Pair(msgspec.Struct, gc=False):
    wsname: str
    pair_decimals: int
    lot_decimals: int
    ordermin: str | None = None
    costmin: str | None = None
    tick_size: str | None = None
    status: str | None = None
    # [30-day volume, per cent] by tier; the first is the base tier.
    fees: list[tuple[Decimal, Decimal]] = []
    fees_maker: list[tuple[Decimal, Decimal]] = []
    fee_volume_currency: str | None = None


class _Answer(msgspec.Struct, gc=False):
    error: list[str]
    result: dict[str, _Pair] = {}


_decode = msgspec.json.Decoder(_Answer).decode


def rest_name(symbol: str) -> str:
    """A v2 symbol as REST writes it: XBT/USD for BTC/USD."""
    return "/".join(_OLD_NAMES.get(part, part) for part in symbol.split("/"))


def paths(markets: Sequence[str]) -> list[str]:
    """One path that answers for all `markets`."""
    if not markets:
        return []
    names = ",".join(rest_name(market).replace("/", "") for market in markets)
    return [f"/0/public/AssetPairs?pair={quote(names, safe=',')}"]


def parse(body: bytes, wanted: Sequence[str], fee: FeeSchedule | None, as_of_ns: int = 0) -> list[Market]:
    """The wanted pairs in an answer to `paths`; ValueError in one sentence for nonsense.

    Kraken says `EQuery:` where it does not know a pair of the list; other errors are a VenueTroubleError.
    `as_of_ns` is when the answer came (wall clock).
    """
    try:
        answer = _decode(body)
        words = text_of("; ".join(answer.error))
        if answer.error and not words.startswith("EQuery:"):
            raise VenueTroubleError(f"Kraken answered {words}")
        if answer.error:
            raise ValueError(words)
        by_name = {rest_name(symbol): symbol for symbol in wanted}
        pairs = answer.result.values()
        return [
            _market(by_name[sent.wsname], sent, fee, as_of_ns) for sent in pairs if sent.wsname in by_name
        ]
    except VenueTroubleError:
        raise
    except UNREADABLE as error:
        raise ValueError(f"Kraken's asset pairs cannot be read: {text_of(error)}") from error


def _market(symbol: str, sent: _Pair, fee: FeeSchedule | None, as_of_ns: int) -> Market:
    if not (0 <= sent.pair_decimals <= DECIMALS_MAX and 0 <= sent.lot_decimals <= DECIMALS_MAX):
        raise ValueError(f"{symbol} with {sent.pair_decimals} and {sent.lot_decimals} decimals")
    scale = Scale(sent.pair_decimals, sent.lot_decimals)
    tiers = _tiers(sent, as_of_ns)
    return TieredMarket(
        "kraken",
        symbol,
        scale,
        grid_ticks=published_units(sent.tick_size, scale.price_decimals),
        lot_units=1,
        min_units=published_units(sent.ordermin, scale.size_decimals),
        min_cost_micros=published_units(sent.costmin, 6),
        fee=fee or _fee(tiers),
        status=STATUSES.get(sent.status or "", MarketStatus.UNKNOWN),
        title=symbol,
        tiers=tiers if sent.fee_volume_currency == VOLUME_UNIT else None,
    )


def _tiers(sent: _Pair, as_of_ns: int) -> TierTable | None:
    """The pair's fees by volume, per cent to millionths; None for no table, or one with a hole.

    Without a table for makers they pay what takers pay.
    """
    maker = sent.fees_maker or sent.fees
    tables = [[(volume, _ppm(each)) for volume, each in table] for table in (sent.fees, maker)]
    if not sent.fees or any(_has_hole(table) for table in tables):
        return None
    return TierTable(tuple(tables[0]), tuple(tables[1]), FEE_SOURCE, as_of_ns)


def _has_hole(table: list[tuple[Decimal, int]]) -> bool:
    volumes = [volume for volume, _ in table]
    if not all(volume.is_finite() and 0 <= volume <= _VOLUME_MAX for volume in volumes):
        raise ValueError("a volume in a fee table makes no sense")
    return threshold_problem(volumes) is not None


def _fee(tiers: TierTable | None) -> FeeSchedule:
    """The lowest tier: what an account without volume pays."""
    return UNKNOWN_FEE if tiers is None else tiers.schedule(BASE_VOLUME) or UNKNOWN_FEE


def _ppm(per_cent: Decimal) -> int:
    if not per_cent.is_finite() or not 0 <= per_cent < 100:
        raise ValueError(f"a fee of {per_cent} per cent makes no sense")
    ppm = per_cent * 10_000
    if ppm != ppm.to_integral_value():
        raise ValueError(f"a fee of {per_cent} per cent is not one we can compute")
    return int(ppm)
