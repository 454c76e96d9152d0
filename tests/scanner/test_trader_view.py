"""Trader view: what is held can be closed, and what an order takes is measured, not assumed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from pipeline.clock import ManualClock
from pipeline.model_events import Event, EventLeg
from pipeline.pairs import closing, directions
from pipeline.scanner.trader_view import HOPS, UNMEASURED_NS, TraderView
from pipeline.trader.window import HOPS as ALL_HOPS
from pipeline.trader.window import sections
from shm import segment as segments
from shm.histogram import Histograms
from shm.records import POSITION, PositionRow
from shm.tables import TableWriter

EVENT = Event("e", "E", "binary", (EventLeg("kalshi", "K"), EventLeg("polymarket", "P")))


def test_holdings_and_latency_are_the_traders_own(tmp_path: Path) -> None:
    """Nothing without a trader; then the smaller leg of a held pair, and the sum of the measured hops."""
    clock = ManualClock()
    view = TraderView(tmp_path)
    first, second = (closing(direction) for direction in directions([EVENT]))
    assert first is not None
    assert second is not None
    assert view.refresh(clock.monotonic_ns()) is False
    assert view.held(first) == 0
    own = segments.create(
        tmp_path, "trader", sections(4), segments.this_owner(),
        monotonic_ns=clock.monotonic_ns(), wall_ns=clock.wall_ns(), sleep=clock.sleep,
    )  # fmt: skip
    positions: TableWriter[PositionRow] = TableWriter(own, "positions", POSITION)
    hops = Histograms(own, ALL_HOPS, clock.monotonic_ns())
    held = (("kalshi", "K", "yes", 1250, 2), ("polymarket", "P", "no", 9_000_000, 6))
    for row, (venue, market, outcome, units, decimals) in enumerate(held):
        place = {"venue": venue, "market": market, "outcome": outcome}
        shown = POSITION.empty()._replace(event_id="e", units=units, size_decimals=decimals, **place)
        positions.put(row, shown)
    clock.sleep(1)
    assert view.refresh(clock.monotonic_ns()) is True
    assert (view.held(first), view.held(second)) == (9, 0)
    assert view.latency_ns == UNMEASURED_NS
    for name in HOPS:
        hops.record(name, 1_000_000)
    positions.clear(1)
    clock.sleep(1)
    assert view.refresh(clock.monotonic_ns()) is True
    assert view.held(first) == Decimal(0)
    assert 4_000_000 <= view.latency_ns <= 4_400_000
    assert view.refresh(clock.monotonic_ns()) is False
    own.close()
