"""The race model: births, deaths, what is lost from sight, the odds and how they did."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import Reason
from pipeline.scanner import race as races
from pipeline.scanner.race import Race, RaceClass, RaceOdds, Score, race_class
from shm import layout as lo
from shm.segment import Segment
from shm.survival import SurvivalTable, survival_section

MS = 1_000_000
KEY = ("election", 0)
CLASS = race_class("binary", "kalshi", "polymarket", 30, 50_000_000)


def new_table(classes: int = 16) -> SurvivalTable:
    """A table over plain memory instead of a file."""
    placed, words = lo.place([survival_section(classes)])
    return SurvivalTable(Segment(Path("none"), -1, memoryview(array("q", bytes(words * lo.WORD))), placed))


def new_race(table: SurvivalTable | None = None, race_min: int = 20) -> Race:
    """A race with a half-life of 500 ms."""
    return Race(table or new_table(), 500 * MS, race_min)


def see(race: Race, now_ns: int, key: tuple[str, int] = KEY, class_: RaceClass = CLASS, net: int = 5) -> int:
    """One evaluation that found an opportunity."""
    return race.seen(key, now_ns, class_, 30, net, 7, 2)


def live(race: Race, length_ns: int, reason: Reason = Reason.NO_EDGE, class_: RaceClass = CLASS) -> None:
    """One whole life."""
    see(race, 0, class_=class_)
    assert race.gone(KEY, length_ns, reason) is not None


def test_a_life_runs_from_the_first_sight_to_the_first_without() -> None:
    """The row has both times, the class at birth, and the largest edge and net with the size of that net."""
    race = new_race()
    assert race.seen(KEY, 100, CLASS, 30, 500, 7, 2) == 100
    other = race_class("binary", "kalshi", "polymarket", 900, 1)
    assert race.seen(KEY, 200, other, 90, 400, 8, 2) == 100
    assert race.seen(KEY, 300, other, 20, 600, 9, 2) == 100
    row = race.gone(KEY, 400, Reason.NO_EDGE)
    assert row is not None
    assert row[:7] == (1, "election", "binary", 0, "kalshi", "polymarket", 100)
    assert row[7:] == (400, 0, Reason.NO_EDGE, 90, 600, 9, 2)
    assert race.gone(KEY, 500, Reason.NO_EDGE) is None
    assert see(race, 600) == 600


@pytest.mark.parametrize("reason", list(Reason))
def test_only_moved_prices_are_a_death(reason: Reason) -> None:
    """Whatever hides the books or closes the market censors the life."""
    race = new_race()
    see(race, 0)
    row = race.gone(KEY, 5, reason)
    assert row is not None
    moved = {"NO_EDGE", "EDGE_TOO_SMALL", "PROFIT_TOO_SMALL", "BELOW_MINIMUM", "BELOW_HURDLE", "ONE_SIDED"}
    assert row.censored == (reason.name not in moved)


def test_our_own_end_censors_all_lives() -> None:
    """What we see no more did not die of it."""
    race = new_race()
    for index in range(3):
        see(race, index, ("e", index))
    assert [(row.direction, row.censored, row.ended_ns) for row in race.end(9)] == [
        (0, 1, 9),
        (1, 1, 9),
        (2, 1, 9),
    ]
    assert race.end(10) == []


@pytest.mark.parametrize(
    ("latency_ns", "ppm"), [(500 * MS, 500_000), (0, 1_000_000), (1000 * MS, 250_000), (-MS, 1_000_000)]
)
def test_the_prior_has_a_true_half_life(latency_ns: int, ppm: int) -> None:
    """With no lives it is 2^(-latency / half-life), at any age, and says that it is the prior."""
    race = new_race()
    for age_ns in (0, MS, 3600 * 1000 * MS):
        assert race.probability(CLASS, age_ns, latency_ns) == RaceOdds(ppm, 0)
        assert race.probability(CLASS, age_ns, latency_ns).prior


def test_enough_lives_replace_the_prior() -> None:
    """Of twenty lives five end at 10 ms, the others at 100 ms: three of four are there 50 ms on."""
    race = new_race()
    for _ in range(5):
        live(race, 10 * MS)
    for _ in range(14):
        live(race, 100 * MS)
    assert race.probability(CLASS, 0, 50 * MS).prior
    live(race, 100 * MS)
    assert race.probability(CLASS, 0, 50 * MS) == RaceOdds(750_000, 20)
    assert race.probability(CLASS, 0, 500 * MS) == RaceOdds(0, 20)
    # Fifteen got as old as 50 ms: too few to say what becomes of one.
    assert race.probability(CLASS, 50 * MS, MS).prior


def test_an_old_opportunity_is_judged_by_those_that_got_as_old() -> None:
    """Half die young, the rest live long: what is old already is safer than what is new."""
    race = new_race()
    for _ in range(40):
        live(race, 5 * MS)
        live(race, 900 * MS)
    assert race.probability(CLASS, 0, 50 * MS) == RaceOdds(500_000, 80)
    assert race.probability(CLASS, 100 * MS, 50 * MS) == RaceOdds(1_000_000, 40)


def test_a_class_without_lives_borrows_those_of_its_venues() -> None:
    """Back-off: another edge and depth of the same kind and venues answers; other venues do not."""
    race = new_race()
    for _ in range(30):
        live(race, 20 * MS)
    wide = race_class("binary", "kalshi", "polymarket", 5_000, 5_000_000_000)
    assert wide.labels[0] != CLASS.labels[0]
    assert race.probability(wide, 0, 100 * MS) == RaceOdds(0, 30)
    assert race.probability(race_class("binary", "polymarket", "kalshi", 30, 50_000_000), 0, MS).prior
    assert race.probability(race_class("spot", "kalshi", "polymarket", 30, 50_000_000), 0, MS).prior


def test_lives_lost_from_sight_do_not_count_as_enough() -> None:
    """A hundred censored lives say nothing of death: the prior stays."""
    race = new_race()
    for _ in range(100):
        live(race, 100 * MS, Reason.BOOK_DEAD)
    assert race.probability(CLASS, 0, 50 * MS).prior


def test_the_curve_survives_a_restart() -> None:
    """Another race over the same table knows the lives of the first."""
    table = new_table()
    first = new_race(table)
    for _ in range(20):
        live(first, 20 * MS)
    assert new_race(table).probability(CLASS, 0, 100 * MS) == RaceOdds(0, 20)


def test_a_class_that_gave_way_is_forgotten() -> None:
    """With room for two labels a third class pushes out the first, curve and all."""
    race = new_race(new_table(2), race_min=1)
    live(race, 20 * MS)
    assert not race.probability(CLASS, 0, 100 * MS).prior
    live(race, 20 * MS, class_=race_class("spot", "kraken", "coinbase", 30, 1))
    assert race.probability(CLASS, 0, 100 * MS).prior


@pytest.mark.parametrize(
    ("edge_bp", "cash_micros", "buckets"),
    [(9, 0, (0, 0)), (10, 9_999_999, (1, 0)), (250, 10_000_000, (3, 1)), (-5, 10**12, (0, 3))],
)
def test_buckets_are_few_and_far_apart(edge_bp: int, cash_micros: int, buckets: tuple[int, int]) -> None:
    """Four of the edge, four of the cash; a bound belongs to the bucket above it."""
    found = race_class("spot", "a", "b", edge_bp, cash_micros)
    assert (found.edge, found.cash) == buckets


def test_what_is_followed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One opportunity more than there is room for is answered, counted and not kept."""
    monkeypatch.setattr(races, "MAX_ALIVE", 2)
    race = new_race()
    assert [see(race, at, ("e", at)) for at in range(3)] == [0, 1, 2]
    assert race.unfollowed == 1
    assert race.gone(("e", 2), 9, Reason.NO_EDGE) is None
    assert race.odds(("e", 2), 9, 500 * MS) == RaceOdds(500_000, 0)


def test_predictions_are_scored_by_what_came() -> None:
    """One half said and it came: 0.25. One half said and it died first: 0.25. Lost before: not scored."""
    race = new_race()
    assert race.score() == Score(0, 0, 0, 0)
    see(race, 0)
    assert race.odds(KEY, 0, 500 * MS).ppm == 500_000
    see(race, 499 * MS)
    assert race.score().predictions == 0
    see(race, 500 * MS)
    assert race.score() == Score(1, 250_000, 500_000, 1_000_000)
    race.odds(KEY, 500 * MS, 500 * MS)
    race.gone(KEY, 600 * MS, Reason.NO_EDGE)
    assert race.score() == Score(2, 250_000, 500_000, 500_000)
    see(race, 700 * MS)
    race.odds(KEY, 700 * MS, 500 * MS)
    race.gone(KEY, 800 * MS, Reason.BOOK_DEAD)
    assert race.score().predictions == 2


def test_one_prediction_at_a_time_waits() -> None:
    """Asking again before the first is due changes neither what was said nor when it is due."""
    race = new_race()
    see(race, 0)
    race.odds(KEY, 0, 500 * MS)
    race.odds(KEY, 100 * MS, 0)
    see(race, 499 * MS)
    assert race.score().predictions == 0
    race.gone(KEY, 500 * MS, Reason.BOOK_DEAD)
    assert race.score() == Score(1, 250_000, 500_000, 1_000_000)


def test_the_half_life_is_learned_from_lives_that_have_one() -> None:
    """Exponential lives of 80 ms half-life, a third lost from sight at random: P is 2^(-t/80 ms) again."""
    chance = random.Random(4)
    race = new_race()
    for _ in range(4_000):
        life_ns = round(chance.expovariate(0.693147 / (80 * MS)))
        lost_ns = round(chance.expovariate(0.693147 / (160 * MS)))
        live(race, min(life_ns, lost_ns), Reason.NO_EDGE if life_ns <= lost_ns else Reason.BOOK_DEAD)
    for age_ns in (0, 60 * MS):
        for latency_ns in (20 * MS, 80 * MS):
            odds = race.probability(CLASS, age_ns, latency_ns)
            assert odds.lives > 1_000
            assert odds.ppm == pytest.approx(1e6 * 2 ** (-latency_ns / (80 * MS)), abs=40_000)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 300)), max_size=60))
def test_any_history_leaves_sane_numbers(history: list[tuple[int, bool, int]]) -> None:
    """Whatever comes and goes, ages never shrink below 0, odds and scores stay within 0 and 1."""
    race, now_ns = new_race(race_min=1), 0
    for index, seen, wait_ms in history:
        now_ns += wait_ms * MS
        key = ("e", index)
        if seen:
            assert 0 <= see(race, now_ns, key) <= now_ns
            assert 0 <= race.odds(key, now_ns, 100 * MS).ppm <= 1_000_000
        else:
            row = race.gone(key, now_ns, Reason.NO_EDGE if wait_ms % 2 else Reason.BOOK_GAP)
            assert row is None or row.ended_ns >= row.born_ns
    score = race.score()
    assert all(0 <= number <= 1_000_000 for number in score[1:])
