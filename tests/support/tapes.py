"""Tapes as the tests of permuted tapes need them: frames, and what each book holds after each frame.

In: a tape, ours or a recording. Out: its frames and their truth by the plain model. The recordings' full
Coinbase books are trimmed, so that thousands of comparisons stay cheap.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.model_book import Ladders, Model

DATA = Path(__file__).resolve().parents[1] / "venues" / "data"
KEPT = 40  # levels a side that a trimmed snapshot keeps


@dataclass(frozen=True, slots=True)
class Tape:
    """`truth[i]` is every book after frame i, `about[i]` the markets that frame i speaks of.

    `groups[i]` names the count or book that frame i continues: a Kalshi sid, the one of a Coinbase
    connection, a Kraken symbol, a Polymarket token. `home` is each market's group, `numbers[i]` the
    frame's own number. `opening` frames come before the first change. `within_batch` are the frames after
    which more of the same Polymarket batch follows.
    """

    venue: str
    frames: list[str]
    truth: list[dict[str, Ladders]]
    about: list[frozenset[str]]
    groups: list[frozenset[str]]
    numbers: list[int]
    home: dict[str, str]
    opening: int
    within_batch: frozenset[int]


def read_frames(path: Path) -> list[tuple[str, str]]:
    """(venue, data) of each line of a tape."""
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).split(b"\n")
    parsed = [json.loads(line) for line in lines if line.strip()]
    return [(line["venue"], line["data"]) for line in parsed]


def load(path: Path) -> Tape:
    """A tape of one venue with the truth after every frame."""
    read = read_frames(path)
    venue = read[0][0]
    frames = [_trimmed(data) if len(data) > 1_000_000 else data for _, data in read]
    model = Model(venue)
    held: dict[str, Ladders] = {}
    tape = Tape(venue, frames, [], [], [], [], {}, 0, frozenset())
    opening = 0
    for index, frame in enumerate(frames):
        messages = list(model.messages(frame))
        about = frozenset(model.take(frame))
        if not opening and any(message.kind in {"change", "steps"} for message in messages):
            opening = index
        held = {market: ladders for market, ladders in held.items() if market in model.books}
        held |= {market: model.ladders(market) for market in about if market in model.books}
        group, number = _place(venue, frame)
        groups = frozenset([group] if group else about if venue in {"kraken", "polymarket"} else [])
        tape.home.update({market: group or market for market in about})
        tape.truth.append(dict(held))
        tape.about.append(about)
        tape.groups.append(groups)
        tape.numbers.append(number)
    return replace(tape, opening=opening or len(frames), within_batch=_within_batches(frames, venue))


def _within_batches(frames: list[str], venue: str) -> frozenset[int]:
    """Frames whose successor has the same time stamp and the same hashes."""
    if venue != "polymarket":
        return frozenset()
    pattern = re.compile(r'"price_changes": ?\[.*?"hash": ?"(\w+)\w\w".*"timestamp": ?"(\d+)"')
    names = [pattern.search(text) for text in frames]
    keys = [name.groups() if name else None for name in names]
    return frozenset(i for i in range(len(keys) - 1) if keys[i] is not None and keys[i] == keys[i + 1])


def _place(venue: str, frame: str) -> tuple[str, int]:
    """The count that a frame belongs to, and its number there."""
    if venue not in {"kalshi", "coinbase"}:
        return "", -1
    parsed: dict[str, Any] = json.loads(frame)
    if venue == "coinbase":
        return "connection", parsed.get("sequence_num", -1)
    return (f"sid {parsed['sid']}", parsed["seq"]) if "seq" in parsed else ("", -1)


def _trimmed(frame: str) -> str:
    """A Coinbase snapshot without the levels far from the best."""
    parsed = json.loads(frame)
    for event in parsed["events"]:
        by_side: dict[str, list[dict[str, str]]] = {"bid": [], "offer": []}
        for update in event["updates"]:
            by_side[update["side"]].append(update)
        for side, updates in by_side.items():
            updates.sort(key=lambda update: Decimal(update["price_level"]), reverse=side == "bid")
        event["updates"] = by_side["bid"][:KEPT] + by_side["offer"][:KEPT]
    return json.dumps(parsed)
