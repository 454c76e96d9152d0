"""The design read literally, first half: websocket-client as it comes, json, numpy records in shared memory.

In: an address that speaks Kalshi, a memory file, a pipe, how many pairs, on the command line. Out: a record a
market in the file, a byte in the pipe after each message. A process of its own, until the venue ends.
"""

import json
import mmap
import os
import sys
import time
from pathlib import Path

import numpy as np
import websocket

from bench.pipeline_parts.literal_records import LADDER, TOP, ladders_and_tops
from bench.pipeline_parts.setting import KALSHI, OTHER_BID, OTHER_SIZE, market_name


def main() -> None:
    """Subscribe, then take messages one by one."""
    url, path, pipe, pairs = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    with path.open("w+b") as file:
        file.truncate(pairs * (LADDER.itemsize + 2 * TOP.itemsize))
        ladders, tops = ladders_and_tops(mmap.mmap(file.fileno(), 0), pairs)
    for number in range(pairs):
        other = tops[1, number]
        other["bid"], other["bid_units"] = OTHER_BID / 100, OTHER_SIZE
    rows = {market_name(KALSHI, number): number for number in range(pairs)}
    bell = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    connection = websocket.create_connection(url)
    params = {"channels": ["orderbook_delta"], "market_tickers": list(rows)}
    connection.send(json.dumps({"id": 1, "cmd": "subscribe", "params": params}))
    while True:
        try:
            message = json.loads(connection.recv())
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            return
        if take(message, rows, ladders, tops[0]):
            os.write(bell, b"\1")


def take(message: dict, rows: dict[str, int], ladders: np.ndarray, tops: np.ndarray) -> bool:  # type: ignore[type-arg]
    """Apply one message and publish the best prices; whether there was anything to apply."""
    body = message["msg"]
    if message["type"] not in ("orderbook_snapshot", "orderbook_delta"):
        return False
    received_ns = time.monotonic_ns()
    row = rows[body["market_ticker"]]
    yes_units, no_units = ladders[row]["yes"], ladders[row]["no"]
    if message["type"] == "orderbook_snapshot":
        for units, key in ((yes_units, "yes_dollars_fp"), (no_units, "no_dollars_fp")):
            for price, size in body[key]:
                units[round(float(price) * 100)] = float(size)
    else:
        units = yes_units if body["side"] == "yes" else no_units
        units[round(float(body["price_dollars"]) * 100)] += float(body["delta_fp"])
    top, yes, no = tops[row], np.flatnonzero(yes_units), np.flatnonzero(no_units)
    top["seq"] += 1
    top["bid"], top["bid_units"] = yes[-1] / 100, yes_units[yes[-1]]
    top["ask"], top["ask_units"] = 1 - no[-1] / 100, no_units[no[-1]]
    top["received_ns"], top["published_ns"] = received_ns, time.monotonic_ns()
    top["seq"] += 1
    return True


main()
