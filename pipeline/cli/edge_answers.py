"""Edge answers: what the edge mathematics and the checks say of a file's books (DESIGN 10).

In: an `EdgeFile` and the limits. Out: the object that `run.py edge --json` prints. The checks of the
arithmetic are those of scanner and trader; what has no clock or review here is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from math import floor
from typing import Any

from pipeline.edge import Edge, EdgeLeg, Trade, evaluate
from pipeline.edge_curve import break_even, curve
from pipeline.edge_file import EdgeFile, FileLeg
from pipeline.fees import is_known
from pipeline.model import Reason
from pipeline.model_events import BASKET, BINARY, CLOSE, SPOT, Event, EventLeg, LegPlan, Review
from pipeline.money import money_text, to_decimal
from pipeline.pairs import Direction, closing, directions
from pipeline.pairs_checks import (
    MILLISECOND_NS,
    PASSED,
    Limits,
    Verdict,
    check_edge,
    check_sides,
    refused,
)
from pipeline.pricing import discount

DAY_NS = 86_400 * 10**9
TEXT_DECIMALS = 9
"""Numbers of a refusal that are quotients are cut to so many decimals."""

_EXACT = Context(prec=100)
NUMBERS = "size cash gross depth net net_low gross_bp edge_bp annual_pct break_even largest".split()


def answer(file: EdgeFile, limits: Limits) -> dict[str, Any]:
    """Every direction with its numbers and its rejection, and the index of the best that has none."""
    found = [_Judged(file, direction, limits) for direction in _directions(file)]
    good = [index for index, judged in enumerate(found) if not judged.verdict.reason]
    best = max(good, key=lambda index: (found[index].net, -index), default=None)
    return {"kind": file.kind, "directions": [judged.facts() for judged in found], "best": best}


def _directions(file: EdgeFile) -> list[Direction]:
    """What can be done with the file's legs, as scanner and trader have it."""
    outcome = "base" if file.kind == SPOT else "yes"
    legs = [
        EventLeg(leg.venue, leg.market, outcome, "inverse" if leg.inverse else "same") for leg in file.legs
    ]
    kind = BINARY if file.kind == CLOSE else file.kind
    # A file has no rules to review: its legs are said to be one thing, and its mismatch says how surely.
    review = Review("file", mismatch=file.mismatch, void_rule="never")
    event = Event("file", "", kind, tuple(legs), review=review, exhaustive=True)
    found = directions([event])
    if file.kind == CLOSE:
        held = closing(found[0])
        return [held] if held is not None else []
    if file.kind == BASKET and file.side:
        return [found[0 if file.side == "yes" else 1]]
    return found


class _Judged:
    """One direction: its legs, its edge at the best size that the cash allows, and its verdict."""

    def __init__(self, file: EdgeFile, direction: Direction, limits: Limits) -> None:
        self.file, self.direction = file, direction
        by_name = {(leg.venue, leg.market): leg for leg in file.legs}
        self.plans = direction.legs
        self.sources = [by_name[plan.leg.venue, plan.leg.market] for plan in self.plans]
        self.left_ns = int((file.days or Decimal(0)) * DAY_NS)
        self.payoff = self._payoff(limits)
        self.edge: Edge | None = None
        self.legs: list[EdgeLeg] = []
        self.verdict = self._books(limits)
        made = [_edge_leg(plan, leg) for plan, leg in zip(self.plans, self.sources, strict=True)]
        if all(leg.ladder and is_known(leg.fee) for leg in made):
            self.legs = made
            cash_verdict = self._price()
            if not self.verdict.reason:
                self.verdict = cash_verdict
            if not self.verdict.reason:
                self.verdict = check_edge(self.edge, direction, limits, self.left_ns)

    @property
    def net(self) -> Decimal:
        """Dollars left; nothing where there is no edge."""
        return Decimal(0) if self.edge is None else self.edge.net

    def _payoff(self, limits: Limits) -> Decimal:
        """Dollars that a unit of all legs pays, or what has to be given for it."""
        if self.file.kind == SPOT:
            return -self.file.transfer_usd
        if self.file.kind == CLOSE:
            return -self.file.worth * discount(limits.hurdle_pct, self.left_ns)
        return self.direction.table.settled

    def _books(self, limits: Limits) -> Verdict:
        """The first thing about the books that forbids a trade."""
        for plan, leg in zip(self.plans, self.sources, strict=True):
            verdict = _book(plan, leg)
            if verdict.reason:
                return verdict
        if not all(is_known(leg.fee) for leg in self.sources):
            return refused(Reason.FEE_UNKNOWN, 0, 1)
        ages = [leg.age_ms for leg in self.sources if leg.age_ms is not None]
        oldest, limit = max(ages, default=Decimal(0)), _ms(limits.max_book_age_ns)
        if oldest > limit:
            return refused(Reason.BOOK_TOO_OLD, oldest, limit)
        skew, limit = oldest - min(ages, default=Decimal(0)), _ms(limits.max_leg_skew_ns)
        return refused(Reason.LEG_SKEW, skew, limit) if skew > limit else PASSED

    def _price(self) -> Verdict:
        """Find the edge of the best size within the caps; else that of the smallest order, and why not."""
        venues = list(dict.fromkeys(leg.venue for leg in self.sources))
        shared = [venues.index(leg.venue) for leg in self.sources]
        cash = [self.file.cash.get(leg.venue) for leg in self.sources]
        trade = Trade(self.legs, self.payoff)
        smallest = trade.smallest(self.legs)
        most = None
        if self.file.held is not None:
            most = int(self.file.held.scaleb(trade.size_decimals, _EXACT))
        self.edge = evaluate(self.legs, self.payoff, max_size_units=most, cash=cash, shared=shared)
        if self.edge is not None or smallest is None or (most is not None and smallest > most):
            return PASSED
        self.edge = trade.edge(smallest)
        needed: dict[str, Decimal] = dict.fromkeys(venues, Decimal(0))
        for leg, part in zip(self.sources, self.edge.legs, strict=True):
            needed[leg.venue] += part.cash
        short = [v for v in venues if v in self.file.cash and needed[v] > self.file.cash[v]]
        if self.edge.walked_gross <= 0 or not short:
            return PASSED
        return refused(Reason.VENUE_CASH, needed[short[0]], self.file.cash[short[0]])

    def facts(self) -> dict[str, Any]:
        """The direction as JSON has it; numbers are null where no size has a positive gross."""
        found: dict[str, Any] = {}
        if self.file.kind in {BINARY, SPOT}:
            found = {"buy": self.plans[0].leg.venue, "sell": self.plans[1].leg.venue}
        edge = self.edge if self.edge is not None and self.edge.walked_gross > 0 else None
        found |= dict.fromkeys(NUMBERS) | {"fees": None, "payoff": _text(self.payoff), "curve": []}
        if self.legs:
            found["curve"] = [[self._size(p.size_units), _text(p.net)] for p in curve(self.legs, self.payoff)]
        if edge is not None:
            found |= self._numbers(edge)
        found["limits"] = [None if edge is None else text for text in self._limits(edge)]
        found["legs"] = [
            {
                "venue": plan.leg.venue,
                "market": plan.leg.market,
                "action": plan.action,
                "outcome": plan.outcome,
                "limit": limit,
            }
            for plan, limit in zip(self.plans, found["limits"], strict=True)
        ]
        found["rejection"] = None
        if self.verdict.reason:
            value, limit = _text(self.verdict.value), _text(self.verdict.limit)
            found["rejection"] = {"reason": self.verdict.reason.name.lower(), "value": value, "limit": limit}
        return found

    def _numbers(self, edge: Edge) -> dict[str, Any]:
        fees: dict[str, Decimal] = {}
        for leg, part in zip(self.sources, edge.legs, strict=True):
            fees[leg.venue] = fees.get(leg.venue, Decimal(0)) + part.fee
        even = break_even(self.legs, self.payoff)
        return {
            "size": self._size(edge.size_units),
            "cash": _text(edge.cash),
            "gross": _text(edge.walked_gross),
            "depth": _text(edge.depth),
            "fees": {venue: _text(fee) for venue, fee in fees.items()},
            "net": _text(edge.net),
            "net_low": _text(edge.net_low),
            "gross_bp": edge.gross_bp,
            "edge_bp": edge.edge_bp,
            "annual_pct": _annual(edge, self.file.days),
            "break_even": self._size(even.smallest),
            "largest": self._size(even.largest),
        }

    def _limits(self, edge: Edge | None) -> Sequence[str | None]:
        """The worst price walked in each leg's book."""
        if edge is None:
            return [None] * len(self.plans)
        return [
            _text(to_decimal(part.limit_ticks, leg.scale.price_decimals))
            for leg, part in zip(self.sources, edge.legs, strict=True)
        ]

    def _size(self, units: int | None) -> str | None:
        decimals = max(leg.scale.size_decimals for leg in self.sources)
        return None if units is None else _text(to_decimal(units, decimals))


def _edge_leg(plan: LegPlan, leg: FileLeg) -> EdgeLeg:
    """The side of the book that the plan uses up."""
    return EdgeLeg(
        leg.asks if plan.takes_asks else leg.bids,
        leg.scale,
        leg.fee,
        plan.action,
        plan.outcome,
        leg.grid_ticks,
        leg.lot_units,
        leg.min_units,
        leg.min_cost_micros,
    )


def _book(plan: LegPlan, leg: FileLeg) -> Verdict:
    """Whether a book is whole, and has the needed side at a possible price."""
    if not leg.bids and not leg.asks:
        return refused(Reason.BOOK_EMPTY, 0, 1)
    return check_sides(plan, leg.bids, leg.asks, leg.scale.price_decimals)


def _annual(edge: Edge, days: Decimal | None) -> str | None:
    """Per cent a year on the cash, rounded down to two decimals."""
    if days is None or edge.cash <= 0:
        return None
    yearly = Fraction(edge.net) * 365 * 10_000 / (Fraction(edge.cash) * Fraction(days))
    return _text(to_decimal(floor(yearly), 2))


def _ms(time_ns: int) -> Decimal:
    return Decimal(time_ns) / MILLISECOND_NS


def _text(amount: Decimal) -> str:
    """Plain decimal text; a quotient is cut to TEXT_DECIMALS, downwards."""
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -2 * TEXT_DECIMALS:
        amount = amount.quantize(Decimal(1).scaleb(-TEXT_DECIMALS), ROUND_FLOOR, _EXACT)
    return money_text(amount)
