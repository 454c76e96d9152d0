"""Record: what is known of one decision, as a row for the screen and as a message for listeners.

In: an opportunity and what became of it, step by step. Out: a `DecisionRow` and a `Decision`. Pure;
used by the trader's worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from pipeline.edge import Edge
from pipeline.journal_records import FillRecord
from pipeline.model import (
    Action,
    Reason,
)
from pipeline.money import to_micros
from pipeline.pricing import Priced, lock_up, unwind_cost
from pipeline.trader.kelly_portfolio import KellyRoom
from pipeline.trader.plan import TAKER
from pipeline.wire import Decision, Opportunity
from shm.records import DecisionRow

PPM = 1_000_000


@dataclass(slots=True)
class Record:
    """One decision in the making; the stamps are 0 until their hop is reached."""

    sequence: int
    opportunity: Opportunity
    wall_ns: int
    receive_ns: int
    mode: str = TAKER
    trade_id: str = ""
    action: Action = Action.DETECTED
    reason: Reason = Reason.NONE
    value: Decimal = Decimal(0)
    limit: Decimal = Decimal(0)
    size_units: int = 0
    size_decimals: int = 0
    last_look_bp: int = 0
    net: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    fee_high: Decimal = Decimal(0)
    fee_first: Decimal = Decimal(0)
    gross: Decimal = Decimal(0)
    depth: Decimal = Decimal(0)
    leg_risk: Decimal = Decimal(0)
    lock_up: Decimal = Decimal(0)
    look: Priced | None = None
    hurdle_pct: Decimal = Decimal(0)
    kelly_ppm: int = 0
    wanted: Decimal = Decimal(0)
    edge_evidence: Mapping[str, object] = field(default_factory=dict)
    decide_ns: int = 0
    intent_ns: int = 0
    order_ns: int = 0
    fill_ns: int = 0

    def bets(self, kelly: KellyRoom) -> None:
        """What Kelly would bet on it before any limit; a close takes no cash, so nothing."""
        self.kelly_ppm = kelly.ppm
        self.wanted = kelly.dollars if kelly.fraction else Decimal(0)

    def refuse(self, reason: Reason, value: Decimal, limit: Decimal) -> None:
        """The check that failed, its number and its limit."""
        self.action, self.reason, self.value, self.limit = Action.REJECTED, reason, value, limit

    def settle(self, action: Action, reason: Reason, size: Decimal, uneven: Decimal) -> None:
        """What became of the trade: `size` is held on both legs, `uneven` on one of them alone."""
        self.action, self.reason, self.value, self.limit = action, reason, Decimal(0), Decimal(0)
        if action is Action.EXECUTED:
            self.size_units = int(size.scaleb(self.size_decimals))
        elif action is Action.REJECTED:
            self.limit = Decimal(1)
        else:
            self.value = uneven

    def fee_counter(self, fills: Sequence[FillRecord]) -> str:
        """Which counter a trade adds to: what the venues charged against the interval expected before."""
        charged = sum((fill.fee for fill in fills), Decimal(0))
        if charged > self.fee_high:
            return "fees_higher"
        return "fees_lower" if charged < self.fee else "fees_as_expected"

    def priced(self, look: Priced, edge: Edge, hurdle_pct: Decimal) -> None:
        """What the last look made of it, at the size of `edge`."""
        self.look, self.hurdle_pct = replace(look, edge=edge), hurdle_pct
        self.gross, self.depth = edge.gross, edge.depth
        self.fee_first = edge.legs[0].fee if edge.legs else edge.fee
        self.size_units, self.size_decimals = edge.size_units, edge.size_decimals
        self.last_look_bp, self.net, self.cash = edge.edge_bp, edge.net, edge.cash
        self.fee, self.fee_high = edge.fee, sum((leg.fee_high for leg in edge.legs), Decimal(0))

    @property
    def socket_ns(self) -> int:
        """When the newest of the messages behind the opportunity was received."""
        return max(leg.socket_ns for leg in self.opportunity.legs)

    @property
    def book_ns(self) -> int:
        """When the newest of the books was published."""
        return max(leg.publish_ns for leg in self.opportunity.legs)

    def _beside(self) -> None:
        """The two costs beside the waterfall, by the scanner's own formulas; not on the way of the orders."""
        look, self.look = self.look, None
        if look is not None:
            self.leg_risk = unwind_cost(look) * (PPM - self.opportunity.race_ppm) / PPM
            self.lock_up = lock_up(look, self.hurdle_pct)

    def row(self) -> DecisionRow:
        """The decision for the screen."""
        seen = self.opportunity
        self._beside()
        return DecisionRow(
            sequence=self.sequence,
            wall_ns=self.wall_ns,
            event_id=seen.event_id,
            kind=seen.kind,
            mode=self.mode,
            direction=seen.direction,
            buy_venue=seen.legs[0].venue,
            sell_venue=seen.legs[-1].venue,
            action=self.action,
            reason=self.reason,
            value_micros=to_micros(self.value),
            limit_micros=to_micros(self.limit),
            size_units=self.size_units,
            size_decimals=self.size_decimals,
            edge_bp=seen.edge_bp,
            last_look_bp=self.last_look_bp,
            net_micros=to_micros(self.net),
            cash_micros=to_micros(self.cash),
            confidence=seen.confidence,
            race_ppm=seen.race_ppm,
            socket_ns=self.socket_ns,
            book_ns=self.book_ns,
            scan_ns=seen.scan_ns,
            send_ns=seen.send_ns,
            receive_ns=self.receive_ns,
            decide_ns=self.decide_ns,
            intent_ns=self.intent_ns,
            order_ns=self.order_ns,
            fill_ns=self.fill_ns,
            gross_micros=to_micros(self.gross),
            depth_micros=to_micros(self.depth),
            fee_buy_micros=to_micros(self.fee_first),
            fee_sell_micros=to_micros(self.fee - self.fee_first),
            leg_risk_micros=to_micros(self.leg_risk),
            lock_up_micros=to_micros(self.lock_up),
            kelly_ppm=self.kelly_ppm,
            wanted_micros=to_micros(self.wanted),
            trade_id=self.trade_id if self.intent_ns else "",
        )

    def message(self, run_epoch: int) -> Decision:
        """The decision for listeners on `dec`."""
        row, seen = self.row(), self.opportunity
        return Decision(
            boot_id=seen.boot_id,
            run_epoch=run_epoch,
            sequence=self.sequence,
            opportunity=seen.sequence,
            event_id=seen.event_id,
            direction=seen.direction,
            action=row.action,
            reason=row.reason,
            value_micros=row.value_micros,
            limit_micros=row.limit_micros,
            size_units=row.size_units,
            size_decimals=row.size_decimals,
            edge_bp=row.edge_bp,
            net_micros=row.net_micros,
            cash_micros=row.cash_micros,
            socket_ns=row.socket_ns,
            book_ns=row.book_ns,
            scan_ns=row.scan_ns,
            send_ns=row.send_ns,
            receive_ns=row.receive_ns,
            decide_ns=row.decide_ns,
            intent_ns=row.intent_ns,
            order_ns=row.order_ns,
            fill_ns=row.fill_ns,
        )
