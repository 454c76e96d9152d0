"""Bus remote: commands from other machines, over TCP with CURVE. With `bus` the door to ZeroMQ.

In: [control] of the configuration, sealed requests of those who hold an allowed key. Out: the requests, each
with the name of its key; what is not one is counted and not obeyed. Polled by the supervisor; `ask` is the
other end, for the command line. CURVE encrypts and proves both ends, and makes what a wire-tapper recorded
worthless; without a list of keys it would let anybody in, so connections are authenticated by ZAP
(rfc.zeromq.org/spec/27), and where nobody answers for that, nobody comes in.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from functools import reduce
from operator import or_
from pathlib import Path

import msgspec
import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from pipeline.bus import HIGH_WATER, BusError
from pipeline.clock import Clock, SystemClock
from pipeline.config import ControlConfig
from pipeline.secrets import Secret, SecretError, load_secret
from pipeline.wire import MAX_FRAME_BYTES, Reply, Request, Sealer, WireError

KEY_CHARACTERS = 40
"""Length of a CURVE key in Z85, the text in which keys are written down."""
# The other machine's monotonic clock means nothing here, so a request's age is by wall clock on both
# sides. CURVE keeps strangers from replaying; this bounds what a request may have waited on its way.
MAX_AGE_NS = 60_000_000_000
REMEMBERED = 1024
MOST_TEXT = MAX_FRAME_BYTES - 500
LONGEST_ID = 64
# What CURVE adds to a message.
_ENVELOPE_BYTES = 64
_DOMAIN = "parallax"
_HANDSHAKE_MS = 5000
_NOISE_EACH_TURN = 1000
_FAILED = (
    zmq.Event.HANDSHAKE_FAILED_AUTH,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
)
_PROVEN, _GONE = zmq.Event.HANDSHAKE_SUCCEEDED, zmq.Event.DISCONNECTED


def make_keys() -> tuple[str, Secret]:
    """A new key pair: the public key, for the other side's list, and the secret one, in Z85."""
    public, secret = zmq.curve_keypair()
    return public.decode(), Secret(secret.decode())


def public_of(secret: Secret) -> str:
    """The public key of a secret one. Raises BusError for what is no key."""
    return zmq.curve_public(_key_bytes(secret.reveal(), "the secret key")).decode()


def load_key(path: str) -> Secret:
    """The secret key that a file holds in one line. Raises BusError where there is none, or others may
    read it; the text says what to do.
    """
    try:
        secret = load_secret("the key of remote control", file=path, environ={})
    except SecretError as error:
        raise BusError(str(error)) from error
    public_of(secret)
    return secret


def sealer_for(server_public: str) -> Sealer:
    """What seals frames between a server and its clients.

    The seal keeps the format of a frame what it is on `ctl`; who may send one is CURVE's affair, for this
    key follows from the server's public one.
    """
    return Sealer(hashlib.sha256(b"parallax remote control " + server_public.encode()).digest())


class RemoteServer:
    """The supervisor's end. Raises BusError where keys or address do not do; the text says which and why."""

    def __init__(self, control: ControlConfig, run_directory: Path, clock: Clock | None = None) -> None:
        del run_directory  # a TCP port needs no role lock: binding a taken one fails
        from zmq.auth.thread import ThreadAuthenticator

        secret = load_key(control.key_file)
        self.public_key = public_of(secret)
        # Connections and frames of those who proved no allowed key, for people; at least so many.
        self.strangers = 0
        self._noise = 0
        self._allowed: frozenset[str] = frozenset()
        self.allow(control.allowed_keys)
        self._clock = clock or SystemClock()
        self._sealer = sealer_for(self.public_key)
        self._seen: OrderedDict[str, int] = OrderedDict()
        # A context of its own: authentication is per context, and the run's ipc sockets have none.
        self._context = zmq.Context()
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(_DOMAIN, _Asker(self))
        self.socket = _socket(self._context, zmq.ROUTER, control.tcp)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        self.socket.curve_server = True
        self.socket.curve_secretkey = secret.reveal().encode()
        # Without the second option libzmq lets everybody in where no authenticator answers.
        self.socket.zap_domain = _DOMAIN.encode()
        self.socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self._monitor = self.socket.get_monitor_socket(reduce(or_, (*_FAILED, _PROVEN, _GONE)))
        self._heard: Counter[int] = Counter()
        self._poller = zmq.Poller()
        self._poller.register(self.socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self.socket.bind(_address(control.tcp))
        except zmq.ZMQError as error:
            self.close()
            raise BusError(f"control.tcp: cannot listen on {control.tcp}: {error.strerror}") from error
        self.address = self.socket.get_string(zmq.LAST_ENDPOINT)

    def allow(self, keys: tuple[str, ...]) -> None:
        """Obey these public keys and no others from now on. Raises BusError for what is no key."""
        for key in keys:
            _key_bytes(key, "control.allowed_keys")
        if not keys:
            raise BusError("control.allowed_keys is empty: name the public keys that may give commands")
        self._allowed = frozenset(keys)

    def knows(self, key: str) -> bool:
        """Whether a public key is allowed."""
        return key in self._allowed

    def receive(self, timeout_ms: int) -> tuple[bytes, Request | str] | None:
        """The next request and who to reply to, waiting at most `timeout_ms`; None for none.

        For what is no request to obey a word stands in its place: "malformed", "forged", "oversized",
        "late", "replayed", "crowded", or "stranger" for connections that did not prove an allowed key.
        Call it in every turn, whether `socket` has something or not.
        """
        deadline_ns = self._clock.monotonic_ns() + timeout_ms * 1_000_000
        while self.socket.poll(0) == 0:
            left_ms = max(0, (deadline_ns - self._clock.monotonic_ns()) // 1_000_000)
            heard = self._poller.poll(left_ms)
            if self._count_strangers():
                return b"", "stranger"
            if not heard or (not left_ms and self.socket.poll(0) == 0):
                return None
        sender, *frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        key = _key_of(frames[-1]) if frames else ""
        if not self.knows(key):
            # Its key was taken from the list while it was connected.
            self.strangers += 1
            return sender.bytes, "stranger"
        frame = frames[0].bytes if len(frames) == 1 else b""
        return sender.bytes, self._admit(frame, key, sender.bytes)

    def reply(self, sender: bytes, request: Request, ok: bool, text: str) -> bool:
        """Answer a request; False when its sender has gone. A text that is too long for a frame is cut."""
        cut = text if len(text.encode()) <= MOST_TEXT else text.encode()[:MOST_TEXT].decode("utf-8", "ignore")
        try:
            frame = self._sealer.seal(Reply(request.id, ok, cut))
            self.socket.send_multipart([sender, frame], zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        return True

    def close(self) -> None:
        """Stop listening."""
        self.socket.disable_monitor()
        self.socket.close(0)
        self._authenticator.stop()
        self._context.destroy(0)

    def _admit(self, frame: bytes, key: str, sender: bytes) -> Request | str:
        """The request of a frame, or what is wrong with it. One whose clock is off is told so."""
        try:
            request = self._sealer.open(frame, Request)
        except WireError as error:
            return str(error)
        if len(request.id) > LONGEST_ID:
            return "malformed"
        now = self._clock.wall_ns()
        age_ns = now - request.issued_ns
        if abs(age_ns) > MAX_AGE_NS:
            self.reply(sender, request, ok=False, text=_clock_text(age_ns))
            return "late"
        while self._seen and next(iter(self._seen.values())) < now - MAX_AGE_NS:
            self._seen.popitem(last=False)
        if request.id in self._seen:
            return "replayed"
        if len(self._seen) >= REMEMBERED:
            return "crowded"
        # Until when it could be sent again, not when it was: clocks may differ by as much as ages may be.
        self._seen[request.id] = now + MAX_AGE_NS
        return msgspec.structs.replace(request, who=f"remote {key[:10]} ({request.who[:60]})")

    def _count_strangers(self) -> int:
        """How many connections came to nothing since the last call, as far as one turn hears of them.

        libzmq names no failure where the first bytes are no greeting: such a connection is one that ended
        without a handshake, told from those that had one by their number.
        """
        for _ in range(_NOISE_EACH_TURN):
            if not self._monitor.poll(0):
                break
            self._heard[recv_monitor_message(self._monitor)["event"]] += 1
        failed = sum(self._heard[event] for event in _FAILED)
        nameless = max(0, self._heard[_GONE] - failed - self._heard[_PROVEN])
        fresh = max(0, failed + nameless - self._noise)
        self._noise += fresh
        self.strangers += fresh
        return fresh


class _Asker:
    """What the authenticator's thread asks about each key."""

    def __init__(self, server: RemoteServer) -> None:
        self._server = server

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a client with this public key, in Z85, may connect."""
        return domain == _DOMAIN and self._server.knows(key.decode())


def ask(address: str, server_public: str, secret: Secret, request: Request, timeout_ms: int) -> Reply:
    """Send a request to a supervisor elsewhere and wait for its answer. Raises BusError where none comes."""
    sealer = sealer_for(server_public)
    context = zmq.Context()
    socket = _socket(context, zmq.DEALER, address)
    try:
        socket.curve_serverkey = _key_bytes(server_public, "the server's key")
        socket.curve_publickey = public_of(secret).encode()
        socket.curve_secretkey = secret.reveal().encode()
        socket.connect(_address(address))
        socket.send(sealer.seal(request))
        if socket.poll(timeout_ms, zmq.POLLIN) == 0:
            raise BusError(
                f"no answer from {address} within {timeout_ms / 1000:g} s: does a run listen there, is this"
                f" its public key, and does its control.allowed_keys list ours, {public_of(secret)}?"
            )
        return sealer.open(socket.recv(), Reply)
    except zmq.ZMQError as error:
        raise BusError(f"{address}: {error.strerror}; an address is tcp://HOST:PORT") from error
    except WireError as error:
        raise BusError(f"the answer of {address} was not a supervisor's: {error}") from error
    finally:
        context.destroy(0)


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, address: str) -> zmq.Socket[bytes]:
    """A socket with our limits set before it connects or binds."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.IPV6, int("[" in address))
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES + _ENVELOPE_BYTES)
    return socket


def _key_of(frame: zmq.Frame) -> str:
    """The public key that the connection of a frame proved, "" for none."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""


def _address(text: str) -> str:
    """HOST:PORT as ZeroMQ writes it."""
    return text if "://" in text else f"tcp://{text}"


def _key_bytes(text: str, what: str) -> bytes:
    """A key in Z85, checked. Raises BusError; the key itself is not in the text."""
    try:
        if len(text) != KEY_CHARACTERS:
            raise ValueError(f"has {len(text)} characters")
        z85.decode(text.encode("ascii"))
    except (ValueError, KeyError) as error:
        why = "has a character that no key has" if not str(error).startswith("has ") else str(error)
        raise BusError(f"{what}: {why}; a key has {KEY_CHARACTERS}: run.py remote keys makes them") from None
    return text.encode()


def _clock_text(age_ns: int) -> str:
    """What to say to a client whose wall clock is elsewhere."""
    side = "behind" if age_ns > 0 else "ahead of"
    return (
        f"refused: the clock there is {abs(age_ns) / 1e9:.0f} s {side} this one's, or the request was held up"
    )
