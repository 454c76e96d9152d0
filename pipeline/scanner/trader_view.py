"""Trader view: what the trader shows that the scanner needs: contracts held, and how long an order takes.

In: the trader's segment, read-only. Out: quantities by event, venue, market and outcome; nanoseconds from an
opportunity sent to its orders filled. A trader that is gone holds what it last showed.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from pipeline.money import to_decimal
from pipeline.pairs import Direction, least_held
from shm.histogram import read_recent
from shm.records import POSITION, PositionRow
from shm.segment import SegmentError, View, attach
from shm.tables import TableReader

SEARCH_NS = 100_000_000
LATENCY_NS = 1_000_000_000
UNMEASURED_NS = 50_000_000
"""Until an order was filled: the paper broker's own default latency."""

HOPS = ("send_to_receive", "receive_to_decide", "decide_to_order", "order_to_fill")


class TraderView:
    """The trader of this run. Call `refresh` now and then; it asks the memory ten times a second."""

    def __init__(self, shm_directory: Path) -> None:
        self._directory = shm_directory
        self._view: View | None = None
        self._positions: TableReader[PositionRow] | None = None
        self._numbers: tuple[int, ...] = ()
        self._held: dict[tuple[str, str, str, str], Decimal] = {}
        self._next_ns = 0
        self._measured_ns = 0
        self.latency_ns = UNMEASURED_NS
        """Median time from sending an opportunity to its orders filled."""

    def refresh(self, now_ns: int) -> bool:
        """Read what is new; whether holdings may have changed."""
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + SEARCH_NS
        if self._view is None or self._view.outdated():
            try:
                self._view = attach(self._directory, "trader")
                self._positions = TableReader(self._view, "positions", POSITION)
            except SegmentError:
                return False
            self._numbers = ()
        if now_ns - self._measured_ns >= LATENCY_NS:
            self._measured_ns = now_ns
            found = read_recent(self._view)
            hops = [found[name].p50_ns for name in HOPS if name in found and found[name].count]
            self.latency_ns = sum(hops) if len(hops) == len(HOPS) else UNMEASURED_NS
        assert self._positions is not None
        numbers = tuple(self._positions.number(row) for row in range(len(self._positions)))
        if numbers == self._numbers:
            return False
        self._numbers = numbers
        self._held = {
            (row.event_id, row.venue, row.market, row.outcome): to_decimal(row.units, row.size_decimals)
            for _, row in self._positions.rows()
            if row.outcome != "base"
        }
        return True

    def held(self, closing: Direction) -> Decimal:
        """How much of all that a closing direction sells is held: the least of its legs, in contracts."""
        return least_held(closing, self._held)
