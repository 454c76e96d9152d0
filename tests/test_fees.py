"""Fees: the vectors of the venues' pages, to the last decimal, and where a schedule comes from."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fees import (
    FLOOR_SCALE,
    KALSHI_BASE,
    fee_high,
    formula,
    is_known,
    money_decimals,
    order_fee,
    taker_fee,
)
from pipeline.model import UNKNOWN_FEE, FeeKind, FeeSchedule, Scale, to_units

KALSHI_SCALE, POLYMARKET_SCALE, SPOT_SCALE = Scale(6, 2), Scale(6, 6), Scale(8, 8)
CENT_ACCOUNT = KALSHI_BASE
DIRECT_MEMBER = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 100)


def fills_of(scale: Scale, *fills: tuple[str, str]) -> list[tuple[int, int]]:
    """(price, size) as text -> ticks and units."""
    return [(to_units(p, scale.price_decimals), to_units(s, scale.size_decimals)) for p, s in fills]


def polymarket(rate: str, exponent: int = 1) -> FeeSchedule:
    return FeeSchedule(FeeKind.POLYMARKET, to_units(rate, 6), 0, exponent)


# Kalshi, taker, multiplier 1, buys: (fills, total of a direct member, total of a cent account).
KALSHI_VECTORS = [
    ([("0.50", "1")], "0.0175", "0.02"),
    ([("0.50", "10")], "0.1750", "0.18"),
    ([("0.50", "1")] * 10, "0.1750", "0.18"),
    ([("0.37", "7")], "0.1143", "0.12"),
    ([("0.68", "1")], "0.0153", "0.02"),
    ([("0.68", "100")], "1.5232", "1.53"),
    ([("0.50", "0.30")] * 3, "0.0159", "0.0200"),
    ([("0.3301", "0.03")] * 3, "0.001791", "0.010291"),
]


@pytest.mark.parametrize(("fills", "direct", "cents"), KALSHI_VECTORS)
def test_kalshi_orders_cost_what_its_page_says(fills, direct, cents) -> None:
    """Kalshi K5: each vector's total for both account precisions, accumulator and rebates
    included.
    """
    counted = fills_of(KALSHI_SCALE, *fills)
    assert order_fee(DIRECT_MEMBER, counted, KALSHI_SCALE) == Decimal(direct)
    assert order_fee(CENT_ACCOUNT, counted, KALSHI_SCALE) == Decimal(cents)


def test_kalshi_rebates_come_with_the_fill_that_fills_the_cent() -> None:
    """Kalshi K5: 3 x 0.30 at 0.50 cost 0.01, 0.01 and nothing; 3 x 0.03 at 0.3301 likewise by
    fill.
    """
    for fill, nets in (
        (("0.50", "0.30"), ("0.01", "0.01", "0")),
        (("0.3301", "0.03"), ("0.010097", "0.000097", "0.000097")),
    ):
        for count in (1, 2, 3):
            total = order_fee(CENT_ACCOUNT, fills_of(KALSHI_SCALE, *[fill] * count), KALSHI_SCALE)
            assert total == sum(map(Decimal, nets[:count]))


def test_a_hundred_contracts_have_the_known_fees_and_no_binary_dust() -> None:
    """Kalshi by the cent: 0.05/.20/.50/.80/.95 cost 0.34/1.12/1.75/1.12/0.34 for 100 (maths 5)."""
    known = {"0.05": "0.34", "0.20": "1.12", "0.50": "1.75", "0.80": "1.12", "0.95": "0.34"}
    for price, fee in known.items():
        ((ticks, units),) = fills_of(KALSHI_SCALE, (price, "100"))
        assert taker_fee(CENT_ACCOUNT, ticks, units, KALSHI_SCALE) == Decimal(fee)


# Polymarket P5: size, price, rate, exponent, fee.
POLYMARKET_VECTORS = [
    ("100", "0.50", "0.07", 1, "1.75000"),
    ("100", "0.50", "0.03", 1, "0.75000"),
    ("100", "0.30", "0.04", 1, "0.84000"),
    ("50", "0.10", "0.05", 1, "0.22500"),
    ("12.34", "0.87", "0.05", 1, "0.06978"),
    ("1", "0.001", "0.03", 1, "0.00003"),
    ("0.01", "0.01", "0.03", 1, "0"),
    ("100", "0.50", "0.25", 2, "1.5625"),
]


@pytest.mark.parametrize(("size", "price", "rate", "exponent", "fee"), POLYMARKET_VECTORS)
def test_polymarket_fills_cost_what_its_page_says(size, price, rate, exponent, fee) -> None:
    """Polymarket P5: each taker vector, rounded to five decimals."""
    ((ticks, units),) = fills_of(POLYMARKET_SCALE, (price, size))
    assert taker_fee(polymarket(rate, exponent), ticks, units, POLYMARKET_SCALE) == Decimal(fee)


def test_polymarket_rounds_halves_to_even_and_dust_to_nothing() -> None:
    """Ours: 0.000015 becomes 0.00002, 0.000025 too, and what is below 0.00001 is free."""
    for size, fee in (("0.002", "0.00002"), ("0.00333", "0.00002"), ("0.001333", "0")):
        ((ticks, units),) = fills_of(POLYMARKET_SCALE, ("0.5", size))
        assert taker_fee(polymarket("0.03"), ticks, units, POLYMARKET_SCALE) == Decimal(fee)
    ((ticks, units),) = fills_of(POLYMARKET_SCALE, ("0.5", "0.002"))
    assert taker_fee(polymarket("0.05"), ticks, units, POLYMARKET_SCALE) == Decimal("0.00002")


def test_spot_fees_are_a_share_rounded_up() -> None:
    """Kraken and Coinbase 2.10, base tiers: 40 and 120 bp of the notional, up to 10^-8 dollars."""
    ((ticks, units),) = fills_of(SPOT_SCALE, ("60000", "0.5"))
    kraken, coinbase = FeeSchedule(FeeKind.BPS, 4_000), FeeSchedule(FeeKind.BPS, 12_000)
    assert taker_fee(kraken, ticks, units, SPOT_SCALE) == Decimal(120)
    assert taker_fee(coinbase, ticks, units, SPOT_SCALE) == Decimal(360)
    ((ticks, units),) = fills_of(SPOT_SCALE, ("0.00000001", "0.00000001"))
    assert taker_fee(kraken, ticks, units, SPOT_SCALE) == Decimal("0.00000001")


def test_the_high_end_counts_no_rebate_between_levels() -> None:
    """Ours: ten levels of one contract are decided at 10 x 0.02, though the rebate makes them 0.18."""
    fills = fills_of(KALSHI_SCALE, *[("0.50", "1")] * 10)
    assert fee_high(CENT_ACCOUNT, fills, KALSHI_SCALE) == Decimal("0.20")
    assert order_fee(CENT_ACCOUNT, fills, KALSHI_SCALE) == Decimal("0.18")


@given(
    st.lists(st.tuples(st.integers(1, 9999), st.integers(1, 5000)), min_size=1, max_size=8),
    st.sampled_from([CENT_ACCOUNT, DIRECT_MEMBER, polymarket("0.07"), FeeSchedule(FeeKind.BPS, 25)]),
)
def test_an_order_never_costs_more_than_the_high_end_nor_less_than_nothing(fills, schedule) -> None:
    """What decisions use bounds what the accumulator gives, whatever the fills."""
    scale = Scale(4, 2)
    assert 0 <= order_fee(schedule, fills, scale) <= fee_high(schedule, fills, scale)


@given(
    st.integers(1, 9999),
    st.integers(1, 100_000),
    st.sampled_from([CENT_ACCOUNT, DIRECT_MEMBER, polymarket("0.07"), polymarket("0.25", 2),
                     FeeSchedule(FeeKind.BPS, 4_000), FeeSchedule(FeeKind.KALSHI, 0)]),
)  # fmt: skip
def test_the_floor_rate_is_a_lower_bound(ticks, units, schedule) -> None:
    """A formula's straight line, less its slack, is never above the exact fee of a fill."""
    decimals = money_decimals(4, 2)
    ready = formula(schedule, 2, decimals)
    price = ticks * 10 ** (decimals - 6)
    line = ready.floor_rate(price) * units - ready.slack * FLOOR_SCALE
    assert line <= ready.fee(price, units) * FLOOR_SCALE


def test_an_unknown_fee_is_an_error_and_never_zero() -> None:
    """Every fee function refuses a schedule that is not known; a rate of 0 is known and free."""
    fill = [(500_000, 100)]
    for unknown in (UNKNOWN_FEE, FeeSchedule(FeeKind.KALSHI, 1_000_000), FeeSchedule(FeeKind.BPS, -1)):
        assert not is_known(unknown)
        with pytest.raises(ValueError, match="not known"):
            taker_fee(unknown, 500_000, 100, KALSHI_SCALE)
        with pytest.raises(ValueError, match="not known"):
            order_fee(unknown, fill, KALSHI_SCALE)
        with pytest.raises(ValueError, match="not known"):
            fee_high(unknown, [], KALSHI_SCALE)
    assert taker_fee(FeeSchedule(FeeKind.KALSHI), 330_100, 3, KALSHI_SCALE) == 0


def test_a_price_no_contract_can_have_is_an_error() -> None:
    """Quadratic fees need 0 <= price <= 1; a negative size is no fill."""
    for price, size in ((1_000_001, 100), (-1, 100), (500_000, -1)):
        with pytest.raises(ValueError, match="no fill"):
            taker_fee(CENT_ACCOUNT, price, size, KALSHI_SCALE)
