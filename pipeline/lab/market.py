"""The simulated world: rolling binary events, two spot pairs, groups, and the divergences between venues.

In: a seed and a number of steps. Out: everything that happens, through a callback, while the books
are exactly at that point; the list of live events in the form of the configuration.
Who runs it: `server.LabServer`. Pure: no clock, no I/O; the same seed gives the same price path.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from pipeline.lab import events
from pipeline.lab.binary import BinaryEvent, Topic
from pipeline.lab.book import Book, BookBatch, Trade
from pipeline.lab.contract import Contract
from pipeline.lab.group import Strikes
from pipeline.lab.groups import Groups
from pipeline.lab.listing import STEP_MS, Emit, Listing, Notice, StepTime
from pipeline.lab.scenario import NOTHING, Scenario
from pipeline.lab.scenario_conduct import Conduct
from pipeline.lab.spot import SpotBook, SpotPair, spot_settings

__all__ = ["STEP_MS", "MarketModel"]

TOPICS = (
    Topic("RAIN", "rain in Testville"),
    Topic("GOAL", "a goal by the Loopback Rovers"),
    Topic("RATE", "a rate cut by the Sandbox Bank"),
    Topic("VOTE", "the Mock Bill passing"),
    Topic("SHIP", "the good ship Fixture docking"),
    Topic("SNOW", "snow on Mount Stub", never_pays=True),
)
FIRST_LIVES_S = (75, 115, 160, 205, 250, 140)
"""Lives of the first event of each slot: staggered, the first close after more than a minute."""
LIFE_MS = (60_000, 300_000)
SHOWN_AFTER_SETTLEMENT_MS = 15_000
KEPT_FINISHED = 64
RECENT_TRADES = 100
SMALL_CENTS, LARGE_CENTS = (3, 5), (6, 8)
DIVERGED_MS = (300, 3_000)
BETWEEN_MS = (2_000, 4_000)


class MarketModel:
    """Everything the four simulated venues show, advanced in steps of STEP_MS milliseconds."""

    def __init__(
        self,
        seed: int,
        divergence: float,
        start_wall_ms: int,
        *,
        coinbase_levels: int = 1_000,
        scenario: Scenario = NOTHING,
    ) -> None:
        """`divergence` scales the gaps between the venues of an event (0: never any).
        `coinbase_levels` is a side's depth there (20,000 makes a snapshot of over 4 MiB). Of the `scenario`
        the markets play what is theirs.
        """
        assert divergence >= 0, "divergence is a factor"
        self.seed, self.divergence = seed, divergence
        self.coinbase_levels = coinbase_levels
        self.time = StepTime(start_wall_ms)
        self.events_version = 0
        """Changes whenever `events()` does."""
        self.live: list[BinaryEvent] = []
        self._finished: deque[BinaryEvent] = deque()
        self._conduct = Conduct(scenario.steps, seed)
        self._number = 1
        self._lives = random.Random(f"{seed}/lives")
        self._gaps = random.Random(f"{seed}/divergence")
        self._next_gap_ms = 1_500
        self._dealt: list[tuple[str, int]] = []
        self._last_diverged = ""
        self.pairs = tuple(SpotPair(s, seed) for s in spot_settings(coinbase_levels))
        self._spot = {(b.venue.venue, b.venue.market): b for pair in self.pairs for b in pair.books}
        self._index: dict[str, BinaryEvent] = {}
        self._trades: dict[tuple[str, str], deque[Trade]] = {}
        for topic, life_s in zip(TOPICS, FIRST_LIVES_S, strict=True):
            self._open(topic, life_s * 1_000 + self._lives.randrange(8_000))
        self.groups = Groups(seed, divergence, self.time, self._bitcoin, self._forget)

    def step(self, emit: Emit) -> None:
        """Advance one step; `emit` is called at once for each thing that happens."""
        self.time.advance()

        def keep(item: BookBatch | Trade | Notice) -> None:
            if isinstance(item, Trade):
                self.trades(item.venue, item.market).append(item)
            emit(item)

        for event in self.live:
            event.step(self.time, keep)
        self._conduct.act(self.live, self.time, keep)
        self._roll(keep)
        self._diverge(keep)
        for pair in self.pairs:
            pair.step(self.time, keep)
        self.events_version += self.groups.step(self.time, keep)

    def order(self, scenario: Scenario) -> None:
        """From now on the markets play this too, in place of what was ordered before."""
        self._conduct.order(scenario.steps)

    def skip(self, milliseconds: int) -> None:
        """Let wall time pass without a step, after a stall too long to make good."""
        assert milliseconds >= 0, "time does not go back"
        self.time.wall_ms += milliseconds

    def binaries(self) -> list[BinaryEvent]:
        """Live and lately finished binary events, oldest first."""
        return [*self._finished, *self.live]

    def kalshi(self) -> list[Listing]:
        """What Kalshi lists or has listed lately."""
        return [*self.binaries(), *(c for c in self.groups.contracts() if c.ticker)]

    def polymarket(self) -> list[Listing]:
        """What Polymarket lists or has listed lately."""
        return [*self.binaries(), *(c for c in self.groups.contracts() if c.condition)]

    def by_ticker(self, ticker: str) -> Listing | None:
        """The market with this Kalshi ticker."""
        listing = self._find(ticker)
        return listing if listing is not None and listing.ticker == ticker else None

    def by_token(self, token: str) -> Listing | None:
        """The market with this Polymarket token, of either outcome."""
        listing = self._find(token)
        return listing if listing and token in (listing.yes_token, listing.no_token) else None

    def by_condition(self, condition: str) -> Listing | None:
        """The market with this Polymarket condition id."""
        listing = self._find(condition)
        return listing if listing is not None and listing.condition == condition else None

    def _find(self, name: str) -> Listing | None:
        return self._index.get(name) or self.groups.find(name)

    def spot(self, venue: str, market: str) -> SpotBook | None:
        """The spot book a venue keeps under this symbol or product id."""
        return self._spot.get((venue, market))

    def spot_books(self) -> list[tuple[tuple[str, str], SpotBook]]:
        """All spot books with their venue and market."""
        return list(self._spot.items())

    def book(self, venue: str, market: str) -> Book | None:
        """The book under the model's key: Kalshi ticker, Polymarket YES token, spot symbol."""
        if venue == "kalshi":
            event = self.by_ticker(market)
            return event.kalshi.quotes.book if event else None
        if venue == "polymarket":
            event = self.by_token(market)
            return event.polymarket.quotes.book if event else None
        spot = self.spot(venue, market)
        return spot.book if spot else None

    def trades(self, venue: str, market: str) -> deque[Trade]:
        """The last trades of a market, oldest first."""
        return self._trades.setdefault((venue, market), deque(maxlen=RECENT_TRADES))

    def events(self) -> list[dict[str, Any]]:
        """Live events in the form of the configuration; a settled one stays for 15 s."""
        began_ms = self.time.wall_ms - self.time.elapsed_ms
        groups = self.groups.live
        return [
            *(events.binary(event) for event in self.live),
            *(events.spot(pair, began_ms) for pair in self.pairs),
            *(events.complement(event) for event in self.live if event.topic.stem == events.TOKENS_OF),
            *(events.grouped(group) for group in groups),
            *(events.model(group) for group in groups if isinstance(group, Strikes)),
        ]

    def _bitcoin(self) -> float:
        """Dollars a Bitcoin costs now: the middle of the book that decides the strikes."""
        book = self._spot[events.MODEL_SPOT].book
        bid, ask = book.best_bid(), book.best_ask()
        assert bid is not None, "a spot book lost its bids"
        assert ask is not None, "a spot book lost its asks"
        return (bid + ask) / 2 / float(10**book.price_decimals)

    def _forget(self, contract: Contract) -> None:
        self._trades.pop((contract.side.venue, contract.side.key), None)

    def _open(self, topic: Topic, life_ms: int) -> BinaryEvent:
        event = BinaryEvent(topic, self.seed, self._number, self.time.wall_ms, life_ms)
        self._number += 1
        self.live.append(event)
        self._index.update(dict.fromkeys(_names(event), event))
        self.events_version += 1
        return event

    def _roll(self, emit: Emit) -> None:
        """Replace what closed, and let go of what has been settled long enough."""
        for event in list(self.live):
            if event.state == "closed" and not event.replaced:
                event.replaced = True
                opened = self._open(event.topic, self._lives.randrange(*LIFE_MS))
                emit(Notice("opened", opened, self.time.stamp_us()))
            over_ms = event.settled_ms + SHOWN_AFTER_SETTLEMENT_MS
            if event.state == "settled" and self.time.wall_ms >= over_ms:
                self.live.remove(event)
                self._finish(event)
                self.events_version += 1

    def _finish(self, event: BinaryEvent) -> None:
        """Keep a finished event for its result; forget the oldest when there are too many."""
        self._finished.append(event)
        if len(self._finished) > KEPT_FINISHED:
            old = self._finished.popleft()
            for name in _names(old):
                del self._index[name]
            for side in (old.kalshi, old.polymarket):
                self._trades.pop((side.venue, side.key), None)

    def _diverge(self, emit: Emit) -> None:
        """Every 2 to 4 s one event diverges. A larger gap stands longer within the 0.3 to 3 s, so
        that the gaps which fees eat are the brief ones.
        """
        if self.time.elapsed_ms < self._next_gap_ms:
            return
        self._next_gap_ms = self.time.elapsed_ms + self._gaps.randrange(*BETWEEN_MS)
        rich, cents = self._deal()
        share = (cents - SMALL_CENTS[0] + self._gaps.random()) / 6
        lasts_ms = round(DIVERGED_MS[0] + share * (DIVERGED_MS[1] - DIVERGED_MS[0]))
        up_first = self._gaps.random() < 0.5
        gap = round(cents * self.divergence) * 100
        able = [e for e in self.live if e.can_diverge(self.time.wall_ms, DIVERGED_MS[1])]
        fresh = [e for e in able if e.id != self._last_diverged] or able
        if gap == 0 or not fresh:
            return
        event = self._gaps.choice(fresh)
        until_ms = self.time.elapsed_ms + lasts_ms
        if event.diverge(rich, gap, until_ms, up_first, self.time, emit):
            self._dealt.pop()
            self._last_diverged = event.id

    def _deal(self) -> tuple[str, int]:
        """The next venue to be rich and by how many cents. Of every two divergences each venue is
        rich in one and one is large; of every four each venue has a large and a small one.
        """
        if not self._dealt:
            large_first = self._gaps.random() < 0.5
            for large in (large_first, not large_first):
                kalshi = self._gaps.randint(*(LARGE_CENTS if large else SMALL_CENTS))
                polymarket = self._gaps.randint(*(SMALL_CENTS if large else LARGE_CENTS))
                pair = [("kalshi", kalshi), ("polymarket", polymarket)]
                self._dealt += self._gaps.sample(pair, 2)
        return self._dealt[-1]


def _names(event: BinaryEvent) -> tuple[str, ...]:
    return (event.ticker, event.yes_token, event.no_token, event.condition)
