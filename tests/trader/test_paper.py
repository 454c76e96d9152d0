"""The paper broker: honest fills against the book at arrival, and proof of them."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fees import order_fee
from pipeline.journal_records import canonical
from pipeline.model import BookState, FeeKind, FeeSchedule, Scale
from pipeline.model_events import OrderLeg
from pipeline.trader.broker import Approved, OrderIntent, OrderStatus
from pipeline.trader.paper import MAX_BOOKS, BookLook, PaperBroker, recompute

SCALE = Scale(6, 2)
KALSHI = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000)
BUY = OrderLeg("kalshi", "K", "yes", "buy", 500_000, 1000, SCALE)
OTHER = OrderLeg("kalshi", "other", "yes", "buy", 500_000, 1, SCALE)
D = Decimal


def look(*ladder, number=1, epoch=1, state=BookState.LIVE):
    return BookLook(state, ladder, 4, epoch, number, 11, 12)


class Venue:
    """Books that a test changes, and a broker 50 ns away."""

    def __init__(self, latency_ns=50):
        self.books = {}
        self.reads = []
        self.broker = PaperBroker(latency_ns, self.read)
        self.sent = 0

    def read(self, leg):
        self.reads.append(leg.market)
        return self.books.get(leg.market)

    def send(self, *legs, now_ns=0, fee=KALSHI):
        self.sent += 1
        legs = (*legs, OTHER)[:2]
        intents = tuple(OrderIntent(f"t{self.sent}-{n}", leg, fee) for n, leg in enumerate(legs))
        approved = Approved(f"t{self.sent}", "e", "binary", intents, 1, D(1), D(1))
        self.broker.submit(approved, now_ns)
        return intents

    def first(self, *legs, fee=KALSHI, now_ns=0):
        """Send, wait, and give the first leg's event."""
        intents = self.send(*legs, fee=fee, now_ns=now_ns)
        return next(event for event in self.broker.poll(now_ns + 50) if event.order_id == intents[0].order_id)


def parts(event):
    return [(fill.price_ticks, fill.size_units) for fill in event.fills]


def test_the_book_counts_as_it_is_at_arrival():
    """Nothing is read before the latency has passed, and then the book of that moment."""
    venue = Venue()
    venue.books["K"] = look((400_000, 1000))
    venue.send(BUY)
    assert venue.broker.poll(49) == []
    assert venue.reads == []
    venue.books["K"] = look((480_000, 1000), number=2)
    event = venue.broker.poll(50)[0]
    assert parts(event) == [(480_000, 1000)]
    assert event.at_ns == 50
    assert event.evidence["number"] == 2


def test_levels_are_taken_best_first_up_to_the_limit():
    """The order walks the ladder, stops at its limit, and the rest is cancelled."""
    venue = Venue()
    venue.books["K"] = look((480_000, 300), (500_000, 400), (500_001, 9000))
    event = venue.first(BUY)
    assert parts(event) == [(480_000, 300), (500_000, 400)]
    assert event.status is OrderStatus.CANCELLED
    assert "700 of 1000" in event.why


def test_buying_no_takes_the_bids():
    """A NO order hits YES bids at its limit or above; its fee is that of 1 - the book's price."""
    venue = Venue()
    venue.books["K"] = look((553_000, 600), (540_000, 100), (530_000, 9000))
    leg = replace(BUY, outcome="no", limit_ticks=540_000)
    event = venue.first(leg)
    assert parts(event) == [(553_000, 600), (540_000, 100)]
    total = order_fee(KALSHI, [(447_000, 600), (460_000, 100)], SCALE)
    assert sum(fill.fee for fill in event.fills) == total


@pytest.mark.parametrize("state", [state for state in BookState if state is not BookState.LIVE])
def test_only_a_live_book_fills(state):
    """A book in any other state rejects the order and names the state."""
    venue = Venue()
    venue.books["K"] = look((480_000, 1000), state=state)
    event = venue.first(BUY)
    assert (event.status, event.fills) == (OrderStatus.REJECTED, ())
    assert state.name in event.why


def test_a_missing_book_rejects():
    """An order for a market without a book is rejected, in words."""
    assert "missing" in Venue().first(BUY).why


def test_depth_is_consumed_once():
    """What we took of a book is not there for our next order, until that book changes."""
    venue = Venue()
    venue.books["K"] = look((480_000, 1500), (490_000, 200))
    assert parts(venue.first(BUY)) == [(480_000, 1000)]
    assert parts(venue.first(BUY)) == [(480_000, 500), (490_000, 200)]
    assert parts(venue.first(BUY)) == []
    venue.books["K"] = look((480_000, 1500), number=2)
    assert parts(venue.first(BUY)) == [(480_000, 1000)]
    venue.books["K"] = look((480_000, 1500), number=2, epoch=2)
    assert parts(venue.first(BUY)) == [(480_000, 1000)]


def test_both_orders_of_one_moment_share_the_depth():
    """Two orders that arrive together do not get the same contracts twice."""
    venue = Venue()
    venue.books["K"] = look((480_000, 1500))
    venue.send(BUY, BUY)
    first, second = venue.broker.poll(50)
    assert (parts(first), parts(second)) == ([(480_000, 1000)], [(480_000, 500)])


def test_the_two_sides_of_a_book_are_consumed_apart():
    """Taking bids leaves the asks of the same price as they were."""
    venue = Venue()
    venue.books["K"] = look((480_000, 1000))
    assert parts(venue.first(BUY)) == [(480_000, 1000)]
    no = replace(BUY, outcome="no", limit_ticks=480_000)
    assert parts(venue.first(no)) == [(480_000, 1000)]


def test_orders_are_done_in_the_order_they_arrived():
    """A later poll brings several trades in the order they were sent."""
    venue = Venue()
    venue.books["K"] = look((480_000, 9000))
    venue.send(BUY, now_ns=0)
    venue.send(BUY, now_ns=5)
    events = venue.broker.poll(100)
    assert [event.order_id for event in events] == ["t1-0", "t1-1", "t2-0", "t2-1"]


def test_an_order_on_its_way_is_not_sent_again():
    """Sending an id twice is a broken invariant."""
    venue = Venue()
    venue.send(BUY)
    venue.sent = 0
    with pytest.raises(AssertionError, match="sent twice"):
        venue.send(BUY)


def test_fees_follow_kalshis_accumulator():
    """Rounding is paid back within an order, so three fills cost less than three orders."""
    venue = Venue()
    ladder = ((505_500, 100), (505_600, 100), (505_700, 100))
    venue.books["K"] = look(*ladder)
    event = venue.first(replace(BUY, limit_ticks=510_000, size_units=300))
    fees = [fill.fee for fill in event.fills]
    assert sum(fees) == order_fee(KALSHI, ladder, SCALE)
    assert sum(fees) < sum(order_fee(KALSHI, [level], SCALE) for level in ladder)
    assert all(fee >= 0 for fee in fees)


def test_memory_of_books_is_bounded():
    """Markets come and go; what was taken is remembered for the newest of them."""
    venue = Venue()
    for number in range(MAX_BOOKS + 10):
        venue.books["m"] = look((480_000, 5))
        leg = replace(BUY, market=f"m{number}")
        venue.books[leg.market] = look((480_000, 5))
        venue.first(leg)
    assert len(venue.broker._taken) == MAX_BOOKS


levels = st.lists(
    st.tuples(st.integers(1, 999_999), st.integers(1, 2000)), max_size=8, unique_by=lambda x: x[0]
)


@given(
    st.lists(st.tuples(levels, st.booleans(), st.integers(1, 999_999), st.integers(1, 3000),
                       st.integers(0, 2)), min_size=1, max_size=6),
    st.sampled_from([KALSHI, FeeSchedule(FeeKind.POLYMARKET, 50_000), FeeSchedule(FeeKind.BPS, 4000)]),
)  # fmt: skip
def test_every_fill_can_be_recomputed_from_its_evidence(orders, fee):
    """The journalled evidence gives the same fills and fees, and no level is taken beyond its size."""
    venue = Venue()
    used = {}
    for ladder, buys_yes, limit, size, number in orders:
        asks = tuple(sorted(ladder, reverse=not buys_yes))
        # The same number means the same book; each side has its own market here.
        market = f"K{buys_yes}{number}"
        venue.books.setdefault(market, look(*asks, number=number))
        leg = replace(BUY, market=market, outcome="yes" if buys_yes else "no",
                      limit_ticks=limit, size_units=size)  # fmt: skip
        event = venue.first(leg, fee=fee)
        evidence = json.loads(canonical(event.evidence))
        intent = OrderIntent(event.order_id, leg, fee)
        assert recompute(intent, evidence) == event.fills
        for price_ticks, units in parts(event):
            used[market, price_ticks] = used.get((market, price_ticks), 0) + units
    shown = {(market, price): size for market, book in venue.books.items() for price, size in book.ladder}
    assert all(units <= shown[key] for key, units in used.items())


def test_evidence_of_something_else_is_refused():
    """Recomputing from what is no evidence is an error, not an empty fill."""
    intent = OrderIntent("t-0", BUY, KALSHI)
    for evidence in ({}, {"ladder": 5, "taken": []}, {"ladder": [["x", 1]], "taken": []}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            recompute(intent, evidence)
