"""A paper world: feeds that the test writes, the paper exchange over them, and lines to it.

In: a folder, a clock, settings of [trader]. Out: a run directory with key and config, four venues with one
market each, and the exchange: in this process, moved by `pump`, or as a process of its own. Used by tests of
the paper exchange and of brokers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import msgspec

from pipeline.bus import OrderLine, make_key
from pipeline.cli.common import SCRIPT
from pipeline.clock import Clock, ManualClock
from pipeline.config import Config, ScannerConfig, TraderConfig, VenueConfig, encode, sealed
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY, SUPERVISOR_PID
from pipeline.look import Look
from pipeline.model import BookState, FeeKind, FeeSchedule, MarketStatus, Scale
from pipeline.model_events import OrderLeg
from pipeline.paper.orders import fee_numbers
from pipeline.paper.store import PAPER_FILE, VenueRecord, venue_record
from pipeline.paper.worker import PaperVenue
from pipeline.trader.broker import Approved, OrderEvent, OrderIntent, OrderStatus, Purpose, Style
from pipeline.trader.order_line import PaperLine
from pipeline.wire import OrderMessage, OrderReport, PlaceOrder, Sealer
from shm.books import BookRow
from shm.records import MARKET, MarketRow
from shm.segment import SegmentError, attach
from shm.tables import read_counters, read_errors
from tests.support.feed_memory import FeedMemory

ACCOUNT = "test"
FINAL = {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED}
PATIENCE_SECONDS = 60.0
STEP_NS = 1_000_000
ASK_AGAIN = 50

MARKETS = {"kalshi": "K", "polymarket": "P", "kraken": "BTC/USD", "coinbase": "BTC-USD"}
SCALES = {"kalshi": Scale(6, 2), "polymarket": Scale(6, 6), "kraken": Scale(1, 8), "coinbase": Scale(8, 8)}
FEES = {
    "kalshi": FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000),
    "polymarket": FeeSchedule(FeeKind.POLYMARKET, 40_000),
    "kraken": FeeSchedule(FeeKind.BPS, 4_000),
    "coinbase": FeeSchedule(FeeKind.BPS, 6_000),
}
YES = OrderLeg("kalshi", "K", "yes", "buy", 490_000, 1000, SCALES["kalshi"])
NO = OrderLeg("polymarket", "P", "no", "buy", 550_000, 10_000_000, SCALES["polymarket"])
COIN = OrderLeg("kraken", "BTC/USD", "base", "sell", 1_000_000, 500_000, SCALES["kraken"])

Levels = Sequence[tuple[int, int]]


def market_row(venue: str, **cells: object) -> MarketRow:
    """A market's directory row, open, with no grid, lot or minimum unless given."""
    scale = SCALES[venue]
    plain = {
        "market": MARKETS[venue],
        "price_decimals": scale.price_decimals,
        "size_decimals": scale.size_decimals,
        "status": MarketStatus.OPEN,
        "incarnation": 1,
    }
    return MARKET.empty()._replace(**plain | cells)


def a_look(
    venue: str,
    bids: Levels = (),
    asks: Levels = (),
    *,
    number: int = 1,
    epoch: int = 1,
    state: BookState = BookState.LIVE,
    flags: int = 0,
    **cells: object,
) -> Look:
    """A book as a reader of shared memory gets it."""
    book = BookRow(number, epoch, 1, 0, state, 0, flags, 0, 11, 12, tuple(bids), tuple(asks))
    return Look(4, book, market_row(venue, **cells), state)


class Shelf:
    """Books by market, put there by a test: implements `pipeline.look.Books`."""

    def __init__(self) -> None:
        self.looks: dict[tuple[str, str], Look] = {}
        self.reads: list[str] = []
        self._number = 0

    def read(self, venue: str, market: str, now_ns: int) -> Look | None:
        self.reads.append(market)
        return self.looks.get((venue, market))

    def show(self, venue: str, bids: Levels = (), asks: Levels = (), **cells: object) -> None:
        """Another publication of a venue's market."""
        self._number += 1
        cells.setdefault("number", self._number)
        self.looks[venue, MARKETS[venue]] = a_look(venue, bids, asks, **cells)


def place_of(
    leg: OrderLeg,
    order_id: str = "t-0",
    *,
    account: str = ACCOUNT,
    style: str = "ioc",
    fee: FeeSchedule | None = None,
    deadline_ns: int = 0,
    expires_ns: int = 0,
    sent_ns: int = 0,
) -> PlaceOrder:
    """The message that places an order."""
    return PlaceOrder(
        account,
        order_id,
        leg.venue,
        leg.market,
        leg.outcome,
        leg.action,
        leg.limit_ticks,
        leg.size_units,
        leg.scale.price_decimals,
        leg.scale.size_decimals,
        style,
        fee_numbers(fee or FEES[leg.venue]),
        deadline_ns,
        expires_ns,
        sent_ns,
    )


def approved(
    *legs: OrderLeg,
    trade: str = "t",
    style: Style = Style.IOC,
    deadline_ns: int = 0,
    expires_ns: int = 0,
) -> Approved:
    """Orders that passed every gate."""
    purpose = Purpose.QUOTE if style is Style.MAKER else Purpose.OPEN
    intents = tuple(
        OrderIntent(
            f"{trade}-{number}", leg, FEES[leg.venue], number, purpose, style, deadline_ns, expires_ns
        )
        for number, leg in enumerate(legs)
    )
    return Approved(trade, "e", intents)


class PaperWorld:
    """Directories, feeds and one exchange. Close it at the end."""

    def __init__(self, folder: Path, clock: Clock, **trader: object) -> None:
        self.clock = clock
        self.folder = folder
        run_directory = folder / "run"
        run_directory.mkdir(mode=0o700, parents=True)
        self.sealer = Sealer(make_key(run_directory))
        plain = {"paper_latency_ms": 5, "paper_provisional_ms": 0}
        self.config = Config(
            data_directory=str(folder / "data"),
            run_directory=str(run_directory),
            shm_directory=str(folder / "shm"),
            account=ACCOUNT,
            venues={venue: VenueConfig() for venue in MARKETS},
            trader=TraderConfig(**plain | trader),
            scanner=ScannerConfig(heartbeat_ms=60_000, proof_ms=60_000, quiet_ms=600_000),
        )
        self.write_config()
        self.feeds = {
            venue: FeedMemory(folder / "shm", venue, clock, history=0, depth=25) for venue in MARKETS
        }
        for venue, feed in self.feeds.items():
            feed.describe(MARKETS[venue], **_cells(venue))
            self.shows(venue)
        self.venue: PaperVenue | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._lines: list[PaperLine | OrderLine] = []
        self._hellos = count(1)

    # -- the exchange ----------------------------------------------------------------------------

    def start(self) -> PaperVenue:
        """The exchange in this process; its handlers of signals are taken away again."""
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        self.venue = PaperVenue(self.config, self.clock)
        for number, handler in before.items():
            signal.signal(number, handler)
        return self.venue

    def stop(self) -> None:
        """End the exchange of this process in order."""
        assert self.venue is not None
        self.venue.close()
        self.venue.worker.segment.close()
        self.venue.worker.log.close()
        self.venue = None

    def start_process(self, command: Sequence[str] = (sys.executable, str(SCRIPT), "paper")) -> None:
        """The exchange as the supervisor starts it."""
        environment = {
            **os.environ,
            RUN_DIRECTORY: str(self.folder / "run"),
            SUPERVISOR_PID: str(os.getpid()),
            "PYTHONPATH": str(SCRIPT.parent),
        }
        self.process = subprocess.Popen(list(command), env=environment)

    def kill_process(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End the exchange's process; its status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_SECONDS)
        self.process = None
        return status

    def close(self) -> None:
        """Everything ends."""
        for line in self._lines:
            line.close()
        if self.venue is not None:
            self.stop()
        if self.process is not None:
            self.kill_process()
        for feed in self.feeds.values():
            feed.close(unlink=True)

    def set(self, **trader: object) -> None:
        """Change [trader] while everything runs."""
        changed = msgspec.structs.replace(self.config.trader, **trader)
        self.config = msgspec.structs.replace(self.config, version=self.config.version + 1, trader=changed)
        self.write_config()

    def write_config(self) -> None:
        self.config = sealed(self.config)
        fresh = self.folder / "run" / "config.new"
        fresh.write_bytes(encode(self.config))
        fresh.rename(self.folder / "run" / CONFIG_FILE)

    # -- the world -------------------------------------------------------------------------------

    def shows(
        self, venue: str, bids: Levels = (), asks: Levels = (), state: BookState = BookState.LIVE
    ) -> None:
        """A venue's book from now on."""
        self.beat()
        self.feeds[venue].show(MARKETS[venue], bids, asks, state=state)

    def beat(self) -> None:
        """All feeds live."""
        for feed in self.feeds.values():
            feed.beat()

    def line(self, account: str = ACCOUNT) -> PaperLine:
        """A trader's line."""
        line = PaperLine(self.folder / "run", self.sealer, account, self.clock)
        self._lines.append(line)
        return line

    def raw(self) -> OrderLine:
        """A socket on which a test sends what it likes."""
        line = OrderLine(self.folder / "run")
        self._lines.append(line)
        return line

    def turn(self) -> None:
        """A moment passes."""
        if isinstance(self.clock, ManualClock):
            self.clock.advance(STEP_NS)
            time.sleep(0.0002)
        if self.venue is not None:
            self.beat()
            self.venue.turn(0)
        else:
            self.beat()
            time.sleep(0.002)

    def until(self, check: Callable[[], object], patience: float = PATIENCE_SECONDS) -> None:
        """Let moments pass until something holds."""
        deadline = time.monotonic() + patience
        while not check():
            assert time.monotonic() < deadline, f"never came true: {self.errors()}"
            self.turn()

    def connect(self, line: PaperLine) -> list[OrderEvent]:
        """Wait until the exchange as it is now answers a line; what it said beside."""
        hello = f"hello-{next(self._hellos)}"
        return [e for e in self.answers(line, [hello]) if not e.order_id.startswith("hello-")]

    def answers(self, line: PaperLine, order_ids: Sequence[str]) -> list[OrderEvent]:
        """Ask, now and then again, until each id is answered; all that was heard."""
        found: list[OrderEvent] = []
        tries = count()

        def answered() -> bool:
            now = self.clock.monotonic_ns()
            if next(tries) % ASK_AGAIN == 0:
                line.ask(order_ids, now)
            found.extend(line.poll(now))
            return set(order_ids) <= {event.order_id for event in found}

        self.until(answered)
        return found

    def events(self, line: PaperLine, done: Callable[[list[OrderEvent]], object]) -> list[OrderEvent]:
        """What a line hears until that is enough."""
        found: list[OrderEvent] = []

        def enough() -> object:
            found.extend(line.poll(self.clock.monotonic_ns()))
            return done(found)

        self.until(enough)
        return found

    def final(self, line: PaperLine, *order_ids: str) -> list[OrderEvent]:
        """What a line hears until these orders have ended."""

        def ended(events: list[OrderEvent]) -> bool:
            return set(order_ids) <= {event.order_id for event in events if event.status in FINAL}

        return self.events(line, ended)

    def frames(self, raw: OrderLine, count: int) -> list[OrderReport]:
        """The next reports on a raw socket."""
        found: list[OrderReport] = []

        def enough() -> bool:
            frame = raw.receive(0)
            if frame is not None:
                found.append(self.sealer.open(frame, OrderReport))
            return len(found) >= count

        self.until(enough)
        return found

    def send(self, raw: OrderLine, message: OrderMessage) -> None:
        """Send a message as soon as the socket takes it."""
        self.until(lambda: raw.send(self.sealer.seal(message)))

    def record(self, account: str = ACCOUNT) -> VenueRecord:
        """What the exchange has on record."""
        return venue_record(self.folder / "data" / PAPER_FILE, account)

    def counters(self) -> dict[str, int]:
        """The exchange's counters."""
        return read_counters(attach(self.folder / "shm", "paper"))

    def errors(self) -> list[str]:
        """What the exchange reported."""
        try:
            return [row.text for row in read_errors(attach(self.folder / "shm", "paper"))]
        except SegmentError as error:
            return [str(error)]


def _cells(venue: str) -> dict[str, int]:
    row = market_row(venue)
    names = ("price_decimals", "size_decimals", "status")
    return {name: int(getattr(row, name)) for name in names}
