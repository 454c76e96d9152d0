"""Records of the trader: the cells of the rows that it alone writes. `shm.records` names them all.

Integers are 64-bit cells, `Annotated[str, n]` is n bytes of UTF-8. `_ns` is CLOCK_MONOTONIC, `_wall_ns`
the wall clock, `_micros` millionths of a dollar for display (booked money is in the journal). Enums are
those of pipeline.model, stored as their numbers.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from shm.layout import Record

EventId = Annotated[str, 64]
Title = Annotated[str, 96]
Venue = Annotated[str, 32]
MarketId = Annotated[str, 96]
Short = Annotated[str, 16]


class PositionRow(NamedTuple):
    """Trader: what is held of one outcome; an empty `event_id` is a free row.

    `units` is on `size_decimals`; `mark_micros` is what the position would fetch now, after fees, and
    `marked` is 0 where no live book could say.
    """

    event_id: EventId
    title: Title
    venue: Venue
    market: MarketId
    outcome: Short
    units: int
    size_decimals: int
    cost_micros: int
    fees_micros: int
    average_micros: int
    mark_micros: int
    unrealised_micros: int
    marked: int
    opened_wall_ns: int


class CashRow(NamedTuple):
    """Trader: cash at one venue; `locked` is the cost of what is held there, `reserved` what open orders
    may still take.

    `refused` counts the opportunities that were refused or cut because this venue's cash was what sufficed
    least, since this trader started; `wanted_micros` is the most that one of them wanted here. Of what is
    held here `next_free` is the earliest close and `all_free` the latest, as far as known; 0 for none.
    """

    venue: Venue
    start_micros: int
    cash_micros: int
    locked_micros: int
    reserved_micros: int
    refused: int = 0
    wanted_micros: int = 0
    next_free_wall_ns: int = 0
    all_free_wall_ns: int = 0


class EventPositionRow(NamedTuple):
    """Trader: what is held of one event, over all venues.

    `hedged` and `net` are quantities on `size_decimals`: held in pairs, and held without a counterpart (YES
    or coins positive). `gross_micros` is the cost of all, `net_exposure_micros` that of what is not hedged,
    `locked_micros` what the pairs will surely have earned after all fees. `band` is S1's: 0 below $20, 1 to
    $50, 2 above. `state`: 0 hedged, 1 on its way, 2 unhedged. An empty `event_id` is a free row.
    """

    event_id: EventId
    title: Title
    kind: Short
    hedged_units: int
    net_units: int
    size_decimals: int
    gross_micros: int
    net_exposure_micros: int
    locked_micros: int
    unrealised_micros: int
    marked: int
    fees_micros: int
    band: int
    state: int
    close_wall_ns: int
    opened_wall_ns: int


class SummaryRow(NamedTuple):
    """Trader: totals of the account, its switches and the work in hand.

    `day_known` is 0 where a lone leg or an unknown order makes the day's result count as the limit reached.
    `resolving` is the number of orders of an earlier run that nobody has answered for yet.

    `approved`, `executed` (both legs held as much) and `fill_rate_ppm` (executed of the trades that ended,
    quotes that nobody took left out; -1 while none has) count since the segment's file was made. The
    drawdowns are below the highest worth of the account, `peak_micros`: over all its life, by results of
    closed trades where no points of the equity curve are left, at what it would fetch where there are.
    `leg_gap` is the time between the first fills of both legs of an executed trade, by the exchange's
    reports; 0 without any. `pnl` is what the account is worth now less what was paid in.
    """

    mode: Short
    trades: int
    closed_trades: int
    opportunities: int
    rejected: int
    unhedged: int
    realised_micros: int
    unrealised_micros: int
    fees_micros: int
    day_pnl_micros: int
    day_known: int
    exposure_micros: int
    net_exposure_micros: int
    locked_profit_micros: int
    consecutive_losses: int
    halted: int
    halt_cause: Annotated[str, 160]
    halted_wall_ns: int
    armed: int
    open_orders: int
    unknown_orders: int
    resolving: int
    quotes: int
    updated_ns: int
    approved: int = 0
    executed: int = 0
    max_drawdown_micros: int = 0
    drawdown_micros: int = 0
    peak_micros: int = 0
    leg_gap_p50_ns: int = 0
    leg_gap_p99_ns: int = 0
    fill_rate_ppm: int = -1
    pnl_micros: int = 0


class KellyRow(NamedTuple):
    """Trader: the eleven statistics of the closed trades, and what Kelly makes of them.

    Losses are positive. `profit_factor_ppm` is -1 while nothing was lost; `prior` says that the odds are
    assumed. `trend` is 1, 0, -1: the last ten trades win more often than all, as often, less often. `odds`
    is the average win over the average loss, 0 while one of them is unknown; `mode_ppm` is the fraction times
    the mode, before the cap; `order_micros` is the most that [risk] lets any trade use.
    """

    total_trades: int
    winning_trades: int
    losing_trades: int
    win_rate_ppm: int
    avg_win_micros: int
    avg_loss_micros: int
    profit_factor_ppm: int
    largest_win_micros: int
    largest_loss_micros: int
    consecutive_losses: int
    max_consecutive_losses: int
    recent_win_rate_ppm: int
    trend: int
    kelly_ppm: int
    safe_ppm: int
    confidence_ppm: int
    prior: int
    recommended_micros: int
    capital_micros: int
    mode: Short
    computed_wall_ns: int
    odds_ppm: int = 0
    mode_ppm: int = 0
    cap_ppm: int = 0
    order_micros: int = 0


class OrderRow(NamedTuple):
    """Trader: an order that is on its way or rests. `state` is an `orders.OrderState`."""

    order_id: EventId
    event_id: EventId
    venue: Venue
    market: MarketId
    outcome: Short
    action: Short
    purpose: Short
    style: Short
    price_ticks: int
    price_decimals: int
    size_units: int
    filled_units: int
    size_decimals: int
    state: int
    sent_ns: int
    expires_ns: int


class OutcomeRow(NamedTuple):
    """Trader: one trade as it was predicted and as it came. A ring, newest last.

    `predicted_bp`, `race_ppm` and `latency_predicted_ns` are of the moment before the order; `realised_bp` is
    of the fills with their fees, over the cash used; `filled_ppm` the share of the size that was filled on
    both legs; `slippage_micros` what the fills cost more than the books showed (negative: less).
    """

    sequence: int
    trade_id: EventId
    event_id: EventId
    mode: Short
    outcome: int
    predicted_bp: int
    realised_bp: int
    predicted_micros: int
    realised_micros: int
    race_ppm: int
    filled_ppm: int
    slippage_micros: int
    latency_predicted_ns: int
    latency_ns: int
    wall_ns: int


class CalibrationRow(NamedTuple):
    """Trader: how well predictions came true, over the trades of this account.

    `brier_ppm` is the mean squared error of the fill probability (250,000 is a coin toss, 0 perfect);
    `trades` counts what it is the mean of, 0 where there is none.
    """

    trades: int
    brier_ppm: int
    race_mean_ppm: int
    filled_mean_ppm: int
    edge_predicted_bp: int
    edge_realised_bp: int
    slippage_micros: int
    latency_predicted_ns: int
    latency_ns: int


class EquityRow(NamedTuple):
    """Trader: what the account was worth at a moment: cash and what is held, at what it would fetch then."""

    sequence: int
    wall_ns: int
    equity_micros: int
    realised_micros: int
    unrealised_micros: int
    exposure_micros: int


class DecisionRow(NamedTuple):
    """Trader: one of the last 64 decisions. `sequence` counts all decisions of the run from 1.

    The stamps follow one price: socket, book, scan, send, receive, decide, intent, order, fill; 0 where it
    did not get so far. `mode` is "taker", "maker_hedge" or "flatten". `value` and `limit` (micros) are the
    number that failed and what it failed.

    gross - depth - both fees = net, at the trader's own look, all 0 where it could not price; `leg_risk` and
    `lock_up` beside it are what one leg alone and the wait until settlement may cost. `kelly_ppm` is the
    share of the bankroll that this very edge is worth, `wanted_micros` what Kelly would have bet before any
    limit; 0 where it was not asked. `trade_id` is empty where no order was committed.
    """

    sequence: int
    wall_ns: int
    event_id: EventId
    kind: Short
    mode: Short
    direction: int
    buy_venue: Venue
    sell_venue: Venue
    action: int
    reason: int
    value_micros: int
    limit_micros: int
    size_units: int
    size_decimals: int
    edge_bp: int
    last_look_bp: int
    net_micros: int
    cash_micros: int
    confidence: int
    race_ppm: int
    socket_ns: int
    book_ns: int
    scan_ns: int
    send_ns: int
    receive_ns: int
    decide_ns: int
    intent_ns: int
    order_ns: int
    fill_ns: int
    gross_micros: int = 0
    depth_micros: int = 0
    fee_buy_micros: int = 0
    fee_sell_micros: int = 0
    leg_risk_micros: int = 0
    lock_up_micros: int = 0
    kelly_ppm: int = 0
    wanted_micros: int = 0
    trade_id: EventId = ""


class FlattenRow(NamedTuple):
    """Trader: one order of a person to close all that is held of an event; the last 16, `number` 0 is free.

    `state` is a `pipeline.flatten.FlattenState`: 1 waits or works, 2 flat, 3 refused, 4 ended with a rest.
    `text` says what was done, or why not and what is left. `orders` counts those that were sent for it.
    """

    number: int
    event_id: EventId
    who: Annotated[str, 64]
    state: int
    orders: int
    asked_wall_ns: int
    ended_wall_ns: int
    text: Annotated[str, 200]


POSITION = Record(PositionRow)
CASH = Record(CashRow)
EVENT_POSITION = Record(EventPositionRow)
SUMMARY = Record(SummaryRow)
KELLY = Record(KellyRow)
ORDER = Record(OrderRow)
OUTCOME = Record(OutcomeRow)
CALIBRATION = Record(CalibrationRow)
EQUITY = Record(EquityRow)
DECISION = Record(DecisionRow)
FLATTEN = Record(FlattenRow)
