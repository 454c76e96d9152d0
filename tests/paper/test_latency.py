"""Latency: the drawn delays have the median and the 95th percentile that were asked for."""

from random import Random

import pytest

from pipeline.paper.latency import MAX_NS, Latency

DRAWS = 4000


@pytest.mark.parametrize(("median_ms", "p95_ms", "slow_ms"), [(50, 0, 100), (50, 80, 80), (10, 100, 100)])
def test_the_percentiles_are_those_asked_for(median_ms, p95_ms, slow_ms):
    """Half of the draws are below the median, 19 of 20 below the 95th percentile (0: twice the median)."""
    random = Random(3)
    drawn = [Latency(median_ms, p95_ms).draw(random) for _ in range(DRAWS)]
    assert min(drawn) > 0
    for share, limit_ms in ((0.5, median_ms), (0.95, slow_ms)):
        below = sum(ns < limit_ms * 10**6 for ns in drawn) / DRAWS
        assert below == pytest.approx(share, abs=0.03)


def test_without_latency_there_is_none():
    """A median of 0 is no delay at all, and draws nothing."""
    random = Random(3)
    assert Latency(0).draw(random) == 0
    assert random.random() == Random(3).random()


def test_a_spread_below_the_median_is_none():
    """A 95th percentile at or below the median means always the median."""
    assert {Latency(20, 10).draw(Random(seed)) for seed in range(5)} == {20_000_000}


def test_no_delay_is_endless():
    """The longest draw is bounded."""
    random = Random(1)
    assert max(Latency(60_000, 60_000 * 1000).draw(random) for _ in range(500)) == MAX_NS
