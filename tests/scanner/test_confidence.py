"""Confidence: what lowers it, and that a bigger edge does not raise it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.edge import Edge
from pipeline.model import BookFlag, Confidence
from pipeline.scanner.confidence import confidence

MS = 1_000_000
ONE = Decimal(1)
EDGE = Edge(20, 0, ONE, ONE, ONE, ONE, ONE, ONE, 100, 100, ONE, ())
DEEP = (60, 40, 1000)


def judge(
    edge: Edge = EDGE,
    shown: tuple[int, ...] = DEEP,
    flags: int = 0,
    age_ns: int = 0,
    race_ppm: int = 1_000_000,
    *,
    prior: bool = False,
) -> Confidence:
    """Everything at its best but what is named."""
    return confidence(edge, shown, flags, age_ns, race_ppm, race_is_prior=prior)


@pytest.mark.parametrize(
    ("age_ms", "expected"),
    [
        (0, Confidence.HIGH),
        (499, Confidence.HIGH),
        (500, Confidence.MEDIUM),
        (1499, Confidence.MEDIUM),
        (1500, Confidence.LOW),
    ],
)
def test_age_lowers_it(age_ms: int, expected: Confidence) -> None:
    """Under 500 ms high, under 1500 ms medium, else low."""
    assert judge(age_ns=age_ms * MS) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (BookFlag.SIM, Confidence.HIGH),
        (BookFlag.UNVERIFIED, Confidence.MEDIUM),
        (BookFlag.POLLED, Confidence.MEDIUM),
        (BookFlag.POLLED | BookFlag.UNVERIFIED, Confidence.MEDIUM),
    ],
)
def test_books_without_proof_lower_it(flags: int, expected: Confidence) -> None:
    """What nothing proves is never more than medium."""
    assert judge(flags=flags) == expected


@pytest.mark.parametrize(
    ("ppm", "prior", "expected"),
    [
        (500_000, False, Confidence.HIGH),
        (499_999, False, Confidence.MEDIUM),
        (300_000, False, Confidence.MEDIUM),
        (299_999, False, Confidence.LOW),
        (1_000_000, True, Confidence.MEDIUM),
        (300_000, True, Confidence.MEDIUM),
        (299_999, True, Confidence.LOW),
    ],
)
def test_the_race_lowers_it(ppm: int, prior: bool, expected: Confidence) -> None:
    """From 50 % high, from 30 % medium; a prior that nothing has confirmed is medium at most."""
    assert judge(race_ppm=ppm, prior=prior) == expected


@pytest.mark.parametrize(
    ("thinnest", "expected"),
    [(40, Confidence.HIGH), (39, Confidence.MEDIUM), (21, Confidence.MEDIUM), (20, Confidence.LOW)],
)
def test_using_up_a_book_lowers_it(thinnest: int, expected: Confidence) -> None:
    """Of the thinnest leg half is high, most of it medium, all of it low, whichever leg it is."""
    for at in range(3):
        shown = [1000, 1000, 1000]
        shown[at] = thinnest
        assert judge(shown=tuple(shown)) == expected
    assert judge(shown=()) == Confidence.LOW


def test_the_lowest_of_all_decides() -> None:
    """No good news makes up for bad."""
    good = {"shown": DEEP, "flags": 0, "age_ns": 0, "race_ppm": 900_000}
    fair = {"shown": (30,), "flags": int(BookFlag.POLLED), "age_ns": 900 * MS, "race_ppm": 400_000}
    for which in product((good, fair), repeat=4):
        arguments = {name: choice[name] for name, choice in zip(good, which, strict=True)}
        expected = Confidence.HIGH if all(choice is good for choice in which) else Confidence.MEDIUM
        assert confidence(EDGE, race_is_prior=False, **arguments) == expected  # type: ignore[arg-type]


@given(
    net=st.decimals(-100, 10_000, places=4),
    edge_bp=st.integers(-100, 10_000),
    ppm=st.integers(0, 1_000_000),
    age_ms=st.integers(0, 2_000),
    shown=st.integers(0, 60),
    flags=st.sampled_from([0, BookFlag.POLLED]),
)
def test_a_bigger_edge_changes_nothing(
    net: Decimal, edge_bp: int, ppm: int, age_ms: int, shown: int, flags: int
) -> None:
    """The same size on the same books is believed the same whatever it would earn."""
    rich = replace(EDGE, net=net, net_low=net, gross=net, edge_bp=edge_bp, gross_bp=edge_bp)
    facts = (shown,), flags, age_ms * MS, ppm
    assert judge(rich, *facts) == judge(EDGE, *facts)
