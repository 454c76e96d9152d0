"""A venue's REST on loopback: a real HTTP server that answers as each test tells it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

from pipeline.clock import Clock

PATIENCE_SECONDS = 30.0

# What a test's venue says to a path: a status, a body, and headers.
Answer = tuple[int, bytes, dict[str, str]]


def product(name: str) -> Answer:
    return 200, json.dumps({"product_id": name, "status": "online"}).encode(), {}


class Held:
    """An answer that a test holds back: `wait_asked`, look at what goes on meanwhile, `release`."""

    def __init__(self, then: Callable[[str], Answer | None]) -> None:
        self._then = then
        self._asked, self._released = threading.Event(), threading.Event()

    def __call__(self, path: str) -> Answer | None:
        self._asked.set()
        assert self._released.wait(PATIENCE_SECONDS)
        return self._then(path)

    def wait_asked(self) -> None:
        """Until the first request for it is here."""
        assert self._asked.wait(PATIENCE_SECONDS)

    def release(self) -> None:
        """Answer what waits, and at once from now on."""
        self._released.set()


class Venue:
    """A venue's REST on loopback. `answer` may block, and may be replaced while it runs.

    Bodies of POSTs are in `posted` by the time their path is answered.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[tuple[str, int]] = []
        self.headers: list[dict[str, str]] = []
        self.posted: list[bytes] = []
        self.answer: Callable[[str], Answer | None] = lambda path: product(path.rpartition("/")[2])
        venue = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                venue.posted.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.do_GET()

            def do_GET(self) -> None:
                venue.headers.append(dict(self.headers))
                venue.asked.append((self.path, venue.clock.monotonic_ns()))
                answer = venue.answer(self.path)
                self.close_connection = True
                if answer is None:
                    return
                status, body, headers = answer
                try:
                    self.send_response(status)
                    for name, value in ({"Content-Length": str(len(body))} | headers).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except ConnectionError:
                    # A client that has read enough goes away: some tests want just that.
                    return

            def log_message(self, *_: Any) -> None:
                """Say nothing on stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def paths(self) -> list[str]:
        return [path.rpartition("/")[2] for path, _ in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def until(done: Callable[[], object]) -> None:
    """Wait for what must come; a machine that is slow only waits longer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


class Longest(Random):
    """Waits as long as it may, and notes how long that is."""

    def __init__(self) -> None:
        super().__init__(0)
        self.bounds: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        assert a == 0
        self.bounds.append(b)
        return b
