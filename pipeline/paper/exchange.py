"""Exchange: the venues of the paper account, as one step function over time.

In: orders, cancels and questions as they come in; the feeds' books; the time; a source of chance. Out:
reports, and the orders that must be on record before those reports are sent. Pure; run by the stage's worker.

An order takes a drawn latency to its venue, and so does a cancel. There it is refused by the venue's rules,
takes the book as it is then (immediate or cancel), or rests. Each venue has its own rule for ids
(`orders.ID_RULES`). A repeat that a venue refuses is dropped and counted: a report of it would speak of the
first order. An order can be filled before it can be found (`booking_ns`). Fills at Polymarket are
provisional at first and may fail. Cash is not the exchange's business: the trader's gate keeps it. Cancels
on their way are forgotten when the exchange is restarted, as a lost request would be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from heapq import heappop, heappush
from random import Random

from pipeline.look import Books, Look
from pipeline.paper import matching, reports
from pipeline.paper.known import Known, Recall
from pipeline.paper.orders import (
    FINAL,
    ID_RULES,
    MAKER,
    PROVISIONAL_VENUES,
    RESTING,
    UNSTATED_IDS,
    Fill,
    FillState,
    Ids,
    PaperOrder,
    Status,
    order_of,
)
from pipeline.paper.quotes import PPM, Hit, RestingSide
from pipeline.paper.reports import Report
from pipeline.paper.settings import Settings
from pipeline.wire import PlaceOrder

MAX_OPEN = 4096
NEAR_NS = 20_000_000


class PaperExchange:
    """All venues. Call `place`, `cancel` and `ask` with what came in, then `step`.

    `unsaved` are the orders that changed since the caller last put them on record; the caller takes them
    out. While `can_book` is False every order that arrives is refused. `counts` counts what happened.
    """

    def __init__(
        self,
        settings: Settings,
        books: Books,
        random: Random,
        recall: Recall,
        *,
        boot: str = "",
        next_serial: int = 1,
    ) -> None:
        self.settings = settings
        self.can_book = True
        self.unsaved: dict[int, PaperOrder] = {}
        self.counts: Counter[str] = Counter()
        self._books = books
        self._random = random
        self._boot = boot
        self._serial = next_serial
        self._agenda: list[tuple[int, int, Callable[[int, int], None]]] = []
        self._entries = 0
        self._coming = 0
        self._known = Known(recall, self.unsaved)
        self._depth = matching.Depth()
        self._sides: dict[tuple[str, str, bool], RestingSide] = {}
        self._said: list[Report] = []

    # -- what comes in ---------------------------------------------------------------------------

    def place(self, message: PlaceOrder, now_ns: int) -> bool:
        """Take an order that was sent; False for what no client of ours would send."""
        try:
            order = order_of(message, self._serial, 0, self._boot)
        except ValueError:
            return False
        self._serial += 1
        self.counts["orders"] += 1
        order.arrives_ns = self._arrival(min(order.sent_ns, now_ns), now_ns)
        self.unsaved[order.serial] = order
        self._expect(order)
        return True

    def cancel(self, account: str, order_id: str, sent_ns: int, now_ns: int) -> None:
        """Take a request to end an order, or with no id all that rest for the account then."""
        self.counts["cancels"] += 1
        at_ns = self._arrival(min(sent_ns, now_ns), now_ns)
        if order_id:
            self._plan(at_ns, partial(self._cancel, account, order_id))
        else:
            self._plan(at_ns, partial(self._cancel_all, account))

    def ask(self, account: str, order_ids: Sequence[str], now_ns: int) -> list[Report]:
        """What became of these orders, or of all that rest; the last report has no id: that was all.

        An id of several orders is answered with the fills of all and the status of the newest. There is no
        answer for an id while the record cannot be read.
        """
        self.counts["asks"] += 1
        wanted = order_ids or [order.order_id for order in self.resting() if order.account == account]
        answers = []
        for order_id in dict.fromkeys(wanted):
            orders = self._known.find(account, order_id)
            if orders is not None:
                answers.append(self._answer(account, order_id, orders, now_ns))
        if not order_ids:
            answers = [answer for answer in answers if answer.order is not None]
        return [*answers, reports.unknown(account, "", now_ns)]

    def restore(self, orders: Iterable[PaperOrder], now_ns: int) -> None:
        """Go on with orders of an earlier life of this exchange that had not ended; with each come all
        others of its id.

        After a restart of the machine its clock is another one: what had not ended then ends now.
        """
        for order in orders:
            if order.boot != self._boot:
                self._end_of_boot(order, now_ns)
            elif order.status is Status.COMING:
                self._expect(order)
            elif order.status in RESTING:
                self._side(order).add(order, None)
            self._known.add(order)
            if order.is_provisional:
                due_ns = max(fill.due_ns for fill in order.fills)
                self._plan(due_ns, partial(self._confirm, order))

    # -- time passes -----------------------------------------------------------------------------

    def step(self, now_ns: int, wall_ns: int) -> list[Report]:
        """Let everything happen that is due, in its order, and give what is to be said of it."""
        self._expire(now_ns)
        while self._agenda and self._agenda[0][0] <= now_ns:
            _, _, action = heappop(self._agenda)
            action(now_ns, wall_ns)
        for key in list(self._sides):
            self._advance(key, now_ns, wall_ns)
        said, self._said = self._said, []
        return said

    def is_busy(self, now_ns: int) -> bool:
        """Whether something may happen within 20 ms: quotes rest, or an entry of the agenda is near."""
        near = bool(self._agenda) and self._agenda[0][0] - now_ns < NEAR_NS
        return near or any(map(len, self._sides.values()))

    def resting(self) -> list[PaperOrder]:
        """Every quote that rests, oldest first."""
        orders = [order for side in self._sides.values() for order in side.orders]
        return sorted(orders, key=lambda order: order.serial)

    def _expire(self, now_ns: int) -> None:
        """End the quotes whose time is over: nothing that comes later fills them."""
        for order in self.resting():
            if 0 < order.expires_ns <= now_ns:
                self.counts["expired"] += 1
                self._end_quote(order, "expired", now_ns)

    def _advance(self, key: tuple[str, str, bool], now_ns: int, wall_ns: int) -> None:
        """Let one side of one book fill what rests there."""
        side = self._sides[key]
        if not len(side):
            del self._sides[key]
            return
        leg = side.orders[0].leg
        look = self._books.read(leg.venue, leg.market, now_ns)
        if look is not None and matching.is_closed(look, wall_ns):
            for order in side.orders:
                self._end_quote(order, "the market closed", now_ns)
            return
        if look is None or matching.book_refusal(leg, look, wall_ns):
            side.pause()
            return
        for hit in side.advance(look, self.settings.trade_share_ppm):
            self._fill_quote(hit, now_ns)

    # -- an order arrives ------------------------------------------------------------------------

    def _arrive(self, order: PaperOrder, now_ns: int, wall_ns: int) -> None:
        """An order is at its venue: it is a repeat, it is refused, it takes, or it rests."""
        self._coming -= 1
        order.arrived_ns = now_ns
        known = self._known.find(order.account, order.order_id)
        if known is None:
            self._refuse(order, "the exchange cannot read its record", now_ns)
            return
        if self._is_repeat(order, known, now_ns):
            return
        self._known.add(order)
        leg = order.leg
        look = self._books.read(leg.venue, leg.market, now_ns)
        why = self._refusal(order, look, now_ns, wall_ns)
        if why:
            self._refuse(order, why, now_ns)
        elif order.style == MAKER:
            key = (leg.venue, leg.market, leg.takes_asks)
            side = self._side(order)
            if len(side):
                self._advance(key, now_ns, wall_ns)
            self._side(order).add(order, look)
            self._change(order, Status.ACCEPTED, "", now_ns)
        else:
            assert look is not None
            self._take(order, look, now_ns)

    def _is_repeat(self, order: PaperOrder, known: Sequence[PaperOrder], now_ns: int) -> bool:
        """Whether the venue has seen this id in a way that it refuses; then that was no order."""
        earlier = [each for each in known if each.leg.venue == order.leg.venue]
        order.booking = len(earlier) + 1
        rule = ID_RULES.get(order.leg.venue, UNSTATED_IDS)
        is_open = any(each.status in RESTING for each in earlier)
        if not earlier or (rule is Ids.OPEN and not is_open):
            return False
        self.counts["duplicates"] += 1
        order.status, order.at_ns = Status.DROPPED, now_ns
        self._note(order)
        if rule is Ids.FIRST:
            self._said.append(reports.told(earlier[0], earlier[0].fills, now_ns))
        return True

    def _refusal(self, order: PaperOrder, look: Look | None, now_ns: int, wall_ns: int) -> str:
        """Why the venue refuses an order, "" where it takes it."""
        if 0 < order.deadline_ns < now_ns:
            return "it arrived after its deadline"
        if order.style == MAKER and 0 < order.expires_ns <= now_ns:
            return "it expired on its way"
        if not self.can_book:
            return "the exchange cannot book it"
        if self._coming + sum(map(len, self._sides.values())) >= MAX_OPEN:
            return f"the exchange has {MAX_OPEN} open orders already"
        if self._happens(self.settings.reject_ppm):
            return "the venue refused it"
        why = matching.book_refusal(order.leg, look, wall_ns)
        if why or look is None:
            return why
        return matching.order_refusal(order.leg, order.style, look)

    def _refuse(self, order: PaperOrder, why: str, now_ns: int) -> None:
        """End an order that never stood. One that the record does not know needs not be booked for that."""
        self.counts["rejected"] += 1
        self._change(order, Status.REJECTED, why, now_ns)
        if not self.can_book and not order.stored:
            self.unsaved.pop(order.serial, None)

    def _take(self, order: PaperOrder, look: Look, now_ns: int) -> None:
        """Fill an immediate-or-cancel order from the book; what is not filled is cancelled."""
        leg = order.leg
        if self._happens(self.settings.leg_failure_ppm):
            self._change(order, Status.CANCELLED, "what the book showed was gone", now_ns)
            return
        taken = self._depth.taken(leg, look)
        evidence = matching.evidence_of(look, leg, taken)
        parts = matching.take(matching.hit_side(look, leg), leg, leg.size_units, taken)
        matching.note_taken(taken, parts)
        fills = self._book_fills(order, parts, evidence, now_ns, maker=False)
        if not order.left_units:
            self._change(order, Status.FILLED, "", now_ns, fills)
            return
        filled = leg.size_units - order.left_units
        why = f"{filled} of {leg.size_units} units within the limit; the rest is cancelled"
        self._change(order, Status.CANCELLED, why, now_ns, fills)

    def _fill_quote(self, hit: Hit, now_ns: int) -> None:
        """Book what reached a quote, at its own price."""
        order = hit.order
        parts = [(order.leg.limit_ticks, hit.size_units)]
        fills = self._book_fills(order, parts, hit.evidence, now_ns, maker=True)
        if order.left_units:
            self._change(order, Status.PARTIAL, "", now_ns, fills)
        else:
            self._side(order).remove(order)
            self._change(order, Status.FILLED, "", now_ns, fills)

    def _book_fills(
        self, order: PaperOrder, parts: Sequence[matching.Part], evidence: str, now_ns: int, *, maker: bool
    ) -> list[Fill]:
        """Add executions to an order; provisional where the venue's are."""
        before = [(fill.price_ticks, fill.size_units) for fill in order.fills]
        provisional = self.settings.provisional_ns and order.leg.venue in PROVISIONAL_VENUES
        state = FillState.PROVISIONAL if provisional else FillState.FINAL
        due_ns = now_ns + self.settings.provisional_ns if provisional else 0
        fresh: list[Fill] = []
        for execution in matching.charge(order.leg, order.fee, before, parts):
            shown = "" if fresh else evidence
            fill = Fill(order.next_fill_id(), *execution, now_ns, maker, shown, state, due_ns)
            order.unsaved.add(len(order.fills))
            order.fills.append(fill)
            fresh.append(fill)
        self.counts["fills"] += len(fresh)
        if provisional and fresh:
            self._plan(due_ns, partial(self._confirm, order))
        return fresh

    def _confirm(self, order: PaperOrder, now_ns: int, _wall_ns: int) -> None:
        """Say what became of the fills that were provisional until now: they share one transaction."""
        due = [
            (number, fill)
            for number, fill in enumerate(order.fills)
            if fill.state is FillState.PROVISIONAL and fill.due_ns <= now_ns
        ]
        if not due:
            return
        failed = self._happens(self.settings.provisional_failure_ppm)
        for number, fill in due:
            fill.state = FillState.FAILED if failed else FillState.CONFIRMED
            order.unsaved.add(number)
        self.counts["provisional_failed"] += len(due) if failed else 0
        self._note(order)
        fills = order.fills if order.status in FINAL else [fill for _, fill in due]
        self._said.append(reports.told(order, fills, now_ns))

    # -- an order ends ---------------------------------------------------------------------------

    def _cancel(self, account: str, order_id: str, now_ns: int, _wall_ns: int) -> None:
        """End an order if it rests; say how it stands if it does not."""
        orders = self._known.find(account, order_id)
        if orders is None:
            return
        resting = [order for order in orders if order.status in RESTING]
        for order in resting:
            self._end_quote(order, "cancelled on request", now_ns)
        if not resting:
            self._said.append(self._answer(account, order_id, orders, now_ns))

    def _cancel_all(self, account: str, now_ns: int, _wall_ns: int) -> None:
        """End everything that rests for an account."""
        for order in self.resting():
            if order.account == account:
                self._end_quote(order, "cancelled on request", now_ns)

    def _end_quote(self, order: PaperOrder, why: str, now_ns: int) -> None:
        """Take a quote out of its book."""
        self._side(order).remove(order)
        self._change(order, Status.CANCELLED, why, now_ns)

    def _end_of_boot(self, order: PaperOrder, now_ns: int) -> None:
        """Close what an earlier boot left open; its provisional fills are decided at once."""
        why = "the machine of the exchange was restarted"
        if order.status is Status.COMING:
            self._change(order, Status.REJECTED, why, now_ns)
        elif order.status in RESTING:
            self._change(order, Status.CANCELLED, why, now_ns)
        # What is left of it happens on this boot's clock.
        order.boot, order.arrived_ns = self._boot, now_ns
        self._note(order)

    # -- leaves ----------------------------------------------------------------------------------

    def _change(
        self, order: PaperOrder, status: Status, why: str, now_ns: int, fills: Sequence[Fill] = ()
    ) -> None:
        """Move an order on, note that it must be saved, and say so; its end with all its fills, for an
        earlier report may have been lost.
        """
        order.status, order.why, order.at_ns = status, why, now_ns
        self._note(order)
        self._said.append(reports.told(order, order.fills if status in FINAL else fills, now_ns))

    def _note(self, order: PaperOrder) -> None:
        self.unsaved[order.serial] = order

    def _answer(self, account: str, order_id: str, orders: Sequence[PaperOrder], now_ns: int) -> Report:
        """What a venue says of an id now: as yet it may not find an order that has arrived."""
        found = [order for order in orders if now_ns - order.arrived_ns >= self.settings.booking_ns]
        if not found:
            return reports.unknown(account, order_id, now_ns)
        return reports.told(found[-1], [fill for order in found for fill in order.fills], now_ns)

    def _side(self, order: PaperOrder) -> RestingSide:
        key = (order.leg.venue, order.leg.market, order.leg.takes_asks)
        return self._sides.setdefault(key, RestingSide(self._depth))

    def _expect(self, order: PaperOrder) -> None:
        self._coming += 1
        self._plan(order.arrives_ns, partial(self._arrive, order))

    def _arrival(self, sent_ns: int, now_ns: int) -> int:
        return max(now_ns, sent_ns + self.settings.latency.draw(self._random))

    def _plan(self, at_ns: int, action: Callable[[int, int], None]) -> None:
        self._entries += 1
        heappush(self._agenda, (at_ns, self._entries, action))

    def _happens(self, ppm: int) -> bool:
        return ppm > 0 and self._random.randrange(PPM) < ppm
