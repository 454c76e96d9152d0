"""Pairs: an event as two directions, its books in the event's terms, and the named reasons for a
no.

In: events, book rows, market rows. Out: `Direction`, `EdgeLeg`, `OrderLeg`s and `Verdict`s. Pure.
The scanner asks before it sends, the trader asks again before it orders: the same questions.

Polarity is flipped in two places and nowhere else: into the event's terms by `edge_leg`, back into
the book's terms by `order_legs`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from pipeline.config import RiskConfig
from pipeline.edge import BINARY, KINDS, SPOT, Edge, EdgeLeg, inverted
from pipeline.fees import is_known
from pipeline.model import (
    BOOK_REASONS,
    BookFlag,
    BookState,
    Event,
    EventLeg,
    FeeKind,
    FeeSchedule,
    MarketStatus,
    OrderLeg,
    Reason,
    Scale,
)
from pipeline.money import to_decimal
from shm.books import BookRow
from shm.records import MarketRow

MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Direction:
    """One way to trade an event. `index` 0 buys the event's first leg, 1 its second."""

    event: Event
    index: int
    buy: EventLeg
    sell: EventLeg


@dataclass(frozen=True, slots=True)
class LegView:
    """What is known of one leg at one moment; None where the feed has no such row.

    `state` is what `model.book_state` makes of the row, `fee` the schedule after the config.
    """

    book: BookRow | None
    state: BookState
    market: MarketRow | None
    fee: FeeSchedule


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the checks below; money in dollars, `min_profit_pct` in per cent of the
    cash.
    """

    max_book_age_ns: int
    max_leg_skew_ns: int
    min_edge_bp: int
    min_profit_usd: Decimal
    min_profit_pct: Decimal


class Verdict(NamedTuple):
    """NONE, or the reason of a refusal with the number that failed and the limit it failed.

    Units by reason: milliseconds for ages and skew, bp for edges, dollars or per cent for profit,
    seconds after the close for MARKET_CLOSED; else the enum's numbers.
    """

    reason: Reason
    value: Decimal
    limit: Decimal


PASSED = Verdict(Reason.NONE, Decimal(0), Decimal(0))


def limits_of(risk: RiskConfig) -> Limits:
    """The limits as [risk] sets them."""
    return Limits(
        risk.max_book_age_ms * MILLISECOND_NS,
        risk.max_leg_skew_ms * MILLISECOND_NS,
        risk.min_edge_bp,
        Decimal(risk.min_profit_usd),
        Decimal(risk.min_profit_pct),
    )


def directions(events: Iterable[Event]) -> list[Direction]:
    """Both directions of every event that is a pair: two different markets of a kind we can price.

    Spot has no other outcome, so an inverse spot leg makes no pair either.
    """
    found = []
    for event in events:
        if event.kind not in KINDS or len(event.legs) != 2:
            continue
        first, second = event.legs
        same = (first.venue, first.market) == (second.venue, second.market)
        if same or (event.kind == SPOT and (is_inverse(first) or is_inverse(second))):
            continue
        found.append(Direction(event, 0, first, second))
        found.append(Direction(event, 1, second, first))
    return found


def is_inverse(leg: EventLeg) -> bool:
    """Whether the YES of this market is the event's NO."""
    return leg.polarity == "inverse"


def published_fee(market: MarketRow) -> FeeSchedule:
    """The schedule that the feed found for the market."""
    return FeeSchedule(
        FeeKind(market.fee_kind),
        market.fee_rate_ppm,
        market.fee_maker_rate_ppm,
        market.fee_exponent,
        market.fee_precision_micros,
    )


def edge_leg(book: BookRow, market: MarketRow, inverse: bool, fee: FeeSchedule) -> EdgeLeg:
    """A book in the event's terms. The market's scale must be known (`check_books` sees to it)."""
    leg = EdgeLeg(
        book.bids,
        book.asks,
        Scale(market.price_decimals, market.size_decimals),
        fee,
        market.grid_ticks,
        market.lot_units,
        market.min_units,
        market.min_cost_micros,
    )
    return inverted(leg) if inverse else leg


def order_legs(
    direction: Direction, edge: Edge, buy_scale: Scale, sell_scale: Scale
) -> tuple[OrderLeg, OrderLeg]:
    """The two orders of an edge, buy leg first, with limits in the books' own terms.

    Binary pairs only ever buy: the event's YES on one venue, its NO on the other. The event's YES
    is the NO of an inverse market, and is bought from that book's bids. Spot buys and sells the
    base.
    """
    buy, sell = direction.buy, direction.sell
    if direction.event.kind == SPOT:
        return (
            _order(buy, "base", "buy", edge.buy_limit_ticks, edge, buy_scale),
            _order(sell, "base", "sell", edge.sell_limit_ticks, edge, sell_scale),
        )
    return (
        _contract(buy, yes=True, limit_ticks=edge.buy_limit_ticks, edge=edge, scale=buy_scale),
        _contract(sell, yes=False, limit_ticks=edge.sell_limit_ticks, edge=edge, scale=sell_scale),
    )


def _contract(leg: EventLeg, *, yes: bool, limit_ticks: int, edge: Edge, scale: Scale) -> OrderLeg:
    """Buy the event's YES or NO on a market; `limit_ticks` is a price of the event's YES."""
    if is_inverse(leg):
        yes, limit_ticks = not yes, 10**scale.price_decimals - limit_ticks
    return _order(leg, "yes" if yes else "no", "buy", limit_ticks, edge, scale)


def _order(leg: EventLeg, outcome: str, action: str, limit_ticks: int, edge: Edge, scale: Scale) -> OrderLeg:
    """An order for the edge's size on the market's own scale."""
    units, rest = divmod(edge.size_units, 10 ** (edge.size_decimals - scale.size_decimals))
    assert rest == 0, f"{edge.size_units} is off the size scale of {leg.venue} {leg.market}"
    return OrderLeg(leg.venue, leg.market, outcome, action, limit_ticks, units, scale)


def check_books(
    direction: Direction, buy: LegView, sell: LegView, limits: Limits, now_ns: int, wall_ns: int
) -> Verdict:
    """Whether both books may be priced and traded, before any arithmetic.

    `now_ns` is CLOCK_MONOTONIC, `wall_ns` the wall clock (for closing times alone).
    """
    pairs = ((direction.buy, buy, True), (direction.sell, sell, False))
    for leg, view, bought in pairs:
        verdict = _check_book(direction, leg, view, bought=bought)
        if verdict.reason:
            return verdict
    for _leg, view, _bought in pairs:
        verdict = _check_open(direction.event, view, wall_ns)
        if verdict.reason:
            return verdict
    for _leg, view, _bought in pairs:
        if not is_known(view.fee):
            return _refused(Reason.FEE_UNKNOWN, view.fee.kind, FeeKind.KALSHI)
    if not direction.event.reviewed:
        return _refused(Reason.NOT_REVIEWED, 0, 1)
    return _check_ages(buy, sell, limits, now_ns)


def _check_book(direction: Direction, leg: EventLeg, view: LegView, *, bought: bool) -> Verdict:
    """Whether the book is there, LIVE, and has the side that is needed at a possible price."""
    book, market = view.book, view.market
    if book is None or market is None or market.price_decimals < 0 or market.size_decimals < 0:
        return _refused(Reason.BOOK_MISSING, 0, 1)
    if view.state != BookState.LIVE:
        return _refused(BOOK_REASONS[view.state], view.state, BookState.LIVE)
    side = book.asks if bought != is_inverse(leg) else book.bids
    if not side:
        return _refused(Reason.ONE_SIDED, 0, 1)
    one = 10**market.price_decimals
    best = side[0][0]
    # A contract quoted at 0 or 1 is decided. An event leg with outcome "no" could mean the same as
    # its polarity or the opposite: rather no trade than both legs on the same side.
    decided = direction.event.kind == BINARY and best >= one
    if book.flags & BookFlag.NOT_TRADABLE or best <= 0 or decided or leg.outcome == "no":
        price = to_decimal(best, market.price_decimals)
        return Verdict(Reason.NOT_TRADABLE, price, Decimal(1))
    return PASSED


def _check_open(event: Event, view: LegView, wall_ns: int) -> Verdict:
    """Whether the venue says the market is open and neither it nor the event has closed."""
    assert view.market is not None
    if view.market.status == MarketStatus.UNKNOWN:
        return _refused(Reason.NOT_LISTED, view.market.status, MarketStatus.OPEN)
    if view.market.status != MarketStatus.OPEN:
        return _refused(Reason.MARKET_CLOSED, view.market.status, MarketStatus.OPEN)
    for close_ns in (event.close_ns, view.market.close_wall_ns):
        if 0 < close_ns <= wall_ns:
            return Verdict(Reason.MARKET_CLOSED, to_decimal(wall_ns - close_ns, 9), Decimal(0))
    return PASSED


def _check_ages(buy: LegView, sell: LegView, limits: Limits, now_ns: int) -> Verdict:
    """Whether both books are young enough, and of about the same moment."""
    assert buy.book is not None
    assert sell.book is not None
    oldest = now_ns - min(buy.book.socket_ns, sell.book.socket_ns)
    if oldest > limits.max_book_age_ns:
        return _late(Reason.BOOK_TOO_OLD, oldest, limits.max_book_age_ns)
    skew = abs(buy.book.socket_ns - sell.book.socket_ns)
    if skew > limits.max_leg_skew_ns:
        return _late(Reason.LEG_SKEW, skew, limits.max_leg_skew_ns)
    return PASSED


def check_edge(edge: Edge | None, limits: Limits) -> Verdict:
    """Whether an edge is worth its orders; None is what `edge.evaluate` gives where no size is
    allowed.
    """
    if edge is None:
        return _refused(Reason.BELOW_MINIMUM, 0, 1)
    if edge.net <= 0:
        return _refused(Reason.NO_EDGE, edge.edge_bp, 0)
    if edge.edge_bp < limits.min_edge_bp:
        return _refused(Reason.EDGE_TOO_SMALL, edge.edge_bp, limits.min_edge_bp)
    if edge.net < limits.min_profit_usd:
        return Verdict(Reason.PROFIT_TOO_SMALL, edge.net, limits.min_profit_usd)
    if edge.net * 100 < limits.min_profit_pct * edge.cash:
        return Verdict(Reason.PROFIT_TOO_SMALL, edge.net * 100 / edge.cash, limits.min_profit_pct)
    return PASSED


def _refused(reason: Reason, value: int, limit: int) -> Verdict:
    """A refusal with whole numbers."""
    return Verdict(reason, Decimal(int(value)), Decimal(int(limit)))


def _late(reason: Reason, value_ns: int, limit_ns: int) -> Verdict:
    """A refusal with times, in milliseconds."""
    return Verdict(reason, to_decimal(value_ns, 6), to_decimal(limit_ns, 6))
