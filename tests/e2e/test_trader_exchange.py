"""Quotes and orders at an exchange that is killed, and without the trader that sent them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.cli.common import SCRIPT
from pipeline.paper.orders import FINAL, RESTING, Status
from pipeline.places import instance_of
from pipeline.trader.broker import Style
from tests.support.trader_run import Placed, TraderRun

SIGKILL = 9
TTL_SECONDS = 0.6
LONG_SECONDS = 60.0
STRESS_KILLS = 12
VENUES = {"hedge_seconds": 30, "order_seconds": 0.5, "paper_latency_ms": 8}


def quotes(run: TraderRun) -> list[Placed]:
    """Every quote that the exchange was sent."""
    return [order for order in run.placed() if order.style == Style.MAKER]


def committed(run: TraderRun) -> int:
    """How many orders have their intent in the ledger."""
    with closing(run.ledger()) as ledger:
        return len(ledger.rows("intents"))


def rest(run: TraderRun) -> list[Placed]:
    """Wait until quotes rest at both events; which."""
    return run.wait_for(
        lambda: len(found := [each for each in quotes(run) if each.status in RESTING]) > 1 and found
    )


@pytest.mark.parametrize("kills", [1, pytest.param(STRESS_KILLS, marks=pytest.mark.stress)])
def test_a_killed_exchange_loses_and_doubles_nothing(kills: int, tmp_path: Path) -> None:
    """Killed with orders and quotes on their way and started again, it agrees with the trader, which lives on
    and opens nothing while nobody answers.
    """
    with TraderRun(tmp_path, mode="both", maker_ttl_s=2.0, paper_provisional_ms=100, **VENUES) as run:
        pid = run.start()
        for _ in range(kills):
            run.more("approved", 3)
            run.wait_for(lambda: (row := run.summary()) and row.open_orders)
            run.kill_paper()
            refused = run.count("rejected.unresolved")
            run.counted("rejected.unresolved", refused + 1)
            before = committed(run)
            run.counted("rejected.unresolved", refused + 20)
            assert committed(run) == before
            run.start_paper()
            trades = run.count("trades") + run.count("unwound")
            run.wait_for(lambda before=trades: run.count("trades") + run.count("unwound") > before)
        assert run.pid == pid
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        assert run.agree() >= 2
        assert all(order.status in FINAL for order in run.placed())
        filled = [order for order in quotes(run) if order.status is Status.FILLED]
        assert all(order.at_ns < order.expires_ns for order in filled)


def test_a_killed_traders_quotes_end_at_the_venue(tmp_path: Path) -> None:
    """A quote ends at its venue when `maker_ttl_s` have passed since it was sent, also without a trader."""
    ttl_ns = round(TTL_SECONDS * 1e9)
    with TraderRun(tmp_path, mode="maker_hedge", calm=True, maker_ttl_s=TTL_SECONDS, **VENUES) as run:
        run.offering = False
        left: list[str] = []
        while not left:
            run.start()
            rest(run)
            assert run.end(SIGKILL) == -SIGKILL
            left = [each.order_id for each in quotes(run) if each.status in RESTING]
        run.wait_for(lambda: all(each.status in FINAL for each in quotes(run)))
        ended = {each.order_id: each for each in quotes(run)}
        assert {ended[name].why for name in left} == {"expired"}
        assert all(0 < each.expires_ns - each.sent_ns <= ttl_ns for each in ended.values())
        assert all(each.at_ns - each.expires_ns < 10 * ttl_ns for each in ended.values())
        run.start()
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        run.agree()


def test_a_restarted_trader_ends_old_quotes_first(tmp_path: Path) -> None:
    """What a killed trader left at the venue is cancelled before its successor sends anything."""
    with TraderRun(tmp_path, mode="both", calm=True, maker_ttl_s=LONG_SECONDS, **VENUES) as run:
        run.offering = False
        run.start()
        left = {each.order_id for each in rest(run)}
        assert run.end(SIGKILL) == -SIGKILL
        sent = run.count("orders_sent")
        run.offering = True
        run.start()
        run.counted("orders_sent", sent + 2)
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        placed = {each.order_id: each for each in run.placed()}
        with closing(run.ledger()) as ledger:
            second = ledger.rows("runs")[1]["run_id"]
            own = {row["order_id"] for row in ledger.rows("intents") if row["run_id"] == second}
        assert {placed[name].why for name in left} == {"cancelled on request"}
        last_end_ns = max(placed[name].at_ns for name in left)
        assert all(placed[name].sent_ns > last_end_ns for name in own & placed.keys())
        run.agree()


def test_cancel_all_needs_no_trader(tmp_path: Path) -> None:
    """`run.py cancel-all` ends what a killed trader left at the venue, and says which orders."""
    with TraderRun(tmp_path, mode="maker_hedge", calm=True, maker_ttl_s=LONG_SECONDS, **VENUES) as run:
        run.offering = False
        run.start()
        rest(run)
        assert run.end(SIGKILL) == -SIGKILL
        left = {each.order_id for each in quotes(run) if each.status not in FINAL}
        # The path of a socket must be short, so a short one leads to the run.
        with tempfile.TemporaryDirectory(prefix="px") as runtime:
            (Path(runtime) / f"parallax-{instance_of(run.data)}").symlink_to(run.run_directory)
            done = subprocess.run(
                [sys.executable, str(SCRIPT), "cancel-all", "--json", "--data", str(run.data)],
                env={**os.environ, "XDG_RUNTIME_DIR": runtime},
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["still_resting"] == []
        assert set(said["ended"]) == left
        ended = {each.order_id: each.status for each in quotes(run)}
        assert {ended[name] for name in left} == {Status.CANCELLED}
        run.start()
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        run.agree()
