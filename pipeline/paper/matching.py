"""Matching: whether a venue would take an order, what it gets of a book, and what that costs.

In: an order, a `Look` at its book, what we took of that very book before. Out: a refusal in a sentence, or
executions with their fees and the evidence that they follow from. Pure; used by the paper exchange.
`recompute` makes the same executions from the evidence, for whoever checks the journal.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from pipeline.fees import OrderFees, fee_price_ticks
from pipeline.look import Look
from pipeline.model import BookState, FeeSchedule, Ladder, MarketStatus
from pipeline.model_events import OrderLeg, order_price_ticks
from pipeline.paper.orders import MAKER

MAX_BOOKS = 1024

Taken = dict[int, int]
"""Units that we took of one side of one book, by price."""

Part = tuple[int, int]
"""Book price in ticks, size in units."""


class Execution(NamedTuple):
    """What an order got at one price of the book; `fee` in dollars is what it adds to the order's fee."""

    price_ticks: int
    size_units: int
    fee: Decimal


class Depth:
    """What we took of books. It is gone for us until the book's row changes."""

    def __init__(self) -> None:
        self._taken: OrderedDict[tuple[str, str, bool], tuple[tuple[int, int, int], Taken]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._taken)

    def taken(self, leg: OrderLeg, look: Look) -> Taken:
        """What we took of the side that the leg hits of this very book; add to it what is taken now."""
        key = (leg.venue, leg.market, leg.takes_asks)
        book = book_id(look)
        known, taken = self._taken.get(key, (book, {}))
        if known != book:
            taken = {}
        self._taken[key] = (book, taken)
        self._taken.move_to_end(key)
        if len(self._taken) > MAX_BOOKS:
            self._taken.popitem(last=False)
        return taken


def book_id(look: Look) -> tuple[int, int, int]:
    """Row, epoch and number: they name one publication of one book."""
    return look.row, look.book.epoch, look.book.number


def hit_side(look: Look, leg: OrderLeg) -> Ladder:
    """The side of the book that a leg takes."""
    return look.book.asks if leg.takes_asks else look.book.bids


def own_side(look: Look, leg: OrderLeg) -> Ladder:
    """The side of the book on which a leg rests."""
    return look.book.bids if leg.takes_asks else look.book.asks


def within(price_ticks: int, leg: OrderLeg) -> bool:
    """Whether a book price is no worse than the leg's limit."""
    if leg.takes_asks:
        return price_ticks <= leg.limit_ticks
    return price_ticks >= leg.limit_ticks


def take(ladder: Ladder, leg: OrderLeg, size_units: int, taken: Mapping[int, int]) -> list[Part]:
    """What an order for `size_units` gets of a side within its limit, best level first."""
    parts = []
    left = size_units
    for price_ticks, units in ladder:
        if not left or not within(price_ticks, leg):
            break
        part = min(left, units - taken.get(price_ticks, 0))
        if part > 0:
            parts.append((price_ticks, part))
            left -= part
    return parts


def note_taken(taken: Taken, parts: Iterable[Part]) -> None:
    """Add to what was taken of a book."""
    for price_ticks, size_units in parts:
        taken[price_ticks] = taken.get(price_ticks, 0) + size_units


def charge(
    leg: OrderLeg, fee: FeeSchedule, before: Iterable[Part], parts: Sequence[Part]
) -> tuple[Execution, ...]:
    """Executions of an order's next parts, after those it had before; one order shares one rounding."""
    fees = OrderFees(fee, leg.scale)

    def add(part: Part) -> Decimal:
        price = fee_price_ticks(fee, leg.action, leg.outcome, part[0], leg.scale)
        return fees.add(price, part[1])

    for part in before:
        add(part)
    return tuple(Execution(*part, add(part)) for part in parts)


def evidence_of(look: Look, leg: OrderLeg, taken: Mapping[int, int]) -> str:
    """What executions follow from: the levels within the limit, and what we had taken of them before."""
    levels = [level for level in hit_side(look, leg) if within(level[0], leg)]
    prices = {price_ticks for price_ticks, _ in levels}
    before = [level for level in sorted(taken.items()) if level[0] in prices]
    return canonical({**stamps(look), "ladder": levels, "taken": before})


def stamps(look: Look) -> dict[str, object]:
    """The names and times of a book's row, for evidence."""
    book = look.book
    return {
        "row": look.row,
        "epoch": book.epoch,
        "number": book.number,
        "socket_ns": book.socket_ns,
        "publish_ns": book.publish_ns,
    }


def canonical(value: Mapping[str, object]) -> str:
    """The one JSON text of evidence."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def recompute(leg: OrderLeg, fee: FeeSchedule, evidence: Mapping[str, object]) -> tuple[Execution, ...]:
    """The executions of an immediate-or-cancel order that follow from its evidence.

    Raises KeyError, TypeError or ValueError for evidence that `evidence_of` did not make.
    """
    ladder, taken = _levels(evidence["ladder"]), dict(_levels(evidence["taken"]))
    return charge(leg, fee, (), take(ladder, leg, leg.size_units, taken))


def _levels(value: object) -> Ladder:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list of levels")
    return tuple((int(ticks), int(units)) for ticks, units in value)


def book_refusal(leg: OrderLeg, look: Look | None, wall_ns: int) -> str:
    """Why nothing can be done with a market now, in a sentence; "" where it can."""
    name = f"{leg.venue} {leg.market}"
    if look is None:
        return f"the book of {name} is missing"
    if is_closed(look, wall_ns):
        return f"the market {name} is closed"
    if look.market.status != MarketStatus.OPEN:
        return f"the market {name} is {MarketStatus(look.market.status).name}"
    if look.state != BookState.LIVE:
        return f"the book of {name} is {look.state.name}"
    return ""


def is_closed(look: Look, wall_ns: int) -> bool:
    """Whether a market has closed for good, by its status or its stated time (wall clock)."""
    over = look.market.status in {MarketStatus.CLOSED, MarketStatus.SETTLED}
    return over or 0 < look.market.close_wall_ns <= wall_ns


def order_refusal(leg: OrderLeg, style: str, look: Look) -> str:
    """Why a venue refuses an order by its rules, in a sentence; "" where it takes it."""
    market, scale = look.market, leg.scale
    if scale != look.scale:
        return f"the market counts on {look.scale}, the order on {scale}"
    price, one = order_price_ticks(leg), 10**scale.price_decimals
    if price <= 0 or (leg.outcome != "base" and price >= one):
        return f"no order has price {price} ticks"
    if market.grid_ticks and price % market.grid_ticks:
        return f"price {price} is off the grid of {market.grid_ticks} ticks"
    if leg.size_units <= 0 or leg.size_units < market.min_units:
        return f"size {leg.size_units} is below the minimum of {market.min_units} units"
    if market.lot_units and leg.size_units % market.lot_units:
        return f"size {leg.size_units} is off the lot of {market.lot_units} units"
    decimals = scale.price_decimals + scale.size_decimals
    if price * leg.size_units * 10**6 < market.min_cost_micros * 10**decimals:
        return f"it costs less than the minimum of {market.min_cost_micros} millionths of a dollar"
    if style == MAKER and take(hit_side(look, leg), leg, leg.size_units, {}):
        return "a post-only order would take"
    return ""
