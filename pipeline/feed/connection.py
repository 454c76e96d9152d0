"""Connection: one WebSocket to a venue. The door to websocket-client.

In: bytes from a venue. Out: whole messages, and the time of the last sign of life. Run by a feed in
its own loop with short timeouts; never WebSocketApp, whose deadlines are checked only between frames.
websocket-client shakes hands and sends; its reader costs ten times ours and knows no limits, so our
own reads on its socket. That is possible because it reads the handshake byte by byte: what follows is
still in the socket. UTF-8 is not checked here: the JSON decoder refuses bad text anyway.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import websocket

from pipeline.clock import Clock
from pipeline.feed.frames import CLOSE, MIB, PING, PROTOCOL_ERROR, Control, FrameError, FrameReader, Item
from pipeline.feed.session import retry_after

CONNECT_SECONDS = 2.0
# Connecting with its name's look-up, which knows no deadline of its own.
DIAL_SECONDS = CONNECT_SECONDS + 0.5
# A venue that does not take what we send for this long is gone.
SEND_SECONDS = 1.0
RECEIVE_BYTES = 256 * 1024
# A read shorter than the largest TLS record has emptied the socket, or nearly.
TLS_RECORD_BYTES = 16 * 1024
# No honest answer to a handshake is longer, its error page included.
HANDSHAKE_BYTES = 256 * 1024

# What the library and the socket raise when a connection fails.
TROUBLE = (OSError, websocket.WebSocketException, ValueError)
# So many messages are handed out in one call at most: whoever applies them has a heartbeat to keep.
MESSAGES = 64
NOTHING_YET = (TimeoutError, BlockingIOError, ssl.SSLWantReadError)


class ConnectionLostError(Exception):
    """The venue is gone or was never there; the text says how.

    `status` is the HTTP status with which it refused the handshake, 0 for none; `retry_after_ns` is how
    long it asked to be left alone.
    """

    def __init__(self, why: str, status: int = 0, retry_after_ns: int = 0) -> None:
        super().__init__(why)
        self.status = status
        self.retry_after_ns = retry_after_ns


class Connection:
    """An open WebSocket. Any whole frame from the venue is a proof of life; half a frame is none."""

    def __init__(self, url: str, headers: Mapping[str, str], clock: Clock, *, limit_bytes: int = MIB) -> None:
        """Connect and shake hands within CONNECT_SECONDS. Raises ConnectionLostError.

        A message of more than `limit_bytes` ends the connection as soon as it is announced.
        """
        self._clock = clock
        deadline_ns = clock.monotonic_ns() + round(CONNECT_SECONDS * 1e9)
        try:
            self._socket = _Opening(url, lambda: (deadline_ns - clock.monotonic_ns()) / 1e9)
            self._socket.connect(  # type: ignore[no-untyped-call]
                url, timeout=CONNECT_SECONDS, header=dict(headers), redirect_limit=0
            )
        except websocket.WebSocketBadStatusException as error:
            headers = {name.lower(): text for name, text in (error.resp_headers or {}).items()}
            wait_ns = round(retry_after(headers.get("retry-after", "")) * 1e9)
            why = f"cannot connect: the venue answered {error.status_code}"
            raise ConnectionLostError(why, error.status_code or 0, wait_ns) from error
        except TROUBLE as error:
            raise ConnectionLostError(f"cannot connect: {_words(error)}") from error
        self._raw = self._socket.opened()
        self._reader = FrameReader(limit_bytes)
        self._ready: deque[Item] = deque()
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._timeout = -1.0
        self.proof_ns = clock.monotonic_ns()
        self.ping_ns = 0
        """How long the venue took to answer the last ping; 0 while it has answered none."""
        self._pinged_ns = 0

    def receive(self, timeout: float, most: int = MESSAGES) -> list[bytes]:
        """The next messages, at most `most`; none after `timeout` seconds or for a control frame.

        Messages that came together are handed out without a look at the socket between them. Half a
        frame is kept for the next calls, until its deadline. Raises ConnectionLostError, but not before
        everything that came earlier was handed out.
        """
        ready = self._ready
        if not ready and not self._read(timeout):
            return []
        messages: list[bytes] = []
        while ready and len(messages) < most:
            item = ready[0]
            if isinstance(item, bytes):
                messages.append(item)
            elif messages:
                break
            else:
                self._obey(item)
            if ready:
                ready.popleft()
        return messages

    @property
    def waiting(self) -> bool:
        """Whether a call of `receive` has something to do without the socket's becoming readable."""
        return bool(self._ready) or (isinstance(self._raw, ssl.SSLSocket) and self._raw.pending() > 0)

    def fileno(self) -> int:
        """The socket's number, for `wait`."""
        return self._raw.fileno()

    def expired(self) -> bool:
        """Whether what was begun is over its deadline, so that `receive` will end the connection."""
        return 0 < self._reader.deadline_ns <= self._clock.monotonic_ns()

    def send(self, text: str) -> None:
        """Send a text frame. Raises ConnectionLostError."""
        self._send(lambda: self._socket.send(text))

    def ping(self) -> None:
        """Send a WebSocket ping; its pong will be a proof of life. Raises ConnectionLostError."""
        self._pinged_ns = self._clock.monotonic_ns()
        self._send(self._socket.ping)

    def close(self) -> None:
        """Drop the connection without waiting for the venue's goodbye."""
        self._ready.clear()
        self._socket.shutdown()  # type: ignore[no-untyped-call]

    def _read(self, timeout: float) -> bool:
        """Read once from the socket; whether there is anything to hand out."""
        count = self._read_bytes(timeout)
        now_ns = self._clock.monotonic_ns()
        reader = self._reader
        if count:
            self._ready.extend(reader.feed(bytes(self._buffer[:count]), now_ns))
            self.proof_ns = max(self.proof_ns, reader.frame_ns)
        # After a pause of ours the rest may wait in the socket: judge only when that is empty.
        if 0 < reader.deadline_ns <= now_ns and count < TLS_RECORD_BYTES:
            self._ready.append(FrameError(PROTOCOL_ERROR, "what was begun was not finished in time"))
        return bool(self._ready)

    def _read_bytes(self, timeout: float) -> int:
        """How many bytes came into the buffer; 0 if none in time."""
        try:
            self._wait_at_most(timeout)
            count = self._raw.recv_into(self._buffer)
        except NOTHING_YET:
            return 0
        except TROUBLE as error:
            raise self._ended(_words(error)) from error
        if not count:
            raise self._ended("the venue hung up")
        return count

    def _obey(self, item: Control | FrameError) -> None:
        """Answer a ping, end at a close or an error, as RFC 6455 demands."""
        if isinstance(item, FrameError):
            self._say_goodbye(item.code)
            raise self._ended(f"the venue broke the protocol: {item.text}")
        if item.opcode == CLOSE:
            self._say_goodbye(websocket.STATUS_NORMAL)
            raise self._ended(f"closed by the venue {close_reason(item.body)}".rstrip())
        if item.opcode == PING:
            self._send(lambda: self._socket.pong(item.body))
        elif self._pinged_ns:
            # A pong that nobody asked for measures nothing.
            self.ping_ns = max(1, self._clock.monotonic_ns() - self._pinged_ns)
            self._pinged_ns = 0

    def _send(self, act: Callable[[], object]) -> None:
        """Send with the sending timeout. Raises ConnectionLostError."""
        try:
            self._wait_at_most(SEND_SECONDS)
            act()
        except TROUBLE as error:
            raise self._ended(_words(error)) from error

    def _ended(self, why: str) -> ConnectionLostError:
        """The error to raise; from now on every call raises one, whatever the venue still sends."""
        self.close()
        return ConnectionLostError(why)

    def _say_goodbye(self, code: int) -> None:
        """Send a close frame if that needs no waiting; the connection is over either way."""
        with suppress(*TROUBLE):
            self._wait_at_most(0.0)
            self._socket.send_close(code)

    def _wait_at_most(self, seconds: float) -> None:
        """Set the socket's timeout, if it is another."""
        if seconds != self._timeout:
            self._raw.settimeout(seconds)
            self._timeout = seconds


class Dial:
    """A connection on its way, opened in a thread of its own.

    Names are looked up without a deadline, and one connection that is slow to open must not hold up the
    heartbeat or the other connections. The thread lives for one connection.
    """

    def __init__(self, url: str, headers: Mapping[str, str], clock: Clock, *, limit_bytes: int) -> None:
        """Begin to connect."""
        self._overdue_ns = clock.monotonic_ns() + round(DIAL_SECONDS * 1e9)
        self._clock = clock
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._result: Connection | ConnectionLostError | None = None
        self._abandoned = False

        def work() -> None:
            try:
                result: Connection | ConnectionLostError = Connection(
                    url, headers, clock, limit_bytes=limit_bytes
                )
            except ConnectionLostError as error:
                result = error
            with self._lock:
                self._result = result
                unwanted = self._abandoned
            if unwanted and isinstance(result, Connection):
                result.close()
            self._done.set()

        self._thread = threading.Thread(target=work, name="dial", daemon=True)
        self._thread.start()

    def poll(self, timeout: float = 0.0) -> Connection | None:
        """The open connection; None while it is under way. Raises ConnectionLostError."""
        if not self._done.wait(timeout):
            if self._clock.monotonic_ns() < self._overdue_ns:
                return None
            self.abandon()
            raise ConnectionLostError(f"cannot connect: no answer in {DIAL_SECONDS:g} s, nor a name")
        assert self._result is not None, "set before the event"
        if isinstance(self._result, ConnectionLostError):
            raise self._result
        return self._result

    def abandon(self) -> None:
        """Nobody waits for it any more; what opens late is closed at once."""
        with self._lock:
            self._abandoned = True
            result = self._result
        if isinstance(result, Connection):
            result.close()

    @property
    def stuck(self) -> bool:
        """Whether its thread still runs; only then is another one too many."""
        return self._thread.is_alive()


def wait(connections: Sequence[Connection], timeout: float) -> list[Connection]:
    """Those of several connections that have something to receive, after at most `timeout` seconds."""
    ready = [each for each in connections if each.waiting or each.expired()]
    poller = select.poll()
    known = {}
    for each in connections:
        if each not in ready:
            known[each.fileno()] = each
            poller.register(each.fileno(), select.POLLIN)
    events = poller.poll(0 if ready else round(timeout * 1000))
    return ready + [known[number] for number, _ in events]


class _Opening(websocket.WebSocket):
    """A WebSocket whose connecting, TLS and handshake share one deadline.

    The library gives each single read the whole timeout, and a handshake is read byte by byte: a venue
    that sends one byte a second would be waited for without end, and so would an endless header.
    """

    def __init__(self, url: str, remaining: Callable[[], float]) -> None:
        self._remaining = remaining
        self._inner: socket.socket | None = None
        self._shown: socket.socket | None = None
        secure = url.startswith("wss:")
        super().__init__(
            sockopt=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            sslopt={"context": _TlsContext.make(remaining)} if secure else {},
            skip_utf8_validation=True,
            enable_multithread=False,
        )

    @property
    def sock(self) -> socket.socket | None:
        """The library's socket: while it shakes hands, one that watches the deadline."""
        return self._shown

    @sock.setter
    def sock(self, found: socket.socket | None) -> None:
        """Called by the library with a connected socket, after TLS and before the handshake."""
        self._inner = found
        self._shown = None if found is None else cast("socket.socket", _Guarded(found, self._remaining))

    def opened(self) -> socket.socket:
        """The socket itself, once the handshake is done; the library sends on it from here on."""
        assert self._inner is not None, "opened() follows connect()"
        self._shown = self._inner
        return self._inner


class _Guarded:
    """As much of a socket as a handshake uses, with a deadline and a limit on what it reads."""

    def __init__(self, inner: socket.socket, remaining: Callable[[], float]) -> None:
        self.inner = inner
        self._remaining = remaining
        self._room = HANDSHAKE_BYTES
        self.gettimeout = inner.gettimeout
        self.close = inner.close
        self.fileno = inner.fileno

    def recv(self, size: int) -> bytes:
        """Read within what is left of the time. Raises TimeoutError, or OSError for a flood."""
        if self._room <= 0:
            raise OSError("the answer to the handshake does not end")
        self.inner.settimeout(_positive(self._remaining()))
        data = self.inner.recv(size)
        self._room -= len(data)
        return data

    def send(self, data: bytes) -> int:
        """Write within what is left of the time. Raises TimeoutError."""
        self.inner.settimeout(_positive(self._remaining()))
        return self.inner.send(data)


class _TlsContext(ssl.SSLContext):
    """The default checks of certificates and names; TLS must be agreed in what is left of the time."""

    remaining: Callable[[], float]

    @classmethod
    def make(cls, remaining: Callable[[], float]) -> _TlsContext:
        """A context that trusts what the machine trusts (the library adds the checks)."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        context.remaining = remaining
        return context

    def wrap_socket(self, sock: socket.socket, *args: Any, **more: Any) -> ssl.SSLSocket:
        """Agree on TLS; the timeout set here bounds the whole agreement."""
        sock.settimeout(_positive(self.remaining()))
        return super().wrap_socket(sock, *args, **more)


def _positive(seconds: float) -> float:
    """The time that is left. Raises TimeoutError when there is none."""
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


def close_reason(data: bytes) -> str:
    """The code and text of a close frame's body, for people."""
    if len(data) < 2:
        return ""
    return f"{int.from_bytes(data[:2], 'big')} {data[2:].decode('utf-8', 'replace')}"


def _words(error: BaseException) -> str:
    """An error in one line, with its kind where the text alone says little."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
