"""FrameReader: the library `websockets` as the oracle, and every rule of RFC 6455 that a server may break."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from pipeline.feed.frames import (
    CLOSE,
    FRAME_NS,
    MAX_CONTROLS_PER_SECOND,
    MAX_FRAGMENTS,
    MIB,
    PING,
    PROTOCOL_ERROR,
    SECOND_NS,
    TOO_BIG,
    Control,
    FrameError,
    FrameReader,
    Item,
    may_be_sent,
)

NOW_NS = 5_000_000_000
SIZES = (0, 1, 2, 124, 125, 126, 127, 170, 300, 4_000, 65_535, 65_536, 70_000)


def wire(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    """One frame as a server sends it."""
    return Frame(opcode, data, fin).serialize(mask=False)


payloads = st.one_of(st.binary(max_size=20), st.sampled_from(SIZES).map(lambda size: b"\x81z" * (size // 2)))
pings = st.builds(
    wire, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125).map(lambda data: data[:125])
)


@st.composite
def messages(draw: st.DrawFn) -> list[bytes]:
    """The frames of one message, whole or in fragments, with control frames among them."""
    parts = draw(st.one_of(payloads.map(lambda part: [part]), st.lists(payloads, min_size=1, max_size=4)))
    frames: list[bytes] = []
    for number, part in enumerate(parts):
        opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY])) if number == 0 else Opcode.CONT
        frames += [wire(opcode, part, number == len(parts) - 1), *draw(st.lists(pings, max_size=1))]
    return frames


goodbyes = st.sampled_from(
    [b"", wire(Opcode.CLOSE, b""), wire(Opcode.CLOSE, Close(4001, "bye").serialize()) + b"\x81\x01x"]
)
streams = st.builds(
    lambda groups, end: [frame for group in groups for frame in group] + ([end] if end else []),
    st.lists(messages(), max_size=8),
    goodbyes,
)


def oracle(data: bytes) -> tuple[list[Item], Exception | None]:
    """What `websockets` makes of the bytes: messages and control frames, and how the reading ended."""
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), state=OPEN, max_size=None)
    protocol.receive_data(data)
    items: list[Item] = []
    message = b""
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in {Opcode.CLOSE, Opcode.PING, Opcode.PONG}:
            items.append(Control(int(frame.opcode), bytes(frame.data)))
            continue
        message += bytes(frame.data)
        if frame.fin:
            items.append(message)
            message = b""
    return items, protocol.parser_exc


def ours(chunks: list[bytes], limit_bytes: int = MIB, *, fast: bool = True) -> list[Item]:
    """What our reader makes of the same bytes, in these pieces."""
    reader = FrameReader(limit_bytes)
    reader._fast = reader._fast and fast
    return [item for chunk in chunks for item in reader.feed(chunk, NOW_NS)]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The bytes in pieces."""
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(marks)]


@settings(max_examples=120, deadline=None)
@given(streams, st.lists(st.integers(0, 1 << 20), max_size=12), st.booleans())
def test_any_split_gives_what_the_oracle_reads(stream: list[bytes], places: list[int], fast: bool) -> None:
    """However a valid stream is cut, messages and control frames are the oracle's, in its order."""
    data = b"".join(stream)
    expected, ended = oracle(data)
    assert not isinstance(ended, ValueError)
    assert ours(cut(data, places), fast=fast) == expected
    assert ours([data], fast=fast) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=140), st.just(b"k" * 200)), max_size=6))
def test_byte_by_byte_is_the_same(texts: list[bytes]) -> None:
    """A stream that comes one byte at a time gives the same, on the fast and on the general path."""
    data = b"".join(wire(Opcode.TEXT, text) for text in texts)
    pieces = [data[i : i + 1] for i in range(len(data))]
    assert ours(pieces) == ours(pieces, 1_000) == ours([data], 1_000) == texts


@pytest.mark.parametrize("size", [0, 1, 125, 126, 300])
def test_every_cut_of_two_frames_is_the_same(size: int) -> None:
    """Wherever two frames in a row are cut in two, inside a header too, both arrive."""
    data = wire(Opcode.TEXT, b"a" * size) + wire(Opcode.TEXT, b"b" * size)
    for place in range(len(data) + 1):
        assert ours([data[:place], data[place:]]) == [b"a" * size, b"b" * size]


@settings(max_examples=200, deadline=None)
@given(streams.filter(bool), st.data())
def test_a_changed_header_is_read_as_the_oracle_does_or_is_one_error(
    stream: list[bytes], data: st.DataObject
) -> None:
    """One changed byte in a header: the oracle's reading, or a prefix of it and one last error."""
    number = data.draw(st.integers(0, len(stream) - 1))
    frame = bytearray(stream[number])
    place = data.draw(st.integers(0, min(len(frame), 4) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    broken = b"".join([*stream[:number], bytes(frame), *stream[number + 1 :]])
    items = ours(cut(broken, data.draw(st.lists(st.integers(0, 1 << 20), max_size=6))))
    errors = [item for item in items if isinstance(item, FrameError)]
    read = [item for item in items if not isinstance(item, FrameError)]
    expected, ended = oracle(broken)
    assert items == read + errors and len(errors) <= 1
    closed = bool(read) and isinstance(read[-1], Control) and read[-1].opcode == CLOSE
    if closed and ended is not None:
        # The oracle refuses a close inside a message, and one whose words are not UTF-8; we just end.
        expected += read[len(expected) :]
    elif ended is not None and not isinstance(ended, EOFError):
        assert errors
    assert read == expected[: len(read)]
    if not errors:
        assert read == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=10))
def test_rubbish_never_raises_and_errs_once(chunks: list[bytes]) -> None:
    """Any bytes at all: no exception, at most one error, and the error is last."""
    items = ours(chunks, 500)
    assert all(not isinstance(item, FrameError) for item in items[:-1])


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"\x81\x80\x00\x00\x00\x00", PROTOCOL_ERROR, "masked"),
        (b"\xc1\x00", PROTOCOL_ERROR, "reserved bits"),
        (b"\x91\x00", PROTOCOL_ERROR, "reserved bits"),
        (b"\x83\x00", PROTOCOL_ERROR, "reserved opcode 3"),
        (b"\x8f\x00", PROTOCOL_ERROR, "reserved opcode 15"),
        (b"\x09\x00", PROTOCOL_ERROR, "in fragments"),
        (b"\x89\x7e", PROTOCOL_ERROR, "over 125"),
        (b"\x88\x7f", PROTOCOL_ERROR, "over 125"),
        (b"\x81\x7e\x00\x7d" + bytes(125), PROTOCOL_ERROR, "more bytes than it needs"),
        (b"\x82\x7f" + (65_535).to_bytes(8, "big"), PROTOCOL_ERROR, "more bytes than it needs"),
        (b"\x81\x7f\x80" + bytes(7), PROTOCOL_ERROR, "more bytes|top bit"),
        (b"\x81\x7f\x80" + bytes(6) + b"\x01", PROTOCOL_ERROR, "top bit"),
        (b"\x80\x00", PROTOCOL_ERROR, "continuation of nothing"),
        (b"\x01\x00\x81\x00", PROTOCOL_ERROR, "inside another"),
        (b"\x01\x00\x02\x00", PROTOCOL_ERROR, "inside another"),
        (b"\x88\x01\x03", PROTOCOL_ERROR, "half a code"),
        (b"\x88\x02" + (1005).to_bytes(2, "big"), PROTOCOL_ERROR, "1005"),
        (b"\x88\x02" + (999).to_bytes(2, "big"), PROTOCOL_ERROR, "999"),
        (b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), TOO_BIG, "over 1048576 bytes"),
    ],
)
def test_each_broken_rule_is_one_named_error(data: bytes, code: int, words: str) -> None:
    """What came before is handed on, the error names the rule, and nothing follows it."""
    reader = FrameReader(MIB)
    items = reader.feed(b"\x81\x02ok" + data + b"\x81\x02no", NOW_NS)
    assert items[0] == b"ok"
    (error,) = items[1:]
    assert isinstance(error, FrameError)
    assert error.code == code
    assert any(word in error.text for word in words.split("|"))
    assert reader.feed(b"\x81\x02no", NOW_NS) == []


def test_a_message_is_refused_when_announced() -> None:
    """Exactly the limit is taken, one byte more is refused by its header, alone or as a sum."""
    limit = 70_000
    whole = wire(Opcode.TEXT, b"x" * limit)
    assert ours([whole], limit) == [b"x" * limit]
    halves = wire(Opcode.TEXT, b"a" * 40_000, False) + wire(Opcode.CONT, b"b" * 30_000)
    assert ours([halves], limit) == [b"a" * 40_000 + b"b" * 30_000]
    for headers in (
        [wire(Opcode.TEXT, b"x" * (limit + 1))[:10]],
        [wire(Opcode.TEXT, b"a" * 40_000, False), wire(Opcode.CONT, b"b" * 30_001)[:4]],
    ):
        (error,) = ours(headers, limit)
        assert isinstance(error, FrameError)
        assert error.code == TOO_BIG


def test_a_message_of_endless_nothing_is_refused() -> None:
    """Empty fragments add up to no size, so they are counted."""
    (error,) = ours([b"\x01\x00" + b"\x00\x00" * (MAX_FRAGMENTS + 1)])
    assert isinstance(error, FrameError)
    assert error.code == TOO_BIG


def test_control_frames_are_counted_by_the_second() -> None:
    """The allowed number passes in each second; one more in the same second ends the stream."""
    reader = FrameReader(MIB)
    flood = b"\x89\x01p" * MAX_CONTROLS_PER_SECOND
    for turn in range(3):
        items = reader.feed(flood, NOW_NS + turn * SECOND_NS)
        assert items == [Control(PING, b"p")] * MAX_CONTROLS_PER_SECOND
    (error,) = reader.feed(b"\x8a\x00\x8a\x00", NOW_NS + 2 * SECOND_NS + 1)
    assert isinstance(error, FrameError)
    assert "control frames" in error.text


def test_nothing_follows_a_close() -> None:
    """A close frame is handed on with its body and is the last item."""
    reader = FrameReader(MIB)
    assert reader.feed(b"\x88\x04\x03\xe8hi\x81\x02no", NOW_NS) == [Control(CLOSE, b"\x03\xe8hi")]
    assert reader.feed(b"\x81\x02no", NOW_NS) == []
    assert reader.deadline_ns == 0


def test_only_whole_frames_are_signs_of_life_and_the_deadline_stays() -> None:
    """Single bytes of a frame move neither the sign of life nor the deadline; its end clears both."""
    reader = FrameReader(MIB)
    reader.feed(b"\x81\x02ok", 1)
    assert (reader.frame_ns, reader.deadline_ns) == (1, 0)
    for at, byte in enumerate(b"\x81\x7e\x00\x80" + b"x" * 127):
        assert reader.feed(bytes([byte]), 10 + at) == []
        assert (reader.frame_ns, reader.deadline_ns) == (1, 10 + FRAME_NS)
    assert reader.feed(b"x\x81", 500) == [b"x" * 128]
    assert (reader.frame_ns, reader.deadline_ns) == (500, 500 + FRAME_NS)
    assert reader.feed(b"\x00", 600) == [b""]
    assert reader.deadline_ns == 0


def test_an_unfinished_message_has_a_deadline_too() -> None:
    """It counts from the first fragment; later fragments and pings do not move it."""
    reader = FrameReader(MIB)
    reader.feed(b"\x01\x01a", 100)
    for data in (b"\x00\x01b", b"\x89\x00", b"\x00"):
        reader.feed(data, 700)
        assert reader.deadline_ns == 100 + FRAME_NS
    assert reader.feed(b"\x01c\x80\x00", 800) == [b"abc"]
    assert reader.deadline_ns == 0


def test_a_long_frame_has_longer() -> None:
    """Each full MiB that was announced gives as much time again: a slow line may carry 16 MiB."""
    reader = FrameReader(16 * MIB)
    reader.feed(b"\x81\x7f" + (3 * MIB).to_bytes(8, "big") + b"x", 100)
    assert reader.deadline_ns == 100 + 4 * FRAME_NS


def test_a_long_frame_in_small_pieces_is_copied_a_few_times_only() -> None:
    """8 MiB in pieces of 1 KiB is held in one buffer, not joined anew with each piece."""
    text = b"0123456789abcdef" * (1 << 19)
    data = wire(Opcode.TEXT, text)
    reader = FrameReader(16 * MIB)
    buffers = set()
    items: list[Item] = []
    for at in range(0, len(data), 1024):
        items += reader.feed(data[at : at + 1024], NOW_NS)
        buffers.add(id(reader._held))
    assert items == [text]
    assert len(buffers) <= 4


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_close_codes_for_the_wire(code: int) -> None:
    """The registered codes and the two open ranges may be sent; their neighbours may not."""
    assert may_be_sent(code)
    for other in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535):
        assert not may_be_sent(other)
