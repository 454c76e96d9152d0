"""Confidence: what lowers it, and that a bigger edge does not raise it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.edge import BINARY, EdgeLeg, evaluate
from pipeline.model import BookFlag, Confidence, FeeKind, FeeSchedule, Scale
from pipeline.scanner.confidence import confidence

FREE = FeeSchedule(FeeKind.BPS, 0)
BUY = EdgeLeg((), ((40, 10), (60, 30)), Scale(2, 0), FREE)
SELL = EdgeLeg(((50, 1000), (45, 3000)), (), Scale(2, 2), FREE)
EDGE = evaluate(BINARY, BUY, SELL)
MS = 1_000_000


@pytest.mark.parametrize(
    ("flags", "age_ns", "expected"),
    [
        (0, 0, Confidence.HIGH),
        (BookFlag.SIM, 499 * MS, Confidence.HIGH),
        (0, 500 * MS, Confidence.MEDIUM),
        (0, 1499 * MS, Confidence.MEDIUM),
        (0, 1500 * MS, Confidence.LOW),
        (BookFlag.UNVERIFIED, 0, Confidence.MEDIUM),
        (BookFlag.UNVERIFIED, 1500 * MS, Confidence.LOW),
    ],
)
def test_age_and_integrity_lower_it(flags: int, age_ns: int, expected: Confidence) -> None:
    """Under 500 ms high, under 1500 ms medium, else low; an unverified book is never high."""
    assert EDGE is not None
    assert confidence(BUY, SELL, EDGE, flags, age_ns) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [(20, Confidence.HIGH), (21, Confidence.MEDIUM), (39, Confidence.MEDIUM), (40, Confidence.LOW)],
)
def test_using_up_the_book_lowers_it(size: int, expected: Confidence) -> None:
    """The thinner side shows 40: half of it is high, most of it medium, all of it low."""
    assert EDGE is not None
    assert EDGE.size_decimals == 2
    edge = replace(EDGE, size_units=size * 100)
    assert confidence(BUY, SELL, edge, 0, 0) == expected


def test_a_bigger_edge_changes_nothing() -> None:
    """The same size on the same books has the same confidence whatever it would earn."""
    assert EDGE is not None
    for net in ("0.01", "1", "1000"):
        rich = replace(EDGE, net=Decimal(net), gross=Decimal(net), edge_bp=9_000)
        assert confidence(BUY, SELL, rich, 0, 600 * MS) == Confidence.MEDIUM
