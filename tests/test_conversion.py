"""Conversion of a ladder into dollars, against walking the conversion book exactly."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.conversion import MAX_DECIMALS, converted
from pipeline.model import INT64_MAX, Ladder, Scale

CENTS, WHOLE = Scale(2, 0), Scale(4, 0)


def test_a_sale_is_worth_the_worst_bid_it_needs_less_the_fee() -> None:
    """150 USDT need both bids: 1 at 0.9990 and 1 at 0.9980 make 0.9980, less 0.1 %."""
    ladder: Ladder = ((100_00, 1), (50_00, 1))
    found = converted(ladder, CENTS, "sell", ((9990, 100), (9980, 60)), WHOLE, 1000)
    rate = 9980 * 999_000
    assert found == (((100_00 * rate, 1), (50_00 * rate, 1)), Scale(12, 0))


def test_a_purchase_costs_the_worst_ask_it_needs_and_the_fee() -> None:
    """100 USDT fit into the first ask; the fee is added."""
    found = converted(((100_00, 1),), CENTS, "buy", ((10010, 100), (10020, 900)), WHOLE, 2000)
    assert found == (((100_00 * 10010 * 1_002_000, 1),), Scale(12, 0))


def test_the_legs_own_fee_needs_currency_too() -> None:
    """With 1 % of fee 101 USDT are needed, and the second ask with them."""
    asks = (10010, 100), (10020, 900)
    found = converted(((100_00, 1),), CENTS, "buy", asks, WHOLE, 0, fee_ppm=10_000)
    assert found == (((100_00 * 10020 * 10**6, 1),), Scale(12, 0))


def test_a_thin_or_empty_conversion_book_converts_nothing() -> None:
    """One unit less than the ladder shows is too thin; an empty ladder has nothing to convert."""
    ladder: Ladder = ((100_00, 1), (50_00, 1))
    assert converted(ladder, CENTS, "sell", ((9990, 149),), WHOLE, 0) is None
    assert converted(ladder, CENTS, "sell", ((9990, 150),), WHOLE, 0) is not None
    assert converted(ladder, CENTS, "sell", (), WHOLE, 0) is None
    assert converted((), CENTS, "sell", ((9990, 149),), WHOLE, 0) is None


@pytest.mark.parametrize(("side", "paid"), [("sell", 999_000), ("buy", 1_001_000)])
def test_prices_of_fine_books_fit_into_shared_memory(side: str, paid: int) -> None:
    """Eight decimals on both sides and the fee's are cut to 12, against us: 100,000 dollars fit int64."""
    fine, ticks, rate = Scale(8, 8), 10**13 + 1, 99_990_001
    found = converted(((ticks, 10**8),), fine, side, ((rate, 10**18),), fine, 1000)
    assert found is not None
    ((price, _units),), scale = found
    exact = Fraction(ticks * rate * paid, 10 ** (8 + 8 + 6)) * 10**MAX_DECIMALS
    assert exact.denominator > 1
    assert price == (floor(exact) if side == "sell" else ceil(exact)) < INT64_MAX
    assert scale == Scale(MAX_DECIMALS, 8)


def test_a_price_that_vanishes_is_no_price() -> None:
    """What rounds to nothing is not sold."""
    assert converted(((1, 10),), Scale(12, 0), "sell", ((9990, 10**6),), WHOLE, 0) is None


def _walked(notional: Fraction, rates: Ladder, scale: Scale) -> Fraction:
    """Dollars that walking the conversion book gives or takes for so much of the currency, before fees."""
    dollars = Fraction(0)
    for ticks, units in rates:
        size = min(notional, Fraction(units, 10**scale.size_decimals))
        dollars += size * Fraction(ticks, 10**scale.price_decimals)
        notional -= size
    assert notional == 0, "the conversion book is too thin"
    return dollars


def _ladder(draw: st.DrawFn, decimals: int, *, falling: bool) -> Ladder:
    size = st.integers(1, 10**6)
    prices = draw(st.lists(st.integers(1, 10**decimals * 3), min_size=1, max_size=5, unique=True))
    return tuple((price, draw(size)) for price in sorted(prices, reverse=falling))


@st.composite
def conversions(draw: st.DrawFn) -> tuple[Ladder, Scale, str, Ladder, Scale, int, int]:
    side = draw(st.sampled_from(("buy", "sell")))
    scale, rate_scale = (Scale(draw(st.integers(0, 8)), draw(st.integers(0, 8))) for _book in range(2))
    ladder = _ladder(draw, scale.price_decimals, falling=side == "sell")
    rates = _ladder(draw, rate_scale.price_decimals, falling=side == "sell")
    fees = st.integers(0, 20_000)
    return ladder, scale, side, rates, rate_scale, draw(fees), draw(fees) if side == "buy" else 0


@given(conversions(), st.fractions(0, 1))
def test_no_part_is_ever_better_than_walking_the_conversion_book(
    asked: tuple[Ladder, Scale, str, Ladder, Scale, int, int], share: Fraction
) -> None:
    """Any part of the ladder brings at most, or costs at least, what exact conversion of it does."""
    ladder, scale, side, rates, rate_scale, fee_ppm, leg_fee_ppm = asked
    found = converted(*asked)
    paid = 1 + Fraction(leg_fee_ppm, 10**6)
    shown = sum(
        Fraction(ticks * units, 10 ** (scale.price_decimals + scale.size_decimals)) for ticks, units in ladder
    )
    enough = shown * paid <= sum(Fraction(units, 10**rate_scale.size_decimals) for _ticks, units in rates)
    if found is None:
        assert not enough or (side == "sell" and scale.price_decimals + rate_scale.price_decimals > 6)
        return
    assert enough
    left, before, after = share * sum(units for _ticks, units in ladder), Fraction(0), Fraction(0)
    for (ticks, units), (dollar_ticks, same) in zip(ladder, found[0], strict=True):
        assert units == same
        size = min(left, Fraction(units)) / 10**scale.size_decimals
        left -= min(left, Fraction(units))
        before += size * Fraction(ticks, 10**scale.price_decimals)
        after += size * Fraction(dollar_ticks, 10 ** found[1].price_decimals)
    walked, fee = _walked(before * paid, rates, rate_scale), Fraction(fee_ppm, 10**6)
    assert after <= walked * (1 - fee) if side == "sell" else after * paid >= walked * (1 + fee)
