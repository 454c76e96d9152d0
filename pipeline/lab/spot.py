"""One simulated spot pair, quoted on Kraken and Coinbase around one random walk.

In: the time of each model step. Out: book batches and trades through a callback.
Who runs it: `market.MarketModel`. Each venue strays from the common price by at most `NOISE`
(4 bp), far below the base taker fees of 40 and 120 bp: the pair practically never pays.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

from pipeline.lab.book import Book, BookBatch, Change, Side, Trade
from pipeline.lab.listing import STEP_MS, Bursts, Emit, StepTime

NOISE = 0.0004
"""Largest relative distance of a venue's price from the common one."""
QTY_DECIMALS = 8


@dataclass(frozen=True)
class SpotVenue:
    """How one venue quotes one pair: `spread` in price units, `gap` the mean between levels."""

    venue: str
    market: str
    price_decimals: int
    spread: int
    gap: float
    levels: int
    quiet: tuple[float, float]
    burst: tuple[float, float]


@dataclass(frozen=True)
class SpotSetting:
    """A pair: its base currency, first price in USD, and a typical order size in base units."""

    base: str
    price: float
    typical: float
    venues: tuple[SpotVenue, SpotVenue]


def spot_settings(coinbase_levels: int) -> tuple[SpotSetting, SpotSetting]:
    """The two pairs of the lab; `coinbase_levels` is the depth of a Coinbase side."""
    calm, wild = (3.0, 6.0), (40.0, 76.0)
    deep, deeper = (40.0, 70.0), (100.0, 160.0)
    return (
        SpotSetting(
            "BTC",
            65_000.0,
            0.05,
            (
                SpotVenue("kraken", "BTC/USD", 1, 1, 6.0, 120, calm, wild),
                SpotVenue("coinbase", "BTC-USD", 2, 1, 30.0, coinbase_levels, deep, deeper),
            ),
        ),
        SpotSetting(
            "ETH",
            1_900.0,
            1.5,
            (
                SpotVenue("kraken", "ETH/USD", 2, 1, 6.0, 120, calm, wild),
                SpotVenue("coinbase", "ETH-USD", 2, 1, 4.0, coinbase_levels, deep, deeper),
            ),
        ),
    )


class SpotBook:
    """One venue's book of a pair."""

    def __init__(self, setting: SpotSetting, venue: SpotVenue, rng: random.Random) -> None:
        """Filled at once around the pair's first price."""
        self.venue = venue
        self.book = Book(venue.price_decimals, QTY_DECIMALS)
        self.last_price = 0
        self.trades = 0
        self._typical = setting.typical
        self._rng = rng
        self._stray = 0.0
        self._bursts = Bursts(rng, venue.quiet, venue.burst)
        bid = self._bid(setting.price)
        for side, best, away in self._fronts(bid):
            price = best
            for _ in range(venue.levels):
                self.book.set(side, price, self._size())
                price += away * self._gap()
                if price <= 0:
                    break
        self.last_price = bid

    def step(self, mid: float, time: StepTime, emit: Emit) -> None:
        """Follow the common price and make the noise that is due in this step."""
        for _ in range(self._bursts.due(time.elapsed_ms)):
            draw = self._rng.random()
            if draw < 0.2:
                pull = self._stray * 0.98 + self._rng.gauss(0.0, 0.00003)
                self._stray = min(max(pull, -NOISE), NOISE)
                self._send(self._requote(self._bid(mid)), time, emit)
            elif draw < 0.26:
                self._trade(time, emit)
            else:
                self._send(self._churn(), time, emit)

    def _bid(self, mid: float) -> int:
        scaled = mid * (1.0 + self._stray) * float(10**self.venue.price_decimals)
        return math.floor(scaled - self.venue.spread / 2)

    def _fronts(self, bid: int) -> tuple[tuple[Side, int, int], tuple[Side, int, int]]:
        return (("bid", bid, -1), ("ask", bid + self.venue.spread, 1))

    def _gap(self) -> int:
        return 1 + int(self._rng.expovariate(1.0 / self.venue.gap))

    def _size(self) -> int:
        size = self._typical * math.exp(self._rng.gauss(0.0, 1.5))
        return int(max(1, min(round(size * 1e8), 10**11)))

    def _requote(self, bid: int) -> list[Change]:
        book, ask = self.book, bid + self.venue.spread
        changes = [book.set("bid", p, 0) for p in reversed(book.bid_prices) if p > bid]
        changes += [book.set("ask", p, 0) for p in list(book.ask_prices) if p < ask]
        for side, best, away in self._fronts(bid):
            if best not in book.sizes(side):
                changes.append(book.set(side, best, self._size()))
            while len(book.prices(side)) > self.venue.levels + 20:
                changes.append(book.set(side, book.worst(side), 0))
            while len(book.prices(side)) < self.venue.levels:
                changes.append(book.set(side, book.worst(side) + away * self._gap(), self._size()))
        return changes

    def _churn(self) -> list[Change]:
        side: Side = "bid" if self._rng.random() < 0.5 else "ask"
        prices = self.book.prices(side)
        away = -1 if side == "bid" else 1
        rank = min(int(self._rng.expovariate(0.15)), len(prices) - 1)
        price = prices[-1 - rank] if side == "bid" else prices[rank]
        draw = self._rng.random()
        if draw < 0.03 and rank > 0:
            return [self.book.set(side, price, 0)]
        if draw < 0.18:
            price += away * self._gap()
        return [self.book.set(side, price, self._size())]

    def _trade(self, time: StepTime, emit: Emit) -> None:
        side: Side = "bid" if self._rng.random() < 0.5 else "ask"
        best = self.book.best(side)
        assert best is not None, "a spot book lost a side"
        standing = self.book.sizes(side)[best]
        size = min(max(self._size() // 50, 1), standing - 1)
        if size <= 0:
            return
        self.trades += 1
        self.last_price = best
        taker: Literal["buy", "sell"] = "buy" if side == "ask" else "sell"
        change = self.book.set(side, best, standing - size)
        stamp, key = time.stamp_us(), self.venue
        emit(Trade(key.venue, key.market, best, size, taker, self.trades, stamp))
        emit(BookBatch(key.venue, key.market, [change], stamp))

    def _send(self, changes: list[Change], time: StepTime, emit: Emit) -> None:
        if changes:
            emit(BookBatch(self.venue.venue, self.venue.market, changes, time.stamp_us()))


class SpotPair:
    """A pair: the common price and its two books."""

    def __init__(self, setting: SpotSetting, seed: int) -> None:
        """The walk has its own generator, so the path does not depend on the books' noise."""
        self.setting = setting
        self.mid = setting.price
        self.books = tuple(
            SpotBook(setting, venue, random.Random(f"{seed}/{venue.venue}/{setting.base}"))
            for venue in setting.venues
        )
        self._walk = random.Random(f"{seed}/spot/{setting.base}")
        self._volatile = False

    def step(self, time: StepTime, emit: Emit) -> None:
        """One model step of the walk and of both books."""
        if self._walk.random() < STEP_MS / 1_000 / (1.5 if self._volatile else 15.0):
            self._volatile = not self._volatile
        sigma = (0.0002 if self._volatile else 0.00004) * math.sqrt(STEP_MS / 1_000)
        self.mid *= 1.0 + self._walk.gauss(0.0, sigma)
        for book in self.books:
            book.step(self.mid, time, emit)
