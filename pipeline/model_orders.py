"""Model orders: the states of an order, as journal, trader and shared memory know them.

In: nothing. Out: one enum. Pure; the state machine is `pipeline.trader.orders`.
"""

from __future__ import annotations

from enum import IntEnum


class OrderState(IntEnum):
    """Where an order is. The first five numbers after SENT are the broker's `OrderStatus`."""

    INTENT = -1
    SENT = 0
    ACCEPTED = 1
    PARTIAL = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5
    UNKNOWN = 6
    NOT_SENT = 7
