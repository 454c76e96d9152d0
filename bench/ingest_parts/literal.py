"""The design read literally: websocket-client as it comes, json, numpy records in shared memory.

In: an address that speaks Kalshi, how many frames come first, how many then. Out: CPU and wall nanoseconds,
printed. The point of comparison of the ingest bench, which runs it in a process of its own. It keeps a
dense ladder a side as a structured numpy array over an mmap and looks for the best price after each
message.
"""

import json
import mmap
import sys
import time

import numpy as np
import websocket

LEVEL = np.dtype([("units", "i8")])
TOP = np.dtype(
    [("seq", "i8"), ("bid", "f8"), ("bid_units", "i8"), ("ask", "f8"), ("ask_units", "i8"), ("ns", "i8")]
)
MARKETS = 200


def main() -> None:
    """Receive the opening, then time the changes."""
    url, opening, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    memory = mmap.mmap(-1, 1 << 22)
    rows: dict[str, int] = {}
    ladders = np.ndarray((MARKETS, 2, 100), LEVEL, memory)
    tops = np.ndarray((MARKETS,), TOP, memory, MARKETS * 2 * 100 * 8)
    connection = websocket.create_connection(url)
    for _ in range(opening):
        take(json.loads(connection.recv()), rows, ladders, tops)
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, wall = time.process_time_ns(), time.monotonic_ns()
    for _ in range(count):
        take(json.loads(connection.recv()), rows, ladders, tops)
    print(json.dumps({"cpu_ns": time.process_time_ns() - cpu, "wall_ns": time.monotonic_ns() - wall}))
    connection.shutdown()


def take(message: dict, rows: dict[str, int], ladders: np.ndarray, tops: np.ndarray) -> None:  # type: ignore[type-arg]
    """Apply one message and publish the best prices."""
    body = message["msg"]
    if message["type"] == "orderbook_snapshot":
        row = rows.setdefault(body["market_ticker"], len(rows))
        for side, key in enumerate(("yes_dollars_fp", "no_dollars_fp")):
            for price, size in body[key]:
                ladders[row, side, round(float(price) * 100)]["units"] = round(float(size) * 100)
    elif message["type"] == "orderbook_delta":
        row = rows[body["market_ticker"]]
        side = 0 if body["side"] == "yes" else 1
        level = ladders[row, side, round(float(body["price_dollars"]) * 100)]
        level["units"] += round(float(body["delta_fp"]) * 100)
        yes = np.flatnonzero(ladders[row, 0]["units"])
        no = np.flatnonzero(ladders[row, 1]["units"])
        top = tops[row]
        top["seq"] += 1
        if len(yes):
            top["bid"], top["bid_units"] = yes[-1] / 100, ladders[row, 0, yes[-1]]["units"]
        if len(no):
            top["ask"], top["ask_units"] = 1 - no[-1] / 100, ladders[row, 1, no[-1]]["units"]
        top["ns"] = time.monotonic_ns()
        top["seq"] += 1


main()
