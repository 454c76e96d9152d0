"""Kalshi's market-data socket: its frames in, book events in YES terms out.

In: text frames of one connection. Out: events (pipeline/venues/codec.py) and the frames to send. Run
by the Kalshi feed, `run.py books` and the replay. Protocol: Kalshi's AsyncAPI 2.0.0, autumn 2026.

Kalshi publishes bids only, for YES and for NO. A NO bid at q is an offer of YES at 1 - q, so the
book's asks are the NO bids mirrored. Each subscription (`sid`) numbers its messages over all its
markets, so a jump in the number makes every book of that subscription unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from pipeline.model import Level, Market, Scale
from pipeline.venues.codec import (
    Bad,
    Change,
    Event,
    Gap,
    Ignored,
    Listed,
    Settled,
    Snapshot,
    Status,
    Subscribed,
)
from pipeline.venues.kalshi.commands import BOOKS, LIFECYCLE, Commands
from pipeline.venues.kalshi.frames import (
    DeltaBody,
    Envelope,
    SnapshotBody,
    decode_book,
    decode_envelope,
    decode_error,
    decode_lifecycle,
    decode_subscribed,
    decode_ticker,
    decode_tickers,
)
from pipeline.venues.kalshi.markets import smallest_step
from pipeline.venues.kalshi.sequence import Sequence
from pipeline.venues.parsing import (
    MARKETS_MAX,
    UNREADABLE,
    Reader,
    Readers,
    iso_ns,
    millis_ns,
    text_of,
)

SIDS_MAX = 64

# Errors after which the venue has already dropped the subscription: channel error, buffer overflow.
TERMINAL_ERRORS = (10, 25)


class KalshiCodec:
    """One Kalshi connection. Markets are tickers; prices are of YES."""

    venue = "kalshi"

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        self.last_sequence = 0
        self.unanswered = 0
        self._readers = Readers(self.venue, scales)
        self._wanted: dict[str, None] | None = None
        self._sids: dict[int, Sequence] = {}
        self._commands = Commands()
        self._lifecycle_asked = False

    # What we send

    def subscribe(self, markets: Iterable[str]) -> list[str]:
        """Commands for the books of `markets`, and once for the lifecycle channel.

        Until the venue has named the subscription each command is a `subscribe`, which the venue
        merges. After that `add_markets` extends it.
        """
        wanted = self._wanted = {} if self._wanted is None else self._wanted
        held = self._commands.awaited()
        for _, state in self._books():
            held.update(state.markets)
        asked = dict.fromkeys(markets)
        wanted.update(asked)
        fresh = [market for market in asked if market not in held]
        if not fresh:
            return []
        sid = next((number for number, _ in self._books()), None)
        if sid is None:
            frames = self._commands.subscribe(fresh)
        else:
            frames = self._commands.update("add_markets", sid, fresh)
        if not self._lifecycle_asked:
            self._lifecycle_asked = True
            frames.append(self._commands.lifecycle())
        return frames

    def unsubscribe(self, markets: Iterable[str]) -> list[str]:
        """Commands that take `markets` out of their subscriptions; late messages are ignored."""
        gone = dict.fromkeys(markets)
        for market in gone:
            if self._wanted is not None:
                self._wanted.pop(market, None)
        frames = []
        for sid, state in self._books():
            mine = [market for market in gone if market in state.markets]
            for market in mine:
                del state.markets[market]
            frames += self._commands.update("delete_markets", sid, mine)
        return frames

    def resync(self, markets: Iterable[str]) -> list[str]:
        """One `get_snapshot` a subscription for its share of `markets` (more beyond 100 of them).

        A market whose subscription is gone is subscribed to again.
        """
        asked = dict.fromkeys(markets)
        frames = []
        lost = [market for market in asked if self._wanted is not None and market in self._wanted]
        for sid, state in self._books():
            mine = [market for market in asked if market in state.markets]
            lost = [market for market in lost if market not in state.markets]
            frames += self._commands.update("get_snapshot", sid, mine)
        return frames + self.subscribe(lost)

    def ping(self) -> str | None:
        """None: Kalshi uses WebSocket pings alone, one every 10 s."""
        return None

    def _books(self) -> Iterator[tuple[int, Sequence]]:
        return ((sid, state) for sid, state in self._sids.items() if state.books)

    # What they send

    def decode(self, frame: bytes) -> list[Event]:
        """Events of one frame. Never raises."""
        try:
            message = decode_book(frame)
        except UNREADABLE as error:
            return self._decode_other(frame, error)
        body = message.msg
        market = body.market_ticker
        state = self._sids.get(message.sid)
        events: list[Event] = []
        if state is not None and message.seq == state.last + 1 and market in state.markets:
            state.last = state.data = self.last_sequence = message.seq
        elif not self._in_order(message.sid, message.seq, market, events):
            return events
        try:
            if type(body) is DeltaBody:
                events.append(_change(body, self._readers.of(market)))
            else:
                assert type(body) is SnapshotBody
                events.append(_snapshot(body, self._readers.of(market)))
        except ValueError as error:
            events.append(Bad(text_of(error), lost=True, markets=(market,)))
        return events

    def _in_order(self, sid: int, seq: int, market: str, events: list[Event]) -> bool:
        """Count a book message that is not plainly the next one; False when it must not be used."""
        state = self._sids.get(sid)
        if state is None:
            if len(self._sids) >= SIDS_MAX:
                events.append(Bad("more subscriptions than we asked for", lost=True))
                return False
            state = self._sids[sid] = Sequence(books=True)
        state.books = True
        last = state.last
        fault = state.message(seq)
        if fault is None:
            events.append(Ignored("duplicate", duplicate=True))
            return False
        self.last_sequence = state.last
        usable = self._wanted is None or market in self._wanted
        if usable and len(state.markets) < MARKETS_MAX:
            state.markets[market] = None
        if fault:
            events.append(Gap(state.names(), f"{fault} on subscription {sid}"))
            # Numbers that go back restart the count; such a message may be older than the book.
            return usable and seq > last
        if not usable:
            events.append(Ignored("market not subscribed"))
        return usable

    def _decode_other(self, frame: bytes, error: BaseException) -> list[Event]:
        """Events of a frame that is no sound book message."""
        try:
            envelope = decode_envelope(frame)
        except UNREADABLE:
            # Only something with an object in it can have been a book change.
            return [Bad(text_of(error), lost=b"{" in frame)]
        kind = envelope.type
        events: list[Event] = []
        try:
            if kind in {"orderbook_delta", "orderbook_snapshot"}:
                return self._broken(envelope, error)
            if kind == LIFECYCLE:
                return self._lifecycle(envelope)
            if kind == "subscribed":
                return self._subscribed(envelope)
            if kind in {"ok", "unsubscribed", "error"}:
                events = self._count_reply(envelope)
                if kind == "ok":
                    return events + self._ok(envelope)
                if kind == "error":
                    return events + self._error(envelope)
                return events + self._ended(envelope)
        except UNREADABLE as fault:
            return [*events, Bad(f"{kind}: {text_of(fault)}")]
        if envelope.sid is not None and envelope.sid in dict(self._books()):
            return self._broken(envelope, error)
        return [Ignored(text_of(kind))] if kind else [Bad("a message without a type")]

    def _broken(self, envelope: Envelope, error: BaseException) -> list[Event]:
        """A book message that cannot be read: its market is unknown, or else its subscription's."""
        events: list[Event] = []
        state = self._sids.get(envelope.sid) if envelope.sid is not None else None
        lost = True
        try:
            market = decode_ticker(envelope.msg).market_ticker
        except UNREADABLE:
            names = state.names() if state is not None else ()
        else:
            names = (market,)
            lost = self._wanted is None or market in self._wanted
        if state is not None and envelope.seq is not None:
            fault = state.message(envelope.seq)
            self.last_sequence = state.last
            if fault is None:
                return [Ignored("duplicate", duplicate=True)]
            if fault:
                events.append(Gap(state.names(), f"{fault} on subscription {envelope.sid}"))
        return [*events, Bad(text_of(error), lost=lost, markets=names)]

    def _count_reply(self, envelope: Envelope) -> list[Event]:
        """Count the number that a reply carries."""
        state = self._sids.get(envelope.sid) if envelope.sid is not None else None
        if state is None or envelope.seq is None or not state.books:
            return []
        fault = state.control(envelope.seq)
        self.last_sequence = state.last
        return [Gap(state.names(), f"{fault} on subscription {envelope.sid}")] if fault else []

    def _subscribed(self, envelope: Envelope) -> list[Event]:
        body = decode_subscribed(envelope.msg)
        _, markets = self._commands.answered(envelope.id)
        if body.channel not in {BOOKS, LIFECYCLE}:
            return [Ignored(text_of(f"subscribed {body.channel}"))]
        if body.sid not in self._sids and len(self._sids) >= SIDS_MAX:
            return [Bad("more subscriptions than we asked for")]
        state = self._sids.setdefault(body.sid, Sequence(books=body.channel == BOOKS))
        if body.channel == LIFECYCLE:
            return [Ignored("subscribed " + LIFECYCLE)]
        self._hold(state, markets)
        return [Subscribed(markets, ok=True)]

    def _hold(self, state: Sequence, markets: Iterable[str]) -> None:
        room = MARKETS_MAX - len(state.markets)
        kept = (market for market in markets if self._wanted is None or market in self._wanted)
        state.markets.update(dict.fromkeys(islice(kept, room)))

    def _ok(self, envelope: Envelope) -> list[Event]:
        action, markets = self._commands.answered(envelope.id)
        state = self._sids.get(envelope.sid) if envelope.sid is not None else None
        if action not in {"subscribe", "add_markets"}:
            return [Ignored(f"ok {action}".strip())]
        try:
            listed = decode_tickers(envelope.msg).market_tickers
        except UNREADABLE:
            listed = None
        refused = set(markets) - set(listed) if listed is not None else set()
        taken = tuple(market for market in markets if market not in refused)
        if state is not None and state.books:
            self._hold(state, taken)
        events: list[Event] = [Subscribed(taken, ok=True)]
        if refused:
            why = "not in the venue's list of markets"
            events.append(Subscribed(tuple(sorted(refused)), ok=False, why=why))
        return events

    def _ended(self, envelope: Envelope) -> list[Event]:
        """`unsubscribed`: we never ask for it, so the venue dropped the subscription by itself."""
        why = "the venue ended the subscription"
        return self._drop([envelope.sid], why) or [Ignored("unsubscribed")]

    def _drop(self, sids: Iterable[int | None], why: str) -> list[Event]:
        """Forget subscriptions that the venue has ended; their books are unknown."""
        lost: dict[str, None] = {}
        books = False
        for sid in sids:
            state = self._sids.pop(sid, None) if sid is not None else None
            if state is not None and state.books:
                books = True
                lost.update(state.markets)
            elif state is not None:
                self._lifecycle_asked = False
        return [Gap(tuple(lost), why, counted=False)] if books else []

    def _error(self, envelope: Envelope) -> list[Event]:
        body = decode_error(envelope.msg)
        action, markets = self._commands.answered(envelope.id)
        named = tuple(body.market_tickers or ()) or markets
        if body.market_ticker is not None:
            named = (body.market_ticker,)
        why = text_of(f"error {body.code}: {body.msg}")
        if body.code in TERMINAL_ERRORS and action != "lifecycle":
            return self._terminated(envelope.sid, named, why)
        if named and action != "delete_markets":
            return [Subscribed(named, ok=False, why=why)]
        if body.code == 8 or action:
            return [Ignored(why)]
        return [Subscribed((), ok=False, why=why)]

    def _terminated(self, sid: int | None, named: tuple[str, ...], why: str) -> list[Event]:
        """An error that ends a subscription: `sid`, or those that hold `named`, or else all."""
        sids = [sid]
        if sid is None:
            sids = [number for number, state in self._books() if not named or state.has(named)]
        events = self._drop(sids, why)
        if not events and (named or sid is None):
            events.append(Gap(named, why, counted=False))
        return events or [Ignored(why)]

    def _lifecycle(self, envelope: Envelope) -> list[Event]:
        """Announcements about all of Kalshi's markets, of which ours are told on."""
        events: list[Event] = []
        state = self._sids.get(envelope.sid) if envelope.sid is not None else None
        if state is not None and not state.books and envelope.seq is not None:
            fault = state.message(envelope.seq)
            if fault is None:
                return [Ignored("duplicate", duplicate=True)]
            if fault:
                events.append(Bad(f"{LIFECYCLE}: {fault}"))
        body = decode_lifecycle(envelope.msg)
        market, word = body.market_ticker, body.event_type
        if self._wanted is not None and market not in self._wanted:
            return events or [Ignored(LIFECYCLE)]
        if word in {"determined", "settled"}:
            events.append(Settled(market))
        elif word in {"activated", "deactivated"}:
            events.append(Status(market, tradable=word == "activated", word=word))
        elif word == "price_level_structure_updated" and body.price_ranges:
            scale = self._readers.scale_of(market)
            grid = smallest_step(body.price_ranges, scale)
            events.append(Listed(Market(self.venue, market, scale, grid_ticks=grid)))
        else:
            events.append(Ignored(text_of(f"{LIFECYCLE} {word}")))
        return events


def _change(body: DeltaBody, reader: Reader) -> Change:
    """A signed step at one price; a NO bid is the mirrored ask."""
    ticks = reader.ticks(body.price_dollars)
    step = reader.units(body.delta_fp)
    # `ts_ms` is the field to use; frames of spring 2026 carry only `ts`, as RFC 3339 text.
    venue_ns = millis_ns(body.ts_ms) or iso_ns(body.ts)
    if body.side == "yes":
        return Change(body.market_ticker, [(ticks, step)], [], venue_ns, None, True)
    if body.side == "no":
        return Change(body.market_ticker, [], [(reader.one - ticks, step)], venue_ns, None, True)
    raise ValueError(f"side {body.side[:20]!r} is neither yes nor no")


def _snapshot(body: SnapshotBody, reader: Reader) -> Snapshot:
    """The whole book; a side that is missing is empty."""
    one = reader.one
    asks = [(one - ticks, units) for ticks, units in _levels(body.no_dollars_fp or [], reader)]
    return Snapshot(body.market_ticker, _levels(body.yes_dollars_fp or [], reader), asks)


def _levels(pairs: list[tuple[str, str]], reader: Reader) -> list[Level]:
    levels = [(reader.ticks(price), reader.size(size)) for price, size in pairs]
    if len(dict(levels)) != len(levels):
        raise ValueError("a price appears twice in one snapshot")
    return [level for level in levels if level[1]]


def make(scales: Mapping[str, Scale]) -> KalshiCodec:
    """A codec for a new connection; without a scale a market gets Kalshi's default, 6 and 2."""
    return KalshiCodec(scales)
