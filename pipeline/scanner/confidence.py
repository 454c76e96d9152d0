"""Confidence: how far the numbers of an edge may be believed, high, medium or low.

In: age and flags of the books, the race model's probability, and how much of their depth the size uses
up. Out: one `Confidence`. Pure; run by the scanner. How big the edge is has no say: the best-looking edges
are the most suspicious ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.edge import Edge
from pipeline.model import BookFlag, Confidence

HIGH_AGE_NS = 500_000_000
MEDIUM_AGE_NS = 1_500_000_000
"""The seed's ages: high under 500 ms, medium under 1500 ms, of the oldest book."""

HIGH_RACE_PPM = 500_000
MEDIUM_RACE_PPM = 300_000
"""The seed's probabilities that the edge is still there: high from 50 %, medium from 30 %."""

HIGH_COVER = 2
"""High asks each leg to show at least twice the size, medium more than the size."""

UNPROVEN = int(BookFlag.UNVERIFIED | BookFlag.POLLED)
"""No sequence number and no checksum that held, or a book that was asked for and not sent."""


def confidence(
    edge: Edge, shown: Sequence[int], flags: int, age_ns: int, race_ppm: int, *, race_is_prior: bool
) -> Confidence:
    """The lowest of what age, integrity, race and depth allow.

    `shown` are the units that each leg's side shows, on `edge.size_decimals`; `flags` are those of all
    books together, `age_ns` the age of the oldest. Books without proof are medium at most, and so is a race
    probability that is only the prior: nothing has been measured then.
    """
    depth = min(shown, default=0)
    return min(
        _grade(high=age_ns < HIGH_AGE_NS, medium=age_ns < MEDIUM_AGE_NS),
        _grade(high=not flags & UNPROVEN, medium=True),
        _grade(high=race_ppm >= HIGH_RACE_PPM and not race_is_prior, medium=race_ppm >= MEDIUM_RACE_PPM),
        _grade(high=depth >= HIGH_COVER * edge.size_units, medium=depth > edge.size_units),
    )


def _grade(*, high: bool, medium: bool) -> Confidence:
    return Confidence.HIGH if high else Confidence.MEDIUM if medium else Confidence.LOW
