"""Connection: against a real WebSocket server, and against servers that keep no protocol."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from pipeline.clock import SystemClock
from pipeline.feed.connection import Connection, ConnectionLostError, close_reason

CLOCK = SystemClock()
PATIENCE_NS = 30_000_000_000
Handler = Callable[[ServerConnection], None]


@contextmanager
def venue(handler: Handler, **more: object) -> Iterator[str]:
    """A server on loopback that does `handler` with each connection; gives its address."""

    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            handler(connection)

    server: Server = serve(handle, "127.0.0.1", 0, compression=None, **more)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/feed"
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def raw(reply: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server of bare bytes for one connection: it reads the handshake, then does `reply`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def go() -> None:
        with suppress(OSError):
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(60)
                peer.recv(65536)
                reply(peer)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()
        thread.join()


def stay(connection: ServerConnection) -> None:
    """Read until the other side leaves."""
    for _ in connection:
        pass


def until_frame(connection: Connection) -> bytes:
    """The next text frame, waiting in short turns as the feed does."""
    deadline = CLOCK.monotonic_ns() + PATIENCE_NS
    while CLOCK.monotonic_ns() < deadline:
        frame = connection.receive(0.02)
        if frame is not None:
            return frame
    raise AssertionError("no frame came")


def until_lost(connection: Connection) -> str:
    """The words with which the connection ends."""
    with pytest.raises(ConnectionLostError) as caught:
        until_frame(connection)
    return str(caught.value)


def test_frames_come_whole_and_in_order() -> None:
    """Text arrives as the bytes that were sent, small, large or in fragments."""
    texts = ["{}", "x" * 70_000, "é" * 300, ""]

    def send(server: ServerConnection) -> None:
        for text in texts:
            server.send(text)
        server.send(iter(["three ", "frag", "ments"]))
        stay(server)

    with venue(send) as url, closing(Connection(url, {}, CLOCK)) as connection:
        got = [until_frame(connection) for _ in range(5)]
    assert got == [text.encode() for text in [*texts, "three fragments"]]


def test_what_is_sent_arrives_with_its_headers() -> None:
    """Our text and our headers reach the venue as given."""
    heard: list[str] = []

    def listen(server: ServerConnection) -> None:
        assert server.request is not None
        heard.append(server.request.headers["X-KEY"])
        heard.append(str(server.recv()))
        server.send("heard")
        stay(server)

    with venue(listen) as url, closing(Connection(url, {"X-KEY": "id: 7"}, CLOCK)) as connection:
        connection.send('{"cmd":"subscribe"}')
        assert until_frame(connection) == b"heard"
    assert heard == ["id: 7", '{"cmd":"subscribe"}']


def test_a_timeout_is_none_and_no_proof_of_life() -> None:
    """Without a frame `receive` returns None in time, and nothing was proven."""
    with venue(stay) as url, closing(Connection(url, {}, CLOCK)) as connection:
        proven = connection.proof_ns
        for timeout in (0.01, 0.02, 0.01):
            assert connection.receive(timeout) is None
        assert connection.proof_ns == proven


def test_control_frames_prove_life_and_are_no_frames() -> None:
    """A pong to our ping and the venue's own ping move the proof of life, and are not handed on."""
    answered = threading.Event()

    def ping_us(server: ServerConnection) -> None:
        if server.ping().wait(60):
            answered.set()
        stay(server)

    with venue(ping_us) as url, closing(Connection(url, {}, CLOCK)) as connection:
        proven, frames = connection.proof_ns, []
        connection.ping()
        deadline = CLOCK.monotonic_ns() + PATIENCE_NS
        moves = 0
        while moves < 2 and CLOCK.monotonic_ns() < deadline:
            frames.append(connection.receive(0.02))
            moves += connection.proof_ns > proven
            proven = connection.proof_ns
        assert moves == 2
        assert set(frames) == {None}
        assert answered.wait(60)


def test_a_frame_in_pieces_survives_timeouts() -> None:
    """Half a frame before a timeout is kept; only the whole frame is a proof of life."""
    go = threading.Semaphore(0)
    frame = b"\x81\x7e" + (300).to_bytes(2, "big") + b"y" * 300

    def in_pieces(server: ServerConnection) -> None:
        for cut in ((0, 1), (1, 3), (3, 50), (50, len(frame))):
            go.acquire(timeout=60)
            server.socket.sendall(frame[slice(*cut)])
        stay(server)

    with venue(in_pieces) as url, closing(Connection(url, {}, CLOCK)) as connection:
        proven = connection.proof_ns
        for _ in range(3):
            go.release()
            for _ in range(3):
                assert connection.receive(0.01) is None
        assert connection.proof_ns == proven
        go.release()
        assert until_frame(connection) == b"y" * 300
        assert connection.proof_ns > proven


def test_bad_text_is_handed_on() -> None:
    """What is not UTF-8 is the decoder's business: it arrives, and the connection stays."""

    def send(server: ServerConnection) -> None:
        server.socket.sendall(b"\x81\x02\xff\xfe\x82\x01\x00")
        stay(server)

    with venue(send) as url, closing(Connection(url, {}, CLOCK)) as connection:
        assert [until_frame(connection), until_frame(connection)] == [b"\xff\xfe", b"\x00"]


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going away"), (4008, "slow consumer")])
def test_a_close_says_its_code(code: int, reason: str) -> None:
    """The venue's code and words end the connection and are told."""
    with (
        venue(lambda server: server.close(code, reason)) as url,
        closing(Connection(url, {}, CLOCK)) as connection,
    ):
        assert until_lost(connection) == f"closed by the venue {code} {reason}".rstrip()


def test_a_close_without_a_code_is_a_close() -> None:
    """An empty close frame ends the connection too."""
    with (
        venue(lambda server: server.socket.sendall(b"\x88\x00")) as url,
        closing(Connection(url, {}, CLOCK)) as connection,
    ):
        assert until_lost(connection) == "closed by the venue"


@pytest.mark.parametrize("data", [b"\x83\x00", b"\xf1\x00", b"\x09\x01x", b"\x80\x01x", b"\x89\x7e\x00\xff"])
def test_broken_framing_ends_the_connection(data: bytes) -> None:
    """A reserved opcode, reserved bits, a split ping or a fragment of nothing: lost, in words."""

    def send(server: ServerConnection) -> None:
        server.socket.sendall(data + bytes(300))
        stay(server)

    with venue(send) as url, closing(Connection(url, {}, CLOCK)) as connection:
        assert until_lost(connection)


def test_a_peer_that_vanishes_is_lost() -> None:
    """A connection that ends without goodbye is lost at once, for reading and in the end for writing."""

    def vanish(server: ServerConnection) -> None:
        server.socket.shutdown(socket.SHUT_RDWR)

    with venue(vanish) as url, closing(Connection(url, {}, CLOCK)) as connection:
        assert until_lost(connection)
        for act in (lambda: connection.send("x"), connection.ping):
            with pytest.raises(ConnectionLostError):
                for _ in range(100):
                    act()


def test_nobody_there_is_refused_in_words() -> None:
    """A port that nobody listens on, and an address that is none, cannot be connected to."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    for url in (f"ws://127.0.0.1:{port}/", "http://127.0.0.1/", "ws://127.0.0.1:99999/", "sim"):
        with pytest.raises(ConnectionLostError, match=r"^cannot connect: "):
            Connection(url, {}, CLOCK)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n",
        b"\xff\xfe\xfd\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_is_no_handshake_is_refused(answer: bytes) -> None:
    """Whatever a server answers instead of a handshake: no connection, in words."""
    with raw(lambda peer: peer.sendall(answer)) as url, pytest.raises(ConnectionLostError, match="cannot"):
        Connection(url, {}, CLOCK)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(code: int) -> None:
    """A venue that sends us elsewhere is refused, and nobody else is ever called."""
    called = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as elsewhere:
        elsewhere.settimeout(0.05)
        target = f"ws://127.0.0.1:{elsewhere.getsockname()[1]}/"
        answer = f"HTTP/1.1 {code} Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        with raw(lambda peer: peer.sendall(answer)) as url, pytest.raises(ConnectionLostError):
            Connection(url, {}, CLOCK)
        with suppress(TimeoutError):
            elsewhere.accept()[0].close()
            called.set()
    assert not called.is_set()


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake without an answer ends after the connect timeout."""
    monkeypatch.setattr("pipeline.feed.connection.CONNECT_SECONDS", 0.1)
    with raw(lambda peer: peer.recv(1)) as url, pytest.raises(ConnectionLostError, match="timed out"):
        Connection(url, {}, CLOCK)


def test_closing_needs_no_goodbye() -> None:
    """Closing a connection whose venue is silent or gone neither waits nor raises, even twice."""
    with venue(lambda server: CLOCK.sleep(0.05)) as url:
        connection = Connection(url, {}, CLOCK)
        connection.close()
        connection.close()
        with pytest.raises(ConnectionLostError):
            connection.receive(0.01)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ""),
        (b"\x03", ""),
        (b"\x03\xe8", "1000 "),
        (b"\x0f\xa8slow", "4008 slow"),
        (b"\x03\xe9\xff", "1001 \ufffd"),
    ],
)
def test_close_reasons_are_words(data: bytes, words: str) -> None:
    """A close frame's body becomes its code and its text, also where it is damaged."""
    assert close_reason(data) == words
