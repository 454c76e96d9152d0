"""Histograms: how long each hop takes, counted in a process's own segment.

In: durations in nanoseconds, one at a time, on the hot path. Out: count, percentiles and maximum by name,
since the file was made or of the last one to two minutes, for `status`, the dashboard and the benches.
Written by the process that measures, read by anyone; the names lie in the segment, so no config is needed.

A row is a WORDS row: 6 words of label, when the older and the newer snapshot were taken, then three banks.
A bank has a count for each bucket of HOPS and one of the negative durations. The first bank counts for
good and only ever grows. The others are copies of it that `rotate` makes once a minute, so what is recent
is the first bank less the older copy: a duration costs one load and one store, and nothing is ever halved
or emptied. Each word is valid by itself, so nothing need be read in one piece.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from shm import layout as lo
from shm.segment import Segment, View

HISTOGRAMS = "histograms"
LABEL_WORDS = 6


@dataclass(frozen=True, slots=True)
class LogBuckets:
    """Log-linear buckets of durations: 2^part_bits to each doubling, 2^resolution_bits ns wide at first.

    From 2^(resolution_bits + part_bits) ns on a bucket is at most 1/2^part_bits of its lower bound wide.
    What lasts 2^longest_bits ns or longer is in the last one, what is negative in the first.
    """

    resolution_bits: int
    part_bits: int
    longest_bits: int

    @property
    def count(self) -> int:
        """How many there are."""
        return (self.longest_bits - self.resolution_bits - self.part_bits + 1) << self.part_bits

    @property
    def longest_ns(self) -> int:
        """The upper bound of the last one."""
        return 1 << self.longest_bits

    def bucket(self, ns: int) -> int:
        """The bucket that counts a duration."""
        value = ns >> self.resolution_bits
        if value < 2 << self.part_bits:
            return max(value, 0)
        shift = value.bit_length() - self.part_bits - 1
        return min((shift << self.part_bits) + (value >> shift), self.count - 1)

    def upper_ns(self, bucket: int) -> int:
        """The first duration above a bucket, which is where the next one begins."""
        shift = max((bucket >> self.part_bits) - 1, 0)
        return (bucket - (shift << self.part_bits) + 1) << shift + self.resolution_bits


HOPS = LogBuckets(resolution_bits=6, part_bits=4, longest_bits=36)
"""From 1 us to 68.7 s in sixteenths of a doubling."""

ROTATE_NS = 60_000_000_000

_OLDER_NS, _NEWER_NS = LABEL_WORDS, LABEL_WORDS + 1
_HEAD_WORDS = lo.LINE
_BUCKETS, _RESOLUTION_BITS, _PART_BITS = HOPS.count, HOPS.resolution_bits, HOPS.part_bits
_LINEAR = 2 << _PART_BITS  # so many buckets are as wide as the first
_NEGATIVE = _BUCKETS
_BANK_WORDS = lo.round_up(_BUCKETS + 1)
ROW_WORDS = _HEAD_WORDS + 3 * _BANK_WORDS
_TOTAL, _NEWER, _OLDER = (slice(at, at + _BANK_WORDS) for at in range(_HEAD_WORDS, ROW_WORDS, _BANK_WORDS))
DRAWING = f"label{LABEL_WORDS} older_ns newer_ns banks:total,newer,older each:{HOPS},negative"


@dataclass(frozen=True, slots=True)
class Summary:
    """A distribution in a few numbers. Each time is the upper bound of its bucket: at most 1/16 too much.

    `count` durations were recorded, `negative` of them were below zero and count as 0. All are 0 where
    nothing was recorded; HOPS.longest_ns stands for that or longer.
    """

    count: int = 0
    p50_ns: int = 0
    p90_ns: int = 0
    p99_ns: int = 0
    max_ns: int = 0
    negative: int = 0


def histogram_section(names: Sequence[str], *, kept: bool = True) -> lo.Section:
    """One histogram a name, 10.6 KB each; `kept` ones go on counting after a restart."""
    assert len(set(names)) == len(names), "two histograms of one name"
    assert all(0 < len(name.encode()) <= LABEL_WORDS * lo.WORD for name in names)
    return lo.Section(HISTOGRAMS, lo.WORDS, len(names), ROW_WORDS, kept=kept, drawing=DRAWING)


class Histograms:
    """The owner's side; exactly one exists per segment. What is recent begins when it is made."""

    def __init__(self, segment: Segment, names: Sequence[str], now_ns: int) -> None:
        self._rows = [segment.words(HISTOGRAMS, row) for row in range(len(names))]
        self._totals: dict[str, memoryview[int]] = {}
        self._rotated_ns = now_ns
        for words, name in zip(self._rows, names, strict=True):
            label = memoryview(array("q", lo.text_to_words(name, LABEL_WORDS)))
            if words[:LABEL_WORDS] != label:
                # An earlier program kept something else in this row.
                words[:] = memoryview(array("q", bytes(ROW_WORDS * lo.WORD)))
                words[:LABEL_WORDS] = label
            words[_OLDER] = words[_NEWER] = words[_TOTAL]
            words[_OLDER_NS] = words[_NEWER_NS] = now_ns
            self._totals[name] = words[_TOTAL]

    def record(self, name: str, ns: int) -> None:
        """Count one duration under a name."""
        counts = self._totals[name]
        # HOPS.bucket, written out: this runs for every message.
        value = ns >> _RESOLUTION_BITS
        if value >= _LINEAR:
            shift = value.bit_length() - _PART_BITS - 1
            value = (shift << _PART_BITS) + (value >> shift)
            if value >= _BUCKETS:
                value = _BUCKETS - 1
        elif value < 0:
            counts[_NEGATIVE] += 1
            value = 0
        counts[value] += 1

    def summary(self, name: str) -> Summary:
        """What was recorded under a name since the segment's file was made."""
        return _summary(self._totals[name].tolist())

    def rotate(self, now_ns: int) -> bool:
        """Move the snapshots on if a minute has passed since the last time; call it once a turn."""
        if now_ns - self._rotated_ns < ROTATE_NS:
            return False
        self._rotated_ns = now_ns
        for words in self._rows:
            words[_OLDER] = words[_NEWER]
            words[_OLDER_NS] = words[_NEWER_NS]
            words[_NEWER] = words[_TOTAL]
            words[_NEWER_NS] = now_ns
        return True


def read_histograms(view: View) -> dict[str, Summary]:
    """What was recorded since the segment's file was made, by name; {} for a segment without histograms.

    Raises SegmentError for cells of another meaning. A reader meets counts of different instants, each
    whole, so a summary may miss the latest durations and nothing else.
    """
    return {_name(words): _summary(words[_TOTAL].tolist()) for words in _rows(view)}


def read_recent(view: View) -> dict[str, Summary]:
    """The same of the last one to two minutes, or since the owner's start if that was later."""
    found = {}
    for words in _rows(view):
        # The snapshot is copied first: counts only grow, so none of these is negative but in a row that
        # its owner is about to give another name.
        older = words[_OLDER].tolist()
        total = words[_TOTAL].tolist()
        found[_name(words)] = _summary([max(0, now - then) for now, then in zip(total, older, strict=True)])
    return found


def recent_since_ns(view: View) -> int:
    """When the time began that `read_recent` speaks of (CLOCK_MONOTONIC); 0 without histograms."""
    return max([words[_OLDER_NS] for words in _rows(view)], default=0)


def _rows(view: View) -> list[memoryview[int]]:
    section = view.sections().get(HISTOGRAMS)
    if section is None:
        return []
    view.check(HISTOGRAMS, DRAWING)
    return [view.words(HISTOGRAMS, row, ROW_WORDS) for row in range(section.rows)]


def _name(words: memoryview[int]) -> str:
    return lo.words_to_text(words[:LABEL_WORDS])


def _summary(bank: list[int]) -> Summary:
    """Percentiles by nearest rank: the smallest bucket that at least so many durations do not exceed."""
    counts = bank[:_BUCKETS]
    count = sum(counts)
    if not count:
        return Summary()
    ranks = [-(-count * percent // 100) for percent in (50, 90, 99, 100)]
    found: list[int] = []
    seen = 0
    for bucket, here in enumerate(counts):
        seen += here
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(HOPS.upper_ns(bucket))
    p50_ns, p90_ns, p99_ns, max_ns = found
    return Summary(count, p50_ns, p90_ns, p99_ns, max_ns, bank[_NEGATIVE])
