"""Window: what the trader shows in shared memory: positions, cash, totals, the last decisions.

In: the account and each decision. Out: rows of the trader's segment, in millionths of a dollar, for the
dashboard and `status`; nothing here is ever read back. Used by the trader's worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pipeline.model import Reason
from pipeline.money import to_micros
from pipeline.trader.holding import Holding, Mark
from pipeline.trader.positions import Positions
from shm import records
from shm.histogram import histogram_section
from shm.layout import Section
from shm.segment import Segment
from shm.tables import RingWriter, TableWriter

MAX_VENUES = 16
DECISIONS = 64
REJECTED = "rejected."
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
    *(REJECTED + reason.name.lower() for reason in Reason if reason is not Reason.NONE),
)
HOPS = (
    "send_to_receive",
    "receive_to_decide",
    "decide_to_order",
    "order_to_fill",
    "socket_to_receive",
    "socket_to_order",
)
PPM = 1_000_000


def sections(max_positions: int) -> list[Section]:
    """Sections of the trader's segment beside counters and errors."""
    return [
        records.POSITION.section("positions", max_positions),
        records.CASH.section("cash", MAX_VENUES),
        records.SUMMARY.section("summary", 1),
        records.DECISION.section("decisions", DECISIONS),
        histogram_section(HOPS),
    ]


@dataclass(frozen=True, slots=True)
class Kelly:
    """What the sizer makes of the closed trades; shares of 1, money in dollars."""

    trades: int
    wins: int
    fraction: Fraction
    confidence: Fraction
    recommended: Decimal


class Window:
    """Publishes the account. Row i of the positions is the i-th open holding, oldest first."""

    def __init__(self, segment: Segment) -> None:
        self._positions: TableWriter[records.PositionRow]
        self._positions = TableWriter(segment, "positions", records.POSITION)
        self._cash: TableWriter[records.CashRow] = TableWriter(segment, "cash", records.CASH)
        self._summary: TableWriter[records.SummaryRow]
        self._summary = TableWriter(segment, "summary", records.SUMMARY)
        self._decisions: RingWriter[records.DecisionRow]
        self._decisions = RingWriter(segment, "decisions", records.DECISION)
        self._shown: dict[int, records.PositionRow] = {}

    def decision(self, row: records.DecisionRow) -> None:
        """Show a decision; the same number again replaces it."""
        self._decisions.append(row)

    def account(self, positions: Positions, titles: Mapping[str, str], mark: Mark) -> None:
        """Show what is held and the cash of each venue."""
        holdings = positions.holdings()[: len(self._positions)]
        for index, holding in enumerate(holdings):
            row = position_row(holding, titles.get(holding.key.event_id, ""), mark)
            if self._shown.get(index) != row:
                self._positions.put(index, row)
                self._shown[index] = row
        for index in [index for index in self._shown if index >= len(holdings)]:
            self._positions.clear(index)
            del self._shown[index]
        for index, venue in enumerate(positions.venues()[:MAX_VENUES]):
            cash = positions.start_cash(venue), positions.cash(venue), positions.locked(venue)
            self._cash.put(index, records.CashRow(venue, *(to_micros(amount) for amount in cash)))

    def summary(
        self,
        positions: Positions,
        counts: Mapping[str, int],
        kelly: Kelly,
        *,
        mode: str,
        unrealised: Decimal,
        day_pnl: Decimal,
        now_ns: int,
    ) -> None:
        """Show the totals."""
        self._summary.put(
            0,
            records.SummaryRow(
                mode=mode,
                trades=counts["trades"],
                closed_trades=len(positions.results()),
                opportunities=counts["opportunities"],
                rejected=counts["rejected"],
                unhedged=len(positions.unhedged_events()),
                realised_micros=to_micros(positions.realised()),
                unrealised_micros=to_micros(unrealised),
                fees_micros=to_micros(positions.fees()),
                day_pnl_micros=to_micros(day_pnl),
                exposure_micros=to_micros(positions.exposure()),
                consecutive_losses=positions.consecutive_losses(),
                halted=0,
                kelly_trades=kelly.trades,
                kelly_wins=kelly.wins,
                kelly_fraction_ppm=int(kelly.fraction * PPM),
                kelly_confidence_ppm=int(kelly.confidence * PPM),
                kelly_recommended_micros=to_micros(kelly.recommended),
                updated_ns=now_ns,
            ),
        )


def position_row(holding: Holding, title: str, mark: Mark) -> records.PositionRow:
    """A holding as a row, valued at what it would fetch now."""
    key = holding.key
    value = mark(key, holding.open_quantity)
    unrealised = Decimal(0) if value is None else value - holding.cost
    return records.PositionRow(
        event_id=key.event_id,
        title=title,
        venue=key.venue,
        market=key.market,
        outcome=key.outcome,
        units=holding.units,
        size_decimals=holding.size_decimals,
        cost_micros=to_micros(holding.cost),
        fees_micros=to_micros(holding.fees),
        average_micros=to_micros(holding.average),
        mark_micros=0 if value is None else to_micros(value),
        unrealised_micros=to_micros(unrealised),
        marked=int(value is not None),
        opened_wall_ns=holding.opened_wall_ns,
    )
