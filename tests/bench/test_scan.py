"""The scan bench: both ways find the same lanes, and its figures stand in the order that is claimed."""

from __future__ import annotations

from pathlib import Path
from random import Random

from bench import scan
from pipeline.books import FeedBooks
from pipeline.clock import ManualClock
from pipeline.model import StateLimits

TEN_TIMES = 10


def test_the_vectorised_scan_is_faster_than_a_loop_over_numpy_scalars(tmp_path: Path) -> None:
    """1,000 pairs, the same lanes found (asserted inside), and more than three times as fast."""
    figures = scan.full_scan(tmp_path, 1_000, Random(1))
    assert figures["full_scan_1000_ratio"] > 3
    assert figures["full_scan_1000"] < TEN_TIMES * scan.GOALS_US["full_scan_1000"]


def test_the_literal_loop_numbers_lanes_as_the_screen_does(tmp_path: Path) -> None:
    """One book of one pair below the other venue's bids: one direction of that pair crosses."""
    clock = ManualClock()
    with scan.feeds(tmp_path, 5, clock, Random(2)) as written:
        books = FeedBooks(tmp_path, written, StateLimits())
        books.refresh(clock.monotonic_ns())
        literal = scan.Literal(books, 5, clock.monotonic_ns())
        assert literal.crossed() == []
        written[scan.KALSHI].put(3, 1, 2)
        assert literal.crossed() == [6]
        written[scan.KALSHI].put(3, 97, 98)
        assert literal.crossed() == [7]


def test_a_pair_that_does_not_cross_costs_less_than_one_that_does(tmp_path: Path) -> None:
    """Turns of the real scanner: each crossing one sends, no other does (asserted inside)."""
    figures = scan.dirty_pair(tmp_path, Random(3), turns=150)
    assert 2 * figures["dirty_pair"] < min(figures["dirty_pair_crossing"], figures["dirty_pair_sent"])
    assert figures["dirty_pair"] < TEN_TIMES * scan.GOALS_US["dirty_pair"]
    assert figures["dirty_pair_crossing"] < TEN_TIMES * scan.GOALS_US["dirty_pair_crossing"]
