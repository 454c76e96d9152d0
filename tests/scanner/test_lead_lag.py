"""Lead and lag: planted leaders are found, and walks that know nothing of each other have none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scanner.lead_lag import LAGS, LEAST_LEADS, WINDOW_NS, LeadLag, LeadSummary

MS = 1_000_000
Quote = tuple[int, int, int]
"""Time, leg, mid."""


def play(quotes: list[Quote], signs: tuple[int, ...] = (1, 1)) -> LeadSummary:
    """What these quotes make of it; each is a market two ticks wide."""
    lead_lag = LeadLag(signs)
    for at_ns, leg, mid in quotes:
        lead_lag.quote(leg, mid - 1, mid + 1, at_ns)
    return lead_lag.summary()


def followed(chance: random.Random, leader: int, lag_ns: int, noise: float, sign: int = 1) -> list[Quote]:
    """A walk on `leader`, and the other leg after it: late by about `lag_ns`, and noisy."""
    quotes: list[Quote] = []
    at_ns, mids = 0, [500, 500]
    for _ in range(400):
        at_ns += round(chance.expovariate(1 / (800 * MS)))
        way = chance.choice((-1, 1))
        if chance.random() > noise:
            quotes.append((at_ns, leader, way))
        late_ns = round(lag_ns * chance.uniform(0.7, 1.3))
        quotes.append((at_ns + late_ns, 1 - leader, sign * way))
    found = []
    for when_ns, leg, way in sorted(quotes):
        mids[leg] += way
        found.append((when_ns, leg, mids[leg]))
    return found


def independent(chance: random.Random, rates: tuple[float, float]) -> list[Quote]:
    """Two walks of their own, of so many moves a second."""
    quotes = []
    for leg, rate in enumerate(rates):
        at_ns, mid = 0, 500
        for _ in range(round(200 * rate)):
            at_ns += round(chance.expovariate(rate) * 1e9)
            mid += chance.choice((-1, 1))
            quotes.append((at_ns, leg, mid))
    return sorted(quotes)


@pytest.mark.parametrize("leader", [0, 1])
@pytest.mark.parametrize("lag_ms", [3, 40, 200])
def test_a_planted_leader_is_found(leader: int, lag_ms: int) -> None:
    """One leg follows the other with some noise: the leader and the median lag come out."""
    summary = play(followed(random.Random(lag_ms), leader, lag_ms * MS, noise=0.2))
    assert summary.leg == leader
    assert summary.lag_ns == pytest.approx(lag_ms * MS, rel=0.25)
    assert LEAST_LEADS < summary.count <= summary.total


def test_an_inverse_leg_follows_the_other_way() -> None:
    """What the inverse leg does is turned round; without that it would contradict."""
    quotes = followed(random.Random(5), 0, 50 * MS, noise=0.1, sign=-1)
    assert play(quotes, (1, -1)).leg == 0
    assert play(quotes, (1, 1)).leg == -1


@pytest.mark.parametrize("rates", [(1.0, 1.0), (5.0, 1.0), (0.5, 8.0)])
def test_independent_walks_have_no_leader(rates: tuple[float, float]) -> None:
    """Of forty pairs of walks at most one in ten looks led, even where one leg moves far more often."""
    found = [play(independent(random.Random(seed), rates)).leg for seed in range(40)]
    assert sum(leg >= 0 for leg in found) <= 4


def test_a_lead_is_the_time_to_the_first_move_the_same_way() -> None:
    """The leader's later moves belong to its first, and so do the follower's to its answer."""
    lead_lag = LeadLag((1, 1))
    quotes = [(0, 0, 50), (0, 1, 50)]
    for start_ns in range(0, 100 * WINDOW_NS, 10 * WINDOW_NS):
        mid = quotes[-1][2]
        quotes += [(start_ns + 10 * MS, 0, mid + 1), (start_ns + 20 * MS, 0, mid + 2)]
        quotes += [(start_ns + 40 * MS, 1, mid + 1), (start_ns + 50 * MS, 1, mid + 2)]
    for at_ns, leg, mid in quotes:
        lead_lag.quote(leg, mid - 1, mid + 1, at_ns)
    assert lead_lag.summary() == LeadSummary(0, 30 * MS, 10, 10)


@pytest.mark.parametrize(
    ("name", "quotes", "expected"),
    [
        ("repeats", [(1, 0, 50), (2, 1, 50), (3, 0, 50), (4, 1, 51)], (0, 0)),
        ("the other way", [(0, 0, 50), (0, 1, 50), (1, 0, 51), (2, 1, 49)], (0, 0)),
        ("taken back", [(0, 0, 50), (0, 1, 50), (1, 0, 51), (2, 0, 50), (3, 1, 51)], (0, 0)),
        ("too late", [(0, 0, 50), (0, 1, 50), (1, 0, 51), (2 + WINDOW_NS, 1, 51)], (0, 0)),
        ("one instant", [(0, 0, 50), (0, 1, 50), (1, 0, 51), (1, 1, 51)], (0, 0)),
        ("just in time", [(0, 0, 50), (0, 1, 50), (1, 0, 51), (1 + WINDOW_NS, 1, 51)], (1, 1)),
        ("read in the other order", [(0, 0, 50), (0, 1, 50), (9, 0, 51), (4, 1, 51)], (1, 1)),
    ],
)
def test_what_is_a_lead(name: str, quotes: list[Quote], expected: tuple[int, int]) -> None:
    """Only a move the same way within the window counts."""
    summary = play(quotes)
    assert (summary.count, summary.total) == expected, name


def test_prices_after_a_gap_are_no_move() -> None:
    """A side that was empty, or a book not believed, leaves no move behind it."""
    lead_lag = LeadLag((1, 1))
    for at_ns, mid in ((0, 50), (10, 50)):
        lead_lag.quote(at_ns // 10, mid, mid, at_ns)
    lead_lag.quote(0, None, 60, 20)
    lead_lag.quote(0, 60, 60, 30)
    lead_lag.quote(1, 55, 55, 40)
    assert lead_lag.summary().total == 0


def test_the_median_is_of_the_last_lags() -> None:
    """A lag that changed is seen once enough new ones have come; memory does not grow."""
    quotes, at_ns, mid = [(0, 0, 0), (0, 1, 0)], 0, 0
    for count, lag_ns in ((500, 100 * MS), (LAGS, 20 * MS)):
        for _ in range(count):
            at_ns, mid = at_ns + 2 * WINDOW_NS, mid + 1
            quotes += [(at_ns, 0, mid), (at_ns + lag_ns, 1, mid)]
    assert play(quotes) == LeadSummary(0, 20 * MS, 500 + LAGS, 500 + LAGS)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.one_of(st.none(), st.integers(0, 20)),
            st.integers(0, 20),
            st.integers(0, 3000),
        ),
        max_size=80,
    )
)
def test_any_quotes_leave_sane_numbers(quotes: list[tuple[int, int | None, int, int]]) -> None:
    """Counts never exceed their total, and a leader has a lag within the window."""
    lead_lag = LeadLag((1, -1, 1))
    for leg, bid, ask, at_ms in quotes:
        lead_lag.quote(leg, bid, ask, at_ms * MS)
    summary = lead_lag.summary()
    assert 0 <= summary.count <= summary.total
    assert (summary.leg >= 0) == (summary.lag_ns > 0)
    assert summary.lag_ns <= WINDOW_NS
