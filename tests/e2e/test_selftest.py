"""The selftest as people run it: it passes, it fails without a guard, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.common import SCRIPT
from pipeline.cli.selftest_items import ITEMS
from pipeline.guards import GUARDS, VARIABLE

pytestmark = pytest.mark.e2e
PATIENCE_SECONDS = 240.0
MOST_SECONDS = 90.0
QUICK = ("arbitrage", "gap")
WITHOUT = {
    "offer": "not taken",
    "sequence": "counted 0, fault ",
    "checksum": "counted 0, fault NONE, never void",
    "freshness": "never found",
    "repair": "not mended",
    "death": "-> 0",
    "hang": "not called HUNG",
    "journal": "orders without a committed intent",
}
"""What an item sees where its guard is off."""


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start a selftest that keeps its files in `folder`."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), "selftest", *words],
        env={**os.environ, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a selftest with --json said; its exit code fits."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    found: dict[str, Any] = json.loads(out)
    assert process.returncode == (0 if found["passed"] else 1), err
    return found


def left(folder: Path) -> list[str]:
    """Files below the folder, and processes whose command or run lies there."""
    found = [str(path) for path in folder.iterdir()]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in words:
                found.append(f"process {entry.name}")
    return found


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name leaves room for the path of a socket."""
    return tmp_path_factory.mktemp("s")


def test_the_first_items_pass_and_nothing_is_left(short: Path) -> None:
    """A planted arbitrage is taken and a gap voids the book, in a run that is gone afterwards."""
    only = [word for name in QUICK for word in ("--only", name)]
    found = told(start(short, "--json", *only))
    assert found["passed"], found
    assert [item["name"] for item in found["items"]] == list(QUICK)
    assert found["kept"] is None
    assert left(short) == []


def test_who_is_interrupted_stops_what_was_started(short: Path) -> None:
    """SIGTERM in the middle: exit 1, no process and no file of it is left."""
    process = start(short, "--only", "frozen")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list(short.glob("parallax-*/config.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert "interrupted" in err
    assert left(short) == []


@pytest.mark.stress
def test_all_of_it_passes_in_ninety_seconds(short: Path) -> None:
    """Each of the eight items, on two slow cores."""
    found = told(start(short, "--json"))
    assert found["passed"], found
    assert len(found["items"]) == len(ITEMS)
    assert found["seconds"] < MOST_SECONDS


@pytest.mark.stress
@pytest.mark.parametrize("guard", GUARDS)
def test_without_its_guard_an_item_fails(guard: str, short: Path) -> None:
    """It sees what the guard would have prevented; the run's folder is kept for whoever looks into it."""
    item = next(item for item in ITEMS if item.guard == guard)
    found = told(start(short, "--json", "--only", item.name, **{VARIABLE: guard}))
    assert not found["passed"]
    (seen,) = found["items"]
    assert WITHOUT[guard] in seen["seen"], seen
    if guard == "journal":
        assert not seen["seen"].startswith("0 orders")
    assert (Path(found["kept"]) / "data" / "logs").is_dir()
