"""Switch: halting and resuming with and without a run, and ending what rests without a trader."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from pipeline import bus
from pipeline.cli import switch
from pipeline.cli.common import FAILED, NOT_RUNNING, OK, run_directory_of
from pipeline.cli.main import main
from pipeline.cli.screen import sender
from pipeline.clock import SystemClock
from pipeline.config import Config, encode
from pipeline.halt import HALT_FILE, HaltFile
from pipeline.trader.broker import OrderStatus, Style
from pipeline.wire import AskOrders, CancelOrders, FillReport, OrderReport, Reply, Request, Sealer
from shm import records
from shm import segment as segments
from shm.tables import TableWriter, counter_section, error_section
from tests.support.paper_world import YES, PaperWorld, approved

CLOCK = SystemClock()
Say = Callable[[], str]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory that is not there yet, whose run would lie beside it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("USER", "ann")
    return tmp_path / "data"


class Run:
    """A run directory with a key, a supervisor that lives and, if wanted, a trader: all this process."""

    def __init__(self, data: Path, shm: Path) -> None:
        self.shm = shm
        self.directory = run_directory_of(data)
        self.directory.mkdir(parents=True, mode=0o700)
        self.sealer = Sealer(bus.make_key(self.directory))
        self.config = Config(
            shm_directory=str(shm), run_directory=str(self.directory), data_directory=str(data)
        )
        (self.directory / "config.json").write_bytes(encode(self.config))
        self.segments = [self.segment("supervisor")]

    def segment(self, name: str) -> segments.Segment:
        return segments.create(
            self.shm,
            name,
            [counter_section(["a"]), error_section(), records.SUMMARY.section("summary", 1)],
            segments.this_owner(),
            monotonic_ns=CLOCK.monotonic_ns(),
            wall_ns=CLOCK.wall_ns(),
            sleep=CLOCK.sleep,
        )

    def trader(self, *, halted: int) -> None:
        self.segments.append(self.segment("trader"))
        row = records.SUMMARY.empty()._replace(mode="taker", halted=halted, updated_ns=1)
        TableWriter(self.segments[-1], "summary", records.SUMMARY).put(0, row)

    def close(self) -> None:
        for segment in self.segments:
            segment.close(unlink=True)


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Iterator[Run]:
    made = Run(data, tmp_path / "shm")
    yield made
    made.close()


def spoken(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The JSON object that a command printed."""
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_halt_works_before_anything_was_ever_started(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a run the file is made all the same, with its cause and who gave it."""
    assert main(["halt", "--data", str(data), "venue", "rules", "changed"]) == OK
    said = capsys.readouterr().out
    assert "halted: venue rules changed (by ann pid" in said
    assert "no trader runs" in said
    halt = HaltFile(data / HALT_FILE).read()
    assert halt is not None and halt.cause == "venue rules changed" and halt.who.startswith("ann pid ")
    assert data.stat().st_mode & 0o777 == 0o700


def test_resume_says_what_it_ends(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cause, who, when and later causes are told; without a halt it says so, and both are no failure."""
    assert main(["resume", "--data", str(data)]) == OK
    assert capsys.readouterr().out == "it was not halted\n"
    data.mkdir()
    HaltFile(data / HALT_FILE).set("lost $20", "rule daily_loss 1", 1_700_000_000 * 10**9)
    HaltFile(data / HALT_FILE).set("lunch", "ann", 1_700_000_100 * 10**9)
    assert main(["resume", "--data", str(data)]) == OK
    said = capsys.readouterr().out
    assert "it was halted: lost $20 (by rule daily_loss 1 at 2023-11-14T22:13:20Z)" in said
    assert "and then: lunch" in said
    assert not (data / HALT_FILE).exists()


def test_all_three_speak_json(data: Path, capsys: pytest.CaptureFixture[str], run: Run) -> None:
    """--json gives one object with what was done and why."""
    where = ["--json", "--data", str(data)]
    assert main(["halt", *where, "a", "b"]) == OK
    assert spoken(capsys).items() >= {"halted": True, "cause": "a b", "trader": "none", "later": []}.items()
    assert main(["halt", *where]) == OK
    assert spoken(capsys)["later"] == ["halted by a person"]
    assert main(["resume", *where]) == OK
    assert spoken(capsys).items() >= {"resumed": True, "cause": "a b"}.items()
    assert main(["resume", *where]) == OK
    assert spoken(capsys) == {"resumed": False}
    with Exchange(run, []):
        assert main(["cancel-all", *where]) == OK
    assert spoken(capsys) == {"ended": {}, "still_resting": []}


def test_halting_again_keeps_the_first_cause(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second halt says what stands, and is added to it."""
    assert main(["halt", "--data", str(data), "one"]) == main(["halt", "--data", str(data), "two"]) == OK
    said = capsys.readouterr().out
    assert "halted: one (by" in said
    assert "this cause is added" in said
    halt = HaltFile(data / HALT_FILE).read()
    assert halt is not None and (halt.cause, halt.later) == ("one", ("two",))


def test_a_trader_that_knows_is_said_to_know(
    data: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a trader lives, the command waits until it shows the halt."""
    run.trader(halted=1)
    assert main(["halt", "--data", str(data)]) == OK
    assert "the trader knows" in capsys.readouterr().out


def test_a_trader_that_says_nothing_is_no_failure(
    data: Path, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trader that does not show it in time is named; the halt is in force all the same."""
    monkeypatch.setattr(switch, "SHOWN_SECONDS", 0.05)
    run.trader(halted=0)
    assert main(["halt", "--data", str(data)]) == OK
    assert "has not shown it yet" in capsys.readouterr().out
    assert (data / HALT_FILE).exists()


def test_what_cannot_be_written_is_said(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be made or removed is an error in one line, and exit code 1."""
    data.write_text("no directory")
    assert main(["halt", "--data", str(data)]) == FAILED
    assert "HALT" in capsys.readouterr().err
    data.unlink()
    (data / HALT_FILE).mkdir(parents=True)
    assert main(["resume", "--data", str(data)]) == FAILED
    assert "HALT" in capsys.readouterr().err


def test_the_dashboard_s_key_asks_the_supervisor(run: Run) -> None:
    """What was confirmed is sent as it is; with nobody to ask, a halt names the file that halts anyway."""
    send = sender(run.config)
    done, text = send("halt", {"why": "halted on the dashboard"})
    assert not done
    assert text.endswith(f"{run.config.data_directory}/{HALT_FILE} halts without it")
    server = bus.CommandServer(run.directory)
    heard: list[Request] = []

    def answer() -> None:
        received = server.receive(60_000)
        assert received is not None
        heard.append(run.sealer.open(received[1], Request))
        server.reply(received[0], run.sealer.seal(Reply(heard[0].id, True, "it was not halted")))

    thread = threading.Thread(target=answer)
    thread.start()
    assert send("resume", {}) == (True, "it was not halted")
    thread.join(60)
    server.close()
    assert (heard[0].command, heard[0].args) == ("resume", {})


class Exchange:
    """Answers on `ord` as the paper exchange promises, in a thread, with the orders it is given."""

    def __init__(self, run: Run, resting: list[str], *, stubborn: int = 0, key: bytes | None = None) -> None:
        self._run = run
        self._resting = dict.fromkeys(resting, OrderStatus.ACCEPTED)
        self._ended: dict[str, OrderReport] = {}
        # So many cancels change nothing.
        self._stubborn = stubborn
        self._sealer = Sealer(key) if key else run.sealer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._server = bus.OrderServer(run.directory)
        self.cancels = 0
        self.arrives: str | None = None
        self.filled: str | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(60)
        self._server.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            received = self._server.receive(20)
            if received is None:
                continue
            for report in self._answers(self._run.sealer.open_order(received[1])):
                self._server.reply(received[0], self._sealer.seal(report))

    def _answers(self, message: object) -> list[OrderReport]:
        if isinstance(message, CancelOrders):
            assert (message.account, message.order_id) == ("paper", "")
            self.cancels += 1
            if self.cancels > self._stubborn:
                for name in self._resting:
                    self._ended[name] = self._end(name)
                self._resting.clear()
            if self.arrives is not None:
                self._resting[self.arrives], self.arrives = OrderStatus.PARTIAL, None
            return []
        assert isinstance(message, AskOrders)
        found = [OrderReport("paper", name, status, 1) for name, status in self._resting.items()]
        if message.order_ids:
            found = [self._ended[name] for name in message.order_ids]
        return [*found, OrderReport("paper", "", 0, 1)]

    def _end(self, name: str) -> OrderReport:
        if name == self.filled:
            fill = FillReport("f", 50, 1, "0", maker=True, provisional=False)
            return OrderReport("paper", name, OrderStatus.FILLED, 1, (fill,))
        return OrderReport("paper", name, OrderStatus.CANCELLED, 1)


def test_cancel_all_ends_what_rests(data: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a trader every resting order is ended and told, one filled meanwhile as filled."""
    names = [f"r-1.{number}-0" for number in range(40)]
    with Exchange(run, names) as exchange:
        exchange.filled = names[3]
        assert main(["cancel-all", "--data", str(data)]) == OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "40 ended"
    assert f"{names[3]}  filled" in lines
    assert lines.count(f"{names[4]}  cancelled") == 1


def test_the_real_exchange_ends_what_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Quotes at a paper exchange in its own process are ended, and the exchange's record says so too."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    world = PaperWorld(tmp_path / "w", CLOCK, paper_latency_ms=1)
    try:
        world.start_process()
        line = world.line()
        world.connect(line)
        world.shows("kalshi", [(480_000, 1000)], [(520_000, 1000)])
        orders = approved(YES, YES, trade="q", style=Style.MAKER)
        line.submit(orders, CLOCK.monotonic_ns())
        world.events(line, lambda events: {event.order_id for event in events} >= {"q-0", "q-1"})
        data = world.folder / "data"
        run_directory_of(data).symlink_to(world.config.run_directory)
        assert main(["cancel-all", "--json", "--data", str(data)]) == OK
        assert spoken(capsys) == {"ended": dict.fromkeys(("q-0", "q-1"), "cancelled"), "still_resting": []}
        assert {event.status for event in world.final(line, "q-0", "q-1")} >= {OrderStatus.CANCELLED}
        assert main(["cancel-all", "--data", str(data)]) == OK
        assert capsys.readouterr().out == "nothing rests\n"
    finally:
        world.close()


def test_what_arrives_meanwhile_is_ended_too(
    data: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """An order that begins to rest after the first cancel is cancelled again."""
    with Exchange(run, ["a"]) as exchange:
        exchange.arrives = "b"
        assert main(["cancel-all", "--json", "--data", str(data)]) == OK
        assert exchange.cancels == 2
    assert spoken(capsys) == {"ended": {"a": "cancelled", "b": "cancelled"}, "still_resting": []}


def test_what_will_not_end_is_named(
    data: Path, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders that rest still when the time is up are a failure with their names."""
    monkeypatch.setattr(switch, "END_SECONDS", 0.1)
    with Exchange(run, ["a", "b"], stubborn=99):
        assert main(["cancel-all", "--data", str(data)]) == FAILED
    assert "2 still rest after 0.1 s: a, b" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["no run", "no exchange", "killed", "silent"])
def test_without_an_exchange_it_is_not_running(
    data: Path,
    tmp_path: Path,
    state: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No run, no exchange, a killed one and a silent one are one sentence and exit code 4."""
    monkeypatch.setattr(switch, "REACH_SECONDS", 0.1)
    monkeypatch.setattr(switch, "ANSWER_MS", 200)
    made = None if state == "no run" else Run(data, tmp_path / "shm")
    server = None
    if made is not None and state == "killed":
        (made.directory / bus.ORDERS).write_text("")
    if made is not None and state == "silent":
        server = bus.OrderServer(made.directory)
    assert main(["cancel-all", "--data", str(data)]) == NOT_RUNNING
    assert "no paper exchange answers" in capsys.readouterr().err
    if server is not None:
        server.close()
    if made is not None:
        made.close()


def test_an_answer_that_is_not_the_exchange_s_is_refused(
    data: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames sealed under another key end the command; nothing they say is believed."""
    with Exchange(run, ["a"], key=b"x" * 32):
        assert main(["cancel-all", "--data", str(data)]) == FAILED
    assert "not the paper exchange's: forged" in capsys.readouterr().err
