"""Quote watch: the queue before a quote that would have joined when a price became best, for the screen.

In: a side's best level as it moves. Out: a `QuoteRow`. Pure; used by the scanner's `following`.
"""

from __future__ import annotations

from pipeline.queue_position import POWER, QueuePosition, Share, logarithmic, power, risk_averse
from shm.records import QuoteRow

_SHOWN: tuple[Share, ...] = (risk_averse, power(POWER), logarithmic)


class QuoteWatch:
    """One side of one book: the queue before a quote that joined when the best price became what it is.

    Trades are not heard by the scanner, so all that goes counts as cancelled. A price that was left and comes
    back is joined anew.
    """

    def __init__(self, venue: str, market: str, side: str, price_decimals: int, size_decimals: int) -> None:
        self._names = venue, market, side
        self._decimals = price_decimals, size_decimals
        self._price_ticks = self._level_units = self._joined_units = self._joined_ns = 0
        self._queues: tuple[QueuePosition, ...] = ()

    def best(self, price_ticks: int, units: int, now_ns: int) -> None:
        """The side's best level as it is now; 0 units for an empty side or a book not believed."""
        if not units:
            self._queues = ()
        elif not self._queues or price_ticks != self._price_ticks:
            self._price_ticks, self._joined_units, self._joined_ns = price_ticks, units, now_ns
            self._queues = tuple(QueuePosition(share, units) for share in _SHOWN)
        elif units != self._level_units:
            for queue in self._queues:
                queue.depth(units)
        self._level_units = units

    def row(self) -> QuoteRow | None:
        """What to show; None while the side has no best price."""
        if not self._queues:
            return None
        return QuoteRow(
            *self._names,
            self._price_ticks,
            *self._decimals,
            self._joined_ns,
            self._level_units,
            self._joined_units,
            *(queue.front_units for queue in self._queues),
        )
