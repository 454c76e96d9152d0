"""ccxt.pro's handlers on a file of frames: CPU nanoseconds of parsing and book, printed.

Run by the ingest bench with an interpreter that has ccxt: peer_ccxt.py VENUE FILE. Its Kraken checksum is
off, as it is by default. It never opens a socket.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import ccxt.pro
from files import load

try:
    from orjson import loads
except ImportError:
    loads = json.loads


class Client:
    """As much of ccxt's client as its handlers touch."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, dict] = {}  # type: ignore[type-arg]

    def resolve(self, result: object, _message_hash: str) -> object:
        """Hand on a book to nobody."""
        return result


async def main() -> None:
    """Feed the opening, then time the changes."""
    venue, path = sys.argv[1], Path(sys.argv[2])
    exchange = getattr(ccxt.pro, venue)()
    opening, changes = load(path)
    ids = {"kraken": "symbol", "coinbase": "product_id"}
    names = {_name(frame, ids[venue]) for frame in opening} - {""}
    exchange.markets_by_id = {name: [_market(name)] for name in names}
    exchange.markets = {name.replace("-", "/"): _market(name) for name in names}
    client = Client()
    for frame in opening:
        message = loads(frame)
        if (message.get("type") == "snapshot" and message.get("channel") == "book") or "events" in message:
            exchange.handle_order_book(client, message)
    cpu = time.process_time_ns()
    for frame in changes:
        exchange.handle_order_book(client, loads(frame))
    print(time.process_time_ns() - cpu)
    assert len(exchange.orderbooks) == len(names)
    await exchange.close()


def _name(frame: bytes, key: str) -> str:
    message = json.loads(frame)
    data = message.get("data") if message.get("channel") == "book" else message.get("events")
    return data[0].get(key, "") if isinstance(data, list) else ""


def _market(name: str) -> dict[str, str]:
    return {"id": name, "symbol": name.replace("-", "/"), "type": "spot"}


asyncio.run(main())
