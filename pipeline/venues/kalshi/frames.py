"""Shapes of the frames that Kalshi's market-data socket sends.

In: frames. Out: typed structs, or ValueError and RecursionError. Pure; used by books.py beside it.
Bodies hold only the fields that are used; others are skipped without being built.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pipeline.venues.kalshi.markets import PriceRange
from pipeline.venues.parsing import Counter, MarketName, NumberText


class DeltaBody(msgspec.Struct, gc=False):
    """A signed step of one price level. `ts_ms` is the venue's time in milliseconds, mostly."""

    market_ticker: MarketName
    price_dollars: NumberText
    delta_fp: NumberText
    side: Literal["yes", "no"]
    ts_ms: Any = None


class DeltaFrame(msgspec.Struct, gc=False, tag_field="type", tag="orderbook_delta"):
    """`orderbook_delta`."""

    sid: Counter
    seq: Counter
    msg: DeltaBody


class SnapshotBody(msgspec.Struct, gc=False):
    """All bids of YES and of NO; a side that is empty is left out."""

    market_ticker: MarketName
    yes_dollars_fp: list[tuple[NumberText, NumberText]] | None = None
    no_dollars_fp: list[tuple[NumberText, NumberText]] | None = None


class SnapshotFrame(msgspec.Struct, gc=False, tag_field="type", tag="orderbook_snapshot"):
    """`orderbook_snapshot`."""

    sid: Counter
    seq: Counter
    msg: SnapshotBody


class Envelope(msgspec.Struct, gc=False):
    """What every frame has around its `msg`."""

    type: str = ""
    id: Counter = 0
    sid: Counter | None = None
    seq: Counter | None = None
    msg: msgspec.Raw = msgspec.Raw(b"{}")


class SubscribedBody(msgspec.Struct, gc=False):
    """The subscription id that the venue gave a channel."""

    channel: str
    sid: Counter


class ErrorBody(msgspec.Struct, gc=False):
    """`error`: a code, words, and perhaps tickers."""

    code: int = 0
    msg: str = ""
    market_ticker: MarketName | None = None
    market_tickers: list[MarketName] | None = None


class TickersBody(msgspec.Struct, gc=False):
    """`ok`: the subscription's tickers after an update."""

    market_tickers: list[MarketName] | None = None


class LifecycleBody(msgspec.Struct, gc=False):
    """An announcement about a market, or about an event and with it about all its markets."""

    event_type: str = ""
    market_ticker: MarketName | None = None
    event_ticker: MarketName | None = None
    price_ranges: list[PriceRange] | None = None
    close_ts: Any = None
    is_deactivated: Any = None


class TimesBody(msgspec.Struct, gc=False):
    """The two spellings of a delta's time."""

    ts: Any = None
    ts_ms: Any = None


class TimesFrame(msgspec.Struct, gc=False):
    """The time of a frame alone."""

    msg: TimesBody


class TickerBody(msgspec.Struct, gc=False):
    """The ticker alone, to name the market of a frame that cannot be read."""

    market_ticker: MarketName


decode_book = msgspec.json.Decoder(DeltaFrame | SnapshotFrame).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_subscribed = msgspec.json.Decoder(SubscribedBody).decode
decode_error = msgspec.json.Decoder(ErrorBody).decode
decode_tickers = msgspec.json.Decoder(TickersBody).decode
decode_lifecycle = msgspec.json.Decoder(LifecycleBody).decode
decode_times = msgspec.json.Decoder(TimesFrame).decode
decode_ticker = msgspec.json.Decoder(TickerBody).decode
