"""Tapes through a line that drops, doubles, swaps, cuts and spoils frames: a LIVE book is a right book.

Our own tapes are in tests/venues/data, made by tests/support/worlds.py; recordings are used where they are.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model import BookState
from pipeline.venues.codec import Bad, Change, Event, Gap, Ignored, Snapshot
from tests.support import worlds
from tests.support.model_book import Model
from tests.support.permute import LINE_FAULTS, Fault, Line, count_fields, ladders_of, random_faults
from tests.support.tapes import DATA, Tape, load, read_frames

VENUES = sorted(worlds.WORLDS)
RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "tapes"
FAULTS = {venue: (*LINE_FAULTS, "flip", "flip") if venue == "kraken" else LINE_FAULTS for venue in VENUES}
RECORDED = (
    "coinbase_20260809_btc_eth",
    "kalshi_20260418_kxbtc",
    "kraken_20260719_btcusd_d10",
    "polymarket_20251030_btc15m",
    "polymarket_20260709_worldcup",
)


@cache
def tape_of(name: str) -> Tape:
    """One of our tapes by its venue, or a recording; a clone without recordings skips what needs one."""
    if name in VENUES:
        return load(DATA / f"{name}.jsonl")
    path = RECORDINGS / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("no recordings beside this checkout")
    return load(path)


def first_frames(tape: Tape, count: int) -> Tape:
    """The beginning of a tape."""
    return replace(tape, frames=tape.frames[:count])


def run_well(line: Line) -> None:
    """A tape without faults: each book is LIVE and whole after every frame."""
    for index in range(len(line.tape.frames)):
        line.play_one(index)
        truth, live = line.tape.truth[index], set(line.markets) - set(line.lost())
        assert live == truth.keys(), f"LIVE after frame {index} are {live}"
        for market, ladders in truth.items():
            assert ladders_of(line.keeper.books[market]) == ladders, f"{market} is wrong after frame {index}"


def run_badly(
    tape: Tape, seed: int, *, rate: float = 0.05, change: Callable[[Line], None] | None = None
) -> Line:
    """One run of a tape with random faults: the seed says also whether we subscribe and repair."""
    chance = random.Random(seed)
    subscribed, repairing = bool(seed & 1), bool(seed & 2)
    line = Line(tape, chance, subscribed=subscribed)
    if change is not None:
        change(line)
    first = tape.opening if subscribed else 0
    faults = random_faults(chance, first, len(tape.frames), rate, FAULTS[tape.venue])
    line.play(faults, 0.4 if repairing else 0.0)
    if repairing:
        line.heal()
    return line


@pytest.mark.parametrize("venue", VENUES)
def test_our_tapes_are_what_the_worlds_make(venue: str) -> None:
    """`python -m tests.support.worlds` would change nothing."""
    assert (DATA / f"{venue}.jsonl").read_text(encoding="utf-8") == worlds.tape(venue)


@pytest.mark.parametrize("venue", VENUES)
def test_the_model_ends_with_the_books_of_the_world(venue: str) -> None:
    """The plain model reads frames as their maker meant them."""
    world = worlds.WORLDS[venue](random.Random(7))
    model = Model(venue)
    frames = world.opening()
    while len(frames) < 400 or world.waiting:
        frames.append(world.step())
    for frame in frames:
        model.take(frame)
    for market in model.books:
        depth = model.depths[market] if venue == "kraken" else 0
        assert model.ladders(market) == world.truth(market, depth)


@pytest.mark.parametrize("name", [*VENUES, *RECORDED])
@pytest.mark.parametrize("subscribed", [False, True])
def test_a_sound_tape_is_live_and_right_throughout(name: str, subscribed: bool) -> None:
    """After every frame each book that was sent is LIVE, except where the venue itself voids one."""
    tape = tape_of(name)
    # A recording of Kraken was asked for with another depth than ours.
    line = Line(tape, random.Random(0), subscribed=subscribed and tape.venue != "kraken")
    run_well(line)
    keeper, venue_voids = (
        line.keeper,
        sum(not told <= tape.truth[i].keys() for i, told in enumerate(tape.about)),
    )
    assert (keeper.gaps, keeper.bad_frames, sum(keeper.voided.values())) == (0, 0, venue_voids)


@pytest.mark.parametrize("name", [*VENUES, *RECORDED])
def test_a_bad_line_never_makes_a_wrong_live_book(name: str) -> None:
    """Whatever is lost, doubled, swapped, cut or spoilt, LIVE is right; a true snapshot repairs the rest."""
    tape = tape_of(name)
    runs = range(16 if len(tape.frames) < 400 else 8)
    lines = [run_badly(tape, seed) for seed in runs]
    share = sum(line.live_steps for line in lines) / sum(line.steps for line in lines)
    assert share > 0.1, "a book that is never LIVE is never wrong, and of no use"
    assert sum(line.repairs for line in lines) > 10


@pytest.mark.stress
@pytest.mark.parametrize("name", [*VENUES, *RECORDED])
def test_a_bad_line_never_makes_a_wrong_live_book_at_length(name: str) -> None:
    """The same, 100,000 steps a tape, and with more faults as it goes on."""
    tape, steps, seed = tape_of(name), 0, 1000
    while steps < 100_000:
        steps += run_badly(tape, seed, rate=0.01 + seed % 7 * 0.04).steps
        seed += 1


SHORT = 48
DAMAGE = st.lists(
    st.tuples(st.integers(0, SHORT - 1), st.sampled_from([*LINE_FAULTS, "flip"]), st.integers(0, 1 << 30)),
    max_size=8,
    unique_by=lambda fault: fault[0],
)


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=40, deadline=None)
@given(damage=DAMAGE, seed=st.integers(0, 1 << 16), rate=st.sampled_from([0.0, 0.5, 1.0]))
def test_any_few_faults_leave_live_books_right(
    venue: str, damage: list[tuple[int, str, int]], seed: int, rate: float
) -> None:
    """Few enough that an example can be read when it fails."""
    tape = first_frames(tape_of(venue), SHORT)
    faults = [Fault(*fault) for fault in damage if fault[1] in FAULTS[venue]]
    line = Line(tape, random.Random(seed))
    line.play(faults, rate)
    line.heal()


@pytest.mark.parametrize("name", [*VENUES, *RECORDED])
@pytest.mark.parametrize("share", [1.0, 0.2])
def test_a_duplicate_alone_never_costs_a_book_its_live(name: str, share: float) -> None:
    """A frame that comes twice at once leaves every book as it was after the first."""
    tape = tape_of(name)
    line, chance = Line(tape, random.Random(0)), random.Random(3)
    for index in range(len(tape.frames)):
        line.play_one(index)
        if chance.random() < share:
            line.deliver(index)
        for market, ladders in tape.truth[index].items():
            book = line.keeper.books[market]
            assert (book.state, ladders_of(book)) == (BookState.LIVE, ladders)
    if tape.venue in {"coinbase", "kalshi"}:
        assert line.keeper.duplicates > 0


@pytest.mark.parametrize("name", ["kraken", "kraken_20260719_btcusd_d10"])
def test_a_digit_changed_within_the_checksum_is_never_live(name: str) -> None:
    """Each digit of price, size and checksum in turn: the book is void, or nothing was changed by it."""
    tape = tape_of(name)
    line, changed, voids = Line(tape, random.Random(0)), 0, 0
    for index in range(80):
        frame = tape.frames[index]
        if index >= tape.opening and len(tape.about[index]) == 1:
            (market,) = tape.about[index]
            for at in digits_of(frame, r'"(?:price|qty|checksum)":([\d.]+)'):
                digit = str((int(frame[at]) + 1 + changed % 9) % 10)
                book = line.keeper.books[market]
                line.keeper.apply_frame(line.codec.decode((frame[:at] + digit + frame[at + 1 :]).encode()), 0)
                changed += 1
                if book.state == BookState.LIVE:
                    ours = [side[:10] for side in ladders_of(book)]
                    right = [[side[:10] for side in tape.truth[at][market]] for at in (index - 1, index)]
                    assert ours in right, f"frame {index}, character {at}"
                voids += book.state == BookState.GAP
                # The first is older than the frame that came last, and may be refused for that.
                line.repair(market)
                line.repair(market)
                assert book.state == BookState.LIVE
        line.play_one(index)
    assert changed > 700
    assert voids > 0.95 * changed


def digits_of(frame: str, pattern: str) -> list[int]:
    """Places of the digits in what the pattern's group finds."""
    return [
        at for found in re.finditer(pattern, frame) for at in range(*found.span(1)) if frame[at].isdigit()
    ]


def test_damage_below_the_checksum_ends_with_the_next_snapshot() -> None:
    """Ten levels are covered; below them one can be wrong until it rises or a snapshot comes."""
    tape = tape_of("kraken")
    line, market = Line(tape, random.Random(0)), "ETH/USD"
    for index in range(tape.opening):
        line.play_one(index)
    book = line.keeper.books[market]
    deep = tape.truth[tape.opening - 1][market][0][15]
    before = ladders_of(book)
    truth = tape.truth[tape.opening - 1][market]
    frame = worlds.snapshot_text("kraken", market, truth, moment=line.moment())
    shown = f'{{"price":{deep[0]:f},"qty":{deep[1]:f}}}'
    assert shown in frame
    line.keeper.apply_frame(
        line.codec.decode(frame.replace(shown, shown.replace('"qty":', '"qty":7')).encode()), 0
    )
    assert book.state == BookState.LIVE
    assert [side[:10] for side in ladders_of(book)] == [side[:10] for side in before]
    assert ladders_of(book) != before
    line.repair(market)
    assert (book.state, ladders_of(book)) == (BookState.LIVE, before)


@pytest.mark.parametrize("venue", VENUES)
def test_any_one_lost_frame_is_noticed_or_does_not_matter(venue: str) -> None:
    """Each frame is dropped in turn; where books go unknown a true snapshot brings them back."""
    tape = first_frames(tape_of(venue), 60)
    for index in range(tape.opening, 60):
        line = Line(tape, random.Random(index))
        line.play([Fault(index, "drop", 0)], repair_rate=1.0)
        line.heal()


@pytest.mark.parametrize("by", [-90, -51, -50, -10, -3, -2, 1, 2, 1000])
@pytest.mark.parametrize(("venue", "group"), [("coinbase", "connection"), ("kalshi", "sid 1")])
def test_a_count_that_jumps_up_or_down_is_noticed(venue: str, group: str, by: int) -> None:
    """A venue that counts anew, or leaves numbers out, costs its books their LIVE and is repaired."""
    tape = tape_of(venue)
    line = Line(tape, random.Random(0))
    for index in range(len(tape.frames)):
        line.play_one(index)
        if index == 120:
            line.renumber(group, by)
    assert line.keeper.gaps > 0
    line.heal()


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("subscribed", [False, True])
def test_any_one_field_that_is_gone_is_noticed_or_does_not_matter(venue: str, subscribed: bool) -> None:
    """Each field of the longest early changes and some of a snapshot, taken out or of a wrong type."""
    tape = first_frames(tape_of(venue), 24)
    size = {index: len(tape.frames[index]) * len(tape.about[index]) for index in range(tape.opening, 20)}
    for index in (tape.opening - 1, *sorted(size, key=lambda index: -size[index])[:2]):
        fields = count_fields(tape.frames[index])
        for pick in {*range(min(fields, 20)), *range(fields, fields + min(fields, 20))}:
            line = Line(tape, random.Random(pick), subscribed=subscribed)
            line.play([Fault(index, "field", pick)])
            line.heal()


def test_polymarket_errors_below_the_best_end_with_the_next_book() -> None:
    """A lost change of a lower level contradicts nothing; the next `book` puts it right."""
    tape = tape_of("polymarket")
    healed = 0
    for seed in range(12):
        line = Line(tape, random.Random(seed))
        faults = random_faults(random.Random(seed), tape.opening, len(tape.frames), 0.1, ("drop",))
        dropped = {fault.at for fault in faults}
        wrong: set[str] = set()
        for index in range(len(tape.frames)):
            if index in dropped:
                continue
            line.play_one(index)
            for market in tape.about[index]:
                book = line.keeper.books[market]
                right = book.state != BookState.LIVE or ladders_of(book) == tape.truth[index].get(market)
                if not right:
                    wrong.add(market)
                if '"event_type":"book"' in tape.frames[index]:
                    assert right, f"{market} after the book in frame {index}"
                    healed += market in wrong
                    wrong.discard(market)
    assert healed > 5


# Our own tests must see what is broken. Each mutant changes what comes out of a codec.


def without(*kinds: type) -> Callable[[list[Event]], list[Event]]:
    """Events of these kinds never reach the books."""
    return lambda events: [event for event in events if not isinstance(event, kinds)]


def with_fields(kind: type, **fields: Any) -> Callable[[list[Event]], list[Event]]:
    """Events of a kind with these fields."""
    return lambda events: [
        msgspec.structs.replace(event, **fields) if isinstance(event, kind) else event for event in events
    ]


def without_removals(events: list[Event]) -> list[Event]:
    """A level that goes stays."""
    return [
        msgspec.structs.replace(event, bids=[level for level in event.bids if level[1]])
        if isinstance(event, Change)
        else event
        for event in events
    ]


class Again:
    """Duplicates are applied: what came last comes once more."""

    def __init__(self) -> None:
        self.last: list[Event] = []

    def __call__(self, events: list[Event]) -> list[Event]:
        if any(isinstance(event, Ignored) and event.duplicate for event in events):
            return self.last
        self.last = events
        return events


def only_named(events: list[Event]) -> list[Event]:
    """A gap voids the first of its markets alone."""
    return [
        Gap(event.markets[:1] or ("nobody",), event.why) if isinstance(event, Gap) else event
        for event in events
    ]


MUTANTS: dict[str, tuple[str, Callable[[list[Event]], list[Event]]]] = {
    "kalshi: gaps are not acted on": ("kalshi", without(Gap)),
    "kalshi: a gap voids one market": ("kalshi", only_named),
    "kalshi: duplicates are applied": ("kalshi", Again()),
    "kalshi: steps are taken for sizes": ("kalshi", with_fields(Change, relative=False)),
    "kalshi: a frame that cannot be read is passed over": ("kalshi", without(Bad)),
    "coinbase: gaps are not acted on": ("coinbase", without(Gap)),
    "coinbase: a frame that cannot be read is passed over": ("coinbase", without(Bad)),
    "coinbase: removals are forgotten": ("coinbase", without_removals),
    "kraken: checksums are not compared": ("kraken", with_fields(Change, checksum=None)),
    "kraken: checksums of snapshots are not compared": ("kraken", with_fields(Snapshot, checksum=None)),
    "kraken: the book is not cut to its depth": ("kraken", with_fields(Snapshot, depth=0)),
    "polymarket: best prices are not compared": ("polymarket", with_fields(Change, batch="")),
    "polymarket: a new grid does not void": ("polymarket", without(Gap)),
    "polymarket: removals are forgotten": ("polymarket", without_removals),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_these_tests_notice_a_broken_codec(name: str) -> None:
    """Some run of the bad line fails with each mutant, or a sound tape does."""
    venue, mutate = MUTANTS[name]
    tape = tape_of(venue)

    def change(line: Line) -> None:
        decode = line.codec.decode
        line.decode = lambda frame: mutate(decode(frame))

    def notices(seed: int) -> bool:
        try:
            if seed < 0:
                line = Line(tape, random.Random(0))
                change(line)
                run_well(line)
            else:
                run_badly(tape, seed, change=change)
        except AssertionError:
            return True
        return False

    assert any(notices(seed) for seed in range(-1, 24))


def test_read_frames_gives_what_was_written(tmp_path: Path) -> None:
    """A tape's data comes back verbatim."""
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"t": 1, "venue": "kraken", "conn": 0, "data": '{"a": "\\u00e9"}'}) + "\n\n")
    assert read_frames(path) == [("kraken", '{"a": "\\u00e9"}')]
