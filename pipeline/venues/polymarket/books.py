"""Polymarket's market channel: its frames in, book events out, one book a token as sent.

In: text frames of one connection. Out: events (pipeline/venues/codec.py) and the frames to send. Run
by the Polymarket feed, `run.py books` and the replay. Protocol: Polymarket's own SDK of autumn 2026.

There is no sequence number, no acknowledgement and no error message. A frame is one message or an
array of them. Sizes are absolute, so a change that comes twice does no harm. A `price_change` mostly
holds the mirrored change of both tokens of a market; what we did not subscribe to is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipeline.model import Level, Market, Scale, to_units
from pipeline.venues.codec import Bad, Change, Event, Gap, Ignored, Listed, Settled, Snapshot
from pipeline.venues.parsing import UNREADABLE, Reader, Readers, millis_ns, text_of
from pipeline.venues.polymarket.frames import (
    BookLevel,
    BookMessage,
    LevelChange,
    LooseMessage,
    MarketResolved,
    Message,
    PriceChange,
    TickSizeChange,
    decode_asset,
    decode_book,
    decode_items,
    decode_level_change,
    decode_loose,
    decode_message,
    decode_messages,
)

# A market has two tokens; more in one announcement is not a binary market.
_RESOLVED_MAX = 16


class PolymarketCodec:
    """One Polymarket connection. Markets are token ids."""

    venue = "polymarket"

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        self.last_sequence = 0
        self.unanswered = 0
        self._readers = Readers(self.venue, scales)
        self._wanted: dict[str, None] | None = None

    # What we send

    def subscribe(self, markets: Iterable[str]) -> list[str]:
        """The frame for tokens not yet subscribed; the first one of a connection has its own form."""
        first = self._wanted is None
        wanted = self._wanted = {} if self._wanted is None else self._wanted
        fresh = [market for market in dict.fromkeys(markets) if market not in wanted]
        if not fresh:
            if first:
                self._wanted = None
            return []
        wanted.update(dict.fromkeys(fresh))
        if first:
            frame = {"type": "market", "assets_ids": fresh, "custom_feature_enabled": True}
            return [msgspec.json.encode(frame).decode()]
        return [_subscribe_frame(fresh)]

    def unsubscribe(self, markets: Iterable[str]) -> list[str]:
        """The frame that ends `markets`; what still arrives for them is ignored."""
        wanted = self._wanted or {}
        gone = [market for market in dict.fromkeys(markets) if market in wanted]
        for market in gone:
            del wanted[market]
        return [_unsubscribe_frame(gone)] if gone else []

    def resync(self, markets: Iterable[str]) -> list[str]:
        """Unsubscribe and subscribe: naming an active token again brings no new `book`."""
        wanted = self._wanted or {}
        again = [market for market in dict.fromkeys(markets) if market in wanted]
        return [_unsubscribe_frame(again), _subscribe_frame(again)] if again else []

    def ping(self) -> str | None:
        """The text `PING`, to be sent every 10 s; the venue answers `PONG`."""
        self.unanswered += 1
        return "PING"

    # What they send

    def decode(self, frame: bytes) -> list[Event]:
        """Events of one frame. Never raises."""
        events: list[Event] = []
        try:
            if frame[:1] == b"[":
                messages = decode_messages(frame)
            else:
                messages = [decode_message(frame)]
        except UNREADABLE as error:
            return self._decode_odd(frame, error)
        for message in messages:
            self._take(message, events)
        return events or [Ignored("empty array")]

    def _take(self, message: Message, events: list[Event]) -> None:
        """Events of one sound message."""
        if type(message) is PriceChange:
            self._price_change(message.price_changes, message.timestamp, events)
        elif type(message) is BookMessage:
            self._book(message, events)
        elif type(message) is TickSizeChange:
            self._tick_size_change(message, events)
        elif type(message) is MarketResolved:
            ours = message.assets_ids[:_RESOLVED_MAX]
            if self._wanted is None or any(asset in self._wanted for asset in ours):
                events.extend(Settled(asset) for asset in ours)
            else:
                events.append(Ignored("market_resolved"))
        else:
            events.append(Ignored(str(message.__struct_config__.tag)))

    def _uses(self, asset: str) -> bool:
        """Whether `asset` is subscribed; without any subscription, as on a tape, every one is."""
        return self._wanted is None or asset in self._wanted

    def _price_change(self, changes: list[LevelChange], timestamp: Any, events: list[Event]) -> None:
        found: dict[str, Change] = {}
        broken: dict[str, str] = {}
        wanted = self._wanted
        for change in changes:
            asset = change.asset_id
            if wanted is not None and asset not in wanted:
                continue
            reader = self._readers.of(asset)
            try:
                level = (reader.ticks(change.price), reader.size(change.size))
                book = found.get(asset)
                if book is None:
                    book = found[asset] = Change(asset, [], [], millis_ns(timestamp))
                _side(book, change.side).append(level)
            except ValueError as error:
                broken[asset] = text_of(error)
        for asset, book in found.items():
            if asset not in broken:
                events.append(book)
        for asset, why in broken.items():
            events.append(Bad(why, lost=True, markets=(asset,)))
        if not found and not broken:
            events.append(Ignored("price_change"))

    def _book(self, message: BookMessage, events: list[Event]) -> None:
        asset = message.asset_id
        if not self._uses(asset):
            events.append(Ignored("book"))
            return
        reader = self._readers.of(asset)
        try:
            if message.bids is None and message.asks is None:
                raise ValueError("a book without bids and asks")
            bids, asks = _levels(message.bids or [], reader), _levels(message.asks or [], reader)
        except ValueError as error:
            events.append(Bad(text_of(error), lost=True, markets=(asset,)))
        else:
            events.append(Snapshot(asset, bids, asks, millis_ns(message.timestamp)))

    def _tick_size_change(self, message: TickSizeChange, events: list[Event]) -> None:
        """The book is void until the next `book`; the grid is told on."""
        asset = message.asset_id
        if not self._uses(asset):
            events.append(Ignored("tick_size_change"))
            return
        events.append(Gap((asset,), "tick size change", counted=False))
        scale = self._readers.scale_of(asset)
        try:
            grid = to_units(message.new_tick_size, scale.price_decimals)
            if grid <= 0:
                raise ValueError(f"tick size {message.new_tick_size!r} is not above 0")
        except ValueError as error:
            events.append(Bad(text_of(error), lost=True, markets=(asset,)))
        else:
            events.append(Listed(Market(self.venue, asset, scale, grid_ticks=grid)))

    def _decode_odd(self, frame: bytes, error: BaseException) -> list[Event]:
        """Events of a frame that is not wholly in shape: what is sound in it is still used."""
        text = frame.strip()
        if text == b"PONG":
            self.unanswered = 0
            return [Ignored("PONG")]
        items: list[msgspec.Raw] | list[bytes] = [text]
        if text[:1] == b"[":
            try:
                items = decode_items(text)
            except UNREADABLE:
                return [Bad(text_of(error), lost=b"{" in frame)]
        events: list[Event] = []
        for item in items:
            self._take_odd(item, events)
        return events or [Ignored("empty array")]

    def _take_odd(self, item: bytes | msgspec.Raw, events: list[Event]) -> None:
        """Events of one message of a frame that is not wholly in shape."""
        try:
            self._take(decode_message(item), events)
            return
        except UNREADABLE as error:
            why = text_of(error)
        try:
            loose = decode_loose(item)
        except UNREADABLE:
            events.append(Bad(why, lost=b"{" in bytes(item)))
            return
        kind = loose.event_type
        if kind in {"", "price_change"} and loose.price_changes is not None:
            self._loose_price_change(loose, events)
        elif kind == "" and (len(loose.bids) or len(loose.asks)):
            self._untagged_book(item, why, events)
        elif kind in {"book", "price_change", "tick_size_change"}:
            events += self._lost(item, why)
        elif kind in {"", "market_resolved"}:
            events.append(Bad(why if kind else "a message without a type"))
        else:
            events.append(Ignored(text_of(kind)))

    def _untagged_book(self, item: bytes | msgspec.Raw, why: str, events: list[Event]) -> None:
        """A book without `event_type`, as older frames and the REST answers have it."""
        try:
            message = decode_book(item)
        except UNREADABLE:
            events += self._lost(item, why)
        else:
            self._book(message, events)

    def _loose_price_change(self, loose: LooseMessage, events: list[Event]) -> None:
        """A `price_change` of which some entries cannot be read: their tokens' books are unknown."""
        sound: list[LevelChange] = []
        lost: list[Bad | Ignored] = []
        voided: set[str] = set()
        for entry in loose.price_changes or []:
            try:
                sound.append(decode_level_change(entry))
            except UNREADABLE as error:
                faults = self._lost(entry, text_of(error))
                lost += faults
                voided.update(*(fault.markets for fault in faults if isinstance(fault, Bad)))
        usable = [change for change in sound if change.asset_id not in voided]
        if usable or not lost:
            self._price_change(usable, loose.timestamp, events)
        events += lost

    def _lost(self, item: bytes | msgspec.Raw, why: str) -> list[Bad | Ignored]:
        """The loss of a message or entry: of its token, or when that cannot be read, of all."""
        try:
            asset = decode_asset(item).asset_id
        except UNREADABLE:
            return [Bad(why, lost=True)]
        if not self._uses(asset):
            return [Ignored("not subscribed")]
        return [Bad(why, lost=True, markets=(asset,))]


def _side(book: Change, side: str) -> list[Level]:
    if side == "BUY":
        return book.bids
    if side == "SELL":
        return book.asks
    raise ValueError(f"side {side[:20]!r} is neither BUY nor SELL")


def _levels(sent: list[BookLevel], reader: Reader) -> list[Level]:
    levels = [(reader.ticks(each.price), reader.size(each.size)) for each in sent]
    if len(dict(levels)) != len(levels):
        raise ValueError("a price appears twice in one book")
    return [level for level in levels if level[1]]


def _subscribe_frame(assets: list[str]) -> str:
    frame = {"operation": "subscribe", "assets_ids": assets, "custom_feature_enabled": True}
    return msgspec.json.encode(frame).decode()


def _unsubscribe_frame(assets: list[str]) -> str:
    return msgspec.json.encode({"operation": "unsubscribe", "assets_ids": assets}).decode()


def make(scales: Mapping[str, Scale]) -> PolymarketCodec:
    """A codec for a new connection; without a scale a token gets Polymarket's default, 6 and 6."""
    return PolymarketCodec(scales)
