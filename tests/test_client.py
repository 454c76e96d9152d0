"""The client: what anyone's Python sees of a run, whatever happens to the run."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import client
from pipeline.client.health import connection_word
from pipeline.client.price_event import PriceEvent, moment_of, state_word
from pipeline.client.symbols import pair_form, resolve
from pipeline.clock import ManualClock, SystemClock
from pipeline.config import Config, EventConfig, LegConfig, encode
from pipeline.model import BookFlag, BookState, ConnectionState
from pipeline.model_events import Event, EventLeg
from pipeline.places import instance_of, run_directory, shm_directory
from tests.support.feed_memory import FeedMemory

MS, SECOND = 1_000_000, 1_000_000_000
PATIENCE_SECONDS = 60.0
FED = EventConfig(
    "fed-hold",
    legs=(LegConfig("kalshi", "KXFED-26"), LegConfig("polymarket", "77", polarity="inverse")),
)


class Run:
    """A run's places, and the memory of its feeds."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = ManualClock(monotonic_ns=10**12)
        self.data = tmp_path / "data"
        instance = instance_of(self.data)
        self.run = run_directory(instance, os.environ, os.geteuid())
        self.shm = tmp_path / f"shm-{instance}"
        self.default_shm = shm_directory(instance, "", os.geteuid())
        self.feeds: dict[str, FeedMemory] = {}

    def configure(self, **settings: object) -> None:
        self.run.mkdir(parents=True, exist_ok=True)
        config = Config(shm_directory=str(self.shm), events=(FED,), **settings)  # type: ignore[arg-type]
        fresh = self.run / "config.json.new"
        fresh.write_bytes(encode(config))
        fresh.replace(self.run / "config.json")

    def feed(self, venue: str, **more: int) -> FeedMemory:
        self.feeds[venue] = FeedMemory(self.shm, venue, self.clock, **more)
        return self.feeds[venue]

    def pass_time(self, ms: int = 300, *, dead: tuple[str, ...] = ()) -> None:
        """Time goes by, and the feeds that live beat."""
        self.clock.advance(ms * MS)
        for venue, feed in self.feeds.items():
            if venue not in dead:
                feed.beat()

    def attach(self) -> client.Client:
        return client.attach(self.data, clock=self.clock)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A run with Kraken, Coinbase, Kalshi and Polymarket, one book each."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = Run(tmp_path)
    made.configure()
    made.feed("kraken").book("BTC/USD", [("100.5", "2")], [("100.75", "1.5")])
    made.feed("coinbase").book("BTC-USD", [("100.25", "3")], [("100.5", "4")])
    made.feed("kalshi").book("KXFED-26", [("0.54", "120"), ("0.53", "10")], [("0.56", "80")])
    made.feed("polymarket").book("77", [("0.43", "9")], [("0.45", "7"), ("0.46", "70")])
    yield made
    for feed in made.feeds.values():
        feed.close(unlink=True)


# -- prices ------------------------------------------------------------------------------------------


def test_one_symbol_joins_all_venues(run: Run) -> None:
    """`latest` gives a coin's price at every venue in exact decimals, however it is spelt."""
    for symbol in ("BTC/USD", "btc-usd", "XBT/USD", "xbt_usd", "BTC", " btc "):
        found = run.attach().latest(symbol)
        assert {venue: (event.bid, event.ask) for venue, event in found.items()} == {
            "kraken": (Decimal("100.5"), Decimal("100.75")),
            "coinbase": (Decimal("100.25"), Decimal("100.5")),
        }
        assert {event.symbol for event in found.values()} == {"BTC/USD"}
    event = run.attach().latest("BTC")["kraken"]
    assert (event.bid_quantity, event.ask_quantity) == (2, Decimal("1.5"))
    assert (event.mid, event.spread) == (Decimal("100.625"), Decimal("0.25"))
    assert (event.market, event.state, event.sequence, event.simulated) == ("BTC/USD", "LIVE", 1, True)


def test_an_event_joins_markets_in_its_own_terms(run: Run) -> None:
    """By an event's id an inverse market is turned round; by its own id it is as the venue sends it."""
    prices = run.attach()
    found = prices.latest("FED-hold")
    assert (found["kalshi"].bid, found["kalshi"].ask) == (Decimal("0.54"), Decimal("0.56"))
    turned = found["polymarket"]
    assert (turned.bid, turned.ask) == (Decimal("0.55"), Decimal("0.57"))
    assert (turned.bid_quantity, turned.ask_quantity) == (7, 9)
    assert (turned.symbol, turned.market, turned.inverse) == ("fed-hold", "77", True)
    plain = prices.latest("77")["polymarket"]
    assert (plain.bid, plain.symbol, plain.inverse) == (Decimal("0.43"), "77", False)
    assert set(prices.latest("kxfed-26")) == {"kalshi"}
    assert [event.bid for event in prices.history("polymarket", "fed-hold")] == [Decimal("0.55")]


def test_what_nobody_has_is_nothing(run: Run) -> None:
    """An unknown symbol, venue or run gives empty answers, never an error."""
    prices = run.attach()
    assert prices.latest("ETH/USD") == prices.latest("") == {}
    assert prices.latest_price("kraken", "KXFED-26") is None
    assert prices.latest_price("nowhere", "BTC") is None
    assert prices.history("kraken", "nothing") == prices.history("nowhere", "BTC") == []
    empty = client.attach(run.data.with_name("other"), clock=run.clock)
    assert (empty.latest("BTC"), empty.books()) == ({}, {})
    assert empty.get_statistics()["total_events"] == 0


def test_nothing_stale_looks_fresh(run: Run) -> None:
    """State and age are of the moment of asking: a feed that stopped beating is DEAD, its price ages."""
    prices = run.attach()
    run.pass_time(150)
    event = prices.latest_price("kraken", "BTC")
    assert event is not None
    assert (event.state, event.age_ms, event.tradable) == ("LIVE", 150.0, True)
    run.pass_time(400, dead=("kraken",))
    found = prices.latest("BTC")
    assert (found["kraken"].state, found["kraken"].age_ms, found["kraken"].tradable) == ("DEAD", 550.0, False)
    assert found["coinbase"].state == "LIVE"
    assert prices.history("kraken", "BTC")[-1].state == "DEAD"
    assert prices.books()["kraken"]["BTC/USD"].event.state == "DEAD"


def test_silent_and_quiet_are_told_apart(run: Run) -> None:
    """No proof of life from the venue is STALE; proof without news of this market is QUIET."""
    prices = run.attach()
    run.pass_time(29_000)
    run.clock.advance(2000 * MS)
    for feed in run.feeds.values():
        feed.segment.beat(run.clock.monotonic_ns())
    run.feeds["coinbase"].beat()
    run.clock.advance(100 * MS)
    found = prices.latest("BTC")
    assert (found["kraken"].state, found["coinbase"].state) == ("STALE", "QUIET")


def test_times_flags_and_witness_are_shown(run: Run) -> None:
    """The venue's time, ours, what is known against a book and when REST last agreed come with a price."""
    now = run.clock.monotonic_ns()
    flags = BookFlag.SIM | BookFlag.NOT_TRADABLE
    run.feeds["kraken"].book("BTC/USD", [("1", "1")], [], flags=flags, witness_ns=now - 2 * SECOND)
    run.pass_time(100)
    event = run.attach().latest("BTC")["kraken"]
    assert (event.ask, event.ask_quantity, event.mid, event.spread) == (None, 0, None, None)
    assert (event.verified_ago_s, event.flags, event.tradable) == (2.1, flags, False)
    received = datetime.fromtimestamp((run.clock.wall_ns() - 100 * MS) / 1e9, UTC)
    assert event.received == received
    assert event.venue_time is not None
    assert (received - event.venue_time).total_seconds() == 0.003


def test_a_market_of_unknown_scale_has_no_price(run: Run) -> None:
    """Ticks of an unknown scale are never shown as numbers."""
    run.feeds["kraken"].list_market("NEW/USD", price_decimals=-1, size_decimals=-1)
    run.pass_time(60)
    prices = run.attach()
    assert prices.latest("NEW/USD") == {}
    books = prices.books("kraken")
    assert set(books) == {"kraken"}
    assert set(books["kraken"]) == {"BTC/USD"}


def test_whole_books_are_there_too(run: Run) -> None:
    """`books` gives every published level, best first, by venue and market."""
    found = run.attach().books()
    assert set(found) == {"kraken", "coinbase", "kalshi", "polymarket"}
    kalshi = found["kalshi"]["KXFED-26"]
    assert kalshi.bids == ((Decimal("0.54"), 120), (Decimal("0.53"), 10))
    assert kalshi.asks == ((Decimal("0.56"), 80),)
    assert found["polymarket"]["77"].asks[1] == (Decimal("0.46"), 70)


# -- history -----------------------------------------------------------------------------------------


def test_history_keeps_venues_apart(run: Run) -> None:
    """Price events come oldest first, of one venue only, numbered without a hole; `last` cuts them."""
    for price in ("101", "102", "103"):
        run.pass_time(10)
        run.feeds["kraken"].book("BTC/USD", [(price, "1")], [("200", "1")])
    prices = run.attach()
    found = prices.history("kraken", "btc-usd")
    assert [event.bid for event in found] == [Decimal("100.5"), 101, 102, 103]
    assert [event.sequence for event in found] == [1, 2, 3, 4]
    assert [event.age_ms for event in found] == [30.0, 20.0, 10.0, 0.0]
    assert {event.venue for event in found} == {"kraken"}
    assert [event.sequence for event in prices.history("kraken", "BTC", last=2)] == [3, 4]
    assert prices.history("kraken", "BTC", last=0) == []
    assert len(prices.history("coinbase", "BTC")) == 1


def test_history_says_what_a_book_was_then(run: Run) -> None:
    """An entry that was replaced keeps its state; the newest says what it is worth now."""
    kraken = run.feeds["kraken"]
    kraken.book("BTC/USD", [], [], state=BookState.GAP)
    kraken.book("BTC/USD", [("99", "1")], [("100", "1")])
    assert [event.state for event in run.attach().history("kraken", "BTC")] == ["LIVE", "GAP", "LIVE"]
    run.pass_time(400, dead=("kraken",))
    assert [event.state for event in run.attach().history("kraken", "BTC")] == ["LIVE", "GAP", "DEAD"]


def test_the_last_thousand_are_kept(run: Run) -> None:
    """Of more events than fit the newest remain, as many as configured."""
    kraken = run.feeds["kraken"]
    for number in range(250):
        kraken.book("BTC/USD", [(str(number), "1")], [("1000", "1")])
    found = run.attach().history("kraken", "BTC")
    assert [event.bid for event in found] == list(range(150, 250))
    assert run.attach().latest("BTC")["kraken"].sequence == 251


def test_without_a_history_the_present_is_all(run: Run) -> None:
    """shm.history = 0: `history` has one event and subscriptions still hear of every look's change."""
    run.feeds["kraken"].close(unlink=True)
    kraken = run.feed("kraken", history=0)
    kraken.book("BTC/USD", [("1", "1")], [])
    got: list[PriceEvent] = []
    with run.attach() as prices:
        assert [event.bid for event in prices.history("kraken", "BTC")] == [1]
        subscription = prices.subscribe(got.append, venues=["kraken"], interval=None)
        subscription.run_once()
        kraken.book("BTC/USD", [("2", "1")], [])
        subscription.run_once()
    assert [event.bid for event in got] == [1, 2]
    assert subscription.missed == 0


# -- restarts ----------------------------------------------------------------------------------------


def test_a_restarted_feed_is_followed(run: Run) -> None:
    """After a restart the new feed's prices come, numbered anew; the old history is gone, not mixed in."""
    prices = run.attach()
    assert prices.latest("BTC")["kraken"].bid == Decimal("100.5")
    run.feeds["kraken"].close()
    run.feed("kraken").book("BTC/USD", [("7", "1")], [("8", "1")])
    run.pass_time(100)
    event = prices.latest("BTC")["kraken"]
    assert (event.bid, event.state, event.sequence) == (7, "LIVE", 1)
    assert [event.bid for event in prices.history("kraken", "BTC")] == [7]


def test_a_whole_run_may_end_and_begin_again(run: Run, tmp_path: Path) -> None:
    """What was last known stays, DEAD, while nothing runs; the next run's prices follow by themselves."""
    prices = run.attach()
    assert prices.latest("BTC")["kraken"].state == "LIVE"
    for feed in run.feeds.values():
        feed.close(unlink=True)
    (run.run / "config.json").unlink()
    run.pass_time(1000, dead=tuple(run.feeds))
    assert {event.state for event in prices.latest("BTC").values()} == {"DEAD"}
    assert not any(prices.get_statistics()["exchange_connections"].values())
    run.shm = tmp_path / "elsewhere"
    run.configure(version=7)
    run.feed("kraken").book("BTC/USD", [("5", "1")], [("6", "1")])
    run.pass_time(300)
    assert {venue: event.bid for venue, event in prices.latest("BTC").items()} == {"kraken": 5}


def test_a_client_may_come_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attached to nothing it waits: the first prices appear as soon as a feed writes them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    run = Run(tmp_path)
    prices = run.attach()
    assert prices.latest("BTC") == {}
    run.configure()
    kraken = run.feed("kraken")
    kraken.book("BTC/USD", [("5", "1")], [("6", "1")])
    run.pass_time(300)
    assert prices.latest("BTC")["kraken"].bid == 5
    kraken.close(unlink=True)


def test_settings_of_another_version_are_named(run: Run) -> None:
    """What cannot be read is a sentence among the statistics; prices go on with what was known."""
    prices = run.attach()
    prices.latest("BTC")
    (run.run / "config.json").write_text('{"from": "the future"}')
    (run.shm / "feed-odd").write_text("no segment")
    run.pass_time(300)
    problems = prices.get_statistics()["problems"]
    assert set(problems) == {"config.json", "feed-odd"}
    assert "same checkout" in problems["config.json"]
    assert len(prices.latest("BTC")) == 2
    run.configure(version=2)
    (run.shm / "feed-odd").unlink()
    run.pass_time(300)
    assert prices.get_statistics()["problems"] == {}


# -- statistics --------------------------------------------------------------------------------------


def test_statistics_have_the_names_of_the_seed(run: Run) -> None:
    """The seven names and shapes that users of the seed know, and everything else under `venues`."""
    run.feeds["polymarket"].measured(subscriptions=1, subscriptions_wanted=2)
    run.feeds["kraken"].counters.add("frames", 9)
    run.feeds["coinbase"].link(0, ConnectionState.BACKOFF)
    found = run.attach().get_statistics()
    assert found["total_events"] == 4
    assert found["events_per_venue"] == dict.fromkeys(("coinbase", "kalshi", "kraken", "polymarket"), 1)
    assert found["polymarket_connected"] is True
    assert found["polymarket_subscriptions"] == 1
    assert found["polymarket_message_count"] == 1
    assert found["exchange_connections"] == {"coinbase": False, "kalshi": True, "kraken": True}
    assert found["exchange_message_counts"] == {"coinbase": 1, "kalshi": 1, "kraken": 10}
    venue = found["venues"]["polymarket"]
    assert (venue["subscriptions"], venue["subscriptions_wanted"], venue["lag_ms"]) == (1, 2, None)
    assert {"gaps", "checksum_failures", "reconnects", "parse_errors", "witness_mismatches"} <= set(venue)


def test_measurements_of_a_dead_feed_are_not_shown_as_present(run: Run) -> None:
    """Lag, rate and subscriptions end with the feed; what was counted stays."""
    values = {"lag_p50_ns": -2 * MS, "lag_p99_ns": 9 * MS, "lag_samples": 5, "rate_milli_per_s": 2500}
    run.feeds["kraken"].measured(**values, subscriptions=1)
    prices = run.attach()
    venue = prices.get_statistics()["venues"]["kraken"]
    assert (venue["lag_ms"], venue["rate_per_s"]) == ({"p50": -2.0, "p99": 9.0}, 2.5)
    run.pass_time(400, dead=("kraken",))
    venue = prices.get_statistics()["venues"]["kraken"]
    assert (venue["lag_ms"], venue["rate_per_s"], venue["subscriptions"]) == (None, 0.0, 0)
    assert (venue["connected"], venue["total_events"]) == (False, 1)


def test_connected_means_every_link_that_is_wanted(run: Run) -> None:
    """One link of several down is not connected; a spare link that was never used does not matter."""
    kraken = run.feeds["kraken"]
    kraken.link(1, ConnectionState.UP)
    prices = run.attach()
    venue = prices.get_statistics()["venues"]["kraken"]
    assert (venue["connected"], venue["connections"], venue["connections_up"]) == (True, 2, 2)
    kraken.link(1, ConnectionState.BACKOFF)
    venue = prices.get_statistics()["venues"]["kraken"]
    assert (venue["connected"], venue["connections"], venue["connections_up"]) == (False, 2, 1)
    kraken.link(1, ConnectionState.DOWN, markets=0)
    kraken.link(0, ConnectionState.POLLING)
    assert prices.get_statistics()["exchange_connections"]["kraken"] is True


# -- subscriptions -----------------------------------------------------------------------------------


def test_every_price_event_is_delivered_once_and_in_order(run: Run) -> None:
    """The present price first, then each change between two turns, none twice, none lost."""
    got: list[PriceEvent] = []
    with run.attach() as prices:
        subscription = prices.subscribe(got.append, symbols=["BTC"], venues=["kraken"], interval=None)
        assert subscription.run_once() == 1
        for price in range(1, 6):
            run.feeds["kraken"].book("BTC/USD", [(str(price), "1")], [("200", "1")])
        run.feeds["coinbase"].book("BTC-USD", [("9", "1")], [])
        assert subscription.run_once() == 5
        assert subscription.run_once() == 0
    assert [event.sequence for event in got] == [1, 2, 3, 4, 5, 6]
    assert [event.bid for event in got[1:]] == [1, 2, 3, 4, 5]
    assert (subscription.delivered, subscription.missed, subscription.errors) == (6, 0, 0)


def test_a_change_below_the_best_price_is_no_price_event(run: Run) -> None:
    """Deeper levels change books, not prices; a size at the best price does."""
    got: list[PriceEvent] = []
    subscription = run.attach().subscribe(got.append, venues=["kalshi"], interval=None)
    subscription.run_once()
    run.feeds["kalshi"].book("KXFED-26", [("0.54", "120"), ("0.50", "1")], [("0.56", "80")])
    assert subscription.run_once() == 0
    run.feeds["kalshi"].book("KXFED-26", [("0.54", "121"), ("0.50", "1")], [("0.56", "80")])
    assert subscription.run_once() == 1
    assert got[-1].bid_quantity == 121


def test_a_death_is_an_event_too(run: Run) -> None:
    """When a price stops being good without a new one, subscribers hear it, once."""
    got: list[PriceEvent] = []
    subscription = run.attach().subscribe(got.append, ["BTC"], interval=None)
    subscription.run_once()
    run.pass_time(300, dead=("kraken",))
    subscription.run_once()
    run.pass_time(300, dead=("kraken",))
    assert subscription.run_once() == 0
    told = [(event.venue, event.state, event.sequence) for event in got]
    assert sorted(told[:2]) == [("coinbase", "LIVE", 1), ("kraken", "LIVE", 1)]
    assert told[2:] == [("kraken", "DEAD", 1)]


def test_a_restart_begins_the_numbers_anew(run: Run) -> None:
    """After a feed's restart its events come from the first on, and none counts as missed."""
    got: list[PriceEvent] = []
    subscription = run.attach().subscribe(got.append, ["BTC"], ["kraken"], interval=None)
    run.feeds["kraken"].book("BTC/USD", [("3", "1")], [])
    subscription.run_once()
    run.feeds["kraken"].close()
    kraken = run.feed("kraken")
    kraken.book("BTC/USD", [], [], state=BookState.GAP)
    kraken.book("BTC/USD", [("4", "1")], [])
    run.pass_time(300)
    subscription.run_once()
    assert [(event.sequence, event.state, event.bid) for event in got] == [
        (2, "LIVE", 3),
        (1, "GAP", None),
        (2, "LIVE", 4),
    ]
    assert subscription.missed == 0


def test_what_was_overwritten_is_counted_as_missed(run: Run) -> None:
    """More events between two turns than the ring holds: the newest come, the others are counted."""
    got: list[PriceEvent] = []
    subscription = run.attach().subscribe(got.append, ["BTC"], ["kraken"], interval=None)
    subscription.run_once()
    for number in range(1, 251):
        run.feeds["kraken"].book("BTC/USD", [(str(number), "1")], [])
    assert subscription.run_once() == 100
    assert [event.bid for event in got[1:]] == list(range(151, 251))
    assert subscription.missed == 150


def test_new_markets_and_feeds_join_a_subscription(run: Run) -> None:
    """A subscription to everything hears of markets and venues that came after it."""
    got: list[PriceEvent] = []
    subscription = run.attach().subscribe(got.append, interval=None)
    assert subscription.run_once() == 4
    run.feeds["kraken"].book("ETH/USD", [("3", "1")], [])
    run.feed("ccxt:bybit").book("BTC/USDT", [("5", "1")], [])
    for _ in range(2):
        run.pass_time(300)
        subscription.run_once()
    told = {(event.venue, event.symbol) for event in got[4:]}
    assert told == {("kraken", "ETH/USD"), ("ccxt:bybit", "BTC/USDT")}


def test_an_error_in_a_callback_stays_there(run: Run) -> None:
    """A callback that raises is called again for the next event, counted, and disturbs no other."""
    good: list[PriceEvent] = []

    def bad(event: PriceEvent) -> None:
        raise ValueError(event.venue)

    with run.attach() as prices:
        failing = prices.subscribe(bad, interval=None)
        working = prices.subscribe(good.append, interval=None)
        assert failing.run_once() == working.run_once() == 4
        assert (failing.errors, failing.delivered, working.errors, len(good)) == (4, 4, 0, 4)
        assert isinstance(failing.last_error, ValueError)
        assert not failing.closed
    assert failing.closed
    assert working.closed


def test_a_coroutine_function_is_refused_at_once(run: Run) -> None:
    """A callback that would never be awaited is an error where it is given, with the way out."""

    async def lost(event: PriceEvent) -> None:
        await asyncio.sleep(0)

    with pytest.raises(TypeError, match="call_soon_threadsafe"):
        run.attach().subscribe(lost)


def wait_until(good: Callable[[], bool]) -> None:
    """Wait for another thread; the bound is for a machine that hangs, not a figure."""
    clock = SystemClock()
    deadline = clock.monotonic_ns() + round(PATIENCE_SECONDS * SECOND)
    while not good():
        assert clock.monotonic_ns() < deadline, "the thread does nothing"
        clock.sleep(0.001)


def test_a_thread_delivers_by_itself_until_it_is_closed(run: Run) -> None:
    """With an interval nobody need call anything; after `close` no call comes, even from within one."""
    got: list[PriceEvent] = []
    threads = set()

    def take(event: PriceEvent) -> None:
        threads.add(threading.current_thread().name)
        got.append(event)
        if len(got) == 3:
            subscription.close()

    with run.attach() as prices:
        subscription = prices.subscribe(take, ["BTC"], ["kraken"], interval=0.001)
        for number in range(1, 6):
            seen = len(got)
            run.feeds["kraken"].book("BTC/USD", [(str(number), "1")], [])
            wait_until(lambda seen=seen: len(got) > seen or subscription.closed)
    assert len(got) == 3
    assert threads == {"prices"}


def test_a_turn_that_fails_does_not_end_the_thread(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a look at memory may raise is counted, kept, and followed by the next turn."""
    got: list[PriceEvent] = []
    with run.attach() as prices:
        subscription = prices.subscribe(got.append, interval=0.001)
        wait_until(lambda: len(got) == 4)
        monkeypatch.setattr(subscription, "_reader", SimpleNamespace())
        wait_until(lambda: subscription.failures > 2)
        assert isinstance(subscription.last_error, AttributeError)


# -- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("XBT/USD", "BTC/USD"),
        ("eth-xbt", "ETH/BTC"),
        ("xdg_eur", "DOGE/EUR"),
        ("BTC/USDT:USDT", "BTC/USDT:USDT"),
        ("KXFED-26-T4", "KXFED-26-T4"),
        ("abc", "ABC"),
    ],
)
def test_pairs_have_one_form(text: str, form: str) -> None:
    """Every venue's spelling of a pair is one; a perpetual and a ticker of three parts are no pair."""
    assert pair_form(text) == form


@given(st.text(max_size=20))
def test_the_form_of_a_form_is_itself(text: str) -> None:
    """Any text has a form, and it does not change when it is taken again."""
    assert pair_form(pair_form(text)) == pair_form(text)


def test_names_mean_no_more_than_they_say() -> None:
    """Dollar coins are not dollars, tickers of prediction markets are no pairs, "no" legs have no price."""
    markets = {"kraken": ["BTC/USD", "BTC/USDT"], "kalshi": ["BTC-USD"], "ccxt:okx": ["BTC/USDT:USDT"]}
    assert [(name.venue, name.market) for name in resolve("btc-usd", (), markets)] == [
        ("kraken", "BTC/USD"),
        ("kalshi", "BTC-USD"),
    ]
    assert [name.market for name in resolve("BTC/USDT", (), markets)] == ["BTC/USDT"]
    legs = (EventLeg("kalshi", "A"), EventLeg("polymarket", "B", outcome="no"))
    event = Event("BTC/USDT", "", "binary", legs)
    assert [name.market for name in resolve("btc/usdt", (event,), markets)] == ["A"]


def test_numbers_of_another_version_show_as_themselves() -> None:
    """A state or a time that this program does not know raises nothing."""
    assert state_word(99) == "STATE 99"
    assert connection_word(99) == "state 99"
    assert connection_word(ConnectionState.AUTH_FAILED) == "auth failed"
    assert (moment_of(0), moment_of(2**63 - 1) is not None, moment_of(10**22)) == (None, True, None)


# -- the documentation -------------------------------------------------------------------------------


def test_the_documented_examples_run(
    run: Run, project_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every Python block of docs/CLIENT.md works as it stands on a live run."""
    text = (project_root / "docs" / "CLIENT.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 4
    monkeypatch.setattr(client, "DATA_DIRECTORY", run.data)
    monkeypatch.setattr(client, "SystemClock", lambda: run.clock)
    for block in blocks:
        exec(compile(block, "CLIENT.md", "exec"), {"__name__": "example"})  # our own text
    printed = capsys.readouterr().out
    for words in ("kraken", "100.5", "LIVE", "0.55", "total 4"):
        assert words in printed, printed
