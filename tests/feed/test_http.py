"""The door to httpx: one request, its bounds, and what its errors say.

That bodies have bounds in size and time and are never unpacked is held by tests/feed/test_rest.py too,
through the whole thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from pipeline.clock import ManualClock
from pipeline.feed import http
from pipeline.feed.http import RestClient, RestError, allowed, jitter, retry_after
from pipeline.venues.asking import Request
from pipeline.venues.parsing import VenueTroubleError
from tests.support.rest_venue import Longest, Venue


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def venue(clock: ManualClock) -> Iterator[Venue]:
    venue = Venue(clock)
    venue.answer = lambda _: (200, b"good", {})
    yield venue
    venue.close()


@pytest.fixture
def client(venue: Venue, clock: ManualClock) -> Iterator[RestClient]:
    with RestClient(venue.url + "/", clock, lambda: False) as client:
        yield client


def test_a_get_asks_for_a_fresh_plain_body(venue: Venue, client: RestClient) -> None:
    """The path goes under the base address; caches are passed by and nothing is packed."""
    assert client.read(Request("GET", "/a?b=c"), bytes) == b"good"
    assert venue.asked[0][0] == "/a?b=c"
    assert venue.headers[0]["Cache-Control"] == "no-cache"
    assert venue.headers[0]["Accept-Encoding"] == "identity"
    assert "Content-Type" not in venue.headers[0]


def test_a_post_carries_its_body_as_json(venue: Venue, client: RestClient) -> None:
    """Exactly the bytes given are sent."""
    assert client.read(Request("POST", "/books", b'[{"token_id":"1"}]'), bytes) == b"good"
    assert venue.posted == [b'[{"token_id":"1"}]']
    assert venue.headers[0]["Content-Type"] == "application/json"


def test_a_request_can_be_signed(venue: Venue, clock: ManualClock) -> None:
    """The signer is given the method and the whole path without its query."""
    seen: list[tuple[str, str]] = []

    def sign(method: str, path: str) -> dict[str, str]:
        seen.append((method, path))
        return {"X-SIGNED": "yes"}

    with RestClient(venue.url + "/trade-api/v2", clock, lambda: False, sign=sign) as client:
        client.read(Request("GET", "/markets/orderbooks?tickers=A"), bytes)
    assert seen == [("GET", "/trade-api/v2/markets/orderbooks")]
    assert venue.headers[0]["X-SIGNED"] == "yes"


@pytest.mark.parametrize(("error", "refused"), [(ValueError, True), (VenueTroubleError, False)])
def test_what_a_parser_says_is_trouble_or_a_refusal(
    error: type[ValueError], refused: bool, client: RestClient
) -> None:
    """Nonsense is about the question; the venue's own word of trouble is not."""

    def parse(_: bytes) -> None:
        raise error("no good")

    with pytest.raises(RestError, match="no good") as caught:
        client.read(Request("GET", "/a"), parse)
    assert caught.value.refused is refused


@pytest.mark.parametrize(
    ("status", "refused"),
    [(400, True), (401, False), (403, False), (404, True), (414, True), (429, False), (503, False)],
)
def test_a_status_says_whether_to_ask_others(
    status: int, refused: bool, venue: Venue, client: RestClient
) -> None:
    """The wait is what the venue asked for, within our bound."""
    venue.answer = lambda _: (status, b"", {"Retry-After": "7"})
    with pytest.raises(RestError, match=f"/a was answered with {status}") as caught:
        client.read(Request("GET", "/a"), bytes)
    assert (caught.value.refused, caught.value.wait) == (refused, 7.0)


def test_a_body_over_the_bound_is_given_up(
    venue: Venue, client: RestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than the bound and one chunk is ever held."""
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 100_000)
    venue.answer = lambda _: (200, b" " * 500_000, {})
    with pytest.raises(RestError, match="over 100000 bytes"):
        client.read(Request("GET", "/a"), bytes)


def test_a_redirect_is_an_answer_like_any_other(venue: Venue, client: RestClient) -> None:
    """It is not followed."""
    venue.answer = lambda _: (302, b"", {"Location": venue.url + "/evil"})
    with pytest.raises(RestError, match="302"):
        client.read(Request("POST", "/a", b"[]"), bytes)
    assert len(venue.asked) == 1


def test_a_pause_ends_in_time_or_when_given_up(venue: Venue, clock: ManualClock) -> None:
    """It asks in small turns whether it is still wanted."""
    asked: list[bool] = []

    def given_up() -> bool:
        asked.append(True)
        return len(asked) > 5

    with RestClient(venue.url, clock, lambda: False) as client:
        before = clock.monotonic_ns()
        client.pause_until(before + 1_000_000_000)
        assert clock.monotonic_ns() == before + 1_000_000_000
        client.pause_until(before)
    with RestClient(venue.url, clock, given_up) as client:
        client.pause_until(clock.monotonic_ns() + 10**15)
    assert len(asked) == 6


@pytest.mark.parametrize("url", ["", "http://example.org", "ftp://localhost.example.org", "localhost:80"])
def test_only_https_leaves_this_machine(url: str) -> None:
    """Anything else is refused before a byte is sent."""
    with pytest.raises(ValueError, match="neither https nor on this machine"):
        allowed(url)


def test_waits_have_full_jitter_below_a_bound_that_doubles() -> None:
    """0.5, 1, 2 ... 30 seconds; the wait is drawn between 0 and that."""
    random = Longest()
    assert [jitter(random, n) for n in (1, 2, 3, 7, 99)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert all(0 <= jitter(Random(n), 3) <= 2.0 for n in range(20))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0.0),
        ("0", 0.0),
        ("7", 7.0),
        ("301", 300.0),
        ("9" * 400, 300.0),
        ("Fri, 31 Dec 2027 23:59:59 GMT", 300.0),
        ("-5", 300.0),
        ("1.5", 300.0),
        ("١", 300.0),
    ],
)
def test_a_retry_after_is_seconds_within_a_bound(text: str, seconds: float) -> None:
    """What is no count of seconds, such as a date, is the longest wait."""
    assert retry_after(text) == seconds
