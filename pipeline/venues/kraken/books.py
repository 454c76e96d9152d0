"""Kraken's market-data socket (WebSocket v2): its frames in, book events out.

In: text frames of one connection. Out: events (pipeline/venues/codec.py) and the frames to send.
Run by the Kraken feed, `run.py books` and the replay. Source: Kraken's v2 documentation, 2026.

There is no sequence number. Every snapshot and update carries a CRC32 of the ten best levels of
each side instead, which the book checks after it has cut itself to the subscribed depth; one without
is refused. Messages that were swapped can keep every sum right, so the times of a pair may not go back.
The depth is that of the acknowledgement; else what we subscribed with; else, on a tape that holds
neither, the smallest depth Kraken offers that holds the snapshot.

The checksum is over digits, so it can only be judged on the pair's own scale, which the instrument
channel tells (pairs.py): books that are here sooner are kept until it has answered. A pair whose scale
turns out to be another than it was taken for is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pipeline.model import Level, Scale
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
from pipeline.venues.kraken.commands import Commands, unique
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
)
from pipeline.venues.kraken.pairs import Pairs
from pipeline.venues.memo import moment_ns
from pipeline.venues.parsing import MARKETS_MAX, UNREADABLE, text_of

DEPTHS = (10, 25, 100, 500, 1000)
# The checksum covers ten levels a side: at this depth it proves all of the book that we show.
DEFAULT_DEPTH = 10

# Messages of all pairs that are kept until the instrument channel answers; more, and we wait no longer.
KEPT_MAX = 2_000

# Refusals of a subscription name no other method than these, or none at all.
_SUBSCRIBING = frozenset({"subscribe", "error", ""})


class KrakenCodec:
    """One Kraken connection. Markets are v2 symbols such as BTC/USD."""

    venue = VENUE

    def __init__(self, scales: Mapping[str, Scale], depth: int = DEFAULT_DEPTH) -> None:
        """`scales` are those known so far, by symbol; `depth` is one of DEPTHS."""
        assert depth in DEPTHS, f"Kraken has no book of depth {depth}"
        self.last_sequence = 0
        self.unanswered = 0
        self._depth = depth
        self._commands = Commands(depth)
        self._wanted: dict[str, None] | None = None
        self._depths: dict[str, int] = {}
        # Snapshots cut to a guessed depth, kept until the first change in case the answer follows.
        self._unsure: dict[str, Snapshot] = {}
        self._pairs = Pairs(scales)
        self._readings = self._pairs.readings
        # Whether the instrument channel was asked for, and whether books wait for its answer.
        self._instruments_asked = self._awaiting = False
        self._kept: dict[str, list[tuple[str, WireBook]]] = {}
        self._kept_count = 0

    # What we send

    def subscribe(self, markets: Iterable[str]) -> list[str]:
        """The instrument channel, once and first (it tells the scales), then the books in chunks."""
        symbols = unique(markets)
        if not symbols:
            return []
        self._wanted = {**(self._wanted or {}), **dict.fromkeys(symbols)}
        frames = []
        if not self._instruments_asked:
            self._instruments_asked = self._awaiting = True
            frames.append(self._commands.instruments())
        return [*frames, *self._commands.subscribe(symbols)]

    def unsubscribe(self, markets: Iterable[str]) -> list[str]:
        """Leave books, in chunks; messages that are still under way are ignored."""
        symbols = unique(markets)
        for symbol in symbols:
            if self._wanted is not None:
                self._wanted.pop(symbol, None)
            self._commands.answered(symbol)
            self._pairs.close(symbol)
            self._kept.pop(symbol, None)
            self._depths.pop(symbol, None)
        return self._commands.unsubscribe(symbols)

    def resync(self, markets: Iterable[str]) -> list[str]:
        """Unsubscribe and subscribe again: the answer to that is a fresh snapshot.

        A book that is asked for again has waited long enough for the instrument channel.
        """
        symbols = unique(markets)
        if not symbols:
            return []
        frames = [*self._commands.unsubscribe(symbols), *self.subscribe(symbols)]
        self._awaiting = False
        return frames

    def ping(self) -> str | None:
        """An application ping; its pong proves that the far side still reads."""
        self.unanswered += 1
        return self._commands.ping()

    # What they send: books

    def decode(self, frame: bytes) -> list[Event]:
        """Events of one frame. Never raises."""
        try:
            message = decode_book_frame(frame)
        except UNREADABLE as error:
            return self._decode_other(frame, error)
        if message.channel == "book":
            if len(message.data) == 1:
                return self._book(message.type, message.data[0])
            events: list[Event] = []
            for book in message.data:
                events += self._book(message.type, book)
            return events or [Bad("a book frame without data", lost=True)]
        if message.channel == "heartbeat":
            return [Ignored("heartbeat")]
        return self._decode_other(frame, None)

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
        """Events of one book message. The first lines are the way of nearly all of them."""
        reading = self._readings.get(book.symbol)
        try:
            if kind == "update" and reading is not None:
                ticks, units, venue_ns = reading.ticks, reading.units, moment_ns(book.timestamp)
                if 0 < venue_ns < reading.venue_ns:
                    reading.went_back(venue_ns)
                    return [Gap((book.symbol,), "a change from before the last one", counted=False)]
                reading.venue_ns = venue_ns
                bids: list[Level] = []
                asks: list[Level] = []
                for level in book.bids:  # one or two as a rule: a comprehension would cost more
                    bids.append((ticks[bytes(level.price)], units[bytes(level.qty)]))  # noqa: PERF401
                for level in book.asks:
                    asks.append((ticks[bytes(level.price)], units[bytes(level.qty)]))  # noqa: PERF401
                change = Change(book.symbol, bids, asks, venue_ns, book.checksum)
                return self._mended(change) if self._unsure else [change]
            if kind == "update":
                return self._first_update(book)
            if kind == "snapshot":
                return self._first_snapshot(book)
        except ValueError as error:
            return self._unusable(book, error)
        return [Bad(f"a book message of type {kind[:20]!r}", lost=True, markets=(book.symbol,))]

    def _mended(self, change: Change) -> list[Event]:
        """A change, and before it the snapshot again if its depth turned out to be another."""
        unsure = self._unsure.pop(change.market, None)
        depth = self._depths.get(change.market)
        if unsure is None or depth is None or depth == unsure.depth:
            return [change]
        return [msgspec.structs.replace(unsure, checksum=None, depth=depth), change]

    def _first_update(self, book: WireBook) -> list[Event]:
        """A change of a pair whose numbers cannot be read yet."""
        symbol = book.symbol
        if self._wanted is not None and symbol not in self._wanted:
            return [Ignored("market not subscribed")]
        if self._awaiting:
            return self._keep("update", book)
        if symbol in self._kept:
            return [*self._play(symbol), *self._book("update", book)]
        if self._pairs.open(symbol) is None:
            self._pairs.heard(symbol, moment_ns(book.timestamp))
            return [Ignored("a change before the scale is known")]
        return self._book("update", book)

    def _first_snapshot(self, book: WireBook) -> list[Event]:
        """A snapshot: read on the pair's scale, or kept until that is known for sure.

        Its own checksum is as good a proof as the instrument channel: it is over digits of that scale.
        """
        symbol = book.symbol
        if self._wanted is not None and symbol not in self._wanted:
            return [Ignored("market not subscribed")]
        if self._awaiting and not self._pairs.proven_by(book):
            return self._keep("snapshot", book)
        self._kept.pop(symbol, None)
        return self._snapshot(book)

    def _snapshot(self, book: WireBook) -> list[Event]:
        symbol = book.symbol
        events = [*self._pairs.news(symbol), *self._pairs.guess(book)]
        reading = self._pairs.open(symbol)
        if reading is None:
            return [Ignored("an empty book whose scale is unknown")]
        ticks, units = reading.ticks, reading.units
        bids, asks = read_levels(book.bids, ticks, units), read_levels(book.asks, ticks, units)
        depth, venue_ns = self._depth_of(book), moment_ns(book.timestamp)
        if not reading.restart(venue_ns):
            return [*events, Gap((symbol,), "a book from before the last change", counted=False)]
        snapshot = Snapshot(symbol, bids, asks, venue_ns, book.checksum, depth)
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

    def _unusable(self, book: WireBook, error: ValueError) -> list[Event]:
        """A message with a number that cannot be: the book is lost, and a guessed scale may be too narrow."""
        events: list[Event] = [Bad(text_of(error), lost=True, markets=(book.symbol,))]
        try:
            return [*events, *self._pairs.guess(book)]
        except ValueError:
            return events

    # What they send: everything else

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

    def _instruments(self, envelope: Envelope) -> list[Event]:
        """Scale, grids and status of the pairs we asked for, or of all pairs on a tape.

        Those of the others are remembered: one of them may be subscribed to later.
        """
        events: list[Event] = []
        for element in decode_instruments(envelope.data).pairs:
            names = _names(element)
            wanted = self._wanted is None or any(name in self._wanted for name in names)
            try:
                self._pairs.tell(decode_pair(element))
            except UNREADABLE as error:
                if wanted:
                    events.append(Bad(f"instrument: {text_of(error)}", markets=names))
                continue
            if wanted:
                events += self._pairs.news(*names)
        return [*events, *self._play_all()] or [Ignored("instrument")]

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
            return self._refused(envelope, method, text_of(why))
        try:
            result = decode_result(envelope.result)
        except UNREADABLE as error:
            return [Bad(f"{method}: {text_of(error)}")]
        if result is None or result.channel != "book" or method not in {"subscribe", "unsubscribe"}:
            return [Ignored(method)]
        symbol = result.symbol
        if method == "unsubscribe":
            unasked = symbol in (self._wanted or ()) and not self._commands.awaits(symbol)
            return [Gap((symbol,), "unsubscribed", counted=False) if unasked else Ignored(method)]
        self._commands.answered(symbol, envelope.req_id)
        if result.depth in DEPTHS and symbol:
            if len(self._depths) >= MARKETS_MAX:
                self._depths.clear()
            self._depths[symbol] = result.depth
        return [Subscribed((symbol,), ok=True, why=text_of("; ".join(result.warnings or [])))]

    def _refused(self, envelope: Envelope, method: str, why: str) -> list[Event]:
        """A request, or one symbol of it, was refused. What had a book before has lost it now."""
        if method not in _SUBSCRIBING:
            return [Ignored(f"{method}: {why}")]
        if envelope.symbol:
            markets: tuple[str, ...] = (envelope.symbol,)
        elif self._commands.asked_instruments(envelope.req_id):
            return self._without_instruments(why)
        else:
            markets = self._commands.unanswered(envelope.req_id)
        for symbol in markets:
            self._commands.answered(symbol, envelope.req_id)
        if why.startswith("Already subscribed"):
            return [Subscribed(markets, ok=True, why=why)]
        events: list[Event] = [Subscribed(markets, ok=False, why=why)]
        lost = tuple(symbol for symbol in markets if self._depths.pop(symbol, None) is not None)
        return [*events, Gap(lost, why, counted=False)] if lost else events

    def _without_instruments(self, why: str) -> list[Event]:
        """The instrument channel was refused: go on without it, and ask again with the next request."""
        if why.startswith("Already subscribed"):
            return [Ignored(f"instrument: {why}")]
        self._instruments_asked = False
        return [Subscribed((), ok=False, why=f"instrument: {why}"), *self._play_all()]

    # Books that came before their scale

    def _keep(self, kind: str, book: WireBook) -> list[Event]:
        """Keep a message until the instrument channel answers; a change only after its snapshot."""
        if kind == "snapshot":
            self._kept[book.symbol] = []
            self._readings.pop(book.symbol, None)
        elif book.symbol not in self._kept:
            self._pairs.heard(book.symbol, moment_ns(book.timestamp))
            return [Ignored("a change before its snapshot")]
        self._kept[book.symbol].append((kind, book))
        self._kept_count += 1
        return self._play_all() if self._kept_count > KEPT_MAX else [Ignored("kept until its scale is known")]

    def _play_all(self) -> list[Event]:
        """Wait no longer: the events of all that was kept."""
        self._awaiting = False
        self._kept_count = 0
        return [event for symbol in list(self._kept) for event in self._play(symbol)]

    def _play(self, symbol: str) -> list[Event]:
        kept = self._kept.pop(symbol)
        return [event for kind, book in kept for event in self._book(kind, book)]


def _names(element: msgspec.Raw) -> tuple[str, ...]:
    """The symbol in a raw element, if that at least can be read."""
    try:
        return (decode_named(element).symbol,)
    except UNREADABLE:
        return ()


def make(scales: Mapping[str, Scale]) -> KrakenCodec:
    """A codec for a new connection, with books of the default depth."""
    return KrakenCodec(scales)
