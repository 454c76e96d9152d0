"""Holding: what the account is told in: keys, open holdings, results of trades, payoffs.

In: plain values. Out: frozen values. Pure; used by positions and by whoever shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from pipeline.model import EXACT, MarketResult
from pipeline.money import to_decimal

ZERO, HALF, ONE = Decimal(0), Decimal("0.5"), Decimal(1)


class Key(NamedTuple):
    """What a position is kept by."""

    event_id: str
    venue: str
    market: str
    outcome: str


# Dollars that `quantity` of an outcome would fetch now, after fees; None where no book can say.
# A negative quantity (spot coins sold beyond those bought) gives minus what buying back would cost.
Mark = Callable[[Key, Decimal], Decimal | None]


class Unhedged(NamedTuple):
    """What is open of an event without a counterpart.

    `quantity` is signed: YES or coins positive. `dollars` is what it cost, `legs` what it is held in, each
    with its quantity as held (coins sold beyond those bought negative).
    """

    event_id: str
    quantity: Decimal
    dollars: Decimal
    legs: tuple[tuple[Key, Decimal], ...]


# Whether a rest is too small for any order, so that it counts as hedged.
Dust = Callable[[Unhedged], bool]


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


def yes_value(result: MarketResult, value_micros: int = -1) -> Decimal | None:
    """Dollars that one YES pays; None while the market is undecided, or scalar and its value unknown.

    A void market pays half (Polymarket's 50/50); `value_micros` is what a scalar one states (Kalshi), in
    millionths of a dollar, -1 for unknown.
    """
    if result == MarketResult.SCALAR:
        return None if value_micros < 0 else to_decimal(value_micros, 6)
    fixed = {MarketResult.YES: ONE, MarketResult.NO: ZERO, MarketResult.VOID: HALF}
    return fixed.get(result)


def payoff_of(outcome: str, result: MarketResult, value: Decimal | None = None) -> Decimal:
    """Dollars that one unit of "yes" or "no" pays. `value` is what YES pays of a SCALAR market, 0 to 1.

    Kalshi rounds what a scalar market pays an account to the cent and calls the rest a fee
    (docs.kalshi.com, market settlement): less than a cent a settlement, which is not modelled.
    """
    assert outcome in {"yes", "no"}, f"{outcome} is never settled"
    assert result != MarketResult.NONE, "an undecided market pays nothing yet"
    yes = value if result == MarketResult.SCALAR else yes_value(result)
    assert yes is not None and 0 <= yes <= 1, f"YES cannot be paid {yes}"
    return yes if outcome == "yes" else EXACT.subtract(ONE, yes)


def exact_sum(*amounts: Decimal) -> Decimal:
    """The exact sum: Python's own would round to 28 digits."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
