"""Symbols: which markets of which venues somebody means by a name.

In: a name as a person types it, the events of the run, the markets that the feeds have. Out: `Name`s.
Pure; used by `pipeline.client`. A name is an event's id, a market's id, or a pair of coins in any venue's
spelling: "BTC/USD", "btc-usd" and "XBT/USD" are one. Dollars and dollar coins are not one: a USDT price
beside a USD price would show the difference between the currencies as a difference between venues.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from pipeline.client.price_event import Name
from pipeline.model_events import Event

# Venues whose market ids are no pairs of coins; Kalshi's tickers look like some.
PREDICTION = frozenset({"kalshi", "polymarket"})
# Kraken's old names, which its REST still uses.
ALIASES = {"XBT": "BTC", "XDG": "DOGE"}
QUOTE = "USD"
_PAIR = re.compile(r"([A-Z0-9.]{1,16})[-/_]([A-Z0-9.]{1,16})")


@lru_cache(maxsize=4096)
def pair_form(text: str) -> str:
    """A pair of coins as "BASE/QUOTE"; any other text in capitals."""
    capitals = text.strip().upper()
    pair = _PAIR.fullmatch(capitals)
    return "/".join(ALIASES.get(coin, coin) for coin in pair.groups()) if pair else capitals


def market_form(venue: str, market: str) -> str:
    """What a market is compared by: the pair at an exchange, the id in capitals at other venues."""
    return market.upper() if venue in PREDICTION else pair_form(market)


def shown_symbol(venue: str, market: str) -> str:
    """The symbol of a market that was not asked for by an event's id."""
    return market if venue in PREDICTION else pair_form(market)


def resolve(symbol: str, events: Iterable[Event], markets: Mapping[str, Iterable[str]]) -> list[Name]:
    """The markets that a name means; an event's id goes before all others. Empty where nothing fits.

    A coin alone ("BTC") means its dollar pair. A leg whose outcome is "no" is left out: whether its
    prices are to be turned round is not said (pairs.py refuses it for the same reason).
    """
    for event in events:
        if event.id.casefold() == symbol.strip().casefold():
            return [
                Name(leg.venue, leg.market, event.id, leg.polarity == "inverse")
                for leg in event.legs
                if leg.outcome != "no"
            ]
    return _by_market(symbol, markets) or _by_market(f"{symbol.strip()}/{QUOTE}", markets)


def _by_market(symbol: str, markets: Mapping[str, Iterable[str]]) -> list[Name]:
    return [
        Name(venue, market, shown_symbol(venue, market))
        for venue, names in markets.items()
        for market in names
        if market_form(venue, market) == market_form(venue, symbol.strip())
    ]
