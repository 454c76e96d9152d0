"""Control: where people's commands reach the supervisor: the run directory's socket and, if asked for, TCP.

In: sealed requests on `ctl`, and from allowed keys on [control].tcp. Out: requests to obey, or a word for
what is none. Malformed, forged, late and replayed ones are told apart and not answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.bus import CommandServer, Source
from pipeline.bus_remote import RemoteServer
from pipeline.clock import Clock
from pipeline.config import ControlConfig
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


Obey = Callable[[Request], tuple[bool, str]]


class Doors:
    """Both ways in. Raises bus.BusError where one cannot be opened."""

    def __init__(self, control: ControlConfig, run_directory: Path, key: bytes, clock: Clock) -> None:
        self._clock = clock
        self._gatekeeper = Gatekeeper(Sealer(key))
        self._local = CommandServer(run_directory)
        self._remote: RemoteServer | None = None
        if control.tcp:
            try:
                self._remote = RemoteServer(control, run_directory, clock)
            except BaseException:
                self._local.close()
                raise

    def sources(self) -> Iterator[Source]:
        """What becomes readable when somebody asks."""
        yield self._local.socket
        if self._remote is not None:
            yield self._remote.socket

    def serve(self, obey: Obey) -> Iterator[str]:
        """Take what one turn may: a request from here, one from elsewhere. Gives the word of each refusal."""
        local = self._local.receive(0)
        if local is not None:
            request = self._gatekeeper.admit(local[1], self._clock.monotonic_ns())
            if isinstance(request, str):
                yield request
            else:
                ok, text = obey(request)
                self._local.reply(local[0], self._gatekeeper.answer(request, ok=ok, text=text))
        remote = self._remote.receive(0) if self._remote is not None else None
        if remote is not None and self._remote is not None:
            sender, asked = remote
            if isinstance(asked, str):
                yield asked
            else:
                ok, text = obey(asked)
                self._remote.reply(sender, asked, ok=ok, text=text)

    def close(self) -> None:
        """Hear nobody any more."""
        self._local.close()
        if self._remote is not None:
            self._remote.close()
