"""Quotes: who stands where in the queue, and what fills a quote of ours."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import BookFlag
from pipeline.paper.matching import Depth
from pipeline.paper.orders import order_of
from pipeline.paper.quotes import PPM, RestingSide
from tests.support.paper_world import NO, YES, a_look, place_of

HALF, ALL = PPM // 2, PPM
BID = replace(YES, limit_ticks=400_000, size_units=100)


class Side:
    """One side of a book that a test moves, with our quotes on it."""

    def __init__(self, share=ALL):
        self.side = RestingSide(Depth())
        self.share = share
        self.number = 0
        self.orders = []
        self.filled = {}

    def look(self, bids, asks=(), **cells):
        self.number += 1
        return a_look("kalshi", bids, asks, number=self.number, **cells)

    def join(self, leg, bids, asks=()):
        """The book is this, and a quote joins it."""
        order = order_of(place_of(leg, style="maker"), len(self.orders) + 1, 0, "")
        look = self.look(bids, asks)
        self.hits(look)
        self.side.add(order, look)
        self.hits(look)
        self.orders.append(order)
        return order

    def moves(self, bids, asks=(), **cells):
        """The book moves; the units that each quote got."""
        return self.hits(self.look(bids, asks, **cells))

    def hits(self, look):
        found = {}
        for hit in self.side.advance(look, self.share):
            number = self.orders.index(hit.order)
            found[number] = hit.size_units
            self.filled[number] = self.filled.get(number, 0) + hit.size_units
            assert hit.evidence.startswith("{")
            if self.filled[number] == hit.order.leg.size_units:
                self.side.remove(hit.order)
            else:
                # As the exchange books it: what is left is smaller.
                hit.order.leg = replace(hit.order.leg, size_units=hit.order.leg.size_units - hit.size_units)
                self.filled[number] = 0
        return found


def test_it_waits_behind_what_the_level_shows():
    """Nothing is filled until what stood before it has traded; then what trades beyond."""
    side = Side()
    side.join(BID, ((400_000, 300),))
    assert side.moves(((400_000, 100),)) == {}
    assert side.moves(((400_000, 150),)) == {}
    assert side.moves(((400_000, 20),)) == {0: 30}
    assert side.moves(((390_000, 50),)) == {0: 20}


def test_only_a_share_of_what_goes_is_trades():
    """With a share of one half, half of what leaves is trades; what is cancelled moves it by the model."""
    side = Side(HALF)
    side.join(BID, ((400_000, 60),))
    # 60 joined behind us: 120 shown, front 60. Of 100 that leave 50 trade; the other 50 are cancels.
    # p = 110^3 / (110^3 + 10^3), so 0.04 of them were before us: front 9.96.
    assert side.moves(((400_000, 120),)) == {}
    assert side.moves(((400_000, 20),)) == {}
    assert side.moves(((400_000, 40),)) == {}
    assert side.moves(((400_000, 4),)) == {0: 8}


def test_nothing_trades_behind_the_best_price():
    """What leaves a level that is not the best is cancels: it moves the queue and fills nobody."""
    side = Side()
    side.join(BID, ((410_000, 500), (400_000, 300)))
    assert side.moves(((410_000, 500), (400_000, 1))) == {}
    assert side.moves(((410_000, 100), (400_000, 1))) == {}


def test_a_better_price_is_first_in_line():
    """A quote above every bid meets what trades at the best bid before the bid does."""
    side = Side()
    side.join(BID, ((390_000, 300),))
    assert side.moves(((390_000, 260),)) == {0: 40}
    assert side.moves(((390_000, 200),)) == {0: 60}


def test_a_better_bid_of_others_is_no_trade():
    """When a new best price comes, the old one's absence from a short book says nothing."""
    side = Side()
    side.join(BID, ((400_000, 300),))
    assert side.moves(((410_000, 100),)) == {}


def test_the_other_side_crossing_fills_at_our_price():
    """An offer at our price or below sells to us what it has; the same offer does so once."""
    side = Side()
    order = side.join(BID, ((400_000, 300),), ((420_000, 50),))
    assert side.moves((), ((395_000, 30), (400_000, 20), (401_000, 90))) == {0: 50}
    assert side.hits(a_look("kalshi", (), ((395_000, 30),), number=side.number)) == {}
    assert order.leg.limit_ticks == 400_000


def test_two_of_ours_share_what_trades():
    """Trades fill the best price first, then the older quote, and no unit twice."""
    side = Side()
    side.join(replace(BID, limit_ticks=395_000), ((390_000, 1000),))
    side.join(BID, ((390_000, 1000),))
    side.join(BID, ((390_000, 1000),))
    assert side.moves(((390_000, 850),)) == {1: 100, 2: 50}


def test_two_of_ours_share_an_offer():
    """What crosses two quotes of ours is sold once."""
    side = Side()
    side.join(BID, ((390_000, 10),))
    side.join(BID, ((390_000, 10),))
    assert side.moves((), ((400_000, 130),)) == {0: 100, 1: 30}


def test_nothing_is_concluded_across_a_pause():
    """What has gone while the book was not believed traded nowhere; cancels still move the queue."""
    side = Side()
    side.join(BID, ((400_000, 300),))
    side.side.pause()
    assert side.moves(((400_000, 10),)) == {}
    assert side.moves(((390_000, 5),)) == {}
    assert side.moves(((390_000, 1),)) == {0: 4}


def test_another_life_of_the_feed_is_a_pause():
    """A row of another epoch is not compared with the one before."""
    side = Side()
    side.join(BID, ((400_000, 5),))
    assert side.moves(((390_000, 5),), epoch=2) == {}


def test_the_inside_of_a_batch_is_waited_out():
    """A book that is flagged NOT_TRADABLE fills nothing; what it shows counts when the flag is gone."""
    side = Side()
    side.join(BID, ((400_000, 5),))
    assert side.moves((), ((300_000, 9),), flags=BookFlag.NOT_TRADABLE) == {}
    assert side.moves((), ((300_000, 9),)) == {0: 9}


def test_below_what_the_book_shows_it_joins_later():
    """A quote deeper than the levels shown stands behind its level once that is shown."""
    side = Side()
    side.join(BID, ((420_000, 5), (410_000, 5)))
    assert side.moves(((410_000, 5), (400_000, 40))) == {}
    assert side.moves(((400_000, 40),)) == {}
    assert side.moves(((400_000, 10),)) == {}
    assert side.moves(((390_000, 10),)) == {}
    assert side.moves(((390_000, 2),)) == {0: 8}


def test_buying_no_rests_among_the_asks():
    """The mirrored quote: 1 - p for NO stands at p among the asks, and bids cross it."""
    leg = replace(NO, venue="kalshi", market="K", scale=YES.scale, limit_ticks=600_000, size_units=100)
    side = Side()
    side.join(leg, (), ((600_000, 30),))
    assert side.moves((), ((600_000, 10),)) == {}
    assert side.moves((), ((610_000, 10),)) == {}
    assert side.moves((), ((610_000, 2),)) == {0: 8}
    assert side.moves(((605_000, 7),), ()) == {0: 7}


books = st.lists(
    st.lists(st.integers(0, 60), min_size=4, max_size=4), min_size=1, max_size=12
)  # sizes at 37, 38, 39 and 40 cents


@given(books, st.integers(0, PPM), st.integers(0, 3), st.integers(1, 120))
def test_never_more_than_has_gone(shown, share, rank, size):
    """A quote gets at most its size, at most the share of what left the best levels, and nothing before
    what stood in front of it has gone.
    """
    prices = [400_000, 390_000, 380_000, 370_000]

    def book(sizes):
        return tuple((price, units) for price, units in zip(prices, sizes, strict=True) if units)

    side = Side(share)
    first = book(shown[0])
    side.join(replace(BID, limit_ticks=prices[rank], size_units=size), first)
    joined = dict(first).get(prices[rank], 0)
    gone, got, before = 0, 0, first
    for sizes in shown[1:]:
        now = book(sizes)
        if before:
            best, units = before[0]
            gone += max(0, units - dict(now).get(best, 0))
        got += sum(side.moves(now).values())
        before = now
    assert got <= min(size, gone * share // PPM)
    if rank == 0 and got:
        # First in, first out: all that stood there has gone before. Sizes are given to the nearest lot.
        assert got + joined <= gone + 1
