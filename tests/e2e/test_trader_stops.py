"""A trader that is stopped and goes on acts on nothing that is over by then."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.paper.orders import Status
from tests.support.trader_run import TTL_NS, TraderRun

STOP_SECONDS, CI_STOP_SECONDS = 5.0, 1.5
MORE_STOPS = 40
OPENING = {"open", "close"}
VENUES = {"hedge_seconds": 60, "order_seconds": 0.2, "paper_latency_ms": 8, "maker_ttl_s": 0.5}
SIGSTOP = 19


def check_times(run: TraderRun) -> None:
    """Nothing was decided on after it had expired, and no venue took an order after its deadline."""
    with closing(run.ledger()) as ledger:
        for trade in ledger.trades():
            if trade.plan["mode"] == "taker":
                assert trade.decided_ns <= run.expires_ns[trade.sequence], trade.trade_id
    for order in run.placed():
        if order.arrived_ns > order.deadline_ns:
            assert order.status is Status.REJECTED, order
            assert "deadline" in order.why


@pytest.mark.parametrize(
    ("seconds", "stops"),
    [(CI_STOP_SECONDS, 1), pytest.param(STOP_SECONDS, MORE_STOPS, marks=pytest.mark.stress)],
)
def test_a_stopped_trader_acts_on_nothing_that_expired(seconds: float, stops: int, tmp_path: Path) -> None:
    """Stopped while opportunities go on, none that ended meanwhile becomes a trade, and who sends them to it
    never waits.
    """
    chance = random.Random(3)
    with TraderRun(tmp_path, mode="both", **VENUES) as run:
        run.start()
        run.counted("trades", 3)
        for number in range(stops):
            with run.frozen(chance.uniform(0.2, 0.6) if number else seconds) as (first, last):
                now = run.clock.monotonic_ns()
                gone = {each for each in range(first, last) if run.expires_ns[each] < now}
                expired, trades = run.count("rejected.expired"), run.count("trades")
            # At a hundred turns a second; a sender that waits for the trader would not get on at all.
            assert number or last - first > 10 * seconds
            run.counted("trades", trades + 2)
            assert number or run.count("rejected.expired") > expired
            with closing(run.ledger()) as ledger:
                acted = {trade.sequence for trade in ledger.trades() if trade.plan["mode"] == "taker"}
            assert acted.isdisjoint(gone)
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        check_times(run)
        assert run.agree() >= 10


@pytest.mark.parametrize("point", ["after_commit:3", "committed"])
def test_stopped_before_it_sends_it_sends_nothing_late(point: str, tmp_path: Path) -> None:
    """Stopped between commit and the last look at the clock, it does not send; between that look and the
    socket, the venue refuses what comes after its deadline. Neither is filled, and trading goes on.
    """
    with TraderRun(tmp_path, calm=True, **VENUES) as run:
        run.events = run.events[:1]
        run.start(point, SIGSTOP)
        run.wait_for(run.is_stopped)
        with closing(run.ledger()) as ledger:
            names = [intent.order_id for trade in ledger.trades() for intent in trade.intents]
        assert len(names) == 2, "it was stopped elsewhere"
        with run.frozen(2 * TTL_NS / 1e9 + 0.2):
            assert run.placed() == []
        run.counted("trades", 1)
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        late = {order.order_id: order for order in run.placed() if order.order_id in names}
        if point == "committed":
            assert {order.status for order in late.values()} == {Status.REJECTED}
        else:
            assert late == {}
        with closing(run.ledger()) as ledger:
            ends = {order.order_id: order for order in ledger.orders() if order.order_id in names}
            assert not any(fill.order_id in names for fill in ledger.fills())
        assert {order.status for order in ends.values()} == {"REJECTED" if late else "NOT_SENT"}
        check_times(run)
        run.agree()
