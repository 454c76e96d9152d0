"""The screen against exact arithmetic: it never hides a lane whose best prices leave anything."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from pipeline.books import SEARCH_NS, FeedBooks
from pipeline.clock import ManualClock
from pipeline.model import INT64_MAX, BookState, StateLimits
from pipeline.model_events import MAX_LEGS, EventLeg, LegPlan
from pipeline.scanner.screen import LARGEST, Lane, LaneLeg, Screen, limit_usd
from shm import books as memory
from shm import segment as segments
from shm.records import MARKET
from tests.support.rows import publish

VENUES, MARKETS = ("kalshi", "polymarket", "coinbase"), ("A", "B", "C", "D", "E")
PLANS = [(action, outcome) for action in ("buy", "sell") for outcome in ("yes", "no", "base")]
Book = tuple[int, BookState, int, int, int, int]  # decimals, state, bid, its units, ask, its units


class Feeds:
    """Three feeds' own sides of real memory, one reader, one screen."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.clock = directory, ManualClock()
        self.owned: dict[str, segments.Segment] = {}
        self.writers: dict[str, memory.BookWriter] = {}
        for venue in VENUES:
            self.start(venue)
        self.books = FeedBooks(directory, VENUES, StateLimits())
        self.books.refresh(self.clock.monotonic_ns())
        self.screen = Screen(self.books)

    def start(self, venue: str, rows: int = len(MARKETS)) -> None:
        """Start a feed, anew where it was there before."""
        self.owned[venue] = segments.create(
            self.directory,
            f"feed-{venue}",
            memory.feed_sections(rows, 2, connections=1),
            segments.this_owner(),
            monotonic_ns=self.clock.monotonic_ns(),
            wall_ns=self.clock.wall_ns(),
            sleep=self.clock.sleep,
        )
        self.writers[venue] = memory.BookWriter(self.owned[venue])

    def put(self, venue: str, market: str, book: Book) -> None:
        """Publish a book, of a new scale perhaps."""
        writer, (decimals, state, bid, bid_units, ask, ask_units) = self.writers[venue], book
        row = MARKET.empty()._replace(market=market, price_decimals=decimals, size_decimals=0)
        writer.claim(row)
        writer.describe(row)
        now = self.clock.monotonic_ns()
        publish(writer, market, state, [(bid, bid_units)], [(ask, ask_units)], now)

    def ask(self, lanes: list[Lane]) -> list[int]:
        """What a screen of these lanes shows now; both ways of asking agree."""
        self.screen.watch(lanes)
        return self.again(lanes)

    def again(self, lanes: list[Lane]) -> list[int]:
        """The same after things changed."""
        self.screen.refresh(self.clock.monotonic_ns())
        shown = self.screen.crossed()
        assert len(set(shown)) == len(shown)
        assert {lane for lane in range(len(lanes)) if self.screen.crosses(lane)} <= set(shown)
        return sorted(shown)

    def close(self) -> None:
        """End all feeds."""
        for segment in self.owned.values():
            segment.close()


@pytest.fixture
def feeds(tmp_path: Path) -> Iterator[Feeds]:
    """Three running feeds without a market."""
    made = Feeds(tmp_path / "shm")
    yield made
    made.close()


def leaves(lane: Lane, books: dict[tuple[str, str], Book]) -> bool:
    """Whether a unit of all legs at the best prices leaves anything, in exact fractions."""
    assert lane.payoff is not None
    left = Fraction(lane.payoff)
    for venue, market, action, outcome in lane.legs:
        if (venue, market) not in books:
            return False
        decimals, state, bid, bid_units, ask, ask_units = books[venue, market]
        takes_asks = LegPlan(EventLeg(venue, market), action, outcome).takes_asks
        ticks, units = (ask, ask_units) if takes_asks else (bid, bid_units)
        if state != BookState.LIVE or units <= 0:
            return False
        price = Fraction(ticks, 10**decimals)
        dollars = 1 - price if outcome == "no" else price
        left -= dollars if action == "buy" else -dollars
    return left > 0


def random_book(random: Random, decimals: int, spread: int) -> Book:
    """A book that is mostly usable, with few distinct prices so that sums tie."""
    state = random.choice([BookState.LIVE] * 8 + [BookState.GAP, BookState.EMPTY, BookState.CROSSED])
    bid, ask = (random.randrange(spread + 1) * 10**decimals // spread for _ in range(2))
    units = [random.choice((0, 1, 5, INT64_MAX)) if random.random() < 0.4 else 7 for _ in range(2)]
    return decimals, state, bid + random.randrange(-1, 2) * (bid > 0), units[0], ask, units[1]


def random_lane(random: Random, most_legs: int) -> Lane:
    """Legs anywhere, the same book twice perhaps; a payoff near what the legs come to."""
    legs = tuple(
        LaneLeg(random.choice(VENUES), random.choice(MARKETS), *random.choice(PLANS))
        for _ in range(random.randint(1, most_legs))
    )
    payoff = Decimal(random.randint(-4, 4)) + Decimal(random.choice((0, 0, 1, -1))).scaleb(-12)
    return Lane(legs, payoff)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_crosses_is_hidden_and_nothing_else_is_shown(feeds: Feeds, seed: int) -> None:
    """On any decimals from 0 to 8, flips, empty sides, states and payoffs it is exact fractions' answer."""
    random = Random(seed)
    books: dict[tuple[str, str], Book] = {}
    for _ in range(40):
        for venue in VENUES:
            for market in random.sample(MARKETS, 3):
                book = random_book(random, random.randint(0, 8), random.choice((2, 4, 10)))
                books[venue, market] = book
                feeds.put(venue, market, book)
        lanes = [random_lane(random, random.choice((1, 2, 2, 3, MAX_LEGS))) for _ in range(40)]
        expected = [number for number, lane in enumerate(lanes) if leaves(lane, books)]
        assert feeds.ask(lanes) == expected
        assert [lane for lane in range(len(lanes)) if feeds.screen.crosses(lane)] == expected


def test_finer_markets_are_looked_at_one_by_one(feeds: Feeds) -> None:
    """More than eight decimals and payoffs of millions of millions are answered exactly too."""
    random = Random(11)
    for _ in range(60):
        books = {}
        for venue in VENUES:
            for market in MARKETS:
                books[venue, market] = random_book(random, random.choice((2, 9, 13, 18)), 4)
                feeds.put(venue, market, books[venue, market])
        lanes = [random_lane(random, 4) for _ in range(10)]
        lanes += [lane._replace(payoff=Decimal(random.choice((-1, 1)) * 10**12)) for lane in lanes]
        assert feeds.ask(lanes) == [number for number, lane in enumerate(lanes) if leaves(lane, books)]


def test_prices_beyond_all_reason_are_shown_and_never_overflow(feeds: Feeds) -> None:
    """Whatever words stand in memory, no lane that crosses is hidden; others may be shown."""
    random = Random(5)
    words = (INT64_MAX, -INT64_MAX, LARGEST, LARGEST - 1, LARGEST + 1, 1 << 61, -1, 0, 1, 10**6)
    hidden = 0
    for _ in range(150):
        books = {}
        for venue in VENUES:
            for market in MARKETS:
                prices = random.choice(words), random.choice(words)
                books[venue, market] = (random.randint(0, 8), BookState.LIVE, prices[0], 1, prices[1], 1)
                feeds.put(venue, market, books[venue, market])
        lanes = [random_lane(random, MAX_LEGS) for _ in range(20)]
        shown = feeds.ask(lanes)
        assert {number for number, lane in enumerate(lanes) if leaves(lane, books)} <= set(shown)
        hidden += len(lanes) - len(shown)
    assert hidden > 0


PAIR = Lane((LaneLeg("kalshi", "A", "buy", "yes"), LaneLeg("polymarket", "B", "buy", "no")), Decimal(1))


def test_the_crossing_of_a_pair_is_strict(feeds: Feeds) -> None:
    """YES at 0.40 and NO at 0.60 leave nothing; one millionth less does."""
    feeds.put("kalshi", "A", (2, BookState.LIVE, 30, 5, 40, 5))
    feeds.put("polymarket", "B", (6, BookState.LIVE, 400_000, 5, 500_000, 5))
    assert feeds.ask([PAIR]) == []
    feeds.put("polymarket", "B", (6, BookState.LIVE, 400_001, 5, 500_000, 5))
    assert feeds.again([PAIR]) == [0]
    assert limit_usd(PAIR) == 0


def test_what_cannot_be_screened_is_always_shown_and_what_is_not_there_never(feeds: Feeds) -> None:
    """A lane without a payoff or with an unknown scale is left to the exact look; no market, no lane."""
    feeds.put("kalshi", "A", (-1, BookState.LIVE, 1, 1, 2, 1))
    feeds.put("polymarket", "B", (6, BookState.LIVE, 1, 5, 999_999, 5))
    elsewhere = PAIR._replace(legs=(PAIR.legs[0], LaneLeg("kraken", "X", "sell", "base")))
    assert feeds.ask([PAIR, elsewhere, PAIR._replace(payoff=None)]) == [0, 2]


def test_a_market_that_comes_moves_or_changes_its_scale_is_followed(feeds: Feeds) -> None:
    """Without a new list of lanes, and without a wait."""
    feeds.put("polymarket", "B", (6, BookState.LIVE, 700_000, 5, 800_000, 5))
    assert feeds.ask([PAIR]) == []
    assert not feeds.screen.refresh(feeds.clock.monotonic_ns())
    feeds.put("kalshi", "A", (2, BookState.LIVE, 30, 5, 40, 5))
    assert feeds.again([PAIR]) == [0]
    feeds.put("kalshi", "A", (1, BookState.LIVE, 30, 5, 40, 5))
    assert feeds.again([PAIR]) == []
    feeds.writers["kalshi"].release("A")
    feeds.put("kalshi", "C", (2, BookState.LIVE, 30, 5, 40, 5))
    assert feeds.again([PAIR]) == []
    feeds.put("kalshi", "A", (2, BookState.LIVE, 30, 5, 40, 5))
    assert feeds.again([PAIR]) == [0]


def test_a_feed_that_is_restarted_or_replaced_is_followed(feeds: Feeds) -> None:
    """The screen reads the memory that the books are read from, also when that is another file."""
    feeds.put("kalshi", "A", (2, BookState.LIVE, 30, 5, 40, 5))
    feeds.put("polymarket", "B", (6, BookState.LIVE, 700_000, 5, 800_000, 5))
    assert feeds.ask([PAIR]) == [0]
    for rows in (len(MARKETS), 2 * len(MARKETS)):
        feeds.owned["kalshi"].close()
        feeds.start("kalshi", rows)
        assert feeds.again([PAIR]) == ([] if rows == len(MARKETS) else [0])
        feeds.clock.advance(SEARCH_NS)
        feeds.books.refresh(feeds.clock.monotonic_ns())
        assert feeds.again([PAIR]) == []
        feeds.put("kalshi", "A", (2, BookState.LIVE, 30, 5, 40, 5))
        assert feeds.again([PAIR]) == [0]


def test_a_venue_taken_out_of_the_config_takes_its_lanes_along(feeds: Feeds) -> None:
    """Books that nobody reads any more cross nothing."""
    feeds.put("kalshi", "A", (2, BookState.LIVE, 30, 5, 40, 5))
    feeds.put("polymarket", "B", (6, BookState.LIVE, 700_000, 5, 800_000, 5))
    assert feeds.ask([PAIR]) == [0]
    feeds.books.adopt(["kalshi"], StateLimits())
    assert feeds.again([PAIR]) == []


def test_without_lanes_nothing_is_shown(feeds: Feeds) -> None:
    """An empty config is no error."""
    assert feeds.ask([]) == []
