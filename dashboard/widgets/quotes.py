"""Quotes: one book's best prices as cells: in full with sizes and age, or bid/ask in few.

In: a leg. Out: coloured texts of fixed width. Pure. Where prices must not be believed a word stands there.
"""

from __future__ import annotations

from dashboard.event_views import LegView
from dashboard.formatting import fit, price_text, size_text
from dashboard.widgets.cells import AGE, age_cell, price_role, state_word
from dashboard.widgets.panel import Line, Span
from pipeline.model import Level

BID, ASK, SIZE = 16, 14, 5
BLOCK = BID + 1 + ASK + 1 + AGE
QUOTE = 15


def block(leg: LegView, kind: str, stale_ns: int) -> Line:
    """Bid, ask and age of one leg, or the word for why there is none."""
    age = age_cell(leg, stale_ns)
    word = state_word(leg)
    if word is not None:
        text = f"{word[0]:<8}{word[1]}"
        return [(fit(text, BID + 1 + ASK), word[2]), (" ", "plain"), age]
    role = price_role(leg, stale_ns)
    return [
        *_priced(leg.bid, leg, kind, BID, role, ask=False),
        (" ", "plain"),
        *_priced(leg.ask, leg, kind, ASK, role, ask=True),
        (" ", "plain"),
        age,
    ]


def _priced(level: Level | None, leg: LegView, kind: str, cells: int, role: str, *, ask: bool) -> Line:
    """A price, its size and the sign between them; dashes where that side is empty."""
    wide = cells - SIZE - 1
    if level is None:
        return [(fit("--", wide, "right") + " " + fit("--", SIZE), "dim")]
    price = price_text(level[0], leg.price_decimals, kind, ask=ask)
    size = size_text(level[1], leg.size_decimals)
    return [(fit(price, wide, "right"), role), ("×", "dim"), (fit(size, SIZE), role)]


def quote(leg: LegView, kind: str, stale_ns: int) -> Span:
    """Bid/ask of one leg, or the word for why there is none."""
    word = state_word(leg)
    if word is not None:
        return fit(word[0], QUOTE, "right"), word[2]
    sides = []
    for level, ask in ((leg.bid, False), (leg.ask, True)):
        decimals, cells = leg.price_decimals, QUOTE // 2
        sides.append(price_text(level[0], decimals, kind, ask=ask, cells=cells) if level else "--")
    return fit("/".join(sides), QUOTE, "right"), price_role(leg, stale_ns)
