"""Rows: what the scanner found of a direction, as its row in shared memory and as a message.

In: a priced direction, and what is believed of it. Out: an `EventRow`, an `Opportunity`'s legs. Pure; used
by the scanner's worker. Money is rounded to millionths here, for people; nobody books it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pipeline.edge import Edge
from pipeline.look import Look
from pipeline.model import Confidence
from pipeline.model_events import CLOSE, MODEL, SPOT, LegPlan
from pipeline.money import to_micros
from pipeline.pairs import Direction, is_inverse
from pipeline.pairs_checks import Verdict, annual_bp
from pipeline.pricing import Priced, lock_up, unwind_cost
from pipeline.scanner.lead_lag import LeadSummary
from pipeline.scanner.screen import Lane, LaneLeg
from pipeline.wire import LegRef
from shm.records import EVENT, EventRow

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Belief:
    """What is thought of an edge beside its numbers. `race_count` lives stand behind `race_ppm`, 0 for the
    prior; `born_ns` is 0 where no edge stands.
    """

    confidence: Confidence = Confidence.LOW
    race_ppm: int = 0
    race_count: int = 0
    born_ns: int = 0


@dataclass(frozen=True, slots=True)
class Modelled:
    """What a model makes of an event, in millionths: P(YES pays) with its bounds, and a year's volatility."""

    low_ppm: int
    mid_ppm: int
    high_ppm: int
    sigma_ppm: int

    def onto(self, row: EventRow) -> EventRow:
        """The row with these figures in it."""
        return row._replace(
            model_low_ppm=self.low_ppm,
            model_ppm=self.mid_ppm,
            model_high_ppm=self.high_ppm,
            sigma_ppm=self.sigma_ppm,
        )


def named_row(direction: Direction) -> EventRow:
    """What never changes of a direction's row. A direction with one leg shows it twice."""
    event, plans = direction.event, direction.legs
    buy, sell = plans[0], plans[min(1, len(plans) - 1)]
    review = event.review
    return EVENT.empty()._replace(
        event_id=event.id,
        title=event.title,
        kind=direction.kind,
        direction=direction.index,
        legs=len(plans),
        buy_venue=buy.leg.venue,
        buy_market=buy.leg.market,
        buy_inverse=int(is_inverse(buy.leg)),
        buy_action=buy.action,
        buy_outcome=buy.outcome,
        sell_venue=sell.leg.venue,
        sell_market=sell.leg.market,
        sell_inverse=int(is_inverse(sell.leg)),
        sell_action=sell.action,
        sell_outcome=sell.outcome,
        close_wall_ns=event.close_ns,
        mismatch_ppm=int(review.mismatch * PPM) if review else 0,
    )


def event_row(
    named: EventRow,
    priced: Priced,
    verdict: Verdict,
    belief: Belief,
    lead: LeadSummary,
    hurdle_pct: Decimal,
    now_ns: int,
) -> EventRow:
    """A priced direction as a row for the screen, from its `named_row`. `verdict` may be stricter than the
    one of the pricing.
    """
    looks, edge = priced.looks, priced.edge
    first, second = looks[0], looks[min(1, len(looks) - 1)]
    cells: dict[str, int] = {
        "confidence": belief.confidence,
        "race_ppm": belief.race_ppm,
        "race_count": belief.race_count,
        "born_ns": belief.born_ns,
        "lead_leg": lead.leg,
        "lead_ns": lead.lag_ns,
        "lead_count": lead.count,
        "lead_total": lead.total,
        "reason": verdict.reason,
        "value_micros": to_micros(verdict.value),
        "limit_micros": to_micros(verdict.limit),
        "computed_ns": now_ns,
    }
    if first is not None:
        book = first.book
        cells["buy_row"], cells["buy_epoch"], cells["buy_socket_ns"] = book.number, book.epoch, book.socket_ns
    if second is not None:
        book = second.book
        cells["sell_row"], cells["sell_epoch"] = book.number, book.epoch
        cells["sell_socket_ns"] = book.socket_ns
    if edge is not None:
        cells |= _numbers(priced, edge, belief, hurdle_pct)
    return named._replace(**cells)  # type: ignore[arg-type]  # mypy asks for every field's own type


def _numbers(priced: Priced, edge: Edge, belief: Belief, hurdle_pct: Decimal) -> dict[str, int]:
    """The cells of an edge."""
    fee_first = edge.legs[0].fee
    return {
        "has_numbers": 1,
        "gross_micros": to_micros(edge.gross),
        "depth_micros": to_micros(edge.depth),
        "fee_buy_micros": to_micros(fee_first),
        "fee_sell_micros": to_micros(edge.fee - fee_first),
        "net_micros": to_micros(edge.net),
        "net_low_micros": to_micros(edge.net_low),
        "leg_risk_micros": to_micros(unwind_cost(priced)) * (PPM - belief.race_ppm) // PPM,
        "lock_up_micros": to_micros(lock_up(priced, hurdle_pct)),
        "worst_micros": to_micros(edge.payoff),
        "annual_bp": annual_bp(edge, priced.left_ns),
        "cash_micros": to_micros(edge.cash),
        "size_units": edge.size_units,
        "size_decimals": edge.size_decimals,
        "gross_bp": edge.gross_bp,
        "edge_bp": edge.edge_bp,
    }


def leg_ref(plan: LegPlan, limit_ticks: int, look: Look) -> LegRef:
    """A leg, the worst book price walked, and the very row it was priced on."""
    book = look.book
    return LegRef(
        plan.leg.venue,
        plan.leg.market,
        plan.outcome,
        plan.action,
        limit_ticks,
        look.row,
        book.epoch,
        book.number,
        book.socket_ns,
        book.publish_ns,
    )


def screened(direction: Direction, hurdle_pct: Decimal) -> Lane:
    """The direction as the screen takes it, with the most that a unit of all legs can pay."""
    legs = tuple(
        LaneLeg(plan.leg.venue, plan.leg.market, plan.action, plan.outcome) for plan in direction.legs
    )
    if direction.kind == MODEL or any(plan.leg.convert[1] for plan in direction.legs):
        # A probability, or prices in another currency: best prices alone say nothing.
        return Lane(legs, None)
    if direction.kind == CLOSE:
        # What is given up is worth more the nearer its settlement is: ten years away it is worth least.
        return Lane(legs, -direction.table.most / (1 + hurdle_pct / 10))
    if direction.kind == SPOT:
        return Lane(legs, -direction.event.transfer_usd)
    return Lane(legs, direction.table.settled)
