"""Terminal: a program in a pseudo-terminal of 120x36, with keys going in and what is drawn coming out.

In: a command. Out: everything that it draws, with the time at which it came; its CPU and memory. A thread
reads all the time, as a terminal does, so that the program never waits for a reader.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

COLUMNS, LINES = 120, 36
# Names a size too: whoever started us may have named another, and that would win over the terminal's.
OURS = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
CHUNK = 1 << 16
PATIENCE_SECONDS = 20.0


class Terminal:
    """One program on one terminal. Use it in a `with`."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("4H", LINES, COLUMNS, 0, 0))
        self._heard = threading.Condition()
        self._text = b""
        self._dropped = 0
        self.started_ns = time.perf_counter_ns()
        self._program = subprocess.Popen(
            command,
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=folder,
            env={**environment, **OURS},
            start_new_session=True,
        )
        os.close(side)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.terminate()
        try:
            self._program.wait(5)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()
        self._reader.join(5)
        os.close(self._main)

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._main, CHUNK)
            except OSError:
                return
            if not chunk:
                return
            with self._heard:
                self._text += chunk
                if len(self._text) > 8 * CHUNK:
                    self._dropped += len(self._text) - 4 * CHUNK
                    self._text = self._text[-4 * CHUNK :]
                self._heard.notify_all()

    def mark(self) -> int:
        """Where what is drawn from now on begins."""
        with self._heard:
            return self._dropped + len(self._text)

    def wait_for(self, pattern: bytes, since: int = 0) -> int:
        """When the pattern was drawn (perf_counter_ns). Raises TimeoutError."""
        wanted = re.compile(pattern, re.DOTALL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._heard:
            while not wanted.search(self._text, max(0, since - self._dropped)):
                left = deadline - time.monotonic()
                if left <= 0 or not self._heard.wait(left):
                    raise TimeoutError(f"{pattern!r} was not drawn; the last was {self._text[-400:]!r}")
            return time.perf_counter_ns()

    def press(self, key: bytes) -> int:
        """Press a key; when (perf_counter_ns)."""
        at = time.perf_counter_ns()
        os.write(self._main, key)
        return at

    def cpu_seconds(self) -> float:
        """What the program and its children have taken so far."""
        used = psutil.Process(self._program.pid).cpu_times()
        return used.user + used.system

    def memory(self, segments: Path) -> tuple[float, float]:
        """MiB of memory that it has in use, and of those what lies in files of that directory: shared memory,
        which exists once however many read it.
        """
        maps = psutil.Process(self._program.pid).memory_maps(grouped=True)
        shared = sum(one.rss for one in maps if Path(one.path).parent == segments)
        return sum(one.rss for one in maps) / 2**20, shared / 2**20
