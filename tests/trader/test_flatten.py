"""Flatten: what a person has closed is sold, at believed books, by committed orders, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.flatten import PATIENCE_SECONDS, FlattenFile, FlattenState
from pipeline.journal import JournalError
from pipeline.model import MarketResult, MarketStatus, Reason
from pipeline.trader.broker import OrderIntent, OrderStatus, Purpose, Style
from pipeline.trader.flatten import CLOSED_NS, Flattener
from pipeline.trader.plan import FLATTEN
from pipeline.trader.record import Record
from pipeline.trader.trade import TradeState
from shm.records import FlattenRow
from tests.support.trader_parts import BOOT, MS_NS, Parts

WHO = "test"


class Closing:
    """A trader's parts with its flattener and the file of orders."""

    def __init__(self, folder) -> None:
        self.parts = Parts(folder)
        self.file = FlattenFile(folder / "flatten.json")
        self.flattener = self.started()

    def started(self) -> Flattener:
        """The flattener of a trader that starts now."""
        return Flattener(self.parts.desk, self.parts.worker, self.folder_file(), BOOT)

    def folder_file(self):
        """Where the orders lie."""
        return self.parts.folder / "flatten.json"

    def again(self) -> None:
        """Kill this trader and start another on the same data."""
        self.parts.again()
        self.flattener = self.started()

    def ask(self, event: str = "rain") -> None:
        """A person wants an event closed."""
        self.file.give(event, WHO, self.parts.clock.wall_ns())

    def turn(self, ms: int = 300, times: int = 1) -> list[Record]:
        """Let time pass, the executor and the flattener turn; the records of what was opened."""
        records: list[Record] = []
        for _ in range(times):
            self.parts.turn(ms=ms)
            records += self.flattener.turn(0)
        return records

    def row(self) -> FlattenRow:
        """The last order as it is shown."""
        return self.flattener.rows()[-1]

    def sent(self) -> list[OrderIntent]:
        """The orders that close."""
        return [order for order in self.parts.venues.sent if order.purpose is Purpose.CLOSE]

    def held(self, event: str = "rain") -> dict[str, Decimal]:
        """What is open of an event, by venue."""
        holdings = self.parts.ledger.positions.holdings()
        return {each.key.venue: each.open_quantity for each in holdings if each.key.event_id == event}


@pytest.fixture
def closing(tmp_path) -> Iterator[Closing]:
    made = Closing(tmp_path)
    yield made
    made.parts.close()


def test_a_pair_is_sold_at_what_the_books_show(closing):
    """Both legs at once, at once or not at all, at the worst level walked; then the row says flat."""
    closing.parts.hedged()
    held = closing.held()
    closing.parts.show()
    closing.ask()
    (record,) = closing.turn()
    first, second = closing.sent()
    assert (record.mode, record.trade_id) == (FLATTEN, first.order_id.rpartition("-")[0])
    assert {(each.order.venue, each.order.outcome, each.order.action) for each in (first, second)} == {
        ("kalshi", "yes", "sell"), ("polymarket", "no", "sell"),
    }  # fmt: skip
    assert {each.style for each in (first, second)} == {Style.IOC}
    assert [each.order.limit_ticks for each in (first, second)] == [380_000, 580_000]
    assert first.order.size_units == held["kalshi"] * 100
    assert closing.row().state == FlattenState.WORKING
    closing.parts.fills(first)
    closing.parts.fills(second)
    closing.turn(times=2)
    assert closing.held() == {}
    assert (closing.row().state, closing.row().orders) == (FlattenState.FLAT, 2)
    assert [trade.plan["mode"] for trade in closing.parts.journal.trades()][-1] == FLATTEN


def test_it_is_done_in_a_halt(closing):
    """HALT stops what is new, and this makes what is at stake smaller."""
    closing.parts.hedged()
    closing.parts.switch.halt("now", "test")
    closing.parts.show()
    closing.ask()
    closing.turn()
    assert len(closing.sent()) == 2


@pytest.mark.parametrize("event", ["snow", "nowhere"])
def test_nothing_held_is_refused(event, closing):
    """An event of which nothing is held is refused in words, and nothing is sent."""
    closing.parts.hedged()
    closing.ask(event)
    closing.turn()
    assert (closing.row().state, closing.row().text) == (FlattenState.REFUSED, "nothing is held of it")
    assert closing.sent() == []


def test_books_that_are_not_live_refuse_it(closing):
    """One book that is not believed: neither leg is sold, and the words name it and what is held."""
    closing.parts.hedged()
    closing.parts.describe("polymarket", "P-rain", status=int(MarketStatus.PAUSED))
    closing.parts.show()
    closing.ask()
    closing.turn()
    assert closing.row().state == FlattenState.REFUSED
    assert "MARKET_CLOSED" in closing.row().text and "yes at kalshi" in closing.row().text
    assert closing.sent() == []


def test_partial_fills_are_continued(closing):
    """What one round leaves the next one sells, until nothing is left."""
    closing.parts.hedged()
    closing.ask()
    for _ in range(60):
        closing.parts.show(size=3)
        before = len(closing.parts.venues.sent)
        closing.turn()
        for order in closing.parts.venues.sent[before:]:
            closing.parts.fills(order)
        if closing.flattener.rows() and closing.row().state != FlattenState.WORKING:
            break
    assert (closing.row().state, closing.held()) == (FlattenState.FLAT, {})
    assert closing.row().orders == len(closing.sent()) > 2
    assert all(order.order.size_units <= 300 for order in closing.sent() if order.order.venue == "kalshi")


def test_a_leg_that_comes_short_is_completed_not_bought_back(closing):
    """Where one leg was sold and the other was not, the other is sold as long as its book allows it."""
    closing.parts.hedged()
    closing.parts.show()
    closing.ask()
    closing.turn()
    first, second = closing.sent()
    closing.parts.fills(first)
    closing.parts.fills(second, 0)
    closing.parts.show()
    closing.turn()
    mending = closing.parts.venues.sent[-1]
    assert (mending.purpose, mending.order.venue, mending.order.action) == (
        Purpose.HEDGE,
        "polymarket",
        "sell",
    )
    closing.parts.fills(mending)
    closing.turn(times=2)
    assert (closing.row().state, closing.held()) == (FlattenState.FLAT, {})


def test_a_leg_whose_counterpart_was_paid_out_is_sold_alone(closing):
    """After one venue settled, what is held at the other is sold, and no alarm follows."""
    closing.parts.hedged()
    closing.parts.ledger.settle("kalshi", "K-rain", MarketResult.NO, 0)
    closing.parts.show()
    closing.ask()
    closing.turn()
    (order,) = closing.sent()
    assert (order.order.venue, order.order.action) == ("polymarket", "sell")
    closing.parts.fills(order)
    closing.turn(times=30)
    assert (closing.row().state, closing.held()) == (FlattenState.FLAT, {})
    assert (closing.parts.ledger.trades, closing.parts.counter("alarms")) == ({}, 0)
    closing.parts.again()
    closing.parts.turn(times=30)
    assert (closing.parts.ledger.trades, closing.parts.counter("alarms")) == ({}, 0)


def test_dust_does_not_keep_it_from_being_flat(closing):
    """What is too little for any order, and worth next to nothing, is named and stays."""
    closing.parts.hedged()
    closing.parts.show()
    closing.ask()
    closing.turn()
    first, second = closing.sent()
    closing.parts.fills(first, first.order.size_units - 100)
    closing.parts.fills(second, second.order.size_units - 1_000_000)
    risk = closing.parts.config.risk
    changed = {name: getattr(risk, name) for name in risk.__struct_fields__} | {"max_dust_usd": "1"}
    closing.parts.adopt(risk=risk.__class__(**changed))
    closing.parts.describe("polymarket", "P-rain", min_units=5_000_000)
    closing.parts.show()
    closing.turn(times=2)
    assert closing.row().state == FlattenState.FLAT
    assert "dust" in closing.row().text and "1 yes at kalshi" in closing.row().text


def test_quotes_of_the_event_go_first(tmp_path):
    """A quote that rests is taken back, and nothing is sold until it has ended."""
    closing = Closing(tmp_path)
    parts = closing.parts
    parts.hedged()
    parts.adopt(trader=parts.config.trader.__class__(**_mode(parts, "both")))
    parts.show()
    quotes = [record for _ in range(200) for record in _quotes(parts)]
    assert quotes, "no quote was opened"
    resting = parts.venues.sent[-1]
    parts.says(resting, OrderStatus.ACCEPTED)
    parts.show(resting.order.market[2:])
    closing.ask(resting.order.market[2:])
    closing.turn(times=2)
    assert resting.order_id in parts.venues.cancelled
    assert closing.sent() == []
    parts.says(resting, OrderStatus.CANCELLED)
    closing.turn(times=2)
    state = closing.row().state
    assert closing.sent() or state == FlattenState.REFUSED
    parts.close()


def _mode(parts: Parts, mode: str) -> dict[str, object]:
    """The keys of [trader] with another mode."""
    trader = parts.config.trader
    return {name: getattr(trader, name) for name in trader.__struct_fields__} | {"mode": mode}


def _quotes(parts: Parts) -> list[Record]:
    """One turn of the maker."""
    parts.clock.advance(25 * MS_NS)
    for feed in parts.feeds.values():
        feed.beat()
    return [record for record in parts.maker.turn(0) if record.trade_id and record.intent_ns]


def test_what_was_ended_is_not_done_again(closing):
    """A restart after an order has ended sends nothing for it, whatever is held since."""
    closing.parts.hedged()
    closing.parts.show()
    closing.ask()
    closing.turn()
    for order in closing.sent():
        closing.parts.fills(order)
    closing.turn(times=2)
    told = closing.row()
    closing.again()
    closing.parts.clock.advance(CLOSED_NS)
    closing.parts.hedged()
    closing.parts.show()
    closing.turn(times=3)
    assert closing.sent() == []
    assert (closing.row().state, closing.row().number) == (told.state, told.number)


def test_what_was_refused_is_not_done_later(closing):
    """An order that was refused stays refused: a restart does not find something to sell after all."""
    closing.ask()
    closing.turn()
    closing.parts.hedged()
    closing.again()
    closing.parts.show()
    closing.turn(times=3)
    assert (closing.row().state, closing.sent()) == (FlattenState.REFUSED, [])


def test_a_restarted_trader_goes_on_with_what_it_had_begun(closing):
    """Killed with its orders on their way, the next trader waits for their answer and sells the rest."""
    closing.parts.hedged()
    closing.parts.show()
    closing.ask()
    closing.turn()
    first, second = closing.sent()
    whole = first.order.size_units
    closing.again()
    closing.parts.show()
    closing.turn()
    assert closing.sent() == []
    closing.parts.fills(first, 100)
    closing.parts.fills(second, 1_000_000)
    closing.turn(times=2)
    rest = closing.sent()
    assert [order.order.size_units for order in rest] == [whole - 100, (whole - 100) * 10_000]
    assert {order.order_id for order in rest}.isdisjoint({first.order_id, second.order_id})
    for order in rest:
        closing.parts.fills(order)
    closing.turn(times=2)
    assert (closing.row().state, closing.held()) == (FlattenState.FLAT, {})


def test_nothing_is_sent_before_the_journal_has_it(closing, monkeypatch):
    """A journal that cannot book that an order is begun keeps everything from being sent."""
    closing.parts.hedged()
    closing.parts.show()

    def full(*_given):
        raise JournalError("the disk is full")

    monkeypatch.setattr(closing.parts.ledger, "switch", full)
    closing.ask()
    closing.turn(times=3)
    assert (closing.sent(), closing.row().state) == ([], FlattenState.WORKING)
    monkeypatch.undo()
    closing.parts.show()
    closing.turn()
    assert len(closing.sent()) == 2


def test_an_old_order_is_not_obeyed(closing):
    """An order that lay for longer than it may is refused, and nothing is sent."""
    closing.parts.hedged()
    closing.ask()
    closing.parts.clock.advance((PATIENCE_SECONDS + 1) * 10**9)
    closing.parts.show()
    closing.turn()
    assert (closing.row().state, closing.sent()) == (FlattenState.REFUSED, [])


def test_its_time_ends_it_with_what_is_left(closing):
    """A book that dies on the way: after its time the order ends, and says what is still held and why."""
    closing.parts.hedged()
    closing.parts.show(size=3)
    closing.ask()
    closing.turn()
    for order in closing.sent():
        closing.parts.fills(order)
    closing.parts.describe("kalshi", "K-rain", status=int(MarketStatus.PAUSED))
    closing.turn(ms=1_000, times=PATIENCE_SECONDS + 2)
    assert closing.row().state == FlattenState.ENDED
    assert "MARKET_CLOSED" in closing.row().text and "yes at kalshi" in closing.row().text


def test_nothing_is_opened_there_for_a_minute(closing):
    """The edge is often still there: neither this trader nor the next one takes it again at once."""
    closing.parts.hedged()
    closing.parts.show()
    closing.ask()
    closing.turn()
    for order in closing.sent():
        closing.parts.fills(order)
    closing.turn(times=2)
    for _ in range(2):
        closing.parts.show()
        record = closing.parts.decide(closing.parts.record())
        assert (record.reason, record.limit > record.value) == (Reason.COOLDOWN, True)
        closing.again()
        closing.turn(times=3)
    closing.parts.clock.advance(CLOSED_NS)
    closing.parts.show()
    assert closing.parts.decide(closing.parts.record()).reason is Reason.NONE
    closing.parts.show("snow")
    assert closing.parts.decide(closing.parts.record("snow")).reason is Reason.NONE


def test_orders_have_numbers_that_grow(tmp_path):
    """Each order has a number of its own, also where the clock stands still or runs back; 16 are kept."""
    file = FlattenFile(tmp_path / "flatten.json")
    assert (file.orders(), file.changed()) == ([], False)
    numbers = [file.give("rain", WHO, wall_ns).number for wall_ns in (5 * 10**15, 5 * 10**15, 10**15)]
    assert numbers == sorted(set(numbers))
    assert (file.changed(), file.changed()) == (True, False)
    for _ in range(30):
        last = file.give("snow", WHO, 6 * 10**15)
    assert [file.orders()[-1], len(file.orders())] == [last, 16]
    (tmp_path / "flatten.json").write_bytes(b'[{"number": "x"}]')
    assert file.orders() == []


# No shrinking: an example is a hundred turns of real parts.
QUICK = settings(
    max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@QUICK
@given(data=st.data())
def test_whatever_is_filled_never_more_is_sold_than_was_held(data, tmp_path_factory):
    """Fills of any part, books of any depth, a kill at any turn: no leg goes below nothing, cash is what the
    fills say, and flat means that nothing is held.
    """
    closed_somehow(Closing(tmp_path_factory.mktemp("closing")), data)


@pytest.mark.stress
@settings(QUICK, max_examples=150)
@given(data=st.data())
def test_however_often_never_more_is_sold_than_was_held(data, tmp_path_factory):
    """The same, more often."""
    closed_somehow(Closing(tmp_path_factory.mktemp("closing")), data)


def closed_somehow(closing: Closing, data) -> None:
    """Close an event while everything happens that may."""
    parts = closing.parts
    try:
        assert parts.hedged().state is TradeState.HEDGED
        closing.ask()
        seen = len(parts.venues.sent)
        for _ in range(30):
            parts.show(size=data.draw(st.sampled_from([1, 4, 20])))
            closing.turn()
            for order in parts.venues.sent[seen:]:
                size = order.order.size_units
                whole = {"kalshi": 100, "polymarket": 1_000_000}[order.order.venue]
                units = data.draw(st.sampled_from([size, size, 0, whole * (size // whole // 2)]))
                parts.fills(order, units)
            seen = len(parts.venues.sent)
            assert all(quantity >= 0 for quantity in closing.held().values())
            if data.draw(st.integers(0, 9)) == 0:
                parts.turn()
                closing.again()
                seen = 0
            elif closing.row().state != FlattenState.WORKING:
                break
        closing.turn()
        row = closing.row()
        assert row.state in {FlattenState.FLAT, FlattenState.WORKING}, row
        assert row.state == FlattenState.WORKING or closing.held() == {}
        flow = sum((_flow(fill) for fill in parts.journal.fills()), Decimal(0))
        cash = sum(parts.ledger.positions.cash(venue) for venue in ("kalshi", "polymarket"))
        assert cash == 2000 + flow
    finally:
        parts.close()


def _flow(fill) -> Decimal:
    """Dollars that a fill brought."""
    price = Decimal(fill.price_ticks).scaleb(-fill.scale.price_decimals)
    price = 1 - price if fill.outcome == "no" else price
    paid = price * Decimal(fill.size_units).scaleb(-fill.scale.size_decimals)
    return (paid if fill.action == "sell" else -paid) - fill.fee
