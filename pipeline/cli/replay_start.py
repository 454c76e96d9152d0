"""Replay start: a scratch run that plays a tape, started for a screen and gone with it.

In: a tape, how to play it. Out: a run to attach to, for as long as a `with` lasts. Used by `run.py dashboard
--replay`; the run itself is `run.py replay` (replay.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.cli.common import FAILED, ROOT, SCRIPT, running_config
from pipeline.config import Config

END_SECONDS = 20.0
SAID_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Replaying:
    """A scratch run that plays a tape: its data directory, and the configuration that it began with."""

    data: Path
    config: Config


class ReplayFailedError(Exception):
    """The replay did not come up. `code` is its exit code; the text says why, as it said so itself."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


@contextmanager
def start_replay(
    tape: Path,
    *,
    speed: str = "1",
    config: Path = ROOT / "config.toml",
    profile: str | None = None,
    sets: Sequence[str] = (),
) -> Iterator[Replaying]:
    """A scratch run that plays the tape from the moment of entering, and is gone after leaving.

    It ends with this process too, however that ends: it reads the other end of a pipe that we hold. At the
    tape's end it stays, for whoever wants to seek. Raises ReplayFailedError.
    """
    words = [str(tape), "--attached", "--speed", speed, "--config", str(config)]
    words += ["--profile", profile] if profile else []
    words += [word for change in sets for word in ("--set", change)]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, str(SCRIPT), "replay", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            # A Ctrl-C on our terminal is ours alone.
            start_new_session=True,
        )
        assert child.stdin is not None and child.stdout is not None
        try:
            line = child.stdout.readline()
            data = Path(json.loads(line)["data"]) if line else None
            running = running_config(data) if data is not None else None
            if data is None or running is None:
                child.stdin.close()
                code = child.wait(END_SECONDS)
                said.seek(0)
                raise ReplayFailedError(
                    code or FAILED, said.read(SAID_BYTES).decode("utf-8", "replace").strip()
                )
            yield Replaying(data, running)
        finally:
            child.stdin.close()
            child.stdout.close()
            # It ends by itself when stdin does, but for while it still reads a long tape.
            child.terminate()
            try:
                child.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
