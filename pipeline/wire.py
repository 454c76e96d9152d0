"""Wire: the messages that cross ZeroMQ, and how they are sealed.

In: frozen structs. Out: frames of at most 4 KiB: magic and version, a truncated HMAC-SHA256 under the
run's key, msgpack. Whatever is malformed, oversized or forged is refused here; what is replayed or late
is refused by `Receiver` and by the trader. Pure; used by scanner, trader, supervisor, dashboard, cli.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TypeVar

import msgspec

MAGIC = b"PX\x01"
SEAL_BYTES = 16
KEY_BYTES = 32
MAX_FRAME_BYTES = 4096


class WireError(ValueError):
    """A frame is not one of ours; the text says in what way."""


class LegRef(msgspec.Struct, frozen=True, array_like=True):
    """One leg as the scanner saw it. `limit_ticks` is the worst book price walked, in book terms.

    `row`, `epoch`, `number` name the very book row used; the two stamps are of that row.
    """

    venue: str
    market: str
    outcome: str
    action: str
    limit_ticks: int
    row: int
    epoch: int
    number: int
    socket_ns: int
    publish_ns: int


class Opportunity(msgspec.Struct, frozen=True, array_like=True, tag="opp"):
    """Scanner to trader: an edge worth a look. Numbers are the scanner's; the trader prices it again.

    `kind` and `direction` name what is done with the event; `legs` stand in the order of `pairs.directions`.
    `fresh` says that a message made it just now; else it is offered again, and its stamps are no latencies.
    `run_epoch` is the scanner's epoch and `sequence` counts from 1 in it: together they only grow.
    """

    boot_id: str
    run_epoch: int
    sequence: int
    config_version: int
    event_id: str
    kind: str
    direction: int
    size_units: int
    size_decimals: int
    edge_bp: int
    gross_micros: int
    net_micros: int
    cash_micros: int
    confidence: int
    legs: tuple[LegRef, ...]
    race_ppm: int
    fresh: bool
    scan_ns: int
    decided_ns: int
    expires_ns: int
    send_ns: int


class Decision(msgspec.Struct, frozen=True, array_like=True, tag="dec"):
    """Trader to whoever listens: what became of an opportunity, with every hop's stamp (0: not reached)."""

    boot_id: str
    run_epoch: int
    sequence: int
    opportunity: int
    event_id: str
    direction: int
    action: int
    reason: int
    value_micros: int
    limit_micros: int
    size_units: int
    size_decimals: int
    edge_bp: int
    net_micros: int
    cash_micros: int
    socket_ns: int
    book_ns: int
    scan_ns: int
    send_ns: int
    receive_ns: int
    decide_ns: int
    intent_ns: int
    order_ns: int
    fill_ns: int


class Request(msgspec.Struct, frozen=True, array_like=True, tag="req"):
    """A command to the supervisor. `id` is random; `issued_ns` is CLOCK_MONOTONIC of the sender."""

    id: str
    command: str
    args: dict[str, str]
    who: str
    issued_ns: int


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="rep"):
    """The supervisor's answer: `ok`, and a sentence for people."""

    id: str
    ok: bool
    text: str
    data: dict[str, str] = {}


MessageT = TypeVar("MessageT", Opportunity, Decision, Request, Reply)


class Sealer:
    """Seals and opens frames under one key. Raises ValueError for a key of the wrong length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the run's key must have {KEY_BYTES} bytes, got {len(key)}")
        self._key = key

    def seal(self, message: Opportunity | Decision | Request | Reply) -> bytes:
        """A frame holding `message`. Raises WireError when it would be over MAX_FRAME_BYTES."""
        body = msgspec.msgpack.encode(message)
        frame = MAGIC + self._mac(body) + body
        if len(frame) > MAX_FRAME_BYTES:
            raise WireError(f"a message of {len(frame)} bytes is over {MAX_FRAME_BYTES}")
        return frame

    def open(self, frame: bytes, kind: type[MessageT]) -> MessageT:
        """The message of a frame. Raises WireError, naming the defect, for anything not sealed by us."""
        if len(frame) > MAX_FRAME_BYTES:
            raise WireError("oversized")
        head = len(MAGIC) + SEAL_BYTES
        if len(frame) <= head or frame[: len(MAGIC)] != MAGIC:
            raise WireError("malformed")
        body = frame[head:]
        if not hmac.compare_digest(frame[len(MAGIC) : head], self._mac(body)):
            raise WireError("forged")
        try:
            return msgspec.msgpack.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise WireError("malformed") from error

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:SEAL_BYTES]


class Receiver:
    """Order of one sender's messages: refuses replays, counts gaps."""

    def __init__(self) -> None:
        self._epoch = 0
        self._sequence = 0
        self.gaps = 0

    def accept(self, epoch: int, sequence: int) -> bool:
        """Whether (epoch, sequence) is newer than everything accepted before; gaps are added up."""
        if (epoch, sequence) <= (self._epoch, self._sequence):
            return False
        if epoch == self._epoch:
            self.gaps += sequence - self._sequence - 1
        self._epoch, self._sequence = epoch, sequence
        return True
