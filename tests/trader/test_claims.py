"""Claims: what orders on their way may still take."""

from decimal import Decimal

from pipeline.trader.broker import OrderStatus, Purpose
from pipeline.trader.claims import order_claims
from pipeline.trader.trade import Trade
from tests.support.trades import intent_of, plan_for, report_of


def test_what_sells_and_what_ended_takes_nothing():
    """A buy on its way claims at its own venue; once it has ended, and for an order that sells, nothing."""
    plan = plan_for()
    trade = Trade(plan)
    trade.add(intent_of(plan, 0, 0, "10"))
    trade.sent(["t-0"], 1)
    ((leg, dollars),) = order_claims(trade)
    assert (leg, dollars) == (plan.legs[0], Decimal("4.98"))
    trade.apply(report_of("t-0", OrderStatus.FILLED, 1000))
    assert order_claims(trade) == []
    trade.add(intent_of(plan, 1, 0, "10", purpose=Purpose.UNWIND))
    trade.sent(["t-1"], 2)
    assert trade.working()
    assert order_claims(trade) == []
