"""A trader run: real trader and paper exchange between feeds and opportunities that the test makes.

In: a folder, changes of [risk] and [trader]. Out: a world of two events on four venues whose books move by
themselves, a scanner's end of `opp` that offers what crosses, processes that may be killed at any point, and
what the exchange and the ledger say of it. Used by the tests of what a killed or stopped trader leaves.
"""

from __future__ import annotations

import atexit
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import msgspec

from pipeline.bus import Sender, make_bell, make_key
from pipeline.cli.common import ROOT
from pipeline.clock import SystemClock
from pipeline.config import (
    Config,
    EventConfig,
    KellyConfig,
    LegConfig,
    ReviewConfig,
    RiskConfig,
    ScannerConfig,
    ShmConfig,
    TraderConfig,
    VenueConfig,
    encode,
    sealed,
)
from pipeline.halt import HALT_FILE, HaltFile
from pipeline.journal_reader import JournalReader, open_readonly
from pipeline.journal_records import LEDGER_FILE, standing
from pipeline.lifecycle import CONFIG_FILE
from pipeline.model import BookState, FeeKind, MarketStatus
from pipeline.paper.orders import Status
from pipeline.paper.store import PAPER_FILE, VenueRecord, venue_record
from pipeline.wire import LegRef, Opportunity, Sealer
from shm import records
from shm.segment import SegmentError, View, attach
from shm.tables import TableReader, read_counters, read_errors
from tests.support.feed_memory import FeedMemory

T = TypeVar("T")
ACCOUNT = "test"
PATIENCE_SECONDS = 180.0
"""Many times what any step takes, so that a slow machine is no failure."""
MOVE_SECONDS = 0.01
TTL_NS = 250_000_000
CENT = 10_000
BPS = {"fee_kind": int(FeeKind.BPS), "fee_rate_ppm": 100, "fee_maker_rate_ppm": 50}
MARKETS: dict[str, tuple[str, dict[str, int]]] = {
    "kalshi": (
        "KX",
        {"price_decimals": 6, "size_decimals": 2, "grid_ticks": CENT, "lot_units": 100, "min_units": 100}
        | {"fee_kind": int(FeeKind.KALSHI), "fee_rate_ppm": 70_000, "fee_precision_micros": 10_000},
    ),
    "polymarket": (
        "77",
        {"price_decimals": 6, "size_decimals": 6, "grid_ticks": CENT, "lot_units": 10_000}
        | {"min_units": 1_000_000, "fee_kind": int(FeeKind.POLYMARKET), "fee_rate_ppm": 40_000},
    ),
    "kraken": (
        "BTC/USD",
        {"price_decimals": 2, "size_decimals": 4, "grid_ticks": 1, "lot_units": 1, "min_units": 1} | BPS,
    ),
    "coinbase": (
        "BTC-USD",
        {"price_decimals": 2, "size_decimals": 4, "grid_ticks": 1, "lot_units": 1, "min_units": 1} | BPS,
    ),
}
EVENTS = (
    EventConfig(
        id="rain",
        legs=(LegConfig("kalshi", "KX"), LegConfig("polymarket", "77")),
        review=ReviewConfig(by="test", void_rule="never"),
    ),
    EventConfig(
        id="btc",
        kind="spot",
        legs=(
            LegConfig("kraken", "BTC/USD", outcome="base"),
            LegConfig("coinbase", "BTC-USD", outcome="base"),
        ),
        review=ReviewConfig(by="test"),
    ),
)
EASY = RiskConfig(
    max_event_usd="1000000",
    max_exposure_usd="1000000",
    max_market_usd="1000000",
    max_venue_usd="1000000",
    max_net_usd="1000000",
    daily_loss_usd="1000000",
    max_consecutive_losses=10**6,
    max_trades_per_hour=10**6,
    max_orders_per_second=10_000,
    max_orders_per_minute=600_000,
    cooldown_ms=0,
)
"""Limits that never stop a run that is about something else."""


@cache
def zygote() -> subprocess.Popen[str]:
    """The process that forks traders and exchanges for all tests of this process; it ends with us."""
    command, pipe = [sys.executable, "-m", "tests.support.zygote"], subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
    assert process.stdin is not None
    atexit.register(process.communicate)
    return process


def told(line: str) -> None:
    """Say a line to the zygote."""
    stdin = zygote().stdin
    assert stdin is not None
    stdin.write(line + "\n")
    stdin.flush()


def heard() -> str:
    """The zygote's next line."""
    stdout = zygote().stdout
    assert stdout is not None
    return stdout.readline()


class Placed(NamedTuple):
    """An order as the exchange has it on record; times are CLOCK_MONOTONIC, `at_ns` of its last change."""

    order_id: str
    venue: str
    style: str
    sent_ns: int
    arrived_ns: int
    deadline_ns: int
    expires_ns: int
    status: Status
    at_ns: int
    why: str


class TraderRun:
    """One trader, its exchange and its world. Use as a context: all is gone on exit."""

    def __init__(
        self, folder: Path, *, seed: int = 1, risk: RiskConfig = EASY, calm: bool = False, **trader: Any
    ) -> None:
        self.run_directory = folder / "run"
        self.run_directory.mkdir(mode=0o700, parents=True)
        self.data = folder / "data"
        self.data.mkdir()
        self.calm = calm
        """Whether every book always has the same size and, where `gap` says no other, crosses."""
        self.gap: int | None = None
        """Cents that the dearer venue has come down; above 6 nothing crosses. None: now and then 12."""
        self.dead: set[str] = set()
        """Venues whose books are DEAD."""
        self.unwanted = False
        """Whether nobody bids for anything at Kalshi."""
        self.events = EVENTS
        """What is offered."""
        self.config = sealed(
            Config(
                account=ACCOUNT,
                data_directory=str(self.data),
                run_directory=str(self.run_directory),
                shm_directory=str(folder / "shm"),
                venues={venue: VenueConfig() for venue in MARKETS},
                risk=risk,
                kelly=KellyConfig(capital_usd="100000"),
                scanner=ScannerConfig(heartbeat_ms=5_000, proof_ms=5_000, quiet_ms=60_000, hurdle_pct="0"),
                shm=ShmConfig(depth=5),
                trader=TraderConfig(
                    cash=dict.fromkeys(MARKETS, "1000000"),
                    inventory={"kraken": {"BTC/USD": "1000"}, "coinbase": {"BTC-USD": "1000"}},
                    **trader,
                ),
                events=EVENTS,
            )
        )
        self.clock = SystemClock()
        self._sealer = Sealer(make_key(self.run_directory))
        make_bell(self.run_directory)
        (self.run_directory / CONFIG_FILE).write_bytes(encode(self.config))
        self._chance = random.Random(seed)
        self.feeds = {
            venue: FeedMemory(folder / "shm", venue, self.clock, history=0, markets=2, depth=5)
            for venue in MARKETS
        }
        for venue, (market, cells) in MARKETS.items():
            self.feeds[venue].describe(market, status=int(MarketStatus.OPEN), **cells)
        self.halt = HaltFile(self.data / HALT_FILE)
        self.offering = True
        self.sequence = 0
        """Opportunities that were made, and so far sent or dropped."""
        self.expires_ns: dict[int, int] = {}
        """When each of them ended."""
        self._ending = threading.Event()
        self._moves = threading.Thread(target=self._move, daemon=True)
        self._paper = 0
        self.pid = 0

    def __enter__(self) -> Self:
        self._moves.start()
        zygote()
        self.start_paper()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._moves.join()
        told("clear")
        while heard() != "cleared\n":
            pass  # the end of a trader that nobody asked about
        for feed in self.feeds.values():
            feed.close(unlink=True)

    # -- processes -------------------------------------------------------------------------------

    def start_paper(self) -> None:
        """Start the paper exchange, and wait until it runs and has its record."""
        told(f"paper {self.run_directory}")
        pid = self._paper = int(heard().split()[1])

        def ready() -> bool:
            view = self.view("paper")
            try:
                self.placed()
            except sqlite3.OperationalError:
                return False
            return view is not None and view.header.pid == pid

        self.wait_for(ready)

    def kill_paper(self) -> None:
        """Kill the exchange with SIGKILL."""
        os.kill(self._paper, signal.SIGKILL)
        self.wait_for(lambda: gone(self._paper))

    def start(self, point: str = "-", number: int = signal.SIGKILL) -> int:
        """Start a trader that kills (or stops) itself at a crash point; its pid."""
        told(f"trader {self.run_directory} {point} {int(number)}")
        self.pid = int(heard().split()[1])
        return self.pid

    def ended(self, seconds: float) -> bool:
        """Whether the trader has ended, after at most so long."""
        deadline = time.monotonic() + seconds
        while not (over := gone(self.pid)) and time.monotonic() < deadline:
            time.sleep(0.002)
        return over

    def is_stopped(self) -> bool:
        """Whether the trader was stopped by SIGSTOP."""
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    @contextmanager
    def frozen(self, seconds: float) -> Iterator[tuple[int, int]]:
        """Stop the trader so long; the block runs before it goes on, with the first and the last number of
        the opportunities that were made meanwhile.
        """
        if not self.is_stopped():
            os.kill(self.pid, signal.SIGSTOP)
            self.wait_for(self.is_stopped)
        first = self.sequence + 1
        time.sleep(seconds)
        try:
            yield first, self.sequence
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send a signal to the trader if it still runs, wait for its end, and return its status."""
        if not gone(self.pid):
            # It may end between the look and the signal.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
        words = heard().split()
        assert words[:2] == ["ended", str(self.pid)], words
        return int(words[2])

    # -- the world -------------------------------------------------------------------------------

    def _move(self) -> None:
        """Let the feeds beat, the books move, and offer what crosses."""
        sender = Sender(self.run_directory)
        while not self._ending.wait(MOVE_SECONDS):
            self.publish()
            if self.offering:
                for event in self.events:
                    sender.send(self._sealer.seal(self.opportunity(event)))
        sender.close()

    def publish(self) -> None:
        """New books: mostly with something between the venues, of sizes that do not always suffice."""
        chance = self._chance
        gap = self.gap if self.gap is not None else 0 if self.calm else chance.choice((0, 0, 0, 12))
        sizes = [50 if self.calm else chance.choice((3, 8, 20, 60)) for _ in range(4)]
        kalshi, poly, kraken, coinbase = (self.feeds[venue] for venue in MARKETS)
        kalshi.beat(), poly.beat(), kraken.beat(), coinbase.beat()
        states = {venue: int(BookState.DEAD if venue in self.dead else BookState.LIVE) for venue in MARKETS}
        bids = [] if self.unwanted else [(38 * CENT, sizes[0] * 100)]
        kalshi.show("KX", bids, [(44 * CENT, sizes[0] * 100)], state=states["kalshi"])
        high, size = (56 - gap) * CENT, sizes[1] * 10**6
        poly.show("77", [(high, size)], [(high + 2 * CENT, size)], state=states["polymarket"])
        size = sizes[2] * 100
        kraken.show("BTC/USD", [(9_900, size)], [(10_000, size)], state=states["kraken"])
        top, size = 10_300 - gap * 30, sizes[3] * 100
        coinbase.show("BTC-USD", [(top, size)], [(top + 50, size)], state=states["coinbase"])

    def opportunity(self, event: EventConfig, *, ttl_ns: int = TTL_NS) -> Opportunity:
        """What a scanner would send of an event's first direction."""
        now = self.clock.monotonic_ns()
        self.sequence += 1
        self.expires_ns[self.sequence] = now + ttl_ns
        legs = tuple(
            LegRef(
                leg.venue, leg.market, "base" if event.kind == "spot" else "yes", "buy", 1, 0, 1, 1, now, now
            )
            for leg in event.legs
        )
        return Opportunity(
            boot_id="", run_epoch=1, sequence=self.sequence, config_version=self.config.version,
            event_id=event.id, kind=event.kind, direction=0, size_units=1, size_decimals=0, edge_bp=100,
            gross_micros=1, net_micros=1, cash_micros=1, confidence=2, legs=legs, race_ppm=900_000,
            fresh=True, scan_ns=now, decided_ns=now, expires_ns=now + ttl_ns, send_ns=now,
        )  # fmt: skip

    # -- what is so ------------------------------------------------------------------------------

    def view(self, name: str) -> View | None:
        """A segment, None while it is not there."""
        try:
            return attach(Path(self.config.shm_directory), name)
        except SegmentError:
            return None

    def summary(self) -> records.SummaryRow | None:
        """The totals of the trader that runs now; None until it has published them."""
        view = self.view("trader")
        if view is None or view.header.pid != self.pid:
            return None
        row = TableReader(view, "summary", records.SUMMARY).get(0)
        assert row is None or isinstance(row, records.SummaryRow)
        # A new trader empties the row of the one before it.
        return row if row is not None and row.updated_ns else None

    def counters(self, name: str = "trader") -> dict[str, int]:
        """A process's counters; they go on counting when it is started again."""
        view = self.view(name)
        return read_counters(view) if view is not None else {}

    def count(self, name: str) -> int:
        """One of the trader's counters."""
        return self.counters().get(name, 0)

    def counted(self, name: str, least: int) -> None:
        """Wait until one of the trader's counters has got so far."""

        def enough() -> bool:
            found = self.count(name) >= least
            assert found or not gone(self.pid), f"the trader died: {self.errors()}"
            return found

        self.wait_for(enough)

    def more(self, name: str, by: int) -> None:
        """Wait until one of the trader's counters has grown by so much from now on."""
        self.counted(name, self.count(name) + by)

    def errors(self) -> list[str]:
        """What the processes reported."""
        views = [view for name in ("trader", "paper") if (view := self.view(name)) is not None]
        return [row.text for view in views for row in read_errors(view)]

    def ledger(self) -> JournalReader:
        """The ledger, to be closed by the caller."""
        return open_readonly(self.data / LEDGER_FILE)

    def venue(self) -> VenueRecord:
        """What the exchange has on record."""
        return venue_record(self.data / PAPER_FILE, ACCOUNT)

    def placed(self) -> list[Placed]:
        """Every order that the exchange was sent, in the order in which it took them."""
        names = ", ".join(Placed._fields)
        with closing(sqlite3.connect(f"{(self.data / PAPER_FILE).as_uri()}?mode=ro", uri=True)) as record:
            rows = record.execute(f"SELECT {names} FROM orders ORDER BY serial").fetchall()
        return [Placed._make(row)._replace(status=Status(row[7])) for row in rows]

    def agree(self) -> int:
        """Assert that ledger and exchange agree to the last unit, that every order has its intent, and that
        none was sent twice; the number of fills.
        """
        venue, ledger = self.venue(), self.ledger()
        with closing(ledger):
            assert ledger.verify() == []
            assert ledger.open_intents() == []
            committed = {intent.order_id for trade in ledger.trades() for intent in trade.intents}
            fills = standing(ledger.fills(), ledger.confirmations())
        assert set(venue.bookings) <= committed, "an order without a committed intent"
        assert {name: count for name, count in venue.bookings.items() if count > 1} == {}, "sent twice"
        assert {fill.fill_id: fill.order_id for fill in fills} == venue.fills, "fills differ"
        held: dict[tuple[str, str, str], int] = defaultdict(int)
        for fill in fills:
            sign = 1 if fill.action == "buy" else -1
            held[fill.venue, fill.market, fill.outcome] += fill.size_units * sign
        assert dict(held) == dict(venue.positions)
        return len(fills)

    def wait_for(self, check: Callable[[], T | None], pause: float = 0.005) -> T:
        """The first true value of `check`; fails after PATIENCE_SECONDS."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            value = check()
            if value:
                return value
            time.sleep(pause)
        raise AssertionError(f"never came true: {self.summary()} {self.errors()}")

    def settle_down(self) -> None:
        """Stop opening trades, and wait until nothing is on its way and every leg has its counterpart."""
        self.offering = False
        self.halt.set("the test is over", "test", self.clock.wall_ns())

        def quiet() -> bool:
            row = self.summary()
            return bool(row and row.halted and not (row.open_orders or row.resolving or row.unhedged))

        self.wait_for(quiet)


def gone(pid: int) -> bool:
    """Whether a process has ended and been reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def quick(config: Config, **trader: Any) -> Config:
    """The config with other keys of [trader]."""
    return msgspec.structs.replace(config, trader=msgspec.structs.replace(config.trader, **trader))
