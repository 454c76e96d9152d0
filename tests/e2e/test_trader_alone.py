"""A trader without the others: no scanner, no supervisor, nobody who armed it. With real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import msgspec
import pytest

from pipeline.cli.common import SCRIPT
from pipeline.config import encode, sealed
from pipeline.journal_records import TradeRecord
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY, SUPERVISOR_PID
from pipeline.model import StateLimits
from pipeline.status import process
from pipeline.trader.oversight import SUPERVISOR_LIMIT_NS
from shm.records import RUN, WORKER
from shm.segment import create, this_owner
from shm.tables import counter_section, error_section
from tests.support.trader_run import PATIENCE_SECONDS, TraderRun

pytestmark = pytest.mark.e2e
QUICK = {"order_seconds": 0.2, "paper_latency_ms": 8}
SCANNER_KILLS = 3
BEAT_SECONDS = 0.02
SLOW = {"paper_latency_ms": 120, "paper_latency_p95_ms": 120, "order_seconds": 0.6}
"""Every order takes just so long: time enough to stop the scanner and move a book before it arrives."""
GONE = 30
"""Cents by which the dearer venue comes down: its leg finds nothing to take."""


def configure(run: TraderRun, **changes: object) -> None:
    """Change the configuration of a run in which nothing was started yet."""
    run.config = sealed(msgspec.structs.replace(run.config, **changes))
    (run.run_directory / CONFIG_FILE).write_bytes(encode(run.config))


class Started:
    """A worker as the supervisor starts it; this test is its supervisor. Use as a context."""

    def __init__(self, run: TraderRun, name: str) -> None:
        self._run = run
        self._name = name

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_why: object) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.status = self.process.wait(PATIENCE_SECONDS)

    def start(self) -> None:
        """Start it, and wait until its segment is its own."""
        environment = {
            **os.environ, RUN_DIRECTORY: str(self._run.run_directory), SUPERVISOR_PID: str(os.getpid()),
        }  # fmt: skip
        self.process = subprocess.Popen([sys.executable, str(SCRIPT), self._name], env=environment)

        def ready() -> bool:
            view = self._run.view(self._name)
            return view is not None and view.header.pid == self.process.pid

        self._run.wait_for(ready)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def heartbeat_age_ms(self) -> float:
        """How old its last sign of life is, as `run.py status` and the dashboard have it."""
        view = self._run.view(self._name)
        assert view is not None
        age_ms: float = process(view, self._run.clock.monotonic_ns())["heartbeat_age_ms"]
        return age_ms


class Beats:
    """The supervisor's segment, which beats until it is told to stop."""

    def __init__(self, run: TraderRun) -> None:
        self._run = run
        clock = run.clock
        tables = (WORKER.section("workers", 16), RUN.section("run", 1))
        self._segment = create(
            Path(run.config.shm_directory), "supervisor", [counter_section(("x",)), error_section(), *tables],
            this_owner(run.config.version), monotonic_ns=clock.monotonic_ns(), wall_ns=clock.wall_ns(),
            sleep=clock.sleep,
        )  # fmt: skip
        self.last_ns = 0
        self._on, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._on.set()
        self._thread.start()
        return self

    def __exit__(self, *_why: object) -> None:
        self._ending.set()
        self._thread.join()
        self._segment.close(unlink=True)

    def _beat(self) -> None:
        while not self._ending.wait(BEAT_SECONDS):
            if self._on.is_set():
                self.last_ns = self._run.clock.monotonic_ns()
                self._segment.beat(self.last_ns)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """No beat while this lasts."""
        self._on.clear()
        yield
        self._on.set()


def trades(run: TraderRun) -> list[TradeRecord]:
    """The trades of the ledger."""
    with closing(run.ledger()) as ledger:
        return ledger.trades()


@pytest.fixture
def scanned(tmp_path: Path) -> Iterator[tuple[TraderRun, Started]]:
    """A trader that hears only a real scanner, which offers at each look what still leaves something."""
    run = TraderRun(tmp_path, calm=True, hedge_seconds=30, **SLOW)
    configure(run, scanner=msgspec.structs.replace(run.config.scanner, repeat_ms=0))
    run.offering = False
    with run, Started(run, "scanner") as scanner:
        run.start()
        run.counted("trades", 1)
        yield run, scanner
        run.settle_down()
        assert run.end(signal.SIGTERM) == 0, run.errors()
        run.agree()


def test_a_killed_scanner_leaves_no_order_that_was_not_decided(scanned: tuple[TraderRun, Started]) -> None:
    """A5: killed in the middle of its work, it costs what it had in hand: no order comes twice of one
    opportunity or without a committed intent, and the next scanner is heard in its own epoch.
    """
    run, scanner = scanned
    for _ in range(SCANNER_KILLS):
        run.more("opportunities", 2)
        scanner.kill()
        scanner.start()
        view = run.view("scanner")
        assert view is not None
        epoch = view.header.epoch
        run.wait_for(lambda epoch=epoch: any(trade.run_epoch == epoch for trade in trades(run)), pause=0.05)
    taken = [(trade.run_epoch, trade.sequence) for trade in trades(run)]
    assert len(taken) == len(set(taken))
    assert {epoch for epoch, _ in taken} >= {1, 1 + SCANNER_KILLS}


def test_while_the_scanner_stands_still_what_is_open_is_managed(scanned: tuple[TraderRun, Started]) -> None:
    """A6: stopped, its heartbeat is old in `status` at once, the trader opens nothing and lives, and a leg
    that stands alone is mended all the same; continued, trading goes on.
    """
    run, scanner = scanned

    def even() -> bool:
        row = run.summary()
        return bool(row and not (row.open_orders or row.unhedged))

    repaired = 0
    while not repaired:
        run.gap = 0
        repairs = run.count("repairs")
        run.more("orders_sent", 1)
        os.kill(scanner.process.pid, signal.SIGSTOP)
        run.gap = GONE
        run.wait_for(lambda: scanner.heartbeat_age_ms() > StateLimits().heartbeat_ns / 1e6)
        run.wait_for(even)
        repaired = run.count("repairs") - repairs
        view = run.view("trader")
        assert view is not None
        run.gap = 0
        approved, beaten = run.count("approved"), view.header.heartbeat_ns
        time.sleep(0.1)
        run.wait_for(lambda beaten=beaten, view=view: view.header.heartbeat_ns > beaten)
        assert run.count("approved") == approved
        os.kill(scanner.process.pid, signal.SIGCONT)
    run.more("trades", 1)


def test_without_a_supervisor_nothing_is_opened(tmp_path: Path) -> None:
    """A8: from a second after the supervisor's last heartbeat nothing is decided on, each refusal says why,
    and the trader lives; when it beats again, so does trading.
    """
    with TraderRun(tmp_path, calm=True, hedge_seconds=30, **QUICK) as run, Beats(run) as supervisor:
        with Started(run, "trader") as trader:
            run.pid = trader.process.pid
            run.counted("trades", 2)
            with supervisor.silent():
                run.more("rejected.no_supervisor", 1)
                # What was decided in that very turn may still be on its way.
                run.more("rejected.no_supervisor", 1)
                sent, last_ns = run.count("orders_sent"), supervisor.last_ns
                run.more("rejected.no_supervisor", 5)
                assert run.count("orders_sent") == sent
                late = max(trade.decided_ns for trade in trades(run)) - last_ns
            assert late < 2 * SUPERVISOR_LIMIT_NS, "one is asked; another is a slow machine's"
            run.more("trades", 2)
            run.settle_down()
        assert trader.status == 0, run.errors()
        run.agree()


def test_unarmed_no_order_leaves_for_real_money(tmp_path: Path) -> None:
    """D8: a trader of mode live that nobody armed refuses all that it is offered, and sends nothing."""
    run = TraderRun(tmp_path, calm=True, hedge_seconds=30, **QUICK)
    configure(run, mode="live")
    with run:
        run.start()
        run.counted("rejected.not_armed", 20)
        assert run.count("orders_sent") == 0
        run.settle_down()
        assert run.end(signal.SIGTERM) == 0, run.errors()
        assert run.placed() == [] and trades(run) == []
