"""The drawing of a segment: every offset follows from it, and rows survive packing."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm import layout as lo
from shm import records
from shm.books import BOOK_HEAD_WORDS, CONNECTION_WORDS, ConnectionRow, feed_sections
from shm.layout import Record
from shm.segment import Segment, SegmentError, attach
from shm.tables import TableReader

INT64 = st.integers(-(2**63), 2**63 - 1)
ALL_RECORDS = {name: value for name, value in vars(records).items() if isinstance(value, Record)}


def test_header_words_do_not_overlap() -> None:
    """The named words, the name and the directory lie apart, inside one page."""
    single = [
        lo.H_MAGIC, lo.H_VERSION, lo.H_HASH, lo.H_SPARE, lo.H_READY, lo.H_RETIRED, lo.H_EPOCH, lo.H_PID,
        lo.H_PID_START, lo.H_CONFIG_VERSION, lo.H_HEARTBEAT_NS, lo.H_BUSY_UNTIL_NS, lo.H_STARTED_NS,
        lo.H_STARTED_WALL_NS, lo.H_SLEEPING, lo.H_SECTIONS,
    ]  # fmt: skip
    used = [
        *single,
        *range(lo.H_BOOT_ID, lo.H_BOOT_ID + 2),
        *range(lo.H_NAME, lo.H_NAME + lo.NAME_WORDS),
        *range(lo.H_DIRECTORY, lo.H_DIRECTORY + lo.MAX_SECTIONS * lo.DIRECTORY_ENTRY_WORDS),
    ]
    assert len(set(used)) == len(used)
    assert max(used) < lo.HEADER_WORDS
    assert single == list(range(16))
    assert lo.HEADER_WORDS * lo.WORD == 4096
    assert lo.MAGIC.to_bytes(8, "little") == b"PARALLAX"


def test_the_drawing_shows_the_offsets() -> None:
    """The numbers in the drawing of layout.py are those of the constants."""
    drawing = lo.__doc__ or ""
    for word, name in [
        (lo.H_MAGIC, "magic"), (lo.H_VERSION, "layout version"), (lo.H_HASH, "layout hash"),
        (lo.H_READY, "ready"), (lo.H_RETIRED, "retired"), (lo.H_EPOCH, "epoch"), (lo.H_PID, "pid"),
        (lo.H_CONFIG_VERSION, "config version"), (lo.H_HEARTBEAT_NS, "heartbeat_ns"),
        (lo.H_BUSY_UNTIL_NS, "busy_until_ns"), (lo.H_SLEEPING, "sleeping"), (lo.H_SECTIONS, "sections"),
    ]:  # fmt: skip
        assert f"| {word} {name}" in drawing
    assert f"| {lo.H_NAME}..{lo.H_NAME + lo.NAME_WORDS - 1} name" in drawing
    assert f"| {lo.H_DIRECTORY}.. directory" in drawing
    assert f"word {lo.HEADER_WORDS}" in drawing


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([lo.WORDS, lo.SLOTS]), st.integers(1, 9), st.integers(1, 40)),
        min_size=1,
        max_size=6,
    )
)
def test_sections_lie_side_by_side(shapes: list[tuple[int, int, int]]) -> None:
    """Each section begins on a cache line right after the one before; the size is their sum."""
    sections = [lo.Section(f"s{i}", *shape) for i, shape in enumerate(shapes)]
    placed, words = lo.place(sections)
    end = lo.HEADER_WORDS
    for section in sections:
        assert placed[section.name].offset == end
        assert end % lo.LINE == 0
        assert section.rows * section.row_words <= section.total_words
        end += section.total_words
    assert words == end


@settings(deadline=None)
@given(st.integers(1, 300))
def test_slots_of_a_row_do_not_touch(words: int) -> None:
    """A slot holds both stamps and the payload, and no two slots share a cache line."""
    section = lo.Section("s", lo.SLOTS, 3, words)
    assert section.slot_words >= words + 2
    assert section.slot_words % lo.LINE == 0
    assert section.row_words == lo.LINE + 4 * section.slot_words


def test_sizes_of_a_feed() -> None:
    """A book of 25 levels has 119 words and its row 4 slots of 128; 64 markets fit into 640 KiB."""
    sections = {section.name: section for section in feed_sections(64, 25, 1)}
    assert BOOK_HEAD_WORDS == 19 and len(ConnectionRow._fields) + lo.SPARE_WORDS == CONNECTION_WORDS
    assert sections["books"].words == 19 + 4 * 25
    assert sections["books"].row_words == 8 + 4 * 128
    assert (sections["screen"].rows, sections["screen"].words) == (1, 8 * 64)
    assert lo.place(sections.values())[1] * lo.WORD < 640 * 1024


def test_the_hash_follows_the_meaning() -> None:
    """Another name, size, kind or cell gives another layout hash; what is kept does not matter."""
    base = lo.Section("s", lo.SLOTS, 4, 10, drawing="a,b")
    others = [
        lo.Section("t", lo.SLOTS, 4, 10, drawing="a,b"),
        lo.Section("s", lo.WORDS, 4, 10, drawing="a,b"),
        lo.Section("s", lo.SLOTS, 5, 10, drawing="a,b"),
        lo.Section("s", lo.SLOTS, 4, 11, drawing="a,b"),
        lo.Section("s", lo.SLOTS, 4, 10, drawing="a,c"),
    ]
    assert len({lo.layout_hash([section]) for section in [base, *others]}) == 6
    assert lo.layout_hash([base]) == lo.layout_hash([lo.Section("s", lo.SLOTS, 4, 10, True, "a,b")])
    assert 0 <= lo.layout_hash([base]) < 2**63


@pytest.mark.parametrize(
    "sections",
    [
        [lo.Section("s", lo.WORDS, 1, 1), lo.Section("s", lo.WORDS, 1, 1)],
        [lo.Section("s" * 33, lo.WORDS, 1, 1)],
        [lo.Section("s", lo.WORDS, 0, 1)],
        [lo.Section("s", lo.SLOTS, 1, 0)],
        [lo.Section(f"s{i}", lo.WORDS, 1, 1) for i in range(33)],
    ],
    ids=["twice", "long", "no rows", "no words", "many"],
)
def test_impossible_drawings_are_refused(sections: list[lo.Section]) -> None:
    """A drawing that a reader could not follow is a broken invariant."""
    with pytest.raises(AssertionError):
        lo.place(sections)


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(1, 6))
def test_text_is_cut_at_a_character(text: str, words: int) -> None:
    """Packed text comes back up to its first NUL, cut to whole characters that fit."""
    packed = lo.text_to_words(text, words)
    assert len(packed) == words
    got = lo.words_to_text(packed)
    clean = text.encode("utf-8", "replace").decode().split("\0", 1)[0]
    assert clean.startswith(got)
    missing = clean[len(got) : len(got) + 1]
    assert not missing or len((got + missing).encode()) > words * lo.WORD


@settings(deadline=None)
@given(st.lists(INT64, max_size=5))
def test_foreign_words_are_text_all_the_same(words: list[int]) -> None:
    """Whatever words lie there, text can be made of them."""
    assert len(lo.words_to_text(words)) <= 8 * len(words)


def test_hostile_text_stays_inside_its_cells() -> None:
    """Lone surrogates, NUL and escapes are kept as text or replaced, never an error."""
    assert lo.words_to_text(lo.text_to_words("a\ud800b", 2)) == "a?b"
    assert lo.words_to_text(lo.text_to_words("a\0b", 2)) == "a"
    assert lo.words_to_text(lo.text_to_words("\x1b[31m", 2)) == "\x1b[31m"
    assert lo.words_to_text(lo.text_to_words("é" * 20, 2)) == "é" * 8
    assert lo.words_to_text(lo.text_to_words("abcdefg€", 1)) == "abcdefg"


def rows_of(record: Record) -> st.SearchStrategy:
    cells = [
        INT64
        if not words
        else st.text(string.printable + "é€😀", max_size=words * lo.WORD).filter(
            lambda text, room=words * lo.WORD: len(text.encode()) <= room
        )
        for _, words in record.fields
    ]
    return st.tuples(*cells).map(record.row_type._make)


@pytest.mark.parametrize("record", ALL_RECORDS.values(), ids=ALL_RECORDS)
def test_records_come_back(record: Record) -> None:
    """Every record of ours comes back as it was packed, in the words that it declares."""

    @settings(deadline=None)
    @given(rows_of(record))
    def check(row: tuple) -> None:
        packed = record.pack(row)
        assert len(packed) == record.words
        assert list(packed[-lo.SPARE_WORDS :]) == [0] * lo.SPARE_WORDS
        assert record.unpack(packed) == row

    check()
    assert record.pack(record.empty()).count(0) == record.words
    assert all(not value for value in record.empty())


def test_a_record_is_its_annotations() -> None:
    """Fields give cells; a number beyond int64, and text of half words, are refused."""

    class Row(NamedTuple):
        name: Annotated[str, 16]
        size: int

    record = Record(Row)
    assert record.words == 2 + 1 + 8
    with pytest.raises(OverflowError):
        record.pack(Row("a", 2**63))

    class Odd(NamedTuple):
        name: Annotated[str, 15]

    with pytest.raises(AssertionError):
        Record(Odd).fields  # noqa: B018 - worked out when it is asked for

    class Renamed(NamedTuple):
        name: Annotated[str, 16]
        amount: int

    drawn = [lo.layout_hash([r.section("t", 1)]) for r in (record, Record(Renamed))]
    assert drawn[0] != drawn[1]


def test_a_reader_refuses_cells_of_another_meaning(own: Callable[..., Segment], directory: Path) -> None:
    """Two programs whose rows have equal length but other fields do not misread each other."""

    class Ours(NamedTuple):
        price: int
        size: int

    class Theirs(NamedTuple):
        size: int
        price: int

    own([lo.Record(Theirs).section("rows", 2)])
    view = attach(directory, "w")
    TableReader(view, "rows", lo.Record(Theirs))
    with pytest.raises(SegmentError, match="same checkout"):
        TableReader(view, "rows", lo.Record(Ours))
