"""Cells: what pairs and lines of the grid have in common: names, ages, edges, and words instead of them.

In: views of a snapshot. Out: coloured texts of fixed width. Pure. A price or an edge that must not be
believed is not shown: a word stands there.
"""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.event_views import EdgeView, LegView
from dashboard.formatting import age_text, bp_text, fit
from dashboard.reasons import reason_word
from dashboard.snapshot import Snapshot
from dashboard.widgets.panel import Span
from pipeline.model import BookState, Confidence, MarketResult, MarketStatus, Reason

AGE = 6
# Number, sign, and the letter of its confidence.
EDGE = 8
# From this width of the first column on, titles stand beside ids.
TITLED = 32

# States in which the last price is no price any more, and what people should make of it.
_WORDS = {
    BookState.DEAD: ("DEAD", "feed gone", "bad"),
    BookState.STALE: ("STALE", "venue silent", "fair"),
    BookState.GAP: ("GAP", "awaiting snapshot", "fair"),
    BookState.EMPTY: ("EMPTY", "no book yet", "dim"),
    BookState.CROSSED: ("CROSSED", "bid over ask", "fair"),
}
_WORST_FIRST = (
    BookState.DEAD,
    BookState.GAP,
    BookState.EMPTY,
    BookState.CROSSED,
    BookState.STALE,
    BookState.QUIET,
    BookState.LIVE,
)
_OVER = {MarketStatus.CLOSED, MarketStatus.SETTLED}
# Refusals of an edge that is nevertheless a true profit after fees.
_PROFITABLE = {
    Reason.NONE,
    Reason.EDGE_TOO_SMALL,
    Reason.PROFIT_TOO_SMALL,
    Reason.BELOW_MINIMUM,
    Reason.BELOW_HURDLE,
}
_BOOK_REASONS = range(Reason.BOOK_MISSING, Reason.LEG_SKEW + 1)
_LETTERS: dict[int, str] = {Confidence.HIGH: "H", Confidence.MEDIUM: "M", Confidence.LOW: "L"}


def edge_cell(
    legs: Sequence[LegView], edge: EdgeView | None, snapshot: Snapshot, stale_ns: int, *, model: bool = False
) -> Span:
    """The scanner's edge of one direction, or the word for why there is none to believe.

    Green only where it is a profit after all costs, bold with ▲ only where the scanner accepts it; never
    for a model, whose edge is an opinion. The letter beside a gain is its confidence.
    """
    if edge is None:
        return fit("--", EDGE - 2, "right") + "  ", "dim"
    word, role = edge_word(legs, edge, snapshot)
    if word:
        return fit(word, EDGE - 1, "right") + " ", role
    text = fit(bp_text(edge.edge_bp), EDGE - 2, "right")
    letter = _LETTERS.get(edge.confidence, "?") if edge.edge_bp > 0 else " "
    if any((leg.age_ns or 0) > stale_ns for leg in legs):
        return f"{text}⚠{letter}", "fair"
    if model:
        return f"{text} {letter}", "plain" if edge.edge_bp > 0 else "dim"
    if edge.reason == Reason.NONE:
        return f"{text}▲{letter}", "good"
    if edge.edge_bp > 0:
        return f"{text} {letter}", "gain" if edge.reason in _PROFITABLE else "plain"
    return f"{text}  ", "dim"


def edge_word(legs: Sequence[LegView], edge: EdgeView, snapshot: Snapshot) -> Span:
    """Why an edge must not be believed now, worst first; "" where it may."""
    worst = min((leg.state for leg in legs), key=_WORST_FIRST.index)
    if worst is BookState.DEAD:
        return "dead", "bad"
    if not snapshot.scanner_alive:
        return "no scan", "fair"
    if any(leg.status in _OVER for leg in legs):
        return "closed", "dim"
    if worst is not BookState.LIVE:
        return worst.name.lower(), "fair"
    word = reason_word(edge.reason, has_numbers=edge.has_numbers)
    return word, "fair" if edge.reason in _BOOK_REASONS else "dim"


def accepted(legs: Sequence[LegView], edge: EdgeView, snapshot: Snapshot, stale_ns: int) -> bool:
    """Whether the edge stands there with ▲: the scanner takes it and everything it rests on is fresh."""
    fresh = all((leg.age_ns or 0) <= stale_ns for leg in legs)
    return edge.reason == Reason.NONE and fresh and not edge_word(legs, edge, snapshot)[0]


def name_cell(event_id: str, title: str, cells: int) -> Span:
    """The event's id, which commands take; its title where there is room."""
    title = title if title != event_id else ""
    room = title and cells >= max(TITLED, len(event_id) + 12)
    return fit(f"{event_id}  {title}" if room else event_id, cells), "plain"


def state_word(leg: LegView) -> tuple[str, str, str] | None:
    """Word, explanation and role where the leg's price must not be believed."""
    if leg.state is not BookState.DEAD and leg.status in _OVER:
        result = "" if leg.result is MarketResult.NONE else leg.result.name
        return leg.status.name, result, "dim"
    return _WORDS.get(leg.state)


def price_role(leg: LegView, stale_ns: int) -> str:
    """Yellow beyond `stale_ns`, dim for a quiet market."""
    if leg.state is BookState.QUIET:
        return "dim"
    return "fair" if (leg.age_ns or 0) > stale_ns else "plain"


def age_cell(leg: LegView, stale_ns: int) -> Span:
    """How long ago this market last said something, marked when that is too long."""
    if leg.age_ns is None:
        return fit("--", AGE, "right"), "dim"
    old = leg.age_ns > stale_ns
    return fit(("⚠" if old else "") + age_text(leg.age_ns), AGE, "right"), "fair" if old else "dim"


def closes_text(close_wall_ns: int, wall_ns: int) -> str:
    """Time to close, "open" for an event that never closes, "over" after it."""
    if not close_wall_ns:
        return "open"
    left_ns = close_wall_ns - wall_ns
    return age_text(left_ns) if left_ns > 0 else "over"
