"""The supervisor's command `replay`: what is asked goes to the lab in order, or is refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from pipeline.clock import ManualClock
from pipeline.config import Config
from pipeline.lifecycle import Worker
from pipeline.supervisor.commands import Commands
from pipeline.supervisor.worker import COUNTERS
from pipeline.tape_orders import KEPT_ORDERS, ORDERS_FILE, TapeOrder, from_text
from pipeline.wire import Request


class Asked:
    """Commands over a worker of its own; staff and configuration are not asked here."""

    def __init__(self, folder: Path, tape: str) -> None:
        names = {f"{name}_directory": str(folder / name) for name in ("data", "run", "shm")}
        config = msgspec.structs.replace(Config(tape=tape), **names)
        (folder / "run").mkdir()
        self.path = folder / "run" / ORDERS_FILE
        self.worker = Worker("supervisor", config, ManualClock(), [], COUNTERS, lambda _old, _new: None)
        nobody = cast(Any, None)
        self._commands = Commands(self.worker, nobody, nobody, ManualClock(), lambda: None)

    def __call__(self, **args: str) -> tuple[bool, str]:
        return self._commands.obey(Request("1", "replay", args, "a test", 0))

    def close(self) -> None:
        self.worker.segment.close()
        self.worker.log.close()


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    made = Asked(tmp_path, "some.jsonl")
    yield made
    made.close()


def test_orders_are_numbered_and_none_overtakes_another(asked: Asked) -> None:
    """Each order is in the file with all that came shortly before it, whose lab may not have looked yet."""
    assert asked(action="pause") == (True, "order 1: pause")
    assert asked(action="seek", value=" 25% ") == (True, "order 2: seek 25%")
    assert from_text(asked.path.read_bytes()) == (TapeOrder(1, "pause"), TapeOrder(2, "seek", "25%"))
    for _ in range(2 * KEPT_ORDERS):
        asked(action="step")
    assert [order.number for order in from_text(asked.path.read_bytes())] == list(
        range(KEPT_ORDERS + 3, 2 * KEPT_ORDERS + 3)
    )


def test_what_cannot_be_obeyed_is_not_written(asked: Asked) -> None:
    """A bad order is answered with what there is, and counted as refused."""
    ok, text = asked(action="speed", value="fast")
    assert (ok, "max" in text) == (False, True)
    assert not asked.path.exists()
    assert asked.worker.counters.get("commands_refused") == 1


def test_a_run_without_a_tape_says_so(tmp_path: Path) -> None:
    """A live or simulated run has nothing to pause."""
    asked = Asked(tmp_path, "")
    ok, text = asked(action="pause")
    assert (ok, text.startswith("no tape is played here")) == (False, True)
    assert not asked.path.exists()
    asked.close()
