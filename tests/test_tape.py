"""Tapes: every sound line is read, every broken one is named, and nothing stops the reading."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from pipeline import tape
from pipeline.tape import BrokenLine, TapeLine, read


def line(number: int, **more: object) -> str:
    return json.dumps({"t": number, "venue": "v", "conn": 0, "data": f"frame {number}", **more})


def text(count: int) -> bytes:
    return "".join(line(number) + "\n" for number in range(1, count + 1)).encode()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "t.jsonl": bytes,
    "t.jsonl.gz": gzip.compress,
    "t.jsonl.zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize(("name", "pack"), PACKERS.items())
def test_frames_come_in_order_however_they_are_packed(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    """The same lines come out of plain text, gzip and zstandard; members may follow each other."""
    path = write(tmp_path / name, pack(text(3000)) + pack(line(3001).encode()))
    lines = list(read(path))
    assert len(lines) == 3001
    assert lines[0] == TapeLine(1, 1, "v", 0, "frame 1")
    assert lines[-1] == TapeLine(3001, 3001, "v", 0, "frame 3001")


def test_fields_of_a_line(tmp_path: Path) -> None:
    """Unknown keys are ignored, `conn` may be text, and what we sent is marked."""
    content = line(1, conn="ws.2", extra=[1]) + "\n\n" + line(2, dir="out") + "\r\n" + line(3)
    lines = list(read(write(tmp_path / "t.jsonl", content.encode())))
    assert lines == [
        TapeLine(1, 1, "v", "ws.2", "frame 1"),
        TapeLine(3, 2, "v", 0, "frame 2", out=True),
        TapeLine(4, 3, "v", 0, "frame 3"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"nonsense",
        b"[]",
        b"\xff\xfe",
        b'{"t":1,"venue":"v","conn":0}',
        b'{"t":"1","venue":"v","conn":0,"data":""}',
        b'{"t":1,"venue":5,"conn":0,"data":""}',
        b'{"t":1,"venue":"v","conn":0,"data":{"a":1}}',
        b'{"t":1,"venue":"v","conn":0,"data":"\\ud800"}',
        b'{"t":1,"venue":"v","conn":0,"data":"\xff"}',
        b'{"x":' + b"[" * 100_000 + b"}",
    ],
)
def test_a_broken_line_is_named_and_the_next_is_read(tmp_path: Path, broken: bytes) -> None:
    """Its number and a reason come out in its place."""
    path = write(tmp_path / "t.jsonl", line(1).encode() + b"\n" + broken + b"\n" + text(1))
    first, second, third = read(path)
    assert isinstance(second, BrokenLine)
    assert (second.number, bool(second.why)) == (2, True)
    assert isinstance(first, TapeLine)
    assert isinstance(third, TapeLine)


@pytest.mark.parametrize("end", [b"", b"\n" + text(1)])
def test_a_line_beyond_bounds_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    """It is named like any broken line and never held as a whole."""
    monkeypatch.setattr(tape, "LINE_MAX", 1000)
    path = write(tmp_path / "t.jsonl", text(2) + b"x" * 200_000 + end)
    lines = list(read(path))
    assert lines[2] == BrokenLine(3, "longer than 1000 bytes")
    assert [isinstance(one, TapeLine) for one in lines[3:]] == [True] * bool(end)


@pytest.mark.parametrize("name", ["t.jsonl.gz", "t.jsonl.zst"])
def test_a_file_cut_short_gives_what_came_before(tmp_path: Path, name: str) -> None:
    """The sound lines come first, and then one broken line says where it ends."""
    noise = "".join(line(n, noise=str(hash((n, 1)))) + "\n" for n in range(1, 20_001)).encode()
    packed = PACKERS[name](noise)
    *sound, last = read(write(tmp_path / name, packed[: len(packed) // 2]))
    assert len(sound) > 1000
    assert all(isinstance(one, TapeLine) for one in sound)
    assert isinstance(last, BrokenLine)
    assert "cannot be unpacked" in last.why
    assert last.number == len(sound) + 1


@pytest.mark.parametrize("name", ["t.jsonl.gz", "t.jsonl.zst"])
def test_a_file_that_is_not_packed_as_it_says_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing in it can be read, so the file is at fault, not a line."""
    with pytest.raises(OSError, match="cannot be unpacked"):
        list(read(write(tmp_path / name, text(2))))


@pytest.mark.parametrize("name", ["t.jsonl.bz2", "t.json.xz", "t.zip", "t"])
def test_an_unknown_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    """The error says what a tape's name ends in."""
    with pytest.raises(OSError, match=r"\.jsonl, \.gz nor \.zst"):
        list(read(write(tmp_path / name, text(1))))


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    """FileNotFoundError names the file."""
    with pytest.raises(FileNotFoundError, match="absent"):
        list(read(tmp_path / "absent.jsonl"))


@pytest.mark.parametrize("name", PACKERS)
def test_an_empty_tape_has_no_lines(tmp_path: Path, name: str) -> None:
    """Nothing was recorded, which is no fault."""
    assert list(read(write(tmp_path / name, PACKERS[name](b"")))) == []
