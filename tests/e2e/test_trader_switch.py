"""HALT and the limits hold at once, and beyond the trader's death."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from pipeline.config import encode, sealed
from pipeline.halt import BY_HAND
from pipeline.journal_records import SwitchRecord, TradeRecord
from pipeline.lifecycle import CONFIG_FILE
from pipeline.paper.orders import FINAL, RESTING
from tests.support.trader_run import EASY, PATIENCE_SECONDS, TraderRun

OPENINGS = {"open", "close", "quote"}
VENUES = {"hedge_seconds": 30, "order_seconds": 0.2, "paper_latency_ms": 8}
SIGKILL = 9


def trades(run: TraderRun) -> list[TradeRecord]:
    """The trades of the ledger."""
    with closing(run.ledger()) as ledger:
        return ledger.trades()


def purposes(run: TraderRun) -> dict[str, str]:
    """What each order of the ledger was for."""
    return {intent.order_id: intent.purpose for trade in trades(run) for intent in trade.intents}


def switches(run: TraderRun) -> list[SwitchRecord]:
    """The turns of the kill switch that the ledger holds."""
    with closing(run.ledger()) as ledger:
        return ledger.switches()


def restart(run: TraderRun) -> None:
    """Kill the trader as it is, start another, and wait until it has resolved what was open."""
    assert run.end(SIGKILL) == -SIGKILL
    run.start()
    run.wait_for(lambda: (row := run.summary()) and not row.resolving)


def limit(run: TraderRun, **risk: object) -> None:
    """Let the next trader that starts have other limits."""
    changed = msgspec.structs.replace(run.config, risk=msgspec.structs.replace(run.config.risk, **risk))
    run.config = sealed(changed)
    (run.run_directory / CONFIG_FILE).write_bytes(encode(run.config))


def test_halt_stops_what_opens_and_nothing_else(tmp_path: Path) -> None:
    """After `touch HALT` at most one trade is opened, quotes end, legs are still mended; a killed trader
    stays halted; it trades on when the file is gone, and both turns are in the ledger.
    """
    with TraderRun(tmp_path, mode="both", calm=True, maker_quotes=1, maker_ttl_s=30, **VENUES) as run:
        # A quote rests at one event, the other is traded.
        run.offering = False
        run.start()
        run.wait_for(lambda: any(order.status in RESTING for order in run.placed()))
        run.offering = True
        run.counted("trades", 3)
        run.halt.path.touch()
        halted_ns = run.clock.monotonic_ns()
        row = run.wait_for(lambda: (row := run.summary()) and row.halted and not row.open_orders and row)
        assert (row.halt_cause, row.unhedged) == (BY_HAND, 0)
        time.sleep(0.2)
        restart(run)
        row = run.wait_for(lambda: (row := run.summary()) and row.halted and row)
        assert row.halt_cause == BY_HAND
        run.more("rejected.halted", 3)
        sent = [order for order in run.placed() if order.sent_ns > halted_ns]
        made_for = purposes(run)
        opened = {each.order_id.rpartition("-")[0] for each in sent if made_for[each.order_id] in OPENINGS}
        assert len(opened) <= 1, "only what was with the socket already"
        assert all(order.status in FINAL for order in run.placed() if order.style == "maker")
        sent_so_far = run.count("orders_sent")
        run.halt.path.unlink()
        run.counted("orders_sent", sent_so_far + 2)
        run.wait_for(lambda: len(switches(run)) == 2)
        told = switches(run)
        assert [(turn.state, turn.cause) for turn in told] == [
            ("HALT", BY_HAND),
            ("RESUME", "the HALT file was removed"),
        ]
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        run.agree()


def test_trades_of_the_hour_are_remembered(tmp_path: Path) -> None:
    """A trader that is killed at its limit of trades an hour is at its limit when it starts again."""
    risk = msgspec.structs.replace(EASY, max_trades_per_hour=3)
    with TraderRun(tmp_path, risk=risk, calm=True, **VENUES) as run:
        run.start()
        run.counted("rejected.trades_per_hour", 3)
        assert len(trades(run)) == 3
        restart(run)
        run.more("rejected.trades_per_hour", 3)
        run.settle_down()
        assert len(trades(run)) == 3
        assert run.end(15) == 0, run.errors()


def losing(run: TraderRun) -> None:
    """Let books move while orders are on their way, so that legs are taken back at a loss."""
    run.events = run.events[:1]
    run.gap = 0
    run.more("orders_sent", 2)
    run.gap = 30


def lose(run: TraderRun, enough: Callable[[], object]) -> None:
    """Trade at a loss until it is enough."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not enough():
        assert time.monotonic() < deadline, (run.summary(), run.errors())
        losing(run)
        run.wait_for(lambda: (row := run.summary()) and not row.open_orders and not row.unhedged)
        time.sleep(0.15)  # What is shown is as old as that.


def test_the_days_loss_is_remembered(tmp_path: Path) -> None:
    """A day's loss at its limit halts; a trader that is killed and resumed then still opens nothing that day,
    and is not halted again for what a person knows.
    """
    risk = msgspec.structs.replace(EASY, daily_loss_usd="2")
    # Books that stay: what is held must not be worth more, and the loss less, after the restart.
    with TraderRun(tmp_path, risk=risk, calm=True, **VENUES) as run:
        run.start()
        halt = run.wait_for(run.halt.read)
        assert "since 00:00 UTC, limit $2" in halt.cause
        run.wait_for(lambda: switches(run))
        run.wait_for(lambda: (row := run.summary()) and not row.open_orders and not row.unhedged)
        before = len(trades(run))
        assert run.end(SIGKILL) == -SIGKILL
        run.halt.clear()
        run.start()
        run.more("rejected.daily_loss", 3)
        assert run.halt.read() is None
        assert len(trades(run)) == before
        run.wait_for(lambda: len(switches(run)) > 1)
        assert [turn.state for turn in switches(run)] == ["HALT", "RESUME"]
        run.settle_down()
        assert run.end(15) == 0, run.errors()


def test_losses_in_a_row_are_remembered(tmp_path: Path) -> None:
    """Losses that an earlier trader made count: the next, whose limit they reach, halts and opens nothing."""
    slow = VENUES | {"paper_latency_ms": 100, "paper_latency_p95_ms": 100}
    with TraderRun(tmp_path, calm=True, **slow) as run:
        run.start()
        run.wait_for(run.summary)
        lose(run, lambda: (row := run.summary()) and row.consecutive_losses >= 2)
        lost = run.wait_for(run.summary).consecutive_losses
        assert run.end(SIGKILL) == -SIGKILL
        before = len(trades(run))
        run.gap = 0
        limit(run, max_consecutive_losses=lost)
        run.start()
        halt = run.wait_for(run.halt.read)
        assert halt.cause == f"{lost} losses in a row, limit {lost}"
        run.more("rejected.halted", 1)
        assert len(trades(run)) == before
        assert switches(run)[-1].who == "rule consecutive_losses"
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        run.agree()
