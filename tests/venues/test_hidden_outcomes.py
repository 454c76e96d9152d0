"""Whether a market's question may have an outcome that nobody lists, in the words of each venue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.feed.publisher import market_row
from pipeline.model import Market
from pipeline.venues.kalshi import markets as kalshi
from pipeline.venues.polymarket import markets as polymarket

TICKER, EVENT = "KXCUP-26NOV30-ADA", "KXCUP-26NOV30"
YES, NO = "1" * 76, "2" * 76


def on_kalshi(event: dict[str, Any] | None) -> Market:
    """A Kalshi market after its series, and its event if there is one, have answered."""
    listed = {"markets": [{"ticker": TICKER, "event_ticker": EVENT, "status": "active"}]}
    markets = kalshi.parse(json.dumps(listed).encode(), [TICKER], None)
    series = {"series": {"ticker": "KXCUP", "fee_type": "quadratic", "fee_multiplier": 1}}
    answers: list[dict[str, Any]] = [series]
    answers += [{"event": {"event_ticker": EVENT, **event}}] if event is not None else []
    for answer in answers:
        markets = kalshi.parse_fees(json.dumps(answer).encode(), markets)
    return markets[0]


@pytest.mark.parametrize(
    ("event", "hides"),
    [
        ({"mutually_exclusive": True}, False),
        ({"mutually_exclusive": False}, True),
        ({"mutually_exclusive": None}, True),
        ({}, True),
        (None, True),
        ({"mutually_exclusive": True, "fee_type_override": "flat"}, False),
    ],
)
def test_a_kalshi_event_must_say_that_one_outcome_wins(event: dict[str, Any] | None, hides: bool) -> None:
    """Only an event that says `mutually_exclusive` hides nothing; one not heard of yet may."""
    market = on_kalshi(event)
    assert market.hides_outcome is hides
    assert market_row(market, 0).hides_outcome == hides


OPEN = [{"negRiskAugmented": False}]


@pytest.mark.parametrize(
    ("fields", "hides"),
    [
        ({}, False),
        ({"negRisk": False, "groupItemTitle": "", "events": OPEN}, False),
        ({"negRisk": True, "groupItemTitle": "Ada", "events": OPEN, "negRiskOther": False}, False),
        ({"negRisk": True, "groupItemTitle": "Ada", "events": OPEN}, False),
        ({"negRisk": True, "groupItemTitle": "Ada", "events": [{"negRiskAugmented": True}]}, True),
        ({"negRisk": True, "groupItemTitle": "Ada", "events": [{}]}, True),
        ({"negRisk": True, "groupItemTitle": "Ada", "events": []}, True),
        ({"negRisk": True, "groupItemTitle": "Ada"}, True),
        ({"negRisk": True, "groupItemTitle": "Other", "events": OPEN, "negRiskOther": True}, True),
        ({"negRisk": False, "groupItemTitle": "Ada", "events": OPEN}, True),
        ({"negRisk": None, "groupItemTitle": "Ada", "events": OPEN}, True),
        ({"groupItemTitle": "Ada"}, True),
        ({"negRisk": True}, True),
    ],
)
def test_a_polymarket_question_of_several_must_be_exclusive_and_fixed(
    fields: dict[str, Any], hides: bool
) -> None:
    """One of several markets hides nothing if it is `negRisk`, no placeholder, and nothing may be added."""
    sent = {"clobTokenIds": json.dumps([YES, NO]), **fields}
    for market in polymarket.parse(json.dumps([sent]).encode(), [YES, NO], None):
        assert market.hides_outcome is hides
        assert market_row(market, 0).hides_outcome == hides


@pytest.mark.parametrize("field", ["negRisk", "negRiskOther", "groupItemTitle", "events"])
def test_nonsense_there_is_refused(field: str) -> None:
    """A field of another type is a ValueError, not a guess."""
    sent = {"clobTokenIds": json.dumps([YES, NO]), field: 3.5}
    with pytest.raises(ValueError, match="cannot be read"):
        polymarket.parse(json.dumps([sent]).encode(), [YES], None)
