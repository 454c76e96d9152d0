"""One book over batches: judged at their end by the best prices that the venue states, never before."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.feed.book import BATCH_NS, CROSSED_MAX, Book, BookKeeper, Verdict
from pipeline.model import BookFault, BookState, Level, Scale
from pipeline.venues.codec import Change, Gap, Snapshot

LIVE, GAP, CROSSED = BookState.LIVE, BookState.GAP, BookState.CROSSED
SNAPSHOT = Snapshot("M", [(40, 1), (39, 1)], [(42, 1), (43, 1)], batch="0")


def change(
    batch: str, bids: list[Level], asks: list[Level], bid: int | None = None, ask: int | None = None
) -> Change:
    return Change("M", bids, asks, batch=batch, best_bid=bid, best_ask=ask)


def polymarket(*messages: Snapshot | Change) -> tuple[BookKeeper, Book]:
    keeper = BookKeeper("polymarket")
    for message in (SNAPSHOT, *messages):
        keeper.apply(message)
    return keeper, keeper.books["M"]


def test_a_batch_in_several_frames_is_judged_at_its_end() -> None:
    """Each frame states the best prices of the end; until they hold the book is unsettled, not void."""
    keeper, book = polymarket(change("1", [(40, 0)], [], 41, 42))
    assert (book.state, book.unsettled) == (LIVE, True)
    assert keeper.apply(change("1", [(41, 5)], [], 41, 42)) == ["M"]
    assert (book.state, book.unsettled, keeper.best_mismatches) == (LIVE, False, 0)
    assert keeper.apply(change("2", [(41, 6)], [], 41, 42)) == ["M"]
    assert keeper.settle() == []


@pytest.mark.parametrize(("bid", "ask"), [(41, 42), (40, 43), (0, 42), (40, 0)])
def test_a_batch_that_ends_on_another_best_price_voids_the_book(bid: int, ask: int) -> None:
    """Seen when the next batch begins, before it is applied; counted, and asked for again."""
    keeper, book = polymarket(change("1", [(38, 7)], [], bid, ask))
    assert (book.state, book.unsettled) == (LIVE, True)
    assert keeper.apply(change("2", [(41, 1)], [], 41, 42)) == ["M"]
    assert (book.state, book.fault, book.top(), book.unsettled) == (
        GAP,
        BookFault.BEST_PRICE,
        ([], []),
        False,
    )
    assert (keeper.best_mismatches, keeper.voided[BookFault.BEST_PRICE], keeper.resync) == (1, 1, {"M"})
    assert keeper.settle() == []
    keeper.apply(SNAPSHOT)
    assert (book.state, keeper.resync) == (LIVE, set())


def test_the_last_statement_of_a_batch_counts() -> None:
    """A later frame's word replaces an earlier one's; where it says nothing the earlier one stands."""
    keeper, book = polymarket(change("1", [(38, 7)], [], 41, 45), change("1", [], [], 40))
    assert book.unsettled
    keeper.apply(change("1", [], [], None, 42))
    assert not book.unsettled
    assert keeper.settle() == []


def test_an_empty_side_is_stated_as_0() -> None:
    """It agrees with a side without levels, and contradicts any other."""
    _, book = polymarket(change("1", [(40, 0), (39, 0)], [], 0, 42))
    assert (book.state, book.unsettled, book.top()[0]) == (LIVE, False, [])


def test_nothing_stated_is_nothing_compared() -> None:
    """A batch whose frames say nothing of best prices never voids a book."""
    keeper, book = polymarket(change("1", [(41, 7)], []), change("2", [(41, 0)], []))
    assert (book.state, book.unsettled, keeper.settle()) == (LIVE, False, [])


def test_a_message_outside_any_batch_ends_the_batch() -> None:
    """It is compared before that message, which then stands for itself."""
    keeper, book = polymarket(change("1", [(38, 7)], [], 41, 42))
    keeper.apply(Change("M", [(41, 1)], []))
    assert (book.state, keeper.best_mismatches) == (GAP, 1)
    keeper, book = polymarket(change("1", [(38, 7)], [], 40, 42))
    keeper.apply(Change("M", [(41, 1)], []))
    assert (book.state, book.unsettled, book.batch) == (LIVE, False, "")


def test_a_snapshot_ends_a_batch_without_a_judgement() -> None:
    """It replaces everything, so there is nothing left to compare, whatever the batch had said."""
    keeper, book = polymarket(change("1", [(38, 7)], [], 41, 42), SNAPSHOT)
    assert (book.state, book.unsettled, keeper.best_mismatches, keeper.settle()) == (LIVE, False, 0, [])
    keeper.apply(change("0", [(38, 7)], [], 40, 42))
    assert (book.state, book.unsettled) == (LIVE, False)


def test_a_batch_of_which_no_more_comes_is_judged_after_a_while() -> None:
    """`settle` judges what it first saw unsettled BATCH_NS ago, and with None whatever there is."""
    keeper, book = polymarket(change("1", [(38, 7)], [], 41, 42))
    assert keeper.settle(5) == keeper.settle(4 + BATCH_NS) == []
    assert (book.state, book.unsettled) == (LIVE, True)
    assert keeper.settle(5 + BATCH_NS) == ["M"]
    assert (book.state, book.fault, keeper.best_mismatches) == (GAP, BookFault.BEST_PRICE, 1)
    assert keeper.settle(10**18) == []
    keeper, book = polymarket(change("1", [(38, 7)], [], 41, 42))
    assert keeper.settle() == ["M"]
    assert book.state == GAP


def test_the_next_batch_has_its_own_time() -> None:
    """How long one batch waited does not shorten the patience with the next one."""
    keeper, book = polymarket(change("1", [(44, 1)], [], 44, 42))
    keeper.settle(1)
    keeper.apply(change("1", [(44, 0)], [], 40, 42))
    keeper.apply(change("2", [(38, 7)], [], 41, 42))
    assert keeper.settle(1 + BATCH_NS) == []
    assert keeper.settle(1 + 2 * BATCH_NS) == ["M"]
    assert book.state == GAP


def test_a_lock_or_a_cross_within_a_batch_is_passed_over() -> None:
    """The frames of a batch lock or cross the book for 1 or 2 ms: LIVE, and unsettled where it crosses."""
    keeper, book = polymarket(change("1", [(42, 3)], [], 42, 43))
    assert (book.state, book.unsettled) == (LIVE, True)
    keeper.apply(change("1", [], [(42, 0)], 42, 43))
    assert (book.state, book.unsettled, keeper.voided[BookFault.CROSSED]) == (LIVE, False, 0)
    keeper.apply(change("2", [(44, 3)], [], 44, 45))
    assert (book.state, book.unsettled) == (LIVE, True)
    keeper.apply(change("2", [], [(43, 0), (45, 1)], 44, 45))
    assert (book.state, book.unsettled, keeper.settle()) == (LIVE, False, [])


def test_at_the_end_of_a_batch_a_lock_is_live_and_a_cross_is_not() -> None:
    """A venue that states a crossed book has one: CROSSED until a message ends that."""
    keeper, book = polymarket(change("1", [(42, 3)], [], 42, 42))
    assert (book.state, book.unsettled, keeper.settle()) == (LIVE, False, [])
    keeper.apply(change("2", [(43, 3)], [], 43, 42))
    assert (book.state, book.unsettled) == (LIVE, True)
    assert keeper.settle() == ["M"]
    assert (book.state, book.fault, book.unsettled) == (CROSSED, BookFault.CROSSED, False)
    assert (keeper.voided[BookFault.CROSSED], keeper.best_mismatches) == (1, 0)
    keeper.apply(change("3", [(43, 0)], [], 42, 42))
    assert (book.state, book.fault, book.crossed_messages) == (LIVE, BookFault.NONE, 0)


def test_a_message_can_end_a_cross_that_its_coming_revealed() -> None:
    """The batch before ended crossed; the next message is applied all the same, and LIVE is LIVE again."""
    for message in (Change("M", [(43, 0)], []), change("2", [(43, 0)], [], 40, 42)):
        _, book = polymarket(change("1", [(43, 3)], [], 43, 42), message)
        assert (book.state, book.fault, book.unsettled) == (LIVE, BookFault.NONE, False)


def test_a_book_crossed_over_many_batches_is_asked_for_again() -> None:
    """Each batch that ends crossed counts as one message."""
    keeper, book = polymarket()
    for number in range(1, CROSSED_MAX + 1):
        keeper.apply(change(str(number), [(43, number)], [], 43, 42))
        assert keeper.resync == set()
        keeper.settle()
    assert (book.state, keeper.resync) == (CROSSED, {"M"})


def test_the_same_change_twice_is_the_same_book() -> None:
    """A batch may come again with its two assets swapped: sizes are absolute, statements the same."""
    first = change("1", [(41, 5)], [(42, 0)], 41, 43)
    keeper, book = polymarket(first, first)
    assert (book.top(), book.state, book.unsettled) == (
        ([(41, 5), (40, 1), (39, 1)], [(43, 1)]),
        LIVE,
        False,
    )
    assert keeper.settle() == []


def test_times_that_go_backwards_are_counted_and_kept() -> None:
    """About one message in ten is stamped earlier than the one before; that voids nothing."""
    keeper = BookKeeper("polymarket")
    for stamp in (50, 40, 0, 45):
        keeper.apply(Snapshot("M", [(40, 1)], [], stamp, batch=str(stamp)))
    keeper.apply(Change("M", [(40, 2)], [], 44, batch="44"))
    book = keeper.books["M"]
    assert (keeper.times_back, book.venue_ns, book.state) == (2, 44, LIVE)


def test_a_gap_within_a_batch_ends_it() -> None:
    """What was stated before means nothing after the next snapshot."""
    keeper, book = polymarket(change("1", [(38, 7)], [], 41, 42))
    keeper.apply(Gap(("M",), "tick size", counted=False))
    assert (book.unsettled, keeper.settle()) == (False, [])
    keeper.apply(Snapshot("M", [(40, 1)], [(42, 1)]))
    keeper.apply(change("1", [(37, 7)], []))
    assert (book.state, book.unsettled) == (LIVE, False)


def test_forgotten_markets_are_not_judged() -> None:
    """A market that was unsubscribed from within a batch leaves nothing to settle."""
    keeper, _ = polymarket(change("1", [(38, 7)], [], 41, 42))
    keeper.forget("M")
    assert keeper.settle() == []


class Engine:
    """A true book that changes in batches, told as a venue tells it: frames with the end's best prices."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.bids: dict[int, int] = dict.fromkeys(range(30, 41), 5)
        self.asks: dict[int, int] = dict.fromkeys(range(42, 53), 5)

    def snapshot(self, batch: str) -> Snapshot:
        return Snapshot("M", list(self.bids.items()), list(self.asks.items()), batch=batch)

    def batch(self, name: str) -> list[Change]:
        """One to four changed levels, the book uncrossed at the end, one frame each."""
        random = self.random
        steps: list[tuple[bool, Level]] = []
        for _ in range(random.randint(1, 4)):
            is_bid = random.random() < 0.5
            side, other = (self.bids, self.asks) if is_bid else (self.asks, self.bids)
            best_other = (min(other) if is_bid else max(other)) if other else 41
            price = best_other + random.randint(1, 12) * (-1 if is_bid else 1)
            size = random.choice([0, 3, 8])
            side[price] = size
            steps.append((is_bid, (price, size)))
            if not size:
                del side[price]
        random.shuffle(steps)
        last = {(is_bid, price): size for is_bid, (price, size) in steps}
        for (is_bid, price), size in last.items():
            (self.bids if is_bid else self.asks).pop(price, None)
            if size:
                (self.bids if is_bid else self.asks)[price] = size
        bid, ask = max(self.bids, default=0), min(self.asks, default=0)
        return [
            change(name, [level] if is_bid else [], [] if is_bid else [level], bid, ask)
            for is_bid, level in steps
        ]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), doubled=st.booleans())
def test_a_venue_that_loses_nothing_never_costs_a_book(seed: int, doubled: bool) -> None:
    """Over any batches of any frames, even each frame doubled, the book is the venue's at every end."""
    engine, keeper = Engine(seed), BookKeeper("polymarket")
    keeper.apply(engine.snapshot("0"))
    book = keeper.books["M"]
    for number in range(1, 40):
        for frame in engine.batch(str(number)):
            for _ in range(1 + doubled):
                keeper.apply(frame)
        assert book.top() == (sorted(engine.bids.items(), reverse=True), sorted(engine.asks.items()))
        crossed = max(engine.bids, default=0) > min(engine.asks, default=100)
        assert book.state is LIVE and book.unsettled == crossed
        if crossed:
            break
    assert keeper.best_mismatches == 0


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), loss=st.sampled_from([0.05, 0.3]))
def test_at_the_end_of_a_batch_no_live_book_contradicts_the_venue(seed: int, loss: float) -> None:
    """With frames lost at will: LIVE means that the best prices are those that the venue stated last."""
    engine, keeper, random = Engine(seed), BookKeeper("polymarket"), Random(seed)
    keeper.apply(engine.snapshot("0"))
    book = keeper.books["M"]
    for number in range(1, 40):
        heard = [frame for frame in engine.batch(str(number)) if random.random() >= loss]
        for frame in heard:
            keeper.apply(frame)
        if random.random() < 0.5:
            keeper.settle()
            assert not book.unsettled
        if heard and book.state is LIVE and not book.unsettled:
            bid, ask = book.bids.best, book.asks.best
            assert (bid, ask) == (heard[-1].best_bid, heard[-1].best_ask)
        if book.state is GAP:
            assert (book.fault, keeper.resync) == (BookFault.BEST_PRICE, {"M"})
            keeper.apply(engine.snapshot(f"{number}s"))
            assert (book.state, keeper.resync) == (LIVE, set())


def test_a_snapshot_of_a_live_book_clears_an_old_fault() -> None:
    """The fault says why the book was not LIVE until its last snapshot; after the next one, nothing."""
    book = Book("M", Scale(2, 2))
    assert book.void(BookFault.SILENT) and not book.void(BookFault.SILENT)
    assert (book.state, book.fault) == (BookState.EMPTY, BookFault.SILENT)
    assert book.apply_snapshot(SNAPSHOT) == Verdict.APPLIED
    assert (book.state, book.fault) == (LIVE, BookFault.SILENT)
    book.apply_snapshot(SNAPSHOT)
    assert book.fault == BookFault.NONE
    assert book.void(BookFault.SEQUENCE) and book.void(BookFault.DISCONNECTED)
    assert (book.state, book.fault) == (GAP, BookFault.DISCONNECTED)
