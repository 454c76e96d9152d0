"""Canaries: made-up secrets that tests use, and the search for what gave one away.

In: folders, and the text by which a process's command line is known as ours. Out: the files, segments and
command lines that hold one. Run once when all tests of a session are over (tests/conftest.py). A canary is
`canary-`, four hexadecimal digits, `-` and some words; it may stand in what a test itself wrote to be read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

CANARY = re.compile(rb"canary-[0-9a-f]{4}-")
SEGMENTS = Path("/dev/shm")
# Files that hold secrets because that is what they are for, and folders of such files.
INPUTS, INPUT_FOLDER = ("key", "urls"), "inputs"


def traces(folder: Path, since_wall_ns: int) -> list[str]:
    """Where below `folder`, in segments written since then, or in the command lines of processes that name
    `folder`, a canary is to be read.
    """
    runs = (path for path in SEGMENTS.glob(f"parallax-{os.getuid()}-*") if path.is_dir())
    found = [str(path) for path in _files(folder) if _holds(path)]
    fresh = (path for run in runs for path in _files(run) if _written_ns(path) >= since_wall_ns)
    return found + [str(path) for path in fresh if _holds(path)] + list(_processes(os.fsencode(folder)))


def _files(folder: Path) -> Iterator[Path]:
    """Every plain file below a folder, but what is written to be a secret."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != INPUT_FOLDER]
        for name in names:
            path = Path(root, name)
            if name not in INPUTS and path.is_file() and not path.is_symlink():
                yield path


def _written_ns(path: Path) -> int:
    """When a file was written last; 0 for one that is gone, as those of other sessions may be."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _holds(path: Path) -> bool:
    try:
        return CANARY.search(path.read_bytes()) is not None
    except OSError:
        return False


def _processes(mark: bytes) -> Iterator[str]:
    """Command lines of processes that were started for this session and go on."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if mark in words and CANARY.search(words):
            yield str(entry)
