"""Coinbase's public REST metadata: which paths to ask for, and their answers as `Market` values.

In: product ids such as BTC-USD, response bodies. Out: paths under .../api/v3/brokerage, and markets.
Pure; the feed's MarketDirectory (feed/rest.py) does the asking. Fees are not public: they come from the
configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from pipeline.model import DEFAULT_SCALES, UNKNOWN_FEE, FeeSchedule, Market, MarketStatus
from pipeline.venues.coinbase.frames import ONLINE, ProductStatus, trading_word
from pipeline.venues.parsing import UNREADABLE, published_units, text_of


class _Product(ProductStatus, kw_only=True, gc=False):
    product_id: str
    price_increment: str | None = None
    base_increment: str | None = None
    base_min_size: str | None = None
    quote_min_size: str | None = None
    alias_to: list[str] = msgspec.field(default_factory=list)


_decode = msgspec.json.Decoder(_Product).decode


def paths(markets: Sequence[str]) -> list[str]:
    """One path a product."""
    return [f"/market/products/{quote(market, safe='')}" for market in markets]


def parse(body: bytes, wanted: Sequence[str], fee: FeeSchedule | None, _as_of_ns: int = 0) -> list[Market]:
    """The product of an answer to `paths`, if wanted; ValueError in one sentence for nonsense."""
    try:
        sent = _decode(body)
        names = [name for name in (sent.product_id, *sent.alias_to) if name in wanted]
        return [_market(name, sent, fee) for name in names]
    except UNREADABLE as error:
        raise ValueError(f"Coinbase's product cannot be read: {text_of(error)}") from error


def _market(name: str, sent: _Product, fee: FeeSchedule | None) -> Market:
    scale = DEFAULT_SCALES["coinbase"]
    return Market(
        "coinbase",
        name,
        scale,
        grid_ticks=published_units(sent.price_increment, scale.price_decimals),
        lot_units=published_units(sent.base_increment, scale.size_decimals),
        min_units=published_units(sent.base_min_size, scale.size_decimals),
        min_cost_micros=published_units(sent.quote_min_size, 6),
        fee=fee or UNKNOWN_FEE,
        status=_status(sent),
        title=name,
    )


def _status(sent: _Product) -> MarketStatus:
    """OPEN only where every way to trade is: we take, so a market that only rests orders is paused."""
    word = trading_word(sent)
    known = {"": MarketStatus.UNKNOWN, ONLINE: MarketStatus.OPEN, "delisted": MarketStatus.CLOSED}
    return known.get(word, MarketStatus.PAUSED)
