"""Feeds: what one venue's memory file says, followed through restarts: its books, and a line about it.

In: an attached feed segment. Out: a `FeedPicture` of all its books, and a `VenueView`. Run by `source` once
a tick; a book that did not change is not copied again.
"""

from __future__ import annotations

import numpy as np
from numpy import int64
from numpy.typing import NDArray

from dashboard.attachment import Attachment
from dashboard.event_views import LadderView
from dashboard.feed_picture import ASK_UNITS, Directory, FeedPicture, Life, page_columns
from dashboard.rates import Rate
from dashboard.snapshot import CONNECTED, VenueView
from pipeline.model import BookFlag, ConnectionState, StateLimits
from shm.books import BOOK_HEAD_WORDS, BOOKS, CONNECTIONS, MARKETS, BookReader, ConnectionRow
from shm.layout import SLOTS
from shm.records import MARKET
from shm.segment import SegmentError, View
from shm.slot_copy import SlotCopy
from shm.statistics import STATISTICS, Statistics, read_statistics

NO_MARKETS = Directory([])
LEVEL_WORDS = 4  # a level of each side


class FeedMemory:
    """One feed's segment, book by book. Call `refresh` once a tick, then ask."""

    def __init__(self, venue: str, attachment: Attachment, limits: StateLimits) -> None:
        self.venue = venue
        self.attachment = attachment
        self.limits = limits
        self.rate = Rate()
        self._generation = 0
        self._reader: BookReader | None = None
        self._copy: SlotCopy | None = None
        self._directory = NO_MARKETS
        self._directory_version = 0
        self._connections: list[ConnectionRow] = []
        self._counters: dict[str, int] = {}
        self._statistics = Statistics()
        self._retries = 0
        self.picture = FeedPicture(venue, NO_MARKETS, *_nothing(), self._life(0))

    def refresh(self, now_ns: int) -> None:
        """Follow the segment, and take a picture of its books."""
        self.attachment.refresh()
        view = self.attachment.view
        if view is not None and self.attachment.generation != self._generation:
            self._generation = self.attachment.generation
            self._open(view)
        if view is not None and self._reader is not None:
            self._read_directory()
            self._connections = self._reader.connections()
            self._counters = self.attachment.counters()
            self._statistics = _statistics(view)
            self.rate.note(now_ns, self._counters.get("frames", 0))
        numbers = words = None
        if self._copy is not None:
            self._copy.refresh()
            numbers, words = self._copy.numbers, self._copy.words
        if numbers is None or words is None:
            numbers, words = _nothing()
        self.picture = FeedPicture(self.venue, self._directory, numbers, words, self._life(now_ns))

    def ladder(self, market: str, now_ns: int, *, inverse: bool) -> LadderView:
        """A market's book to full depth, as it is now."""
        found = self._directory.markets.get(market)
        book = None
        if found is not None and self._reader is not None and found[0] < len(self._reader):
            book = self._reader.get(found[0])
        seen = FeedPicture(self.venue, self._directory, *_nothing(), self._life(now_ns))
        return seen.ladder(market, book, inverse=inverse)

    def line(self, now_ns: int) -> VenueView:
        """The venue as a whole."""
        picture, statistics = self.picture, self._statistics
        used = [row for row in self._connections if _used(row)]
        weakest = min(used, key=_strength, default=None)
        proof_ns = weakest.proof_ns if weakest is not None else 0
        proof_age_ns = max(0, now_ns - proof_ns) if proof_ns else 0
        alive = self.attachment.alive(now_ns, self.limits.heartbeat_ns)
        flags = picture.flags()
        lag_ns = (statistics.lag_p50_ns, statistics.lag_p99_ns) if statistics.lag_samples else None
        return VenueView(
            name=self.venue,
            alive=alive,
            connection=_connection_state(weakest),
            connections=len(used),
            beat_age_ns=self.attachment.beat_age_ns(now_ns),
            proof_age_ns=proof_age_ns,
            silent=not proof_ns or proof_age_ns > self.limits.proof_ns,
            rate=self.rate.a_second() if alive else 0.0,
            frames=self._counters.get("frames", 0),
            books=picture.books,
            live_books=picture.live_books(),
            gaps=self._counters.get("gaps", 0),
            bad_frames=self._counters.get("bad_frames", 0),
            reconnects=self._counters.get("reconnects", 0),
            simulated=bool(flags & BookFlag.SIM),
            witnessed_ns=picture.witnessed_ns(),
            flags=flags,
            subscriptions=statistics.subscriptions,
            lag_ns=lag_ns,
            ping_ns=max((row.ping_ns for row in used), default=0) or None,
            rates=self.rate.last_minute(),
        )

    @property
    def read_again(self) -> int:
        """How often a book was under its feed's hands and was read again."""
        here = self._copy.read_again if self._copy is not None else 0
        whole = self._reader.retries if self._reader is not None else 0
        return self._retries + here + whole

    def _open(self, view: View) -> None:
        """Readers of a new segment; none where it is not drawn as a feed's."""
        self._retries = self.read_again
        self._reader = self._copy = None
        self._directory, self._directory_version = NO_MARKETS, 0
        self._connections, self._counters, self._statistics = [], {}, Statistics()
        if not _is_feed(view):
            return
        try:
            self._reader = BookReader(view)
        except SegmentError:
            return
        columns = page_columns(self._reader.depth)
        self._copy = SlotCopy(view.slots(BOOKS, max(columns) + 1), columns)

    def _read_directory(self) -> None:
        """The directory, made anew only where it changed."""
        table = self.attachment.rows(MARKETS, MARKET)
        if table is None:
            return
        rows = table.all()
        if table.version != self._directory_version:
            self._directory, self._directory_version = Directory(rows), table.version

    def _life(self, now_ns: int) -> Life:
        view = self.attachment.view
        heartbeat_ns = view.header.heartbeat_ns if view is not None else 0
        return Life(now_ns, self.attachment.retired, heartbeat_ns, self.limits, self._connections)


def _nothing() -> tuple[NDArray[int64], NDArray[int64]]:
    """Numbers and words of a feed without books."""
    return np.zeros(0, int64), np.zeros((0, ASK_UNITS + 1), int64)


def _statistics(view: View) -> Statistics:
    """The feed's gauges; zeros where it has none, or draws them otherwise."""
    section = view.sections().get(STATISTICS)
    if section is None or section.kind == SLOTS or section.words < len(Statistics._fields):
        return Statistics()
    try:
        return read_statistics(view)
    except SegmentError:
        return Statistics()


def _is_feed(view: View) -> bool:
    """Whether the segment has a feed's tables in shapes that the reader understands."""
    sections = view.sections()
    if not {BOOKS, MARKETS, CONNECTIONS} <= sections.keys():
        return False
    books, markets = sections[BOOKS], sections[MARKETS]
    shaped = books.kind == markets.kind == SLOTS and books.words >= BOOK_HEAD_WORDS + LEVEL_WORDS
    return shaped and markets.words == MARKET.words


def _strength(connection: ConnectionRow) -> tuple[bool, int]:
    """Orders connections by how much they can be relied on, weakest first."""
    return connection.state in CONNECTED, connection.proof_ns


def _used(connection: ConnectionRow) -> bool:
    """Whether the feed wants this link: it does something, or has markets and so ought to."""
    return connection.state != ConnectionState.DOWN or connection.markets > 0


def _connection_state(connection: ConnectionRow | None) -> ConnectionState:
    """The state as an enum; DOWN for none and for a number that this program does not know."""
    if connection is None or connection.state not in ConnectionState.__members__.values():
        return ConnectionState.DOWN
    return ConnectionState(connection.state)
