"""REST registry: how each venue is asked for its markets, and for order books.

In: a venue's name. Out: its `Source` of books, its `MarketSource`. Pure. Used by the feed's REST threads and
its witness. Each function loads one venue's readers when it is called: a feed speaks to one venue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.model import FeeSchedule, Market
from pipeline.venues.asking import Source

# Paces stay well below the venues' limits for one address: Kraken's is about 1 request a second,
# Coinbase's 10, Kalshi's 20, Polymarket's some hundreds.
KALSHI_PACE_NS = POLYMARKET_PACE_NS = 100_000_000
COINBASE_PACE_NS = 200_000_000
KRAKEN_PACE_NS = 1_000_000_000

# A body, the markets wanted, a fee for them, and when the answer came (wall clock, ns).
Parse = Callable[[bytes, Sequence[str], FeeSchedule | None, int], list[Market]]


class MarketSource(NamedTuple):
    """A venue's metadata by REST: which paths to ask for, and how to read their answers."""

    paths: Callable[[Sequence[str]], list[str]]
    parse: Parse


def book_source(venue: str) -> Source:
    """How a venue is asked for order books. KeyError for a venue that has no such way."""
    return _BOOKS[venue]()


def market_source(venue: str) -> MarketSource:
    """How a venue is asked for its markets. KeyError for a venue that has no such way."""
    return _MARKETS[venue]()


def _coinbase_books() -> Source:
    from pipeline.venues.coinbase import rest_books as rest

    return Source(rest.requests, rest.parse, rest.PER_REQUEST, COINBASE_PACE_NS, at_once=12)


def _kalshi_books() -> Source:
    from pipeline.venues.kalshi import rest_books as rest

    return Source(rest.requests, rest.parse, rest.PER_REQUEST, KALSHI_PACE_NS, at_once=400)


def _kraken_books() -> Source:
    from pipeline.venues.kraken import rest_books as rest

    return Source(rest.requests, rest.parse, rest.PER_REQUEST, KRAKEN_PACE_NS, at_once=4)


def _polymarket_books() -> Source:
    from pipeline.venues.polymarket import rest_books as rest

    return Source(rest.requests, rest.parse, rest.PER_REQUEST, POLYMARKET_PACE_NS, at_once=200)


def _coinbase_markets() -> MarketSource:
    from pipeline.venues.coinbase import markets

    return MarketSource(markets.paths, markets.parse)


def _kalshi_markets() -> MarketSource:
    from pipeline.venues.kalshi import markets

    return MarketSource(markets.paths, markets.parse)


def _kraken_markets() -> MarketSource:
    from pipeline.venues.kraken import markets

    return MarketSource(markets.paths, markets.parse)


def _polymarket_markets() -> MarketSource:
    from pipeline.venues.polymarket import markets

    return MarketSource(markets.paths, markets.parse)


_BOOKS: dict[str, Callable[[], Source]] = {
    "coinbase": _coinbase_books,
    "kalshi": _kalshi_books,
    "kraken": _kraken_books,
    "polymarket": _polymarket_books,
}
_MARKETS: dict[str, Callable[[], MarketSource]] = {
    "coinbase": _coinbase_markets,
    "kalshi": _kalshi_markets,
    "kraken": _kraken_markets,
    "polymarket": _polymarket_markets,
}
