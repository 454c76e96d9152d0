"""Plans, orders and reports of a trade, for tests of those who follow one.

In: few words. Out: a plan for YES at Kalshi and NO at Polymarket, intents for its legs, reports with fills.
"""

from __future__ import annotations

from decimal import Decimal

from pipeline.model import FeeKind, FeeSchedule, Scale
from pipeline.model_events import OrderLeg
from pipeline.trader.broker import OrderEvent, OrderFill, OrderIntent, OrderStatus, Purpose, Style
from pipeline.trader.orders import order_id_of
from pipeline.trader.plan import TAKER, PlanLeg, TradePlan

KALSHI_FEE = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
POLYMARKET_FEE = FeeSchedule(FeeKind.POLYMARKET, 40_000)
FIRST = PlanLeg("kalshi", "K", "yes", "buy", "same", Scale(6, 2), KALSHI_FEE)
SECOND = PlanLeg("polymarket", "P", "no", "buy", "inverse", Scale(6, 6), POLYMARKET_FEE)


def plan_for(legs=(FIRST, SECOND), *, mode=TAKER, first=-1, payoff="1", kind="binary") -> TradePlan:
    """A plan for ten contracts of each leg."""
    return TradePlan("t", "e", kind, 0, mode, legs, Decimal(payoff), 1000, 2, 700, Decimal("0.7"),
                     Decimal("9.3"), 900_000, 50, first)  # fmt: skip


def units_of(plan: TradePlan, leg: int, quantity: str | Decimal) -> int:
    """A quantity in units of a leg."""
    return int(Decimal(quantity).scaleb(plan.legs[leg].scale.size_decimals))


def intent_of(
    plan: TradePlan,
    number: int,
    leg: int,
    quantity: str | Decimal = "10",
    purpose: Purpose = Purpose.OPEN,
    *,
    style: Style = Style.IOC,
    deadline_ns: int = 0,
    expires_ns: int = 0,
    limit_ticks: int = 480_000,
) -> OrderIntent:
    """An order for a leg of the plan, or with UNWIND against it."""
    of = plan.legs[leg]
    action = of.undo if purpose is Purpose.UNWIND else of.action
    units = units_of(plan, leg, quantity)
    order = OrderLeg(of.venue, of.market, of.outcome, action, limit_ticks, units, of.scale)
    name = order_id_of(plan.trade_id, number)
    return OrderIntent(name, order, of.fee, leg, purpose, style, deadline_ns, expires_ns)


def fills_of(name: str, *sizes: int, start: int = 0, provisional: bool = False) -> tuple[OrderFill, ...]:
    """Fills of these units at 0.48 for a cent each, numbered from `start`."""
    return tuple(
        OrderFill(f"{name}-{number}", 480_000, size, Decimal("0.01"), provisional=provisional)
        for number, size in enumerate(sizes, start)
    )


def report_of(
    name: str, status: OrderStatus, *sizes: int, at_ns: int = 5, start: int = 0, why: str = "", **more
) -> OrderEvent:
    """A report with fills of these units."""
    fills = fills_of(name, *sizes, start=start, provisional=more.pop("provisional", False))
    return OrderEvent(name, status, at_ns, fills, why=why, evidence={"row": 3}, **more)
