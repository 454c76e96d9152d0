"""The worst split: never below what any split costs, and no looser than it says."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fees import KALSHI_BASE, FeeFormula, fee_high, formula, is_known, order_fee, taker_fee
from pipeline.model import FeeKind, FeeSchedule, Scale, to_units

SCALE = Scale(4, 2)
CONTRACT = 100
CENTS, DIRECT = KALSHI_BASE, FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 100)
KALSHI = [
    CENTS,
    DIRECT,
    FeeSchedule(FeeKind.KALSHI, 35_000, 0, 1, 10_000),
    FeeSchedule(FeeKind.KALSHI, 300_000, 0, 1, 10_000),
    FeeSchedule(FeeKind.KALSHI, 7_777, 0, 1, 100),
    FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 3_000),
    FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 50_000),
]
OTHERS = [
    FeeSchedule(FeeKind.POLYMARKET, 70_000),
    FeeSchedule(FeeKind.POLYMARKET, 250_000, exponent=2),
    FeeSchedule(FeeKind.BPS, 4_000),
    FeeSchedule(FeeKind.FLAT, per_unit_micros=10_000),
    FeeSchedule(FeeKind.FLAT, per_unit_micros=5_500),
    FeeSchedule(FeeKind.CUSTOM, 3_000, per_unit_micros=1_000, precision_micros=1_000),
]


@lru_cache
def partitions(whole: int, largest: int) -> tuple[tuple[int, ...], ...]:
    """Every way to write `whole` as a sum of numbers up to `largest`, largest first."""
    if whole == 0:
        return ((),)
    return tuple(
        (first, *others)
        for first in range(min(whole, largest), 0, -1)
        for others in partitions(whole - first, first)
    )


def splits(units: int) -> Iterator[list[int]]:
    """Splits of a fill: all fills whole contracts but one that takes the rest, which stands anywhere."""
    whole, rest = divmod(units, CONTRACT)
    for parts in partitions(whole, whole or 1):
        sizes = [part * CONTRACT for part in parts]
        if not rest:
            yield sizes
            yield sizes[::-1]
            continue
        for place in range(len(sizes) + 1):
            yield [*sizes[:place], rest, *sizes[place:]]
        if sizes:
            yield [*sizes[:-1], sizes[-1] + rest]
            yield [sizes[0] + rest, *sizes[1:]]


PRICES = st.one_of(
    st.integers(1, 99).map(lambda cents: cents * 100), st.integers(1, 999).map(lambda m: m * 10)
)


@settings(max_examples=400)
@given(st.sampled_from(KALSHI + OTHERS), PRICES, st.integers(1, 9), st.sampled_from([0, 0, 1, 30, 99]))
def test_no_split_costs_more_than_the_high_end(
    schedule: FeeSchedule, price: int, whole: int, rest: int
) -> None:
    """Brute force over all splits of up to nine contracts, each through the accumulator of its order."""
    units = whole * CONTRACT + rest
    high = fee_high(schedule, [(price, units)], SCALE)
    worst = max(order_fee(schedule, [(price, part) for part in split], SCALE) for split in splits(units))
    assert worst <= high


@given(
    st.sampled_from(KALSHI + OTHERS),
    st.lists(
        st.tuples(PRICES, st.lists(st.integers(1, 300), min_size=1, max_size=30)), min_size=1, max_size=4
    ),
    st.integers(0, 99),
)
def test_nor_do_splits_of_several_levels_in_one_order(
    schedule: FeeSchedule, levels: list[tuple[int, list[int]]], rest: int
) -> None:
    """The accumulator runs on from level to level, and the sum of the levels' high ends holds."""
    taken = [(price, sum(parts) * CONTRACT + rest) for price, parts in levels]
    fills = [(price, part * CONTRACT) for price, parts in levels for part in [*parts[:-1], parts[-1]]]
    if rest:
        fills = [
            fill
            for price, parts in levels
            for fill in [*((price, part * CONTRACT) for part in parts), (price, rest)]
        ]
    assert order_fee(schedule, fills, SCALE) <= fee_high(schedule, taken, SCALE)
    assert order_fee(schedule, taken, SCALE) <= fee_high(schedule, taken, SCALE)


@given(st.sampled_from(KALSHI + OTHERS), st.integers(1, 9_999), st.integers(1, 100_000))
def test_the_high_end_is_never_below_one_fill(schedule: FeeSchedule, price: int, units: int) -> None:
    """And up to one contract it is the fee itself, because there is nothing to split."""
    fee, high = taker_fee(schedule, price, units, SCALE), fee_high(schedule, [(price, units)], SCALE)
    assert fee <= high
    if units <= CONTRACT and schedule.kind != FeeKind.BPS:
        assert fee == high


@pytest.mark.parametrize(
    ("schedule", "price", "size", "fee", "high"),
    [
        # Whole cents: the accumulator gives back what many fills round, all but a cent and 0.0001 each.
        (CENTS, "0.50", "10", "0.18", "0.18"),
        (CENTS, "0.37", "100", "1.64", "1.65"),
        (CENTS, "0.05", "100", "0.34", "0.35"),
        (DIRECT, "0.50", "10", "0.175", "0.175"),
        (DIRECT, "0.37", "10", "0.1632", "0.164"),
        # Tenths of a cent at the edge: a contract costs 0.009 each, too little for a cent to come back.
        (CENTS, "0.011", "10", "0.01", "0.09"),
        (FeeSchedule(FeeKind.FLAT, per_unit_micros=10_000), "0.50", "10", "0.1", "0.1"),
        (FeeSchedule(FeeKind.FLAT, per_unit_micros=5_000), "0.50", "10", "0.05", "0.1"),
        (FeeSchedule(FeeKind.POLYMARKET, 70_000), "0.50", "100", "1.75", "1.7505"),
        (FeeSchedule(FeeKind.BPS, 4_000), "0.50", "10", "0.02", "0.0200001"),
    ],
)
def test_the_high_end_is_tight(schedule: FeeSchedule, price: str, size: str, fee: str, high: str) -> None:
    """What a split can add is what the price and the fee of a contract can leave to rounding."""
    ticks, units = to_units(price, 4), to_units(size, 2)
    assert taker_fee(schedule, ticks, units, SCALE) == Decimal(fee)
    assert fee_high(schedule, [(ticks, units)], SCALE) == Decimal(high)


@given(st.sampled_from(KALSHI + OTHERS), st.integers(1, 9_999), st.integers(1, 9_999), st.integers(1, 10_000))
def test_a_finer_size_scale_changes_no_fee(
    schedule: FeeSchedule, price: int, _other: int, units: int
) -> None:
    """The same fill counted in millionths of a contract has the same fee and the same high end."""
    fine = Scale(6, 6)
    coarse, finer = [(price, units)], [(price * 100, units * 10_000)]
    assert order_fee(schedule, coarse, SCALE) == order_fee(schedule, finer, fine)
    assert fee_high(schedule, coarse, SCALE) == fee_high(schedule, finer, fine)


@pytest.mark.parametrize(
    ("schedule", "price", "size", "fee"),
    [
        (FeeSchedule(FeeKind.FLAT, per_unit_micros=7_000), "0.50", "3", "0.03"),
        (
            FeeSchedule(FeeKind.FLAT, 70_000, per_unit_micros=7_000, precision_micros=100),
            "0.50",
            "3",
            "0.021",
        ),
        (FeeSchedule(FeeKind.FLAT), "0.50", "3", "0"),
        (FeeSchedule(FeeKind.CUSTOM, 3_000, precision_micros=1_000), "0.50", "3", "0.005"),
        (FeeSchedule(FeeKind.CUSTOM, 3_000, per_unit_micros=10_000), "0.50", "3", "0.04"),
        (FeeSchedule(FeeKind.CUSTOM, 0, per_unit_micros=10_000), "0.50", "3", "0.03"),
        (FeeSchedule(FeeKind.CUSTOM), "0.50", "3", "0"),
    ],
)
def test_flat_and_custom_fees_go_by_the_contract(
    schedule: FeeSchedule, price: str, size: str, fee: str
) -> None:
    """So much a contract, custom a share of the notional too, rounded up to the step, a cent by default."""
    assert taker_fee(schedule, to_units(price, 4), to_units(size, 2), SCALE) == Decimal(fee)


@given(st.sampled_from(KALSHI + OTHERS), st.integers(1, 9_999), st.integers(1, 100_000))
def test_every_formula_has_its_line_below_it(schedule: FeeSchedule, price: int, units: int) -> None:
    """The straight line of the edge walk is never above the fee, for every kind."""
    ready: FeeFormula = formula(schedule, 2, 8)
    unit_price = price * 10**2
    assert ready.floor_rate(unit_price) * units <= (ready.fee(unit_price, units) + ready.slack) * 10**12


@pytest.mark.parametrize(
    "fields",
    [{"rate_ppm": -1}, {"maker_rate_ppm": -1}, {"maker_rate_ppm": 10**6}, {"per_unit_micros": -1}],
    ids=str,
)
def test_a_negative_or_full_rate_is_not_known(fields: dict[str, int]) -> None:
    """Whichever number of a schedule cannot be, the market is watched and not traded."""
    assert not is_known(FeeSchedule(FeeKind.CUSTOM, **fields))  # type: ignore[arg-type]
