"""Ask: people's commands reach the supervisor, and every way not to be answered has its words and code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree

import msgspec
import pytest

from pipeline import bus
from pipeline.cli import ask
from pipeline.cli.common import FAILED, NOT_RUNNING, OK, USAGE, run_directory_of
from pipeline.cli.main import main
from pipeline.clock import SystemClock
from pipeline.config import Config, encode
from pipeline.wire import Reply, Request, Sealer
from shm import segment as segments
from shm.tables import counter_section, error_section

CLOCK = SystemClock()
Answer = Callable[[Request], Reply]


class FakeSupervisor:
    """A run directory and, while `serve` lasts, somebody who answers in it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.directory = run_directory_of(data)
        self.directory.mkdir(parents=True, mode=0o700)
        self.sealer = Sealer(bus.make_key(self.directory))
        self.heard: list[Request] = []
        self._thread: threading.Thread | None = None

    def live(self, shm: Path) -> segments.Segment:
        """Be seen as a supervisor that is alive: this process."""
        config = Config(shm_directory=str(shm), run_directory=str(self.directory))
        (self.directory / "config.json").write_bytes(encode(config))
        return segments.create(
            shm,
            "supervisor",
            [counter_section(["a"]), error_section()],
            segments.this_owner(),
            monotonic_ns=CLOCK.monotonic_ns(),
            wall_ns=CLOCK.wall_ns(),
            sleep=CLOCK.sleep,
        )

    def serve(self, answer: Answer, *, leave: bool = False, key: bytes | None = None) -> None:
        """Answer one request in a thread; with `leave` remove the run afterwards."""
        server = bus.CommandServer(self.directory)
        sealer = Sealer(key) if key else self.sealer

        def go() -> None:
            received = server.receive(60_000)
            assert received is not None
            request = self.sealer.open(received[1], Request)
            self.heard.append(request)
            server.reply(received[0], sealer.seal(answer(request)))
            if leave:
                server.close()
                rmtree(self.directory)

        self._thread = threading.Thread(target=go)
        self._thread.start()
        self._server = server

    def end(self) -> None:
        """Collect the thread and the socket."""
        if self._thread is not None:
            self._thread.join(60)
            if not self._server.socket.closed:
                self._server.close()


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSupervisor]:
    """Somebody to ask, in a run directory under this test's own folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(ask, "TIMEOUT_MS", 60_000)
    made = FakeSupervisor(tmp_path / "data")
    yield made
    made.end()


def ok(text: str) -> Answer:
    return lambda request: Reply(request.id, ok=True, text=text)


@pytest.mark.parametrize(
    ("argv", "args"),
    [
        (["start", "scanner"], {"worker": "scanner"}),
        (["restart", "feed-kraken"], {"worker": "feed-kraken"}),
        (["stop", "feed-kraken"], {"worker": "feed-kraken"}),
        (["log-level", "trader", "debug"], {"worker": "trader", "level": "debug"}),
        (["log-level", "trader", "default"], {"worker": "trader", "level": "default"}),
        (["kill", "trader"], {"worker": "trader", "signal": "TERM"}),
        (["kill", "trader", "--signal", "KILL"], {"worker": "trader", "signal": "KILL"}),
    ],
)
def test_a_command_arrives_as_it_was_typed(
    supervisor: FakeSupervisor, capsys: pytest.CaptureFixture[str], argv: list[str], args: dict[str, str]
) -> None:
    """Command, worker and signal reach the supervisor with who asks, and its words are shown."""
    supervisor.serve(ok("done as asked"))
    assert main([*argv, "--data", str(supervisor.data)]) == OK
    assert capsys.readouterr().out == "done as asked\n"
    (heard,) = supervisor.heard
    assert (heard.command, heard.args) == (argv[0], args)
    assert "pid" in heard.who
    assert 0 <= CLOCK.monotonic_ns() - heard.issued_ns < 60 * 10**9


@pytest.mark.parametrize("argv", [["log-level", "trader", "loud"], ["log-level", "trader"], ["stop"]])
def test_what_is_no_command_is_not_asked(supervisor: FakeSupervisor, argv: list[str]) -> None:
    """A level that is none, or a missing word, is exit 2 before anybody is asked."""
    with pytest.raises(SystemExit) as ended:
        main([*argv, "--data", str(supervisor.data)])
    assert ended.value.code == USAGE
    assert supervisor.heard == []


def test_two_commands_have_two_ids(supervisor: FakeSupervisor) -> None:
    """The same command twice is no replay."""
    for _ in range(2):
        supervisor.serve(ok("yes"))
        assert main(["restart", "scanner", "--data", str(supervisor.data)]) == OK
        supervisor.end()
    first, second = supervisor.heard
    assert first.id != second.id


def test_a_refusal_is_exit_1_in_the_supervisors_words(
    supervisor: FakeSupervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the supervisor will not do is told on stderr, with code 1."""
    supervisor.serve(lambda request: Reply(request.id, ok=False, text="no worker 'x'; there are: a, b"))
    assert main(["restart", "x", "--data", str(supervisor.data)]) == FAILED
    assert capsys.readouterr() == ("", "run.py: no worker 'x'; there are: a, b\n")


def test_down_waits_until_the_run_is_gone(
    supervisor: FakeSupervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    """`down` is done when the run's directory is, not when the answer comes."""
    supervisor.serve(ok("stopping"), leave=True)
    assert main(["down", "--data", str(supervisor.data)]) == OK
    assert capsys.readouterr().out == "stopped\n"
    assert not supervisor.directory.exists()


def test_a_run_that_does_not_go_is_told(
    supervisor: FakeSupervisor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`down` does not wait for ever, and says what to look at."""
    monkeypatch.setattr(ask, "DOWN_SECONDS", 0.05)
    supervisor.serve(ok("stopping"))
    assert main(["down", "--data", str(supervisor.data)]) == FAILED
    assert "run.py status" in capsys.readouterr().err


def test_a_supervisor_that_is_stalled_is_exit_1(
    supervisor: FakeSupervisor,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A live supervisor that does not answer in time is a failure in words."""
    monkeypatch.setattr(ask, "TIMEOUT_MS", 50)
    segment = supervisor.live(tmp_path / "shm")
    server = bus.CommandServer(supervisor.directory)
    assert main(["down", "--data", str(supervisor.data)]) == FAILED
    assert "did not answer" in capsys.readouterr().err
    server.close()
    segment.close(unlink=True)


def test_what_a_killed_run_left_is_not_a_run(
    supervisor: FakeSupervisor,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Key, socket and config of a supervisor that was killed: exit 4, but for the post-mortem."""
    monkeypatch.setattr(ask, "TIMEOUT_MS", 50)
    segment = supervisor.live(tmp_path / "shm")
    segment.cells[8] += 1  # the start time of a process that is no more
    server = bus.CommandServer(supervisor.directory)
    for word in ("down", "status"):
        assert main([word, "--data", str(supervisor.data)]) == NOT_RUNNING
        assert "run.py up" in capsys.readouterr().err
    assert main(["status", "--counters", "--data", str(supervisor.data)]) == OK
    server.close()
    segment.close(unlink=True)


def test_an_answer_under_another_key_is_not_believed(
    supervisor: FakeSupervisor, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A reply that this run's supervisor did not seal is a failure, whatever it says."""
    segment = supervisor.live(tmp_path / "shm")
    supervisor.serve(ok("trust me"), key=b"z" * 32)
    assert main(["restart", "scanner", "--data", str(supervisor.data)]) == FAILED
    said = capsys.readouterr()
    assert "not the supervisor's" in said.err
    assert "trust me" not in said.out
    segment.close(unlink=True)


def test_a_user_without_a_name_can_ask(supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container with a bare user id, commands work: the id stands for the name."""
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    supervisor.serve(ok("yes"))
    assert main(["restart", "scanner", "--data", str(supervisor.data)]) == OK
    assert supervisor.heard[0].who.startswith("uid ")


def test_requests_are_small() -> None:
    """A request is far from the frame's limit, so no worker's name can make it oversized by chance."""
    request = Request("f" * 16, "restart", {"worker": "w" * 64}, "someone pid 99999", 10**18)
    assert len(msgspec.msgpack.encode(request)) < 256
