"""The ledger: what is claimed, held and counted between a commit and the last fill."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from pipeline.model import MarketResult
from pipeline.model_events import CLOSE
from pipeline.trader.broker import Purpose
from pipeline.trader.claims import claims, hedge_claims, order_claims
from pipeline.trader.executor import RETRY_NS
from pipeline.trader.ledger import KEPT_TRADES
from tests.support.ledgers import an_old_ledger
from tests.support.trader_parts import ACCOUNT, Parts

D = Decimal


@pytest.fixture
def parts(tmp_path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.close()


@pytest.fixture
def careful(tmp_path) -> Iterator[Parts]:
    """One leg goes first."""
    made = Parts(tmp_path, legs="harder_first")
    yield made
    made.close()


def account(parts: Parts):
    return parts.desk.standing(parts.clock.monotonic_ns())


def claimed(parts: Parts) -> dict[str, Decimal]:
    """Dollars claimed by venue."""
    found: dict[str, Decimal] = {}
    for trade in parts.ledger.trades.values():
        for leg, amount in claims(trade):
            found[leg.venue] = found.get(leg.venue, D(0)) + amount
    return found


def the_trade(parts: Parts):
    (trade,) = parts.ledger.trades.values()
    return trade


def test_what_is_on_its_way_counts_as_spent(parts):
    """Cash and exposures count orders at the most that they may take, from the commit on."""
    parts.opened()
    before, now = D(1000), account(parts)
    taken = claimed(parts)
    assert set(taken) == {"kalshi", "polymarket"}
    assert {venue: before - cash for venue, cash in now.cash.items()} == taken
    assert now.exposure == sum(taken.values()) == now.event_exposure["rain"]
    assert now.venue_exposure == taken
    assert now.market_exposure == {
        ("kalshi", "K-rain"): taken["kalshi"],
        ("polymarket", "P-rain"): taken["polymarket"],
    }
    assert (now.in_flight, now.open_orders) == ({"rain"}, 2)


def test_the_second_leg_is_claimed_before_it_is_sent(careful):
    """Where one leg goes first, the money of the other is not there for another trade meanwhile."""
    (first,) = careful.opened()
    other = {"kalshi": "polymarket", "polymarket": "kalshi"}[first.order.venue]
    taken = claimed(careful)
    assert taken[other] > 2
    plan = the_trade(careful).plan
    assert abs(sum(taken.values()) - plan.cash) < D("0.5")


def test_a_leg_that_must_still_be_mended_is_claimed(parts):
    """What mends a lone leg is claimed until it is sent, also while no order can be made of it."""
    first, second = parts.opened()
    parts.fills(first)
    parts.fills(second, 0)
    parts.venues.is_there = False
    parts.turn()
    assert len(parts.venues.sent) == 2
    taken = claimed(parts)
    assert set(taken) == {second.order.venue}
    assert taken[second.order.venue] > 2
    parts.venues.is_there = True
    parts.turn(ms=RETRY_NS // 10**6)
    (mending,) = parts.venues.sent[2:]
    assert mending.purpose is Purpose.HEDGE
    assert hedge_claims(the_trade(parts)) == []
    assert set(claimed(parts)) == {mending.order.venue}


def test_mending_may_take_what_was_claimed_for_it(tmp_path):
    """The money that was kept for a second leg is there for it: no trade is in its own way."""
    parts = Parts(tmp_path, legs="harder_first", cash="5")
    parts.show()
    parts.decide(parts.record())
    (first,) = parts.venues.sent
    parts.fills(first)
    parts.turn()
    assert [order.purpose for order in parts.venues.sent[1:]] == [Purpose.HEDGE]
    parts.close()


def test_two_trades_decided_at_once_share_the_limits(tmp_path):
    """The second of two trades of one turn sees what the first has taken: together they stay within cash."""
    parts = Parts(tmp_path, cash="4")
    parts.show("rain")
    parts.show("snow")
    records = [parts.record("rain"), parts.record("snow")]
    parts.desk.take(records)
    assert all(cash >= 0 for cash in account(parts).cash.values())
    assert all(amount <= 4 for amount in claimed(parts).values())
    parts.close()


def test_filled_and_open_parts_are_each_counted_once(parts):
    """Of an order that is partly filled the fills count at their cost and the rest at its limit."""
    first, _ = parts.opened()
    whole = account(parts).exposure
    parts.fills(first, first.order.size_units // 5 * 2)
    parts.turn()
    trade = the_trade(parts)
    open_units = [order.open_units for order in trade.working()]
    assert len(open_units) == 1, "an order that takes has ended when it was filled in part"
    now = account(parts)
    assert whole - D("0.5") < now.exposure <= whole + D("0.2")
    assert order_claims(trade) != []


def test_contracts_on_their_way_to_be_sold_are_not_there(parts):
    """What a close sells is not there for another, from the commit on."""
    parts.hedged()
    close = next(one for one in parts.desk.directions.values() if one.kind == CLOSE and one.key[0] == "rain")
    held = parts.ledger.held_pair(close)
    assert held == 5
    parts.show()
    parts.feeds["kalshi"].show("K-rain", [(520_000, 2_000)], [(530_000, 2_000)])
    parts.feeds["polymarket"].show("P-rain", [(400_000, 20_000_000)], [(410_000, 20_000_000)])
    record = parts.decide(parts.record(direction=close.index, kind=CLOSE))
    assert record.reason == 0, record
    assert parts.ledger.held_pair(close) == 0
    assert claimed(parts) == {}


def test_results_are_fed_to_kelly_once_and_only_when_trades_are_over(parts):
    """A hedged pair is no result; it is one when both its markets have paid."""
    parts.hedged()
    assert parts.ledger.sizer.statistics.total_trades == 0
    parts.ledger.settle("kalshi", "K-rain", MarketResult.YES, 0)
    assert parts.ledger.sizer.statistics.total_trades == 0
    parts.ledger.settle("polymarket", "P-rain", MarketResult.YES, 0)
    assert parts.ledger.settle("polymarket", "P-rain", MarketResult.YES, 0) == 0
    parts.ledger.feed_kelly()
    assert parts.ledger.sizer.statistics.total_trades == 1
    won = parts.ledger.sizer.statistics.total_won
    parts.again()
    assert parts.ledger.sizer.statistics.total_trades == 1
    assert (parts.ledger.sizer.statistics.total_won, won > 0) == (won, True)


def test_what_is_held_is_worked_out_again_after_each_change(parts):
    """The sums that the gate gets are those of the positions, after fills and after settlements."""
    for event in ("rain", "snow"):
        parts.hedged(event)
        now, positions = account(parts), parts.ledger.positions
        assert now.exposure == positions.exposure() > 0
        assert now.event_exposure[event] == positions.exposure(event)
        assert now.venue_exposure == positions.venue_exposure()
    parts.ledger.settle("kalshi", "K-rain", MarketResult.YES, 0)
    now = account(parts)
    assert now.exposure == parts.ledger.positions.exposure()
    assert ("rain", "kalshi", "K-rain", "yes") not in now.held


def test_losses_before_a_resume_do_not_count(parts):
    """A streak ends with the resume, and stays ended after a restart."""
    parts.hedged()
    parts.ledger.settle("kalshi", "K-rain", MarketResult.NO, 0)
    parts.ledger.settle("polymarket", "P-rain", MarketResult.YES, 0)
    assert parts.ledger.losses() == 1
    parts.ledger.switch("HALT", "a loss", "rule consecutive_losses")
    parts.clock.advance(10**9)
    parts.ledger.switch("RESUME", "", "")
    assert parts.ledger.losses() == 0
    parts.again()
    assert parts.ledger.losses() == 0


def test_a_resume_while_nobody_ran_is_known_before_any_rule_is_asked(parts):
    """Who removes the HALT file while the trader is down has resumed: the old streak halts nobody again."""
    parts.hedged()
    parts.ledger.settle("kalshi", "K-rain", MarketResult.NO, 0)
    parts.ledger.settle("polymarket", "P-rain", MarketResult.YES, 0)
    parts.ledger.switch("HALT", "a loss", "rule consecutive_losses")
    parts.clock.advance(86_400 * 10**9)
    parts.again()
    assert [switch.state for switch in parts.journal.switches(ACCOUNT)] == ["HALT", "RESUME"]
    assert parts.ledger.losses() == 0


def test_the_last_hour_is_remembered_over_a_restart(parts):
    """Trades per hour and the cooldown count what an earlier run did."""
    parts.hedged()
    parts.clock.advance(60 * 10**9)
    parts.again()
    now = account(parts)
    assert len(now.trades_ns) == 1
    assert parts.clock.monotonic_ns() - now.trades_ns[0] >= 60 * 10**9
    assert set(now.last_trade_ns) == {("rain", 0)}


def test_a_ledger_of_the_first_version_is_gone_on_with(tmp_path):
    """On a ledger of schema version 1 a trader starts: its positions are there, its trades are closed."""
    (tmp_path / "data").mkdir()
    an_old_ledger(tmp_path / "data" / "ledger.sqlite", trades=1).close()
    parts = Parts(tmp_path, account="paper")
    assert parts.executor.unresolved == set()
    assert parts.journal.open_intents() == []
    assert parts.ledger.positions.holdings() != []
    parts.turn(ms=200, times=30)
    assert (parts.counter("alarms"), parts.ledger.trades) == (0, {})
    parts.close()


def test_trades_that_have_ended_are_forgotten_in_time(parts):
    """Memory holds the last ended trades and no more, whoever ends them."""
    trade = parts.hedged()
    for number in range(KEPT_TRADES + 5):
        parts.ledger.trades[trade.plan.trade_id] = trade
        parts.ledger._ended[f"t{number}"] = trade
        parts.ledger.end(trade)
    assert len(parts.ledger._ended) <= KEPT_TRADES
