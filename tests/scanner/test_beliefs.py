"""Beliefs: an edge is born, grows old, dies or is lost from sight, and is believed as it deserves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.clock import ManualClock
from pipeline.config import ScannerConfig
from pipeline.edge import EdgeLeg, evaluate
from pipeline.look import Look
from pipeline.model import BookState, Confidence, FeeKind, FeeSchedule, Reason, Scale
from pipeline.model_events import Event, EventLeg
from pipeline.pairs import directions
from pipeline.pairs_checks import PASSED, Verdict
from pipeline.pricing import Priced
from pipeline.scanner.beliefs import Beliefs, stands
from pipeline.scanner.lanes import Lane
from pipeline.scanner.rows import named_row
from pipeline.scanner.segment import COUNTERS, sections
from shm import segment as segments
from shm.books import BookRow
from shm.records import LIFE, MARKET, LifeRow
from shm.segment import attach
from shm.tables import Counters, counter_section, read_ring

MS = 10**6
FREE, SCALE = FeeSchedule(FeeKind.BPS), Scale(2, 0)
DIRECTION = directions([Event("e", "E", "binary", (EventLeg("kalshi", "K"), EventLeg("polymarket", "P")))])[0]
NO = Verdict(Reason.NO_EDGE, Decimal(0), Decimal(0))
GONE = Verdict(Reason.BOOK_DEAD, Decimal(0), Decimal(0))


def priced(now_ns: int, verdict: Verdict = PASSED, *, no_price: int = 50) -> Priced:
    """YES for 40 cents and NO for 50, ten shown of each and a hundred behind at a loss."""
    legs = (
        EdgeLeg(((40, 10), (99, 100)), SCALE, FREE),
        EdgeLeg(((100 - no_price, 10), (1, 100)), SCALE, FREE, "buy", "no"),
    )
    book = BookRow(1, 1, 1, 0, BookState.LIVE, 0, 0, 0, now_ns, now_ns, (), ())
    look = Look(0, book, MARKET.empty(), BookState.LIVE)
    return Priced(DIRECTION, verdict, evaluate(legs, Decimal(1)), (look, look), legs, Decimal(1), 0)


class World:
    """A scanner's segment and the beliefs in it."""

    def __init__(self, directory: Path, **config) -> None:
        self.clock, self.directory = ManualClock(), directory
        self.own = segments.create(
            directory, "scanner", [counter_section(COUNTERS), *sections(4)], segments.this_owner(),
            monotonic_ns=self.clock.monotonic_ns(), wall_ns=self.clock.wall_ns(), sleep=self.clock.sleep,
        )  # fmt: skip
        self.counters = Counters(self.own, COUNTERS)
        self.beliefs = Beliefs(self.own, self.counters, ScannerConfig(**config))
        self.lane = Lane(DIRECTION, 0, named_row(DIRECTION))

    def look(self, verdict: Verdict = PASSED, wait_ms: int = 0, **prices):
        self.clock.sleep(wait_ms / 1000)
        now = self.clock.monotonic_ns()
        return self.beliefs.of(self.lane, priced(now, verdict, **prices), verdict, now, 500 * MS)

    def lives(self) -> list[LifeRow]:
        return read_ring(attach(self.directory, "scanner"), "lives", LIFE)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, race_min=5)
    yield made
    made.own.close()


def test_until_there_are_lives_the_prior_speaks(world: World) -> None:
    """With a half-life of 500 ms and as long a way the odds are one half, and said to be the prior's."""
    belief = world.look()
    assert (belief.race_ppm, belief.race_count) == (500_000, 0)
    assert belief.confidence == Confidence.MEDIUM
    assert belief.born_ns == world.lane.born_ns > 0


def test_a_death_is_recorded_with_its_best(world: World) -> None:
    """The life of an edge goes from its birth to its end, and remembers the largest it was."""
    born = world.look().born_ns
    assert world.look(wait_ms=30, no_price=45).born_ns == born
    world.look(wait_ms=20)
    assert world.look(NO, wait_ms=10, no_price=70).born_ns == 0
    (life,) = world.lives()
    assert (life.ended_ns - life.born_ns, life.censored, life.reason) == (60 * MS, 0, Reason.NO_EDGE)
    assert life.best_net_micros == 1_500_000
    assert world.counters.get("births") == world.counters.get("deaths") == 1


def test_what_is_lost_from_sight_is_censored(world: World) -> None:
    """A dead feed, a direction that goes, or our own end is no death of the edge."""
    world.look()
    world.look(GONE)
    world.look()
    world.beliefs.lost(world.lane, world.clock.monotonic_ns())
    world.look()
    world.beliefs.end({world.lane}, world.clock.monotonic_ns())
    assert [life.censored for life in world.lives()] == [1, 1, 1]
    assert world.counters.get("censored") == 3


def test_lives_replace_the_prior(world: World) -> None:
    """After enough edges that lived for ten seconds, the odds of another half second are measured."""
    for _ in range(6):
        world.look()
        world.look(wait_ms=10_000)
        world.look(NO)
    belief = world.look()
    assert belief.race_count >= 5
    assert belief.race_ppm > 900_000
    assert belief.confidence == Confidence.HIGH
    assert world.counters.get("predictions") > 0


def test_an_edge_stands_whatever_our_limits_say() -> None:
    """Refused as too small it still lives; refused for its books, or as a model's, it does not."""
    seen = priced(1)
    assert stands(PASSED, seen)
    assert stands(Verdict(Reason.EDGE_TOO_SMALL, Decimal(0), Decimal(0)), seen)
    assert not stands(GONE, seen)
    assert not stands(NO, priced(1, no_price=70))
    assert not stands(PASSED, replace(seen, direction=replace(DIRECTION, kind="model")))
