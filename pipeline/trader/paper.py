"""Paper broker: fills orders against the real books, as they are when the orders would have
arrived.

In: approved trades, the clock's time, and a function that reads a leg's book. Out: one final event
an order, never from `submit`. An order arrives `latency_ns` after it was sent, takes what the book
then shows up to its limit (immediate or cancel), and pays the venue's fee by its own rounding. What
we took of a book is gone for us until that book changes. Pure; run by the trader in profiles demo
and paper.

Each event carries the book it was filled from as evidence; `recompute` makes the same fills from
that.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.fees import fee_price_ticks, order_fee
from pipeline.model import EXACT, BookState, Ladder
from pipeline.model_events import OrderLeg
from pipeline.trader.broker import Approved, OrderEvent, OrderFill, OrderIntent, OrderStatus

MAX_BOOKS = 1024

# What we took of one book, by price. A book is remembered by row, epoch and number.
Taken = dict[int, int]


@dataclass(frozen=True, slots=True)
class BookLook:
    """One side of a book at one moment: the side the leg hits, in book terms, best first.

    `row`, `epoch` and `number` name the very row of shared memory; the stamps are that row's.
    """

    state: BookState
    ladder: Ladder
    row: int
    epoch: int
    number: int
    socket_ns: int
    publish_ns: int


class PaperBroker:
    """Implements `broker.Broker`. `read_book` gives None where there is no such book."""

    def __init__(self, latency_ns: int, read_book: Callable[[OrderLeg], BookLook | None]) -> None:
        self.latency_ns = latency_ns
        self._read_book = read_book
        self._waiting: deque[tuple[int, OrderIntent]] = deque()
        self._taken: OrderedDict[tuple[str, str, bool], tuple[tuple[int, int, int], Taken]]
        self._taken = OrderedDict()

    def submit(self, approved: Approved, now_ns: int) -> None:
        """Send both legs; they arrive together. Asserts that neither is on its way already."""
        waiting = {intent.order_id for _, intent in self._waiting}
        for intent in approved.intents:
            assert intent.order_id not in waiting, f"{intent.order_id} was sent twice"
            self._waiting.append((now_ns + self.latency_ns, intent))

    def poll(self, now_ns: int) -> list[OrderEvent]:
        """Final events of the orders that arrived by now, in the order they arrived."""
        arrived = [intent for at_ns, intent in self._waiting if at_ns <= now_ns]
        self._waiting = deque(pair for pair in self._waiting if pair[0] > now_ns)
        return [self._execute(intent, now_ns) for intent in arrived]

    def _execute(self, intent: OrderIntent, now_ns: int) -> OrderEvent:
        leg = intent.leg
        look = self._read_book(leg)
        if look is None or look.state != BookState.LIVE:
            why = f"the book of {leg.venue} {leg.market} is {look.state.name if look else 'missing'}"
            return OrderEvent(intent.order_id, OrderStatus.REJECTED, now_ns, why=why)
        taken = self._taken_of(leg, look)
        evidence = _evidence(look, leg, taken)
        fills = _fills(intent, take(look.ladder, leg, taken))
        for fill in fills:
            taken[fill.price_ticks] = taken.get(fill.price_ticks, 0) + fill.size_units
        filled = sum(fill.size_units for fill in fills)
        if filled == leg.size_units:
            return OrderEvent(intent.order_id, OrderStatus.FILLED, now_ns, fills, evidence=evidence)
        why = f"{filled} of {leg.size_units} units within the limit; the rest is cancelled"
        return OrderEvent(intent.order_id, OrderStatus.CANCELLED, now_ns, fills, why, evidence)

    def _taken_of(self, leg: OrderLeg, look: BookLook) -> Taken:
        """What we took of this very book; nothing once its row has changed."""
        key = (leg.venue, leg.market, leg.takes_asks)
        book = (look.row, look.epoch, look.number)
        known, taken = self._taken.get(key, (book, {}))
        if known != book:
            taken = {}
        self._taken[key] = (book, taken)
        self._taken.move_to_end(key)
        if len(self._taken) > MAX_BOOKS:
            self._taken.popitem(last=False)
        return taken


def take(ladder: Ladder, leg: OrderLeg, taken: Mapping[int, int]) -> list[tuple[int, int]]:
    """The (book price, units) that an immediate-or-cancel order gets, best level first."""
    parts = []
    left = leg.size_units
    for price_ticks, size_units in ladder:
        if not left or not _within(price_ticks, leg):
            break
        part = min(left, size_units - taken.get(price_ticks, 0))
        if part > 0:
            parts.append((price_ticks, part))
            left -= part
    return parts


def recompute(intent: OrderIntent, evidence: Mapping[str, object]) -> tuple[OrderFill, ...]:
    """The fills, with fees, that follow from an order and the evidence of its event.

    Raises KeyError, TypeError or ValueError for evidence that a paper broker did not make.
    """
    ladder = _levels(evidence["ladder"])
    return _fills(intent, take(ladder, intent.leg, dict(_levels(evidence["taken"]))))


def _within(price_ticks: int, leg: OrderLeg) -> bool:
    if leg.takes_asks:
        return price_ticks <= leg.limit_ticks
    return price_ticks >= leg.limit_ticks


def _fills(intent: OrderIntent, parts: Sequence[tuple[int, int]]) -> tuple[OrderFill, ...]:
    """One fill a level; each fee is what that fill adds to the fee of the order."""
    scale = intent.leg.scale
    fills = []
    paid: list[tuple[int, int]] = []
    before = Decimal(0)
    for number, (price_ticks, size_units) in enumerate(parts):
        charged_on = fee_price_ticks(intent.fee, intent.leg.action, intent.leg.outcome, price_ticks, scale)
        paid.append((charged_on, size_units))
        total = order_fee(intent.fee, paid, scale)
        fee = EXACT.subtract(total, before)
        fills.append(OrderFill(f"{intent.order_id}-{number}", price_ticks, size_units, fee))
        before = total
    return tuple(fills)


def _evidence(look: BookLook, leg: OrderLeg, taken: Taken) -> dict[str, object]:
    """What the fills follow from: the levels within the limit, and what we had taken before."""
    return {
        "row": look.row,
        "epoch": look.epoch,
        "number": look.number,
        "socket_ns": look.socket_ns,
        "publish_ns": look.publish_ns,
        "ladder": [list(level) for level in look.ladder if _within(level[0], leg)],
        "taken": [list(level) for level in sorted(taken.items())],
    }


def _levels(value: object) -> Ladder:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list of levels")
    return tuple((int(ticks), int(units)) for ticks, units in value)
