"""Queue position: known sequences, the formula in exact fractions, and what holds for every sequence."""

from __future__ import annotations

from fractions import Fraction
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.queue_position import (
    PARTS,
    QueuePosition,
    Share,
    logarithmic,
    power,
    risk_averse,
)

SHARES: dict[str, Share] = {
    "risk-averse": risk_averse,
    "power 1": power(1),
    "power 3": power(3),
    "log": logarithmic,
}
ALL = pytest.mark.parametrize("share", list(SHARES.values()), ids=list(SHARES))
# What happens to a level: the size that it shows next, or None and a trade of so many units.
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=30)


def play(share: Share, level: int, steps: list[int]) -> list[int]:
    """The front after each step: a size shown, or minus the units of a trade."""
    queue, fronts = QueuePosition(share, level), []
    for step in steps:
        if step < 0:
            queue.trade(-step)
        else:
            queue.depth(step)
        fronts.append(queue.front_units)
    return fronts


@pytest.mark.parametrize(
    ("share", "fronts"),
    [
        # Join behind 100. It grows to 200, a cancel of 60, a trade of 30 and its echo, a cancel of 80.
        (risk_averse, [100, 100, 70, 70, 30]),
        # p = 100/200: 30 of 60 were ahead. Then back 70, front 40: p = 70/110, so 80 * 40/110 = 29.1 ahead;
        # the 50.9 behind are within the 70.
        (power(1), [100, 70, 40, 40, 11]),
    ],
)
def test_a_known_sequence(share: Share, fronts: list[int]) -> None:
    """Worked by hand from the formulas."""
    assert play(share, 100, [200, 140, -30, 110, 30]) == fronts


def test_a_level_that_shrinks_below_the_front_takes_it_along() -> None:
    """Nobody can stand behind more than the level shows."""
    for share in SHARES.values():
        assert play(share, 100, [20, 0, 50]) == [20, 0, 0]


@pytest.mark.parametrize(
    ("front", "back", "exponent", "expected"),
    [(30, 10, 1, Fraction(1, 4)), (30, 10, 3, Fraction(1, 28)), (10, 10, 2, Fraction(1, 2)), (0, 5, 1, 1)],
)
def test_power_shares(front: int, back: int, exponent: int, expected: Fraction) -> None:
    """back^n / (back^n + front^n), in millionths rounded down; 1 where nobody is before us."""
    assert power(exponent)(front * PARTS, back * PARTS) == int(expected * PARTS)


def test_logarithmic_share() -> None:
    """ln(1 + back) / (ln(1 + back) + ln(1 + front)) in units; 1 where nobody is before us."""
    expected = log(11) / (log(11) + log(31))
    assert logarithmic(30 * PARTS, 10 * PARTS) == pytest.approx(expected * PARTS, abs=1)
    assert logarithmic(0, 0) == PARTS


@pytest.mark.parametrize(
    ("trades", "lot", "filled"),
    [
        ([10], 1, [0]),
        ([13], 1, [3]),
        ([13, 4], 1, [3, 4]),
        ([12], 5, [0]),
        ([12, 1], 5, [0, 5]),
        ([18], 5, [10]),
    ],
)
def test_filled_is_what_traded_beyond_the_front(trades: list[int], lot: int, filled: list[int]) -> None:
    """Behind 10: what trades beyond is ours, to the nearest lot, and given out once."""
    queue = QueuePosition(risk_averse, 10)
    found = []
    for units in trades:
        queue.trade(units)
        found.append(queue.filled(lot))
    assert found == filled
    assert queue.filled(lot) == 0


@ALL
@given(level=st.integers(0, 200), steps=STEPS)
def test_the_front_is_within_the_level(share: Share, level: int, steps: list[tuple[bool, int]]) -> None:
    """Whatever comes, 0 <= front <= level shown, and without fills taken it never grows."""
    queue, before = QueuePosition(share, level), level
    for is_trade, units in steps:
        if is_trade:
            queue.trade(units)
        else:
            queue.depth(units)
            assert queue.front_units <= units
        assert 0 <= queue.front_units <= before
        before = queue.front_units


@ALL
@given(level=st.integers(0, 200), shown=st.lists(st.integers(0, 200), max_size=20))
def test_risk_averse_is_the_longest_queue(share: Share, level: int, shown: list[int]) -> None:
    """Without trades no other estimate puts more before us."""
    assert all(
        a <= b for a, b in zip(play(share, level, shown), play(risk_averse, level, shown), strict=True)
    )


@ALL
@given(level=st.integers(0, 200), more=st.integers(0, 50))
def test_a_trade_of_the_whole_level_empties_the_queue(share: Share, level: int, more: int) -> None:
    """Then nobody is before us, and what trades beyond it is ours."""
    queue = QueuePosition(share, level)
    queue.trade(level + more)
    assert queue.front_units == 0
    assert queue.filled() == more


@given(front=st.integers(1, 200), back=st.integers(0, 400), cancelled=st.integers(0, 400))
def test_a_higher_power_trusts_the_longer_part(front: int, back: int, cancelled: int) -> None:
    """With more behind than before us a higher n moves us less on a cancel; with less, more."""
    cancelled = min(cancelled, front + back)
    fronts = [play(power(n), front, [front + back, front + back - cancelled])[-1] for n in (1, 2, 3, 5)]
    assert fronts == sorted(fronts, reverse=back < front)


@given(level=st.integers(1, 200), steps=STEPS, exponent=st.integers(1, 3))
def test_it_is_the_formula(level: int, steps: list[tuple[bool, int]], exponent: int) -> None:
    """The same steps in exact fractions, straight from the formula, differ by less than a unit's rounding."""
    queue = QueuePosition(power(exponent), level)
    shown, front, traded = Fraction(level), Fraction(level), Fraction(0)
    for is_trade, units in steps:
        if is_trade:
            taken = min(units, int(front))
            queue.trade(taken)
            front, traded = front - taken, traded + taken
            continue
        queue.depth(units)
        change, back = shown - units - traded, max(Fraction(0), shown - front)
        if change > 0 and front > 0:
            p = back**exponent / (back**exponent + front**exponent)
            front = max(Fraction(0), front - (1 - p) * change + min(Fraction(0), back - p * change))
        front, shown, traded = min(front, Fraction(units)), Fraction(units), Fraction(0)
        assert front - Fraction(1, 10) <= queue.front_units < front + 1 + Fraction(1, 10)


def test_many_small_cancels_add_up() -> None:
    """A hundred cancels of one unit move us about as far as one of a hundred."""
    steps = [1000, *range(999, 899, -1)]
    assert play(power(1), 500, steps)[-1] == pytest.approx(play(power(1), 500, [1000, 900])[-1], abs=1)
