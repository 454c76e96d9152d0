"""Second source: a venue's REST order books, as a witness beside the stream or in place of it.

In: the books that were built, REST answers, time. Out: verdicts about books, or, where the venue is
polled, the events that a stream would give. Used by the feed's worker once in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pipeline.config import VenueConfig
from pipeline.feed.polling import Poller
from pipeline.feed.rest import Failure
from pipeline.feed.rest_books import RestBooks
from pipeline.feed.window import SeenBook
from pipeline.feed.witness import Verdict, Witness
from pipeline.model import Scale
from pipeline.venues.codec import Event
from pipeline.venues.rest_registry import book_source


class Report(msgspec.Struct):
    """What one turn brought: verdicts, or polled events with the time they came; and what failed."""

    verdicts: list[Verdict] = []
    polled: list[tuple[list[Event], int]] = []
    failures: list[Failure] = []


class SecondSource:
    """A venue's books by REST. `polling` says that there is no other source."""

    def __init__(self, venue: str, settings: VenueConfig, rest: RestBooks) -> None:
        self._rest = rest
        self.polling = not settings.enable_websocket
        self.witness = Witness(_ns(settings.witness_interval), at_once=book_source(venue).at_once)
        self.poller = Poller(_ns(settings.poll_interval), _ns(settings.timeout))
        self._settings = settings
        self._markets: dict[str, None] = {}

    def adopt(self, settings: VenueConfig) -> None:
        """Act on changed intervals."""
        self._settings = settings
        self.witness.interval_ns = _ns(settings.witness_interval)
        self.poller.interval_ns = _ns(settings.poll_interval)
        self.poller.timeout_ns = _ns(settings.timeout)

    def adopt_rest(self, rest: RestBooks) -> None:
        """Ask another address from now on."""
        self._rest.close()
        self._rest = rest

    def want(self, added: Iterable[str], released: Iterable[str], now_ns: int) -> None:
        """Follow these markets, and those no longer."""
        gone = list(released)
        for market in gone:
            self._markets.pop(market, None)
        self._rest.forget(gone)
        self.witness.forget(gone)
        self.poller.forget(gone)
        fresh = dict.fromkeys(added)
        self._markets.update(fresh)
        if not self.polling:
            self.witness.follow(fresh, now_ns)

    @property
    def dropped(self) -> int:
        """Books that found no room, asked or found."""
        return self._rest.dropped

    @property
    def watching(self) -> bool:
        """Whether applied events must be told to `note`."""
        return bool(self.witness.watching)

    def note(self, event: Event) -> None:
        """An event was applied to a book."""
        self.witness.note(event)

    def turn(self, books: Mapping[str, SeenBook], scales: Mapping[str, Scale], now_ns: int) -> Report:
        """Ask for what is due, take what has come, judge."""
        report = Report()
        if self.polling:
            # Kraken's numbers can be read only once REST has told the pair's scale.
            due = self.poller.due([market for market in self._markets if market in scales], now_ns)
        else:
            due = self.witness.asks(books, now_ns) if self._settings.witness_interval else []
        if due:
            self._rest.ask(due, scales)
        for found in self._rest.poll():
            if isinstance(found, Failure):
                self.poller.failed()
                report.failures.append(found)
            elif self.polling:
                report.polled.append((self.poller.events(found), found.answered_ns))
            else:
                self.witness.answered(found)
        report.verdicts = self.witness.verdicts(now_ns)
        return report

    def close(self) -> None:
        """Ask nothing more."""
        self._rest.close()


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
