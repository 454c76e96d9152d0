"""A venue that speaks Kalshi at a given rate: REST and one WebSocket on loopback, every message stamped.

In: on the command line how many pairs and a file for stamps; on standard input lines "RATE COUNT". Out: its
addresses on standard output, then a line "subscribed" when a client has every first book and "done" after
each run; in the file how many messages were sent and the moment (CLOCK_MONOTONIC) of each.

Message n adds one contract to the best NO bid of market n % pairs, so that an opportunity that is as large as
that level says by its size which message it saw last. The client may be any: it gets frames as they come.
"""

import base64
import hashlib
import json
import mmap
import select
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.pipeline_parts.setting import ASK, BASE_SIZE, CLOSE, KALSHI, RULES, SERIES, market_name

MAX_MESSAGES = 1_000_000
TICK_SECONDS = 0.001  # messages that are due within one are sent together
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def main() -> None:
    """Serve until standard input ends."""
    pairs, path = int(sys.argv[1]), Path(sys.argv[2])
    with path.open("w+b") as file:
        file.truncate(8 * (1 + MAX_MESSAGES))
        stamps = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
    rest = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ports = listener.getsockname()[1], rest.server_port
        say(json.dumps({"url": f"ws://127.0.0.1:{ports[0]}/", "rest_url": f"http://127.0.0.1:{ports[1]}"}))
        peer = Peer(listener.accept()[0])
    Venue(peer, pairs, stamps).serve()


def say(line: str) -> None:
    """Tell whoever started us."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Peer:
    """The server's end of one WebSocket: whole frames in, unmasked frames out."""

    def __init__(self, line: socket.socket) -> None:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line = line
        self._waiting = b""
        request = b""
        while b"\r\n\r\n" not in request:
            request += line.recv(4096)
        heads = (line.partition(b":") for line in request.split(b"\r\n"))
        key = next(value.strip() for name, _, value in heads if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())  # noqa: S324 - RFC 6455 says SHA-1
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        line.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def commands(self) -> list[dict]:  # type: ignore[type-arg]
        """What the client has said by now; its pings are answered."""
        found = []
        while select.select([self.line], [], [], 0)[0]:
            came = self.line.recv(65536)
            if not came:
                raise SystemExit(0)
            self._waiting += came
        while (frame := self._frame()) is not None:
            opcode, payload = frame
            if opcode == _PING:
                self.line.sendall(bytes((0x80 | _PONG, len(payload))) + payload)
            elif opcode == _CLOSE:
                raise SystemExit(0)
            elif opcode == _TEXT:
                found.append(json.loads(payload))
        return found

    def _frame(self) -> tuple[int, bytes] | None:
        data = self._waiting
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        if len(data) < at + 4 + size:
            return None
        mask, body = data[at : at + 4], data[at + 4 : at + 4 + size]
        self._waiting = data[at + 4 + size :]
        return data[0] & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(body))


class Venue:
    """Answers subscriptions, and sends changes when told to."""

    def __init__(self, peer: Peer, pairs: int, stamps: memoryview) -> None:
        self._peer, self._pairs, self._stamps = peer, pairs, stamps
        self._sent = self._sequence = 0

    def serve(self) -> None:
        """Until the client or whoever started us has gone."""
        while True:
            ready, _, _ = select.select([self._peer.line, sys.stdin], [], [])
            if self._peer.line in ready:
                self._answer()
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                rate, count = line.split()
                self._run(int(rate), int(count))
                say("done")

    def _answer(self) -> None:
        for command in self._peer.commands():
            channel = command["params"]["channels"][0]
            books = channel == "orderbook_delta"
            self._tell(
                {"id": command["id"], "type": "subscribed", "msg": {"channel": channel, "sid": 2 - books}}
            )
            if not books:
                continue
            for number in range(self._pairs):
                self._sequence += 1
                self._tell(self._snapshot(number))
            say("subscribed")

    def _snapshot(self, number: int) -> dict[str, object]:
        """A crossing best ask and deeper levels that do not cross."""
        no = [[f"0.{100 - ASK:02}00", f"{BASE_SIZE}.00"]]
        no += [[f"0.{cents:02}00", "300.00"] for cents in range(25, 5, -1)]
        yes = [[f"0.{cents:02}00", "300.00"] for cents in range(ASK - 2, 10, -1)]
        body = {"market_ticker": market_name(KALSHI, number), "yes_dollars_fp": yes, "no_dollars_fp": no}
        return {"type": "orderbook_snapshot", "sid": 1, "seq": self._sequence, "msg": body}

    def _tell(self, message: dict[str, object]) -> None:
        self._peer.line.sendall(framed(json.dumps(message).encode()))

    def _run(self, rate: int, count: int) -> None:
        """Send `count` changes, `rate` a second, those due within a tick together."""
        frames = [self._change(self._sent + index, self._sequence + 1 + index) for index in range(count)]
        self._sequence += count
        together = max(1, round(rate * TICK_SECONDS))
        start = time.monotonic() + 0.01
        for at in range(0, count, together):
            wait = start + at / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            chunk = frames[at : at + together]
            now = time.monotonic_ns()
            for number in range(self._sent + 1, self._sent + 1 + len(chunk)):
                self._stamps[number] = now
            self._peer.line.sendall(b"".join(chunk))
            self._sent += len(chunk)
            self._stamps[0] = self._sent
            if at % (together * 16) == 0:
                self._answer()

    def _change(self, number: int, sequence: int) -> bytes:
        name = market_name(KALSHI, number % self._pairs)
        return framed(
            b'{"type":"orderbook_delta","sid":1,"seq":%d,"msg":{"market_ticker":"%s","market_id":"9b0f6b43-5b68'
            b'-4f9f-9f02-9a2d1b8a0000","price_dollars":"0.%02d00","delta_fp":"1.00","side":"no",'
            b'"ts":"2026-11-21T12:00:00Z","ts_ms":1795262400000}}' % (sequence, name.encode(), 100 - ASK)
        )


def framed(message: bytes) -> bytes:
    """A message as an unmasked text frame."""
    size = len(message)
    if size < 126:
        return bytes((0x81, size)) + message
    return struct.pack("!BBH", 0x81, 126, size) + message


class Rest(BaseHTTPRequestHandler):
    """Kalshi's REST, as much of it as metadata needs."""

    def do_GET(self) -> None:
        """Answer for markets and their series."""
        asked = urlsplit(self.path)
        if asked.path.endswith("/markets"):
            tickers = parse_qs(asked.query)["tickers"][0].split(",")
            answer: dict[str, object] = {"markets": [listed(ticker) for ticker in tickers]}
        else:
            series = {"ticker": SERIES, "fee_type": "quadratic", "fee_multiplier": 1}
            answer = {"series": series}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""


def listed(ticker: str) -> dict[str, object]:
    """A market as the venue lists it."""
    return {
        "ticker": ticker,
        "status": "active",
        "close_time": CLOSE,
        "price_ranges": [{"step": "0.01"}],
        "fractional_trading_enabled": False,
        "rules_primary": RULES,
    }


main()
