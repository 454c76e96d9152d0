"""Canary: secrets of a real run, in which things go wrong, are found nowhere that anybody may look (D7).

One run with a signing key, its id, addresses of alerts and the run's own key. A worker crashes, a key is
spoilt, alerts fail. Then everything that the run wrote, showed or left in memory is searched.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.bus import KEY_FILE
from pipeline.clock import SystemClock
from pipeline.config import Config, decode
from pipeline.status import attach_all, gather
from tests.support.receiver import Receiver, receiver

pytest.importorskip("apprise")
pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
CLOCK = SystemClock()
KEY_ID = "canary-4c1d-key-id"
SPOILT = "canary-7e2f-spoilt-key-text"
TOKEN = "canary-9a3b-address-token"
PASSWORD = "canary-5d6e-address-password"


class Canaries:
    """The secrets of the run, by name: every spelling that would give one away."""

    def __init__(self, key: str) -> None:
        self.spellings = {
            "key id": [KEY_ID],
            "spoilt key": [SPOILT],
            "token": [TOKEN],
            "password": [PASSWORD],
        }
        # The first and the last line of every key look alike; any other of 64 letters is this key's own.
        self.spellings["key"] = [line for line in key.splitlines() if len(line) == 64][1:]

    def know_run_key(self, key: bytes) -> None:
        """The key that seals the run's messages is a secret too."""
        self.spellings["run key"] = [key.hex(), b64encode(key).decode(), key.decode("latin-1")]

    def found_in(self, content: bytes) -> list[str]:
        """Which of them a content holds."""
        text = content.decode("latin-1")
        return [name for name, words in self.spellings.items() if any(word in text for word in words)]


def wait_for(check: Callable[[], Any]) -> Any:
    """The first true value of `check`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        value = check()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"never came true: {check}")


class Run:
    """A run of the program with canaries for secrets, and all that it and its commands said."""

    def __init__(self, root: Path, there: Receiver) -> None:
        self.data, self.there = root / "data", there
        self.environ = {**os.environ, "XDG_RUNTIME_DIR": str(root), "CANARY_KEY_ID": KEY_ID}
        self.said: dict[str, bytes] = {}
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, form, plain).decode()
        self.canaries = Canaries(pem)
        self.key = self._private(root / "key", pem)
        port = there.server_address[1]
        refused = f"json://ann:{PASSWORD}@127.0.0.1:{port}/bad/{TOKEN}"
        self.urls = self._private(root / "urls", f"{refused}\nnosuch://{TOKEN}\n")
        self.sets = [
            *("--set", "venues.kalshi.key_id_env=CANARY_KEY_ID"),
            *("--set", f"venues.kalshi.key_file={self.key}"),
            *("--set", f"alerts.urls_file={self.urls}"),
        ]
        words = ["up", "--no-dashboard", "--json", "--seed", "7", *self.sets]
        self.process = subprocess.Popen(
            self._command(*words), env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    @staticmethod
    def _private(path: Path, text: str) -> Path:
        path.write_text(text)
        path.chmod(0o600)
        return path

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, str(ROOT / "run.py"), *words, "--data", str(self.data)]

    def spoil_the_key(self) -> None:
        """The key file now holds something that is no key."""
        self._private(self.key, SPOILT)

    def ask(self, *commands: list[str]) -> list[bytes]:
        """Run commands beside each other; what they say is kept."""
        started = [
            subprocess.Popen(
                self._command(*words), env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            for words in commands
        ]
        answers = [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in started]
        for words, answer in zip(commands, answers, strict=True):
            self.said[" ".join(words[:2])] = answer
        return answers

    def status(self) -> dict[str, Any]:
        """The status object, or an empty one while nothing runs."""
        try:
            config = config_of(self)
        except ValueError:
            return {}
        return gather(config, attach_all(Path(config.shm_directory)), CLOCK)

    def end(self) -> None:
        """End it in order."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        self.said["stdout of up"], self.said["stderr of up"] = out, err


def contents(*roots: Path) -> dict[str, bytes]:
    """Every plain file under some roots."""
    found = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                found[str(path)] = path.read_bytes()
    return found


def process_lists(data: Path) -> dict[str, bytes]:
    """What a process list shows of each process of the run; anybody may read it."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if words and (os.fsencode(data) in words or b"parallax" in words):
                found[f"{entry}/cmdline"] = words
                found[f"{entry}/comm"] = (entry / "comm").read_bytes()
        except OSError:
            continue
    return found


def page(port: int) -> bytes:
    """The page of metrics."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run that is up, with a receiver that refuses every alert."""
    with receiver() as there:
        made = Run(tmp_path, there)
        yield made
        made.end()


def provoke(run: Run) -> dict[str, Any]:
    """Let a worker crash onto a spoilt key and an alert fail; the status once both have happened."""

    def trading() -> bool:
        assert run.process.poll() is None, run.process.communicate()
        state = run.status()
        return bool(state) and state["venues"]["kalshi"]["connected"] and bool(state["observer"])

    wait_for(trading)
    run.spoil_the_key()
    run.ask(["kill", "feed-kalshi", "--signal", "ABRT"], ["halt", f"somebody pasted {TOKEN[:6]}"])
    wait_for(lambda: run.there.got)

    def broken() -> dict[str, Any]:
        state = run.status()
        return state if state["venues"]["kalshi"]["socket"] == "auth failed" else {}

    return dict(wait_for(broken))


def test_no_secret_of_a_run_is_found_anywhere(run: Run) -> None:
    """Logs, exports, ledgers, shared memory, sockets, metrics, every command's words, the process list and
    what the run printed hold none of five secrets, though each was used and errors were about them.
    """
    state = provoke(run)
    config = config_of(run)
    run.canaries.know_run_key((Path(config.run_directory) / KEY_FILE).read_bytes())
    run.ask(
        ["show-config", "--origin"],
        ["status", "--json"],
        ["status", "--counters"],
        ["alert", "test", *run.sets],
        ["logs", "-n", "0"],
        ["doctor", *run.sets],
    )
    looked_at = {
        **process_lists(run.data),
        **contents(Path(config.shm_directory)),
        **{
            path: content
            for path, content in contents(Path(config.run_directory)).items()
            if not path.endswith(f"/{KEY_FILE}")
        },
        "metrics": page(state["observer"]["metrics_port"]),
    }
    run.end()
    looked_at |= {**contents(run.data), **run.said}
    # The search is worth something: errors were told, and what is searched is what was meant.
    assert b"the key is not an unencrypted private key" in logs(looked_at)
    assert b"***" in run.said["alert test"] and b"parallax_up 1.0" in looked_at["metrics"]
    assert {"ledger.sqlite", "bot_state.json", "observer.jsonl"} <= {Path(name).name for name in looked_at}
    assert any(name.endswith("/feed-kalshi") for name in looked_at)
    hits = {name: run.canaries.found_in(content) for name, content in looked_at.items()}
    assert {name: found for name, found in hits.items() if found} == {}


def config_of(run: Run) -> Config:
    """The configuration of the run, found in its own run directory."""
    (path,) = Path(run.environ["XDG_RUNTIME_DIR"]).glob("parallax-*/config.json")
    return decode(path.read_bytes())


def logs(looked_at: dict[str, bytes]) -> bytes:
    """All logs in one piece."""
    return b"".join(content for name, content in looked_at.items() if name.endswith(".jsonl"))
