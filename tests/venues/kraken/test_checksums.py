"""Kraken's checksum: the venue's own examples come out right, and no altered digit ever stays LIVE."""

from __future__ import annotations

import random
import re
import zlib

import pytest

from pipeline.feed.book import BookKeeper
from pipeline.model import BookState, Scale
from pipeline.venues.kraken.books import KrakenCodec

Levels = list[tuple[str, str]]

# Kraken's guide to the v2 checksum.
GUIDE_ASKS = """45285.2/0.00100000 45286.4/1.54571953 45286.6/1.54571109 45289.6/1.54560911
    45290.2/0.15890660 45291.8/1.54553491 45294.7/0.04454749 45296.1/0.35380000 45297.5/0.09945542
    45299.5/0.18772827"""
GUIDE_BIDS = """45283.5/0.10000000 45283.4/1.54582015 45282.1/0.10000000 45281.0/0.10000000
    45280.3/1.54592586 45279.0/0.07990000 45277.6/0.03310103 45277.5/0.30000000 45277.3/1.54602737
    45276.6/0.15445238"""
# Kraken's page of the book channel: printed without its trailing zeros, so it needs the precision.
PAGE_ASKS = """0.5668/4410.79769741 0.5669/4655.40412487 0.567/49844.89424998 0.5671/24306.41678
    0.5672/29783.25223475 0.5673/57234.71239278 0.5674/45065.04744 0.5675/5912.76380354
    0.5676/42514.92434778 0.5677/36304.0847022"""
PAGE_BIDS = """0.5666/4831.75496356 0.5665/6658.22734739 0.5664/18724.91513344 0.5663/11563.92544914
    0.5662/14006.65365711 0.5661/17454.85679807 0.566/18097.1547 0.5659/33644.89175666 0.5658/148.3464
    0.5657/606.70854372"""
THIN_ASKS = "62710.5/0.93111634 62710.6/0.50000000 62711.0/1.20000000"
THIN_BIDS = "62710.4/0.01000000 62709.1/2.00000000"
# Kraken's guide to the v1 checksum, which is the same sum.
V1_ASKS = " ".join(f"0.0{5005 + 5 * step}/0.00000500" for step in range(10))
V1_BIDS = " ".join(
    f"0.0{price:04}/0.00000500" for price in (5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950)
)


def levels(text: str) -> Levels:
    return [(price, size) for price, _, size in (level.partition("/") for level in text.split())]


def side_text(side: Levels) -> str:
    return ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in side)


def frame(kind: str, bids: Levels, asks: Levels, checksum: int) -> bytes:
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"A/B","bids":[{side_text(bids)}],'
        f'"asks":[{side_text(asks)}],"checksum":{checksum},"timestamp":"2026-11-02T08:15:30.25075Z"}}]}}'
    ).encode()


def feed(scale: Scale) -> tuple[KrakenCodec, BookKeeper]:
    return KrakenCodec({"A/B": scale}), BookKeeper("kraken", {"A/B": scale})


@pytest.mark.parametrize(
    ("asks", "bids", "scale", "checksum"),
    [
        (GUIDE_ASKS, GUIDE_BIDS, Scale(1, 8), 3310070434),
        (PAGE_ASKS, PAGE_BIDS, Scale(4, 8), 2439117997),
        (THIN_ASKS, THIN_BIDS, Scale(1, 8), 1396696505),
        (V1_ASKS, V1_BIDS, Scale(5, 8), 974947235),
        ("", "", Scale(5, 8), 0),
    ],
    ids=["v2-guide", "book-page", "thin", "v1-guide", "empty"],
)
def test_the_venues_examples(asks: str, bids: str, scale: Scale, checksum: int) -> None:
    """Each published book has its published sum, also where trailing zeros were not printed."""
    codec, keeper = feed(scale)
    keeper.apply_frame(codec.decode(frame("snapshot", levels(bids), levels(asks), checksum)))
    assert (keeper.checksums_ok, keeper.checksums_bad) == (1, 0)
    assert keeper.books["A/B"].state == BookState.LIVE


def test_the_venues_example_of_an_update() -> None:
    """The book page's change of one size leads to its second sum."""
    codec, keeper = feed(Scale(4, 8))
    keeper.apply_frame(codec.decode(frame("snapshot", levels(PAGE_BIDS), levels(PAGE_ASKS), 2439117997)))
    keeper.apply_frame(codec.decode(frame("update", [("0.5657", "1098.3947558")], [], 2114181697)))
    assert (keeper.checksums_ok, keeper.checksums_bad) == (2, 0)


@pytest.mark.parametrize("scale", [Scale(5, 8), Scale(4, 9)])
def test_a_wrong_scale_never_makes_a_live_book(scale: Scale) -> None:
    """Digits padded to another precision give another sum."""
    codec, keeper = feed(scale)
    keeper.apply_frame(codec.decode(frame("snapshot", levels(PAGE_BIDS), levels(PAGE_ASKS), 2439117997)))
    assert keeper.books["A/B"].state == BookState.GAP
    assert keeper.resync == {"A/B"}


class Venue:
    """A plain model of Kraken's side: whole ladders as dicts, frames with the sum of the best ten."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.bids = {1000 - step: 10 + step for step in range(10)}
        self.asks = {1001 + step: 20 + step for step in range(10)}

    def best(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return sorted(self.bids.items(), reverse=True)[:10], sorted(self.asks.items())[:10]

    def frame(self, kind: str, bids: dict[int, int], asks: dict[int, int]) -> bytes:
        best_bids, best_asks = self.best()
        text = "".join(f"{price}{size}" for price, size in [*best_asks, *best_bids])
        wire = [[(f"{p / 10:.1f}", f"{q / 100:.2f}") for p, q in side.items()] for side in (bids, asks)]
        return frame(kind, wire[0], wire[1], zlib.crc32(text.encode()))

    def snapshot(self) -> bytes:
        bids, asks = self.best()
        return self.frame("snapshot", dict(bids), dict(asks))

    def update(self) -> bytes:
        """Change one level; a removed one is replaced by one behind, as in a book cut to ten."""
        side, away = (self.bids, -1) if self.chance.random() < 0.5 else (self.asks, 1)
        changed = {}
        price = self.chance.choice(list(side))
        if self.chance.random() < 0.3:
            del side[price]
            changed[price] = 0
            price = (min(side) if away < 0 else max(side)) + away * self.chance.randint(1, 3)
        side[price] = changed[price] = self.chance.randint(1, 5_000)
        return self.frame("update", *((changed, {}) if away < 0 else ({}, changed)))


@pytest.mark.parametrize("seed", range(6))
def test_a_changed_digit_is_never_live(seed: int) -> None:
    """Any one digit of a level or of the sum changed, in any frame: GAP, or the very book of the venue."""
    venue, (codec, keeper) = Venue(seed), feed(Scale(1, 2))
    chance, caught = random.Random(seed), 0
    keeper.apply_frame(codec.decode(venue.snapshot()))
    for _ in range(150):
        sent = venue.update()
        end = sent.index(b',"timestamp"')
        spot = chance.choice([found.start() for found in re.finditer(rb"\d", sent[:end])])
        digit = chance.choice([d for d in b"0123456789" if d != sent[spot]])
        altered = sent[:spot] + bytes([digit]) + sent[spot + 1 :]
        keeper.apply_frame(codec.decode(altered))
        book = keeper.books["A/B"]
        assert book.state == BookState.GAP or book.top(0) == venue.best()
        caught += book.state == BookState.GAP
        keeper.apply_frame(codec.decode(venue.snapshot()))
        assert keeper.books["A/B"].top(0) == venue.best()
        assert keeper.books["A/B"].state == BookState.LIVE
    assert caught > 100


@pytest.mark.parametrize("seed", range(6))
def test_lost_doubled_and_swapped_updates(seed: int) -> None:
    """After each update a LIVE book is the venue's own, whatever became of those before it."""
    venue, (codec, keeper) = Venue(seed), feed(Scale(1, 2))
    chance = random.Random(seed)
    keeper.apply_frame(codec.decode(venue.snapshot()))
    for _ in range(150):
        fate, sent = chance.choice(["plain", "plain", "double", "lose", "swap"]), [venue.update()]
        before = keeper.books["A/B"].state
        if fate == "swap":
            sent.insert(0, venue.update())
        for text in [] if fate == "lose" else sent * (2 if fate == "double" else 1):
            keeper.apply_frame(codec.decode(text))
        book = keeper.books["A/B"]
        if fate in {"plain", "double"}:
            assert book.state == BookState.GAP or book.top(0) == venue.best()
        if fate == "double" and before == BookState.LIVE and keeper.checksums_bad == 0:
            assert book.state == BookState.LIVE
        if book.state == BookState.GAP:
            keeper.apply_frame(codec.decode(venue.snapshot()))
            assert keeper.books["A/B"].state == BookState.LIVE
    assert keeper.checksums_bad > 10
