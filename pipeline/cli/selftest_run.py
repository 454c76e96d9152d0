"""Selftest run: a simulated run of its own, what can be done to it, and what can be seen of it.

In: a new folder, a seed. Out: a running program with its own data directory, orders to its lab, commands to
its supervisor, readings of its memory, its ledger and its exchange's record. Used by the items of the
selftest. It touches nothing of anybody else's run, and ends what it started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pipeline.books import FeedBooks
from pipeline.bus import BusError
from pipeline.cli.ask import ask
from pipeline.cli.common import SCRIPT, last_config, run_directory_of, running_config
from pipeline.clock import Clock
from pipeline.config import Config, EventConfig, parse_time_ns
from pipeline.guards import VARIABLE
from pipeline.halt import HALT_FILE, Halt, HaltFile
from pipeline.journal_reader import JournalError, JournalReader, open_readonly
from pipeline.journal_records import LEDGER_FILE, FillRecord, TradeParts, TradeRecord, standing
from pipeline.lab.market import TOPICS
from pipeline.lab.orders import ORDERS_FILE, give
from pipeline.lab.scenario import Step, order_text
from pipeline.logs import log_directory
from pipeline.look import Look
from pipeline.model import BookState, WorkerState
from pipeline.paper.store import PAPER_FILE, StoreError, VenueRecord, venue_record
from shm import records
from shm.segment import SegmentError, View, attach, pid_start
from shm.tables import TableReader, read_counters

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
"""How long is waited for what takes well under a second here."""
START_SECONDS = 30.0
STOP_SECONDS = 15.0
LONGEST_SECONDS = 240
"""A run that its selftest forgot ends by itself."""
POLL_SECONDS = 0.004
LEFT_SECONDS = 45
"""An event that closes sooner is not used."""
CENTRAL_CENTS = 28, 65
"""Prices of an event of which small orders are large enough for a venue."""
SECOND_NS = 1_000_000_000
CONFIG = """# The run of a selftest: the shipped limits, venues that agree unless they are told not to.
[venues.kalshi]
witness_interval = 1
[venues.polymarket]
[venues.kraken]
[venues.coinbase]
[risk]
max_consecutive_losses = 1000
[trader]
paper_latency_ms = 10
paper_provisional_ms = 200
[observer]
enabled = false
[lab]
divergence = 0
"""


class MissedError(Exception):
    """Something that had to happen did not; the text says what and how long it was waited for."""


class DemoRun:
    """One run. Use as a context: everything it started is gone on exit."""

    def __init__(self, root: Path, seed: int, clock: Clock, config: str = CONFIG) -> None:
        """Nothing is started yet; `root` is an empty folder of ours, `config` the text of its config.toml."""
        self.clock = clock
        self.root = root
        self.data = root / "data"
        self.logs = log_directory(self.data)
        self._seed, self._text = seed, config
        self._process: subprocess.Popen[bytes] | None = None
        self._views: dict[str, View] = {}
        self._books: FeedBooks | None = None
        self._config: Config | None = None
        self._stamp = (0, 0)
        self._used: Counter[str] = Counter()

    def __enter__(self) -> Self:
        """Start it; `ready` waits until it can be used."""
        (self.root / "config.toml").write_text(self._text)
        self.data.mkdir()
        words = ["up", "--no-dashboard", "--config", str(self.root / "config.toml"), "--data", str(self.data)]
        words += ["--seed", str(self._seed), "--for", str(LONGEST_SECONDS)]
        with (self.root / "up.out").open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, str(SCRIPT), *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=_environment(),
                # Ctrl-C is ours alone: we stop it in order.
                start_new_session=True,
            )
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop it, and make sure that nothing of it is left."""
        process = self._process
        assert process is not None
        workers = self._processes()
        config = last_config(self.data)
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid, start in workers:
            if pid_start(pid) == start:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for directory in (run_directory_of(self.data), *([Path(config.shm_directory)] if config else [])):
            shutil.rmtree(directory, ignore_errors=True)

    def _processes(self) -> list[tuple[int, int]]:
        """Pid and start of every process of the run that has shown itself."""
        try:
            return [(row.pid, row.pid_start) for row in self.workers().values() if row.pid]
        except MissedError:
            return []

    # -- waiting -----------------------------------------------------------------------------------

    def wait(self, what: str, check: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
        """The first true value of `check`. Raises MissedError after so many seconds, or if the run ended."""
        deadline = self.clock.monotonic_ns() + round(seconds * SECOND_NS)
        while True:
            value = check()
            if value:
                return value
            if self._process is not None and self._process.poll() is not None:
                raise MissedError(f"the run has ended by itself: see {self.root / 'up.out'}")
            if self.clock.monotonic_ns() > deadline:
                raise MissedError(f"waited {seconds:g} s for {what}")
            self.clock.sleep(POLL_SECONDS)

    def never(self, check: Callable[[], T | None], seconds: float) -> T | None:
        """The first true value of `check`, None if it has none for so many seconds."""
        try:
            return self.wait("nothing", check, seconds)
        except MissedError:
            return None

    def ready(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until every worker is RUNNING, every book LIVE, no leg alone; what halts is resumed.

        Raises MissedError.
        """
        if self.halt() is not None:
            self.command("resume")
        self.wait("every worker to be RUNNING", self.all_running, seconds)
        self.wait("every book to be LIVE", lambda: not self.not_live(), seconds)
        self.wait("the trader", self._is_free, seconds)

    def _is_free(self) -> bool:
        row = self.summary()
        return row is not None and not (row.halted or row.resolving or row.unhedged)

    # -- what is done to it ------------------------------------------------------------------------

    def order(self, *steps: Step) -> None:
        """Have the lab do this, in place of what was ordered before, and wait until it does."""
        before = self.count("lab", "orders")
        give(run_directory_of(self.data) / ORDERS_FILE, order_text(steps))
        self.wait("the lab to take an order", lambda: self.count("lab", "orders") > before)

    def command(self, name: str, **args: str) -> str:
        """Have the supervisor do this; what it says. Raises MissedError when it does not."""
        try:
            reply = ask(run_directory_of(self.data), name, args)
        except BusError as error:
            raise MissedError(str(error)) from error
        if not reply.ok:
            raise MissedError(reply.text)
        return reply.text

    # -- what is seen ------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The configuration in force. Raises MissedError while there is none."""
        try:
            found = (run_directory_of(self.data) / "config.json").stat()
        except FileNotFoundError:
            raise MissedError("the run has no configuration") from None
        if self._config is None or (found.st_mtime_ns, found.st_ino) != self._stamp:
            config = running_config(self.data)
            if config is None:
                raise MissedError("the supervisor is not there")
            self._config, self._stamp = config, (found.st_mtime_ns, found.st_ino)
            self._feeds().adopt(config.feeds(), config.scanner.limits())
        return self._config

    def _feeds(self) -> FeedBooks:
        if self._books is None:
            assert self._config is not None
            config = self._config
            self._books = FeedBooks(Path(config.shm_directory), config.feeds(), config.scanner.limits())
        return self._books

    def view(self, name: str) -> View | None:
        """A worker's segment, None while it has none."""
        view = self._views.get(name)
        if view is None or view.outdated():
            try:
                view = self._views[name] = attach(Path(self.config.shm_directory), name)
            except SegmentError:
                return None
        return view

    def workers(self) -> dict[str, records.WorkerRow]:
        """The supervisor's table by name."""
        view = self.view("supervisor")
        rows = TableReader(view, "workers", records.WORKER).rows() if view is not None else ()
        return {row.name: row for _, row in rows}

    def all_running(self) -> bool:
        """Whether there are workers and all are RUNNING."""
        try:
            found = self.workers()
        except MissedError:
            return False
        return len(found) > 1 and all(row.state == WorkerState.RUNNING for row in found.values())

    def count(self, worker: str, name: str) -> int:
        """One counter of a worker; 0 while it is not there."""
        view = self.view(worker)
        return read_counters(view).get(name, 0) if view is not None else 0

    def look(self, venue: str, market: str) -> Look | None:
        """A book as every reader sees it now."""
        _ = self.config
        now = self.clock.monotonic_ns()
        books = self._feeds()
        books.refresh(now)
        return books.read(venue, market, now)

    def state(self, venue: str, market: str) -> BookState:
        """What a book is worth now; EMPTY for one that is not there."""
        look = self.look(venue, market)
        return look.state if look is not None else BookState.EMPTY

    def not_live(self, venue: str = "") -> list[str]:
        """The books, of one venue or of all, that are not LIVE now."""
        config = self.config
        return [
            f"{name} {market}"
            for name in ([venue] if venue else config.feeds())
            for market in config.markets_of(name)
            if self.state(name, market) is not BookState.LIVE
        ]

    def event(self) -> EventConfig:
        """An event that stays open and can be made to pay; each time another one, as far as there are.

        Raises MissedError.
        """
        never = tuple(f"sim-{topic.stem.lower()}-" for topic in TOPICS if topic.never_pays)
        soon_ns = self.clock.wall_ns() + LEFT_SECONDS * SECOND_NS
        able = [
            event
            for event in self.config.events
            if event.kind == "binary"
            and not event.id.startswith(never)
            and parse_time_ns(event.close) > soon_ns
        ]
        if not able:
            raise MissedError("no event stays open long enough")
        chosen = min(able, key=lambda event: (not self._is_central(event), self._used[event.id]))
        self._used[chosen.id] += 1
        return chosen

    def _is_central(self, event: EventConfig) -> bool:
        """Whether five contracts are worth a dollar in both outcomes, with room for a gap: of cheaper ones a
        venue wants more, for which `risk.probe_usd` does not suffice.
        """
        leg = event.legs[0]
        look = self.look(leg.venue, leg.market)
        if look is None or not look.book.bids:
            return False
        least, most = CENTRAL_CENTS
        bid_ticks, decimals = look.book.bids[0][0], look.market.price_decimals
        return least <= bid_ticks * 100 // int(10**decimals) < most

    def summary(self) -> records.SummaryRow | None:
        """The trader's totals, None while there are none."""
        view = self.view("trader")
        return TableReader(view, "summary", records.SUMMARY).get(0) if view is not None else None

    def halt(self) -> Halt | None:
        """The halt in force, by its file."""
        return HaltFile(self.data / HALT_FILE).read()

    # -- what is on record -------------------------------------------------------------------------

    def _ledger(self) -> JournalReader:
        try:
            return open_readonly(self.data / LEDGER_FILE)
        except JournalError as error:
            raise MissedError(str(error)) from error

    def trades(self, since_wall_ns: int, event_id: str = "") -> list[TradeParts]:
        """All that the ledger knows of trades that were opened since, of one event or of all."""
        with closing(self._ledger()) as ledger, ledger.snapshot():
            recent = ledger.recent_intents(self.config.account, since_wall_ns)
            wanted = [each.trade_id for each in recent if event_id in ("", each.event_id)]
            return [ledger.parts_of(trade_id)[1] for trade_id in wanted]

    def commits(self, since_ns: int) -> list[TradeRecord]:
        """What was committed since, CLOCK_MONOTONIC: a trade's first orders, and each repair of it."""
        with closing(self._ledger()) as ledger:
            return [each for each in ledger.commits(self.config.account) if each.decided_ns >= since_ns]

    def fills(self) -> list[FillRecord]:
        """Every fill that stands."""
        with closing(self._ledger()) as ledger, ledger.snapshot():
            account = self.config.account
            return standing(ledger.fills(account), ledger.confirmations(account))

    def open_orders(self) -> list[str]:
        """Orders of which the ledger does not know the end."""
        with closing(self._ledger()) as ledger:
            return ledger.open_intents(self.config.account)

    def committed(self) -> frozenset[str]:
        """Every order that has its intent in the ledger."""
        with closing(self._ledger()) as ledger:
            trades = ledger.trades(self.config.account)
        return frozenset(intent.order_id for trade in trades for intent in trade.intents)

    def exchange(self) -> VenueRecord:
        """What the paper exchange has on record."""
        try:
            return venue_record(self.data / PAPER_FILE, self.config.account)
        except StoreError as error:
            raise MissedError(str(error)) from error


def _environment() -> dict[str, str]:
    """Our environment without settings of Parallax, which would make it another run than it is to be."""
    kept = {VARIABLE, "PARALLAX_NO_VENV"}
    return {
        name: text for name, text in os.environ.items() if not name.startswith("PARALLAX_") or name in kept
    }
