"""Control: only fresh, whole, sealed requests of this run are obeyed, each once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.supervisor.control import MAX_AGE_NS, REMEMBERED, Gatekeeper
from pipeline.wire import MAX_FRAME_BYTES, Reply, Request, Sealer

SEALER = Sealer(b"k" * 32)
NOW = 10**12


def request(identity: str = "1", issued_ns: int = NOW) -> Request:
    return Request(identity, "restart", {"worker": "scanner"}, "me pid 1", issued_ns)


def test_a_good_request_is_admitted_and_answered() -> None:
    """A sealed, fresh request comes out as it went in, and its reply names it."""
    gatekeeper = Gatekeeper(SEALER)
    admitted = gatekeeper.admit(SEALER.seal(request()), NOW + 1)
    assert admitted == request()
    reply = SEALER.open(gatekeeper.answer(request(), ok=False, text="no"), Reply)
    assert (reply.id, reply.ok, reply.text) == ("1", False, "no")


def test_a_replayed_request_is_refused() -> None:
    """The same bytes, and the same id in other bytes, are obeyed once."""
    gatekeeper = Gatekeeper(SEALER)
    frame = SEALER.seal(request())
    assert isinstance(gatekeeper.admit(frame, NOW), Request)
    assert gatekeeper.admit(frame, NOW) == "replayed"
    assert gatekeeper.admit(SEALER.seal(request(issued_ns=NOW - 5)), NOW) == "replayed"
    assert isinstance(gatekeeper.admit(SEALER.seal(request("2")), NOW), Request)


def test_a_replay_is_refused_for_as_long_as_it_would_be_fresh() -> None:
    """Many requests in between do not make an old one new while it is young enough to pass."""
    gatekeeper = Gatekeeper(SEALER)
    frame = SEALER.seal(request("first"))
    gatekeeper.admit(frame, NOW)
    for number in range(REMEMBERED - 1):
        gatekeeper.admit(SEALER.seal(request(str(number))), NOW)
    assert gatekeeper.admit(frame, NOW + MAX_AGE_NS) == "replayed"
    assert gatekeeper.admit(frame, NOW + MAX_AGE_NS + 1) == "late"


@pytest.mark.parametrize("age_ns", [MAX_AGE_NS + 1, -1, 10**15])
def test_a_request_of_another_time_is_late(age_ns: int) -> None:
    """Held up, or stamped in the future: refused, and its id is not used up."""
    gatekeeper = Gatekeeper(SEALER)
    assert gatekeeper.admit(SEALER.seal(request(issued_ns=NOW - age_ns)), NOW) == "late"
    assert isinstance(gatekeeper.admit(SEALER.seal(request()), NOW), Request)


def test_another_runs_key_is_forgery() -> None:
    """A request sealed for another run is refused."""
    assert Gatekeeper(SEALER).admit(Sealer(b"o" * 32).seal(request()), NOW) == "forged"


def test_another_kind_of_message_is_malformed() -> None:
    """A sealed message that is no request is refused."""
    assert Gatekeeper(SEALER).admit(SEALER.seal(Reply("1", ok=True, text="")), NOW) == "malformed"


def test_too_much_is_oversized() -> None:
    """A frame over the limit is refused before anything in it is looked at."""
    assert Gatekeeper(SEALER).admit(b"x" * (MAX_FRAME_BYTES + 1), NOW) == "oversized"


@given(st.binary(max_size=200))
def test_noise_is_refused_in_a_word(noise: bytes) -> None:
    """Whatever bytes come, the answer is a word, never an exception."""
    assert Gatekeeper(SEALER).admit(noise, NOW) in {"malformed", "forged", "oversized"}


@given(st.integers(0, len(SEALER.seal(request())) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused(position: int, change: int) -> None:
    """One changed byte anywhere in a good frame is seen."""
    frame = bytearray(SEALER.seal(request()))
    frame[position] ^= change
    assert Gatekeeper(SEALER).admit(bytes(frame), NOW) in {"malformed", "forged"}
