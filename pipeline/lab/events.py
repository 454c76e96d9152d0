"""The lab's events in the form of the configuration: what `run/lab.json` offers for trading.

In: events, pairs and groups of the simulated world. Out: plain dictionaries, as [[events]] has them. Pure;
used by `market.MarketModel`. Each review holds the SHA-256 of every text of rules that a leg's venue shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from pipeline.lab.binary import BinaryEvent
from pipeline.lab.exchange import utc_seconds
from pipeline.lab.group import Group, Strikes
from pipeline.lab.spot import SpotPair

TOKENS_OF = "RAIN"
"""Of the events with this stem, both Polymarket tokens are offered as a complement too."""
MODEL_SPOT = ("coinbase", "BTC-USD")
"""The book whose middle decides the strikes."""
MODEL_BASIS_BP = "1"


def binary(event: BinaryEvent) -> dict[str, Any]:
    """The question on both venues."""
    legs = [
        _leg("kalshi", event.ticker),
        _leg("polymarket", event.yes_token, polarity="inverse" if event.inverse else "same"),
    ]
    return _event(event.id, event.title, "binary", event.close_ms, legs, [event.rules], event.open_ms)


def complement(event: BinaryEvent) -> dict[str, Any]:
    """Both Polymarket tokens of a question."""
    legs = [
        _leg("polymarket", event.yes_token),
        _leg("polymarket", event.no_token, polarity="inverse"),
    ]
    name, asked = f"{event.id}-tokens", f"SIM both tokens of {event.question.removeprefix('SIM ')}"
    return _event(name, asked, "complement", event.close_ms, legs, [event.rules], event.open_ms)


def spot(pair: SpotPair, at_ms: int) -> dict[str, Any]:
    """A coin on both exchanges."""
    base = pair.setting.base
    legs = [_leg(b.venue.venue, b.venue.market, "base") for b in pair.books]
    text = f"{base} against US dollars"
    return _event(f"sim-{base.lower()}-usd", f"SIM {base} in US dollars", "spot", 0, legs, [text], at_ms)


def grouped(group: Group) -> dict[str, Any]:
    """A basket of all its outcomes, or a ladder by rising strike."""
    legs = [_leg(c.terms.venue, c.ticker or c.yes_token) for c in group.contracts]
    rules = [contract.rules for contract in group.contracts]
    made = _event(group.id, group.title, group.kind, group.close_ms, legs, rules, group.open_ms)
    return made | {"exhaustive": True} if group.kind == "basket" else made


def model(strikes: Strikes) -> dict[str, Any]:
    """The lower strike against the price that decides it."""
    low, strike = strikes.contracts[0], strikes.strikes[0]
    legs = [_leg("kalshi", low.ticker), _leg(*MODEL_SPOT, outcome="base")]
    name = strikes.id.replace("strikes", "digital")
    made = _event(name, low.title, "model", strikes.close_ms, legs, [low.rules], strikes.open_ms)
    return made | {"digital": {"strike": str(strike), "above": True, "basis_bp": MODEL_BASIS_BP}}


def _event(
    name: str,
    title: str,
    kind: str,
    close_ms: int,
    legs: Sequence[dict[str, str]],
    rules: Sequence[str],
    at_ms: int,
) -> dict[str, Any]:
    close = utc_seconds(close_ms) if close_ms else ""
    hashes = (hashlib.sha256(text.encode()).hexdigest() for text in rules)
    review = {
        "source": "lab",
        "window": "at close",
        "void_rule": "never void",
        "rules_hash": " ".join(dict.fromkeys(hashes)),
        "by": "lab",
        "at": utc_seconds(at_ms),
        "mismatch": "0",
    }
    return {"id": name, "title": title, "kind": kind, "close": close, "legs": list(legs), "review": review}


def _leg(venue: str, market: str, outcome: str = "yes", polarity: str = "same") -> dict[str, str]:
    return {"venue": venue, "market": market, "outcome": outcome, "polarity": polarity}
