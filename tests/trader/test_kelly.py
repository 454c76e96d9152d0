"""Kelly: the formula's vectors, and sizes while the record is short, spotless or hopeless.

What the second seed's text says of Kelly is in `test_kelly_seed.py`.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import log

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.trader.kelly import CAVEATS, DAY_NS, KellyPositionSizer, KellySizeMode, TradeStatistics
from pipeline.trader.kelly_trend import trend_of

CENTS = st.integers(-100_000, 100_000).map(lambda cents: Decimal(cents) / 100)
RESULTS = st.lists(CENTS, max_size=40)
MODES = st.sampled_from(KellySizeMode)


def sizer(results, capital=10_000, **settings) -> KellyPositionSizer:
    made = KellyPositionSizer(capital, **settings)
    for result in results:
        made.add_trade(Decimal(result))
    return made


def test_no_trades_give_the_probe() -> None:
    """Nothing is known: f* is 0 on the prior, and the size is the probe."""
    made = sizer([], probe_usd=Decimal(7))
    assert made.calculate_kelly_fraction().kelly_fraction == 0
    assert made.calculate_kelly_fraction().prior
    assert made.get_recommended_position_size() == 7


def test_no_losses_stand_on_the_prior() -> None:
    """Wins alone: one imagined loss of the average win, so 3 wins give (3 - 1) / 4, not a division by 0."""
    kelly = sizer([5, 10, 15]).calculate_kelly_fraction()
    assert (kelly.kelly_fraction, kelly.prior) == (Fraction(1, 2), True)
    assert sizer([5]).get_recommended_position_size() == 5
    assert sizer([1] * 20).calculate_kelly_fraction().kelly_fraction == Fraction(19, 21)
    assert sizer([1] * 20).get_recommended_position_size() == 1000


def test_no_wins_give_nothing_once_twenty_trades_are_known() -> None:
    """A bad start still probes, twenty losses do not."""
    assert sizer([-1] * 19).get_recommended_position_size() == 5
    assert sizer([-1] * 20).get_recommended_position_size() == 0
    assert sizer([-1]).calculate_kelly_fraction().kelly_fraction == 0


def test_a_losing_record_gives_nothing() -> None:
    """Where wins do not pay for the losses, f* is 0 rather than negative."""
    assert sizer([1, -3] * 10).get_recommended_position_size() == 0


def test_trades_that_broke_even_are_neither() -> None:
    """Results of 0 make no odds: f* is 0, and nothing is divided by them."""
    made = sizer([0] * 20)
    assert made.statistics == TradeStatistics(total_trades=20)
    assert made.get_recommended_position_size() == 0
    assert not made.calculate_kelly_fraction().prior


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


@pytest.mark.parametrize(
    ("results", "now", "longest"),
    [([-1, -1, -1, 5], 0, 3), ([5, -1, -1], 2, 2), ([-1, -1, 5, -1], 1, 2), ([], 0, 0)],
)
def test_the_current_streak_is_the_one_at_the_end(results, now: int, longest: int) -> None:
    """Losses in a row are counted back from the last trade and stop at a win."""
    record = sizer(results).statistics
    assert (record.consecutive_losses, record.max_consecutive_losses) == (now, longest)


@pytest.mark.parametrize("amount", [250, "250", 250.0, Decimal(250), 250.00000004])
def test_amounts_come_as_people_write_them(amount) -> None:
    """Whole numbers, text, decimals and floats; of a float the millionths count."""
    made = KellyPositionSizer(amount)
    made.add_trade(amount)
    assert made.capital == made.statistics.total_won == 250


def test_floats_lose_their_noise() -> None:
    """0.1 + 0.2 is 0.3 dollars."""
    made = sizer([])
    made.add_trade(0.1 + 0.2)
    assert made.statistics.total_won == Decimal("0.3")


@pytest.mark.parametrize(
    "amount", [float("nan"), float("inf"), "-inf", Decimal("NaN"), "much", "1e30", "1e-30", 10**30]
)
def test_what_is_no_amount_is_refused(amount) -> None:
    """NaN, infinities, words and numbers beyond any account never reach the record."""
    made = sizer([])
    with pytest.raises(ValueError, match=r"no amount|digits"):
        made.add_trade(amount)
    with pytest.raises(ValueError, match=r"no amount|digits"):
        KellyPositionSizer(amount)
    assert made.statistics.total_trades == 0


@pytest.mark.parametrize(("profit_loss", "is_winning"), [(5, False), (-5, True), (0, True)])
def test_a_win_that_lost_is_refused(profit_loss: int, is_winning: bool) -> None:
    """Result and verdict must agree; the record stays as it was."""
    made = sizer([])
    with pytest.raises(ValueError, match="is_winning"):
        made.add_trade(profit_loss, is_winning)
    assert made.statistics == TradeStatistics()


def test_the_verdict_in_the_amounts_place_is_refused() -> None:
    """add_trade(True, 250) is not a win of one dollar."""
    with pytest.raises(TypeError, match="is_winning="):
        sizer([]).add_trade(True, True)


@pytest.mark.parametrize("settings", [{"capital": -1}, {"cap": "1.1"}, {"cap": -1}, {"probe_usd": -1}])
def test_settings_out_of_range_are_refused(settings) -> None:
    """No capital or probe below 0, no cap beyond all the capital."""
    with pytest.raises(ValueError, match="out of range"):
        sizer([], **settings)


@pytest.mark.parametrize(
    ("results", "direction", "sign", "recent"),
    [
        ([-1] * 10 + [1] * 10, "rising", 1, Fraction(1)),
        ([1] * 10 + [-1] * 10, "falling", -1, Fraction(0)),
        ([1, -1] * 10, "steady", 0, Fraction(1, 2)),
        ([1, -1] * 5, "steady", 0, Fraction(1, 2)),
        ([1] * 9, "steady", 0, Fraction(1)),
        ([], "steady", 0, Fraction(0)),
    ],
)
def test_the_trend_compares_the_last_ten_with_all(results, direction: str, sign: int, recent) -> None:
    """More often is rising, less often falling; as often, or fewer than ten trades, is steady."""
    trend = sizer(results).trend
    assert (trend.direction, trend.sign, trend.recent_win_rate) == (direction, sign, recent)
    assert trend.overall_win_rate == sizer(results).statistics.win_rate
    assert trend.enough == (len(results) >= 10)
    assert ("of the 10 trades that a trend takes" in str(trend)) == (len(results) < 10)


def test_few_recent_trades_are_no_trend() -> None:
    """Nine wins of late in a longer record whose start is not known are steady; ten are rising."""
    assert trend_of([True] * 9, 9, 20).direction == "steady"
    assert trend_of([True] * 10, 10, 20).direction == "rising"


def test_it_is_computed_again_after_each_trade_and_every_day() -> None:
    """Due at first, after a trade and on another UTC day, and not in between."""
    made, noon = sizer([]), 20_000 * DAY_NS + DAY_NS // 2
    assert made.refresh(noon)
    assert not made.refresh(noon + DAY_NS // 2 - 1)
    assert made.refresh(noon + DAY_NS // 2)
    made.add_trade(1)
    assert made.recalculated_wall_ns == noon + DAY_NS // 2
    assert made.refresh(noon + DAY_NS // 2 + 1)
    assert not made.refresh(noon + DAY_NS // 2 + 2)
    assert made.recalculated_wall_ns == noon + DAY_NS // 2 + 1


def test_the_text_has_every_number_and_every_caveat() -> None:
    """Record, trend, fraction, confidence, size, when it was computed, and what to beware of."""
    made = sizer([250, -100, 300])
    made.refresh(1_800_000_000 * 10**9)
    text = made.analysis()
    for part in (
        "3: 2 won, 1 lost", "66.7 %", "won $275.00, lost $100.00", "won $300.00, lost $100.00", "5.50",
        "0 now, 1 at most", "steady: 3 of the 10", "54.5 %", "half: 75.0 %", "10.0 %", "15 %",
        "$150.00 of $10000.00", "2027-01-15 08:00:00 UTC", *CAVEATS,
    ):  # fmt: skip
        assert part in text
    written: list[str] = []
    assert made.print_analysis(written.append) == made.print_analysis() == text
    assert written == [text]
    assert "nothing was lost" in sizer([1]).analysis()
    assert "computed" not in sizer([1]).analysis().partition("note:")[0]


@given(RESULTS, MODES, st.integers(0, 100_000), st.integers(0, 100))
def test_a_size_is_never_below_nothing_nor_above_the_cap(results, mode, capital: int, percent: int) -> None:
    """Whatever the record, 0 <= size <= cap x capital, and fractions stay within 0 and 1."""
    made = sizer(results, capital, kelly_mode=mode, cap=Decimal(percent) / 100)
    kelly = made.calculate_kelly_fraction()
    most = Decimal(capital) * percent / 100
    assert 0 <= made.get_recommended_position_size() == kelly.estimated_position_size <= most <= capital
    assert 0 <= kelly.full_position_size <= most
    assert 0 <= kelly.safe_kelly_fraction <= kelly.kelly_fraction <= 1


@given(CENTS, CENTS, MODES)
def test_more_of_the_same_record_never_means_less_money(first, second, mode) -> None:
    """With odds that stay as they are, the size rises with confidence up to 20 trades, then stays."""
    pair = sorted([first, second])
    assume(pair[0] < 0 < pair[1])
    sizes = [sizer(pair * n, kelly_mode=mode).calculate_kelly_fraction() for n in range(1, 13)]
    dollars = [size.estimated_position_size for size in sizes]
    assert len({size.kelly_fraction for size in sizes}) == 1
    if sizes[0].full_position_size >= 5:
        assert dollars == sorted(dollars)
    assert dollars[9] == dollars[10] == dollars[11] == sizes[0].full_position_size


@given(RESULTS, st.integers(1, 1000))
def test_the_unit_of_money_does_not_matter(results, factor: int) -> None:
    """All results times a factor give the same fractions, and capital times a factor a size times it."""
    fraction = sizer(results).calculate_kelly_fraction()
    scaled = sizer([result * factor for result in results]).calculate_kelly_fraction()
    assert scaled == fraction
    more = sizer(results, 10_000 * factor, probe_usd=0).get_recommended_position_size()
    once = sizer(results, probe_usd=0).get_recommended_position_size()
    assert 0 <= more - once * factor <= Decimal(factor) / 100


@given(st.integers(1, 30), st.integers(1, 30), CENTS, CENTS)
def test_no_fraction_of_a_fine_grid_grows_faster(wins: int, losses: int, first, second) -> None:
    """f* maximises p ln(1 + b f) + q ln(1 - f) over 200 others."""
    win, loss = max(first, Decimal(1)), max(second, Decimal(1))
    best = sizer([win] * wins + [-loss] * losses).calculate_kelly_fraction().kelly_fraction

    def growth(f: Fraction) -> float:
        won, lost = wins / (wins + losses), losses / (wins + losses)
        return won * log(1 + float(f * Fraction(win) / Fraction(loss))) + lost * log(1 - f)

    assert all(growth(best) >= growth(Fraction(n, 200)) - 1e-12 for n in range(200))


@given(RESULTS)
def test_the_record_is_the_sum_of_its_trades(results) -> None:
    """Totals and counts are those of the list, whatever its order."""
    record = sizer(results).statistics
    assert record.total_won - record.total_lost == sum(results)
    assert record.winning_trades + record.losing_trades + results.count(0) == record.total_trades
    assert record.consecutive_losses <= record.max_consecutive_losses <= record.losing_trades


def test_ratios_are_exact_and_print_as_numbers() -> None:
    """A third stays a third in sums, and reads 33.3 % in text."""
    third = sizer([1, -1, -1]).statistics.win_rate
    assert (third * 3, 3 * third, third + third) == (1, 1, Fraction(2, 3))
    assert (f"{third * 100:.1f}", f"{100 * third:.0f}", f"{third}", str(third * 3)) == (
        "33.3", "33", "0.333333", "1",
    )  # fmt: skip
    assert third * 0.5 == pytest.approx(1 / 6)
