"""The drawing of a segment: what lies where in the memory file of one process.

In: row declarations. Out: offsets, sizes and a hash of them. Every process that creates or reads a
segment uses these; nothing here touches a file. All cells are 64-bit little-endian words.

    word 0                header: one page of 512 words
    +------------------+
    | 0 magic          |  "PARALLAX"
    | 1 layout version |  LAYOUT_VERSION: a reader refuses any other
    | 2 layout hash    |  of every section's name, kind, rows and cells
    | 3 spare          |
    | 4 ready          |  1 when the rest may be believed; written last
    | 5 retired        |  1 when a new file has taken this one's name
    | 6 epoch          |  + 1 at each start of the owner
    | 7 pid  8 start   |  owner, and its start time in clock ticks: a pid alone can be reused
    | 9 config version |
    | 10 heartbeat_ns  |  CLOCK_MONOTONIC of the owner's loop
    | 11 busy_until_ns |  the owner is in a bounded wait until then
    | 12 started_ns  13 started_wall_ns
    | 14 sleeping      |  scanner: ring my bell
    | 15 sections      |  how many entries the directory has
    | 16..17 boot id   |
    | 24..31 name      |  worker name, 64 bytes of text
    | 64.. directory   |  8 words a section: name (4), kind and meaning << 8, rows, words a row, offset
    +------------------+
    word 512              sections, each starting on a cache line

A WORDS section is a plain matrix: each word is valid by itself. A SLOTS section has rows that must be
read whole: a row is 8 words (the published number first) and four slots of [begin, words, end].
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

MAGIC = int.from_bytes(b"PARALLAX", "little")
LAYOUT_VERSION = 1
WORD = 8
LINE = 8  # words in a cache line
HEADER_WORDS = 512

H_MAGIC, H_VERSION, H_HASH, H_SPARE, H_READY, H_RETIRED, H_EPOCH, H_PID, H_PID_START = range(9)
H_CONFIG_VERSION, H_HEARTBEAT_NS, H_BUSY_UNTIL_NS, H_STARTED_NS, H_STARTED_WALL_NS = range(9, 14)
H_SLEEPING, H_SECTIONS, H_BOOT_ID = 14, 15, 16
H_NAME, NAME_WORDS = 24, 8
H_DIRECTORY, DIRECTORY_ENTRY_WORDS, MAX_SECTIONS = 64, 8, 32
SECTION_NAME_WORDS = 4

WORDS, SLOTS = 1, 2
SLOT_COUNT = 4
ROW_HEAD_WORDS = LINE
SPARE_WORDS = 8

assert H_NAME + NAME_WORDS <= H_DIRECTORY
assert H_DIRECTORY + MAX_SECTIONS * DIRECTORY_ENTRY_WORDS <= HEADER_WORDS


def round_up(words: int) -> int:
    """Round a count of words up to whole cache lines."""
    return (words + LINE - 1) // LINE * LINE


class Section(NamedTuple):
    """One table of a segment: `rows` rows of `words` payload words.

    `kept` sections survive a restart of their owner; the rows of others are emptied.
    `drawing` names the cells, so that a changed meaning changes the layout hash too.
    """

    name: str
    kind: int
    rows: int
    words: int
    kept: bool = False
    drawing: str = ""

    @property
    def slot_words(self) -> int:
        """Words of one slot: begin stamp, payload, end stamp, padding."""
        return round_up(self.words + 2)

    @property
    def row_words(self) -> int:
        """Words from one row to the next."""
        if self.kind == SLOTS:
            return ROW_HEAD_WORDS + SLOT_COUNT * self.slot_words
        return self.words

    @property
    def total_words(self) -> int:
        """Words of the whole section."""
        return round_up(self.rows * self.row_words)


class Placed(NamedTuple):
    """A section, the word at which it begins, and what its cells mean, hashed (`meaning`)."""

    section: Section
    offset: int
    meaning: int = 0


@lru_cache(maxsize=256)
def meaning(drawing: str) -> int:
    """First 48 bits of a drawing's SHA-256: readers compare it, so that no cell is misread as another."""
    return int.from_bytes(hashlib.sha256(drawing.encode()).digest()[:6], "little")


def place(sections: Iterable[Section]) -> tuple[dict[str, Placed], int]:
    """Lay sections out after the header; return them by name and the segment's size in words."""
    placed: dict[str, Placed] = {}
    offset = HEADER_WORDS
    for section in sections:
        assert len(section.name.encode()) <= SECTION_NAME_WORDS * WORD, section.name
        assert section.name not in placed, section.name
        assert section.rows > 0 and section.words > 0, section.name
        placed[section.name] = Placed(section, offset, meaning(section.drawing))
        offset += section.total_words
    assert len(placed) <= MAX_SECTIONS
    return placed, offset


def layout_hash(sections: Iterable[Section]) -> int:
    """First 63 bits of the SHA-256 of the drawing; equal hashes may share a file."""
    text = repr([LAYOUT_VERSION, *((s.name, s.kind, s.rows, s.words, s.drawing) for s in sections)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def text_to_words(text: str, words: int) -> list[int]:
    """Pack text into words as UTF-8, cut at a character boundary, padded with zeros."""
    raw = _encoded(text, words * WORD).ljust(words * WORD, b"\0")
    return [int.from_bytes(raw[i : i + WORD], "little", signed=True) for i in range(0, words * WORD, WORD)]


def words_to_text(words: Iterable[int]) -> str:
    """Unpack text packed by `text_to_words`; foreign bytes show as replacement characters."""
    return _decoded(b"".join(word.to_bytes(WORD, "little", signed=True) for word in words))


@lru_cache(maxsize=4096)
def _encoded(text: str, size: int) -> bytes:
    """UTF-8 of at most so many bytes, cut at a character boundary. Rows repeat their texts."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore").encode("utf-8")


@lru_cache(maxsize=4096)
def _decoded(raw: bytes) -> str:
    """Text up to the first zero; foreign bytes show as replacement characters."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


RowT = TypeVar("RowT", bound=tuple[Any, ...])


class Record(Generic[RowT]):
    """Packs a NamedTuple of int and `Annotated[str, bytes]` fields into words, and back.

    The class is the declaration: its annotations give each field's cells, and the drawing that
    enters the layout hash. Eight spare words follow, named and zero. All of it is worked out when it is
    first asked for: a worker uses few of the records, and must be there soon after a restart.
    """

    def __init__(self, row_type: type[RowT]) -> None:
        self.row_type = row_type

    @cached_property
    def fields(self) -> list[tuple[str, int]]:
        """Name and words of each field; 0 words is an integer."""
        fields = []
        for name, hint in get_type_hints(self.row_type, include_extras=True).items():
            if hint is int:
                fields.append((name, 0))
            else:
                assert get_origin(hint) is Annotated and get_args(hint)[0] is str, (self.row_type, name)
                assert get_args(hint)[1] % WORD == 0, (self.row_type, name)
                fields.append((name, get_args(hint)[1] // WORD))
        return fields

    @cached_property
    def words(self) -> int:
        """Payload words of a row, spare ones included."""
        return sum(words or 1 for _, words in self.fields) + SPARE_WORDS

    @cached_property
    def drawing(self) -> str:
        """The row's name and its cells, as text."""
        return f"{self.row_type.__name__}:{self.fields}"

    @cached_property
    def _struct(self) -> struct.Struct:
        # One call packs a row: a scanner writes thousands of them a second.
        cells = "".join(f"{words * WORD}s" if words else "q" for _, words in self.fields)
        return struct.Struct(f"={cells}{SPARE_WORDS * WORD}x")

    @cached_property
    def _texts(self) -> list[tuple[int, int]]:
        return [(at, words * WORD) for at, (_, words) in enumerate(self.fields) if words]

    @cached_property
    def _empty(self) -> RowT:
        return self.unpack(array("q", bytes(self.words * WORD)))

    def pack(self, row: RowT) -> array[int]:
        """Words of one row. Raises OverflowError when an integer is beyond int64."""
        values = list(row)
        for at, size in self._texts:
            values[at] = _encoded(values[at], size)
        try:
            packed = self._struct.pack(*values)
        except struct.error as error:
            raise OverflowError(f"{self.row_type.__name__}: {error}") from error
        return array("q", packed)

    def unpack(self, cells: array[int]) -> RowT:
        """The row that `pack` made words of."""
        values = list(self._struct.unpack(cells.tobytes()))
        for at, _ in self._texts:
            values[at] = _decoded(values[at])
        return self.row_type._make(values)  # type: ignore[attr-defined,no-any-return]

    def empty(self) -> RowT:
        """A row of zeros and empty texts."""
        return self._empty

    def section(self, name: str, rows: int, *, kept: bool = False) -> Section:
        """A SLOTS section holding `rows` such records."""
        return Section(name, SLOTS, rows, self.words, kept, self.drawing)
