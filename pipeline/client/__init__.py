"""Client: Parallax's prices for anyone's Python, read-only.

In: a data directory. Out: `PriceEvent`s, histories, statistics, callbacks; docs/CLIENT.md shows how. Run
in other people's programs: it opens memory files for reading and nothing else, so nothing that it does,
its crash included, is felt by the run. It may be started before the run, and outlives it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pipeline.client.health import Health
from pipeline.client.price_event import PriceBook, PriceEvent
from pipeline.client.reader import Reader
from pipeline.client.subscription import Callback, Subscription
from pipeline.clock import Clock, SystemClock

__all__ = ["Client", "PriceBook", "PriceEvent", "Subscription", "attach"]

DATA_DIRECTORY = Path(__file__).resolve().parents[2] / "data"
POLL_SECONDS = 0.005
HISTORY = 1000


def attach(data_directory: str | Path | None = None, *, clock: Clock | None = None) -> Client:
    """A client of the run in this data directory (default: the checkout's `data`), now or when it comes."""
    return Client(Path(data_directory or DATA_DIRECTORY), clock or SystemClock())


class Client:
    """What a run's feeds publish. Every answer is made of the memory as it is at that moment.

    A symbol is an event's id, a market's id, or a pair of coins in any spelling (`client.symbols`); by an
    event's id prices come in that event's terms, else in the market's own. May be used by several threads.
    """

    def __init__(self, data_directory: Path, clock: Clock) -> None:
        self._data_directory = data_directory
        self._clock = clock
        self._reader = self._new_reader()
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []

    def __enter__(self) -> Self:
        """Use as a context: all subscriptions end with it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End every subscription."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions.clear()

    def latest(self, symbol: str) -> dict[str, PriceEvent]:
        """The symbol's present price at every venue that has it; empty where nobody has."""
        with self._lock:
            reader = self._fresh()
            found: dict[str, PriceEvent] = {}
            for name in reader.names(symbol):
                event = reader.latest(name)
                if event is not None:
                    found.setdefault(name.venue, event)
            return found

    def latest_price(self, venue: str, symbol: str) -> PriceEvent | None:
        """The symbol's present price at one venue, or None."""
        return self.latest(symbol).get(venue)

    def history(self, venue: str, symbol: str, last: int = HISTORY) -> list[PriceEvent]:
        """The symbol's last price events at one venue, oldest first.

        Each has the state that the book had then; the newest has the one that it is worth now. How many
        are kept is shm.history; they begin anew when the venue's feed does.
        """
        with self._lock:
            reader = self._fresh()
            names = [name for name in reader.names(symbol) if name.venue == venue]
            return reader.history(names[0], last) if names else []

    def books(self, venue: str | None = None) -> dict[str, dict[str, PriceBook]]:
        """Every published book by venue and market, in the market's own terms."""
        with self._lock:
            reader = self._fresh()
            found: dict[str, dict[str, PriceBook]] = {}
            for name in reader.all_names(None if venue is None else [venue]):
                book = reader.book(name)
                if book is not None:
                    found.setdefault(name.venue, {})[name.market] = book
            return found

    def get_statistics(self) -> dict[str, Any]:
        """How the feeds do.

        The names of the seed (total_events, events_per_venue, polymarket_connected,
        polymarket_subscriptions, polymarket_message_count, exchange_connections,
        exchange_message_counts), exchange_subscriptions, and under `venues` everything else. Exchanges
        are all venues but Polymarket. Events are messages with prices, messages are all.
        """
        with self._lock:
            reader = self._fresh()
            feeds = reader.health()
            problems = dict(reader.problems)
        others = {venue: health for venue, health in feeds.items() if venue != "polymarket"}
        polymarket = feeds.get("polymarket")
        events = {venue: health.counted["total_events"] for venue, health in feeds.items()}
        return {
            "total_events": sum(events.values()),
            "events_per_venue": events,
            "polymarket_connected": polymarket is not None and polymarket.connected,
            "polymarket_subscriptions": polymarket.subscriptions if polymarket else 0,
            "polymarket_message_count": polymarket.counted["messages"] if polymarket else 0,
            "exchange_connections": {venue: health.connected for venue, health in others.items()},
            "exchange_message_counts": {
                venue: health.counted["messages"] for venue, health in others.items()
            },
            "exchange_subscriptions": {venue: health.subscriptions for venue, health in others.items()},
            "venues": {venue: statistics(health) for venue, health in feeds.items()},
            "problems": problems,
        }

    def subscribe(
        self,
        callback: Callback,
        symbols: Iterable[str] | None = None,
        venues: Iterable[str] | None = None,
        *,
        interval: float | None = POLL_SECONDS,
    ) -> Subscription:
        """Call `callback(event)` for every price event of these symbols at these venues (None: all).

        It runs in a thread of its own that looks every `interval` seconds; with None there is none, and
        you call `run_once`. Raises TypeError for a coroutine function.
        """
        subscription = Subscription(self._new_reader(), callback, symbols, venues, interval)
        self._subscriptions = [known for known in self._subscriptions if not known.closed]
        self._subscriptions.append(subscription)
        return subscription

    def _new_reader(self) -> Reader:
        return Reader(self._data_directory, self._clock, os.environ)

    def _fresh(self) -> Reader:
        self._reader.refresh()
        return self._reader


def statistics(health: Health) -> dict[str, Any]:
    """Everything that a feed measures, in the units that its keys name; lag is None until known."""
    gauges = health.gauges
    known = health.alive and gauges.lag_samples > 0
    return {
        "connected": health.connected,
        "connections": len(health.connections),
        "connections_up": health.up if health.alive else 0,
        "subscriptions": health.subscriptions,
        "subscriptions_wanted": gauges.subscriptions_wanted,
        "rate_per_s": gauges.rate_milli_per_s / 1000 if health.alive else 0.0,
        "lag_ms": {"p50": gauges.lag_p50_ns / 1e6, "p99": gauges.lag_p99_ns / 1e6} if known else None,
        "lag_samples": gauges.lag_samples,
        "lag_skipped": gauges.lag_skipped,
        **health.counted,
    }
