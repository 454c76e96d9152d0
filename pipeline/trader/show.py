"""Show: what the trader publishes of the account ten times a second, and what it takes up at its start.

In: the desk, the ledger, the halt in force. Out: rows of the trader's segment, through `window`. Run by the
trader's worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pipeline.halt import Halt
from pipeline.journal_records import standing
from pipeline.trader.calibration import Outcome, outcomes_of
from pipeline.trader.desk import Desk
from pipeline.trader.equity import EquityCurve, worth_after_results
from pipeline.trader.events_view import event_positions
from pipeline.trader.holding import ZERO, Key
from pipeline.trader.ledger import Ledger
from pipeline.trader.window import Window
from pipeline.trader.window_rows import (
    CashFacts,
    Title,
    Totals,
    closes_by_venue,
    kelly_row,
    order_row,
    summary_row,
)

MICROS = 6


class Show:
    """Publishes one account."""

    def __init__(self, window: Window, desk: Desk, ledger: Ledger, wall_ns: int) -> None:
        self._window = window
        self._desk = desk
        self._ledger = ledger
        earlier = window.earlier
        since_wall_ns = earlier[0].wall_ns if earlier else wall_ns
        equities = worth_after_results(ledger.positions, since_wall_ns)
        equities += [Decimal(row.equity_micros).scaleb(-MICROS) for row in earlier]
        self._curve = EquityCurve(equities, earlier[-1].sequence if earlier else 0)
        self._kelly_of: tuple[object, ...] = ()

    def account(
        self,
        now: int,
        wall_ns: int,
        counts: Mapping[str, int],
        halt: Halt | None,
        *,
        resolving: int,
        quotes: int,
        leg_gap_ns: tuple[int, int] = (0, 0),
    ) -> None:
        """Publish positions, events, cash, orders, totals, Kelly and the equity curve."""
        desk, ledger, window = self._desk, self._ledger, self._window
        positions, mark = ledger.positions, desk.marks()
        titles = {event.id: Title(event.title, event.kind, event.close_ns) for event in desk.events.values()}
        closes = closes_by_venue(positions, lambda key: self._close_wall_ns(key, titles, now))
        window.account(positions, titles, mark, CashFacts(ledger.reserved(), desk.cash_wants, closes))
        working = list(ledger.working())
        busy = {trade.plan.event_id for trade, _ in working}
        events = event_positions(positions, mark, self._payoff, desk.dust, busy)
        window.events(events, titles)
        window.orders(
            order_row(order.intent, trade.plan.event_id, order.state, order.filled_units, order.sent_ns)
            for trade, order in working
        )
        totals = Totals(
            mode=desk.config.trader.mode,
            trades=counts["trades"],
            opportunities=counts["opportunities"],
            rejected=counts["rejected"],
            day_pnl=desk.day_pnl,
            halt_cause=halt.cause if halt else "",
            halted_wall_ns=halt.wall_ns or wall_ns if halt else 0,
            resume_wall_ns=ledger.resumed_wall_ns,
            armed=desk.arming.armed(desk.config, now, halted=halt is not None),
            open_orders=len(working),
            unknown_orders=ledger.unknown_orders(),
            resolving=resolving,
            quotes=quotes,
            approved=counts["approved"],
            executed=counts["hedged"],
            ended=counts["hedged"] + counts["unwound"] + counts["not_filled"],
            max_drawdown=self._curve.max_drawdown,
            drawdown=self._curve.drawdown,
            peak=self._curve.peak or ZERO,
            leg_gap_ns=leg_gap_ns,
        )
        window.summary(summary_row(positions, events, mark, totals, now))
        sizer = ledger.sizer
        most_usd = desk.limits.max_order_usd
        seen = (sizer.capital, sizer.kelly_mode, sizer.cap, sizer.probe_usd, most_usd)
        if sizer.refresh(wall_ns) or seen != self._kelly_of:
            self._kelly_of = seen
            window.kelly(kelly_row(sizer, most_usd))
        point = self._curve.take(positions, mark, now, wall_ns)
        if point is not None:
            window.equity(point)

    def _close_wall_ns(self, key: Key, titles: Mapping[str, Title], now: int) -> int:
        """When a position's market closes, by its event or its venue, the later; 0 where neither says."""
        market = self._desk.books.market(key.venue, key.market, now)
        told = titles[key.event_id].close_wall_ns if key.event_id in titles else 0
        return max(told, market.close_wall_ns if market is not None else 0)

    def past_outcomes(self, account: str) -> list[Outcome]:
        """How the trades of earlier runs of this account came out, from the journal."""
        journal = self._ledger.journal
        fills = standing(journal.fills(account), journal.confirmations(account))
        open_trades = self._ledger.trades
        ended = [trade for trade in journal.trades(account) if trade.trade_id not in open_trades]
        return outcomes_of(ended, fills)

    def _payoff(self, event_id: str) -> Decimal:
        """What a pair of an event pays at worst; 1 where the event is not configured any longer."""
        for (name, _), direction in self._desk.directions.items():
            if name == event_id:
                return direction.table.worst
        return Decimal(1)
