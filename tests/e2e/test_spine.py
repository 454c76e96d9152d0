"""Scanner, trader and paper exchange from a book change to a journalled fill: one process, a clock that we
move.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import zmq

from pipeline.bus import make_bell, make_key
from pipeline.clock import ManualClock
from pipeline.config import Config, EventConfig, LegConfig, ReviewConfig, TraderConfig, VenueConfig
from pipeline.feed.book import Book
from pipeline.feed.publisher import Publisher
from pipeline.journal_reader import open_readonly
from pipeline.model import (
    Action,
    BookFlag,
    FeeKind,
    FeeSchedule,
    Market,
    MarketResult,
    MarketStatus,
    Reason,
    Scale,
)
from pipeline.paper.worker import PaperVenue
from pipeline.scanner.worker import Scanner
from pipeline.trader.worker import Trader
from pipeline.venues.codec import Snapshot
from shm import records
from shm.books import C_PROOF_NS, CONNECTIONS, BookWriter, feed_sections
from shm.segment import Segment, attach, create, this_owner
from shm.tables import TableReader, read_counters, read_ring

KALSHI_FEE = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
POLYMARKET_FEE = FeeSchedule(FeeKind.POLYMARKET, 50_000, 0, 1, 0)
CENT = 10_000  # ticks of 1e-6 dollars
MS_NS = 1_000_000
LONG_NS = 400_000_000
"""Longer than nearly every order takes to its venue, shorter than books live."""


class World:
    """Two feeds written by hand, a scanner and a trader, all on one manual clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        event = EventConfig(
            id="rain",
            kind="binary",
            legs=(LegConfig("kalshi", "KX"), LegConfig("polymarket", "77")),
            review=ReviewConfig(by="test", void_rule="never"),
        )
        self.config = Config(
            data_directory=str(folder / "data"),
            run_directory=str(folder / "run"),
            shm_directory=str(folder / "shm"),
            venues={"kalshi": VenueConfig(), "polymarket": VenueConfig()},
            trader=TraderConfig(cash={"kalshi": "100", "polymarket": "100"}),
            events=(event,),
        )
        run_directory = folder / "run"
        run_directory.mkdir()
        make_key(run_directory)
        make_bell(run_directory)
        self.feeds = {
            "kalshi": self._feed("kalshi", Market("kalshi", "KX", Scale(6, 2), CENT, 100, 100), KALSHI_FEE),
            "polymarket": self._feed(
                "polymarket", Market("polymarket", "77", Scale(6, 6), CENT, 10_000, 5_000_000), POLYMARKET_FEE
            ),
        }
        self.paper = PaperVenue(self.config, self.clock)
        self.trader = Trader(self.config, self.clock)
        # The trader sends nothing before it has heard the exchange.
        self.exchange(lambda: self.trader._broker.reachable(self.clock.monotonic_ns()), step_ns=MS_NS)
        self.scanner = Scanner(self.config, self.clock)
        # An opportunity sent before the socket is connected is dropped, as it should be.
        assert self.scanner._sender._socket.poll(10_000, zmq.POLLOUT)

    def _feed(self, venue: str, market: Market, fee: FeeSchedule) -> tuple[Segment, Publisher]:
        segment = create(
            Path(self.config.shm_directory),
            f"feed-{venue}",
            feed_sections(4, 25, 1),
            this_owner(),
            monotonic_ns=self.clock.monotonic_ns(),
            wall_ns=self.clock.wall_ns(),
            sleep=self.clock.sleep,
        )
        publisher = Publisher(venue, BookWriter(segment), BookFlag.SIM, None)
        publisher.want([market.market], self.clock.monotonic_ns())
        self.describe(publisher, market, fee, MarketStatus.OPEN, MarketResult.NONE)
        return segment, publisher

    def describe(
        self,
        publisher: Publisher,
        market: Market,
        fee: FeeSchedule,
        status: MarketStatus,
        result: MarketResult,
    ) -> None:
        """Publish metadata."""
        described = Market(
            market.venue, market.market, market.scale, market.grid_ticks, market.lot_units, market.min_units,
            fee=fee, status=status, result=result,
        )  # fmt: skip
        publisher.describe(described, self.clock.monotonic_ns())

    def quote(self, venue: str, bid: int, ask: int, size: int) -> None:
        """Publish a one-level book in cents and whole contracts, now."""
        segment, publisher = self.feeds[venue]
        now = self.clock.monotonic_ns()
        market = publisher.markets[0]
        units = size * 10 ** publisher.scales[market].size_decimals
        segment.beat(now)
        segment.words(CONNECTIONS)[C_PROOF_NS] = now
        book = Book(market, publisher.scales[market], shown=25)
        book.apply_snapshot(Snapshot(market, [(bid * CENT, units)], [(ask * CENT, units)]))
        book.socket_ns = now
        publisher.publish(book, now, self.clock.wall_ns(), tradable=True)

    def exchange(self, done: Callable[[], bool], step_ns: int = 0) -> None:
        """Let trader and exchange speak until it is done; ZeroMQ's own threads need real moments.

        Before it is connected a question is lost, and asked again a quarter of a second later by our clock:
        `step_ns` a turn.
        """
        for _ in range(5_000):
            self.trader.turn(1)
            self.paper.turn(1)
            if done():
                return
            self.clock.advance(step_ns)
        raise AssertionError("trader and exchange never got there")

    def acted(self, action: Action) -> bool:
        """Whether the newest decision came to this."""
        decisions = self.decisions()
        return bool(decisions) and decisions[0].action == action

    def trade_once(self) -> None:
        """Let the trader take whatever the scanner sent; ZeroMQ's own threads need a real moment."""
        for _ in range(200):
            self.trader.turn(10)
            if read_counters(self.view("trader"))["opportunities"]:
                return
        raise AssertionError("the opportunity never arrived")

    def view(self, name: str):
        """A reader's view of a segment."""
        return attach(Path(self.config.shm_directory), name)

    def decisions(self) -> list[records.DecisionRow]:
        """The trader's decisions, newest first."""
        return read_ring(self.view("trader"), "decisions", records.DECISION)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fresh world; the signal handlers that workers install are taken back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    made = World(tmp_path)
    yield made
    for number, handler in handlers.items():
        signal.signal(number, handler)
    made.trader.close()
    made.paper.close()
    made.scanner.close()
    for segment, _ in made.feeds.values():
        segment.close()


def test_a_book_change_becomes_a_journalled_fill(world: World, tmp_path: Path) -> None:
    """Kalshi offers YES at 50, Polymarket bids 56: both legs are bought, filled after the latency, booked."""
    world.quote("kalshi", 48, 50, 200)
    world.quote("polymarket", 56, 58, 300)
    # The direction that crosses is priced at once; the other waits for its turn in the round.
    assert world.scanner.turn() == 1
    rows = {
        row.direction: row for _, row in TableReader(world.view("scanner"), "events", records.EVENT).rows()
    }
    assert rows[0].reason == Reason.NONE
    assert rows[0].edge_bp > 50
    world.trade_once()
    assert world.decisions()[0].action == 1  # approved: the intents are committed, nothing is filled yet
    journal = open_readonly(tmp_path / "data" / "ledger.sqlite")
    assert len(journal.open_intents()) == 2
    assert journal.fills() == []

    world.exchange(lambda: read_counters(world.view("paper"))["orders"] == 2)
    world.clock.advance(LONG_NS)
    world.quote("kalshi", 48, 50, 200)
    world.quote("polymarket", 56, 58, 300)
    world.exchange(lambda: world.acted(Action.EXECUTED))
    decision = world.decisions()[0]
    stamps = [
        decision.socket_ns, decision.scan_ns, decision.send_ns, decision.receive_ns,
        decision.decide_ns, decision.intent_ns, decision.order_ns, decision.fill_ns,
    ]  # fmt: skip
    assert stamps == sorted(stamps)
    fills = {fill.venue: fill for fill in journal.fills()}
    journal.close()
    assert (fills["kalshi"].outcome, fills["kalshi"].price_ticks) == ("yes", 50 * CENT)
    assert (fills["polymarket"].outcome, fills["polymarket"].price_ticks) == ("no", 56 * CENT)
    sizes = {fills[venue].size_units * 10 ** (6 - fills[venue].scale.size_decimals) for venue in fills}
    assert len(sizes) == 1, "both legs have the same size"
    positions = world.trader.account.positions
    spent = sum((Decimal(100) - positions.cash(venue) for venue in ("kalshi", "polymarket")), Decimal(0))
    assert spent.scaleb(6) == decision.cash_micros


def test_a_book_that_died_is_not_traded(world: World) -> None:
    """Between scan and last look Kalshi's feed stops beating: refused as dead, nothing committed."""
    world.quote("kalshi", 48, 50, 200)
    world.quote("polymarket", 56, 58, 300)
    world.scanner.turn()
    world.clock.advance(249_000_000)
    world.feeds["polymarket"][0].beat(world.clock.monotonic_ns())
    world.clock.advance(1_000_000)
    world.feeds["kalshi"][0].cells[10] -= 2_000_000
    world.trade_once()
    decision = world.decisions()[0]
    assert decision.action == 3
    assert decision.reason == Reason.BOOK_DEAD


def test_a_late_opportunity_is_refused(world: World) -> None:
    """What arrives after its expiry is refused, however good it looks."""
    world.quote("kalshi", 48, 50, 200)
    world.quote("polymarket", 56, 58, 300)
    world.scanner.turn()
    world.clock.advance(world.config.scanner.opportunity_ttl_ms * 1_000_000 + 1)
    world.trade_once()
    assert world.decisions()[0].reason == Reason.EXPIRED


def test_an_edge_that_left_is_refused(world: World) -> None:
    """The last look prices again: a book that moved away in between gives no order."""
    world.quote("kalshi", 48, 50, 200)
    world.quote("polymarket", 56, 58, 300)
    world.scanner.turn()
    world.clock.advance(1_000_000)
    world.quote("polymarket", 49, 51, 300)
    world.trade_once()
    assert world.decisions()[0].reason == Reason.NO_EDGE


def test_a_settled_market_pays(world: World) -> None:
    """After both markets have their result the pair has paid one dollar a share, and nothing is held."""
    world.quote("kalshi", 48, 50, 200)
    world.quote("polymarket", 56, 58, 300)
    world.scanner.turn()
    world.trade_once()
    world.exchange(lambda: read_counters(world.view("paper"))["orders"] == 2)
    world.clock.advance(LONG_NS)
    world.quote("kalshi", 48, 50, 200)
    world.quote("polymarket", 56, 58, 300)
    world.exchange(lambda: world.acted(Action.EXECUTED))
    locked = world.decisions()[0].net_micros
    for venue, market, fee in (
        ("kalshi", Market("kalshi", "KX", Scale(6, 2), CENT, 100, 100), KALSHI_FEE),
        ("polymarket", Market("polymarket", "77", Scale(6, 6), CENT, 10_000, 5_000_000), POLYMARKET_FEE),
    ):
        world.describe(world.feeds[venue][1], market, fee, MarketStatus.SETTLED, MarketResult.YES)
    world.clock.advance(200_000_000)
    world.trader.turn(0)
    summary = TableReader(world.view("trader"), "summary", records.SUMMARY).get(0)
    assert summary is not None
    assert summary.realised_micros == locked
    assert not list(TableReader(world.view("trader"), "positions", records.POSITION).rows())
