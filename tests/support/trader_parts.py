"""The joined parts of a trader in one process: real ledger, books, desk, maker and executor, and no venue.

In: a folder, changes of [risk] and [trader]. Out: a `Parts` whose clock the test moves, and whose broker
remembers what it was told and reports what the test says. Used by the unit tests of those modules.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from pipeline.books import FeedBooks
from pipeline.clock import ManualClock
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
    sealed,
)
from pipeline.crash import CrashPoints
from pipeline.halt import HALT_FILE
from pipeline.journal import Journal
from pipeline.journal_records import LEDGER_FILE, RunRecord
from pipeline.lifecycle import Worker
from pipeline.model import FeeKind, MarketStatus
from pipeline.trader.broker import (
    Approved,
    Holdings,
    OrderEvent,
    OrderFill,
    OrderIntent,
    OrderStatus,
    Place,
    Style,
)
from pipeline.trader.desk import Desk
from pipeline.trader.executor import Executor
from pipeline.trader.ledger import Ledger
from pipeline.trader.maker import Maker
from pipeline.trader.record import Record
from pipeline.trader.recovery import recover
from pipeline.trader.switch import Switch
from pipeline.trader.trade import Trade
from pipeline.trader.window import COUNTERS
from pipeline.wire import LegRef, Opportunity
from tests.support.feed_memory import FeedMemory

ACCOUNT = "test"
BOOT = "boot"
CENT = 10_000
MS_NS = 1_000_000
OPEN = {"status": int(MarketStatus.OPEN), "price_decimals": 6, "grid_ticks": CENT}
CELLS: dict[str, dict[str, int]] = {
    "kalshi": OPEN
    | {"size_decimals": 2, "lot_units": 100, "min_units": 100}
    | {"fee_kind": int(FeeKind.KALSHI), "fee_rate_ppm": 70_000, "fee_precision_micros": 10_000},
    "polymarket": OPEN
    | {"size_decimals": 6, "lot_units": 10_000, "min_units": 1_000_000}
    | {"fee_kind": int(FeeKind.POLYMARKET), "fee_rate_ppm": 40_000},
}
EVENTS = tuple(
    EventConfig(
        id=name,
        legs=(LegConfig("kalshi", f"K-{name}"), LegConfig("polymarket", f"P-{name}")),
        review=ReviewConfig(by="test", void_rule="never"),
    )
    for name in ("rain", "snow")
)
ROOMY = RiskConfig(
    max_event_usd="1000", max_exposure_usd="1000", max_market_usd="1000", max_venue_usd="1000",
    max_net_usd="1000", max_orders_per_second=1000, cooldown_ms=0,
)  # fmt: skip
START_NS = 3_600_000_000_000


class Venues:
    """A broker that does nothing by itself: implements the port, notes what it is told."""

    def __init__(self) -> None:
        self.sent: list[OrderIntent] = []
        self.cancelled: list[str] = []
        self.asked: list[str] = []
        self.cancels_of_all = 0
        self.is_there = True
        self.events: list[OrderEvent] = []

    def submit(self, approved: Approved, now_ns: int) -> None:
        """Note orders."""
        self.sent += approved.intents

    def cancel(self, order_id: str, now_ns: int) -> None:
        """Note a cancel."""
        self.cancelled.append(order_id)

    def cancel_all(self, now_ns: int) -> None:
        """Note a cancel of everything."""
        self.cancels_of_all += 1

    def ask(self, order_ids: Sequence[str], now_ns: int) -> None:
        """Note a question."""
        self.asked += order_ids

    def ask_holdings(self, look: int, places: Sequence[Place], now_ns: int) -> int:
        """Nobody answers."""
        return 1

    def holdings(self) -> list[Holdings]:
        """No answer has come."""
        return []

    def poll(self, now_ns: int) -> list[OrderEvent]:
        """What the test has put here."""
        events, self.events = self.events, []
        return events

    def reachable(self, now_ns: int) -> bool:
        """What the test has set."""
        return self.is_there


class Parts:
    """One trader's parts. `close` it at the end; `again` is a restart on the same ledger."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: ManualClock | None = None,
        boot: str = BOOT,
        account: str = ACCOUNT,
        events: Sequence[EventConfig] = EVENTS,
        risk: RiskConfig = ROOMY,
        cash: str = "1000",
        **trader: Any,
    ) -> None:
        self.folder = folder
        self.clock = clock or ManualClock(START_NS)
        self.config = sealed(
            Config(
                account=account,
                data_directory=str(folder / "data"),
                run_directory=str(folder / "run"),
                shm_directory=str(folder / "shm"),
                venues={venue: VenueConfig() for venue in CELLS},
                risk=risk,
                kelly=KellyConfig(capital_usd="100000"),
                scanner=ScannerConfig(heartbeat_ms=60_000, proof_ms=60_000, quiet_ms=600_000, hurdle_pct="0"),
                shm=ShmConfig(depth=5),
                trader=TraderConfig(cash=dict.fromkeys(CELLS, cash), **trader),
                events=tuple(events),
            )
        )
        self.feeds = {
            venue: FeedMemory(folder / "shm", venue, self.clock, history=0, markets=256) for venue in CELLS
        }
        for event in events:
            for leg in event.legs:
                self.feeds[leg.venue].describe(leg.market, **CELLS[leg.venue])
        self._start(boot)

    def _start(self, boot: str) -> None:
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        config, clock, data = self.config, self.clock, self.folder / "data"
        self.worker = Worker("trader", config, clock, (), COUNTERS, lambda _old, _new: None)
        for number, handler in before.items():
            signal.signal(number, handler)
        self.journal = Journal.open(
            data / LEDGER_FILE, wall_ns=clock.wall_ns, monotonic_ns=clock.monotonic_ns
        )
        run = RunRecord(config.account, "i", boot, 1, 1, "paper", "0", config.version, config.hash)
        self.run_id = self.journal.begin_run(run)
        self.ledger = Ledger(self.journal, config.account, config.trader, Decimal(config.kelly.capital_usd))
        self.ledger.remember(config.account, clock.monotonic_ns(), clock.wall_ns())
        self.venues = Venues()
        self.books = FeedBooks(self.folder / "shm", config.feeds(), config.scanner.limits())
        self.books.refresh(clock.monotonic_ns())
        self.switch = Switch(data / HALT_FILE, self.worker, self.ledger, config.account)
        self.executor = Executor(
            self.worker, self.ledger, self.venues, self.books, self.switch, CrashPoints(""), self.run_id
        )
        self.executor.unresolved = recover(
            self.journal, self.ledger, config.account, boot, clock.monotonic_ns()
        )
        self.supervised = True
        self.desk = Desk(
            self.worker, self.ledger, self.executor, self.venues, self.books, self.switch, self.run_id,
            lambda _now: self.supervised,
        )  # fmt: skip
        self.maker = Maker(self.desk, clock, 1, boot)
        self.sequence = 0
        self.know()

    def again(self, boot: str = BOOT) -> None:
        """End this trader without a word, and start another on the same data."""
        self.journal.close()
        self.worker.segment.close()
        self.worker.log.close()
        self._start(boot)

    def close(self) -> None:
        """Let go of everything."""
        self.journal.close()
        self.worker.segment.close()
        self.worker.log.close()
        for feed in self.feeds.values():
            feed.close()

    # -- the world -------------------------------------------------------------------------------

    def know(self) -> None:
        """Work out the day's result, as the trader does ten times a second."""
        self.desk.day_pnl = self.ledger.day_pnl(self.clock.wall_ns(), self.desk.mark, self.desk.dust)

    def show(self, event: str = "rain", *, gap: int = 12, size: int = 20) -> None:
        """Fresh books of an event: YES costs 44 at Kalshi, NO 44 + 12 - `gap` at Polymarket, `size` each."""
        for feed in self.feeds.values():
            feed.beat()
        bid = (44 + gap) * CENT
        self.feeds["kalshi"].show(f"K-{event}", [(38 * CENT, size * 100)], [(44 * CENT, size * 100)])
        self.feeds["polymarket"].show(f"P-{event}", [(bid, size * 10**6)], [(bid + 2 * CENT, size * 10**6)])

    def describe(self, venue: str, market: str, **cells: int) -> None:
        """Other cells of a market."""
        self.feeds[venue].describe(market, **cells)

    def record(self, event: str = "rain", direction: int = 0, **changes: Any) -> Record:
        """An opportunity as it was received."""
        now = self.clock.monotonic_ns()
        self.sequence += 1
        legs = tuple(LegRef(venue, "M", "yes", "buy", 1, 0, 1, 1, now, now) for venue in CELLS)
        plain: dict[str, Any] = {
            "boot_id": "", "run_epoch": 1, "sequence": self.sequence, "config_version": 0,
            "event_id": event, "kind": "binary", "direction": direction, "size_units": 1,
            "size_decimals": 0, "edge_bp": 100, "gross_micros": 1, "net_micros": 1, "cash_micros": 1,
            "confidence": 2, "legs": legs, "race_ppm": 900_000, "fresh": True, "scan_ns": now,
            "decided_ns": now, "expires_ns": now + 250 * MS_NS, "send_ns": now,
        }  # fmt: skip
        return Record(self.sequence, Opportunity(**plain | changes), self.clock.wall_ns(), now)

    def decide(self, *records: Record) -> Record:
        """Have the desk decide; the last record."""
        self.desk.take(records)
        return records[-1]

    def turn(self, ms: int = 2, times: int = 1) -> list[Trade]:
        """Let time pass and the executor turn; all trades whose state changed."""
        changed = []
        for _ in range(times):
            self.clock.advance(ms * MS_NS)
            for feed in self.feeds.values():
                feed.beat()
            changed += self.executor.turn()
        return changed

    def adopt(self, **changes: Any) -> None:
        """Act on another configuration."""
        self.config = sealed(msgspec.structs.replace(self.config, **changes))
        self.worker.config = self.config
        self.books.adopt(self.config.feeds(), self.config.scanner.limits())
        self.desk.adopt(self.config)
        self.executor.adopt(self.desk.config)

    # -- what the venues say ---------------------------------------------------------------------

    def says(self, order: OrderIntent, status: OrderStatus, fills: Iterable[OrderFill] = ()) -> None:
        """Report an order, to be heard with the next turn."""
        at_ns = self.clock.monotonic_ns()
        self.venues.events.append(OrderEvent(order.order_id, status, at_ns, tuple(fills)))

    def fills(self, order: OrderIntent, units: int | None = None, *, provisional: bool = False) -> None:
        """Fill an order at its limit: all of it, or so much; the rest of what takes is cancelled."""
        size = order.order.size_units
        units = size if units is None else units
        fill = OrderFill(
            f"{order.order_id}-0", order.order.limit_ticks, units, Decimal("0.01"),
            order.style is Style.MAKER, provisional,
        )  # fmt: skip
        rests = order.style is Style.MAKER and units < size
        short = OrderStatus.PARTIAL if rests else OrderStatus.CANCELLED
        self.says(order, OrderStatus.FILLED if units == size else short, [fill] if units else [])

    def opened(self, event: str = "rain") -> tuple[OrderIntent, ...]:
        """Open a trade on fresh books; its orders."""
        self.show(event)
        before = len(self.venues.sent)
        record = self.decide(self.record(event))
        assert record.reason == 0, f"refused: {record.reason!r} {record.value} {record.limit}"
        return tuple(self.venues.sent[before:])

    def hedged(self, event: str = "rain") -> Trade:
        """A trade of which both legs are filled."""
        for order in self.opened(event):
            self.fills(order)
        changed = self.turn()
        self.know()
        return changed[-1]

    def counter(self, name: str) -> int:
        """A counter of the trader."""
        return self.worker.counters.get(name)
