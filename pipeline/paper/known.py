"""Known: the orders that the exchange has in reach, by account and id.

In: orders that have arrived, and a way to the record for those of long ago. Out: all orders of an id, oldest
first. Pure; used by the exchange. What can still change is always in reach; the rest is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Sequence

from pipeline.paper.orders import FINAL, PaperOrder, Status

MAX_KNOWN = 4096

Recall = Callable[[str, str], Sequence[PaperOrder] | None]
"""The orders of an account with an id, from the record; None where the record cannot say."""


class Known:
    """An index of orders; `unsaved` holds the serials that the record does not know as they are."""

    def __init__(self, recall: Recall, unsaved: Container[int]) -> None:
        self._recall = recall
        self._unsaved = unsaved
        self._orders: OrderedDict[tuple[str, str], list[PaperOrder]] = OrderedDict()

    def find(self, account: str, order_id: str) -> Sequence[PaperOrder] | None:
        """The orders of an id that have arrived, oldest first; None where the record cannot say."""
        key = (account, order_id)
        if key in self._orders:
            self._orders.move_to_end(key)
            return list(self._orders[key])
        recalled = self._recall(account, order_id)
        for order in recalled or ():
            self.add(order)
        return None if recalled is None else list(self._orders.get(key, ()))

    def add(self, order: PaperOrder) -> None:
        """Keep an order in reach; one that has not arrived, or was none, is left out."""
        if order.status is Status.DROPPED or not order.arrived_ns:
            return
        self._orders.setdefault((order.account, order.order_id), []).append(order)
        for _ in range(len(self._orders) - MAX_KNOWN):
            key, orders = self._orders.popitem(last=False)
            if any(self._may_change(each) for each in orders):
                self._orders[key] = orders

    def _may_change(self, order: PaperOrder) -> bool:
        return order.status not in FINAL or order.is_provisional or order.serial in self._unsaved
