"""Kelly: the formula's vectors, and sizes while the record is short, spotless or hopeless."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.trader.kelly import KellyPositionSizer, KellySizeMode

CENTS = st.integers(-100_000, 100_000).map(lambda cents: Decimal(cents) / 100)


def sizer(results, **settings) -> KellyPositionSizer:
    made = KellyPositionSizer(Decimal(10_000), **settings)
    for result in results:
        made.add_trade(Decimal(result))
    return made


def test_the_formula_gives_forty_per_cent_for_the_seeds_example() -> None:
    """60 % wins of 200 against losses of 100: f* = 0.40 exactly."""
    made = sizer([200, 200, 200, -100, -100])
    assert made.calculate_kelly_fraction().kelly_fraction == Fraction(2, 5)
    assert not made.calculate_kelly_fraction().prior


@pytest.mark.parametrize(("mode", "size"), [("full", 800), ("half", 400), ("quarter", 200)])
def test_modes_scale_an_eight_per_cent_kelly(mode: str, size: int) -> None:
    """8 % of 10,000: 800, 400 and 200 dollars, as the seed's table says."""
    made = sizer([100] * 54 + [-100] * 46, kelly_mode=KellySizeMode(mode))
    assert made.calculate_kelly_fraction().kelly_fraction == Fraction(8, 100)
    assert made.get_recommended_position_size() == size


def test_three_trades_are_capped_and_hardly_trusted() -> None:
    """+250, -100, +300: half of 54.5 % is capped at 10 %; three trades of twenty count 15 % of
    it.
    """
    made = sizer([250, -100, 300])
    kelly = made.calculate_kelly_fraction()
    assert kelly.kelly_fraction == Fraction(2, 3) - Fraction(1, 3) / Fraction(275, 100)
    assert (kelly.safe_kelly_fraction, kelly.confidence) == (Fraction(1, 10), Fraction(3, 20))
    assert kelly.estimated_position_size == 1000
    assert made.get_recommended_position_size() == 150


def test_no_trades_give_the_probe() -> None:
    """Nothing is known: f* is 0 on the prior, and the size is the probe."""
    made = sizer([], probe_usd=Decimal(7))
    assert made.calculate_kelly_fraction().kelly_fraction == 0
    assert made.calculate_kelly_fraction().prior
    assert made.get_recommended_position_size() == 7


def test_no_losses_stand_on_the_prior() -> None:
    """Wins alone: one imagined loss of the average win, so 3 wins give (3 - 1) / 4, not a division
    by 0.
    """
    kelly = sizer([5, 10, 15]).calculate_kelly_fraction()
    assert (kelly.kelly_fraction, kelly.prior) == (Fraction(1, 2), True)
    assert sizer([5]).get_recommended_position_size() == 5
    assert sizer([1] * 20).get_recommended_position_size() == 1000


def test_no_wins_give_nothing_once_twenty_trades_are_known() -> None:
    """A bad start still probes, twenty losses do not."""
    assert sizer([-1] * 19).get_recommended_position_size() == 5
    assert sizer([-1] * 20).get_recommended_position_size() == 0
    assert sizer([-1]).calculate_kelly_fraction().kelly_fraction == 0


def test_a_losing_record_gives_nothing() -> None:
    """Where wins do not pay for the losses, f* is 0 rather than negative."""
    assert sizer([1, -3] * 10).get_recommended_position_size() == 0


def test_the_record_counts_what_happened() -> None:
    """Totals, averages, extremes and both streaks, current and longest; a zero ends no streak."""
    record = sizer([10, -4, -6, 0, -2, 30, 5]).statistics
    assert (record.total_trades, record.winning_trades, record.losing_trades) == (7, 3, 3)
    assert (record.win_rate, record.avg_win, record.avg_loss) == (Fraction(3, 7), 15, 4)
    assert (record.largest_win, record.largest_loss) == (30, 6)
    assert record.profit_factor == Fraction(45, 12)
    assert (record.consecutive_losses, record.max_consecutive_losses) == (0, 3)
    assert (record.consecutive_wins, record.max_consecutive_wins) == (2, 2)
    assert sizer([1]).statistics.profit_factor is None


@given(st.lists(CENTS, max_size=40))
def test_a_size_is_never_below_nothing_nor_above_the_cap(results) -> None:
    """Whatever the record, 0 <= size <= 10 % of the capital, and fractions stay within 0 and 1."""
    made = sizer(results)
    kelly = made.calculate_kelly_fraction()
    assert 0 <= made.get_recommended_position_size() <= 1000
    assert 0 <= kelly.safe_kelly_fraction <= kelly.kelly_fraction <= 1
