"""Kraken's order books by REST: names of its own, three decimals, a hundred levels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.model import INT64_MAX, Scale
from pipeline.venues.kraken.rest_books import LEVELS, parse, requests
from pipeline.venues.parsing import VenueTroubleError

SCALES = {"BTC/USD": Scale(1, 8), "DOGE/USD": Scale(7, 3)}


def body(bids: Any, asks: Any, name: str = "XXBTZUSD") -> bytes:
    return json.dumps({"error": [], "result": {name: {"bids": bids, "asks": asks}}}).encode()


def test_one_pair_a_request_by_its_old_name() -> None:
    """REST says XBT and XDG."""
    first, second = requests(["BTC/USD", "DOGE/USD"])
    assert first.path == "/0/public/Depth?pair=XBTUSD&count=100"
    assert second.path == "/0/public/Depth?pair=XDGUSD&count=100"
    assert (first.markets, second.markets) == (("BTC/USD",), ("DOGE/USD",))
    assert requests(["A&count=1/USD"])[0].path == "/0/public/Depth?pair=A%26count%3D1USD&count=100"


def test_sizes_are_known_to_three_decimals() -> None:
    """Of eight: they are compared to that step. Prices have more decimals than the pair."""
    sent = body([["64001.10000", "2.059", 1_795_000_000]], [["64002.00000", "0.000", 1_795_000_001]])
    (book,) = parse(sent, ["BTC/USD"], SCALES)
    assert book.snapshot.bids == [(640_011, 205_900_000)]
    assert book.snapshot.asks == []
    assert book.size_step_units == 100_000
    assert book.snapshot.venue_ns == 0


def test_a_pair_of_three_decimals_is_compared_exactly() -> None:
    """And so is an answer with all eight."""
    (doge,) = parse(body([["0.1234567", "5.000", 1]], []), ["DOGE/USD"], SCALES)
    assert (doge.snapshot.bids, doge.size_step_units) == ([(1_234_567, 5_000)], 1)
    (exact,) = parse(body([["1.0", "5.00000001", 1]], []), ["BTC/USD"], SCALES)
    assert exact.size_step_units == 1


def test_a_full_answer_says_nothing_beyond_its_worst_level() -> None:
    """A hundred bids may go on; ninety-nine asks are all there are."""
    bids = [[f"{1_000 - n}.0", "1.000", 1] for n in range(LEVELS)]
    asks = [[f"{1_001 + n}.0", "1.000", 1] for n in range(LEVELS - 1)]
    (book,) = parse(body(bids, asks), ["BTC/USD"], SCALES)
    assert book.bids_from_ticks == 9_010
    assert book.asks_to_ticks == INT64_MAX
    (turned,) = parse(body(asks, bids), ["BTC/USD"], SCALES)
    assert (turned.bids_from_ticks, turned.asks_to_ticks) == (0, 10_000)


def test_a_busy_venue_is_in_trouble_and_an_unknown_pair_is_refused() -> None:
    """Both come with status 200."""
    with pytest.raises(VenueTroubleError, match="EService:Busy"):
        parse(b'{"error":["EService:Busy"]}', ["BTC/USD"], SCALES)
    with pytest.raises(ValueError, match="Unknown asset pair") as caught:
        parse(b'{"error":["EQuery:Unknown asset pair"]}', ["BTC/USD"], SCALES)
    assert not isinstance(caught.value, VenueTroubleError)


def test_without_a_scale_nothing_can_be_read() -> None:
    """Kraken has no default scale."""
    with pytest.raises(ValueError, match="the scale of BTC/USD is not known"):
        parse(body([], []), ["BTC/USD"], {})


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"error":[],"result":{}}',
        b'{"error":[],"result":{"A":{"bids":[],"asks":[]},"B":{"bids":[],"asks":[]}}}',
        body([["1.0", "5.000"]], []),
        body([["-1.0", "5.000", 1]], []),
        body([["0.0", "5.000", 1]], []),
        body([["1.0", "-5.000", 1]], []),
        body([["1.05", "5.000", 1]], []),
        body([["inf", "5.000", 1]], []),
        body([["1.0", "1.000", 1], ["1.00", "2.000", 1]], []),
    ],
)
def test_nonsense_is_one_sentence(sent: bytes) -> None:
    """Nothing of an answer with an impossible level is used."""
    with pytest.raises(ValueError, match="Kraken's order book cannot be read"):
        parse(sent, ["BTC/USD"], SCALES)
