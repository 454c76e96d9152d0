"""Connection: against a real WebSocket server, and against servers that keep no protocol."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
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
        frames = connection.receive(0.02, 1)
        if frames:
            return frames[0]
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
            assert connection.receive(timeout) == []
        assert connection.proof_ns == proven


def test_control_frames_prove_life_and_are_no_frames() -> None:
    """A pong to our ping and the venue's own ping move the proof of life, and are not handed on.

    The first says how long it took.
    """
    answered, our_turn_is_over = threading.Event(), threading.Event()

    def ping_us(server: ServerConnection) -> None:
        our_turn_is_over.wait(60)
        if server.ping().wait(60):
            answered.set()
        stay(server)

    with venue(ping_us) as url, closing(Connection(url, {}, CLOCK)) as connection:
        proven, frames = connection.proof_ns, []
        assert connection.ping_ns == 0
        connection.ping()
        deadline = CLOCK.monotonic_ns() + PATIENCE_NS
        moves = 0
        while moves < 2 and CLOCK.monotonic_ns() < deadline:
            frames += connection.receive(0.02)
            moves += connection.proof_ns > proven
            if moves:  # frames that come together are one sign of life
                our_turn_is_over.set()
            proven = connection.proof_ns
        assert moves == 2
        assert frames == []
        assert answered.wait(60)
        assert connection.ping_ns > 0


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
                assert connection.receive(0.01) == []
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


# -- attacks: what a hostile or broken venue does to the transport -------------------------------------

MIB = 1 << 20
Reply = Callable[[socket.socket, bytes], None]


@contextmanager
def rude(reply: Reply, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server of bare bytes that reads a request and gives `reply` the socket and a right answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def go() -> None:
        with suppress(OSError):
            peer, _ = listener.accept()
            peer.settimeout(60)
            with tls.wrap_socket(peer, server_side=True) if tls else peer as line:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += line.recv(65536)
                reply(line, answer_to(request))

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield f"ws{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()
        thread.join()


def answer_to(request: bytes) -> bytes:
    """The right answer to a handshake (RFC 6455, 4.2.2)."""
    found = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    assert found
    digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"


def hush(peer: socket.socket) -> None:
    """Listen, without a word, until the other side leaves."""
    while peer.recv(65536):
        pass


def say(*pieces: bytes) -> Reply:
    """Answer the handshake, send the pieces, then be silent."""

    def reply(peer: socket.socket, answer: bytes) -> None:
        for piece in (answer, *pieces):
            peer.sendall(piece)
        hush(peer)

    return reply


def for_ever(start: bytes, again: bytes, pause: float = 0.0) -> Reply:
    """Answer the handshake, then send without end, listening to nothing."""

    def reply(peer: socket.socket, answer: bytes) -> None:
        peer.sendall(answer + start)
        while True:
            CLOCK.sleep(pause)
            peer.sendall(again)

    return reply


def reset(peer: socket.socket, answer: bytes) -> None:
    """Answer the handshake, then tear the line (RST)."""
    peer.sendall(answer)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


BLOCK = bytes(65_535)
ATTACKS: dict[str, tuple[Reply, str, float]] = {
    # name: what the venue does, the words of the loss, the figure in seconds (at least the machine's noise)
    "half a frame": (say(b"\x81\x7e\x01\x00half"), "not finished in time", 1.0),
    "one header byte": (say(b"\x81"), "not finished in time", 1.0),
    "a drip": (for_ever(b"\x81\x7e\x01\x00", b"x", 0.4), "not finished in time", 1.05),
    "fragments that drip": (for_ever(b"\x01\x01a", b"\x00\x01b", 0.2), "not finished in time", 1.05),
    "half a message among pings": (for_ever(b"\x01\x01a", b"\x89\x00", 0.005), "not finished in time", 1.05),
    "a frame of 1 TiB": (
        for_ever(b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), BLOCK),
        "a message of over",
        0.1,
    ),
    "endless continuation": (for_ever(b"\x01\x00", b"\x00\x7e\xff\xff" + BLOCK), "a message of over", 0.1),
    "endless empty fragments": (for_ever(b"\x01\x00", b"\x00\x00" * 4096), "fragments", 0.1),
    "a ping flood": (for_ever(b"", b"\x89\x04ping" * 64), "control frames a second|sending", 0.1),
    "a pong flood": (for_ever(b"", b"\x8a\x00" * 4096), "control frames a second", 0.1),
    "RST": (reset, "reset", 0.1),
    "FIN": (lambda peer, answer: peer.sendall(answer), "hung up", 0.1),
    "FIN inside a frame": (lambda peer, answer: peer.sendall(answer + b"\x81\x05x"), "hung up", 0.1),
    "close": (say(b"\x88\x02\x03\xe9"), "closed by the venue 1001", 0.1),
}


# The real deadline is waited for twice; for these a shorter one shows as much.
SHORTENED = {"one header byte", "fragments that drip", "half a message among pings"}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_in_time_for_its_reason_and_costs_no_memory(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends within ten times its figure, in words that name it, and grows the process by little."""
    if name in SHORTENED:
        monkeypatch.setattr("pipeline.feed.frames.FRAME_NS", 300_000_000)
    reply, words, figure = ATTACKS[name]
    with rude(reply) as url, closing(Connection(url, {}, CLOCK)) as connection:
        before = psutil.Process().memory_info().rss
        began_ns = CLOCK.monotonic_ns()
        assert re.search(words, until_lost(connection))
        assert CLOCK.monotonic_ns() - began_ns < max(10 * figure, 5.0) * 1e9
        assert psutil.Process().memory_info().rss - before < 32 * MIB
        with pytest.raises(ConnectionLostError):
            for _ in range(3):
                assert connection.receive(0.5) == []


def test_half_a_frame_never_looks_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that complete no frame do not move the proof of life, up to the end."""
    monkeypatch.setattr("pipeline.feed.frames.FRAME_NS", 300_000_000)
    with (
        rude(for_ever(b"\x81\x00\x81\x7e\x01\x00", b"x", 0.05)) as url,
        closing(Connection(url, {}, CLOCK)) as connection,
    ):
        assert until_frame(connection) == b""
        proven = connection.proof_ns
        assert "in time" in until_lost(connection)
        assert connection.proof_ns == proven


def test_a_silent_venue_proves_nothing() -> None:
    """Silence is no loss here: the proof of life grows old, and the session judges."""
    with rude(say()) as url, closing(Connection(url, {}, CLOCK)) as connection:
        proven = connection.proof_ns
        for _ in range(5):
            assert connection.receive(0.01) == []
        assert connection.proof_ns == proven


@pytest.mark.parametrize(
    "drip", [b"", b"H", b"HTTP/1.1 101 x\r\n", b"HTTP/1.1 403 x\r\nContent-Length: 99\r\n\r\n"]
)
def test_a_handshake_that_drips_is_given_up(drip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One deadline spans the whole handshake, however often a byte of it arrives."""
    monkeypatch.setattr("pipeline.feed.connection.CONNECT_SECONDS", 0.3)

    def reply(peer: socket.socket, _: bytes) -> None:
        peer.sendall(drip)
        while True:
            peer.sendall(b"x")
            CLOCK.sleep(0.05)

    with rude(reply) as url, pytest.raises(ConnectionLostError, match="timed out"):
        Connection(url, {}, CLOCK)


def test_a_handshake_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that goes on and on is given up after a fixed number of bytes."""
    monkeypatch.setattr("pipeline.feed.connection.CONNECT_SECONDS", 60.0)

    def reply(peer: socket.socket, _: bytes) -> None:
        while True:
            peer.sendall(b"x" * 65_536)

    with rude(reply) as url, pytest.raises(ConnectionLostError, match="does not end"):
        Connection(url, {}, CLOCK)


def test_a_frame_in_the_segment_of_the_handshake_is_not_lost() -> None:
    """Frames and half a frame sent together with the answer to the handshake all arrive, in order."""
    texts = [b"first", b"x" * 300, b"second"]
    frames = b"\x81\x05first\x81\x7e\x01\x2c" + b"x" * 300 + b"\x81\x06sec"

    def reply(peer: socket.socket, answer: bytes) -> None:
        peer.sendall(answer + frames)
        peer.sendall(b"ond")
        hush(peer)

    with rude(reply) as url, closing(Connection(url, {}, CLOCK)) as connection:
        assert [until_frame(connection) for _ in texts] == texts


def test_messages_that_came_together_need_no_more_reads() -> None:
    """What one read brought is handed out also when the socket is no longer read, errors last."""
    with rude(say(b"\x81\x01a" * 50 + b"\x83\x00")) as url, closing(Connection(url, {}, CLOCK)) as connection:
        assert until_frame(connection) == b"a"
        while len(connection._ready) < 50:
            connection._read(0.1)
        connection._raw.settimeout(0.0)
        connection._timeout = 0.0
        assert connection.receive(0.0) == [b"a"] * 49
        with pytest.raises(ConnectionLostError, match="reserved opcode"):
            connection.receive(0.0)


def test_pings_inside_a_message_are_answered_with_their_body() -> None:
    """A ping between fragments brings a pong with the same body; the message stays whole."""
    heard: list[bytes] = []

    def reply(peer: socket.socket, answer: bytes) -> None:
        peer.sendall(answer + b"\x01\x02on\x89\x04beat\x80\x01e")
        head = peer.recv(10, socket.MSG_WAITALL)
        heard.append(head[:2] + bytes(a ^ head[2 + i] for i, a in enumerate(head[6:])))
        hush(peer)

    with rude(reply) as url, closing(Connection(url, {}, CLOCK)) as connection:
        assert until_frame(connection) == b"one"
    assert heard == [b"\x8a\x84beat"]


def test_the_limit_is_the_callers() -> None:
    """A message of 3 MiB ends a connection with the default limit, and passes one with 16 MiB."""
    frame = b"\x81\x7f" + (3 * MIB).to_bytes(8, "big") + b"m" * 3 * MIB

    def reply(peer: socket.socket, answer: bytes) -> None:
        peer.sendall(answer + frame)
        hush(peer)

    with rude(reply) as url, closing(Connection(url, {}, CLOCK)) as connection:
        assert "over 1048576 bytes" in until_lost(connection)
    with rude(reply) as url, closing(Connection(url, {}, CLOCK, limit_bytes=16 * MIB)) as connection:
        assert len(until_frame(connection)) == 3 * MIB


# -- TLS -----------------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1 and the file of its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "venue")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both, public = tmp_path / "both.pem", tmp_path / "public.pem"
    both.write_bytes(key.private_bytes(pem, *plain) + certificate.public_bytes(pem))
    public.write_bytes(certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, public


def test_over_tls_nothing_stays_behind_in_the_library(
    tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames in the record of the handshake, in many records and across their ends all arrive."""
    texts = [bytes([65 + n]) * size for n, size in enumerate((5, 20_000, 65_535, 1, 40_000))]
    frames = b"".join(
        (b"\x81" + bytes([len(text)]) if len(text) < 126 else b"\x81\x7e" + len(text).to_bytes(2, "big"))
        + text
        for text in texts
    )

    def reply(peer: socket.socket, answer: bytes) -> None:
        peer.sendall(answer + frames)
        hush(peer)

    context, public = tls
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    with rude(reply, context) as url, closing(Connection(url, {}, CLOCK)) as connection:
        assert [until_frame(connection) for _ in texts] == texts
        assert connection.receive(0.01) == []


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: tuple[ssl.SSLContext, Path]) -> None:
    """Certificates are checked."""
    with rude(say(), tls[0]) as url, pytest.raises(ConnectionLostError, match=r"(?i)certificate"):
        Connection(url, {}, CLOCK)


def test_tls_that_is_never_agreed_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that takes the connection and says nothing is given up, also before TLS stands."""
    monkeypatch.setattr("pipeline.feed.connection.CONNECT_SECONDS", 0.2)
    with raw(hush) as url, pytest.raises(ConnectionLostError, match="timed out"):
        Connection(url.replace("ws:", "wss:"), {}, CLOCK)
