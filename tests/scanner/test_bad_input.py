"""Bad input, through the real scanner process: each defect has its named reason, and never an opportunity.

Every case is a pair that would leave thirty cents a contract, with one thing wrong.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.cli.common import BAD_CONFIG, SCRIPT
from pipeline.config import EventConfig, LegConfig, ReviewConfig
from pipeline.model import BookFault, BookFlag, BookState, FeeKind, MarketStatus, Reason
from shm.records import EventRow
from tests.support.scanner_run import ScannerRun, easy_config

SECOND_NS = 10**9
DEAD = "ccxt:dead"
CENT, CONTRACT, SHARE = 10_000, 100, 1_000_000
CLOSE, CLOSE_NS = "2031-01-01T00:00:00Z", 1_924_992_000 * SECOND_NS
SILENT_LINK = 2
KALSHI, POLYMARKET = "a" * 64, "b" * 64
"""Hashes of rules."""

LIVE = Decimal(int(BookState.LIVE))


@dataclass
class Market:
    """A market as it will be published: cells of its directory row, its book, how the book is published."""

    venue: str
    cells: dict[str, Any]
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    how: dict[str, int] = field(default_factory=dict)
    listed: bool = True


@dataclass
class World:
    """A good pair: YES for 0.40 on Kalshi, NO for 0.30 on Polymarket, reviewed, open, never void."""

    name: str
    event: EventConfig
    markets: dict[str, Market]

    @property
    def first(self) -> Market:
        """What is bought first."""
        return self.markets[self.event.legs[0].market]

    @property
    def second(self) -> Market:
        """What is bought second."""
        return self.markets[self.event.legs[1].market]

    def change(self, **fields: Any) -> None:
        """Change fields of the event."""
        self.event = msgspec.structs.replace(self.event, **fields)

    def review(self, **fields: Any) -> None:
        """Change fields of the event's review."""
        self.change(review=msgspec.structs.replace(self.event.review, **fields))


def good(name: str) -> World:
    """A world with nothing wrong."""
    legs = LegConfig("kalshi", f"k-{name}"), LegConfig("polymarket", f"p-{name}")
    review = ReviewConfig(by="test", void_rule="never", rules_hash=f"{KALSHI} {POLYMARKET}")
    event = EventConfig(id=name, kind="binary", close=CLOSE, legs=legs, review=review)
    shared = {"close_wall_ns": CLOSE_NS, "status": MarketStatus.OPEN, "price_decimals": 6}
    kalshi = Market(
        "kalshi",
        shared
        | {"size_decimals": 2, "grid_ticks": CENT, "lot_units": CONTRACT, "rules_hash": KALSHI}
        | {
            "fee_kind": FeeKind.KALSHI,
            "fee_rate_ppm": 70_000,
            "fee_precision_micros": 100,
            "fee_exponent": 1,
        },
        [(38 * CENT, 50 * CONTRACT)],
        [(40 * CENT, 50 * CONTRACT)],
    )
    polymarket = Market(
        "polymarket",
        shared
        | {"size_decimals": 6, "grid_ticks": CENT, "lot_units": 10_000, "rules_hash": POLYMARKET}
        | {"fee_kind": FeeKind.POLYMARKET, "fee_rate_ppm": 40_000, "fee_exponent": 1},
        [(70 * CENT, 80 * SHARE)],
        [(72 * CENT, 80 * SHARE)],
    )
    return World(name, event, {legs[0].market: kalshi, legs[1].market: polymarket})


def basket(name: str) -> World:
    """Three outcomes at twenty cents each, of which one must pay."""
    world = good(name)
    legs = tuple(LegConfig("polymarket", f"p{number}-{name}") for number in range(3))
    pattern = world.second
    bids, asks = [(18 * CENT, 80 * SHARE)], [(20 * CENT, 80 * SHARE)]
    world.markets = {leg.market: Market("polymarket", dict(pattern.cells), bids, asks) for leg in legs}
    world.change(kind="basket", legs=legs, exhaustive=True)
    return world


Change = Callable[[World], object]
Number = Decimal | None


@dataclass(frozen=True)
class Case:
    """One defect: what is done to a good world, and the refusal that follows. None: any above the limit."""

    reason: Reason
    value: Number
    limit: Decimal
    change: Change
    make: Callable[[str], World] = good


def first_is(state: BookState, reason: Reason) -> Case:
    """The first book stands in a state that is stored."""
    fault = BookFault.CROSSED if state == BookState.CROSSED else BookFault.NONE
    how = {"state": state, "reason": fault}
    return Case(reason, Decimal(int(state)), LIVE, lambda world: world.first.how.update(how))


def first_asks(*levels: tuple[int, int]) -> Change:
    """Other asks in the first book."""
    return lambda world: setattr(world.first, "asks", list(levels))


def second_bids(*levels: tuple[int, int]) -> Change:
    """Nothing but these bids in the second book."""

    def change(world: World) -> None:
        world.second.bids, world.second.asks = list(levels), []

    return change


def heard(age_s: int, *, both: bool = False) -> Change:
    """The first book, or both, was last heard of so long ago."""

    def change(world: World) -> None:
        for market in (world.first, world.second) if both else (world.first,):
            market.how["age_ns"] = age_s * SECOND_NS

    return change


def only_asks(price_ticks: int) -> Change:
    """Nothing but an offer at this price in the first book."""

    def change(world: World) -> None:
        world.first.bids, world.first.asks = [], [(price_ticks, 50 * CONTRACT)]

    return change


def emptied(world: World) -> None:
    """No level at all, and the feed says so."""
    world.first.bids, world.first.asks = [], []
    world.first.how["state"] = BookState.EMPTY


def on_a_dead_feed(world: World) -> None:
    """The first leg's feed does not beat."""
    leg, name = world.event.legs[0], f"d-{world.name}"
    world.markets[name] = world.markets.pop(leg.market)
    world.markets[name].venue = DEAD
    world.change(legs=(LegConfig(DEAD, name), world.event.legs[1]))


def cells(which: str, **changed: Any) -> Change:
    """Other metadata of one market."""
    return lambda world: getattr(world, which).cells.update(changed)


D = Decimal
CASES = {
    "stored crossed": first_is(BookState.CROSSED, Reason.BOOK_CROSSED),
    "live but crossed": Case(
        Reason.BOOK_CROSSED, D("0.38"), D("0.37"), first_asks((37 * CENT, 50 * CONTRACT))
    ),
    "live but locked": Case(
        Reason.BOOK_CROSSED, D("0.38"), D("0.38"), first_asks((38 * CENT, 50 * CONTRACT))
    ),
    "gap": first_is(BookState.GAP, Reason.BOOK_GAP),
    "empty": Case(Reason.BOOK_EMPTY, D(0), LIVE, emptied),
    "one-sided, no asks": Case(Reason.ONE_SIDED, D(0), D(1), first_asks()),
    "one-sided, no bids": Case(Reason.ONE_SIDED, D(0), D(1), second_bids()),
    "stale": Case(
        Reason.BOOK_STALE, D(5), LIVE, lambda world: world.first.how.update(connection=SILENT_LINK)
    ),
    "dead": Case(Reason.BOOK_DEAD, D(4), LIVE, on_a_dead_feed),
    "another epoch": Case(Reason.BOOK_DEAD, D(4), LIVE, lambda world: world.first.how.update(epoch=0)),
    "quiet": Case(Reason.BOOK_QUIET, D(6), LIVE, heard(120)),
    "too old": Case(Reason.BOOK_TOO_OLD, None, D(30_000), heard(45, both=True)),
    "skewed": Case(Reason.LEG_SKEW, None, D(5_000), heard(20)),
    "offered at 1": Case(Reason.NOT_TRADABLE, D(1), D(1), only_asks(100 * CENT)),
    "offered at 0": Case(Reason.NOT_TRADABLE, D(0), D(1), only_asks(0)),
    "wanted at 1": Case(Reason.NOT_TRADABLE, D(1), D(1), second_bids((100 * CENT, SHARE))),
    "wanted at 0": Case(Reason.NOT_TRADABLE, D(0), D(1), second_bids((0, SHARE))),
    "not tradable": Case(
        Reason.NOT_TRADABLE, D("0.4"), D(1), lambda world: world.first.how.update(flags=BookFlag.NOT_TRADABLE)
    ),
    "less than a lot": Case(Reason.BELOW_MINIMUM, D(0), D(1), first_asks((40 * CENT, CONTRACT - 1))),
    "less than an order": Case(Reason.BELOW_MINIMUM, D(0), D(1), cells("second", min_units=51 * SHARE)),
    "fee unknown": Case(
        Reason.FEE_UNKNOWN, D(0), D(1), cells("second", fee_kind=FeeKind.UNKNOWN, fee_rate_ppm=0)
    ),
    "close times": Case(
        Reason.CLOSE_TIMES, D(7_200), D(3_600), cells("second", close_wall_ns=CLOSE_NS - 7_200 * SECOND_NS)
    ),
    "closed": Case(
        Reason.MARKET_CLOSED, D(3), D(1), cells("first", status=MarketStatus.CLOSED)
    ),
    "not described": Case(Reason.NOT_LISTED, D(0), D(1), cells("first", status=MarketStatus.UNKNOWN)),
    "not there": Case(Reason.BOOK_MISSING, D(0), D(1), lambda world: setattr(world.first, "listed", False)),
    "no scale": Case(Reason.BOOK_MISSING, D(0), D(1), cells("first", price_decimals=-1)),
    "no review": Case(Reason.NOT_REVIEWED, D(0), D(1), lambda world: world.change(review=None)),
    "reviewed by nobody": Case(Reason.NOT_REVIEWED, D(0), D(1), lambda world: world.review(by="")),
    "no rules pinned": Case(Reason.NOT_REVIEWED, D(0), D(1), lambda world: world.review(rules_hash="")),
    "rules changed": Case(Reason.RULES_CHANGED, D(1), D(0), cells("second", rules_hash="c" * 64)),
    # 50 contracts cost 35.00 and 1.26 of fees: alone neither leg pays for sure, together NO brings a half.
    "may be void": Case(
        Reason.VOID_PAYOFF, D("-36.26"), D(0), lambda world: world.review(void_rule="each alone")
    ),
    "void together": Case(
        Reason.VOID_PAYOFF, D("-11.26"), D(0), lambda world: world.review(void_rule="both or none")
    ),
    "hides an outcome": Case(
        Reason.HIDDEN_OUTCOME, D(1), D(0), cells("second", hides_outcome=1), basket
    ),
    "not exhaustive": Case(
        Reason.HIDDEN_OUTCOME, D(0), D(1), lambda world: world.change(exhaustive=False), basket
    ),
    "outcome no": Case(
        Reason.NOT_TRADABLE,
        D("0.4"),
        D(1),
        lambda world: world.change(
            legs=(msgspec.structs.replace(world.event.legs[0], outcome="no"), world.event.legs[1])
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ScannerRun, dict[str, EventRow]]]:
    """One scanner, every case beside a good pair; the rows of the first directions by event."""
    worlds = [good("good"), basket("good basket")]
    for name, case in CASES.items():
        worlds.append(case.make(name))
        case.change(worlds[-1])
    config = easy_config(("kalshi", "polymarket", DEAD), quiet_ms=60_000)
    risk = msgspec.structs.replace(config.risk, max_book_age_ms=30_000, max_leg_skew_ms=5_000)
    config = msgspec.structs.replace(config, risk=risk)
    with ScannerRun(tmp_path_factory.mktemp("bad"), config, markets=128) as run:
        run.kill(DEAD, 60 * SECOND_NS)
        run.feeds["kalshi"].hush(SILENT_LINK, 60 * SECOND_NS)
        for world in worlds:
            publish(run, world)
        run.watch(world.event for world in worlds)
        for event in ("good", "good basket"):
            run.arrival_of(event)
        rows = run.looked_since(run.clock.monotonic_ns())
        run.receive(100)
        yield run, {row.event_id: row for row in rows if row.direction == 0}


def publish(run: ScannerRun, world: World) -> None:
    """Write a world's markets through the real writers."""
    for name, market in world.markets.items():
        if market.listed:
            run.feeds[market.venue].describe(name, **market.cells)
            run.feeds[market.venue].show(name, market.bids, market.asks, **market.how)


@pytest.mark.parametrize("name", CASES)
def test_a_defect_has_its_reason(scanned: tuple[ScannerRun, dict[str, EventRow]], name: str) -> None:
    """The row says why, with the number that failed and the limit that it failed."""
    case, row = CASES[name], scanned[1][name]
    assert Reason(row.reason) == case.reason
    assert Decimal(row.limit_micros).scaleb(-6) == case.limit
    if case.value is None:
        assert Decimal(row.value_micros).scaleb(-6) > case.limit
    else:
        assert Decimal(row.value_micros).scaleb(-6) == case.value


def test_no_defect_becomes_an_opportunity(scanned: tuple[ScannerRun, dict[str, EventRow]]) -> None:
    """Of all these events only those with nothing wrong were ever offered, in one direction each."""
    run, rows = scanned
    offered = {(arrival.opportunity.event_id, arrival.opportunity.direction) for arrival in run.arrivals}
    assert offered == {("good", 0), ("good basket", 0)}
    assert len(rows) == len(CASES) + 2
    assert all(row.reason for row in run.rows() if (row.event_id, row.direction) not in offered)


def test_every_refusal_is_counted(scanned: tuple[ScannerRun, dict[str, EventRow]]) -> None:
    """The scanner's counters name each of these reasons."""
    counters = scanned[0].counters()
    for case in CASES.values():
        assert counters[f"refused.{case.reason.name.lower()}"] > 0


TWICE = """
[[events]]
id = "twice"
legs = [
  { venue = "kalshi", market = "KX" },
  { venue = "kalshi", market = "KX" },
]
"""
HOLE = """
[fees.kraken]
tiers = [
  { from_usd = "10000", maker_bps = "20", taker_bps = "35" },
]
"""
FALLING = """
[fees.kraken]
tiers = [
  { from_usd = "0", maker_bps = "25", taker_bps = "40" },
  { from_usd = "50000", maker_bps = "14", taker_bps = "24" },
  { from_usd = "10000", maker_bps = "20", taker_bps = "35" },
]
"""


@pytest.mark.parametrize(
    ("text", "key"),
    [(TWICE, "events[0].legs[1].market"), (HOLE, "fees.kraken.tiers"), (FALLING, "fees.kraken.tiers")],
)
def test_a_wrong_configuration_is_refused(tmp_path: Path, text: str, key: str) -> None:
    """One market twice in an event, and a fee table with a hole: exit 3, and the key is named."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    words = ["check-config", str(path), "--data", str(tmp_path / "data")]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    assert done.returncode == BAD_CONFIG, done.stderr
    assert key in done.stderr, done.stderr
