"""Receiver: an HTTP server on loopback that takes what alerts are sent to, and answers as it is told.

In: POSTs. Out: the paths and bodies that came, in order. Used by tests of alerts.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver(ThreadingHTTPServer):
    """Takes every POST; a path with "bad" is answered with 500, one with "late" not before `release`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.bad_answers = 1 << 30
        self.release = threading.Event()

    def url(self, path: str) -> str:
        """An address that apprise sends JSON to."""
        return f"json://127.0.0.1:{self.server_address[1]}/{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "late" in self.path:
            self.server.release.wait(60)
        self.server.got.append((self.path, body))
        bad = "bad" in self.path and self.server.bad_answers > 0
        if bad:
            self.server.bad_answers -= 1
        self.send_response(500 if bad else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that answers while the block runs."""
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
