"""Faults: what a simulated venue does wrong, as data, and done to what it sends.

In: a list of `Fault`s. Out: which of them may act now, and refusals of handshakes. Who runs it:
`server.LabServer`, whose sessions know nothing of it; `trouble.Stream` does them to each connection.
The same seed, faults and frames make the same trouble. Times are the model's own.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from pipeline.lab import tampering
from pipeline.lab.exchange import Frame

VENUES = ("kalshi", "polymarket", "kraken", "coinbase")

FRAME_KINDS = {
    "drop": "the frame is lost",
    "freeze": "the venue forgets the frame: it is not even numbered",
    "no_book": "first books do not come on a connection of more than `number` assets",
    "duplicate": "the frame comes twice",
    "delay": "the frame comes after the next `number` others",
    "repeat": "the frame is followed by the one `number` before it",
    "cut": "the text ends somewhere",
    "spoil": "a few bytes are replaced by any others",
    "digit": "one digit of one level's `text` (price, size or either) is another",
    "value": "a level's `text` (price or size, then a space) is another word",
    "checksum": "the checksum is another",
    "jump": "from here on numbers are higher by `number`, or lower",
    "skew": "the venue's times are off by `seconds`",
    "flood": "the frame comes `number` times at once",
}
"""Done to text frames of the kind `what`, on `market` if given, each with `chance`."""
ONCE_KINDS = {
    "close": "a close frame with code `number` and words `text`",
    "reset": "the line is torn (RST)",
    "fin": "the line ends without a goodbye (FIN)",
    "deaf": "nothing is read any more: no pong, no answer; what the venue has to say still comes",
    "half": "the first `number` bytes of a frame, then nothing",
    "drip": "a frame of which a byte comes every `seconds`, then nothing",
    "huge": "a frame that announces 1 TiB",
    "endless": "a message of which `number` MiB come and no end",
    "pings": "`number` pings at once",
    "status": "Kraken says that it is `text`: maintenance, online ...",
    "pause": "trading in `market` stops",
    "resume": "trading in `market` goes on",
    "result": "`market` is decided while its book stands",
    "tick": "`market` gets the price grid `text`, and no book with it",
    "error": "Kalshi ends the subscription with error `number`",
}
"""Done once to each connection, after `first` book frames, each step with `chance`."""
COMMAND_KINDS = {
    "refuse": "a subscription to books is refused: Kalshi's error `number`, the others' own words",
    "mute": "a command of the client is not heard",
}
HANDSHAKE_KINDS = {
    "refuse_handshake": "HTTP status `number`; `seconds` is Retry-After, `text` is Location",
    "no_handshake": "the handshake is not answered",
}
KINDS = {**FRAME_KINDS, **ONCE_KINDS, **COMMAND_KINDS, **HANDSHAKE_KINDS}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong at a venue. What a field means is in the kind's words above.

    `first`: so many fitting frames of a connection pass before. `times`: at most so often in all, 0 for
    no limit. It is on from `from_ms` to `until_ms` of the model's elapsed time; 0 is no end.
    """

    venue: str
    kind: str
    what: tampering.What = "book"
    market: str = ""
    chance: float = 1.0
    first: int = 0
    times: int = 0
    number: int = 1
    seconds: float = 0.0
    text: str = ""
    from_ms: int = 0
    until_ms: int = 0


class Bytes(NamedTuple):
    """Bytes for the line itself, below the protocol."""

    data: bytes


class Drip(NamedTuple):
    """Bytes for the line itself, one every `pause_s` seconds."""

    data: bytes
    pause_s: float


class Cut(NamedTuple):
    """The end of the line without a goodbye: RST, or else FIN."""

    hard: bool


class Deaf(NamedTuple):
    """Nothing is read from this client any more."""


class Hush(NamedTuple):
    """A command that the session shall obey without its answer being sent."""

    command: str


Sent = Frame | Bytes | Drip | Cut | Deaf | Hush


class Refusal(NamedTuple):
    """The answer to a handshake; status 0 is no answer at all."""

    status: int
    headers: dict[str, str]


class Armed:
    """A fault that is set, and how often it has acted."""

    __slots__ = ("acted", "fault", "ident")

    def __init__(self, fault: Fault, ident: int) -> None:
        """Not acted yet."""
        self.fault, self.ident = fault, ident
        self.acted = 0


class Faults:
    """All faults of a server. `acted` counts what was done, by kind."""

    def __init__(self, seed: int = 0) -> None:
        """No fault is set, and none ordered."""
        self.acted: Counter[str] = Counter()
        self._seed = seed
        self._armed: list[Armed] = []
        self._ordered: list[Armed] = []
        self._idents = itertools.count(1)
        self._streams = itertools.count(1)
        self._random = Random(f"{seed}/handshakes")

    def set(self, faults: Iterable[Fault]) -> None:
        """Have these faults and no others, but for those that were ordered. Raises ValueError for one that
        cannot be.
        """
        self._armed = self._arm(faults)

    def order(self, faults: Iterable[Fault]) -> None:
        """Beside those that are set have these, in place of what was ordered before. Raises ValueError."""
        self._ordered = self._arm(faults)

    def _arm(self, faults: Iterable[Fault]) -> list[Armed]:
        wanted = list(faults)
        for fault in wanted:
            _check(fault)
        return [Armed(fault, next(self._idents)) for fault in wanted]

    def armed(self, venue: str, now_ms: int) -> list[Armed]:
        """The faults that may act at a venue now."""
        all_of_them = (*self._armed, *self._ordered)
        return [each for each in all_of_them if each.fault.venue == venue and _is_on(each, now_ms)]

    def acts(self, each: Armed, random: Random) -> bool:
        """Whether a fault acts, drawn by its chance; counted if so."""
        if each.fault.times and each.acted >= each.fault.times:
            return False
        if each.fault.chance < 1.0 and random.random() >= each.fault.chance:
            return False
        each.acted += 1
        self.acted[each.fault.kind] += 1
        return True

    def handshake(self, venue: str, now_ms: int) -> Refusal | None:
        """How a handshake is refused; None when it is not."""
        for each in self.armed(venue, now_ms):
            fault = each.fault
            if fault.kind not in HANDSHAKE_KINDS or not self.acts(each, self._random):
                continue
            if fault.kind == "no_handshake":
                return Refusal(0, {})
            headers = {"Retry-After": f"{fault.seconds:g}"} if fault.seconds else {}
            if fault.text:
                headers["Location"] = fault.text
            return Refusal(fault.number, headers)
        return None

    def random(self, venue: str) -> Random:
        """Chance for a new connection to a venue."""
        return Random(f"{self._seed}/{venue}/{next(self._streams)}")


def _is_on(each: Armed, now_ms: int) -> bool:
    fault = each.fault
    in_time = fault.from_ms <= now_ms and (not fault.until_ms or now_ms < fault.until_ms)
    return in_time and (not fault.times or each.acted < fault.times)


def _check(fault: Fault) -> None:
    if fault.venue not in VENUES:
        raise ValueError(f"no venue {fault.venue!r} is simulated; there are {', '.join(VENUES)}")
    if fault.kind not in KINDS:
        raise ValueError(f"no fault {fault.kind!r} is known; there are {', '.join(KINDS)}")
    if fault.kind in ("pause", "resume", "result", "tick") and not fault.market:
        raise ValueError(f"the fault {fault.kind!r} needs a market")
    only = {"status": "kraken", "error": "kalshi", "checksum": "kraken", "no_book": "polymarket"}
    if only.get(fault.kind, fault.venue) != fault.venue:
        raise ValueError(f"the fault {fault.kind!r} exists at {only[fault.kind]} only")
