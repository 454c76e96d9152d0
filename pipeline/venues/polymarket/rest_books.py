"""Polymarket's order books by REST: what to ask for, and the answers as snapshots.

In: token ids, response bodies. Out: requests under the CLOB host (not the one of the metadata), and
books. Pure; the feed's RestBooks thread does the asking. Source: the venue's own SDK,
polymarket-client 0.14.0, and the documentation of POST /books.

A book looks as on the socket and is whole. Tokens that the venue does not know are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from pipeline.model import Level, Scale
from pipeline.venues.asking import Request, RestBook, rest_book
from pipeline.venues.parsing import UNREADABLE, MarketName, NumberText, Reader, Readers, millis_ns, text_of

# Far below what the venue takes: a book may have 2,000 levels of 35 bytes, and answers are bounded.
PER_REQUEST = 50


class _Level(msgspec.Struct, gc=False):
    price: NumberText
    size: NumberText


class _Book(msgspec.Struct, gc=False):
    asset_id: MarketName
    bids: list[_Level] | None = None
    asks: list[_Level] | None = None
    timestamp: str | int | None = None


class _Token(msgspec.Struct, gc=False):
    token_id: str


_decode = msgspec.json.Decoder(list[_Book]).decode


def requests(markets: Sequence[str]) -> list[Request]:
    """Requests that answer for the books of `markets`, fifty in each."""
    asked = []
    for start in range(0, len(markets), PER_REQUEST):
        chunk = tuple(markets[start : start + PER_REQUEST])
        body = msgspec.json.encode([_Token(token) for token in chunk])
        asked.append(Request("POST", "/books", body, chunk))
    return asked


def parse(body: bytes, markets: Sequence[str], scales: Mapping[str, Scale]) -> list[RestBook]:
    """The books of `markets` in an answer; ValueError in one sentence for nonsense."""
    names = frozenset(markets)
    readers = Readers("polymarket", scales)
    try:
        listed = {each.asset_id: each for each in _decode(body) if each.asset_id in names}
        return [_book(token, sent, readers.of(token)) for token, sent in listed.items()]
    except UNREADABLE as error:
        raise ValueError(f"Polymarket's order books cannot be read: {text_of(error)}") from error


def _book(market: str, sent: _Book, reader: Reader) -> RestBook:
    bids, asks = _levels(sent.bids or [], reader), _levels(sent.asks or [], reader)
    return rest_book(market, bids, asks, venue_ns=millis_ns(sent.timestamp))


def _levels(levels: list[_Level], reader: Reader) -> list[Level]:
    return [(reader.ticks(level.price), reader.size(level.size)) for level in levels]
