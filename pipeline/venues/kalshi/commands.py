"""Commands to Kalshi's socket, and which of them still wait for their answer.

In: tickers and subscription ids. Out: frames to send; for an answer's id, what was asked. Pure; used by
books.py beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

BOOKS = "orderbook_delta"
LIFECYCLE = "market_lifecycle_v2"

# The limit of tickers a command is not published (error 26); 100 has worked for everybody.
TICKERS_MAX = 100
_PENDING_MAX = 256


class Commands:
    """Numbers our commands and remembers what each was for, at most 256 of them."""

    __slots__ = ("_id", "_pending")

    def __init__(self) -> None:
        self._id = 0
        self._pending: dict[int, tuple[str, tuple[str, ...]]] = {}

    def subscribe(self, markets: list[str]) -> list[str]:
        """Frames that open the book channel for `markets`; the venue merges repeated ones."""
        # use_yes_price is sent although false is the default today: Kalshi announced a change of it.
        return [
            self._frame(
                "subscribe",
                {"channels": [BOOKS], "market_tickers": chunk, "use_yes_price": False},
                "subscribe",
                chunk,
            )
            for chunk in _chunks(markets)
        ]

    def update(self, action: str, sid: int, markets: list[str]) -> list[str]:
        """Frames that do `action` (add_markets, delete_markets, get_snapshot) in a subscription."""
        return [
            self._frame(
                "update_subscription",
                {"sids": [sid], "market_tickers": chunk, "action": action},
                action,
                chunk,
            )
            for chunk in _chunks(markets)
        ]

    def lifecycle(self) -> str:
        """The frame that opens the lifecycle channel, which is about all markets."""
        return self._frame("subscribe", {"channels": [LIFECYCLE]}, "lifecycle", [])

    def answered(self, command_id: int) -> tuple[str, tuple[str, ...]]:
        """What the command with this id asked, and for which markets; then it is forgotten."""
        return self._pending.pop(command_id, ("", ()))

    def awaited(self) -> set[str]:
        """Markets whose subscription has been asked for and not yet answered."""
        asked = (
            markets for action, markets in self._pending.values() if action in {"subscribe", "add_markets"}
        )
        return {market for markets in asked for market in markets}

    def _frame(self, cmd: str, params: dict[str, Any], action: str, markets: list[str]) -> str:
        self._id += 1
        self._pending[self._id] = (action, tuple(markets))
        if len(self._pending) > _PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        return msgspec.json.encode({"id": self._id, "cmd": cmd, "params": params}).decode()


def _chunks(markets: list[str]) -> Iterator[list[str]]:
    starts = range(0, len(markets), TICKERS_MAX)
    return (markets[start : start + TICKERS_MAX] for start in starts)
