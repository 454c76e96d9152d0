"""HTTP: requests to a venue's public REST, bounded in size and time. The door to httpx.

In: requests (method, path, body). Out: what a parser makes of the answer, or a `RestError` that says how
long to wait and whether the venue disliked the question. Run by the feed's REST threads
(`rest.MarketDirectory`, `rest_books.RestBooks`), each with a client of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from pipeline.clock import Clock
from pipeline.feed.session import retry_after
from pipeline.venues.asking import Request
from pipeline.venues.parsing import VenueTroubleError, text_of

T = TypeVar("T")

TIMEOUT_SECONDS = 5.0
# A timeout bounds the wait for the next byte; this bounds a body that never ends.
BODY_SECONDS = 20.0
MAX_BODY_BYTES = 4 * 2**20
# Bodies are wanted as they are: unpacked, 64 KiB off the wire may be 64 MiB before anyone can count.
PLAIN = "identity"
# Coinbase keeps public answers for a second, others behind a content network: we want none of those.
FRESH = "no-cache"
RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 30.0
TURN_SECONDS = 0.02
# Statuses that are about what was asked for, not about how the venue is.
REFUSALS = frozenset({400, 404, 410, 414, 422})
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SHOWN = 60

# Signed headers for a method and a path without its query, where a venue wants them.
Sign = Callable[[str, str], Mapping[str, str]]


class RestError(Exception):
    """A request failed; `wait` is how long the venue asked to be left alone, in seconds.

    `refused` is True where the venue is well and dislikes what was asked for, such as an unknown market:
    then other requests may go on.
    """

    def __init__(self, why: str, wait: float = 0.0, *, refused: bool = False) -> None:
        super().__init__(why)
        self.wait = wait
        self.refused = refused


class RestClient:
    """One venue's REST over a connection that is kept; for one thread, as a context manager.

    `given_up` is asked while a body is read and while we wait: True ends both. `sign` gives headers for
    each request.
    """

    def __init__(
        self,
        base_url: str,
        clock: Clock,
        given_up: Callable[[], bool],
        *,
        sign: Sign | None = None,
    ) -> None:
        """No request goes out yet. Raises ValueError for an address that is not `allowed`."""
        # It takes 100 ms to load, which a feed that was just restarted has better uses for: the thread that
        # asks waits for it, and the books do not.
        import httpx

        self._base = allowed(base_url)
        self._clock = clock
        self._given_up = given_up
        self._sign = sign
        headers = {"Accept-Encoding": PLAIN, "Cache-Control": FRESH}
        limits = httpx.Timeout(TIMEOUT_SECONDS)
        self._client = httpx.Client(timeout=limits, headers=headers, follow_redirects=False, trust_env=False)

    def __enter__(self) -> Self:
        """Nothing is opened before the first request."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def read(self, request: Request, parse: Callable[[bytes], T]) -> T:
        """Ask, wait for the answer and parse it. Raises RestError for anything that goes wrong.

        A VenueTroubleError of `parse` is the venue's trouble; any other ValueError is a refusal.
        """
        body = self._body(request)
        try:
            return parse(body)
        except VenueTroubleError as error:
            raise RestError(text_of(error)) from error
        except ValueError as error:
            raise RestError(text_of(error), refused=True) from error

    def _body(self, request: Request) -> bytes:
        """The body of the answer to one request, at most MAX_BODY_BYTES."""
        import httpx

        body = bytearray()
        shown = request.path[:_SHOWN]
        deadline_ns = self._clock.monotonic_ns() + round(BODY_SECONDS * 1e9)
        url = self._base + request.path
        try:
            headers = dict(self._sign(request.method, urlsplit(url).path)) if self._sign else {}
            if request.body:
                headers["Content-Type"] = "application/json"
            content = request.body or None
            with self._client.stream(request.method, url, content=content, headers=headers) as response:
                if response.headers.get("content-encoding", PLAIN) != PLAIN:
                    raise RestError(f"the answer to {shown} is compressed, which we did not ask for")
                for part in response.iter_raw():
                    body += part
                    if len(body) > MAX_BODY_BYTES:
                        raise RestError(f"the answer to {shown} is over {MAX_BODY_BYTES} bytes")
                    if self._given_up() or self._clock.monotonic_ns() > deadline_ns:
                        raise RestError(f"the answer to {shown} took over {BODY_SECONDS:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise RestError(f"{type(error).__name__} {text_of(error)}".strip()) from error
        status = response.status_code
        if status != httpx.codes.OK:
            wait = retry_after(response.headers.get("retry-after", ""))
            raise RestError(f"{shown} was answered with {status}", wait, refused=status in REFUSALS)
        return bytes(body)

    def pause_until(self, until_ns: int) -> None:
        """Ask nothing before that monotonic time, unless given up."""
        while not self._given_up() and (left_ns := until_ns - self._clock.monotonic_ns()) > 0:
            self._clock.sleep(min(TURN_SECONDS, left_ns / 1e9))


def allowed(base_url: str) -> str:
    """The address without a slash at its end; ValueError unless it is https or on this machine."""
    parts = urlsplit(base_url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ValueError(f"{base_url} is neither https nor on this machine")
    return base_url.rstrip("/")


def jitter(random: Random, failures: int) -> float:
    """Seconds to wait after so many failures in a row: full jitter below a bound that doubles."""
    bound = min(RETRY_SECONDS * 2 ** min(failures - 1, 10), MAX_RETRY_SECONDS)
    return random.uniform(0, bound)
