"""REST: a venue's public metadata, asked for beside the receive loop.

In: names of markets. Out: `Market` values or failures, later, from `poll`. Run by a feed: requests go
out from a thread of their own, one at a time, so that the loop that beats never waits for them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from random import Random

import msgspec

from pipeline.clock import Clock
from pipeline.feed.answers import Answers
from pipeline.feed.http import TURN_SECONDS, RestClient, RestError, allowed, jitter
from pipeline.model import Market
from pipeline.venues.asking import Request
from pipeline.venues.rest_registry import market_source

MAX_WAITING = 10_000
# How often in a round a list that the venue refuses is halved, to find the name it dislikes.
MAX_SPLITS = 16


class Failure(msgspec.Struct, frozen=True, gc=False):
    """A request that did not give metadata; it will be tried again by itself."""

    why: str


class MarketDirectory:
    """Asks a venue for the metadata of markets, again and again until it has them.

    `dropped` counts what was given up because nobody polled.
    """

    def __init__(self, venue: str, rest_url: str, *, clock: Clock, random: Random) -> None:
        """Start the asking thread; without an address nothing is ever asked or found.

        Raises ValueError for an address that is neither https nor on this machine.
        """
        self._venue = venue
        self._base = allowed(rest_url) if rest_url else ""
        self._clock = clock
        self._random = random
        self._wanted: dict[str, None] = {}
        self._missing: dict[str, None] = {}
        self._missing_at_ns = 0
        self._rounds_missing = 0
        self._splits = MAX_SPLITS
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = not rest_url
        self._failures = 0
        self._found: Answers[Market | Failure] = Answers(MAX_WAITING)
        self._thread = threading.Thread(target=self._work, name="rest", daemon=True)
        self._thread.start()

    def request(self, markets: Sequence[str]) -> None:
        """Ask for these markets soon; one that waits already is asked for once."""
        with self._lock:
            for market in markets:
                if len(self._known) < MAX_WAITING or market in self._known:
                    self._known.add(market)
                    self._wanted[market] = None
        if markets:
            self._wake.set()

    def forget(self, markets: Sequence[str]) -> None:
        """Ask no more for markets that are not followed any longer."""
        with self._lock:
            self._known.difference_update(markets)
            for market in markets:
                self._wanted.pop(market, None)

    @property
    def dropped(self) -> int:
        """What found no room."""
        return self._found.dropped

    def poll(self) -> list[Market | Failure]:
        """What has come since the last call; never waits."""
        return self._found.drain()

    def close(self) -> None:
        """End the thread; a request on its way is given up within its timeout."""
        self._closed = True
        self._wake.set()

    def _work(self) -> None:
        """The thread: take what is wanted, ask, and after a failure wait and ask again."""
        if not self._closed:
            # Nothing is loaded and no client is made before there is something to ask.
            self._wake.wait()
        if self._closed:
            return
        with RestClient(self._base, self._clock, lambda: self._closed) as client:
            while not self._closed:
                self._wake.wait(TURN_SECONDS if self._missing else None)
                self._wake.clear()
                wanted = self._take()
                if wanted and not self._closed:
                    self._try(client, wanted)

    def _take(self) -> list[str]:
        """What to ask for now: what was requested, and when it is time what was missing."""
        with self._lock:
            wanted, self._wanted = self._wanted, {}
            if self._missing and self._clock.monotonic_ns() >= self._missing_at_ns:
                wanted.update(self._missing)
                self._missing = {}
            return [market for market in wanted if market in self._known]

    def _try(self, client: RestClient, wanted: list[str]) -> None:
        found: dict[str, Market] = {}
        error: RestError | None = None
        self._splits = MAX_SPLITS
        try:
            self.fetch(client, wanted, found)
        except RestError as fault:
            error = fault
            self._found.offer(Failure(str(fault)))
        for market in found.values():
            self._found.offer(market)
        missing = [market for market in wanted if market not in found]
        if error is not None and not error.refused:
            self._failures += 1
            wait = max(error.wait, jitter(self._random, self._failures))
            client.pause_until(self._clock.monotonic_ns() + round(wait * 1e9))
            with self._lock:
                self._wanted.update(dict.fromkeys(missing))
            self._wake.set()
            return
        self._failures = 0
        if error is None and missing:
            self._found.offer(Failure(f"the venue does not list {', '.join(sorted(missing)[:3])}"))
        self._ask_later(missing)

    def _ask_later(self, missing: Sequence[str]) -> None:
        """Put off what the venue does not have: it may be listed here minutes after it was announced.

        Nobody waits for it: other requests go out meanwhile.
        """
        if missing:
            self._rounds_missing += 1
            wait_ns = round(jitter(self._random, self._rounds_missing) * 1e9)
            self._missing_at_ns = self._clock.monotonic_ns() + wait_ns
            self._missing.update(dict.fromkeys(missing))
        elif not self._missing:
            self._rounds_missing = 0

    def fetch(self, client: RestClient, wanted: Sequence[str], found: dict[str, Market]) -> None:
        """Ask for `wanted` now, waiting for the answers, which go into `found`. Raises RestError.

        A venue that refuses a list because of one name in it is asked for each half of the list.
        """
        paths, parse = market_source(self._venue)
        refused: RestError | None = None
        for path in paths(wanted):
            try:
                read = client.read(
                    Request("GET", path), lambda body: parse(body, wanted, None, self._clock.wall_ns())
                )
                found.update((market.market, market) for market in self._priced(client, read))
            except RestError as error:
                if not error.refused:
                    raise
                refused = error
        if refused is None:
            return
        if len(wanted) > 1 and self._splits > 0 and found.keys().isdisjoint(wanted):
            self._splits -= 1
            middle = len(wanted) // 2
            for half in (wanted[:middle], wanted[middle:]):
                try:
                    self.fetch(client, half, found)
                except RestError as error:
                    if not error.refused:
                        raise
        raise refused

    def _priced(self, client: RestClient, markets: list[Market]) -> list[Market]:
        """`markets` with their fees, where a venue tells these apart from the markets.

        A fee that the venue refuses to tell stays unknown: the market is watched and not traded.
        """
        if self._venue != "kalshi":
            return markets
        from pipeline.venues.kalshi import markets as kalshi  # for Kalshi's feed alone

        for path in kalshi.fee_paths(markets):
            known = markets
            try:
                request = Request("GET", path)
                markets = client.read(
                    request,
                    lambda body: kalshi.parse_fees(body, known, self._clock.wall_ns()),  # noqa: B023
                )
            except RestError as error:
                if not error.refused:
                    raise
                self._found.offer(Failure(str(error)))
        return markets
