"""Frames: the bytes that a server sends over a WebSocket become messages. Pure, no socket.

In: bytes as they come and the time. Out: whole messages and control frames in order; at most one error,
and nothing after it. Run by a connection on each read. This is the client's side of RFC 6455 (sections
5.2 to 5.5 and 7.4) without extensions. UTF-8 is left to whoever decodes the message.
"""

from __future__ import annotations

import msgspec

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL_TEXT = 0x80 | TEXT
# Close codes that say what to answer with (RFC 6455, 7.4.1).
PROTOCOL_ERROR, TOO_BIG = 1002, 1009

MIB = 1 << 20
SECOND_NS = 1_000_000_000
# What has begun must be whole within this time, and as much again for each full MiB announced.
FRAME_NS = SECOND_NS
MAX_CONTROLS_PER_SECOND = 1_000
# Fragments may be empty, so a limit of size alone would let a message go on for ever.
MAX_FRAGMENTS = 16_384


class Control(msgspec.Struct, frozen=True, gc=False):
    """A control frame: CLOSE, PING or PONG, and its body of at most 125 bytes."""

    opcode: int
    body: bytes


class FrameError(msgspec.Struct, frozen=True, gc=False):
    """Why the stream cannot be read on, and the close code that says so to the server."""

    code: int
    text: str


Item = bytes | Control | FrameError


class FrameReader:
    """The reading half of one connection.

    `frame_ns` is when a frame, any frame, was last completed; 0 before the first. `deadline_ns` is when
    the unfinished frame or message must be whole; 0 while nothing is unfinished. Keeps at most the
    message limit of an unfinished message, and as much again of its unfinished fragment.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        # The fast path takes lengths of up to 16 bits and does not ask for the limit.
        self._fast = limit_bytes >= 0xFFFF
        self._held = bytearray()
        self._need = 0
        self._message: bytearray | None = None
        self._fragments = 0
        self._frame_began_ns = self._message_began_ns = 0
        self._controls = 0
        self._controls_since_ns = 0
        self._ended = False
        self.frame_ns = 0
        self.deadline_ns = 0

    def feed(self, data: bytes, now_ns: int) -> list[Item]:
        """What `data` completes: messages (text or binary) as bytes, control frames, or last an error.

        After an error or a close frame there is nothing more, whatever is fed.
        """
        items: list[Item] = []
        if self._ended:
            return items
        held = self._held
        if held:
            if len(held) + len(data) < self._need:
                held += data
                return items
            data = b"".join((held, data))
            self._held = bytearray()
        at = self._read(data, now_ns, items)
        if at:
            self.frame_ns = now_ns
        if at < len(data):
            if at or not held:
                self._frame_began_ns = now_ns
            self._held += data[at:] if at else data
        self._set_deadline()
        return items

    def _read(self, data: bytes, now_ns: int, items: list[Item]) -> int:
        """Take every whole frame from the start of `data`; the number of bytes done with."""
        at, end = 0, len(data)
        append = items.append
        while True:
            if self._fast and self._message is None:
                # Whole unmasked messages of one text frame: nearly all that a venue ever sends.
                while at < end - 3 and data[at] == FINAL_TEXT:
                    length = data[at + 1]
                    start = at + 2
                    if length > 125:
                        if length != 126:
                            break
                        length = data[at + 2] << 8 | data[at + 3]
                        if length < 126:
                            break
                        start = at + 4
                    stop = start + length
                    if stop > end:
                        break
                    append(data[start:stop])
                    at = stop
            after = self._read_one(data, at, now_ns, items)
            if self._ended:
                return end
            if after == at:
                return at
            at = after

    def _read_one(self, data: bytes, at: int, now_ns: int, items: list[Item]) -> int:
        """Take one frame of any kind; `at` again if it is not whole or not allowed."""
        have = len(data) - at
        if have < 2:
            self._need = 2
            return at
        first, second = data[at], data[at + 1]
        why = self._refuse_header(first, second)
        if why:
            return self._refuse(PROTOCOL_ERROR, why, items, at)
        length, header = second, 2
        if second > 125:
            header = 4 if second == 126 else 10
            if have < header:
                self._need = header
                return at
            length = int.from_bytes(data[at + 2 : at + header], "big")
            if length < 126 or (header == 10 and length < 1 << 16):
                return self._refuse(PROTOCOL_ERROR, "a length in more bytes than it needs", items, at)
            if length >> 63:
                return self._refuse(PROTOCOL_ERROR, "a length with the top bit set", items, at)
        if first & 0x08 == 0 and length + len(self._message or b"") > self._limit:
            return self._refuse(TOO_BIG, f"a message of over {self._limit} bytes", items, at)
        self._need = header + length
        if have < self._need:
            return at
        stop = at + self._need
        body = data[at + header : stop]
        if first & 0x08:
            self._take_control(first & 0x0F, body, now_ns, items)
        else:
            self._take_data(first, body, now_ns, items)
        return stop

    def _refuse_header(self, first: int, second: int) -> str:
        """What is wrong with the first two bytes of a frame; empty if nothing is."""
        opcode = first & 0x0F
        if first & 0x70:
            return "reserved bits are set"
        if opcode not in {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}:
            return f"the reserved opcode {opcode}"
        if second & 0x80:
            return "a masked frame from a server"
        if opcode & 0x08:
            if not first & 0x80:
                return "a control frame in fragments"
            return "a control frame of over 125 bytes" if second > 125 else ""
        if opcode == CONTINUATION:
            return "" if self._message is not None else "a continuation of nothing"
        return "" if self._message is None else "a new message inside another"

    def _take_control(self, opcode: int, body: bytes, now_ns: int, items: list[Item]) -> None:
        """Hand on a control frame unless there are too many of them."""
        if opcode == CLOSE:
            self._take_close(body, items)
            return
        if now_ns - self._controls_since_ns >= SECOND_NS:
            self._controls_since_ns, self._controls = now_ns, 0
        self._controls += 1
        if self._controls > MAX_CONTROLS_PER_SECOND:
            self._refuse(PROTOCOL_ERROR, f"over {MAX_CONTROLS_PER_SECOND} control frames a second", items)
            return
        items.append(Control(opcode, body))

    def _take_close(self, body: bytes, items: list[Item]) -> None:
        """Hand on a close frame, after which a server sends nothing."""
        if len(body) == 1:
            self._refuse(PROTOCOL_ERROR, "a close frame with half a code", items)
        elif body and not may_be_sent(int.from_bytes(body[:2], "big")):
            self._refuse(PROTOCOL_ERROR, f"the close code {int.from_bytes(body[:2], 'big')}", items)
        else:
            self._end()
            items.append(Control(CLOSE, body))

    def _take_data(self, first: int, body: bytes, now_ns: int, items: list[Item]) -> None:
        """Hand on a message, or keep a part of one."""
        if self._message is None:
            if first & 0x80:
                items.append(body)
                return
            self._message, self._fragments = bytearray(), 0
            self._message_began_ns = now_ns
        self._message += body
        self._fragments += 1
        if first & 0x80:
            items.append(bytes(self._message))
            self._message = None
        elif self._fragments > MAX_FRAGMENTS:
            self._refuse(TOO_BIG, f"a message of over {MAX_FRAGMENTS} fragments", items)

    def _refuse(self, code: int, text: str, items: list[Item], at: int = 0) -> int:
        """End with an error; returns `at`."""
        self._end()
        items.append(FrameError(code, text))
        return at

    def _end(self) -> None:
        """Read no more, keep nothing."""
        self._ended = True
        self._held, self._message = bytearray(), None

    def _set_deadline(self) -> None:
        """Say by when what is unfinished must be whole. A message counts from its first fragment."""
        announced = self._need if self._held else 0
        if self._message is not None:
            began_ns = self._message_began_ns
            announced += len(self._message)
        elif self._held:
            began_ns = self._frame_began_ns
        else:
            self.deadline_ns = 0
            return
        self.deadline_ns = began_ns + FRAME_NS * (1 + announced // MIB)


def may_be_sent(code: int) -> bool:
    """Whether a close code may stand in a frame (RFC 6455, 7.4, and the IANA registry up to 1014)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
