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
from pipeline.venues.codec import Bad, Change, Event, Gap, Ignored, Listed, Settled, Snapshot, Status
from pipeline.venues.parsing import MARKETS_MAX, UNREADABLE, Reader, Readers, millis_ns, text_of
from pipeline.venues.polymarket.frames import (
    BookLevel,
    BookMessage,
    LevelChange,
    MarketResolved,
    Message,
    TickSizeChange,
    decode_asset,
    decode_book,
    decode_change,
    decode_items,
    decode_level_change,
    decode_loose,
    decode_message,
)

_BATCH_MAX = 160
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
        self._followed: dict[str, Reader] = {}
        self._stated: dict[str, tuple[Any, Any]] = {}

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
            self._followed.pop(market, None)
            self._stated.pop(market, None)
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
        try:
            message = decode_change(frame)
            return self._changes(message.price_changes, message.timestamp)
        except UNREADABLE as error:
            return self._decode_other(frame, error)

    def _changes(self, changes: list[LevelChange], time_ms: int) -> list[Event]:
        """A change for each token that is followed; ValueError when one of them cannot be read.

        Of a token that comes several times the last best prices count.
        """
        found: dict[str, Change] = {}
        followed, wanted = self._followed, self._wanted
        ns = time_ms * 1_000_000
        stamp = str(time_ms)
        for sent in changes:
            asset = sent.asset_id
            reader = followed.get(asset)
            if reader is None:
                if wanted is not None and asset not in wanted:
                    continue
                reader = self._follow(asset)
            level = (reader.prices[sent.price], reader.sizes[sent.size])
            bids, asks = ([level], []) if sent.side == "BUY" else ([], [level])
            if asset in found:
                bids, asks = found[asset].bids + bids, found[asset].asks + asks
            batch = stamp + (sent.hash or "") if time_ms else ""
            bid, ask = sent.best_bid, sent.best_ask
            best_bid = reader.bests[bid] if bid else None
            best_ask = reader.bests[ask] if ask else None
            found[asset] = Change(asset, bids, asks, ns, None, False, batch, best_bid, best_ask)
        return [*found.values()] if found else [Ignored("price_change")]

    def _follow(self, asset: str) -> Reader:
        """The reader of a token that is used, from now on at hand."""
        if len(self._followed) >= MARKETS_MAX:
            self._followed.clear()
        reader = self._followed[asset] = self._readers.of(asset)
        return reader

    def _decode_other(self, frame: bytes, error: BaseException) -> list[Event]:
        """Events of a frame that is no sound `price_change`: another message, an array, or broken."""
        text = frame.strip()
        if text == b"PONG":
            self.unanswered = 0
            return [Ignored("PONG")]
        if text[:1] != b"[":
            return self._message(text)
        try:
            items = decode_items(text)
        except UNREADABLE:
            return [Bad(text_of(error), lost=b"{" in frame)]
        return [event for item in items for event in self._item(item)] or [Ignored("empty array")]

    def _item(self, item: msgspec.Raw) -> list[Event]:
        """Events of one message in an array."""
        try:
            message = decode_change(item)
            return self._changes(message.price_changes, message.timestamp)
        except UNREADABLE:
            return self._message(item)

    def _message(self, item: bytes | msgspec.Raw) -> list[Event]:
        """Events of one message, alone or in an array. What is sound in a broken one is still used."""
        try:
            return self._take(decode_message(item))
        except UNREADABLE as error:
            why = text_of(error)
        try:
            loose = decode_loose(item)
        except UNREADABLE:
            return [Bad(why, lost=b"{" in bytes(item))]
        kind = loose.event_type
        if kind in {"", "price_change"} and loose.price_changes is not None:
            return self._price_change(loose.price_changes, millis_ns(loose.timestamp) // 1_000_000)
        if kind == "" and (len(loose.bids) or len(loose.asks)):
            return self._untagged_book(item, why)
        if kind in {"book", "price_change", "tick_size_change"}:
            return [self._lost(item, why)]
        if kind in {"", "market_resolved"}:
            return [Bad(why if kind else "a message without a type")]
        return [Ignored(text_of(kind))]

    def _take(self, message: Message) -> list[Event]:
        """Events of one sound message."""
        if type(message) is BookMessage:
            return self._book(message)
        if type(message) is TickSizeChange:
            return self._tick_size_change(message)
        if type(message) is MarketResolved:
            ours = [asset for asset in message.assets_ids[:_RESOLVED_MAX] if self._uses(asset)]
            over = [Status(asset, tradable=False, word="resolved") for asset in ours]
            return [*over, *map(Settled, ours)] or [Ignored("market_resolved")]
        return [Ignored(str(message.__struct_config__.tag))]

    def _price_change(self, entries: list[msgspec.Raw], time_ms: int) -> list[Event]:
        """A `price_change` entry by entry: the books of tokens with one that cannot be read are unknown."""
        sound: list[LevelChange] = []
        lost: list[Bad | Ignored] = []
        for entry in entries:
            try:
                change = decode_level_change(entry)
                self._changes([change], time_ms)
            except UNREADABLE as error:
                lost.append(self._lost(entry, text_of(error)))
            else:
                sound.append(change)
        voided = {market for fault in lost if isinstance(fault, Bad) for market in fault.markets}
        usable = [change for change in sound if change.asset_id not in voided]
        return [*(self._changes(usable, time_ms) if usable or not lost else ()), *lost]

    def _uses(self, asset: str) -> bool:
        """Whether `asset` is subscribed; without any subscription, as on a tape, every one is."""
        return self._wanted is None or asset in self._wanted

    def _book(self, message: BookMessage) -> list[Event]:
        asset = message.asset_id
        if not self._uses(asset):
            return [Ignored("book")]
        reader = self._follow(asset)
        ns = millis_ns(message.timestamp)
        digest = message.hash if isinstance(message.hash, str) else ""
        batch = f"{ns // 1_000_000}{digest}"[:_BATCH_MAX] if ns else ""
        try:
            if message.bids is None and message.asks is None:
                raise ValueError("a book without bids and asks")
            bids, asks = _levels(message.bids or [], reader), _levels(message.asks or [], reader)
        except ValueError as error:
            return [Bad(text_of(error), lost=True, markets=(asset,))]
        return [Snapshot(asset, bids, asks, ns, batch=batch), *self._terms(asset, message)]

    def _terms(self, asset: str, message: BookMessage) -> list[Event]:
        """Grid and smallest order, where a `book` states others than the last one did."""
        sent = (message.tick_size, message.min_order_size)
        if self._stated.get(asset, (None, None)) == sent:
            return []
        if len(self._stated) >= MARKETS_MAX:
            self._stated.clear()
        self._stated[asset] = sent
        return [self._listed(asset, *sent)]

    def _listed(self, asset: str, tick_size: Any, min_order_size: Any = None) -> Listed | Bad:
        """Metadata as texts say it; what is no text says nothing."""
        scale = self._readers.scale_of(asset)
        try:
            grid = _units(tick_size, scale.price_decimals)
            smallest = _units(min_order_size, scale.size_decimals)
        except ValueError as error:
            return Bad(text_of(error))
        return Listed(Market(self.venue, asset, scale, grid_ticks=grid, min_units=smallest))

    def _tick_size_change(self, message: TickSizeChange) -> list[Event]:
        """The book is void until the next `book`; the grid is told on."""
        asset = message.asset_id
        if not self._uses(asset):
            return [Ignored("tick_size_change")]
        void = Gap((asset,), "tick size change", counted=False)
        listed = self._listed(asset, message.new_tick_size)
        if isinstance(listed, Bad):
            return [void, Bad(listed.why, lost=True, markets=(asset,))]
        if asset in self._stated:
            self._stated[asset] = (message.new_tick_size, self._stated[asset][1])
        return [void, listed]

    def _untagged_book(self, item: bytes | msgspec.Raw, why: str) -> list[Event]:
        """A book without `event_type`, as older frames and the REST answers have it."""
        try:
            return self._book(decode_book(item))
        except UNREADABLE:
            return [self._lost(item, why)]

    def _lost(self, item: bytes | msgspec.Raw, why: str) -> Bad | Ignored:
        """The loss of a message or entry: of its token, or when that cannot be read, of all."""
        try:
            asset = decode_asset(item).asset_id
        except UNREADABLE:
            return Bad(why, lost=True)
        if not self._uses(asset):
            return Ignored("not subscribed")
        return Bad(why, lost=True, markets=(asset,))


def _levels(sent: list[BookLevel], reader: Reader) -> list[Level]:
    prices, sizes = reader.prices, reader.sizes
    levels = [(prices[each.price], sizes[each.size]) for each in sent]
    if len(dict(levels)) != len(levels):
        raise ValueError("a price appears twice in one book")
    return [level for level in levels if level[1]]


def _units(text: Any, decimals: int) -> int:
    """Units of a step or size that is stated as text and above 0; 0 where it is not stated."""
    if not isinstance(text, str) or not text:
        return 0
    units = to_units(text, decimals)
    if units <= 0:
        raise ValueError(f"{text[:40]!r} is not above 0")
    return units


def _subscribe_frame(assets: list[str]) -> str:
    frame = {"operation": "subscribe", "assets_ids": assets, "custom_feature_enabled": True}
    return msgspec.json.encode(frame).decode()


def _unsubscribe_frame(assets: list[str]) -> str:
    return msgspec.json.encode({"operation": "unsubscribe", "assets_ids": assets}).decode()


def make(scales: Mapping[str, Scale]) -> PolymarketCodec:
    """A codec for a new connection; without a scale a token gets Polymarket's default, 6 and 6."""
    return PolymarketCodec(scales)
