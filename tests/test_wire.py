"""Messages: what is sealed comes back whole; all else is refused by name."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.model_events import MAX_LEGS
from pipeline.wire import (
    KEY_BYTES,
    MAGIC,
    MAX_FRAME_BYTES,
    SEAL_BYTES,
    Decision,
    LegRef,
    Opportunity,
    Receiver,
    Reply,
    Request,
    Sealer,
    WireError,
)

KEY = bytes(range(KEY_BYTES))
HEAD = len(MAGIC) + SEAL_BYTES
KINDS = (Opportunity, Decision, Request, Reply)
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=96)


@pytest.fixture
def sealer() -> Sealer:
    """Seals under a fixed key."""
    return Sealer(KEY)


def strategy(kind: type) -> st.SearchStrategy[Any]:
    """Any message of a kind, from its own annotations."""
    by_type: dict[Any, st.SearchStrategy[Any]] = {
        int: INT64,
        str: TEXT,
        bool: st.booleans(),
        dict[str, str]: st.dictionaries(TEXT, TEXT, max_size=3),
    }
    if kind is Opportunity:
        leg = strategy(LegRef)
        by_type[tuple[LegRef, ...]] = st.tuples(leg, leg)
    hints = {field.name: field.type for field in msgspec.structs.fields(kind)}
    return st.builds(kind, **{name: by_type[hint] for name, hint in hints.items()})


def example(kind: type) -> Any:
    """One message of a kind: texts "a", numbers 7."""
    values: dict[Any, Any] = {int: 7, str: "a", bool: True, dict[str, str]: {"k": "v"}}
    if kind is Opportunity:
        values[tuple[LegRef, ...]] = (example(LegRef), example(LegRef))
    return kind(**{field.name: values[field.type] for field in msgspec.structs.fields(kind)})


def frame_of(body: bytes, key: bytes = KEY) -> bytes:
    """A well-sealed frame around any bytes."""
    return MAGIC + hmac.digest(key, body, hashlib.sha256)[:SEAL_BYTES] + body


@pytest.mark.parametrize("kind", KINDS)
def test_messages_come_back(kind: type) -> None:
    """Every message of every kind that fits into a frame is opened as it was sealed."""

    @settings(deadline=None, max_examples=60)
    @given(strategy(kind))
    def check(message: Any) -> None:
        sealer = Sealer(KEY)
        frame = sealer.seal(message)
        assert len(frame) <= MAX_FRAME_BYTES and frame.startswith(MAGIC)
        assert sealer.open(frame, kind) == message

    check()


def test_a_message_is_frozen() -> None:
    """What was decided is not changed on the way."""
    for kind in (*KINDS, LegRef):
        message = example(kind)
        with pytest.raises(AttributeError, match="immutable"):
            setattr(message, msgspec.structs.fields(kind)[0].name, "x")


def test_the_largest_opportunity_fits(sealer: Sealer) -> None:
    """Twelve legs with names as long as shared memory holds, and extreme numbers, stay within 4 KiB."""
    long = "x" * 64
    numbers = {field.name: -(2**63) for field in msgspec.structs.fields(LegRef) if field.type is int}
    leg = LegRef(venue="x" * 32, market="x" * 96, outcome="base", action="sell", **numbers)
    values: dict[Any, Any] = {int: -(2**63), str: long, bool: True, tuple[LegRef, ...]: (leg,) * MAX_LEGS}
    hints = msgspec.structs.fields(Opportunity)
    message = Opportunity(**{field.name: values[field.type] for field in hints})
    frame = sealer.seal(message)
    assert len(frame) <= MAX_FRAME_BYTES
    assert sealer.open(frame, Opportunity) == message


def test_an_oversized_message_is_not_sealed(sealer: Sealer) -> None:
    """A frame of exactly the limit passes both ways; one byte more is refused by the sender."""
    empty = len(sealer.seal(Reply("", True, "x" * 300, {})))
    room = "x" * (300 + MAX_FRAME_BYTES - empty)
    frame = sealer.seal(Reply("", True, room, {}))
    assert len(frame) == MAX_FRAME_BYTES
    assert sealer.open(frame, Reply).text == room
    with pytest.raises(WireError, match="a message of 4097 bytes is over 4096"):
        sealer.seal(Reply("", True, room + "x", {}))


def test_an_oversized_frame_is_refused_unread(sealer: Sealer) -> None:
    """A frame over the limit is refused for its length even with a good seal."""
    body = msgspec.msgpack.encode(Reply("", True, "x" * MAX_FRAME_BYTES))
    with pytest.raises(WireError, match="oversized"):
        sealer.open(frame_of(body), Reply)


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_is_refused(sealer: Sealer, kind: type) -> None:
    """No beginning of a frame is a frame."""
    frame = sealer.seal(example(kind))
    for size in range(len(frame)):
        with pytest.raises(WireError, match=r"malformed|forged"):
            sealer.open(frame[:size], kind)
    for size in range(HEAD + 1):
        with pytest.raises(WireError, match="malformed"):
            sealer.open(frame[:size], kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_is_refused(sealer: Sealer, kind: type) -> None:
    """One bit changed anywhere, in magic, seal or body, and the frame is not ours."""
    frame = sealer.seal(example(kind))
    for bit in range(len(frame) * 8):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError, match="malformed" if bit // 8 < len(MAGIC) else "forged"):
            sealer.open(bytes(changed), kind)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=MAX_FRAME_BYTES + 200), st.sampled_from([b"", MAGIC]), st.sampled_from(KINDS))
def test_strangers_bytes_are_refused(noise: bytes, head: bytes, kind: type) -> None:
    """Whatever a stranger sends is a WireError, never another exception and never a message."""
    with pytest.raises(WireError):
        Sealer(KEY).open(head + noise, kind)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(KINDS))
def test_a_sealed_body_that_is_no_message_is_malformed(body: bytes, kind: type) -> None:
    """Even under our own key only the declared shape is a message."""
    with pytest.raises(WireError, match="malformed"):
        Sealer(KEY).open(frame_of(body), kind)


def test_a_message_of_another_kind_is_refused(sealer: Sealer) -> None:
    """Kinds are told apart by their tag, however alike they look."""
    for sent in KINDS:
        for expected in KINDS:
            frame = sealer.seal(example(sent))
            if sent is expected:
                assert sealer.open(frame, expected) == example(sent)
            else:
                with pytest.raises(WireError, match="malformed"):
                    sealer.open(frame, expected)


def wrong_bodies() -> dict[str, object]:
    """Bodies that are nearly a request."""
    good: list[object] = ["req", "id", "kill", {"worker": "w"}, "me", 5]
    return {
        "no tag": good[1:],
        "short": good[:-1],
        "text for a number": [*good[:-1], "5"],
        "a fraction for a number": [*good[:-1], 5.5],
        "a number for text": ["req", 7, *good[2:]],
        "a list of arguments": [*good[:3], ["w"], *good[4:]],
        "an argument that is a number": [*good[:3], {"worker": 1}, *good[4:]],
        "nothing": None,
        "a map": {"type": "req", "id": "id"},
    }


@pytest.mark.parametrize("name", wrong_bodies())
def test_wrong_types_are_malformed(sealer: Sealer, name: str) -> None:
    """Fields are of the declared types, all of them, in order."""
    with pytest.raises(WireError, match="malformed"):
        sealer.open(frame_of(msgspec.msgpack.encode(wrong_bodies()[name])), Request)


def test_broken_text_and_deep_nesting_are_malformed(sealer: Sealer) -> None:
    """What makes the decoder itself stumble is a refusal like any other: bad UTF-8, bottomless lists."""
    good = msgspec.msgpack.encode(Request("i", "c", {}, "w", 5))
    broken = good.replace(b"\xa1i", b"\xa1\xff", 1)
    # One field more than declared is skipped, which is where nesting goes deep.
    deep = bytes([good[0] + 1]) + good[1:] + b"\x91" * 3900 + b"\x01"
    for body in (broken, deep):
        with pytest.raises(WireError, match="malformed"):
            sealer.open(frame_of(body), Request)


def test_another_key_is_forged(sealer: Sealer) -> None:
    """A frame of another run, or of nobody's key, is refused before it is decoded."""
    message = example(Opportunity)
    with pytest.raises(WireError, match="forged"):
        sealer.open(Sealer(bytes(KEY_BYTES)).seal(message), Opportunity)
    with pytest.raises(WireError, match="forged"):
        sealer.open(frame_of(b"\xc1", key=b"other"), Opportunity)


@pytest.mark.parametrize("size", [0, 16, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_key_has_its_length(size: int) -> None:
    """A short key, such as an empty file gives, never seals anything."""
    with pytest.raises(ValueError, match=f"must have {KEY_BYTES} bytes, got {size}"):
        Sealer(bytes(size))


def test_a_receiver_refuses_what_is_not_newer() -> None:
    """Each message is accepted once and in order: the same again, or an older one, is a replay."""
    receiver = Receiver()
    assert [receiver.accept(1, n) for n in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    assert receiver.gaps == 0


def test_a_receiver_counts_what_is_missing() -> None:
    """Messages skipped within an epoch are gaps, and one that comes too late is a replay all the same."""
    receiver = Receiver()
    assert [receiver.accept(1, n) for n in (1, 4, 5, 3, 10)] == [True, True, True, False, True]
    assert receiver.gaps == 2 + 4


def test_a_new_epoch_starts_counting_again() -> None:
    """A restarted sender is followed at once; what its predecessor sent is refused from then on."""
    receiver = Receiver()
    assert receiver.accept(1, 500)
    assert receiver.accept(2, 1)
    assert not receiver.accept(1, 501)
    assert receiver.accept(2, 2)
    assert receiver.gaps == 0


def test_nothing_before_the_first_is_accepted() -> None:
    """Epochs and sequences count from 1; zero and negative ones are nobody's."""
    receiver = Receiver()
    assert not receiver.accept(0, 0)
    assert not receiver.accept(-1, 5)
    assert receiver.accept(3, 9)
    assert receiver.gaps == 0, "who joins late has missed nothing that was sent to it"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), max_size=30))
def test_accepted_messages_only_grow(arrivals: list[tuple[int, int]]) -> None:
    """In whatever order frames arrive, what is accepted is strictly rising, and nothing newest is lost."""
    receiver = Receiver()
    accepted = [each for each in arrivals if receiver.accept(*each)]
    assert accepted == sorted(set(accepted))
    assert not arrivals or accepted[-1] == max(arrivals)
