"""The paper exchange as a step function: ids, deadlines, delays, failures, cancels, provisional fills."""

from dataclasses import replace
from random import Random

import msgspec
import pytest

from pipeline.config import TraderConfig
from pipeline.model import BookState, MarketStatus
from pipeline.paper.exchange import MAX_OPEN, PaperExchange
from pipeline.paper.known import MAX_KNOWN
from pipeline.paper.latency import Latency
from pipeline.paper.orders import MAX_NUMBER, FillState, Status
from pipeline.paper.settings import Settings, settings_of
from pipeline.trader.broker import OrderStatus
from tests.support.paper_world import ACCOUNT, COIN, NO, YES, Shelf, place_of

MS = 1_000_000
WALL_NS = 1_700_000_000_000_000_000
PLAIN = Settings(Latency(0), 0, 0, 0, 0, 0, 1_000_000)
DOLLAR_COIN = replace(COIN, venue="coinbase", market="BTC-USD", limit_ticks=10**13, size_units=500_000)
DOLLAR_COIN = replace(DOLLAR_COIN, scale=type(COIN.scale)(8, 8))
BID = replace(YES, limit_ticks=480_000)


class Venue:
    """An exchange over a shelf of books; what it says is kept, what it must save is counted as saved."""

    def __init__(self, settings=PLAIN, recall=None):
        self.shelf = Shelf()
        self.shelf.show("kalshi", ((470_000, 1000),), ((490_000, 5000),))
        self.shelf.show("polymarket", ((560_000, 50_000_000),), ((580_000, 50_000_000),))
        self.shelf.show("kraken", ((1_000_000, 10**9),), ((1_000_100, 10**9),))
        self.shelf.show("coinbase", ((10**13, 10**9),), ((10**13 + 10**6, 10**9),))
        self.now = 1000 * MS
        self.saved = {}
        self.exchange = PaperExchange(settings, self.shelf, Random(5), recall or self.recall)
        self.said = []

    def recall(self, account, order_id):
        return []

    def place(self, leg, order_id="t-0", **how):
        how.setdefault("sent_ns", self.now)
        assert self.exchange.place(place_of(leg, order_id, **how), self.now)

    def step(self, ms=0):
        """Time passes; what was said in it."""
        self.now += ms * MS
        said = self.exchange.step(self.now, WALL_NS)
        self.said += said
        for order in self.exchange.unsaved.values():
            order.stored = True
            order.unsaved.clear()
        self.saved.update(self.exchange.unsaved)
        self.exchange.unsaved.clear()
        return said

    def send(self, leg, order_id="t-0", **how):
        """Place and let arrive; what was said of it."""
        self.place(leg, order_id, **how)
        return [report for report in self.step() if report.order_id == order_id]

    def ask(self, *order_ids):
        answers = self.exchange.ask(ACCOUNT, order_ids, self.now)
        assert answers[-1].order_id == ""
        return answers[:-1]

    def count(self, name):
        return self.exchange.counts[name]


def test_statuses_are_those_of_the_broker():
    """What crosses the wire has one meaning on both ends."""
    for status in OrderStatus:
        assert Status[status.name] == status


def test_the_book_counts_as_it_is_at_arrival():
    """Nothing is read before the latency has passed, and then the book of that moment."""
    venue = Venue(replace(PLAIN, latency=Latency(50, 50)))
    venue.place(YES)
    assert venue.step(49) == []
    assert venue.shelf.reads == []
    venue.shelf.show("kalshi", (), ((480_000, 1000),))
    (report,) = venue.step(1)
    assert [fill.price_ticks for fill in report.fills] == [480_000]
    assert report.at_ns == venue.now


def test_orders_of_one_moment_share_the_depth():
    """Two orders that arrive together do not get the same contracts twice."""
    venue = Venue()
    venue.shelf.show("kalshi", (), ((480_000, 1500),))
    venue.place(YES, "a-0")
    venue.place(YES, "b-0")
    filled = [sum(fill.size_units for fill in report.fills) for report in venue.step()]
    assert filled == [1000, 500]


@pytest.mark.parametrize(("leg", "style"), [(YES, "ioc"), (BID, "maker")])
def test_what_arrives_late_is_refused(leg, style):
    """At its deadline an order is taken, after it refused."""
    venue = Venue()
    (report, *_) = venue.send(leg, "a-0", style=style, deadline_ns=venue.now)
    assert report.status in {Status.FILLED, Status.ACCEPTED}
    (report,) = venue.send(leg, "b-0", style=style, deadline_ns=venue.now - 1)
    assert (report.status, report.fills) == (Status.REJECTED, ())
    assert "deadline" in report.why


# -- ids -----------------------------------------------------------------------------------------


def test_kraken_takes_the_id_of_a_closed_order_again():
    """An id is unique among open orders only: a repeat of a filled order is a second order."""
    venue = Venue()
    (first,) = venue.send(COIN)
    (second,) = venue.send(COIN)
    assert (first.status, second.status) == (Status.FILLED, Status.FILLED)
    assert {fill.fill_id for fill in first.fills}.isdisjoint(fill.fill_id for fill in second.fills)
    (answer,) = venue.ask("t-0")
    assert sum(fill.size_units for fill in answer.fills) == 2 * COIN.size_units
    assert venue.count("duplicates") == 0


def test_kraken_refuses_the_id_of_an_open_order():
    """While it rests a repeat is dropped, and the order stands as it did."""
    venue = Venue()
    bid = replace(COIN, limit_ticks=1_000_100)
    venue.send(bid, style="maker")
    assert venue.send(bid, style="maker") == []
    assert venue.count("duplicates") == 1
    assert venue.ask("t-0")[0].status is Status.ACCEPTED
    assert len(venue.exchange.resting()) == 1


@pytest.mark.parametrize("leg", [YES, NO])
def test_elsewhere_an_id_is_taken_once(leg):
    """At Kalshi and Polymarket a repeat is no order, and says nothing of the first."""
    venue = Venue()
    (first,) = venue.send(leg)
    assert first.status is Status.FILLED
    assert venue.send(leg) == []
    assert venue.count("duplicates") == 1
    assert len(venue.ask("t-0")[0].fills) == len(first.fills)
    assert [order.status for order in venue.saved.values()] == [Status.FILLED, Status.DROPPED]


def test_coinbase_answers_a_repeat_with_the_first_order():
    """The same id is the same order."""
    venue = Venue()
    (first,) = venue.send(DOLLAR_COIN)
    (again,) = venue.send(DOLLAR_COIN)
    assert first.status is Status.FILLED
    assert (again.status, again.fills) == (first.status, first.fills)


def test_an_id_of_long_ago_is_looked_up():
    """What is out of reach is asked of the record before an order is taken for new."""
    old = Venue()
    old.send(YES)
    (order,) = old.saved.values()
    venue = Venue(recall=lambda account, order_id: [order] if order_id == "t-0" else [])
    assert venue.send(YES) == []
    assert venue.ask("t-0")[0].status is Status.FILLED


def test_without_its_record_it_neither_takes_nor_denies():
    """Where the record cannot be read an order is refused and a question gets no answer, not NOT_FOUND."""
    venue = Venue(recall=lambda account, order_id: None)
    (report,) = venue.send(YES)
    assert report.status is Status.REJECTED
    assert venue.ask("other-0") == []


# -- what may go wrong ---------------------------------------------------------------------------


def test_an_order_can_be_filled_before_it_is_found():
    """With a booking delay the fill is reported while a question is still answered with NOT_FOUND."""
    venue = Venue(replace(PLAIN, booking_ns=300 * MS))
    (report,) = venue.send(YES)
    assert report.status is Status.FILLED
    assert venue.ask("t-0")[0].status is Status.NOT_FOUND
    venue.step(299)
    assert venue.ask("t-0")[0].status is Status.NOT_FOUND
    venue.step(1)
    assert venue.ask("t-0")[0].status is Status.FILLED


def test_what_is_on_its_way_is_not_found():
    """An order that has not arrived is unknown to its venue."""
    venue = Venue(replace(PLAIN, latency=Latency(50, 50)))
    venue.place(YES)
    venue.step(10)
    assert venue.ask("t-0")[0].status is Status.NOT_FOUND


@pytest.mark.parametrize(
    ("settings", "status"),
    [(replace(PLAIN, reject_ppm=1_000_000), Status.REJECTED),
     (replace(PLAIN, leg_failure_ppm=1_000_000), Status.CANCELLED)],
)  # fmt: skip
def test_orders_fail_when_that_is_asked_for(settings, status):
    """A refusal rate refuses; a leg failure rate finds the book taken; both fill nothing and say why."""
    (report,) = Venue(settings).send(YES)
    assert (report.status, report.fills) == (status, ())
    assert report.why


def test_failures_come_as_often_as_asked_for():
    """One in four of 400 orders is refused, give or take."""
    venue = Venue(replace(PLAIN, reject_ppm=250_000))
    for number in range(400):
        venue.send(replace(YES, size_units=1), f"t{number}-0")
    assert 60 < venue.count("rejected") < 140


def test_polymarket_fills_are_provisional_then_confirmed():
    """They are reported as provisional, and confirmed once their time has passed."""
    venue = Venue(replace(PLAIN, provisional_ns=100 * MS))
    (report,) = venue.send(NO)
    assert all(fill.provisional for fill in report.fills)
    assert venue.step(99) == []
    (later,) = venue.step(1)
    assert later.confirmed == tuple(fill.fill_id for fill in report.fills)
    (answer,) = venue.ask("t-0")
    assert (answer.fills, answer.confirmed) == (report.fills, later.confirmed)
    (other,) = venue.send(YES, "k-0")
    assert not any(fill.provisional for fill in other.fills)


def test_a_provisional_fill_may_fail():
    """A failed one is named; the order's status stays what it was."""
    settings = replace(PLAIN, provisional_ns=100 * MS, provisional_failure_ppm=1_000_000)
    venue = Venue(settings)
    (report,) = venue.send(NO)
    (later,) = venue.step(100)
    assert (later.failed, later.confirmed) == (tuple(f.fill_id for f in report.fills), ())
    assert later.status is Status.FILLED
    assert venue.count("provisional_failed") == len(report.fills)
    (order,) = venue.saved.values()
    assert {fill.state for fill in order.fills} == {FillState.FAILED}


@pytest.mark.parametrize(
    "cells",
    [{"state": BookState.GAP}, {"status": MarketStatus.CLOSED}, {"status": MarketStatus.PAUSED},
     {"grid_ticks": 40_000}],
)  # fmt: skip
def test_what_a_venue_would_refuse_is_refused(cells):
    """Book not live, market not open, off the grid: REJECTED with a sentence."""
    venue = Venue()
    venue.shelf.show("kalshi", (), ((480_000, 5000),), **cells)
    (report,) = venue.send(YES)
    assert report.status is Status.REJECTED
    assert report.why


def test_nonsense_is_no_order():
    """What no client of ours would send is refused as a frame, whatever numbers it has."""
    exchange = Venue().exchange
    bad = [
        place_of(replace(YES, outcome="maybe")),
        place_of(replace(YES, action="hold")),
        place_of(replace(YES, limit_ticks=MAX_NUMBER)),
        place_of(replace(YES, scale=type(YES.scale)(400, 2))),
        place_of(YES, order_id=""),
        place_of(YES, account="x" * 97),
        place_of(YES, style="fok"),
        place_of(YES, deadline_ns=2**63),
    ]
    fees = ((0, 0, 0, 1, 0, 0), (99, 0, 0, 1, 0, 0), (3, -1, 0, 1, 0, 0), (3, 0, 0, 1, 2**63, 0))
    bad += [msgspec.structs.replace(place_of(YES), fee=fee) for fee in fees]
    assert [exchange.place(message, 0) for message in bad] == [False] * len(bad)
    assert exchange.unsaved == {}


def test_without_a_record_new_orders_are_refused():
    """While nothing can be booked an order that the record does not know is refused, and needs no record."""
    venue = Venue()
    venue.exchange.can_book = False
    venue.place(YES)
    said = venue.exchange.step(venue.now, WALL_NS)
    assert [report.status for report in said] == [Status.REJECTED]
    assert "cannot book" in said[0].why
    assert venue.exchange.unsaved == {}


# -- quotes --------------------------------------------------------------------------------------


def quoted(settings=PLAIN, **how):
    """A venue on which one bid rests at 48 cents."""
    venue = Venue(settings)
    (report,) = venue.send(BID, style="maker", **how)
    assert (report.status, report.fills) == (Status.ACCEPTED, ())
    return venue


def test_a_quote_is_filled_in_parts():
    """Each part is reported as a maker's fill at the quote's price; the end tells all of them again."""
    venue = quoted()
    venue.shelf.show("kalshi", ((470_000, 400),), ((490_000, 5000),))
    (part,) = venue.step()
    assert (part.status, [(f.price_ticks, f.size_units, f.maker) for f in part.fills]) == (
        Status.PARTIAL, [(480_000, 600, True)])  # fmt: skip
    venue.shelf.show("kalshi", (), ((475_000, 5000),))
    (rest,) = venue.step()
    assert (rest.status, [f.size_units for f in rest.fills]) == (Status.FILLED, [600, 400])
    assert venue.exchange.resting() == []
    assert [f.size_units for f in venue.ask("t-0")[0].fills] == [600, 400]


def test_a_quote_ends_at_its_time_even_without_a_book():
    """Expiry is the venue's, whatever the book is worth; what crosses at that very moment comes too late."""
    venue = quoted(expires_ns=1010 * MS)
    venue.shelf.show("kalshi", (), ((475_000, 5000),), state=BookState.GAP)
    assert venue.step(9) == []
    (report,) = venue.step(1)
    assert (report.status, report.why, report.fills) == (Status.CANCELLED, "expired", ())
    assert venue.count("expired") == 1


def test_only_a_live_book_fills_a_quote():
    """While its book is not LIVE nothing fills; afterwards it stands where it stood."""
    venue = quoted()
    for state in (BookState.GAP, BookState.STALE, BookState.DEAD):
        venue.shelf.show("kalshi", (), ((475_000, 5000),), state=state)
        assert venue.step(1) == []
    venue.shelf.show("kalshi", (), ((475_000, 5000),))
    (report,) = venue.step(1)
    assert report.status is Status.FILLED


def test_a_cancel_takes_its_time_too():
    """What fills a quote before the cancel arrives counts; the cancel ends the rest."""
    venue = quoted(replace(PLAIN, latency=Latency(0)))
    venue.exchange.settings = replace(PLAIN, latency=Latency(50, 50))
    venue.exchange.cancel(ACCOUNT, "t-0", venue.now, venue.now)
    venue.shelf.show("kalshi", (), ((475_000, 300),))
    (part,) = venue.step(20)
    assert [fill.size_units for fill in part.fills] == [300]
    (end,) = venue.step(30)
    assert (end.status, [fill.size_units for fill in end.fills]) == (Status.CANCELLED, [300])
    assert venue.ask("t-0")[0].fills == part.fills


def test_a_cancel_of_what_does_not_rest_says_how_it_stands():
    """Of an order that has ended its end, of an unknown one NOT_FOUND."""
    venue = Venue()
    (first,) = venue.send(YES)
    for order_id, status in (("t-0", Status.FILLED), ("never-0", Status.NOT_FOUND)):
        venue.exchange.cancel(ACCOUNT, order_id, venue.now, venue.now)
        (report,) = venue.step()
        assert report.status is status
    assert first.status is Status.FILLED


def test_cancel_all_is_of_one_account():
    """It ends what rests for the account when it arrives; what is still on its way rests later."""
    venue = quoted()
    venue.send(BID, "o-0", style="maker", account="other")
    venue.exchange.cancel(ACCOUNT, "", venue.now, venue.now)
    (report,) = venue.step()
    assert (report.order_id, report.status) == ("t-0", Status.CANCELLED)
    assert [order.account for order in venue.exchange.resting()] == ["other"]


def test_asking_for_nothing_tells_what_rests():
    """A question without ids is answered with every quote of the account."""
    venue = quoted()
    venue.send(YES, "f-0")
    venue.send(BID, "o-0", style="maker", account="other")
    assert [answer.order_id for answer in venue.ask()] == ["t-0"]


@pytest.mark.parametrize("cells", [{"status": MarketStatus.SETTLED}, {"close_wall_ns": WALL_NS}])
def test_a_market_that_closes_ends_its_quotes(cells):
    """Resting orders are cancelled, new ones refused."""
    venue = quoted()
    venue.shelf.show("kalshi", (), (), **cells)
    (report,) = venue.step()
    assert (report.status, report.why) == (Status.CANCELLED, "the market closed")
    (report,) = venue.send(BID, "n-0", style="maker")
    assert report.status is Status.REJECTED


def test_a_quote_that_joins_an_emptied_side_starts_anew():
    """What left the side before it came does not fill it."""
    venue = quoted()
    venue.exchange.cancel(ACCOUNT, "t-0", venue.now, venue.now)
    venue.shelf.show("kalshi", ((470_000, 1),), ((490_000, 5000),))
    venue.place(BID, "n-0", style="maker")
    said = venue.step()
    assert [report.fills for report in said] == [()] * len(said)


def test_open_orders_are_bounded():
    """Beyond the bound orders are refused, not kept."""
    venue = Venue()
    for number in range(MAX_OPEN + 5):
        venue.place(replace(BID, size_units=1), f"t{number}-0", style="maker")
    venue.step()
    assert len(venue.exchange.resting()) == MAX_OPEN
    assert venue.count("rejected") == 5


def test_what_has_ended_is_forgotten_in_time():
    """Ended orders leave the reach of memory, resting ones never do."""
    venue = quoted()
    for number in range(MAX_KNOWN + 5):
        venue.send(replace(YES, limit_ticks=1), f"x{number}-0")
    assert len(venue.exchange._known._orders) <= MAX_KNOWN + 1
    assert venue.ask("t-0")[0].status is Status.ACCEPTED


def test_it_says_when_it_is_busy():
    """With something near or resting it is looked after often."""
    venue = Venue(replace(PLAIN, latency=Latency(1000, 1000)))
    assert not venue.exchange.is_busy(venue.now)
    venue.place(YES)
    assert not venue.exchange.is_busy(venue.now)
    assert venue.exchange.is_busy(venue.now + 990 * MS)
    assert quoted().exchange.is_busy(0)


def test_settings_follow_the_configuration():
    """Percent become millionths, milliseconds nanoseconds."""
    config = TraderConfig(paper_reject_pct="2.5", paper_booking_ms=7, paper_latency_p95_ms=9)
    settings = settings_of(config)
    assert (settings.reject_ppm, settings.booking_ns) == (25_000, 7 * MS)
    assert settings.latency == Latency(50, 9)
