"""Gauges: what a feed counts and measures about itself, and the log line of every change of state.

In: what was received and published. Out: counters, statistics, connection cells, log lines. Used by the
feed's worker; it touches memory only through the segment of the `Worker` it is given.
"""

from __future__ import annotations

from pipeline.clock import Clock
from pipeline.config import VenueConfig
from pipeline.feed.book import Book, BookKeeper
from pipeline.feed.polling import Poller
from pipeline.feed.statistics import Lag, Rate, lag_ns
from pipeline.lifecycle import Worker
from pipeline.model import BookFault, BookState, ConnectionState
from shm import books as memory
from shm.statistics import Statistics, StatisticsWriter

KEPT_BY_KEEPER = (
    "book_messages",
    "bad_frames",
    "gaps",
    "checksums_ok",
    "checksums_bad",
    "duplicates",
    "desyncs",
    "best_mismatches",
    "times_back",
)
VOIDED = {f"void_{fault.name.lower()}": fault for fault in BookFault if fault}
STATES = (BookState.LIVE, BookState.GAP, BookState.CROSSED)
COUNTERS = (
    "frames",
    *KEPT_BY_KEEPER,
    *VOIDED,
    *(f"books_{state.name.lower()}" for state in STATES),
    "connects",
    "connects_failed",
    "reconnects",
    "silences",
    "resyncs",
    "redrives",
    "probes",
    "frozen",
    "suspends",
    "refused_subscriptions",
    "bells",
    "rest_markets",
    "rest_failures",
    "rest_dropped",
    "witness_checks",
    "witness_mismatches",
    "witness_stale",
    "witness_unanswered",
    "no_room",
)
# One lag sample for so many publications is plenty, and costs next to nothing.
SAMPLE_EVERY = 8


class Gauges:
    """Counts and measures; nothing here decides anything."""

    def __init__(self, worker: Worker, keeper: BookKeeper, clock: Clock) -> None:
        self._worker = worker
        self._keeper = keeper
        self._clock = clock
        self._counted: dict[str, int] = {}
        self._lag = Lag()
        self._rate = Rate()
        self._published = 0
        self._statistics = StatisticsWriter(worker.segment)
        rows = worker.segment.section(memory.CONNECTIONS).rows
        self._cells = [worker.segment.words(memory.CONNECTIONS, row) for row in range(rows)]
        self._frames = [0] * rows
        self._sequences = [0] * rows
        self._states: dict[str, BookState] = {}
        self._changes: dict[tuple[BookState, BookFault], list[str]] = {}

    def frames(self, connection: int, count: int, last_sequence: int) -> None:
        """So many frames came on a connection; `carry` shows it."""
        self._frames[connection] += count
        self._sequences[connection] = last_sequence

    def published(self, book: Book, socket_ns: int, now_ns: int, wall_ns: int) -> None:
        """A book was published; `socket_ns` 0 where no message was the reason."""
        if socket_ns:
            self._published += 1
            if self._published % SAMPLE_EVERY == 0:
                self._lag.note(lag_ns(book.venue_ns, socket_ns, now_ns, wall_ns))
        if self._states.get(book.market) is not book.state:
            self._states[book.market] = book.state
            self._changes.setdefault((book.state, book.fault), []).append(book.market)

    def bell(self) -> None:
        """The scanner was woken."""
        self._worker.counters.add("bells")

    def log_changes(self) -> None:
        """Count and log the changes of state since the last call: one line a kind."""
        if not self._changes:
            return
        for (state, fault), markets in self._changes.items():
            if state in STATES:
                self._worker.counters.add(f"books_{state.name.lower()}", len(markets))
            self._worker.log.info(
                "books", state=state.name, fault=fault.name, count=len(markets), market=markets[0]
            )
        self._changes.clear()

    def carry(self) -> None:
        """Show what was counted; the keeper's counts begin at 0 with each process, the counters do not."""
        for connection, count in enumerate(self._frames):
            if count:
                self._worker.counters.add("frames", count)
                self._frames[connection] = 0
                cells = self._cells[connection]
                cells[memory.C_FRAMES] += count
                cells[memory.C_LAST_SEQUENCE] = self._sequences[connection]
        for name in KEPT_BY_KEEPER:
            self.follow(name, getattr(self._keeper, name))
        for name, fault in VOIDED.items():
            self.follow(name, self._keeper.voided[fault])

    def follow(self, name: str, total: int) -> None:
        """Carry a count that may begin at 0 anew into the counter of this name, which never does."""
        seen = self._counted.get(name, 0)
        if total != seen:
            self._worker.counters.add(name, total - seen if total > seen else total)
            self._counted[name] = total

    def show(self, connections: int, markets: int, *, polling: bool) -> None:
        """Publish the statistics; call it once a second. `connections` and `markets` are those wanted."""
        now = self._clock.monotonic_ns()
        self._rate.note(self._worker.counters.get("frames"), now)
        states = {ConnectionState.POLLING} if polling else {ConnectionState.UP}
        p50, p99 = self._lag.quantiles()
        self._statistics.put(
            Statistics(
                subscriptions_wanted=markets,
                subscriptions=sum(book.state != BookState.EMPTY for book in self._keeper.books.values()),
                connections_wanted=connections,
                connections_up=sum(cells[memory.C_STATE] in states for cells in self._cells),
                lag_p50_ns=p50,
                lag_p99_ns=p99,
                lag_samples=self._lag.samples,
                lag_skipped=self._lag.skipped,
                rate_milli_per_s=self._rate.milli_per_s(),
                updated_ns=now,
            )
        )

    def polled(self, poller: Poller, settings: VenueConfig, markets: int) -> None:
        """Show polling in the place of a connection: it lives as long as answers keep coming."""
        cells = self._cells[0]
        now = self._clock.monotonic_ns()
        patience = round((2 * settings.poll_interval + settings.timeout) * 1e9)
        alive = bool(poller.proof_ns) and now - poller.proof_ns <= patience
        state = ConnectionState.POLLING if alive else ConnectionState.BACKOFF
        if cells[memory.C_STATE] != state:
            cells[memory.C_STATE] = state
            cells[memory.C_SINCE_NS] = now
        cells[memory.C_MARKETS] = markets
        # Between two answers there is nothing to prove life by; how old a book is, its own age says.
        cells[memory.C_PROOF_NS] = now if alive else poller.proof_ns
