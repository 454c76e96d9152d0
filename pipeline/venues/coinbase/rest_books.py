"""Coinbase's order books by REST: what to ask for, and the answers as snapshots.

In: product ids such as BTC-USD, response bodies. Out: requests under .../api/v3/brokerage, and books.
Pure; the feed's RestBooks thread does the asking. Source: Coinbase Advanced Trade's documentation of the
public product book.

One product a request, cut to LEVELS a side. A `-USDC` product is answered with the book of the `-USD`
one under that name, because they share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from pipeline.model import DEFAULT_SCALES, Level, Scale, to_units
from pipeline.venues.asking import Request, RestBook, rest_book
from pipeline.venues.parsing import UNREADABLE, NumberText, iso_ns, text_of

PER_REQUEST = 1
LEVELS = 100


class _Level(msgspec.Struct, gc=False):
    price: NumberText
    size: NumberText


class _Book(msgspec.Struct, gc=False):
    product_id: str
    bids: list[_Level]
    asks: list[_Level]
    time: str | None = None


class _Answer(msgspec.Struct, gc=False):
    pricebook: _Book


_decode = msgspec.json.Decoder(_Answer).decode


def requests(markets: Sequence[str]) -> list[Request]:
    """One request a product."""
    return [
        Request(
            "GET",
            f"/market/product_book?product_id={quote(market, safe='')}&limit={LEVELS}",
            markets=(market,),
        )
        for market in markets
    ]


def parse(body: bytes, markets: Sequence[str], scales: Mapping[str, Scale]) -> list[RestBook]:
    """The book of the one market that was asked for; ValueError in one sentence for nonsense."""
    (market,) = markets
    scale = scales.get(market, DEFAULT_SCALES["coinbase"])
    try:
        sent = _decode(body).pricebook
        canonical = market.removesuffix("C") if market.endswith("-USDC") else market
        if sent.product_id not in {market, canonical}:
            raise ValueError(f"it is that of {sent.product_id[:40]!r}, not of {market}")
        bids, asks = _levels(sent.bids, scale), _levels(sent.asks, scale)
        return [rest_book(market, bids, asks, venue_ns=iso_ns(sent.time), limit=LEVELS)]
    except UNREADABLE as error:
        raise ValueError(f"Coinbase's order book cannot be read: {text_of(error)}") from error


def _levels(sent: list[_Level], scale: Scale) -> list[Level]:
    levels = []
    for level in sent:
        ticks = to_units(level.price, scale.price_decimals)
        units = to_units(level.size, scale.size_decimals)
        if ticks <= 0 or units < 0:
            raise ValueError(f"no level can be {level.size} at {level.price}")
        levels.append((ticks, units))
    return levels
