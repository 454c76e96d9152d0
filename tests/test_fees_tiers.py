"""Tiers by volume: the tables of the venues' pages, and tables with a hole."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pipeline.config import TierConfig
from pipeline.fees import BUILT_IN, tier_problem
from pipeline.fees_tiers import table_of


def tiers(*rows: str) -> tuple[TierConfig, ...]:
    """Rows of `volume maker taker`."""
    return tuple(TierConfig(*row.split()) for row in rows)


# Reference 2.10: dollars of 30-day volume, maker and taker in basis points.
KRAKEN = [
    ("0", 25, 40),
    ("9999.99", 25, 40),
    ("10000", 20, 35),
    ("50000", 14, 24),
    ("100000", 12, 22),
    ("250000", 10, 20),
    ("500000", 8, 18),
    ("1000000", 6, 16),
    ("2500000", 4, 14),
    ("5000000", 2, 12),
    ("10000000", 0, 10),
    ("99000000", 0, 10),
]


@pytest.mark.parametrize(("volume", "maker", "taker"), KRAKEN)
def test_krakens_table_is_that_of_its_page(volume: str, maker: int, taker: int) -> None:
    """Kraken 2.10: each tier from its first dollar on, with where and when it was read."""
    fee = BUILT_IN["kraken"].schedule(Decimal(volume))
    assert fee is not None
    assert (fee.maker_rate_ppm, fee.rate_ppm) == (100 * maker, 100 * taker)
    assert fee.source.startswith("table 2026-05")
    assert fee.as_of_ns == 1_780_099_200_000_000_000


def test_of_coinbase_only_the_entry_tier_is_known() -> None:
    """Coinbase 2.10: 60 and 120 bp below 1,000 dollars; what is not known is not made up."""
    table = BUILT_IN["coinbase"]
    fee = table.schedule(Decimal("999.99"))
    assert fee is not None
    assert (fee.maker_rate_ppm, fee.rate_ppm) == (6_000, 12_000)
    assert table.schedule(Decimal(1000)) is None


@pytest.mark.parametrize("table", BUILT_IN.values(), ids=list(BUILT_IN))
def test_a_built_in_source_fits_its_cell(table: object) -> None:
    """Shared memory has 48 bytes for it."""
    source = getattr(table, "source", "")
    assert 0 < len(source.encode()) <= 48


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (["10000 20 35"], "begins at 10000"),
        (["0 25 40", "10000 20 35", "10000 14 24"], "two tiers begin at 10000"),
        (["0 25 40", "50000 14 24", "10000.5 20 35"], "the tier from 10000.5 dollars stands after"),
        (["0 25 40", "0 20 35"], "two tiers begin at 0 "),
    ],
)
def test_a_table_with_a_hole_is_named(rows: list[str], word: str) -> None:
    """No first tier at 0, two tiers of one threshold, a falling threshold: a sentence, and no table."""
    problem = tier_problem(tiers(*rows))
    assert problem is not None
    assert word in problem
    with pytest.raises(ValueError, match=word):
        table_of(tiers(*rows))


def test_a_whole_table_has_no_problem() -> None:
    """Nor has none at all."""
    assert tier_problem(()) is None
    assert tier_problem(tiers("0 25 40", "10000 20 35", "50000 14 24")) is None


@pytest.mark.parametrize("row", ["0 x 40", "0 25 forty", "0 0.001 40", "0 25 0.001", "many 25 40"])
def test_a_number_that_cannot_be_held_exactly_is_refused(row: str) -> None:
    """Words, and basis points finer than a hundredth."""
    with pytest.raises(ValueError, match=r"."):
        table_of(tiers(row))
