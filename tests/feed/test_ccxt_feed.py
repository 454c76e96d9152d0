"""The ccxt feed against six exchanges on loopback: right books, and what becomes of them in trouble.

Feed, ccxt, sockets and shared memory are the real ones; feed and exchange share one asyncio loop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from pipeline.clock import SystemClock
from pipeline.config import Config, ShmConfig, VenueConfig, encode
from pipeline.feed import ccxt_feed, ccxt_markets
from pipeline.feed.ccxt_exchange import CcxtError
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY
from pipeline.model import (
    BookFlag,
    BookState,
    ConnectionState,
    Scale,
)
from pipeline.money import to_decimal
from shm import segment as segments
from shm.books import BookReader, BookRow
from shm.records import MarketRow
from tests.support.ccxt_venues import DIALECTS, TIME_MS, Venue

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 30.0
TIMELESS = {"gemini", "bitfinex"}  # their books carry no time
needs_ccxt = pytest.mark.skipif(find_spec("ccxt") is None, reason="ccxt is an extra: requirements-ccxt.lock")
# aiohttp and ccxt leave sockets to the collector.
pytestmark = [
    pytest.mark.filterwarnings("default::ResourceWarning"),
    pytest.mark.filterwarnings("default::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def keep_signals() -> Iterator[None]:
    """A worker takes over two signals; the tests want theirs back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def config_for(tmp_path: Path, name: str, venue: Venue, **settings: Any) -> Config:
    """A run of one ccxt venue at the simulator, impatient."""
    habits: dict[str, Any] = {
        "url": f"ws://127.0.0.1:{venue.port}",
        "rest_url": "",
        "markets": (venue.symbol,),
        "reconnect_delay": 0.05,
        "max_reconnect_delay": 0.2,
        "heartbeat_interval": 0.2,
        "first_book_timeout": 5.0,
    }
    for folder in ("data", "run", "shm"):
        (tmp_path / folder).mkdir(mode=0o700, exist_ok=True)
    return Config(
        data_directory=str(tmp_path / "data"),
        run_directory=str(tmp_path / "run"),
        shm_directory=str(tmp_path / "shm"),
        shm=ShmConfig(max_markets=4, depth=5, history=10),
        venues={f"ccxt:{name}": VenueConfig(**{**habits, **settings})},
    )


class Seen:
    """A feed's segment as a reader sees it."""

    def __init__(self, config: Config) -> None:
        self.venue = next(iter(config.venues))
        self.view = segments.attach(Path(config.shm_directory), f"feed-{self.venue}")
        self.reader = BookReader(self.view)

    def market(self, symbol: str) -> tuple[int, MarketRow]:
        return next((row, found) for row, found in self.reader.directory.rows() if found.market == symbol)

    def book(self, symbol: str) -> BookRow:
        found = self.reader.get(self.market(symbol)[0])
        assert found is not None
        return found

    def is_live(self, symbol: str) -> bool:
        return self.book(symbol).state == BookState.LIVE

    def scale(self, symbol: str) -> Scale:
        row = self.market(symbol)[1]
        return Scale(row.price_decimals, row.size_decimals)

    def shows(self, venue: Venue) -> bool:
        """Whether the row is the simulator's own book, to the digit."""
        if not any(row.market == venue.symbol for _, row in self.reader.directory.rows()):
            return False  # in another process the row may just be on its way to a new place
        scale, book = self.scale(venue.symbol), self.book(venue.symbol)
        if book.state != BookState.LIVE:
            return False
        sides = [
            [
                (to_decimal(ticks, scale.price_decimals), to_decimal(units, scale.size_decimals))
                for ticks, units in side
            ]
            for side in (book.bids, book.asks)
        ]
        theirs = [
            [(Decimal(price), Decimal(size)) for price, size in venue.world.side(side)]
            for side in ("bids", "asks")
        ]
        return sides == theirs

    @property
    def state(self) -> int:
        return self.reader.connection(0).state


async def until(good: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `good`; the bound is for a machine that hangs, not a figure."""
    async with asyncio.timeout(seconds):
        while not good():  # noqa: ASYNC110 - it may change in another process
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    tmp_path: Path, name: str, rest: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[Venue, ccxt_feed.CcxtFeed, Seen]]:
    """An exchange, a feed on it, and a reader."""
    venue = Venue(name, rest)
    await venue.start()
    if rest:
        settings["rest_url"] = f"http://127.0.0.1:{venue.port}"
    config = config_for(tmp_path, name, venue, **settings)
    feed = ccxt_feed.CcxtFeed(f"ccxt:{name}", config, SystemClock(), Random(1))
    with feed.worker:
        life = asyncio.create_task(feed.main())
        try:
            yield venue, feed, Seen(config)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.gather(life, return_exceptions=True)
            await venue.stop()


@needs_ccxt
@pytest.mark.parametrize("name", DIALECTS)
def test_each_exchange_gives_the_right_book(tmp_path: Path, name: str) -> None:
    """Snapshot, a changed level, a new one and a removed one: the row is the exchange's book to the digit."""

    async def play() -> None:
        async with running(tmp_path, name) as (venue, _feed, seen):
            await until(lambda: seen.shows(venue))
            assert seen.state == ConnectionState.UP
            flags = seen.book(venue.symbol).flags
            assert flags == BookFlag.UNVERIFIED | BookFlag.NOT_TRADABLE
            assert seen.book(venue.symbol).venue_ns == (0 if name in TIMELESS else TIME_MS * 1_000_000)
            await venue.change("bids", "60000.1", "0.75")
            await until(lambda: seen.shows(venue))
            await venue.change("asks", "60000.15", "3")  # a finer price than any before: the scale grows
            await until(lambda: seen.shows(venue))
            await venue.change("bids", "59999.9", "0")
            await until(lambda: seen.shows(venue))
            assert seen.scale(venue.symbol) == Scale(2, 5)

    asyncio.run(play())


@needs_ccxt
def test_a_silent_exchange_that_still_answers_pings_loses_its_live(tmp_path: Path) -> None:
    """No book within data_timeout: the book is not LIVE, and the exchange is asked anew until it speaks."""

    async def play() -> None:
        async with running(tmp_path, "bybit", data_timeout=0.3, first_book_timeout=0.3) as (
            venue,
            feed,
            seen,
        ):
            await until(lambda: seen.is_live(venue.symbol))
            venue.silent = True
            await until(lambda: not seen.is_live(venue.symbol))
            assert seen.book(venue.symbol).bids == ()
            await until(lambda: venue.connections >= 2)
            assert feed.worker.counters.get("silences") >= 1
            venue.silent = False
            await until(lambda: seen.shows(venue))

    asyncio.run(play())


@needs_ccxt
def test_a_dead_socket_is_given_up(tmp_path: Path) -> None:
    """A peer that answers nothing, pings neither: no LIVE after `timeout`, and a new connection."""

    async def play() -> None:
        async with running(tmp_path, "gemini", timeout=0.6) as (venue, _feed, seen):
            await until(lambda: seen.is_live(venue.symbol))
            venue.stop_reading()
            await until(lambda: not seen.is_live(venue.symbol))
            await until(lambda: venue.connections >= 2 and seen.shows(venue))

    asyncio.run(play())


@needs_ccxt
@pytest.mark.parametrize("name", DIALECTS)
def test_a_close_is_survived(tmp_path: Path, name: str) -> None:
    """After close 1001 the book is unknown, and comes back by itself over a new connection."""

    async def play() -> None:
        async with running(tmp_path, name) as (venue, feed, seen):
            await until(lambda: seen.is_live(venue.symbol))
            number = seen.book(venue.symbol).number
            await venue.close_clients(1001)
            await until(lambda: venue.connections >= 2 and seen.shows(venue))
            # One row for the loss, one at least for the fresh book.
            assert seen.book(venue.symbol).number >= number + 2
            assert feed.worker.counters.get("reconnects") == 1

    asyncio.run(play())


@needs_ccxt
@pytest.mark.parametrize("name", DIALECTS)
def test_a_crossed_book_is_never_live(tmp_path: Path, name: str) -> None:
    """A bid above the best ask makes the row CROSSED at once, and LIVE again only when it is gone."""

    async def play() -> None:
        async with running(tmp_path, name) as (venue, _feed, seen):
            await until(lambda: seen.is_live(venue.symbol))
            await venue.change("bids", "60000.4", "1")
            await until(lambda: seen.book(venue.symbol).state == BookState.CROSSED)
            await venue.change("bids", "60000.4", "0")
            await until(lambda: seen.shows(venue))

    asyncio.run(play())


@needs_ccxt
def test_a_book_that_stays_crossed_is_asked_for_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen crossing ends the exchange object once, not again and again."""
    monkeypatch.setattr(ccxt_markets, "TROUBLE_NS", 200_000_000)

    async def play() -> None:
        async with running(tmp_path, "okx") as (venue, feed, seen):
            await until(lambda: seen.is_live(venue.symbol))
            await venue.change("bids", "60000.4", "1")
            for size in range(200):
                if venue.connections >= 2:
                    break
                await venue.change("asks", "60001", str(size + 1))
                await asyncio.sleep(0.02)
            assert venue.connections == 2
            assert feed.worker.counters.get("crossed_too_long") == 1
            await until(lambda: seen.book(venue.symbol).state == BookState.CROSSED)

    asyncio.run(play())


LISTED = {
    "symbol": "BTC_USD",
    "inst_type": "CCY_PAIR",
    "base_ccy": "BTC",
    "quote_ccy": "USD",
    "quote_decimals": 2,
    "quantity_decimals": 5,
    "price_tick_size": "0.1",
    "qty_tick_size": "0.00001",
    "tradable": True,
    "expiry_timestamp_ms": 0,
}


def listing(*, tradable: bool) -> dict[str, Any]:
    """The answer of cryptocom's list of instruments."""
    instruments = [LISTED | {"tradable": tradable}]
    return {"public/get-instruments": {"id": 1, "code": 0, "result": {"data": instruments}}}


@needs_ccxt
def test_a_message_that_breaks_the_library_is_survived(tmp_path: Path) -> None:
    """ccxt dies of a malformed message without a word: it is noticed at once, and the book comes back."""

    async def play() -> None:
        async with running(tmp_path, "bybit") as (venue, feed, seen):
            await until(lambda: seen.is_live(venue.symbol))
            broken = {"topic": f"orderbook.50.{venue.world.market_id}", "type": "delta", "data": {"b": 7}}
            await venue.tell(lambda _dialect: [broken])
            await until(lambda: not seen.is_live(venue.symbol))
            await until(lambda: venue.connections >= 2 and seen.shows(venue))
            assert feed.worker.counters.get("library_errors") >= 1

    asyncio.run(play())


@needs_ccxt
@pytest.mark.parametrize("name", ["okx", "cryptocom", "bitfinex"])
def test_a_loss_that_ccxt_notices_voids_the_book(tmp_path: Path, name: str) -> None:
    """A jump of the sequence, or a wrong checksum: the book is not LIVE until a fresh connection gave it."""

    async def play() -> None:
        async with running(tmp_path, name) as (venue, _feed, seen):
            await until(lambda: seen.is_live(venue.symbol))
            if name == "bitfinex":
                await venue.tell(lambda _dialect: [[17, "cs", 1]])
            else:
                venue.world.number += 5
                await venue.change("bids", "60000.1", "9")
            await until(lambda: not seen.is_live(venue.symbol))
            await until(lambda: venue.connections >= 2 and seen.shows(venue))

    asyncio.run(play())


@needs_ccxt
def test_a_symbol_that_is_not_listed_leaves_the_others_alone(tmp_path: Path) -> None:
    """It is counted as refused and stays EMPTY, while the listed one is LIVE on the same connection."""

    async def play() -> None:
        markets = ("BTC/USD", "NONE/USD")
        async with running(tmp_path, "cryptocom", listing(tradable=True), markets=markets) as (
            venue,
            feed,
            seen,
        ):
            await until(lambda: seen.shows(venue))
            await until(lambda: feed.worker.counters.get("refused_subscriptions") == 1)
            assert seen.book("NONE/USD").state == BookState.EMPTY
            assert seen.shows(venue)
            assert venue.connections == 1

    asyncio.run(play())


@needs_ccxt
@pytest.mark.parametrize("tradable", [True, False])
def test_a_listing_gives_scale_grid_and_status(tmp_path: Path, tradable: bool) -> None:
    """With REST the exchange's list says precision and status; only `trusted` and active may be traded."""

    async def play() -> None:
        rest = listing(tradable=tradable)
        async with running(tmp_path, "cryptocom", rest, trusted=True) as (venue, feed, seen):
            await until(lambda: seen.shows(venue))
            row = seen.market(venue.symbol)[1]
            assert (row.price_decimals, row.size_decimals) == (1, 5)
            assert (row.grid_ticks, row.lot_units) == (1, 1)
            flags = BookFlag(seen.book(venue.symbol).flags)
            assert BookFlag.UNVERIFIED in flags
            assert (BookFlag.NOT_TRADABLE in flags) is not tradable
            # A number that the stated scale cannot hold is no number of this market.
            await venue.change("asks", "60000.15", "3")
            await until(lambda: not seen.is_live(venue.symbol))
            assert feed.worker.counters.get("off_scale") >= 1

    asyncio.run(play())


@needs_ccxt
def test_markets_come_and_go_with_the_configuration(tmp_path: Path) -> None:
    """A symbol taken out of the configuration loses its row; the others go on."""

    async def play() -> None:
        async with running(tmp_path, "bybit") as (venue, feed, seen):
            await until(lambda: seen.is_live(venue.symbol))
            settings = feed.worker.config.venues["ccxt:bybit"]
            bare = msgspec.structs.replace(settings, markets=())
            fresh = msgspec.structs.replace(feed.worker.config, version=2, venues={"ccxt:bybit": bare})
            (Path(fresh.run_directory) / CONFIG_FILE).write_bytes(encode(fresh))
            await until(lambda: not any(row.market for _, row in seen.reader.directory.rows()))
            assert seen.state in {ConnectionState.UP, ConnectionState.DOWN}

    asyncio.run(play())


@needs_ccxt
def test_an_exchange_that_is_not_there_ends_the_process_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many failures in a row, and a fresh process is the better try: GaveUpError."""
    monkeypatch.setattr(ccxt_feed, "TRIES", 2)

    async def play() -> None:
        venue = Venue("bybit")
        await venue.start()
        config = config_for(tmp_path, "bybit", venue)
        await venue.stop()
        feed = ccxt_feed.CcxtFeed("ccxt:bybit", config, SystemClock(), Random(1))
        with pytest.raises(ccxt_feed.GaveUpError, match="gave up"), feed.worker:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await feed.main()
        assert feed.worker.counters.get("connects_failed") == 3

    asyncio.run(play())


@needs_ccxt
def test_an_unknown_exchange_is_told_with_a_hint(tmp_path: Path) -> None:
    """A name that ccxt does not know is refused before anything is owned."""
    config = Config(
        venues={"ccxt:bybitt": VenueConfig(url="", rest_url="")}, shm_directory=str(tmp_path / "shm")
    )
    with pytest.raises(CcxtError, match="did you mean ccxt:bybit"):
        ccxt_feed.CcxtFeed("ccxt:bybitt", config, SystemClock(), Random(1))
    assert not (tmp_path / "shm").exists()


@needs_ccxt
def test_a_feed_process_by_its_command(tmp_path: Path) -> None:
    """`run.py feed ccxt:bybit` is a worker of its own: LIVE, then an orderly end with code 0 on SIGTERM."""

    async def play() -> None:
        venue = Venue("bybit")
        await venue.start()
        config = config_for(tmp_path, "bybit", venue)
        (tmp_path / "run" / CONFIG_FILE).write_bytes(encode(config))
        environ = {**os.environ, RUN_DIRECTORY: str(tmp_path / "run"), "PARALLAX_NO_VENV": "1"}
        command = [sys.executable, str(ROOT / "run.py"), "feed", "ccxt:bybit"]
        child = await asyncio.create_subprocess_exec(*command, env=environ)
        try:
            await until((tmp_path / "shm" / "feed-ccxt:bybit").exists)
            seen = Seen(config)
            await until(lambda: seen.shows(venue))
            assert seen.view.header.pid == child.pid
            child.terminate()
            assert await child.wait() == 0
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
            await venue.stop()

    asyncio.run(play())


def test_without_ccxt_the_command_says_how_to_install_it(tmp_path: Path) -> None:
    """Where ccxt is missing, `run.py feed ccxt:bybit` names the lock file; exit 3."""
    for folder in ("run", "hidden"):
        (tmp_path / folder).mkdir()
    # A ccxt that cannot be imported stands in for none.
    (tmp_path / "hidden" / "ccxt.py").write_text("raise ImportError('hidden by the test')\n")
    config = Config(venues={"ccxt:bybit": VenueConfig(url="", rest_url="", markets=("BTC/USDT",))})
    (tmp_path / "run" / CONFIG_FILE).write_bytes(encode(config))
    environ = {
        **os.environ,
        RUN_DIRECTORY: str(tmp_path / "run"),
        "PARALLAX_NO_VENV": "1",
        "PYTHONPATH": str(tmp_path / "hidden"),
    }
    command = [sys.executable, str(ROOT / "run.py"), "feed", "ccxt:bybit"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "requirements-ccxt.lock" in done.stderr
