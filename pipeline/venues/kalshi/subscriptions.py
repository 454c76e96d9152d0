"""Kalshi's subscriptions of one connection: what was asked for, what the venue granted, what it ended.

In: markets to follow or to leave, the venue's replies. Out: commands to send, and events
(pipeline/venues/codec.py). Pure; used by books.py beside it. Source: Kalshi's AsyncAPI 2.0.0, autumn 2026.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from pipeline.venues.codec import Bad, Event, Gap, Ignored, Settled, Subscribed
from pipeline.venues.kalshi.commands import BOOKS, JOINING, LIFECYCLE, Asked, Commands
from pipeline.venues.kalshi.frames import (
    Envelope,
    ErrorBody,
    decode_error,
    decode_subscribed,
    decode_tickers,
)
from pipeline.venues.kalshi.sequence import Sequence
from pipeline.venues.parsing import MARKETS_MAX, UNREADABLE, Readers, text_of

SIDS_MAX = 64
TOO_MANY = "more subscriptions than we asked for"
REPLIES = frozenset({"subscribed", "ok", "unsubscribed", "error"})

# Errors after which the venue has already dropped the subscription: channel error, buffer overflow.
TERMINAL_ERRORS = (10, 25)
# To a command about a subscription: the venue does not know it, so it has dropped it before.
UNKNOWN_SID = 7
# What was asked for can never be had here: no such channel, an invalid parameter, a full subscription.
UNKNOWN_CHANNEL, INVALID, FULL = 8, 11, 26


class Subscriptions:
    """What one connection is subscribed to. `wanted` is None until somebody subscribes, as on a tape."""

    def __init__(self, readers: Readers, *, use_yes_price: bool) -> None:
        self.wanted: dict[str, None] | None = None
        self.sids: dict[int, Sequence] = {}
        self._readers = readers
        self._commands = Commands(use_yes_price=use_yes_price)
        self._lifecycle_asked = self._lifecycle_lost = False

    # What we send

    def subscribe(self, markets: Iterable[str]) -> list[str]:
        """Commands for the books of `markets`, and for the lifecycle channel where we have it not.

        Until the venue has named the subscription each command is a `subscribe`, which the venue
        merges. After that `add_markets` extends it.
        """
        wanted = self.wanted = {} if self.wanted is None else self.wanted
        held = self._commands.awaited()
        for _, state in self.books():
            held.update(state.markets)
        asked = dict.fromkeys(markets)
        wanted.update(asked)
        return self._join([market for market in asked if market not in held])

    def _join(self, markets: list[str]) -> list[str]:
        sid = next((number for number, _ in self.books()), None)
        if sid is None:
            frames = self._commands.subscribe(markets)
        else:
            frames = self._commands.update("add_markets", sid, markets)
        if self.wanted and not self._lifecycle_asked:
            self._lifecycle_asked = True
            frames.append(self._commands.lifecycle())
        return frames

    def unsubscribe(self, markets: Iterable[str]) -> list[str]:
        """Commands that take `markets` out of their subscriptions; late messages are ignored."""
        gone = dict.fromkeys(markets)
        for market in gone:
            if self.wanted is not None:
                self.wanted.pop(market, None)
        frames = []
        for sid, state in self.books():
            mine = [market for market in gone if state.forget(market)]
            frames += self._commands.update("delete_markets", sid, mine)
        return frames

    def resync(self, markets: Iterable[str]) -> list[str]:
        """One `get_snapshot` a subscription for its share of `markets` (more beyond 100 of them).

        A market whose subscription is gone is subscribed to again. If the venue merges that into a
        subscription that it has, it sends no snapshot: the next resync asks for it.
        """
        asked = list(dict.fromkeys(markets))
        lost = [market for market in asked if self.wanted is not None and market in self.wanted]
        frames = []
        for sid, state in self.books():
            lost = [market for market in lost if market not in state.markets]
            frames += self._commands.update("get_snapshot", sid, state.repair(asked))
        return frames + self._join(lost)

    def books(self) -> Iterator[tuple[int, Sequence]]:
        """The subscriptions to books."""
        return ((sid, state) for sid, state in self.sids.items() if state.books)

    def open(self, sid: int, *, books: bool) -> Sequence | None:
        """The subscription of this number, made when new; None when there are too many."""
        if sid not in self.sids and len(self.sids) >= SIDS_MAX:
            return None
        return self.sids.setdefault(sid, Sequence(books=books))

    def follows(self, market: str) -> bool:
        """Whether messages about `market` are used."""
        return self.wanted is None or market in self.wanted

    def stray(self, state: Sequence, market: str) -> bool:
        """Whether `market` has its books in another subscription and not in this one."""
        return market not in state.markets and any(market in each.markets for _, each in self.books())

    def repaired(self, market: str) -> None:
        """A snapshot of `market` has come."""
        for _, state in self.books():
            state.repairing.discard(market)

    def hold(self, state: Sequence, markets: Iterable[str]) -> None:
        """Put those of `markets` that are wanted into a subscription."""
        room = MARKETS_MAX - len(state.markets)
        kept = (market for market in markets if self.wanted is None or market in self.wanted)
        state.markets.update((market, self._readers.of(market)) for market in islice(kept, room))

    def known(self) -> Collection[str]:
        """The markets followed: those asked for, or on a tape those seen."""
        if self.wanted is not None:
            return self.wanted
        return {market for _, state in self.books() for market in state.markets}

    def jump(self, state: Sequence, sid: int | None, fault: str) -> list[Event]:
        """What a jump in a subscription's numbers means; nothing without a `fault`."""
        if not fault:
            return []
        if state.books:
            return [Gap(state.names(), f"{fault} on subscription {sid}")]
        return [Bad(f"{LIFECYCLE}: {fault}"), *map(Settled, self.known())]

    # What they reply

    def reply(self, envelope: Envelope) -> list[Event]:
        """Events of a reply, its number already counted; ValueError where it cannot be read."""
        if envelope.type == "subscribed":
            return self._subscribed(envelope)
        if envelope.type == "ok":
            return self._ok(envelope)
        if envelope.type == "error":
            return self._error(envelope)
        # `unsubscribed`: we never ask for it, so the venue dropped the subscription by itself.
        return self._drop([envelope.sid], "the venue ended the subscription") or [Ignored("unsubscribed")]

    def _subscribed(self, envelope: Envelope) -> list[Event]:
        body = decode_subscribed(envelope.msg)
        markets = self._commands.answered(envelope.id).markets
        if body.channel not in {BOOKS, LIFECYCLE}:
            return [Ignored(text_of(f"subscribed {body.channel}"))]
        state = self.open(body.sid, books=body.channel == BOOKS)
        if state is None:
            return [Bad(TOO_MANY)]
        if body.channel == BOOKS:
            self.hold(state, markets)
            return [Subscribed(markets, ok=True)]
        # What was announced while we did not hear it is in the metadata.
        missed = self.known() if self._lifecycle_lost else ()
        self._lifecycle_lost = False
        return [Ignored("subscribed " + LIFECYCLE), *map(Settled, missed)]

    def _ok(self, envelope: Envelope) -> list[Event]:
        asked = self._commands.answered(envelope.id)
        if asked.action not in JOINING:
            return [Ignored(f"ok {asked.action}".strip())]
        try:
            listed = decode_tickers(envelope.msg).market_tickers
        except UNREADABLE:
            listed = None
        refused = set(asked.markets) - set(listed) if listed is not None else set()
        taken = tuple(market for market in asked.markets if market not in refused)
        # One that we took for ended is opened again: the venue has merged our `subscribe` into it.
        state = self.open(envelope.sid, books=True) if envelope.sid is not None else None
        if state is not None and state.books:
            self.hold(state, taken if listed is None else listed)
        events: list[Event] = [Subscribed(taken, ok=True)]
        if refused:
            why = "not in the venue's list of markets"
            events.append(Subscribed(tuple(sorted(refused)), ok=False, why=why))
        return events

    def _drop(self, sids: Iterable[int | None], why: str) -> list[Event]:
        """Forget subscriptions that the venue has ended; their books are unknown."""
        lost: dict[str, None] = {}
        events: list[Event] = []
        for sid in sids:
            state = self.sids.pop(sid, None) if sid is not None else None
            if state is not None and state.books:
                lost.update(dict.fromkeys(state.markets))
                events = events or [Ignored(why)]
            elif state is not None:
                events = self._silenced(why)
        if not lost:
            return events
        # No names are all names.
        return [Gap(tuple(lost) if len(lost) < MARKETS_MAX else (), why, counted=False)]

    def _silenced(self, why: str) -> list[Event]:
        """The lifecycle channel has ended: the next subscribe or resync asks for it again."""
        self._lifecycle_asked = False
        self._lifecycle_lost = True
        return [Subscribed((), ok=False, why=text_of(f"{LIFECYCLE}: {why}"))]

    def _error(self, envelope: Envelope) -> list[Event]:
        body = decode_error(envelope.msg)
        asked = self._commands.answered(envelope.id)
        told = tuple(body.market_tickers or ())
        if body.market_ticker is not None:
            told = (body.market_ticker,)
        why = text_of(f"error {body.code}: {body.msg}")
        state = self.sids.get(envelope.sid) if envelope.sid is not None else None
        if asked.action == "lifecycle" and state is None:
            return [Ignored(why)] if body.code == UNKNOWN_CHANNEL else self._silenced(why)
        if body.code in TERMINAL_ERRORS:
            return self._terminated(envelope.sid, told or asked.markets, why)
        if body.code == UNKNOWN_SID and asked.sid in self.sids:
            return self._drop([asked.sid], why)
        return self._refused(body, asked, told, why)

    def _refused(self, body: ErrorBody, asked: Asked, told: tuple[str, ...], why: str) -> list[Event]:
        """An error that is about a command: its markets, or those that the venue names, are refused."""
        full = body.code == FULL
        refused = told or asked.markets
        if refused and asked.action != "delete_markets":
            for _, state in self.books():
                state.repairing.difference_update(refused)
                if full or body.code == INVALID:
                    # Not in there, whatever we thought: they can be subscribed to anew.
                    for market in told:
                        state.forget(market)
            return [Subscribed(refused, ok=False, why=why, full=full)]
        if body.code == UNKNOWN_CHANNEL or asked.action:
            return [Ignored(why)]
        return [Subscribed((), ok=False, why=why, full=full)]

    def _terminated(self, sid: int | None, named: tuple[str, ...], why: str) -> list[Event]:
        """An error that ends a subscription: `sid`, or those that hold `named`, or else all."""
        sids = [sid]
        if sid is None:
            sids = [number for number, state in self.books() if not named or state.has(named)]
        events = self._drop(sids, why)
        if not events and (named or sid is None):
            events.append(Gap(named, why, counted=False))
        return events or [Ignored(why)]
