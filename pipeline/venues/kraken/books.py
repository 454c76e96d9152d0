"""Kraken's market-data socket (WebSocket v2): its frames in, book events out.

In: text frames of one connection. Out: events (pipeline/venues/codec.py) and the frames to send.
Run by the Kraken feed, `run.py books` and the replay. Source: Kraken's v2 documentation, 2026.

There is no sequence number. Every snapshot and update carries a CRC32 of the ten best levels of
each side instead, which the book checks after it has cut itself to the subscribed depth. The depth
is that of the acknowledgement; else what we subscribed with; else, on a tape that holds neither,
the smallest depth Kraken offers that holds the snapshot. A pair's scale comes from the instrument
channel; else from what the maker was given; else it is that of the snapshot's widest numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pipeline.model import Market, Scale
from pipeline.venues.codec import (
    Bad,
    Change,
    Event,
    Ignored,
    Listed,
    Snapshot,
    Status,
    Subscribed,
)
from pipeline.venues.kraken.frames import (
    VENUE,
    Envelope,
    WireBook,
    decode_book,
    decode_book_frame,
    decode_elements,
    decode_envelope,
    decode_instruments,
    decode_named,
    decode_pair,
    decode_result,
    decode_systems,
    read_levels,
    read_market,
    widest_scale,
)
from pipeline.venues.parsing import MARKETS_MAX, UNREADABLE, iso_ns, text_of

DEPTHS = (10, 25, 100, 500, 1000)
DEFAULT_DEPTH = 25


class KrakenCodec:
    """One Kraken connection. Markets are v2 symbols such as BTC/USD."""

    venue = VENUE

    def __init__(self, scales: Mapping[str, Scale], depth: int = DEFAULT_DEPTH) -> None:
        """`scales` are those known so far, by symbol; `depth` is one of DEPTHS."""
        assert depth in DEPTHS, f"Kraken has no book of depth {depth}"
        self.last_sequence = 0
        self.unanswered = 0
        self._depth = depth
        self._scales = dict(scales)
        self._guessed: set[str] = set()
        self._wanted: dict[str, None] | None = None
        self._depths: dict[str, int] = {}
        # Snapshots cut to a guessed depth, kept until the first change in case the answer follows.
        self._unsure: dict[str, Snapshot] = {}
        self._requests = 0
        self._instruments_asked = False

    # What we send

    def subscribe(self, markets: Iterable[str]) -> list[str]:
        """The instrument channel, once and first (it tells the scales), then the books."""
        symbols = list(dict.fromkeys(markets))
        if not symbols:
            return []
        self._wanted = {**(self._wanted or {}), **dict.fromkeys(symbols)}
        frames = []
        if not self._instruments_asked:
            self._instruments_asked = True
            frames.append(self._request("subscribe", {"channel": "instrument", "snapshot": True}))
        return [*frames, self._books("subscribe", symbols)]

    def unsubscribe(self, markets: Iterable[str]) -> list[str]:
        """One request; messages that are still under way are ignored."""
        symbols = list(dict.fromkeys(markets))
        for symbol in symbols:
            if self._wanted is not None:
                self._wanted.pop(symbol, None)
        return [self._books("unsubscribe", symbols)] if symbols else []

    def resync(self, markets: Iterable[str]) -> list[str]:
        """Unsubscribe and subscribe again: the answer to that is a fresh snapshot."""
        symbols = list(dict.fromkeys(markets))
        if not symbols:
            return []
        return [self._books("unsubscribe", symbols), *self.subscribe(symbols)]

    def ping(self) -> str | None:
        """An application ping; its pong proves that the far side still reads."""
        self.unanswered += 1
        self._requests += 1
        return _text({"method": "ping", "req_id": self._requests})

    def _books(self, method: str, symbols: list[str]) -> str:
        # The depth must be repeated to unsubscribe.
        params: dict[str, object] = {"channel": "book", "symbol": symbols, "depth": self._depth}
        if method == "subscribe":
            params["snapshot"] = True
        return self._request(method, params)

    def _request(self, method: str, params: dict[str, object]) -> str:
        self._requests += 1
        return _text({"method": method, "params": params, "req_id": self._requests})

    # What they send

    def decode(self, frame: bytes) -> list[Event]:
        """Events of one frame. Never raises."""
        try:
            message = decode_book_frame(frame)
        except UNREADABLE as error:
            return self._decode_other(frame, error)
        if message.channel == "book":
            if not message.data:
                return [Bad("a book frame without data", lost=True)]
            events: list[Event] = []
            for book in message.data:
                events += self._book(message.type, book)
            return events
        if message.channel == "heartbeat":
            return [Ignored("heartbeat")]
        return self._decode_other(frame, None)

    def _decode_other(self, frame: bytes, error: BaseException | None) -> list[Event]:
        """Events of a frame that is no sound book message."""
        try:
            envelope = decode_envelope(frame)
        except UNREADABLE as fault:
            # Only something with an object in it can have been a book change.
            return [Bad(text_of(fault), lost=b"{" in frame)]
        try:
            if envelope.channel == "book":
                return self._pieces(envelope, error)
            if envelope.channel == "instrument":
                return self._instruments(envelope)
            if envelope.channel == "status":
                words = [element.system for element in decode_systems(envelope.data)]
                return [Status("", word == "online", text_of(word)) for word in words]
        except UNREADABLE as fault:
            where = text_of(envelope.channel)
            return [Bad(f"{where}: {text_of(fault)}", lost=where == "book")]
        if envelope.channel:
            return [Ignored(text_of(envelope.channel))]
        return self._answer(envelope)

    def _pieces(self, envelope: Envelope, error: BaseException | None) -> list[Event]:
        """A book frame with something wrong in it: what can be read is used, the rest is lost."""
        events: list[Event] = []
        for element in decode_elements(envelope.data):
            try:
                events += self._book(envelope.type, decode_book(element))
            except UNREADABLE as fault:
                events.append(Bad(text_of(fault), lost=True, markets=_names(element)))
        return events or [Bad(text_of(error or "a book frame without data"), lost=True)]

    def _book(self, kind: str, book: WireBook) -> list[Event]:
        symbol = book.symbol
        if not symbol or kind not in {"snapshot", "update"}:
            names = (symbol,) if symbol else ()
            return [Bad(f"a book message of type {kind[:20]!r}", lost=True, markets=names)]
        if self._wanted is not None and symbol not in self._wanted:
            return [Ignored("market not subscribed")]
        try:
            return self._snapshot(book) if kind == "snapshot" else self._update(book)
        except ValueError as error:
            return [Bad(text_of(error), lost=True, markets=(symbol,))]

    def _snapshot(self, book: WireBook) -> list[Event]:
        symbol = book.symbol
        events: list[Event] = []
        scale = self._scales.get(symbol)
        if scale is None or symbol in self._guessed:
            if not book.bids and not book.asks:
                return [Ignored("an empty book whose scale is unknown")]
            wider = widest_scale(book, scale)
            if wider != scale:
                if len(self._guessed) >= MARKETS_MAX:
                    raise ValueError("more pairs than Kraken has")
                self._scales[symbol] = scale = wider
                self._guessed.add(symbol)
                events.append(Listed(Market(VENUE, symbol, scale)))
        assert scale is not None, "guessed above where it was unknown"
        snapshot = Snapshot(
            symbol,
            read_levels(book.bids, scale),
            read_levels(book.asks, scale),
            iso_ns(book.timestamp),
            book.checksum,
            self._depth_of(book),
        )
        if symbol not in self._depths and self._wanted is None:
            if len(self._unsure) >= MARKETS_MAX:
                self._unsure.clear()
            self._unsure[symbol] = snapshot
        return [*events, snapshot]

    def _depth_of(self, book: WireBook) -> int:
        """The depth that the venue keeps this book to, as well as it is known."""
        depth = self._depths.get(book.symbol)
        if depth is None and self._wanted is not None:
            return self._depth
        longer = max(len(book.bids), len(book.asks))
        return depth or next((fits for fits in DEPTHS if fits >= longer), DEPTHS[-1])

    def _update(self, book: WireBook) -> list[Event]:
        symbol = book.symbol
        scale = self._scales.get(symbol)
        if scale is None:
            return [Ignored("a change before the scale is known")]
        try:
            change = Change(
                symbol,
                read_levels(book.bids, scale),
                read_levels(book.asks, scale),
                iso_ns(book.timestamp),
                book.checksum,
            )
        except ValueError:
            if symbol in self._guessed:
                # Wider than the guess: the next snapshot will take the wider scale.
                self._scales[symbol] = widest_scale(book, scale)
            raise
        unsure = self._unsure.pop(symbol, None)
        depth = self._depths.get(symbol)
        if unsure is None or depth is None or depth == unsure.depth:
            return [change]
        # The answer came after the snapshot and named another depth: begin again with that.
        return [msgspec.structs.replace(unsure, checksum=None, depth=depth), change]

    def _instruments(self, envelope: Envelope) -> list[Event]:
        """Scale, grids and status of the pairs we asked for; of all pairs on a tape."""
        events: list[Event] = []
        for element in decode_instruments(envelope.data).pairs:
            names = _names(element)
            if self._wanted is not None and not any(name in self._wanted for name in names):
                continue
            try:
                pair = decode_pair(element)
                market = read_market(pair)
            except UNREADABLE as error:
                events.append(Bad(f"instrument: {text_of(error)}", markets=names))
                continue
            assert market.scale is not None, "read_market always sets it"
            if market.market not in self._scales and len(self._scales) >= MARKETS_MAX:
                events.append(Bad("more pairs than Kraken has"))
                break
            self._scales[market.market] = market.scale
            self._guessed.discard(market.market)
            events.append(Listed(market))
            events.append(Status(market.market, pair.status == "online", text_of(pair.status)))
        return events or [Ignored("instrument")]

    def _answer(self, envelope: Envelope) -> list[Event]:
        """An answer to a request of ours, or a complaint about one."""
        method = text_of(envelope.method)
        why = envelope.error or envelope.rate_error
        if why is None and envelope.success is False:
            why = "refused"
        if not method and not why:
            return [Bad("a message without channel and method")]
        self.unanswered = 0
        if why is not None:
            if method == "unsubscribe":
                return [Ignored(f"unsubscribe: {text_of(why)}")]
            markets = (envelope.symbol,) if envelope.symbol else ()
            return [Subscribed(markets, ok=False, why=text_of(why))]
        try:
            result = decode_result(envelope.result)
        except UNREADABLE as error:
            return [Bad(f"{method}: {text_of(error)}")]
        if method != "subscribe" or result is None or result.channel != "book":
            return [Ignored(method)]
        if result.depth in DEPTHS and result.symbol:
            if len(self._depths) >= MARKETS_MAX:
                self._depths.clear()
            self._depths[result.symbol] = result.depth
        why = text_of("; ".join(result.warnings or []))
        return [Subscribed((result.symbol,), ok=True, why=why)]


def _names(element: msgspec.Raw) -> tuple[str, ...]:
    """The symbol in a raw element, if that at least can be read."""
    try:
        return (decode_named(element).symbol,)
    except UNREADABLE:
        return ()


def _text(request: dict[str, object]) -> str:
    return msgspec.json.encode(request).decode()


def make(scales: Mapping[str, Scale]) -> KrakenCodec:
    """A codec for a new connection, with books of the default depth."""
    return KrakenCodec(scales)
