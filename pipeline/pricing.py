"""Pricing: one direction of an event, looked at and priced from the books as they are at this moment.

In: a direction and the feeds' books. Out: the books read, the first check that fails, and the edge
wherever it can be computed. The scanner prices to find, the trader prices again before it orders: with
this one function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from pipeline.conversion import converted
from pipeline.edge import Edge, EdgeLeg, evaluate
from pipeline.fees import effective, is_known
from pipeline.look import Books, Look
from pipeline.model import UNKNOWN_FEE, BookState, FeeKind, FeeSchedule, Reason
from pipeline.model_events import CLOSE, SPOT, Event, LegPlan
from pipeline.money import to_decimal
from pipeline.pairs import Direction, edge_leg, published_fee
from pipeline.pairs_checks import (
    PASSED,
    YEAR_NS,
    LegView,
    Limits,
    Verdict,
    check_books,
    check_edge,
    refused,
)
from pipeline.payoff import worst_net
from shm.records import MarketRow

NOTHING = LegView(None, BookState.EMPTY, None, UNKNOWN_FEE)
MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Priced:
    """What was seen of a direction. `verdict.reason` is NONE where every check passed.

    `edge` is None where a book is not LIVE, a fee is unknown, or no size is allowed. `legs` are what was
    priced, for pricing again within a limit; `payoff` what a unit of all of them pays at worst, in dollars.
    `left_ns` is the time to settlement, 0 for what never settles.
    """

    direction: Direction
    verdict: Verdict
    edge: Edge | None
    looks: tuple[Look | None, ...]
    legs: tuple[EdgeLeg, ...] | None
    payoff: Decimal
    left_ns: int

    def within(
        self, max_cash: Decimal | None, cash: Sequence[Decimal | None] | None, max_size_units: int | None
    ) -> Edge | None:
        """The edge on the same books for at most so much; None where no allowed size is left.

        `cash` is what the venue of each leg has; legs of one venue share it.
        """
        assert self.legs is not None
        venues = [plan.leg.venue for plan in self.direction.legs]
        return evaluate(
            self.legs,
            self.payoff,
            max_size_units=max_size_units,
            max_cash=max_cash,
            cash=cash,
            shared=[venues.index(venue) for venue in venues],
        )


def price(
    direction: Direction,
    books: Books,
    limits: Limits,
    now_ns: int,
    wall_ns: int,
    held: Decimal | None = None,
) -> Priced:
    """Look at every book of a direction, check them, and price what can be priced.

    `now_ns` is CLOCK_MONOTONIC, `wall_ns` the wall clock. `held` bounds the size of a close, in contracts.
    """
    looks = tuple([books.read(plan.leg.venue, plan.leg.market, now_ns) for plan in direction.legs])
    views = [leg_view(look, wall_ns) for look in looks]
    verdict = check_books(direction, views, limits, now_ns, wall_ns)
    left_ns = time_left(direction.event, looks, wall_ns)
    legs, converts = _legs(direction, looks, views, books, now_ns)
    if legs is None:
        if not verdict.reason:
            # Only the book that converts a currency can be missing now.
            verdict = refused(Reason.BOOK_MISSING, 0, 1)
        return Priced(direction, verdict, None, looks, None, Decimal(0), left_ns)
    settled, worst = _payoffs(direction, limits, left_ns)
    most = _units(held, legs) if direction.kind == CLOSE else None
    edge, payoff = evaluate(legs, worst, max_size_units=most), worst
    if worst < settled and (edge is None or edge.net_low <= 0):
        # Nothing is left if a leg is called off: show what there would be, and say what it fails by.
        edge, payoff = evaluate(legs, settled, max_size_units=most), settled
    if not verdict.reason:
        verdict = check_edge(edge, direction, limits, left_ns)
        if edge is not None and not verdict.reason:
            verdict = check_void(direction, edge)
        if converts and not verdict.reason:
            verdict = refused(Reason.WATCH_ONLY, 0, 1)
    return Priced(direction, verdict, edge, looks, legs, payoff, left_ns)


def check_void(direction: Direction, edge: Edge) -> Verdict:
    """Whether an edge that passed leaves something in every row of its payoff table, refunds too."""
    if direction.kind in {CLOSE, SPOT} or not direction.table.may_be_void:
        return PASSED
    size = to_decimal(edge.size_units, edge.size_decimals)
    costs = [leg.cash - leg.fee for leg in edge.legs]
    left = worst_net(direction.table, size, costs, edge.fee)
    return refused(Reason.VOID_PAYOFF, left, 0) if left <= 0 else PASSED


def time_left(event: Event, looks: Sequence[Look | None], wall_ns: int) -> int:
    """Nanoseconds until the last leg closes; 0 where nothing says when, or it never does.

    Venues settle hours to days later (Polymarket: two hours at least): what they do not say is not counted.
    """
    if event.kind == SPOT:
        return 0
    closes = [look.market.close_wall_ns for look in looks if look is not None]
    return max(0, max([event.close_ns, *closes]) - wall_ns)


def discount(hurdle_pct: Decimal, left_ns: int) -> Decimal:
    """What a dollar at settlement is worth now at a simple rate of so many per cent a year."""
    return 1 / (1 + hurdle_pct * left_ns / (100 * YEAR_NS))


def unwind_cost(priced: Priced) -> Decimal:
    """Dollars lost if of all orders only the worst one fills and is undone at once: its spread and its fee
    twice. Where the other side of a book is empty, all that it cost is at stake.
    """
    edge, worst = priced.edge, Decimal(0)
    if edge is None:
        return worst
    size = to_decimal(edge.size_units, edge.size_decimals)
    for leg, look in zip(edge.legs, priced.looks, strict=True):
        if look is None:
            continue
        bids, asks = look.book.bids, look.book.asks
        lost = leg.cash
        if bids and asks:
            spread = to_decimal(asks[0][0] - bids[0][0], look.market.price_decimals)
            lost = spread * size + leg.fee + leg.fee
        worst = max(worst, lost)
    return worst


def lock_up(priced: Priced, hurdle_pct: Decimal) -> Decimal:
    """Dollars that the cash would earn without risk until settlement; for spot nothing is locked up."""
    if priced.edge is None or priced.direction.event.kind == SPOT:
        return Decimal(0)
    return priced.edge.cash * hurdle_pct * priced.left_ns / (100 * YEAR_NS)


def _payoffs(direction: Direction, limits: Limits, left_ns: int) -> tuple[Decimal, Decimal]:
    """What a unit of all legs pays if nothing is called off, and at worst, in dollars."""
    table, event = direction.table, direction.event
    if direction.kind == CLOSE:
        # What is given up may pay its most, later: to sell must beat that.
        worth = (table.most * discount(limits.hurdle_pct, left_ns)).quantize(MICRO, ROUND_CEILING)
        return -worth, -worth
    settled, worst = pair_payoffs(direction)
    # An event that nobody has reviewed is refused for that; its numbers are those of a good end.
    return settled, worst if event.reviewed else settled


def pair_payoffs(direction: Direction) -> tuple[Decimal, Decimal]:
    """What a unit of all legs that are opened pays if nothing is called off, and at worst, in dollars: for
    spot minus what bringing a coin back costs.
    """
    if direction.kind == SPOT:
        return -direction.event.transfer_usd, -direction.event.transfer_usd
    return direction.table.settled, direction.table.worst


def _units(held: Decimal | None, legs: Sequence[EdgeLeg]) -> int:
    """A quantity on the finest size scale of the legs."""
    return int((held or Decimal(0)).scaleb(max(leg.scale.size_decimals for leg in legs)))


def leg_view(look: Look | None, wall_ns: int) -> LegView:
    """A look as the checks want it."""
    if look is None:
        return NOTHING
    view: LegView | None = look.derived.get("view")
    if view is None:
        fee = _fee(look.market)
        view = LegView(look.book, look.state, look.market, effective(fee, wall_ns))
        if not fee.waived_until_ns:
            look.derived["view"] = view
    return view


@lru_cache(maxsize=4096)
def _fee(market: MarketRow) -> FeeSchedule:
    return published_fee(market)


def _legs(
    direction: Direction, looks: Sequence[Look | None], views: Sequence[LegView], books: Books, now_ns: int
) -> tuple[tuple[EdgeLeg, ...] | None, bool]:
    """The sides to be used up, if all books can be believed and have a scale and a fee; whether a
    currency was converted.
    """
    legs, converts = [], False
    for plan, look, view in zip(direction.legs, looks, views, strict=True):
        if look is None or look.state != BookState.LIVE or look.market.price_decimals < 0:
            return None, converts
        if look.market.size_decimals < 0 or not view.fee_known:
            return None, converts
        leg: EdgeLeg | None = look.derived.get((plan.action, plan.outcome, view.fee))
        if leg is None:
            leg = edge_leg(plan, look.book, look.market, view.fee)
            look.derived[plan.action, plan.outcome, view.fee] = leg
        if plan.leg.convert[1]:
            converts = True
            leg = _in_dollars(plan, leg, books, now_ns)
        if leg is None:
            return None, converts
        legs.append(leg)
    return tuple(legs), converts


def _in_dollars(plan: LegPlan, leg: EdgeLeg, books: Books, now_ns: int) -> EdgeLeg | None:
    """The leg with its prices turned into dollars by a live stablecoin book; None where that cannot say.

    What is sold brings the other currency, which is sold for dollars; what is bought needs it first.
    """
    look = books.read(*plan.leg.convert, now_ns)
    if look is None or look.state != BookState.LIVE or look.market.price_decimals < 0:
        return None
    fee = _fee(look.market)
    if fee.kind != FeeKind.BPS or not is_known(fee):
        # The rates of the other kinds are no share of the price.
        return None
    own_ppm = leg.fee.rate_ppm if leg.fee.kind == FeeKind.BPS else 0
    rates = look.book.bids if plan.action == "sell" else look.book.asks
    found = converted(leg.ladder, leg.scale, plan.action, rates, look.scale, fee.rate_ppm, own_ppm)
    if found is None:
        return None
    ladder, scale = found
    # On the finer price grid the venue's own grid says nothing any longer.
    return EdgeLeg(
        ladder, scale, leg.fee, leg.action, leg.outcome, 0, leg.lot_units, leg.min_units, leg.min_cost_micros
    )
