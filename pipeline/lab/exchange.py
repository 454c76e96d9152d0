"""What every simulated venue shares: frames, one session per connection, wall-clock texts.

In: a client's text frames, what the market model emits, and the model's wall clock (ms).
Out: frames to send. Who runs it: `server.LabServer`, which holds the sockets. Sessions are pure,
so a fault can be put between a session and its socket by changing a list of frames.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.lab.book import BookBatch, Trade
from pipeline.lab.listing import Notice

Item = BookBatch | Trade | Notice
"""One thing the market model emits."""


@dataclass(frozen=True)
class Ping:
    """A WebSocket Ping frame with this body."""

    body: bytes


@dataclass(frozen=True)
class Close:
    """A WebSocket Close frame; nothing is sent after it."""

    code: int
    reason: str


Frame = str | Ping | Close
"""One frame a session wants sent; a text frame is a plain str."""


class Session(Protocol):
    """One client's connection to one simulated venue."""

    def opened(self, now_ms: int, /) -> list[Frame]:
        """Frames sent as soon as the connection stands."""
        ...

    def received(self, text: str, now_ms: int, /) -> list[Frame]:
        """Answers to one text frame of the client; bad input is answered, never raised."""
        ...

    def emitted(self, item: Item, now_ms: int, /) -> list[Frame]:
        """Frames for one thing the model emitted; call it while the books are at that point."""
        ...

    def ticked(self, now_ms: int, /) -> list[Frame]:
        """Frames that are due by time alone: heartbeats, batches, deadlines. Call once a step."""
        ...


def utc(now_us: int) -> str:
    """RFC 3339 text of a wall time in microseconds, always with six digits and a Z."""
    seconds, micros = divmod(now_us, 1_000_000)
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


def utc_seconds(now_ms: int) -> str:
    """RFC 3339 text of a wall time in milliseconds, cut to whole seconds."""
    moment = dt.datetime.fromtimestamp(now_ms // 1000, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def compact(value: object) -> str:
    """JSON text without spaces, as most venues write it."""
    return json.dumps(value, separators=(",", ":"))


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a client's frame, or None when it is anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def text_list(value: object) -> list[str]:
    """The strings of a JSON list without repeats, in order; anything else gives an empty list."""
    if not isinstance(value, list):
        return []
    return list(dict.fromkeys(item for item in value if isinstance(item, str)))
