"""Commands to Kalshi's socket, and which of them still wait for their answer.

In: tickers and subscription ids. Out: frames to send; for an answer's id, what was asked. Pure; used by
books.py beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

BOOKS = "orderbook_delta"
LIFECYCLE = "market_lifecycle_v2"
# Actions that bring markets into a subscription.
JOINING = frozenset({"subscribe", "add_markets"})

# The limit of tickers a command is not published (error 26); 100 has worked for everybody.
TICKERS_MAX = 100
_PENDING_MAX = 256


class Asked(NamedTuple):
    """What a command asked: its action, for which markets, in which subscription (0: not in one)."""

    action: str = ""
    markets: tuple[str, ...] = ()
    sid: int = 0


class Commands:
    """Numbers our commands and remembers what each was for, at most 256 of them."""

    __slots__ = ("_id", "_pending", "_use_yes_price")

    def __init__(self, *, use_yes_price: bool) -> None:
        """`use_yes_price` asks for NO levels in prices of YES."""
        self._id = 0
        self._pending: dict[int, Asked] = {}
        self._use_yes_price = use_yes_price

    def subscribe(self, markets: list[str]) -> list[str]:
        """Frames that open the book channel for `markets`; the venue merges repeated ones."""
        # use_yes_price is always sent: Kalshi has announced that its default will change.
        return [
            self._frame(
                "subscribe",
                {"channels": [BOOKS], "market_tickers": chunk, "use_yes_price": self._use_yes_price},
                Asked("subscribe", tuple(chunk)),
            )
            for chunk in _chunks(markets)
        ]

    def update(self, action: str, sid: int, markets: list[str]) -> list[str]:
        """Frames that do `action` (add_markets, delete_markets, get_snapshot) in a subscription."""
        return [
            self._frame(
                "update_subscription",
                {"sids": [sid], "market_tickers": chunk, "action": action},
                Asked(action, tuple(chunk), sid),
            )
            for chunk in _chunks(markets)
        ]

    def lifecycle(self) -> str:
        """The frame that opens the lifecycle channel, which is about all markets."""
        return self._frame("subscribe", {"channels": [LIFECYCLE]}, Asked("lifecycle"))

    def answered(self, command_id: int) -> Asked:
        """What the command with this id asked; then it is forgotten."""
        return self._pending.pop(command_id, Asked())

    def awaited(self) -> set[str]:
        """Markets whose subscription has been asked for and not yet answered."""
        asked = (each.markets for each in self._pending.values() if each.action in JOINING)
        return {market for markets in asked for market in markets}

    def _frame(self, cmd: str, params: dict[str, Any], asked: Asked) -> str:
        self._id += 1
        self._pending[self._id] = asked
        if len(self._pending) > _PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        return msgspec.json.encode({"id": self._id, "cmd": cmd, "params": params}).decode()


def _chunks(markets: list[str]) -> Iterator[list[str]]:
    starts = range(0, len(markets), TICKERS_MAX)
    return (markets[start : start + TICKERS_MAX] for start in starts)
