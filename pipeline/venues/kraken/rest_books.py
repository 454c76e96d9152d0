"""Kraken's order books by REST: what to ask for, and the answers as snapshots.

In: v2 symbols such as BTC/USD, response bodies. Out: requests under the API host, and books. Pure; the
feed's RestBooks thread does the asking. Source: Kraken's REST documentation of Depth.

One pair a request; the answer is keyed by a name of Kraken's own (XXBTZUSD). Sizes have three decimals
whatever the pair's precision is, so they are compared to that step, and a polled book has no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from pipeline.model import Level, Scale, to_units
from pipeline.venues.asking import Request, RestBook, rest_book
from pipeline.venues.kraken.markets import rest_name
from pipeline.venues.parsing import UNREADABLE, NumberText, VenueTroubleError, text_of

PER_REQUEST = 1
LEVELS = 100

# Price, size, and when the level changed, in seconds.
_Row = tuple[NumberText, NumberText, int]


class _Sides(msgspec.Struct, gc=False):
    bids: list[_Row]
    asks: list[_Row]


class _Answer(msgspec.Struct, gc=False):
    error: list[str]
    result: dict[str, _Sides] = {}


_decode = msgspec.json.Decoder(_Answer).decode


def requests(markets: Sequence[str]) -> list[Request]:
    """One request a pair."""
    names = {market: quote(rest_name(market).replace("/", ""), safe="") for market in markets}
    return [
        Request("GET", f"/0/public/Depth?pair={name}&count={LEVELS}", markets=(market,))
        for market, name in names.items()
    ]


def parse(body: bytes, markets: Sequence[str], scales: Mapping[str, Scale]) -> list[RestBook]:
    """The book of the one market that was asked for; ValueError in one sentence for nonsense.

    Kraken says `EQuery:` where it does not know the pair; other errors are a VenueTroubleError. A pair
    whose scale is not known yet cannot be read.
    """
    (market,) = markets
    scale = scales.get(market)
    try:
        answer = _decode(body)
        words = text_of("; ".join(answer.error))
        if answer.error and not words.startswith("EQuery:"):
            raise VenueTroubleError(f"Kraken answered {words}")
        if answer.error:
            raise ValueError(words)
        if scale is None:
            raise ValueError(f"the scale of {market} is not known")
        if len(answer.result) != 1:
            raise ValueError(f"{len(answer.result)} books in the answer for {market}")
        (sides,) = answer.result.values()
        bids, asks = _levels(sides.bids, scale), _levels(sides.asks, scale)
        step = _size_step([*sides.bids, *sides.asks], scale)
        return [rest_book(market, bids, asks, limit=LEVELS, size_step_units=step)]
    except VenueTroubleError:
        raise
    except UNREADABLE as error:
        raise ValueError(f"Kraken's order book cannot be read: {text_of(error)}") from error


def _levels(rows: list[_Row], scale: Scale) -> list[Level]:
    levels = []
    for price, size, _ in rows:
        ticks, units = to_units(price, scale.price_decimals), to_units(size, scale.size_decimals)
        if ticks <= 0 or units < 0:
            raise ValueError(f"no level can be {size} at {price}")
        levels.append((ticks, units))
    return levels


def _size_step(rows: list[_Row], scale: Scale) -> int:
    """What the answer's sizes are rounded to, as its longest size shows."""
    written = max((len(size.partition(".")[2]) for _, size, _ in rows), default=0)
    return int(10 ** max(scale.size_decimals - written, 0))
