"""Quotes: orders that rest on one side of one book, and what of them is filled as the book moves.

In: the book as it is published, look by look. Out: hits: which quote, how many units, and why. Pure; used
by the paper exchange.

A quote joins behind all that its level shows. The feeds hear no trades, so of what leaves the best level of
our side a share is taken to be trades, the rest cancels (`pipeline.queue_position`, power model); elsewhere
on the side all that goes is cancels. A quote better than every level of its side is first in line: what
trades at the best level would have met it first. When the other side crosses a quote's price, what stands
there fills it at the quote's price. Trades and depth are given out once, to the best price first, then to
the oldest quote.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

from pipeline.look import Look
from pipeline.model import BookFlag, Ladder, Level
from pipeline.model_events import OrderLeg
from pipeline.paper.matching import (
    Depth,
    book_id,
    canonical,
    evidence_of,
    hit_side,
    note_taken,
    own_side,
    stamps,
    take,
)
from pipeline.paper.orders import PaperOrder
from pipeline.queue_position import POWER, QueuePosition, power

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A quote that was filled at its own price; `evidence` says from what."""

    order: PaperOrder
    size_units: int
    evidence: str


class _Quote:
    """A resting order; without a queue while its level is deeper than what the book shows."""

    __slots__ = ("order", "queue")

    def __init__(self, order: PaperOrder) -> None:
        self.order = order
        self.queue: QueuePosition | None = None


class RestingSide:
    """Our quotes on one side of one book. `advance` must be called before a quote is added."""

    def __init__(self, depth: Depth) -> None:
        self._depth = depth
        self._quotes: list[_Quote] = []
        self._seen: tuple[int, int, int] | None = None
        self._best: Level | None = None

    def __len__(self) -> int:
        return len(self._quotes)

    @property
    def orders(self) -> list[PaperOrder]:
        """Orders that rest here, best price first."""
        return [quote.order for quote in self._quotes]

    def add(self, order: PaperOrder, look: Look | None) -> None:
        """Let an order join behind what its level shows; without a book it joins when there is one."""
        if not self._quotes:
            self.pause()
        quote = _Quote(order)
        if look is not None:
            _join(quote, own_side(look, order.leg))
        insort(self._quotes, quote, key=_priority)

    def remove(self, order: PaperOrder) -> None:
        """Forget an order."""
        self._quotes = [quote for quote in self._quotes if quote.order is not order]

    def pause(self) -> None:
        """The book is not believed now: nothing is concluded from how it looks after that."""
        self._seen, self._best = None, None

    def advance(self, look: Look, trade_share_ppm: int) -> list[Hit]:
        """What the book as it is now fills, given how it was. Only a LIVE book may come here."""
        if not self._quotes or book_id(look) == self._seen:
            return []
        if look.book.flags & BookFlag.NOT_TRADABLE:
            # The inside of a batch: wait for its end.
            return []
        if self._seen is None or self._seen[:2] != book_id(look)[:2]:
            self._best = None
        self._seen = book_id(look)
        side = own_side(look, self._quotes[0].order.leg)
        trades = self._trades(side, trade_share_ppm)
        hits = []
        for quote in self._quotes:
            hit = self._crossed(quote, look) or self._reached(quote, look, side, trades)
            if hit is not None:
                hits.append(hit)
        self._best = side[0] if side else None
        return hits

    def _trades(self, side: Ladder, trade_share_ppm: int) -> _Trades:
        """What traded at the best price since the last look, by the share of what has gone."""
        if self._best is None:
            return _Trades(0, 0, 0)
        price, units = self._best
        takes_asks = self._quotes[0].order.leg.takes_asks
        if side and _worse(price, side[-1][0], takes_asks=takes_asks):
            # Deeper than the book shows: it did not trade, better prices came.
            return _Trades(0, 0, 0)
        gone = max(0, units - dict(side).get(price, 0))
        return _Trades(price, gone, gone * trade_share_ppm // PPM)

    def _crossed(self, quote: _Quote, look: Look) -> Hit | None:
        """What the other side offers at the quote's price or better, at the quote's price."""
        order = quote.order
        taken = self._depth.taken(order.leg, look)
        parts = take(hit_side(look, order.leg), order.leg, order.left_units, taken)
        if not parts:
            return None
        evidence = evidence_of(look, order.leg, taken)
        note_taken(taken, parts)
        if quote.queue is not None:
            quote.queue.depth(_level(own_side(look, order.leg), order.leg))
        return Hit(order, sum(units for _, units in parts), evidence)

    @staticmethod
    def _reached(quote: _Quote, look: Look, side: Ladder, trades: _Trades) -> Hit | None:
        """What trades at its price have reached of a quote."""
        order = quote.order
        if quote.queue is None or not _is_shown(side, order.leg):
            quote.queue = None
            _join(quote, side)
            return None
        front_units, level_units = quote.queue.front_units, _level(side, order.leg)
        met = not _worse(order.leg.limit_ticks, trades.price_ticks, takes_asks=order.leg.takes_asks)
        traded = trades.left_units if met else 0
        if traded:
            quote.queue.trade(traded)
        quote.queue.depth(level_units)
        units = min(quote.queue.filled(look.market.lot_units), order.left_units) if traded else 0
        if not units:
            return None
        trades.left_units -= min(units, traded)
        evidence = {
            **stamps(look),
            "gone": trades.gone_units,
            "traded": traded,
            "front": front_units,
            "level": level_units,
        }
        return Hit(order, units, canonical(evidence))


@dataclass(slots=True)
class _Trades:
    """What left the best level, at which price, and what of it is taken to be trades and not given out."""

    price_ticks: int
    gone_units: int
    left_units: int


def _priority(quote: _Quote) -> tuple[int, int]:
    """The best price first, then the oldest."""
    leg = quote.order.leg
    return -leg.limit_ticks if leg.takes_asks else leg.limit_ticks, quote.order.serial


def _join(quote: _Quote, side: Ladder) -> None:
    """Stand behind what the level shows, if it is shown."""
    if _is_shown(side, quote.order.leg):
        quote.queue = QueuePosition(power(POWER), _level(side, quote.order.leg))


def _level(side: Ladder, leg: OrderLeg) -> int:
    """Units that the side shows at the leg's price."""
    return dict(side).get(leg.limit_ticks, 0)


def _is_shown(side: Ladder, leg: OrderLeg) -> bool:
    """Whether the side would show the leg's level: it is no deeper than the last that is shown."""
    return not side or not _worse(leg.limit_ticks, side[-1][0], takes_asks=leg.takes_asks)


def _worse(price_ticks: int, than_ticks: int, *, takes_asks: bool) -> bool:
    """Whether a price is further back on the side where an order rests that would take the other side."""
    return price_ticks < than_ticks if takes_asks else price_ticks > than_ticks
