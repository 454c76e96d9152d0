"""Direction: one way to trade an event: what is left of its gross, why it is refused, and how it was.

In: an edge of a snapshot with its legs, its curve, its recent history. Out: lines. Pure. Every number is the
scanner's or the trading path's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dashboard.charts import sparkline, waterfall
from dashboard.event_views import CurveView, EdgeView, LegView
from dashboard.formatting import (
    age_text,
    arrow,
    bp_text,
    clean,
    fit,
    percent_text,
    size_text,
    span_text,
    usd_text,
)
from dashboard.plots import curve
from dashboard.reasons import limit_keys, reason_plain, reason_sentence
from dashboard.snapshot import LimitsView, Snapshot
from dashboard.widgets.cells import accepted, edge_word
from dashboard.widgets.notice import CONFIDENCE_WORDS
from dashboard.widgets.panel import HEAD, Line
from pipeline.model import Reason
from shm.records import LifeRow

CURVE_HEIGHT = 8
MODEL = "model"
# Words of cells.edge_word, which is short, as a sentence.
_WORDS = {
    "dead": "a feed is dead: its books are what it last heard",
    "no scan": "the scanner does not run: this is the last it said",
    "closed": "the market is closed",
    "stale": "a venue is silent",
    "gap": "a book lost a message and waits for its snapshot",
    "empty": "a book has not come yet",
    "crossed": "a book is crossed: bid over ask",
    "quiet": "a market is quiet: nothing moved in it for long",
}


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a row: its name ("K→P", or its kind), its legs, its edge and its curve."""

    name: str
    kind: str
    legs: Sequence[LegView]
    edge: EdgeView | None
    curve: CurveView | None
    history: Sequence[tuple[int, int | None]] = ()
    """(age in ns, edge in bp), oldest first."""


def draw_way(way: Way, width: int, snapshot: Snapshot, stale_ns: int) -> list[Line]:
    """The verdict, the waterfall, what stands beside it, and the race."""
    edge = way.edge
    if edge is None:
        return [[(way.name, HEAD), ("  the scanner does not look this way", "dim")]]
    lines = _verdict(way, edge, snapshot, stale_ns)
    if not edge.has_numbers:
        return [*lines, [("no price, so no waterfall", "dim")]]
    fall = waterfall(
        [
            ("gross", edge.gross_micros, True),
            ("depth", -edge.depth_micros, False),
            (f"fee {clean(edge.buy_venue)}", -edge.fee_buy_micros, False),
            (f"fee {clean(edge.sell_venue)}", -edge.fee_sell_micros, False),
            ("net", edge.net_micros, True),
        ],
        width,
    )
    if edge_word(way.legs, edge, snapshot)[0]:
        # Not to be believed now: nothing of it may look like a profit.
        fall = [[(text, "dim") for text, _ in line] for line in fall]
        lines.append([("as the scanner last priced it:", "dim")])
    lines += fall
    beside = [
        f"{usd_text(-edge.leg_risk_micros, sign=True)}",
        f"lock-up {usd_text(-edge.lock_up_micros, sign=True)}",
        f"mismatch {percent_text(edge.mismatch_ppm)}",
    ]
    size = size_text(edge.size_units, edge.size_decimals)
    cash = f"size {size} for {usd_text(edge.cash_micros)}"
    annual = f", {bp_text(edge.annual_bp)} bp a year" if edge.annual_bp > 0 else ""
    return [
        *lines,
        [("leg risk ", "dim"), (" · ".join(beside), "plain")],
        [("takes ", "dim"), (cash + annual, "plain")],
        [("race ", "dim"), (race_words(edge, snapshot.limits), "plain")],
        [("confidence ", "dim"), (_confidence(edge), "plain")],
    ]


def _verdict(way: Way, edge: EdgeView, snapshot: Snapshot, stale_ns: int) -> list[Line]:
    """Name, edge, and whether the scanner takes it; else the reason with number and limit, and below it what
    that means and which keys set the limit.
    """
    word, role = edge_word(way.legs, edge, snapshot)
    head: Line = [(f"{way.name}  ", HEAD)]
    if word in _WORDS:
        return [[*head, (_WORDS[word], role)]]
    number = f"{bp_text(edge.edge_bp)} bp  " if edge.has_numbers else ""
    if way.kind == MODEL:
        return [[*head, (number, "plain"), ("an opinion, never traded", "info")]]
    if accepted(way.legs, edge, snapshot, stale_ns):
        return [[*head, (number, "good"), ("▲ the scanner takes it", "good")]]
    if edge.reason == Reason.NONE:
        return [[*head, (number, "fair"), ("⚠ a book is older than it should be", "fair")]]
    said = reason_sentence(edge.reason, edge.value_micros, edge.limit_micros)
    plain = reason_plain(edge.reason)
    keys = " ".join(limit_keys(edge.reason))
    lines: list[Line] = [[*head, (number, "plain"), (f"refused: {said}", "fair")]]
    more = ", ".join([*([plain] if plain != said else []), *([f"set by {keys}"] if keys else [])])
    return [*lines, [(more, "dim")]] if more else lines


def race_words(edge: EdgeView, limits: LimitsView | None) -> str:
    """How likely the edge is to be still there when orders arrive, and where that is from; "-" for a loss."""
    if edge.edge_bp <= 0:
        return "-"
    if not edge.race_ppm and edge.race_count <= 0:
        return "nobody has said"
    share = percent_text(edge.race_ppm, 0)
    if edge.race_count > 0:
        lives = f"{edge.race_count:,} {'life' if edge.race_count == 1 else 'lives'}"
        return f"{share} to be in time, of {lives}"
    half = f", half-life {limits.half_life_ms} ms" if limits is not None else ""
    return f"{share} to be in time, a prior{half}"


def _confidence(edge: EdgeView) -> str:
    """The scanner's word, and how long the edge has lived."""
    word = CONFIDENCE_WORDS.get(edge.confidence, "?")
    if edge.life_ns is None:
        return word
    return f"{word}  the edge lives since {life_text(edge.life_ns)}"


def life_text(span_ns: int) -> str:
    """How long an opportunity lived: 90 ms, 1.2 s, 11m32s."""
    if span_ns < 10**9:
        return f"{span_ns / 1e6:.0f} ms"
    return f"{span_ns / 1e9:.1f} s" if span_ns < 100 * 10**9 else span_text(span_ns)


def draw_curve(way: Way, width: int) -> list[Line]:
    """What is left at each size, with the best marked; or why nobody can say."""
    head: Line = [(f"{way.name}  net by size", HEAD)]
    found = way.curve
    if found is None or not found.points:
        why = found.problem if found is not None and found.problem else "no size can be priced"
        return [head, [(f"not priced: {why}", "dim")]]
    best = max(found.points, key=lambda point: point[1])
    said = f"  best {size_text(best[0], found.size_decimals)}: {usd_text(best[1], sign=True)}"
    return [
        [*head, (said, "gain" if best[1] > 0 else "dim")],
        *curve(found.points, width, CURVE_HEIGHT, _sizes(found.size_decimals), mark=best[0]),
    ]


def _sizes(decimals: int) -> Callable[[int], str]:
    return lambda units: size_text(units, decimals)


def draw_history(way: Way, width: int) -> list[Line]:
    """The edge of the last minute as a sparkline, with its ends and what it is now."""
    known = [edge for _, edge in way.history if edge is not None]
    if not known:
        return [[(f"{way.name}  edge ", HEAD), ("not priced since this screen was opened", "dim")]]
    span = age_text(way.history[0][0])
    said = f" min {bp_text(min(known))} max {bp_text(max(known))} now "
    now = way.history[-1][1]
    said += (f"{bp_text(now)} bp" if now is not None else "none") + f", {span}"
    head = f"{way.name}  edge "
    cells = max(8, width - len(head) - len(said))
    return [[(head, HEAD), (sparkline([edge for _, edge in way.history], cells), "info"), (said, "plain")]]


def draw_lives(lives: Sequence[LifeRow], now_ns: int, width: int) -> list[Line]:
    """Opportunities of the event that ended: when, how long, how large, why."""
    lines: list[Line] = [[("PAST OPPORTUNITIES", HEAD)]]
    if not lives:
        return [*lines, [("none that the scanner remembers", "dim")]]
    for life in lives:
        ended = f"{age_text(now_ns - life.ended_ns)} ago"
        lived = life_text(max(0, life.ended_ns - life.born_ns))
        best = f"best {bp_text(life.best_edge_bp)} bp {usd_text(life.best_net_micros, sign=True)}"
        size = f"size {size_text(life.size_units, life.size_decimals)}"
        why = "lost from sight" if life.censored else "gone"
        reason = reason_plain(life.reason)
        text = (
            f"{fit(ended, 10)} {fit(arrow(life.buy_venue, life.sell_venue), 6)} lived {fit(lived, 8)} "
            f"{fit(best, 22)} {fit(size, 10)} {why}{f': {reason}' if reason else ''}"
        )
        lines.append([(fit(text, width), "dim" if life.censored else "plain")])
    return lines
