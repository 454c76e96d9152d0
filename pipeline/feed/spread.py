"""Spread: which of a feed's connections carries which market.

In: markets, and how many of them one connection takes. Out: the connection's number for each. Pure.
Used by the feed's worker. A market goes to the first connection with room and stays there, so that
none is subscribed anew because another came or went.
"""

from __future__ import annotations

from collections.abc import Iterable


class Spread:
    """Markets by connection. `connections` times `capacity` is the most that can be placed."""

    def __init__(self, connections: int, capacity: int) -> None:
        self._rooms = [capacity] * connections
        self._held: list[dict[str, None]] = [{} for _ in range(connections)]

    def markets(self, connection: int) -> list[str]:
        """The markets of one connection."""
        return list(self._held[connection])

    def find(self, market: str) -> int | None:
        """The connection that carries a market."""
        return next((at for at, held in enumerate(self._held) if market in held), None)

    def place(self, markets: Iterable[str]) -> dict[int, list[str]]:
        """Give each market that has none a connection; who got which. What finds no room is left out."""
        placed: dict[int, list[str]] = {}
        held = {market for each in self._held for market in each}
        at = 0
        for market in dict.fromkeys(markets):
            if market in held:
                continue
            while at < len(self._held) and len(self._held[at]) >= self._rooms[at]:
                at += 1
            if at == len(self._held):
                break
            self._held[at][market] = None
            placed.setdefault(at, []).append(market)
        return placed

    def remove(self, markets: Iterable[str]) -> dict[int, list[str]]:
        """Forget markets; which connections carried them."""
        removed: dict[int, list[str]] = {}
        for market in markets:
            at = self.find(market)
            if at is not None:
                del self._held[at][market]
                removed.setdefault(at, []).append(market)
        return removed

    def full(self, connection: int, refused: Iterable[str]) -> dict[int, list[str]]:
        """The venue takes no more than this on a connection: move what it refused; who got which.

        The connection's room shrinks to what it holds without them, but never to nothing.
        """
        refused = [market for market in dict.fromkeys(refused) if market in self._held[connection]]
        for market in refused:
            del self._held[connection][market]
        self._rooms[connection] = max(1, len(self._held[connection]))
        return self.place(refused)
