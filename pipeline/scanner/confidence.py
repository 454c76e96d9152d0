"""Confidence: how far the numbers of an edge may be believed, high, medium or low.

In: the age and the flags of the books, and how much of their depth the size uses up. Out: one
`Confidence`. Pure; run by the scanner. How big the edge is has no say: the best-looking edges are
the most suspicious ones.
"""

from __future__ import annotations

from pipeline.edge import Edge, EdgeLeg
from pipeline.model import BookFlag, Confidence, Ladder

HIGH_AGE_NS = 500_000_000
MEDIUM_AGE_NS = 1_500_000_000
"""The seed's ages: high under 500 ms, medium under 1500 ms, of the older book."""

HIGH_COVER = 2
"""High asks each side to show at least twice the size, medium more than the size."""


def confidence(buy: EdgeLeg, sell: EdgeLeg, edge: Edge, flags: int, age_ns: int) -> Confidence:
    """The lowest of what age, integrity and depth allow.

    `flags` are those of both books together, `age_ns` the age of the older one. An UNVERIFIED book
    has no sequence number and no checksum that held, so it is never more than medium.
    """
    grade = Confidence.HIGH
    if flags & BookFlag.UNVERIFIED:
        grade = Confidence.MEDIUM
    if age_ns >= MEDIUM_AGE_NS:
        return Confidence.LOW
    if age_ns >= HIGH_AGE_NS:
        grade = Confidence.MEDIUM
    shown = min(
        _shown(buy.asks, edge.size_decimals - buy.scale.size_decimals),
        _shown(sell.bids, edge.size_decimals - sell.scale.size_decimals),
    )
    if shown <= edge.size_units:
        return Confidence.LOW
    return grade if shown >= HIGH_COVER * edge.size_units else min(grade, Confidence.MEDIUM)


def _shown(ladder: Ladder, more_decimals: int) -> int:
    """Units a ladder shows, on a size scale with so many more decimals."""
    return int(sum([units for _, units in ladder]) * 10**more_decimals)
