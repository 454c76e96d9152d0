"""Pricing: one direction of an event, looked at and priced from the books as they are at this moment.

In: a direction and the feeds' books. Out: the two books read, the first check that fails, and the edge
wherever it can be computed. The scanner prices to find, the trader prices again before it orders: with
this one function.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pipeline.edge import Edge, EdgeLeg, evaluate
from pipeline.fees import is_known
from pipeline.look import Books, Look
from pipeline.model import UNKNOWN_FEE, BookState, EventLeg
from pipeline.pairs import (
    Direction,
    LegView,
    Limits,
    Verdict,
    check_books,
    check_edge,
    edge_leg,
    is_inverse,
    published_fee,
)


@dataclass(frozen=True, slots=True)
class Priced:
    """What was seen of a direction. `verdict.reason` is NONE where every check passed.

    `edge` is None where a book is not LIVE, a fee is unknown, or no size is allowed. `legs` are the books
    in the event's terms, for pricing again within a limit.
    """

    direction: Direction
    verdict: Verdict
    edge: Edge | None
    buy: Look | None
    sell: Look | None
    legs: tuple[EdgeLeg, EdgeLeg] | None

    def within(
        self, max_cash: Decimal, cash: tuple[Decimal, Decimal] | None, max_size_units: int | None
    ) -> Edge | None:
        """The edge on the same books for at most so much; None where no allowed size is left."""
        assert self.legs is not None
        return evaluate(self.direction.event.kind, *self.legs, max_size_units, max_cash, cash)


def price(direction: Direction, books: Books, limits: Limits, now_ns: int, wall_ns: int) -> Priced:
    """Look at both books of a direction, check them, and price what can be priced."""
    buy = books.read(direction.buy.venue, direction.buy.market, now_ns)
    sell = books.read(direction.sell.venue, direction.sell.market, now_ns)
    verdict = check_books(direction, _view(buy), _view(sell), limits, now_ns, wall_ns)
    legs = _legs(direction, buy, sell)
    edge = evaluate(direction.event.kind, *legs) if legs else None
    if not verdict.reason:
        verdict = check_edge(edge, limits)
    return Priced(direction, verdict, edge, buy, sell, legs)


def _view(look: Look | None) -> LegView:
    """A look as the checks want it."""
    if look is None:
        return LegView(None, BookState.EMPTY, None, UNKNOWN_FEE)
    return LegView(look.book, look.state, look.market, published_fee(look.market))


def _legs(direction: Direction, buy: Look | None, sell: Look | None) -> tuple[EdgeLeg, EdgeLeg] | None:
    """Both books in the event's terms, if they can be believed and have a scale and a fee."""
    first, second = _leg(direction.buy, buy), _leg(direction.sell, sell)
    return (first, second) if first and second else None


def _leg(leg: EventLeg, look: Look | None) -> EdgeLeg | None:
    if look is None or look.state != BookState.LIVE or look.market.price_decimals < 0:
        return None
    fee = published_fee(look.market)
    return edge_leg(look.book, look.market, is_inverse(leg), fee) if is_known(fee) else None
