"""`run.py flatten`: the order reaches the supervisor, and what the trader made of it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import bus
from pipeline.cli import ask, flatten
from pipeline.cli.common import FAILED, NOT_RUNNING, OK, run_directory_of
from pipeline.cli.main import main
from pipeline.clock import SystemClock
from pipeline.config import Config, encode
from pipeline.flatten import FlattenState
from pipeline.wire import Reply, Request, Sealer
from shm import records
from shm import segment as segments
from shm.tables import TableWriter, counter_section, error_section

CLOCK = SystemClock()
NUMBER = 1_790_000_000_001


class Run:
    """A run whose supervisor gives order NUMBER, or refuses, and whose trader shows a row: this process."""

    def __init__(self, data: Path, shm: Path) -> None:
        self.directory = run_directory_of(data)
        self.directory.mkdir(parents=True, mode=0o700)
        self._sealer = Sealer(bus.make_key(self.directory))
        config = Config(shm_directory=str(shm), run_directory=str(self.directory), data_directory=str(data))
        (self.directory / "config.json").write_bytes(encode(config))
        self._segments = [
            segments.create(
                shm, name,
                [counter_section(["a"]), error_section(), records.FLATTEN.section("flattens", 16)],
                segments.this_owner(),
                monotonic_ns=CLOCK.monotonic_ns(), wall_ns=CLOCK.wall_ns(), sleep=CLOCK.sleep,
            )
            for name in ("supervisor", "trader")
        ]  # fmt: skip
        self._server = bus.CommandServer(self.directory)
        self._thread: threading.Thread | None = None
        self.heard: list[Request] = []

    def shows(self, state: FlattenState, text: str, *, row: int = 3) -> None:
        """What the trader shows of the order, and of another one."""
        table = TableWriter(self._segments[1], "flattens", records.FLATTEN)
        shown = records.FlattenRow(NUMBER, "rain", "ann", state, 2, 10**18, 10**18 + 1, text)
        table.put(row, shown)
        table.put(row + 1, shown._replace(number=NUMBER + 1, text="another"))

    def answers(self, *, ok: bool = True, text: str = f"order {NUMBER}: the trader closes it") -> None:
        """Answer one request in a thread."""

        def go() -> None:
            received = self._server.receive(60_000)
            assert received is not None
            request = self._sealer.open(received[1], Request)
            self.heard.append(request)
            self._server.reply(received[0], self._sealer.seal(Reply(request.id, ok, text)))

        self._thread = threading.Thread(target=go)
        self._thread.start()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join(60)
        self._server.close()
        for segment in self._segments:
            segment.close()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(ask, "TIMEOUT_MS", 60_000)
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Iterator[Run]:
    made = Run(data, tmp_path / "shm")
    yield made
    made.close()


def test_flat_is_exit_0(run: Run, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The event reaches the supervisor; the words are those of the trader's row of that very order."""
    run.shows(FlattenState.FLAT, "nothing is held of it any more")
    run.answers()
    assert main(["flatten", "rain", "--data", str(data)]) == OK
    assert capsys.readouterr().out == "rain is flat: 2 orders sent; nothing is held of it any more\n"
    assert [(each.command, each.args) for each in run.heard] == [("flatten", {"event": "rain"})]


@pytest.mark.parametrize("state", [FlattenState.REFUSED, FlattenState.ENDED])
def test_what_is_not_flat_is_exit_1(
    run: Run, data: Path, state: FlattenState, capsys: pytest.CaptureFixture[str]
) -> None:
    """Why, and what is left, stands on stderr."""
    run.shows(state, "yes at kalshi: BOOK_DEAD; held: 5 yes at kalshi")
    run.answers()
    assert main(["flatten", "rain", "--data", str(data)]) == FAILED
    assert "BOOK_DEAD" in capsys.readouterr().err


def test_json_is_one_object(run: Run, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Number, state, orders and both times, whatever the end was."""
    run.shows(FlattenState.ENDED, "left")
    run.answers()
    assert main(["flatten", "rain", "--json", "--data", str(data)]) == FAILED
    said = json.loads(capsys.readouterr().out)
    assert (said["event"], said["number"], said["state"], said["orders"]) == ("rain", NUMBER, "ENDED", 2)
    assert said["text"] == "left" and said["ended"]


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_refusal_is_told(
    run: Run, data: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the supervisor refuses is exit 1 in its words, and nobody is waited for."""
    run.answers(ok=False, text="no trader runs")
    assert main(["flatten", "rain", *words, "--data", str(data)]) == FAILED
    said = capsys.readouterr()
    assert "no trader runs" in (said.out if words else said.err)


def test_a_trader_that_says_nothing_is_told(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the time that an order may take, nobody is waited for any longer."""
    monkeypatch.setattr(flatten, "WAIT_SECONDS", 0.1)
    run.answers()
    assert main(["flatten", "rain", "--data", str(data)]) == FAILED
    assert "has not answered" in capsys.readouterr().err


def test_without_a_run_it_is_exit_4(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing runs: nobody is asked."""
    assert main(["flatten", "rain", "--data", str(data)]) == NOT_RUNNING
    assert "nothing runs" in capsys.readouterr().err
