"""The maker: quotes pass the gate, and none stays where it is not wanted, could not be booked or hedged."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from pipeline.config import TraderConfig
from pipeline.model import Action, MarketStatus
from pipeline.trader.broker import OrderStatus, Purpose, Style
from pipeline.trader.trade import TradeState
from tests.support.trader_parts import EVENTS, Parts


@pytest.fixture
def parts(tmp_path) -> Iterator[Parts]:
    made = Parts(tmp_path, events=EVENTS[:1], mode="both", maker_quotes=1)
    yield made
    made.close()


def turn(parts: Parts, ms: int = 20, times: int = 1, gap: int = 7):
    """Let the maker and the executor turn on fresh books; the records of quotes."""
    records = []
    for _ in range(times):
        parts.show(gap=gap)
        parts.know()
        records += parts.maker.turn(len(records))
        parts.turn(ms)
    return records


def quoted(parts: Parts):
    """A quote that rests."""
    records = turn(parts, times=4)
    assert [record.action for record in records] == [Action.APPROVED], [record.reason for record in records]
    (order,) = parts.venues.sent
    parts.says(order, OrderStatus.ACCEPTED)
    turn(parts)
    return order


def cancels(parts: Parts) -> int:
    return len(parts.venues.cancelled)


def test_a_quote_has_an_intent_an_end_and_a_hedge_that_pays(parts):
    """A quote is committed first, its venue ends it, and its price leaves the edge after the hedge."""
    order = quoted(parts)
    assert (order.purpose, order.style) == (Purpose.QUOTE, Style.MAKER)
    assert 0 < order.expires_ns - parts.clock.monotonic_ns() <= 10 * 10**9
    assert parts.journal.open_intents() == [order.order_id]
    (trade,) = parts.ledger.trades.values()
    assert (trade.plan.mode, trade.plan.first) == ("maker_hedge", order.leg)
    assert trade.plan.net > 0
    assert order.fee.rate_ppm != trade.plan.legs[order.leg].fee.rate_ppm, "a maker pays another fee"


def test_a_fill_is_hedged_at_once(parts):
    """The turn that hears of a quote's fill sends its hedge."""
    order = quoted(parts)
    parts.fills(order)
    parts.turn()
    hedge = parts.venues.sent[-1]
    assert (hedge.purpose, hedge.leg) == (Purpose.HEDGE, 1 - order.leg)
    parts.fills(hedge)
    assert [trade.state for trade in parts.turn()] == [TradeState.HEDGED]


def test_an_event_has_one_trade_at_a_time(parts):
    """While a quote rests the same event is not taken, and no second quote is made."""
    quoted(parts)
    parts.clock.advance(600_000_000)
    parts.show(gap=12)
    assert parts.decide(parts.record()).reason.name == "DUPLICATE"
    turn(parts, times=5)
    assert len(parts.venues.sent) == 1


def test_a_quote_is_pulled_when_the_other_venue_moves(parts):
    """A quote whose hedge would leave less than the limits goes."""
    order = quoted(parts)
    turn(parts, gap=-10)
    assert parts.venues.cancelled == [order.order_id]


@pytest.mark.parametrize("what", ["halt", "journal", "supervisor", "event", "mode", "closed"])
def test_a_quote_is_pulled_when_it_is_not_wanted(parts, what):
    """HALT, a journal that cannot be written, a lost supervisor, an event that went, another mode, a market
    that closed: each ends the quote, with one cancel and not one a turn.
    """
    order = quoted(parts)
    match what:
        case "halt":
            parts.switch.halt("now", "test")
        case "journal":
            parts.journal.ok = False
        case "supervisor":
            parts.supervised = False
        case "event":
            parts.adopt(events=())
        case "mode":
            changed: TraderConfig = msgspec.structs.replace(parts.config.trader, mode="taker")
            parts.adopt(trader=changed)
        case "closed":
            parts.describe(order.order.venue, order.order.market, status=int(MarketStatus.CLOSED))
    turn(parts)
    assert parts.venues.cancelled == [order.order_id]
    turn(parts, times=3)
    assert cancels(parts) == 1


def test_a_lost_cancel_is_said_again(parts):
    """Until the venue says that a quote has ended its end is asked for, ten times a second at most."""
    quoted(parts)
    parts.switch.halt("now", "test")
    turn(parts, times=50)
    assert 5 <= cancels(parts) <= 12


def test_quotes_of_an_earlier_run_are_cancelled_until_they_have_ended(parts):
    """A quote that a killed trader left is cancelled by name too: it may arrive after all else ended."""
    order = quoted(parts)
    parts.again()
    parts.turn(ms=20)
    parts.says(order, OrderStatus.ACCEPTED)
    parts.turn(ms=150, times=4)
    assert set(parts.venues.cancelled) == {order.order_id}
    assert cancels(parts) >= 2
    parts.says(order, OrderStatus.CANCELLED)
    parts.turn(times=2)
    done = cancels(parts)
    parts.turn(ms=150, times=3)
    assert (cancels(parts), parts.executor.unresolved, parts.ledger.trades) == (done, set(), {})


def test_a_refused_quote_is_not_asked_again_at_once(parts):
    """A gate that says no is asked again half a second later, not every turn."""
    parts.switch.halt("now", "test")
    assert len(turn(parts, times=20)) <= 2


def test_what_rests_claims_its_hedge_too(parts):
    """Cash at both venues is kept for a quote: at its own for the fill, at the other for the hedge."""
    quoted(parts)
    now = parts.desk.standing(parts.clock.monotonic_ns())
    assert all(cash < 1000 for cash in now.cash.values())
    (trade,) = parts.ledger.trades.values()
    assert now.exposure == pytest.approx(trade.plan.cash, abs=1)
    order = parts.venues.sent[0]
    parts.fills(order, order.order.size_units // 5)
    parts.turn()
    assert len(parts.venues.sent) == 2, "a part is hedged as it comes"
    again = parts.desk.standing(parts.clock.monotonic_ns())
    assert again.exposure == pytest.approx(now.exposure, abs=1), "and the rest stays claimed"
