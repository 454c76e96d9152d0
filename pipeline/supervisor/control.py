"""Control: commands from people to the supervisor.

In: sealed requests on `ctl`. Out: what is asked, or a refusal in words; every request is counted and
logged with who and when. Malformed, forged, late and replayed ones are counted and not answered.
"""

from __future__ import annotations

from collections import deque

from pipeline.wire import Reply, Request, Sealer, WireError

# A request older than this was held up, or recorded and sent again.
MAX_AGE_NS = 5_000_000_000
REMEMBERED = 1024


class Gatekeeper:
    """Decides whether a frame is a request to act on; says why not in a word."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._seen: deque[str] = deque(maxlen=REMEMBERED)

    def admit(self, frame: bytes, now_ns: int) -> Request | str:
        """The request, or what is wrong: "malformed", "forged", "oversized", "late", "replayed"."""
        try:
            request = self._sealer.open(frame, Request)
        except WireError as error:
            return str(error)
        if not 0 <= now_ns - request.issued_ns <= MAX_AGE_NS:
            return "late"
        if request.id in self._seen:
            return "replayed"
        self._seen.append(request.id)
        return request

    def answer(self, request: Request, *, ok: bool, text: str) -> bytes:
        """A sealed reply to `request`."""
        return self._sealer.seal(Reply(request.id, ok, text))
