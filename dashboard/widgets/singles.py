"""Singles: the books that belong to no event, one line each: what a replayed tape holds beside the events.

In: legs of a snapshot. Out: lines, and their order. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.event_views import LegView
from dashboard.formatting import fit, letter
from dashboard.widgets.cells import AGE, age_cell, state_word
from dashboard.widgets.grid import Heading, Sort
from dashboard.widgets.panel import Line
from dashboard.widgets.quotes import ASK, BID, BLOCK, QUOTE, SIZE, block, quote

# No event's key begins with a space, as no event is without an id.
_KEY = " book "
WIDE = 100
VENUE, STATE = 12, 8
NARROW_VENUE = 3
# Their prices are cents; elsewhere they are dollars.
_CENTS = ("kalshi", "polymarket")


def single_key(leg: LegView) -> str:
    """What names the book from one picture to the next; never an event's key."""
    return f"{_KEY}{leg.venue}/{leg.market}"


def is_single(key: str) -> bool:
    """Whether a key names a book and no event."""
    return key.startswith(_KEY)


def arrange_singles(legs: Sequence[LegView], sort: Sort, needle: str) -> list[int]:
    """The books whose venue or market contains `needle`; by age or name where the events are."""
    needle = needle.casefold()
    rows = [at for at, leg in enumerate(legs) if needle in f"{leg.venue} {leg.market}".casefold()]
    if sort.key == "event":
        rows.sort(key=lambda at: legs[at].market, reverse=sort.descending)
    elif sort.key == "age":
        known = [at for at in rows if legs[at].age_ns is not None]
        known.sort(key=lambda at: legs[at].age_ns or 0, reverse=sort.descending)
        rows = known + [at for at in rows if legs[at].age_ns is None]
    return rows


def single_head(width: int) -> list[Heading]:
    """The heading above them."""
    if width < WIDE:
        room = _market_cells(width)
        quotes = fit("bid/ask", QUOTE, "right")
        return [
            Heading(fit("OTHER BOOKS", NARROW_VENUE + 1 + room), "event"),
            Heading(f" {quotes} {fit('STATE', STATE)} "),
            Heading(fit("AGE", AGE, "right"), "age"),
        ]
    bid = fit("bid", BID - SIZE - 1, "right") + "×" + fit("size", SIZE)
    ask = fit("ask", ASK - SIZE - 1, "right") + "×" + fit("size", SIZE)
    return [
        Heading(fit("OTHER BOOKS", VENUE) + " "),
        Heading(fit("market", _market_cells(width)), "event"),
        Heading(f" │ {bid} {ask} "),
        Heading(fit("age", AGE, "right"), "age"),
        Heading(" │ " + fit("state", STATE)),
    ]


def _market_cells(width: int) -> int:
    """What is left for the market's name."""
    if width < WIDE:
        return width - NARROW_VENUE - QUOTE - STATE - AGE - 4
    return width - VENUE - BLOCK - STATE - 7


def single_row(leg: LegView, width: int, stale_ns: int) -> Line:
    """One book: what it is, its best prices with their sizes, how old, and what it is worth."""
    kind = "binary" if leg.venue in _CENTS else "spot"
    word = state_word(leg)
    name, role = (word[0], word[2]) if word is not None else (leg.state.name, "plain")
    state = (fit(name, STATE), role)
    market = fit(leg.market, _market_cells(width))
    if width < WIDE:
        head = f"{fit(letter(leg.venue), NARROW_VENUE)} {market} "
        return [
            (head, "plain"),
            quote(leg, kind, stale_ns),
            (" ", "plain"),
            state,
            (" ", "plain"),
            age_cell(leg, stale_ns),
        ]
    return [
        (f"{fit(leg.venue, VENUE)} {market}", "plain"),
        (" │ ", "dim"),
        *block(leg, kind, stale_ns),
        (" │ ", "dim"),
        state,
    ]
