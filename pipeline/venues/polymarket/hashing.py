"""Polymarket's book hash: the SHA-1 by which the venue names the state of an order book.

In: a book as REST sends it, its texts as sent. Out: the digest that its `hash` field should hold. Pure;
for the REST witness. Source: the venue's own SDK, polymarket-client 0.14.0.

Whether the hashes on the WebSocket are over the same bytes is not published: compare REST books alone.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import UNSET, UnsetType

from pipeline.venues.polymarket.frames import BookLevel


class HashedBook(msgspec.Struct, gc=False):
    """The fields that the hash is over, in its order; one that the answer leaves out is left out."""

    market: str
    asset_id: str
    timestamp: str
    hash: str
    bids: list[BookLevel]
    asks: list[BookLevel]
    min_order_size: str | UnsetType = UNSET
    tick_size: str | UnsetType = UNSET
    neg_risk: bool | UnsetType = UNSET
    last_trade_price: str | UnsetType = UNSET


def book_hash(book: HashedBook) -> str:
    """SHA-1, in hexadecimal, of the book as compact JSON with an empty `hash`, levels in the order sent."""
    content = msgspec.json.encode(msgspec.structs.replace(book, hash=""))
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
