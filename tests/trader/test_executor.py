"""The executor: nothing without an intent, nothing twice, and what a disk or a venue may do in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from pipeline.journal import JournalError
from pipeline.model import MarketResult, MarketStatus, Reason
from pipeline.model_orders import OrderState
from pipeline.trader.broker import OrderEvent, OrderFill, OrderStatus, Purpose, Style
from pipeline.trader.ledger import Ledger
from pipeline.trader.recovery import recover
from pipeline.trader.trade import TradeState
from tests.support.trader_parts import Parts


@pytest.fixture
def parts(tmp_path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.close()


def states(parts: Parts) -> list[str]:
    return [order.state.name for trade in parts.ledger.trades.values() for order in trade.orders.values()]


def broken(_order_id: str, _why: str) -> str:
    raise JournalError("the disk is full")


def after_commit(parts: Parts, what: Callable[[], object]) -> None:
    """Have something happen between the commit of intents and their sending."""
    commit = parts.ledger.commit

    def committing(*given) -> None:
        commit(*given)
        what()

    parts.ledger.commit = committing


def test_every_order_sent_is_committed_before(parts):
    """What the broker is handed stands in the journal already, and each id is handed over once."""
    seen = []
    parts.venues.submit = lambda approved, _now: seen.extend(
        (intent.order_id, intent.order_id in parts.journal.open_intents()) for intent in approved.intents
    )
    parts.show()
    parts.decide(parts.record())
    assert [known for _, known in seen] == [True, True]
    assert len({name for name, _ in seen}) == 2


def test_a_halt_between_commit_and_send_sends_nothing(parts):
    """Orders committed just before a HALT are booked as not sent; the venues never hear of them."""
    parts.show()
    after_commit(parts, lambda: parts.switch.halt("now", "test"))
    assert parts.decide(parts.record()).reason is Reason.HALTED
    assert (parts.venues.sent, states(parts)) == ([], ["NOT_SENT", "NOT_SENT"])
    parts.turn()
    assert parts.ledger.trades == {}
    assert parts.journal.open_intents() == []


def test_an_opportunity_that_expires_during_the_commit_is_not_sent(parts):
    """A commit that takes longer than the opportunity lives ends it."""
    parts.show()
    after_commit(parts, lambda: parts.clock.advance(10**9))
    assert parts.decide(parts.record()).reason is Reason.EXPIRED
    assert (parts.venues.sent, states(parts)) == ([], ["NOT_SENT", "NOT_SENT"])


def test_orders_that_cannot_even_be_given_up_are_asked_for(parts, monkeypatch):
    """A disk that fills between the commit and the taking back leaves no order that nobody looks after."""
    parts.show()
    after_commit(parts, lambda: parts.switch.halt("now", "test"))
    monkeypatch.setattr(parts.journal, "resolve_open", broken)
    parts.decide(parts.record())
    assert states(parts) == ["UNKNOWN", "UNKNOWN"]
    monkeypatch.undo()
    parts.turn(ms=3_000)
    assert len(parts.venues.asked) == 2
    for order_id in parts.venues.asked:
        parts.venues.events.append(OrderEvent(order_id, OrderStatus.NOT_FOUND, parts.clock.monotonic_ns()))
    parts.turn(times=2)
    assert parts.ledger.trades == {}
    assert parts.journal.open_intents() == []


def test_nothing_is_given_up_while_that_cannot_be_booked(parts):
    """While the journal cannot be written nobody tries, turn after turn, to book the end of an order."""
    orders = parts.opened()
    parts.turn(ms=3_000, times=2)
    parts.journal.ok = False
    at_ns = parts.clock.monotonic_ns()
    parts.venues.events += [OrderEvent(order.order_id, OrderStatus.NOT_FOUND, at_ns) for order in orders]
    parts.turn(times=20)
    assert (parts.counter("not_sent"), parts.counter("journal_failures")) == (0, 0)
    parts.journal.ok = True
    parts.turn()
    assert parts.counter("not_sent") == 2


def test_one_impossible_report_does_not_keep_the_others_out(parts, monkeypatch):
    """A report that the journal refuses is named; what else came with it is booked."""
    first, second = parts.opened()
    record = parts.journal.record_orders

    def refusing(reports):
        if any(order.order_id == first.order_id for order, _, _ in reports):
            raise JournalError("fills k is booked with another price_ticks")
        return record(reports)

    monkeypatch.setattr(parts.journal, "record_orders", refusing)
    parts.fills(first)
    parts.fills(second)
    parts.turn()
    assert "another price_ticks" in parts.executor.differences
    assert [fill.order_id for fill in parts.journal.fills()] == [second.order_id]


def test_nothing_is_booked_of_a_report_while_the_disk_is_full(parts, monkeypatch):
    """Reports that cannot be committed count for nothing: orders and cash stay, and they are asked for."""
    first, second = parts.opened()
    cash = parts.ledger.positions.cash("kalshi")

    def full(_reports):
        parts.journal.ok = False
        raise JournalError("the disk is full")

    monkeypatch.setattr(parts.journal, "record_orders", full)
    parts.fills(first)
    parts.turn()
    assert parts.ledger.positions.cash("kalshi") == cash
    assert states(parts) == ["SENT", "SENT"]
    parts.turn(ms=5_000)
    assert set(parts.venues.asked) == {first.order_id, second.order_id}


def test_a_lone_leg_is_mended_by_one_order_at_a_time(parts):
    """One leg filled, the other not: one order mends it, and no second one while that works."""
    first, second = parts.opened()
    parts.fills(first)
    parts.fills(second, 0)
    parts.turn(times=50)
    mending = parts.venues.sent[2:]
    assert [order.purpose for order in mending] == [Purpose.HEDGE]
    parts.fills(mending[0])
    assert [trade.state for trade in parts.turn()] == [TradeState.HEDGED]


def test_a_lone_leg_is_mended_while_halted(parts):
    """HALT stops what is new, never what makes the risk smaller."""
    first, second = parts.opened()
    parts.switch.halt("now", "test")
    parts.fills(first)
    parts.fills(second, 0)
    parts.turn(times=3)
    assert len(parts.venues.sent) == 3


def test_an_event_that_is_gone_from_the_config_is_mended_all_the_same(parts):
    """What is half done is finished after its event was taken out of the config."""
    first, second = parts.opened()
    parts.adopt(events=())
    assert parts.desk.directions == {}
    parts.fills(first)
    parts.fills(second, 0)
    parts.turn(times=3)
    assert [order.purpose for order in parts.venues.sent[2:]] == [Purpose.HEDGE]


def test_what_was_paid_out_alone_needs_no_mending(parts):
    """A lone leg whose market was decided is over: no alarm, now or after any restart."""
    first, second = parts.opened()
    parts.fills(first)
    parts.fills(second, 0)
    for order in (first, second):
        parts.describe(order.order.venue, order.order.market, status=int(MarketStatus.SETTLED))
    parts.turn()
    assert parts.ledger.settle("kalshi", "K-rain", MarketResult.YES, 0) == 1
    for _ in range(2):
        parts.turn(ms=200, times=50)
        assert (parts.ledger.trades, parts.counter("alarms")) == ({}, 0)
        parts.again()


def uneven(parts: Parts) -> None:
    """A trade of which a third of a contract has no counterpart, in markets that are gone since."""
    first, second = parts.opened()
    parts.fills(first)
    parts.fills(second, second.order.size_units - 300_000)
    assert [trade.state for trade in parts.turn()] == [TradeState.HEDGED]
    for order in (first, second):
        parts.feeds[order.order.venue].writer.release(order.order.market)


def test_dust_of_an_earlier_run_is_no_alarm_when_its_market_is_gone(parts):
    """Too little to be traded stays too little when no book can say so any longer."""
    uneven(parts)
    parts.again()
    parts.turn(ms=200, times=50)
    assert (parts.ledger.trades, parts.counter("alarms")) == ({}, 0)


def test_a_real_lone_leg_of_an_earlier_run_is_an_alarm_without_its_market(parts):
    """More than dust is never called dust for want of a book."""
    first, second = parts.opened()
    parts.fills(first)
    parts.fills(second, 0)
    for order in (first, second):
        parts.feeds[order.order.venue].writer.release(order.order.market)
    parts.turn()
    parts.again()
    parts.turn(ms=200, times=50)
    assert [trade.state for trade in parts.ledger.trades.values()] == [TradeState.UNHEDGED]
    assert parts.counter("alarms") == 1


def test_another_size_scale_of_a_market_that_is_held_is_refused(parts):
    """Sizes on two scales cannot be added up, so nothing more is bought where a venue changed its scale."""
    parts.hedged()
    parts.describe("polymarket", "P-rain", size_decimals=4, lot_units=100, min_units=10_000)
    parts.show()
    parts.feeds["polymarket"].show("P-rain", [(560_000, 200_000)], [(580_000, 200_000)])
    assert parts.decide(parts.record()).reason is Reason.OFF_GRID
    assert parts.journal.open_intents() == []


def test_a_failed_fill_is_repaired(parts):
    """A provisional fill that fails never happened: the other leg is mended as any lone one."""
    first, second = parts.opened()
    parts.fills(first)
    parts.fills(second, provisional=True)
    parts.turn()
    fill_id, at_ns = f"{second.order_id}-0", parts.clock.monotonic_ns()
    failed = OrderEvent(second.order_id, OrderStatus.FILLED, at_ns, failed=(fill_id,))
    parts.venues.events.append(failed)
    parts.turn(times=3)
    assert parts.counter("provisional_failed") == 1
    assert len(parts.venues.sent) == 3
    assert parts.venues.sent[2].purpose in {Purpose.HEDGE, Purpose.UNWIND}


def test_a_restart_sends_nothing_again_and_asks_for_all(parts):
    """What an earlier run has sent is asked for; only what is filled alone leads to a new order."""
    first, second = parts.opened()
    parts.again()
    assert parts.executor.unresolved == {first.order_id, second.order_id}
    parts.turn(times=5)
    assert parts.venues.sent == []
    assert set(parts.venues.asked) == {first.order_id, second.order_id}
    parts.show()
    assert parts.decide(parts.record()).reason is Reason.UNRESOLVED
    parts.fills(first)
    parts.fills(second)
    parts.turn()
    assert (parts.executor.unresolved, parts.ledger.trades) == (set(), {})


def test_after_a_reboot_deadlines_of_the_last_boot_are_over(parts):
    """Another boot has another clock: what the venue does not know then was never sent."""
    orders = parts.opened()
    parts.again(boot="another")
    parts.turn()
    parts.clock.advance(10**9)
    at_ns = parts.clock.monotonic_ns()
    parts.venues.events += [OrderEvent(order.order_id, OrderStatus.NOT_FOUND, at_ns) for order in orders]
    parts.turn(times=2)
    assert (parts.executor.unresolved, parts.ledger.trades) == (set(), {})
    assert parts.counter("intents_not_sent") == 2


@pytest.mark.parametrize(("account", "waits"), [("paper", True), ("sim-1790000000", False)])
def test_orders_of_another_account_wait_for_it(tmp_path, account, waits):
    """A run of another account does not call the orders of this one unsent, unless its world has ended."""
    parts = Parts(tmp_path, account=account)
    orders = [order.order_id for order in parts.opened()]
    other = Ledger(parts.journal, "other", parts.config.trader, Decimal(100))
    assert recover(parts.journal, other, "other", "boot", 1) == set()
    assert parts.journal.open_intents() == (orders if waits else [])
    parts.close()


def test_a_question_that_finds_nothing_is_no_latency(parts):
    """How long a venue takes is learned from orders that it has, never from its not knowing one."""
    first, _ = parts.opened()
    before = parts.executor.latency_ns("kalshi")
    parts.clock.advance(10**9)
    at_ns = parts.clock.monotonic_ns()
    parts.venues.events.append(OrderEvent(first.order_id, OrderStatus.NOT_FOUND, at_ns))
    parts.turn()
    assert parts.executor.latency_ns("kalshi") == before
    parts.says(first, OrderStatus.ACCEPTED)
    parts.turn()
    assert parts.executor.latency_ns("kalshi") > before


def test_a_fill_of_a_trade_that_ended_long_ago_is_booked(parts):
    """A late fill is found in the journal, booked, and mended, though nobody remembers its trade."""
    first, second = parts.opened()
    parts.fills(first, 0)
    parts.fills(second, 0)
    parts.turn()
    parts.ledger._ended.clear()
    fill = OrderFill("late", first.order.limit_ticks, 500, Decimal("0.01"))
    parts.says(first, OrderStatus.CANCELLED, [fill])
    parts.turn(times=3)
    assert parts.counter("late_fills") == 1
    assert len(parts.venues.sent) == 3
    assert all(order.style is Style.IOC for order in parts.venues.sent)
    assert OrderState.UNKNOWN.name not in states(parts)
