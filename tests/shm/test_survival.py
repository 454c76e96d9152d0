"""Lives counted in shared memory: what comes back, what a restart keeps, and who gives way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shm import layout as lo
from shm import segment as segments
from shm import survival as lives
from shm.survival import LIVES, SurvivalTable, read_survival, survival_section

Own = Callable[..., segments.Segment]
MS = 1_000_000


def test_lives_come_back_in_their_buckets(directory: Path, own: Own) -> None:
    """Each life is in one bucket of its class, ended and censored apart; an unknown class has none."""
    table = SurvivalTable(own([survival_section(4)]))
    for ns in (0, 3 * MS, 3 * MS, -5, 1 << 60):
        assert table.add("spot kraken coinbase", ns, censored=False) == ""
    table.add("spot kraken coinbase", 70 * MS, censored=True)
    counts = table.counts("spot kraken coinbase")
    assert counts is not None
    assert sum(counts.ended) == 5
    assert (counts.ended[0], counts.ended[LIVES.bucket(3 * MS)], counts.ended[LIVES.count - 1]) == (2, 2, 1)
    assert [at for at, count in enumerate(counts.censored) if count] == [LIVES.bucket(70 * MS)]
    assert table.counts("another") is None
    view = read_survival(segments.attach(directory, "w"))
    assert list(view) == ["spot kraken coinbase"]
    assert view["spot kraken coinbase"] == (list(counts.ended), list(counts.censored))


def test_a_restart_keeps_what_was_counted(directory: Path, own: Own) -> None:
    """The next owner goes on with the classes and the order of their use."""
    first = own([survival_section(2)])
    table = SurvivalTable(first)
    table.add("old", MS, censored=False)
    table.add("new", MS, censored=False)
    first.close()
    again = SurvivalTable(own([survival_section(2)]))
    again.add("new", MS, censored=False)
    assert again.add("third", MS, censored=False) == "old"
    found = read_survival(segments.attach(directory, "w"))
    assert {label: sum(counts.ended) for label, counts in found.items()} == {"new": 2, "third": 1}


def test_the_class_without_lives_for_longest_gives_way(own: Own) -> None:
    """The table never grows; what gives way is said and counted, and comes back empty."""
    table = SurvivalTable(own([survival_section(3)]))
    for label in ("a", "b", "c", "a"):
        assert table.add(label, MS, censored=False) == ""
    assert table.add("d", MS, censored=False) == "b"
    assert table.add("b", MS, censored=False) == "c"
    assert table.gave_way == 2
    assert table.counts("c") is None
    again = table.counts("b")
    assert again is not None
    assert sum(again.ended) == 1


def test_a_writer_killed_while_a_row_changes_hands_leaves_it_free(directory: Path, own: Own) -> None:
    """Whatever of a new label is stored, a row without its first word is no class."""
    segment = own([survival_section(1)])
    SurvivalTable(segment).add("a class of a long name", MS, censored=False)
    segment.words(lives.SURVIVAL)[0] = 0
    assert read_survival(segments.attach(directory, "w")) == {}
    assert SurvivalTable(segment).add("b", MS, censored=False) == ""


@pytest.mark.parametrize("label", ["", "x" * (lives.LABEL_BYTES + 1), "é" * lives.LABEL_BYTES])
def test_a_label_that_does_not_fit_is_a_mistake_of_ours(own: Own, label: str) -> None:
    """Two classes are never merged because their names were cut."""
    with pytest.raises(AssertionError):
        SurvivalTable(own([survival_section(1)])).add(label, MS, censored=False)


def test_a_label_of_many_bytes_a_letter_comes_back(directory: Path, own: Own) -> None:
    """A name whose letters lie across words is read as it was written."""
    label = "a" + "é" * 40
    SurvivalTable(own([survival_section(1)])).add(label, MS, censored=False)
    assert list(read_survival(segments.attach(directory, "w"))) == [label]


def test_a_segment_without_lives_reads_as_none(directory: Path, own: Own) -> None:
    """A worker that counts no lives is no trouble; cells of another meaning are refused."""
    own([lo.Section("other", lo.WORDS, 1, 8)])
    assert read_survival(segments.attach(directory, "w")) == {}
    own([lo.Section(lives.SURVIVAL, lo.WORDS, 1, lives.ROW_WORDS, drawing="another")], "v")
    with pytest.raises(segments.SegmentError, match="survival"):
        read_survival(segments.attach(directory, "v"))
