"""Kelly for an arbitrage: the worked numbers, the closed form, and the best of a fine grid."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.trader.kelly import KellySizeMode
from pipeline.trader.kelly_arbitrage import (
    PAIR_LOSS,
    arbitrage_fraction,
    binary_fraction,
    fall_probability,
    growth_share,
    leg_risk_fraction,
)

EDGE, LOSS, RISK = Decimal("0.02"), Decimal("0.03"), Decimal("0.03")
SHARES = st.integers(0, 1000).map(lambda n: Fraction(n, 1000))


@pytest.mark.parametrize(
    ("mismatch", "fraction"),
    [("0", 1), ("0.002", 0.91), ("0.005", 0.74), ("0.01", 0.47), ("0.015", 0.19), ("0.02", 0)],
)
def test_the_worked_numbers_of_a_two_per_cent_edge(mismatch: str, fraction: float) -> None:
    """2 % of edge are worth nothing once the pair has a chance of 2 % not to be one contract."""
    found = arbitrage_fraction(EDGE, LOSS, RISK, Decimal(mismatch))
    assert round(float(found), 2) == fraction
    assert 0 <= found <= 1


def test_without_mismatch_kelly_would_borrow() -> None:
    """e = 2 %, l = 3 %, lambda = 5 %: f* is 29 times the capital, so the cap of 1 binds."""
    assert leg_risk_fraction(EDGE, LOSS, Decimal("0.05")) == Fraction(175, 6)
    assert arbitrage_fraction(EDGE, LOSS, Decimal("0.05"), 0) == 1


def test_trade_only_if_the_odds_of_a_lone_leg_are_below_edge_over_loss() -> None:
    """lambda / pi < e / l: at e = 2 %, l = 3 % two lone legs for three pairs are one too many."""
    most = Fraction(2, 5)  # lambda of lambda / pi = 2/3
    assert leg_risk_fraction(EDGE, LOSS, most) == 0
    assert leg_risk_fraction(EDGE, LOSS, most - Fraction(1, 1000)) == Fraction(1, 1000) * 5 / Fraction(6, 100)


def test_a_mismatch_loses_nearly_all_of_the_pair() -> None:
    """L is 0.98 of the cost, so an edge of 2 % bears no mismatch of 1.85 %: 0.97 e - lambda l over e + L."""
    assert Decimal("0.98") == PAIR_LOSS
    worthless = (Decimal("0.97") * EDGE - RISK * LOSS) / (EDGE + PAIR_LOSS)
    assert worthless == Decimal("0.0185")
    assert arbitrage_fraction(EDGE, LOSS, RISK, worthless) == 0
    assert arbitrage_fraction(EDGE, LOSS, RISK, worthless - Decimal("0.0001")) > 0


def test_the_closed_form_is_exact_below_the_cap() -> None:
    """(pi e - lambda l) / ((pi + lambda) e l), as a fraction and not as a bisection's digits."""
    found = arbitrage_fraction(Fraction(1, 10), Fraction(9, 10), Fraction(3, 40), 0)
    assert found == leg_risk_fraction(Fraction(1, 10), Fraction(9, 10), Fraction(3, 40)) == Fraction(5, 18)


def test_what_cannot_lose_has_no_best_fraction_and_takes_all() -> None:
    """No lone legs, or lone legs that lose nothing: None without the cap, 1 with it."""
    assert leg_risk_fraction(EDGE, LOSS, 0) is None
    assert leg_risk_fraction(EDGE, 0, RISK) is None
    assert arbitrage_fraction(EDGE, LOSS, 0, 0) == 1


@pytest.mark.parametrize(("edge", "risk"), [("0", "0"), ("-0.01", "0"), ("0.03", "0.5"), ("0.02", "0.9")])
def test_nothing_is_put_on_what_loses_on_average(edge: str, risk: str) -> None:
    """Trade only if pi e > lambda l: at equality, below it, and with no edge at all the answer is 0."""
    assert arbitrage_fraction(Decimal(edge), LOSS, Decimal(risk), 0) == 0
    assert leg_risk_fraction(Decimal(edge), LOSS, Decimal(risk)) == 0


@pytest.mark.parametrize(
    ("risk", "mismatch", "loss"), [("1.1", "0", 0), ("0.6", "0.5", 0), ("-0.1", "0", 0), ("0", "0", -1)]
)
def test_what_are_no_probabilities_or_losses_is_refused(risk: str, mismatch: str, loss: int) -> None:
    """A probability outside [0, 1], two of more than 1 together, a loss below 0."""
    with pytest.raises(ValueError, match=r"no probabilities|not below 0"):
        arbitrage_fraction(EDGE, loss, Decimal(risk), Decimal(mismatch))


@given(SHARES, SHARES, SHARES, SHARES, SHARES)
def test_no_fraction_of_a_fine_grid_grows_faster(
    edge: Fraction, loss: Fraction, risk: Fraction, mismatch: Fraction, pair_loss: Fraction
) -> None:
    """Whatever the odds, none of 100 other fractions has a larger expected logarithm."""
    risk, mismatch = risk / 2, mismatch / 2
    best = arbitrage_fraction(edge, loss, risk, mismatch, pair_loss)

    def growth(f: Fraction) -> float:
        ends = (1 - risk - mismatch, f * edge), (risk, -f * loss), (mismatch, -f * pair_loss)
        return sum(float(p) * (log(1 + x) if x > -1 else -1e9) for p, x in ends if p)

    assert 0 <= best <= 1
    assert all(growth(best) >= growth(Fraction(n, 100)) - 1e-9 for n in range(101))


@given(st.integers(1, 200), st.integers(0, 200), st.integers(0, 200))
def test_more_doubt_never_means_more_money(edge: int, first: int, second: int) -> None:
    """The fraction falls with the probability of a mismatch."""
    low, high = sorted((first, second))
    least = arbitrage_fraction(Fraction(edge, 1000), LOSS, RISK, Fraction(high, 1000))
    assert least <= arbitrage_fraction(Fraction(edge, 1000), LOSS, RISK, Fraction(low, 1000))


def test_a_contract_is_sized_by_its_whole_cost() -> None:
    """(p - c) / (1 - c): a half at 0.40 is a sixth; nothing at or above the probability, nor at 1."""
    assert binary_fraction(Decimal("0.5"), Decimal("0.4")) == Fraction(1, 6)
    assert binary_fraction(Decimal("0.5"), Decimal("0.5")) == 0
    assert binary_fraction(Decimal("0.5"), Decimal("0.7")) == 0
    assert binary_fraction(2, 1) == 0
    assert binary_fraction(1, Decimal("0.4")) == 1
    # (p - c) c / (1 - c), as some write it, would be 0.067 for the first: too small by the factor c.
    assert binary_fraction(Decimal("0.5"), Decimal("0.4")) * Fraction(2, 5) == Fraction(1, 15)


def test_the_binary_form_is_the_formula_at_a_contracts_odds() -> None:
    """b = (1 - c) / c in (b p - q) / b."""
    p, c = Fraction(3, 5), Fraction(9, 20)
    b = (1 - c) / c
    assert binary_fraction(p, c) == (b * p - (1 - p)) / b


@pytest.mark.parametrize(("mode", "kept"), [("full", "1"), ("half", "0.75"), ("quarter", "0.4375")])
def test_half_of_kelly_keeps_three_quarters_of_the_growth(mode: str, kept: str) -> None:
    """k (2 - k), for each mode of [kelly]."""
    assert growth_share(KellySizeMode(mode).share) == Fraction(kept)
    assert growth_share(2) == 0


@pytest.mark.parametrize(("mode", "halved"), [("full", 0.5), ("half", 0.125), ("quarter", 0.0078125)])
def test_a_smaller_share_of_kelly_is_halved_less_often(mode: str, halved: float) -> None:
    """left^(2/k - 1): one in two, one in eight, one in 128 (0.8 %)."""
    assert fall_probability(KellySizeMode(mode).share, Fraction(1, 2)) == pytest.approx(halved)


def test_double_kelly_falls_for_sure() -> None:
    """From k = 2 on nothing grows, and every fall is met sooner or later."""
    assert fall_probability(2, Fraction(1, 1000)) == fall_probability(3, Fraction(1, 2)) == 1
    assert fall_probability(Fraction(1, 2), 1) == 1


@pytest.mark.parametrize(("share", "left"), [(0, 1), (-1, 1), (1, 0), (1, 2)])
def test_a_fall_that_is_none_is_refused(share: int, left: int) -> None:
    """No share of Kelly at or below 0, nothing left outside (0, 1]."""
    with pytest.raises(ValueError, match="no fall"):
        fall_probability(share, left)
