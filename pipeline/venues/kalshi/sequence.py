"""Kalshi's message numbers: one counter a subscription, shared by all its markets.

In: the numbers in the order they came. Out: in order, a duplicate, or what went wrong. Pure; used
by books.py beside it.
"""

from __future__ import annotations

from pipeline.venues.parsing import MARKETS_MAX, Reader


class Sequence:
    """The numbering of one subscription, its markets with their readers, and the repair under way.

    It is not published whether `ok` and the like draw from the same counter as book messages. So
    both are followed: `last` over everything with a number, `data` over book messages alone, and a
    book message is in order when it continues either.
    """

    __slots__ = ("books", "data", "last", "markets", "repairing")

    def __init__(self, *, books: bool) -> None:
        self.books = books
        self.markets: dict[str, Reader] = {}
        self.repairing: set[str] = set()
        self.last = -1
        self.data = -1

    def names(self) -> tuple[str, ...]:
        """The markets of this subscription; empty, which means all, when too many to list."""
        return tuple(self.markets) if len(self.markets) < MARKETS_MAX else ()

    def has(self, markets: tuple[str, ...]) -> bool:
        """Whether any of `markets` is in this subscription."""
        return not self.markets.keys().isdisjoint(markets)

    def forget(self, market: str) -> bool:
        """Take a market out; whether it was in."""
        self.repairing.discard(market)
        return self.markets.pop(market, None) is not None

    def repair(self, markets: list[str]) -> list[str]:
        """Which of `markets` to ask a snapshot of now; these are under way until their snapshot comes.

        While some are under way no others are asked for, so that gap upon gap does not become request
        upon request. Whoever asks again for one that is under way says that its answer was lost.
        """
        mine = [market for market in markets if market in self.markets]
        if self.repairing and self.repairing.isdisjoint(mine):
            return []
        self.repairing.update(mine)
        return mine

    def control(self, seq: int) -> str:
        """Count a reply's number; the text says what was lost, "" when nothing was."""
        last = self.last
        if last >= 0 and seq <= last:
            return ""
        self.last = seq
        if last < 0 or seq == last + 1:
            return ""
        self.data = seq
        return f"reply {seq} follows message {last}"

    def message(self, seq: int) -> str | None:
        """Count a message's number: "" in order, None for a duplicate, else what went wrong."""
        last, data = self.last, self.data
        if data < 0 or seq == last + 1 or seq == data + 1:
            self.data = seq
            self.last = max(last, seq)
            return ""
        if seq in {last, data}:
            return None
        self.last = self.data = seq
        return f"message {seq} follows {last}"
