"""Lag and rate: exact on the last samples, deaf to nonsense."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.feed.statistics import MOST_NS, SAMPLES, Lag, Rate, lag_ns, nearest_rank

SECOND = 1_000_000_000


def oracle(samples: list[int], percent: int) -> int:
    """The smallest sample that at least `percent` % of all do not exceed."""
    kept = sorted(samples[-SAMPLES:])
    return next(
        value for at, value in enumerate(kept, 1) if Fraction(at, len(kept)) >= Fraction(percent, 100)
    )


@given(st.lists(st.integers(-MOST_NS, MOST_NS), min_size=1, max_size=60), st.integers(1, 40))
def test_quantiles_are_those_of_the_last_samples(samples: list[int], times: int) -> None:
    """p50 and p99 are nearest ranks over at most 1,000 samples, negative ones as good as others."""
    lag = Lag()
    told = samples * times
    for sample in told:
        lag.note(sample)
    assert lag.quantiles() == (oracle(told, 50), oracle(told, 99))
    assert (lag.samples, lag.skipped) == (len(told), 0)


def test_only_the_last_thousand_count() -> None:
    """An old bad minute is forgotten after 1,000 messages."""
    lag = Lag()
    for _ in range(5000):
        lag.note(MOST_NS)
    for _ in range(SAMPLES):
        lag.note(7)
    assert lag.quantiles() == (7, 7)


@pytest.mark.parametrize("wrong", [MOST_NS + 1, -MOST_NS - 1, 1_700_000_000_000_000_000])
def test_a_time_that_cannot_be_is_no_sample(wrong: int) -> None:
    """A message without a time, or with one an hour off, is counted and changes no quantile."""
    lag = Lag()
    assert lag.quantiles() == (0, 0)
    lag.note(5)
    lag.note(wrong)
    assert (lag.quantiles(), lag.samples, lag.skipped) == ((5, 5), 1, 1)


@given(st.integers(1, 5000), st.integers(1, 100))
def test_a_rank_always_lies_among_the_samples(count: int, percent: int) -> None:
    """No percentile of any number of samples points outside them."""
    assert 0 <= nearest_rank(count, percent) < count


def test_a_lag_is_measured_from_the_read_that_brought_the_message() -> None:
    """Time spent between the socket and the measuring is not the venue's; a clock ahead gives less than 0."""
    wall, mono = 1_700_000_000 * SECOND, 50 * SECOND
    assert lag_ns(wall - 30, mono - 10, mono, wall) == 20
    assert lag_ns(wall + 40, mono, mono, wall) == -40


def test_a_rate_is_that_of_the_last_seconds() -> None:
    """The rate follows the total over five seconds, also below one a second, and ends with it."""
    rate = Rate()
    assert rate.milli_per_s() == 0
    rate.note(100, 0)
    assert rate.milli_per_s() == 0
    rate.note(103, 2 * SECOND)
    assert rate.milli_per_s() == 1500
    for second in range(3, 60):
        rate.note(103 + 10 * (second - 2), second * SECOND)
    assert rate.milli_per_s() == 10_000
    for second in range(60, 66):
        rate.note(673, second * SECOND)
    assert rate.milli_per_s() == 0


def test_two_totals_of_one_moment_are_no_rate() -> None:
    """Asked twice in a moment it divides by nothing."""
    rate = Rate()
    rate.note(1, SECOND)
    rate.note(9, SECOND)
    assert rate.milli_per_s() == 0
