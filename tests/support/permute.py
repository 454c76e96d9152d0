"""A line that drops, doubles, swaps, cuts and spoils a tape's frames, with our codec and books at its end.

In: a tape with its truth, and faults. Out: an AssertionError as soon as a LIVE book is wrong. What is
right: of Kalshi and Coinbase the book after the newest frame that came, of Kraken its ten best levels
after the newest update that came, of Polymarket no best price that contradicts the one stated last. A
frame that came damaged may count or not, since damage can lie where nobody reads.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from pipeline.feed.book import Book, BookKeeper
from pipeline.model import BookState
from pipeline.venues.codec import Codec
from pipeline.venues.registry import CODECS
from shm.books import BOOK_HEAD_WORDS
from tests.support.model_book import Ladders, Model
from tests.support.tapes import Tape
from tests.support.worlds import decimal, snapshot_text

LINE_FAULTS = ("drop", "double", "swap", "cut", "break", "field")
SHOWN = 7  # levels a side in the row for shared memory: fewer than there are
CHECKED = 10  # Kraken's checksum covers so many levels a side; damage below them may stay a while
NUMBER_KEY = {"kalshi": "seq", "coinbase": "sequence_num"}
# Fields whose absence, by the venue's own description, means an empty side.
MAY_BE_MISSING = {"yes_dollars_fp", "no_dollars_fp"}
_MOMENT = re.compile(r'"timestamp": ?"([-\d]+T[\d:.]+Z)"')
NAMES = {"market_ticker", "product_id", "symbol", "asset_id"}


class Fault(NamedTuple):
    """What befalls the frame number `at`; `pick` chooses among the ways."""

    at: int
    kind: str
    pick: int


def random_faults(
    chance: random.Random, first: int, count: int, rate: float, kinds: Iterable[str]
) -> list[Fault]:
    """Faults for about `rate` of the frames from `first` on, in bursts as well as alone."""
    named, faults, index = list(kinds), [], first
    while index < count:
        if chance.random() < rate:
            for _ in range(chance.choice((1, 1, 1, 2, 4))):
                faults.append(Fault(index, chance.choice(named), chance.randrange(1 << 30)))
                index += 1
        index += 1
    return [fault for fault in faults if fault.at < count]


def order(count: int, faults: Iterable[Fault]) -> Iterator[tuple[int, Fault | None]]:
    """Indexes in the order in which the line brings them, with the damage to each."""
    by_index = {fault.at: fault for fault in faults}
    late: int | None = None
    for index in range(count):
        fault = by_index.get(index)
        kind = fault.kind if fault is not None else ""
        if kind == "swap" and late is None and index + 1 < count:
            late = index
            continue
        if kind == "double":
            yield index, None
        if kind != "drop":
            yield index, fault if kind in {"cut", "break", "field", "flip"} else None
        if late is not None:
            yield late, None
            late = None


def damaged(text: str, fault: Fault) -> bytes:
    """The frame as it comes out of a bad line."""
    raw, chance = text.encode(), random.Random(fault.pick)
    if fault.kind == "cut":
        return raw[: chance.randrange(len(raw.rstrip()))]
    if fault.kind == "flip":
        if b'"bids"' not in raw:
            return raw
        at = chance.choice([found.start() for found in re.finditer(rb"(?<![\w/-])[\d.]+", raw)] or [0])
        run = re.compile(rb"[\d.]+").match(raw, at)
        spots = [spot for spot in range(at, run.end() if run else at) if raw[spot : spot + 1].isdigit()]
        if not spots:
            return raw
        spot = chance.choice(spots)
        digit = chance.choice([d for d in b"0123456789" if d != raw[spot]])
        return raw[:spot] + bytes([digit]) + raw[spot + 1 :]
    if fault.kind == "break":
        spot = chance.randrange(len(raw.rstrip()))
        turned = raw[spot:] + raw[:spot] if spot else b"}{"
        added = [raw[:spot] + more + raw[spot:] for more in (b"\xff\x00", b'"')]
        return chance.choice([*added, turned, raw[::-1], b"", b"\x00\x01", b"<html>"])
    return _without_a_field(text, fault.pick)


def _without_a_field(text: str, pick: int) -> bytes:
    """One field of the JSON gone, or of a type that it cannot have."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return b"{"
    spots = list(_fields(parsed))
    if not spots:
        return b"[[]"
    holder, key = spots[pick % len(spots)]
    chance = random.Random(pick)
    if pick // len(spots) % 2:
        del holder[key]
    else:
        # Another market's name is nothing that anybody could notice.
        words = () if key in NAMES else ("x",)
        empty = {} if isinstance(holder[key], list) else []  # a list without its items may be legal
        holder[key] = chance.choice((None, empty, True, {"a": [1]}, -1, 1e300, *words))
    return json.dumps(parsed).encode()


def count_fields(text: str) -> int:
    """How many fields a fault can take from a frame: so many picks spoil each, as many more drop each."""
    return len(list(_fields(json.loads(text))))


def _fields(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in MAY_BE_MISSING:
                yield value, key
            yield from _fields(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(inner)


def ladders_of(book: Book) -> Ladders:
    """Our book in Decimals; its row for shared memory must show the same best levels."""
    scale = book.scale
    assert scale is not None, f"{book.market} is {book.state} without a scale"
    prices, sizes = scale.price_decimals, scale.size_decimals
    bids, asks = book.top()
    for side, first in ((bids, BOOK_HEAD_WORDS), (asks, BOOK_HEAD_WORDS + 2 * book.shown)):
        flat = [word for level in side[: book.shown] for word in level]
        flat += [0] * (2 * book.shown - len(flat))
        assert list(book.page[first : first + 2 * book.shown]) == flat, f"{book.market}: the row differs"
    return (
        tuple((decimal(ticks, prices), decimal(units, sizes)) for ticks, units in bids),
        tuple((decimal(ticks, prices), decimal(units, sizes)) for ticks, units in asks),
    )


class Line:
    """A venue that plays a tape, a bad line, our codec and books; every step is checked.

    `subscribed` lets the codec ask for the markets first, as a feed does; else it takes all that comes,
    as `run.py books` does.
    """

    def __init__(self, tape: Tape, chance: random.Random, *, subscribed: bool = False) -> None:
        self.tape, self.chance = tape, chance
        self.codec: Codec = CODECS[tape.venue]({})
        self.decode = self.codec.decode
        self.keeper = BookKeeper(tape.venue, shown=SHOWN)
        self.markets = sorted({market for about in tape.about for market in about})
        self._subscribed = subscribed
        if subscribed:
            self.codec.subscribe(self.markets)
        self.live_steps = self.steps = self.repairs = 0
        self.sent = -1
        self._arrived: dict[str, int] = {}  # by group: the truth that a LIVE book must have
        self._perhaps: dict[str, set[int]] = {}  # by group: damaged frames since
        self._stated: dict[str, tuple[Decimal | None, Decimal | None]] = {}
        self._shifts: list[tuple[int, str, int]] = []  # from the frame after, group, by how much

    def play(self, faults: Iterable[Fault], repair_rate: float = 0.0) -> None:
        """The whole tape through the bad line; with a rate above 0 lost books are repaired now and then."""
        for index, fault in order(len(self.tape.frames), faults):
            self.play_one(index, fault)
            if self.keeper.resync and self.chance.random() < repair_rate:
                spoilt = self.chance.random() < 0.15
                kind = self.chance.choice(("cut", "break", "flip")) if spoilt else ""
                kind = "cut" if kind == "flip" and self.tape.venue != "kraken" else kind
                self.repair(self.chance.choice(sorted(self.keeper.resync)), kind)

    def play_one(self, index: int, fault: Fault | None = None) -> None:
        """One frame of the tape arrives; if it is the last of its batch, the batch is judged."""
        self.deliver(index, fault)
        if self.tape.venue == "polymarket" and index not in self.tape.within_batch:
            self.settle()

    def deliver(self, index: int, fault: Fault | None = None) -> None:
        """One frame of the tape arrives, damaged or not."""
        tape, text = self.tape, self._renumbered(index)
        self.sent = max(self.sent, index)
        raw = text.encode() if fault is None else damaged(text, fault)
        intact = raw == text.encode()
        for group in tape.groups[index]:
            if not intact:
                self._perhaps.setdefault(group, set()).add(index)
            else:
                self._reach(group, max(self._arrived.get(group, -1), index))
        if tape.venue == "polymarket":
            self._note(text, tape.about[index], intact=intact)
        self._take(raw)

    def _reach(self, group: str, index: int) -> None:
        self._arrived[group] = index
        self._perhaps.pop(group, None)

    def _renumbered(self, index: int) -> str:
        """The frame with the number that it has after the repairs sent before it."""
        text, key = self.tape.frames[index], NUMBER_KEY.get(self.tape.venue)
        if key is None or not self.tape.groups[index]:
            return text
        groups = self.tape.groups[index]
        shift = sum(by for at, group, by in self._shifts if at < index and group in groups)
        number = self.tape.numbers[index] + shift
        return re.sub(rf'("{key}": ?)\d+', rf"\g<1>{number}", text, count=1) if shift else text

    def renumber(self, group: str, by: int) -> None:
        """What the venue sends from now on in this group has numbers so much higher, or lower."""
        self._shifts.append((self.sent, group, by))

    def repair(self, market: str, kind: str = "") -> None:
        """The venue sends a fresh whole book of `market` as it is now."""
        tape = self.tape
        if self.sent < 0 or market not in tape.truth[self.sent]:
            return
        if self._subscribed:
            self.codec.resync([market])
        group = tape.home[market]
        number = sid = 0
        if tape.venue in NUMBER_KEY:
            last = max((i for i in range(self.sent + 1) if group in tape.groups[i]), default=-1)
            number = tape.numbers[last] + 1 + sum(by for _, held, by in self._shifts if held == group)
            sid = int(group.split()[1]) if tape.venue == "kalshi" else 0
            self.renumber(group, 1)
        book, moment = tape.truth[self.sent][market], self.moment()
        text = snapshot_text(tape.venue, market, book, number, sid, moment=moment)
        self.repairs += 1
        if kind:
            self._perhaps.setdefault(group, set()).add(self.sent)
            self._take(damaged(text, Fault(0, kind, self.chance.randrange(1 << 30))))
            return
        self._reach(group, self.sent)
        if tape.venue == "polymarket":
            self._note(text, frozenset([market]), intact=True)
        self._take(text.encode())

    def moment(self) -> str:
        """The time of the newest frame that was sent; "" where the venue's repairs do not need it."""
        if self.tape.venue != "kraken":
            return ""
        before = (_MOMENT.search(text) for text in reversed(self.tape.frames[: self.sent + 1]))
        return next((found[1] for found in before if found), "")

    def heal(self) -> None:
        """Repair whatever is lost, with a line that is good again; then every book is LIVE and right."""
        for market in self.markets * 2:
            self.repair(market)
        assert not self.lost(), f"{self.lost()} stay lost"
        for market in self.markets:
            right = ladders_of(self.keeper.books[market]) == self.tape.truth[self.sent][market]
            assert right, f"{market} is LIVE and wrong after its repair"

    def lost(self) -> list[str]:
        """The markets of the tape that have no LIVE book."""
        books = self.keeper.books
        return [name for name in self.markets if name not in books or books[name].state != BookState.LIVE]

    def _take(self, raw: bytes) -> None:
        touched = self.keeper.apply_frame(self.decode(raw), 0)
        self.steps += 1
        suspects = {*touched, *self.markets} if self.tape.venue != "polymarket" else set(touched)
        for market in suspects:
            book = self.keeper.books.get(market)
            if book is not None and book.state == BookState.LIVE:
                self.live_steps += 1
                self.check(book)

    # What must hold

    def check(self, book: Book) -> None:
        """A LIVE book is right."""
        market, tape = book.market, self.tape
        ours = ladders_of(book)
        check_sound(ours, lock_allowed=tape.venue == "polymarket")
        if tape.venue == "polymarket":
            return
        group = tape.home.get(market)
        assert group is not None, f"{market} is LIVE and was never told of"
        right = {self._arrived.get(group, -1), *self._perhaps.get(group, ())} - {-1}
        held = [tape.truth[index].get(market) for index in sorted(right)]
        if tape.venue == "kraken":
            ours = _best(ours)
            held = [ladders and _best(ladders) for ladders in held]
        assert any(ours == ladders for ladders in held), (
            f"{market} is LIVE and wrong after frame {self.sent} of the tape: {_difference(ours, held[0])}"
        )

    def _note(self, text: str, about: frozenset[str], *, intact: bool) -> None:
        """Remember what Polymarket states; what came damaged states nothing that we know."""
        for message in Model("polymarket").messages(text):
            known = intact and message.kind == "change"
            self._stated[message.market] = message.best if known else (None, None)

    def settle(self) -> None:
        """At the end of a batch no LIVE Polymarket book contradicts what was stated last."""
        self.keeper.settle()
        for market, stated in self._stated.items():
            book = self.keeper.books.get(market)
            if book is None or book.state != BookState.LIVE:
                continue
            best = [side[0][0] if side else Decimal(0) for side in ladders_of(book)]
            for mine, theirs in zip(best, stated, strict=True):
                assert theirs is None or mine == theirs, f"{market} is LIVE with best {best}, stated {stated}"


def _best(ladders: Ladders) -> Ladders:
    return ladders[0][:CHECKED], ladders[1][:CHECKED]


def check_sound(ladders: Ladders, *, lock_allowed: bool = False) -> None:
    """Levels are above 0, sorted, each price once, and bids lie below asks."""
    bids, asks = ladders
    for side, falling in ((bids, True), (asks, False)):
        prices = [price for price, _ in side]
        assert all(price > 0 and size > 0 for price, size in side)
        assert prices == sorted(set(prices), reverse=falling)
    if bids and asks:
        assert bids[0][0] < asks[0][0] or (lock_allowed and bids[0][0] == asks[0][0])


def _difference(ours: Ladders, truth: Ladders | None) -> str:
    if truth is None:
        return "there is no such book"
    lines = []
    for name, mine, theirs in zip(("bids", "asks"), ours, truth, strict=True):
        missing, extra = set(theirs) - set(mine), set(mine) - set(theirs)
        lines.append(f"{name} lack {sorted(missing)[:3]} and have {sorted(extra)[:3]}")
    return "; ".join(lines)
