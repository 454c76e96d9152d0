"""The digital model: textbook values, chance, bounds, and the warning of a late book."""

from __future__ import annotations

from math import exp, log, sqrt
from random import Random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.digital import (
    MIN_RETURNS,
    SECOND_NS,
    YEAR_S,
    Mids,
    Volatility,
    above,
    quote,
)

DAY_S = 86_400.0
SPOTS = st.floats(1.0, 1e6)
SIGMAS = st.floats(0.01, 3.0)
TIMES = st.floats(1.0, YEAR_S)


@pytest.mark.parametrize(
    ("spot", "strike", "sigma", "years", "expected"),
    [
        (100, 100, 0.20, 1.0, 0.4602),  # d2 = -0.1
        (100, 110, 0.20, 1.0, 0.2821),  # d2 = -0.5766
        (42 * exp(0.05), 40, 0.20, 0.5, 0.7349),  # d2 = 0.6278: spot 42 at 10 % interest for half a year
        (60_000, 60_000, 0.50, 1 / 365, 0.4948),  # d2 = -0.0131
    ],
)
def test_textbook_values(spot: float, strike: float, sigma: float, years: float, expected: float) -> None:
    """N(d2) with d2 = (ln(S / K) - sigma^2 tau / 2) / (sigma sqrt(tau)), as tables of N have it."""
    assert above(spot, strike, sigma, years * YEAR_S) == pytest.approx(expected, abs=5e-5)
    spread = sigma * sqrt(years)
    exact = NormalDist().cdf(log(spot / strike) / spread - spread / 2)
    assert above(spot, strike, sigma, years * YEAR_S) == pytest.approx(exact, abs=1e-12)


def test_chance_agrees() -> None:
    """Of 20,000 seeded ends of a path without drift the share above the strike is within four errors."""
    dice, sigma, years = Random(7), 0.6, 2 / 365
    spread = sigma * sqrt(years)
    for strike in (58_000, 60_000, 63_000):
        ends = [60_000 * exp(dice.gauss(0, spread) - spread**2 / 2) for _ in range(20_000)]
        share = sum(end > strike for end in ends) / len(ends)
        q = above(60_000, strike, sigma, years * YEAR_S)
        assert abs(share - q) < 4 * sqrt(q * (1 - q) / len(ends))


@given(SPOTS, SPOTS, SIGMAS, TIMES)
def test_swapping_spot_and_strike_mirrors_the_probability(
    spot: float, strike: float, sigma: float, tau_s: float
) -> None:
    """P(above) of one plus P(above) of the mirror, with the drift term taken out of both, is 1."""
    shift = exp(sigma**2 * tau_s / YEAR_S / 2)
    mirrored = above(strike * shift * shift, spot, sigma, tau_s)
    assert above(spot, strike, sigma, tau_s) + mirrored == pytest.approx(1, abs=1e-9)


@given(SPOTS, st.floats(0.5, 2.0), st.floats(1.0, 1.1), SIGMAS, TIMES)
def test_more_spot_or_less_strike_is_more_probable(
    spot: float, ratio: float, more: float, sigma: float, tau_s: float
) -> None:
    """The probability rises with spot, falls with the strike, and stays within 0 and 1."""
    strike = spot * ratio
    q = above(spot, strike, sigma, tau_s)
    assert 0 <= q <= above(spot * more, strike, sigma, tau_s) + 1e-12 <= 1 + 1e-9
    assert above(spot, strike * more, sigma, tau_s) <= q + 1e-12


@pytest.mark.parametrize(("sigma", "tau_s"), [(0.5, 0.0), (0.5, -5.0), (0.0, DAY_S), (1e-300, 1e-9)])
def test_without_time_or_movement_it_is_decided(sigma: float, tau_s: float) -> None:
    """Above is above; at the strike is not above it."""
    assert above(101, 100, sigma, tau_s) == 1
    assert above(99, 100, sigma, tau_s) == 0
    assert above(100, 100, 0.0, tau_s) == 0


def test_a_strike_far_away_is_certain_and_no_error() -> None:
    """Nothing overflows: a strike of nothing, of a cent and of a trillion."""
    assert above(60_000, 0, 0.5, DAY_S) == 1
    assert above(60_000, 0.01, 0.5, 60.0) == 1
    assert above(60_000, 1e12, 0.5, 60.0) == 0


def walk(sigma: float, steps: int, seed: int = 1) -> list[tuple[int, float]]:
    """A seeded price each second."""
    dice, price, made = Random(seed), 60_000.0, []
    for step in range(steps):
        price *= exp(dice.gauss(0, sigma * sqrt(1 / YEAR_S)))
        made.append((step * SECOND_NS, price))
    return made


def fed(samples: list[tuple[int, float]], **settings: int) -> Mids:
    mids = Mids(**settings)
    for time_ns, mid in samples:
        mids.add(time_ns, mid)
    return mids


def test_volatility_is_found_again() -> None:
    """A walk of 60 % a year is measured as that within four of its own errors, sigma / sqrt(2 n)."""
    found = fed(walk(0.6, 901), most=901).volatility()
    assert found is not None
    assert found.samples == 900
    assert found.error == pytest.approx(found.sigma / sqrt(1800))
    assert abs(found.sigma - 0.6) < 4 * found.error


def test_a_second_hides_the_bounce() -> None:
    """A price that jumps to and fro within a second and ends it where it was has the steps' volatility."""
    calm = walk(0.6, 200)
    jumpy = [(t + part, mid * (1.01 if part == 1 else 1)) for t, mid in calm for part in (0, 1, 2)]
    assert fed(jumpy).volatility() == fed(calm).volatility()


def test_a_step_without_a_price_adds_time_and_no_return() -> None:
    """Half the prices left out: half the returns, a larger error, the same volatility."""
    full = fed(walk(0.6, 801)).volatility()
    thin = fed(walk(0.6, 801)[::2]).volatility()
    assert full is not None
    assert thin is not None
    assert thin.samples == full.samples // 2
    assert abs(thin.sigma - full.sigma) < 4 * thin.error


def test_too_little_is_no_volatility() -> None:
    """Fewer than MIN_RETURNS returns, or a price that never moved, say nothing; clear forgets all."""
    samples = walk(0.6, MIN_RETURNS + 1)
    assert fed(samples[:-1]).volatility() is None
    assert fed([(time_ns, 5.0) for time_ns, _mid in samples]).volatility() is None
    mids = fed(samples)
    assert mids.volatility() is not None
    mids.clear()
    assert mids.volatility() is None


def test_only_the_last_steps_are_kept() -> None:
    """The window is bounded: what came before does not count, and `add` says when a step begins."""
    mids = fed([*walk(3.0, 500), *((t + 500 * SECOND_NS, mid) for t, mid in walk(0.3, 101))], most=101)
    found = mids.volatility()
    assert found is not None
    assert found.samples == 100
    assert abs(found.sigma - 0.3) < 4 * found.error
    assert [mids.add(10**12, 5.0), mids.add(10**12 + 1, 6.0), mids.add(10**12 + SECOND_NS, 6.0)] == [
        True,
        False,
        True,
    ]


@given(SPOTS, st.floats(0.8, 1.25), SIGMAS, st.floats(0.01, 0.4), TIMES, st.floats(0, 50), st.booleans())
def test_the_bounds_hold_all_that_could_be_so(
    spot: float, ratio: float, sigma: float, error: float, tau_s: float, basis_bp: float, is_above: bool
) -> None:
    """No sigma within two errors and no index within the basis gives a probability outside."""
    strike = spot * ratio
    made = quote(spot, strike, tau_s, Volatility(sigma, sigma * error, 99), basis_bp, is_above=is_above)
    assert 0 <= made.low <= made.mid <= made.high <= 1
    for part in range(-10, 11):
        for moved in (-1, -0.5, 0, 1):
            index = spot * (1 + moved * basis_bp / 10_000)
            q = above(index, strike, max(sigma * (1 + 2 * error * part / 10), 0.0), tau_s)
            assert made.low - 1e-12 <= (q if is_above else 1 - q) <= made.high + 1e-12
    assert made.ppm[0] <= made.ppm[1] <= made.ppm[2]


def test_the_most_probable_sigma_may_lie_between_the_bounds() -> None:
    """Far below the strike the probability rises with sigma and then falls: the peak is the high end."""
    made = quote(80, 100, YEAR_S, Volatility(0.7, 0.15, 99))
    assert made.high == pytest.approx(NormalDist().cdf(-sqrt(2 * log(100 / 80))), abs=1e-12)
    assert made.high > max(above(80, 100, sigma, YEAR_S) for sigma in (0.4, 0.7, 1.0))
