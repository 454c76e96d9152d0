"""Patience: how long more of a quote is waited for before what it filled so far is taken back.

In: a trade, the repair that is due, the time. Out: whether to wait; a trade that has waited enough is told
so. Pure; used by the executor.
"""

from __future__ import annotations

from pipeline.model import Reason
from pipeline.trader.broker import Purpose, Style
from pipeline.trader.repair import Choice, Impossible
from pipeline.trader.trade import Trade

PATIENCE_NS = 1_000_000_000
"""How long a quote may rest on when what it filled is too little to be hedged."""


class Patience:
    """Since when trades wait, by their ids."""

    def __init__(self) -> None:
        self._since_ns: dict[str, int] = {}

    def waits(self, trade: Trade, choice: Choice | Impossible, now_ns: int) -> bool:
        """Whether more of a quote is waited for: what it filled is too little for the other venue's orders.

        For a second; then the quote is cancelled, and what it filled is taken back.
        """
        name = trade.plan.trade_id
        no_hedge = choice.other_reason if isinstance(choice, Choice) else choice.reason
        small = no_hedge is Reason.BELOW_MINIMUM
        hedged = isinstance(choice, Choice) and choice.purpose is Purpose.HEDGE
        rests = any(order.intent.style is Style.MAKER for order in trade.working())
        if hedged or not (small and rests):
            self.forget(name)
            return False
        if now_ns - self._since_ns.setdefault(name, now_ns) >= PATIENCE_NS:
            trade.stuck()
        return True

    def forget(self, trade_id: str) -> None:
        """The trade waits no longer."""
        self._since_ns.pop(trade_id, None)
