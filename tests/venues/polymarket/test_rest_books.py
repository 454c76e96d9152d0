"""Polymarket's order books by REST: what is posted, and the books that come back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.model import INT64_MAX
from pipeline.venues.polymarket.rest_books import PER_REQUEST, parse, requests


def entry(token: str, **more: Any) -> dict[str, Any]:
    """A book in the venue's shape, worst level first, one price without its zero."""
    return {
        "market": "0xabc",
        "asset_id": token,
        "timestamp": "1757908892351",
        "hash": "12ab",
        "bids": [{"price": "0.01", "size": "1000"}, {"price": ".48", "size": "30.5"}],
        "asks": [{"price": "0.99", "size": "7"}, {"price": "0.52", "size": "25"}],
        "min_order_size": "5",
        "tick_size": "0.01",
        "neg_risk": False,
        "last_trade_price": "0.5",
    } | more


def test_tokens_are_posted_fifty_at_a_time() -> None:
    """The body names them and nothing else."""
    asked = requests([str(n) for n in range(PER_REQUEST + 1)])
    assert [len(request.markets) for request in asked] == [PER_REQUEST, 1]
    assert (asked[1].method, asked[1].path, asked[1].body) == ("POST", "/books", b'[{"token_id":"50"}]')
    assert requests([]) == []


def test_a_book_is_whole_and_has_the_venues_time() -> None:
    """Levels in any order, prices with or without the leading zero."""
    (book,) = parse(json.dumps([entry("11")]).encode(), ["11", "22"], {})
    assert book.snapshot.market == "11"
    assert book.snapshot.bids == [(10_000, 1_000_000_000), (480_000, 30_500_000)]
    assert book.snapshot.asks == [(990_000, 7_000_000), (520_000, 25_000_000)]
    assert book.snapshot.venue_ns == 1_757_908_892_351_000_000
    assert (book.bids_from_ticks, book.asks_to_ticks) == (0, INT64_MAX)


def test_an_empty_book_and_one_without_time_are_books() -> None:
    """Empty lists, none, or a time as a number; tokens that nobody asked for are left out."""
    sent = [entry("11", bids=None, asks=[], timestamp=5), entry("22", timestamp=None), entry("33")]
    first, second = parse(json.dumps(sent).encode(), ["11", "22"], {})
    assert (first.snapshot.bids, first.snapshot.asks, first.snapshot.venue_ns) == ([], [], 5_000_000)
    assert second.snapshot.venue_ns == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{}",
        b'{"error":"no"}',
        b"[" * 100_000,
        b"[1]",
        json.dumps([entry("11", bids=[{"price": "1", "size": "5"}])]).encode(),
        json.dumps([entry("11", bids=[{"price": "0", "size": "5"}])]).encode(),
        json.dumps([entry("11", bids=[{"price": "0.5", "size": "-5"}])]).encode(),
        json.dumps([entry("11", bids=[{"price": "0.5", "size": ""}])]).encode(),
        json.dumps([entry("11", bids=[{"price": "0.5", "size": "1e99"}])]).encode(),
        json.dumps([entry("11", asks=[{"price": "0.5", "size": "1"}] * 2)]).encode(),
        json.dumps([entry("11", asks=[{"price": "0.5"}])]).encode(),
    ],
)
def test_nonsense_is_one_sentence(sent: bytes) -> None:
    """Nothing of an answer with an impossible level is used."""
    with pytest.raises(ValueError, match="Polymarket's order books cannot be read"):
        parse(sent, ["11"], {})
