"""Listings: what the simulated venues show of a market, and what all markets of the lab share.

In: the time of each model step, generators. Out: the model's clock, bursts of messages, trades and notices.
Who runs it: `binary.BinaryEvent` and `contract.Contract` are listings; the sessions and the REST of the
venues show them without knowing which.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.lab.book import BookBatch, Change, Trade
from pipeline.lab.quotes import ONE, Quotes

STEP_MS = 10
"""Length of one model step, milliseconds."""
State = Literal["active", "closed", "determined", "settled"]
Ended = Literal["closed", "determined", "settled"]
DETERMINED_AFTER_MS, SETTLED_AFTER_MS = 500, 1_500
"""Time after the close at which the result is known, and at which it is paid."""

Emit = Callable[["BookBatch | Trade | Notice"], None]


class Listing(Protocol):
    """What a venue shows of a market. Kalshi's names are empty where it is not listed there, and so are
    Polymarket's tokens.
    """

    @property
    def id(self) -> str:
        """A short name that is never used again."""

    @property
    def number(self) -> int:
        """Gamma's number of the market."""

    @property
    def ticker(self) -> str:
        """Kalshi's name of the market."""

    @property
    def series(self) -> str:
        """The Kalshi series ticker."""

    @property
    def subject(self) -> str:
        """What the Kalshi series is about."""

    @property
    def market_uuid(self) -> str:
        """Kalshi's id of the market."""

    @property
    def yes_token(self) -> str:
        """Polymarket's token that pays on YES."""

    @property
    def no_token(self) -> str:
        """Polymarket's token that pays on NO."""

    @property
    def condition(self) -> str:
        """Polymarket's condition id."""

    @property
    def title(self) -> str:
        """What the market asks; everything simulated says SIM."""

    @property
    def question(self) -> str:
        """What it asks on Polymarket, which may be the opposite."""

    @property
    def rules(self) -> str:
        """The contract text."""

    @property
    def group_title(self) -> str:
        """The outcome's name among those of a larger question; empty for a market alone."""

    @property
    def neg_risk(self) -> bool:
        """Whether Polymarket holds the markets of the larger question to be exclusive and complete."""

    @property
    def strike(self) -> int | None:
        """Dollars that the price must be above for YES; None where nothing is measured."""

    @property
    def fee_rate(self) -> str:
        """Polymarket's fee rate."""

    @property
    def polymarket_grid(self) -> int:
        """Polymarket's price grid in 1e-4 dollars."""

    @property
    def inverse(self) -> bool:
        """Whether Polymarket asks the opposite."""

    @property
    def open_ms(self) -> int:
        """Wall time of the opening."""

    @property
    def close_ms(self) -> int:
        """Wall time of the close."""

    @property
    def settled_ms(self) -> int:
        """Wall time at which it is (to be) settled."""

    @property
    def state(self) -> State:
        """How far its life has gone."""

    @property
    def result(self) -> str:
        """Whether YES pays, "yes" or "no" in Kalshi's terms; empty until determined."""

    @property
    def polymarket_result(self) -> str:
        """The same in the Polymarket question's own terms."""

    @property
    def trades(self) -> int:
        """Trades so far."""

    @property
    def last_price(self) -> int:
        """Price of the last trade in 1e-4 dollars, in Kalshi's terms."""

    @property
    def kalshi(self) -> Side:
        """Its book on Kalshi; ask for it only where there is a ticker."""

    @property
    def polymarket(self) -> Side:
        """Its book on Polymarket; ask for it only where there are tokens."""


@dataclass(frozen=True)
class Notice:
    """Something happened to a market as a whole. `old` and `new` are grids, for tick_size only."""

    kind: Literal["opened", "tick_size", "closed", "determined", "settled"]
    event: Listing
    time_us: int
    old: int = 0
    new: int = 0


class StepTime:
    """The model's clock: `elapsed_ms` drives prices, `wall_ms` dates them and closes events."""

    def __init__(self, start_wall_ms: int) -> None:
        """Starts at zero elapsed."""
        self.elapsed_ms = 0
        self.wall_ms = start_wall_ms
        self._stamps = 0

    def advance(self) -> None:
        """Move one step on."""
        self.elapsed_ms += STEP_MS
        self.wall_ms += STEP_MS
        self._stamps = 0

    def stamp_us(self) -> int:
        """Wall time in microseconds, rising within the step (by 37 us each, at most 9.9 ms)."""
        self._stamps = min(self._stamps + 37, 9_900)
        return self.wall_ms * 1_000 + self._stamps


class Bursts:
    """The two-state process of real feeds: long quiet spells, short bursts. Rates a second."""

    def __init__(self, rng: random.Random, quiet: tuple[float, float], burst: tuple[float, float]) -> None:
        """Ranges of the rate in each state; a new rate is drawn at every change of state."""
        self._rng = rng
        self._quiet, self._burst = quiet, burst
        self.bursting = False
        self.rate = rng.uniform(*quiet)
        self._next_ms = 0.0

    def due(self, elapsed_ms: int) -> int:
        """How many happenings fall into the step that ends now."""
        seconds = STEP_MS / 1_000
        if self._rng.random() < seconds / (0.8 if self.bursting else 12.0):
            self.bursting = not self.bursting
            self.rate = self._rng.uniform(*(self._burst if self.bursting else self._quiet))
            self._next_ms = elapsed_ms + self._gap_ms()
        count = 0
        while self._next_ms <= elapsed_ms:
            self._next_ms += self._gap_ms()
            count += 1
        return count

    def _gap_ms(self) -> float:
        return self._rng.expovariate(self.rate) * 1_000


class Side:
    """One venue's part of an event: book key, ladder, message rate, how far it has followed."""

    def __init__(self, venue: str, key: str, quotes: Quotes, bursts: Bursts, reference: int) -> None:
        """`reference` is what the ladder stands around; `due_ms` when it follows a new one."""
        self.venue, self.key = venue, key
        self.quotes, self.bursts = quotes, bursts
        self.reference = reference
        self.due_ms = 0


class Rolling(ABC):
    """What opens, moves, closes and is settled: a market by itself, or a group of them."""

    state: State
    close_ms: int

    @property
    def settled_ms(self) -> int:
        """Wall time at which it is (to be) settled on all venues."""
        return self.close_ms + SETTLED_AFTER_MS

    def step(self, time: StepTime, emit: Emit) -> None:
        """One model step: the walk always goes on while active, so the path is the seed's alone."""
        if self.state == "active":
            if time.wall_ms >= self.close_ms:
                self._close(time, emit)
            else:
                self._drift()
                self._follow(time, emit)
                self._stir(time, emit)
        elif self.state == "closed" and time.wall_ms >= self.close_ms + DETERMINED_AFTER_MS:
            self._decide()
            self._enter("determined", time, emit)
        elif self.state == "determined" and time.wall_ms >= self.settled_ms:
            self._enter("settled", time, emit)

    @abstractmethod
    def _drift(self) -> None:
        """One step of what the fair prices come from."""

    @abstractmethod
    def _follow(self, time: StepTime, emit: Emit) -> None:
        """Bring the ladders nearer to the fair prices."""

    @abstractmethod
    def _stir(self, time: StepTime, emit: Emit) -> None:
        """The noise that is due on each ladder."""

    @abstractmethod
    def _close(self, time: StepTime, emit: Emit) -> None:
        """Clear the books, and say so."""

    @abstractmethod
    def _decide(self) -> None:
        """Set the results; asked once."""

    @abstractmethod
    def _enter(self, state: Ended, time: StepTime, emit: Emit) -> None:
        """Take on a state, and say so."""


class Traded:
    """A market's trades and the noise that makes them."""

    def __init__(self, noise: random.Random) -> None:
        """`noise` is the market's own generator."""
        self.trades = 0
        self.last_price = 0
        self._noise = noise

    def churn(self, side: Side, time: StepTime, emit: Emit) -> None:
        """One happening on one side: a trade now and then, else a change of its ladder."""
        if self._noise.random() < 0.04:
            self.trade(side, time, emit)
            return
        self.send(side, side.quotes.churn(), time, emit)

    def trade(self, side: Side, time: StepTime, emit: Emit) -> None:
        """Somebody takes a part of a best level, if there is enough."""
        change = side.quotes.take()
        if change is not None:
            self._trade(side, change, time, emit)

    def _trade(self, side: Side, change: Change, time: StepTime, emit: Emit) -> None:
        self.trades += 1
        self.last_price = ONE - change.price if side.quotes.mirrored else change.price
        taker: Literal["buy", "sell"] = "buy" if change.side == "ask" else "sell"
        size = change.old - change.new
        stamp = time.stamp_us()
        emit(Trade(side.venue, side.key, change.price, size, taker, self.trades, stamp))
        emit(BookBatch(side.venue, side.key, [change], stamp))

    def send(self, side: Side, changes: list[Change], time: StepTime, emit: Emit) -> None:
        """Emit changes of a side's book that have been made; no changes are no message."""
        if changes:
            emit(BookBatch(side.venue, side.key, changes, time.stamp_us()))
