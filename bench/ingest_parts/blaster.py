"""A venue that says everything at once: WebSocket frames on loopback as fast as they are taken.

In: frames. Out: an address; the opening is sent at once, the rest when `go` is set. Run as a thread of the
bench, so that its time is not that of the process that is measured.
"""

import base64
import hashlib
import socket
import struct
import threading

CHUNK = 256 * 1024
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Blaster:
    """Serves one connection and ends."""

    def __init__(self, opening: list[bytes], changes: list[bytes]) -> None:
        self._opening, self._changes = framed(opening), framed(changes)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.go = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener:
            peer, _ = self._listener.accept()
        with peer:
            self._shake_hands(peer)
            peer.sendall(self._opening)
            self.go.wait()
            try:
                for at in range(0, len(self._changes), CHUNK):
                    peer.sendall(self._changes[at : at + CHUNK])
                while peer.recv(4096):
                    pass
            except OSError:
                return  # the measured process has seen enough

    @staticmethod
    def _shake_hands(peer: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += peer.recv(4096)
        key = next(
            line.split(b":", 1)[1].strip()
            for line in request.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())  # noqa: S324 - RFC 6455 says SHA-1
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        peer.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


def framed(messages: list[bytes]) -> bytes:
    """Messages as unmasked text frames."""
    parts = []
    for message in messages:
        size = len(message)
        if size < 126:
            parts.append(bytes((0x81, size)))
        elif size < 1 << 16:
            parts.append(struct.pack("!BBH", 0x81, 126, size))
        else:
            parts.append(struct.pack("!BBQ", 0x81, 127, size))
        parts.append(message)
    return b"".join(parts)
