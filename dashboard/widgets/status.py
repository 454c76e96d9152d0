"""Status: the first two lines: the run, and its venues.

In: a snapshot. Out: one line each. Pure. RUNNING stands there only while the supervisor's heart
beats.
"""

from __future__ import annotations

from rich.cells import cell_len

from dashboard.formatting import (
    age_text,
    clean,
    count_text,
    exposure_word,
    letter,
    rate_text,
    span_text,
    up_text,
    usd_text,
)
from dashboard.snapshot import RunView, Snapshot, VenueView
from dashboard.widgets.panel import Line
from pipeline.model import ConnectionState

NARROW = 100
_MODES = {"paper": "paper", "live": "live", "replay": "replay"}

# What stands together, and how soon it gives way to others: the higher, the sooner.
Group = tuple[int, Line]


def draw_status(snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
    """Badges, RUNNING or STOPPED, what it runs as, and the account's totals."""
    run = snapshot.run
    if not run.seen:
        return [[("○ STOPPED", "bad"), ("  waiting for a run in this data directory", "dim")]]
    narrow = width < NARROW
    first = [*_badges(snapshot), ("● RUNNING", "good") if run.alive else ("○ STOPPED", "bad")]
    if not run.alive:
        first.append((f" {span_text(run.beat_age_ns)} ago", "bad"))
    return [_pack([(0, first), *_what(snapshot, narrow=narrow), *_account(snapshot, narrow=narrow)], width)]


def _pack(groups: list[Group], width: int) -> Line:
    """The groups that fit, as they stand: those of the lowest rank first, and none is cut into a smaller
    number.
    """
    left = width
    kept: set[int] = set()
    for at in sorted(range(len(groups)), key=lambda at: groups[at][0]):
        cells = sum(cell_len(text) for text, _ in groups[at][1])
        if cells <= left:
            left -= cells
            kept.add(at)
    return [span for at in sorted(kept) for span in groups[at][1]]


def _badges(snapshot: Snapshot) -> Line:
    """Whose money and whose market this is, each a word on its own ground."""
    run = snapshot.run
    badges: Line = []
    if run.simulated:
        badges.append((" SIM ", "sim"))
    if run.replay or snapshot.replay is not None:
        badges.append((" REPLAY ", "replay"))
    if run.mode and not (badges and run.mode == "replay"):
        badges.append((f" {run.mode.upper()} ", _MODES.get(run.mode, "live")))
    if snapshot.summary is not None and snapshot.summary.halted:
        badges.append((" HALTED ", "halt"))
    return [*badges, (" ", "plain")]


def _what(snapshot: Snapshot, *, narrow: bool) -> list[Group]:
    """Profile, order mode and which configuration is in force (demo/taker v3), and how long it runs."""
    mode = snapshot.summary.mode if snapshot.summary is not None else ""
    run = snapshot.run
    if narrow:
        mode = mode.removesuffix("_hedge")
        groups: list[Group] = [(4, [(f" {clean(mode)}", "plain")])] if mode else []
        return [*groups, (5, [(f" up {span_text(run.uptime_ns)}", "plain")])] if run.alive else groups
    what = clean(f"{run.profile}/{mode}" if mode else run.profile)
    groups = [(4, [(f"  {what}", "plain")])]
    if run.config_version:
        groups.append((9, [(f" v{run.config_version}", "dim")]))
    return [*groups, (5, [(f"  up {up_text(run.uptime_ns)}", "plain")])] if run.alive else groups


def _account(snapshot: Snapshot, *, narrow: bool) -> list[Group]:
    """P&L of the day, exposure and its limit, opportunities and trades, as the trader last wrote them."""
    total = snapshot.summary
    if total is None:
        return [(1, [("  no trader yet", "dim")])]
    alive = snapshot.trader_alive
    word, role = exposure_word(total.exposure_micros)
    day, sure = total.day_pnl_micros, "" if total.day_known else "?"
    pnl_role = "good" if day > 0 else "bad" if day < 0 else "plain"
    exposure = usd_text(total.exposure_micros)
    labels = (" P&L ", " exp ", " opp ", " tr ") if narrow else (
        "  P&L day ", "  exposure ", "  opps ", "  trades ")  # fmt: skip
    old: Line = [] if alive else [("⚠", "fair")]
    groups: list[Group] = [
        (1, [(labels[0], "dim"), (usd_text(day, sign=True) + sure, pnl_role if alive else "dim"), *old]),
        (2, [(labels[1], "dim"), (f"{exposure} {word}", role if alive else "dim"), *old]),
    ]
    if snapshot.limits is not None:
        groups.append((8, [(f" /{usd_text(snapshot.limits.exposure_micros).removesuffix('.00')}", "dim")]))
    return [
        *groups,
        (6, [(labels[2], "dim"), (count_text(total.opportunities), "plain"), *old]),
        (7, [(labels[3], "dim"), (count_text(total.trades), "plain"), *old]),
    ]


def draw_venues(snapshot: Snapshot, width: int, _compact: bool) -> list[Line]:
    """A dot, a name, a rate and the books of each venue; the fullest wording that fits.

    The dot is the socket; whether the feed's process lives stands in the word of a ○, and whether the
    venue's own REST agreed with its books behind ✓. Venues in trouble are never left out for others.
    """
    if not snapshot.venues:
        return [[("○ no feed yet", "dim")]]
    for level in (3, 2, 1, 0):
        gap = "  " if level else " "
        groups = [[*_venue(one, snapshot.run, level), (gap, "plain")] for one in snapshot.venues]
        if sum(cell_len(text) for group in groups for text, _ in group) <= width + len(gap):
            break
    else:
        groups = [[*_venue(one, snapshot.run, -1), (" ", "plain")] for one in snapshot.venues]
    ranked = [(one.connected, group) for one, group in zip(snapshot.venues, groups, strict=True)]
    line = _pack([(int(well), group) for well, group in ranked], width + len(gap))
    missing = len(groups) - sum(role in {"good", "bad"} and text[0] in "●○" for text, role in line)
    if missing:
        # Then nothing is well enough to be left out in silence.
        line = _pack([(int(well), group) for well, group in ranked], width - 4)
        missing = len(groups) - sum(role in {"good", "bad"} and text[0] in "●○" for text, role in line)
        line.append((f"+{missing}", "dim"))
    return [line]


def _venue(venue: VenueView, run: RunView, level: int) -> Line:
    """One venue, in few words (level 0; -1 by its letter) or in many (3)."""
    dot = "●" if venue.connected else "○"
    line: Line = [(f"{dot} " if level > 0 else dot, "good" if venue.connected else "bad")]
    line.append((clean(venue.name) if level >= 0 else letter(venue.name), "strong"))
    if not venue.connected:
        return [*line, (f" {_trouble(venue)}", "bad")]
    line.append((f" {rate_text(venue.rate)}", "plain"))
    if level == 3:
        line.append((f" {venue.subscriptions} sub", "dim"))
    if level >= 1:
        share = "" if venue.live_books == venue.books else f"{venue.live_books}/"
        noun = "book" if venue.books == 1 else "books"
        line.append((f" {share}{venue.books} {noun}", "fair" if share else "dim"))
    if level >= 2 and venue.witnessed_ns is not None:
        line.append((f" ✓{age_text(venue.witnessed_ns)}", "dim"))
    if level >= 2 and venue.gaps:
        line.append((f" {venue.gaps} gaps", "fair"))
    if level >= 2 and venue.bad_frames:
        line.append((f" {venue.bad_frames} bad", "fair"))
    if venue.simulated and not run.simulated:
        line.append((" sim", "info"))
    return line


def _trouble(venue: VenueView) -> str:
    """What is wrong with a venue, and since when: process dead, socket retrying, or venue silent."""
    if venue.state == "dead":
        return f"dead {age_text(venue.beat_age_ns)}"
    age = f" {age_text(venue.proof_age_ns)}" if venue.proof_age_ns else ""
    if venue.connection is ConnectionState.BACKOFF:
        return f"retry{age}"
    return f"{venue.state}{age}" if venue.state == "silent" else venue.state
