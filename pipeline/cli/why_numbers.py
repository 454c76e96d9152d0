"""Why numbers: the figures of one direction as text: its waterfall, its size, how far they may be believed.

In: a priced direction, the scanner's row. Out: plain values with money as decimal text. Pure; used by
`why_facts`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pipeline.cli.why_legs import age_ms
from pipeline.edge import Edge
from pipeline.edge_curve import break_even
from pipeline.model import BookFlag, Confidence, to_text
from pipeline.money import money_text, to_decimal
from pipeline.pairs import Direction
from pipeline.pairs_checks import annual_bp
from pipeline.payoff import PayoffTable
from pipeline.pricing import Priced, lock_up, unwind_cost
from shm.records import EventRow, QuoteRow

MICRO = Decimal("0.000001")


def waterfall(priced: Priced, edge: Edge, hurdle_pct: Decimal, missed: Decimal) -> dict[str, Any]:
    """Gross to what remains, in dollars. `missed` is the probability that the edge is gone on arrival."""
    risk = (unwind_cost(priced) * missed).quantize(MICRO)
    locked = lock_up(priced, hurdle_pct).quantize(MICRO)
    fees = [
        {"venue": plan.leg.venue, "fee": money_text(leg.fee), "fee_high": money_text(leg.fee_high)}
        for plan, leg in zip(priced.direction.legs, edge.legs, strict=True)
    ]
    return {
        "gross": money_text(edge.gross),
        "depth": money_text(edge.depth),
        "fees": fees,
        "net": money_text(edge.net),
        "leg_risk": money_text(risk),
        "lock_up": money_text(locked),
        "remains": money_text(edge.net - risk - locked),
    }


def row_waterfall(row: EventRow) -> dict[str, Any]:
    """The same as the scanner left it."""
    fees = [{"venue": row.buy_venue, "fee": to_text(row.fee_buy_micros, 6), "fee_high": None}]
    if row.legs > 1:
        fees.append({"venue": row.sell_venue, "fee": to_text(row.fee_sell_micros, 6), "fee_high": None})
    remains = row.net_micros - row.leg_risk_micros - row.lock_up_micros
    return {
        "gross": to_text(row.gross_micros, 6),
        "depth": to_text(row.depth_micros, 6),
        "fees": fees,
        "net": to_text(row.net_micros, 6),
        "leg_risk": to_text(row.leg_risk_micros, 6),
        "lock_up": to_text(row.lock_up_micros, 6),
        "remains": to_text(remains, 6),
    }


def figures(priced: Priced, edge: Edge, table: PayoffTable) -> dict[str, Any]:
    """The size and what it takes, earns and pays at worst."""
    assert priced.legs is not None
    even = break_even(priced.legs, priced.payoff)
    worst = min((row for row in table.rows if not row.refunded), key=lambda row: row.payoff)
    decimals = edge.size_decimals
    return {
        "net_low": money_text(edge.net_low),
        "size": to_text(edge.size_units, decimals),
        "cash": money_text(edge.cash),
        "gross_bp": edge.gross_bp,
        "edge_bp": edge.edge_bp,
        "annual_bp": annual_bp(edge, priced.left_ns) if priced.left_ns else None,
        "payoff": money_text(priced.payoff),
        "worst_payoff": money_text(worst.payoff),
        "worst_case": worst.name,
        "break_even": None if even.smallest is None else to_text(even.smallest, decimals),
        "pays_to": None if even.largest is None else to_text(even.largest, decimals),
    }


def confidence(
    row: EventRow | None, priced: Priced | None = None, edge: Edge | None = None, now_ns: int = 0
) -> dict[str, Any] | None:
    """The scanner's grade, and the parts that it follows from as they are now."""
    if row is None:
        return None
    known = row.confidence in Confidence.__members__.values()
    grade = Confidence(row.confidence).name.lower() if known else "?"
    looks = [look for look in priced.looks if look is not None] if priced is not None else []
    if priced is None or priced.legs is None or edge is None or not looks:
        return {"grade": grade}
    flags = BookFlag(0)
    for look in looks:
        flags |= BookFlag(look.book.flags)
    shown = min(to_decimal(leg.shown_units, leg.scale.size_decimals) for leg in priced.legs)
    size = to_decimal(edge.size_units, edge.size_decimals)
    return {
        "grade": grade,
        "age_ms": age_ms(min(look.book.socket_ns for look in looks), now_ns),
        "flags": [flag.name.lower() for flag in BookFlag if flag & flags and flag.name is not None],
        "shown_per_size": str((shown / size).quantize(Decimal("0.1"))),
    }


def race(row: EventRow | None, now_ns: int) -> dict[str, Any] | None:
    """The probability that the edge is still there when orders arrive; a prior or measured on n lives.

    None where no edge stands. `age_ms` is since it was born.
    """
    if row is None or not row.born_ns:
        return None
    return {
        "age_ms": age_ms(row.born_ns, now_ns),
        "probability": to_text(row.race_ppm, 6),
        "lives": row.race_count,
        "source": f"n = {row.race_count}" if row.race_count else "prior",
    }


def lead(row: EventRow | None, direction: Direction) -> dict[str, Any] | None:
    """Which leg's price moves first; `venue` is None where neither does more often than chance."""
    if row is None or not row.lead_total:
        return None
    legs = direction.event.legs
    leader = legs[row.lead_leg].venue if 0 <= row.lead_leg < len(legs) else None
    return {
        "venue": leader,
        "market": legs[row.lead_leg].market if leader is not None else None,
        "lead_ms": round(row.lead_ns / 1e6, 3),
        "first": row.lead_count,
        "moves": row.lead_total,
    }


def model(row: EventRow | None) -> dict[str, str] | None:
    """The model's probability of YES with its bounds, and the volatility behind it, a year."""
    if row is None:
        return None
    return {
        "low": to_text(row.model_low_ppm, 6),
        "middle": to_text(row.model_ppm, 6),
        "high": to_text(row.model_high_ppm, 6),
        "sigma": to_text(row.sigma_ppm, 6),
    }


def quote_facts(row: QuoteRow, now_ns: int) -> dict[str, Any]:
    """Where a quote that joined when this price became the best would stand now, by three models."""
    size = row.size_decimals
    return {
        "venue": row.venue,
        "market": row.market,
        "side": row.side,
        "price": to_text(row.price_ticks, row.price_decimals),
        "joined_s": round((now_ns - row.joined_ns) / 1e9, 1),
        "level": to_text(row.level_units, size),
        "front": to_text(row.front_units, size),
        "risk_averse": to_text(row.risk_averse_units, size),
        "power": to_text(row.power_units, size),
        "log": to_text(row.log_units, size),
    }
