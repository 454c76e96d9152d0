"""The observer's process: what it writes, what it says of itself, and what is left when it goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.client.exports import read_export
from pipeline.clock import SystemClock
from pipeline.config import Config, ObserverConfig, VenueConfig, encode
from pipeline.lifecycle import RUN_DIRECTORY
from pipeline.model import WorkerState
from pipeline.observer.export import FILES
from shm import books as memory
from shm import records
from shm import segment as segments
from shm.tables import TableWriter, counter_section, error_section, read_counters
from tests.support.feed_memory import publish

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


class Setting:
    """A run directory with a configuration, a supervisor's and a feed's segment, and observers to start."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.data, self.run, self.shm = folder / "d", folder / "r", folder / "s"
        self.data.mkdir()
        self.run.mkdir(mode=0o700)
        self.config = Config(
            simulated=("kalshi",),
            data_directory=str(self.data),
            run_directory=str(self.run),
            shm_directory=str(self.shm),
            venues={"kalshi": VenueConfig()},
            observer=ObserverConfig(export_ms=100, state_seconds=0.5),
            started_wall_ns=1,
        )
        self.publish(self.config)
        self.feed = self.make("feed-kalshi", memory.feed_sections(4, 5, connections=1))
        books = memory.BookWriter(self.feed)
        publish(books, "M-1", [(55, 100)], [(57, 200)], now_ns=self.clock.monotonic_ns())
        sections = [records.WORKER.section("workers", 4), records.RUN.section("run", 1)]
        self.supervisor = self.make("supervisor", sections)
        table = TableWriter(self.supervisor, "workers", records.WORKER)
        row = records.WORKER.empty()._replace(name="feed-kalshi", pid=os.getpid(), state=WorkerState.RUNNING)
        table.put(0, row)
        self.processes: list[subprocess.Popen[bytes]] = []

    def make(self, name: str, sections: list[Any]) -> segments.Segment:
        return segments.create(
            self.shm, name, [counter_section(("frames",)), error_section(), *sections],
            segments.this_owner(1), monotonic_ns=self.clock.monotonic_ns(), wall_ns=self.clock.wall_ns(),
            sleep=self.clock.sleep,
        )  # fmt: skip

    def publish(self, config: Config) -> None:
        new = self.run / "config.new"
        new.write_bytes(encode(config))
        new.replace(self.run / "config.json")

    def start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, RUN_DIRECTORY: str(self.run)}
        process = subprocess.Popen([sys.executable, str(ROOT / "run.py"), "observer"], env=environment)
        self.processes.append(process)
        return process

    def read(self, name: str) -> Any:
        clock = self.clock
        path = self.data / f"{name}.json"
        return read_export(path, clock.wall_ns(), clock.monotonic_ns(), segments.boot_id().hex())

    def written_by(self, process: subprocess.Popen[bytes], name: str) -> bool:
        path = self.data / f"{name}.json"
        return path.exists() and self.read(name).content["writer_pid"] == process.pid


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    """The setting; whatever was started in it is ended."""
    made = Setting(tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for(check: Callable[[], Any]) -> Any:
    """The first true value of `check`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        value = check()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("never came true")


@pytest.mark.e2e
def test_the_life_of_an_observer(setting: Setting) -> None:
    """It writes four files, says where metrics are, follows the configuration, has a last word."""
    process = setting.start()
    wait_for(lambda: all(setting.written_by(process, name) for name in FILES))
    book = setting.read("orderbooks").content["books"]["kalshi"]["M-1"]
    assert (book["best_bid"], book["state"] in ("LIVE", "DEAD", "STALE")) == (book["bids"][0][0], True)
    said = json.loads((setting.run / "observer.json").read_text())
    assert said["pid"] == process.pid
    page = urllib.request.urlopen(f"http://127.0.0.1:{said['metrics_port']}/metrics", timeout=30).read()
    assert b"parallax_up" in page
    view = segments.attach(setting.shm, "observer")
    row = records.OBSERVER.unpack(view.slots("observer").read(0)[1])
    assert row.metrics_port == said["metrics_port"]
    assert all(row[1:])
    changed = msgspec.structs.replace(setting.config, version=2, profile="paper")
    setting.publish(changed)
    wait_for(lambda: setting.read("positions").content["profile"] == "paper")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0
    state = setting.read("bot_state")
    assert (state.content["running"], state.alive) == (False, False)
    assert not (setting.run / "observer.json").exists()


@pytest.mark.e2e
def test_a_killed_observer_reads_as_dead_at_once_and_its_successor_goes_on(setting: Setting) -> None:
    """kill -9: each file is whole and dead at once; the next process writes them again."""
    first = setting.start()
    wait_for(lambda: all(setting.written_by(first, name) for name in FILES))
    first.kill()
    first.wait()
    for name in FILES:
        found = setting.read(name)
        assert not found.alive
        assert "gone" in found.why_not or "old" in found.why_not
    second = setting.start()
    wait_for(lambda: all(setting.written_by(second, name) for name in FILES))
    counts = read_counters(segments.attach(setting.shm, "observer"))
    assert counts["export_failures"] == 0
    assert segments.attach(setting.shm, "observer").header.epoch == 2


@pytest.mark.e2e
def test_a_taken_port_stops_no_export(setting: Setting) -> None:
    """Where the metrics' port is taken that is reported with the key to change, and files are written."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        observer = ObserverConfig(export_ms=100, metrics_port=taken.getsockname()[1])
        setting.publish(msgspec.structs.replace(setting.config, observer=observer))
        process = setting.start()
        wait_for(lambda: setting.written_by(process, "orderbooks"))
        view = segments.attach(setting.shm, "observer")
        assert json.loads((setting.run / "observer.json").read_text())["metrics_port"] == 0
        errors = [records.ERROR.unpack(entry[1]).text for entry in [view.slots("errors").read(0)] if entry]
        assert "observer.metrics_port" in errors[0]
