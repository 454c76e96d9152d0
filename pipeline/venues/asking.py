"""Asking for order books by REST: what a request is, and what an answer tells.

In: levels as a venue's REST sent them. Out: frozen values. Pure. Used by the venues' rest_books modules
and by the feed's REST threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from pipeline.model import INT64_MAX, Level, Scale
from pipeline.venues.codec import Snapshot


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request under a venue's base address; `markets` are those that its answer is about."""

    method: str
    path: str
    body: bytes = b""
    markets: tuple[str, ...] = ()


class RestBook(msgspec.Struct, frozen=True, gc=False):
    """A book as REST tells it, and how far that tale reaches.

    Of bids below `bids_from_ticks` and asks above `asks_to_ticks` it says nothing. Sizes are rounded to
    `size_step_units`: ours agree if they are less than a step away.
    """

    snapshot: Snapshot
    bids_from_ticks: int = 0
    asks_to_ticks: int = INT64_MAX
    size_step_units: int = 1


class Sample(msgspec.Struct, frozen=True, gc=False):
    """A book by REST, and when. It was the venue's at some moment between `asked_ns` and `answered_ns`
    (CLOCK_MONOTONIC), or some time before where the answer came out of a cache.
    """

    book: RestBook
    asked_ns: int
    answered_ns: int

    @property
    def market(self) -> str:
        """The market by its name."""
        return self.book.snapshot.market

    @property
    def snapshot(self) -> Snapshot:
        """Its levels as a codec would give them."""
        return self.book.snapshot


Requests = Callable[[Sequence[str]], list[Request]]
Parse = Callable[[bytes, Sequence[str], Mapping[str, Scale]], list[RestBook]]


class Source(msgspec.Struct, frozen=True, gc=False):
    """A venue's order books by REST.

    `requests` asks for up to `per_request` markets in each request; `parse` reads one answer, given the
    markets asked for, and raises ValueError in one sentence for nonsense. `pace_ns` is the least time
    between two requests. `at_once` is how many markets a witness may have in hand.
    """

    requests: Requests
    parse: Parse
    per_request: int
    pace_ns: int
    at_once: int


def rest_book(
    market: str,
    bids: list[Level],
    asks: list[Level],
    *,
    venue_ns: int = 0,
    limit: int = 0,
    size_step_units: int = 1,
) -> RestBook:
    """A book of these levels, in any order; ValueError where a price comes twice on one side.

    `limit` is how many levels a side were asked for, 0 for all. A side that has so many may go on beyond
    its worst level; a shorter one is whole.
    """
    if len(dict(bids)) != len(bids) or len(dict(asks)) != len(asks):
        raise ValueError(f"a price appears twice in the book of {market[:40]}")
    return RestBook(
        Snapshot(market, [bid for bid in bids if bid[1]], [ask for ask in asks if ask[1]], venue_ns),
        min(bids)[0] if limit and len(bids) >= limit else 0,
        max(asks)[0] if limit and len(asks) >= limit else INT64_MAX,
        size_step_units,
    )
