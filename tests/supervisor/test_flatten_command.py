"""The supervisor's command `flatten`: an order for the trader, or a refusal in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from pipeline.clock import ManualClock
from pipeline.config import Config, EventConfig, LegConfig
from pipeline.flatten import FLATTEN_FILE, FlattenFile
from pipeline.lifecycle import Worker
from pipeline.model import WorkerState
from pipeline.supervisor.commands import Commands
from pipeline.supervisor.worker import COUNTERS
from pipeline.wire import Request

RAIN = EventConfig(id="rain", legs=(LegConfig("kalshi", "K"), LegConfig("polymarket", "P")))


class Asked:
    """Commands over a worker of its own, beside a trader in some state."""

    def __init__(self, folder: Path) -> None:
        names = {f"{name}_directory": str(folder / name) for name in ("data", "run", "shm")}
        config = msgspec.structs.replace(Config(events=(RAIN,)), **names)
        self.run = folder / "run"
        self.run.mkdir()
        self.worker = Worker("supervisor", config, ManualClock(), [], COUNTERS, lambda _old, _new: None)
        self.standing = SimpleNamespace(state=WorkerState.RUNNING)
        self.managed = {"trader": SimpleNamespace(standing=self.standing)}
        staff = cast(Any, SimpleNamespace(managed=self.managed))
        self._commands = Commands(self.worker, staff, cast(Any, None), ManualClock(), lambda: None)

    def __call__(self, event: str) -> tuple[bool, str]:
        return self._commands.obey(Request("1", "flatten", {"event": event}, "ann pid 7", 0))

    def close(self) -> None:
        self.worker.segment.close()
        self.worker.log.close()


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    made = Asked(tmp_path)
    yield made
    made.close()


def test_an_order_is_numbered_and_lies_in_the_file(asked: Asked) -> None:
    """Each order has the next number, says who gave it, and is answered with that number."""
    answers = [asked("rain"), asked("rain")]
    orders = FlattenFile(asked.run / FLATTEN_FILE).orders()
    assert [(order.event_id, order.who) for order in orders] == [("rain", "ann pid 7")] * 2
    assert orders[1].number > orders[0].number
    assert [ok for ok, _ in answers] == [True, True]
    assert [text.partition(":")[0] for _, text in answers] == [f"order {order.number}" for order in orders]


@pytest.mark.parametrize("state", [WorkerState.STOPPED, WorkerState.FLAPPING, None])
def test_without_a_trader_it_is_refused(asked: Asked, state: WorkerState | None) -> None:
    """Nobody could close anything: no order is left for a trader that is started some day."""
    if state is None:
        asked.managed.clear()
    else:
        asked.standing.state = state
    ok, text = asked("rain")
    assert (ok, "no trader runs" in text) == (False, True)
    assert FlattenFile(asked.run / FLATTEN_FILE).orders() == []


@pytest.mark.parametrize("event", ["", "snow", "[b]rain"])
def test_an_unknown_event_is_refused(asked: Asked, event: str) -> None:
    """What is not in the configuration has no books to be sold at."""
    ok, text = asked(event)
    assert (ok, "unknown event" in text) == (False, True)
    assert FlattenFile(asked.run / FLATTEN_FILE).orders() == []


def test_a_folder_that_cannot_be_written_is_told(asked: Asked) -> None:
    """A refusal names the file and what the system said."""
    (asked.run / FLATTEN_FILE).mkdir()
    ok, text = asked("rain")
    assert (ok, FLATTEN_FILE in text) == (False, True)
