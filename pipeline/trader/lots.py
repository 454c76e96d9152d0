"""Lots: what is open, in the order in which it was bought, and what of it stands in pairs.

In: fills as lots, settled markets. Out: whose lots a fill closed, open quantity and cost by key, and for
each event what is hedged and what is not. Pure; used by positions.

A fill closes lots of the other sign of what it is of: first those of its own trade (an unwind takes back
what its trade bought), then the oldest. Contracts of one outcome of one market close each other; coins
of an event do on all its venues.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext

from pipeline.model import EXACT
from pipeline.trader.holding import ONE, ZERO, Key


@dataclass(slots=True)
class Lot:
    """Some of one outcome. `side` is 1 where holding it is for the event, -1 against it.

    `quantity` is negative for what was sold without being held; `price` is the outcome's own.
    """

    key: Key
    trade_id: str
    side: int
    quantity: Decimal
    price: Decimal
    number: int = 0

    @property
    def direction(self) -> int:
        """The side that it stands on: sold contracts and coins stand on the other one."""
        return self.side if self.quantity > 0 else -self.side

    @property
    def stake(self) -> Decimal:
        """Dollars at stake a unit. A contract sold without being held is the other outcome bought."""
        return ONE - self.price if self.quantity < 0 and self.key.outcome != "base" else self.price


@dataclass(frozen=True, slots=True)
class Split:
    """An event in pairs and a rest.

    `hedged` is the quantity in pairs of which a leg is open, `pair_cost` what both their legs cost. `net`
    (for the event positive) is open without a counterpart and cost `net_cost`; `rests` has it by key, as
    held. Of the heavier side the newest lots are the rest. A leg that was settled before the other still
    is a counterpart.
    """

    hedged: Decimal = ZERO
    pair_cost: Decimal = ZERO
    net: Decimal = ZERO
    net_cost: Decimal = ZERO
    rests: tuple[tuple[Key, Decimal], ...] = ()


NOTHING = Split()


class Lots:
    """All open lots, and settled ones while a counterpart may be open."""

    def __init__(self) -> None:
        self._lots: dict[str, dict[tuple[str, ...], list[Lot]]] = {}
        self._sums: dict[Key, tuple[Decimal, Decimal]] = {}
        self._settled: set[Key] = set()
        self._splits: dict[str, Split] = {}
        self._number = 0

    def add(self, lot: Lot) -> list[tuple[str, Decimal]]:
        """Take a fill; returns the trades whose lots it closed, each with its part of the fill's quantity.

        What comes so late that its event was forgotten is nobody's counterpart.
        """
        event_id = lot.key.event_id
        self._splits.pop(event_id, None)
        if lot.key in self._settled and event_id not in self._lots:
            return []
        group = (event_id,) if lot.key.outcome == "base" else tuple(lot.key)
        lots = self._lots.setdefault(event_id, {}).setdefault(group, [])
        closed = []
        with localcontext(EXACT):
            # Lots of one group all have one sign: others would have closed each other.
            if lots and (lots[0].quantity > 0) != (lot.quantity > 0):
                for open_lot in sorted(lots, key=lambda each: each.trade_id != lot.trade_id):
                    part = min(abs(open_lot.quantity), abs(lot.quantity)).copy_sign(lot.quantity)
                    if not part:
                        break
                    self._change(open_lot, part)
                    lot.quantity -= part
                    closed.append((open_lot.trade_id, part))
                lots[:] = [each for each in lots if each.quantity]
            if lot.quantity:
                self._number += 1
                quantity, lot.quantity, lot.number = lot.quantity, ZERO, self._number
                self._change(lot, quantity)
                lots.append(lot)
        return closed

    def _change(self, lot: Lot, by: Decimal) -> None:
        lot.quantity += by
        if lot.key in self._settled:
            return
        quantity, cost = self._sums.get(lot.key, (ZERO, ZERO))
        self._sums[lot.key] = quantity + by, cost + by * lot.price
        if not self._sums[lot.key][0]:
            del self._sums[lot.key]

    def settle(self, key: Key) -> None:
        """The key is paid: nothing of it is open any longer. An event without open lots is forgotten."""
        self._settled.add(key)
        self._sums.pop(key, None)
        self._splits.pop(key.event_id, None)
        groups = self._lots.get(key.event_id, {})
        if not any(each.key not in self._settled for lots in groups.values() for each in lots):
            self._lots.pop(key.event_id, None)

    def sums(self, key: Key) -> tuple[Decimal, Decimal]:
        """Open quantity and cost of a key; both negative for what was sold without being held."""
        return self._sums.get(key, (ZERO, ZERO))

    def costs(self) -> Iterator[tuple[Key, Decimal]]:
        """Every key with something open, and the dollars at risk in it."""
        for key, (_, cost) in self._sums.items():
            yield key, cost.copy_abs()

    def events(self) -> list[str]:
        """Events with something open, oldest first."""
        return list(dict.fromkeys(key.event_id for key in self._sums))

    def split(self, event_id: str) -> Split:
        """What of an event stands in pairs; remembered until the event changes."""
        split = self._splits.get(event_id)
        if split is None:
            groups = self._lots.get(event_id, {}).values()
            newest = sorted((lot for lots in groups for lot in lots), key=lambda lot: -lot.number)
            with localcontext(EXACT):
                split = self._splits[event_id] = _split(newest, self._settled)
        return split


def _split(newest: list[Lot], settled: set[Key]) -> Split:
    """Pairs and rest of one event's lots, newest first; see `Split`."""
    sides = {side: [lot for lot in newest if lot.direction == side] for side in (1, -1)}
    totals = {side: sum((abs(lot.quantity) for lot in lots), ZERO) for side, lots in sides.items()}
    heavy = 1 if totals[1] > totals[-1] else -1
    over = totals[heavy] - totals[-heavy]
    rests: dict[Key, Decimal] = {}
    net = net_cost = ZERO
    paired: dict[int, list[tuple[bool, Decimal, Decimal]]] = {1: [], -1: []}
    for side, lots in sides.items():
        for lot in lots:
            size, paid = abs(lot.quantity), lot.key in settled
            rest = min(size, over - net) if side == heavy and not paid else ZERO
            if rest:
                rests[lot.key] = rests.get(lot.key, ZERO) + rest.copy_sign(lot.quantity)
                net, net_cost = net + rest, net_cost + rest * lot.stake
            paired[side].append((paid, size - rest, lot.stake))
    hedged = max(sum((size for paid, size, _ in each if not paid), ZERO) for each in paired.values())
    pair_cost = _cost(paired[1], hedged) + _cost(paired[-1], hedged)
    return Split(hedged, pair_cost, heavy * net, net_cost, tuple(rests.items()))


def _cost(paired: list[tuple[bool, Decimal, Decimal]], quantity: Decimal) -> Decimal:
    """What `quantity` of one side cost: open lots first, then settled ones."""
    cost = ZERO
    for _, size, stake in sorted(paired, key=lambda each: each[0]):
        taken = min(size, quantity)
        cost, quantity = cost + taken * stake, quantity - taken
    return cost
