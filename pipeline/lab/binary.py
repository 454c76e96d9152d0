"""One binary event of the simulated world, traded on Kalshi and Polymarket, from opening to result.

In: the time of each model step, and orders of the model to diverge. Out: book batches, trades and
notices through a callback. Who runs it: `market.MarketModel`. All randomness comes from the seed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import random
import uuid
from dataclasses import dataclass

from pipeline.lab.book import Book
from pipeline.lab.exchange import utc_seconds
from pipeline.lab.listing import (
    STEP_MS,
    Bursts,
    Emit,
    Ended,
    Notice,
    Rolling,
    Side,
    State,
    StepTime,
    Traded,
)
from pipeline.lab.quotes import ONE, Quotes, kalshi_size, polymarket_size

HOLD_MS = {100: 250, 10: 50}
"""Rest between two moves of the reference, by grid: a client whose two feeds are this far apart in
time still sees neighbouring quotes only, so without divergence nothing ever seems to pay."""
POLYMARKET_RATES = ("0.03", "0.04", "0.05", "0.07")


@dataclass(frozen=True)
class Topic:
    """What a slot's events ask: a ticker stem, a question, and whether it is quoted too wide."""

    stem: str
    question: str
    never_pays: bool = False


class BinaryEvent(Traded, Rolling):
    """A question with a fair price, two ladders around it, a close, and a result."""

    # One market alone, which nobody lists among the outcomes or strikes of a larger question.
    group_title = ""
    neg_risk = False
    strike: int | None = None

    def __init__(self, topic: Topic, seed: int, number: int, wall_ms: int, life_ms: int) -> None:
        """Open now and close after `life_ms` (rounded up to a whole second of wall time)."""
        super().__init__(random.Random(f"{seed}/{number}/noise"))
        self.topic, self.number = topic, number
        self.open_ms = wall_ms
        self.close_ms = -(-(wall_ms + life_ms) // 1_000) * 1_000
        self.state: State = "active"
        self.result = ""
        self.replaced = False
        self.diverged_until_ms: int | None = None
        self._walk = random.Random(f"{seed}/{number}/walk")
        self._name(seed)
        self.fair = self._walk.uniform(0.2, 0.8)
        self._volatile = False
        self._hold_until_ms = 0
        self._settings()
        self._grid = self.polymarket_grid
        self.reference = int(self.fair * ONE) // self._grid * self._grid
        self.kalshi, self.polymarket = self._sides()
        self.last_price = self.reference

    def _name(self, seed: int) -> None:
        digest = hashlib.sha256(f"{seed}/{self.number}".encode()).hexdigest()
        self.id = f"sim-{self.topic.stem.lower()}-{self.number}"
        self.condition = "0x" + hashlib.sha256(f"condition/{digest}".encode()).hexdigest()
        self.yes_token, self.no_token = (
            str(int(hashlib.sha256(f"{side}/{digest}".encode()).hexdigest(), 16)) for side in ("yes", "no")
        )
        day = dt.datetime.fromtimestamp(self.close_ms // 1_000, dt.UTC)
        self.ticker = f"{self.series}-{day:%y%b%d}-{self.number}".upper()
        self.market_uuid = str(uuid.UUID(digest[:32]))

    def _settings(self) -> None:
        rng = random.Random(f"settings/{self.condition}")
        self.inverse = rng.random() < 0.25
        self.fee_rate = rng.choice(POLYMARKET_RATES)
        draw = 1.0 if self.topic.never_pays else rng.random()
        self.polymarket_grid = 10 if draw < 0.15 else 100
        self._finer_at_ms = self.open_ms + 20_000 if 0.15 <= draw < 0.3 else None

    def _sides(self) -> tuple[Side, Side]:
        rng = self._noise
        widths = [100, 100 if self.polymarket_grid == 100 else 30]
        if self.topic.never_pays:
            widths = [rng.randrange(6, 11) * 100, rng.randrange(6, 11) * 100]
        kalshi = Quotes(Book(4, 2), 100, widths[0], False, kalshi_size, rng)
        polymarket = Quotes(Book(4, 2), self.polymarket_grid, widths[1], self.inverse, polymarket_size, rng)
        sides = (
            Side("kalshi", self.ticker, kalshi, self._bursts(), self.reference),
            Side("polymarket", self.yes_token, polymarket, self._bursts(), self.reference),
        )
        for side in sides:
            side.quotes.fill(self.reference)
        return sides

    def _bursts(self) -> Bursts:
        return Bursts(self._noise, quiet=(2.0, 4.0), burst=(20.0, 80.0))

    @property
    def series(self) -> str:
        """The Kalshi series ticker."""
        return f"KXSIM{self.topic.stem}"

    @property
    def subject(self) -> str:
        """What the Kalshi series is about."""
        return self.topic.question

    @property
    def title(self) -> str:
        """What the event asks; everything simulated says SIM."""
        return f"SIM {self.topic.question} by {utc_seconds(self.close_ms)[11:19]}?"

    @property
    def question(self) -> str:
        """What the Polymarket market asks; an inverse one asks for the opposite."""
        return self.title.replace("SIM ", "SIM no ", 1) if self.inverse else self.title

    @property
    def rules(self) -> str:
        """The contract text, the same on both venues."""
        return (
            f"Resolves by the lab's own seeded draw at {utc_seconds(self.close_ms)}; "
            f"a simulated question about {self.topic.question}, never void."
        )

    @property
    def polymarket_result(self) -> str:
        """The result in the Polymarket question's own terms; empty until determined."""
        if not self.result or not self.inverse:
            return self.result
        return "no" if self.result == "yes" else "yes"

    def can_diverge(self, wall_ms: int, longest_ms: int) -> bool:
        """Whether a divergence may start: open a second, none running, time enough left."""
        return (
            self.state == "active"
            and not self.topic.never_pays
            and self.diverged_until_ms is None
            and wall_ms >= self.open_ms + 1_000
            and wall_ms + longest_ms + 2_000 < self.close_ms
        )

    def diverge(self, rich: str, gap: int, until_ms: int, up_first: bool, time: StepTime, emit: Emit) -> bool:
        """Move one venue's ladder so that the rich venue bids `gap` (1e-4 dollars) above the
        other's ask until `until_ms` of elapsed time. False when there is no room for it.
        """
        high, low = self.kalshi, self.polymarket
        if rich == "polymarket":
            high, low = low, high
        for side in (high, low):
            side.quotes.shade_bid = side.quotes.shade_ask = 0
        bid, _ = high.quotes.target(high.reference)
        _, ask = low.quotes.target(low.reference)
        for up in (up_first, not up_first):
            mover = high if up else low
            shift = -(-(ask + gap - bid) // mover.quotes.grid) * mover.quotes.grid
            room = bid + shift <= 9_600 if up else ask - shift >= 400
            if room:
                mover.quotes.offset = shift if up else -shift
                self.diverged_until_ms = until_ms
                for side in (low, high) if not up else (high, low):
                    self.send(side, side.quotes.move(side.reference), time, emit)
                return True
        return False

    def _drift(self) -> None:
        if self._walk.random() < STEP_MS / 1_000 / (1.2 if self._volatile else 12.0):
            self._volatile = not self._volatile
        sigma = 0.025 if self._volatile else 0.004
        fair = self.fair + self._walk.gauss(0.0, sigma * math.sqrt(STEP_MS / 1_000))
        self.fair = min(max(fair, 0.05), 0.95)

    def _follow(self, time: StepTime, emit: Emit) -> None:
        if self.diverged_until_ms is not None and time.elapsed_ms >= self.diverged_until_ms:
            self.diverged_until_ms = None
            for side in (self.kalshi, self.polymarket):
                side.quotes.offset = 0
                self.send(side, side.quotes.move(side.reference), time, emit)
        self._refine(time, emit)
        late = [s for s in (self.kalshi, self.polymarket) if s.reference != self.reference]
        for side in late:
            if time.elapsed_ms >= side.due_ms:
                side.reference = self.reference
                self.send(side, side.quotes.move(side.reference), time, emit)
        if not late:
            self._aim(time)

    def _aim(self, time: StepTime) -> None:
        """Move the shared reference one grid towards the fair price. Only once both venues have
        followed the last move: their references then never differ by more than one grid.
        """
        if time.elapsed_ms < self._hold_until_ms:
            return
        wanted, slack = self.fair * ONE, 0.3 * self._grid
        if wanted >= self.reference + self._grid + slack:
            self.reference += self._grid
        elif wanted < self.reference - slack:
            self.reference -= self._grid
        else:
            return
        for side in (self.kalshi, self.polymarket):
            side.due_ms = time.elapsed_ms + STEP_MS * self._noise.randrange(0, 6)
            self._hold_until_ms = max(self._hold_until_ms, side.due_ms + HOLD_MS[self._grid])
            if self.diverged_until_ms is None:
                side.quotes.reshade()

    def _refine(self, time: StepTime, emit: Emit) -> None:
        """Change Polymarket's grid from a cent to a tenth, once, on the events chosen for it."""
        if self._finer_at_ms is None or time.wall_ms < self._finer_at_ms:
            return
        if self.diverged_until_ms is not None:
            return
        self._finer_at_ms = None
        self._grid = self.polymarket_grid = self.polymarket.quotes.grid = 10
        self.polymarket.quotes.width = 30
        emit(Notice("tick_size", self, time.stamp_us(), old=100, new=10))
        self.send(self.polymarket, self.polymarket.quotes.move(self.reference), time, emit)

    def _close(self, time: StepTime, emit: Emit) -> None:
        self.state = "closed"
        for side in (self.kalshi, self.polymarket):
            self.send(side, side.quotes.book.clear(), time, emit)
        emit(Notice("closed", self, time.stamp_us()))

    def _stir(self, time: StepTime, emit: Emit) -> None:
        for side in (self.kalshi, self.polymarket):
            for _ in range(side.bursts.due(time.elapsed_ms)):
                self.churn(side, time, emit)

    def _decide(self) -> None:
        self.result = "yes" if self._walk.random() < self.fair else "no"

    def _enter(self, state: Ended, time: StepTime, emit: Emit) -> None:
        self.state = state
        emit(Notice(state, self, time.stamp_us()))
