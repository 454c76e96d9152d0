"""The lab's sockets: one loopback port a venue for its WebSocket and its public REST.

In: the market model, clients' frames and GET requests. Out: each session's frames, REST answers,
counters of both. Who runs it: the lab's worker, through `LabServer.run`. A client that does not
read is disconnected once its send buffer is full; nothing here grows without bound.
"""

from __future__ import annotations

import asyncio
import http
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from pipeline.lab import kalshi, kraken, polymarket, rest
from pipeline.lab.coinbase import CoinbaseSession
from pipeline.lab.exchange import Close, Frame, Item, Ping, Session
from pipeline.lab.market import STEP_MS, MarketModel

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


@dataclass(eq=False)
class Client:
    """One open WebSocket connection and its protocol session."""

    venue: str
    connection: ServerConnection
    session: Session
    closing: bool = False


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

        def process(_connection: ServerConnection, request: Request) -> Response | None:
            return self._request(venue, request)

        return await serve(
            handle,
            "127.0.0.1",
            0,
            process_request=process,
            compression=None,
            ping_interval=self._ping_interval_s.get(venue),
            max_size=MOST_COMMAND_BYTES,
            close_timeout=1,
            server_header=None,
        )

    def _request(self, venue: str, request: Request) -> Response | None:
        """Answer plain HTTP; None lets a WebSocket handshake go on."""
        now_ms = self.model.time.wall_ms
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            self.requests[venue] += 1
            return _response(*rest.answer(venue, request.path, self.model, now_ms))
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
        client = Client(venue, connection, self._session(venue))
        self._clients.add(client)
        self.connections[venue] += 1
        try:
            self._push(client, client.session.opened(self.model.time.wall_ms))
            async for message in connection:
                self.received[venue] += 1
                text = message if isinstance(message, str) else message.decode(errors="replace")
                self._push(client, client.session.received(text, self.model.time.wall_ms))
        except ConnectionClosed:
            return  # the usual end of a client that was cut off; async for ends quietly otherwise
        finally:
            self._clients.discard(client)

    def _emitted(self, item: Item) -> None:
        now_ms = self.model.time.wall_ms
        for client in list(self._clients):
            self._push(client, client.session.emitted(item, now_ms))

    def _push(self, client: Client, frames: list[Frame]) -> None:
        """Hand frames to the socket's buffer; the one place where faults would act on them."""
        connection = client.connection
        if not frames or client.closing or connection.protocol.state is not State.OPEN:
            return
        for frame in frames:
            if isinstance(frame, str):
                broadcast((connection,), frame)
                self.messages[client.venue] += 1
            elif isinstance(frame, Ping):
                self._start(self._ping(connection, frame.body))
            else:
                client.closing = True
                self._start(self._close(connection, frame))
        if connection.transport.get_write_buffer_size() > self._limits[client.venue]:
            client.closing = True
            self.slow_clients[client.venue] += 1
            connection.transport.abort()

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


def _response(status: int, value: Any) -> Response:
    """A JSON answer that ends its connection."""
    body = rest.json_text(value).encode()
    headers = Headers()
    headers["Content-Type"] = "application/json"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(status, http.HTTPStatus(status).phrase, headers, body)
