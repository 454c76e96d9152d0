"""Guards: they can be switched off by name, in simulated runs alone, and never in silence."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline import guards
from pipeline.config import Config, VenueConfig
from pipeline.config_schema import resolve
from pipeline.feed.book import BookKeeper
from pipeline.guards import GUARDS, VARIABLE, Guards
from pipeline.model import BookFault, BookState, Scale
from pipeline.venues.codec import Change, Gap, Snapshot

ALL_OFF = {VARIABLE: ",".join(GUARDS)}
SIMULATED = Config(venues={"kalshi": VenueConfig()}, simulated=("kalshi",))


@dataclass
class Process:
    """What a worker has of itself that guards use."""

    config: Config = SIMULATED
    said: list[str] = field(default_factory=list)

    @property
    def log(self) -> Process:
        return self

    def warning(self, event: str, /, **more: object) -> None:
        self.said.append(f"log: {event} {more}")

    def report(self, text: str) -> None:
        self.said.append(f"memory: {text}")


def test_all_are_on_where_nobody_says_otherwise() -> None:
    """Without the variable every guard is on, and nothing is said."""
    process = Process()
    assert all(map(guards.of(process, {}, *GUARDS).on, GUARDS))
    assert process.said == []


@pytest.mark.parametrize("name", GUARDS)
def test_one_is_off_loudly(name: str) -> None:
    """The one that is named is off, the others are on; its owner counts it among its errors and logs it."""
    process = Process()
    found = guards.of(process, {VARIABLE: name}, *GUARDS)
    assert [each for each in GUARDS if not found.on(each)] == [name]
    assert process.said[0].startswith(f"memory: guard {name} is off")
    assert process.said[1] == f"log: guard is off {{'guard': '{name}'}}"


def test_nobody_speaks_for_guards_of_others() -> None:
    """A process says what of its own is off, and nothing of what it does not have."""
    process = Process()
    guards.of(process, ALL_OFF, "offer")
    assert len(process.said) == 2


@pytest.mark.parametrize("simulated", [True, False])
def test_a_name_that_is_no_guard_is_an_error(simulated: bool) -> None:
    """It is named, with those that there are, also where guards cannot be switched off at all."""
    with pytest.raises(ValueError, match=r"no guard 'sequences'; there are: offer, sequence"):
        Guards("repair,sequences", simulated=simulated)


@pytest.mark.parametrize("url", ["wss://ws.kraken.com/v2", "ws://127.0.0.1:9"])
def test_no_run_with_a_real_venue_loses_a_guard(url: str) -> None:
    """One venue that is not the lab's is enough: all guards stay on."""
    venues = {"kalshi": VenueConfig(), "kraken": VenueConfig(url=url)}
    process = Process(Config(venues=venues, simulated=("kalshi",)))
    assert all(map(guards.of(process, ALL_OFF, *GUARDS).on, GUARDS))
    assert process.said == []


def test_a_venue_that_is_disabled_does_not_count() -> None:
    """A run whose venues are all the lab's is a simulated one, whatever else the file names."""
    venues = {"kalshi": VenueConfig(), "kraken": VenueConfig(url="wss://ws.kraken.com/v2", enabled=False)}
    process = Process(Config(venues=venues, simulated=("kalshi",)))
    assert not guards.of(process, ALL_OFF).on("offer")


def test_the_shipped_profiles(project_root: Path, tmp_path: Path) -> None:
    """Of the shipped profiles the demo alone can lose a guard: paper watches real venues."""
    for profile, can in (("demo", True), ("paper", False)):
        config = resolve(
            path=project_root / "config.toml",
            profile=profile,
            # It wants a key, which nobody has here.
            sets=["venues.kalshi.enabled=false"],
            environ={},
            data_directory=tmp_path,
        )
        process = Process(config)
        assert guards.of(process, ALL_OFF).on("journal") is not can, profile


# -- the feed's -------------------------------------------------------------------------------------------


def keeper(off: str) -> BookKeeper:
    """A keeper with one LIVE book."""
    made = BookKeeper("kraken", {"X": Scale(2, 8)}, guards=Guards(off, simulated=True))
    made.apply(Snapshot("X", ((100, 5),), ((102, 5),)))
    assert made.books["X"].state is BookState.LIVE
    return made


def test_without_its_guard_a_gap_is_not_noticed() -> None:
    """With it the book is void and the gap counted; a gap that the venue itself states voids either way."""
    sound, blind = keeper(""), keeper("sequence")
    for each in (sound, blind):
        each.apply(Gap((), "message 5 follows 3"))
    assert (sound.books["X"].state, sound.gaps) == (BookState.GAP, 1)
    assert (blind.books["X"].state, blind.gaps) == (BookState.LIVE, 0)
    blind.apply(Gap((), "the subscription ended", counted=False))
    assert blind.books["X"].state is BookState.GAP


def test_without_its_guard_a_checksum_is_not_compared() -> None:
    """With it a wrong one voids the book."""
    sound, blind = keeper(""), keeper("checksum")
    for each in (sound, blind):
        each.apply(Change("X", ((99, 7),), (), checksum=1))
    assert (sound.books["X"].fault, sound.checksums_bad) == (BookFault.CHECKSUM, 1)
    assert (blind.books["X"].state, blind.checksums_bad) == (BookState.LIVE, 0)
