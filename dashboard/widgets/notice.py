"""Notice: the line of what needs attention; else the best edge in full; else what the signs mean.

In: a snapshot. Out: one line. Pure.
"""

from __future__ import annotations

from rich.cells import cell_len

from dashboard.event_views import EdgeView, EventView, LineView
from dashboard.formatting import arrow, bp_text, clean, fit, join_fitting, race_text, usd_text
from dashboard.snapshot import Snapshot, WorkerView
from dashboard.widgets.cells import accepted
from dashboard.widgets.lines import MODEL
from dashboard.widgets.panel import Line, Span
from dashboard.widgets.processes import is_well
from pipeline.model import BookFlag, Confidence

NARROW = 100
# How many rows are looked at for the best edge: those that leave most may be refused or old.
LOOKED_AT = 24
CONFIDENCE_WORDS: dict[int, str] = {
    Confidence.HIGH: "high",
    Confidence.MEDIUM: "medium",
    Confidence.LOW: "low",
}


def draw_notice(snapshot: Snapshot, width: int, stale_ns: int) -> list[Line]:
    """What needs attention, worst first; else the best edge in full; else what the signs mean."""
    notices, best = _notices(snapshot), _best(snapshot, stale_ns)
    if notices:
        line = _whole(notices, width - 2)
        used = sum(cell_len(text) for text, _ in line)
        return [[("⚠ ", notices[0][1]), *line, *_told(best, width - 2 - used)]]
    if not snapshot.run.seen:
        return [[("start one with: python3 run.py up. This screen attaches by itself.", "plain")]]
    known = len(snapshot.events.ids)
    count = f"{known} event{'' if known == 1 else 's'}"
    if best:
        return [[(count, "strong"), *_told(best, width - len(count))]]
    legend = "▲ the scanner accepts it · edges in bp after all fees · ⚠ older than it should be"
    return [[(count, "strong"), (f"   {legend}" if width >= NARROW else "", "dim")]]


def _whole(notices: list[Span], cells: int) -> Line:
    """As many whole notices as fit, and how many do not; the first one in any case."""
    line: Line = []
    used = 0
    for at, (text, role) in enumerate(notices):
        gap = " · " if at else ""
        left = len(notices) - at - 1
        room = cells - used - len(gap) - (len(f" · {left} more") if left else 0)
        if at and cell_len(text) > room:
            return [*line, (f" · {left + 1} more", "dim")]
        shown = text if cell_len(text) <= room else fit(text, max(1, room))
        line += [(gap, "dim"), (shown, role)]
        used += len(gap) + cell_len(shown)
    return line


def _told(best: list[str], cells: int) -> Line:
    """As much of the best edge as fits; nothing where there is none, or no room for its name."""
    text = join_fitting(best, cells - 4)
    return [("  ▲ ", "good"), (text, "plain")] if text else []


def _best(snapshot: Snapshot, stale_ns: int) -> list[str]:
    """The accepted edge that leaves most, in words from the most to the least important; models are none."""
    found = _best_of(snapshot, stale_ns)
    if found is None:
        return []
    name, how, edge = found
    race = race_text(edge.race_ppm, edge.race_count)
    annual = f"{bp_text(edge.annual_bp)} bp a year" if edge.annual_bp else ""
    parts = [
        f"{clean(name)} {how}",
        f"{bp_text(edge.edge_bp)} bp",
        f"{usd_text(edge.net_micros, sign=True)} on {usd_text(edge.cash_micros)}",
        f"confidence {CONFIDENCE_WORDS.get(edge.confidence, '?')}",
        f"race {race}" if race else "",
        annual,
    ]
    return [part for part in parts if part]


def _best_of(snapshot: Snapshot, stale_ns: int) -> tuple[str, str, EdgeView] | None:
    """Event, direction and edge; only so many rows are looked at from the largest net down."""
    for row in snapshot.events.arrange("net", descending=True)[:LOOKED_AT]:
        event = snapshot.events[row]
        if isinstance(event, LineView):
            edges: tuple[EdgeView | None, ...] = (event.edge,) if event.kind != MODEL else ()
        else:
            edges = event.edges
        taken = [
            edge for edge in edges if edge is not None and accepted(event.legs, edge, snapshot, stale_ns)
        ]
        if taken:
            edge = max(taken, key=lambda one: one.net_micros)
            pair = isinstance(event, EventView)
            return event.id, arrow(edge.buy_venue, edge.sell_venue) if pair else event.kind, edge
    return None


def _orders(count: int) -> str:
    return f"{count} order{'' if count == 1 else 's'}"


def _is_ill(worker: WorkerView) -> bool:
    """Whether a worker is in a state that a person may have to do something about."""
    return not is_well(worker) and worker.state != "starting"


def _alone(snapshot: Snapshot) -> str:
    """What it means that no supervisor's heart beats: nobody runs, or those who do are alone."""
    orphans = sum(worker.state == "orphan" for worker in snapshot.workers)
    if not orphans:
        return "the bot does not run: what follows is the last it said"
    # A trader opens nothing once the supervisor's heart has stood still for a second.
    trades = "; hedges go on, nothing new is opened" if snapshot.trader_alive else ""
    return f"no supervisor: {orphans} worker{'' if orphans == 1 else 's'} still at work alone{trades}"


def _notices(snapshot: Snapshot) -> list[Span]:
    """Everything wrong that is not already a word in a row."""
    found: list[Span] = [(clean(problem), "bad") for problem in snapshot.problems[:2]]
    total = snapshot.summary
    if snapshot.run.seen and not snapshot.run.alive:
        found.append((_alone(snapshot), "bad"))
    if total is not None and total.halted:
        cause = clean(total.halt_cause)
        found.append((f"HALTED: {cause}" if cause else "trading is halted", "bad"))
    if total is not None and total.resolving:
        found.append((f"{_orders(total.resolving)} of an earlier run asked for", "fair"))
    if total is not None and total.unknown_orders:
        found.append((f"{_orders(total.unknown_orders)} unknown", "fair"))
    if total is not None and total.unhedged:
        found.append((f"{total.unhedged} unhedged", "bad"))
    if snapshot.run.alive:
        if snapshot.run.config_problem:
            found.append((f"config refused: {clean(snapshot.run.config_problem)}", "bad"))
        if not snapshot.scanner_alive:
            found.append(("no scanner: no edges", "fair"))
        if not snapshot.trader_alive:
            found.append(("no trader: figures are old", "fair"))
        ill = [clean(f"{one.name} {one.state}") for one in snapshot.workers if _is_ill(one)]
        found += [(text, "fair") for text in ill]
    if snapshot.flags & BookFlag.UNVERIFIED:
        found.append(("some books are unverified", "fair"))
    if snapshot.run.alive and snapshot.run.config_waits:
        found.append((f"config: {clean(snapshot.run.config_waits)}", "fair"))
    return found
