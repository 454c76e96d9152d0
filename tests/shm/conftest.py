"""What the tests of shared memory share: a directory of their own, an owner, and other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from shm import layout as lo
from shm import segment as segments
from shm.segment import Segment

Start = Callable[..., subprocess.Popen[str]]
Own = Callable[..., Segment]
NOW_NS, WALL_NS = 5_000_000_000, 1_700_000_000_000_000_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where this test's segments lie."""
    return tmp_path / "shm"


@pytest.fixture
def own(directory: Path) -> Iterator[Own]:
    """Own a segment in this process; released when the test ends."""
    owned: list[Segment] = []

    def make(sections: Iterable[lo.Section], name: str = "w", **more: int) -> Segment:
        segment = segments.create(
            directory,
            name,
            sections,
            more.get("owner", segments.this_owner()),
            monotonic_ns=more.get("monotonic_ns", NOW_NS),
            wall_ns=more.get("wall_ns", WALL_NS),
            sleep=time.sleep,
        )
        owned.append(segment)
        return segment

    yield make
    for segment in owned:
        segment.close()


@pytest.fixture
def start(project_root: Path, directory: Path) -> Iterator[Start]:
    """Start a role of children.py on this test's directory; ended by its pid when the test ends."""
    children: list[subprocess.Popen[str]] = []
    script = Path(__file__).with_name("children.py")

    def run(role: str, *arguments: object) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, str(script), role, str(directory), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(project_root)},
        )
        children.append(child)
        return child

    yield run
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def ready(start: Start) -> Start:
    """Start a role and wait until it says that it is at work."""

    def run(role: str, *arguments: object) -> subprocess.Popen[str]:
        child = start(role, *arguments)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    return run
