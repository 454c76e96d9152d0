"""Shapes of the messages that Polymarket's market channel sends.

In: frames. Out: typed structs, or ValueError and RecursionError. Pure; used by books.py beside it.
Messages hold only the fields that are used; others are skipped without being built. Messages that
change nothing for us have no fields at all.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.venues.parsing import MarketName, NumberText


class BookLevel(msgspec.Struct, gc=False):
    """One price level of a `book`."""

    price: NumberText
    size: NumberText


class LevelChange(msgspec.Struct, gc=False):
    """One entry of a `price_change`: the new size at a price of one token."""

    asset_id: MarketName
    price: NumberText
    size: NumberText
    side: str


class BookMessage(msgspec.Struct, gc=False, tag_field="event_type", tag="book"):
    """The whole book of a token."""

    asset_id: MarketName
    bids: list[BookLevel] | None = None
    asks: list[BookLevel] | None = None
    timestamp: Any = None


class PriceChange(msgspec.Struct, gc=False, tag_field="event_type", tag="price_change"):
    """Changed levels, mostly the mirrored change of both tokens of a market."""

    price_changes: list[LevelChange]
    timestamp: Any = None


class TickSizeChange(msgspec.Struct, gc=False, tag_field="event_type", tag="tick_size_change"):
    """A new price grid; the book so far is void."""

    asset_id: MarketName
    new_tick_size: NumberText


class MarketResolved(msgspec.Struct, gc=False, tag_field="event_type", tag="market_resolved"):
    """The market has a winner."""

    assets_ids: list[MarketName]


class LastTradePrice(msgspec.Struct, gc=False, tag_field="event_type", tag="last_trade_price"):
    """A trade; not used."""


class BestBidAsk(msgspec.Struct, gc=False, tag_field="event_type", tag="best_bid_ask"):
    """A top of book; not used, because it may come before the changes that it sums up."""


class NewMarket(msgspec.Struct, gc=False, tag_field="event_type", tag="new_market"):
    """A market was listed; not used."""


class LooseMessage(msgspec.Struct, gc=False):
    """What can be read of a message that is in none of these shapes."""

    event_type: str = ""
    asset_id: Any = None
    # Not `Raw | None`: that takes nothing but null. What was not sent is empty.
    bids: msgspec.Raw = msgspec.Raw()
    asks: msgspec.Raw = msgspec.Raw()
    price_changes: list[msgspec.Raw] | None = None
    timestamp: Any = None


class AssetOnly(msgspec.Struct, gc=False):
    """The token alone, to name the book of a change that cannot be read."""

    asset_id: MarketName


Message = (
    BookMessage | PriceChange | TickSizeChange | MarketResolved | LastTradePrice | BestBidAsk | NewMarket
)

decode_message = msgspec.json.Decoder(Message).decode
decode_messages = msgspec.json.Decoder(list[Message]).decode
decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_loose = msgspec.json.Decoder(LooseMessage).decode
decode_book = msgspec.json.Decoder(BookMessage).decode
decode_level_change = msgspec.json.Decoder(LevelChange).decode
decode_asset = msgspec.json.Decoder(AssetOnly).decode
