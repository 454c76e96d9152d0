"""The door to time: the machine's clocks, and one that stands still until told."""

from __future__ import annotations

import time

import pytest

from pipeline.clock import SLEEP_NS, Clock, ManualClock, SleepWatch, SystemClock


def test_the_system_clock_reads_the_machine() -> None:
    """Its monotonic time is CLOCK_MONOTONIC, comparable between processes; its wall time is the wall's."""
    clock: Clock = SystemClock()
    before = (time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.time_ns())
    found = (clock.monotonic_ns(), clock.wall_ns())
    after = (time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.time_ns())
    assert before[0] <= found[0] <= after[0]
    assert isinstance(found[1], int)
    # The wall clock may be set meanwhile; being off by a day would be another clock.
    assert abs(found[1] - before[1]) < 86_400 * 10**9


def test_the_system_clock_sleeps_at_least_that_long() -> None:
    """A sleep is never shorter than asked."""
    clock = SystemClock()
    start = clock.monotonic_ns()
    clock.sleep(0.002)
    assert clock.monotonic_ns() - start >= 2_000_000


def test_a_manual_clock_moves_only_when_told() -> None:
    """Reading it changes nothing; `advance` moves both of its times by the same."""
    clock: Clock = ManualClock(5, 7)
    assert [(clock.monotonic_ns(), clock.wall_ns()) for _ in range(3)] == [(5, 7)] * 3
    assert isinstance(clock, ManualClock)
    clock.advance(10)
    assert (clock.monotonic_ns(), clock.wall_ns()) == (15, 17)


@pytest.mark.parametrize(("seconds", "ns"), [(0, 0), (1e-9, 1), (0.25, 250_000_000), (3600, 3_600 * 10**9)])
def test_a_manual_sleep_is_an_advance(seconds: float, ns: int) -> None:
    """Sleeping on a manual clock takes no time and moves it to the nanosecond."""
    clock = ManualClock()
    start = clock.monotonic_ns()
    clock.sleep(seconds)
    assert clock.monotonic_ns() - start == ns


def test_a_manual_clock_starts_after_zero() -> None:
    """Stamps of a fresh manual clock are never 0, which everywhere means "not reached"."""
    clock = ManualClock()
    assert clock.monotonic_ns() > 0 < clock.wall_ns()


def test_a_sleep_of_the_machine_is_noticed_once() -> None:
    """Only a sleep of more than two seconds counts, and each is told once."""
    clock = ManualClock()
    watch = SleepWatch(clock)
    assert watch.slept_ns() == 0
    clock.fall_asleep(SLEEP_NS)
    assert watch.slept_ns() == 0
    before = clock.monotonic_ns()
    clock.fall_asleep(60 * SLEEP_NS)
    assert watch.slept_ns() == 60 * SLEEP_NS
    assert watch.slept_ns() == 0
    assert clock.monotonic_ns() == before


def test_this_machine_says_how_long_it_slept() -> None:
    """The time slept is never below zero and stands still while the machine is awake."""
    clock = SystemClock()
    asleep = clock.asleep_ns()
    assert asleep > -1_000_000
    assert abs(clock.asleep_ns() - asleep) < SLEEP_NS
