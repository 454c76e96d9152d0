"""Polymarket's book hash: the venue's own digest of a book as REST sends it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pipeline.venues.polymarket.hashing import (
    _ORDER_TYPE,
    NEGATIVE_RISK_EXCHANGE,
    HashedBook,
    HashedOrder,
    book_hash,
    keccak256,
    order_hash,
)

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


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    ],
)
def test_keccak_is_ethereums(data: bytes, digest: str) -> None:
    """The digests that everyone knows: of nothing, and of abc."""
    assert keccak256(data).hex() == digest


def test_keccak_takes_any_length() -> None:
    """Around the length of a block nothing is lost or added: every digest is another."""
    assert len({keccak256(bytes(length)) for length in range(130, 145)}) == 15


def test_the_id_of_an_order_is_known_before_it_is_sent() -> None:
    """The venue's vector, on the exchange and on the one for negative risk; the order's type is the SDK's."""
    account = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    order = HashedOrder(
        479249096354, account, account, 1234, 50_000_000, 100_000_000, 0, 0, 1_713_398_400_000
    )
    assert order_hash(order) == "0x0fbf0b2600dc74c6fbaee71b048464caed75a13e520cb8d00d540ebdaaf2ee06"
    expected = "0xdd682dbd1c0bb7f9e236f2dee86fb508d5f72819d983d3950d38e409ade885c3"
    assert order_hash(order, NEGATIVE_RISK_EXCHANGE) == expected
    assert keccak256(_ORDER_TYPE).hex() == "bb86318a2138f5fa8ae32fbe8e659f8fcf13cc6ae4014a707893055433818589"
