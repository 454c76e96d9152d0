"""Faults of a trader with real processes: its kill switch, what it remembers, what it compares, what it holds
that nobody watches, and who else binds its path.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import zmq

from pipeline.bus import OPPORTUNITIES, address
from pipeline.config import encode, sealed
from pipeline.journal_records import TradeRecord
from pipeline.lifecycle import CONFIG_FILE
from pipeline.paper.store import PAPER_FILE
from pipeline.trader.switch import BY_SIGNAL
from shm import records
from shm.tables import TableReader
from tests.support.trader_run import EASY, TraderRun

VENUES = {"hedge_seconds": 30, "order_seconds": 0.2, "paper_latency_ms": 8}
OPENINGS = {"open", "close", "quote"}
DEAF_SECONDS = 0.3
CHANGES, MORE_CHANGES = 1, 20
LAG_SECONDS = 0.6
WATCHED_NS = 300_000_000
"""Time in which a trader asks three times whether something halts."""


def trades(run: TraderRun) -> list[TradeRecord]:
    """The trades of the ledger."""
    with closing(run.ledger()) as ledger:
        return ledger.trades()


def holds(run: TraderRun, venue: str) -> bool:
    """Whether the trader shows a position at a venue."""
    view = run.view("trader")
    rows = TableReader(view, "positions", records.POSITION).rows() if view is not None else ()
    return any(row.venue == venue and row.units for _, row in rows)


def restart(run: TraderRun) -> None:
    """Kill the trader as it is, start another, and wait until it has resolved what was open."""
    assert run.end(signal.SIGKILL) == -signal.SIGKILL
    run.start()
    run.wait_for(lambda: (row := run.summary()) and not row.resolving)


def publish(run: TraderRun, **changes: object) -> None:
    """Let a changed configuration be the one of the run, as the supervisor does."""
    changed = msgspec.structs.replace(run.config, version=run.config.version + 1, **changes)
    fresh = run.run_directory / "config.new"
    fresh.write_bytes(encode(sealed(changed)))
    fresh.rename(run.run_directory / CONFIG_FILE)
    run.config = sealed(changed)


def test_a_signal_halts(tmp_path: Path) -> None:
    """SIGUSR1 halts a trader at once: it opens at most what was under way, lives, and says who halted it."""
    with TraderRun(tmp_path, calm=True, **VENUES) as run:
        run.start()
        run.counted("trades", 3)
        os.kill(run.pid, signal.SIGUSR1)
        halted_ns = run.clock.monotonic_ns()
        halt = run.wait_for(run.halt.read)
        assert (halt.cause, halt.who) == (BY_SIGNAL, "signal")
        run.more("rejected.halted", 3)
        made_for = {each.order_id: each.purpose for trade in trades(run) for each in trade.intents}
        late = [order for order in run.placed() if order.sent_ns > halted_ns + 50_000_000]
        assert not [order for order in late if made_for[order.order_id] in OPENINGS]
        sent = run.count("trades")
        run.halt.clear()
        run.counted("trades", sent + 1)
        os.kill(run.pid, signal.SIGUSR1)
        run.wait_for(run.halt.read)
        run.settle_down()
        assert run.end(signal.SIGTERM) == 0, run.errors()
        run.agree()


def test_orders_of_the_minute_are_remembered(tmp_path: Path) -> None:
    """A trader that is killed at its limit of orders a minute is at its limit when it starts again."""
    risk = msgspec.structs.replace(EASY, max_orders_per_minute=7)
    with TraderRun(tmp_path, risk=risk, calm=True, **VENUES) as run:
        run.start()
        run.counted("rejected.orders_per_minute", 3)
        before = len(trades(run))
        assert before == 3, "each is two orders"
        restart(run)
        run.more("rejected.orders_per_minute", 3)
        run.settle_down()
        assert len(trades(run)) == before
        assert run.end(signal.SIGTERM) == 0, run.errors()


def test_other_positions_at_the_exchange_halt(tmp_path: Path) -> None:
    """What agrees is compared after the start and halts nothing; an exchange that has something else is
    named, and trading halts; who resumes is not halted again for the same difference.
    """
    with TraderRun(tmp_path, calm=True, **VENUES) as run:
        run.start()
        run.counted("holdings_compared", 1)
        run.wait_for(lambda: holds(run, "kalshi") and holds(run, "polymarket"), pause=0.05)
        run.settle_down()
        run.halt.clear()
        assert run.end(signal.SIGTERM) == 0, run.errors()
        run.kill_paper()
        with closing(sqlite3.connect(run.data / PAPER_FILE)) as record:
            changed = record.execute("UPDATE holdings SET units = units + 100 WHERE venue='kalshi'")
            assert changed.rowcount == 1
            record.commit()
        run.start_paper()
        run.start()
        halt = run.wait_for(run.halt.read)
        assert halt.cause.startswith("our positions are not the venue's: kalshi KX yes: "), halt
        assert halt.who == "rule reconciliation"
        assert run.count("holdings_differ") == 1
        run.halt.clear()
        resumed_ns = run.clock.monotonic_ns()
        run.wait_for(lambda: (row := run.summary()) and row.updated_ns > resumed_ns + WATCHED_NS)
        assert run.halt.read() is None
        run.settle_down()
        assert run.end(signal.SIGTERM) == 0, run.errors()


def test_positions_of_an_event_that_is_gone_are_named(tmp_path: Path) -> None:
    """A trader that starts without an event that it holds says which market nobody watches and what to do,
    shows it, knows the day's result, and trades the other event on.
    """
    with TraderRun(tmp_path, calm=True, **VENUES) as run:
        run.start()
        run.counted("trades", 1)
        run.wait_for(lambda: {trade.event_id for trade in trades(run)} == {"rain", "btc"})
        run.settle_down()
        run.halt.clear()
        assert run.end(signal.SIGTERM) == 0, run.errors()
        publish(run, events=run.events[1:])
        run.events = run.events[1:]
        run.start()
        run.counted("unwatched", 2)
        texts = [text for text in run.errors() if "Put the event back" in text]
        assert any("rain: yes of kalshi KX is held" in text for text in texts), run.errors()
        assert any("rain: no of polymarket 77 is held" in text for text in texts), run.errors()
        run.offering = True
        run.counted("trades", run.count("trades") + 2)
        view = run.view("trader")
        assert view is not None
        rows = [row for _, row in TableReader(view, "positions", records.POSITION).rows()]
        assert {row.title for row in rows if row.event_id == "rain"} == {"(not configured)"}
        summary = run.wait_for(run.summary)
        assert summary.day_known and run.halt.read() is None
        assert run.count("unwatched") == 2, "each is said once"
        run.settle_down()
        assert run.end(signal.SIGTERM) == 0, run.errors()


class Thief:
    """Another process's second bind on the path of opportunities, again and again. Use as a context."""

    def __init__(self, run: TraderRun) -> None:
        self._where = address(run.run_directory, OPPORTUNITIES)
        self._ending = threading.Event()
        self._binds = threading.Thread(target=self._steal, daemon=True)

    def __enter__(self) -> None:
        self._binds.start()

    def __exit__(self, *_why: object) -> None:
        self._ending.set()
        self._binds.join()

    def _steal(self) -> None:
        socket = zmq.Context.instance().socket(zmq.PULL)
        socket.setsockopt(zmq.LINGER, 0)
        while not self._ending.wait(0.02):
            socket.bind(self._where)
        socket.close(0)


def test_a_stolen_path_stops_new_orders(tmp_path: Path) -> None:
    """A second bind on the trader's path is noticed within two seconds, and while it lasts nothing is
    opened, although the scanner that connected before is still heard; afterwards it trades on.
    """
    with TraderRun(tmp_path, calm=True, **VENUES) as run:
        run.start()
        run.counted("trades", 2)
        stolen = time.monotonic()
        with Thief(run):
            run.counted("probes_lost", 1)
            assert time.monotonic() - stolen < 20, "two seconds are asked, a slow machine has ten times that"
            # What was decided in that very turn may still be on its way.
            run.more("rejected.unresolved", 1)
            sent = run.count("orders_sent")
            run.more("rejected.unresolved", 5)
            assert run.count("orders_sent") == sent
        run.counted("trades", run.count("trades") + 2)
        assert any("another process has bound our path" in text for text in run.errors())
        run.settle_down()
        assert run.end(signal.SIGTERM) == 0, run.errors()
        run.agree()


@pytest.mark.parametrize("changes", [CHANGES, pytest.param(MORE_CHANGES, marks=pytest.mark.stress)])
def test_every_order_obeys_the_configuration_that_it_names(changes: int, tmp_path: Path) -> None:
    """While the limits change live, each trade names one configuration, and its orders are within the limits
    of that very one; a scanner that follows later halts nothing.
    """
    limits: dict[tuple[int, str], Decimal] = {}
    # A chain of changes leaves no time for the daily loss of a trade that is caught in the middle.
    with TraderRun(tmp_path, calm=True, **VENUES) as run:
        limits[run.config.version, run.config.hash] = Decimal(run.config.risk.max_order_usd)
        run.start()
        run.counted("trades", 2)
        for number in range(changes):
            scanner = run.config
            publish(run, risk=msgspec.structs.replace(EASY, max_order_usd=("4", "9")[number % 2]))
            acting, run.config = run.config, scanner
            limits[acting.version, acting.hash] = Decimal(acting.risk.max_order_usd)
            time.sleep(LAG_SECONDS)
            run.config = acting
            run.more("trades", 2)
        assert run.halt.read() is None
        run.settle_down()
        assert run.end(signal.SIGTERM) == 0, run.errors()
        with closing(run.ledger()) as ledger:
            commits = ledger.commits()
        assert {(each.config_version, each.config_hash) for each in commits} == set(limits)
        for each in commits:
            limit = limits[each.config_version, each.config_hash]
            for intent in each.intents:
                if intent.purpose in OPENINGS and each.event_id == "rain":
                    leg = intent.order
                    ticks = leg.limit_ticks if leg.outcome == "yes" else 10**6 - leg.limit_ticks
                    paid = Decimal(ticks).scaleb(-6) * Decimal(leg.size_units).scaleb(
                        -leg.scale.size_decimals
                    )
                    assert paid <= limit, (each.config_version, intent)
        run.agree()
