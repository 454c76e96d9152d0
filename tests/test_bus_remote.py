"""Remote control: who holds an allowed key is obeyed, and nobody else is even heard."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import zmq

from pipeline import bus_remote
from pipeline.bus import BusError
from pipeline.bus_remote import MAX_AGE_NS, REMEMBERED, RemoteServer, ask, make_keys, public_of, sealer_for
from pipeline.clock import ManualClock, SystemClock
from pipeline.config import ControlConfig
from pipeline.secrets import Secret
from pipeline.wire import MAX_FRAME_BYTES, Reply, Request, Sealer

LOOPBACK = "tcp://127.0.0.1:*"
PATIENCE_MS = 10_000


def keep(directory: Path, name: str, secret: Secret) -> str:
    path = directory / name
    path.write_text(secret.reveal() + "\n")
    path.chmod(0o600)
    return str(path)


class Place:
    """A server on loopback, and the keys of one who may and of one who may not."""

    def __init__(self, directory: Path) -> None:
        self.public, server_secret = make_keys()
        self.friend, self.friend_secret = make_keys()
        self.stranger, self.stranger_secret = make_keys()
        key_file = keep(directory, "server.key", server_secret)
        self.clock = ManualClock(wall_ns=SystemClock().wall_ns())
        self.control = ControlConfig(LOOPBACK, key_file, (self.friend,))
        self.server = RemoteServer(self.control, directory, self.clock)
        self.sealer = sealer_for(self.public)
        self.context = zmq.Context()
        self.clients: list[zmq.Socket[bytes]] = []

    def request(self, identity: str = "1", age_ns: int = 0, command: str = "status") -> Request:
        return Request(identity, command, {}, "me pid 1", self.clock.wall_ns() - age_ns)

    def client(self, public: str, secret: Secret) -> zmq.Socket[bytes]:
        client = self.plain()
        client.curve_serverkey = self.public.encode()
        client.curve_publickey = public.encode()
        client.curve_secretkey = secret.reveal().encode()
        client.connect(self.server.address)
        return client

    def plain(self) -> zmq.Socket[bytes]:
        client: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        client.setsockopt(zmq.LINGER, 0)
        self.clients.append(client)
        return client

    def next(self) -> Request | str:
        """What comes next, over what failed handshakes say."""
        for _ in range(1000):
            received = self.server.receive(PATIENCE_MS)
            assert received is not None
            if received[1] != "stranger":
                return received[1]
        raise AssertionError("only strangers")

    def close(self) -> None:
        for client in self.clients:
            client.close(0)
        self.context.destroy(0)
        self.server.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def test_an_allowed_key_is_obeyed_and_answered(place: Place) -> None:
    """A request over TCP comes out with the name of its key, and its sender gets the answer."""
    answers: list[Reply] = []
    request = place.request()
    asking = threading.Thread(
        target=lambda: answers.append(
            ask(place.server.address, place.public, place.friend_secret, request, PATIENCE_MS)
        )
    )
    asking.start()
    received = place.server.receive(PATIENCE_MS)
    assert received is not None
    sender, got = received
    assert isinstance(got, Request)
    assert (got.command, got.who) == ("status", f"remote {place.friend[:10]} (me pid 1)")
    assert place.server.reply(sender, got, ok=True, text="running")
    asking.join()
    assert answers == [Reply("1", True, "running")]


def test_strangers_are_not_heard_while_real_traffic_goes_on(place: Place) -> None:
    """D3: an unknown key, no CURVE at all, and raw bytes: nothing is accepted, all is counted, and who may
    give commands does so meanwhile.
    """
    random = Random(6)
    frame = place.sealer.seal(place.request("forged", command="down"))
    stranger = place.client(place.stranger, place.stranger_secret)
    plain = place.plain()
    plain.connect(place.server.address)
    host, port = place.server.address.removeprefix("tcp://").split(":")
    raw = [socket.create_connection((host, int(port)), 10) for _ in range(30)]
    # Who has been refused cannot even send any more.
    for connection in raw:
        with suppress(OSError):
            connection.sendall(random.randbytes(2000))
    for client in (stranger, plain) * 20:
        with suppress(zmq.Again):
            client.send(frame, zmq.NOBLOCK)
    friend = place.client(place.friend, place.friend_secret)
    heard = []
    for number in range(50):
        friend.send(place.sealer.seal(place.request(f"{number}")))
        got = place.next()
        heard.append(got.id if isinstance(got, Request) else got)
    for connection in raw:
        connection.close()
    assert heard == [f"{number}" for number in range(50)]
    while place.server.strangers < len(raw):
        assert place.server.receive(PATIENCE_MS) == (b"", "stranger")


def test_bytes_that_are_no_request_are_refused(place: Place) -> None:
    """D3: malformed, forged and replayed frames of an allowed key are named and not obeyed; so are requests
    of another clock's time; one that is over the limit of a frame ends its connection.
    """
    friend = place.client(place.friend, place.friend_secret)
    good = place.sealer.seal(place.request("good"))
    other = Sealer(b"k" * 32)
    wrong = [
        (b"", "malformed"),
        (good[:-1], "forged"),
        (os.urandom(200), "malformed"),
        (other.seal(place.request()), "forged"),
        (place.sealer.seal(Reply("1", True, "")), "malformed"),
        (place.sealer.seal(place.request("i" * 65)), "malformed"),
        (place.sealer.seal(place.request("old", MAX_AGE_NS + 1)), "late"),
        (place.sealer.seal(place.request("early", -MAX_AGE_NS - 1)), "late"),
    ]
    for frame, word in wrong:
        friend.send(frame)
        assert place.next() == word
    friend.send_multipart([good, good])
    assert place.next() == "malformed"
    friend.send(good)
    assert isinstance(place.next(), Request)
    friend.send(good)
    assert place.next() == "replayed"
    friend.send(b"x" * (2 * MAX_FRAME_BYTES))
    # What was on its way with it is lost; the connection comes back by itself.
    received = None
    for number in range(100):
        friend.send(place.sealer.seal(place.request(f"after {number}")))
        received = received or place.server.receive(100)
    assert received is not None
    assert isinstance(received[1], Request)
    assert received[1].id.startswith("after")


def test_who_has_another_time_is_told(place: Place) -> None:
    """A machine whose clock is off learns that, and by how much, in place of a silence."""
    friend = place.client(place.friend, place.friend_secret)
    friend.send(place.sealer.seal(place.request("old", 3600 * 10**9)))
    assert place.next() == "late"
    assert friend.poll(PATIENCE_MS)
    reply = place.sealer.open(friend.recv(), Reply)
    assert not reply.ok
    assert "3600 s behind" in reply.text


def test_no_request_is_obeyed_twice_however_many_come(place: Place) -> None:
    """A request is known for as long as it would be fresh; rather than forget it, others are refused."""
    friend = place.client(place.friend, place.friend_secret)
    first = place.sealer.seal(place.request("first", -MAX_AGE_NS))
    friend.send(first)
    assert isinstance(place.next(), Request)
    for number in range(REMEMBERED - 1):
        friend.send(place.sealer.seal(place.request(f"{number}")))
        assert isinstance(place.next(), Request)
    friend.send(place.sealer.seal(place.request("one too many")))
    assert place.next() == "crowded"
    for part in (1, MAX_AGE_NS - 1, 1):
        place.clock.advance(part)
        friend.send(first)
        assert place.next() == "replayed"
    place.clock.advance(2 * MAX_AGE_NS)
    friend.send(first)
    assert place.next() == "late"
    friend.send(place.sealer.seal(place.request("now there is room")))
    assert isinstance(place.next(), Request)


def test_a_key_that_is_taken_from_the_list_is_refused_at_once(place: Place) -> None:
    """A connection that stands is worth nothing when its key is no longer allowed; a new key is at once."""
    friend = place.client(place.friend, place.friend_secret)
    friend.send(place.sealer.seal(place.request("1")))
    assert isinstance(place.next(), Request)
    place.server.allow((place.stranger,))
    friend.send(place.sealer.seal(place.request("2")))
    received = place.server.receive(PATIENCE_MS)
    assert received is not None
    assert received[1] == "stranger"
    newcomer = place.client(place.stranger, place.stranger_secret)
    newcomer.send(place.sealer.seal(place.request("3")))
    assert isinstance(place.next(), Request)


def test_without_an_authenticator_nobody_comes_in(place: Place) -> None:
    """Reliability 0.7: CURVE alone lets any key in; here, where nobody keeps the list, no key gets in."""
    place.server._authenticator.stop()
    friend = place.client(place.friend, place.friend_secret)
    friend.send(place.sealer.seal(place.request("1")))
    received = place.server.receive(500)
    assert received is None or received[1] == "stranger"


def test_a_long_answer_is_cut_to_a_frame(place: Place) -> None:
    """An answer never fails for its length."""
    friend = place.client(place.friend, place.friend_secret)
    friend.send(place.sealer.seal(place.request("1")))
    received = place.server.receive(PATIENCE_MS)
    assert received is not None
    assert isinstance(received[1], Request)
    assert place.server.reply(*received, ok=True, text="\N{SNOWMAN}" * 10_000)  # type: ignore[arg-type]
    assert friend.poll(PATIENCE_MS)
    assert len(place.sealer.open(friend.recv(), Reply).text) > 900


def test_an_answer_to_one_who_left_is_no_error(place: Place) -> None:
    """The supervisor goes on when the one who asked has gone."""
    assert not place.server.reply(b"nobody", place.request(), ok=True, text="x")


def test_no_answer_says_what_to_look_at(place: Place) -> None:
    """Who is not on the list is told by his own side what may be wrong, and which key should be listed."""
    with pytest.raises(BusError, match="allowed_keys") as caught:
        ask(place.server.address, place.public, place.stranger_secret, place.request(), 300)
    assert place.stranger in str(caught.value)
    with pytest.raises(BusError, match="an address is tcp://HOST:PORT"):
        ask("tcp://nowhere", place.public, place.friend_secret, place.request(), 300)


def test_a_taken_port_and_bad_keys_are_refused_in_words(place: Place, tmp_path: Path) -> None:
    """What is wrong in [control] is said with its key's name, and no secret is in the text."""
    control, taken = place.control, place.server.address
    shared = tmp_path / "shared.key"
    shared.write_text("s" * 40)
    shared.chmod(0o644)
    no_key = tmp_path / "no.key"
    no_key.write_text("not a key, but secret")
    no_key.chmod(0o600)
    cases = [
        (ControlConfig(taken, control.key_file, control.allowed_keys), "Address already in use"),
        (
            ControlConfig("tcp://nowhere", control.key_file, control.allowed_keys),
            "control.tcp: cannot listen",
        ),
        (ControlConfig(LOOPBACK, control.key_file, ()), "allowed_keys is empty"),
        (ControlConfig(LOOPBACK, control.key_file, ("short",)), "allowed_keys: has 5 characters"),
        (ControlConfig(LOOPBACK, control.key_file, ("\N{SNOWMAN}" * 40,)), "a character that no key has"),
        (ControlConfig(LOOPBACK, control.key_file, ('"' * 40,)), "a character that no key has"),
        (ControlConfig(LOOPBACK, str(tmp_path / "none"), control.allowed_keys), "cannot be read"),
        (ControlConfig(LOOPBACK, str(shared), control.allowed_keys), "chmod 600"),
        (ControlConfig(LOOPBACK, str(no_key), control.allowed_keys), "has 21 characters"),
    ]
    for wrong, words in cases:
        with pytest.raises(BusError) as caught:
            RemoteServer(wrong, tmp_path, place.clock)
        assert words in str(caught.value)
        assert "but secret" not in str(caught.value)


def test_keys_are_pairs(tmp_path: Path) -> None:
    """A made secret key is hidden, is read back from its file, and belongs to the public one."""
    public, secret = make_keys()
    assert f"{secret} {secret!r}" == "*** ***"
    assert public_of(secret) == public
    assert bus_remote.load_key(keep(tmp_path, "k", secret)) == secret
