"""Quoting: where one leg of a pair may rest as a maker's quote, and when such a quote has to go.

In: a direction priced from the books as they are now, limits, room. Out: a `Quote` or the reason why there
is none; of a quote that rests, whether it stays; of many, the few that are made. Pure; run by the trader.

The quoted leg is priced as a ladder of one level, our own price, with the fee of a maker; the other leg
takes what its live book shows, at once. So what a quote promises is what is left after the hedge.

A maker joins the side opposite to the one that a taker would hit: who buys YES or a coin joins the bids, who
buys NO or sells joins the asks (a NO bought at 1 - p rests as an ask at p in the book's terms). A quote is
the best price of its side or one step better; behind the best none is made: it would be reached only when
all before it is swept, which is when it is worth least (adverse selection).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from pipeline.edge import Edge, EdgeLeg, Trade
from pipeline.fees import schedule_for
from pipeline.look import Look
from pipeline.model import FeeSchedule, Reason, Scale
from pipeline.model_events import (
    BINARY,
    COMPLEMENT,
    IMPLICATION,
    LADDER,
    SPOT,
    LegPlan,
    OrderLeg,
)
from pipeline.money import to_decimal
from pipeline.pairs import Direction, order_legs
from pipeline.pairs_checks import PASSED, Limits, Verdict, check_edge, low_edge_bp, refused
from pipeline.pricing import Priced, check_void, pair_payoffs

QUOTED = frozenset({BINARY, SPOT, COMPLEMENT, IMPLICATION, LADDER})
"""Kinds of pairs that are quoted. What is held is closed by taking."""

OF_THE_EDGE = frozenset(
    {
        Reason.NONE,
        Reason.NO_EDGE,
        Reason.EDGE_TOO_SMALL,
        Reason.BELOW_MINIMUM,
        Reason.PROFIT_TOO_SMALL,
        Reason.MISMATCH,
        Reason.BELOW_HURDLE,
        Reason.VOID_PAYOFF,
    }
)
"""What a taker's price is refused for after its books have passed: a maker's price is another one."""

SURE_STEP = {"kalshi": 2}
"""Decimals of the price steps that a venue takes everywhere: Kalshi's grid is finer only near 0 and 1."""

MOST_STEPS = 1
MOST_MOVE_BP = 1
"""A quote stays while the best price of its side is within so many steps, or bp of it, of where it was."""

LEAST_LIFE_NS = 1_000_000_000
"""A younger quote is not moved for a better place: it would lose its turn in the queue for nothing."""

Market = tuple[str, str]
"""Venue and market."""


@dataclass(frozen=True, slots=True)
class Quote:
    """One leg that rests, and the other that takes what it fills.

    `orders` are those of both legs for the whole size: that of `leg` rests at its `limit_ticks` (book
    terms), the other one is the hedge as the books were. `fee` is a maker's. `best_ticks` was the best price
    of the side that it joins. Times are CLOCK_MONOTONIC.
    """

    direction: Direction
    leg: int
    orders: tuple[OrderLeg, OrderLeg]
    fee: FeeSchedule
    edge: Edge
    best_ticks: int
    made_ns: int
    expires_ns: int

    @property
    def key(self) -> tuple[str, int]:
        """Event and number of the direction."""
        return self.direction.key

    @property
    def order(self) -> OrderLeg:
        """The order that rests."""
        return self.orders[self.leg]

    @property
    def price_ticks(self) -> int:
        """Where it rests, in the book's own terms."""
        return self.order.limit_ticks

    @property
    def size_units(self) -> int:
        """The size of each leg, on `size_decimals`."""
        return self.edge.size_units

    @property
    def size_decimals(self) -> int:
        """Decimals of `size_units`, the finest of the legs'."""
        return self.edge.size_decimals

    @property
    def book(self) -> Market:
        """Where it rests."""
        return self.order.venue, self.order.market

    @property
    def hedge_book(self) -> Market:
        """Where its fills are hedged."""
        hedge = self.orders[1 - self.leg]
        return hedge.venue, hedge.market


@dataclass(frozen=True, slots=True)
class Keep:
    """A quote that stays: `edge` is what the rest of it would leave if it were filled and hedged now."""

    edge: Edge


@dataclass(frozen=True, slots=True)
class Pull:
    """A quote that has to go: the reason, the number that failed and its limit, in units of `Verdict`."""

    reason: Reason
    value: Decimal
    limit: Decimal


def quotable(direction: Direction) -> bool:
    """Whether one of the direction's legs may rest: a reviewed pair of two legs, quoted in dollars."""
    return (
        direction.kind in QUOTED
        and len(direction.legs) == 2
        and direction.event.reviewed
        and not any(plan.leg.convert[1] for plan in direction.legs)
    )


def joins_bids(plan: LegPlan) -> bool:
    """Whether a maker's order for this leg rests among the book's bids, else among its asks."""
    return plan.takes_asks


def places(plan: LegPlan, look: Look) -> tuple[int, ...]:
    """Prices in ticks at which a quote of this leg may rest, the one nearest to the other side first.

    One step better than the best of its side, then the best itself. None crosses or touches the other side,
    and all are on the venue's grid. () where a side of the book is empty, because then nothing says what a
    fair price is. Where the venue states no grid the best price alone is known to be on it.
    """
    bids, asks, market = look.book.bids, look.book.asks, look.market
    if not (bids and asks):
        return ()
    bid, ask, grid = bids[0][0], asks[0][0], market.grid_ticks
    best = bid if joins_bids(plan) else ask
    found = []
    if grid:
        step = step_ticks(plan, look)
        found.append((best // step + 1) * step if joins_bids(plan) else (-(-best // step) - 1) * step)
    if not grid or best % grid == 0:
        found.append(best)
    top = 10**market.price_decimals if plan.outcome != "base" else None
    inside = [price for price in found if price > 0 and (top is None or price < top)]
    return tuple(price for price in inside if (price < ask if joins_bids(plan) else price > bid))


def step_ticks(plan: LegPlan, look: Look) -> int:
    """The distance in ticks between prices that the venue surely takes; 1 where it states no grid."""
    market = look.market
    sure = SURE_STEP.get(plan.leg.venue)
    least = 1 if sure is None else 10 ** max(0, market.price_decimals - sure)
    return max(market.grid_ticks, least) if market.grid_ticks else 1


def propose(
    priced: Priced,
    leg: int,
    limits: Limits,
    *,
    now_ns: int,
    wall_ns: int,
    ttl_ns: int,
    max_cash: Decimal | None = None,
    cash: Sequence[Decimal | None] | None = None,
    max_size_units: int | None = None,
) -> Quote | Verdict:
    """The quote of leg 0 or 1 that lives `ttl_ns`, or why there is none.

    One step better than the best price where every limit holds there with the fees of the worst split, else
    at the best, else refused with the numbers there. The caps are those of `Priced.within`. `now_ns` is
    CLOCK_MONOTONIC, `wall_ns` the wall clock: a quote must not live longer than its markets.
    """
    if priced.verdict.reason not in OF_THE_EDGE:
        return priced.verdict
    if not quotable(priced.direction):
        return refused(Reason.WATCH_ONLY, 0, 1)
    closing = _closing(priced, wall_ns, ttl_ns)
    if closing.reason:
        return closing
    look, legs = priced.looks[leg], priced.legs
    assert look is not None, "its book has passed"
    assert legs is not None, "its fee has passed"
    verdict = refused(Reason.ONE_SIDED, 0, 1)
    fee = schedule_for(legs[leg].fee, "maker")
    for ticks in places(priced.direction.legs[leg], look):
        resting = replace(legs[leg], ladder=((ticks, _hedged_units(legs, leg)),), fee=fee)
        edge, verdict = _checked(
            replace(priced, legs=_with(legs, leg, resting)), limits, max_cash, cash, max_size_units
        )
        if edge is not None and not verdict.reason:
            first, second = order_legs(priced.direction, edge, [one.scale for one in legs])
            best = (look.book.bids if joins_bids(priced.direction.legs[leg]) else look.book.asks)[0][0]
            return Quote(priced.direction, leg, (first, second), fee, edge, best, now_ns, now_ns + ttl_ns)
    return verdict


def review(
    quote: Quote, priced: Priced, limits: Limits, *, now_ns: int, wall_ns: int, filled_units: int = 0
) -> Keep | Pull:
    """Whether a quote that rests may stay, by its direction as priced now.

    `filled_units` of it, on the order's own scale, are filled already. It has to go when its time is over
    or its markets close before, when a book or the event is no longer what may be traded, when the whole
    rest at its price leaves less than the limits (`min_profit_usd` aside: the whole quote was worth it), and
    when the best price of its side has moved away from where it was by more than a step and a basis point
    and the quote is a second old: then there is a better place for it, or none.
    """
    assert priced.direction.key == quote.key, "another direction"
    if now_ns >= quote.expires_ns:
        return Pull(Reason.EXPIRED, to_decimal(now_ns - quote.expires_ns, 6), Decimal(0))
    for verdict in (priced.verdict, _closing(priced, wall_ns, quote.expires_ns - now_ns)):
        if verdict.reason not in OF_THE_EDGE:
            return Pull(*verdict)
    if priced.direction.legs != quote.direction.legs:
        # The event has been written anew: what rests belongs to no leg of it any longer.
        return Pull(Reason.RULES_CHANGED, Decimal(1), Decimal(0))
    look, legs = priced.looks[quote.leg], priced.legs
    assert look is not None, "its book has passed"
    assert legs is not None, "its fee has passed"
    found = _rest(quote, priced, legs, quote.order.size_units - filled_units)
    if isinstance(found, Pull):
        return found
    verdict = _judged(priced, found, replace(limits, min_profit_usd=Decimal(0)))
    if verdict.reason:
        return Pull(*verdict)
    moved = _moved(quote, look) if now_ns - quote.made_ns >= LEAST_LIFE_NS else PASSED
    return Pull(*moved) if moved.reason else Keep(found)


def pick(candidates: Iterable[Quote], resting: Sequence[Quote], most: int) -> list[Quote]:
    """Of the candidates those to be made beside the `resting` ones, at most `most` quotes in all.

    The most net a dollar first, with the fees of the worst split. An event has one quote at a time, and so
    has a book; and no fill is hedged in a book where we quote: an order of ours could meet another.
    """
    made = list(resting)
    for quote in sorted(candidates, key=_worth):
        if len(made) >= most:
            break
        if not any(_in_the_way(quote, other) for other in made):
            made.append(quote)
    return made[len(resting) :]


def _worth(quote: Quote) -> tuple[int, Decimal, tuple[str, int], int]:
    """The better first; among equals an order that is always the same."""
    return -low_edge_bp(quote.edge), -quote.edge.net_low, quote.key, quote.leg


def _in_the_way(quote: Quote, other: Quote) -> bool:
    return (
        quote.direction.event.id == other.direction.event.id
        or quote.book in {other.book, other.hedge_book}
        or other.book == quote.hedge_book
    )


def _closing(priced: Priced, wall_ns: int, ttl_ns: int) -> Verdict:
    """Whether all markets are open for as long as the quote lives: seconds that it would live too long."""
    closes = [priced.direction.event.close_ns]
    closes += [look.market.close_wall_ns for look in priced.looks if look is not None]
    first = min([close for close in closes if close > 0], default=0)
    late_ns = wall_ns + ttl_ns - first
    return refused(Reason.MARKET_CLOSED, to_decimal(late_ns, 9), 0) if first and late_ns >= 0 else PASSED


def _hedged_units(legs: Sequence[EdgeLeg], leg: int) -> int:
    """All that the other leg's book shows, on this leg's scale: more is never quoted."""
    other = legs[1 - leg]
    finer = legs[leg].scale.size_decimals - other.scale.size_decimals
    return -(-other.shown_units * int(10 ** max(0, finer)) // int(10 ** max(0, -finer)))


def _with(legs: Sequence[EdgeLeg], leg: int, changed: EdgeLeg) -> tuple[EdgeLeg, ...]:
    return tuple(changed if number == leg else one for number, one in enumerate(legs))


def _checked(
    priced: Priced,
    limits: Limits,
    max_cash: Decimal | None,
    cash: Sequence[Decimal | None] | None,
    max_size_units: int | None,
) -> tuple[Edge | None, Verdict]:
    """The edge of legs at the worst that they may pay, within the caps, and the first check that fails."""
    settled, worst = pair_payoffs(priced.direction)
    edge = replace(priced, payoff=worst).within(max_cash, cash, max_size_units)
    if worst < settled and (edge is None or edge.net_low <= 0):
        # Nothing is left if a leg is called off: say that, where there would be something else.
        edge = replace(priced, payoff=settled).within(max_cash, cash, max_size_units)
    return edge, _judged(priced, edge, limits)


def _judged(priced: Priced, edge: Edge | None, limits: Limits) -> Verdict:
    """The first limit that an edge fails, every row of its payoff table included."""
    direction = priced.direction
    verdict = check_edge(edge, direction, limits, priced.left_ns)
    return verdict if verdict.reason or edge is None else check_void(direction, edge)


def _rest(quote: Quote, priced: Priced, legs: Sequence[EdgeLeg], left_units: int) -> Edge | Pull:
    """What `left_units` of the quote leave if they are filled at its price and hedged at once.

    All of them, not the best part: how much of a quote is filled is not ours to say.
    """
    assert 0 < left_units <= quote.order.size_units, "nothing of it rests"
    ticks, leg, scale = quote.price_ticks, legs[quote.leg], legs[quote.leg].scale
    if scale != quote.order.scale or (leg.grid_ticks and ticks % leg.grid_ticks):
        # The venue has changed its grid; what is off it would not be taken again.
        return Pull(
            Reason.OFF_GRID, to_decimal(ticks % (leg.grid_ticks or 1), scale.price_decimals), Decimal(0)
        )
    resting = replace(leg, ladder=((ticks, left_units),), fee=schedule_for(leg.fee, "maker"))
    trade = Trade(_with(legs, quote.leg, resting), pair_payoffs(priced.direction)[1])
    size = left_units * 10 ** (trade.size_decimals - scale.size_decimals)
    hedge = legs[1 - quote.leg]
    if not trade.sides[1 - quote.leg].shows(size):
        shown = to_decimal(hedge.shown_units, hedge.scale.size_decimals)
        return Pull(Reason.BELOW_MINIMUM, shown, to_decimal(size, trade.size_decimals))
    return trade.edge(size)


def _moved(quote: Quote, look: Look) -> Verdict:
    """Whether the best price of the quote's side is too far from where it was, in dollars.

    Our own quote may be that best price by now, which is one step at most.
    """
    plan = quote.direction.legs[quote.leg]
    side = look.book.bids if joins_bids(plan) else look.book.asks
    if not side:
        return refused(Reason.ONE_SIDED, 0, 1)
    moved = abs(side[0][0] - quote.best_ticks)
    most = max(MOST_STEPS * step_ticks(plan, look), quote.best_ticks * MOST_MOVE_BP // 10_000)
    if moved <= most:
        return PASSED
    scale: Scale = quote.order.scale
    return refused(
        Reason.QUOTE_MOVED, to_decimal(moved, scale.price_decimals), to_decimal(most, scale.price_decimals)
    )
