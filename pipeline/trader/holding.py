"""Holding: what the account is told in: keys, open holdings, results of trades, payoffs.

In: plain values. Out: frozen values. Pure; used by positions and by whoever shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from pipeline.model import MarketResult

ZERO = Decimal(0)


class Key(NamedTuple):
    """What a position is kept by."""

    event_id: str
    venue: str
    market: str
    outcome: str


# Dollars that `quantity` of an outcome would fetch now, after fees; None where no book can say.
# A negative quantity (spot coins sold beyond those bought) gives minus what buying back would cost.
Mark = Callable[[Key, Decimal], Decimal | None]


@dataclass(frozen=True, slots=True)
class Holding:
    """One position. `units` is the sum of its fills; `cost` and `fees` are dollars of what is open.

    `open_quantity` is what has a price risk: all of it, but for spot only what no other venue
    closed.
    """

    key: Key
    units: int
    size_decimals: int
    open_quantity: Decimal
    cost: Decimal
    fees: Decimal
    opened_wall_ns: int

    @property
    def average(self) -> Decimal:
        """Average price paid for what is open, for display: rounded to 28 digits."""
        return self.cost / self.open_quantity if self.open_quantity else ZERO


@dataclass(frozen=True, slots=True)
class TradeResult:
    """A closed trade: `result` dollars net of all fees, `cash` all that was paid, fees too."""

    trade_id: str
    event_id: str
    result: Decimal
    cash: Decimal
    closed_wall_ns: int


def payoff_of(outcome: str, result: MarketResult) -> Decimal:
    """Dollars that one unit of "yes" or "no" pays; a void market pays half to each."""
    assert outcome in {"yes", "no"}, f"{outcome} is never settled"
    assert result != MarketResult.NONE, "an undecided market pays nothing yet"
    if result == MarketResult.VOID:
        return Decimal("0.5")
    return Decimal((result == MarketResult.YES) == (outcome == "yes"))
