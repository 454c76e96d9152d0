"""A person closes an event at a real trader with its exchange, which may be killed on the way."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline.books import FeedBooks
from pipeline.flatten import FLATTEN_FILE, FlattenFile, FlattenOrder, FlattenState
from pipeline.journal_records import standing
from pipeline.model import BookState
from shm.records import FLATTEN, POSITION, FlattenRow
from shm.tables import TableReader
from tests.support.trader_run import ACCOUNT, EASY, EVENTS, TraderRun

SIGKILL = 9
RAIN, BTC = EVENTS
POINTS = ("decided", "before_commit", "committed", "sent", "reported", "booked")
SMALL = msgspec.structs.replace(EASY, max_event_usd="40")
"""So little that the books show it within a few rounds."""
CALM = {"hedge_seconds": 30, "order_seconds": 0.5, "paper_latency_ms": 8}


def hold(run: TraderRun) -> None:
    """Wait until something of rain is held, then halt."""
    run.events = (RAIN,)
    run.more("hedged", 1)
    run.offering = False
    run.halt.set("the test", "test", run.clock.wall_ns())
    run.wait_for(lambda: (row := run.summary()) and row.halted)
    run.wait_for(lambda: (row := run.summary()) and not row.open_orders and not row.unhedged)
    assert held(run)


def held(run: TraderRun) -> dict[str, int]:
    """What the trader shows of rain, by venue."""
    view = run.view("trader")
    assert view is not None
    return {row.venue: row.units for _, row in TableReader(view, "positions", POSITION).rows()}


def order(run: TraderRun) -> FlattenOrder:
    """Give the order as the supervisor does."""
    return FlattenFile(run.run_directory / FLATTEN_FILE).give(RAIN.id, "test", run.clock.wall_ns())


def row_of(run: TraderRun, given: FlattenOrder) -> FlattenRow | None:
    """What the trader shows of an order."""
    view = run.view("trader")
    rows = TableReader(view, "flattens", FLATTEN).rows() if view is not None else ()
    return next((row for _, row in rows if row.number == given.number), None)


def ended(run: TraderRun, given: FlattenOrder) -> FlattenRow:
    """Wait until the order has ended."""
    return run.wait_for(
        lambda: row if (row := row_of(run, given)) and row.state > FlattenState.WORKING else None
    )


def conserved(run: TraderRun) -> None:
    """Assert that the ledger agrees with the exchange to the last unit, and that of rain as much was sold as
    bought, by an order that was begun once and ended once.
    """
    assert run.agree() >= 4
    with closing(run.ledger()) as ledger:
        fills = standing(ledger.fills(ACCOUNT), ledger.confirmations(ACCOUNT))
        left: dict[str, Decimal] = {}
        for fill in fills:
            sign = 1 if fill.action == "buy" else -1
            size = sign * Decimal(fill.size_units).scaleb(-fill.scale.size_decimals)
            left[fill.venue] = left.get(fill.venue, Decimal(0)) + size
        assert set(left.values()) == {Decimal(0)}, left
        flattened = [trade for trade in ledger.trades() if trade.plan["mode"] == "flatten"]
        assert flattened
        assert {intent.order.action for trade in flattened for intent in trade.intents} == {"sell"}
        assert [each.state for each in ledger.flattens(ACCOUNT)] == ["FLATTEN", "FLAT"]


def test_an_event_is_closed_in_a_halt(tmp_path: Path) -> None:
    """With books of changing depth, what is held is sold to the last contract, HALT or not."""
    with TraderRun(tmp_path, risk=SMALL, **CALM) as run:
        run.start()
        hold(run)
        row = ended(run, order(run))
        assert (row.state, row.event_id, row.orders >= 2) == (FlattenState.FLAT, RAIN.id, True), row
        run.wait_for(lambda: held(run) == {})
        assert run.end(15) == 0, run.errors()
        conserved(run)


@pytest.mark.parametrize(
    "point",
    [
        "committed",
        *(pytest.param(point, marks=pytest.mark.stress) for point in POINTS if point != "committed"),
    ],
)
def test_a_trader_that_is_killed_meanwhile_closes_it_once(point: str, tmp_path: Path) -> None:
    """Killed at each step of the closing and started again, the trader goes on: nothing is sold twice."""
    with TraderRun(tmp_path, calm=True, risk=SMALL, **CALM) as run:
        run.start()
        hold(run)
        assert run.end(SIGKILL) == -SIGKILL
        given = order(run)
        run.start(point)
        assert run.ended(30), f"{point} was never passed: {run.errors()} {row_of(run, given)}"
        assert run.end() == -SIGKILL
        run.start()
        row = ended(run, given)
        assert row.state == FlattenState.FLAT, row
        run.end(SIGKILL)
        run.start()
        again = ended(run, given)
        assert (again.state, again.number) == (FlattenState.FLAT, given.number)
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        conserved(run)


def test_a_dead_book_refuses_it(tmp_path: Path) -> None:
    """While one book is DEAD neither leg is sold, and the words say so."""
    with TraderRun(tmp_path, calm=True, risk=SMALL, **CALM) as run:
        run.start()
        hold(run)
        before = held(run)
        run.dead.add("polymarket")
        books = FeedBooks(Path(run.config.shm_directory), run.config.feeds(), run.config.scanner.limits())

        def dead() -> bool:
            now = run.clock.monotonic_ns()
            books.refresh(now)
            look = books.read("polymarket", "77", now)
            return look is not None and look.state is BookState.DEAD

        run.wait_for(dead)
        row = ended(run, order(run))
        assert row.state == FlattenState.REFUSED
        assert "BOOK_DEAD" in row.text
        assert held(run) == before
        assert run.end(15) == 0, run.errors()
        run.agree()
