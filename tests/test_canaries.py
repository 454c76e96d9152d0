"""The search for secrets that got out, which every session of tests ends with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.canaries import INPUT_FOLDER, INPUTS, traces

PLANTED = "canary-" + "0bad-planted"


def test_a_planted_secret_is_found(tmp_path: Path) -> None:
    """A secret in a file, deep or among other bytes, and in a command line, is named with its place."""
    (tmp_path / "run").mkdir()
    files = [tmp_path / "a.log", tmp_path / "run" / "ledger.sqlite"]
    for path in files:
        path.write_bytes(b"\0" * 5000 + PLANTED.encode() + b"\xff")
    command = [sys.executable, "-c", "input()", str(tmp_path), PLANTED]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        # Until it is the program that was asked for, a new process shows the words of its parent.
        words = Path(f"/proc/{process.pid}/cmdline")
        while PLANTED.encode() not in words.read_bytes():
            pass
        found = traces(tmp_path, 2**63)
    finally:
        process.communicate(b"\n")
        for path in files:
            path.unlink()
    assert set(found) == {*map(str, files), f"/proc/{process.pid}/cmdline"}


@pytest.mark.parametrize("name", [*INPUTS, f"{INPUT_FOLDER}/some"])
def test_what_is_meant_to_hold_a_secret_may(tmp_path: Path, name: str) -> None:
    """A key file, a list of addresses, and a folder of such files are passed over."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(PLANTED)
    assert traces(tmp_path, 2**63) == []
