"""The desk: the last look, what it does with odd opportunities, and what its plans are booked as."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from pipeline.config import EventConfig, LegConfig, ReviewConfig
from pipeline.model import Action, Reason
from pipeline.trader.positions import Positions
from tests.support.trader_parts import CENT, EVENTS, Parts


@pytest.fixture
def parts(tmp_path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.close()


def test_an_opportunity_becomes_two_orders_of_one_size(parts):
    """What passes is sent on both legs, at the same size, within the limits."""
    first, second = parts.opened()
    assert first.order.size_units * 10**4 == second.order.size_units
    assert {first.order.venue, second.order.venue} == {"kalshi", "polymarket"}
    assert parts.executor.idle is False


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expires_ns": 1}, Reason.EXPIRED),
        ({"event_id": "gone"}, Reason.BOOK_MISSING),
        ({"direction": 77}, Reason.BOOK_MISSING),
        ({"race_ppm": 0}, Reason.RACE_LOST),
    ],
)
def test_an_odd_opportunity_is_refused(parts, changes, reason):
    """What is late, unknown or surely lost is refused with its reason, and nothing is written."""
    parts.show()
    record = parts.decide(parts.record(**changes))
    assert (record.action, record.reason) == (Action.REJECTED, reason)
    assert (parts.venues.sent, parts.journal.open_intents()) == ([], [])


def test_a_race_that_is_lost_for_sure_and_a_mismatch_are_no_crash(tmp_path):
    """Two guessed probabilities may add up to more than one: refused, and the trader lives."""
    review = ReviewConfig(by="test", void_rule="never", mismatch="0.005")
    parts = Parts(tmp_path, events=[msgspec.structs.replace(EVENTS[0], review=review)])
    for race_ppm in (0, 1, 4_999, 5_000):
        parts.show()
        assert parts.decide(parts.record(race_ppm=race_ppm)).reason is Reason.RACE_LOST
    parts.close()


def test_the_books_are_looked_at_again(parts):
    """What the scanner saw counts for nothing when it has gone."""
    parts.show(gap=0, size=1)
    parts.feeds["kalshi"].show("K-rain", [(600_000, 100)], [(610_000, 100)])
    assert parts.decide(parts.record()).reason in {Reason.NO_EDGE, Reason.PROFIT_TOO_SMALL}
    parts.feeds["kalshi"].describe("K-rain", price_decimals=-1)
    assert parts.decide(parts.record()).reason is Reason.BOOK_MISSING


def test_nothing_is_sent_without_a_broker_a_journal_or_a_known_day(parts):
    """Whatever nobody knows is a no: the venues, the journal, the day's result."""
    parts.show()
    parts.venues.is_there = False
    assert parts.decide(parts.record()).reason is Reason.UNRESOLVED
    parts.venues.is_there = True
    parts.journal.ok = False
    assert parts.decide(parts.record()).reason is Reason.JOURNAL
    parts.journal.ok = True
    parts.desk.day_pnl = None
    assert parts.decide(parts.record()).reason is Reason.DAILY_LOSS
    parts.know()
    assert parts.decide(parts.record()).reason is Reason.NONE


def test_a_result_that_nobody_knew_is_known_again(parts):
    """An order that nobody answers for hides the day's result only until somebody does."""
    first, second = parts.opened()
    parts.turn(ms=3_000)
    parts.know()
    assert parts.desk.day_pnl is None
    parts.fills(first)
    parts.fills(second)
    parts.turn()
    parts.show()
    parts.know()
    assert parts.desk.day_pnl is not None


def test_of_the_same_event_twice_in_one_turn_one_is_sent(parts):
    """Two opportunities of one event that wait together are one trade."""
    parts.show()
    records = [parts.record(), parts.record()]
    parts.desk.take(records)
    assert {record.action for record in records} == {Action.APPROVED, Action.REJECTED}
    assert len(parts.venues.sent) == 2


def test_a_basket_of_two_is_a_pair(tmp_path):
    """Two outcomes of which one must pay, both bought, are hedged: nothing of them stands alone."""
    basket = EventConfig(
        id="rain",
        kind="basket",
        exhaustive=True,
        legs=(LegConfig("kalshi", "K-rain"), LegConfig("polymarket", "P-rain")),
        review=ReviewConfig(by="test", void_rule="never"),
    )
    parts = Parts(tmp_path, events=[basket])
    for feed in parts.feeds.values():
        feed.beat()
    parts.feeds["kalshi"].show("K-rain", [(38 * CENT, 2_000)], [(44 * CENT, 2_000)])
    parts.feeds["polymarket"].show("P-rain", [(38 * CENT, 20 * 10**6)], [(44 * CENT, 20 * 10**6)])
    assert parts.decide(parts.record()).reason is Reason.NONE
    for order in parts.venues.sent:
        assert order.order.outcome == "yes"
        parts.fills(order)
    parts.turn()
    assert parts.ledger.positions.unhedged_events() == {}
    again = Positions()
    again.apply(parts.journal.history("test"))
    assert again.unhedged_events() == {}
    parts.close()


def test_a_picture_marks_each_position_once(parts, monkeypatch):
    """All sums of one picture are made of the same marks, and each book is looked at once for them."""
    parts.hedged()
    looked = []
    mark = parts.desk.mark
    monkeypatch.setattr(parts.desk, "mark", lambda key, size: looked.append(key) or mark(key, size))
    marks = parts.desk.marks()
    first, second = (parts.ledger.positions.unrealised(marks) for _ in range(2))
    assert first == second
    assert len(looked) == 2


def test_a_tighter_limit_counts_at_once(parts):
    """On paper every live key acts on the next decision."""
    parts.show()
    risk = msgspec.structs.replace(parts.config.risk, min_edge_bp=9_999)
    parts.adopt(risk=risk)
    assert parts.decide(parts.record()).reason is Reason.EDGE_TOO_SMALL
    assert parts.venues.sent == []
