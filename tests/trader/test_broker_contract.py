"""The broker contract: what every broker promises, paper now and live later.

A broker joins by a world in BROKERS: it makes the broker, lets the venue show a book, and lets time pass.
The paper exchange is there twice: moved by the test on a clock of its own, and as a real process.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from pipeline.clock import ManualClock, SystemClock
from pipeline.model import BookState
from pipeline.model_events import OrderLeg
from pipeline.trader.broker import OrderEvent, OrderStatus, Style
from tests.support.paper_world import COIN, FINAL, NO, YES, PaperWorld, approved

PLENTY = {"kalshi": ((), ((480_000, 5000),)), "polymarket": (((560_000, 50_000_000),), ())}
PART = {
    "kalshi": ((), ((480_000, 300), (490_000, 300))),
    "polymarket": (((560_000, 1_000_000),), ()),
}
WORSE = {"kalshi": ((), ((490_001, 5000),)), "polymarket": (((549_999, 50_000_000),), ())}
NOTHING = {"kalshi": ((), ()), "polymarket": ((), ())}
SCENES = {"plenty": PLENTY, "part": PART, "worse": WORSE, "nothing": NOTHING}
FILLED = {"plenty": (1000, 10_000_000), "part": (600, 1_000_000), "worse": (0, 0), "nothing": (0, 0)}


class Bench:
    """A world with a line that is up; every trade has a name of its own."""

    def __init__(self, world: PaperWorld) -> None:
        self.world = world
        self.broker = world.line()
        world.connect(self.broker)
        self._names = count(1)

    def name(self) -> str:
        return f"c{next(self._names)}"

    def now(self) -> int:
        return self.world.clock.monotonic_ns()

    def shows(self, scene: dict) -> None:
        for venue, (bids, asks) in scene.items():
            self.world.shows(venue, bids, asks)

    def send(self, *legs: OrderLeg, **how: object) -> list[str]:
        trade = approved(*legs, trade=self.name(), **how)
        assert self.broker.submit(trade, self.now()) is None
        return [intent.order_id for intent in trade.intents]

    def played(self, scene: str, *legs: OrderLeg) -> tuple[list[str], list[OrderEvent]]:
        """Send orders into a scene and wait until they have ended."""
        self.shows(SCENES[scene])
        ids = self.send(*(legs or (YES, NO)))
        return ids, [e for e in self.world.final(self.broker, *ids) if e.order_id in ids]

    def asked(self, *ids: str) -> list[OrderEvent]:
        """Ask, and wait for one answer each."""
        self.broker.poll(self.now())
        return [e for e in self.world.answers(self.broker, ids) if e.order_id in ids]

    def rest(self, leg: OrderLeg, expires_ns: int = 0) -> str:
        """A quote that is accepted."""
        (order_id,) = self.send(leg, style=Style.MAKER, expires_ns=expires_ns)

        def stands(events: list[OrderEvent]) -> bool:
            return any(e.order_id == order_id and e.status is OrderStatus.ACCEPTED for e in events)

        self.world.events(self.broker, stands)
        return order_id


def paper_here(folder):
    world = PaperWorld(folder, ManualClock())
    world.start()
    return world


def paper_process(folder):
    world = PaperWorld(folder, SystemClock())
    world.start_process()
    return world


BROKERS = {"paper": paper_here, "paper process": paper_process}


@pytest.fixture(scope="module", params=list(BROKERS))
def bench(request, tmp_path_factory) -> Iterator[Bench]:
    world = BROKERS[request.param](tmp_path_factory.mktemp("broker"))
    try:
        yield Bench(world)
    finally:
        world.close()


def test_submit_reports_nothing(bench):
    """Sending returns nothing, and nothing is filled before time has passed."""
    bench.shows(PLENTY)
    bench.broker.poll(bench.now())
    ids = bench.send(YES, NO)
    assert not any(event.fills for event in bench.broker.poll(bench.now()))
    bench.world.final(bench.broker, *ids)


@pytest.mark.parametrize("scene", SCENES)
def test_every_order_ends_once(bench, scene):
    """Each order sent has exactly one final event, it is its last, and its status says what was filled."""
    ids, events = bench.played(scene)
    for order_id, wanted, whole in zip(ids, FILLED[scene], (1000, 10_000_000), strict=True):
        own = [event for event in events if event.order_id == order_id]
        assert [event.status in FINAL for event in own] == [False] * (len(own) - 1) + [True]
        filled = sum(fill.size_units for event in own for fill in event.fills)
        assert filled == wanted
        assert own[-1].status is (OrderStatus.FILLED if filled == whole else OrderStatus.CANCELLED)


@pytest.mark.parametrize("scene", SCENES)
def test_fills_keep_to_the_order(bench, scene):
    """Fills never exceed the size, are never worse than the limit, and cost no negative fee."""
    ids, events = bench.played(scene)
    for order_id, leg in zip(ids, (YES, NO), strict=True):
        fills = [fill for event in events if event.order_id == order_id for fill in event.fills]
        assert sum(fill.size_units for fill in fills) <= leg.size_units
        for fill in fills:
            assert fill.size_units > 0
            assert fill.fee >= 0
            better = leg.limit_ticks - fill.price_ticks
            assert better >= 0 if leg.takes_asks else better <= 0


def test_fill_ids_are_unique_for_ever(bench):
    """No two fills of a broker have one id."""
    seen = []
    for _ in range(3):
        _, events = bench.played("part")
        seen += [fill.fill_id for event in events for fill in event.fills]
    assert len(seen) == len(set(seen)) == 9


def test_what_is_not_filled_says_why(bench):
    """A cancelled or rejected order carries a sentence."""
    for state in (BookState.LIVE, BookState.GAP):
        bench.world.shows("kalshi", (), (), state)
        ids = bench.send(YES)
        events = bench.world.final(bench.broker, *ids)
        assert all(event.why for event in events if event.status in FINAL)


def test_selling_coins_takes_the_bids(bench):
    """A sale hits bids at its limit or above."""
    bench.world.shows("kraken", ((1_000_100, 200_000), (1_000_000, 200_000), (999_999, 500_000)), ())
    ids = bench.send(COIN)
    sale = next(event for event in bench.world.final(bench.broker, *ids) if event.fills)
    assert [fill.price_ticks for fill in sale.fills] == [1_000_100, 1_000_000]
    assert sale.status is OrderStatus.CANCELLED


def test_an_order_past_its_deadline_is_refused(bench):
    """What arrives after its deadline is never filled."""
    bench.shows(PLENTY)
    ids = bench.send(YES, deadline_ns=bench.now())
    (event,) = bench.world.final(bench.broker, *ids)
    assert (event.status, event.fills) == (OrderStatus.REJECTED, ())


def test_asking_again_gives_the_same_fills(bench):
    """An order's answer is its whole story, as often as it is asked for."""
    ids, events = bench.played("part")
    for _ in range(2):
        answers = bench.asked(*ids)
        for order_id in ids:
            told = [e for e in events if e.order_id == order_id]
            again = [e for e in answers if e.order_id == order_id]
            assert [f for e in again for f in e.fills] == [f for e in told for f in e.fills]
            assert again[-1].status is told[-1].status
            assert again[0].evidence == told[0].evidence


def test_an_unknown_id_is_not_found(bench):
    """A question about an order that the venue never saw is answered with NOT_FOUND and nothing else."""
    (answer,) = bench.asked("never-0")
    assert (answer.status, answer.fills) == (OrderStatus.NOT_FOUND, ())


def test_a_filled_order_stays_filled_when_it_is_cancelled(bench):
    """A cancel that comes too late is answered with what became of the order."""
    bench.shows(PLENTY)
    ids = bench.send(YES)
    bench.world.final(bench.broker, *ids)
    bench.broker.cancel(ids[0], bench.now())
    events = bench.world.final(bench.broker, *ids)
    assert events[-1].status is OrderStatus.FILLED


def test_a_quote_rests_until_it_is_cancelled(bench):
    """A maker order is accepted, found when asked for, and ended by a cancel."""
    bench.world.shows("kalshi", ((470_000, 1000),), ((500_000, 1000),))
    order_id = bench.rest(YES)
    assert bench.asked(order_id)[-1].status is OrderStatus.ACCEPTED
    bench.broker.cancel(order_id, bench.now())
    events = bench.world.final(bench.broker, order_id)
    assert events[-1].status is OrderStatus.CANCELLED
    assert events[-1].why


def test_a_quote_that_would_take_is_refused(bench):
    """A maker order never takes: post-only."""
    bench.shows(PLENTY)
    ids = bench.send(YES, style=Style.MAKER)
    (event,) = bench.world.final(bench.broker, *ids)
    assert event.status is OrderStatus.REJECTED


def test_a_quote_ends_at_its_time(bench):
    """A quote with an end is ended by the venue itself."""
    bench.world.shows("kalshi", ((470_000, 1000),), ((500_000, 1000),))
    order_id = bench.rest(YES, expires_ns=bench.now() + 300_000_000)
    events = bench.world.final(bench.broker, order_id)
    assert events[-1].status is OrderStatus.CANCELLED


def test_cancel_all_ends_everything_that_rests(bench):
    """After it no quote of the account is left, whoever placed it."""
    bench.world.shows("kalshi", ((470_000, 1000),), ((500_000, 1000),))
    bench.world.shows("polymarket", ((500_000, 10**7),), ((560_000, 10**7),))
    first, second = bench.rest(YES), bench.rest(replace(NO))
    bench.broker.cancel_all(bench.now())
    events = bench.world.final(bench.broker, first, second)
    assert {e.status for e in events if e.order_id in {first, second}} == {OrderStatus.CANCELLED}


def test_it_is_reachable_while_it_answers(bench):
    """A broker whose other side answers is reachable, at every look."""
    for _ in range(20):
        bench.world.turn()
        bench.broker.poll(bench.now())
        assert bench.broker.reachable(bench.now())
