"""Remote control of a real run: who holds an allowed key commands it, and strangers change nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from pipeline.cli import remote
from pipeline.cli.common import FAILED, OK, ROOT, USAGE, run_directory_of, running_config
from pipeline.cli.parser import Parser
from pipeline.logs import log_directory
from shm.segment import attach
from shm.tables import read_counters
from tests.support.rest_venue import until

pytestmark = pytest.mark.e2e

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Exit code, stdout and stderr of `run.py remote`."""

    def said(*words: str) -> tuple[int, str, str]:
        parser = Parser(prog="run.py remote")
        remote.add_arguments(parser)
        try:
            code = remote.run(parser.parse_args(words))
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return code, told.out.strip(), told.err.strip()

    return said


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Run:
    """A run with simulated venues that listens for commands over TCP on loopback."""

    def __init__(self, data: Path, server: str, friend: str, key_file: Path) -> None:
        self.data = data
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.server = server
        command = [sys.executable, str(ROOT / "run.py"), "up", "--no-dashboard", "--data", str(data)]
        for change in (
            *(f"venues.{name}.enabled=false" for name in ("kalshi", "polymarket", "coinbase")),
            "observer.enabled=false",
            f"control.tcp={self.address}",
            f"control.key_file={key_file}",
            f'control.allowed_keys=["{friend}"]',
        ):
            command += ["--set", change]
        environ = {**os.environ, "PARALLAX_NO_VENV": "1"}
        with (data.parent / "run.out").open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environ)

    def ready(self) -> bool:
        assert self.process.poll() is None, (self.data.parent / "run.out").read_text()
        return running_config(self.data) is not None and (run_directory_of(self.data) / "ctl").exists()

    def counter(self, name: str) -> int:
        config = running_config(self.data)
        assert config is not None
        return read_counters(attach(Path(config.shm_directory), "supervisor"))[name]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@pytest.fixture
def run(tmp_path: Path, say: Say) -> Iterator[Run]:
    """A run, and the keys "server", "friend" and "stranger" in files."""
    public = {
        name: say("keys", "--out", str(tmp_path / name))[1] for name in ("server", "friend", "stranger")
    }
    made = Run(tmp_path / "data", public["server"], public["friend"], tmp_path / "server")
    try:
        until(made.ready)
        yield made
    finally:
        made.stop()


def test_an_allowed_key_commands_a_run_and_no_other_does(run: Run, tmp_path: Path, say: Say) -> None:
    """CURVE over TCP: status, a worker's kill, halt, resume and down by the friend; a stranger's key and
    thousands of raw bytes do nothing, are counted, and hold up nobody.
    """

    def asked(key: str, *words: str) -> tuple[int, str, str]:
        place = ("--server-key", run.server, "--key-file", str(tmp_path / key))
        return say("ask", run.address, *place, *words)

    code, text, _ = asked("friend", "status")
    assert code == OK
    names = [worker["name"] for worker in json.loads(text)["workers"]]
    assert "scanner" in names
    host, port = run.address.removeprefix("tcp://").split(":")
    chance = Random(3)
    for _ in range(20):
        with socket.create_connection((host, int(port)), 10) as raw:
            raw.sendall(chance.randbytes(2000))
    with pytest.MonkeyPatch.context() as patch:
        # No answer ever comes: to wait for it longer proves nothing more.
        patch.setattr(remote, "TIMEOUT_MS", 500)
        code, _, complaint = asked("stranger", "down")
    assert code == FAILED
    assert "control.allowed_keys" in complaint
    until(lambda: run.counter("frames_refused") > 0)
    # The run answers before all its workers are there.
    until(lambda: asked("friend", "kill", "scanner", "--signal", "KILL")[1].startswith("sent SIGKILL to"))
    assert asked("friend", "halt", "a", "test")[1] == "halted: a test"
    assert "halted: a test" in asked("friend", "resume")[1]
    assert asked("friend", "restart", "no-such")[2].startswith("run.py: no worker 'no-such'")
    assert run.process.poll() is None
    logged = (log_directory(run.data) / "supervisor.jsonl").read_text()
    assert '"command": "kill"' in logged
    assert '"who": "remote ' in logged
    assert (tmp_path / "server").read_text().strip() not in logged
    assert asked("friend", "down")[:2] == (OK, "stopping")
    assert run.process.wait(60) == OK


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path, say: Say) -> None:
    """A secret key is never shown and never overwritten: a second call says the same public key."""
    path = tmp_path / "key"
    code, public, _ = say("keys", "--out", str(path))
    assert (code, len(public)) == (OK, 40)
    assert path.stat().st_mode & 0o777 == 0o600
    secret = path.read_text().strip()
    assert secret != public
    assert say("keys", "--out", str(path)) == (OK, public, "")
    assert path.read_text().strip() == secret
    path.chmod(0o644)
    assert "chmod 600" in say("keys", "--out", str(path))[2]
    assert say("keys", "--out", str(tmp_path / "none" / "key"))[0] == FAILED


def test_slips_are_told_before_anything_is_sent(tmp_path: Path, say: Say) -> None:
    """Too few or too many words, an unknown command and a file without a key each say what is wanted."""
    key = tmp_path / "key"
    public = say("keys", "--out", str(key))[1]
    place = ("ask", "tcp://127.0.0.1:1", "--server-key", public, "--key-file", str(key))
    assert say(*place, "restart")[0] == USAGE
    assert "restart wants worker, got 0" in say(*place, "restart")[2]
    assert "status wants no words, got 1" in say(*place, "status", "now")[2]
    assert "log-level wants worker and level" in say(*place, "log-level", "trader")[2]
    assert "did you mean 'restart'" in say(*place, "restar", "x")[2]
    key.write_text("no key")
    assert say(*place, "status")[0] == FAILED
    assert "has 6 characters" in say(*place, "status")[2]
