"""Codec: what every venue's codec understands and what the events mean.

In: frames as a venue sent them. Out: events in integer ticks and units. A codec lives as long as one
connection: it holds that connection's sequence, subscription ids and scales, and nothing else. It is
pure: it reads no clock, opens no socket, and never raises for what a venue sent; trouble is an event.
Used by feeds, by `run.py books` and by the replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from pipeline.model import Level, Market, Scale


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The whole book of one market; it replaces whatever was there. Levels in any order.

    `depth` > 0 cuts each side to so many levels after every update (Kraken). `checksum` is the venue's
    CRC32 of the book after this message, or None. `venue_ns` is the venue's own time, 0 if not sent.
    """

    market: str
    bids: list[Level]
    asks: list[Level]
    venue_ns: int = 0
    checksum: int | None = None
    depth: int = 0
    batch: str = ""


class Change(msgspec.Struct, frozen=True, gc=False):
    """Changed levels of one market. Sizes are absolute (0 removes), or signed steps if `relative`.

    Polymarket says with each change what the best prices are at the end of its batch, which may take
    several frames: `best_bid` and `best_ask` in ticks, 0 for an empty side, None where it does not say;
    `batch` names the batch. "" is no batch: nothing is compared.

    `moment` is the venue's time where a codec leaves it to whoever shows the book to count its
    nanoseconds, as most changes are never shown; `venue_ns` is 0 then.
    """

    market: str
    bids: list[Level]
    asks: list[Level]
    venue_ns: int = 0
    checksum: int | None = None
    relative: bool = False
    batch: str = ""
    best_bid: int | None = None
    best_ask: int | None = None
    moment: datetime | None = None


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Messages were lost or a book was voided: these markets are unknown until their next Snapshot.

    An empty `markets` means every market of the connection. `counted` is True where a sequence jumped
    (the `gaps` count), False where the venue itself said so (a tick size change, a closed subscription).
    """

    markets: tuple[str, ...]
    why: str
    counted: bool = True


class Bad(msgspec.Struct, frozen=True, gc=False):
    """A frame or a part of one that cannot be used. Counted; never in a book.

    `lost` is True when a book change may have been in it: then `markets` (empty = all) become GAP.
    """

    why: str
    lost: bool = False
    markets: tuple[str, ...] = ()


class Listed(msgspec.Struct, frozen=True, gc=False):
    """Market metadata that came over the socket (Kraken's instrument channel, a tick size change)."""

    market: Market


class Status(msgspec.Struct, frozen=True, gc=False):
    """Tradable or not, for one market or ("" ) for the whole venue, in the venue's own word."""

    market: str
    tradable: bool
    word: str


class Subscribed(msgspec.Struct, frozen=True, gc=False):
    """The venue's answer to a subscription. `ok` False carries its words in `why`.

    `full` is True when the venue says that this connection takes no more markets: those that were
    refused belong on another one.
    """

    markets: tuple[str, ...]
    ok: bool
    why: str = ""
    full: bool = False


class Settled(msgspec.Struct, frozen=True, gc=False):
    """The venue announced a result or closed a market: its metadata should be read again now."""

    market: str


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A well-formed frame that changes nothing: heartbeat, pong, duplicate, a channel not used.

    `duplicate` marks a message seen before; it is counted and dropped.
    """

    what: str
    duplicate: bool = False


Event = Snapshot | Change | Gap | Bad | Listed | Status | Subscribed | Settled | Ignored


class Codec(Protocol):
    """One connection's codec. Make a new one for every connection: `make(scales)`."""

    venue: str
    last_sequence: int
    """The venue's last sequence number on this connection, 0 where it has none."""
    unanswered: int
    """Answers that the venue still owes us (pings), 0 where it has none. Reset by any answer."""

    def subscribe(self, markets: Iterable[str]) -> list[str]:
        """Frames to send to receive the books of `markets`; may be called again for more markets."""
        ...

    def unsubscribe(self, markets: Iterable[str]) -> list[str]:
        """Frames to send to stop receiving `markets`."""
        ...

    def resync(self, markets: Iterable[str]) -> list[str]:
        """Frames to send for fresh snapshots of `markets` without a new connection."""
        ...

    def ping(self) -> str | None:
        """An application-level ping to send, or None where the venue uses WebSocket pings alone."""
        ...

    def decode(self, frame: bytes) -> list[Event]:
        """Events of one text frame, in the venue's order. Never raises for what is in `frame`."""
        ...


class CodecMaker(Protocol):
    """Makes a codec with the scales known so far; a market without one waits for `Listed`."""

    def __call__(self, scales: Mapping[str, Scale]) -> Codec:
        """Build a codec for a new connection."""
        ...
