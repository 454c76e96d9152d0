"""Window rows: values of the trader as rows of its segment, in integers.

In: the account, holdings, orders, the sizer's record. Out: rows of `shm.records`. Pure; used by the window
and by the trader's worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from pipeline.money import to_micros
from pipeline.trader.broker import OrderIntent
from pipeline.trader.equity import EquityPoint
from pipeline.trader.events_view import EventPosition
from pipeline.trader.holding import ZERO, Holding, Mark
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
    0 while nothing is halted. `resume_wall_ns` is when the bot was last resumed, 0 for never.
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


def cash_row(positions: Positions, venue: str, reserved: Mapping[str, Decimal]) -> records.CashRow:
    """The cash of a venue; `reserved` is by venue what open orders may still take."""
    amounts = positions.start_cash(venue), positions.cash(venue), positions.locked(venue)
    return records.CashRow(venue, *(to_micros(amount) for amount in (*amounts, reserved.get(venue, ZERO))))


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
    )


def kelly_row(sizer: KellyPositionSizer) -> records.KellyRow:
    """The sizer's record and what it recommends."""
    record, kelly, trend = sizer.statistics, sizer.calculate_kelly_fraction(), sizer.trend
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
