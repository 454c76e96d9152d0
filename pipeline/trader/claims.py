"""Claims: what trades on their way may still take, and what is held, as the risk gate adds both up.

In: trades, positions. Out: dollars by leg, sums of what is held. Pure; used by the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from pipeline.model import EXACT
from pipeline.model_events import OrderLeg
from pipeline.money import to_decimal
from pipeline.trader.broker import Purpose
from pipeline.trader.holding import Unhedged, exact_sum
from pipeline.trader.orders import Order, most_paid
from pipeline.trader.plan import PlanLeg
from pipeline.trader.positions import Positions
from pipeline.trader.trade import Trade

ZERO = Decimal(0)
MILLIONTH = Decimal("0.000001")

Claim = tuple[PlanLeg, Decimal]
"""Dollars that may still be taken, at a leg's venue and market."""

Stock = Mapping[tuple[str, str, str, str], Decimal]
"""Contracts by event, venue, market and outcome."""


def order_claims(trade: Trade) -> list[Claim]:
    """Dollars that the trade's orders on their way may still take."""
    return [
        (trade.plan.legs[order.intent.leg], most_paid(order.intent, order.open_units))
        for order in trade.working()
        if order.intent.order.action == "buy" and order.open_units
    ]


def hedge_claims(trade: Trade) -> list[Claim]:
    """Dollars that the leg which has less will take, once all that is on its way is filled: the hedge of a
    quote, the second leg, or what mends a leg that failed. At the cost that the plan had for both.
    """
    plan = trade.plan
    coming = list(trade.quantities())
    for order in trade.working():
        turn = EXACT.subtract if order.intent.purpose is Purpose.UNWIND else EXACT.add
        coming[order.intent.leg] = turn(coming[order.intent.leg], _open(order))
    short = int(coming[1] < coming[0])
    lacking = EXACT.subtract(coming[1 - short], coming[short])
    if not lacking or plan.legs[short].action != "buy":
        return []
    own = ZERO
    for order in trade.orders.values():
        intent = order.intent
        if intent.leg != short and intent.purpose is not Purpose.UNWIND and intent.order.action == "buy":
            own = most_paid(intent, int(lacking.scaleb(intent.order.scale.size_decimals)))
            break
    both = plan.cash * lacking / to_decimal(plan.size_units, plan.size_decimals)
    rest = both.quantize(MILLIONTH) - own
    return [(plan.legs[short], rest)] if rest > 0 else []


def claims(trade: Trade) -> list[Claim]:
    """All dollars that a trade may still take."""
    return order_claims(trade) + hedge_claims(trade)


def sales(trades: Iterable[Trade]) -> Iterator[tuple[str, OrderLeg, Decimal]]:
    """What orders on their way may still sell: the event, the order, contracts or coins."""
    for trade in trades:
        for order in trade.working():
            if order.intent.order.action == "sell":
                yield trade.plan.event_id, order.intent.order, _open(order)


def is_left(trade: Trade, leg: int, quantity: Decimal, max_dust_usd: Decimal) -> bool:
    """Whether an excess of a trade of an earlier run is dust although no book says what it is worth, as its
    market is gone or not here yet: a contract counts a dollar, a coin what the plan paid.
    """
    if any(order.sent_ns for order in trade.orders.values()):
        return False
    plan = trade.plan
    size = to_decimal(plan.size_units, plan.size_decimals)
    price = plan.cash / size if plan.legs[leg].outcome == "base" else 1
    return quantity * price <= max_dust_usd


def _open(order: Order) -> Decimal:
    """What may still be filled, in contracts or coins."""
    return to_decimal(order.open_units, order.intent.order.scale.size_decimals)


@dataclass(frozen=True, slots=True)
class Held:
    """Sums of what is held: dollars at risk by event, (venue, market) and venue; contracts; what stands
    without a counterpart, dust too.
    """

    by_event: Mapping[str, Decimal]
    by_market: Mapping[tuple[str, str], Decimal]
    by_venue: Mapping[str, Decimal]
    total: Decimal
    contracts: Stock
    unhedged: Mapping[str, Unhedged]

    @classmethod
    def of(cls, positions: Positions) -> Held:
        """The sums of an account as it is now."""
        by_event: dict[str, Decimal] = {}
        contracts: dict[tuple[str, str, str, str], Decimal] = {}
        with localcontext(EXACT):
            for held in positions.holdings():
                key = held.key
                by_event[key.event_id] = by_event.get(key.event_id, ZERO) + abs(held.cost)
                if key.outcome != "base":
                    name = key.event_id, key.venue, key.market, key.outcome
                    contracts[name] = to_decimal(held.units, held.size_decimals)
        return cls(
            by_event,
            positions.market_exposure(),
            positions.venue_exposure(),
            exact_sum(*by_event.values()),
            contracts,
            positions.unhedged_events(),
        )
