"""The pipeline bench: messages are found again, their moments are in order, nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import pipeline
from bench.pipeline_parts import figures
from bench.pipeline_parts.figures import HOPS, Arrival, Run, Sample, percentile
from bench.pipeline_parts.setting import BASE_SIZE, message_of
from bench.pipeline_parts.worlds import Literal, Ours, World

PAIRS, RATE, SECONDS = 3, 400, 0.7
SECOND_NS = 10**9


@pytest.mark.parametrize("make", [Ours, Literal])
def test_messages_come_through_as_opportunities(make: Callable[..., World], tmp_path: Path) -> None:
    """Of the messages of a whole run most have an opportunity; each hop begins where the last one ended."""
    with make(tmp_path / "w", PAIRS) as world:
        measured = world.measure(RATE, SECONDS)
    assert 0 < measured.counted <= RATE * SECONDS
    # A slow machine lets some be overtaken; it does not lose them all.
    assert measured.counted // 10 < len(measured.latencies) <= measured.counted
    for row in zip(*(measured.hops[hop] for hop in HOPS), measured.latencies, strict=True):
        assert sum(row[:-1]) == pytest.approx(row[-1])
        # A book may be published while a scan that has begun comes to it: that hop alone may be negative.
        assert min(row[:2] + row[3:]) >= 0
    assert measured.samples[-1].queue <= 0 or make is Literal


def test_a_size_tells_the_message() -> None:
    """The first message of each pair adds the first contract, the next round the second."""
    assert message_of("pair-0", BASE_SIZE + 1, 10) == 0
    assert message_of("pair-9", BASE_SIZE + 1, 10) == 9
    assert message_of("pair-2", BASE_SIZE + 4, 10) == 32
    assert message_of("pair-2", BASE_SIZE, 10) < 0


def arrival(message: int, receive_ns: int) -> Arrival:
    return Arrival(message, *(receive_ns - 4_000 + 1_000 * step for step in range(4)), receive_ns)


def test_the_first_half_second_repeats_and_strangers_do_not_count() -> None:
    """Of each message the first arrival; messages of before and of the start of the run are left out."""
    stamps = [number * SECOND_NS // 4 for number in range(1, 9)]
    arrivals = [arrival(100 + number, stamp + 9_000) for number, stamp in enumerate(stamps)]
    arrivals += [arrival(105, stamps[5] + 999_000), arrival(99, stamps[3]), arrival(-7, stamps[3])]
    measured = figures.of(arrivals, stamps, 100, [])
    assert (measured.rate, measured.counted, measured.latencies) == (4.0, 6, [9.0] * 6)
    assert measured.hops["wire_to_socket"] == [5.0] * 6
    assert measured.hops["send_to_receive"] == [1.0] * 6


def test_percentiles_are_values_that_so_many_do_not_exceed() -> None:
    """Of a hundred values the 99th, of three the middle one."""
    assert [percentile(range(1, 101), share) for share in (1, 50, 99)] == [1, 50, 99]
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0


def test_growth_compares_the_ends_of_a_run() -> None:
    """Latencies, queue and memory of the first third beside those of the last."""
    samples = [Sample(queue, 1_000 + queue) for queue in (5, 6, 7, 50, 50, 50, 90, 91, 95)]
    found = pipeline.growth(Run(30_000.0, 9, [1.0] * 3 + [5.0] * 3 + [9.0] * 3, samples=samples))
    assert found == {
        "sustained_a_second": 30_000.0,
        "sustained_first_third_p50_us": 1.0,
        "sustained_first_third_queue_messages": 6,
        "sustained_first_third_memory_kib": 1_007,
        "sustained_last_third_p50_us": 9.0,
        "sustained_last_third_queue_messages": 91,
        "sustained_last_third_memory_kib": 1_095,
    }
