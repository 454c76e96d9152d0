"""Kalshi's order books by REST: what to ask for, and the answers as snapshots in YES terms.

In: tickers, response bodies. Out: requests under `.../trade-api/v2`, and books. Pure; the feed's
RestBooks thread does the asking. Source: Kalshi's OpenAPI 3.34.0, GetMarketOrderbooks.

As on the socket there are bids only, for YES and for NO: a NO bid at q is an ask of YES at 1 - q. Books
are whole, and a side that is empty may be missing. Answers carry no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from pipeline.model import Level, Scale
from pipeline.venues.asking import Request, RestBook, rest_book
from pipeline.venues.parsing import UNREADABLE, MarketName, NumberText, Reader, Readers, text_of

# The venue's limit.
PER_REQUEST = 100

_Pair = tuple[NumberText, NumberText]


class _Sides(msgspec.Struct, gc=False):
    yes_dollars: list[_Pair] | None = None
    no_dollars: list[_Pair] | None = None


class _Book(msgspec.Struct, gc=False):
    ticker: MarketName
    orderbook_fp: _Sides


class _Answer(msgspec.Struct, gc=False):
    """`orderbooks` answers for several markets; `orderbook_fp` is the shape for a single one."""

    orderbooks: list[_Book] | None = None
    orderbook_fp: _Sides | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def requests(markets: Sequence[str]) -> list[Request]:
    """Requests that answer for the books of `markets`, a hundred in each."""
    asked = []
    for start in range(0, len(markets), PER_REQUEST):
        chunk = tuple(markets[start : start + PER_REQUEST])
        words = "&".join(f"tickers={quote(ticker, safe='')}" for ticker in chunk)
        asked.append(Request("GET", f"/markets/orderbooks?{words}", markets=chunk))
    return asked


def parse(body: bytes, markets: Sequence[str], scales: Mapping[str, Scale]) -> list[RestBook]:
    """The books of `markets` in an answer; ValueError in one sentence for nonsense."""
    names = frozenset(markets)
    readers = Readers("kalshi", scales)
    try:
        answer = _decode(body)
        if answer.orderbooks is None:
            if answer.orderbook_fp is None or len(markets) != 1:
                raise ValueError("there are no orderbooks in it")
            return [_book(markets[0], answer.orderbook_fp, readers.of(markets[0]))]
        listed = {each.ticker: each.orderbook_fp for each in answer.orderbooks if each.ticker in names}
        return [_book(ticker, sides, readers.of(ticker)) for ticker, sides in listed.items()]
    except UNREADABLE as error:
        raise ValueError(f"Kalshi's order books cannot be read: {text_of(error)}") from error


def _book(market: str, sides: _Sides, reader: Reader) -> RestBook:
    no_bids = _levels(sides.no_dollars or [], reader)
    asks = [(reader.one - ticks, units) for ticks, units in no_bids]
    return rest_book(market, _levels(sides.yes_dollars or [], reader), asks)


def _levels(pairs: list[_Pair], reader: Reader) -> list[Level]:
    return [(reader.ticks(price), reader.size(size)) for price, size in pairs]
