"""A scanner run: the real scanner process between feeds that the test writes and an inbox that it reads.

In: a folder, a `Config` without directories. Out: a process as the supervisor starts it (a run directory
with key, doorbell and config.json), segments of feeds written through the real writers, the opportunities
that arrive where a trader would bind, the scanner's own segment. The feeds beat in a thread of their own.
Used by tests of what the scanner finds, and by `bench detect`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import msgspec

from pipeline.bus import Inbox, make_bell, make_key
from pipeline.cli.common import SCRIPT
from pipeline.clock import SystemClock
from pipeline.config import (
    Config,
    EventConfig,
    RiskConfig,
    ScannerConfig,
    ShmConfig,
    VenueConfig,
    encode,
    sealed,
)
from pipeline.feed.doorbell import Doorbell
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY, SUPERVISOR_PID
from pipeline.wire import Opportunity, Sealer
from shm import records
from shm.segment import SegmentError, View, attach
from shm.tables import TableReader, read_counters, read_errors
from tests.support.feed_memory import FeedMemory
from tests.support.planted import Plant, PlantLeg

T = TypeVar("T")

VENUES = ("kalshi", "polymarket", "kraken", "coinbase")
BEAT_SECONDS = 0.02
BETWEEN_SECONDS = 0.002
"""Between the messages of two legs."""
PATIENCE_SECONDS = 60.0
"""Ten times what any step takes, so that a slow machine is no failure."""


class Arrival(NamedTuple):
    """An opportunity and when it was received (CLOCK_MONOTONIC)."""

    received_ns: int
    opportunity: Opportunity


class ScannerRun:
    """One scanner and its world. Use as a context: it starts on entry and is gone on exit."""

    def __init__(self, folder: Path, config: Config, *, markets: int = 64, depth: int = 5) -> None:
        self.run_directory = folder / "run"
        self.run_directory.mkdir(mode=0o700, parents=True)
        directories = {"data": folder / "data", "run": self.run_directory, "shm": folder / "shm"}
        self.config = msgspec.structs.replace(
            config, **{f"{name}_directory": str(path) for name, path in directories.items()}
        )
        self.clock = SystemClock()
        self._sealer = Sealer(make_key(self.run_directory))
        make_bell(self.run_directory)
        self._write_config()
        self.feeds = {
            venue: FeedMemory(directories["shm"], venue, self.clock, history=0, markets=markets, depth=depth)
            for venue in config.venues
        }
        self.dead: set[str] = set()
        """Feeds that do not beat any more."""
        self.arrivals: list[Arrival] = []
        self._inbox = Inbox(self.run_directory)
        self._bell = Doorbell(directories["shm"], self.run_directory, self.clock)
        self._ending = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.view: View | None = None

    def __enter__(self) -> Self:
        self._beats.start()
        try:
            self.start()
        except AssertionError as error:
            self.__exit__(AssertionError, error, None)
            raise
        return self

    def start(self) -> None:
        """Start a scanner, in the place of one that was killed too, and wait until it is there."""
        environment = {
            **os.environ,
            RUN_DIRECTORY: str(self.run_directory),
            SUPERVISOR_PID: str(os.getpid()),
        }
        self._process = subprocess.Popen([sys.executable, str(SCRIPT), "scanner"], env=environment)
        self.wait_for(self._started)

    def signal(self, number: int) -> None:
        """Signal the scanner; one that is killed is gone when this returns."""
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait(PATIENCE_SECONDS)

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(PATIENCE_SECONDS)
        self._ending.set()
        self._beats.join()
        self._inbox.close()
        for feed in self.feeds.values():
            feed.close(unlink=True)
        assert error is not None or status == 0, f"the scanner ended with {status}"

    def _beat(self) -> None:
        while not self._ending.wait(BEAT_SECONDS):
            for venue, feed in self.feeds.items():
                if venue not in self.dead:
                    feed.beat()

    def _started(self) -> bool:
        try:
            self.view = attach(Path(self.config.shm_directory), "scanner")
        except SegmentError:
            return False
        assert self._process is not None
        header = self.view.header
        return header.pid == self._process.pid and header.config_version == self.config.version

    def _write_config(self) -> None:
        self.config = sealed(self.config)
        fresh = self.run_directory / "config.new"
        fresh.write_bytes(encode(self.config))
        fresh.rename(self.run_directory / CONFIG_FILE)

    def watch(self, events: Iterable[EventConfig]) -> None:
        """Give the scanner other events, as the supervisor does, and wait until it acts on them."""
        version = self.config.version + 1
        self.config = msgspec.structs.replace(self.config, version=version, events=tuple(events))
        self._write_config()
        self.wait_for(lambda: self.view.header.config_version == version)

    def kill(self, venue: str, age_ns: int) -> None:
        """A feed has not beaten for so long, and does not beat any more."""
        self.dead.add(venue)
        self.feeds[venue].segment.beat(time.monotonic_ns() - age_ns)

    def ring(self) -> None:
        """Wake the scanner if it sleeps, as feeds do after each turn."""
        self._bell.ring(time.monotonic_ns())

    def receive(self, timeout_ms: int = 0) -> None:
        """Take what has arrived, waiting at most `timeout_ms` for the first of it."""
        frame = self._inbox.receive(timeout_ms)
        while frame is not None:
            received_ns = time.monotonic_ns()
            self.arrivals.append(Arrival(received_ns, self._sealer.open(frame, Opportunity)))
            frame = self._inbox.receive(0)

    def arrival_of(self, event_id: str, since: int = 0) -> Arrival:
        """The first opportunity of an event, from arrival number `since` on; waits for it."""
        seen = since

        def found() -> Arrival | None:
            nonlocal seen
            self.receive(20)
            fresh, seen = self.arrivals[seen:], len(self.arrivals)
            return next((a for a in fresh if a.opportunity.event_id == event_id), None)

        return self.wait_for(found, pause=0)

    def rows(self) -> list[records.EventRow]:
        """The scanner's rows, of all events and directions."""
        return [row for _, row in TableReader(self.view, "events", records.EVENT).rows()]

    def looked_since(self, moment_ns: int) -> list[records.EventRow]:
        """The rows, once the scanner has looked at all of them after a moment; opportunities are taken."""

        def looked() -> list[records.EventRow]:
            self.receive(20)
            rows = self.rows()
            wanted = {event.id for event in self.config.events}
            whole = wanted <= {row.event_id for row in rows}
            return rows if whole and all(row.computed_ns > moment_ns for row in rows) else []

        return self.wait_for(looked, pause=0)

    def counters(self) -> dict[str, int]:
        """The scanner's counters."""
        return read_counters(self.view)

    def errors(self) -> list[str]:
        """What the scanner reported."""
        return [row.text for row in read_errors(self.view)] if self.view else []

    def wait_for(self, check: Callable[[], T | None], pause: float = 0.005) -> T:
        """The first true value of `check`; fails after PATIENCE_SECONDS."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            value = check()
            if value:
                return value
            assert self._process is not None
            assert self._process.poll() is None, f"the scanner ended: {self.errors()}"
            time.sleep(pause)
        raise AssertionError(f"never came true: {self.errors()}")


class Detection(NamedTuple):
    """A plant that was found: nanoseconds from the message that made it to the opportunity received."""

    plant: Plant
    took_ns: int
    arrival: Arrival


def easy_config(venues: Iterable[str] = VENUES, **scanner: int) -> Config:
    """A configuration under which every positive net counts and books stay young for ever."""
    return Config(
        venues={venue: VenueConfig() for venue in venues},
        risk=RiskConfig(
            min_edge_bp=0,
            min_profit_pct="0",
            min_profit_usd="0",
            max_book_age_ms=600_000,
            max_leg_skew_ms=600_000,
        ),
        scanner=ScannerConfig(
            **{"heartbeat_ms": 5_000, "proof_ms": 5_000, "quiet_ms": 600_000, "persist_ms": 1} | scanner,
            repeat_ms=0,
            hurdle_pct="0",
        ),
        shm=ShmConfig(max_events=512),
    )


def lay_out(run: ScannerRun, plants: Iterable[Plant]) -> None:
    """List the markets of plants, with their books as they are before, and have the events watched."""
    plants = list(plants)
    for leg in (leg for plant in plants for leg in plant.legs):
        run.feeds[leg.venue].describe(leg.market, **leg.cells())
        run.feeds[leg.venue].show(leg.market, *leg.book(calm=True))
    run.watch(plant.event for plant in plants)
    assert not run.errors(), run.errors()


def show(run: ScannerRun, leg: PlantLeg, *, calm: bool) -> int:
    """Publish a leg's book and wake the scanner as a feed does; when it was published."""
    at_ns = run.feeds[leg.venue].show(leg.market, *leg.book(calm=calm))
    run.ring()
    return at_ns


def stand(run: ScannerRun, plant: Plant) -> int:
    """Let a plant's books come, one after the other; when the last was published."""
    for index in plant.used:
        if index != plant.last:
            show(run, plant.legs[index], calm=False)
    time.sleep(BETWEEN_SECONDS)
    return show(run, plant.legs[plant.last], calm=False)


def detect(run: ScannerRun, plant: Plant) -> Detection:
    """Plant, wait until it is found, and take it away again."""
    run.receive()
    since = len(run.arrivals)
    at_ns = stand(run, plant)
    arrival = run.arrival_of(plant.name, since)
    for leg in plant.traded:
        show(run, leg, calm=True)
    return Detection(plant, arrival.received_ns - at_ns, arrival)
