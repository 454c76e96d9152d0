"""REST: a venue's public metadata, asked for beside the receive loop. The door to httpx.

In: names of markets. Out: `Market` values or failures, later, from `poll`. Run by a feed: requests go
out from a thread of their own, one at a time, so that the loop that beats never waits for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, Full, Queue
from random import Random
from urllib.parse import urlsplit

import httpx

from pipeline.clock import Clock
from pipeline.model import FeeSchedule, Market
from pipeline.venues.coinbase import markets as coinbase
from pipeline.venues.kalshi import markets as kalshi
from pipeline.venues.kraken import markets as kraken
from pipeline.venues.parsing import text_of
from pipeline.venues.polymarket import markets as polymarket

TIMEOUT_SECONDS = 5.0
MAX_BODY_BYTES = 4 * 2**20
MAX_WAITING = 10_000
RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 30.0
MAX_RETRY_AFTER_SECONDS = 300.0
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

Parse = Callable[[bytes, Sequence[str], FeeSchedule | None], list[Market]]
# Which paths to ask for, and how to read their answers.
SOURCES: dict[str, tuple[Callable[[Sequence[str]], list[str]], Parse]] = {
    "kalshi": (kalshi.paths, kalshi.parse),
    "polymarket": (polymarket.paths, polymarket.parse),
    "kraken": (kraken.paths, kraken.parse),
    "coinbase": (coinbase.paths, coinbase.parse),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that did not give metadata; it will be tried again by itself."""

    why: str


class RestError(Exception):
    """A request failed; `wait` is how long the venue asked to be left alone, in seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class MarketDirectory:
    """Asks a venue for the metadata of markets, again and again until it has them."""

    def __init__(self, venue: str, rest_url: str, *, clock: Clock, random: Random) -> None:
        """Start the asking thread; without an address nothing is ever asked or found.

        Raises ValueError for an address that is neither https nor on this machine.
        """
        parts = urlsplit(rest_url)
        if rest_url and parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ValueError(f"{rest_url} is neither https nor on this machine")
        self._venue = venue
        self._base = rest_url.rstrip("/")
        self._clock = clock
        self._random = random
        self._wanted: dict[str, None] = {}
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = not rest_url
        self._failures = 0
        self._found: Queue[Market | Failure] = Queue(MAX_WAITING)
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

    def _again(self, markets: Sequence[str]) -> None:
        """Ask once more for those that are still followed."""
        with self._lock:
            again = [market for market in markets if market in self._known]
            self._wanted.update(dict.fromkeys(again))
        if again:
            self._wake.set()

    def poll(self) -> list[Market | Failure]:
        """What has come since the last call; never waits."""
        found: list[Market | Failure] = []
        while True:
            try:
                found.append(self._found.get_nowait())
            except Empty:
                return found

    def close(self) -> None:
        """End the thread; a request on its way is given up within its timeout."""
        self._closed = True
        self._wake.set()

    def _work(self) -> None:
        """The thread: take what is wanted, ask, and after a failure wait and ask again."""
        limits = httpx.Timeout(TIMEOUT_SECONDS)
        with httpx.Client(timeout=limits, follow_redirects=False, trust_env=False) as client:
            while not self._closed:
                self._wake.wait()
                self._wake.clear()
                with self._lock:
                    wanted, self._wanted = list(self._wanted), {}
                if wanted and not self._closed:
                    self._try(client, wanted)

    def _try(self, client: httpx.Client, wanted: list[str]) -> None:
        try:
            markets = self.fetch(client, wanted)
        except RestError as error:
            self._failures += 1
            self._put(Failure(str(error)))
            self._pause(error.wait)
            self._again(wanted)
            return
        self._failures = 0
        for market in markets:
            self._put(market)
        missing = set(wanted).difference(market.market for market in markets)
        if missing:
            # A new market may be listed here minutes after it was announced elsewhere.
            self._failures += 1
            self._put(Failure(f"the venue does not list {', '.join(sorted(missing)[:3])}"))
            self._pause(0.0)
            self._again(sorted(missing))

    def fetch(self, client: httpx.Client, wanted: Sequence[str]) -> list[Market]:
        """Ask for `wanted` now, waiting for the answers. Raises RestError."""
        paths, parse = SOURCES[self._venue]
        found: dict[str, Market] = {}
        for path in paths(wanted):
            for market in self._read(client, path, lambda body: parse(body, wanted, None)):
                found[market.market] = market
        markets = list(found.values())
        if self._venue == "kalshi":
            for path in kalshi.fee_paths(markets):
                markets = self._read(client, path, lambda body: kalshi.parse_fees(body, markets))  # noqa: B023
        return markets

    def _read(
        self, client: httpx.Client, path: str, parse: Callable[[bytes], list[Market]]
    ) -> list[Market]:
        """One request, its body read up to MAX_BODY_BYTES and parsed."""
        try:
            with client.stream("GET", self._base + path) as response:
                body = bytearray()
                for part in response.iter_bytes():
                    body += part
                    if len(body) > MAX_BODY_BYTES:
                        raise RestError(f"the answer to {path[:60]} is over {MAX_BODY_BYTES} bytes")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RestError(f"{type(error).__name__} {text_of(error)}".strip()) from error
        if response.status_code != httpx.codes.OK:
            wait = retry_after(response.headers.get("retry-after", ""))
            raise RestError(f"{path[:60]} was answered with {response.status_code}", wait)
        try:
            return parse(bytes(body))
        except ValueError as error:
            raise RestError(text_of(error)) from error

    def _put(self, found: Market | Failure) -> None:
        try:
            self._found.put_nowait(found)
        except Full:
            # Nobody polls: the newest is dropped, and is asked for again with the next round.
            return

    def _pause(self, wait: float) -> None:
        """Full jitter below a bound that doubles, and never before the venue allows it."""
        bound = min(RETRY_SECONDS * 2 ** min(self._failures - 1, 10), MAX_RETRY_SECONDS)
        deadline = self._clock.monotonic_ns() + round(max(wait, self._random.uniform(0, bound)) * 1e9)
        while not self._closed and self._clock.monotonic_ns() < deadline:
            self._clock.sleep(0.02)


def retry_after(text: str) -> float:
    """Seconds of a Retry-After header, at most MAX_RETRY_AFTER_SECONDS; dates count as the most."""
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    return MAX_RETRY_AFTER_SECONDS
