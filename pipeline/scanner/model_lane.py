"""Model lane: a prediction market against the model price of what it asks about spot. Never an arbitrage.

In: the direction of a model event, the books, the mid prices of its spot leg. Out: a `Priced` whose payoff is
the lower bound of a probability, and the model's figures. Used by the scanner; nothing of it is traded.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pipeline.digital import Mids, quote
from pipeline.edge import Edge, evaluate
from pipeline.look import Books, Look
from pipeline.model import BookState, Reason
from pipeline.model_events import EventLeg
from pipeline.pairs import Direction, edge_leg
from pipeline.pairs_checks import Limits, Verdict, check_books, low_edge_bp, refused
from pipeline.pricing import Priced, leg_view, time_left
from pipeline.scanner.rows import Modelled

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a model direction: `modelled` is None while there is no volatility yet."""

    priced: Priced
    modelled: Modelled | None


def reference(direction: Direction) -> EventLeg:
    """The spot leg of a model event."""
    return next(leg for leg in direction.event.legs if leg.outcome == "base")


def price_model(
    direction: Direction, books: Books, mids: Mids, limits: Limits, now_ns: int, wall_ns: int
) -> Found:
    """Price one side of the prediction market by the model's cautious bound.

    The verdict is WATCH_ONLY where an arbitrage would pass: a probability is no certainty.
    """
    spot_leg = reference(direction)
    look = books.read(direction.buy.venue, direction.buy.market, now_ns)
    spot = books.read(spot_leg.venue, spot_leg.market, now_ns)
    view = leg_view(look, wall_ns)
    verdict = check_books(direction, [view], limits, now_ns, wall_ns)
    left_ns = time_left(direction.event, (look,), wall_ns)
    modelled = _modelled(direction, spot, mids, left_ns)
    legs, edge, payoff = None, None, Decimal(0)
    if look is not None and look.state == BookState.LIVE and view.fee_known and modelled:
        plan = direction.legs[0]
        yes = plan.outcome == ("no" if plan.leg.polarity == "inverse" else "yes")
        worth = modelled.low_ppm if yes else 1_000_000 - modelled.high_ppm
        payoff = Decimal(worth).scaleb(-6)
        legs = (edge_leg(plan, look.book, look.market, view.fee),)
        edge = evaluate(legs, payoff)
    if not verdict.reason:
        believed = spot is not None and spot.state == BookState.LIVE
        verdict = _verdict(believed=believed, edge=edge)
    return Found(Priced(direction, verdict, edge, (look,), legs, payoff, left_ns), modelled)


def _verdict(*, believed: bool, edge: Edge | None) -> Verdict:
    """What is said of a model's edge; without one the volatility is not known yet, or no size is allowed."""
    if not believed:
        return refused(Reason.BOOK_MISSING, 0, 1)
    if edge is None or edge.net_low > 0:
        return refused(Reason.WATCH_ONLY, 0, 1)
    return refused(Reason.NO_EDGE, low_edge_bp(edge), 0)


def _modelled(direction: Direction, spot: Look | None, mids: Mids, left_ns: int) -> Modelled | None:
    """The probability that YES pays, None where spot is not believed or its volatility is not known yet."""
    asked, volatility = direction.event.digital, mids.volatility()
    if asked is None or spot is None or spot.state != BookState.LIVE or volatility is None:
        return None
    mid = mid_of(spot)
    if mid is None:
        return None
    seconds = left_ns / SECOND_NS
    found = quote(mid, float(asked.strike), seconds, volatility, float(asked.basis_bp), is_above=asked.above)
    return Modelled(*found.ppm, found.sigma_ppm)


def mid_of(look: Look) -> float | None:
    """The mid price in dollars, None where a side is empty."""
    bids, asks = look.book.bids, look.book.asks
    if not bids or not asks:
        return None
    return float((bids[0][0] + asks[0][0]) / 2 / 10**look.market.price_decimals)
