"""Results: whose money moved, and what each trade earned once nothing of it is open.

In: parts of fills by trade, payoffs of settled outcomes. Out: cash flows, results in the order in which
trades closed, sums by UTC day. Pure and exact; used by positions.

A trade is closed when every outcome that it holds is settled or sold again, and every coin is sold
again. A late fill opens or changes what was closed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from pipeline.model import EXACT
from pipeline.trader.holding import ZERO, Key, TradeResult

DAY_NS = 86_400 * 10**9


@dataclass(slots=True)
class _Trade:
    event_id: str
    flows: Decimal = ZERO
    spent: Decimal = ZERO
    fees: Decimal = ZERO
    held: dict[Key, Decimal] = field(default_factory=dict)


class Results:
    """The trades of an account. `rewrites` grows when a result that was told changed, moved or went."""

    def __init__(self) -> None:
        self.realised = ZERO
        self.rewrites = 0
        self._trades: dict[str, _Trade] = {}
        self._open: dict[str, None] = {}
        self._holders: dict[Key, dict[str, None]] = {}
        self._rates: dict[Key, Decimal] = {}
        self._closed: dict[str, TradeResult] = {}
        self._by_day: dict[int, Decimal] = defaultdict(lambda: ZERO)

    def book(
        self, trade_id: str, key: Key, quantity: Decimal, price: Decimal, fee: Decimal, wall_ns: int
    ) -> Decimal:
        """Give a trade (a part of) a fill; returns the dollars that it brought, paid out at once where the
        key is settled. A trade that sells what others bought has no part of it: they have the result.
        """
        with localcontext(EXACT):
            trade = self._trades.setdefault(trade_id, _Trade(key.event_id))
            trade.held[key] = trade.held.get(key, ZERO) + quantity
            self._holders.setdefault(key, {})[trade_id] = None
            trade.fees += fee
            trade.spent += fee + max(quantity * price, ZERO)
            flow = quantity * self._rates.get(key, ZERO) - quantity * price - fee
            trade.flows += flow
            self._close(trade_id, wall_ns)
        return flow

    def settle(self, key: Key, rate: Decimal, wall_ns: int) -> Decimal:
        """A unit of the key pays `rate` dollars; returns what all trades together were paid."""
        total = ZERO
        self._rates[key] = rate
        with localcontext(EXACT):
            for trade_id in self._holders.get(key, ()):
                trade = self._trades[trade_id]
                if trade.held[key]:
                    trade.flows += rate * trade.held[key]
                    total += rate * trade.held[key]
                    self._close(trade_id, wall_ns)
        return total

    def is_settled(self, key: Key) -> bool:
        """Whether the key was paid."""
        return key in self._rates

    def closed(self) -> list[TradeResult]:
        """Results in the order in which their trades closed."""
        return list(self._closed.values())

    def open_trades(self) -> int:
        """Trades with fills of their own that are not closed."""
        return len(self._open)

    def open_fees(self) -> dict[str, Decimal]:
        """Fees that trades with something open have paid, by event."""
        found: dict[str, Decimal] = {}
        for trade_id in self._open:
            trade = self._trades[trade_id]
            found[trade.event_id] = EXACT.add(found.get(trade.event_id, ZERO), trade.fees)
        return found

    def of_day(self, wall_ns: int) -> Decimal:
        """Sum of the results since 00:00 UTC of that day."""
        return self._by_day.get(wall_ns // DAY_NS, ZERO)

    def losses(self, since_wall_ns: int) -> int:
        """How many of the last results in a row were below zero, of those closed after that time."""
        count = 0
        for result in reversed(self._closed.values()):
            if result.result >= 0 or result.closed_wall_ns <= since_wall_ns:
                break
            count += 1
        return count

    def _close(self, trade_id: str, wall_ns: int) -> None:
        """Bring a trade's result up to date."""
        trade = self._trades[trade_id]
        known = self._closed.pop(trade_id, None)
        if known is not None:
            self.rewrites += 1
            self.realised -= known.result
            self._by_day[known.closed_wall_ns // DAY_NS] -= known.result
        coins = sum((held for key, held in trade.held.items() if key.outcome == "base"), ZERO)
        waiting = any(
            held and key not in self._rates for key, held in trade.held.items() if key.outcome != "base"
        )
        if coins or waiting:
            self._open[trade_id] = None
            return
        self._open.pop(trade_id, None)
        self._closed[trade_id] = TradeResult(trade_id, trade.event_id, trade.flows, trade.spent, wall_ns)
        self.realised += trade.flows
        self._by_day[wall_ns // DAY_NS] += trade.flows
