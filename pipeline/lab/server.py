"""The lab's sockets: one loopback port a venue for its WebSocket and its public REST.

In: the market model, clients' frames and GET requests, faults. Out: each session's frames, or what
the faults make of them, REST answers, counters of both. Who runs it: the lab's worker, through
`LabServer.run`. A client that does not read is disconnected once its send buffer is full; nothing
here grows without bound.
"""

from __future__ import annotations

import asyncio
import http
import itertools
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from pipeline.lab import kalshi, kraken, polymarket, rest
from pipeline.lab.coinbase import CoinbaseSession
from pipeline.lab.exchange import Close, Frame, Item, Ping, Session
from pipeline.lab.faults import Bytes, Cut, Deaf, Drip, Fault, Faults, Hush, Refusal, Sent
from pipeline.lab.market import STEP_MS, MarketModel
from pipeline.lab.posting import PostReader
from pipeline.lab.trouble import Stream

VENUES = ("kalshi", "polymarket", "kraken", "coinbase")
SOCKET_PATHS = {
    "kalshi": kalshi.PATH,
    "polymarket": polymarket.PATH,
    "kraken": kraken.PATH,
    "coinbase": "",
}
REST_PATHS = {
    "kalshi": "/trade-api/v2",
    "polymarket": "",
    "kraken": "",
    "coinbase": "/api/v3/brokerage",
}
STEP_NS = STEP_MS * 1_000_000
CATCH_UP_STEPS = 1_000 // STEP_MS
"""At most one second is made good after a stall; the rest is skipped."""
LEVEL_BYTES = 140
"""More than one level takes in a Coinbase snapshot; the send limit leaves room for two products."""
MOST_COMMAND_BYTES = 2**20
MOST_CONNECTIONS = 64
KEPT_ATTEMPTS = 10_000
DEAF_SECONDS = 10.0
"""A connection that is not read any more cannot be seen to end, so it is ended after this time."""
SWITCHING = 101


class Attempt(NamedTuple):
    """One handshake: when in wall time of the model, and the status answered; 0 is no answer."""

    venue: str
    wall_ms: int
    status: int


@dataclass(eq=False)
class Client:
    """One open WebSocket connection, its protocol session, and what goes wrong on it."""

    venue: str
    connection: ServerConnection
    session: Session
    stream: Stream
    closing: bool = False


class _Connection(ServerConnection):
    """A connection over which a POST may come too; its body is in `post`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.post = PostReader()

    def data_received(self, data: bytes) -> None:
        seen = self.post.feed(data)
        if seen:
            super().data_received(seen)


class LabServer:
    """Serves one market model as four venues on 127.0.0.1, each on a free port."""

    def __init__(
        self,
        model: MarketModel,
        *,
        kalshi_public_key_pem: bytes | None = None,
        kalshi_ping_ms: int = 10_000,
        ping_interval_s: dict[str, float] | None = None,
        send_buffer_bytes: int = 8 * 2**20,
        fault_seed: int = 0,
    ) -> None:
        """With a public key, Kalshi's handshake must be signed. `ping_interval_s` names venues
        that shall send keep-alive pings of their own (default: none but Kalshi's heartbeat).
        `send_buffer_bytes` is a client's limit before it is cut off, besides Coinbase's snapshots.
        """
        key = kalshi_public_key_pem
        self.model = model
        self.messages = dict.fromkeys(VENUES, 0)
        """Text frames sent, by venue; only grows."""
        self.received = dict.fromkeys(VENUES, 0)
        self.connections = dict.fromkeys(VENUES, 0)
        self.requests = dict.fromkeys(VENUES, 0)
        self.slow_clients = dict.fromkeys(VENUES, 0)
        self.attempts: deque[Attempt] = deque(maxlen=KEPT_ATTEMPTS)
        """The last handshakes that clients began, in order."""
        self.faults = Faults(fault_seed)
        self._kalshi_key = kalshi.load_public_key(key) if key is not None else None
        self._kalshi_ping_ms = kalshi_ping_ms
        self._ping_interval_s = ping_interval_s or {}
        self._limits = dict.fromkeys(VENUES, send_buffer_bytes)
        self._limits["coinbase"] += 4 * LEVEL_BYTES * model.coinbase_levels
        self._servers: dict[str, Server] = {}
        self._ports: dict[str, int] = {}
        self._clients: set[Client] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        """Bind the four ports. Raises OSError when loopback cannot be bound."""
        for venue in VENUES:
            self._servers[venue] = await self._serve(venue)
            self._ports[venue] = next(iter(self._servers[venue].sockets)).getsockname()[1]

    def addresses(self) -> dict[str, dict[str, str]]:
        """WebSocket and REST addresses by venue; call after `start`."""
        return {
            venue: {
                "ws": f"ws://127.0.0.1:{port}{SOCKET_PATHS[venue]}",
                "rest": f"http://127.0.0.1:{port}{REST_PATHS[venue]}",
            }
            for venue, port in self._ports.items()
        }

    def counters(self) -> dict[str, int]:
        """All counters under flat names such as `kalshi_messages`."""
        groups = {
            "messages": self.messages,
            "received": self.received,
            "requests": self.requests,
            "connections": self.connections,
            "slow_clients": self.slow_clients,
        }
        return {f"{v}_{name}": counts[v] for v in VENUES for name, counts in groups.items()}

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """From now on these faults act and no others; call it from the server's own thread.

        What they have broken stays broken: a deaf connection does not hear again. Raises ValueError.
        """
        self.faults.set(faults)

    def advance(self, steps: int) -> None:
        """Step the model and push everything that follows from it, without waiting."""
        for _ in range(steps):
            self.model.step(self._emitted)
            now_ms = self.model.time.wall_ms
            for client in list(self._clients):
                self._push(client, client.session.ticked(now_ms))

    async def run(
        self,
        monotonic_ns: Callable[[], int],
        on_events_changed: Callable[[list[dict[str, Any]]], None],
        beat: Callable[[], None],
    ) -> None:
        """Step the model in real time until `stop`. `beat` is called about every step (10 ms);
        `on_events_changed` once at the start and then whenever the list of events changes.
        """
        origin_ns, done, version = monotonic_ns(), 0, -1
        while not self._stopped.is_set():
            if version != self.model.events_version:
                version = self.model.events_version
                on_events_changed(self.model.events())
            beat()
            due = (monotonic_ns() - origin_ns) // STEP_NS
            late = due - done - CATCH_UP_STEPS
            if late > 0:
                self.model.skip(late * STEP_MS)
                done += late
            if due > done:
                self.advance(1)
                done += 1
            next_ns = origin_ns + (done + 1) * STEP_NS
            await asyncio.sleep(min(max(next_ns - monotonic_ns(), 0), STEP_NS) / 1e9)

    async def stop(self) -> None:
        """Close every connection and port, and end `run`."""
        self._stopped.set()
        for task in list(self._tasks):
            task.cancel()
        for client in list(self._clients):
            client.connection.transport.abort()
        for server in self._servers.values():
            server.close()
            await server.wait_closed()

    async def _serve(self, venue: str) -> Server:
        async def handle(connection: ServerConnection) -> None:
            await self._handle(venue, connection)

        async def process(connection: ServerConnection, request: Request) -> Response | None:
            refusal = self._attempt(venue) if _is_upgrade(request) else None
            if refusal is None:
                posted = connection.post.body if isinstance(connection, _Connection) else None
                return self._request(venue, request, posted)
            if not refusal.status:
                await self._stopped.wait()
            return _response(refusal.status or 503, {"error": "refused"}, refusal.headers)

        return await serve(
            handle,
            "127.0.0.1",
            0,
            process_request=process,
            create_connection=_Connection,
            compression=None,
            ping_interval=self._ping_interval_s.get(venue),
            max_size=MOST_COMMAND_BYTES,
            close_timeout=1,
            server_header=None,
        )

    def _attempt(self, venue: str) -> Refusal | None:
        """Note a handshake and whether a fault refuses it."""
        refusal = self.faults.handshake(venue, self.model.time.elapsed_ms)
        status = SWITCHING if refusal is None else refusal.status
        self.attempts.append(Attempt(venue, self.model.time.wall_ms, status))
        return refusal

    def _request(self, venue: str, request: Request, posted: bytes | None) -> Response | None:
        """Answer plain HTTP; None lets a WebSocket handshake go on."""
        now_ms = self.model.time.wall_ms
        if not _is_upgrade(request):
            self.requests[venue] += 1
            return _response(*rest.answer(venue, request.path, self.model, now_ms, posted))
        path = urlsplit(request.path).path.rstrip("/")
        if path != SOCKET_PATHS[venue]:
            return _response(404, {"error": "not found"})
        if len(self._clients) >= MOST_CONNECTIONS:
            return _response(429, {"error": "too many connections"})
        if venue == "kalshi" and self._kalshi_key is not None:
            headers = {name.upper(): value for name, value in request.headers.raw_items()}
            problem = kalshi.refusal(headers, self._kalshi_key, now_ms)
            if problem is not None:
                return _response(*rest.kalshi_error(401, "unauthorized", problem))
        return None

    def _session(self, venue: str) -> Session:
        if venue == "kalshi":
            return kalshi.KalshiSession(self.model, self._kalshi_ping_ms)
        if venue == "polymarket":
            return polymarket.PolymarketSession(self.model)
        if venue == "kraken":
            return kraken.KrakenSession(self.model, next(self._numbers))
        return CoinbaseSession(self.model)

    async def _handle(self, venue: str, connection: ServerConnection) -> None:
        """Serve one connection until it ends."""
        client = Client(venue, connection, self._session(venue), Stream(self.faults, venue))
        self._clients.add(client)
        self.connections[venue] += 1
        try:
            self._push(client, client.session.opened(self.model.time.wall_ms))
            async for message in connection:
                self.received[venue] += 1
                text = message if isinstance(message, str) else message.decode(errors="replace")
                answers = client.stream.heard(text, self.model.time.elapsed_ms)
                if answers is None:
                    answers = client.session.received(text, self.model.time.wall_ms)
                self._push(client, answers)
        except ConnectionClosed:
            return  # the usual end of a client that was cut off; async for ends quietly otherwise
        finally:
            self._clients.discard(client)

    def _emitted(self, item: Item) -> None:
        now_ms = self.model.time.wall_ms
        for client in list(self._clients):
            self._push(client, client.session.emitted(item, now_ms))

    def _push(self, client: Client, frames: list[Frame]) -> None:
        """Hand frames, or what the faults make of them, to the socket's buffer."""
        connection, time = client.connection, self.model.time
        if client.closing or connection.protocol.state is not State.OPEN or connection.transport.is_closing():
            return
        for frame in client.stream.sent(frames, time.elapsed_ms, time.wall_ms):
            if isinstance(frame, str):
                broadcast((connection,), frame)
                self.messages[client.venue] += 1
            else:
                self._act(client, frame)
        if connection.transport.get_write_buffer_size() > self._limits[client.venue]:
            client.closing = True
            self.slow_clients[client.venue] += 1
            connection.transport.abort()

    def _act(self, client: Client, frame: Sent) -> None:
        """Send what is no text frame, or do to the line what a fault wants done."""
        connection = client.connection
        if isinstance(frame, Ping):
            self._start(self._ping(connection, frame.body))
        elif isinstance(frame, Close):
            client.closing = True
            self._start(self._close(connection, frame))
        elif isinstance(frame, Bytes):
            connection.transport.write(frame.data)
        elif isinstance(frame, Drip):
            self._start(_drip(connection, frame))
        elif isinstance(frame, Deaf):
            connection.transport.pause_reading()
            asyncio.get_running_loop().call_later(DEAF_SECONDS, connection.transport.abort)
        elif isinstance(frame, Hush):
            client.session.received(frame.command, self.model.time.wall_ms)
        elif isinstance(frame, Cut):
            client.closing = True
            _cut(connection, frame)

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ping(self, connection: ServerConnection, body: bytes) -> None:
        """Send a ping; a client that has not answered the last one is cut off."""
        try:
            await connection.ping(body)
        except ConnectionClosed:
            return
        except ConcurrencyError:  # the same body still waits for its pong
            connection.transport.abort()

    async def _close(self, connection: ServerConnection, frame: Close) -> None:
        await connection.close(frame.code, frame.reason)


def _is_upgrade(request: Request) -> bool:
    """Whether a request is a WebSocket handshake."""
    return "websocket" in request.headers.get("Upgrade", "").lower()


async def _drip(connection: ServerConnection, drip: Drip) -> None:
    """Write a few bytes slowly, as long as the line stands."""
    for byte in drip.data:
        if connection.transport.is_closing():
            return
        connection.transport.write(bytes([byte]))
        await asyncio.sleep(drip.pause_s)


def _cut(connection: ServerConnection, cut: Cut) -> None:
    """End the line without a goodbye; with SO_LINGER of 0 the kernel sends RST in place of FIN."""
    if cut.hard:
        line = connection.transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


def _response(status: int, value: Any, more: dict[str, str] | None = None) -> Response:
    """A JSON answer that ends its connection."""
    body = rest.json_text(value).encode()
    headers = Headers(more or {})
    headers["Content-Type"] = "application/json"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(status, http.HTTPStatus(status).phrase, headers, body)
