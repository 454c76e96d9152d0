"""The thread that asks for order books: it batches, keeps the venue's pace, and never holds the feed up.

The venue is a real HTTP server on loopback. Waits pass on a clock that moves only when somebody waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.clock import Clock, ManualClock, SystemClock
from pipeline.feed import http, rest_books
from pipeline.feed.rest import Failure
from pipeline.feed.rest_books import MAX_SPLITS, REFUSED_NS, RestBooks
from pipeline.model import DEFAULT_SCALES, Scale
from pipeline.venues.asking import Sample
from tests.support.rest_venue import PATIENCE_SECONDS, Answer, Held, Longest, Venue, until

SCALES: dict[str, Scale] = {}


def kalshi(path: str, unknown: frozenset[str] = frozenset()) -> Answer:
    """Kalshi's answer; it dislikes a list with an unknown ticker as a whole."""
    tickers = parse_qs(urlsplit(path).query)["tickers"]
    if unknown & {*tickers}:
        return 404, b'{"error":"not found"}', {}
    sides = {"yes_dollars": [["0.4000", "10.00"]], "no_dollars": [["0.5500", "7.00"]]}
    listed = [{"ticker": ticker, "orderbook_fp": sides} for ticker in tickers]
    return 200, json.dumps({"orderbooks": listed}).encode(), {}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def venue(clock: ManualClock) -> Iterator[Venue]:
    venue = Venue(clock)
    venue.answer = kalshi
    yield venue
    venue.close()


@pytest.fixture
def books(venue: Venue, clock: ManualClock) -> Iterator[Callable[..., RestBooks]]:
    """Makes askers that are closed when the test ends."""
    made: list[RestBooks] = []

    def make(name: str = "kalshi", own_clock: Clock = clock, random: Random | None = None) -> RestBooks:
        asker = RestBooks(name, venue.url, own_clock, random or Random(1))
        made.append(asker)
        return asker

    yield make
    for asker in made:
        asker.close()
    for asker in made:
        asker._thread.join(PATIENCE_SECONDS)


class Found:
    """What an asker has given so far."""

    def __init__(self, asker: RestBooks) -> None:
        self._asker = asker
        self.samples: list[Sample] = []
        self.failures: list[str] = []

    def wait(self, samples: int = 0, failures: int = 0) -> Found:
        def enough() -> bool:
            for each in self._asker.poll():
                if isinstance(each, Failure):
                    self.failures.append(each.why)
                else:
                    self.samples.append(each)
            return len(self.samples) >= samples and len(self.failures) >= failures

        until(enough)
        return self


def tickers_of(venue: Venue) -> list[list[str]]:
    return [parse_qs(urlsplit(path).query)["tickers"] for path, _ in venue.asked]


def test_a_book_comes_with_the_times_of_its_request(
    venue: Venue, clock: ManualClock, books: Callable[..., RestBooks]
) -> None:
    """It was the venue's at some moment between them."""
    before = clock.monotonic_ns()

    def answer(path: str) -> Answer:
        clock.advance(70_000_000)
        return kalshi(path)

    venue.answer = answer
    asker = books()
    asker.ask(["KX-1"], SCALES)
    (sample,) = Found(asker).wait(1).samples
    assert sample.market == "KX-1"
    assert sample.snapshot.bids == [(400_000, 1_000)] and sample.snapshot.asks == [(450_000, 700)]
    assert before <= sample.asked_ns <= sample.answered_ns - 70_000_000


def test_many_markets_are_asked_for_in_few_requests(venue: Venue, books: Callable[..., RestBooks]) -> None:
    """A hundred in each, every market once."""
    names = [f"KX-{n}" for n in range(930)]
    asker = books()
    asker.ask(names, SCALES)
    found = Found(asker).wait(930)
    assert sorted(sample.market for sample in found.samples) == sorted(names)
    assert len(venue.asked) <= 11
    assert max(map(len, tickers_of(venue))) == 100


def test_what_waits_is_asked_for_once(venue: Venue, books: Callable[..., RestBooks]) -> None:
    """While one request is on its way others gather, each name once."""
    venue.answer = held = Held(kalshi)
    asker = books()
    asker.ask(["A"], SCALES)
    held.wait_asked()
    for _ in range(3):
        asker.ask(["B", "C"], SCALES)
    assert asker.poll() == []
    asker.forget(["C"])
    held.release()
    Found(asker).wait(2)
    asker.ask(["D"], SCALES)
    Found(asker).wait(1)
    assert tickers_of(venue) == [["A"], ["B"], ["D"]]


@pytest.mark.parametrize(("name", "pace_ns"), [("kraken", 1_000_000_000), ("coinbase", 200_000_000)])
def test_requests_keep_the_venues_pace(
    name: str, pace_ns: int, venue: Venue, books: Callable[..., RestBooks]
) -> None:
    """Kraken counts about one public request a second, and asks for one pair each."""

    def answer(path: str) -> Answer:
        query = parse_qs(urlsplit(path).query)
        if name == "kraken":
            return 200, json.dumps({"error": [], "result": {"X": {"bids": [], "asks": []}}}).encode(), {}
        book = {"product_id": query["product_id"][0], "bids": [], "asks": []}
        return 200, json.dumps({"pricebook": book}).encode(), {}

    venue.answer = answer
    asker = books(name)
    markets = [f"A{n}/USD" if name == "kraken" else f"A{n}-USD" for n in range(5)]
    asker.ask(markets, dict.fromkeys(markets, Scale(1, 8)))
    assert len(Found(asker).wait(5).samples) == 5
    times = [at for _, at in venue.asked]
    assert all(later - sooner >= pace_ns for sooner, later in pairwise(times))


def test_polymarket_is_asked_with_a_post(venue: Venue, books: Callable[..., RestBooks]) -> None:
    """The tokens are in its body; one that the venue leaves out is reported."""
    entry = {
        "asset_id": "11",
        "timestamp": "1700000000123",
        "bids": [{"price": ".4", "size": "5"}],
        "asks": [],
    }
    venue.answer = lambda _: (200, json.dumps([entry]).encode(), {})
    asker = books("polymarket")
    asker.ask(["11", "22"], SCALES)
    found = Found(asker).wait(1, 1)
    assert json.loads(venue.posted[0]) == [{"token_id": "11"}, {"token_id": "22"}]
    assert found.samples[0].snapshot.venue_ns == 1_700_000_000_123_000_000
    assert found.failures == ["the venue has no book of 22"]


def test_one_unknown_name_does_not_hide_the_others_and_is_left_alone(
    venue: Venue, clock: ManualClock, books: Callable[..., RestBooks]
) -> None:
    """The halves of a refused list are asked for until it is alone; then not again for a while."""
    venue.answer = lambda path: kalshi(path, frozenset({"KX-6"}))
    names = [f"KX-{n}" for n in range(10)]
    asker = books()
    asker.ask(names, SCALES)
    found = Found(asker).wait(9, 1)
    assert "404" in found.failures[0]
    assert {sample.market for sample in found.samples} == {*names} - {"KX-6"}
    before = len(venue.asked)
    asker.ask(names, SCALES)
    Found(asker).wait(9)
    assert len(venue.asked) == before + 1
    clock.advance(REFUSED_NS)
    asker.ask(["KX-6"], SCALES)
    assert "404" in Found(asker).wait(failures=1).failures[0]


def test_halving_is_bounded(venue: Venue, books: Callable[..., RestBooks]) -> None:
    """A page that is no answer at all costs a few requests, not two for each market."""
    venue.answer = lambda _: (200, b"<html>we are moving</html>", {})
    asker = books()
    asker.ask([f"KX-{n}" for n in range(100)], SCALES)
    found = Found(asker).wait(failures=1)
    until(lambda: len(venue.asked) > MAX_SPLITS)
    assert found.failures[0].startswith("Kalshi's order books cannot be read")
    assert len(venue.asked) <= 1 + 2 * MAX_SPLITS


def test_a_venue_that_asks_for_time_gets_it(venue: Venue, books: Callable[..., RestBooks]) -> None:
    """429 with Retry-After: nothing is asked before it is over, then the same markets are."""
    answers: list[Answer] = [(429, b"slow down", {"Retry-After": "7"})]
    venue.answer = lambda path: answers.pop() if answers else kalshi(path)
    asker = books()
    asker.ask(["A", "B"], SCALES)
    found = Found(asker).wait(2)
    assert len(found.failures) == 1 and "429" in found.failures[0]
    assert tickers_of(venue) == [["A", "B"]] * 2
    assert venue.asked[1][1] - venue.asked[0][1] >= 7_000_000_000


def test_waits_after_failures_double_up_to_a_bound(venue: Venue, books: Callable[..., RestBooks]) -> None:
    """Full jitter below 0.5, 1, 2 ... 30 s, whatever the venue's trouble is."""
    statuses = [500, 502, 503, 401, 403, 425, 408, 500]
    answers: list[Answer] = [(status, b"", {}) for status in statuses]
    venue.answer = lambda path: answers.pop() if answers else kalshi(path)
    random = Longest()
    asker = books(random=random)
    asker.ask(["A"], SCALES)
    Found(asker).wait(1)
    assert random.bounds == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_newer_scale_wins_over_one_that_waits(venue: Venue, books: Callable[..., RestBooks]) -> None:
    """A market that failed is read on the scale that it was asked for with since."""
    answers: list[Answer] = [(500, b"", {})]
    venue.answer = held = Held(lambda path: answers.pop() if answers else kalshi(path))
    asker = books()
    asker.ask(["A"], {"A": Scale(6, 2)})
    held.wait_asked()
    asker.ask(["A"], {"A": Scale(4, 2)})
    held.release()
    assert Found(asker).wait(1).samples[0].snapshot.bids == [(4_000, 1_000)]


def test_results_that_nobody_takes_are_counted(
    venue: Venue, books: Callable[..., RestBooks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue has a bound, and so has what waits; both drops are counted."""
    monkeypatch.setattr(rest_books, "MAX_WAITING", 3)
    asker = books()
    asker.ask(["A", "B", "C", "D"], SCALES)
    until(lambda: len(venue.asked) == 1 and asker._found.qsize() == 3)
    assert asker.dropped == 1
    asker.ask(["A", "B"], SCALES)
    until(lambda: asker.dropped == 3)
    assert len(asker.poll()) == 3


def test_a_slow_answer_never_holds_the_caller(
    venue: Venue, books: Callable[..., RestBooks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ask` and `poll` come back at once, and the request is given up in time."""
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.1)
    venue.answer = held = Held(lambda _: None)
    asker = books()
    asker.ask(["A"], SCALES)
    held.wait_asked()
    asker.ask(["B"], SCALES)
    assert all(isinstance(each, Failure) for each in asker.poll())
    assert "ReadTimeout" in Found(asker).wait(failures=1).failures[0]
    venue.answer = kalshi
    held.release()
    Found(asker).wait(2)


@pytest.mark.parametrize("state", ["idle", "waiting", "closed"])
def test_closing_ends_the_thread(state: str, venue: Venue, books: Callable[..., RestBooks]) -> None:
    """Also in the middle of a wait of minutes, on the real clock."""
    venue.answer = lambda _: (503, b"", {"Retry-After": "250"})
    asker = books(own_clock=SystemClock())
    if state != "idle":
        asker.ask(["A"], SCALES)
        Found(asker).wait(failures=1)
    asker.close()
    asker._thread.join(PATIENCE_SECONDS)
    assert not asker._thread.is_alive()
    if state == "closed":
        asker.ask(["A"], SCALES)
        assert asker.poll() == []


def test_without_an_address_nothing_is_asked(clock: ManualClock) -> None:
    """A venue whose books have no REST is not witnessed, and that is no error."""
    asker = RestBooks("kalshi", "", clock, Random(1))
    asker.ask(["A"], DEFAULT_SCALES)
    asker._thread.join(PATIENCE_SECONDS)
    assert asker.poll() == []


def test_only_https_leaves_this_machine(clock: ManualClock) -> None:
    """As for metadata."""
    with pytest.raises(ValueError, match="neither https nor on this machine"):
        RestBooks("kalshi", "http://example.org", clock, Random(1))
