"""Spare: a waiting process becomes the worker that it is told to be, once, and another one follows."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from pipeline.supervisor.processes import Child
from pipeline.supervisor.spare import AGAIN_NS, Spare

PATIENCE_SECONDS = 30.0
WAITS = """
import json, sys
line = sys.stdin.readline()
order = json.loads(line) if line else {"output": sys.argv[1], "words": ["nobody"], "environment": {}}
told = [*order["words"], order["environment"].get("NAME", "")]
open(order["output"], "a").write(" ".join(told) + "\\n")
"""


@pytest.fixture
def started() -> list[Child]:
    """The processes that were started."""
    return []


@pytest.fixture
def spare(tmp_path: Path, started: list[Child]) -> Spare:
    """A spare that writes into a file what it was told to be."""

    def start() -> Child:
        command = [sys.executable, "-c", WAITS, str(tmp_path / "orphan")]
        started.append(Child(command, {}, tmp_path / "spare.out", waiting=True))
        return started[-1]

    return Spare(start)


def ended(child: Child) -> bool:
    """Whether a child ends in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while child.alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    return not child.alive()


def test_it_becomes_what_it_is_told(spare: Spare, started: list[Child], tmp_path: Path) -> None:
    """Words, environment and output reach it; it is taken once, and the next one comes after a pause."""
    assert spare.take(("feed", "kraken"), {}, tmp_path / "none") is None
    spare.keep(0)
    spare.keep(1)
    assert len(started) == 1
    child = spare.take(("feed", "kraken"), {"NAME": "x"}, tmp_path / "out")
    assert child is started[0]
    assert ended(child)
    assert (tmp_path / "out").read_text() == "feed kraken x\n"
    assert spare.take(("scanner",), {}, tmp_path / "out") is None
    spare.keep(AGAIN_NS - 1)
    assert len(started) == 1
    spare.keep(AGAIN_NS)
    assert len(started) == 2
    spare.end()
    assert not started[1].alive()


def test_a_dead_one_is_not_taken(spare: Spare, started: list[Child], tmp_path: Path) -> None:
    """One that ended while it waited is no worker, and is replaced."""
    spare.keep(0)
    started[0].signal(9)
    assert ended(started[0])
    assert spare.take(("scanner",), {}, tmp_path / "out") is None
    spare.keep(AGAIN_NS)
    assert len(started) == 2
    spare.end()


def test_it_ends_with_us(spare: Spare, started: list[Child], tmp_path: Path) -> None:
    """Where the supervisor is gone its input ends, and so does it."""
    spare.keep(0)
    stdin = started[0]._process.stdin
    assert stdin is not None
    stdin.close()
    assert ended(started[0])
    assert (tmp_path / "orphan").read_text() == "nobody \n"
    spare.end()


def test_where_no_process_can_be_started_there_is_none(tmp_path: Path) -> None:
    """A system without processes to give costs no more than the spare."""

    def start() -> Child:
        raise OSError(11, "Resource temporarily unavailable")

    spare = Spare(start)
    spare.keep(0)
    assert spare.take(("scanner",), {}, tmp_path / "out") is None
