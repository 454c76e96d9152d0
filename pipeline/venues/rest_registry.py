"""REST registry: how each venue is asked for order books.

In: a venue's name. Out: its `Source`. Pure. Used by the feed's RestBooks thread and its witness.
"""

from __future__ import annotations

from pipeline.venues.asking import Source
from pipeline.venues.coinbase import rest_books as coinbase
from pipeline.venues.kalshi import rest_books as kalshi
from pipeline.venues.kraken import rest_books as kraken
from pipeline.venues.polymarket import rest_books as polymarket

# Paces stay well below the venues' limits for one address: Kraken's is about 1 request a second,
# Coinbase's 10, Kalshi's 20, Polymarket's some hundreds.
BOOK_SOURCES: dict[str, Source] = {
    "kalshi": Source(kalshi.requests, kalshi.parse, kalshi.PER_REQUEST, 100_000_000, at_once=400),
    "polymarket": Source(
        polymarket.requests, polymarket.parse, polymarket.PER_REQUEST, 100_000_000, at_once=200
    ),
    "kraken": Source(kraken.requests, kraken.parse, kraken.PER_REQUEST, 1_000_000_000, at_once=4),
    "coinbase": Source(coinbase.requests, coinbase.parse, coinbase.PER_REQUEST, 200_000_000, at_once=12),
}
