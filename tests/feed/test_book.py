"""Books: what they hold after any sequence of messages, when they are believed, and the counts."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.feed.book import CROSSED_MAX, Book, BookKeeper, Verdict
from pipeline.model import (
    INT64_MAX,
    BookFault,
    BookState,
    Level,
    Market,
    MarketStatus,
    Scale,
    to_units,
)
from pipeline.tape import TapeLine, read
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
from shm.books import BOOK_HEAD_WORDS

EMPTY, LIVE, GAP, CROSSED = BookState.EMPTY, BookState.LIVE, BookState.GAP, BookState.CROSSED
SCALE = Scale(2, 2)


def levels(text: str, scale: Scale) -> list[Level]:
    """Levels from `price/size, price/size`."""
    pairs = [part.strip().split("/") for part in text.split(",")]
    return [
        (to_units(price, scale.price_decimals), to_units(size, scale.size_decimals)) for price, size in pairs
    ]


# The Kraken page's vectors: the vendor's v2 guide (A), its book page (B, and C after an update),
# a thin book (D) and the vendor's v1 guide (E).
A_ASKS = (
    "45285.2/0.00100000, 45286.4/1.54571953, 45286.6/1.54571109, 45289.6/1.54560911,"
    "45290.2/0.15890660, 45291.8/1.54553491, 45294.7/0.04454749, 45296.1/0.35380000,"
    "45297.5/0.09945542, 45299.5/0.18772827"
)
A_BIDS = (
    "45283.5/0.10000000, 45283.4/1.54582015, 45282.1/0.10000000, 45281.0/0.10000000,"
    "45280.3/1.54592586, 45279.0/0.07990000, 45277.6/0.03310103, 45277.5/0.30000000,"
    "45277.3/1.54602737, 45276.6/0.15445238"
)
B_BIDS = (
    "0.5666/4831.75496356, 0.5665/6658.22734739, 0.5664/18724.91513344, 0.5663/11563.92544914,"
    "0.5662/14006.65365711, 0.5661/17454.85679807, 0.566/18097.1547, 0.5659/33644.89175666,"
    "0.5658/148.3464, 0.5657/606.70854372"
)
B_ASKS = (
    "0.5668/4410.79769741, 0.5669/4655.40412487, 0.567/49844.89424998, 0.5671/24306.41678,"
    "0.5672/29783.25223475, 0.5673/57234.71239278, 0.5674/45065.04744, 0.5675/5912.76380354,"
    "0.5676/42514.92434778, 0.5677/36304.0847022"
)
D_ASKS = "62710.5/0.93111634, 62710.6/0.50000000, 62711.0/1.20000000"
D_BIDS = "62710.4/0.01000000, 62709.1/2.00000000"
E_ASKS = ", ".join(f"0.0{5005 + 5 * step}/0.00000500" for step in range(10))
E_BIDS = ", ".join(
    f"0.0{price}/0.00000500" for price in "5000 4995 4990 4980 4975 4970 4965 4960 4955 4950".split()
)


@pytest.mark.parametrize(
    ("scale", "bids", "asks", "checksum"),
    [
        (Scale(1, 8), A_BIDS, A_ASKS, 3310070434),
        (Scale(4, 8), B_BIDS, B_ASKS, 2439117997),
        (Scale(1, 8), D_BIDS, D_ASKS, 1396696505),
        (Scale(5, 8), E_BIDS, E_ASKS, 974947235),
    ],
    ids=["A", "B", "D", "E"],
)
def test_the_vendors_checksums_come_out_of_integers(
    scale: Scale, bids: str, asks: str, checksum: int
) -> None:
    """Each published vector verifies, whatever order the levels came in."""
    book = Book("M", scale)
    down = list(reversed(levels(bids, scale)))
    snapshot = Snapshot("M", down, levels(asks, scale), checksum=checksum, depth=10)
    assert book.apply_snapshot(snapshot) == Verdict.VERIFIED
    assert book.state == LIVE
    assert book.checksum() == checksum


def test_the_vendors_checksum_after_an_update() -> None:
    """Vector C is vector B with one size changed."""
    scale = Scale(4, 8)
    book = Book("M", scale)
    book.apply_snapshot(Snapshot("M", levels(B_BIDS, scale), levels(B_ASKS, scale), depth=10))
    change = Change("M", levels("0.5657/1098.3947558", scale), [], checksum=2114181697)
    assert book.apply_change(change) == Verdict.VERIFIED


def test_the_checksum_covers_ten_levels_of_a_deeper_book() -> None:
    """What lies deeper does not count, and an empty book has checksum 0."""
    asks = levels(A_ASKS, Scale(1, 8))
    book = Book("M", Scale(1, 8))
    bids = levels(A_BIDS, Scale(1, 8))
    book.apply_snapshot(Snapshot("M", [*bids, (1, 7)], [*asks, (10**9, 7)], depth=25))
    assert book.checksum() == 3310070434
    book.apply_snapshot(Snapshot("M", [], [], checksum=0))
    assert book.state == LIVE


def test_a_level_pushed_out_of_depth_is_forgotten() -> None:
    """Without the cut it would come back as a phantom when the best level goes."""
    book = Book("M", SCALE)
    book.apply_snapshot(Snapshot("M", [(30, 1), (20, 1)], [(90, 1), (91, 1)], depth=2))
    book.apply_change(Change("M", [(40, 1)], [(80, 1), (89, 1)]))
    book.apply_change(Change("M", [(40, 0)], [(80, 0)]))
    assert book.top() == ([(30, 1)], [(89, 1)])


def test_top_gives_the_best_levels_first() -> None:
    """A depth of 0 means all."""
    book = Book("M", SCALE)
    book.apply_snapshot(Snapshot("M", [(1, 5), (3, 6), (2, 7)], [(9, 1), (7, 2), (8, 3)]))
    assert book.top(2) == ([(3, 6), (2, 7)], [(7, 2), (8, 3)])
    assert book.top() == book.top(99) == ([(3, 6), (2, 7), (1, 5)], [(7, 2), (8, 3), (9, 1)])


PRICES = st.integers(1, 12)
SIDES = st.lists(st.tuples(PRICES, st.integers(0, 3)), max_size=6)
STEPS = st.lists(st.tuples(PRICES, st.integers(-2, 3)), max_size=4)
MESSAGES = st.lists(
    st.tuples(st.sampled_from(["snapshot", "change", "steps", "void"]), SIDES, SIDES, STEPS, STEPS),
    max_size=25,
)


class Model:
    """A book as two plain dictionaries that are sorted whenever somebody looks."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.state = EMPTY

    def take(self, kind: str, absolute: list[list[Level]], relative: list[list[Level]]) -> None:
        if kind == "snapshot":
            self.sides = ({}, {})
        elif self.state in {EMPTY, GAP}:
            return
        elif kind == "void":
            self.sides, self.state = ({}, {}), GAP
            return
        for side, sizes, steps in zip(self.sides, absolute, relative, strict=True):
            for price, size in steps if kind == "steps" else sizes:
                new = side.get(price, 0) + size if kind == "steps" else size
                if new < 0:
                    self.sides, self.state = ({}, {}), GAP
                    return
                side[price] = new
        bids, asks = self.top()
        self.sides = (dict(bids), dict(asks))
        self.state = CROSSED if bids and asks and bids[0][0] >= asks[0][0] else LIVE

    def top(self) -> tuple[list[Level], list[Level]]:
        keep = self.depth or None
        bids, asks = (sorted((p, s) for p, s in side.items() if s) for side in self.sides)
        return bids[::-1][:keep], asks[:keep]


@settings(max_examples=200, deadline=None)
@given(messages=MESSAGES, depth=st.sampled_from([0, 1, 3, 10]), shown=st.sampled_from([0, 2, 5, 25]))
def test_a_book_is_what_a_plain_model_is(
    messages: list[tuple[str, list[Level], list[Level], list[Level], list[Level]]], depth: int, shown: int
) -> None:
    """After any messages levels and state are those of sorted dictionaries, checksum and page included."""
    book, model = Book("M", SCALE, shown=shown), Model(depth)
    for kind, bids, asks, bid_steps, ask_steps in messages:
        model.take(kind, [bids, asks], [bid_steps, ask_steps])
        if kind == "snapshot":
            book.apply_snapshot(Snapshot("M", bids, asks, depth=depth))
        elif kind == "change":
            book.apply_change(Change("M", bids, asks))
        elif kind == "void":
            book.void(BookFault.WITNESS)
        else:
            book.apply_change(Change("M", bid_steps, ask_steps, relative=True))
        assert (book.state, book.top()) == (model.state, model.top())
        best = [*model.top()[1][:10], *model.top()[0][:10]]
        text = "".join(f"{price}{size}" for price, size in best)
        assert book.checksum() == zlib.crc32(text.encode())
        flat = [[word for level in side[:shown] for word in level] for side in model.top()]
        padded = [[*side, *[0] * (2 * shown - len(side))] for side in flat]
        assert list(book.page[BOOK_HEAD_WORDS:]) == padded[0] + padded[1]


def test_changes_before_the_first_snapshot_are_ignored() -> None:
    """A book is EMPTY until it knows everything."""
    book = Book("M", SCALE)
    assert book.apply_change(Change("M", [(1, 1)], [])) == Verdict.IGNORED
    assert (book.state, book.top()) == (EMPTY, ([], []))


def test_a_snapshot_with_empty_sides_is_live() -> None:
    """An empty side is legal; whether it can be traded is not the book's question."""
    book = Book("M", SCALE)
    book.apply_snapshot(Snapshot("M", [], [(5, 1)]))
    assert book.state == LIVE


@pytest.mark.parametrize("step", [-6, INT64_MAX])
def test_a_step_that_cannot_be_proves_loss(step: int) -> None:
    """Less than nothing, or more than int64 holds: the book is unknown until its snapshot."""
    keeper = BookKeeper("kalshi")
    keeper.apply(Snapshot("M", [(40, 5)], []))
    assert keeper.apply(Change("M", [(40, step)], [], relative=True)) == ["M"]
    book = keeper.books["M"]
    assert (book.state, book.top()) == (GAP, ([], []))
    assert (keeper.desyncs, keeper.gaps, keeper.resync) == (1, 0, {"M"})
    assert keeper.apply(Change("M", [(41, 1)], [], relative=True)) == []
    keeper.apply(Snapshot("M", [(41, 1)], []))
    assert (book.state, book.top(), keeper.resync) == (LIVE, ([(41, 1)], []), set())


def test_a_wrong_checksum_is_a_gap_until_the_next_snapshot() -> None:
    """It is counted once, the levels are gone, and a snapshot is asked for."""
    keeper = BookKeeper("kraken", {"M": SCALE})
    keeper.apply(Snapshot("M", [(40, 5)], [], checksum=zlib.crc32(b"405")))
    assert keeper.apply(Change("M", [(40, 6)], [], checksum=1)) == ["M"]
    assert keeper.apply(Change("M", [(40, 5)], [], checksum=zlib.crc32(b"405"))) == []
    assert keeper.books["M"].state == GAP
    assert (keeper.checksums_ok, keeper.checksums_bad, keeper.resync) == (1, 1, {"M"})


def test_a_wrong_checksum_of_the_first_snapshot_is_a_gap_too() -> None:
    """A book that was never right must not look as if nothing had come."""
    keeper = BookKeeper("kraken", {"M": SCALE})
    keeper.apply(Snapshot("M", [(40, 5)], [], checksum=1))
    assert keeper.books["M"].state == GAP


@pytest.mark.parametrize(
    ("venue", "bid", "state"),
    [("kraken", 50, CROSSED), ("polymarket", 50, LIVE), ("polymarket", 51, CROSSED)],
)
def test_crossed_and_locked_books(venue: str, bid: int, state: BookState) -> None:
    """A book is crossed while bid >= ask; on Polymarket a lock is a matter of course."""
    keeper = BookKeeper(venue)
    keeper.apply(Snapshot("M", [(49, 1)], [(50, 1)]))
    keeper.apply(Change("M", [(bid, 1)], []))
    assert keeper.books["M"].state == state
    keeper.apply(Change("M", [(bid, 0)], []))
    assert keeper.books["M"].state == LIVE


def test_a_book_that_stays_crossed_is_asked_for_again() -> None:
    """After a number of its own messages it will not right itself."""
    keeper = BookKeeper("polymarket")
    keeper.apply(Snapshot("M", [(60, 1)], [(50, 1)]))
    for size in range(2, CROSSED_MAX):
        keeper.apply(Change("M", [(10, size)], []))
    assert keeper.resync == set()
    keeper.apply(Change("M", [(10, 1)], []))
    assert keeper.resync == {"M"}


def two_books() -> BookKeeper:
    keeper = BookKeeper("coinbase")
    keeper.apply(Snapshot("A", [(1, 1)], []), 0)
    keeper.apply(Snapshot("B", [(1, 1)], []), 1)
    return keeper


def test_a_gap_that_names_nobody_voids_its_own_connection() -> None:
    """Books of the venue's other connections go on."""
    keeper = two_books()
    assert keeper.apply(Gap((), "jumped"), 1) == ["B"]
    assert (keeper.books["A"].state, keeper.books["B"].state) == (LIVE, GAP)
    assert (keeper.gaps, keeper.resync) == (1, {"B"})
    assert keeper.apply(Gap((), "jumped"), 1) == []


def test_a_gap_the_venue_announced_is_not_counted() -> None:
    """`gaps` is the number of times a sequence jumped."""
    keeper = two_books()
    assert keeper.apply(Gap(("A", "C"), "tick size", counted=False), 0) == ["A"]
    assert (keeper.gaps, keeper.resync) == (0, {"A", "C"})


def test_a_lost_connection_voids_its_books() -> None:
    """What a feed voids when a connection is lost counts as no gap."""
    keeper = two_books()
    assert keeper.void(["A"], BookFault.DISCONNECTED) == ["A"]
    assert (keeper.books["A"].state, keeper.gaps) == (GAP, 0)


def test_expected_markets_are_empty_and_asked_for_after_a_gap() -> None:
    """A gap may have swallowed a first snapshot."""
    keeper = BookKeeper("coinbase")
    keeper.expect(["A"], 7)
    assert keeper.books["A"].state == EMPTY
    assert keeper.apply(Gap((), "jumped"), 7) == ["A"]
    book = keeper.books["A"]
    assert (book.state, book.fault, keeper.resync) == (EMPTY, BookFault.SEQUENCE, {"A"})
    assert keeper.apply(Gap((), "jumped"), 7) == []


def test_bad_frames_are_counted_once_and_void_only_what_was_lost() -> None:
    """A frame with two bad parts is one bad frame; without loss the book lives."""
    keeper = two_books()
    parts = [Bad("x", lost=True, markets=("A",)), Bad("y")]
    assert keeper.apply_frame(parts, 0) == ["A"]
    assert (keeper.bad_frames, keeper.books["B"].state) == (1, LIVE)
    assert keeper.apply(Bad("z", lost=True), 1) == ["B"]
    assert keeper.bad_frames == 2


def test_a_frame_counts_once_as_a_book_message() -> None:
    """`book_messages` are frames with a snapshot or change; each market is touched once."""
    keeper = BookKeeper("coinbase")
    frame: list[Event] = [Snapshot("A", [], []), Change("A", [(1, 1)], []), Snapshot("B", [], [])]
    assert keeper.apply_frame(frame) == ["A", "B"]
    assert keeper.apply(Ignored("heartbeat")) == []
    assert keeper.apply(Ignored("again", duplicate=True)) == []
    assert keeper.apply(Subscribed(("A",), ok=True)) == keeper.apply(Settled("A")) == []
    assert (keeper.book_messages, keeper.duplicates) == (1, 1)


def test_the_scale_of_a_codec_is_the_books() -> None:
    """What a codec was made with is no news when the venue tells the same; what it tells counts over it."""
    keeper = BookKeeper("kraken")
    keeper.expect(["A", "B"])
    keeper.know({"A": Scale(1, 8), "C": Scale(1, 8)})
    keeper.apply(Snapshot("A", [(10, 1)], [(11, 1)]))
    assert keeper.apply(Listed(Market("kraken", "A", Scale(1, 8)))) == []
    assert keeper.books["A"].state is BookState.LIVE
    keeper.know({"A": Scale(2, 2)})
    assert keeper.books["A"].scale == Scale(1, 8)
    assert keeper.books["B"].scale is None
    assert "C" not in keeper.books


def test_a_new_scale_voids_the_book() -> None:
    """Its integers mean something else now; the same scale again changes nothing."""
    keeper = BookKeeper("kraken")
    keeper.apply(Listed(Market("kraken", "M", SCALE)))
    keeper.apply(Snapshot("M", [(1, 1)], []))
    assert keeper.apply(Listed(Market("kraken", "M", SCALE, grid_ticks=5))) == []
    assert keeper.listed["M"].grid_ticks == 5
    assert keeper.apply(Listed(Market("kraken", "M"))) == []
    assert keeper.books["M"].scale == SCALE
    assert keeper.apply(Listed(Market("kraken", "M", Scale(3, 2)))) == ["M"]
    assert (keeper.books["M"].state, keeper.resync) == (GAP, {"M"})
    assert keeper.books["M"].scale == Scale(3, 2)


def test_listing_a_market_makes_no_book() -> None:
    """Kraken lists over a thousand pairs that nobody asked for."""
    keeper = BookKeeper("kraken")
    keeper.apply(Listed(Market("kraken", "M", SCALE, status=MarketStatus.PAUSED)))
    assert keeper.books == {}


def test_tradability_of_market_and_venue() -> None:
    """Either may stop trading; a book is touched when that changes."""
    keeper = two_books()
    assert keeper.apply(Status("A", tradable=False, word="post_only")) == ["A"]
    assert (keeper.tradable("A"), keeper.tradable("B")) == (False, True)
    assert keeper.apply(Status("A", tradable=False, word="post_only")) == []
    assert keeper.apply(Status("", tradable=False, word="maintenance")) == ["B"]
    assert not keeper.tradable("B") and not keeper.books["B"].tradable
    assert keeper.apply(Status("A", tradable=True, word="online")) == []
    assert keeper.apply(Status("A", tradable=False, word="post_only")) == []
    assert keeper.apply(Status("", tradable=True, word="online")) == ["B"]
    assert keeper.books["B"].tradable
    assert (keeper.tradable("A"), keeper.books["A"].tradable) == (False, False)
    keeper.apply(Status("C", tradable=False, word="delisted"))
    keeper.apply(Snapshot("C", [], []))
    assert not keeper.books["C"].tradable


FAULTS: list[tuple[Event, BookFault]] = [
    (Gap(("A",), "jumped"), BookFault.SEQUENCE),
    (Gap(("A",), "tick size", counted=False), BookFault.VENUE),
    (Bad("x", lost=True, markets=("A",)), BookFault.BAD_FRAME),
    (Change("A", [], [], checksum=1), BookFault.CHECKSUM),
    (Change("A", [(1, -2)], [], relative=True), BookFault.IMPOSSIBLE),
    (Listed(Market("coinbase", "A", SCALE)), BookFault.VENUE),
]


@pytest.mark.parametrize(("event", "fault"), FAULTS)
def test_a_void_book_says_why_and_is_counted(event: Event, fault: BookFault) -> None:
    """Each way to lose a book has its fault and its count; the others' books and counts stay."""
    keeper = two_books()
    assert keeper.apply(event, 0) == ["A"]
    assert (keeper.books["A"].state, keeper.books["A"].fault) == (GAP, fault)
    assert {fault: 1} == {fault: count for fault, count in keeper.voided.items() if count}
    assert (keeper.resync, keeper.books["B"].state) == ({"A"}, LIVE)
    keeper.apply(Snapshot("A", [(1, 1)], []), 0)
    assert (keeper.books["A"].state, keeper.resync) == (LIVE, set())


def test_the_worker_voids_books_for_its_own_reasons() -> None:
    """Silence, a witness, a machine that slept: touched once a reason, counted once a loss."""
    keeper = two_books()
    assert keeper.void(["A", "C"], BookFault.WITNESS) == ["A"]
    assert keeper.void(["A"], BookFault.WITNESS) == []
    assert keeper.void(["A", "B"], BookFault.SUSPENDED) == ["A", "B"]
    assert keeper.books["A"].fault == BookFault.SUSPENDED
    assert (keeper.voided[BookFault.WITNESS], keeper.voided[BookFault.SUSPENDED]) == (1, 1)
    assert keeper.resync == {"A", "B", "C"}
    assert keeper.void([], BookFault.SILENT) == []


def test_the_first_scale_of_an_empty_book_is_no_loss() -> None:
    """Kraken tells the scale after the subscription: nothing was there that could have become wrong."""
    keeper = BookKeeper("kraken")
    keeper.expect(["M"])
    assert keeper.apply(Listed(Market("kraken", "M", SCALE))) == []
    assert (keeper.books["M"].scale, keeper.books["M"].fault, keeper.resync) == (SCALE, BookFault.NONE, set())


def test_forgetting_a_market() -> None:
    """Nothing is left of a market that was unsubscribed from."""
    keeper = two_books()
    keeper.apply(Gap(("A",), "lost"))
    keeper.forget("A")
    assert (list(keeper.books), keeper.resync) == (["B"], set())


@pytest.mark.parametrize(
    "name",
    [
        "coinbase_20260809_btc_eth.jsonl.gz",
        "kalshi_20260418_kxbtc.jsonl.gz",
        "kraken_20260719_btcusd_d10.jsonl.gz",
        "polymarket_20251030_btc15m.jsonl.gz",
        "polymarket_20260709_worldcup.jsonl.gz",
    ],
)
def test_recordings_give_sound_books_after_every_frame(tapes: Path, name: str) -> None:
    """No recording has a gap, a bad frame or checksum, or a book that is ever crossed."""
    venue = name.partition("_")[0]
    codec, keeper = CODECS[venue]({}), BookKeeper(venue, shown=2)
    for line in read(tapes / name):
        assert isinstance(line, TapeLine)
        for market in keeper.apply_frame(codec.decode(line.data.encode())):
            book = keeper.books[market]
            assert book.state == LIVE, (line.number, market)
            flat = [word for side in book.top(2) for level in [*side, (0, 0), (0, 0)][:2] for word in level]
            assert list(book.page[BOOK_HEAD_WORDS:]) == flat
    assert keeper.books
    assert (keeper.settle(), keeper.best_mismatches) == ([], 0)
    assert (keeper.gaps, keeper.bad_frames, keeper.checksums_bad, keeper.desyncs) == (0, 0, 0, 0)
    assert all(book.state == LIVE for book in keeper.books.values())


def test_kalshis_recording_agrees_with_dictionaries(tapes: Path) -> None:
    """Every book of the recording is the sum of its steps, in YES terms."""
    codec, keeper = CODECS["kalshi"]({}), BookKeeper("kalshi")
    sums: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
    for line in read(tapes / "kalshi_20260418_kxbtc.jsonl.gz"):
        assert isinstance(line, TapeLine)
        events = codec.decode(line.data.encode())
        for event in events:
            if isinstance(event, Snapshot):
                sums[event.market] = (dict(event.bids), dict(event.asks))
            elif isinstance(event, Change):
                assert event.relative
                for side, steps in zip(sums[event.market], (event.bids, event.asks), strict=True):
                    for price, step in steps:
                        side[price] = side.get(price, 0) + step
        keeper.apply_frame(events)
        for market, (bids, asks) in sums.items():
            expected = (
                sorted(((p, s) for p, s in bids.items() if s), reverse=True),
                sorted((p, s) for p, s in asks.items() if s),
            )
            assert keeper.books[market].top() == expected
    assert len(sums) == 8
