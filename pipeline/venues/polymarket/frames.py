"""Shapes of the messages that Polymarket's market channel sends.

In: frames. Out: typed structs, or ValueError and RecursionError. Pure; used by books.py beside it.
Messages hold only the fields that are used; others are skipped without being built. Messages that
change nothing for us have no fields at all.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from pipeline.venues.parsing import MarketName, NumberText

Millis = Annotated[int, msgspec.Meta(ge=0, le=2**43)]
Digest = Annotated[str, msgspec.Meta(max_length=128)]


class BookLevel(msgspec.Struct, gc=False):
    """One price level of a `book`."""

    price: NumberText
    size: NumberText


class LevelChange(msgspec.Struct, gc=False):
    """One entry of a `price_change`: the new size at a price of one token.

    `best_bid` and `best_ask` hold once the batch that `hash` names is whole.
    """

    asset_id: MarketName
    price: NumberText
    size: NumberText
    side: Literal["BUY", "SELL"]
    hash: Digest | None = None
    best_bid: NumberText | None = None
    best_ask: NumberText | None = None


class BookMessage(msgspec.Struct, gc=False, tag_field="event_type", tag="book"):
    """The whole book of a token."""

    asset_id: MarketName
    bids: list[BookLevel] | None = None
    asks: list[BookLevel] | None = None
    timestamp: Any = None
    hash: Any = None
    # Not every frame has these two.
    tick_size: Any = None
    min_order_size: Any = None


class PriceChange(msgspec.Struct, gc=False):
    """Changed levels, mostly the mirrored change of both tokens of a market.

    Not tagged like the others, because it is most of what comes and its `event_type` comes last: a tag
    is looked for before anything else is read.
    """

    event_type: Literal["price_change"]
    price_changes: list[LevelChange]
    timestamp: Millis = 0


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


Message = BookMessage | TickSizeChange | MarketResolved | LastTradePrice | BestBidAsk | NewMarket

# Not strict: the time is digits in a text.
decode_change = msgspec.json.Decoder(PriceChange, strict=False).decode
decode_message = msgspec.json.Decoder(Message).decode
decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_loose = msgspec.json.Decoder(LooseMessage).decode
decode_book = msgspec.json.Decoder(BookMessage).decode
decode_level_change = msgspec.json.Decoder(LevelChange).decode
decode_asset = msgspec.json.Decoder(AssetOnly).decode
