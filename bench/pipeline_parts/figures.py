"""Figures of `bench pipeline`: what one run at one rate measured.

In: moments of messages and of their opportunities. Out: latencies and hops in microseconds. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HOPS = ("wire_to_socket", "socket_to_book", "book_to_scan", "scan_to_send", "send_to_receive")
DROPPED_SECONDS = 0.5


class Arrival(NamedTuple):
    """An opportunity: which message it saw last, and its moments on the way, nanoseconds."""

    message: int
    socket_ns: int
    publish_ns: int
    scan_ns: int
    send_ns: int
    receive_ns: int


class Sample(NamedTuple):
    """What a process table says now and then: messages sent and not yet taken, resident memory of all."""

    queue: int
    memory_kib: int


@dataclass
class Run:
    """One run. `counted` is how many messages were sent after the part that is dropped; `rate` a second."""

    rate: float
    counted: int
    latencies: list[float] = field(default_factory=list)
    hops: dict[str, list[float]] = field(default_factory=lambda: {hop: [] for hop in HOPS})
    samples: list[Sample] = field(default_factory=list)

    def thirds(self) -> list[list[float]]:
        """The latencies in three equal parts, in the order in which the messages were sent."""
        third = max(1, len(self.latencies) // 3)
        return [self.latencies[:third], self.latencies[third : 2 * third], self.latencies[2 * third :]]


def of(arrivals: Sequence[Arrival], stamps_ns: Sequence[int], first: int, samples: list[Sample]) -> Run:
    """The run of messages `first` on, whose moments are `stamps_ns`. Of repeats the first arrival counts."""
    kept_ns = stamps_ns[0] + round(DROPPED_SECONDS * 1e9)
    counted = sum(stamp >= kept_ns for stamp in stamps_ns)
    measured = Run((len(stamps_ns) - 1) * 1e9 / (stamps_ns[-1] - stamps_ns[0]), counted, samples=samples)
    seen: dict[int, Arrival] = {}
    for arrival in arrivals:
        seen.setdefault(arrival.message - first, arrival)
    for message in sorted(seen):
        if not 0 <= message < len(stamps_ns) or stamps_ns[message] < kept_ns:
            continue
        moments = (stamps_ns[message], *seen[message][1:])
        measured.latencies.append((moments[-1] - moments[0]) / 1e3)
        for hop, start, end in zip(HOPS, moments, moments[1:], strict=False):
            measured.hops[hop].append((end - start) / 1e3)
    return measured


def percentile(many: Sequence[float], share: int) -> float:
    """The value that `share` per cent do not exceed."""
    ordered = sorted(many)
    return ordered[-(-len(ordered) * share // 100) - 1]
