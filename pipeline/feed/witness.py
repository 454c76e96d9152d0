"""Witness: does the venue's REST show the book that we built from its stream?

In: our books, the events applied to them, samples from REST, time. Out: markets to ask REST for, and
verdicts. Pure. Run by a feed's worker; its samples come from `rest_books.RestBooks`.

Stream and REST are not in step, and either may lag. So nothing is compared at one moment: for each
market in turn a window is opened a little before the request and closed a little after the answer, and
all sizes that each of our levels had meanwhile are noted (`window.Window`). A level whose size by REST
is none of those is suspect. That proves nothing yet, because an answer may come out of a cache and be
older than the window. But our level has a date: if nothing has touched it since, and a second sample,
asked six seconds later or more, contradicts it again, that answer would have to be so old. Then our book
is wrong: an event was lost, or the stream stands still.

A sample whose own time is before that of our book as the window opened is older than our book and
accuses nobody. Only prices that both sides can see are compared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from heapq import heappop, heappush

import msgspec

from pipeline.feed.window import Doubt, SeenBook, Window
from pipeline.model import BookState
from pipeline.venues.asking import Sample
from pipeline.venues.codec import Change, Event, Snapshot

SECOND_NS = 1_000_000_000
# How long a window is open before the question: answers up to this old find their sizes in it.
LEAD_NS = SECOND_NS
# How long it stays open after the answer: the stream may be this much behind.
SETTLE_NS = SECOND_NS // 4
# From a suspect sample to the next window, which is open for LEAD_NS before the second question.
CONFIRM_NS = 5 * SECOND_NS
# A window without an answer is given up.
PATIENCE_NS = 8 * SECOND_NS
# A book that is not LIVE is looked at again after this.
ABSENT_NS = SECOND_NS
# A turn of the worker opens at most so many windows: each copies a book.
OPENED_A_TURN = 25

_USABLE = frozenset({BookState.LIVE, BookState.CROSSED})


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What REST says of a book. `at_ns` is when REST was asked (CLOCK_MONOTONIC); `why` is for a log."""

    market: str
    agrees: bool
    at_ns: int
    why: str = ""


class _Case:
    """A market in hand: the window that is open, and a doubt that waits for a second sample."""

    __slots__ = ("asked", "book", "doubt", "sample", "window")

    def __init__(self, book: SeenBook) -> None:
        self.book = book
        self.window: Window | None = None
        self.doubt: Doubt | None = None
        self.asked = False
        self.sample: Sample | None = None


class Witness:
    """Compares each followed market with REST once an interval.

    A fault that stays is found after at most interval + 2 * (LEAD + SETTLE + answer) + CONFIRM: with
    10 s and prompt answers 17.5 s. The worker calls, each turn and in this order, `asks`, `answered` for
    what RestBooks found, and `verdicts`; and `note` for each event it applied while `watching` is not
    empty, which is all that this costs where no window is open. `agreed_ns` holds when each market was
    last found right.

    Counts: `agreements`, `mismatches` (verdicts against us), `suspects` (samples that contradicted us),
    `stale` (older than our book), `unanswered`, `undecided` (too much happened in a window).
    """

    def __init__(self, interval_ns: int, *, at_once: int) -> None:
        """`at_once` is how many windows may be open: what the venue's pace can answer in a second or two."""
        self.interval_ns = interval_ns
        self.watching: dict[str, _Case] = {}
        self.agreed_ns: dict[str, int] = {}
        self.agreements = self.mismatches = self.suspects = 0
        self.stale = self.unanswered = self.undecided = 0
        self._at_once = at_once
        self._next_ns: dict[str, int] = {}
        self._queue: list[tuple[int, str]] = []
        self._opened: deque[tuple[str, Window]] = deque()
        self._unanswered: deque[tuple[str, Window]] = deque()
        self._answered: deque[tuple[str, Window]] = deque()
        self._open = 0

    def follow(self, markets: Iterable[str], now_ns: int) -> None:
        """Compare these markets too, beginning soon."""
        for market in markets:
            if market not in self._next_ns:
                self._schedule(market, now_ns)

    def forget(self, markets: Iterable[str]) -> None:
        """Compare these markets no more."""
        for market in markets:
            self._drop(market)
            self._next_ns.pop(market, None)
            self.agreed_ns.pop(market, None)

    def asks(self, books: Mapping[str, SeenBook], now_ns: int) -> list[str]:
        """Open the windows that are due; the markets whose window is old enough to ask REST for now."""
        self._expire(now_ns)
        opened = 0
        while self._queue and self._queue[0][0] <= now_ns:
            if opened == OPENED_A_TURN or self._open >= self._at_once:
                break
            due_ns, market = heappop(self._queue)
            if self._next_ns.get(market) == due_ns:
                self._next_ns[market] = -1
                opened += self._open_window(market, books.get(market), now_ns)
        asked = []
        while self._opened and now_ns - self._opened[0][1].opened_ns >= LEAD_NS:
            market, window = self._opened.popleft()
            case = self._case_of(market, window)
            if case is not None:
                case.asked = True
                window.asked_ns = now_ns
                self._unanswered.append((market, window))
                asked.append(market)
        return asked

    def note(self, event: Event) -> None:
        """An event was applied to our book. Costs a look-up where the market has no open window."""
        if isinstance(event, Change):
            case = self.watching.get(event.market)
            if case is None:
                return
            if case.window is not None:
                case.window.change(event)
            if case.doubt is not None:
                case.doubt.change(event)
        elif isinstance(event, Snapshot):
            case = self.watching.get(event.market)
            if case is None:
                return
            if case.window is not None:
                case.window.replace(event)
            if case.doubt is not None:
                case.doubt.replace(event)

    def answered(self, sample: Sample) -> None:
        """REST has answered. Without a window that asked for it an answer is ignored."""
        case = self.watching.get(sample.market)
        if case is None or case.window is None or not case.asked or case.sample is not None:
            return
        if sample.asked_ns >= case.window.asked_ns:
            case.sample = sample
            self._answered.append((sample.market, case.window))

    def verdicts(self, now_ns: int) -> list[Verdict]:
        """Judge the windows whose answer has settled; most windows end with a verdict that agrees."""
        given = []
        for _ in range(len(self._answered)):
            market, window = self._answered.popleft()
            case = self._case_of(market, window)
            if case is None or case.sample is None:
                continue
            if now_ns - case.sample.answered_ns < SETTLE_NS:
                self._answered.append((market, window))
                continue
            verdict = self._judge(market, case, window, case.sample, now_ns)
            if verdict is not None:
                given.append(verdict)
        return given

    # -- one market ----------------------------------------------------------------------------------

    def _case_of(self, market: str, window: Window) -> _Case | None:
        """The case that this window still belongs to."""
        case = self.watching.get(market)
        return case if case is not None and case.window is window else None

    def _open_window(self, market: str, book: SeenBook | None, now_ns: int) -> bool:
        """Begin to note the sizes of a book that can be compared; whether it could."""
        if book is None or book.state not in _USABLE:
            self._drop(market)
            self._schedule(market, now_ns + ABSENT_NS)
            return False
        case = self.watching.setdefault(market, _Case(book))
        self._close(case)
        case.book = book
        case.window = Window(book, now_ns)
        self._opened.append((market, case.window))
        self._open += 1
        return True

    def _judge(self, market: str, case: _Case, window: Window, sample: Sample, now_ns: int) -> Verdict | None:
        """Compare one sample, and say what follows; the window is closed."""
        self._close(case)
        again_ns = window.opened_ns + self.interval_ns
        doubt = case.doubt
        if case.book.state not in _USABLE or window.too_much:
            self.undecided += window.too_much
            self._finish(market, again_ns, now_ns)
            return None
        if window.newer_than(sample):
            # A doubt stays, to be tried on an answer that is newer.
            self.stale += 1
            self._again_or_finish(market, case, again_ns, now_ns)
            return None
        found = window.compare(sample)
        if not found:
            self.agreements += 1
            self.agreed_ns[market] = sample.asked_ns
            self._finish(market, again_ns, now_ns)
            return Verdict(market, agrees=True, at_ns=sample.asked_ns)
        self.suspects += 1
        wrong = doubt.confirmed_by(found) if doubt is not None else None
        if wrong is not None:
            self.mismatches += 1
            self._finish(market, again_ns, now_ns)
            return Verdict(market, agrees=False, at_ns=sample.asked_ns, why=wrong)
        case.doubt = found
        self._again_or_finish(market, case, again_ns, now_ns)
        return None

    def _again_or_finish(self, market: str, case: _Case, again_ns: int, now_ns: int) -> None:
        """A second sample soon where there is a doubt, else the next one in its turn."""
        if case.doubt is not None and case.doubt.stands():
            self._schedule(market, now_ns + CONFIRM_NS)
        else:
            self._finish(market, again_ns, now_ns)

    def _finish(self, market: str, again_ns: int, now_ns: int) -> None:
        self._drop(market)
        self._schedule(market, max(again_ns, now_ns))

    def _schedule(self, market: str, due_ns: int) -> None:
        self._next_ns[market] = due_ns
        heappush(self._queue, (due_ns, market))

    def _close(self, case: _Case) -> None:
        if case.window is not None:
            case.window, case.sample, case.asked = None, None, False
            self._open -= 1

    def _drop(self, market: str) -> None:
        case = self.watching.pop(market, None)
        if case is not None:
            self._close(case)

    def _expire(self, now_ns: int) -> None:
        """Give up windows that REST does not answer."""
        while self._unanswered and now_ns - self._unanswered[0][1].asked_ns >= PATIENCE_NS:
            market, window = self._unanswered.popleft()
            case = self._case_of(market, window)
            if case is not None and case.sample is None:
                self.unanswered += 1
                self._finish(market, window.opened_ns + self.interval_ns, now_ns)
