"""Following: moving books teach the scanner who leads, how volatile spot is, and what stands in a queue."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.books import FeedBooks
from pipeline.clock import ManualClock
from pipeline.model import BookState, StateLimits
from pipeline.model_events import MODEL, Digital, Event, EventLeg
from pipeline.pairs import directions
from pipeline.scanner.following import Following
from pipeline.scanner.segment import sections
from shm import segment as segments
from shm.records import QUOTE
from shm.segment import attach
from shm.tables import TableReader
from tests.support.feed_memory import FeedMemory

K, P, C = ("kalshi", "K"), ("polymarket", "P"), ("kraken", "BTC/USD")
PAIR = Event("e", "E", "binary", (EventLeg(*K), EventLeg(*P, polarity="inverse")))
ASKED = Event("m", "M", MODEL, (EventLeg(*K), EventLeg(*C, "base")), 9, digital=Digital(Decimal(100)))


class World:
    """Three feeds, and what follows them."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.directory = directory
        self.feeds = {name: FeedMemory(directory, name, self.clock) for name, _ in (K, P, C)}
        self.books = FeedBooks(directory, list(self.feeds), StateLimits())
        self.own = segments.create(
            directory, "scanner", sections(4), segments.this_owner(),
            monotonic_ns=self.clock.monotonic_ns(), wall_ns=self.clock.wall_ns(), sleep=self.clock.sleep,
        )  # fmt: skip
        self.following = Following(self.own, self.books)

    def show(
        self, book: tuple[str, str], bid: int, *, size: str = "10", wait_s: float = 0.05, **cells
    ) -> None:
        """Publish a one-cent market around a bid in cents, and let the following hear of it."""
        self.clock.sleep(wait_s)
        levels = [[(f"{price / 100:.2f}", size)] for price in (bid, bid + 1)]
        self.feeds[book[0]].book(book[1], *levels, **cells)
        now = self.clock.monotonic_ns()
        self.books.refresh(now)
        self.following.moved([book], now)

    def quotes(self) -> dict[tuple[str, str, str], int]:
        """The risk-averse queue of each side that is shown."""
        self.clock.sleep(1)
        self.following.publish(self.clock.monotonic_ns())
        table = TableReader(attach(self.directory, "scanner"), "quotes", QUOTE)
        return {(row.venue, row.market, row.side): row.risk_averse_units for _, row in table.rows()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for feed in made.feeds.values():
        feed.close()
    made.own.close()


def test_the_leg_that_moves_first_is_named(world: World) -> None:
    """The other leg, of inverse polarity, follows 50 ms later each time: the first leads by that."""
    world.following.follow([PAIR])
    bid = 50
    for step in range(60):
        bid += 1 if step % 3 else -1
        world.show(K, bid, wait_s=3)
        world.show(P, 99 - bid)
    lead = world.following.lead(directions([PAIR])[0])
    assert (lead.leg, lead.lag_ns) == (0, 50_000_000)
    assert lead.count == lead.total == 59


def test_a_queue_shrinks_with_its_level(world: World) -> None:
    """Who joined behind ten and sees four left stands behind four at most; an empty side has no queue."""
    world.following.follow([PAIR])
    world.show(K, 40)
    assert world.quotes()[(*K, "bid")] == 10 * 10**4
    world.show(K, 40, size="4")
    assert world.quotes()[(*K, "bid")] == 4 * 10**4
    world.show(K, 40, state=BookState.GAP)
    assert (*K, "bid") not in world.quotes()
    world.following.follow([])
    assert world.quotes() == {}


def test_a_model_gets_the_mid_prices_of_its_spot_leg(world: World) -> None:
    """Enough moves make a volatility; a machine that slept begins anew."""
    world.following.follow([ASKED])
    direction = directions([ASKED])[0]
    assert world.following.mids(direction).volatility() is None
    for step in range(40):
        world.show(C, 10_000 + step % 5, wait_s=1)
    found = world.following.mids(direction).volatility()
    assert found is not None
    assert found.samples == 39
    world.following.forget()
    assert world.following.mids(direction).volatility() is None
