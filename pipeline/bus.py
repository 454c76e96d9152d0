"""Bus: the sockets between processes. The door to ZeroMQ and role locks.

In: sealed frames (pipeline.wire). Out: the same frames in another process, or not: a socket is a hint,
never a store. High-water marks are small, sends never block, nothing lingers. Before each bind a role
file is locked, because a second bind on an ipc path silently steals it from the first.
"""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Sequence
from pathlib import Path

import zmq

from pipeline.bus_bell import BELL, Bell, make_bell
from pipeline.wire import KEY_BYTES, MAX_FRAME_BYTES
from shm.segment import pid_start

# The whole door to messages, for users: the bell is theirs too. A feed fetches that alone, without ZeroMQ.
__all__ = [
    "AWAKE_LOOKS", "BELL", "CONTROL", "DECISIONS", "HIGH_WATER", "KEY_FILE", "MAX_PATH_BYTES",
    "MOST_ANNOUNCED", "OPPORTUNITIES", "ORDERS", "Bell", "BusError", "CommandServer", "Inbox", "OrderLine",
    "OrderServer", "Publisher", "RoleLock", "RoleTakenError", "Sender", "Source", "address", "ask",
    "make_bell", "make_key", "read_key", "wait_any",
]  # fmt: skip

OPPORTUNITIES, DECISIONS, CONTROL, ORDERS = "opp", "dec", "ctl", "ord"
HIGH_WATER = 64
# Looks for an announced frame: about 300 us, longer than it takes to price one.
AWAKE_LOOKS = 150
# Announcements that one call to receive hears, so that it ends whatever is sent.
MOST_ANNOUNCED = 16
KEY_FILE = "key"
Source = zmq.Socket[bytes] | int
"""What can be waited for: a socket of ours, or a descriptor."""
MAX_PATH_BYTES = 107
# Looks, a millisecond apart, for the name of a role's holder, who writes it just after it took the lock.
NAME_LOOKS = 200


class BusError(Exception):
    """A socket cannot be made; the text says which, why and what to do."""


class NoReplyError(BusError):
    """A request was sent and nobody answered in time: nobody knows whether it was obeyed."""


class RoleTakenError(BusError):
    """Another live process holds this role: `pid` (0 unknown), since `since_wall_ns` (wall clock)."""

    def __init__(self, role: str, pid: int, since_wall_ns: int) -> None:
        super().__init__(f"{role} is held by process {pid or 'unknown'}")
        self.pid = pid
        self.since_wall_ns = since_wall_ns


class RoleLock:
    """The right to bind one name; held until `close` or until the process ends, however it ends."""

    def __init__(self, run_directory: Path, role: str) -> None:
        self.path = path = run_directory / f"{role}.role"
        while True:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, since_wall_ns = _holder(self._fd)
                os.close(self._fd)
                raise RoleTakenError(role, pid, since_wall_ns) from None
            if _same_file(self._fd, path):
                break
            # The last holder removed the file between our open and our lock: that lock is worth nothing.
            os.close(self._fd)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def holds(self) -> bool:
        """Whether the file is still there: where it was removed, somebody else may take the role too."""
        return _same_file(self._fd, self.path)

    def close(self) -> None:
        """Give the role up."""
        os.close(self._fd)


def _holder(fd: int) -> tuple[int, int]:
    """Who holds a role and since when (the file's stamp is of the moment it was taken); 0 for not known.

    A name that no process has is that of an earlier holder, who was killed: the present one is about to
    write its own.
    """
    pause = select.poll()
    for _ in range(NAME_LOOKS):
        text = os.pread(fd, 64, 0)
        if text.isdigit() and pid_start(int(text)) is not None:
            return int(text), os.fstat(fd).st_mtime_ns
        pause.poll(1)
    return 0, os.fstat(fd).st_mtime_ns


def _same_file(fd: int, path: Path) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.fstat(fd).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def make_key(run_directory: Path) -> bytes:
    """Write a fresh key for this run, readable by this user alone, and return it."""
    key = os.urandom(KEY_BYTES)
    path = run_directory / KEY_FILE
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.write(fd, key)
    os.close(fd)
    return key


def read_key(run_directory: Path) -> bytes:
    """The run's key. Raises BusError when there is no run here."""
    try:
        key = (run_directory / KEY_FILE).read_bytes()
    except OSError as error:
        raise BusError("no run in this data directory: start one with run.py up") from error
    if len(key) != KEY_BYTES:
        raise BusError(f"{run_directory / KEY_FILE} is not a whole key: the run is just starting, or damaged")
    return key


def address(run_directory: Path, name: str) -> str:
    """The ipc address of a socket. Raises BusError when the path is too long to bind."""
    path = run_directory / name
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise BusError(f"{path} is too long for a socket (over {MAX_PATH_BYTES} bytes): set XDG_RUNTIME_DIR")
    return f"ipc://{path}"


def _socket(kind: int) -> zmq.Socket[bytes]:
    """A socket with our limits set before it connects or binds."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    return socket


class Sender:
    """The scanner's end of `opp`: connects, never blocks."""

    def __init__(self, run_directory: Path) -> None:
        where = address(run_directory, OPPORTUNITIES)
        self._socket = _socket(zmq.PUSH)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        self._socket.connect(where)

    def announce(self) -> None:
        """Say that a frame may follow soon: the other side wakes up while we make it."""
        self.send(b"")

    def send(self, frame: bytes) -> bool:
        """Hand a frame to the socket; False when nobody takes it now."""
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        # Its thread takes the frame on; on the same core that is sooner than on one that sleeps.
        os.sched_yield()
        return True

    def close(self) -> None:
        """Drop the socket and what it still holds."""
        self._socket.close(0)


class _Bound:
    """A socket bound under its role lock; removes its file when closed."""

    def __init__(self, run_directory: Path, name: str, kind: int) -> None:
        where = address(run_directory, name)
        self._lock = RoleLock(run_directory, name)
        self._path = run_directory / name
        self.socket = _socket(kind)
        self.socket.bind(where)

    def close(self) -> None:
        """Unbind, then give the role up."""
        self.socket.close(0)
        self._path.unlink(missing_ok=True)
        self._lock.close()


class Inbox(_Bound):
    """The trader's end of `opp`."""

    def __init__(self, run_directory: Path) -> None:
        super().__init__(run_directory, OPPORTUNITIES, zmq.PULL)

    def receive(self, timeout_ms: int) -> bytes | None:
        """The next frame, waiting at most `timeout_ms` for one; None where none comes.

        After an announcement it is looked for without a rest, and then waited for again.
        """
        for _ in range(MOST_ANNOUNCED):
            if self.socket.poll(timeout_ms, zmq.POLLIN) == 0:
                return None
            frame = self.socket.recv(zmq.NOBLOCK) or self._announced()
            if frame:
                return frame
        return None

    def _announced(self) -> bytes:
        """The frame that follows an announcement; empty where it does not come in time."""
        for _ in range(AWAKE_LOOKS):
            try:
                frame = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                # The threads that bring it may need this very core.
                os.sched_yield()
                continue
            if frame:
                return frame
        return b""


class Publisher(_Bound):
    """The trader's end of `dec`; whoever does not keep up loses messages."""

    def __init__(self, run_directory: Path) -> None:
        super().__init__(run_directory, DECISIONS, zmq.PUB)

    def send(self, frame: bytes) -> None:
        """Publish a frame."""
        self.socket.send(frame, zmq.NOBLOCK)


class _Router(_Bound):
    """A socket that many may ask, and that answers each of them."""

    def receive(self, timeout_ms: int) -> tuple[bytes, bytes] | None:
        """Sender and frame of the next request, waiting at most `timeout_ms`; None for none or nonsense."""
        if self.socket.poll(timeout_ms, zmq.POLLIN) == 0:
            return None
        parts = self.socket.recv_multipart(zmq.NOBLOCK)
        return (parts[0], parts[1]) if len(parts) == 2 else (parts[0], b"")

    def reply(self, sender: bytes, frame: bytes) -> bool:
        """Answer a request; False when its sender has gone."""
        try:
            self.socket.send_multipart([sender, frame], zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        return True


class CommandServer(_Router):
    """The supervisor's end of `ctl`."""

    def __init__(self, run_directory: Path) -> None:
        super().__init__(run_directory, CONTROL, zmq.ROUTER)


class OrderServer(_Router):
    """The paper exchange's end of `ord`."""

    def __init__(self, run_directory: Path) -> None:
        super().__init__(run_directory, ORDERS, zmq.ROUTER)


class OrderLine:
    """A trader's end of `ord`: connects, never blocks. What it sends may be lost, and so may the answers."""

    def __init__(self, run_directory: Path) -> None:
        where = address(run_directory, ORDERS)
        self._socket = _socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        self._socket.connect(where)

    def send(self, frame: bytes) -> bool:
        """Hand a frame to the socket; False when nobody takes it now."""
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, timeout_ms: int) -> bytes | None:
        """The next frame, waiting at most `timeout_ms` for one; None where none comes."""
        if self._socket.poll(timeout_ms, zmq.POLLIN) == 0:
            return None
        return self._socket.recv(zmq.NOBLOCK)

    def close(self) -> None:
        """Drop the socket and what it still holds."""
        self._socket.close(0)


def wait_any(sources: Sequence[Source], timeout_ms: int) -> None:
    """Wait until a socket or a descriptor has something to read, at most `timeout_ms`."""
    zmq.zmq_poll([(source, zmq.POLLIN) for source in sources], timeout_ms)


def ask(run_directory: Path, frame: bytes, timeout_ms: int) -> bytes:
    """Send one request to the supervisor and wait for its answer.

    Raises NoReplyError when none comes in time, BusError where there is nobody to ask.
    """
    if not (run_directory / CONTROL).exists():
        raise BusError("no run in this data directory: start one with run.py up")
    socket = _socket(zmq.DEALER)
    try:
        socket.connect(address(run_directory, CONTROL))
        socket.send(frame)
        if socket.poll(timeout_ms, zmq.POLLIN) == 0:
            raise NoReplyError(f"the supervisor did not answer within {timeout_ms / 1000:g} s")
        return socket.recv()
    finally:
        socket.close(0)
