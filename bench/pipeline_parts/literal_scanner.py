"""The design read literally, second half: a loop over all pairs, numpy scalars and floats, json over ZeroMQ.

In: the memory file, the pipe, an address, how many pairs, on the command line. Out: an object for each pair
that changed and leaves something. A process of its own, until its parent ends it.
"""

import json
import math
import mmap
import os
import sys
import time
from pathlib import Path

import numpy as np
import zmq

from bench.pipeline_parts.literal_records import ladders_and_tops


def main() -> None:
    """Scan whenever the bell rings."""
    path, pipe, address, pairs = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    bell = os.open(pipe, os.O_RDWR)
    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.connect(address)
    seen = [0] * pairs
    print("ready", flush=True)
    os.read(bell, 65536)
    with path.open("rb") as file:
        _, tops = ladders_and_tops(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), pairs)
    while True:
        scan(tops, seen, socket)
        os.read(bell, 65536)


def scan(tops: np.ndarray, seen: list[int], socket: zmq.Socket) -> None:  # type: ignore[type-arg]
    """Both directions of every pair."""
    scan_ns = time.monotonic_ns()
    for number in range(len(seen)):
        first, other = tops[0, number], tops[1, number]
        seq = int(first["seq"])
        if seq % 2 or seq == seen[number]:
            continue
        for direction, (yes, no) in enumerate(((first, other), (other, first))):
            size = min(yes["ask_units"], no["bid_units"])
            if size <= 0:
                continue
            fee = math.ceil(0.07 * size * yes["ask"] * (1 - yes["ask"]) * 100) / 100
            fee += round(0.04 * size * no["bid"] * (1 - no["bid"]), 5)
            cost = size * (yes["ask"] + 1 - no["bid"])
            net = size - cost - fee
            if net <= 0 or first["seq"] != seq:
                continue
            found = {
                "event_id": f"pair-{number}",
                "direction": direction,
                "size": float(size),
                "net": float(net),
                "edge_bp": float(net / cost * 10_000),
                "received_ns": int(first["received_ns"]),
                "published_ns": int(first["published_ns"]),
                "scan_ns": scan_ns,
                "send_ns": time.monotonic_ns(),
            }
            socket.send(json.dumps(found).encode())
        seen[number] = seq


main()
