"""A fuzzer of venue frames that keeps their envelope, and an oracle that follows what was accepted.

In: a world (worlds.py) and a random generator. Out: frames, most of them valid JSON of the venue's own
shape with fields, order or numbers changed; then an AssertionError when our codec accepts what cannot be,
when a LIVE book is not what the plain model says, or when a row in shared memory is not the book.

The oracle lets our codec decide what to accept and what to refuse. What was accepted, the model reads
for itself, from the JSON and in Decimals.
"""

from __future__ import annotations

import random
import re
from collections import Counter, deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pipeline.feed.book import BookKeeper
from pipeline.feed.order_book import Book
from pipeline.feed.publisher import Publisher
from pipeline.model import INT64_MAX, BookState, Scale
from pipeline.venues.codec import (
    Bad,
    Change,
    Event,
    Gap,
    Ignored,
    Listed,
    Settled,
    Snapshot,
    Status,
    Subscribed,
)
from pipeline.venues.registry import CODECS
from shm.books import BookReader
from tests.support.model_book import Message, Model, kraken_checksum, loads
from tests.support.permute import check_sound, ladders_of
from tests.support.worlds import WORLDS, World

KINDS = (Bad, Change, Gap, Ignored, Listed, Settled, Snapshot, Status, Subscribed)
ENVELOPES = {
    "coinbase": ("channel", "type"),
    "kalshi": ("type",),
    "kraken": ("channel", "method"),
    "polymarket": ("event_type", "price_changes", "bids"),
}

# Tokens that stand where a value stood. Those that are JSON keep the frame valid.
_TEXTS = (
    "NaN inf -Infinity -0 -0.5 -1 0 0.0 1 1.0 1.5 5 1e30 1e-30 1e999 0.33333333333333333333 0.123456789"
    " 99999999999999999999 9223372036854775807 .5 5e-1 0x1p3 1_0 ٣ ０.５ . - yes 0.5e +0.5 \\ud800 \\u0000"
)
_TOKENS = "null true false [] {} [[]] [{}] -1 0 1 1.5 1e30 1e-30 1e400 -0.0 5e-06 18446744073709551616"
NASTY = (
    *(f'"{text}"' for text in _TEXTS.split()),
    *_TOKENS.split(),
    '""',
    '" 0.5"',
    '["0.5","1"]',
    '{"a":{"b":[1]}}',
    '"' + "9" * 5000 + '"',
    "9" * 5000,
    "0." + "3" * 5000,
    "[" * 300 + "]" * 300,
)
_DEEP = ("[" * 10_000 + "]" * 10_000, '{"a":' * 10_000)
BROKEN = ("NaN", "Infinity", "-", "01", "0x10", "'a'", *_DEEP, "", "{", '"')
WHOLE = (b"", b" ", b"\x00", b"\xff\xfe{}", b'""', *b"null [] {} [[]] [null] 5 PONG <html>".split())

# What a plain reader of JSON meets in a frame that is spoilt.
UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, ArithmeticError)

_VALUES = re.compile(r'"(\w+)": ?("(?:[^"\\]|\\.)*"|-?[\d.]+(?:[eE][-+]?\d+)?|true|false|null)')
_NUMBERS = re.compile(r'"(\d*\.?\d+)"|(?<=[:\s])(\d+\.\d+)')
_SEQUENCE = re.compile(r'("(?:seq|sequence_num|timestamp|checksum|sid)": ?"?)(\d+)')


class Fuzzer:
    """Frames of a world, mostly changed. `kind` says what was done to the frame given last."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world, self.chance = world, chance
        self.kind = ""
        self._late: list[str] = []
        self._held: list[str] = []

    def frames(self) -> Iterator[bytes]:
        """The opening, then frames for ever. Whoever wants a snapshot puts its market into `ask`."""
        self._late = self.world.opening()
        while True:
            text = self._late.pop(0) if self._late else self._next()
            self.kind, raw = self._spoil(text)
            yield raw

    def ask(self, market: str) -> None:
        """The venue will send a whole book soon."""
        if len(self._late) < 8 and market in self.world.ladders:
            self._late.append(self.world.snapshot(market))

    def begin_again(self) -> None:
        """A new connection's first frames."""
        self._late = self.world.opening()

    def _next(self) -> str:
        """The world's next frame; sometimes an older one in its place, which is then late or lost."""
        text = self.world.step()
        luck = self.chance.random()
        if luck < 0.03:
            self._held.append(text)
            text = self.world.step()
        if luck > 0.98 and self._held:
            self._late.append(self._held.pop(0))
        del self._held[:-4]
        return text

    def _spoil(self, text: str) -> tuple[str, bytes]:
        chance, luck = self.chance, self.chance.random()
        if luck < 0.22:
            return "sound", text.encode()
        if luck < 0.34:
            return "respelt", self._respell(text).encode()
        if luck < 0.44:
            return "extra", self._extra(text).encode()
        if luck < 0.50:
            self._late.insert(0, text)
            return "doubled", text.encode()
        if luck < 0.62:
            return "plausible", self._plausible(text).encode()
        if luck < 0.78:
            return "nasty", self._replace(text, chance.choice(NASTY)).encode()
        if luck < 0.84:
            return "missing", self._remove(text).encode()
        if luck < 0.89:
            found = list(_SEQUENCE.finditer(text))
            at = chance.choice(found) if found else None
            step = chance.choice((-2, -1, 1, 2, 1000, -(10**6), 8 * 10**12, 2**60))
            if at is None:
                return "sound", text.encode()
            return "number", f"{text[: at.start(2)]}{int(at[2]) + step}{text[at.end(2) :]}".encode()
        if luck < 0.91:
            return "huge", self._repeat(text).encode()
        if luck < 0.94:
            return "broken", self._replace(text, chance.choice(BROKEN)).encode()
        return "bytes", self._bytes(text.encode())

    def _value(self, text: str) -> re.Match[str] | None:
        found = list(_VALUES.finditer(text))
        return self.chance.choice(found) if found else None

    def _replace(self, text: str, token: str) -> str:
        at = self._value(text)
        return token if at is None else text[: at.start(2)] + token + text[at.end(2) :]

    def _remove(self, text: str) -> str:
        """A field goes; so does the comma after or before it."""
        at = self._value(text)
        if at is None:
            return "{}"
        before, after = text[: at.start()].rstrip(), text[at.end() :].lstrip()
        if after[:1] == ",":
            return before + after[1:]
        return before.removesuffix(",") + after

    def _extra(self, text: str) -> str:
        """Fields that nobody knows, the same field twice, or other white space."""
        chance, at = self.chance, self._value(text)
        if at is None or chance.random() < 0.2:
            return f" {text}\n\t".replace(",", " ,\r\n", 3)
        twice = f'"{at[1]}":{at[2] if chance.random() < 0.5 else chance.choice(NASTY)},'
        unknown = f'"zz{chance.randrange(99)}":{chance.choice(NASTY)},'
        added = twice if chance.random() < 0.3 else unknown
        return text[: at.start()] + added + text[at.start() :]

    def _respell(self, text: str) -> str:
        """The same numbers in other words."""

        def other(found: re.Match[str]) -> str:
            number = found[1] or found[2]
            if self.chance.random() < 0.6 or "." not in number:
                return found[0]
            longer = f"0{number}" if found[1] else number
            word = self.chance.choice([number + "0", number.rstrip("0") or "0", longer, number + "e0"])
            return f'"{word}"' if found[1] else word + ("0" if word[-1] == "." else "")

        return _NUMBERS.sub(other, text)

    def _plausible(self, text: str) -> str:
        """One digit of a price or size is another."""
        found = list(_NUMBERS.finditer(text))
        if not found:
            return text
        at = self.chance.choice(found)
        spot, digit = self.chance.randrange(at.start(), at.end()), str(self.chance.randrange(10))
        return text[:spot] + digit + text[spot + 1 :] if text[spot].isdigit() else text

    def _repeat(self, text: str) -> str:
        """One level, many times over."""
        found = list(re.finditer(r'\{"[^{}]*\}|\["[^\[\]]*"\]', text))
        if not found:
            return text
        at = self.chance.choice(found)
        return text[: at.end()] + f",{at[0]}" * self.chance.choice((1, 2, 400)) + text[at.end() :]

    def _bytes(self, raw: bytes) -> bytes:
        chance, spot = self.chance, self.chance.randrange(len(raw))
        ways = (
            lambda: raw[:spot],
            lambda: raw[:spot] + bytes([chance.randrange(256)]) + raw[spot + 1 :],
            lambda: b"\xef\xbb\xbf" + raw,
            lambda: raw[:spot] + b"\xff\xc0" + raw[spot:],
            lambda: raw + raw,
            lambda: b"[" + raw + b"," + raw + b"]",
            lambda: chance.choice(WHOLE),
            lambda: raw[spot:],
        )
        return chance.choice(ways)()


def numbered(venue: str, frame: dict[str, Any]) -> tuple[str, int]:
    """The count that a frame belongs to, "" for none, and its number."""
    if venue not in {"coinbase", "kalshi"}:
        return "", 0
    number = frame.get("sequence_num" if venue == "coinbase" else "seq")
    group = "connection" if venue == "coinbase" else f"sid {frame.get('sid')}"
    return (group, int(number)) if isinstance(number, Decimal) and number.is_finite() else ("", 0)


class Oracle:
    """Our codec and books under fuzz, with the plain model and shared memory beside them."""

    def __init__(
        self,
        venue: str,
        chance: random.Random,
        publisher: Publisher | None = None,
        reader: BookReader | None = None,
    ) -> None:
        self.venue, self.chance = venue, chance
        self.world = WORLDS[venue](chance)
        self.fuzzer = Fuzzer(self.world, chance)
        self.counts: Counter[str] = Counter()
        self._publisher, self._reader = publisher, reader
        self._rows: dict[str, int] = {}
        if publisher is not None and reader is not None:
            publisher.want(self.world.decimals, 1)
            self._rows = {row.market: index for index, row in reader.directory.rows()}
        self._connect()

    def _connect(self) -> None:
        """A new connection: nothing is known."""
        scales = {}
        if self.venue == "kraken":
            scales = {market: Scale(*decimals) for market, decimals in self.world.decimals.items()}
        self.codec = CODECS[self.venue](scales)
        if self.chance.random() < 0.7:
            self.codec.subscribe(list(self.world.decimals))
        shown = 0 if self._reader is None else self._reader.depth
        self.keeper = BookKeeper(self.venue, scales, shown=shown)
        self.model = Model(self.venue)
        self.decode = self.codec.decode
        self._numbers: dict[str, deque[int]] = {}
        self.fuzzer.begin_again()

    def run(self, count: int) -> None:
        """So many frames, on several connections one after another."""
        frames = self.fuzzer.frames()
        for number in range(count):
            if number % 1500 == 1499:
                self._connect()
            self.step(next(frames))
            if self.keeper.resync and self.chance.random() < 0.4:
                self.fuzzer.ask(self.chance.choice(sorted(self.keeper.resync)))

    def step(self, raw: bytes) -> None:
        """One frame: decode, apply, compare, and now and then publish."""
        self.counts["frames"] += 1
        before = {name: book.scale for name, book in self.keeper.books.items()}
        events = self.decode(raw)
        assert events and all(isinstance(event, KINDS) for event in events)
        touched = self.keeper.apply_frame(events, 0)
        self._said = self._read(raw)
        for event in events:
            self._follow(event, before)
        self._count(events)
        self.counts["applied"] += any(isinstance(event, Snapshot | Change) for event in events)
        self.counts["bad"] += any(isinstance(event, Bad) for event in events)
        self.counts["ignored"] += any(isinstance(event, Ignored) for event in events)
        named = [event.market for event in events if isinstance(event, Snapshot | Change)]
        for market in {*touched, *named}:
            book = self.keeper.books.get(market)
            if book is not None:
                self._compare(book)
                if self._publisher is not None and self.counts["frames"] % 8 == 0:
                    self._publish(book)
        if self.venue == "polymarket" and self.chance.random() < 0.3:
            for market in self.keeper.settle():
                self._compare(self.keeper.books[market])

    def _read(self, raw: bytes) -> list[Message] | None:
        """What the model reads in the frame, None where it reads nothing; counts right envelopes."""
        self._numbered = ("", 0)
        try:
            text = raw.decode("utf-8", "replace")
            parsed = loads(text)
            first = parsed[0] if isinstance(parsed, list) and parsed else parsed
            if isinstance(first, dict) and any(key in first for key in ENVELOPES[self.venue]):
                self.counts["right envelope"] += 1
                self.counts["right envelope, changed"] += self.fuzzer.kind != "sound"
            self._numbered = numbered(self.venue, first) if isinstance(first, dict) else ("", 0)
            return list(self.model.messages(text))
        except (*UNREADABLE, RecursionError, StopIteration):
            return None

    def _count(self, events: list[Event]) -> None:
        """A change is accepted only where its number follows one that came just before."""
        group, number = self._numbered
        changed = any(isinstance(event, Change) for event in events)
        has_books = changed or any(isinstance(event, Snapshot | Gap) for event in events)
        if not group or not (has_books or group in self._numbers):
            return
        recent = self._numbers.setdefault(group, deque(maxlen=4))
        if recent and changed and not any(isinstance(event, Gap) for event in events):
            assert number - 1 in recent, f"number {number} was accepted after {list(recent)}"
        recent.append(number)

    def _follow(self, event: Event, before: dict[str, Scale | None]) -> None:
        """Apply to the model what our codec accepted, as the model reads it."""
        books, said = self.model.books, self._said
        if isinstance(event, Gap) or (isinstance(event, Bad) and event.lost):
            for market in event.markets or tuple(books):
                books.pop(market, None)
        elif isinstance(event, Listed):
            listed = event.market
            if before.get(listed.market, listed.scale) != listed.scale:
                books.pop(listed.market, None)
        elif isinstance(event, Snapshot | Change):
            assert said is not None, f"accepted what is no JSON: {event!r:.200}"
            at = next((i for i, message in enumerate(said) if message.market == event.market), None)
            assert at is not None, f"accepted what nobody said: {event!r:.200}"
            message = said.pop(at)
            if isinstance(event, Snapshot):
                message = message._replace(kind="snapshot", depth=event.depth)
            try:
                self.model.apply(message)
            except ValueError as error:
                raise AssertionError(f"accepted nonsense: {error}: {event!r:.200}") from error
            if event.market in books and self.venue == "kraken":
                self._verify(message)

    def _verify(self, message: Message) -> None:
        """Kraken's checksum by the vendor's recipe; without the right one the book is unknown."""
        scale = self.keeper.books[message.market].scale
        assert scale is not None
        steps = [Decimal(1).scaleb(-decimals) for decimals in (scale.price_decimals, scale.size_decimals)]
        sides: list[Any] = [
            tuple((price.quantize(steps[0]), size.quantize(steps[1])) for price, size in side[:10])
            for side in self.model.ladders(message.market)
        ]
        if message.checksum != kraken_checksum(sides[0], sides[1]):
            del self.model.books[message.market]

    def _compare(self, book: Book) -> None:
        assert 0 <= book.venue_ns <= INT64_MAX, f"{book.venue_ns} does not fit into a row"
        if book.state not in {BookState.LIVE, BookState.CROSSED}:
            assert book.top() == ([], [])
            return
        ours = ladders_of(book)
        name = book.market[:30]
        assert book.market in self.model.books, f"{name} is {book.state}, by the model it is unknown"
        assert ours == self.model.ladders(book.market), f"{name} is not what the model says"
        if book.state == BookState.LIVE and not book.unsettled:
            self.counts["live"] += 1
            check_sound(ours, lock_allowed=self.venue == "polymarket")

    def _publish(self, book: Book) -> None:
        """The row in shared memory is the book, cut; integers of the scale, nothing else."""
        row = self._rows.get(book.market)
        if row is None or self._publisher is None or self._reader is None:
            return
        self._publisher.publish(book, 1, 1, tradable=True)
        read = self._reader.get(row)
        assert read is not None
        bids, asks = book.top(self._reader.depth)
        assert (list(read.bids), list(read.asks)) == (bids, asks)
        assert (read.state, read.reason) == (book.state, book.fault)
        self.counts["published"] += 1
