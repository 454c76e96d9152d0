"""The feed over several connections: markets spread, moved, lost together and found again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from websockets.sync.server import ServerConnection, serve

from pipeline.clock import SystemClock
from pipeline.config import Config, ShmConfig, VenueConfig
from pipeline.feed.worker import Feed
from pipeline.model import BookFault, BookState, ConnectionState
from shm.books import C_MARKETS, C_STATE, CONNECTIONS

PATIENCE_SECONDS = 60.0
LEVELS = [[f"0.{price:02}00", "300.00"] for price in range(20, 60)]


class ManyMarkets:
    """As much of Kalshi as a subscription needs; `pause` is how long the snapshots of a connection take."""

    def __init__(self) -> None:
        self.lines: list[ServerConnection] = []
        self.asked: list[int] = []
        self.pause = 0.0

    def handle(self, line: ServerConnection) -> None:
        """Answer the book subscription with every snapshot, then keep the line open."""
        self.lines.append(line)
        for text in line:
            command = json.loads(text)
            params = command["params"]
            if command["cmd"] != "subscribe" or params["channels"] != ["orderbook_delta"]:
                continue
            tickers = params["market_tickers"]
            self.asked.append(len(tickers))
            channel = {"channel": "orderbook_delta", "sid": 1}
            self._say(line, {"id": command["id"], "type": "subscribed", "msg": channel})
            for number, ticker in enumerate(tickers):
                body = {"market_ticker": ticker, "yes_dollars_fp": LEVELS[:20], "no_dollars_fp": LEVELS[:20]}
                self._say(line, {"type": "orderbook_snapshot", "sid": 1, "seq": number + 1, "msg": body})
                time.sleep(self.pause / len(tickers))

    @staticmethod
    def _say(line: ServerConnection, message: dict[str, object]) -> None:
        line.send(json.dumps(message))

    def cut(self) -> None:
        """End every line at once."""
        gone, self.lines, self.asked = self.lines, [], []
        for line in gone:
            hang_up(line)


def hang_up(line: ServerConnection) -> None:
    """Say goodbye in a thread of its own: who closes waits for the answer of the feed that we turn."""
    threading.Thread(target=line.close, args=(1012,), daemon=True).start()


@contextmanager
def served(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    """A venue of this handler on loopback."""
    with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=0.2) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        server.shutdown()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Feed]]:
    """A feed of many markets in a run of its own."""
    made: list[Feed] = []

    def build(venue: str, url: str, markets: list[str], **settings: object) -> Feed:
        for name in ("data", "run"):
            (tmp_path / name).mkdir(exist_ok=True)
        config = Config(
            venues={venue: VenueConfig(url=url, rest_url="", markets=tuple(markets), **settings)},  # type: ignore[arg-type]
            shm=ShmConfig(max_markets=1024, history=10),
            data_directory=str(tmp_path / "data"),
            run_directory=str(tmp_path / "run"),
            shm_directory=str(tmp_path / "shm"),
        )
        made.append(Feed(venue, config, SystemClock(), Random(1)))
        return made[-1]

    yield build
    for feed in made:
        feed.close()
        feed.worker.segment.close()
        feed.worker.log.close()


def until(feed: Feed, true: Callable[[], bool]) -> None:
    """Turn the feed until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        feed.turn()
        feed.worker.go_on()


def live(feed: Feed) -> int:
    return sum(book.state is BookState.LIVE for book in feed.keeper.books.values())


def counter(feed: Feed, name: str) -> int:
    return feed.worker.counters.get(name)


def test_930_markets_survive_the_burst_after_a_reconnect(make: Callable[..., Feed]) -> None:
    """Ten connections are lost at once and 930 snapshots come over five seconds: no ping is missed, every
    book is LIVE again after the last snapshot, and it takes ten connections, no more.
    """
    venue = ManyMarkets()
    markets = [f"KXMANY-{number:04}" for number in range(930)]
    with served(venue.handle) as url:
        feed = make("kalshi", url, markets, reconnect_delay=0.05, heartbeat_interval=0.5, timeout=2.0)
        until(feed, lambda: live(feed) == 930)
        assert sorted(venue.asked) == [30] + [100] * 9
        venue.pause = 5.0
        venue.cut()
        until(feed, lambda: live(feed) == 0)
        assert {book.fault for book in feed.keeper.books.values()} == {BookFault.DISCONNECTED}
        until(feed, lambda: live(feed) == 930)
        assert sorted(venue.asked) == [30] + [100] * 9
        assert counter(feed, "reconnects") == 10
        assert counter(feed, "silences") == counter(feed, "redrives") == counter(feed, "bad_frames") == 0


def test_a_line_that_is_lost_takes_its_own_books_alone(make: Callable[..., Feed]) -> None:
    """Of two connections one is cut: its hundred books are unknown, the others stay LIVE."""
    venue = ManyMarkets()
    with served(venue.handle) as url:
        # A pause of this machine must not be taken for a line that is dead.
        slow = {"reconnect_delay": 30.0, "heartbeat_interval": 30.0, "timeout": 120.0}
        feed = make("kalshi", url, [f"K-{number:03}" for number in range(150)], **slow)
        until(feed, lambda: live(feed) == 150)
        up, down, waiting = ConnectionState.UP, ConnectionState.DOWN, ConnectionState.BACKOFF
        assert [link.session.state for link in feed.links[:3]] == [up, up, down]
        cells = [feed.worker.segment.words(CONNECTIONS, row) for row in range(3)]
        assert [row[C_MARKETS] for row in cells] == [100, 50, 0]
        sizes = {100: venue.asked.index(100), 50: venue.asked.index(50)}
        hang_up(venue.lines[sizes[50]])
        until(feed, lambda: live(feed) == 100)
        lost = [book for book in feed.keeper.books.values() if book.state is not BookState.LIVE]
        assert {(book.connection, book.state, book.fault) for book in lost} == {
            (1, BookState.GAP, BookFault.DISCONNECTED)
        }
        assert [row[C_STATE] for row in cells] == [up, waiting, down]


def test_what_a_venue_takes_no_more_of_moves_to_another_line(make: Callable[..., Feed]) -> None:
    """Coinbase refuses level2 beyond four products: the others get connections of their own, all are LIVE."""

    def handle(line: ServerConnection) -> None:
        held: list[str] = []
        number = 0
        for text in line:
            request = json.loads(text)
            products = request.get("product_ids", [])
            if request.get("channel") != "level2" or request["type"] != "subscribe":
                continue
            fresh = [product for product in products if product not in held]
            held += fresh[: 4 - len(held)]
            for product in [product for product in fresh if product in held]:
                sides = [("bid", "10.00"), ("offer", "11.00")]
                updates = [
                    {"side": side, "event_time": "", "price_level": price, "new_quantity": "1"}
                    for side, price in sides
                ]
                event = {"type": "snapshot", "product_id": product, "updates": updates}
                head = {"channel": "l2_data", "timestamp": "2026-11-21T12:00:00Z", "sequence_num": number}
                line.send(json.dumps({**head, "events": [event]}))
                number += 1
            if len(fresh) > len([product for product in fresh if product in held]):
                why = "too many L2 streams requested in a single session"
                line.send(json.dumps({"type": "error", "message": why}))

    with served(handle) as url:
        feed = make("coinbase", url, [f"C{number}-USD" for number in range(10)], first_book_timeout=1.0)
        until(feed, lambda: live(feed) == 10)
        assert sum(bool(link.markets) for link in feed.links) >= 3
        assert counter(feed, "refused_subscriptions") >= 2


def test_nothing_to_watch_is_no_connection(make: Callable[..., Feed]) -> None:
    """A feed without markets dials nobody."""
    venue = ManyMarkets()
    with served(venue.handle) as url:
        feed = make("kalshi", url, [])
        for _ in range(20):
            feed.turn()
        assert venue.lines == []
        assert feed.links[0].session.state is ConnectionState.DOWN
