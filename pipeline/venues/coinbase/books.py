"""Coinbase Advanced Trade's market-data socket: its frames in, book events out.

In: text frames of one connection. Out: events (pipeline/venues/codec.py) and the frames to send.
Run by the Coinbase feed, `run.py books` and the replay. Source: Coinbase's WebSocket documentation
and AsyncAPI of 2026.

`sequence_num` counts every frame of the connection, whatever its channel. One that is missing may
have been about any market, so all books of the connection are unknown until their next snapshot.
One that is not newer than the last is dropped. Books are whole: a BTC-USD snapshot has some 46,000
levels in 5 MB. We subscribe to `level2` (its frames are called `l2_data`) and to `heartbeats`,
which keep a quiet connection open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from pipeline.model import DEFAULT_SCALES, Level, Scale, to_units
from pipeline.venues.codec import (
    Bad,
    Change,
    Event,
    Gap,
    Ignored,
    Snapshot,
    Subscribed,
)
from pipeline.venues.parsing import UNREADABLE, MarketName, iso_ns, text_of

VENUE = "coinbase"
BOOKS = "l2_data"

# More level2 products on one socket are refused: 16 were accepted and 32 not (January 2026).
PRODUCTS_PER_CONNECTION = 16

Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Update(msgspec.Struct, gc=False):
    """One level. `event_time` is not read: in snapshots it means nothing."""

    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: str


class BookEvent(msgspec.Struct, gc=False):
    """One event of a frame; those of other channels fit into it too, with no updates."""

    type: str = ""
    product_id: Annotated[str, msgspec.Meta(max_length=128)] = ""
    updates: list[Update] = []
    subscriptions: dict[str, list[str]] = {}


class Frame(msgspec.Struct, gc=False):
    """A data frame. `sequence_num` is -1 where it is missing, as in error frames."""

    channel: str = ""
    sequence_num: Number | Literal[-1] = -1
    timestamp: str = ""
    events: list[BookEvent] = []
    type: str = ""
    message: str = ""


class Envelope(msgspec.Struct, gc=False):
    """What must be known of a frame that does not fit."""

    channel: str = ""
    sequence_num: Number | Literal[-1] = -1
    events: msgspec.Raw = msgspec.Raw(b"[]")


class Product(msgspec.Struct, gc=False):
    """The name in an event whose other fields cannot be read."""

    product_id: MarketName


_decode_frame = msgspec.json.Decoder(Frame).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_products = msgspec.json.Decoder(list[Product]).decode


class CoinbaseCodec:
    """One Coinbase connection. Markets are product ids such as BTC-USD.

    A `-USDC` product shares the book of the `-USD` one, and the venue answers with the latter's
    name; it is given the name that was asked for. Where both are asked for, `-USD` gets the book
    and the alias stays empty: to trade one against the other would be an artefact.
    """

    venue = VENUE

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        """`scales` by product id; a product without one gets 8 and 8 decimals."""
        self.last_sequence = 0
        self.unanswered = 0
        self._scales = scales
        self._started = False
        self._wanted: dict[str, None] | None = None
        self._aliases: dict[str, str] = {}
        self._heartbeats_asked = False

    # What we send

    def subscribe(self, markets: Iterable[str]) -> list[str]:
        """Heartbeats, once, and level2; one channel a message. At most 16 products a connection."""
        products = list(dict.fromkeys(markets))
        if not products:
            return []
        self._want({**(self._wanted or {}), **dict.fromkeys(products)})
        frames = [_request("subscribe", "level2", products)]
        if not self._heartbeats_asked:
            self._heartbeats_asked = True
            frames.append(_request("subscribe", "heartbeats", []))
        return frames

    def unsubscribe(self, markets: Iterable[str]) -> list[str]:
        """One message; frames that are still under way are ignored."""
        products = list(dict.fromkeys(markets))
        if not products:
            return []
        self._want({name: None for name in self._wanted or {} if name not in products})
        return [_request("unsubscribe", "level2", products)]

    def resync(self, markets: Iterable[str]) -> list[str]:
        """Unsubscribe and subscribe again: the answer to that is a fresh snapshot."""
        products = list(dict.fromkeys(markets))
        if not products:
            return []
        return [_request("unsubscribe", "level2", products), *self.subscribe(products)]

    def ping(self) -> str | None:
        """None: heartbeats come every second by themselves."""
        return None

    def _want(self, products: dict[str, None]) -> None:
        self._wanted = products
        canonical = {name: name.removesuffix("C") for name in products if name.endswith("-USDC")}
        self._aliases = {usd: usdc for usdc, usd in canonical.items() if usd not in products}

    # What they send

    def decode(self, frame: bytes) -> list[Event]:
        """Events of one frame. Never raises."""
        try:
            message = _decode_frame(frame)
        except UNREADABLE as error:
            return self._decode_odd(frame, error)
        if message.type == "error":
            return [Subscribed((), ok=False, why=text_of(message.message or "error"))]
        events: list[Event] = []
        if not self._in_order(message.channel, message.sequence_num, events):
            return events
        if message.channel == BOOKS:
            if not message.events:
                events.append(Bad("a book frame without events", lost=True))
            venue_ns = iso_ns(message.timestamp)
            events += [self._book(event, venue_ns) for event in message.events]
        elif message.channel == "subscriptions":
            events.append(self._subscribed(message.events))
        else:
            events.append(Ignored(text_of(message.channel)))
        return events

    def _in_order(self, channel: str, number: int, events: list[Event]) -> bool:
        """Check a frame's number; False when the frame must not be used."""
        if number < 0 or not channel:
            events.append(Bad("a frame without channel or sequence_num", lost=channel == BOOKS))
            return False
        last = self.last_sequence
        if not self._started or number == last + 1:
            self._started = True
        elif number > last:
            events.append(Gap((), f"sequence jumped from {last} to {number}"))
        else:
            events.append(Ignored("duplicate", duplicate=True))
            return False
        self.last_sequence = number
        return True

    def _decode_odd(self, frame: bytes, error: BaseException) -> list[Event]:
        """A frame that does not fit: its number still counts, and its book changes are lost."""
        try:
            envelope = _decode_envelope(frame)
        except UNREADABLE:
            # Only something with an object in it can have been a book change.
            return [Bad(text_of(error), lost=b"{" in frame)]
        events: list[Event] = []
        if not self._in_order(envelope.channel, envelope.sequence_num, events):
            return events
        if envelope.channel != BOOKS:
            fault = envelope.channel == "subscriptions"
            events.append(Bad(text_of(error)) if fault else Ignored(text_of(envelope.channel)))
            return events
        try:
            products = _decode_products(envelope.events)
        except UNREADABLE:
            products = []
        names = tuple(dict.fromkeys(self._name(product.product_id) for product in products))
        events.append(Bad(text_of(error), lost=True, markets=names))
        return events

    def _name(self, product: str) -> str:
        """Our name of a product: the alias that was asked for, else the venue's own."""
        return self._aliases.get(product, product)

    def _book(self, event: BookEvent, venue_ns: int) -> Event:
        market = self._name(event.product_id)
        if self._wanted is not None and market not in self._wanted:
            return Ignored("market not subscribed")
        if not market or event.type not in {"snapshot", "update"}:
            names = (market,) if market else ()
            return Bad(f"a book event of type {event.type[:20]!r}", lost=True, markets=names)
        try:
            bids, asks = _levels(event.updates, self._scales.get(market, DEFAULT_SCALES[VENUE]))
        except ValueError as error:
            return Bad(text_of(error), lost=True, markets=(market,))
        if event.type == "snapshot":
            return Snapshot(market, bids, asks, venue_ns)
        return Change(market, bids, asks, venue_ns)

    def _subscribed(self, events: list[BookEvent]) -> Event:
        """Every answer lists all that is subscribed to now; there is no request id."""
        products = [name for event in events for name in event.subscriptions.get("level2", [])]
        if not products:
            return Ignored("subscriptions")
        return Subscribed(tuple(dict.fromkeys(map(self._name, products))), ok=True)


def _levels(updates: list[Update], scale: Scale) -> tuple[list[Level], list[Level]]:
    """Bids and asks in the order sent. ValueError for a price or size that cannot be."""
    price_decimals, size_decimals = scale.price_decimals, scale.size_decimals
    bids: list[Level] = []
    asks: list[Level] = []
    for update in updates:
        ticks = to_units(update.price_level, price_decimals)
        units = to_units(update.new_quantity, size_decimals)
        if ticks <= 0 or units < 0:
            raise ValueError(f"no level can be {units} units at {ticks} ticks")
        (bids if update.side == "bid" else asks).append((ticks, units))
    return bids, asks


def _request(kind: str, channel: str, products: list[str]) -> str:
    request: dict[str, object] = {"type": kind, "channel": channel}
    if products:
        request["product_ids"] = products
    return msgspec.json.encode(request).decode()


def make(scales: Mapping[str, Scale]) -> CoinbaseCodec:
    """A codec for a new connection; without a scale a product gets Coinbase's default, 8 and 8."""
    return CoinbaseCodec(scales)
