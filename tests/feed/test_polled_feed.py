"""A feed that polls: the same books by REST, in the same rows, and the truth when REST fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.clock import SystemClock
from pipeline.model import BookFault, BookFlag, BookState, ConnectionState
from pipeline.money import to_decimal
from tests.support.hostile import VENUES, World, worlds

Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Worlds of one venue each."""
    with worlds(tmp_path) as build:
        yield build


def polled(make: Make, venue: str, **settings: object) -> World:
    """A world whose feed has no stream, with every book LIVE."""
    world: World = make(venue, live=False, enable_websocket=False, poll_interval=0.1, **settings)
    world.until(world.all_live, "all polled books LIVE", skip=0.01, also=real_time)
    return world


def real_time() -> None:
    """REST answers in real time."""
    SystemClock().sleep(0.001)


def is_right(world: World, market: str) -> bool:
    """Whether a book is the venue's own; Kraken's REST rounds sizes to three decimals."""
    if world.venue != "kraken":
        return world.is_right(market)
    look = world.look(market)
    assert look is not None
    scale = look.scale
    ours = [
        [(to_decimal(p, scale.price_decimals), to_decimal(s, scale.size_decimals)) for p, s in side[:10]]
        for side in (look.book.bids, look.book.asks)
    ]
    theirs = world.lab.book("kraken", market, 10)
    return all(
        price == true_price and abs(size - true_size) <= Decimal("0.001")
        for side, true_side in zip(ours, theirs, strict=True)
        for (price, size), (true_price, true_size) in zip(side, true_side, strict=True)
    )


@pytest.mark.parametrize("venue", VENUES)
def test_every_venue_can_be_polled(make: Make, venue: str) -> None:
    """Each book is LIVE, flagged POLLED, tradable and the venue's own, without a WebSocket."""
    world = polled(make, venue)
    assert world.lab.attempts(venue) == []
    assert ConnectionState.POLLING in world.connections()
    for market in world.markets:
        look = world.look(market)
        assert look is not None
        assert look.book.flags & BookFlag.POLLED
    world.lab.step(100)
    answers = world.counter("frames")
    asked = len(world.markets) * 3
    world.until(lambda: world.counter("frames") > answers + asked, "asked again", skip=0.01, also=real_time)
    assert all(is_right(world, market) for market in world.markets)


def test_a_polled_book_without_answers_is_not_live(make: Make) -> None:
    """When REST is gone the books are unknown within the timeout, and LIVE again when it is back."""
    world = polled(make, "kalshi", timeout=2.0)
    rest = world.feed._second._rest
    base, rest._base = rest._base, "http://127.0.0.1:9"
    rest._closed = True
    world.until(world.none_live, "no book LIVE", skip=0.05)
    states = {book.state for book in world.feed.keeper.books.values()}
    faults = {book.fault for book in world.feed.keeper.books.values()}
    assert states == {BookState.GAP}
    assert faults == {BookFault.SILENT}
    rest._base = base
    world.feed._second.adopt_rest(world.feed._rest_books())
    world.until(world.all_live, "all LIVE again", skip=0.01, also=real_time)
