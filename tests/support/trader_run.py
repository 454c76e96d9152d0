"""A trader run: real trader and paper exchange between feeds and opportunities that the test makes.

In: a folder, changes of [risk] and [trader]. Out: a world of two events on four venues whose books move by
themselves, a scanner's end of `opp` that offers what crosses, processes that may be killed at any point, and
what the exchange and the ledger say of it. Used by the tests of what a killed or stopped trader leaves.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from pipeline.bus import Sender, make_bell, make_key
from pipeline.cli.common import ROOT, SCRIPT
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
from pipeline.journal_records import LEDGER_FILE
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY
from pipeline.model import FeeKind, MarketStatus
from pipeline.paper.store import PAPER_FILE, VenueRecord, venue_record
from pipeline.wire import LegRef, Opportunity, Sealer
from shm import records
from shm.segment import SegmentError, View, attach
from shm.tables import TableReader, read_counters, read_errors
from tests.support.feed_memory import FeedMemory

T = TypeVar("T")
ACCOUNT = "test"
PATIENCE_SECONDS = 60.0
"""Ten times what any step takes, so that a slow machine is no failure."""
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
        """Whether every book always offers what crosses."""
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
        self._sequence = 0
        self._ending = threading.Event()
        self._moves = threading.Thread(target=self._move, daemon=True)
        self._paper: subprocess.Popen[bytes] | None = None
        self._zygote: subprocess.Popen[str] | None = None
        self.pid = 0

    def __enter__(self) -> Self:
        self._moves.start()
        self.start_paper()
        command = [sys.executable, "-m", "tests.support.zygote", str(self.run_directory)]
        pipe = subprocess.PIPE
        self._zygote = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._moves.join()
        if self._zygote is not None:
            # The end of its input is the end of it.
            self._zygote.communicate(timeout=PATIENCE_SECONDS)
        if self._paper is not None:
            self._paper.terminate()
            self._paper.wait(PATIENCE_SECONDS)
        for feed in self.feeds.values():
            feed.close(unlink=True)

    # -- processes -------------------------------------------------------------------------------

    def start_paper(self) -> None:
        """Start the paper exchange, and wait until it runs."""
        environment = {**os.environ, RUN_DIRECTORY: str(self.run_directory)}
        environment.pop("PARALLAX_SUPERVISOR_PID", None)
        self._paper = subprocess.Popen([sys.executable, str(SCRIPT), "paper"], env=environment)
        self.wait_for(lambda: self.view("paper"))

    def kill_paper(self) -> None:
        """Kill the exchange with SIGKILL."""
        assert self._paper is not None
        self._paper.kill()
        self._paper.wait()

    def start(self, point: str = "-") -> int:
        """Start a trader that kills itself at a crash point; its pid."""
        assert self._zygote is not None and self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.write(f"start {point}\n")
        self._zygote.stdin.flush()
        self.pid = int(self._zygote.stdout.readline().split()[1])
        return self.pid

    def ended(self, seconds: float) -> bool:
        """Whether the trader has ended, after at most so long."""
        deadline = time.monotonic() + seconds
        while not (gone := self._gone()) and time.monotonic() < deadline:
            time.sleep(0.002)
        return gone

    def _gone(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send a signal to the trader if it still runs, wait for its end, and return its status."""
        assert self._zygote is not None and self._zygote.stdout is not None
        if not self._gone():
            # It may end between the look and the signal.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
        words = self._zygote.stdout.readline().split()
        assert words[:2] == ["ended", str(self.pid)], words
        return int(words[2])

    # -- the world -------------------------------------------------------------------------------

    def _move(self) -> None:
        """Let the feeds beat, the books move, and offer what crosses."""
        sender = Sender(self.run_directory)
        while not self._ending.wait(MOVE_SECONDS):
            self.publish()
            if self.offering:
                for event in EVENTS:
                    sender.send(self._sealer.seal(self.opportunity(event)))
        sender.close()

    def publish(self) -> None:
        """New books: mostly with something between the venues, of sizes that do not always suffice."""
        chance = self._chance
        gap = 0 if self.calm else chance.choice((0, 0, 0, 12))
        sizes = [50 if self.calm else chance.choice((3, 8, 20, 60)) for _ in range(4)]
        kalshi, poly, kraken, coinbase = (self.feeds[venue] for venue in MARKETS)
        kalshi.beat(), poly.beat(), kraken.beat(), coinbase.beat()
        kalshi.show("KX", [(38 * CENT, sizes[0] * 100)], [(44 * CENT, sizes[0] * 100)])
        high = (56 - gap) * CENT
        poly.show("77", [(high, sizes[1] * 10**6)], [(high + 2 * CENT, sizes[1] * 10**6)])
        kraken.show("BTC/USD", [(9_900, sizes[2] * 100)], [(10_000, sizes[2] * 100)])
        top = 10_300 - gap * 30
        coinbase.show("BTC-USD", [(top, sizes[3] * 100)], [(top + 50, sizes[3] * 100)])

    def opportunity(self, event: EventConfig, *, ttl_ns: int = TTL_NS) -> Opportunity:
        """What a scanner would send of an event's first direction."""
        now = self.clock.monotonic_ns()
        self._sequence += 1
        legs = tuple(
            LegRef(
                leg.venue, leg.market, "base" if event.kind == "spot" else "yes", "buy", 1, 0, 1, 1, now, now
            )
            for leg in event.legs
        )
        return Opportunity(
            boot_id="", run_epoch=1, sequence=self._sequence, config_version=self.config.version,
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
        """The trader's totals, of the trader that runs now; None until it has published them."""
        view = self.view("trader")
        if view is None or view.header.pid != self.pid:
            return None
        row = TableReader(view, "summary", records.SUMMARY).get(0)
        assert row is None or isinstance(row, records.SummaryRow)
        return row

    def counters(self, name: str = "trader") -> dict[str, int]:
        """A process's counters."""
        view = self.view(name)
        return read_counters(view) if view is not None else {}

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


def quick(config: Config, **trader: Any) -> Config:
    """The config with other keys of [trader]."""
    return msgspec.structs.replace(config, trader=msgspec.structs.replace(config.trader, **trader))
