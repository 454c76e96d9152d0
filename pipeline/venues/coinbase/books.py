"""Coinbase Advanced Trade's market-data socket: its frames in, book events out.

In: text frames of one connection. Out: events (pipeline/venues/codec.py) and the frames to send.
Run by the Coinbase feed, `run.py books` and the replay. Source: Coinbase's WebSocket documentation
and AsyncAPI of 2026.

`sequence_num` counts every frame of the connection, whatever its channel. One that is missing may
have been about any market, so all books of the connection are unknown until their next snapshot.
One that comes again is dropped: it has the last number, or an earlier time than that frame. Another
with a lower number says that the count fell, which is a gap as well. The heartbeats' own counter tells
nothing more. Books are whole: a BTC-USD snapshot has some 46,000 levels in 5 MB. We subscribe to
`level2` (its frames are called `l2_data`), to `heartbeats`, which keep a quiet connection open, and to
`status`, which tells when a product may not be traded; where that is refused, REST tells it later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from pipeline.model import DEFAULT_SCALES, Level, Scale
from pipeline.venues.codec import (
    Bad,
    Change,
    Event,
    Gap,
    Ignored,
    Snapshot,
    Status,
    Subscribed,
)
from pipeline.venues.coinbase.frames import (
    BOOKS,
    ONLINE,
    VENUE,
    BookEvent,
    Envelope,
    Frame,
    Update,
    decode_complaint,
    decode_envelope,
    decode_event,
    decode_events,
    decode_frame,
    decode_named,
    read_statuses,
    read_subscriptions,
    trading_word,
)
from pipeline.venues.memo import Amounts, Moment, moment_ns, read_digits
from pipeline.venues.parsing import MARKETS_MAX, UNREADABLE, text_of

# How the venue says that a connection carries no more books.
FULL_WORDS = "too many l2 streams"

Readers = tuple[str, Amounts[str], Amounts[str]]


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
        self._started = False
        self._moment: Moment | None = None
        self._scales = scales
        self._wanted: dict[str, None] | None = None
        self._aliases: dict[str, str] = {}
        # Books asked for and not answered for yet; books that we had on this connection.
        self._open: dict[str, None] = {}
        self._had: set[str] = set()
        self._heartbeats_asked = self._status_open = self._status_refused = False
        # What reads prices and sizes: by the number of decimals, and by the venue's name of a product.
        self._prices: dict[int, Amounts[str]] = {}
        self._sizes: dict[int, Amounts[str]] = {}
        self._readers: dict[str, Readers] = {}

    # What we send

    def subscribe(self, markets: Iterable[str]) -> list[str]:
        """level2, heartbeats (once) and status; one channel a message. At most 16 products a connection."""
        products = list(dict.fromkeys(markets))
        if not products:
            return []
        self._want({**(self._wanted or {}), **dict.fromkeys(products)})
        frames = self._ask(products)
        if not self._heartbeats_asked:
            self._heartbeats_asked = True
            frames.append(_request("subscribe", "heartbeats", []))
        if not self._status_refused:
            # Last, so that a complaint about it is not taken for one about the books.
            self._status_open = True
            frames.append(_request("subscribe", "status", products))
        return frames

    def unsubscribe(self, markets: Iterable[str]) -> list[str]:
        """One message; frames that are still under way are ignored."""
        products = list(dict.fromkeys(markets))
        if not products:
            return []
        self._want({name: None for name in self._wanted or {} if name not in products})
        for product in products:
            self._open.pop(product, None)
            self._had.discard(product)
        return [_request("unsubscribe", "level2", products)]

    def resync(self, markets: Iterable[str]) -> list[str]:
        """Unsubscribe and subscribe again: the answer to that is a fresh snapshot."""
        products = list(dict.fromkeys(markets))
        if not products:
            return []
        self._want({**(self._wanted or {}), **dict.fromkeys(products)})
        return [_request("unsubscribe", "level2", products), *self._ask(products)]

    def ping(self) -> str | None:
        """None: heartbeats come every second by themselves."""
        return None

    def _ask(self, products: list[str]) -> list[str]:
        self._open.update(dict.fromkeys(products))
        return [_request("subscribe", "level2", products)]

    def _want(self, products: dict[str, None]) -> None:
        self._wanted = products
        self._readers.clear()
        canonical = {name: name.removesuffix("C") for name in products if name.endswith("-USDC")}
        self._aliases = {usd: usdc for usdc, usd in canonical.items() if usd not in products}

    # What they send

    def decode(self, frame: bytes) -> list[Event]:
        """Events of one frame. Never raises."""
        try:
            message = decode_frame(frame)
        except UNREADABLE as error:
            return self._decode_odd(frame, error)
        number = message.sequence_num
        if number == self.last_sequence + 1 and message.channel == BOOKS:
            # The way of nearly all frames.
            self._started = True
            self.last_sequence, self._moment = number, message.timestamp
            return self._books(message)
        if message.type == "error":
            return self._complaint(frame)
        events: list[Event] = []
        if self._in_order(message.channel, number, message.timestamp, events):
            is_book = message.channel == BOOKS
            events += self._books(message) if is_book else self._other(message.channel, frame)
        return events

    def _in_order(self, channel: str, number: int, moment: Moment | None, events: list[Event]) -> bool:
        """Check a frame's number; False when the frame must not be used."""
        if number < 0 or not channel:
            events.append(Bad("a frame without channel or sequence_num", lost=channel == BOOKS))
            return False
        last, started = self.last_sequence, self._started
        if started and number <= last and self._is_old(number, moment):
            events.append(Ignored("duplicate", duplicate=True))
            return False
        if started and number != last + 1:
            events.append(Gap((), f"sequence went from {last} to {number}"))
        self._started = True
        self.last_sequence, self._moment = number, moment
        # Of what comes after a fall nobody knows how old it is: only the number is taken.
        return not started or number > last

    def _is_old(self, number: int, moment: Moment | None) -> bool:
        """Whether a frame whose number is not new has come before; else the venue's count fell."""
        if moment is None or self._moment is None or moment == self._moment:
            return number == self.last_sequence
        return moment < self._moment

    # Books

    def _books(self, message: Frame) -> list[Event]:
        """Events of a book frame, in the order sent."""
        moment = message.timestamp
        if len(message.events) == 1:
            return [self._book(message.events[0], moment)]
        if not message.events:
            return [Bad("a book frame without events", lost=True)]
        return [self._book(event, moment) for event in message.events]

    def _book(self, event: BookEvent, moment: datetime | None) -> Event:
        readers = self._readers.get(event.product_id) or self._open_readers(event.product_id)
        if readers is None:
            return Ignored("market not subscribed")
        if not event.product_id:
            return Bad("a book event without a product", lost=True)
        market, ticks, units = readers
        updates = event.updates
        if updates is None or event.type not in {"snapshot", "update"}:
            why = f"a book event of type {event.type[:20]!r}, or one without levels"
            return Bad(why, lost=True, markets=(market,))
        try:
            if event.type == "snapshot":
                return self._snapshot(market, updates, moment_ns(moment))
            bids: list[Level] = []
            asks: list[Level] = []
            for update in updates:
                side = bids if update.side == "bid" else asks
                side.append((ticks[update.price_level], units[update.new_quantity]))
        except ValueError as error:
            return Bad(text_of(error), lost=True, markets=(market,))
        return Change(market, bids, asks, moment=moment)

    def _snapshot(self, market: str, updates: list[Update], venue_ns: int) -> Event:
        """A whole book. Its texts are not remembered: most of its levels are never heard of again."""
        scale = self._scale(market)
        price_decimals, size_decimals = scale.price_decimals, scale.size_decimals
        bids: list[Level] = []
        asks: list[Level] = []
        for update in updates:
            ticks = read_digits(update.price_level, ".", price_decimals, least=1)
            units = read_digits(update.new_quantity, ".", size_decimals, least=0)
            (bids if update.side == "bid" else asks).append((ticks, units))
        self._open.pop(market, None)
        if len(self._had) < MARKETS_MAX:
            self._had.add(market)
        return Snapshot(market, bids, asks, venue_ns)

    def _scale(self, market: str) -> Scale:
        return self._scales.get(market, DEFAULT_SCALES[VENUE])

    def _open_readers(self, product: str) -> Readers | None:
        """Our name of a product and the readers of its numbers; None if we did not ask for it."""
        market = self._name(product)
        if self._wanted is not None and market not in self._wanted and product:
            return None
        scale = self._scale(market)
        price_decimals, size_decimals = scale.price_decimals, scale.size_decimals
        ticks = self._prices.setdefault(price_decimals, Amounts(price_decimals, least=1, point="."))
        units = self._sizes.setdefault(size_decimals, Amounts(size_decimals, least=0, point="."))
        if len(self._readers) >= MARKETS_MAX:
            self._readers.clear()
        self._readers[product] = market, ticks, units
        return market, ticks, units

    def _name(self, product: str) -> str:
        """Our name of a product: the alias that was asked for, else the venue's own."""
        return self._aliases.get(product, product)

    # Everything else

    def _other(self, channel: str, frame: bytes) -> list[Event]:
        """Events of a frame of another channel."""
        try:
            if channel == "subscriptions":
                return self._subscribed(read_subscriptions(frame))
            if channel == "status":
                return self._statuses(frame)
        except UNREADABLE as error:
            return [Bad(f"{channel}: {text_of(error)}")]
        if b'"updates"' in frame:
            # Only books have these; whatever happened to the channel's name, a change is lost.
            return [Bad(f"book changes in channel {text_of(channel)}", lost=True)]
        return [Ignored(text_of(channel))]

    def _decode_odd(self, frame: bytes, error: BaseException) -> list[Event]:
        """A frame that does not fit: its number still counts, and what cannot be read of it is lost."""
        try:
            envelope = decode_envelope(frame)
        except UNREADABLE:
            # Only something with an object in it can have been a book change.
            return [Bad(text_of(error), lost=b"{" in frame)]
        if envelope.type == "error":
            return self._complaint(frame)
        events: list[Event] = []
        if self._in_order(envelope.channel, envelope.sequence_num, None, events):
            if envelope.channel == BOOKS:
                events += self._pieces(envelope, error)
            else:
                events += self._other(envelope.channel, frame)
        return events

    def _pieces(self, envelope: Envelope, error: BaseException) -> list[Event]:
        """A book frame with something wrong in it: events that can be read are used, the rest is lost."""
        try:
            elements = decode_events(envelope.events)
        except UNREADABLE:
            elements = []
        events: list[Event] = []
        for element in elements:
            try:
                events.append(self._book(decode_event(element), None))
            except UNREADABLE as fault:
                events.append(Bad(text_of(fault), lost=True, markets=self._names(element)))
        return events or [Bad(text_of(error), lost=True)]

    def _names(self, element: msgspec.Raw) -> tuple[str, ...]:
        """Our name of the product in a raw event, if that at least can be read."""
        try:
            return (self._name(decode_named(element).product_id),)
        except UNREADABLE:
            return ()

    def _subscribed(self, channels: dict[str, list[str]]) -> list[Event]:
        """Every answer lists all that is subscribed to now; there is no request id."""
        if "status" in channels:
            self._status_open = False
        markets = tuple(dict.fromkeys(map(self._name, channels.get("level2", []))))
        for market in markets:
            self._open.pop(market, None)
        return [Subscribed(markets, ok=True) if markets else Ignored("subscriptions")]

    def _statuses(self, frame: bytes) -> list[Event]:
        """Which of our products may be traded, as far as the venue says."""
        self._status_open = False
        events: list[Event] = []
        for product in read_statuses(frame):
            market, word = self._name(product.id), text_of(trading_word(product))
            if market and word and (self._wanted is None or market in self._wanted):
                events.append(Status(market, word == ONLINE, word))
        return events or [Ignored("status")]

    def _complaint(self, frame: bytes) -> list[Event]:
        """An error frame. It names no request, so it is about the books that have no answer yet."""
        try:
            complaint = decode_complaint(frame)
        except UNREADABLE as error:
            return [Bad(f"an error frame: {text_of(error)}")]
        why = text_of(f"{complaint.message} {complaint.reason}".strip())
        full = FULL_WORDS in why.lower()
        if self._status_open and not full and ("status" in why.lower() or not self._open):
            self._status_open, self._status_refused = False, True
            return [Ignored(f"status: {why}")]
        refused = tuple(self._open)
        self._open.clear()
        events: list[Event] = [Subscribed(refused, ok=False, why=why, full=full)]
        lost = tuple(market for market in refused if market in self._had)
        return [*events, Gap(lost, why, counted=False)] if lost else events


def _request(kind: str, channel: str, products: list[str]) -> str:
    request: dict[str, object] = {"type": kind, "channel": channel}
    if products:
        request["product_ids"] = products
    return msgspec.json.encode(request).decode()


def make(scales: Mapping[str, Scale]) -> CoinbaseCodec:
    """A codec for a new connection; without a scale a product gets Coinbase's default, 8 and 8."""
    return CoinbaseCodec(scales)
