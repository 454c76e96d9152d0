"""The witness: what is right is never accused, what is wrong is found in time.

A small world plays both sides: a true book that changes at random, a stream that brings the changes to the
real keeper late, and a REST that answers late out of a cache. Time passes in steps of 10 ms, at once.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from random import Random

import pytest

from pipeline.feed import window, witness
from pipeline.feed.book import BookKeeper
from pipeline.feed.window import Doubt, Window
from pipeline.feed.witness import OPENED_A_TURN, Verdict, Witness
from pipeline.model import BookState, Level
from pipeline.venues.asking import RestBook, Sample, rest_book
from pipeline.venues.codec import Change, Gap, Ignored, Snapshot

MS = 1_000_000
SECOND = 1_000 * MS
STEP = 10 * MS
START = 10**12
# The wall clock of the venue, as far from ours as it likes.
VENUE_AHEAD = 10**18
# The bound is 30 s; the design's own is below 25.
FOUND_IN = 25 * SECOND


class World:
    """One market on both sides. `lag_ns` delays the stream; `age_ns` is how old REST's answers are."""

    def __init__(
        self,
        seed: int = 1,
        *,
        lag_ns: int = 0,
        age_ns: int = 0,
        answer_ns: int = 200 * MS,
        rate: float = 10.0,
        bursts: bool = False,
        dated: bool = False,
        depth: int = 0,
        rest_levels: int = 0,
        step_units: int = 1,
        relative: bool = False,
    ) -> None:
        self.random = Random(seed)
        self.now = START
        self.lag_ns, self.age_ns, self.answer_ns = lag_ns, age_ns, answer_ns
        self.rate, self.bursts, self.dated = rate, bursts, dated
        self.depth, self.rest_levels, self.step_units = depth, rest_levels, step_units
        self.relative = relative
        self.frozen = False
        self.lose: set[int] = set()
        self.bids = {ticks: self.random.randint(1, 50) * 100 for ticks in range(400, 460)}
        self.asks = {ticks: self.random.randint(1, 50) * 100 for ticks in range(461, 520)}
        self.keeper = BookKeeper("kraken" if depth else "kalshi")
        self.witness = Witness(10 * SECOND, at_once=10)
        self.verdicts: list[Verdict] = []
        self._stream: deque[tuple[int, Change]] = deque()
        self._answers: deque[tuple[int, int]] = deque()
        self._past: deque[tuple[int, dict[int, int], dict[int, int], int]] = deque(maxlen=4_000)
        self._changed_ns = 0
        self.keeper.apply_frame([self.snapshot(depth)])
        self.witness.follow(["M"], self.now)

    def snapshot(self, depth: int = 0) -> Snapshot:
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        cut = depth or None
        return Snapshot("M", bids[:cut], asks[:cut], VENUE_AHEAD + self.now, depth=depth)

    def change(self, side: str, ticks: int, units: int) -> None:
        """The venue's book changes, and the stream will say so unless that is to be lost."""
        sizes = self.bids if side == "bid" else self.asks
        old, seen = sizes.get(ticks, 0), self.view(side)
        if units:
            sizes[ticks] = units
        else:
            sizes.pop(ticks, None)
        self._changed_ns = VENUE_AHEAD + self.now
        level: list[Level] = [(ticks, units - old if self.relative else units)]
        if self.depth:
            now = self.view(side)
            level = [(key, size) for key, size in now.items() if seen.get(key) != size]
            level += [(key, 0) for key in seen if key not in sizes]
        bids, asks = (level, []) if side == "bid" else ([], level)
        if ticks not in self.lose and not self.frozen:
            event = Change("M", bids, asks, self._changed_ns, relative=self.relative)
            self._stream.append((self.now + self.lag_ns, event))

    def view(self, side: str) -> dict[int, int]:
        """What the venue tells of a side: its best levels, refilled from behind as some go."""
        if side == "bid":
            return dict(sorted(self.bids.items(), reverse=True)[: self.depth])
        return dict(sorted(self.asks.items())[: self.depth])

    def churn(self) -> None:
        wild = self.bursts and (self.now // SECOND) % 7 == 0
        for _ in range(self.random.random() < self.rate / 100 or (wild and 20)):
            side = self.random.choice(("bid", "ask"))
            ticks = self.random.randint(430, 459) if side == "bid" else self.random.randint(461, 490)
            self.change(side, ticks, self.random.choice((0, 100, 250, 1234, 5000)))

    def step(self) -> None:
        self.now += STEP
        self.churn()
        while self._stream and self._stream[0][0] <= self.now:
            _, event = self._stream.popleft()
            self.keeper.apply_frame([event])
            self.witness.note(event)
        self._past.append((self.now, dict(self.bids), dict(self.asks), self._changed_ns))
        for market in self.witness.asks(self.keeper.books, self.now):
            assert market == "M"
            self._answers.append((self.now + self.answer_ns, self.now))
        while self._answers and self._answers[0][0] <= self.now:
            answered, asked = self._answers.popleft()
            self.witness.answered(Sample(self.rest(), asked, answered))
        self.verdicts += self.witness.verdicts(self.now)

    def rest(self) -> RestBook:
        """What REST shows: the past, rounded and cut as the venue does."""
        then = self.now - self.answer_ns // 2 - self.age_ns
        _, bids, asks, changed_ns = next((p for p in reversed(self._past) if p[0] <= then), self._past[0])
        cut, step = self.rest_levels or None, self.step_units
        best_bids = sorted(bids.items(), reverse=True)[:cut]
        best_asks = sorted(asks.items())[:cut]
        return rest_book(
            "M",
            [(ticks, (units + step // 2) // step * step) for ticks, units in best_bids],
            [(ticks, (units + step // 2) // step * step) for ticks, units in best_asks],
            venue_ns=changed_ns if self.dated else 0,
            limit=self.rest_levels,
            size_step_units=step,
        )

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * SECOND / STEP)):
            self.step()

    def run_until_found(self) -> Verdict:
        """The verdict against our book, which comes in time."""
        began = self.now
        while self.now - began <= FOUND_IN:
            self.step()
            against = [verdict for verdict in self.verdicts if not verdict.agrees]
            if against:
                return against[0]
        raise AssertionError(f"not found; {self.verdicts}")

    def against(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if not verdict.agrees]


# -- a right book


@pytest.mark.parametrize("age_ns", [0, SECOND // 2, 5 * SECOND])
@pytest.mark.parametrize("lag_ns", [0, SECOND // 5, 2 * SECOND])
@pytest.mark.parametrize("rate", [1.0, 30.0])
def test_a_right_book_is_never_accused_however_late_either_side_is(
    rate: float, lag_ns: int, age_ns: int
) -> None:
    """A cache five seconds old and a stream two seconds late are no faults of the book."""
    world = World(3, rate=rate, lag_ns=lag_ns, age_ns=age_ns)
    world.run(60)
    assert world.against() == []
    if lag_ns <= SECOND // 5 and age_ns <= SECOND // 2:
        assert world.witness.agreements >= 5
        assert world.witness.suspects == 0
    assert world.witness.agreements + world.witness.suspects >= 5
    if age_ns - lag_ns > SECOND and rate > 1:
        assert world.witness.suspects >= 5


@pytest.mark.parametrize("seed", range(3))
def test_bursts_on_a_late_stream_accuse_nobody(seed: int) -> None:
    """Two thousand changes in a second, one second late, with a slow and old REST."""
    world = World(seed, lag_ns=SECOND, age_ns=2 * SECOND, answer_ns=2 * SECOND, rate=5, bursts=True)
    world.run(50)
    assert world.against() == []
    assert world.witness.agreements + world.witness.suspects >= 4


def test_an_answer_that_says_it_is_old_accuses_nobody() -> None:
    """However old the cache is, an answer with an older date than our book's is left out and counted."""
    world = World(5, age_ns=20 * SECOND, dated=True, rate=5)
    world.run(25)
    world.verdicts.clear()
    world.run(60)
    assert world.against() == []
    assert world.witness.stale >= 4


def test_only_what_both_sides_can_see_is_compared() -> None:
    """A book of 25 levels, a REST of 100 with rounded sizes, and levels that come and go at the edge."""
    world = World(7, depth=25, rest_levels=30, step_units=100, rate=20)
    world.run(60)
    assert world.against() == []
    assert world.witness.agreements >= 5


def test_a_truncated_answer_says_nothing_beyond_its_worst_level() -> None:
    """Ten levels by REST agree with the ten best of sixty."""
    world = World(8, rest_levels=10, rate=5)
    world.run(40)
    assert world.against() == []
    assert world.witness.suspects == 0


def test_a_right_book_is_found_right_once_an_interval() -> None:
    """`agreed_ns` is when REST was asked, so that an age can be shown."""
    world = World(9)
    world.run(45)
    times = [verdict.at_ns for verdict in world.verdicts]
    assert len(times) == 5
    assert all(10 * SECOND <= later - sooner < 11 * SECOND for sooner, later in pairwise(times))
    assert world.witness.agreed_ns == {"M": times[-1]}


def test_relative_changes_are_followed() -> None:
    """Kalshi's steps are added up, so that a size in the window is the level's own."""
    world = World(10, relative=True, rate=30, lag_ns=SECOND // 10)
    world.run(40)
    assert world.against() == []
    assert world.witness.suspects == 0 and world.witness.agreements >= 4


# -- a wrong book


@pytest.mark.parametrize("rate", [1.0, 30.0])
@pytest.mark.parametrize("dated", [False, True])
@pytest.mark.parametrize("after", [0.5, 4.0, 9.5])
def test_a_stream_that_stands_still_is_found(rate: float, dated: bool, after: float) -> None:
    """The socket is open, nothing comes, and the market moves on."""
    world = World(11, rate=rate, dated=dated)
    world.run(after)
    world.frozen = True
    assert "by REST" in world.run_until_found().why
    assert world.witness.mismatches == 1


def test_a_frozen_market_in_which_one_level_moved_is_found() -> None:
    """One deletion is all that the stream has kept from us."""
    world = World(12, rate=0)
    world.run(3)
    world.frozen = True
    world.change("bid", max(world.bids), 0)
    assert world.run_until_found().why.startswith("bid 459: ")


@pytest.mark.parametrize(("side", "ticks", "units"), [("bid", 401, 0), ("ask", 518, 77), ("bid", 399, 5)])
def test_a_deep_error_is_found_while_the_stream_goes_on(side: str, ticks: int, units: int) -> None:
    """A deletion, a size and a new level that never reached us, far from the best prices."""
    world = World(13, rate=30, lag_ns=SECOND // 10, age_ns=SECOND // 2, bursts=True)
    world.run(4)
    world.lose.add(ticks)
    world.change(side, ticks, units)
    verdict = world.run_until_found()
    assert verdict.why.startswith(f"{side} {ticks}: ")
    assert f"{units} by REST" in verdict.why


def test_an_error_within_the_sight_of_a_cut_book_is_found() -> None:
    """Sizes are rounded by REST; a level more than a step off is wrong all the same."""
    world = World(14, depth=25, rest_levels=100, step_units=100, rate=0)
    ticks = max(world.bids) - 3
    world.lose.add(ticks)
    world.change("bid", ticks, world.bids[ticks] + 350)
    assert world.run_until_found().why.startswith(f"bid {ticks}: ")


def test_a_fresh_snapshot_that_rights_the_book_ends_the_doubt() -> None:
    """Between the two samples the whole book comes anew: the second agrees."""
    world = World(15, rate=0)
    world.lose.add(410)
    world.change("bid", 410, 0)
    while not world.witness.suspects:
        world.step()
    world.lose.clear()
    snapshot = world.snapshot()
    world.keeper.apply_frame([snapshot])
    world.witness.note(snapshot)
    world.run(12)
    assert world.against() == [] and world.witness.agreements >= 1


def test_whatever_touches_a_level_takes_it_out_of_doubt() -> None:
    """A change of its price, or a snapshot with another size; one with the same size leaves the doubt."""
    doubt = Doubt({40: (10, 0), 41: (5, 7), 42: (1, 2)}, {60: (0, 3)})
    doubt.change(Change("M", [(42, 1)], [(61, 5)]))
    doubt.replace(Snapshot("M", [(40, 10), (41, 6)], []))
    assert (doubt.bids, doubt.asks) == ({40: (10, 0)}, {60: (0, 3)})
    doubt.replace(Snapshot("M", [], [(60, 3)]))
    assert not doubt.stands()


def test_a_doubt_needs_a_second_sample_six_seconds_later() -> None:
    """One suspect sample gives no verdict."""
    world = World(16, rate=0)
    world.lose.add(410)
    world.change("bid", 410, 0)
    while not world.witness.suspects:
        world.step()
    first = world.now
    assert world.verdicts == []
    verdict = world.run_until_found()
    assert verdict.at_ns - first >= 6 * SECOND
    assert world.witness.suspects == 2


# -- markets, windows and bounds


def book_of(market: str) -> BookKeeper:
    keeper = BookKeeper("polymarket")
    keeper.apply_frame([Snapshot(market, [(40, 10)], [(60, 10)])])
    return keeper


def sample_of(market: str, asked: int, answered: int, bids: list[Level] | None = None) -> Sample:
    return Sample(rest_book(market, bids or [(40, 10)], [(60, 10)]), asked, answered)


def test_nothing_is_noted_where_no_window_is_open() -> None:
    """Between two samples a market costs nothing: it is not even in `watching`."""
    judge, keeper = Witness(10 * SECOND, at_once=10), book_of("M")
    assert not judge.watching
    judge.note(Change("M", [(40, 5)], []))
    judge.note(Ignored("x"))
    judge.follow(["M"], 0)
    assert judge.asks(keeper.books, 0) == [] and set(judge.watching) == {"M"}
    assert judge.asks(keeper.books, SECOND - 1) == []
    assert judge.asks(keeper.books, SECOND) == ["M"]
    assert judge.asks(keeper.books, SECOND + 1) == []
    judge.answered(sample_of("M", SECOND, SECOND + 100 * MS))
    assert judge.verdicts(SECOND + 349 * MS) == []
    assert judge.verdicts(SECOND + 350 * MS) == [Verdict("M", agrees=True, at_ns=SECOND)]
    assert not judge.watching
    assert judge.asks(keeper.books, 10 * SECOND - 1) == []
    judge.asks(keeper.books, 10 * SECOND)
    assert set(judge.watching) == {"M"}


def test_an_answer_to_an_earlier_question_is_ignored() -> None:
    """Its window is gone, or opened after it was asked."""
    judge, keeper = Witness(10 * SECOND, at_once=10), book_of("M")
    judge.answered(sample_of("M", 0, 1))
    judge.follow(["M"], 0)
    judge.asks(keeper.books, 0)
    judge.answered(sample_of("M", 0, 1, [(40, 99)]))
    judge.asks(keeper.books, SECOND)
    judge.answered(sample_of("M", SECOND - 1, SECOND, [(40, 99)]))
    assert judge.verdicts(20 * SECOND) == []
    judge.answered(sample_of("M", SECOND, 2 * SECOND))
    judge.answered(sample_of("M", SECOND, 2 * SECOND, [(40, 99)]))
    assert [verdict.agrees for verdict in judge.verdicts(20 * SECOND)] == [True]


def test_a_window_without_an_answer_is_given_up_and_opened_again() -> None:
    """A REST that is down costs nothing but a count, and no window stays open."""
    judge, keeper = Witness(10 * SECOND, at_once=10), book_of("M")
    judge.follow(["M"], 0)
    asked = [now for now in range(0, 60 * SECOND, 20 * MS) if judge.asks(keeper.books, now)]
    assert asked == [SECOND + n * 10 * SECOND for n in range(6)]
    assert judge.unanswered == 6


def test_a_book_that_is_not_live_is_not_compared() -> None:
    """It is looked at again each second, and a window in which it was lost gives no verdict."""
    judge, keeper = Witness(10 * SECOND, at_once=10), BookKeeper("polymarket")
    keeper.expect(["M"])
    judge.follow(["M", "UNKNOWN"], 0)
    for now in range(0, 5 * SECOND, 20 * MS):
        assert judge.asks(keeper.books, now) == []
    assert not judge.watching
    keeper = book_of("M")
    judge.asks(keeper.books, 5 * SECOND)
    assert judge.asks(keeper.books, 6 * SECOND) == ["M"]
    keeper.apply_frame([Gap(("M",), "lost")])
    assert keeper.books["M"].state == BookState.GAP
    judge.answered(sample_of("M", 6 * SECOND, 6 * SECOND, [(40, 99)]))
    assert judge.verdicts(7 * SECOND) == []
    assert not judge.watching


def test_what_is_forgotten_is_not_asked_and_gets_no_verdict() -> None:
    """In whatever state it was."""
    for until in (0, SECOND, 2 * SECOND):
        judge, keeper = Witness(10 * SECOND, at_once=1), book_of("M")
        judge.follow(["M"], 0)
        for now in (0, SECOND):
            if now <= until:
                judge.asks(keeper.books, now)
        if until:
            judge.answered(sample_of("M", SECOND, SECOND))
        judge.forget(["M", "UNKNOWN"])
        assert not judge.watching
        assert judge.verdicts(9 * SECOND) == []
        assert judge.asks(keeper.books, 30 * SECOND) == []
        keeper.apply_frame([Snapshot("N", [(40, 10)], [(60, 10)])])
        judge.follow(["N"], 40 * SECOND)
        judge.asks(keeper.books, 40 * SECOND)
        assert judge.asks(keeper.books, 41 * SECOND) == ["N"]


def test_windows_are_opened_a_few_a_turn_and_a_bounded_number_at_once() -> None:
    """A thousand markets do not stop the loop, and a slow venue has few in hand; all get their turn."""
    names = [f"M{n}" for n in range(100)]
    keeper = BookKeeper("polymarket")
    keeper.apply_frame([Snapshot(name, [(40, 10)], [(60, 10)]) for name in names])
    judge = Witness(10 * SECOND, at_once=60)
    judge.follow(names, 0)
    judge.asks(keeper.books, 0)
    assert len(judge.watching) == OPENED_A_TURN
    seen: set[str] = set()
    for now in range(0, 10 * SECOND, 20 * MS):
        for market in judge.asks(keeper.books, now):
            judge.answered(sample_of(market, now, now))
        seen.update(verdict.market for verdict in judge.verdicts(now))
        assert len(judge.watching) <= 60
    assert seen == set(names)


def test_too_much_in_a_window_gives_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noted has a bound; beyond it the sample is let go, and counted."""
    monkeypatch.setattr(window, "NOTED_MAX", 50)
    judge, keeper = Witness(10 * SECOND, at_once=10), book_of("M")
    judge.follow(["M"], 0)
    judge.asks(keeper.books, 0)
    for units in range(1, 1_000):
        judge.note(Change("M", [(40, units)], []))
    judge.asks(keeper.books, SECOND)
    judge.answered(sample_of("M", SECOND, SECOND, [(40, 7_777)]))
    assert judge.verdicts(2 * SECOND) == [] and judge.undecided == 1
    assert not judge.watching


def test_levels_beyond_what_a_window_holds_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a huge book the best levels are held; what REST says of the others accuses nobody."""
    monkeypatch.setattr(window, "LEVELS_MAX", 10)
    keeper = BookKeeper("coinbase")
    bids = [(ticks, 5) for ticks in range(1, 101)]
    keeper.apply_frame([Snapshot("M", bids, [(200, 5)])])
    held = Window(keeper.books["M"], 0)
    held.change(Change("M", [(50, 9), (95, 9), (101, 9)], []))
    held.replace(Snapshot("M", [(ticks, 5) for ticks in range(60, 100)], [(200, 5)]))
    told = [(ticks, 5) for ticks in range(91, 101)] + [(50, 77)]
    assert held.compare(Sample(rest_book("M", told, [(200, 5)]), 0, 0)) is None
    doubt = held.compare(Sample(rest_book("M", [*told[:-2], (100, 6)], [(200, 5)]), 0, 0))
    assert doubt is not None and doubt.bids == {100: (0, 6)}


def test_a_fault_is_found_within_the_bound_with_slow_answers_too() -> None:
    """The times add up to less than 25 seconds where each answer takes two."""
    worst = 10 * SECOND + 2 * (witness.LEAD_NS + witness.SETTLE_NS + 2 * SECOND) + witness.CONFIRM_NS
    assert worst < FOUND_IN
