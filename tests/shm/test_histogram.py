"""Histograms in shared memory: widths, percentiles, what is recent, restarts and readers of a moving one."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm import histogram as hist
from shm import layout as lo
from shm import segment as segments
from shm.histogram import HOPS, Histograms, Summary, histogram_section, read_histograms, read_recent

Own = Callable[..., segments.Segment]
NAMES = ("feed.socket_to_book", "scanner.book_to_scan")
MS, SECOND = 1_000_000, 1_000_000_000


@given(st.integers(1_000, HOPS.longest_ns - 1))
def test_a_bucket_is_at_most_a_sixteenth_wide(ns: int) -> None:
    """From 1 us to 68 s a duration lies in its bucket, and the bucket's bound is 10 % off at most."""
    bucket = HOPS.bucket(ns)
    lower = HOPS.upper_ns(bucket - 1) if bucket else 0
    assert lower <= ns < HOPS.upper_ns(bucket)
    assert HOPS.upper_ns(bucket) - lower <= max(64, lower / 16)
    assert HOPS.upper_ns(bucket) <= ns * 1.1


def test_buckets_follow_each_other_without_a_hole() -> None:
    """Each bound belongs to the next bucket, the last bound is the longest duration."""
    for bucket in range(HOPS.count - 1):
        assert HOPS.bucket(HOPS.upper_ns(bucket) - 1) == bucket
        assert HOPS.bucket(HOPS.upper_ns(bucket)) == bucket + 1
    assert HOPS.upper_ns(HOPS.count - 1) == HOPS.longest_ns > 60 * SECOND


def test_percentiles_are_those_of_what_was_recorded(directory: Path, own: Own) -> None:
    """A hundred durations of 1..100 ms: p50, p90, p99 and the maximum, each a sixteenth too much at most."""
    histograms = Histograms(own([histogram_section(NAMES)]), NAMES, 0)
    for ms in range(100, 0, -1):
        histograms.record(NAMES[1], ms * MS)
    found = read_histograms(segments.attach(directory, "w"))
    assert list(found) == list(NAMES)
    assert found[NAMES[0]] == Summary()
    summary = found[NAMES[1]]
    assert (summary.count, summary.negative) == (100, 0)
    shown_ns = summary.p50_ns, summary.p90_ns, summary.p99_ns, summary.max_ns
    for shown, exact in zip(shown_ns, (50, 90, 99, 100), strict=True):
        assert exact * MS < shown <= exact * MS * 17 // 16


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-SECOND, 200 * SECOND), min_size=1, max_size=60))
def test_the_written_out_index_is_the_bucket(durations: list[int]) -> None:
    """What `record` counts is what the buckets say, negative and endless durations too."""
    view, histograms = _in_memory()
    for ns in durations:
        histograms.record("hop", ns)
    counts = view[lo.LINE :].tolist()[: HOPS.count]
    assert counts == [[HOPS.bucket(ns) for ns in durations].count(at) for at in range(HOPS.count)]
    assert view[lo.LINE + HOPS.count] == sum(ns < 0 for ns in durations)


def _in_memory() -> tuple[memoryview[int], Histograms]:
    """Histograms over plain memory instead of a file."""
    section = histogram_section(("hop",))
    placed, words = lo.place([section])
    cells = memoryview(array("q", bytes(words * lo.WORD)))
    segment = segments.Segment(Path("none"), -1, cells, placed)
    return segment.words(hist.HISTOGRAMS), Histograms(segment, ("hop",), 0)


def test_what_is_out_of_range_is_clamped_and_counted(directory: Path, own: Own) -> None:
    """A clock that went back is the first bucket and a count of its own; an hour is the last bucket."""
    histograms = Histograms(own([histogram_section(NAMES)]), NAMES, 0)
    histograms.record(NAMES[0], -5 * SECOND)
    histograms.record(NAMES[0], 3600 * SECOND)
    found = read_histograms(segments.attach(directory, "w"))[NAMES[0]]
    assert found == Summary(2, 64, HOPS.longest_ns, HOPS.longest_ns, HOPS.longest_ns, 1)


def test_recent_forgets_after_two_minutes(directory: Path, own: Own) -> None:
    """What was recorded is recent for one to two minutes, and counts for good."""
    histograms = Histograms(own([histogram_section(NAMES)]), NAMES, 0)
    view = segments.attach(directory, "w")
    histograms.record(NAMES[0], MS)
    assert not histograms.rotate(59 * SECOND)
    assert histograms.rotate(60 * SECOND)
    histograms.record(NAMES[0], 9 * MS)
    assert read_recent(view)[NAMES[0]].count == 2
    assert hist.recent_since_ns(view) == 0
    assert histograms.rotate(120 * SECOND)
    recent = read_recent(view)[NAMES[0]]
    assert (recent.count, hist.recent_since_ns(view)) == (1, 60 * SECOND)
    assert 9 * MS < recent.p50_ns < 10 * MS
    assert histograms.rotate(180 * SECOND)
    assert read_recent(view)[NAMES[0]] == Summary()
    assert read_histograms(view)[NAMES[0]].count == 2


def test_a_restart_goes_on_counting_and_begins_what_is_recent(directory: Path, own: Own) -> None:
    """Kept counts outlive their owner; what is recent is the new owner's alone."""
    first = own([histogram_section(NAMES)])
    Histograms(first, NAMES, 0).record(NAMES[0], MS)
    first.close()
    again = Histograms(own([histogram_section(NAMES)]), NAMES, 7 * SECOND)
    again.record(NAMES[0], 2 * MS)
    view = segments.attach(directory, "w")
    assert read_histograms(view)[NAMES[0]].count == 2
    assert read_recent(view)[NAMES[0]].count == 1
    assert hist.recent_since_ns(view) == 7 * SECOND


def test_a_row_of_another_name_starts_empty(directory: Path, own: Own) -> None:
    """A program whose hops have other names does not inherit the counts of those that lay there."""
    first = own([histogram_section(NAMES)])
    Histograms(first, NAMES, 0).record(NAMES[0], MS)
    first.close()
    Histograms(own([histogram_section(("x", NAMES[1]))]), ("x", NAMES[1]), 0)
    assert read_histograms(segments.attach(directory, "w")) == {"x": Summary(), NAMES[1]: Summary()}


def test_a_segment_without_histograms_reads_as_none(directory: Path, own: Own) -> None:
    """A worker that measures nothing is no trouble; cells of another meaning are refused."""
    own([lo.Section("other", lo.WORDS, 1, 8)])
    view = segments.attach(directory, "w")
    assert read_histograms(view) == read_recent(view) == {}
    assert hist.recent_since_ns(view) == 0
    own([lo.Section(hist.HISTOGRAMS, lo.WORDS, 1, hist.ROW_WORDS, drawing="another")], "v")
    with pytest.raises(segments.SegmentError, match="histograms"):
        read_histograms(segments.attach(directory, "v"))


def test_a_snapshot_half_made_is_never_negative(directory: Path, own: Own) -> None:
    """A writer killed between the copies of a rotation leaves counts that only miss what is older."""
    segment = own([histogram_section(("a",))])
    histograms = Histograms(segment, ("a",), 0)
    for _ in range(10):
        histograms.record("a", MS)
    words = segment.words(hist.HISTOGRAMS)
    bank = (hist.ROW_WORDS - lo.LINE) // 3
    half = lo.LINE + bank, lo.LINE + 2 * bank
    words[half[0] : half[0] + bank // 2] = words[lo.LINE : lo.LINE + bank // 2]
    words[half[1] : half[1] + bank // 2] = words[half[0] : half[0] + bank // 2]
    view = segments.attach(directory, "w")
    assert 0 <= read_recent(view)["a"].count <= 10
    assert read_histograms(view)["a"].count == 10
