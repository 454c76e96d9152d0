"""CCXT venues: six exchanges on loopback, as far as ccxt needs them to stream an order book.

Each speaks its dialect: it answers subscriptions with its snapshot, sends changes, answers pings, and does
wrong on demand. The messages are made here, in the shapes that ccxt reads; no exchange was asked.
"""

from __future__ import annotations

import http
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

TIME_MS = 1_795_000_000_000
Levels = dict[str, str]


@dataclass
class World:
    """The one book that an exchange shows, as decimal texts, and its number."""

    market_id: str
    bids: Levels = field(default_factory=lambda: {"60000.1": "0.25", "59999.9": "1.5", "59990": "0.00001"})
    asks: Levels = field(default_factory=lambda: {"60000.2": "0.4", "60001": "2", "60010.5": "0.125"})
    number: int = 1

    def side(self, side: str) -> list[list[str]]:
        """One side, best first."""
        levels = self.bids if side == "bids" else self.asks
        ordered = sorted(levels.items(), key=lambda level: float(level[0]), reverse=side == "bids")
        return [list(level) for level in ordered]

    def set(self, side: str, price: str, size: str) -> None:
        """Change a level; size "0" takes it away."""
        levels = self.bids if side == "bids" else self.asks
        levels[price] = size
        if size == "0":
            del levels[price]
        self.number += 1


class Dialect:
    """How an exchange writes. One object serves one connection."""

    symbol = "BTC/USDT"
    market_id = "BTCUSDT"

    def __init__(self, world: World) -> None:
        self.world = world

    def opened(self) -> list[Any]:
        return []

    def received(self, text: str) -> list[Any]:
        """Answers to one message of the client; a subscription is answered with the snapshot."""
        raise NotImplementedError

    def snapshot(self) -> list[Any]:
        raise NotImplementedError

    def change(self, side: str, price: str, size: str) -> list[Any]:
        """The message of a change that the world has taken already."""
        raise NotImplementedError


class Bybit(Dialect):
    def received(self, text: str) -> list[Any]:
        message = json.loads(text)
        head = {"success": True, "conn_id": "c", "req_id": str(message.get("req_id")), "op": message["op"]}
        if message["op"] == "ping":
            return [head | {"ret_msg": "pong"}]
        assert message["args"] == [f"orderbook.50.{self.market_id}"]
        return [head | {"ret_msg": ""}, *self.snapshot()]

    def _book(self, kind: str, bids: list[list[str]], asks: list[list[str]]) -> list[Any]:
        data = {"s": self.market_id, "b": bids, "a": asks, "u": self.world.number, "seq": self.world.number}
        return [{"topic": f"orderbook.50.{self.market_id}", "type": kind, "ts": TIME_MS, "data": data}]

    def snapshot(self) -> list[Any]:
        return self._book("snapshot", self.world.side("bids"), self.world.side("asks"))

    def change(self, side: str, price: str, size: str) -> list[Any]:
        level = [[price, size]]
        return self._book("delta", level if side == "bids" else [], level if side == "asks" else [])


class Okx(Dialect):
    market_id = "BTC-USDT"

    def received(self, text: str) -> list[Any]:
        if text == "ping":
            return ["pong"]
        message = json.loads(text)
        assert message == {"op": "subscribe", "args": [self._arg()]}
        return [{"event": "subscribe", "arg": self._arg(), "connId": "a"}, *self.snapshot()]

    def _arg(self) -> dict[str, str]:
        return {"channel": "books", "instId": self.market_id}

    def _book(self, action: str, bids: list[list[str]], asks: list[list[str]], before: int) -> list[Any]:
        data = {
            "bids": [[*level, "0", "1"] for level in bids],
            "asks": [[*level, "0", "1"] for level in asks],
            "ts": str(TIME_MS),
            "checksum": 0,
            "seqId": self.world.number,
            "prevSeqId": before,
        }
        return [{"arg": self._arg(), "action": action, "data": [data]}]

    def snapshot(self) -> list[Any]:
        return self._book("snapshot", self.world.side("bids"), self.world.side("asks"), -1)

    def change(self, side: str, price: str, size: str) -> list[Any]:
        level, before = [[price, size]], self.world.number - 1
        return self._book("update", level if side == "bids" else [], level if side == "asks" else [], before)


class Bitfinex(Dialect):
    symbol = "BTC/USD"
    market_id = "tBTCUSD"

    def opened(self) -> list[Any]:
        return [{"event": "info", "version": 2, "serverId": "s", "platform": {"status": 1}}]

    def received(self, text: str) -> list[Any]:
        message = json.loads(text)
        if message["event"] == "conf":
            return [{"event": "conf", "status": "OK", "flags": message["flags"]}]
        assert message["symbol"] == self.market_id
        answer = message | {"event": "subscribed", "chanId": 17, "len": "25", "pair": "BTCUSD"}
        return [answer, *self.snapshot()]

    @staticmethod
    def _level(side: str, price: str, size: str) -> list[float]:
        amount = float(size) or 1.0  # a count of 0 takes the level away; the amount then tells the side
        return [float(price), 1 if float(size) else 0, amount if side == "bids" else -amount]

    def snapshot(self) -> list[Any]:
        levels = [self._level(side, *level) for side in ("bids", "asks") for level in self.world.side(side)]
        return [[17, levels]]

    def change(self, side: str, price: str, size: str) -> list[Any]:
        return [[17, self._level(side, price, size)]]


class Gemini(Dialect):
    symbol = "BTC/USD"
    market_id = "BTCUSD"

    def received(self, text: str) -> list[Any]:
        wanted = [{"name": "l2", "symbols": [self.market_id]}]
        assert json.loads(text) == {"type": "subscribe", "subscriptions": wanted}
        return self.snapshot()

    def snapshot(self) -> list[Any]:
        names = (("bids", "buy"), ("asks", "sell"))
        changes = [[name, *level] for side, name in names for level in self.world.side(side)]
        message = {"type": "l2_updates", "symbol": self.market_id, "changes": changes}
        return [message | {"trades": [], "auction_events": []}]

    def change(self, side: str, price: str, size: str) -> list[Any]:
        name = "buy" if side == "bids" else "sell"
        return [{"type": "l2_updates", "symbol": self.market_id, "changes": [[name, price, size]]}]


class Hyperliquid(Dialect):
    symbol = "BTC/USDC:USDC"
    market_id = "BTC"

    def received(self, text: str) -> list[Any]:
        message = json.loads(text)
        if message["method"] == "ping":
            return [{"channel": "pong"}]
        assert message["subscription"] == {"type": "l2Book", "coin": self.market_id}
        return [{"channel": "subscriptionResponse", "data": message}, *self.snapshot()]

    def snapshot(self) -> list[Any]:
        sides = [
            [{"px": price, "sz": size, "n": 1} for price, size in self.world.side(side)]
            for side in ("bids", "asks")
        ]
        return [{"channel": "l2Book", "data": {"coin": self.market_id, "time": TIME_MS, "levels": sides}}]

    def change(self, side: str, price: str, size: str) -> list[Any]:
        return self.snapshot()


class Cryptocom(Dialect):
    symbol = "BTC/USD"
    market_id = "BTC_USD"

    def received(self, text: str) -> list[Any]:
        message = json.loads(text)
        assert message["params"]["channels"] == [f"book.{self.market_id}.50"]
        return self.snapshot()

    def _book(self, channel: str, data: dict[str, Any]) -> list[Any]:
        stamps = {"t": TIME_MS, "tt": TIME_MS, "u": self.world.number, "cs": 0}
        result = {
            "instrument_name": self.market_id,
            "subscription": f"book.{self.market_id}.50",
            "channel": channel,
            "depth": 50,
            "data": [data | stamps],
        }
        return [{"id": -1, "method": "subscribe", "code": 0, "result": result}]

    def snapshot(self) -> list[Any]:
        sides = {side: [[*level, "1"] for level in self.world.side(side)] for side in ("bids", "asks")}
        return self._book("book", sides)

    def change(self, side: str, price: str, size: str) -> list[Any]:
        count = "0" if size == "0" else "1"
        update = {"bids": [], "asks": []} | {side: [[price, size, count]]}
        return self._book("book.update", {"update": update, "pu": self.world.number - 1})


DIALECTS: dict[str, type[Dialect]] = {
    "bybit": Bybit,
    "okx": Okx,
    "bitfinex": Bitfinex,
    "gemini": Gemini,
    "hyperliquid": Hyperliquid,
    "cryptocom": Cryptocom,
}


class Venue:
    """One exchange on a free port of 127.0.0.1. `rest` answers GET requests by the end of their path."""

    def __init__(self, name: str, rest: dict[str, Any] | None = None) -> None:
        self.dialect = DIALECTS[name]
        self.world = World(self.dialect.market_id)
        self.symbol = self.dialect.symbol
        self.rest = rest or {}
        self.connections = 0
        self.subscriptions = 0
        self.silent = False
        """Send no book any more, while pings are answered."""
        self._clients: dict[ServerConnection, Dialect] = {}
        self._server: Server | None = None

    async def start(self) -> None:
        self._server = await serve(
            self._handle, "127.0.0.1", 0, process_request=self._answer, compression=None, close_timeout=1
        )

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    async def stop(self) -> None:
        assert self._server is not None
        for connection in list(self._clients):
            connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    async def change(self, side: str, price: str, size: str) -> None:
        """Change the book and tell every client."""
        self.world.set(side, price, size)
        await self.tell(lambda dialect: dialect.change(side, price, size))

    async def tell(self, message: Callable[[Dialect], list[Any]]) -> None:
        """Send every client what its dialect makes of it."""
        for connection, dialect in list(self._clients.items()):
            await self._send(connection, [] if self.silent else message(dialect))

    async def close_clients(self, code: int) -> None:
        """Close every connection in good order."""
        for connection in list(self._clients):
            await connection.close(code, "for the test")

    def stop_reading(self) -> None:
        """Read nothing any more: no ping is answered, and the sockets stay open."""
        for connection in self._clients:
            connection.transport.pause_reading()

    def _answer(self, _connection: ServerConnection, request: Request) -> Response | None:
        if "websocket" in request.headers.get("Upgrade", "").lower():
            return None
        path = request.path.partition("?")[0]
        body = next((found for end, found in self.rest.items() if path.endswith(end)), None)
        text = json.dumps(body if body is not None else {"error": "not found"}).encode()
        headers = Headers()
        headers["Content-Type"] = "application/json"
        headers["Content-Length"] = str(len(text))
        headers["Connection"] = "close"
        status = http.HTTPStatus.OK if body is not None else http.HTTPStatus.NOT_FOUND
        return Response(status, status.phrase, headers, text)

    async def _handle(self, connection: ServerConnection) -> None:
        dialect = self.dialect(self.world)
        self._clients[connection] = dialect
        self.connections += 1
        try:
            await self._send(connection, dialect.opened())
            async for message in connection:
                text = message if isinstance(message, str) else message.decode()
                answers = dialect.received(text)
                if "ping" not in text:
                    self.subscriptions += 1
                    answers = [] if self.silent else answers
                await self._send(connection, answers)
        except ConnectionClosed:
            return
        finally:
            del self._clients[connection]

    @staticmethod
    async def _send(connection: ServerConnection, messages: list[Any]) -> None:
        for message in messages:
            await connection.send(message if isinstance(message, str) else json.dumps(message))
