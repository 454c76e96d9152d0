"""Kalshi's market-data socket: its frames in, book events in YES terms out.

In: text frames of one connection. Out: events (pipeline/venues/codec.py) and the frames to send. Run
by the Kalshi feed, `run.py books` and the replay. Protocol: Kalshi's AsyncAPI 2.0.0, autumn 2026.

Kalshi publishes bids only, for YES and for NO. A NO bid at q is an offer of YES at 1 - q, so the
book's asks are the NO bids mirrored. Each subscription (`sid`) numbers its messages over all its
markets, so a jump in the number makes every book of that subscription unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.model import Level, Scale
from pipeline.venues.codec import Bad, Change, Event, Gap, Ignored, Snapshot
from pipeline.venues.kalshi.commands import LIFECYCLE
from pipeline.venues.kalshi.frames import (
    DeltaBody,
    DeltaFrame,
    Envelope,
    SnapshotBody,
    SnapshotFrame,
    decode_book,
    decode_envelope,
    decode_ticker,
    decode_times,
)
from pipeline.venues.kalshi.lifecycle import KINDS, announced
from pipeline.venues.kalshi.sequence import Sequence
from pipeline.venues.kalshi.subscriptions import REPLIES, TOO_MANY, Subscriptions
from pipeline.venues.parsing import UNREADABLE, Reader, Readers, iso_ns, millis_ns, text_of

# Beyond it a time in milliseconds does not fit into nanoseconds.
_MILLIS_MAX = 2**43
_BOOK_KINDS = frozenset({"orderbook_delta", "orderbook_snapshot"})


class KalshiCodec:
    """One Kalshi connection. Markets are tickers; prices are of YES.

    `use_yes_price` is in whose prices the venue is asked to send NO levels; both give the same book.
    """

    venue = "kalshi"

    def __init__(self, scales: Mapping[str, Scale], *, use_yes_price: bool = False) -> None:
        self.last_sequence = 0
        self.unanswered = 0
        self._readers = Readers(self.venue, scales)
        self._subscriptions = Subscriptions(self._readers, use_yes_price=use_yes_price)
        self._sids = self._subscriptions.sids
        self._mirrored = not use_yes_price

    # What we send

    def subscribe(self, markets: Iterable[str]) -> list[str]:
        """Commands for the books of `markets`, and for the lifecycle channel where we have it not."""
        return self._subscriptions.subscribe(markets)

    def unsubscribe(self, markets: Iterable[str]) -> list[str]:
        """Commands that take `markets` out of their subscriptions; late messages are ignored."""
        return self._subscriptions.unsubscribe(markets)

    def resync(self, markets: Iterable[str]) -> list[str]:
        """Commands for fresh snapshots: one a subscription and hundred markets, none while one is awaited.

        A market whose subscription is gone is subscribed to again.
        """
        return self._subscriptions.resync(markets)

    def ping(self) -> str | None:
        """None: Kalshi uses WebSocket pings alone, one every 10 s."""
        return None

    # What they send

    def decode(self, frame: bytes) -> list[Event]:
        """Events of one frame. Never raises."""
        try:
            message = decode_book(frame)
        except UNREADABLE as error:
            return self._decode_other(frame, error)
        events: list[Event] = []
        body = message.msg
        market = body.market_ticker
        state = self._sids.get(message.sid)
        reader = None
        if state is not None and message.seq == state.last + 1:
            reader = state.markets.get(market)
        if state is not None and reader is not None:
            state.last = state.data = self.last_sequence = message.seq
        else:
            reader = self._out_of_turn(message, events)
            if reader is None:
                return events
        try:
            if type(body) is DeltaBody:
                ticks, step = reader.prices[body.price_dollars], reader.steps[body.delta_fp]
                ms = body.ts_ms
                ns = ms * 1_000_000 if type(ms) is int and 0 < ms < _MILLIS_MAX else _time_of(frame)
                if body.side == "yes":
                    events.append(Change(market, [(ticks, step)], [], ns, None, True))
                else:
                    ticks = reader.one - ticks if self._mirrored else ticks
                    events.append(Change(market, [], [(ticks, step)], ns, None, True))
            else:
                assert type(body) is SnapshotBody
                events.append(self._snapshot(body, reader))
        except ValueError as error:
            events.append(Bad(text_of(error), lost=True, markets=(market,)))
        return events

    def _out_of_turn(self, message: DeltaFrame | SnapshotFrame, events: list[Event]) -> Reader | None:
        """Count a book message that is not plainly the next one; None when it must not be used."""
        sid, seq, market = message.sid, message.seq, message.msg.market_ticker
        state = self._subscriptions.open(sid, books=True)
        if state is None:
            events.append(Bad(TOO_MANY, lost=True))
            return None
        usable = self._subscriptions.follows(market)
        if not state.books:
            events.append(Bad(f"a book message on subscription {sid} to {LIFECYCLE}", usable, (market,)))
            return None
        last = state.last
        fault = state.message(seq)
        if fault is None:
            events.append(Ignored("duplicate", duplicate=True))
            return None
        self.last_sequence = state.last
        if type(message.msg) is DeltaBody and self._subscriptions.stray(state, market):
            # Either number or ticker is wrong: a change of this market was lost, or of one in here.
            names = (market, *state.markets)
            events.append(Gap(names, f"{market} is not in subscription {sid}"))
            return None
        if usable:
            self._subscriptions.hold(state, [market])
        events += self._subscriptions.jump(state, sid, fault)
        if not usable and not events:
            events.append(Ignored("market not subscribed"))
        # Numbers that go back restart the count; such a message may be older than the book.
        return self._readers.of(market) if usable and not (fault and seq <= last) else None

    def _snapshot(self, body: SnapshotBody, reader: Reader) -> Snapshot:
        """The whole book; a side that is missing is empty, and a NO bid is the mirrored ask."""
        bids = _levels(body.yes_dollars_fp or [], reader)
        asks = _levels(body.no_dollars_fp or [], reader)
        if self._mirrored:
            one = reader.one
            asks = [(one - ticks, units) for ticks, units in asks]
        self._subscriptions.repaired(body.market_ticker)
        return Snapshot(body.market_ticker, bids, asks)

    def _decode_other(self, frame: bytes, error: BaseException) -> list[Event]:
        """Events of a frame that is no sound book message."""
        try:
            envelope = decode_envelope(frame)
        except UNREADABLE:
            # Only something with an object in it can have been a book change.
            return [Bad(text_of(error), lost=b"{" in frame)]
        kind = envelope.type
        if kind in _BOOK_KINDS:
            return self._broken(envelope, error)
        events: list[Event] = []
        try:
            if kind in KINDS:
                return self._lifecycle(envelope, events)
            if kind in REPLIES:
                events += self._count_reply(envelope)
                return events + self._subscriptions.reply(envelope)
        except UNREADABLE as fault:
            return [*events, Bad(f"{kind}: {text_of(fault)}")]
        state = self._state(envelope)
        if state is not None and state.books:
            return self._broken(envelope, error)
        events = self._count_reply(envelope)
        return [*events, Ignored(text_of(kind)) if kind else Bad("a message without a type")]

    def _broken(self, envelope: Envelope, error: BaseException) -> list[Event]:
        """A book message that cannot be read: its market is unknown, or else its subscription's."""
        events: list[Event] = []
        state = self._state(envelope)
        lost = True
        try:
            market = decode_ticker(envelope.msg).market_ticker
        except UNREADABLE:
            names = state.names() if state is not None else ()
        else:
            names = (market,)
            lost = self._subscriptions.follows(market)
        if state is not None and envelope.seq is not None:
            fault = state.message(envelope.seq)
            self.last_sequence = state.last
            if fault is None:
                return [Ignored("duplicate", duplicate=True)]
            events = self._subscriptions.jump(state, envelope.sid, fault)
        return [*events, Bad(text_of(error), lost=lost, markets=names)]

    def _lifecycle(self, envelope: Envelope, events: list[Event]) -> list[Event]:
        """Announcements about all of Kalshi's markets, of which ours are told on."""
        state = self._state(envelope)
        if state is not None and not state.books and envelope.seq is not None:
            fault = state.message(envelope.seq)
            if fault is None:
                return [Ignored("duplicate", duplicate=True)]
            events += self._subscriptions.jump(state, envelope.sid, fault)
        wanted, known = self._subscriptions.wanted, self._subscriptions.known()
        return events + announced(envelope.type, envelope.msg, wanted, known, self._readers)

    def _state(self, envelope: Envelope) -> Sequence | None:
        return self._sids.get(envelope.sid) if envelope.sid is not None else None

    def _count_reply(self, envelope: Envelope) -> list[Event]:
        """Count the number that a reply, or a message that is not used, carries."""
        state = self._state(envelope)
        if state is None or envelope.seq is None:
            return []
        fault = state.control(envelope.seq)
        if state.books:
            self.last_sequence = state.last
        return self._subscriptions.jump(state, envelope.sid, fault)


def _time_of(frame: bytes) -> int:
    """The time of a delta without a good `ts_ms`: frames of spring 2026 have only `ts`, RFC 3339 text."""
    try:
        times = decode_times(frame).msg
    except UNREADABLE:
        return 0
    return millis_ns(times.ts_ms) or iso_ns(times.ts)


def _levels(pairs: list[tuple[str, str]], reader: Reader) -> list[Level]:
    prices, sizes = reader.prices, reader.sizes
    levels = [(prices[price], sizes[size]) for price, size in pairs]
    if len(dict(levels)) != len(levels):
        raise ValueError("a price appears twice in one snapshot")
    return [level for level in levels if level[1]]


def make(scales: Mapping[str, Scale]) -> KalshiCodec:
    """A codec for a new connection; without a scale a market gets Kalshi's default, 6 and 2."""
    return KalshiCodec(scales)
