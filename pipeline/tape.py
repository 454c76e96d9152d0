"""Tape: the file of what a venue really sent, read line by line.

In: a .jsonl, .jsonl.gz or .jsonl.zst file (DESIGN 8). Out: its frames in order, and a value for
each line that is broken. A door: files, gzip, zstandard. Used by `run.py books` and the replay.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

# The largest frame seen is 5 MB. A longer line is broken; it is skipped without being held.
LINE_MAX = 64 * 1024 * 1024
_CHUNK = 64 * 1024
# Compressed text is read in small pieces: 16 KiB cannot become more than a few hundred MB.
_PACKED_CHUNK = 16 * 1024
_GZIP = 31  # zlib's wbits for a gzip header and trailer


@dataclass(frozen=True, slots=True)
class TapeLine:
    """One frame. `t_ns` is wall clock at receipt; `out` marks what we sent; lines count from 1."""

    number: int
    t_ns: int
    venue: str
    conn: float | str
    data: str
    out: bool = False


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that is no frame, or (`final`) the place from which the file cannot be read further."""

    number: int
    why: str
    final: bool = False


class _Line(msgspec.Struct, gc=False):
    """A line's JSON. Keys that are not named here are ignored."""

    t: int
    venue: str
    conn: int | float | str
    data: str
    dir: str = "in"


_decode = msgspec.json.Decoder(_Line).decode


class _Unreadable(Exception):
    """The packed text is damaged or cut off here; `unpacked` says whether any came before it."""

    def __init__(self, why: str, *, unpacked: bool) -> None:
        super().__init__(why)
        self.unpacked = unpacked


def read(path: str | Path) -> Iterator[TapeLine | BrokenLine]:
    """Yield a tape's lines in order, streaming. Blank lines are passed over.

    Raises OSError when the file cannot be opened, when its name does not say how it is packed, or
    when nothing in it can be unpacked. Damage further on, or a file cut short, yields what came
    before it and then one last BrokenLine.
    """
    path = Path(path)
    if path.suffix not in {".jsonl", ".gz", ".zst"}:
        raise OSError(f"{path}: not a tape: its name ends in neither .jsonl, .gz nor .zst")
    with path.open("rb") as file:
        yield from _read(file, path)


def _read(file: BinaryIO, path: Path) -> Iterator[TapeLine | BrokenLine]:
    number = 0
    try:
        for text in _lines(_unpack(file, path.suffix)):
            number += 1
            if len(text) > LINE_MAX:
                yield BrokenLine(number, f"longer than {LINE_MAX} bytes")
            elif text.strip():
                yield _parse(number, text)
    except _Unreadable as error:
        if not number and not error.unpacked:
            raise OSError(f"{path}: cannot be unpacked: {error}") from error
        yield BrokenLine(number + 1, f"the rest cannot be unpacked: {error}", final=True)


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines without their ends. Of one that is longer than LINE_MAX only the beginning is held."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        if size <= LINE_MAX:
            held.append(first)
            size += len(first)
        if others:
            yield b"".join(held)
            *whole, last = others
            yield from whole
            held, size = [last], len(last)
    if size:
        yield b"".join(held)


def _parse(number: int, text: bytes) -> TapeLine | BrokenLine:
    """One line, whose JSON may be anything."""
    try:
        line = _decode(text)
    except (ValueError, RecursionError) as error:
        return BrokenLine(number, str(error)[:160])
    return TapeLine(number, line.t, line.venue, line.conn, line.data, out=line.dir == "out")


def _unpack(file: BinaryIO, suffix: str) -> Iterator[bytes]:
    """The file's text in chunks. Raises _Unreadable where packed text is damaged or ends early."""
    if suffix == ".jsonl":
        while chunk := file.read(_CHUNK):
            yield chunk
        return
    packed = file.read(_PACKED_CHUNK)
    unpacked = False
    while packed:
        # A file may hold several members, one after another.
        member = zlib.decompressobj(_GZIP) if suffix == ".gz" else _zstd_member()
        ended = False
        while not ended:
            if not packed:
                raise _Unreadable("the file ends before its end mark", unpacked=unpacked)
            try:
                text = member.decompress(packed)
            except (zlib.error, zstandard.ZstdError) as error:
                raise _Unreadable(str(error), unpacked=unpacked) from error
            if text:
                unpacked = True
                yield text
            ended = member.eof
            packed = (member.unused_data if ended else b"") or file.read(_PACKED_CHUNK)


def _zstd_member() -> zstandard.ZstdDecompressionObj:
    return zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
