"""Edge files: what a file may say, and what is said of one that makes no sense."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from pipeline.edge_file import EdgeFileError, read
from pipeline.model import UNKNOWN_FEE, FeeKind, Scale


def leg(**changes: Any) -> dict[str, Any]:
    """A leg that makes sense."""
    return {
        "venue": "kalshi",
        "market": "M",
        "bids": [["0.54", "120"]],
        "asks": [["0.55", "120"]],
        "fee": {"coefficient": "0.07"},
        "lot": "1",
    } | changes


def file(first: dict[str, Any] | None = None, **changes: Any) -> str:
    """A file that makes sense."""
    second = leg(venue="polymarket", fee={"rate": "0.05"})
    return json.dumps({"kind": "binary", "legs": [first or leg(), second]} | changes)


def test_levels_are_sorted_and_scaled() -> None:
    """Levels in any order become ladders, best first, of integers on the leg's own scale."""
    text = file(leg(bids=[["0.5", "3"], [".545", "0.25"], ["0.52", "1e1"]], lot="0.05", min_size="0.10"))
    made = read(text).legs[0]
    assert made.scale == Scale(3, 2)
    assert made.bids == ((545, 25), (520, 1000), (500, 300))
    assert (made.lot_units, made.min_units) == (5, 10)


def test_a_json_number_counts_as_its_digits() -> None:
    """0.1 is a tenth: nothing passes through a binary number on its way."""
    text = file().replace('"0.54"', "0.1").replace('"120"', "120.30", 1)
    made = read(text).legs[0]
    assert (made.scale, made.bids) == (Scale(2, 1), ((10, 1203),))


def test_without_a_lot_sizes_are_as_fine_as_the_venue_has_them() -> None:
    """Hundredths on Kalshi, millionths on Polymarket, and 8 decimals on exchanges."""
    for venue, decimals in (("kalshi", 2), ("polymarket", 6), ("kraken", 8)):
        assert read(file(leg(venue=venue, market="Z", lot=None))).legs[0].scale.size_decimals == decimals


@pytest.mark.parametrize(
    ("fee", "kind", "rate_ppm", "unit"),
    [
        ({"coefficient": "0.07", "multiplier": "0.5", "precision": "0.0001"}, FeeKind.KALSHI, 35_000, 0),
        ({"coefficient": "0"}, FeeKind.KALSHI, 0, 0),
        ({"rate": "0.25", "exponent": 2}, FeeKind.POLYMARKET, 250_000, 0),
        ({"rate": "0"}, FeeKind.POLYMARKET, 0, 0),
        ({"taker_bps": "40"}, FeeKind.BPS, 4_000, 0),
        ({"per_unit": "0.02"}, FeeKind.FLAT, 0, 20_000),
        ({"per_unit": "0.02", "rate": 0.0005, "rounding": "0.001"}, FeeKind.CUSTOM, 500, 20_000),
    ],
)
def test_each_form_of_fee_is_read(fee: Any, kind: FeeKind, rate_ppm: int, unit: int) -> None:
    """The keys of a fee name its formula; a rate of 0 is a known zero."""
    made = read(file(leg(fee=fee))).legs[0].fee
    assert (made.kind, made.rate_ppm, made.per_unit_micros) == (kind, rate_ppm, unit)


@pytest.mark.parametrize(
    "fee",
    [
        None,
        {},
        "0.07",
        {"rate": "x"},
        {"rate": "-0.1"},
        {"rate": "1.5"},
        {"rate": "0.05", "exponent": "1.5"},
        {"rate": None},
        {"coefficient": "0.07", "rate": "0.05"},
        {"taker_bps": "10", "maker": "5"},
        {"coefficient": "0.07", "precision": "0"},
    ],
)
def test_a_fee_that_cannot_be_read_is_unknown(fee: Any) -> None:
    """Missing, mixed and impossible fees are unknown, and never zero."""
    assert read(file(leg(fee=fee))).legs[0].fee == UNKNOWN_FEE


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"legs": [', "line 1, column 11"),
        ('{"legs": NaN}', "NaN"),
        ('{"kind": "spot", "kind": "spot"}', "kind: is there twice"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "the file: [] is no object"),
        ("{}", "legs: is not a list"),
        (file(kind="triangle"), "kind: 'triangle' is not one of binary, spot"),
        (file(legs=[leg()]), "legs: there are 1; binary takes 2"),
        (file(kind="basket", legs=[leg()]), "legs: there are 1; basket takes 2 to 12"),
        (file(legs=[leg(), leg()]), "legs[1]: names market 'M' of kalshi a second time"),
        (file(legs=[leg(), 3]), "legs[1]: 3 is no object"),
        (file(leg(venue="")), "legs[0].venue"),
        (file(leg(polarity="both")), "legs[0].polarity: 'both'"),
        (file(leg(polarity="inverse"), kind="spot"), "legs[0].polarity: spot has no other outcome"),
        (file(leg(asks=[["0.55", "1"], ["0.56", "0"]])), "legs[0].asks[1]: size 0 is not above 0"),
        (file(leg(asks=[["0.55", "-1"]])), "legs[0].asks[0][1]: -1 is below 0"),
        (file(leg(asks=[["0.55", "1"], ["0.550", "2"]])), "price 0.55 is that of legs[0].asks[0]"),
        (file(leg(bids=[["1.01", "1"]])), "legs[0].bids[0]: price 1.01 is above 1"),
        (file(leg(bids=[["0.545", "1"]], grid="0.01")), "legs[0].bids[0]: price 0.545 is not on"),
        (file(leg(bids=[["NaN", "1"]])), "legs[0].bids[0][0]: 'NaN' is no number"),
        (file(leg(bids=[["0.5"]])), "legs[0].bids[0]: ['0.5'] is not a pair"),
        (file(leg(bids="0.5")), "legs[0].bids: is not a list"),
        (file(leg(bids=[[True, "1"]])), "legs[0].bids[0][0]: True is no number"),
        (file(leg(bids=[["0.5", "1e300"]])), "legs[0].bids[0][1]: is too large"),
        (file(leg(bids=[["0.1234567890123", "1"]])), "0.1234567890123 has over 12 decimals"),
        (file(leg(age_ms="-1")), "legs[0].age_ms: -1 is below 0"),
        (file(cash={"kalshi": "much"}), "cash.kalshi: 'much' is no number"),
        (file(cash=[]), "cash: [] is no object"),
        (file(days=0), "days: 0 is not above 0"),
        (file(mismatch="1.5"), "mismatch: 1.5 is no probability"),
        (file(kind="basket", side="both"), "side: 'both' is not"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_told_by_its_key(text: str, told: str) -> None:
    """The error names the key or the line, and what is wrong there."""
    with pytest.raises(EdgeFileError) as error:
        read(text)
    assert told in str(error.value)
    assert len(str(error.value)) < 200


def test_unknown_keys_are_named_and_ignored() -> None:
    """A slip in a key is seen, and what is left is read."""
    made = read(file(leg(grd="0.01"), day=3))
    assert made.ignored == ("day", "legs[0].grd")


def test_what_is_left_out_has_its_default() -> None:
    """No cash bound, no end, no mismatch, same polarity, both sides may be missing."""
    made = read('{"legs": [{"venue": "a"}, {"venue": "a", "fee": null}]}')
    assert (made.kind, made.cash, made.days, made.mismatch) == ("binary", {}, None, Decimal(0))
    assert [part.market for part in made.legs] == ["leg 1", "leg 2"]
    assert (made.legs[0].bids, made.legs[0].asks, made.legs[0].inverse) == ((), (), False)


def test_a_rate_of_coins_is_a_share_of_the_price() -> None:
    """Coins have no p(1-p): 0.004 of a spot leg is 40 basis points, and so is taker_bps beside maker_bps."""
    book = {"bids": [["100", "1"]], "asks": [["101", "1"]]}
    legs = [
        {"venue": "kraken", **book, "fee": {"rate": "0.004"}},
        {"venue": "coinbase", **book, "fee": {"taker_bps": "40", "maker_bps": "25"}},
    ]
    found = read(json.dumps({"kind": "spot", "legs": legs}))
    assert [(leg.fee.kind, leg.fee.rate_ppm) for leg in found.legs] == [(FeeKind.BPS, 4_000)] * 2
