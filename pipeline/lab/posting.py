"""POST for a server that knows GET alone: the body is taken out of the stream before the server sees it.

In: a connection's bytes as they come. Out: the same bytes, or for a POST the same request as a GET without
a body, which is kept in `body`. Pure. Run by `server.LabServer`, one reader a connection.
"""

from __future__ import annotations

_POST = b"POST "
MOST_HEAD_BYTES = 16_384
MOST_BODY_BYTES = 2**20


class PostReader:
    """Reads the first request of one connection. `body` is None until a whole POST has come."""

    def __init__(self) -> None:
        self.body: bytes | None = None
        self._held = b""
        self._through = False

    def feed(self, data: bytes) -> bytes:
        """What the server may see now. A POST that is too long or malformed reaches it as it is."""
        if self._through:
            return data
        self._held += data
        if self._held[: len(_POST)] != _POST[: len(self._held)]:
            return self._let_go()
        head, end, rest = self._held.partition(b"\r\n\r\n")
        if not end:
            return self._let_go() if len(head) > MOST_HEAD_BYTES else b""
        length = _length(head)
        if not 0 <= length <= MOST_BODY_BYTES:
            return self._let_go()
        if len(rest) < length:
            return b""
        self.body = rest[:length]
        self._held = b"GET " + _without_length(head)[len(_POST) :] + end + rest[length:]
        return self._let_go()

    def _let_go(self) -> bytes:
        held, self._held, self._through = self._held, b"", True
        return held


def _length(head: bytes) -> int:
    """The Content-Length of a request's head, -1 where there is none that we can use."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and len(value) < 12 and value.strip().isdigit():
            return int(value)
    return -1


def _without_length(head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"content-length")]
    return b"\r\n".join(kept)
