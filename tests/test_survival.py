"""Survival curves: the exact estimate, the one from buckets, and that they agree."""

from __future__ import annotations

import random
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.survival import Sample, Survival, kaplan_meier
from shm.survival import LIVES, LifeCounts

MS = 1_000_000
LENGTHS = st.integers(0, 1 << 43)
SAMPLES = st.lists(st.tuples(LENGTHS, st.booleans()), max_size=60)


def counted(samples: list[Sample]) -> Survival:
    """The curve of these lives counted into buckets."""
    counts = LifeCounts([0] * LIVES.count, [0] * LIVES.count)
    for length_ns, censored in samples:
        cells = counts[censored]
        assert isinstance(cells, list)
        cells[LIVES.bucket(length_ns)] += 1
    return Survival(counts)


def exact(samples: list[Sample], length_ns: int) -> float:
    """S after `length_ns` by the exact estimate."""
    return ([1.0] + [s for at, s in kaplan_meier(samples) if at <= length_ns])[-1]


def test_the_textbook_example() -> None:
    """Six lives 3, 5*, 6, 6, 9*, 10 (* censored): 5/6, then times 2/4, then times 0."""
    samples = [(3, False), (5, True), (6, False), (6, False), (9, True), (10, False)]
    assert kaplan_meier(samples) == [(3, pytest.approx(5 / 6)), (6, pytest.approx(5 / 12)), (10, 0)]


@given(SAMPLES, st.randoms())
def test_it_falls_from_one_and_the_order_is_of_no_account(
    samples: list[Sample], chance: random.Random
) -> None:
    """S is 1 at first, never rises, stays within 0 and 1, and forgets in which order the lives came."""
    steps = [s for _, s in kaplan_meier(samples)]
    assert all(1 >= a >= b >= 0 for a, b in zip([1.0, *steps], steps, strict=False))
    shuffled = list(samples)
    chance.shuffle(shuffled)
    assert kaplan_meier(shuffled) == kaplan_meier(samples)
    curve = counted(samples)
    bounds = [curve.at(LIVES.upper_ns(bucket)) for bucket in range(LIVES.count)]
    assert curve.at(0) == 1
    assert all(1 >= a >= b >= 0 for a, b in zip([1.0, *bounds], bounds, strict=False))


@given(st.lists(LENGTHS, min_size=1, max_size=60), LENGTHS)
def test_without_censoring_it_is_the_share_that_lived_longer(lengths: list[int], length_ns: int) -> None:
    """S(t) is the number of longer lives over all; from buckets that holds at every bound."""
    samples = [(length, False) for length in lengths]
    longer = sum(length > length_ns for length in lengths)
    assert exact(samples, length_ns) == pytest.approx(longer / len(lengths))
    bucket = LIVES.bucket(length_ns)
    beyond = sum(LIVES.bucket(length) > bucket for length in lengths)
    assert counted(samples).at(LIVES.upper_ns(bucket)) == pytest.approx(beyond / len(lengths))


@given(st.lists(LENGTHS, max_size=60), LENGTHS)
def test_what_is_only_lost_from_sight_never_died(lengths: list[int], length_ns: int) -> None:
    """All censored: S is 1 everywhere."""
    samples = [(length, True) for length in lengths]
    assert kaplan_meier(samples) == []
    assert counted(samples).at(length_ns) == 1


@given(st.lists(st.tuples(st.integers(0, LIVES.longest_ns - 1), st.booleans()), max_size=60), LENGTHS)
def test_buckets_agree_with_the_exact_estimate_within_a_bucket(samples: list[Sample], length_ns: int) -> None:
    """At a bound both lie between the two orders in which a bucket's censored lives may have been lost."""
    bucket = LIVES.bucket(length_ns)
    lowest, highest = 1.0, 1.0
    at_risk = len(samples)
    ordered = sorted(samples, key=lambda sample: LIVES.bucket(sample[0]))
    for at, group in groupby(ordered, key=lambda sample: LIVES.bucket(sample[0])):
        ends = [censored for _, censored in group]
        deaths, lost = ends.count(False), ends.count(True)
        if at <= bucket and deaths:
            lowest *= 1 - deaths / (at_risk - lost)
            highest *= 1 - deaths / at_risk
        at_risk -= len(ends)
    bound = LIVES.upper_ns(bucket)
    for found in (exact(samples, bound - 1), counted(samples).at(bound)):
        assert lowest - 1e-9 <= found <= highest + 1e-9


@given(SAMPLES, st.integers(0, 1 << 43), st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_waiting_longer_is_never_more_probable(samples: list[Sample], age: int, more: int, yet: int) -> None:
    """P(lives longer | age) is within 0 and 1, 1 for no wait, and falls with the wait."""
    curve = counted(samples)
    first, second = curve.conditional(age, more), curve.conditional(age, more + yet)
    for share in (first, second):
        assert share is None or -1e-9 <= share <= 1 + 1e-9
    if first is not None and second is not None:
        assert second <= first + 1e-9
    assert curve.conditional(age, 0) in {None, 1.0}


def test_between_bounds_it_is_linear() -> None:
    """Ten lives that end in one bucket: half way through it half of them are gone."""
    bucket = LIVES.bucket(40 * MS)
    low, high = LIVES.upper_ns(bucket - 1), LIVES.upper_ns(bucket)
    curve = counted([(40 * MS, False)] * 10)
    assert [curve.at(low), curve.at((low + high) // 2), curve.at(high)] == [1, pytest.approx(0.5), 0]
    assert [curve.at_risk(0), curve.at_risk(low), curve.at_risk(high)] == [10, 10, 0]


def test_it_does_not_say_what_no_life_has_shown() -> None:
    """None where nothing got so old, or all that did were lost from sight; 0 where all of them died."""
    curve = counted([(10 * MS, False)] * 5 + [(100 * MS, True)] * 5)
    assert curve.conditional(500 * MS, MS) is None
    assert curve.conditional(50 * MS, 500 * MS) is None
    assert curve.conditional(50 * MS, 10 * MS) == 1
    assert counted([(10 * MS, False)] * 5).conditional(MS, 500 * MS) == 0
