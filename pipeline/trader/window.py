"""Window: what the trader shows in shared memory: positions, events, cash, totals, orders, decisions.

In: the account and plain values of the trader. Out: rows of the trader's segment, in millionths of a
dollar, for the dashboard and `status`. Nothing here is ever read back, but for the equity curve, which goes
on after a restart. Only rows that changed are written. Used by the trader's worker.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Generic, TypeVar

from pipeline.model import Reason
from pipeline.trader.equity import POINTS, EquityPoint
from pipeline.trader.events_view import EventPosition
from pipeline.trader.holding import Mark
from pipeline.trader.positions import Positions
from pipeline.trader.window_rows import CashFacts, Titles, cash_row, equity_row, event_row, position_row
from shm import records
from shm.histogram import histogram_section
from shm.layout import Record, Section
from shm.segment import Segment
from shm.tables import RingWriter, TableWriter

MAX_VENUES = 16
MAX_ORDERS = 128
DECISIONS = 64
OUTCOMES = 64
FLATTENS = 16
COUNTERS = (
    "opportunities",
    "frames_refused",
    "opportunities_missed",
    "approved",
    "trades",
    "unhedged",
    "not_filled",
    "rejected",
    "settlements",
    "journal_failures",
    "decisions_dropped",
    "intents_not_sent",
    "fees_as_expected",
    "fees_lower",
    "fees_higher",
    "quotes",
    "withdrawn",
    "hedged",
    "unwound",
    "repairs",
    "alarms",
    "asked",
    "not_sent",
    "late_fills",
    "provisional_failed",
    "cancels",
    "halts",
    "orders_sent",
    "probes_lost",
    "holdings_compared",
    "holdings_differ",
    "unwatched",
    "flattens",
    "flatten_orders",
    *(reason.counter for reason in Reason if reason is not Reason.NONE),
)
HOPS = (
    "send_to_receive",
    "receive_to_decide",
    "decide_to_order",
    "order_to_fill",
    "leg_gap",
    "socket_to_receive",
    "socket_to_order",
)

RowT = TypeVar("RowT", bound=tuple[Any, ...])


def sections(max_positions: int) -> list[Section]:
    """Sections of the trader's segment beside counters and errors."""
    return [
        records.POSITION.section("positions", max_positions),
        records.EVENT_POSITION.section("events", max_positions),
        records.CASH.section("cash", MAX_VENUES),
        records.SUMMARY.section("summary", 1),
        records.KELLY.section("kelly", 1),
        records.ORDER.section("orders", MAX_ORDERS),
        records.OUTCOME.section("outcomes", OUTCOMES),
        records.CALIBRATION.section("calibration", 1),
        records.DECISION.section("decisions", DECISIONS),
        records.FLATTEN.section("flattens", FLATTENS),
        records.EQUITY.section("equity", POINTS, kept=True),
        histogram_section(HOPS),
    ]


class _Table(Generic[RowT]):
    """Rows of a table; what is not shown any longer is cleared, what did not change is not written."""

    def __init__(self, segment: Segment, name: str, record: Record[RowT]) -> None:
        self._table: TableWriter[RowT] = TableWriter(segment, name, record)
        self._shown: list[RowT] = []

    def show(self, rows: Iterable[RowT]) -> None:
        """Let the table be these rows, as far as there is room."""
        wanted = list(islice(rows, len(self._table)))
        for index, row in enumerate(wanted):
            if index >= len(self._shown) or self._shown[index] != row:
                self._table.put(index, row)
        for index in range(len(wanted), len(self._shown)):
            self._table.clear(index)
        self._shown = wanted


class Window:
    """Publishes the account. Rows are in the order given; what finds no room is not shown."""

    def __init__(self, segment: Segment) -> None:
        self._positions = _Table(segment, "positions", records.POSITION)
        self._events = _Table(segment, "events", records.EVENT_POSITION)
        self._cash = _Table(segment, "cash", records.CASH)
        self._summary = _Table(segment, "summary", records.SUMMARY)
        self._kelly = _Table(segment, "kelly", records.KELLY)
        self._orders = _Table(segment, "orders", records.ORDER)
        self._flattens = _Table(segment, "flattens", records.FLATTEN)
        self._calibration = _Table(segment, "calibration", records.CALIBRATION)
        self._outcomes: RingWriter[records.OutcomeRow]
        self._outcomes = RingWriter(segment, "outcomes", records.OUTCOME)
        self._decisions: RingWriter[records.DecisionRow]
        self._decisions = RingWriter(segment, "decisions", records.DECISION)
        self._equity: RingWriter[records.EquityRow] = RingWriter(segment, "equity", records.EQUITY)
        reader = segment.reader("equity")
        left = (reader.read(row) for row in range(len(reader)))
        points = (records.EQUITY.unpack(entry[1]) for entry in left if entry is not None)
        self.earlier: list[records.EquityRow] = sorted(point for point in points if point.sequence)
        """Points of the equity curve that an earlier run of the trader left, oldest first."""

    def account(
        self,
        positions: Positions,
        titles: Titles,
        mark: Mark,
        facts: CashFacts | None = None,
    ) -> None:
        """Show what is held and the cash of each venue."""
        holdings = positions.holdings()
        self._positions.show(position_row(each, titles, mark) for each in holdings)
        self._cash.show(cash_row(positions, venue, facts or CashFacts()) for venue in positions.venues())

    def events(self, events: Iterable[EventPosition], titles: Titles) -> None:
        """Show what is held of each event."""
        self._events.show(event_row(each, titles) for each in events)

    def orders(self, rows: Iterable[records.OrderRow]) -> None:
        """Show the orders that are on their way or rest: `window_rows.order_row` makes them."""
        self._orders.show(rows)

    def flattens(self, rows: Iterable[records.FlattenRow]) -> None:
        """Show the orders of people to close an event: `flatten.Flattener` makes them."""
        self._flattens.show(rows)

    def summary(self, row: records.SummaryRow) -> None:
        """Show the totals: `window_rows.summary_row` makes them."""
        self._summary.show([row])

    def kelly(self, row: records.KellyRow) -> None:
        """Show the record of closed trades: `window_rows.kelly_row` makes it."""
        self._kelly.show([row])

    def outcome(self, row: records.OutcomeRow) -> None:
        """Show how a trade came out: `calibration.outcome_row` makes it."""
        self._outcomes.append(row)

    def calibration(self, row: records.CalibrationRow) -> None:
        """Show how well predictions come true: `calibration.Calibration.value` makes it."""
        self._calibration.show([row])

    def decision(self, row: records.DecisionRow) -> None:
        """Show a decision; the same number again replaces it."""
        self._decisions.append(row)

    def equity(self, point: EquityPoint) -> None:
        """Show a point of the equity curve."""
        self._equity.append(equity_row(point))
