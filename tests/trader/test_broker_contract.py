"""The broker contract: what every broker promises, paper now and live later.

A broker joins by a `Bench` in BENCHES: it makes the broker, lets the venue show a book, and lets
time pass until the orders sent must be final.
"""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.model import BookState, FeeKind, FeeSchedule, Scale
from pipeline.model_events import OrderLeg
from pipeline.trader.broker import Approved, OrderIntent, OrderStatus
from pipeline.trader.orders import Trade, TradeState
from pipeline.trader.paper import BookLook, PaperBroker

FINAL = {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED}
YES = OrderLeg("kalshi", "K", "yes", "buy", 490_000, 1000, Scale(6, 2))
NO = OrderLeg("polymarket", "P", "no", "buy", 550_000, 10_000_000, Scale(6, 6))
COIN = OrderLeg("kraken", "BTC/USD", "base", "sell", 1_000_000, 50, Scale(1, 8))
FEES = {
    "kalshi": FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 10_000),
    "polymarket": FeeSchedule(FeeKind.POLYMARKET, 40_000),
    "kraken": FeeSchedule(FeeKind.BPS, 4_000),
}


class PaperBench:
    """The paper broker against books in a dictionary and a clock in an integer."""

    def __init__(self):
        self.books = {}
        self.now_ns = 10**9
        self.broker = PaperBroker(50_000_000, lambda leg: self.books.get(leg.market))

    def shows(self, leg, *levels, state=BookState.LIVE):
        """The side that `leg` hits, best first, as the venue shows it from now on."""
        number = self.now_ns + len(self.books)
        self.books[leg.market] = BookLook(state, levels, 1, 1, number, self.now_ns, self.now_ns)

    def send(self, approved):
        self.broker.submit(approved, self.now_ns)

    def settled(self):
        """All events until every order sent must have ended."""
        self.now_ns += 50_000_000
        return self.broker.poll(self.now_ns)


BENCHES = {"paper": PaperBench}


@pytest.fixture(params=list(BENCHES))
def bench(request):
    return BENCHES[request.param]()


def a_trade(*legs, number=1):
    intents = tuple(OrderIntent(f"t{number}-{n}", leg, FEES[leg.venue]) for n, leg in enumerate(legs))
    return Approved(f"t{number}", "e", "binary", intents, 100, Decimal(1), Decimal(9))


PLENTY = ((YES, (480_000, 5000)), (NO, (560_000, 50_000_000)))
PART = ((YES, (480_000, 300), (490_000, 300)), (NO, (560_000, 1_000_000)))
WORSE = ((YES, (490_001, 5000)), (NO, (549_999, 50_000_000)))
NOTHING = ((YES,), (NO,))
SCENES = {"plenty": PLENTY, "part": PART, "worse": WORSE, "nothing": NOTHING, "no book": ()}


def played(bench, scene, *legs):
    for leg, *levels in SCENES[scene]:
        bench.shows(leg, *levels)
    approved = a_trade(*(legs or (YES, NO)))
    bench.send(approved)
    return approved, bench.settled()


def test_submit_reports_nothing(bench):
    """Sending returns nothing, and nothing is reported before time has passed."""
    bench.shows(YES, (480_000, 5000))
    assert bench.broker.submit(a_trade(YES, NO), bench.now_ns) is None
    assert not any(event.fills for event in bench.broker.poll(bench.now_ns))


@pytest.mark.parametrize("scene", SCENES)
def test_every_order_ends_once(bench, scene):
    """Each order sent has exactly one final event, it is its last, and nothing follows."""
    approved, events = played(bench, scene)
    for intent in approved.intents:
        own = [event.status for event in events if event.order_id == intent.order_id]
        assert [status in FINAL for status in own] == [False] * (len(own) - 1) + [True]
    assert {event.order_id for event in events} == {item.order_id for item in approved.intents}
    assert bench.settled() == []


@pytest.mark.parametrize("scene", SCENES)
def test_fills_keep_to_the_order(bench, scene):
    """Fills never exceed the size, are never worse than the limit, and cost no negative fee."""
    approved, events = played(bench, scene)
    for intent in approved.intents:
        fills = [fill for event in events if event.order_id == intent.order_id for fill in event.fills]
        assert sum(fill.size_units for fill in fills) <= intent.leg.size_units
        for fill in fills:
            assert fill.size_units > 0
            assert fill.fee >= 0
            if intent.leg.takes_asks:
                assert fill.price_ticks <= intent.leg.limit_ticks
            else:
                assert fill.price_ticks >= intent.leg.limit_ticks


@pytest.mark.parametrize("scene", SCENES)
def test_the_status_says_what_was_filled(bench, scene):
    """The order state machine accepts every report, and the trade ends as its fills say."""
    approved, events = played(bench, scene)
    trade = Trade(approved)
    trade.sent()
    for event in events:
        trade.order(event.order_id).apply(event)
    expected = {"plenty": TradeState.EXECUTED, "part": TradeState.UNHEDGED}
    assert trade.state is expected.get(scene, TradeState.NOT_FILLED)


def test_fill_ids_are_unique_for_ever(bench):
    """No two fills of a broker have one id."""
    seen = []
    for number in range(3):
        bench.shows(YES, (480_000, 500), (490_000, 500))
        bench.shows(NO, (560_000, 10_000_000))
        bench.send(a_trade(YES, NO, number=number))
        seen += [fill.fill_id for event in bench.settled() for fill in event.fills]
    assert len(seen) == len(set(seen)) == 9


def test_what_is_not_filled_says_why(bench):
    """A cancelled or rejected order carries a sentence."""
    for scene in ("worse", "no book"):
        _, events = played(bench, scene)
        bench.books.clear()
        assert all(event.why for event in events if event.status in FINAL)


def test_selling_coins_takes_the_bids(bench):
    """A sale hits bids at its limit or above."""
    bench.shows(COIN, (1_000_100, 20), (1_000_000, 20), (999_999, 500))
    bench.shows(YES, (480_000, 5000))
    bench.send(a_trade(replace(COIN), YES))
    sale = next(event for event in bench.settled() if event.order_id.endswith("-0") and event.fills)
    assert [fill.price_ticks for fill in sale.fills] == [1_000_100, 1_000_000]
    assert sale.status is OrderStatus.CANCELLED
