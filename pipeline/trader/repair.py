"""Repair: what to do about a leg that holds more than the other, by cost.

In: the trade's plan, its excess, both books as they are now, the cash and the stock that are free. Out: the
order that completes the pair or takes the excess back, whichever costs less, or why neither can be made.
Pure; asked by the trader whenever a `trade.Repair` is due. What cannot be helped by any order, and is
little, is dust.

The two ways are worth, for a quantity q of the excess leg (fees at the worst split, as in every decision):

    HEDGE    payoff x q  -  what the other leg costs (or + what it brings, where it sells)
    UNWIND   what selling q of the excess leg brings (a sold one: - what buying it back costs)

The excess itself was paid for in both, so the difference of the two is the difference in dollars. Where
both can be done they are compared at the size that both can do; of equals the pair is completed. What the
order does not cover is the next repair's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from pipeline.edge import EdgeLeg
from pipeline.edge_sides import Side
from pipeline.fees import money_decimals
from pipeline.look import Look
from pipeline.model import BOOK_REASONS, EXACT, BookState, FeeKind, FeeSchedule, MarketStatus, Reason
from pipeline.model_events import EventLeg, LegPlan, OrderLeg
from pipeline.money import money_text, to_decimal
from pipeline.pairs import edge_leg
from pipeline.pairs_checks import NOT_TRADABLE, check_sides
from pipeline.pricing import leg_view
from pipeline.trader.broker import Purpose, Refused
from pipeline.trader.plan import PlanLeg, TradePlan

Stock = Callable[[PlanLeg], Decimal]
"""How much of a leg's outcome (or coin) is free to be sold at its venue, in contracts or coins."""

LOT_TRIES = 64
"""Two lots may have no multiple in common that is small: then so many smaller sizes are tried."""
FREE = FeeSchedule(FeeKind.FLAT)
"""Charges nothing: to ask how large an order must be, no fee is needed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The cheaper repair: an immediate `order` for leg `leg`, with the taker's `fee` as it holds now.

    `cost` is minus what this way is worth for `compared` contracts or coins, in dollars, and `other_cost`
    that of the other way for as many; None where the other way is impossible, for `other_reason`.
    """

    purpose: Purpose
    leg: int
    order: OrderLeg
    fee: FeeSchedule
    cost: Decimal
    other_cost: Decimal | None
    compared: Decimal
    why: str
    other_reason: Reason = Reason.NONE


@dataclass(frozen=True, slots=True)
class Impossible:
    """Neither way can be gone now: the reason of the hedge's, with its number and its limit; `why` has both.

    Sizes are in contracts or coins; cash, and what a book is too thin to be worth, in dollars.
    """

    reason: Reason
    value: Decimal
    limit: Decimal
    why: str


@dataclass(frozen=True, slots=True)
class _Money:
    """The scales that both legs fit on: sizes on `size_decimals`, money on `decimals`."""

    size_decimals: int
    decimals: int

    @classmethod
    def of(cls, plan: TradePlan) -> _Money:
        scales = [leg.scale for leg in plan.legs]
        size = max(scale.size_decimals for scale in scales)
        return cls(size, money_decimals(max(scale.price_decimals for scale in scales), size))

    def units(self, quantity: Decimal) -> int:
        """Whole units of a quantity, rounded down."""
        return int(quantity.scaleb(self.size_decimals).to_integral_value(ROUND_FLOOR))

    def quantity(self, units: int) -> Decimal:
        return to_decimal(units, self.size_decimals)

    def dollars(self, money: int) -> Decimal:
        return to_decimal(money, self.decimals)


@dataclass(frozen=True, slots=True)
class _Way:
    """One way that can be gone, for `size` units at most."""

    purpose: Purpose
    leg: int
    plan_leg: PlanLeg
    action: str
    side: Side
    fee: FeeSchedule
    size: int
    payoff: Decimal
    money: _Money

    def worth(self, size: int) -> Decimal:
        """Dollars that this way is worth for `size` units."""
        taken = self.side.taken(size)
        flow = taken.amount - taken.fee_high if self.side.sold else -taken.amount - taken.fee_high
        paid_out = EXACT.multiply(self.payoff, self.money.quantity(size))
        return EXACT.add(paid_out, self.money.dollars(flow))

    def order(self) -> OrderLeg:
        """The order for all of it: its limit is the worst level walked."""
        leg, fills = self.plan_leg, self.side.taken(self.size).fills
        units = self.size // self.side.units
        return OrderLeg(leg.venue, leg.market, leg.outcome, self.action, fills[-1][0], units, leg.scale)


def choose(
    plan: TradePlan,
    leg: int,
    quantity: Decimal,
    looks: tuple[Look | None, Look | None],
    cash: Mapping[str, Decimal],
    stock: Stock,
    now_wall_ns: int,
) -> Choice | Impossible:
    """The cheaper way to mend that `leg` holds `quantity` more than the other leg.

    `looks` are the books of both legs, `cash` the free dollars by venue. An order is made only on a LIVE
    book that may be traded on, in an open market, with a known fee, on its lot, within cash (buys) and stock
    (sells), at the venue's minimum or more; where only a part can be done, for that part.
    """
    if quantity <= 0:
        raise ValueError(f"an excess is above 0, not {quantity}")
    ways: list[_Way] = []
    no: list[Refused] = []
    for purpose, number in ((Purpose.HEDGE, 1 - leg), (Purpose.UNWIND, leg)):
        found = _way(plan, purpose, number, quantity, looks[number], cash, stock, now_wall_ns)
        if isinstance(found, _Way):
            ways.append(found)
        else:
            no.append(found)
    if not ways:
        texts = [
            f"{refused.reason.name} ({money_text(refused.value)} against {money_text(refused.limit)})"
            for refused in no
        ]
        why = f"completing: {texts[0]}; taking back: {texts[1]}"
        return Impossible(no[0].reason, no[0].value, no[0].limit, why)
    size = min(way.size for way in ways)
    # The first of equals is the hedge.
    best = max(ways, key=lambda way: way.worth(size))
    worths = [(way.purpose, way.worth(size)) for way in ways]
    texts = [f"{purpose.value} is worth {money_text(worth)}" for purpose, worth in worths]
    texts += [f"the other way: {refused.reason.name}" for refused in no]
    others = [worth.copy_negate() for purpose, worth in worths if purpose is not best.purpose]
    compared = best.money.quantity(size)
    return Choice(
        best.purpose,
        best.leg,
        best.order(),
        best.fee,
        best.worth(size).copy_negate(),
        others[0] if others else None,
        compared,
        f"for {money_text(compared)}: {'; '.join(texts)}",
        no[0].reason if no else Reason.NONE,
    )


@dataclass(frozen=True, slots=True)
class Sale:
    """An immediate order that sells `quantity` contracts of leg `leg`, and what it brings, in dollars: the
    fee at one fill a level and at the worst split.
    """

    leg: int
    order: OrderLeg
    quantity: Decimal
    brings: Decimal
    fee: Decimal
    fee_high: Decimal


def sell_off(
    plan: TradePlan,
    quantity: Decimal,
    looks: tuple[Look | None, Look | None],
    stock: Stock,
    now_wall_ns: int,
) -> tuple[Sale, ...] | Refused:
    """Orders that sell `quantity` contracts of both legs, or of the one that stands alone: on the terms of
    repairs, in equal sizes, for as much as every leg's book shows; or the first thing that forbids it.
    """
    numbers = (plan.first,) if plan.alone else (0, 1)
    money = _Money.of(plan)
    for _ in range(LOT_TRIES):
        ways = []
        for at in numbers:
            found = _way(plan, Purpose.CLOSE, at, quantity, looks[at], {}, stock, now_wall_ns)
            if isinstance(found, Refused):
                return found
            ways.append(found)
        size = min(way.size for way in ways)
        if all(way.size == size for way in ways):
            return tuple(_sale(way, size) for way in ways)
        quantity = money.quantity(size)
    return Refused(Reason.OFF_GRID, quantity, Decimal(0))


def _sale(way: _Way, size: int) -> Sale:
    taken, dollars = way.side.taken(size), way.money.dollars
    return Sale(
        way.leg,
        way.order(),
        way.money.quantity(size),
        dollars(taken.amount),
        dollars(taken.fee),
        dollars(taken.fee_high),
    )


def is_dust(
    plan: TradePlan,
    leg: int,
    quantity: Decimal,
    looks: tuple[Look | None, Look | None],
    max_dust_usd: Decimal,
) -> bool:
    """Whether an excess is too small for any order on either leg, and worth no more than `max_dust_usd`.

    Sizes and minimums alone count here, not what the books hold now: what only waits for a better book is no
    dust. Where a market is not known nothing is dust.
    """
    money = _Money.of(plan)
    units = money.units(quantity)
    for purpose, number in ((Purpose.HEDGE, 1 - leg), (Purpose.UNWIND, leg)):
        plan_leg, look = plan.legs[number], looks[number]
        if look is None or look.scale != plan_leg.scale:
            return False
        priced = _edge_leg(plan_leg, _action(plan_leg, purpose), look, FREE)
        if units >= _smallest(priced, priced.side(money.size_decimals, money.decimals), money):
            return False
    price = _dearest(plan.legs[leg], looks[leg])
    return price is not None and EXACT.multiply(price, quantity) <= max_dust_usd


def _dearest(leg: PlanLeg, look: Look | None) -> Decimal | None:
    """The higher of the two best prices of the leg's outcome; a contract that nobody quotes: a dollar."""
    assert look is not None, "is_dust has looked"
    best = [side[0][0] for side in (look.book.bids, look.book.asks) if side]
    if leg.outcome == "no":
        best = [10**leg.scale.price_decimals - ticks for ticks in best]
    if best:
        return to_decimal(max(best), leg.scale.price_decimals)
    return None if leg.outcome == "base" else Decimal(1)


def _way(
    plan: TradePlan,
    purpose: Purpose,
    number: int,
    quantity: Decimal,
    look: Look | None,
    cash: Mapping[str, Decimal],
    stock: Stock,
    now_wall_ns: int,
) -> _Way | Refused:
    """One way, for as much as can be done; or the first thing that forbids it."""
    leg = plan.legs[number]
    action = _action(leg, purpose)
    refused = _closed(leg, action, look, now_wall_ns)
    if refused is not None:
        return refused
    assert look is not None
    money, fee = _Money.of(plan), leg_view(look, now_wall_ns).fee
    priced = _edge_leg(leg, action, look, fee)
    side = priced.side(money.size_decimals, money.decimals)
    lot = (priced.lot_units or 1) * side.units
    smallest = _smallest(priced, side, money)
    size = 0
    # What is wanted, what the book shows, what is there to be sold or paid with: the first that leaves
    # less than an order is the reason.
    for reason, most in (
        (Reason.BELOW_MINIMUM, money.units(quantity)),
        (Reason.BELOW_MINIMUM, _shown(side)),
        (Reason.INVENTORY, money.units(stock(leg)) if side.sold else None),
    ):
        if most is None:
            continue
        if most < smallest:
            return Refused(reason, money.quantity(most), money.quantity(smallest))
        size = min(size or most, most)
    size -= size % lot
    if not side.sold:
        free = cash.get(leg.venue, Decimal(0))
        size = _payable(side, size, lot, free, money)
        if size < smallest:
            return Refused(Reason.VENUE_CASH, _paid(side, smallest, money), free)
    worth, least = side.amount(size), priced.min_cost_micros * 10 ** (money.decimals - 6)
    if worth < least:
        return Refused(Reason.BELOW_MINIMUM, money.dollars(worth), money.dollars(least))
    payoff = plan.payoff if purpose is Purpose.HEDGE else Decimal(0)
    return _Way(purpose, number, leg, action, side, fee, size, payoff, money)


def _action(leg: PlanLeg, purpose: Purpose) -> str:
    return leg.undo if purpose is Purpose.UNWIND else leg.action


def _edge_leg(leg: PlanLeg, action: str, look: Look, fee: FeeSchedule) -> EdgeLeg:
    """The side of the book that an order would use up."""
    return edge_leg(
        LegPlan(EventLeg(leg.venue, leg.market), action, leg.outcome), look.book, look.market, fee
    )


def _closed(leg: PlanLeg, action: str, look: Look | None, wall_ns: int) -> Refused | None:
    """Why no order may go to this market now, by its book, its state and its fee."""
    if look is None or look.scale != leg.scale:
        return Refused(Reason.BOOK_MISSING, Decimal(0), Decimal(1))
    if look.state is not BookState.LIVE:
        return Refused(BOOK_REASONS[look.state], Decimal(look.state), Decimal(BookState.LIVE))
    book, market = look.book, look.market
    plan = LegPlan(EventLeg(leg.venue, leg.market), action, leg.outcome)
    verdict = check_sides(plan, book.bids, book.asks, market.price_decimals)
    if verdict.reason:
        return Refused(*verdict)
    if book.flags & NOT_TRADABLE:
        return Refused(Reason.NOT_TRADABLE, Decimal(1), Decimal(0))
    if market.status != MarketStatus.OPEN:
        return Refused(Reason.MARKET_CLOSED, Decimal(market.status), Decimal(MarketStatus.OPEN))
    if 0 < market.close_wall_ns <= wall_ns:
        return Refused(Reason.MARKET_CLOSED, to_decimal(wall_ns - market.close_wall_ns, 9), Decimal(0))
    view = leg_view(look, wall_ns)
    if not view.fee_known:
        return Refused(Reason.FEE_UNKNOWN, Decimal(view.fee.kind), Decimal(FeeKind.KALSHI))
    return None


def _smallest(leg: EdgeLeg, side: Side, money: _Money) -> int:
    """The smallest order that the venue takes, in units on its lot.

    Its minimum cost counts at the prices that are walked; where the book is too thin to say, at the best.
    """
    lot = (leg.lot_units or 1) * side.units
    least = max(lot, leg.min_units * side.units)
    cost = leg.min_cost_micros * 10 ** (money.decimals - 6)
    best = side.level(0)
    if cost > 0 and best is not None:
        worth = side.units_worth(cost)
        least = max(least, -(-cost // best[0]) if worth is None else worth)
    return -(-least // lot) * lot


def _shown(side: Side) -> int:
    """Units at possible prices."""
    shown = index = 0
    while (level := side.level(index)) is not None:
        shown += level[1]
        index += 1
    return shown


def _paid(side: Side, size: int, money: _Money) -> Decimal:
    """Dollars that buying `size` units takes at most."""
    taken = side.taken(size)
    return money.dollars(taken.amount + taken.fee_high)


def _payable(side: Side, size: int, lot: int, free: Decimal, money: _Money) -> int:
    """The largest size on the lot, up to `size`, that `free` dollars pay; what is paid grows with it."""
    fits, over = 0, size // lot + 1
    while over - fits > 1:
        middle = (fits + over) // 2
        if _paid(side, middle * lot, money) <= free:
            fits = middle
        else:
            over = middle
    return fits * lot
