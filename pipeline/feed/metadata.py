"""Metadata: keeps what is known of a feed's markets young enough to trade on.

In: the markets wanted, answers of the venue's REST. Out: `Market` values for the publisher, and whether
each market's metadata is still believed. Used by the feed's worker. Asked for at the start, when the
venue announces a change, each ten minutes, and each second while a closed market has no result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.clock import Clock
from pipeline.feed.publisher import BELIEVED_NS
from pipeline.feed.rest import Failure, MarketDirectory
from pipeline.model import Market, MarketStatus

REFRESH_NS = 600_000_000_000
RESULT_NS = 1_000_000_000
# What asks takes 100 ms of the interpreter to load: by then a stream at hand has brought its books.
FIRST_NS = 100_000_000


class Metadata:
    """What REST has said about each market and when. `directory` does the asking."""

    def __init__(self, directory: MarketDirectory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._described_ns: dict[str, int] = {}
        self._pending: dict[str, Market] = {}
        # What is wanted is asked for at once, but for the first moments; this is about what grew old since.
        self._refresh_ns = clock.monotonic_ns() + REFRESH_NS
        self._first_ns = clock.monotonic_ns() + FIRST_NS
        self._waiting: dict[str, None] = {}
        self._result_ns = 0
        self._stale: set[str] = set()

    def adopt(self, directory: MarketDirectory) -> None:
        """Ask another address from now on, and for everything."""
        self._directory.close()
        self._directory = directory
        self._refresh_ns = 0

    @property
    def dropped(self) -> int:
        """Answers that found no room."""
        return self._directory.dropped

    def close(self) -> None:
        """Ask nothing more."""
        self._directory.close()

    def want(self, added: Sequence[str], released: Sequence[str]) -> None:
        """Follow these markets, and those no longer."""
        self._directory.forget(released)
        for market in released:
            self._described_ns.pop(market, None)
            self._pending.pop(market, None)
            self._stale.discard(market)
            self._waiting.pop(market, None)
        self._waiting.update(dict.fromkeys(added))

    def ask(self, market: str) -> None:
        """The venue has announced a change of this market: read it again now."""
        self._directory.request([market])

    def turn(self, markets: Callable[[], Sequence[str]]) -> list[Market | Failure]:
        """What has come since the last turn; asks for what is due of `markets`."""
        now = self._clock.monotonic_ns()
        if self._waiting and now >= self._first_ns:
            self._directory.request(list(self._waiting))
            self._waiting.clear()
        found = self._directory.poll()
        for each in found:
            if isinstance(each, Market):
                self._described_ns[each.market] = now
                self._stale.discard(each.market)
                over = each.status == MarketStatus.SETTLED
                if each.close_ns and not over:
                    self._pending[each.market] = each
                else:
                    self._pending.pop(each.market, None)
        if now >= self._refresh_ns:
            self._refresh_ns = now + REFRESH_NS
            self._directory.request(markets())
        if now >= self._result_ns:
            self._result_ns = now + RESULT_NS
            wall = self._clock.wall_ns()
            self._directory.request([m.market for m in self._pending.values() if wall >= m.close_ns])
        return found

    def believed(self, market: str, now_ns: int) -> bool:
        """Whether the market's metadata is there and young enough to trade on."""
        described = self._described_ns.get(market)
        return described is not None and now_ns - described <= BELIEVED_NS

    def turned_stale(self) -> list[str]:
        """Markets whose metadata has become too old since the last call."""
        now = self._clock.monotonic_ns()
        old = [m for m, at in self._described_ns.items() if now - at > BELIEVED_NS and m not in self._stale]
        self._stale.update(old)
        return old
