"""Fees of an order: the accumulator, who made and who took, waivers, and the interval before a fill."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fees import (
    KALSHI_BASE,
    Accumulator,
    OrderFees,
    effective,
    fee_high,
    fee_interval,
    fee_price_ticks,
    order_fee,
    schedule_for,
    taker_fee,
)
from pipeline.model import UNKNOWN_FEE, FeeKind, FeeSchedule, Scale, to_units

SCALE = Scale(6, 2)
CENT = 10_000
MAKERS = FeeSchedule(FeeKind.KALSHI, 70_000, 17_500, 1, 10_000)
COMBO = FeeSchedule(FeeKind.KALSHI, 70_000, 35_000, 1, 10_000)
POLYMARKET = FeeSchedule(FeeKind.POLYMARKET, 70_000)
SECOND_NS = 1_000_000_000


@pytest.mark.parametrize(
    ("notional", "trade_fee", "nets", "held"),
    [
        ("0.055", "0.0085", ["0.0150", "0.0050", "0.0150"], ["0.0065", "0.0030", "0.0095"]),
        ("0.15", "0.0041", ["0.0100", "0", "0.0100"], ["0.0059", "0.0018", "0.0077"]),
        ("0.009903", "0.0005", ["0.010097", "0.000097", "0.000097"], ["0.009597", "0.009194", "0.008791"]),
    ],
)
def test_the_accumulator_follows_the_documentation(
    notional: str, trade_fee: str, nets: list[str], held: list[str]
) -> None:
    """Kalshi K5: trade fees given, an account of cents; the cent comes back with the fill that fills it."""
    accumulator = Accumulator(CENT, CENT)
    for net, rest in zip(nets, held, strict=True):
        assert accumulator.charge(to_units(notional, 6), to_units(trade_fee, 6)) == to_units(net, 6)
        assert accumulator.held == to_units(rest, 6)


def test_a_cent_comes_back_when_it_is_exceeded_not_when_it_is_reached() -> None:
    """Kalshi K5 leaves it open: exactly a cent is held on to, which is never the cheaper reading."""
    accumulator = Accumulator(CENT, CENT)
    assert [accumulator.charge(0, 5_000) for _ in range(3)] == [10_000, 10_000, 0]


@pytest.mark.parametrize(
    ("schedule", "size", "price", "direct", "cents"),
    [
        (MAKERS, "100", "0.50", "0.4375", "0.44"),
        (COMBO, "100", "0.50", "0.8750", "0.88"),
        (KALSHI_BASE, "100", "0.50", "0", "0"),
    ],
)
def test_kalshi_makers_pay_by_their_own_rate(
    schedule: FeeSchedule, size: str, price: str, direct: str, cents: str
) -> None:
    """Kalshi K5: a quarter, half, or nothing of the taker's coefficient, rounded as a taker's is."""
    fill = to_units(price, 6), to_units(size, 2)
    for micros, fee in ((100, direct), (10_000, cents)):
        account = FeeSchedule(FeeKind.KALSHI, 70_000, schedule.maker_rate_ppm, 1, micros)
        assert OrderFees(account, SCALE).add(*fill, "maker") == Decimal(fee)
        assert taker_fee(schedule_for(account, "maker"), *fill, SCALE) == Decimal(fee)


@pytest.mark.parametrize(
    ("schedule", "role", "fee"),
    [
        (POLYMARKET, "taker", "1.75"),
        (POLYMARKET, "maker", "0"),
        (FeeSchedule(FeeKind.POLYMARKET, 70_000, 70_000), "maker", "0"),
        (FeeSchedule(FeeKind.BPS, 4_000, 2_500), "taker", "0.2"),
        (FeeSchedule(FeeKind.BPS, 4_000, 2_500), "maker", "0.125"),
        (FeeSchedule(FeeKind.BPS, 12_000, 6_000), "maker", "0.3"),
        (FeeSchedule(FeeKind.FLAT, per_unit_micros=10_000), "maker", "1"),
        (FeeSchedule(FeeKind.CUSTOM, 4_000, 0, per_unit_micros=10_000), "maker", "1"),
    ],
)
def test_a_role_has_its_rate(schedule: FeeSchedule, role: str, fee: str) -> None:
    """Polymarket P5 and spot 2.10: makers pay nothing, or their basis points; by contract all pay alike."""
    assert OrderFees(schedule, SCALE).add(500_000, 10_000, role) == Decimal(fee)  # type: ignore[arg-type]


def test_one_accumulator_serves_a_taker_fill_and_the_maker_fills_after_it() -> None:
    """What the taker's rounding left is paid back with a maker's fill; a free maker fill changes nothing."""
    order = OrderFees(MAKERS, SCALE)
    assert order.add(500_000, 100) == Decimal("0.02")
    assert order.add(500_000, 100, "maker") == Decimal("0.01")
    assert order.add(500_000, 100, "maker") == Decimal(0)
    assert order.total == Decimal("0.03")
    free = OrderFees(KALSHI_BASE, SCALE)
    fees = [
        free.add(500_000, 30),
        free.add(330_100, 3, "maker"),
        free.add(500_000, 30),
        free.add(500_000, 30),
    ]
    assert fees == [Decimal("0.01"), Decimal(0), Decimal("0.01"), Decimal(0)]


@given(st.lists(st.tuples(st.integers(1, 999_999), st.integers(1, 3000), st.booleans()), max_size=12))
def test_no_fill_costs_less_than_nothing_and_they_add_up(fills: list[tuple[int, int, bool]]) -> None:
    """However fills come, each costs 0 or more, and the total is their sum and covers the trade fees."""
    order = OrderFees(MAKERS, SCALE)
    fees = [order.add(price, units, "maker" if made else "taker") for price, units, made in fills]
    assert all(fee >= 0 for fee in fees)
    assert order.total == sum(fees)


def test_the_interval_is_one_fill_a_level_and_the_worst_split() -> None:
    """Its low end is what the paper broker charges, its high end what decisions use."""
    fills = [(370_000, 10_000), (380_000, 300)]
    low, high = fee_interval(KALSHI_BASE, fills, SCALE)
    assert (low, high) == (order_fee(KALSHI_BASE, fills, SCALE), fee_high(KALSHI_BASE, fills, SCALE))
    assert low == Decimal("1.69") < high == Decimal("1.70")


def test_a_waiver_counts_while_it_lasts_another_minute() -> None:
    """Then the fee is a known zero for both roles; in the last minute and after it counts in full."""
    until_ns = 1_000 * SECOND_NS
    waived = FeeSchedule(FeeKind.KALSHI, 70_000, 17_500, 1, 10_000, waived_until_ns=until_ns, source="kalshi")
    free = effective(waived, until_ns - 60 * SECOND_NS)
    assert taker_fee(free, 500_000, 1_000, SCALE) == 0 == free.maker_rate_ppm
    assert free.source == "kalshi"
    for late_ns in (until_ns - 60 * SECOND_NS + 1, until_ns, until_ns + SECOND_NS):
        assert effective(waived, late_ns) == MAKERS
    assert taker_fee(waived, 500_000, 1_000, SCALE) == Decimal("0.18")
    assert effective(MAKERS, 0) is MAKERS
    unknown = FeeSchedule(waived_until_ns=until_ns)
    assert effective(unknown, 0) == UNKNOWN_FEE


@given(st.integers(1, 9_999).map(lambda p: p * 100), st.integers(1, 9_999), st.sampled_from([100, 10_000]))
def test_a_sale_on_kalshi_pays_what_its_balance_loses(price: int, units: int, precision: int) -> None:
    """Revenue less trade fee is floored to the precision; `fee_price_ticks` makes that the fee of a buy."""
    schedule = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, precision)
    mirrored = fee_price_ticks(schedule, "sell", "yes", price, SCALE)
    fee = to_units(str(taker_fee(schedule, mirrored, units, SCALE)), 8)
    raw = 7 * units * price * (1_000_000 - price)
    trade_fee = -(-raw // 10**12) * 10_000
    revenue = price * units
    floored = (revenue - trade_fee) // (precision * 100) * precision * 100
    assert fee == revenue - floored


@pytest.mark.parametrize(
    ("kind", "action", "outcome", "ticks"),
    [
        (FeeKind.KALSHI, "buy", "yes", 300_000),
        (FeeKind.KALSHI, "buy", "no", 700_000),
        (FeeKind.KALSHI, "sell", "yes", 700_000),
        (FeeKind.KALSHI, "sell", "no", 300_000),
        (FeeKind.CUSTOM, "sell", "yes", 300_000),
        (FeeKind.CUSTOM, "sell", "no", 700_000),
        (FeeKind.BPS, "sell", "base", 300_000),
    ],
)
def test_a_fee_goes_by_the_price_of_what_changes_hands(
    kind: FeeKind, action: str, outcome: str, ticks: int
) -> None:
    """NO costs 1 - the book's price; only Kalshi's rounding of a sale goes by the other outcome's."""
    assert fee_price_ticks(FeeSchedule(kind, 1), action, outcome, 300_000, SCALE) == ticks
