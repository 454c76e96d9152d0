"""Frames on disk, so that every process of the bench reads the same bytes.

A file is: how many frames belong to the opening, then each frame with its length before it.
"""

import struct
from pathlib import Path

_LENGTH = struct.Struct("<I")


def save(path: Path, opening: list[bytes], changes: list[bytes]) -> None:
    """Write frames to a file."""
    parts = [_LENGTH.pack(len(opening))]
    for frame in (*opening, *changes):
        parts += [_LENGTH.pack(len(frame)), frame]
    path.write_bytes(b"".join(parts))


def load(path: Path) -> tuple[list[bytes], list[bytes]]:
    """Opening and changes of a file."""
    data = path.read_bytes()
    (count,), at = _LENGTH.unpack_from(data), _LENGTH.size
    frames = []
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        frames.append(data[at : at + length])
        at += length
    return frames[:count], frames[count:]
