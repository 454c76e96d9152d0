"""Quoting: where a maker's quote rests, what it promises after its hedge, and when it has to go."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.look import Look
from pipeline.model import BookState, FeeKind, MarketStatus, Reason
from pipeline.model_events import (
    BASKET,
    BINARY,
    COMPLEMENT,
    IMPLICATION,
    LADDER,
    MODEL,
    SPOT,
    Event,
    EventLeg,
    LegPlan,
    Review,
)
from pipeline.pairs import Direction, closing, directions
from pipeline.pairs_checks import Verdict, limits_of, low_edge_bp
from pipeline.pricing import Priced, price
from pipeline.trader import quoting
from pipeline.trader.quoting import Keep, Pull, Quote
from shm.books import BookRow
from shm.records import MARKET

NOW, WALL, TTL, SECOND = 10**13, 1_790_000_000 * 10**9, 10 * 10**9, 10**9
LIMITS = limits_of(Config())
NEVER = Review("tester", void_rule="never void")
D = Decimal
HUNDRED = 10_000
"""A hundred contracts or coins in units of two decimals."""


def look(bids, asks, *, state=BookState.LIVE, decimals=(2, 2), socket_ns=NOW - 1000, **cells) -> Look:
    """A book in cents with a grid of a cent, without fees."""
    row = MARKET.empty()._replace(
        price_decimals=decimals[0], size_decimals=decimals[1], grid_ticks=1,
        fee_kind=FeeKind.BPS, fee_exponent=1, status=MarketStatus.OPEN,
    )  # fmt: skip
    row = row._replace(**cells)
    book = BookRow(1, 1, 1, 0, BookState.LIVE, 0, 0, 0, socket_ns, socket_ns + 500, tuple(bids), tuple(asks))
    return Look(0, book, row, state)


class Shelf(dict[str, Look]):
    """Books by venue."""

    def read(self, venue: str, _market: str, _now_ns: int) -> Look | None:
        return self.get(venue)


def pair(kind: str = BINARY, review: Review | None = NEVER, **extra) -> Event:
    venues = ("kraken", "coinbase") if kind == SPOT else ("kalshi", "polymarket")
    outcome = "base" if kind == SPOT else "yes"
    return Event("e", "E", kind, tuple(EventLeg(v, v[0], outcome) for v in venues), review=review, **extra)


def wide() -> Shelf:
    """Kalshi 40 to 55, Polymarket 50 to 52: a taker of both legs loses five cents, a maker does not."""
    return Shelf(
        kalshi=look([(40, HUNDRED)], [(55, HUNDRED)]), polymarket=look([(50, HUNDRED)], [(52, HUNDRED)])
    )


def seen(
    shelf: Shelf, event: Event | None = None, index: int = 0, limits=LIMITS, now=NOW, wall=WALL
) -> Priced:
    return price(directions([event or pair()])[index], shelf, limits, now, wall)


def propose(priced: Priced, leg: int = 0, limits=LIMITS, **extra) -> Quote | Verdict:
    return quoting.propose(priced, leg, limits, **{"now_ns": NOW, "wall_ns": WALL, "ttl_ns": TTL} | extra)


def quoted(priced: Priced, leg: int = 0, **extra) -> Quote:
    found = propose(priced, leg, **extra)
    assert isinstance(found, Quote), found
    return found


def review(quote: Quote, priced: Priced, now=NOW, **extra) -> Keep | Pull:
    return quoting.review(quote, priced, LIMITS, now_ns=now, wall_ns=WALL + now - NOW, **extra)


def pulled(quote: Quote, priced: Priced, now=NOW, **extra) -> tuple[Reason, Decimal, Decimal]:
    found = review(quote, priced, now, **extra)
    assert isinstance(found, Pull), found
    return found.reason, found.value, found.limit


# -- where a quote rests -----------------------------------------------------------------------------


def test_to_buy_yes_it_joins_the_bids() -> None:
    """One step above the best bid: 41 and the NO at 1 - 50 leave nine cents of each of 100 contracts."""
    quote = quoted(seen(wide()))
    assert (quote.price_ticks, quote.size_units, quote.size_decimals) == (41, HUNDRED, 2)
    assert (quote.edge.net, quote.edge.cash, quote.edge.edge_bp) == (D(9), D(91), 989)
    assert (quote.order.action, quote.order.outcome) == ("buy", "yes")
    assert quote.orders[1].limit_ticks == 50
    assert (quote.book, quote.hedge_book) == (("kalshi", "k"), ("polymarket", "p"))
    assert quote.expires_ns == NOW + TTL


def test_to_buy_no_it_joins_the_asks() -> None:
    """A NO bid for at 41 cents rests as an ask of YES at 59, one below the best; YES is taken at 50."""
    shelf = Shelf(
        kalshi=look([(48, HUNDRED)], [(50, HUNDRED)]), polymarket=look([(45, HUNDRED)], [(60, HUNDRED)])
    )
    quote = quoted(seen(shelf), 1)
    assert (quote.price_ticks, quote.order.outcome, quote.order.action) == (59, "no", "buy")
    assert (quote.edge.net, quote.edge.cash) == (D(9), D(91))
    assert quote.edge.legs[1].cash == D(41)


def test_to_buy_coins_it_joins_the_bids_and_to_sell_them_the_asks() -> None:
    """Bought at 100.01 and sold at 104 leaves 3.99; bought at 105 and sold at 105.99 leaves 0.99."""
    shelf = Shelf(kraken=look([(10_000, 10)], [(10_500, 10)]), coinbase=look([(10_400, 10)], [(10_600, 10)]))
    priced = seen(shelf, pair(SPOT))
    buys, sells = quoted(priced, 0), quoted(priced, 1, limits=replace(LIMITS, min_edge_bp=0))
    assert (buys.price_ticks, buys.edge.net) == (10_001, D("0.399"))
    assert (sells.price_ticks, sells.edge.net) == (10_599, D("0.099"))
    assert sells.order.action == "sell"
    dear = seen(shelf, pair(SPOT, transfer_usd=D(1)))
    assert quoted(dear).edge.net == D("0.299")


@pytest.mark.parametrize(
    ("action", "outcome", "expected"),
    [
        ("buy", "yes", (41, 40)),
        ("sell", "yes", (54, 55)),
        ("buy", "no", (54, 55)),
        ("sell", "no", (41, 40)),
        ("buy", "base", (41, 40)),
        ("sell", "base", (54, 55)),
    ],
)
def test_a_maker_joins_the_side_that_a_taker_does_not_hit(action, outcome, expected) -> None:
    """Better by one step or the best itself, on bids or asks as the leg and its outcome say."""
    plan = LegPlan(EventLeg("kraken", "k", outcome), action, outcome)
    assert quoting.places(plan, look([(40, 1)], [(55, 1)])) == expected


def test_no_place_touches_the_other_side() -> None:
    """In a spread of one step only the best price itself is left, and no empty side is quoted against."""
    plan = LegPlan(EventLeg("polymarket", "p"), "buy", "yes")
    assert quoting.places(plan, look([(40, 1)], [(41, 1)])) == (40,)
    assert quoting.places(plan, look([(40, 1)], [(42, 1)])) == (41, 40)
    assert quoting.places(plan, look([(40, 1)], [])) == ()
    assert quoting.places(plan, look([], [(41, 1)])) == ()


def test_every_place_is_one_that_the_venue_takes() -> None:
    """Without a stated grid only the best is sure; where Kalshi's grid is fine, whole cents are."""
    plan = LegPlan(EventLeg("polymarket", "p"), "buy", "yes")
    assert quoting.places(plan, look([(40, 1)], [(55, 1)], grid_ticks=0)) == (40,)
    fine = look([(4_052, 1)], [(5_500, 1)], decimals=(4, 2), grid_ticks=10)
    assert quoting.places(plan, fine) == (4_060,)
    kalshi = LegPlan(EventLeg("kalshi", "k"), "buy", "yes")
    assert quoting.places(kalshi, replace(fine, book=fine.book._replace(bids=((4_050, 1),)))) == (
        4_100,
        4_050,
    )
    asks = LegPlan(EventLeg("kalshi", "k"), "buy", "no")
    assert quoting.places(asks, fine) == (5_400, 5_500)


# -- what it promises --------------------------------------------------------------------------------


def test_the_quoted_leg_pays_a_maker_s_fee_and_its_hedge_a_taker_s() -> None:
    """100 at 41 cents with Kalshi's maker rate of 0.0175 cost 0.4234; the NO costs Polymarket's full rate."""
    shelf = wide()
    shelf["kalshi"] = look(
        [(40, HUNDRED)], [(55, HUNDRED)], fee_kind=FeeKind.KALSHI, fee_rate_ppm=70_000,
        fee_maker_rate_ppm=17_500, fee_precision_micros=100,
    )  # fmt: skip
    shelf["polymarket"] = look(
        [(50, HUNDRED)], [(52, HUNDRED)], fee_kind=FeeKind.POLYMARKET, fee_rate_ppm=40_000
    )
    quote = quoted(seen(shelf))
    # 0.0175 * 100 * 0.41 * 0.59 = 0.423325, up to the next 0.0001; 0.04 * 100 * 0.5 * 0.5 = 1
    assert (quote.edge.legs[0].fee, quote.edge.legs[1].fee) == (D("0.4234"), D(1))
    assert quote.edge.net == 9 - D("1.4234")
    assert (quote.fee.rate_ppm, quote.edge.net_low < quote.edge.net) == (17_500, True)
    shelf["polymarket"] = look(
        [(30, HUNDRED)], [(52, HUNDRED)], fee_kind=FeeKind.POLYMARKET, fee_rate_ppm=40_000
    )
    other = quoted(seen(shelf, index=1), 0)  # YES at Polymarket, where makers pay nothing, NO at Kalshi
    # 0.07 * 100 * 0.6 * 0.4 = 1.68
    assert [leg.fee for leg in other.edge.legs] == [0, D("1.68")]
    assert (other.price_ticks, other.edge.net) == (31, 9 - D("1.68"))


def test_it_steps_ahead_only_if_the_edge_allows_it() -> None:
    """989 bp are left at 41 and 1,111 bp at 40: the limit decides for one of them or neither."""
    priced = seen(wide())
    at_best = quoted(priced, limits=replace(LIMITS, min_edge_bp=1_000))
    assert (at_best.price_ticks, at_best.edge.edge_bp) == (40, 1_111)
    none = propose(priced, limits=replace(LIMITS, min_edge_bp=1_200))
    assert none == Verdict(Reason.EDGE_TOO_SMALL, D(1_111), D(1_200))


def test_its_size_is_what_the_hedge_shows_and_the_caps_leave() -> None:
    """Levels of the hedge that would cost money are not counted; dollars, venue cash and size are caps."""
    shelf = wide()
    shelf["polymarket"] = look([(50, 500), (45, 300), (30, HUNDRED)], [(52, HUNDRED)])
    priced = seen(shelf)
    assert quoted(priced).size_units == 800
    assert quoted(priced, max_size_units=123).size_units == 123
    assert quoted(priced, max_cash=D("3.64")).size_units == 400  # at 0.91
    assert quoted(priced, cash=(D("0.82"), None)).size_units == 200  # at 0.41
    assert propose(priced, cash=(D(0), None)) == Verdict(Reason.BELOW_MINIMUM, D(0), D(1))


def test_a_coarse_quoted_leg_takes_its_partner_s_finer_size() -> None:
    """Sizes meet on the finer scale, and no order is off its own."""
    shelf = wide()
    shelf["polymarket"] = look([(50, 12_345_678)], [(52, HUNDRED)], decimals=(2, 6))
    quote = quoted(seen(shelf))
    assert (quote.size_units, quote.size_decimals) == (12_340_000, 6)
    assert [order.size_units for order in quote.orders] == [1_234, 12_340_000]


def test_a_pair_that_may_be_called_off_alone_is_not_quoted() -> None:
    """The worst row of the payoff table counts for a maker as it does for a taker."""
    found = propose(seen(wide(), pair(review=Review("tester", void_rule="each by its own rules"))))
    assert isinstance(found, Verdict)
    assert (found.reason, found.value, found.limit) == (Reason.VOID_PAYOFF, D(-90), D(0))


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"state": BookState.STALE}, Reason.BOOK_STALE),
        ({"status": MarketStatus.PAUSED}, Reason.MARKET_CLOSED),
        ({"fee_kind": FeeKind.UNKNOWN}, Reason.FEE_UNKNOWN),
        ({"socket_ns": NOW - 60 * SECOND}, Reason.BOOK_TOO_OLD),
        ({"rules_hash": "0" * 64}, Reason.NOT_REVIEWED),
        ({"close_wall_ns": WALL + TTL // 2}, Reason.MARKET_CLOSED),
    ],
)
def test_books_and_markets_that_may_not_be_traded_are_not_quoted(cells, reason) -> None:
    """What stops a taker's order stops a quote, and so does a market that closes while it would live."""
    shelf = wide()
    shelf["polymarket"] = look([(50, HUNDRED)], [(52, HUNDRED)], **cells)
    found = propose(seen(shelf))
    assert isinstance(found, Verdict)
    assert found.reason == reason
    assert found.value != found.limit
    assert pulled(quoted(seen(wide())), seen(shelf))[0] == reason


def test_an_event_that_is_written_anew_is_quoted_anew() -> None:
    """A quote goes when its direction has other legs now, and one that is not quoted gets none."""
    inverse = pair()
    inverse = replace(inverse, legs=(inverse.legs[0], replace(inverse.legs[1], polarity="inverse")))
    assert pulled(quoted(seen(wide())), seen(wide(), inverse)) == (Reason.RULES_CHANGED, D(1), D(0))
    legs = EventLeg("kalshi", "k"), EventLeg("polymarket", "p")
    basket = Event("e", "E", BASKET, legs, review=NEVER, exhaustive=True)
    assert propose(seen(wide(), basket)) == Verdict(Reason.WATCH_ONLY, D(0), D(1))


def test_only_reviewed_pairs_that_are_bought_are_quoted() -> None:
    """Not what closes a pair, nor baskets, models, conversions and what nobody has compared."""
    assert all(quoting.quotable(found) for kind in (BINARY, SPOT) for found in directions([pair(kind)]))
    legs = EventLeg("polymarket", "yes"), EventLeg("polymarket", "no")
    for kind in (COMPLEMENT, IMPLICATION, LADDER):
        (found,) = directions([Event("e", "E", kind, legs, review=NEVER)])
        assert quoting.quotable(found)
    back = closing(directions([pair()])[0])
    assert back is not None
    coin = EventLeg("kraken", "BTC/USDT", "base", convert=("kraken", "USDT/USD"))
    others: list[Direction] = [back, directions([pair(review=None)])[0]]
    others += directions([Event("e", "E", BASKET, legs, review=NEVER)])
    others += directions([Event("e", "E", MODEL, (legs[0], coin), review=NEVER)])
    others += directions([Event("e", "E", SPOT, (coin, EventLeg("coinbase", "c", "base")), review=NEVER)])
    assert len(others) == 8
    assert not any(quoting.quotable(found) for found in others)


@given(
    bid=st.integers(1, 97), spread=st.integers(1, 40), hedge_bid=st.integers(1, 97),
    gap=st.integers(1, 5), units=st.integers(1, 50_000), leg=st.integers(0, 1),
)  # fmt: skip
def test_a_quote_never_crosses_and_always_leaves_its_limits(bid, spread, hedge_bid, gap, units, leg) -> None:
    """Whatever the books: best or one step better, inside the spread, worth the minimum, and kept at once."""
    quoted_book = look([(bid, HUNDRED)], [(min(99, bid + spread), HUNDRED)])
    hedge_book = look([(hedge_bid, units)], [(min(99, hedge_bid + gap), units)])
    names = ("kalshi", "polymarket") if leg == 0 else ("polymarket", "kalshi")
    shelf = Shelf(zip(names, (quoted_book, hedge_book), strict=True))
    priced = seen(shelf)
    found = propose(priced, leg)
    if isinstance(found, Verdict):
        assert found.reason
        return
    best_bid, best_ask = quoted_book.book.bids[0][0], quoted_book.book.asks[0][0]
    assert best_bid <= found.price_ticks <= best_ask
    assert (found.price_ticks < best_ask) if leg == 0 else (found.price_ticks > best_bid)
    assert abs(found.price_ticks - (best_bid if leg == 0 else best_ask)) <= 1
    assert low_edge_bp(found.edge) >= LIMITS.min_edge_bp
    assert found.edge.net_low >= LIMITS.min_profit_usd
    kept = review(found, priced)
    assert isinstance(kept, Keep)
    assert kept.edge == found.edge


# -- when it has to go -------------------------------------------------------------------------------


def test_it_goes_when_the_other_venue_moves() -> None:
    """With the hedge at 58 instead of 50 cents a fill would leave one cent: 101 bp; at 60 it would lose."""
    quote, shelf = quoted(seen(wide())), wide()
    shelf["polymarket"] = look([(42, HUNDRED)], [(60, HUNDRED)])
    strict = replace(LIMITS, min_edge_bp=150)
    found = quoting.review(quote, seen(shelf), strict, now_ns=NOW, wall_ns=WALL)
    assert found == Pull(Reason.EDGE_TOO_SMALL, D(101), D(150))
    shelf["polymarket"] = look([(40, HUNDRED)], [(60, HUNDRED)])
    assert pulled(quote, seen(shelf)) == (Reason.NO_EDGE, D(-100), D(0))


def test_all_of_it_must_be_worth_its_hedge() -> None:
    """The best part of the hedge is not enough: the whole rest is counted, at what the book shows for it."""
    quote, shelf = quoted(seen(wide())), wide()
    shelf["polymarket"] = look([(50, 5_000), (20, HUNDRED)], [(52, HUNDRED)])
    # Half at 0.91 and half at 1.21 cost 106 dollars for 100.
    assert pulled(quote, seen(shelf)) == (Reason.NO_EDGE, D(-567), D(0))
    kept = review(quote, seen(shelf), filled_units=5_000)
    assert isinstance(kept, Keep)
    assert kept.edge.net == D("4.5")
    shelf["polymarket"] = look([(50, 5_000)], [(52, HUNDRED)])
    assert pulled(quote, seen(shelf)) == (Reason.BELOW_MINIMUM, D(50), D(100))


def test_a_small_rest_stays_for_what_it_is_worth_a_dollar() -> None:
    """The smallest profit in dollars is asked of the whole quote, not of what partial fills leave."""
    quote = quoted(seen(wide()))
    kept = review(quote, seen(wide()), filled_units=HUNDRED - 1)
    assert isinstance(kept, Keep)
    assert kept.edge.net_low < LIMITS.min_profit_usd


def test_its_time_ends_before_its_market_does() -> None:
    """It is pulled when its time is over, and when a market now closes before that."""
    quote = quoted(seen(wide()))
    late = NOW + TTL + 5_000_000
    assert pulled(quote, seen(wide()), late) == (Reason.EXPIRED, D(5), D(0))
    sooner = pair(close_ns=WALL + 4 * SECOND)
    assert pulled(quote, seen(wide(), sooner)) == (Reason.MARKET_CLOSED, D(6), D(0))


def test_it_follows_the_best_price_but_not_every_step() -> None:
    """A step away, or in its first second, it keeps its place in the queue; two steps away it goes."""
    quote = quoted(seen(wide()))
    later = NOW + SECOND

    def with_best(ticks: int, now: int) -> Priced:
        shelf = wide()
        for venue, bid, ask in (("kalshi", ticks, 55), ("polymarket", 50, 52)):
            shelf[venue] = look([(bid, HUNDRED)], [(ask, HUNDRED)], socket_ns=now - 1000)
        return seen(shelf, now=now)

    for ticks in (39, 40, 41):
        assert isinstance(review(quote, with_best(ticks, later), later), Keep)
    for ticks in (38, 42):
        assert pulled(quote, with_best(ticks, later), later) == (Reason.QUOTE_MOVED, D("0.02"), D("0.01"))
        assert isinstance(review(quote, with_best(ticks, NOW), NOW), Keep)


def test_on_a_fine_grid_the_best_price_may_wander_a_basis_point() -> None:
    """At 100 dollars and a grid of a cent, one cent is a basis point; at 1,000 dollars it is ten cents."""
    kraken = look([(100_000, 10)], [(120_000, 10)])
    coinbase = look([(110_000, 10)], [(121_000, 10)])
    quote = quoted(seen(Shelf(kraken=kraken, coinbase=coinbase), pair(SPOT)))
    later = NOW + SECOND
    for moved, stays in ((10, True), (-10, True), (11, False), (-11, False)):
        shelf = Shelf(
            kraken=look([(100_000 + moved, 10)], [(120_000, 10)], socket_ns=later),
            coinbase=look([(110_000, 10)], [(121_000, 10)], socket_ns=later),
        )
        found = review(quote, seen(shelf, pair(SPOT), now=later), later)
        assert isinstance(found, Keep) is stays
    assert isinstance(found, Pull)
    assert (found.reason, found.value, found.limit) == (Reason.QUOTE_MOVED, D("0.11"), D("0.1"))


def test_a_price_off_a_new_grid_goes() -> None:
    """When the venue makes its grid coarser the quote would not be taken again."""
    quote, shelf = quoted(seen(wide())), wide()
    shelf["kalshi"] = look([(40, HUNDRED)], [(55, HUNDRED)], grid_ticks=5)
    assert pulled(quote, seen(shelf)) == (Reason.OFF_GRID, D("0.01"), D(0))


# -- which are made ----------------------------------------------------------------------------------


def candidate(event: str, market: str, hedge: str, ask_of_no: int) -> Quote:
    """A quote at Kalshi's `market`, hedged in Polymarket's `hedge`, that leaves so many cents less 41."""
    legs = EventLeg("kalshi", market), EventLeg("polymarket", hedge)
    shelf = wide()
    shelf["polymarket"] = look([(ask_of_no, HUNDRED)], [(99, HUNDRED)])
    return quoted(seen(shelf, Event(event, event, BINARY, legs, review=NEVER)))


def test_the_best_few_are_picked() -> None:
    """By net a dollar, whatever their order, and with those that rest no more than allowed."""
    quotes = [candidate(f"e{cents}", f"k{cents}", f"p{cents}", cents) for cents in (48, 60, 44, 52)]
    assert [quote.key[0] for quote in quoting.pick(quotes, [], 3)] == ["e60", "e52", "e48"]
    assert quoting.pick(quotes, [], 3) == quoting.pick(reversed(quotes), [], 3)
    assert [quote.key[0] for quote in quoting.pick(quotes[1:], [quotes[0]], 3)] == ["e60", "e52"]
    assert quoting.pick(quotes[1:], [quotes[0]], 1) == []


def test_no_two_quotes_get_in_each_other_s_way() -> None:
    """One an event, one a book, and no hedge in a book where another quote rests."""
    first = candidate("a", "k1", "p1", 60)
    same_event = candidate("a", "k2", "p2", 50)
    same_book = candidate("b", "k1", "p3", 50)
    same_hedge = candidate("c", "k4", "p1", 50)
    shelf = Shelf(kalshi=look([(48, HUNDRED)], [(50, HUNDRED)]), polymarket=look([(45, 500)], [(60, 500)]))
    legs = EventLeg("kalshi", "k1"), EventLeg("polymarket", "p5")
    into_ours = quoted(seen(shelf, Event("d", "d", BINARY, legs, review=NEVER)), 1)
    assert into_ours.hedge_book == first.book
    picked = quoting.pick([same_event, same_book, same_hedge, into_ours, first], [], 9)
    assert [quote.key[0] for quote in picked] == ["a", "c"]
