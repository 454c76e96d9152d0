"""Subscription: every price event of some markets, handed to one function.

In: a `Reader` of its own, polled every few milliseconds. Out: calls of a callback, one an event, in the
order of each market's own events. Used by `pipeline.client`. A market's present event comes first, then
each that the feed adds to its history, and one more whenever the state changes without a price: a feed
that dies is an event too.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline.client.price_event import (
    Name,
    PriceEvent,
    is_best,
    newest_event,
    newest_state,
    now_event,
    past_event,
)
from pipeline.client.reader import Reader

Callback = Callable[[PriceEvent], object]

# States that come from time alone are looked at so often, in nanoseconds, and new markets too.
STATE_NS = 250_000_000
JOIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was last handed over of one market."""

    incarnation: int
    sequence: int
    state: str


class Subscription:
    """One callback's stream. `close` ends it; every number may be read at any time.

    `delivered` counts calls, `errors` those that raised (`last_error` is the latest of them), `missed`
    events that were overwritten before this subscription came to them, `failures` turns that could not
    be finished.
    """

    def __init__(
        self,
        reader: Reader,
        callback: Callback,
        symbols: Iterable[str] | None,
        venues: Iterable[str] | None,
        interval: float | None,
    ) -> None:
        if inspect.iscoroutinefunction(callback):
            raise TypeError(
                "the callback must be a plain function: it is called in a thread. "
                "Hand events to asyncio with loop.call_soon_threadsafe"
            )
        self.delivered = self.errors = self.missed = self.failures = 0
        self.last_error: Exception | None = None
        self._reader = reader
        self._callback = callback
        self._symbols = None if symbols is None else tuple(symbols)
        self._venues = None if venues is None else frozenset(venues)
        self._interval = interval
        self._names: dict[tuple[str, str], list[Name]] = {}
        self._seen: dict[Name, _Seen] = {}
        # Markets whose row was a moment ahead of their history: looked at again in the next turn.
        self._again: list[tuple[str, str]] = []
        self._state_at_ns: int | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        if interval is not None:
            self._thread = threading.Thread(target=self._work, name="prices", daemon=True)
            self._thread.start()

    def run_once(self) -> int:
        """Hand over everything that is new; return how many events that were.

        For users without a thread (`interval=None`): call it as often as prices are wanted.
        """
        reader = self._reader
        reader.refresh()
        before = self.delivered
        changed = reader.changed()
        now_ns = reader.moment().now_ns
        if self._state_at_ns is None or now_ns - self._state_at_ns >= STATE_NS:
            self._state_at_ns = now_ns
            self._find()
            changed = list(self._names)
        changed, self._again = [*self._again, *changed], []
        for market in changed:
            for name in self._names.get(market, ()):
                self._market(name)
        return self.delivered - before

    def close(self) -> None:
        """End it. Returns when no call is under way any more, unless the callback itself calls this."""
        self._closing.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_SECONDS)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    def _work(self) -> None:
        """The polling thread: a turn that fails is counted, and the next one follows."""
        while not self._closing.wait(self._interval):
            try:
                self.run_once()
            except Exception as error:
                self.failures += 1
                self.last_error = error

    def _find(self) -> None:
        """Which markets are meant now: feeds and events come and go."""
        reader = self._reader
        if self._symbols is None:
            found = reader.all_names(self._venues)
        else:
            named = [name for symbol in self._symbols for name in reader.names(symbol)]
            found = [name for name in named if self._venues is None or name.venue in self._venues]
        self._names = {}
        for name in dict.fromkeys(found):
            self._names.setdefault((name.venue, name.market), []).append(name)
        wanted = set(found)
        self._seen = {name: seen for name, seen in self._seen.items() if name in wanted}

    def _market(self, name: Name) -> None:
        """Hand over what is new of one market; of one not seen yet, its present event alone."""
        found = self._reader.look(name)
        if found is None:
            return
        look, sequence = found
        incarnation = look.book.incarnation
        seen = self._seen.get(name)
        if seen is not None and seen.incarnation != incarnation:
            seen = _Seen(incarnation, 0, "")
        new = 1 if seen is None else max(1, sequence - seen.sequence)
        points = self._reader.points(name, look, new)
        if not points:
            self._hand(name, seen, incarnation, now_event(name, look, sequence, self._reader.moment()))
            return
        if not is_best(look, points[-1]):
            self._again.append((name.venue, name.market))
        if seen == _Seen(incarnation, points[-1].number, newest_state(look, points[-1])):
            return
        at = self._reader.moment()
        for point in points[:-1]:
            if seen is not None and point.number > seen.sequence:
                self._hand(name, seen, incarnation, past_event(name, look, point, at))
                seen = self._seen[name]
        self._hand(name, seen, incarnation, newest_event(name, look, points[-1], at))

    def _hand(self, name: Name, seen: _Seen | None, incarnation: int, event: PriceEvent) -> None:
        """Hand over one event, unless it is the one that was handed over last, in the same state."""
        if seen is not None:
            if event.sequence < seen.sequence:
                return
            if (event.sequence, event.state) == (seen.sequence, seen.state):
                return
            self.missed += max(0, event.sequence - seen.sequence - 1)
        self._seen[name] = _Seen(incarnation, event.sequence, event.state)
        self._call(event)

    def _call(self, event: PriceEvent) -> None:
        """One call; an error in it is the caller's own, and stops nobody."""
        if self.closed:
            return
        self.delivered += 1
        try:
            self._callback(event)
        except Exception as error:
            self.errors += 1
            self.last_error = error
