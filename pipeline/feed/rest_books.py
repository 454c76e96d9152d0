"""REST books: order books asked for beside the receive loop, to check the stream or in place of it.

In: names of markets and their scales. Out: samples or failures, later, from `poll`. Run by a feed: requests
go out from a thread of their own, one at a time and no faster than the venue's pace, so that the loop that
beats never waits for them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from random import Random

from pipeline.clock import Clock
from pipeline.feed.answers import Answers
from pipeline.feed.http import RestClient, RestError, Sign, allowed, jitter
from pipeline.feed.rest import Failure
from pipeline.model import Scale
from pipeline.venues.asking import Request, Sample
from pipeline.venues.rest_registry import book_source

MAX_WAITING = 10_000
# How often in a round a list that the venue refuses is halved, to find the name it dislikes.
MAX_SPLITS = 16
# A market that the venue refuses is not asked for again before.
REFUSED_NS = 30_000_000_000


class RestBooks:
    """Asks a venue for order books, once for each `ask`.

    What fails for want of a venue stays asked for, after a wait; what the venue refuses is reported and
    not asked for again for REFUSED_NS. `dropped` counts what found no room, either way.
    """

    def __init__(
        self, venue: str, base_url: str, clock: Clock, random: Random, *, sign: Sign | None = None
    ) -> None:
        """Start the asking thread; without an address nothing is ever asked or found.

        `sign` gives headers for a method and a path, where the venue wants public reads signed. Raises
        ValueError for an address that is neither https nor on this machine.
        """
        self._source = book_source(venue)
        self._base = allowed(base_url) if base_url else ""
        self._clock = clock
        self._random = random
        self._sign = sign
        self._waiting: dict[str, Scale | None] = {}
        self._refused: dict[str, int] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = not base_url
        self._failures = 0
        self._next_ns = 0
        self._unasked = 0
        self._found: Answers[Sample | Failure] = Answers(MAX_WAITING)
        self._thread = threading.Thread(target=self._work, name="rest-books", daemon=True)
        self._thread.start()

    def ask(self, markets: Iterable[str], scales: Mapping[str, Scale]) -> None:
        """Ask once for each of these books, as soon as the venue's pace allows.

        A market that waits already is asked for once, with its newest scale.
        """
        with self._lock:
            for market in markets:
                if len(self._waiting) < MAX_WAITING or market in self._waiting:
                    self._waiting[market] = scales.get(market)
                else:
                    self._unasked += 1
        self._wake.set()

    def forget(self, markets: Iterable[str]) -> None:
        """Ask no more for markets that are not followed any longer."""
        with self._lock:
            for market in markets:
                self._waiting.pop(market, None)
                self._refused.pop(market, None)

    @property
    def dropped(self) -> int:
        """What found no room, asked or found."""
        return self._unasked + self._found.dropped

    def poll(self) -> list[Sample | Failure]:
        """What has come since the last call; never waits."""
        return self._found.drain()

    def close(self) -> None:
        """End the thread; a request on its way is given up within its timeout."""
        self._closed = True
        self._wake.set()

    def _work(self) -> None:
        """The thread: take what waits, a request's worth at a time, and ask."""
        if not self._closed:
            # Nothing is loaded and no client is made before there is something to ask.
            self._wake.wait()
        if self._closed:
            return
        with RestClient(self._base, self._clock, lambda: self._closed, sign=self._sign) as client:
            while not self._closed:
                self._wake.wait()
                self._wake.clear()
                while taken := self._take():
                    self._serve(client, taken)

    def _take(self) -> dict[str, Scale | None]:
        """What the next request is for; nothing once we are closed."""
        now = self._clock.monotonic_ns()
        taken: dict[str, Scale | None] = {}
        with self._lock:
            for market in () if self._closed else list(self._waiting):
                scale = self._waiting.pop(market)
                if now >= self._refused.get(market, 0):
                    self._refused.pop(market, None)
                    taken[market] = scale
                    if len(taken) == self._source.per_request:
                        break
        return taken

    def _serve(self, client: RestClient, taken: dict[str, Scale | None]) -> None:
        """Ask for these; where the venue is in trouble, wait and leave what is missing to wait again."""
        scales = {market: scale for market, scale in taken.items() if scale is not None}
        splits = MAX_SPLITS
        groups = self._source.requests(list(taken))
        while groups and not self._closed:
            request = groups.pop(0)
            try:
                self._request(client, request, scales)
                self._failures = 0
            except RestError as error:
                if not error.refused:
                    self._found.offer(Failure(str(error)))
                    self._give_back([request, *groups], taken)
                    self._failures += 1
                    wait = max(error.wait, jitter(self._random, self._failures))
                    client.pause_until(self._clock.monotonic_ns() + round(wait * 1e9))
                    return
                self._failures = 0
                if len(request.markets) > 1 and splits > 0:
                    splits -= 1
                    middle = len(request.markets) // 2
                    for half in (request.markets[:middle], request.markets[middle:]):
                        groups += self._source.requests(half)
                else:
                    self._refuse(request.markets, str(error))

    def _request(self, client: RestClient, request: Request, scales: Mapping[str, Scale]) -> None:
        """One request, its books put where `poll` finds them. Raises RestError."""
        client.pause_until(self._next_ns)
        asked_ns = self._clock.monotonic_ns()
        self._next_ns = asked_ns + self._source.pace_ns
        parse = self._source.parse
        answered_ns, books = client.read(
            request, lambda body: (self._clock.monotonic_ns(), parse(body, request.markets, scales))
        )
        for book in books:
            self._found.offer(Sample(book, asked_ns, answered_ns))
        told = {book.snapshot.market for book in books}
        missing = tuple(market for market in request.markets if market not in told)
        if missing:
            self._refuse(missing, f"the venue has no book of {', '.join(missing[:3])[:120]}")

    def _give_back(self, requests: list[Request], taken: Mapping[str, Scale | None]) -> None:
        """Let what was not answered wait again, before all else; what was asked anew keeps its new scale."""
        with self._lock:
            late = {market: taken[market] for request in requests for market in request.markets}
            self._waiting = late | self._waiting
        self._wake.set()

    def _refuse(self, markets: Iterable[str], why: str) -> None:
        until_ns = self._clock.monotonic_ns() + REFUSED_NS
        with self._lock:
            for market in markets:
                if len(self._refused) < MAX_WAITING:
                    self._refused[market] = until_ns
        self._found.offer(Failure(why))
