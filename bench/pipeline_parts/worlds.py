"""The two worlds of `bench pipeline`: our processes, and those of the design read literally.

In: a folder of their own, how many pairs. Out: `Run`s. Each world starts its processes on entry and ends
them, by their own handles, on exit; the bench itself stands at the trader's door.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Self

import zmq

from bench.pipeline_parts import figures
from bench.pipeline_parts.figures import Arrival, Run, Sample
from bench.pipeline_parts.setting import KALSHI, message_of, pipeline_config
from pipeline.bus import Inbox, make_bell, make_key
from pipeline.cli.common import ROOT, SCRIPT
from pipeline.config import Config, encode
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY, SUPERVISOR_PID
from pipeline.wire import Opportunity, Sealer
from shm.segment import SegmentError, attach
from shm.tables import read_counters

PATIENCE_SECONDS = 60.0
SETTLE_SECONDS = 0.3
SAMPLE_SECONDS = 0.25
PARTS = "bench.pipeline_parts"
CONTRACT_UNITS = 1_000_000


class World:
    """A venue, the processes that listen to it, and the door at which their opportunities arrive."""

    def __init__(self, folder: Path, pairs: int) -> None:
        self.folder, self.pairs = folder, pairs
        (folder / "run").mkdir(parents=True, mode=0o700)
        (folder / "data").mkdir()
        self._processes: list[subprocess.Popen[str]] = []
        self._sent = 0
        self._stamps: memoryview[int] = memoryview(b"")
        self._venue: subprocess.Popen[str] | None = None
        self.watched: list[subprocess.Popen[str]] = []
        """Processes whose memory is sampled."""

    def __enter__(self) -> Self:
        try:
            path = self.folder / "stamps"
            self._venue = self.start("-m", f"{PARTS}.venue", str(self.pairs), str(path))
            told = json.loads(self.line(self._venue))
            with path.open("rb") as file:
                self._stamps = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ)).cast("q")
            self.open(told["url"], told["rest_url"])
            self.until(self._all_seen)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The venue last: what listens to it would only look for it again.
        for process in reversed(self._processes):
            process.terminate()
            process.communicate(timeout=PATIENCE_SECONDS)
        self.close()

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """A process of this world."""
        environment = {
            **os.environ,
            RUN_DIRECTORY: str(self.folder / "run"),
            SUPERVISOR_PID: str(os.getpid()),
        }
        process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._processes.append(process)
        return process

    @staticmethod
    def line(process: "subprocess.Popen[str]") -> str:
        """The next line that a process says."""
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"{process.args} ended with {process.wait()}"
        return line

    def until(self, done: Callable[[], bool]) -> None:
        """Wait for what must come."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            assert time.monotonic() < deadline, "it never came"
            assert all(process.poll() is None for process in self._processes), "a process has ended"
            time.sleep(0.01)

    def _all_seen(self) -> bool:
        """Whether an opportunity of each pair has come, of the first books."""
        seen = set()
        while (arrival := self.receive(200)) is not None and len(seen) < self.pairs:
            seen.add(arrival.message)
        return len(seen) == self.pairs

    def measure(self, rate: int, seconds: float) -> Run:
        """Have the venue send at a rate, and measure what arrives."""
        assert self._venue is not None and self._venue.stdin is not None
        count, first = round(rate * seconds), self._sent
        self._sent += count
        taken = self.taken()
        self._venue.stdin.write(f"{rate} {count}\n")
        self._venue.stdin.flush()
        arrivals, samples = [], []
        sample_at, end_at = time.monotonic() + SAMPLE_SECONDS, 0.0
        while not end_at or time.monotonic() < end_at:
            arrival = self.receive(20)
            if arrival is not None:
                arrivals.append(arrival)
            now = time.monotonic()
            if now >= sample_at and not end_at:
                sample_at = now + SAMPLE_SECONDS
                queue = self._stamps[0] - first - (self.taken() - taken)
                samples.append(Sample(queue, sum(memory_kib(process.pid) for process in self.watched)))
                if self._stamps[0] == self._sent:
                    end_at = now + SETTLE_SECONDS
        assert self.line(self._venue) == "done\n"
        return figures.of(arrivals, self._stamps[first + 1 : first + 1 + count].tolist(), first, samples)

    def open(self, url: str, rest_url: str) -> None:
        """Start what listens to the venue."""
        raise NotImplementedError

    def receive(self, timeout_ms: int) -> Arrival | None:
        """The next opportunity, None where none comes in time."""
        raise NotImplementedError

    def taken(self) -> int:
        """Messages that the feed has taken from its socket, of all kinds."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the door."""
        raise NotImplementedError


class Ours(World):
    """The real feed and the real scanner, which looks on for `spin_us` before it sleeps."""

    spin_us = 0

    def open(self, url: str, rest_url: str) -> None:
        """Set up a run directory as the supervisor does, and start the workers."""
        run_directory = self.folder / "run"
        self._sealer = Sealer(make_key(run_directory))
        make_bell(run_directory)
        self._inbox = Inbox(run_directory)
        self.config: Config = pipeline_config(self.folder, self.pairs, url, rest_url, spin_us=self.spin_us)
        (run_directory / CONFIG_FILE).write_bytes(encode(self.config))
        self.line(self.start("-m", f"{PARTS}.still", self.config.shm_directory, str(self.pairs)))
        self.watched = [self.start(str(SCRIPT), "feed", KALSHI), self.start(str(SCRIPT), "scanner")]
        self.until(self._feed_is_there)
        assert self._venue is not None
        assert self.line(self._venue) == "subscribed\n"

    def _feed_is_there(self) -> bool:
        try:
            self._view = attach(Path(self.config.shm_directory), f"feed-{KALSHI}")
        except SegmentError:
            return False
        return True

    def receive(self, timeout_ms: int) -> Arrival | None:
        """As the trader takes it: stamped when it is there, then opened."""
        frame = self._inbox.receive(timeout_ms)
        if frame is None:
            return None
        receive_ns = time.monotonic_ns()
        found = self._sealer.open(frame, Opportunity)
        leg = next(leg for leg in found.legs if leg.venue == KALSHI)
        contracts = found.size_units // CONTRACT_UNITS
        message = message_of(found.event_id, contracts, self.pairs)
        return Arrival(message, leg.socket_ns, leg.publish_ns, found.scan_ns, found.send_ns, receive_ns)

    def taken(self) -> int:
        """As its counter says."""
        return read_counters(self._view)["frames"]

    def close(self) -> None:
        """Unbind."""
        if hasattr(self, "_inbox"):
            self._inbox.close()


class Spinning(Ours):
    """The same, with a scanner that never sleeps at this pace."""

    spin_us = 5_000


class Literal(World):
    """The design read literally, as two processes."""

    def open(self, url: str, _rest_url: str) -> None:
        """Bind, start both halves."""
        memory, pipe, address = (str(self.folder / "run" / name) for name in ("memory", "bell", "opp"))
        os.mkfifo(pipe, 0o600)
        self._socket = zmq.Context.instance().socket(zmq.PULL)
        self._socket.bind(f"ipc://{address}")
        scanner = self.start(
            "-m", f"{PARTS}.literal_scanner", memory, pipe, f"ipc://{address}", str(self.pairs)
        )
        self.line(scanner)
        self.start("-m", f"{PARTS}.literal_feed", url, memory, pipe, str(self.pairs))
        assert self._venue is not None
        assert self.line(self._venue) == "subscribed\n"

    def receive(self, timeout_ms: int) -> Arrival | None:
        """As one would: poll, receive, decode."""
        if not self._socket.poll(timeout_ms):
            return None
        frame = self._socket.recv()
        receive_ns = time.monotonic_ns()
        found = json.loads(frame)
        message = message_of(found["event_id"], round(found["size"]), self.pairs)
        moments = (found[name] for name in ("received_ns", "published_ns", "scan_ns", "send_ns"))
        return Arrival(message, *moments, receive_ns)

    def taken(self) -> int:
        """It does not count."""
        return 0

    def close(self) -> None:
        """Unbind."""
        if hasattr(self, "_socket"):
            self._socket.close(0)


def memory_kib(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has ended")
