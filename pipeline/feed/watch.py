"""Watch: tells a market that is quiet from one that is frozen, for the markets of one connection.

In: what was asked, what was heard, and when. Out: markets to ask for again, and why a connection that
answers our pings is of no use all the same. Pure. Used by a feed's links.

Pings prove that somebody is there and nothing more: venues have acknowledged subscriptions and then
sent nothing for hours. So a first book has a deadline; a canary, a market that never rests, may not
fall silent; and a connection without any book for long must send one when asked, unless a REST witness
has seen in the meantime that its books are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from pipeline.config import VenueConfig

# A market whose first book does not come is asked for so often before the connection is blamed.
TRIES = 3
# A market that the venue refused in words is asked for again after this, then after twice as long, and at
# last once a minute: it may be a limit of rate, which passes, or a market that does not exist.
REFUSED_NS, REFUSED_MAX_NS = 1_000_000_000, 60_000_000_000


class Patience(msgspec.Struct, frozen=True, gc=False):
    """How long to wait (config [venues.NAME], in nanoseconds); `data_ns` 0 waits for ever."""

    first_book_ns: int
    data_ns: int
    canary: str
    canary_ns: int

    @classmethod
    def of(cls, settings: VenueConfig) -> Patience:
        """How long the venue's markets may be silent."""
        return cls(
            round(settings.first_book_timeout * 1e9),
            round(settings.data_timeout * 1e9),
            settings.canary,
            round(settings.canary_timeout * 1e9),
        )


class Watch:
    """The markets of one connection: which have had a book, and when something was last heard."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._waiting: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        # Markets for whose sake the connection was given up once already: once is enough.
        self._hopeless: set[str] = set()
        self._refusals: dict[str, int] = {}
        self._heard: set[str] = set()
        self._heard_ns = self._canary_ns = 0
        self._probe: str | None = None
        self._probed_ns = 0

    def adopt(self, patience: Patience) -> None:
        """Act on changed settings."""
        self._patience = patience

    def opened(self, now_ns: int) -> None:
        """A new connection: nothing was heard on it yet."""
        self._waiting.clear()
        self._tries.clear()
        self._heard.clear()
        self._heard_ns = self._canary_ns = now_ns
        self._probe = None

    def asked(self, markets: Iterable[str], now_ns: int) -> None:
        """Books of these markets were subscribed to; their first book is due."""
        due = now_ns + self._patience.first_book_ns
        self._waiting.update(dict.fromkeys(markets, due))

    def heard(self, markets: Mapping[str, None], now_ns: int) -> None:
        """Book messages of these markets have come."""
        self._heard_ns = now_ns
        if self._waiting:
            self._first_books(markets)
        if self._patience.canary in markets:
            self._canary_ns = now_ns
        if self._probe in markets:
            self._probe = None

    def _first_books(self, markets: Mapping[str, None]) -> None:
        """Of those that have not been heard on this connection, some have been now."""
        for market in self._waiting.keys() & markets.keys():
            del self._waiting[market]
            self._tries.pop(market, None)
            self._refusals.pop(market, None)
            self._hopeless.discard(market)
            self._heard.add(market)

    def refused(self, markets: Iterable[str], now_ns: int) -> None:
        """The venue will not send these; they are asked for again now and then, and blame nobody."""
        for market in markets:
            times = self._refusals.get(market, 0)
            self._refusals[market] = times + 1
            self._waiting[market] = now_ns + min(REFUSED_NS << min(times, 10), REFUSED_MAX_NS)
            self._hopeless.add(market)

    def forget(self, markets: Iterable[str]) -> None:
        """These are not wanted any more."""
        for market in markets:
            self._waiting.pop(market, None)
            self._tries.pop(market, None)
            self._refusals.pop(market, None)
            self._hopeless.discard(market)
            self._heard.discard(market)
            if market == self._probe:
                self._probe = None

    def waiting(self) -> int:
        """How many markets have not had their first book."""
        return len(self._waiting)

    def overdue(self, now_ns: int) -> list[str]:
        """Markets whose first book should have come; they are taken as asked for again."""
        late = [market for market, due in self._waiting.items() if now_ns >= due]
        for market in late:
            self._tries[market] = self._tries.get(market, 0) + 1
        self.asked(late, now_ns)
        return late

    def probe(self, now_ns: int, vouched_ns: Callable[[], int]) -> str | None:
        """A market to ask for again because nothing at all has come for too long, else None.

        `vouched_ns` says when a witness last saw that a book of this connection is right; it is asked
        only after a long silence.
        """
        patience = self._patience.data_ns
        if not patience or now_ns - self._heard_ns < patience or self._probe is not None or not self._heard:
            return None
        if now_ns - vouched_ns() < patience:
            return None
        self._probe = min(self._heard)
        self._probed_ns = now_ns
        return self._probe

    def frozen(self, now_ns: int) -> str:
        """Why this connection is of no use, or "" while nothing says so."""
        stuck = [m for m, tries in self._tries.items() if tries > TRIES and m not in self._hopeless]
        if stuck:
            self._hopeless.update(stuck)
            return f"no first book of {stuck[0][:40]} after {TRIES} more requests"
        canary = self._patience.canary
        if canary in self._heard and now_ns - self._canary_ns > self._patience.canary_ns:
            return f"the canary {canary[:40]} is silent"
        if self._probe is not None and now_ns - self._probed_ns > self._patience.first_book_ns:
            return "nothing came when a book was asked for again"
        return ""
