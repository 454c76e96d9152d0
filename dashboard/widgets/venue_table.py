"""Venue table: each venue's socket, whether it speaks, whether it is verified, and how much and how fast.

In: a snapshot. Out: lines. Pure. Three things that may each fail for itself stand apart: the socket, the feed
that moves, and books that the venue's REST confirms.
"""

from __future__ import annotations

from dashboard.charts import sparkline
from dashboard.formatting import age_text, count_text, millis_text, rate_text
from dashboard.snapshot import CONNECTED, Snapshot, VenueView
from dashboard.widgets.panel import HEAD, Line, Span
from dashboard.widgets.table import Column, Table
from pipeline.model import BookFlag

SPARK = 12


def draw_venue_table(snapshot: Snapshot, width: int, compact: bool) -> list[Line]:  # noqa: ARG001
    """A heading, and a line a venue."""
    if not snapshot.venues:
        return [[("no feed yet", "dim")]]
    table = Table(snapshot.venues, COLUMNS, lambda one: one.name, "")
    head: Line = [(cell.text, HEAD) for cell in table.heading(0, width)]
    return [head, *(table.line(row, width) for row in range(len(snapshot.venues)))]


def _socket(one: VenueView) -> Span:
    """Whether there is a process with a socket that is up."""
    if not one.alive:
        return f"○ DEAD {age_text(one.beat_age_ns)}" if one.beat_age_ns else "○ DEAD", "bad"
    word = one.connection.name.lower().replace("_", " ")
    return (f"● {word}", "good") if one.connection in CONNECTED else (f"○ {word}", "bad")


def _moves(one: VenueView) -> Span:
    """How long ago the venue last gave a sign of life."""
    if not one.alive or one.connection not in CONNECTED:
        return "○ -", "dim"
    age = age_text(one.proof_age_ns)
    return (f"○ {age}", "bad") if one.silent else (f"● {age}", "good")


def _verified(one: VenueView) -> Span:
    """How long ago REST agreed with the book that it agreed with longest ago."""
    if one.flags & BookFlag.UNVERIFIED:
        return "✗ never", "fair"
    return ("-", "dim") if one.witnessed_ns is None else (f"✓ {age_text(one.witnessed_ns)}", "plain")


def _books(one: VenueView) -> Span:
    """Books that are LIVE, of all."""
    return f"{one.live_books}/{one.books}", "plain" if one.live_books == one.books else "fair"


def _fault(count: int) -> Span:
    return count_text(count), "fair" if count else "dim"


def _rate(one: VenueView) -> Span:
    return rate_text(one.rate).removesuffix("/s"), "plain" if one.rate else "dim"


def _lag(one: VenueView) -> Span:
    """What the venue's clock says a message took; negative where its clock is ahead of ours."""
    if one.lag_ns is None:
        return "-", "dim"
    return f"{millis_text(one.lag_ns[0])}/{millis_text(one.lag_ns[1])}", "plain"


COLUMNS: tuple[Column[VenueView], ...] = (
    Column("VENUE", 10, lambda one: (one.name, "strong")),
    Column("SOCKET", 12, _socket),
    Column("SPEAKS", 7, _moves),
    Column("REST", 7, _verified),
    Column("SUBS", 4, lambda one: (str(one.subscriptions), "plain"), None, True, spare=4),
    Column("BOOKS", 7, _books, None, True),
    Column("EVENTS", 11, lambda one: (count_text(one.frames), "plain"), None, True, spare=1),
    Column("MSG/S", 6, _rate, None, True),
    Column("RECONN", 6, lambda one: _fault(one.reconnects), None, True, spare=3),
    Column("BAD", 4, lambda one: _fault(one.bad_frames), None, True, spare=5),
    Column("GAPS", 4, lambda one: _fault(one.gaps), None, True, spare=2),
    Column("PING", 5, lambda one: (millis_text(one.ping_ns), "plain"), None, True, spare=6),
    Column("LAG 50/99", 9, _lag, None, True),
    Column("60 s", SPARK, lambda one: (sparkline(one.rates, SPARK, 0), "info"), spare=7),
)
"""Ping and lag are in ms; the lag is that of half of the messages, and of 99 of 100."""
