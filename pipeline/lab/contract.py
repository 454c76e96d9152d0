"""A market of one venue that is decided together with others: a basket's outcome, a ladder's strike.

In: what it is called and when it closes, the reference its ladder stands around. Out: a `Listing`.
Who runs it: `group.Group`, which moves all its contracts by one thought and settles them by one fact.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from dataclasses import dataclass
from typing import Literal

from pipeline.lab.book import Book
from pipeline.lab.listing import SETTLED_AFTER_MS, Bursts, Side, State, Traded
from pipeline.lab.quotes import Quotes, kalshi_size, polymarket_size

GRID = 100
"""Both venues quote these markets in cents (1e-4 dollars)."""
NUMBERS_FROM = 1_000_000
"""Gamma's numbers of these markets, above all that binary events will ever have."""


@dataclass(frozen=True)
class Terms:
    """What a market is called and how it is decided. `name` is unique in the world of a seed."""

    venue: Literal["kalshi", "polymarket"]
    name: str
    number: int
    title: str
    rules: str
    subject: str = ""
    series: str = ""
    ticker: str = ""
    group_title: str = ""
    strike: int | None = None
    fee_rate: str = "0.03"


class Contract(Traded):
    """One market with one ladder. Its group sets `state`, `result` and where the ladder stands."""

    inverse = False
    polymarket_grid = GRID

    def __init__(self, terms: Terms, seed: int, open_ms: int, close_ms: int, reference: int) -> None:
        """Filled at once around `reference` (1e-4 dollars, on the grid)."""
        super().__init__(random.Random(f"{seed}/{terms.name}/noise"))
        self.terms = terms
        self.open_ms, self.close_ms = open_ms, close_ms
        self.state: State = "active"
        self.result = ""
        self.last_price = reference
        digest = hashlib.sha256(f"{seed}/{terms.name}".encode()).hexdigest()
        self.market_uuid = str(uuid.UUID(digest[:32]))
        self.condition = self.yes_token = self.no_token = ""
        kalshi = terms.venue == "kalshi"
        if not kalshi:
            self.condition = "0x" + hashlib.sha256(f"condition/{digest}".encode()).hexdigest()
            self.yes_token, self.no_token = (
                str(int(hashlib.sha256(f"{side}/{digest}".encode()).hexdigest(), 16))
                for side in ("yes", "no")
            )
        law = kalshi_size if kalshi else polymarket_size
        quotes = Quotes(Book(4, 2), GRID, GRID, False, law, self._noise)
        quotes.fill(reference)
        bursts = Bursts(self._noise, quiet=(2.0, 4.0), burst=(8.0, 20.0))
        self.side = Side(terms.venue, terms.ticker or self.yes_token, quotes, bursts, reference)

    @property
    def id(self) -> str:
        """A short name that is never used again."""
        return self.terms.name

    @property
    def number(self) -> int:
        """Gamma's number of the market."""
        return NUMBERS_FROM + self.terms.number

    @property
    def ticker(self) -> str:
        """Kalshi's name of the market, "" where it is Polymarket's."""
        return self.terms.ticker

    @property
    def series(self) -> str:
        """The Kalshi series ticker."""
        return self.terms.series

    @property
    def subject(self) -> str:
        """What the Kalshi series is about."""
        return self.terms.subject

    @property
    def title(self) -> str:
        """What it asks; everything simulated says SIM."""
        return self.terms.title

    @property
    def question(self) -> str:
        """The same on Polymarket."""
        return self.terms.title

    @property
    def rules(self) -> str:
        """The contract text."""
        return self.terms.rules

    @property
    def group_title(self) -> str:
        """The outcome's name among those of its question."""
        return self.terms.group_title

    @property
    def neg_risk(self) -> bool:
        """A Polymarket basket is held to be exclusive and complete by the venue."""
        return bool(self.group_title and self.condition)

    @property
    def strike(self) -> int | None:
        """Dollars that the price must be above."""
        return self.terms.strike

    @property
    def fee_rate(self) -> str:
        """Polymarket's fee rate."""
        return self.terms.fee_rate

    @property
    def settled_ms(self) -> int:
        """Wall time at which it is (to be) settled."""
        return self.close_ms + SETTLED_AFTER_MS

    @property
    def polymarket_result(self) -> str:
        """The result: no question here is asked the other way round."""
        return self.result

    @property
    def kalshi(self) -> Side:
        """Its book."""
        assert self.ticker, f"{self.id} is not listed on Kalshi"
        return self.side

    @property
    def polymarket(self) -> Side:
        """Its book."""
        assert self.condition, f"{self.id} is not listed on Polymarket"
        return self.side

    def names(self) -> tuple[str, ...]:
        """Every name under which a venue knows it."""
        return (self.ticker,) if self.ticker else (self.yes_token, self.no_token, self.condition)
