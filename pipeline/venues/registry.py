"""Venue registry: which codec speaks to which venue.

In: a venue's name. Out: the maker of its codec. Pure. Used by feeds, `run.py books` and the replay.
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
