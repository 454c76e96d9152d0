"""Detail: one event to full depth: its ladders, and what each direction leaves at each size.

In: a row of the scanner's picture, the feeds' books, the configuration. Out: `CurveView`s. Run by
`source` when somebody looks at an event. Every number is made by the trading path's own functions, from the
books as they are then: `pricing.price` looks and checks, `edge_curve.curve` walks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from dashboard.event_views import CurveView
from dashboard.reasons import reason_plain
from pipeline.books import FeedBooks
from pipeline.config import Config
from pipeline.edge import Edge, EdgeLeg, Trade, evaluate
from pipeline.edge_curve import curve
from pipeline.model import BookState, Reason
from pipeline.model_events import CLOSE, MODEL
from pipeline.money import to_decimal, to_micros
from pipeline.pairs import Direction, closing, directions, edge_leg, least_held
from pipeline.pairs_checks import limits_of
from pipeline.pricing import leg_view, price
from shm.records import EventRow, PositionRow

POINTS = 24


@dataclass(frozen=True, slots=True)
class Priced:
    """What of a pricing a curve needs. `legs` is None where `problem` says why there is none."""

    legs: Sequence[EdgeLeg] | None = None
    payoff: Decimal = Decimal(0)
    edge: Edge | None = None
    most_units: int | None = None
    problem: str = ""


class Pricer:
    """Prices the directions of one configuration. Follows the feeds' memory on its own, when asked."""

    def __init__(self, shm_directory: Path, config: Config) -> None:
        self.config = config
        self._limits = limits_of(config)
        self._books = FeedBooks(shm_directory, config.feeds(), config.scanner.limits())

    def legs(self, event_id: str, number: int) -> tuple[tuple[str, str], ...]:
        """(venue, market) of every leg of a direction; () for one that the configuration does not have."""
        direction = self._direction(event_id, number)
        return tuple((plan.leg.venue, plan.leg.market) for plan in direction.legs) if direction else ()

    def curve(self, row: EventRow, held: Iterable[PositionRow], now_ns: int, wall_ns: int) -> CurveView:
        """What the direction that `row` is of leaves at each size, on the books as they are now.

        `held` are the trader's positions: a pair is closed for no more than is held.
        """
        found = self._price(row, held, now_ns, wall_ns)
        if found.legs is None or found.edge is None:
            return CurveView(row.buy_venue, row.sell_venue, problem=found.problem)
        edge, trade = found.edge, Trade(found.legs, found.payoff)
        # Levels' ends and the size that the scanner takes, then what lies between them in equal steps.
        nets = {point.size_units: point.net for point in curve(found.legs, found.payoff, POINTS // 2)}
        nets[edge.size_units] = edge.net
        least, most = min(nets), max(nets)
        steps = POINTS - len(nets) + 1
        for step in range(1, steps):
            size = (least + (most - least) * step // steps) // trade.lot * trade.lot
            if least < size < most and size not in nets:
                nets[size] = trade.edge(size).net
        limit = most if found.most_units is None else found.most_units
        points = tuple((size, to_micros(nets[size])) for size in sorted(nets) if size <= limit)
        return CurveView(row.buy_venue, row.sell_venue, edge.size_decimals, points)

    def _price(self, row: EventRow, held: Iterable[PositionRow], now_ns: int, wall_ns: int) -> Priced:
        direction = self._direction(row.event_id, row.direction)
        if direction is None:
            return Priced(problem="the configuration does not have this direction now")
        self._books.refresh(now_ns)
        if direction.kind == MODEL:
            return self._model(direction, row, now_ns, wall_ns)
        size = None
        if direction.kind == CLOSE:
            size = least_held(direction, _contracts(held))
        priced = price(direction, self._books, self._limits, now_ns, wall_ns, size)
        if priced.legs is None or priced.edge is None:
            return Priced(problem=_words(priced.verdict.reason))
        most = None
        if size is not None:
            most = int(size.scaleb(priced.edge.size_decimals))
        return Priced(priced.legs, priced.payoff, priced.edge, most)

    def _model(self, direction: Direction, row: EventRow, now_ns: int, wall_ns: int) -> Priced:
        """A side of a prediction market at the bound that the scanner's model gave, on the book as it is."""
        plan = direction.legs[0]
        look = self._books.read(plan.leg.venue, plan.leg.market, now_ns)
        view = leg_view(look, wall_ns)
        if look is None or look.state != BookState.LIVE or not view.fee_known or not row.has_numbers:
            return Priced(problem="no live book, no known fee, or no probability yet")
        legs = (edge_leg(plan, look.book, look.market, view.fee),)
        payoff = to_decimal(row.worst_micros, 6)
        edge = evaluate(legs, payoff)
        return Priced(legs, payoff, edge, problem="" if edge else _words(Reason.BELOW_MINIMUM))

    def _direction(self, event_id: str, number: int) -> Direction | None:
        """A direction by its name, those that close a held pair too."""
        events = [event.event() for event in self.config.events if event.id == event_id]
        found = directions(events)
        closings = [close for one in found if (close := closing(one)) is not None]
        return next((one for one in [*found, *closings] if one.index == number), None)


def _contracts(held: Iterable[PositionRow]) -> dict[tuple[str, str, str, str], Decimal]:
    """Positions as `pairs` wants them."""
    return {
        (row.event_id, row.venue, row.market, row.outcome): to_decimal(row.units, row.size_decimals)
        for row in held
    }


def _words(reason: Reason) -> str:
    """Why there is no curve."""
    return reason_plain(reason) if reason else "no size is allowed"
