"""Fuzzed frames on live books: nothing is raised, nothing impossible is accepted, the model agrees."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.feed.publisher import Publisher
from pipeline.model import BookFlag
from pipeline.venues.codec import Bad, Change, Event, Gap, Snapshot
from shm import segment as segments
from shm.books import BookReader, BookWriter, feed_sections
from tests.support.fuzz import Fuzzer, Oracle
from tests.support.worlds import WORLDS

VENUES = sorted(WORLDS)
FRAMES, ROUND = 10_000, 5_000
STRESS_FRAMES = 1_000_000
DEPTH = 8

Shared = tuple[Publisher, BookReader]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Callable[[str], Shared]]:
    """The feed's and the reader's side of a real segment."""
    owned: list[segments.Segment] = []

    def make(venue: str) -> Shared:
        segment = segments.create(
            tmp_path / "shm",
            f"feed-{venue}-{len(owned)}",
            feed_sections(8, DEPTH, 1, 16),
            segments.this_owner(),
            monotonic_ns=1,
            wall_ns=1,
            sleep=time.sleep,
        )
        owned.append(segment)
        publisher = Publisher(venue, BookWriter(segment), BookFlag.SIM, None)
        return publisher, BookReader(segments.attach(tmp_path / "shm", f"feed-{venue}-{len(owned) - 1}"))

    yield make
    for segment in owned:
        segment.close()


def fuzz(venue: str, count: int, seed: int, make: Callable[[str], Shared]) -> Counter[str]:
    """So many frames; what became of them."""
    counts: Counter[str] = Counter()
    for start in range(0, count, ROUND):
        oracle = Oracle(venue, random.Random(seed + start), *make(venue))
        oracle.run(ROUND)
        counts += oracle.counts
    return counts


def check_teeth(counts: Counter[str]) -> None:
    """More than half of the frames are the venue's own shape, changed, and a good part has an effect."""
    frames = counts["frames"]
    assert counts["right envelope, changed"] > frames / 2
    assert counts["right envelope"] > 0.8 * frames
    assert counts["applied"] > frames / 4
    assert counts["bad"] > frames / 20
    assert counts["ignored"] > frames / 50
    assert counts["live"] > frames / 8
    assert counts["published"] > frames / 40


@pytest.mark.parametrize("venue", VENUES)
def test_fuzzed_frames_never_spoil_a_book(venue: str, shared: Callable[[str], Shared]) -> None:
    """10,000 frames: what is accepted the model reads alike, and rows hold nothing else."""
    counts = fuzz(venue, FRAMES, 1, shared)
    assert counts["frames"] == FRAMES
    check_teeth(counts)


@pytest.mark.stress
@pytest.mark.parametrize("venue", VENUES)
def test_a_million_fuzzed_frames_never_spoil_a_book(venue: str, shared: Callable[[str], Shared]) -> None:
    """The same with 1,000,000 frames."""
    one = shared(venue)
    check_teeth(fuzz(venue, STRESS_FRAMES, 1_000_000, lambda _: one))


@pytest.mark.parametrize("venue", VENUES)
def test_the_same_seed_gives_the_same_frames(venue: str) -> None:
    """A failure is repeated by its seed."""

    def frames(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        fuzzer = Fuzzer(WORLDS[venue](chance), chance)
        return [frame for _, frame in zip(range(300), fuzzer.frames(), strict=False)]

    assert frames(5) == frames(5) != frames(6)


def but(kind: type, **fields: Any) -> Callable[[list[Event]], list[Event]]:
    """Events of a kind with other fields."""
    return lambda events: [
        msgspec.structs.replace(event, **fields) if isinstance(event, kind) else event for event in events
    ]


def turned(events: list[Event]) -> list[Event]:
    """Bids are taken for asks."""
    return [
        msgspec.structs.replace(event, bids=event.asks, asks=event.bids)
        if isinstance(event, Change)
        else event
        for event in events
    ]


def larger(events: list[Event]) -> list[Event]:
    """Sizes that were sent come out a hundred times too large."""
    return [
        msgspec.structs.replace(event, bids=[(price, 100 * size) for price, size in event.bids])
        if isinstance(event, Snapshot)
        else event
        for event in events
    ]


def in_time(events: list[Event]) -> list[Event]:
    """Gaps are not told."""
    return [event for event in events if not isinstance(event, Gap)] or [Bad("nothing")]


MUTANTS: dict[str, tuple[str, Callable[[list[Event]], list[Event]]]] = {
    "kalshi: sides are swapped": ("kalshi", turned),
    "kalshi: sizes are of another scale": ("kalshi", larger),
    "kalshi: steps are taken for sizes": ("kalshi", but(Change, relative=False)),
    "kalshi: gaps are not told": ("kalshi", in_time),
    "coinbase: sizes are of another scale": ("coinbase", larger),
    "coinbase: gaps are not told": ("coinbase", in_time),
    "kraken: checksums are not compared": ("kraken", but(Change, checksum=None)),
    "polymarket: sides are swapped": ("polymarket", turned),
    "polymarket: sizes are of another scale": ("polymarket", larger),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_oracle_notices_a_broken_codec(name: str) -> None:
    """2,000 frames are enough for each mutant to fail."""
    venue, mutate = MUTANTS[name]
    oracle = Oracle(venue, random.Random(2))
    decode = oracle.decode
    oracle.decode = lambda frame: mutate(decode(frame))
    with pytest.raises(AssertionError):
        oracle.run(1400)
