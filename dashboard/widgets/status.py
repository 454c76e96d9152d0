"""Status: the first three lines: the run, its venues, and what needs attention.

In: a snapshot. Out: one line each. Pure. RUNNING stands there only while the supervisor's heart
beats.
"""

from __future__ import annotations

from rich.cells import cell_len

from dashboard.formatting import (
    age_text,
    arrow,
    bp_text,
    clean,
    exposure_word,
    join_fitting,
    race_text,
    rate_text,
    span_text,
    up_text,
    usd_text,
)
from dashboard.snapshot import RunView, Snapshot, VenueView, WorkerView
from dashboard.widgets.cells import accepted
from dashboard.widgets.lines import MODEL
from dashboard.widgets.panel import Line, Span
from dashboard.widgets.workers import is_well
from pipeline.model import BookFlag, Confidence

NARROW = 100
# Workers in trouble that are named; more are counted.
NAMED = 3
CONFIDENCE_WORDS: dict[int, str] = {
    Confidence.HIGH: "high",
    Confidence.MEDIUM: "medium",
    Confidence.LOW: "low",
}
_MODES = {"paper": "paper", "live": "live", "replay": "replay"}


def draw_status(snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
    """Badges, RUNNING or STOPPED, and the account's totals."""
    run = snapshot.run
    line = _badges(snapshot)
    if not run.seen:
        return [[("○ STOPPED", "bad"), ("  waiting for a run in this data directory", "dim")]]
    line.append(("● RUNNING", "good") if run.alive else ("○ STOPPED", "bad"))
    narrow = width < NARROW
    if run.alive:
        up = f"up {up_text(run.uptime_ns)}"
        line.append((f" {up}" if narrow else f"  {_what(snapshot)}  {up}", "plain"))
    else:
        line.append((f" {span_text(run.beat_age_ns)} ago", "bad"))
    return [_pack([line, *_account(snapshot, narrow=narrow)], width)]


def _pack(groups: list[Line], width: int) -> Line:
    """As many whole groups as fit, in order, so that no number is ever cut into a smaller one."""
    line: Line = []
    used = 0
    for group in groups:
        used += sum(cell_len(text) for text, _ in group)
        if used > width:
            break
        line += group
    return line


def _badges(snapshot: Snapshot) -> Line:
    """Whose money and whose market this is, each a word on its own ground."""
    run = snapshot.run
    badges: Line = []
    if run.simulated:
        badges += [(" SIM ", "sim"), (" ", "plain")]
    if run.replay:
        badges += [(" REPLAY ", "replay"), (" ", "plain")]
    if run.mode:
        badges += [(f" {run.mode.upper()} ", _MODES.get(run.mode, "live")), (" ", "plain")]
    if snapshot.summary is not None and snapshot.summary.halted:
        badges += [(" HALTED ", "halt"), (" ", "plain")]
    return badges


def _what(snapshot: Snapshot) -> str:
    """Profile, order mode, and which configuration is in force: demo/taker v3."""
    mode = snapshot.summary.mode if snapshot.summary is not None else ""
    run = snapshot.run
    what = f"{run.profile}/{mode}" if mode else run.profile
    return f"{what} v{run.config_version}" if run.config_version else what


def _account(snapshot: Snapshot, *, narrow: bool) -> list[Line]:
    """P&L of the day, exposure, opportunities and trades, as the trader last wrote them."""
    total = snapshot.summary
    if total is None:
        return [[("  no trader yet", "dim")]]
    alive = snapshot.trader_alive
    word, role = exposure_word(total.exposure_micros)
    day, sure = total.day_pnl_micros, "" if total.day_known else "?"
    pnl_role = "good" if day > 0 else "bad" if day < 0 else "plain"
    exposure = usd_text(total.exposure_micros)
    labels = (" P&L ", " exp ", " opp ", " tr ") if narrow else (
        "  P&L day ", "  exposure ", "  opps ", "  trades ")  # fmt: skip
    old: Line = [] if alive else [("⚠", "fair")]
    return [
        [(labels[0], "dim"), (usd_text(day, sign=True) + sure, pnl_role if alive else "dim"), *old],
        [(labels[1], "dim"), (f"{exposure} {word}", role if alive else "dim"), *old],
        [(labels[2], "dim"), (str(total.opportunities), "plain"), *old],
        [(labels[3], "dim"), (str(total.trades), "plain"), *old],
    ]


def draw_venues(snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
    """A dot, a name, a rate and the books of each venue; the fullest wording that fits."""
    if not snapshot.venues:
        return [[("○ no feed yet", "dim")]]
    for level in (2, 1, 0):
        gap = "  " if level else " "
        groups = [[*_venue(one, snapshot.run, level), (gap, "plain")] for one in snapshot.venues]
        if sum(cell_len(text) for group in groups for text, _ in group) <= width + len(gap):
            break
    return [_pack(groups, width + len(gap))]


def _venue(venue: VenueView, run: RunView, level: int) -> Line:
    """One venue, in few words (level 0) or in many (2)."""
    dot = "●" if venue.connected else "○"
    line: Line = [(f"{dot} " if level else dot, "good" if venue.connected else "bad")]
    line.append((venue.name, "strong"))
    if not venue.connected:
        since = venue.beat_age_ns if not venue.alive else venue.proof_age_ns
        age = f" {age_text(since)}" if venue.state in {"dead", "silent"} and since else ""
        return [*line, (f" {venue.state}{age}", "bad")]
    line.append((f" {rate_text(venue.rate)}", "plain"))
    if level:
        share = "" if venue.live_books == venue.books else f"{venue.live_books}/"
        noun = "book" if venue.books == 1 else "books"
        line.append((f" {share}{venue.books} {noun}", "fair" if share else "dim"))
    if level == 2 and venue.witnessed_ns is not None:
        line.append((f" ✓{age_text(venue.witnessed_ns)}", "dim"))
    if level == 2 and venue.gaps:
        line.append((f" {venue.gaps} gaps", "fair"))
    if level == 2 and venue.bad_frames:
        line.append((f" {venue.bad_frames} bad", "fair"))
    if venue.simulated and not run.simulated:
        line.append((" sim", "info"))
    return line


def draw_notice(snapshot: Snapshot, width: int, stale_ns: int) -> list[Line]:
    """What needs attention, worst first; else the best edge in full; else what the signs mean."""
    notices, best = _notices(snapshot), _best(snapshot, stale_ns)
    if notices:
        line: Line = [(f"⚠ {' · '.join(text for text, _ in notices)}", notices[0][1])]
        return [[*line, *_told(best, width - cell_len(line[0][0]))]]
    if not snapshot.run.seen:
        return [[("start one with: python3 run.py up. This screen attaches by itself.", "plain")]]
    known = len(snapshot.event_ids)
    count = f"{known} event{'' if known == 1 else 's'}"
    if best:
        return [[(count, "strong"), *_told(best, width - len(count))]]
    legend = "▲ the scanner accepts it · edges in bp after all fees · ⚠ older than it should be"
    return [[(count, "strong"), (f"   {legend}" if width >= NARROW else "", "dim")]]


def _told(best: list[str], cells: int) -> Line:
    """As much of the best edge as fits; nothing where there is none, or no room for its name."""
    text = join_fitting(best, cells - 4)
    return [("  ▲ ", "good"), (text, "plain")] if text else []


def _best(snapshot: Snapshot, stale_ns: int) -> list[str]:
    """The accepted edge that leaves most, in words from the most to the least important; models are none."""
    found = [
        (event.id, arrow(edge.buy_venue, edge.sell_venue), edge)
        for event in snapshot.events
        for edge in event.edges
        if edge is not None and accepted(event.legs, edge, snapshot, stale_ns)
    ]
    found += [
        (line.id, line.kind, line.edge)
        for line in snapshot.lines
        if line.kind != MODEL and accepted(line.legs, line.edge, snapshot, stale_ns)
    ]
    if not found:
        return []
    name, how, edge = max(found, key=lambda one: one[2].net_micros)
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


def _is_ill(worker: WorkerView) -> bool:
    """Whether a worker is in a state that a person may have to do something about."""
    return not is_well(worker) and worker.state != "starting"


def _notices(snapshot: Snapshot) -> list[Span]:
    """Everything wrong that is not already a word in a row."""
    found: list[Span] = [(problem, "bad") for problem in snapshot.problems[:2]]
    total = snapshot.summary
    if total is not None and total.halted:
        cause = clean(total.halt_cause)
        found.append((f"HALTED: {cause}" if cause else "trading is halted", "bad"))
    if total is not None and total.resolving:
        found.append((f"{total.resolving} orders of an earlier run are asked for", "fair"))
    if total is not None and total.unknown_orders:
        found.append((f"{total.unknown_orders} orders unknown", "fair"))
    if total is not None and total.unhedged:
        found.append((f"{total.unhedged} unhedged", "bad"))
    if snapshot.run.seen and not snapshot.run.alive:
        found.append(("the bot does not run: what follows is the last it said", "bad"))
    elif snapshot.run.alive:
        if snapshot.run.config_problem:
            found.append((f"config refused: {clean(snapshot.run.config_problem)}", "bad"))
        if not snapshot.scanner_alive:
            found.append(("no scanner: no edges", "fair"))
        if not snapshot.trader_alive:
            found.append(("no trader: figures are old", "fair"))
        ill = [f"{one.name} {one.state}" for one in snapshot.workers if _is_ill(one)]
        found += [(text, "fair") for text in ill[:NAMED]]
        if len(ill) > NAMED:
            found.append((f"{len(ill) - NAMED} more", "fair"))
    if snapshot.flags & BookFlag.UNVERIFIED:
        found.append(("some books are unverified", "fair"))
    if snapshot.run.alive and snapshot.run.config_waits:
        found.append((f"config: {clean(snapshot.run.config_waits)}", "fair"))
    return found
