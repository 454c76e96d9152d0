"""Tape link: how a tape's lines travel from the lab that plays them to the feeds of a replay.

In: bytes of the stream socket SOCKET in the run directory. Out: `Item`s in order, and the bytes of one. Pure.
Used by both ends: pipeline/lab/replay_link.py and pipeline/feed/replay.py.

A feed begins with HELLO and its venue. What it gets then are the lines of that venue from the tape's start
to where the tape stands, and each further one as it is played: the stream holds back whoever plays, so that
nothing is dropped. MARK is answered with the same MARK once all before it is published.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

SOCKET = "tape"
"""The socket's name in the run directory; a new name is a new line in the supervisor's cleanup."""
HEAD_BYTES = 4
ITEM_MAX = 65 * 1024 * 1024
"""More than the longest line of a tape takes (`tape.LINE_MAX`)."""


class LinkError(Exception):
    """The other end sent what is no item: it is another program, or another version of this one."""


class Kind(IntEnum):
    """What an item is. RESET: the tape begins anew. END: its last line was played. BEAT: the lab lives."""

    HELLO = 0
    RESET = 1
    LINE = 2
    BEAT = 3
    MARK = 4
    END = 5


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One item. `conn` and `text` are a LINE's; a HELLO's text is the venue; `number` is a MARK's."""

    kind: int
    conn: int | float | str = 0
    text: str = ""
    number: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Item).decode


def packed(item: Item) -> bytes:
    """The bytes of an item: their count in four bytes, then the item."""
    body = _encode(item)
    return len(body).to_bytes(HEAD_BYTES, "big") + body


class Unpacker:
    """Cuts a stream into items; holds at most one that is not yet whole."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Item]:
        """The items that are whole now. Raises LinkError."""
        held = self._held
        held += data
        items = []
        at = 0
        while len(held) - at >= HEAD_BYTES:
            size = int.from_bytes(held[at : at + HEAD_BYTES], "big")
            if size > ITEM_MAX:
                raise LinkError(f"an item of {size} bytes")
            end = at + HEAD_BYTES + size
            if len(held) < end:
                break
            try:
                items.append(_decode(memoryview(held)[at + HEAD_BYTES : end]))
            except msgspec.MsgspecError as error:
                raise LinkError(str(error)) from error
            at = end
        del held[:at]
        return items
