"""Reader: one run's books, histories and statistics, followed through restarts of anything in it.

In: a data directory; from it the run's config.json and the memory files of its feeds, read-only. Out:
price events. Used by `pipeline.client`; not for two threads at once: each subscription has its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from pipeline.books import SEARCH_NS, FeedBooks
from pipeline.client.health import Health, feed_health
from pipeline.client.price_event import (
    Moment,
    Name,
    PriceBook,
    PriceEvent,
    newest_event,
    now_event,
    past_event,
    price_book,
)
from pipeline.client.symbols import resolve, shown_symbol
from pipeline.clock import Clock
from pipeline.config import Config, ScannerConfig, decode
from pipeline.look import Look
from pipeline.model_events import Event
from pipeline.places import instance_of, run_directory, shm_directory
from shm.books import BookReader
from shm.history import HISTORY, HistoryReader, PricePoint
from shm.segment import SegmentError, View, attach

CONFIG_FILE = "config.json"
FEED_PREFIX = "feed-"
MAX_FEEDS = 64
CONFIG_POLL_NS = 250_000_000
# A price that comes between the book and its number: look again, but not for ever.
LOOKS = 4


class _Feed:
    """One feed's segment: its directory, its history, its gauges."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.books = BookReader(view)
        self.history = HistoryReader(view) if HISTORY in view.sections() else None
        self._names: dict[int, tuple[int, str]] = {}
        self._searched_ns = -SEARCH_NS

    def markets(self, now_ns: int) -> list[str]:
        """The markets of the directory, looked up again now and then; only changed rows are read."""
        if now_ns - self._searched_ns >= SEARCH_NS:
            self._searched_ns = now_ns
            directory = self.books.directory
            for row in range(len(directory)):
                number = directory.number(row)
                known = self._names.get(row)
                if number and (known is None or known[0] != number):
                    found = directory.get(row)
                    if found is not None:
                        self._names[row] = (number, found.market)
        return [name for _, name in self._names.values() if name]


class Reader:
    """A run as it is now. Call `refresh`, then ask; every answer is of the moment of asking."""

    def __init__(self, data_directory: Path, clock: Clock, environ: Mapping[str, str]) -> None:
        uid, instance = os.geteuid(), instance_of(data_directory)
        self._clock = clock
        self._config_path = run_directory(instance, environ, uid) / CONFIG_FILE
        self._config_seen = (0, 0)
        self._config_at_ns = self._next_ns = -CONFIG_POLL_NS
        self._shm = shm_directory(instance, "", uid)
        self._events: tuple[Event, ...] = ()
        self._limits = ScannerConfig().limits()
        self._feeds: dict[str, _Feed] = {}
        self._books = FeedBooks(self._shm, (), self._limits)
        # What there is and cannot be read, by name, with the reason.
        self.problems: dict[str, str] = {}

    def refresh(self) -> None:
        """Follow the run: its settings, feeds that came, were restarted or replaced. Cheap in between."""
        now = self._clock.monotonic_ns()
        if now - self._config_at_ns >= CONFIG_POLL_NS:
            self._config_at_ns = now
            self._follow_config()
        if now - self._next_ns >= SEARCH_NS:
            self._next_ns = now
            for problem in [name for name in self.problems if name != CONFIG_FILE]:
                del self.problems[problem]
            for venue in self._found():
                self._attach(venue)
            self._books.adopt(self._feeds, self._limits)
        self._books.refresh(now)

    def _follow_config(self) -> None:
        """Read the run's settings when they changed; without any, the last or the default ones hold."""
        try:
            status = self._config_path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen == self._config_seen:
                return
            config = decode(self._config_path.read_bytes())
            self._config_seen = seen
        except OSError:
            return  # nothing runs now: what was last known stays, and is DEAD
        except msgspec.MsgspecError as error:
            self.problems[CONFIG_FILE] = f"{error}; run both sides from the same checkout"
            return
        self.problems.pop(CONFIG_FILE, None)
        self._adopt(config)

    def _adopt(self, config: Config) -> None:
        self._events = config.all_events()
        self._limits = config.scanner.limits()
        directory = Path(config.shm_directory)
        if directory != self._shm:
            self._shm = directory
            self._feeds.clear()
            self._books = FeedBooks(directory, (), self._limits)
        self._next_ns = -CONFIG_POLL_NS

    def _found(self) -> list[str]:
        """Venues whose memory files lie there."""
        try:
            names = sorted(os.listdir(self._shm))
        except OSError:
            return []
        feeds = [name for name in names if name.startswith(FEED_PREFIX)]
        files = [name for name in feeds if not name.endswith((".lock", ".new"))]
        return [name.removeprefix(FEED_PREFIX) for name in files[:MAX_FEEDS]]

    def _attach(self, venue: str) -> None:
        """Attach if there is something new; a feed that is gone keeps its last view, which says DEAD."""
        known = self._feeds.get(venue)
        if known is not None and not known.view.outdated():
            return
        try:
            self._feeds[venue] = _Feed(attach(self._shm, FEED_PREFIX + venue))
        except SegmentError as error:
            self.problems[FEED_PREFIX + venue] = str(error)

    # -- names ---------------------------------------------------------------------------------

    def venues(self) -> list[str]:
        """Venues that have, or had, a feed."""
        return list(self._feeds)

    def all_names(self, venues: Iterable[str] | None = None) -> list[Name]:
        """Every market of these venues (None: of all), under its own symbol."""
        wanted = None if venues is None else set(venues)
        return [
            Name(venue, market, shown_symbol(venue, market))
            for venue, markets in self._markets().items()
            if wanted is None or venue in wanted
            for market in markets
        ]

    def names(self, symbol: str) -> list[Name]:
        """The markets that a symbol means (`client.symbols.resolve`)."""
        return resolve(symbol, self._events, self._markets())

    def _markets(self) -> dict[str, list[str]]:
        now = self._clock.monotonic_ns()
        return {venue: feed.markets(now) for venue, feed in self._feeds.items()}

    # -- prices --------------------------------------------------------------------------------

    def moment(self) -> Moment:
        """This moment on both clocks."""
        return Moment(self._clock.monotonic_ns(), self._clock.wall_ns())

    def changed(self) -> list[tuple[str, str]]:
        """(venue, market) of the books published since the last call."""
        return self._books.changed(self._clock.monotonic_ns())

    def look(self, name: Name) -> tuple[Look, int] | None:
        """A market's book with the number of its last price event; None where there is no book."""
        feed = self._feeds.get(name.venue)
        look, sequence = None, 0
        for _ in range(LOOKS):
            look = self._books.read(name.venue, name.market, self._clock.monotonic_ns())
            if feed is None or look is None:
                return None
            sequence = self.sequence(name, look)
            if feed.books.number(look.row) == look.book.number:
                break
        return None if look is None else (look, sequence)

    def sequence(self, name: Name, look: Look) -> int:
        """How many price events the market had; how often its row was published where none are kept."""
        history = self._history(name.venue)
        return look.book.number if history is None else history.count(look.row, look.book.incarnation)

    def points(self, name: Name, look: Look, last: int | None) -> list[PricePoint]:
        """The newest `last` entries of a market's history, oldest first."""
        history = self._history(name.venue)
        return [] if history is None else history.read(look.row, look.book.incarnation, last)

    def _history(self, venue: str) -> HistoryReader | None:
        feed = self._feeds.get(venue)
        return feed.history if feed else None

    def latest(self, name: Name) -> PriceEvent | None:
        """The market as it is now."""
        found = self.look(name)
        return None if found is None else now_event(name, *found, self.moment())

    def book(self, name: Name) -> PriceBook | None:
        """The market's whole published book as it is now."""
        found = self.look(name)
        return None if found is None else price_book(name, *found, self.moment())

    def history(self, name: Name, last: int) -> list[PriceEvent]:
        """The market's last price events, oldest first; the newest is as `latest` gives it."""
        found = self.look(name)
        if found is None or last <= 0:
            return []
        look, sequence = found
        at = self.moment()
        points = self.points(name, look, last)
        if not points:
            return [now_event(name, look, sequence, at)]
        past = (past_event(name, look, point, at) for point in points[:-1])
        return [*past, newest_event(name, look, points[-1], at)]

    def health(self) -> dict[str, Health]:
        """How each feed is."""
        now = self._clock.monotonic_ns()
        return {
            venue: feed_health(feed.view, feed.books, self._limits, now)
            for venue, feed in self._feeds.items()
        }
