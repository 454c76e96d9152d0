"""Ladder: one leg's book to full depth: price, size, what stands so far, and how much that is as a bar.

In: a `LadderView`. Out: lines: bids on the left half, asks on the right, best first. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from dashboard.charts import bar
from dashboard.event_views import LadderView, LegView
from dashboard.formatting import age_text, fit, price_text, size_text
from dashboard.widgets.cells import price_role, state_word
from dashboard.widgets.panel import HEAD, Line
from pipeline.model import BookFlag, BookState, Level

PRICE, SIZE = 8, 5
GAP = " │ "
# Of one side: price, size, sum, and the blanks between them; what is left is the bar.
_FIXED = PRICE + SIZE + SIZE + 3


def ladder_head(ladder: LadderView, width: int, stale_ns: int) -> list[Line]:
    """Which book it is, what it is worth, how old it is, and when REST last agreed; then its columns."""
    leg = ladder.leg
    name: Line = [(fit(f"{leg.venue.upper()}  {leg.market}", width), "strong")]
    half = (width - len(GAP)) // 2
    rest = half - _FIXED
    left = (
        f"{' ' * rest} {fit('sum', SIZE, 'right')} {fit('size', SIZE, 'right')} {fit('BID', PRICE, 'right')}"
    )
    right = f"{fit('ASK', PRICE, 'right')} {fit('size', SIZE)} {fit('sum', SIZE)}"
    return [name, state_line(ladder, stale_ns), [(left, HEAD), (GAP, "dim"), (right, HEAD)]]


def state_line(ladder: LadderView, stale_ns: int) -> Line:
    """The three lights of a book: what its feed and its venue are worth now, its age, and its witness."""
    leg = ladder.leg
    word = state_word(leg)
    state, why, role = word if word is not None else (leg.state.name, _rest(leg), price_role(leg, stale_ns))
    if leg.state is BookState.LIVE and word is None and role == "plain":
        role = "good"
    old = leg.age_ns is not None and leg.age_ns > stale_ns
    age = "no message yet" if leg.age_ns is None else f"last message {age_text(leg.age_ns)} ago"
    line: Line = [
        (f"{state} {why}".rstrip(), role),
        (f"  {'⚠' if old else ''}{age}", "fair" if old else "dim"),
    ]
    if ladder.witnessed_ns is not None:
        line.append((f"  ✓ verified {age_text(ladder.witnessed_ns)} ago", "dim"))
    elif leg.flags & BookFlag.UNVERIFIED:
        line.append(("  UNVERIFIED", "fair"))
    else:
        line.append(("  not compared with REST", "dim"))
    return line


def _rest(leg: LegView) -> str:
    """What a quiet book is."""
    return "the venue lives, this market rests" if leg.state is BookState.QUIET else ""


def ladder_lines(ladder: LadderView, kind: str, width: int, first: int, last: int) -> list[Line]:
    """Levels `first` to `last`, counted from 0, without `last`; sums begin at the best price.

    Bars are shares of all that stands on the deeper side. Of a book that must not be believed all is dim.
    """
    leg = ladder.leg
    half = (width - len(GAP)) // 2
    sums = [list(accumulate(units for _, units in side)) for side in (ladder.bids, ladder.asks)]
    most = max([1, *(side[-1] for side in sums if side)])
    role = "dim" if state_word(leg) is not None else "plain"
    lines: list[Line] = []
    for at in range(first, min(last, max(len(ladder.bids), len(ladder.asks)))):
        bid = _level(ladder.bids, sums[0], at, most, leg, kind, half - _FIXED, ask=False)
        ask = _level(ladder.asks, sums[1], at, most, leg, kind, half - _FIXED, ask=True)
        left = f"{bid[3]} {bid[2]} {bid[1]} "
        lines.append(
            [
                (left, "dim"),
                (bid[0], role),
                (GAP, "dim"),
                (ask[0], role),
                (f" {fit(ask[1].strip(), SIZE)} {fit(ask[2].strip(), SIZE)} {ask[3]}", "dim"),
            ]
        )
    return lines


def _level(
    side: Sequence[Level],
    sums: Sequence[int],
    at: int,
    most: int,
    leg: LegView,
    kind: str,
    cells: int,
    *,
    ask: bool,
) -> tuple[str, str, str, str]:
    """Price, size, sum and bar of one level; blanks beyond the last."""
    if at >= len(side):
        return " " * PRICE, " " * SIZE, " " * SIZE, " " * max(0, cells)
    ticks, units = side[at]
    drawn = bar(sums[at] / most, cells).replace("░", " ")
    price = fit(price_text(ticks, leg.price_decimals, kind, ask=ask), PRICE, "right")
    size, total = (fit(size_text(one, leg.size_decimals), SIZE, "right") for one in (units, sums[at]))
    return price, size, total, drawn if ask else drawn[::-1]
