"""Kalshi's order books by REST: what is asked, and both shapes of answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.model import INT64_MAX, Scale
from pipeline.venues.kalshi.rest_books import parse, requests

SIDES = {"yes_dollars": [["0.0800", "300.00"], ["0.2200", "333.50"]], "no_dollars": [["0.5600", "146.00"]]}


def body(*books: Any) -> bytes:
    return json.dumps({"orderbooks": list(books)}).encode()


def test_a_hundred_tickers_make_a_request() -> None:
    """Each ticker is a parameter of its own, with nothing that could end it."""
    asked = requests([f"KX-{n}" for n in range(201)])
    assert [len(request.markets) for request in asked] == [100, 100, 1]
    assert asked[2].path == "/markets/orderbooks?tickers=KX-200"
    assert asked[0].path.startswith("/markets/orderbooks?tickers=KX-0&tickers=KX-1&")
    assert (asked[0].method, asked[0].body) == ("GET", b"")
    assert requests(["A&b=c"])[0].path.endswith("?tickers=A%26b%3Dc")
    assert requests([]) == []


def test_no_bids_are_asks_of_yes() -> None:
    """A NO bid at 0.56 is an ask of YES at 0.44; the book is whole and has no time."""
    (book,) = parse(body({"ticker": "KX-1", "orderbook_fp": SIDES}), ["KX-1"], {})
    assert book.snapshot.market == "KX-1"
    assert book.snapshot.bids == [(80_000, 30_000), (220_000, 33_350)]
    assert book.snapshot.asks == [(440_000, 14_600)]
    assert (book.snapshot.venue_ns, book.snapshot.checksum) == (0, None)
    assert (book.bids_from_ticks, book.asks_to_ticks, book.size_step_units) == (0, INT64_MAX, 1)


@pytest.mark.parametrize("sides", [{}, {"yes_dollars": None}, {"yes_dollars": [], "no_dollars": []}])
def test_a_side_that_is_missing_is_empty(sides: dict[str, Any]) -> None:
    """As on the socket."""
    (book,) = parse(body({"ticker": "KX-1", "orderbook_fp": sides}), ["KX-1"], {})
    assert (book.snapshot.bids, book.snapshot.asks) == ([], [])


def test_the_shape_for_a_single_market_is_read_too() -> None:
    """It names no ticker, so it is that of the one that was asked for."""
    single = json.dumps({"orderbook_fp": SIDES}).encode()
    (book,) = parse(single, ["KX-1"], {"KX-1": Scale(4, 2)})
    assert book.snapshot.bids == [(800, 30_000), (2_200, 33_350)]
    with pytest.raises(ValueError, match="no orderbooks"):
        parse(single, ["KX-1", "KX-2"], {})


def test_only_what_was_asked_for_is_told() -> None:
    """Others are left out, and so is what the venue does not list."""
    sent = body(*({"ticker": name, "orderbook_fp": SIDES} for name in ("KX-9", "KX-2")))
    assert [book.snapshot.market for book in parse(sent, ["KX-1", "KX-2"], {})] == ["KX-2"]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        body({"ticker": "KX-1"}),
        body({"ticker": "KX-1", "orderbook_fp": {"yes_dollars": [["1.2000", "5.00"]]}}),
        body({"ticker": "KX-1", "orderbook_fp": {"yes_dollars": [["0.5000", "-5.00"]]}}),
        body({"ticker": "KX-1", "orderbook_fp": {"yes_dollars": [["NaN", "5.00"]]}}),
        body({"ticker": "KX-1", "orderbook_fp": {"yes_dollars": [["0.5000", "5.001"]]}}),
        body({"ticker": "KX-1", "orderbook_fp": {"no_dollars": [["0.50", "1"], ["0.5000", "2"]]}}),
        body({"ticker": "KX-1", "orderbook_fp": {"no_dollars": [["0.50", "9" * 33]]}}),
        body({"ticker": "KX-1", "orderbook_fp": {"no_dollars": [[0.5, 1]]}}),
    ],
)
def test_nonsense_is_one_sentence(sent: bytes) -> None:
    """Nothing of an answer with an impossible level is used."""
    with pytest.raises(ValueError, match="Kalshi's order books cannot be read") as caught:
        parse(sent, ["KX-1"], {})
    assert "\n" not in str(caught.value)
