"""Polling: order books read by REST at an interval, in place of a stream (`enable_websocket = false`).

In: markets, samples and failures of a RestBooks. Out: which markets to ask for now, and codec events as a
stream would give them. Pure. Run by a feed's worker.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.venues.asking import Sample
from pipeline.venues.codec import Event, Ignored

# So many answers in a row that are older than the book are left out; then the venue's clock went back.
OLDER_MAX = 3


class Poller:
    """When each market is asked for, and which answers make a book.

    `answers`, `failures` and `stale` count; `proof_ns` is CLOCK_MONOTONIC of the last answer, 0 for none.
    """

    def __init__(self, interval_ns: int, timeout_ns: int) -> None:
        """A book without an answer for `timeout_ns` is overdue; both are in nanoseconds."""
        self.interval_ns = interval_ns
        self.timeout_ns = timeout_ns
        self.answers = 0
        self.failures = 0
        self.stale = 0
        self.proof_ns = 0
        self._next_ns: dict[str, int] = {}
        self._asked_ns: dict[str, int] = {}
        self._venue_ns: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._heard_ns: dict[str, int] = {}

    def due(self, markets: Iterable[str], now_ns: int) -> list[str]:
        """Those of `markets` to ask for now: each once an interval."""
        asked = [market for market in markets if now_ns >= self._next_ns.get(market, now_ns)]
        for market in asked:
            self._next_ns[market] = now_ns + self.interval_ns
            self._heard_ns.setdefault(market, now_ns)
        return asked

    def events(self, sample: Sample) -> list[Event]:
        """A snapshot, unless the answer is older than what we have: a cache may sit before the venue.

        Samples of markets that were never due, or that were forgotten, are ignored.
        """
        market, venue_ns = sample.market, sample.snapshot.venue_ns
        if market not in self._next_ns:
            return [Ignored("a book that nobody asked for")]
        self.answers += 1
        self.proof_ns = max(self.proof_ns, sample.answered_ns)
        older = venue_ns < self._venue_ns.get(market, 0) and self._older.get(market, 0) < OLDER_MAX
        if older or sample.asked_ns < self._asked_ns.get(market, 0):
            self._older[market] = self._older.get(market, 0) + 1
            self.stale += 1
            return [Ignored("a book older than the one before", duplicate=True)]
        self._older[market] = 0
        self._asked_ns[market] = sample.asked_ns
        self._venue_ns[market] = venue_ns
        self._heard_ns[market] = sample.answered_ns
        return [sample.snapshot]

    def failed(self) -> None:
        """Count a failure; the market is asked for again by itself."""
        self.failures += 1

    def overdue(self, now_ns: int) -> list[str]:
        """Markets whose last good answer is older than the timeout; each is told once until it answers."""
        late = [market for market, heard in self._heard_ns.items() if now_ns - heard > self.timeout_ns]
        for market in late:
            del self._heard_ns[market]
        return late

    def forget(self, markets: Iterable[str]) -> None:
        """Drop all that is known of markets that are not followed any longer."""
        for market in markets:
            for known in (self._next_ns, self._asked_ns, self._venue_ns, self._older, self._heard_ns):
                known.pop(market, None)
