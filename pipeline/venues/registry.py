"""Venue registry: which codec speaks to which venue, and how many markets its connections carry.

In: a venue's name. Out: the maker of its codec, the capacity of one connection. Pure. Used by feeds,
`run.py books` and the replay.
"""

from __future__ import annotations

from pipeline.venues.codec import CodecMaker
from pipeline.venues.coinbase.books import make as make_coinbase
from pipeline.venues.kalshi.books import make as make_kalshi
from pipeline.venues.kraken.books import make as make_kraken
from pipeline.venues.polymarket.books import make as make_polymarket

CODECS: dict[str, CodecMaker] = {
    "coinbase": make_coinbase,
    "kalshi": make_kalshi,
    "kraken": make_kraken,
    "polymarket": make_polymarket,
}

# The most markets that one connection carries; a feed with more opens another.
PER_CONNECTION: dict[str, int] = {
    # 16 level2 products were accepted on one socket and 32 refused ("too many L2 streams", January 2026).
    "coinbase": 16,
    # Kalshi publishes no number; a lost message voids all that share its subscription, so that is kept small.
    "kalshi": 100,
    # Kraken publishes none for public sockets; a checksum voids one pair alone, so this only spreads load.
    "kraken": 250,
    # With more than 500 assets updates come but no first book (undocumented); a wide margin below that.
    "polymarket": 200,
}
