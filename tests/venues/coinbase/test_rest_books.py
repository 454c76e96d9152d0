"""Coinbase's order books by REST: one product a request, cut to a hundred levels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.model import INT64_MAX, Scale
from pipeline.venues.coinbase.rest_books import LEVELS, parse, requests


def body(bids: Any, asks: Any, product: str = "BTC-USD", **more: Any) -> bytes:
    book = {"product_id": product, "bids": bids, "asks": asks, "time": "2026-11-21T10:00:00.250000Z"} | more
    return json.dumps({"pricebook": book, "last": "1", "mid_market": "1"}).encode()


def level(price: str, size: str) -> dict[str, str]:
    return {"price": price, "size": size}


def test_one_product_a_request() -> None:
    """With a limit, because a whole book has 46,000 levels a side."""
    first, second = requests(["BTC-USD", "A&b"])
    assert first.path == "/market/product_book?product_id=BTC-USD&limit=100"
    assert second.path == "/market/product_book?product_id=A%26b&limit=100"
    assert (first.method, first.markets) == ("GET", ("BTC-USD",))


def test_a_book_has_the_venues_time_and_reach() -> None:
    """A hundred bids may go on; a single ask is all there is."""
    bids = [level(f"{1_000 - n}.5", "0.25") for n in range(LEVELS)]
    (book,) = parse(body(bids, [level("1002", "0.00000001")]), ["BTC-USD"], {})
    assert book.snapshot.bids[0] == (100_050_000_000, 25_000_000)
    assert book.snapshot.asks == [(100_200_000_000, 1)]
    assert book.snapshot.venue_ns == 1_795_255_200_250_000_000
    assert (book.bids_from_ticks, book.asks_to_ticks) == (90_150_000_000, INT64_MAX)


def test_an_alias_is_answered_with_the_book_that_it_shares() -> None:
    """It keeps the name that was asked for; any other product's book is refused."""
    (book,) = parse(body([], []), ["BTC-USDC"], {"BTC-USDC": Scale(2, 8)})
    assert book.snapshot.market == "BTC-USDC"
    with pytest.raises(ValueError, match="it is that of 'BTC-USD', not of ETH-USD"):
        parse(body([], []), ["ETH-USD"], {})


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"error":"NOT_FOUND"}',
        body([level("-1", "1")], []),
        body([level("0", "1")], []),
        body([level("1", "-1")], []),
        body([level("1", "0.000000001")], []),
        body([level("nan", "1")], []),
        body([level("1", "1"), level("1.0", "2")], []),
        body([{"price": "1"}], []),
        body([{"price": 1, "size": 2}], []),
    ],
)
def test_nonsense_is_one_sentence(sent: bytes) -> None:
    """Nothing of an answer with an impossible level is used."""
    with pytest.raises(ValueError, match="Coinbase's order book cannot be read"):
        parse(sent, ["BTC-USD"], {})
