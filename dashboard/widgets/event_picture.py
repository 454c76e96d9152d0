"""Event picture: one event to full depth, as the event's own screen shows it.

In: an `EventDetail` with the row it is of, and the snapshot. Out: lines. Pure. In a narrow place blocks stand
below each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dashboard.event_views import (
    EventDetail,
    EventView,
    LadderView,
    LegView,
    LineView,
)
from dashboard.formatting import age_text, arrow, clean, clock_text, fit
from dashboard.snapshot import Snapshot
from dashboard.widgets.beside import beside, column_width
from dashboard.widgets.cells import closes_text
from dashboard.widgets.direction import Way, draw_curve, draw_history, draw_lives, draw_way
from dashboard.widgets.ladder import ladder_head, ladder_lines
from dashboard.widgets.opportunities import decision_lines
from dashboard.widgets.panel import HEAD, Line
from dashboard.widgets.quotes import block

# A ladder, a waterfall or a curve wants so many cells.
LEAST = 54
# Levels that stand above everything else; deeper ones come last.
TOP = 8
DECISIONS = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """What was last seen of an event, and when. `gone` is whether the scanner still has it."""

    detail: EventDetail
    row: EventView | LineView
    now_ns: int
    wall_ns: int
    gone: bool = False


def draw_event(seen: Seen, snapshot: Snapshot, width: int, stale_ns: int) -> list[Line]:
    """The whole page, from what matters first to what is only long."""
    seen = aged(seen, snapshot.now_ns)
    ways = ways_of(seen)
    ladders = seen.detail.ladders
    empty: list[Line] = [[]]
    cells = column_width(len(ladders), width, LEAST)
    books = beside([_book(one, seen.row, cells, stale_ns) for one in ladders], cells, width)
    narrow = cells == width
    cells = column_width(len(ways), width, LEAST)
    verdicts = beside([draw_way(way, cells, snapshot, stale_ns) for way in ways], cells, width)
    # Below each other books are long: what is to be said of the event comes first.
    tops = _tops(seen, stale_ns) if narrow else []
    lines = _head(seen, snapshot) + tops + (verdicts + empty + books if narrow else books + empty + verdicts)
    lines += empty + beside([draw_curve(way, cells) for way in ways], cells, width)
    lines += empty + [line for way in ways for line in draw_history(way, width)]
    lines += empty + _decisions(seen, snapshot, width)
    lines += empty + draw_lives(seen.detail.lives, snapshot.now_ns, width)
    return lines + _deeper(seen, width)


def aged(seen: Seen, now_ns: int) -> Seen:
    """The same with the ages of this moment: those of a picture that stands still grow too."""
    more_ns = max(0, now_ns - seen.now_ns)
    if not more_ns or not seen.gone:
        return seen

    def older(leg: LegView) -> LegView:
        return replace(leg, age_ns=None if leg.age_ns is None else leg.age_ns + more_ns)

    ladders = tuple(
        replace(
            one,
            leg=older(one.leg),
            witnessed_ns=None if one.witnessed_ns is None else one.witnessed_ns + more_ns,
        )
        for one in seen.detail.ladders
    )
    history = tuple((age_ns + more_ns, edges) for age_ns, edges in seen.detail.history)
    return replace(seen, detail=replace(seen.detail, ladders=ladders, history=history))


def ways_of(seen: Seen) -> list[Way]:
    """The directions of a row, each with what belongs to it."""
    row, detail = seen.row, seen.detail
    if isinstance(row, LineView):
        curve = detail.curves[0] if detail.curves else None
        history = [(age_ns, edges[0]) for age_ns, edges in detail.history]
        return [Way(row.kind.upper(), row.kind, row.legs, row.edge, curve, history)]
    ways = []
    for at, (buy, sell) in enumerate((row.legs, row.legs[::-1])):
        edge = row.edges[at]
        curve = next(
            (one for one in detail.curves if (one.buy_venue, one.sell_venue) == (buy.venue, sell.venue)), None
        )
        history = [(age_ns, edges[at]) for age_ns, edges in detail.history]
        ways.append(Way(arrow(buy.venue, sell.venue), row.kind, row.legs, edge, curve, history))
    return ways


def _head(seen: Seen, snapshot: Snapshot) -> list[Line]:
    """Name and title; kind and time to close; and whether this is only the last picture."""
    row = seen.row
    left = closes_text(row.close_wall_ns, snapshot.wall_ns)
    close = {"open": "never closes", "over": "closed"}.get(left, f"closes in {left}")
    title = f"  {clean(row.title)}" if row.title != row.id else ""
    lines: list[Line] = [[(clean(row.id), "strong"), (title, "plain"), (f"  {row.kind}  {close}", "dim")]]
    if isinstance(row, LineView):
        deals = " + ".join(
            f"{action} {outcome} {clean(leg.venue)} {clean(leg.market)}"
            for leg, (action, outcome) in zip(row.legs, row.deals, strict=True)
        )
        more = row.count - len(row.legs)
        lines.append([(deals + (f" + {more} more" if more > 0 else ""), "plain")])
    if seen.gone:
        ago = age_text(snapshot.now_ns - seen.now_ns)
        text = "⚠ GONE: the scanner has this event no longer; this is its last picture"
        lines.append([(f"{text}, of {clock_text(seen.wall_ns)}, {ago} ago", "bad")])
    return lines


def _tops(seen: Seen, stale_ns: int) -> list[Line]:
    """The best prices of each leg, where the ladders stand further down."""
    kind = _kind(seen.row)
    legs = [one.leg for one in seen.detail.ladders]
    return [[(fit(leg.venue, 12) + " ", "strong"), *block(leg, kind, stale_ns)] for leg in legs]


def _kind(row: EventView | LineView) -> str:
    """How its prices are written: dollars for coins, else cents."""
    coins = isinstance(row, LineView) and any(outcome == "base" for _, outcome in row.deals)
    return "spot" if coins else row.kind


def _book(ladder: LadderView, row: EventView | LineView, cells: int, stale_ns: int) -> list[Line]:
    """Head and best levels of one leg."""
    lines = ladder_head(ladder, cells, stale_ns)
    levels = ladder_lines(ladder, _kind(row), cells, 0, TOP)
    more = max(len(ladder.bids), len(ladder.asks)) - TOP
    lines += levels or [[("no levels", "dim")]]
    if more > 0:
        lines.append([(f"{more} deeper level{'' if more == 1 else 's'} at the end of this page", "dim")])
    return lines


def _deeper(seen: Seen, width: int) -> list[Line]:
    """The rest of the ladders."""
    ladders = seen.detail.ladders
    deepest = max((max(len(one.bids), len(one.asks)) for one in ladders), default=0)
    if deepest <= TOP:
        return []
    cells = column_width(len(ladders), width, LEAST)
    blocks: list[Sequence[Line]] = []
    for one in ladders:
        head: Line = [(f"{one.leg.venue.upper()}  levels {TOP + 1} to {deepest}", HEAD)]
        blocks.append([head, *ladder_lines(one, _kind(seen.row), cells, TOP, deepest)])
    return [[], *beside(blocks, cells, width)]


def _decisions(seen: Seen, snapshot: Snapshot, width: int) -> list[Line]:
    """What the trader last decided about it."""
    found = [row for row in snapshot.decisions if row.event_id == seen.row.id][:DECISIONS]
    lines: list[Line] = [[("LAST DECISIONS OF THE TRADER", HEAD)]]
    if not found:
        return [*lines, [("none among its last 64", "dim")]]
    return lines + decision_lines(found, snapshot, width, named=False)
