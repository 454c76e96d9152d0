"""Fee tiers: basis points by the dollars traded in 30 days, from a venue, from the config, or built in.

In: rows of thresholds and rates. Out: the row that holds for a volume, or what is wrong with a table.
Pure; used through `pipeline.fees`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from pipeline.config import TierConfig
from pipeline.model import FeeKind, FeeSchedule, Market, to_units
from pipeline.money import money_text, to_decimal

Row = tuple[Decimal, int]
"""Dollars of 30-day volume from which it holds, and the rate in millionths."""

BASE_VOLUME = Decimal(0)


@dataclass(frozen=True, slots=True)
class TierTable:
    """A venue's rates for takers and for makers, each lowest threshold first.

    From `unknown_from` dollars on, None for never, the table says nothing. `source` and `as_of_ns` (wall
    clock) are those of a `FeeSchedule`.
    """

    taker: tuple[Row, ...]
    maker: tuple[Row, ...]
    source: str = ""
    as_of_ns: int = 0
    unknown_from: Decimal | None = None

    def schedule(self, volume_usd: Decimal) -> FeeSchedule | None:
        """The fees of an account with this 30-day volume; None where the table does not say."""
        if self.unknown_from is not None and volume_usd >= self.unknown_from:
            return None
        taker, maker = rate_at(self.taker, volume_usd), rate_at(self.maker, volume_usd)
        if taker is None or maker is None:
            return None
        return FeeSchedule(FeeKind.BPS, taker, maker, source=self.source, as_of_ns=self.as_of_ns)


@dataclass(frozen=True, slots=True)
class TieredMarket(Market):
    """A market whose venue publishes its fees by volume; `fee` is that of its lowest tier."""

    tiers: TierTable | None = None


def rate_at(rows: Sequence[Row], volume_usd: Decimal) -> int | None:
    """The rate of the last row that a volume reaches; None where it reaches none."""
    reached = [rate for from_usd, rate in rows if from_usd <= volume_usd]
    return reached[-1] if reached else None


def threshold_problem(thresholds: Sequence[Decimal]) -> str | None:
    """What is wrong with the thresholds of a table in dollars, in one sentence; None for nothing."""
    if thresholds and thresholds[0] != 0:
        first = money_text(thresholds[0])
        return f"the first tier begins at {first} dollars, not at 0: what is paid below is not said"
    for before, after in pairwise(thresholds):
        if after == before:
            return f"two tiers begin at {money_text(after)} dollars: keep one of them"
        if after < before:
            wrong, right = money_text(after), money_text(before)
            return f"the tier from {wrong} dollars stands after the one from {right}: put the lowest first"
    return None


def tier_problem(tiers: Sequence[TierConfig]) -> str | None:
    """What is wrong with [fees.NAME].tiers as a table, in one sentence; None for nothing.

    Raises ValueError for a threshold that is no amount, which the config's schema refuses before.
    """
    return threshold_problem([dollars(tier.from_usd) for tier in tiers])


def table_of(tiers: Sequence[TierConfig]) -> TierTable:
    """[fees.NAME].tiers as a table. Raises ValueError for a hole in it and for numbers it cannot hold."""
    problem = tier_problem(tiers)
    if problem is not None:
        raise ValueError(problem)
    rows = [(dollars(tier.from_usd), _ppm(tier.taker_bps), _ppm(tier.maker_bps)) for tier in tiers]
    return TierTable(
        tuple((volume, taker) for volume, taker, _ in rows),
        tuple((volume, maker) for volume, _, maker in rows),
    )


def dollars(text: str) -> Decimal:
    """An amount of dollars from text; ValueError for what is none or finer than a millionth."""
    return to_decimal(to_units(text, 6), 6)


def _ppm(basis_points: str) -> int:
    """A basis point is a hundred millionths, so two decimals of one are exactly ppm."""
    return to_units(basis_points, 2)


def _built_in(source: str, as_of_ns: int, rows: str, unknown_from: int | None = None) -> TierTable:
    """A table from rows of `volume maker taker` in dollars and basis points."""
    read = [tuple(int(word) for word in row.split()) for row in rows.split(",")]
    return TierTable(
        tuple((Decimal(volume), 100 * taker) for volume, _, taker in read),
        tuple((Decimal(volume), 100 * maker) for volume, maker, _ in read),
        source,
        as_of_ns,
        None if unknown_from is None else Decimal(unknown_from),
    )


BUILT_IN = {
    # Kraken Pro spot, the vendor's page; pairs of stablecoins and of fiat have another.
    "kraken": _built_in(
        "table 2026-05, Kraken Pro spot",
        1_780_099_200_000_000_000,
        "0 25 40, 10000 20 35, 50000 14 24, 100000 12 22, 250000 10 20, 500000 8 18, 1000000 6 16,"
        " 2500000 4 14, 5000000 2 12, 10000000 0 10",
    ),
    # Coinbase Advanced: only the entry tier is established, so from 1,000 dollars on nothing is said.
    "coinbase": _built_in("table 2026, Coinbase Intro 1", 1_767_225_600_000_000_000, "0 60 120", 1_000),
}
"""Tables of the venues' pages (reference 2.10) with their dates: for `run.py fee`, and where the config
states a volume and neither it nor the venue states tiers. A market's fee never comes from here unasked."""
