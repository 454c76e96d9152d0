"""A trader whose ledger cannot be written sends nothing, says so, and goes on once it can."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pipeline.trader.triggers import JOURNAL_NS
from tests.support.trader_run import TraderRun

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
OUTAGE_SECONDS = 0.6


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """Let no write of the process to any file succeed."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, UNLIMITED)


def committed(run: TraderRun) -> set[str]:
    """The orders that have their intent in the ledger."""
    with closing(run.ledger()) as ledger:
        return {intent.order_id for trade in ledger.trades() for intent in trade.intents}


def beat(run: TraderRun) -> int:
    """When the trader last gave a sign of life."""
    view = run.view("trader")
    assert view is not None
    return view.header.heartbeat_ns


@pytest.mark.parametrize(
    "seconds", [OUTAGE_SECONDS, pytest.param(JOURNAL_NS / 1e9 + 1.0, marks=pytest.mark.stress)]
)
def test_a_full_disk_stops_orders_and_nothing_else(seconds: float, tmp_path: Path) -> None:
    """While the ledger cannot be written no order leaves, refusals and failures are counted and said, the
    trader lives; then it trades on, and has lost nothing. An outage of more than five seconds halts.
    """
    with TraderRun(tmp_path, mode="both", hedge_seconds=30, paper_latency_ms=8, order_seconds=0.2) as run:
        run.start()
        run.counted("trades", 3)
        with full_disk(run.pid):
            # What was written just before may still be on its way to the disk until the first failure.
            run.counted("journal_failures", 1)
            before = committed(run)
            run.counted("rejected.journal", 3)
            refused, beaten = run.count("rejected.journal"), beat(run)
            time.sleep(seconds)
            assert run.count("rejected.journal") > refused or seconds > OUTAGE_SECONDS
            assert beat(run) > beaten
            assert committed(run) == before
            assert {order.order_id for order in run.placed()} <= before
            assert any(text.startswith("journal: ") for text in run.errors()), run.errors()
            trades = run.count("trades")
            halted = run.summary()
            assert halted is not None and halted.halted == (seconds > OUTAGE_SECONDS)
        if halted.halted:
            # A disk that takes no file halts all the same; then the file is there.
            halt = run.wait_for(run.halt.read)
            assert "journal" in halt.cause
            run.halt.clear()
        run.counted("trades", trades + 3)
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        assert run.agree() > 10
