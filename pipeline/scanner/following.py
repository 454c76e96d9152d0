"""Following: what is learnt from books as they move: who leads, how volatile spot is, what queues do.

In: the books that were published, by name; the feeds' screens. Out: a `LeadSummary` an event, the mid prices
of each model's spot leg, a `QuoteRow` for each side of each book. Used by the scanner's worker, after it has
priced what there was to price. Best prices come from the screen, whose cells may be of two publications: for
statistics that is good enough, and nothing else uses them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.books import FeedBooks
from pipeline.digital import Mids
from pipeline.model import BookState
from pipeline.model_events import BINARY, MODEL, SPOT, Event
from pipeline.pairs import Direction, is_inverse
from pipeline.scanner.lanes import Book
from pipeline.scanner.lead_lag import NOTHING, LeadLag, LeadSummary
from pipeline.scanner.quote_watch import QuoteWatch
from pipeline.scanner.segment import QUOTES
from shm.books import S_ASK, S_ASK_UNITS, S_BID, S_BID_UNITS, S_STATE, SCREEN_COLUMNS
from shm.records import QUOTE, QuoteRow
from shm.segment import Segment
from shm.tables import TableWriter

PUBLISH_NS = 200_000_000
GAP_NS = 10_000_000_000
"""A spot feed silent for so long has nothing to do with what it says next."""

Top = tuple[int, int, int, int]


@dataclass(slots=True)
class _Followed:
    """One book: its last best prices and sizes, who asks for them, its queues and mid prices."""

    top: Top = (0, 0, 0, 0)
    moved_ns: int = 0
    leads: list[tuple[LeadLag, int]] = field(default_factory=list)
    quotes: tuple[QuoteWatch, QuoteWatch] | None = None
    mids: Mids | None = None
    changed: bool = False


class Following:
    """Everything that is followed. Call `moved` with what was published, `publish` now and then."""

    def __init__(self, segment: Segment, books: FeedBooks) -> None:
        self._books = books
        self._table: TableWriter[QuoteRow] = TableWriter(segment, QUOTES, QUOTE)
        self._followed: dict[Book, _Followed] = {}
        self._leads: dict[str, tuple[tuple[tuple[str, str, str], ...], LeadLag]] = {}
        self._next_ns = 0
        self._shown = 0

    def follow(self, events: Iterable[Event]) -> None:
        """Follow the legs of these events; what is known of legs that stay is kept."""
        known, self._followed = self._followed, {}
        leads, self._leads = self._leads, {}
        for event in events:
            for leg in event.legs:
                book = leg.venue, leg.market
                kept = self._followed.get(book) or known.get(book) or _Followed()
                if book not in self._followed:
                    kept.leads = []
                    self._followed[book] = kept
                if event.kind == MODEL and leg.outcome == "base" and kept.mids is None:
                    kept.mids = Mids()
            if event.kind in {BINARY, SPOT}:
                names = tuple((leg.venue, leg.market, leg.polarity) for leg in event.legs)
                before = leads.get(event.id)
                if before is None or before[0] != names:
                    before = names, LeadLag([-1 if is_inverse(leg) else 1 for leg in event.legs])
                self._leads[event.id] = before
                for number, leg in enumerate(event.legs):
                    self._followed[leg.venue, leg.market].leads.append((before[1], number))

    def forget(self) -> None:
        """The machine slept: what comes next has nothing to do with what was."""
        for followed in self._followed.values():
            followed.top = (0, 0, 0, 0)
            followed.quotes = None
            if followed.mids is not None:
                followed.mids.clear()

    def lead(self, direction: Direction) -> LeadSummary:
        """Who leads among the legs of a direction's event, by the number of the leg in the event."""
        found = self._leads.get(direction.event.id)
        return found[1].summary() if found else NOTHING

    def mids(self, direction: Direction) -> Mids:
        """The mid prices of a model's spot leg."""
        for leg in direction.event.legs:
            followed = self._followed.get((leg.venue, leg.market))
            if followed is not None and followed.mids is not None and leg.outcome == "base":
                return followed.mids
        return Mids()

    def moved(self, changed: Iterable[Book], now_ns: int) -> None:
        """Take the best prices of books that were published. A book that is not LIVE has none."""
        for book in changed:
            followed = self._followed.get(book)
            place = self._books.place(*book, now_ns) if followed is not None else None
            if followed is None or place is None:
                continue
            feed, row = place
            cells, at = feed.screen, row * SCREEN_COLUMNS
            top = cells[at + S_BID], cells[at + S_BID_UNITS], cells[at + S_ASK], cells[at + S_ASK_UNITS]
            if cells[at + S_STATE] != BookState.LIVE:
                top = (0, 0, 0, 0)
            if top != followed.top:
                self._take(book, followed, top, now_ns)

    def _take(self, book: Book, followed: _Followed, top: Top, now_ns: int) -> None:
        """Hand one book's new best prices on."""
        bid, bid_units, ask, ask_units = top
        followed.changed = True
        quotes = (bid if bid_units else None), (ask if ask_units else None)
        if followed.leads and top[::2] != followed.top[::2]:
            look = self._books.read(*book, now_ns)
            at_ns = look.book.socket_ns if look is not None else now_ns
            for lead, number in followed.leads:
                lead.quote(number, *quotes, at_ns)
        if followed.quotes is None:
            followed.quotes = self._quotes(book, now_ns)
        if followed.quotes is not None:
            if top[:2] != followed.top[:2]:
                followed.quotes[0].best(bid, bid_units, now_ns)
            if top[2:] != followed.top[2:]:
                followed.quotes[1].best(ask, ask_units, now_ns)
        if followed.mids is not None and bid_units and ask_units:
            if now_ns - followed.moved_ns > GAP_NS:
                followed.mids.clear()
            # Only ratios of these are used, so that ticks will do.
            followed.mids.add(now_ns, (bid + ask) / 2)
        followed.top, followed.moved_ns = top, now_ns

    def _quotes(self, book: Book, now_ns: int) -> tuple[QuoteWatch, QuoteWatch] | None:
        """The two queues of a book, None while its scale is not known."""
        market = self._books.market(*book, now_ns)
        if market is None or market.price_decimals < 0 or market.size_decimals < 0:
            return None
        scale = market.price_decimals, market.size_decimals
        return QuoteWatch(*book, "bid", *scale), QuoteWatch(*book, "ask", *scale)

    def publish(self, now_ns: int) -> None:
        """Show the queues, a few times a second; books beyond the table's rows are not shown."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + PUBLISH_NS
        row = 0
        for followed in self._followed.values():
            if row + 2 > len(self._table):
                break
            if followed.changed or row >= self._shown:
                self._show(row, followed)
            row += 2
        for old in range(row, self._shown):
            self._table.clear(old)
        self._shown = row

    def _show(self, row: int, followed: _Followed) -> None:
        followed.changed = False
        for at in (0, 1):
            shown = followed.quotes[at].row() if followed.quotes else None
            if shown is None:
                self._table.clear(row + at)
            else:
                self._table.put(row + at, shown)
