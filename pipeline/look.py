"""Look: one book at one moment, and whoever can look.

In: rows of a feed's segment. Out: a frozen `Look`. Pure; scanner and trader price what they looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.model import BookState, Scale
from shm.books import BookRow
from shm.records import MarketRow


@dataclass(frozen=True, slots=True)
class Look:
    """A book's row, its metadata, and what the stored state was worth when it was read.

    `derived` keeps what was made of it, by name: as long as the book is the same look, so is that.
    """

    row: int
    book: BookRow
    market: MarketRow
    state: BookState
    derived: dict[object, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def scale(self) -> Scale:
        """The market's scale; its decimals are -1 while it is unknown."""
        return Scale(self.market.price_decimals, self.market.size_decimals)


class Books(Protocol):
    """Reads books by venue and market."""

    def read(self, venue: str, market: str, now_ns: int) -> Look | None:
        """The market's book as it is now, or None if it is not there or kept changing."""
        ...
