"""Which schedule counts: what [fees] sets over what the venue publishes, and who is named for it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.config import FeeConfig, TierConfig
from pipeline.fees import BUILT_IN, KALSHI_BASE, TierTable, schedule_from_config
from pipeline.model import UNKNOWN_FEE, FeeKind, FeeSchedule, to_units

DIRECT_MEMBER = FeeSchedule(FeeKind.KALSHI, 70_000, 0, 1, 100)
SERIES = FeeSchedule(
    FeeKind.KALSHI, 35_000, 8_750, 1, 10_000, waived_until_ns=9, source="kalshi /series", as_of_ns=5
)
PAIR = FeeSchedule(FeeKind.BPS, 4_000, 2_500, source="kraken AssetPairs", as_of_ns=5)
TIERS = (TierConfig("0", "25", "40"), TierConfig("10000", "20.5", "35"))
OWN = TierTable(
    ((Decimal(0), 4_000), (Decimal(10_000), 3_000)), ((Decimal(0), 2_500),), "kraken AssetPairs", 5
)


def polymarket(rate: str, exponent: int = 1) -> FeeSchedule:
    return FeeSchedule(FeeKind.POLYMARKET, to_units(rate, 6), 0, exponent)


@pytest.mark.parametrize(
    ("venue", "config", "published", "expected"),
    [
        ("kalshi", None, KALSHI_BASE, KALSHI_BASE),
        ("kalshi", FeeConfig(taker_coefficient="0.07"), UNKNOWN_FEE, KALSHI_BASE),
        ("kalshi", FeeConfig(multiplier="1"), UNKNOWN_FEE, KALSHI_BASE),
        ("kalshi", FeeConfig(multiplier="0.5", maker_coefficient="0.0175"), UNKNOWN_FEE,
         FeeSchedule(FeeKind.KALSHI, 35_000, 8_750, 1, 10_000)),
        ("kalshi", FeeConfig(account_precision="0.0001"), KALSHI_BASE, DIRECT_MEMBER),
        ("kalshi", FeeConfig(account_precision="0.0001"), UNKNOWN_FEE, UNKNOWN_FEE),
        ("kalshi", FeeConfig(taker_coefficient="0"), KALSHI_BASE,
         FeeSchedule(FeeKind.KALSHI, 0, 0, 1, 10_000)),
        ("kalshi", FeeConfig(kind="flat", per_unit="0.01"), SERIES,
         FeeSchedule(FeeKind.FLAT, 0, 0, 1, 10_000, 10_000)),
        ("kalshi", FeeConfig(kind="flat", per_unit="0.01", account_precision="0.0001"), SERIES,
         FeeSchedule(FeeKind.FLAT, 0, 0, 1, 10_000, 10_000)),
        ("polymarket", None, polymarket("0.04"), polymarket("0.04")),
        ("polymarket", FeeConfig(rate="0.25", exponent=2), UNKNOWN_FEE, polymarket("0.25", 2)),
        ("polymarket", FeeConfig(exponent=2), UNKNOWN_FEE, UNKNOWN_FEE),
        ("polymarket", FeeConfig(kind="custom", rate="0.003", rounding="0.001"), polymarket("0.04"),
         FeeSchedule(FeeKind.CUSTOM, 3_000, 3_000, 1, 1_000)),
        ("kraken", FeeConfig(taker_bps="40", maker_bps="25"), UNKNOWN_FEE,
         FeeSchedule(FeeKind.BPS, 4_000, 2_500)),
        ("coinbase", FeeConfig(taker_bps="0.05"), UNKNOWN_FEE, FeeSchedule(FeeKind.BPS, 5)),
        ("kraken", None, UNKNOWN_FEE, UNKNOWN_FEE),
        ("kraken", FeeConfig(maker_bps="1"), UNKNOWN_FEE, UNKNOWN_FEE),
        ("kraken", FeeConfig(tiers=TIERS), UNKNOWN_FEE, PAIR),
        ("kraken", FeeConfig(tiers=TIERS, volume_usd="9999.99"), UNKNOWN_FEE, PAIR),
        ("kraken", FeeConfig(tiers=TIERS, volume_usd="10000"), PAIR, FeeSchedule(FeeKind.BPS, 3_500, 2_050)),
        ("kraken", FeeConfig(tiers=TIERS, taker_bps="9"), PAIR, FeeSchedule(FeeKind.BPS, 900, 2_500)),
        ("kraken", FeeConfig(volume_usd="250000"), UNKNOWN_FEE, FeeSchedule(FeeKind.BPS, 2_000, 1_000)),
        ("kraken", FeeConfig(volume_usd="250000"), PAIR, PAIR),
        ("coinbase", FeeConfig(volume_usd="0"), UNKNOWN_FEE, FeeSchedule(FeeKind.BPS, 12_000, 6_000)),
        ("coinbase", FeeConfig(volume_usd="1000"), UNKNOWN_FEE, UNKNOWN_FEE),
        ("ccxt:bybit", FeeConfig(volume_usd="0"), UNKNOWN_FEE, UNKNOWN_FEE),
        ("ccxt:bybit", FeeConfig(kind="custom", per_unit="0.5", taker_bps="9"), UNKNOWN_FEE,
         FeeSchedule(FeeKind.CUSTOM, 0, 0, 1, 10_000, 500_000)),
    ],
)  # fmt: skip
def test_a_schedule_is_what_the_config_says_over_what_the_venue_says(
    venue: str, config: FeeConfig | None, published: FeeSchedule, expected: FeeSchedule
) -> None:
    """Config wins; where neither states the rate, the fee stays unknown."""
    assert schedule_from_config(venue, config, published) == expected


def test_the_venues_own_tiers_serve_an_account_with_volume() -> None:
    """The lowest tier without a volume, its own tier with one; a table in the config wins over it."""
    for volume, taker in ((None, 4_000), ("9999", 4_000), ("10000", 3_000)):
        fee = schedule_from_config("kraken", FeeConfig(volume_usd=volume), PAIR, OWN)
        assert (fee.rate_ppm, fee.maker_rate_ppm, fee.source, fee.as_of_ns) == (taker, 2_500, OWN.source, 5)
    fee = schedule_from_config("kraken", FeeConfig(volume_usd="10000", tiers=TIERS), PAIR, OWN)
    assert (fee.rate_ppm, fee.source) == (3_500, "config [fees.kraken]")


@pytest.mark.parametrize(
    ("venue", "config", "published", "source", "as_of_ns"),
    [
        ("kalshi", None, SERIES, "kalshi /series", 5),
        ("kalshi", FeeConfig(account_precision="0.0001"), SERIES, "kalshi /series", 5),
        ("kalshi", FeeConfig(multiplier="1"), SERIES, "config [fees.kalshi]", 0),
        ("kalshi", FeeConfig(maker_coefficient="0"), SERIES, "config [fees.kalshi]", 0),
        ("kraken", FeeConfig(taker_bps="1", source="my account", as_of="1970-01-01T00:00:01Z"), PAIR,
         "my account", 10**9),
        ("kraken", FeeConfig(taker_bps="1", source="é" * 40), PAIR, "é" * 24, 0),
        ("kraken", FeeConfig(source="my account"), PAIR, "kraken AssetPairs", 5),
        ("kraken", FeeConfig(volume_usd="0"), UNKNOWN_FEE, BUILT_IN["kraken"].source,
         BUILT_IN["kraken"].as_of_ns),
    ],
)  # fmt: skip
def test_a_schedule_says_who_stated_it_and_when(
    venue: str, config: FeeConfig | None, published: FeeSchedule, source: str, as_of_ns: int
) -> None:
    """The venue for its own rates however the account rounds; the config for any rate of it."""
    fee = schedule_from_config(venue, config, published)
    assert (fee.source, fee.as_of_ns) == (source, as_of_ns)


def test_a_rate_from_the_config_ends_a_waiver() -> None:
    """What a person states is charged; how the account rounds leaves the waiver as it is."""
    assert schedule_from_config("kalshi", FeeConfig(multiplier="1"), SERIES).waived_until_ns == 0
    assert schedule_from_config("kalshi", FeeConfig(account_precision="1"), SERIES).waived_until_ns == 9


@pytest.mark.parametrize(
    ("venue", "config", "word"),
    [
        ("kalshi", FeeConfig(taker_coefficient="0.0000001"), "decimals"),
        ("kalshi", FeeConfig(taker_coefficient="0.000001", multiplier="0.5"), "finer"),
        ("kalshi", FeeConfig(taker_coefficient="1.5"), "no possible fee"),
        ("kalshi", FeeConfig(taker_coefficient="0.07", maker_coefficient="1"), "no possible fee"),
        ("kalshi", FeeConfig(multiplier="1", account_precision="0"), "account_precision"),
        ("kalshi", FeeConfig(kind="flat"), "per_unit"),
        ("kalshi", FeeConfig(kind="flat", per_unit="0.01", rounding="0"), "rounding"),
        ("kalshi", FeeConfig(kind="custom"), "per_unit"),
        ("kalshi", FeeConfig(multiplier="1", taker_bps="40"), r"taker_bps, which KALSHI fees do not know"),
        ("polymarket", FeeConfig(rate="-0.01"), "no possible fee"),
        ("polymarket", FeeConfig(rate="0.03", exponent=-1), "no possible fee"),
        ("polymarket", FeeConfig(rate="0.03", per_unit="1"), "per_unit, which"),
        ("kraken", FeeConfig(taker_bps="0.001"), "decimals"),
        ("kraken", FeeConfig(taker_bps="forty"), "not a number"),
        ("kraken", FeeConfig(tiers=TIERS[1:]), "begins at 10000"),
        ("kraken", FeeConfig(tiers=TIERS[::-1]), "begins at 10000"),
    ],
)
def test_a_fee_that_cannot_be_held_exactly_is_refused(venue: str, config: FeeConfig, word: str) -> None:
    """Text finer than a millionth, impossible rates, holes, and keys that would count for nothing."""
    with pytest.raises(ValueError, match=word):
        schedule_from_config(venue, config, UNKNOWN_FEE)
