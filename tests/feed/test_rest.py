"""The asking thread: it finds what there is, obeys a venue that is busy, and never holds the feed up.

The venue is a real HTTP server on loopback that answers as each test tells it. Waits pass on a clock
that moves only when somebody waits on it, so they take no time; the server notes that clock.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.clock import Clock, ManualClock, SystemClock
from pipeline.feed import http, rest
from pipeline.feed.rest import Failure, MarketDirectory
from pipeline.model import UNKNOWN_FEE, FeeKind, Market
from tests.support.rest_venue import PATIENCE_SECONDS, Answer, Held, Longest, Venue, product, until

DATA = Path(__file__).resolve().parents[1] / "venues" / "data"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that move the clock while a request is on its way: its body may take for ever."""
    monkeypatch.setattr(http, "BODY_SECONDS", 1e9)


@pytest.fixture
def venue(clock: ManualClock) -> Iterator[Venue]:
    venue = Venue(clock)
    yield venue
    venue.close()


@pytest.fixture
def ask(venue: Venue, clock: ManualClock) -> Iterator[Callable[..., MarketDirectory]]:
    """Makes directories that are closed when the test ends."""
    made: list[MarketDirectory] = []

    def make(
        name: str = "coinbase", own_clock: Clock = clock, random: Random | None = None
    ) -> MarketDirectory:
        directory = MarketDirectory(name, venue.url, clock=own_clock, random=random or Random(1))
        made.append(directory)
        return directory

    yield make
    for directory in made:
        directory.close()
    for directory in made:
        directory._thread.join(PATIENCE_SECONDS)


def pass_time(clock: ManualClock) -> bool:
    """So long that whatever is put off is due."""
    clock.advance(round(http.MAX_RETRY_SECONDS * 1e9))
    return True


class Found:
    """What a directory has given so far."""

    def __init__(self, directory: MarketDirectory) -> None:
        self._directory = directory
        self.markets: dict[str, Market] = {}
        self.failures: list[str] = []

    def look(self) -> Found:
        for each in self._directory.poll():
            if isinstance(each, Failure):
                self.failures.append(each.why)
            else:
                self.markets[each.market] = each
        return self

    def wait(self, *names: str, failures: int = 0) -> Found:
        """Until all of `names` are found and so many requests have failed."""
        until(lambda: self.look().markets.keys() >= set(names) and len(self.failures) >= failures)
        return self


# -- finding


def from_files(path: str) -> Answer:
    """The venues' answers as our payload files have them."""
    parts = urlsplit(path)
    names = {
        "/markets": "kalshi/rest_markets" if "tickers" in parts.query else "polymarket/rest_markets",
        "/series/KXRAIN": "kalshi/rest_series",
        "/events/KXRAIN-26NOV30": "kalshi/rest_event",
        "/0/public/AssetPairs": "kraken/rest_asset_pairs",
        "/market/products/BTC-USD": "coinbase/rest_product",
    }
    if "closed" in parse_qs(parts.query):
        return 200, b"[]", {}
    name = names.get(parts.path)
    return (200, (DATA / f"{name}.json").read_bytes(), {}) if name else (404, b"", {})


@pytest.mark.parametrize(
    ("name", "markets", "fee"),
    [
        ("kalshi", ["KXRAIN-26NOV30-T2", "KXRAIN-26NOV30-T5"], FeeKind.KALSHI),
        ("polymarket", ["1" * 38 + "2" * 38, "3" * 38 + "4" * 38], FeeKind.POLYMARKET),
        ("kraken", ["BTC/USD", "DOGE/USD"], FeeKind.BPS),
        ("coinbase", ["BTC-USD"], FeeKind.UNKNOWN),
    ],
)
def test_every_venue_is_asked_in_its_own_way(
    name: str, markets: list[str], fee: FeeKind, venue: Venue, ask: Callable[..., MarketDirectory]
) -> None:
    """Markets come with all that the venue says of them, Kalshi's with the fee of their series."""
    venue.answer = from_files
    directory = ask(name)
    directory.request(markets)
    found = Found(directory).wait(*markets)
    assert found.failures == []
    assert {market.fee.kind for market in found.markets.values()} == {fee}


def test_what_is_asked_for_twice_is_asked_once(venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """While one request is on its way others gather, each name once."""
    venue.answer = held = Held(lambda path: product(path.rpartition("/")[2]))
    directory = ask()
    directory.request(["A"])
    held.wait_asked()
    for _ in range(3):
        directory.request(["B", "C"])
    directory.request([])
    held.release()
    Found(directory).wait("A", "B", "C")
    assert venue.paths() == ["A", "B", "C"]


def test_polling_never_waits_for_a_slow_venue(
    venue: Venue, ask: Callable[..., MarketDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is released only after `poll` has come back; the request itself is given up in time."""
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.1)
    venue.answer = held = Held(lambda _: None)
    directory = ask()
    assert directory.poll() == []
    directory.request(["A"])
    held.wait_asked()
    assert all(isinstance(each, Failure) for each in directory.poll())
    found = Found(directory).wait(failures=1)
    assert "ReadTimeout" in found.failures[0]
    venue.answer = lambda path: product(path.rpartition("/")[2])
    held.release()
    found.wait("A")


# -- what is missing


def test_a_missing_market_holds_nobody_up_and_is_asked_again(
    venue: Venue, clock: ManualClock, ask: Callable[..., MarketDirectory]
) -> None:
    """Others are found at once; what was not there is found when it is, after a wait of seconds."""
    listed = {"A", "C"}
    venue.answer = lambda path: product(name) if (name := path[-1]) in listed else (404, b"", {})
    random = Longest()
    directory = ask(random=random)
    directory.request(["B", "A"])
    found = Found(directory).wait("A", failures=1)
    assert "404" in found.failures[0]
    directory.request(["C"])
    found.wait("C")
    assert venue.paths() == ["B", "A", "C"]
    listed.add("B")
    pass_time(clock)
    found.wait("B")
    assert venue.paths() == ["B", "A", "C", "B"]
    assert random.bounds == [http.RETRY_SECONDS]
    directory.request(["D"])
    until(lambda: len(random.bounds) > 1)
    assert random.bounds == [http.RETRY_SECONDS] * 2


def test_a_market_that_is_never_listed_is_asked_for_ever_more_seldom(
    venue: Venue, clock: ManualClock, ask: Callable[..., MarketDirectory], patient: None
) -> None:
    """An empty answer is a refusal too; the waits double up to a bound, whatever else is found meanwhile."""
    venue.answer = lambda path: (200, b'{"markets":[]}', {}) if "tickers" in path else (404, b"", {})
    random = Longest()
    directory = ask("kalshi", random=random)
    directory.request(["KX-1"])
    found = Found(directory).wait(failures=1)
    assert found.failures[0] == "the venue does not list KX-1"
    until(lambda: pass_time(clock) and len(random.bounds) > 8)
    assert random.bounds[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_one_unknown_name_does_not_hide_the_others(venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """Kraken refuses a list with one unknown pair whole: its halves are asked for until it is alone."""
    names = [f"A{number}/USD" for number in range(10)]

    def answer(path: str) -> Answer:
        pairs = parse_qs(urlsplit(path).query)["pair"][0].split(",")
        if "A6USD" in pairs:
            return 200, (DATA / "kraken" / "rest_error.json").read_bytes(), {}
        described = {"pair_decimals": 1, "lot_decimals": 8}
        result = {pair: described | {"wsname": pair.replace("USD", "/USD")} for pair in pairs}
        return 200, json.dumps({"error": [], "result": result}).encode(), {}

    venue.answer = answer
    directory = ask("kraken")
    directory.request(names)
    found = Found(directory).wait(*(name for name in names if name != "A6/USD"), failures=1)
    assert "Unknown asset pair" in found.failures[0]
    assert "A6/USD" not in found.markets
    assert len(venue.asked) < 10


def test_halving_is_bounded(venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """A page that is no answer at all costs a few requests, not two for each market."""
    venue.answer = lambda _: (200, b"<html>we are moving</html>", {})
    directory = ask("kraken")
    directory.request([f"A{number}/USD" for number in range(500)])
    found = Found(directory).wait(failures=1)
    assert found.failures[0].startswith("Kraken's asset pairs cannot be read")
    assert len(venue.asked) <= 1 + 2 * rest.MAX_SPLITS


def test_a_fee_that_is_refused_stays_unknown(venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """The market is found all the same, to be watched and not traded."""
    venue.answer = lambda path: from_files(path) if "tickers" in path else (404, b"{}", {})
    directory = ask("kalshi")
    directory.request(["KXRAIN-26NOV30-T2"])
    found = Found(directory).wait("KXRAIN-26NOV30-T2", failures=2)
    assert found.markets["KXRAIN-26NOV30-T2"].fee.kind == UNKNOWN_FEE.kind
    assert found.failures[0] == "/series/KXRAIN was answered with 404"
    assert found.failures[1].startswith("/events/KXRAIN-26NOV30")


def test_what_was_found_before_the_venue_failed_is_told(
    venue: Venue, ask: Callable[..., MarketDirectory]
) -> None:
    """Only the rest is asked again."""
    troubles: list[Answer] = [(503, b"", {})]

    def answer(path: str) -> Answer:
        return troubles.pop() if troubles and path.endswith("B") else product(path.rpartition("/")[2])

    venue.answer = answer
    directory = ask()
    directory.request(["A", "B", "C"])
    found = Found(directory).wait("A", "B", "C")
    assert len(found.failures) == 1
    assert venue.paths() == ["A", "B", "B", "C"]


# -- a venue in trouble


def test_a_venue_that_asks_for_time_gets_it(venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """429 with Retry-After: nothing at all is asked before it is over."""
    answers: list[Answer] = [(429, b"slow down", {"Retry-After": "7"})]
    venue.answer = lambda path: answers.pop() if answers else product(path.rpartition("/")[2])
    directory = ask()
    directory.request(["A", "B"])
    found = Found(directory).wait("A", "B")
    assert found.failures == ["/market/products/A was answered with 429"]
    (first, asked_ns), (second, again_ns), _ = venue.asked
    assert first == second
    assert again_ns - asked_ns >= 7_000_000_000


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 502, 503])
def test_an_error_is_reported_and_tried_again(
    status: int, venue: Venue, ask: Callable[..., MarketDirectory]
) -> None:
    """However often it fails, the market comes in the end."""
    answers: list[Answer] = [(status, b"no", {})] * 3
    venue.answer = lambda path: answers.pop() if answers else product(path.rpartition("/")[2])
    directory = ask()
    directory.request(["A"])
    found = Found(directory).wait("A")
    assert found.failures == [f"/market/products/A was answered with {status}"] * 3
    assert venue.paths() == ["A"] * 4


def test_waits_after_failures_double_up_to_a_bound(venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """Full jitter below 0.5, 1, 2 ... 30 s; a success ends the streak."""
    answers: list[Answer] = [(500, b"", {})] * 8
    venue.answer = lambda path: answers.pop() if answers else product(path.rpartition("/")[2])
    random = Longest()
    directory = ask(random=random)
    directory.request(["A"])
    found = Found(directory).wait("A")
    assert random.bounds == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    waits_ns = [later - sooner for (_, sooner), (_, later) in zip(venue.asked, venue.asked[1:], strict=False)]
    assert all(wait_ns >= bound * 1e9 for wait_ns, bound in zip(waits_ns, random.bounds, strict=True))
    answers.append((500, b"", {}))
    directory.request(["B"])
    found.wait("B")
    assert random.bounds[8:] == [0.5]


def test_trouble_of_the_venues_own_is_no_reason_to_split(
    venue: Venue, ask: Callable[..., MarketDirectory]
) -> None:
    """Kraken says busy with status 200: the whole list is asked again, later."""
    busy = (DATA / "kraken" / "rest_busy.json").read_bytes()
    answers: list[Answer] = [(200, busy, {})] * 2
    venue.answer = lambda path: answers.pop() if answers else from_files(path)
    directory = ask("kraken")
    directory.request(["BTC/USD", "DOGE/USD"])
    found = Found(directory).wait("BTC/USD", "DOGE/USD")
    assert found.failures == ["Kraken answered EService:Unavailable"] * 2
    assert len(venue.asked) == 3


def test_a_venue_that_is_not_there_is_tried_again(clock: ManualClock) -> None:
    """A refused connection is a failure like any other."""
    gone = Venue(clock)
    gone.close()
    directory = MarketDirectory("coinbase", gone.url, clock=clock, random=Random(1))
    directory.request(["A"])
    found = Found(directory).wait(failures=2)
    assert "ConnectError" in found.failures[0]
    directory.close()
    directory._thread.join(PATIENCE_SECONDS)


# -- a venue that means harm


def test_a_redirect_is_not_followed(venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """Where it points to is never asked for."""
    answers: list[Answer] = [(302, b"", {"Location": f"{venue.url}/market/products/EVIL"})]
    venue.answer = lambda path: answers.pop() if answers else product(path.rpartition("/")[2])
    directory = ask()
    directory.request(["A"])
    found = Found(directory).wait("A")
    assert found.failures == ["/market/products/A was answered with 302"]
    assert venue.paths() == ["A", "A"]


def test_a_body_without_an_end_in_sight_is_given_up(
    venue: Venue, ask: Callable[..., MarketDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its length is said to be, no more than the bound is read."""
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 100_000)
    answers: list[Answer] = [
        (200, b" " * 300_000, {}),
        (200, b" " * 300_000, {"Content-Length": "1000000000"}),
    ]
    venue.answer = lambda path: answers.pop() if answers else product(path.rpartition("/")[2])
    directory = ask()
    directory.request(["A"])
    found = Found(directory).wait("A")
    assert found.failures == ["the answer to /market/products/A is over 100000 bytes"] * 2


def test_a_compressed_body_is_refused_unread(venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """Bodies are asked for as they are, and one that is packed all the same is never unpacked."""
    packed = gzip.compress(product("A")[1])
    answers: list[Answer] = [(200, packed, {"Content-Encoding": "gzip"})]
    venue.answer = lambda path: answers.pop() if answers else product(path.rpartition("/")[2])
    directory = ask()
    directory.request(["A"])
    found = Found(directory).wait("A")
    why = "the answer to /market/products/A is compressed, which we did not ask for"
    assert found.failures == [why]
    assert [headers["Accept-Encoding"] for headers in venue.headers] == ["identity"] * 2


def test_a_body_that_drips_is_given_up(
    venue: Venue, clock: ManualClock, ask: Callable[..., MarketDirectory]
) -> None:
    """Each byte comes in time, but the whole does not."""
    names = iter("1")

    def answer(path: str) -> Answer:
        if next(names, ""):
            clock.advance(round((http.BODY_SECONDS + 1) * 1e9))
        return product(path.rpartition("/")[2])

    venue.answer = answer
    directory = ask()
    directory.request(["A"])
    found = Found(directory).wait("A")
    assert found.failures == ["the answer to /market/products/A took over 20 s"]


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"\xff\xfe", b"[" * 100_000, b'{"product_id":5}'])
def test_nonsense_is_a_failure_in_one_sentence(
    body: bytes, venue: Venue, clock: ManualClock, ask: Callable[..., MarketDirectory], patient: None
) -> None:
    """The thread lives on and finds the market when the venue has come to its senses."""
    answers: list[Answer] = [(200, body, {})]
    venue.answer = lambda path: answers.pop() if answers else product(path.rpartition("/")[2])
    directory = ask()
    directory.request(["A"])
    found = Found(directory).wait(failures=1)
    assert found.failures[0].startswith("Coinbase's product cannot be read")
    assert "\n" not in found.failures[0]
    until(lambda: pass_time(clock) and "A" in found.look().markets)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "http://127.0.0.1.example.org",
        "http://127.0.0.1@example.org",
        "http://localhost.example.org:80",
        "wss://example.org",
        "ftp://example.org",
        "example.org",
        "http://",
    ],
)
def test_only_https_leaves_this_machine(url: str, clock: ManualClock) -> None:
    """Without it anybody on the way could invent prices grids and fees."""
    with pytest.raises(ValueError, match="neither https nor on this machine"):
        MarketDirectory("coinbase", url, clock=clock, random=Random(1))


# -- the end


def test_what_is_forgotten_is_not_asked_again(venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """Even when its request was on its way, and failed."""
    held = Held(lambda _: (500, b"", {}))
    venue.answer = lambda path: held(path) if path.endswith("A") else product(path.rpartition("/")[2])
    directory = ask()
    directory.request(["A"])
    held.wait_asked()
    directory.forget(["A", "unknown"])
    directory.request(["B"])
    directory.forget(["B"])
    directory.request(["C"])
    held.release()
    Found(directory).wait("C", failures=1)
    assert venue.paths() == ["A", "C"]


def test_what_is_forgotten_while_it_is_missing_is_not_asked_again(
    venue: Venue, clock: ManualClock, ask: Callable[..., MarketDirectory]
) -> None:
    """Its next turn is left out."""
    venue.answer = lambda path: (404, b"", {}) if path.endswith("A") else product(path.rpartition("/")[2])
    directory = ask()
    directory.request(["A"])
    found = Found(directory).wait(failures=1)
    directory.forget(["A"])
    directory.request(["B"])
    found.wait("B")
    pass_time(clock)
    directory.request(["C"])
    found.wait("C")
    assert venue.paths() == ["A", "B", "C"]


def test_no_more_markets_are_kept_than_the_bound(
    venue: Venue, ask: Callable[..., MarketDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further names are not asked for; a forgotten one makes room."""
    monkeypatch.setattr(rest, "MAX_WAITING", 2)
    directory = ask()
    directory.request(["A", "B", "C"])
    found = Found(directory).wait("A", "B")
    directory.request(["C"])
    directory.forget(["A"])
    directory.request(["D", "B"])
    found.wait("D")
    until(lambda: len(venue.asked) == 4)
    assert sorted(venue.paths()) == ["A", "B", "B", "D"]


@pytest.mark.parametrize("state", ["idle", "waiting", "missing"])
def test_closing_ends_the_thread(state: str, venue: Venue, ask: Callable[..., MarketDirectory]) -> None:
    """Also in the middle of a wait of minutes, on the real clock."""
    venue.answer = lambda _: (404, b"", {}) if state == "missing" else (503, b"", {"Retry-After": "250"})
    directory = ask(own_clock=SystemClock(), random=Longest())
    if state != "idle":
        directory.request(["A"])
        Found(directory).wait(failures=1)
    assert directory._thread.is_alive()
    directory.close()
    directory._thread.join(PATIENCE_SECONDS)
    assert not directory._thread.is_alive()


def test_without_an_address_nothing_is_asked(clock: ManualClock) -> None:
    """A venue whose REST is not configured has no metadata, and that is no error."""
    directory = MarketDirectory("coinbase", "", clock=clock, random=Random(1))
    directory.request(["A"])
    directory._thread.join(PATIENCE_SECONDS)
    assert not directory._thread.is_alive()
    assert directory.poll() == []


def test_what_nobody_polls_is_dropped_and_counted(
    venue: Venue, ask: Callable[..., MarketDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue of results has a bound; what it cannot take is asked for again by whoever polls."""
    monkeypatch.setattr(rest, "MAX_WAITING", 2)
    directory = ask()
    directory.request(["A", "B"])
    until(directory._found.full)
    assert directory.dropped == 0
    directory.request(["A", "B"])
    until(lambda: directory.dropped == 2)
    Found(directory).wait("A", "B")
