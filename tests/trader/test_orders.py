"""Orders and trades: every step that may be, and no other."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import FeeKind, FeeSchedule, Scale
from pipeline.model_events import OrderLeg
from pipeline.trader.broker import Approved, OrderEvent, OrderFill, OrderIntent, OrderStatus
from pipeline.trader.orders import (
    FINAL,
    STEPS,
    Order,
    OrderState,
    Trade,
    TradeState,
    fill_records,
    order_id_of,
    order_record,
    reserved,
    trade_id_of,
)

KALSHI = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
S = OrderState


def intent(number=0, size=1000, **changes):
    leg = OrderLeg("kalshi", "K", "yes", "buy", 480_000, size, Scale(6, 2))
    return OrderIntent(f"t-{number}", replace(leg, **changes), KALSHI)


def approved(first=1000, second=10_000_000):
    other = intent(1, second, venue="polymarket", market="P", outcome="no", limit_ticks=550_000,
                   scale=Scale(6, 6))  # fmt: skip
    return Approved("t", "e", "binary", (intent(0, first), other), 100, Decimal(1), Decimal(9))


def event(order_id, status, *sizes, start=0, why=""):
    parts = tuple(
        OrderFill(f"{order_id}-{number}", 480_000, size, Decimal("0.01"))
        for number, size in enumerate(sizes, start)
    )
    return OrderEvent(order_id, status, 5, parts, why, {"row": 3})


def order_in(state):
    """An order of 10 units led to a state by legal steps."""
    order = Order(intent(size=10))
    if state is S.NOT_SENT:
        order.to(S.NOT_SENT)
        return order
    if state is not S.INTENT:
        order.to(S.SENT)
    if state is S.UNKNOWN:
        order.to(S.UNKNOWN)
    fills = {S.FILLED: (10,), S.PARTIAL: (4,)}.get(state, ())
    if state in {S.ACCEPTED, S.PARTIAL, S.FILLED, S.CANCELLED, S.REJECTED}:
        order.apply(event("t-0", OrderStatus(state), *fills))
    assert order.state is state
    return order


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("target", list(S))
def test_every_step_is_legal_or_refused(state, target):
    """For each pair of states the step is taken, or refused in words and nothing changes."""
    order = order_in(state)
    fills = {S.FILLED: (10,), S.PARTIAL: (4,)}.get(target, ())
    if state is S.PARTIAL:
        fills = {S.FILLED: (6,), S.PARTIAL: (1,)}.get(target, ())
    own = target in {S.INTENT, S.SENT, S.UNKNOWN, S.NOT_SENT}
    before = order.filled_units

    def step():
        if own:
            order.to(target)
        else:
            order.apply(event("t-0", OrderStatus(target), *fills, start=9))

    if target in STEPS[state]:
        step()
        assert order.state is target
        assert order.final == (target in FINAL)
    else:
        with pytest.raises(ValueError, match=f"is {state.name}; it cannot become {target.name}"):
            step()
        assert (order.state, order.filled_units) == (state, before)


def test_the_path_of_an_order_that_rests_and_fills():
    """Accepted, part filled, filled; each fill is told once."""
    order = order_in(S.ACCEPTED)
    assert len(order.apply(event("t-0", OrderStatus.PARTIAL, 4))) == 1
    again = order.apply(event("t-0", OrderStatus.PARTIAL, 4))
    assert (again, order.filled_units) == ([], 4)
    new = order.apply(event("t-0", OrderStatus.FILLED, 4, 6))
    assert [fill.size_units for fill in new] == [6]
    assert order.final


@pytest.mark.parametrize(
    ("status", "sizes"),
    [
        (OrderStatus.FILLED, (9,)),
        (OrderStatus.FILLED, (11,)),
        (OrderStatus.PARTIAL, ()),
        (OrderStatus.PARTIAL, (10,)),
        (OrderStatus.CANCELLED, (10,)),
        (OrderStatus.CANCELLED, (6, 6)),
        (OrderStatus.REJECTED, (1,)),
        (OrderStatus.ACCEPTED, (1,)),
    ],
)
def test_fills_must_fit_the_status(status, sizes):
    """A status and fills that contradict each other are refused, and nothing changes."""
    order = order_in(S.SENT)
    with pytest.raises(ValueError, match="t-0 cannot be"):
        order.apply(event("t-0", status, *sizes))
    assert (order.state, order.fills) == (S.SENT, {})


def finished(trade, *outcomes):
    trade.sent()
    for number, outcome in enumerate(outcomes):
        if outcome is not None:
            status, *sizes = outcome
            trade.order(f"t-{number}").apply(event(f"t-{number}", status, *sizes))
    return trade


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        ((OrderStatus.FILLED, 1000), (OrderStatus.FILLED, 10_000_000), TradeState.EXECUTED),
        ((OrderStatus.CANCELLED, 400), (OrderStatus.CANCELLED, 4_000_000), TradeState.EXECUTED),
        ((OrderStatus.FILLED, 1000), (OrderStatus.CANCELLED, 9_999_999), TradeState.UNHEDGED),
        ((OrderStatus.FILLED, 1000), (OrderStatus.REJECTED,), TradeState.UNHEDGED),
        ((OrderStatus.CANCELLED,), (OrderStatus.REJECTED,), TradeState.NOT_FILLED),
        ((OrderStatus.FILLED, 1000), None, TradeState.OPEN),
        ((OrderStatus.PARTIAL, 1), (OrderStatus.FILLED, 10_000_000), TradeState.OPEN),
    ],
)
def test_a_trade_is_what_its_legs_filled(first, second, state):
    """Both legs are compared in shares, each on its own scale, once both are final."""
    assert finished(Trade(approved()), first, second).state is state


def test_an_order_of_another_trade_is_not_ours():
    """Asking a trade for a foreign order is an error."""
    with pytest.raises(KeyError):
        Trade(approved()).order("x-0")


def test_open_orders_reserve_what_they_may_take():
    """An open buy holds its limit price with the largest fee; a final one holds nothing."""
    trade = Trade(approved())
    # 10 x 0.48 and the fee at 0.48: 0.07 x 10 x 0.48 x 0.52, up to the cent of the balance.
    assert reserved([trade], "kalshi") == Decimal("4.98")
    # NO at 1 - 0.55, on a venue whose schedule here is Kalshi's.
    assert reserved([trade], "polymarket") == Decimal("4.68")
    finished(trade, (OrderStatus.REJECTED,), None)
    assert reserved([trade], "kalshi") == 0
    assert reserved([trade], "polymarket") == Decimal("4.68")


def test_selling_coins_reserves_no_cash():
    """A sale brings cash, so it holds none."""
    sale = intent(0, venue="kraken", outcome="base", action="sell")
    trade = Trade(replace(approved(), intents=(sale, intent(1))))
    assert reserved([trade], "kraken") == 0


def test_records_say_what_the_broker_said():
    """The journal's records carry order, trade, event, leg, polarity and evidence."""
    report = event("t-1", OrderStatus.CANCELLED, 3, 4, why="rest cancelled")
    record = order_record(report)
    assert (record.status, record.why, record.at_ns) == ("CANCELLED", "rest cancelled", 5)
    first, second = fill_records(approved(), report, ("same", "inverse"))
    assert (first.fill_id, second.fill_id) == ("t-1-0", "t-1-1")
    assert (first.venue, first.market, first.outcome) == ("polymarket", "P", "no")
    assert (first.trade_id, first.event_id, first.polarity) == ("t", "e", "inverse")
    assert (second.size_units, second.scale, second.evidence) == (4, Scale(6, 6), {"row": 3})


def test_ids_follow_from_run_and_opportunity():
    """The same opportunity gives the same ids, so a second order for it can be seen."""
    assert trade_id_of("r3", 7, 12) == "r3-7.12"
    assert order_id_of("r3-7.12", 1) == "r3-7.12-1"


@given(st.lists(st.tuples(st.sampled_from(list(OrderStatus)), st.integers(0, 6)), max_size=12))
def test_whatever_is_reported_an_order_stays_sound(reports):
    """Any sequence of reports: never overfilled, final once, and a final order never changes."""
    order = Order(intent(size=10))
    order.to(S.SENT)
    for number, (status, size) in enumerate(reports):
        final, before = order.final, (order.state, dict(order.fills))
        sizes = [size] if size else []
        try:
            order.apply(event("t-0", status, *sizes, start=number))
        except ValueError:
            assert (order.state, order.fills) == before
        else:
            assert not final
        assert order.filled_units <= 10
        assert (order.filled_units == 10) == (order.state is S.FILLED)
