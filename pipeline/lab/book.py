"""A venue's own order book in integers, the changes made to it, and decimal texts.

In: sizes set at prices. Out: `Change` records (old and new size) and best prices.
Who runs it: the lab's market model; the sessions read the same books to make snapshots.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Literal, NamedTuple

Side = Literal["bid", "ask"]


class Change(NamedTuple):
    """One level set to a new absolute size; 0 removes it."""

    side: Side
    price: int
    old: int
    new: int


class BookBatch(NamedTuple):
    """The changes of one engine step on one book; `market` is the key the model keeps it under."""

    venue: str
    market: str
    changes: list[Change]
    time_us: int


class Trade(NamedTuple):
    """One trade at the best price; `taker` names the side of the taker's order."""

    venue: str
    market: str
    price: int
    size: int
    taker: Literal["buy", "sell"]
    number: int
    time_us: int


class Book:
    """Price levels of one market: sizes by price, and the prices of each side in rising order."""

    __slots__ = ("ask_prices", "asks", "bid_prices", "bids", "price_decimals", "size_decimals")

    def __init__(self, price_decimals: int, size_decimals: int) -> None:
        """An empty book whose prices and sizes are 10^-decimals units."""
        self.price_decimals = price_decimals
        self.size_decimals = size_decimals
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.bid_prices: list[int] = []
        self.ask_prices: list[int] = []

    def sizes(self, side: Side) -> dict[int, int]:
        """Sizes by price of one side; read only."""
        return self.bids if side == "bid" else self.asks

    def prices(self, side: Side) -> list[int]:
        """Prices of one side in rising order; read only."""
        return self.bid_prices if side == "bid" else self.ask_prices

    def best_bid(self) -> int | None:
        """The highest bid, None when there is none."""
        return self.bid_prices[-1] if self.bid_prices else None

    def best_ask(self) -> int | None:
        """The lowest ask, None when there is none."""
        return self.ask_prices[0] if self.ask_prices else None

    def best(self, side: Side) -> int | None:
        """The best price of one side, None when it is empty."""
        return self.best_bid() if side == "bid" else self.best_ask()

    def worst(self, side: Side) -> int:
        """The price furthest from the other side; the side must not be empty."""
        return self.bid_prices[0] if side == "bid" else self.ask_prices[-1]

    def top(self, side: Side, depth: int) -> list[tuple[int, int]]:
        """The best `depth` levels of a side, best first; 0 means all."""
        prices = self.prices(side)
        count = len(prices) if depth == 0 else min(depth, len(prices))
        sizes = self.sizes(side)
        if side == "ask":
            return [(price, sizes[price]) for price in prices[:count]]
        return [(price, sizes[price]) for price in reversed(prices[len(prices) - count :])]

    def set(self, side: Side, price: int, size: int) -> Change:
        """Set a level's absolute size (0 removes it) and say what changed."""
        assert size >= 0, f"negative size {size} at {price}"
        sizes, prices = self.sizes(side), self.prices(side)
        old = sizes.get(price, 0)
        if size:
            sizes[price] = size
            if not old:
                insort(prices, price)
        elif old:
            del sizes[price]
            del prices[bisect_left(prices, price)]
        return Change(side, price, old, size)

    def clear(self) -> list[Change]:
        """Remove every level and say what changed."""
        levels: list[tuple[Side, int]] = [("bid", price) for price in self.bid_prices]
        levels += [("ask", price) for price in self.ask_prices]
        return [self.set(side, price, 0) for side, price in levels]


def fixed(units: int, decimals: int) -> str:
    """Decimal text of `units` x 10^-decimals with all its decimals, such as "0.5600"."""
    sign = "-" if units < 0 else ""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits


def plain(units: int, decimals: int) -> str:
    """Decimal text of `units` x 10^-decimals without trailing zeros, such as "0.56"."""
    text = fixed(units, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text
