"""Books file: the content of data/orderbooks.json: every book, and what each event leaves in each direction.

In: the segments of feeds and scanner, one moment. Out: JSON by venue and market, and by event; the key says
whether anything is new. Pure; used by `export`. Prices are in the market's own terms, best level first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from pipeline.config import Config
from pipeline.model import BookFault, BookFlag, BookState, Confidence, Reason, book_state, to_text
from pipeline.observer.facts import Moment, age_ms, clean, decimal, usd
from shm.books import BookReader, BookRow
from shm.records import EVENT, EventRow, MarketRow
from shm.segment import View
from shm.tables import TableReader

_encode = msgspec.json.encode
FEED = "feed-"


class _Feed:
    """One feed's books, and what was written of each row before: most rows are the same a second later."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._books = BookReader(view)
        self._markets: dict[int, tuple[int, MarketRow]] = {}
        self._fixed: dict[int, tuple[int, dict[str, Any]]] = {}

    def rows(self) -> list[tuple[int, MarketRow, BookRow]]:
        """Every market of the directory with its book, where there is one."""
        found = []
        for row in self._books.directory.published():
            market = self._market(row)
            book = self._books.get(row) if market is not None else None
            if market is not None and book is not None and book.incarnation == market.incarnation:
                found.append((row, market, book))
        return found

    def _market(self, row: int) -> MarketRow | None:
        number = self._books.directory.number(row)
        known = self._markets.get(row)
        if known is not None and known[0] == number:
            return known[1]
        self._markets.pop(row, None)
        found = self._books.directory.get(row)
        if found is None or not found.market:
            return None
        self._markets[row] = number, found
        return found

    def proof_ns(self, book: BookRow) -> int:
        return self._books.proof_ns(book.connection)

    def fixed(self, row: int, market: MarketRow, book: BookRow) -> dict[str, Any]:
        """What changes only with the row: the levels and whose they are."""
        known = self._fixed.get(row)
        if known is not None and known[0] == book.number:
            return known[1]
        made = _levels(market, book)
        self._fixed[row] = book.number, made
        return made


def _levels(market: MarketRow, book: BookRow) -> dict[str, Any]:
    """The ladders as text; empty while the market's scale is unknown."""
    prices, sizes = market.price_decimals, market.size_decimals
    known = prices >= 0 and sizes >= 0
    sides = [
        [(decimal(ticks, prices), decimal(units, sizes)) for ticks, units in side] if known else []
        for side in (book.bids, book.asks)
    ]
    bid, ask = (side[0] if side else (None, None) for side in sides)
    return {
        "title": clean(market.title),
        "flags": [flag.name for flag in BookFlag(book.flags)],
        "best_bid": bid[0],
        "best_bid_size": bid[1],
        "best_ask": ask[0],
        "best_ask_size": ask[1],
        "bid_levels": len(book.bids),
        "ask_levels": len(book.asks),
        "bids": sides[0],
        "asks": sides[1],
    }


class BooksFile:
    """Makes the content; keeps what it made of rows that stay as they are."""

    def __init__(self, event_rows: EventRows) -> None:
        self._feeds: dict[str, _Feed] = {}
        self._event_rows = event_rows

    def content(self, config: Config, views: Mapping[str, View], at: Moment) -> tuple[object, dict[str, Any]]:
        """(key, content): equal keys mean that only ages are new."""
        key: list[object] = []
        books = {venue: self._venue(config, venue, views, at, key) for venue in config.feeds()}
        rows = self._event_rows.at(views.get("scanner"), at)
        directions: dict[str, list[EventRow]] = {}
        for row in rows:
            directions.setdefault(row.event_id, []).append(row)
        events = {
            event.id: {
                "title": clean(event.title),
                "kind": event.kind,
                "legs": [
                    {
                        "venue": leg.venue,
                        "market": leg.market,
                        "outcome": leg.outcome,
                        "polarity": leg.polarity,
                    }
                    for leg in event.legs
                ],
                "directions": [direction(row, at) for row in directions.get(event.id, ())],
            }
            for event in config.events
        }
        key += [(row.event_id, row.direction, row.computed_ns) for row in rows]
        return tuple(key), {"books": _table(books), "events": events}

    def _venue(
        self, config: Config, venue: str, views: Mapping[str, View], at: Moment, key: list[object]
    ) -> list[bytes]:
        """A venue's books, each as one line of text with its market's name."""
        view = views.get(FEED + venue)
        if view is None:
            self._feeds.pop(venue, None)
            return []
        feed = self._feeds.get(venue)
        if feed is None or feed.view is not view:
            feed = self._feeds[venue] = _Feed(view)
        lines: list[bytes] = []
        for row, market, book in feed.rows():
            state = _state(feed, book, config, at.now_ns)
            key.append((venue, market.market, book.number, state))
            entry = {
                "state": state.name,
                "tradable": state is BookState.LIVE and not book.flags & BookFlag.NOT_TRADABLE,
                "fault": _fault(book.reason),
                "last_update_wall_ns": at.wall_of(book.socket_ns),
                "last_update_monotonic_ns": book.socket_ns or None,
                "age_ms_at_write": age_ms(book.socket_ns, at.now_ns),
                "verified_wall_ns": at.wall_of(book.witness_ns),
                **feed.fixed(row, market, book),
            }
            lines.append(_encode(clean(market.market)) + b": " + _encode(entry))
        return lines


def _table(books: Mapping[str, list[bytes]]) -> msgspec.Raw:
    """All venues' lines as one object of objects."""
    venues = [
        _encode(venue) + (b": {\n  " + b",\n  ".join(lines) + b"\n }" if lines else b": {}")
        for venue, lines in books.items()
    ]
    return msgspec.Raw(b"{\n " + b",\n ".join(venues) + b"\n}" if venues else b"{}")


def _state(feed: _Feed, book: BookRow, config: Config, now_ns: int) -> BookState:
    """What the book is worth now, by the function that everybody uses."""
    header = feed.view.header
    return book_state(
        book.state,
        retired=header.retired or not book.epoch == header.epoch == feed.view.epoch,
        heartbeat_ns=header.heartbeat_ns,
        proof_ns=feed.proof_ns(book),
        socket_ns=book.socket_ns,
        now_ns=now_ns,
        limits=config.scanner.limits(),
    )


def _fault(number: int) -> str | None:
    if number not in BookFault.__members__.values():
        return f"fault {number}"
    return BookFault(number).name.lower() if number else None


class EventRows:
    """The scanner's rows, read once for all files that are made at one moment."""

    def __init__(self) -> None:
        self._scanner: View | None = None
        self._table: TableReader[EventRow] | None = None
        self._read_ns = 0
        self._rows: list[EventRow] = []

    def at(self, scanner: View | None, at: Moment) -> list[EventRow]:
        """Those of all events and directions; none once the scanner is gone or started anew."""
        if scanner is None or scanner.header.epoch != scanner.epoch:
            return []
        if self._table is None or scanner is not self._scanner:
            self._scanner, self._table = scanner, TableReader(scanner, "events", EVENT)
        elif self._read_ns == at.now_ns:
            return self._rows
        self._read_ns = at.now_ns
        self._rows = [row for _, row in self._table.rows()]
        return self._rows


def direction(row: EventRow, at: Moment) -> dict[str, Any]:
    """What an event leaves in one direction, after all fees and the depth of the books."""
    priced = bool(row.has_numbers)
    return {
        "direction": row.direction,
        "kind": row.kind,
        "buy": leg_text(row.buy_action, row.buy_outcome, row.buy_venue),
        "sell": leg_text(row.sell_action, row.sell_outcome, row.sell_venue),
        "gross_bp": row.gross_bp if priced else None,
        "edge_bp": row.edge_bp if priced else None,
        "net_usd": usd(row.net_micros) if priced else None,
        "net_low_usd": usd(row.net_low_micros) if priced else None,
        "fees_usd": usd(row.fee_buy_micros + row.fee_sell_micros) if priced else None,
        "cash_usd": usd(row.cash_micros) if priced else None,
        "size": to_text(row.size_units, row.size_decimals) if priced else None,
        "annual_bp": row.annual_bp if priced else None,
        "confidence": confidence_word(row.confidence),
        "profitable": priced and row.net_low_micros > 0,
        "passes": priced and row.reason == Reason.NONE,
        "reason": reason_word(row.reason),
        "computed_wall_ns": at.wall_of(row.computed_ns),
    }


def leg_text(action: str, outcome: str, venue: str) -> str:
    """What is done with one leg, in words."""
    return clean(f"{action} {outcome} {venue}") if venue else ""


@lru_cache
def reason_word(number: int) -> str | None:
    """A refusal by name; None for no reason."""
    if number not in Reason.__members__.values():
        return f"reason {number}"
    return Reason(number).name.lower() if number else None


@lru_cache
def confidence_word(number: int) -> str:
    """How far an edge may be believed, in S1's words."""
    known = number in Confidence.__members__.values()
    return Confidence(number).name.lower() if known else f"confidence {number}"
