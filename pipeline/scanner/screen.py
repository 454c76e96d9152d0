"""Screen: which lanes' best prices leave anything at all, found over all lanes at once.

In: lanes (what is bought and sold of which books, and what a unit of all legs pays), the screens of the
feeds. Out: the lanes worth an exact look. Run by the scanner: `crossed` now and then for all lanes,
`crosses` for one whose book changed. Best prices only, before all fees: a lane that is not shown cannot
make a profit, one that is shown may still make none. The cells of one row may be of different
publications, so what is shown is priced from whole rows.

Over all lanes, sums are int64 counts of 10^-8 dollars. What does not fit is not an error: lanes of markets
with more decimals are looked at one by one, and a price too large for that always lets its lanes through.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from pipeline.model import BookState
from pipeline.model_events import MAX_LEGS, takes_asks
from shm.books import S_ASK, S_ASK_UNITS, S_BID, S_BID_UNITS, S_STATE, SCREEN_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Places = NDArray[np.intp]

DECIMALS = 8
# A side that cannot be used costs more than any other legs can bring: 2^59 - 11 x 2^55 is above every
# limit, and 12 x 2^59 is below 2^63. Prices and limits are below 2^55, which is 360 million dollars.
UNUSABLE, LARGEST = 1 << 59, 1 << 55
assert MAX_LEGS * UNUSABLE < 1 << 63
assert UNUSABLE - (MAX_LEGS - 1) * LARGEST > LARGEST
LIVE = int(BookState.LIVE)
# The first columns of the screen, copied together: prices are every other one of the first four.
COPIED = 5
assert tuple(range(COPIED)) == (S_BID, S_BID_UNITS, S_ASK, S_ASK_UNITS, S_STATE)


class LaneLeg(NamedTuple):
    """One leg of a lane: `action` "buy" or "sell" of `outcome` "yes", "no" or "base" of that market."""

    venue: str
    market: str
    action: str
    outcome: str


class Lane(NamedTuple):
    """1 to 12 legs of equal size, and the most dollars that a unit of all of them pays (`payoff`).

    A lane without a payoff cannot be screened and is always shown: its prices are no dollars, say.
    """

    legs: tuple[LaneLeg, ...]
    payoff: Decimal | None


class Feed(Protocol):
    """What the screen needs of a feed; `pipeline.books.FeedView` has it."""

    @property
    def placements(self) -> int:
        """Changes whenever a market took a row, left one, or got other decimals."""
        ...

    @property
    def screen(self) -> memoryview[int]:
        """The cells of its screen, SCREEN_COLUMNS a row."""
        ...

    def columns(self) -> Integers:
        """The same cells, a line a column."""
        ...

    def price_decimals(self, row: int) -> int:
        """Decimals of the prices in a row, -1 while they are unknown."""
        ...


class Feeds(Protocol):
    """Where markets lie; `pipeline.books.FeedBooks` has it."""

    def feed(self, venue: str) -> Feed | None:
        """A venue's feed as it is attached now, None where it is not."""
        ...

    def place(self, venue: str, market: str, now_ns: int) -> tuple[Feed, int] | None:
        """The feed in whose memory the market's book lies, and its row there; None where it is not."""
        ...


class _Cell(NamedTuple):
    """A price that a lane needs: which feed, row and side; its decimals; -1 where it is received."""

    feed: Feed
    row: int
    side: int
    decimals: int
    sign: int


# One leg as `crosses` reads it: cells, where price, units and state are, what a tick counts.
_Leg = tuple[memoryview, int, int, int, int]
# What a lane must cost less than, and its legs; without legs the limit alone decides.
_Scalar = tuple[int, tuple[_Leg, ...]]
NEVER: _Scalar = (0, ())
ALWAYS: _Scalar = (1, ())


class Screen:
    """The lanes of a scanner, by the number in which they were given. `refresh` once a turn, then ask."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds
        self._lanes: tuple[Lane, ...] = ()
        self._homes: list[tuple[str, Feed | None, int]] = []
        self._stale = True
        self._scalars: list[_Scalar] = []
        self._apart: list[int] = []
        self._table: _Table | None = None

    def watch(self, lanes: Sequence[Lane]) -> None:
        """Screen these lanes from the next `refresh` on."""
        assert all(1 <= len(lane.legs) <= MAX_LEGS for lane in lanes)
        self._lanes = tuple(lanes)
        self._stale = True

    def refresh(self, now_ns: int) -> bool:
        """Follow new lanes, feeds that were attached again, markets that moved; whether there were any."""
        if not self._stale:
            for venue, known, placements in self._homes:
                feed = self._feeds.feed(venue)
                if feed is not known or (feed is not None and feed.placements != placements):
                    break
            else:
                return False
        self._build(now_ns)
        return True

    def crosses(self, lane: int) -> bool:
        """Whether the best prices of one lane, all LIVE, leave anything before fees."""
        limit, legs = self._scalars[lane]
        cost = 0
        for cells, price_at, units_at, state_at, factor in legs:
            if cells[state_at] != LIVE or cells[units_at] <= 0:
                return False
            cost += cells[price_at] * factor
        return cost < limit

    def crossed(self) -> list[int]:
        """Every lane for which `crosses` holds, and lanes with a price beyond all reason."""
        found = self._table.crossed() if self._table else []
        return found + [lane for lane in self._apart if self.crosses(lane)]

    def _build(self, now_ns: int) -> None:
        """Find every market's place anew, and lay the lanes out."""
        feeds = self._feeds
        venues = dict.fromkeys(leg.venue for lane in self._lanes for leg in lane.legs)
        # Noted before anything is looked up, so that what moves meanwhile is followed at the next turn.
        self._homes = [
            (venue, feed, feed.placements if feed else 0)
            for venue, feed in ((venue, feeds.feed(venue)) for venue in venues)
        ]
        self._stale = False
        self._scalars, self._apart = [], []
        fitting: list[tuple[int, int, list[_Cell]]] = []
        screens = {id(feed): feed.screen for _, feed, _ in self._homes if feed}
        for number, lane in enumerate(self._lanes):
            cells = self._cells(lane, now_ns)
            self._scalars.append(_scalar(lane, cells, screens))
            if cells is None:
                continue
            limit = ceil(limit_usd(lane) * 10**DECIMALS) if lane.payoff is not None else LARGEST
            if abs(limit) < LARGEST and all(0 <= cell.decimals <= DECIMALS for cell in cells):
                fitting.append((number, limit, cells))
            else:
                self._apart.append(number)
        self._table = _Table(fitting) if fitting else None

    def _cells(self, lane: Lane, now_ns: int) -> list[_Cell] | None:
        """Where the lane's prices are; None where one of its markets is not there at all."""
        cells = []
        for leg in lane.legs:
            place = self._feeds.place(leg.venue, leg.market, now_ns)
            if place is None:
                return None
            feed, row = place
            side, sign = (S_ASK, 1) if takes_asks(leg.action, leg.outcome) else (S_BID, -1)
            cells.append(_Cell(feed, row, side, feed.price_decimals(row), sign))
        return cells


def limit_usd(lane: Lane) -> Fraction:
    """What the lane's prices, received ones negative, must stay below, in dollars.

    NO costs 1 - price of the book, so that each NO bought takes a dollar from the payoff, each sold adds one.
    """
    assert lane.payoff is not None
    bought = sum(leg.outcome == "no" and leg.action == "buy" for leg in lane.legs)
    sold = sum(leg.outcome == "no" and leg.action == "sell" for leg in lane.legs)
    return Fraction(lane.payoff) - bought + sold


def _scalar(lane: Lane, cells: list[_Cell] | None, screens: dict[int, memoryview[int]]) -> _Scalar:
    """A lane as `crosses` looks at it: exact integers on the finest of its own scales."""
    if cells is None:
        return NEVER
    if lane.payoff is None or any(cell.decimals < 0 for cell in cells):
        return ALWAYS
    decimals = max(cell.decimals for cell in cells)
    legs = []
    for cell in cells:
        at = cell.row * SCREEN_COLUMNS
        units = S_ASK_UNITS if cell.side == S_ASK else S_BID_UNITS
        factor = cell.sign * 10 ** (decimals - cell.decimals)
        legs.append((screens[id(cell.feed)], at + cell.side, at + units, at + S_STATE, factor))
    # Costs are whole numbers, so that below a limit and below the next whole number is the same.
    return ceil(limit_usd(lane) * 10**decimals), tuple(legs)


class _Table:
    """Lanes that fit into int64, laid out for numpy. One column for each row of each feed that is used."""

    def __init__(self, lanes: list[tuple[int, int, list[_Cell]]]) -> None:
        feeds: dict[int, Feed] = {}
        rows: dict[int, int] = {}
        for _, _, cells in lanes:
            for cell in cells:
                feeds[id(cell.feed)] = cell.feed
                rows[id(cell.feed)] = max(rows.get(id(cell.feed), 0), cell.row + 1)
        starts, width = {}, 0
        for key, count in rows.items():
            starts[key] = width
            width += count
        self._copy = np.zeros((COPIED, width), np.int64)
        self._copies = [
            (self._copy[:, starts[key] : starts[key] + count], feeds[key].columns()[:COPIED, :count])
            for key, count in rows.items()
        ]
        self._prices, self._units = self._copy[0:4:2], self._copy[1:4:2]
        self._state = self._copy[S_STATE]
        self._costs = np.zeros((2, width), np.int64)
        self._bad = np.zeros((2, width), np.bool_)
        self._dead = np.zeros(width, np.bool_)
        self._factors = np.zeros((2, width), np.int64)
        for _, _, cells in lanes:
            for cell in cells:
                side, at = int(cell.side == S_ASK), starts[id(cell.feed)] + cell.row
                self._factors[side, at] = cell.sign * 10 ** (DECIMALS - cell.decimals)
        # As unsigned numbers negative prices are too large as well.
        self._unsigned = self._prices.view(np.uint64)
        self._caps = (LARGEST // np.maximum(np.abs(self._factors), 1)).astype(np.uint64)
        self._groups = [
            _Group([lane for lane in lanes if len(lane[2]) == legs], starts, width)
            for legs in sorted({len(cells) for _, _, cells in lanes})
        ]

    def crossed(self) -> list[int]:
        """The lanes whose costs are below their limits, or cannot be told."""
        for ours, theirs in self._copies:
            ours[...] = theirs
        costs, bad = self._costs, self._bad
        np.multiply(self._prices, self._factors, out=costs)
        np.not_equal(self._state, LIVE, out=self._dead)
        np.less_equal(self._units, 0, out=bad)
        np.logical_or(bad, self._dead, out=bad)
        np.copyto(costs, UNUSABLE, where=bad)
        np.greater(self._unsigned, self._caps, out=bad)
        # Beyond all reason: as cheap as can be, and so shown.
        np.copyto(costs, -UNUSABLE, where=bad)
        flat = costs.reshape(-1)
        return [lane for group in self._groups for lane in group.crossed(flat)]


class _Group:
    """Lanes with equally many legs."""

    def __init__(self, lanes: list[tuple[int, int, list[_Cell]]], starts: dict[int, int], width: int) -> None:
        self._lanes = np.array([number for number, _, _ in lanes])
        self._limits = np.array([limit for _, limit, _ in lanes], np.int64)
        places = [
            [(cell.side == S_ASK) * width + starts[id(cell.feed)] + cell.row for cell in cells]
            for _, _, cells in lanes
        ]
        self._legs: list[Places] = list(np.ascontiguousarray(np.array(places, np.intp).T))
        self._sum = np.zeros(len(lanes), np.int64)
        self._leg = np.zeros(len(lanes), np.int64)
        self._below = np.zeros(len(lanes), np.bool_)

    def crossed(self, costs: Integers) -> list[int]:
        """The lanes of this group whose legs together cost less than their limit."""
        first, *others = self._legs
        # Without a check of each place, which were made here, numpy need not copy the result.
        costs.take(first, out=self._sum, mode="clip")
        for leg in others:
            costs.take(leg, out=self._leg, mode="clip")
            np.add(self._sum, self._leg, out=self._sum)
        np.less(self._sum, self._limits, out=self._below)
        found: list[int] = self._lanes[self._below].tolist()
        return found
