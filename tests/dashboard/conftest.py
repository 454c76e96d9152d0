"""A small run made of real memory files: a supervisor, four feeds, a scanner and a trader.

In: a directory and a clock. Out: segments written through the real shm API, without processes; each
beats only when told to. Used by the tests of the dashboard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import textual.app
import textual.constants
import textual.pilot
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.source import MemorySource
from pipeline.clock import Clock, ManualClock
from pipeline.model import (
    Action,
    BookFlag,
    BookState,
    Confidence,
    ConnectionState,
    MarketStatus,
    Reason,
    StateLimits,
    WorkerState,
)
from shm import books
from shm import records as rec
from shm import segment as seg
from shm.layout import Section
from shm.tables import Counters, RingWriter, TableWriter, counter_section, error_section
from tests.support.rows import publish

COUNTERS = ("frames", "book_messages", "bad_frames", "gaps", "reconnects")
MS = 1_000_000
DECIMALS = {"kalshi": (6, 2), "polymarket": (6, 6), "kraken": (2, 8), "coinbase": (8, 8)}
BINARY = {
    "btc-97k": "Bitcoin above 97,000 at 14:05",
    "eth-3400": "Ether above 3,400 at 14:05",
    "fed-hold": "Fed holds",
}
WORKERS = ("lab", "feed-kalshi", "feed-polymarket", "feed-kraken", "feed-coinbase", "scanner", "trader")


class Part:
    """One process' segment."""

    def __init__(self, directory: Path, name: str, sections: list[Section], clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self.segment = seg.create(
            directory,
            name,
            [counter_section(COUNTERS), error_section(), *sections],
            seg.this_owner(),
            monotonic_ns=clock.monotonic_ns(),
            wall_ns=clock.wall_ns(),
            sleep=clock.sleep,
        )
        self.counters = Counters(self.segment, COUNTERS)

    def beat(self) -> None:
        self.segment.beat(self._clock.monotonic_ns())

    def close(self, *, unlink: bool = False) -> None:
        self.segment.close(unlink=unlink)


class Feed(Part):
    """A venue's feed."""

    def __init__(self, directory: Path, venue: str, clock: Clock, *, depth: int = 5) -> None:
        super().__init__(directory, f"feed-{venue}", books.feed_sections(16, depth, 1), clock)
        self.venue = venue
        self.writer = books.BookWriter(self.segment)
        self.connect(ConnectionState.UP)

    def connect(self, state: ConnectionState) -> None:
        cells = self.segment.words(books.CONNECTIONS)
        cells[books.C_STATE] = state
        if state is ConnectionState.UP:
            cells[books.C_PROOF_NS] = self._clock.monotonic_ns()

    def beat(self) -> None:
        super().beat()
        self.segment.words(books.CONNECTIONS)[books.C_PROOF_NS] = self._clock.monotonic_ns()

    def book(
        self,
        market: str,
        bids: list[tuple[str, str]],
        asks: list[tuple[str, str]],
        state: BookState = BookState.LIVE,
        status: MarketStatus = MarketStatus.OPEN,
        title: str = "",
        flags: BookFlag = BookFlag.SIM,
    ) -> None:
        """Publish a book given as decimal text."""
        price, size = DECIMALS[self.venue]
        row = rec.MARKET.empty()._replace(
            market=market, title=title, price_decimals=price, size_decimals=size, status=status
        )
        if market in self.writer.markets():
            self.writer.describe(row)
        else:
            assert self.writer.claim(row) is not None
        now = self._clock.monotonic_ns()
        ladders = [
            [(round(float(p) * 10**price), round(float(s) * 10**size)) for p, s in side]
            for side in (bids, asks)
        ]
        publish(self.writer, market, state, *ladders, now, flags=flags, venue_ns=now)
        self.counters.add("frames")


class FakeRun:
    """All of them. `step` makes every part that is not in `dead` beat."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory = directory
        self.clock = clock
        self.dead: set[str] = set()
        tables = [rec.WORKER.section("workers", 16), rec.RUN.section("run", 1)]
        self.supervisor = Part(directory, "supervisor", tables, clock)
        self.feeds = {venue: Feed(directory, venue, clock) for venue in DECIMALS}
        self.scanner = Part(directory, "scanner", [rec.EVENT.section("events", 32)], clock)
        trader = [
            rec.POSITION.section("positions", 16),
            rec.CASH.section("cash", 8),
            rec.SUMMARY.section("summary", 1),
            rec.KELLY.section("kelly", 1),
            rec.DECISION.section("decisions", 64),
        ]
        self.trader = Part(directory, "trader", trader, clock)
        self.events: TableWriter[rec.EventRow] = TableWriter(self.scanner.segment, "events", rec.EVENT)
        self.workers: TableWriter[rec.WorkerRow] = TableWriter(self.supervisor.segment, "workers", rec.WORKER)
        self.decisions: RingWriter[rec.DecisionRow] = RingWriter(
            self.trader.segment, "decisions", rec.DECISION
        )
        self.positions: TableWriter[rec.PositionRow] = TableWriter(
            self.trader.segment, "positions", rec.POSITION
        )
        self.rows: dict[str, int] = {}
        self.decided = 0
        self._fill()

    def parts(self) -> list[Part]:
        return [self.supervisor, *self.feeds.values(), self.scanner, self.trader]

    def step(self) -> None:
        """Every living part beats once."""
        for part in self.parts():
            if part.name not in self.dead:
                part.beat()

    def close(self, *, unlink: bool = False) -> None:
        for part in self.parts():
            part.close(unlink=unlink)

    def _fill(self) -> None:
        run = rec.RUN.empty()._replace(profile="demo", mode="paper", simulated=1)
        TableWriter(self.supervisor.segment, "run", rec.RUN).put(0, run)
        for at, name in enumerate(WORKERS):
            self.worker(at, name, WorkerState.RUNNING, 4200 + at)
        for at, (event, title) in enumerate(BINARY.items()):
            self.feeds["kalshi"].book(f"KX-{event}", [(f"0.6{at}", "680")], [(f"0.6{at}5", "687.5")])
            self.feeds["polymarket"].book(f"77{at}", [(f"0.6{at + 2}", "566")], [("0.66", "44100")])
            self.event(event, title, "binary", ("kalshi", f"KX-{event}"), ("polymarket", f"77{at}"))
        self.feeds["kraken"].book("BTC/USD", [("97123.4", "0.51234567")], [("97124.1", "1.25")])
        self.feeds["coinbase"].book("BTC-USD", [("97125.01", "0.2")], [("97125.99", "12345.678")])
        self.event(
            "btc-spot", "Bitcoin", "spot", ("kraken", "BTC/USD"), ("coinbase", "BTC-USD"), edges=(-41, -97)
        )
        for at, venue in enumerate(DECIMALS):
            row = rec.CASH.empty()._replace(
                venue=venue, start_micros=500 * 10**6, cash_micros=480 * 10**6, locked_micros=20 * 10**6
            )
            TableWriter(self.trader.segment, "cash", rec.CASH).put(at, row)
        self.summary()
        self.kelly()
        self.position(0, "btc-97k", "kalshi", "KX-btc-97k", "yes", "20")
        self.position(1, "btc-97k", "polymarket", "770", "no", "20")
        self.decide(Action.EXECUTED, Reason.NONE, cash="12.40", net="0.42", fill_ms=41)
        self.decide(Action.REJECTED, Reason.EDGE_TOO_SMALL, value="42", limit="50", edge=42)
        self.decide(Action.REJECTED, Reason.EVENT_EXPOSURE, value="52", limit="50", edge=77)

    def worker(self, at: int, name: str, state: WorkerState, pid: int, **more: int | str) -> None:
        row = rec.WORKER.empty()._replace(
            name=name, pid=pid, state=int(state), since_ns=self.clock.monotonic_ns(), **more
        )
        self.workers.put(at, row)

    def event(
        self,
        event_id: str,
        title: str,
        kind: str,
        first: tuple[str, str],
        second: tuple[str, str],
        *,
        edges: tuple[int, int] = (95, -265),
        reasons: tuple[Reason, Reason] = (Reason.NONE, Reason.NO_EDGE),
        inverse: tuple[int, int] = (0, 0),
    ) -> None:
        """Both directions of an event as the scanner writes them."""
        for direction in (0, 1):
            buy, sell = (first, second) if direction == 0 else (second, first)
            flips = inverse if direction == 0 else inverse[::-1]
            accepted = edges[direction] > 50
            reason = reasons[direction] if accepted or reasons[direction] != Reason.NONE else Reason.NO_EDGE
            row = rec.EVENT.empty()._replace(
                event_id=event_id,
                title=title,
                kind=kind,
                direction=direction,
                buy_venue=buy[0],
                buy_market=buy[1],
                buy_inverse=flips[0],
                sell_venue=sell[0],
                sell_market=sell[1],
                sell_inverse=flips[1],
                close_wall_ns=self.clock.wall_ns() + 120_000 * MS,
                has_numbers=1,
                gross_bp=edges[direction] + 130,
                edge_bp=edges[direction],
                confidence=Confidence.HIGH,
                reason=reason,
                computed_ns=self.clock.monotonic_ns(),
            )
            at = self.rows.setdefault(f"{event_id}/{direction}", len(self.rows))
            self.events.put(at, row)

    def direction(
        self,
        event_id: str,
        kind: str,
        legs: list[tuple[str, str, str, str]],
        *,
        number: int = 0,
        edge: int = 60,
        reason: Reason = Reason.NONE,
        **cells: int,
    ) -> None:
        """One direction that is no pair; a leg is venue, market, action and outcome."""
        buy, sell = legs[0], legs[min(1, len(legs) - 1)]
        row = rec.EVENT.empty()._replace(
            event_id=event_id,
            kind=kind,
            direction=number,
            legs=len(legs),
            buy_venue=buy[0],
            buy_market=buy[1],
            buy_action=buy[2],
            buy_outcome=buy[3],
            sell_venue=sell[0],
            sell_market=sell[1],
            sell_action=sell[2],
            sell_outcome=sell[3],
            close_wall_ns=self.clock.wall_ns() + 7_200_000 * MS,
            has_numbers=1,
            gross_bp=edge + 130,
            edge_bp=edge,
            net_micros=edge * 10_000,
            cash_micros=10_000_000,
            confidence=Confidence.MEDIUM,
            reason=reason,
            computed_ns=self.clock.monotonic_ns(),
        )
        at = self.rows.setdefault(f"{event_id}/{kind}/{number}", len(self.rows))
        self.events.put(at, row._replace(**cells))

    def summary(self, **more: int | str) -> None:
        row = rec.SUMMARY.empty()._replace(
            mode="taker",
            trades=31,
            closed_trades=12,
            opportunities=148,
            rejected=90,
            realised_micros=12_460_000,
            unrealised_micros=20_000,
            fees_micros=3_120_000,
            day_pnl_micros=12_480_000,
            exposure_micros=38_200_000,
            consecutive_losses=1,
            day_known=1,
            updated_ns=self.clock.monotonic_ns(),
        )
        TableWriter(self.trader.segment, "summary", rec.SUMMARY).put(0, row._replace(**more))

    def kelly(self) -> None:
        row = rec.KELLY.empty()._replace(
            total_trades=12,
            winning_trades=9,
            safe_ppm=100_000,
            recommended_micros=100_000_000,
            computed_wall_ns=self.clock.wall_ns(),
        )
        TableWriter(self.trader.segment, "kelly", rec.KELLY).put(0, row)

    def position(
        self, at: int, event: str, venue: str, market: str, outcome: str, size: str, marked: int = 1
    ) -> None:
        row = rec.POSITION.empty()._replace(
            event_id=event,
            venue=venue,
            market=market,
            outcome=outcome,
            units=round(float(size) * 100),
            size_decimals=2,
            cost_micros=12_000_000,
            unrealised_micros=60_000,
            marked=marked,
        )
        self.positions.put(at, row)

    def decide(
        self,
        action: Action,
        reason: Reason,
        *,
        value: str = "0",
        limit: str = "0",
        cash: str = "0",
        net: str = "0",
        edge: int = 95,
        fill_ms: int = 0,
        event: str = "btc-97k",
        direction: int = 0,
    ) -> None:
        """Append a decision as the trader writes it."""
        self.decided += 1
        now = self.clock.monotonic_ns()
        row = rec.DECISION.empty()._replace(
            sequence=self.decided,
            wall_ns=self.clock.wall_ns(),
            event_id=event,
            direction=direction,
            buy_venue="kalshi",
            sell_venue="polymarket",
            action=int(action),
            reason=int(reason),
            value_micros=round(float(value) * 10**6),
            limit_micros=round(float(limit) * 10**6),
            cash_micros=round(float(cash) * 10**6),
            net_micros=round(float(net) * 10**6),
            edge_bp=edge,
            confidence=int(Confidence.HIGH),
            socket_ns=now,
            fill_ns=now + fill_ms * MS if fill_ms else 0,
        )
        self.decisions.append(row)

    def restart_feed(self, venue: str) -> Feed:
        """Kill a feed's owner and start it again on the same file: a new epoch, every book EMPTY."""
        self.feeds[venue].close()
        self.feeds[venue] = Feed(self.directory, venue, self.clock)
        return self.feeds[venue]


LIMITS = StateLimits(250 * MS, 3_000 * MS, 30_000 * MS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(monotonic_ns=10**12)


@pytest.fixture
def run(tmp_path: Path, clock: ManualClock) -> Iterator[FakeRun]:
    fake = FakeRun(tmp_path / "shm", clock)
    yield fake
    fake.close()


@pytest.fixture
def source(tmp_path: Path, clock: ManualClock) -> MemorySource:
    return MemorySource(tmp_path / "shm", LIMITS, clock)


def text_of(app: ParallaxApp) -> str:
    """What stands on the screen, line by line."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


@pytest.fixture
def screen() -> Callable[[ParallaxApp], str]:
    return text_of


Steps = Callable[[Pilot[object]], Awaitable[None]]


async def turns(min_sleep: float = 0, max_sleep: float = 0) -> None:
    """Let everything that waits have its turn, and what that leads to."""
    for _ in range(20):
        await asyncio.sleep(0)


async def frame(min_sleep: float = 0, max_sleep: float = 0) -> None:
    """The same, and the next frame: the screen lays itself out and draws in those."""
    await turns()
    await asyncio.sleep(1.2 / textual.constants.MAX_FPS)
    await turns()


def hasten(patch: pytest.MonkeyPatch) -> None:
    """Let the pilot wait for turns and frames, not until the whole process rests, as it does: on a machine
    that others use too it never does.
    """
    patch.setattr(textual.app, "wait_for_idle", turns)
    patch.setattr(textual.pilot, "wait_for_idle", frame)


@pytest.fixture
def drive(monkeypatch: pytest.MonkeyPatch) -> Callable[[ParallaxApp, tuple[int, int], Steps], None]:
    """Run an app headless at a size and do `steps` with its pilot, after the first picture."""
    hasten(monkeypatch)

    def drive_app(app: ParallaxApp, size: tuple[int, int], steps: Steps) -> None:
        async def whole() -> None:
            async with app.run_test(size=size) as pilot:
                await pilot.pause()
                await steps(pilot)

        asyncio.run(whole())

    return drive_app
