"""Window rows: values of the trader as rows of its segment, in integers.

In: the account, holdings, orders, the sizer's record. Out: rows of `shm.records`. Pure; used by the window
and by the trader's worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from pipeline.money import to_micros
from pipeline.trader.broker import OrderIntent
from pipeline.trader.equity import EquityPoint
from pipeline.trader.events_view import EventPosition
from pipeline.trader.holding import ZERO, Holding, Key, Mark
from pipeline.trader.kelly import KellyPositionSizer
from pipeline.trader.positions import Positions
from shm import records

PPM = 1_000_000


class Title(NamedTuple):
    """What an event is called, its kind, and when it closes (wall clock, 0 for never)."""

    title: str
    kind: str
    close_wall_ns: int


Titles = Mapping[str, Title]


@dataclass(frozen=True, slots=True)
class Totals:
    """What the summary says beside the account. `day_pnl` is None where nobody knows it; `halted_wall_ns` is
    0 while nothing is halted. `resume_wall_ns` is when the bot was last resumed, 0 for never. `ended` counts
    trades whose orders went out and that came to an end, `executed` those of them that hold both legs;
    `leg_gap_ns` is half of the gaps between their legs' first fills, and 99 of 100.
    """

    mode: str
    trades: int
    opportunities: int
    rejected: int
    day_pnl: Decimal | None
    halt_cause: str = ""
    halted_wall_ns: int = 0
    resume_wall_ns: int = 0
    armed: bool = True
    open_orders: int = 0
    unknown_orders: int = 0
    resolving: int = 0
    quotes: int = 0
    approved: int = 0
    executed: int = 0
    ended: int = 0
    max_drawdown: Decimal = ZERO
    drawdown: Decimal = ZERO
    peak: Decimal = ZERO
    leg_gap_ns: tuple[int, int] = (0, 0)

    @property
    def fill_rate_ppm(self) -> int:
        """The share of the trades that ended which hold both legs; -1 while none has ended."""
        return self.executed * PPM // self.ended if self.ended else -1


NO_TITLE = Title("(not configured)", "", 0)
"""Of an event that the configuration does not have (any longer)."""


def position_row(holding: Holding, titles: Titles, mark: Mark) -> records.PositionRow:
    """A holding as a row, valued at what it would fetch now; what no book can value, and spot coins that
    another venue closed, are not marked.
    """
    key = holding.key
    value = mark(key, holding.open_quantity) if holding.open_quantity else None
    unrealised = ZERO if value is None else value - holding.cost
    return records.PositionRow(
        event_id=key.event_id,
        title=titles.get(key.event_id, NO_TITLE).title,
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


@dataclass(frozen=True, slots=True)
class CashFacts:
    """What is said of venues' cash beside the account, each by venue: what open orders may still take; how
    often its cash was what sufficed least, and the most that was wanted; the earliest and the latest close
    (wall clock) of what is held there.
    """

    reserved: Mapping[str, Decimal] = field(default_factory=dict)
    wants: Mapping[str, tuple[int, Decimal]] = field(default_factory=dict)
    closes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def cash_row(positions: Positions, venue: str, facts: CashFacts) -> records.CashRow:
    """The cash of a venue."""
    refused, wanted = facts.wants.get(venue, (0, ZERO))
    next_free_wall_ns, all_free_wall_ns = facts.closes.get(venue, (0, 0))
    return records.CashRow(
        venue=venue,
        start_micros=to_micros(positions.start_cash(venue)),
        cash_micros=to_micros(positions.cash(venue)),
        locked_micros=to_micros(positions.locked(venue)),
        reserved_micros=to_micros(facts.reserved.get(venue, ZERO)),
        refused=refused,
        wanted_micros=to_micros(wanted),
        next_free_wall_ns=next_free_wall_ns,
        all_free_wall_ns=all_free_wall_ns,
    )


def closes_by_venue(positions: Positions, close_wall_ns: Callable[[Key], int]) -> dict[str, tuple[int, int]]:
    """The earliest and the latest close of what is open at each venue, of those that `close_wall_ns` knows
    (0: it does not).
    """
    found: dict[str, tuple[int, int]] = {}
    for held in positions.holdings():
        at_ns = close_wall_ns(held.key) if held.open_quantity else 0
        if at_ns:
            first, last = found.get(held.key.venue, (at_ns, at_ns))
            found[held.key.venue] = min(first, at_ns), max(last, at_ns)
    return found


def event_row(event: EventPosition, titles: Titles) -> records.EventPositionRow:
    """An event's position as a row; one that is not configured says so."""
    title = titles.get(event.event_id, NO_TITLE)
    unrealised = ZERO if event.unrealised is None else event.unrealised
    return records.EventPositionRow(
        event_id=event.event_id,
        title=title.title,
        kind=title.kind,
        hedged_units=int(event.hedged.scaleb(event.size_decimals)),
        net_units=int(event.net.scaleb(event.size_decimals)),
        size_decimals=event.size_decimals,
        gross_micros=to_micros(event.gross),
        net_exposure_micros=to_micros(event.net_exposure),
        locked_micros=to_micros(event.locked),
        unrealised_micros=to_micros(unrealised),
        marked=int(event.unrealised is not None),
        fees_micros=to_micros(event.fees),
        band=event.band,
        state=event.state,
        close_wall_ns=title.close_wall_ns,
        opened_wall_ns=event.opened_wall_ns,
    )


def summary_row(
    positions: Positions, events: list[EventPosition], mark: Mark, totals: Totals, now_ns: int
) -> records.SummaryRow:
    """The totals as a row. Exposure without a hedge counts dust too; `unhedged` counts events without it."""
    known = totals.day_pnl is not None
    return records.SummaryRow(
        mode=totals.mode,
        trades=totals.trades,
        closed_trades=len(positions.results()),
        opportunities=totals.opportunities,
        rejected=totals.rejected,
        unhedged=sum(event.state != 0 for event in events),
        realised_micros=to_micros(positions.realised()),
        unrealised_micros=to_micros(positions.unrealised(mark)),
        fees_micros=to_micros(positions.fees()),
        day_pnl_micros=to_micros(totals.day_pnl) if totals.day_pnl is not None else 0,
        day_known=int(known),
        exposure_micros=to_micros(positions.exposure()),
        net_exposure_micros=to_micros(positions.net_exposure()),
        locked_profit_micros=sum(to_micros(event.locked) for event in events),
        consecutive_losses=positions.consecutive_losses(totals.resume_wall_ns),
        halted=int(totals.halted_wall_ns > 0),
        halt_cause=totals.halt_cause,
        halted_wall_ns=totals.halted_wall_ns,
        armed=int(totals.armed),
        open_orders=totals.open_orders,
        unknown_orders=totals.unknown_orders,
        resolving=totals.resolving,
        quotes=totals.quotes,
        updated_ns=now_ns,
        approved=totals.approved,
        executed=totals.executed,
        max_drawdown_micros=to_micros(totals.max_drawdown),
        drawdown_micros=to_micros(totals.drawdown),
        peak_micros=to_micros(totals.peak),
        leg_gap_p50_ns=totals.leg_gap_ns[0],
        leg_gap_p99_ns=totals.leg_gap_ns[1],
        fill_rate_ppm=totals.fill_rate_ppm,
        pnl_micros=to_micros(positions.pnl(mark)),
    )


def kelly_row(sizer: KellyPositionSizer, max_order_usd: Decimal = ZERO) -> records.KellyRow:
    """The sizer's record and what it recommends, beside what any trade may use."""
    record, kelly, trend = sizer.statistics, sizer.calculate_kelly_fraction(), sizer.trend
    odds = record.avg_win / record.avg_loss if record.avg_loss else 0
    factor = record.profit_factor
    return records.KellyRow(
        total_trades=record.total_trades,
        winning_trades=record.winning_trades,
        losing_trades=record.losing_trades,
        win_rate_ppm=int(record.win_rate * PPM),
        avg_win_micros=int(record.avg_win * PPM),
        avg_loss_micros=int(record.avg_loss * PPM),
        profit_factor_ppm=-1 if factor is None else int(factor * PPM),
        largest_win_micros=to_micros(record.largest_win),
        largest_loss_micros=to_micros(record.largest_loss),
        consecutive_losses=record.consecutive_losses,
        max_consecutive_losses=record.max_consecutive_losses,
        recent_win_rate_ppm=int(trend.recent_win_rate * PPM),
        trend=trend.sign,
        kelly_ppm=int(kelly.kelly_fraction * PPM),
        safe_ppm=int(kelly.safe_kelly_fraction * PPM),
        confidence_ppm=int(kelly.confidence * PPM),
        prior=int(kelly.prior),
        recommended_micros=to_micros(sizer.get_recommended_position_size()),
        capital_micros=to_micros(sizer.capital),
        mode=sizer.kelly_mode.value,
        computed_wall_ns=sizer.recalculated_wall_ns,
        odds_ppm=int(odds * PPM),
        mode_ppm=int(kelly.kelly_fraction * sizer.kelly_mode.share * PPM),
        cap_ppm=int(sizer.cap * PPM),
        order_micros=to_micros(max_order_usd),
    )


def order_row(
    intent: OrderIntent, event_id: str, state: int, filled_units: int, sent_ns: int
) -> records.OrderRow:
    """An order that is on its way or rests; `state` is an `orders.OrderState`."""
    order = intent.order
    return records.OrderRow(
        order_id=intent.order_id,
        event_id=event_id,
        venue=order.venue,
        market=order.market,
        outcome=order.outcome,
        action=order.action,
        purpose=intent.purpose.value,
        style=intent.style.value,
        price_ticks=order.limit_ticks,
        price_decimals=order.scale.price_decimals,
        size_units=order.size_units,
        filled_units=filled_units,
        size_decimals=order.scale.size_decimals,
        state=state,
        sent_ns=sent_ns,
        expires_ns=intent.expires_ns,
    )


def equity_row(point: EquityPoint) -> records.EquityRow:
    """A point of the equity curve."""
    amounts = point.equity, point.realised, point.unrealised, point.exposure
    return records.EquityRow(point.sequence, point.wall_ns, *(to_micros(amount) for amount in amounts))
