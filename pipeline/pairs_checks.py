"""Checks: the named reasons for a no, asked of the books of a direction and of the edge they leave.

In: a direction, what is known of each of its books, limits. Out: a `Verdict`: a reason with the number
that failed and the limit it failed, or PASSED. Pure. The scanner asks before it sends, the trader asks
again before it orders: the same questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from pipeline.config import Config
from pipeline.edge import Edge
from pipeline.fees import is_known
from pipeline.model import (
    BOOK_REASONS,
    BookFlag,
    BookState,
    FeeKind,
    FeeSchedule,
    Ladder,
    MarketStatus,
    Reason,
)
from pipeline.model_events import BASKET, CLOSE, Event, LegPlan
from pipeline.money import to_decimal
from pipeline.pairs import Direction
from shm.books import BookRow
from shm.records import MarketRow

MILLISECOND_NS = 1_000_000
NOT_TRADABLE = int(BookFlag.NOT_TRADABLE)  # a plain number: flags are asked for in every look
SECOND_NS = 1_000_000_000
YEAR_NS = 365 * 86_400 * SECOND_NS
MAX_ANNUAL_BP = 10**12
"""A return a year is shown up to this: an event that closes in a second has no sensible one."""


@dataclass(frozen=True, slots=True)
class LegView:
    """What is known of one leg at one moment; None where the feed has no such row.

    `state` is what `model.book_state` makes of the row, `fee` the schedule as it holds now.
    """

    book: BookRow | None
    state: BookState
    market: MarketRow | None
    fee: FeeSchedule
    fee_known: bool = field(init=False)

    def __post_init__(self) -> None:
        """Ask once: a view is looked at as long as its book stays."""
        object.__setattr__(self, "fee_known", is_known(self.fee))


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the checks below; money in dollars, `min_profit_pct` in per cent of the cash,
    `hurdle_pct` in per cent a year.
    """

    max_book_age_ns: int
    max_leg_skew_ns: int
    min_edge_bp: int
    min_profit_usd: Decimal
    min_profit_pct: Decimal
    max_close_gap_ns: int
    hurdle_pct: Decimal


class Verdict(NamedTuple):
    """NONE, or the reason of a refusal with the number that failed and the limit it failed.

    Units by reason: milliseconds for ages and skew, seconds for closing times, bp for edges, dollars or
    per cent for profit, per cent a year for the hurdle, shares of 1 for a mismatch, dollars for what
    the worst payoff leaves; else the enum's numbers.
    """

    reason: Reason
    value: Decimal
    limit: Decimal


PASSED = Verdict(Reason.NONE, Decimal(0), Decimal(0))


def limits_of(config: Config) -> Limits:
    """The limits as [risk] and [scanner] set them."""
    risk, scanner = config.risk, config.scanner
    return Limits(
        risk.max_book_age_ms * MILLISECOND_NS,
        risk.max_leg_skew_ms * MILLISECOND_NS,
        risk.min_edge_bp,
        Decimal(risk.min_profit_usd),
        Decimal(risk.min_profit_pct),
        scanner.max_close_gap_s * SECOND_NS,
        Decimal(scanner.hurdle_pct),
    )


def refused(reason: Reason, value: int | Decimal, limit: int | Decimal) -> Verdict:
    """A refusal with its numbers."""
    return Verdict(reason, Decimal(value), Decimal(limit))


def check_books(
    direction: Direction, views: Sequence[LegView], limits: Limits, now_ns: int, wall_ns: int
) -> Verdict:
    """Whether all books may be priced and traded, before any arithmetic.

    `now_ns` is CLOCK_MONOTONIC, `wall_ns` the wall clock (for closing times alone).
    """
    for plan, view in zip(direction.legs, views, strict=True):
        verdict = _check_book(plan, view)
        if verdict.reason:
            return verdict
    for view in views:
        verdict = _check_open(direction.event, view, wall_ns)
        if verdict.reason:
            return verdict
    for view in views:
        if not view.fee_known:
            return refused(Reason.FEE_UNKNOWN, int(view.fee.kind), int(FeeKind.KALSHI))
    verdict = check_event(direction, views, limits)
    return verdict if verdict.reason else check_ages(views, limits, now_ns)


def _check_book(plan: LegPlan, view: LegView) -> Verdict:
    """Whether the book is there, LIVE, uncrossed, and has the side that is needed at a possible price."""
    book, market = view.book, view.market
    if book is None or market is None or market.price_decimals < 0 or market.size_decimals < 0:
        return refused(Reason.BOOK_MISSING, 0, 1)
    if view.state != BookState.LIVE:
        return refused(BOOK_REASONS[view.state], int(view.state), int(BookState.LIVE))
    verdict = check_sides(plan, book.bids, book.asks, market.price_decimals)
    # An event leg with outcome "no" could mean the same as its polarity or the opposite: rather no
    # trade than both legs on the same side.
    if not verdict.reason and (book.flags & NOT_TRADABLE or plan.leg.outcome == "no"):
        side = book.asks if plan.takes_asks else book.bids
        return refused(Reason.NOT_TRADABLE, to_decimal(side[0][0], market.price_decimals), 1)
    return verdict


def check_sides(plan: LegPlan, bids: Ladder, asks: Ladder, price_decimals: int) -> Verdict:
    """Whether a book is uncrossed, and has the side that the plan needs at a possible price."""
    if bids and asks and bids[0][0] >= asks[0][0]:
        # A feed never says LIVE of such a book; whoever wrote it, it is not believed.
        bid, ask = (to_decimal(side[0][0], price_decimals) for side in (bids, asks))
        return refused(Reason.BOOK_CROSSED, bid, ask)
    side = asks if plan.takes_asks else bids
    if not side:
        return refused(Reason.ONE_SIDED, 0, 1)
    best = side[0][0]
    # A contract quoted at 0 or 1 is decided.
    if best <= 0 or (plan.outcome != "base" and best >= 10**price_decimals):
        return refused(Reason.NOT_TRADABLE, to_decimal(best, price_decimals), 1)
    return PASSED


def _check_open(event: Event, view: LegView, wall_ns: int) -> Verdict:
    """Whether the venue says the market is open and neither it nor the event has closed."""
    assert view.market is not None
    if view.market.status == MarketStatus.UNKNOWN:
        return refused(Reason.NOT_LISTED, view.market.status, int(MarketStatus.OPEN))
    if view.market.status != MarketStatus.OPEN:
        return refused(Reason.MARKET_CLOSED, view.market.status, int(MarketStatus.OPEN))
    for close_ns in (event.close_ns, view.market.close_wall_ns):
        if 0 < close_ns <= wall_ns:
            return refused(Reason.MARKET_CLOSED, to_decimal(wall_ns - close_ns, 9), 0)
    return PASSED


def check_event(direction: Direction, views: Sequence[LegView], limits: Limits) -> Verdict:
    """Whether a person has found the legs to be the same thing, and nothing has changed since."""
    event = direction.event
    if event.review is None or not event.review.by:
        return refused(Reason.NOT_REVIEWED, 0, 1)
    markets = [view.market for view in views if view.market is not None]
    # Coins have no rules. A market with rules that nobody has pinned counts as not reviewed.
    for market in markets:
        if market.rules_hash and not event.review.hashes:
            return refused(Reason.NOT_REVIEWED, 0, 1)
        if market.rules_hash and market.rules_hash not in event.review.hashes:
            return refused(Reason.RULES_CHANGED, 1, 0)
    closes = [market.close_wall_ns for market in markets if market.close_wall_ns]
    if closes and max(closes) - min(closes) > limits.max_close_gap_ns:
        gap = to_decimal(max(closes) - min(closes), 9)
        return refused(Reason.CLOSE_TIMES, gap, to_decimal(limits.max_close_gap_ns, 9))
    if direction.kind == BASKET and direction.index == 0:
        # Buying every NO needs no such proof: at most one outcome pays either way.
        if not event.exhaustive:
            return refused(Reason.HIDDEN_OUTCOME, 0, 1)
        if any(market.hides_outcome for market in markets):
            return refused(Reason.HIDDEN_OUTCOME, 1, 0)
    return PASSED


def check_ages(views: Sequence[LegView], limits: Limits, now_ns: int) -> Verdict:
    """Whether all books are young enough, and of about the same moment."""
    stamps = [view.book.socket_ns for view in views if view.book is not None]
    oldest = min(stamps)
    if now_ns - oldest > limits.max_book_age_ns:
        return _late(Reason.BOOK_TOO_OLD, now_ns - oldest, limits.max_book_age_ns)
    skew = max(stamps) - oldest
    if skew > limits.max_leg_skew_ns:
        return _late(Reason.LEG_SKEW, skew, limits.max_leg_skew_ns)
    return PASSED


def check_edge(edge: Edge | None, direction: Direction, limits: Limits, left_ns: int) -> Verdict:
    """Whether an edge is worth its orders, with every fee at its high end; None is what `edge.evaluate`
    gives where no size is allowed. `left_ns` is the time to settlement, 0 for what never settles.

    A held pair is closed for any profit: it was worth its limits when it was bought.
    """
    if edge is None:
        return refused(Reason.BELOW_MINIMUM, 0, 1)
    kind, review = direction.kind, direction.event.review
    return (
        no_edge(edge)
        or small_edge(edge, kind, limits.min_edge_bp)
        or small_profit(edge, kind, limits.min_profit_usd, limits.min_profit_pct)
        or outweighed(edge, kind, review.mismatch if review else Decimal(0))
        or below_hurdle(edge, kind, limits.hurdle_pct, left_ns)
        or PASSED
    )


def no_edge(edge: Edge) -> Verdict | None:
    """Refused where nothing is left. Each of these five checks an edge of a `kind` of direction and gives
    None where it passes; the trader's risk gate asks the same five of the edge that it has cut.
    """
    return refused(Reason.NO_EDGE, low_edge_bp(edge), 0) if edge.net_low <= 0 else None


def small_edge(edge: Edge, kind: str, min_edge_bp: int) -> Verdict | None:
    """Refused where the net is too small a share of the cash, in bp."""
    if kind == CLOSE or (low_bp := low_edge_bp(edge)) >= min_edge_bp:
        return None
    return refused(Reason.EDGE_TOO_SMALL, low_bp, min_edge_bp)


def small_profit(edge: Edge, kind: str, min_profit_usd: Decimal, min_profit_pct: Decimal) -> Verdict | None:
    """Refused where the net is too small: in dollars, or in per cent of the cash."""
    if edge.net_low < min_profit_usd:
        return Verdict(Reason.PROFIT_TOO_SMALL, edge.net_low, min_profit_usd)
    if kind != CLOSE and edge.net_low * 100 < min_profit_pct * edge.cash:
        return Verdict(Reason.PROFIT_TOO_SMALL, edge.net_low * 100 / edge.cash, min_profit_pct)
    return None


def outweighed(edge: Edge, kind: str, mismatch: Decimal) -> Verdict | None:
    """Refused where the chance that the venues decide differently, which costs all, eats the net."""
    if kind == CLOSE or not mismatch or mismatch * edge.cash < edge.net_low:
        return None
    return Verdict(Reason.MISMATCH, mismatch, edge.net_low / edge.cash)


def below_hurdle(edge: Edge, kind: str, hurdle_pct: Decimal, left_ns: int) -> Verdict | None:
    """Refused where money without risk earns more until settlement, `left_ns` away (0: never settles)."""
    # A year's return against the hurdle, without a division: net / cash * year / left < hurdle.
    if kind == CLOSE or not left_ns or edge.net_low * 100 * YEAR_NS >= hurdle_pct * edge.cash * left_ns:
        return None
    return Verdict(Reason.BELOW_HURDLE, Decimal(annual_bp(edge, left_ns)) / 100, hurdle_pct)


def low_edge_bp(edge: Edge) -> int:
    """`edge_bp` with every fee at its high end, rounded down."""
    if edge.cash <= 0:
        return 0
    scaled = edge.net_low * 10_000
    bp = int(scaled // edge.cash)
    # Decimal division rounds towards zero.
    return bp - 1 if scaled < bp * edge.cash else bp


def annual_bp(edge: Edge, left_ns: int) -> int:
    """The return on the cash used, a year, in bp; 0 for what never settles. At most MAX_ANNUAL_BP."""
    if left_ns <= 0 or edge.cash <= 0:
        return 0
    bp = int(edge.net_low * 10_000 * YEAR_NS / (edge.cash * left_ns))
    return max(-MAX_ANNUAL_BP, min(MAX_ANNUAL_BP, bp))


def _late(reason: Reason, value_ns: int, limit_ns: int) -> Verdict:
    """A refusal with times, in milliseconds."""
    return Verdict(reason, to_decimal(value_ns, 6), to_decimal(limit_ns, 6))
