"""Polymarket's book hash: the venue's own digest of a book as REST sends it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pipeline.venues.polymarket.hashing import HashedBook, book_hash

# The digest was computed with the venue's own SDK.
DIGEST = "8bc325ee05bbed26dc8d4c42339e02263246153d"
BOOK: dict[str, Any] = {
    "market": "0xaabbcc",
    "asset_id": "100",
    "timestamp": "123456789",
    "hash": DIGEST,
    "bids": [{"price": "0.3", "size": "100"}, {"price": "0.4", "size": "100"}],
    "asks": [{"price": "0.6", "size": "100"}, {"price": "0.7", "size": "100"}],
    "min_order_size": "5",
    "tick_size": "0.01",
    "neg_risk": False,
    "last_trade_price": "0.5",
}


def digest(book: dict[str, Any]) -> str:
    return book_hash(msgspec.json.decode(json.dumps(book).encode(), type=HashedBook))


def test_the_hash_is_the_venues() -> None:
    """Whatever the order of keys and the spaces of the answer, and whatever hash it claims."""
    assert digest(BOOK) == DIGEST
    assert digest(dict(reversed(BOOK.items())) | {"hash": "no such thing"}) == DIGEST


@pytest.mark.parametrize("key", sorted(BOOK.keys() - {"hash"}))
def test_every_field_is_in_the_hash(key: str) -> None:
    """A field changed is another hash."""
    odd: dict[str, Any] = {"bids": [], "asks": BOOK["asks"][::-1], "neg_risk": True}
    assert digest(BOOK | {key: odd.get(key, "7")}) != DIGEST


@pytest.mark.parametrize("key", ["min_order_size", "tick_size", "neg_risk", "last_trade_price"])
def test_a_field_that_is_left_out_is_left_out_of_the_hash(key: str) -> None:
    """Older answers had fewer; an empty one is not a missing one."""
    less = {name: value for name, value in BOOK.items() if name != key}
    assert digest(less) not in (DIGEST, digest(less | {key: "" if key != "neg_risk" else True}))
