"""Venue registry: which codec speaks to which venue, and how many markets its connections carry.

In: a venue's name. Out: the maker of its codec, the capacity of one connection. Pure. Used by feeds,
`run.py books` and the replay.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.model import Scale
from pipeline.venues.codec import Codec, CodecMaker

# Each maker loads its codec when it is first called: a feed speaks to one venue, and is started again
# in the middle of things.


def _coinbase(scales: Mapping[str, Scale]) -> Codec:
    from pipeline.venues.coinbase.books import make

    return make(scales)


def _kalshi(scales: Mapping[str, Scale]) -> Codec:
    from pipeline.venues.kalshi.books import make

    return make(scales)


def _kraken(scales: Mapping[str, Scale]) -> Codec:
    from pipeline.venues.kraken.books import make

    return make(scales)


def _polymarket(scales: Mapping[str, Scale]) -> Codec:
    from pipeline.venues.polymarket.books import make

    return make(scales)


CODECS: dict[str, CodecMaker] = {
    "coinbase": _coinbase,
    "kalshi": _kalshi,
    "kraken": _kraken,
    "polymarket": _polymarket,
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
