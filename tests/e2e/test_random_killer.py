"""A demo under a random killer: every worker but the supervisor is killed, stopped or ended over and over.

Afterwards everything runs and is LIVE again, ledger and exchange agree to the last unit, and the ledger
holds no order that was decided on a book nobody could believe.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.cli.common import run_directory_of, running_config
from pipeline.cli.selftest_judges import disagreements, is_taken
from pipeline.cli.selftest_run import DemoRun, MissedError
from pipeline.clock import SystemClock
from pipeline.journal_reader import open_readonly
from pipeline.journal_records import LEDGER_FILE, ConfirmationRecord, FillRecord, TradeRecord
from pipeline.lab.orders import ORDERS_FILE, give
from pipeline.lab.scenario import DIVERGE, Step, order_text
from shm.segment import pid_start

pytestmark = pytest.mark.e2e
CONFIG = """
[supervisor]
restart_limit = 10000
max_restart_delay = 0.5
[trader]
mode = "both"
paper_latency_ms = 10
paper_leg_failure_pct = "10"
paper_provisional_ms = 300
[risk]
max_consecutive_losses = 1000
daily_loss_usd = "100000"
"""
PAUSE_SECONDS = (0.1, 0.5)
STOPPED_SECONDS = (0.1, 3.0)
START_SECONDS = 60.0
REST_SECONDS = 60.0
RESUME_EVERY_NS = 2_000_000_000
PLANT_EVERY_NS = 1_000_000_000
SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
OPENING = {"open", "close", "quote"}
WAYS = ("kill", "stop", "term")


@dataclass
class Wound:
    """What was done to a feed: from when until when (0: for good) the books of this epoch were not to be
    believed.
    """

    venue: str
    epoch: int
    from_ns: int
    until_ns: int = 0


@dataclass
class Killer:
    """Does harm to workers, by a seed. `last_ns` is when it last did any, a wake-up too."""

    run: DemoRun
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    wounds: list[Wound] = field(default_factory=list)
    last_ns: int = 0
    _sleeping: list[tuple[int, int, int, Wound | None]] = field(default_factory=list)

    def go_on(self, seconds: float, faults: int) -> None:
        """Harm a worker every now and then for so long, but until there were so many faults, however slow the
        machine is; at last wake what is stopped.
        """
        clock = self.run.clock
        end_ns = clock.monotonic_ns() + round(seconds * SECOND_NS)
        due_ns = resume_ns = plant_ns = 0
        while (now := clock.monotonic_ns()) < end_ns or self.done.total() < faults:
            self._wake(now)
            if now >= due_ns:
                self._harm(now)
                due_ns = now + round(self.chance.uniform(*PAUSE_SECONDS) * SECOND_NS)
            if now >= resume_ns:
                # What halts is not what this is about: a person looks, and resumes.
                resume_ns = now + RESUME_EVERY_NS
                if self.run.halt() is not None:
                    self.run.command("resume")
            if now >= plant_ns:
                plant_ns = now + PLANT_EVERY_NS
                plant(self.run)
            clock.sleep(0.005)
        while self._sleeping:
            self._wake(clock.monotonic_ns())
            clock.sleep(0.005)

    def _harm(self, now: int) -> None:
        able = sorted(name for name, row in self.run.workers().items() if row.pid and name != "supervisor")
        name, way = self.chance.choice(able), self.chance.choice(WAYS)
        seconds = self.chance.uniform(*STOPPED_SECONDS)
        row, view = self.run.workers()[name], self.run.view(name)
        if pid_start(row.pid) != row.pid_start:
            return
        epoch = view.header.epoch if view is not None and view.header.pid == row.pid else 0
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}[way]
        with suppress(ProcessLookupError):
            os.kill(row.pid, number)
        self.done[f"{way} {name}"] += 1
        self.last_ns = now = self.run.clock.monotonic_ns()
        limit_ns = self.run.config.scanner.heartbeat_ms * MS_NS
        wound = None
        if name.startswith("feed-") and epoch and way != "term":
            wound = Wound(name.removeprefix("feed-"), epoch, now + limit_ns)
            self.wounds.append(wound)
        if way == "stop":
            self._sleeping.append((now + round(seconds * SECOND_NS), row.pid, row.pid_start, wound))

    def _wake(self, now: int) -> None:
        """Let what was stopped long enough go on, unless it was replaced meanwhile."""
        for each in [each for each in self._sleeping if each[0] <= now]:
            self._sleeping.remove(each)
            _, pid, start, wound = each
            if pid_start(pid) != start:
                continue
            if wound is not None:
                wound.until_ns = now
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                self.last_ns = now


def plant(run: DemoRun) -> None:
    """Have up to three events diverge, if the lab is there to hear it: there is to be something to lose."""
    events = {run.event().id for _ in range(3)}
    steps = [Step(0, "polymarket", DIVERGE, 8, for_s=0.9, market=event) for event in sorted(events)]
    give(run_directory_of(run.data) / ORDERS_FILE, order_text(steps))


def trade(run: DemoRun) -> None:
    """Plant gaps until another trade was executed: before, to have something to lose; after, to go on."""
    since = run.clock.wall_ns()

    def taken() -> bool:
        plant(run)
        return bool(run.never(lambda: [t for t in run.trades(since) if is_taken(t)], 1.0))

    run.wait("a trade", taken, START_SECONDS)


def at_rest(run: DemoRun) -> bool:
    """Whether no order is open, nothing is provisional, and the trader has all answers."""
    row = run.summary()
    if row is None or row.open_orders or row.resolving or row.unhedged or run.open_orders():
        return False
    with closing(open_readonly(run.data / LEDGER_FILE)) as ledger:
        history = ledger.history(run.config.account)
    fills = {(f.venue, f.fill_id) for f in history if isinstance(f, FillRecord) and f.provisional}
    return not fills - {(c.venue, c.fill_id) for c in history if isinstance(c, ConfirmationRecord)}


def unbelievable(commits: list[TradeRecord], wounds: list[Wound], max_age_ns: int) -> Iterator[str]:
    """Opening orders that were decided on a book that was too old, not LIVE, or of a feed that was gone."""
    for commit in commits:
        for intent in commit.intents:
            if intent.purpose not in OPENING:
                continue
            seen, at_ns = intent.book, commit.decided_ns
            age_ns = at_ns - int(str(seen["socket_ns"]))
            if seen["state"] != "LIVE" or age_ns > max_age_ns:
                yield f"{intent.order_id}: {seen['state']}, {age_ns / 1e6:.0f} ms"
            for wound in wounds:
                same = (wound.venue, wound.epoch) == (intent.order.venue, seen["epoch"])
                if same and wound.from_ns < at_ns and (not wound.until_ns or at_ns < wound.until_ns):
                    yield f"{intent.order_id}: {wound} at {at_ns}"


@pytest.mark.parametrize(
    ("seconds", "seed", "limit_s"), [(6, 7, 50.0), pytest.param(60, 11, 5.0, marks=pytest.mark.stress)]
)
def test_a_demo_outlives_a_random_killer(seconds: int, seed: int, limit_s: float, tmp_path: Path) -> None:
    """A fault every 0.1 to 0.5 s: then all run and are LIVE in time, and nothing was lost or doubled."""
    with DemoRun(tmp_path, 7, SystemClock(), CONFIG) as run:
        run.ready(START_SECONDS)
        trade(run)
        killer = Killer(run, random.Random(seed))
        killer.go_on(seconds, 2 * seconds)
        took_s = recovery(run, killer.last_ns)
        run.ready(START_SECONDS)
        trade(run)
        run.command("halt", why="the test is over")
        run.wait("all orders to end", lambda: at_rest(run), REST_SECONDS)
        commits, config = run.commits(0), running_config(run.data)
        assert config is not None
        with closing(open_readonly(run.data / LEDGER_FILE)) as ledger:
            assert ledger.verify() == []
        venue = run.exchange()
        assert set(venue.bookings) <= run.committed(), "an order without a committed intent"
        assert {name: count for name, count in venue.bookings.items() if count > 1} == {}, "sent twice"
        assert disagreements(run.fills(), venue) == []
        assert list(unbelievable(commits, killer.wounds, config.risk.max_book_age_ms * MS_NS)) == []
        restarts = sum(row.restarts for row in run.workers().values())
    faults = killer.done.total()
    print(f"{faults} faults {dict(killer.done)}, {restarts} restarts, {len(commits)} commits, {took_s:.2f} s")
    assert took_s < limit_s, f"everything was LIVE only {took_s:.1f} s after the last fault"


def recovery(run: DemoRun, last_ns: int) -> float:
    """Seconds from the last fault until every worker runs and every book is LIVE."""

    def sound() -> bool:
        try:
            return run.all_running() and not run.not_live()
        except MissedError:
            return False

    run.wait("everything to be LIVE", sound, 60.0)
    return (run.clock.monotonic_ns() - last_ns) / 1e9
