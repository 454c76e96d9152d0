"""Paper worker: the exchange of the paper account, a process of its own that outlives a killed trader.

In: sealed orders, cancels and questions on `ord`, the feeds' books in shared memory, run/config.json. Out:
sealed reports to whoever asked or placed, data/paper.sqlite, its segment. Started by the supervisor as
`run.py paper`. A report is sent only after what it says is committed.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from pipeline.books import FeedBooks
from pipeline.bus import OrderServer, read_key
from pipeline.clock import Clock, SleepWatch
from pipeline.config import Config
from pipeline.lifecycle import Worker
from pipeline.money import money_text
from pipeline.paper.exchange import PaperExchange
from pipeline.paper.orders import PaperOrder
from pipeline.paper.reports import Report, messages
from pipeline.paper.settings import settings_of
from pipeline.paper.store import PAPER_FILE, PaperStore, StoreError
from pipeline.wire import (
    PLACES_A_QUESTION,
    AskHoldings,
    AskOrders,
    CancelOrders,
    HoldingsReport,
    PlaceOrder,
    Sealer,
    WireError,
)

BUSY_MS, IDLE_MS = 2, 20
BATCH = 64
START_SECONDS = 5.0
RETRY_NS = 200_000_000
PRUNE_NS = 600_000_000_000
MAX_ACCOUNTS, MAX_CLIENTS = 64, 8
MAX_OUTBOX = 4096
COUNTERS = (
    "orders",
    "cancels",
    "asks",
    "fills",
    "rejected",
    "expired",
    "frames_refused",
    "duplicates",
    "provisional_failed",
    "store_failures",
    "reports_dropped",
)


class _Letter(NamedTuple):
    """A report to send, to a client that asked, or to all of the account."""

    report: Report
    client: bytes | None


class PaperVenue:
    """The life of one paper exchange. `random` draws latencies, refusals and failures."""

    def __init__(self, config: Config, clock: Clock, random: Random | None = None) -> None:
        self._clock = clock
        self.worker = Worker("paper", config, clock, (), COUNTERS, self._on_config)
        # Its record is made, brought up to date or read before it turns, and a disk can be slow.
        self.worker.busy(START_SECONDS)
        run_directory = Path(config.run_directory)
        boot = self.worker.segment.header.boot_id.hex()
        self._sealer = Sealer(read_key(run_directory))
        self._server = OrderServer(run_directory)
        self._books = FeedBooks(Path(config.shm_directory), config.feeds(), config.scanner.limits())
        self._sleep_watch = SleepWatch(clock)
        self._store = PaperStore.open(Path(config.data_directory) / PAPER_FILE, boot, wall_ns=clock.wall_ns)
        self.exchange = PaperExchange(
            settings_of(config.trader),
            self._books,
            random or Random(config.lab.seed),  # noqa: S311 - a model of delays, no secret
            self._recall,
            boot=boot,
            next_serial=self._store.next_serial(),
        )
        self.exchange.restore(self._store.open_orders(), clock.monotonic_ns())
        self._counted: Counter[str] = Counter()
        # Who is heard of an account, newest last: a trader, one before it, a person's cancel-all.
        self._clients: OrderedDict[str, OrderedDict[bytes, None]] = OrderedDict()
        self._outbox: deque[_Letter] = deque()
        self._retry_ns = 0
        self._prune_ns = 0

    def run(self) -> None:
        """Turn until told to stop."""
        with self.worker as worker:
            while worker.go_on():
                self.turn()
            self.close()

    def close(self) -> None:
        """Let go of the socket and the record."""
        self._server.close()
        self._store.close()

    def turn(self, wait_ms: int | None = None) -> None:
        """Take what came in, let happen what is due, put it on record, and say so."""
        now = self._clock.monotonic_ns()
        if self._sleep_watch.slept_ns():
            self._books.woke_up(now)
        self._books.refresh(now)
        if wait_ms is None:
            wait_ms = BUSY_MS if self.exchange.is_busy(now) else IDLE_MS
        for number in range(BATCH):
            received = self._server.receive(0 if number else wait_ms)
            if received is None:
                break
            self._take(*received)
        # What came in is on record before anything is made of it.
        self._commit()
        now = self._clock.monotonic_ns()
        self._post(None, self.exchange.step(now, self._clock.wall_ns()))
        self._commit()
        self._send()
        self._count()
        if now >= self._prune_ns:
            self._prune(now)

    # -- what comes in ---------------------------------------------------------------------------

    def _take(self, client: bytes, frame: bytes) -> None:
        """Act on one frame; what is not a sealed order, cancel or question is counted and dropped."""
        try:
            message = self._sealer.open_order(frame)
        except WireError as error:
            self._refuse(f"{error} frame")
            return
        now = self._clock.monotonic_ns()
        if isinstance(message, PlaceOrder):
            if not self.exchange.place(message, now):
                self._refuse("an order that no trader sends")
                return
            self._heard(message.account, client)
        elif isinstance(message, CancelOrders):
            self._heard(message.account, client)
            self.exchange.cancel(message.account, message.order_id, message.sent_ns, now)
        elif isinstance(message, AskHoldings):
            self._tell_holdings(client, message)
        else:
            assert isinstance(message, AskOrders)
            self._heard(message.account, client)
            self._post(client, self.exchange.ask(message.account, message.order_ids, now))

    def _tell_holdings(self, client: bytes, question: AskHoldings) -> None:
        """Say what the account has, by what is on record; nothing while that cannot be read."""
        if len(question.places) > PLACES_A_QUESTION:
            self._refuse("a question for too many places")
            return
        self.worker.counters.add("asks")
        try:
            found = self._store.holdings(question.account, question.places)
        except StoreError as error:
            self._store_failed(error)
            return
        held = tuple([(*place, money_text(amount)) for place, amount in found.amounts.items()])
        report = HoldingsReport(question.account, question.look, found.born_wall_ns, found.fills, held)
        self._server.reply(client, self._sealer.seal(report))

    def _refuse(self, why: str) -> None:
        self.worker.counters.add("frames_refused")
        self.worker.report(f"ord: {why}")

    def _heard(self, account: str, client: bytes) -> None:
        """Note who speaks for an account: what happens to its orders is told to them."""
        clients = self._clients.setdefault(account, OrderedDict())
        clients[client] = None
        clients.move_to_end(client)
        self._clients.move_to_end(account)
        if len(clients) > MAX_CLIENTS:
            clients.popitem(last=False)
        if len(self._clients) > MAX_ACCOUNTS:
            self._clients.popitem(last=False)

    # -- the record, then the reports ------------------------------------------------------------

    def _commit(self) -> None:
        """Put on record what changed. While that fails nothing new is taken, and it is tried again."""
        now = self._clock.monotonic_ns()
        unsaved = self.exchange.unsaved
        if (not unsaved and self.exchange.can_book) or now < self._retry_ns:
            return
        try:
            if unsaved:
                self._store.save(unsaved.values())
            else:
                self._store.probe()
        except StoreError as error:
            self._store_failed(error)
            self.exchange.can_book = False
            self._retry_ns = now + RETRY_NS
            return
        unsaved.clear()
        self.exchange.can_book = True
        self._retry_ns = 0

    def _recall(self, account: str, order_id: str) -> Sequence[PaperOrder] | None:
        """Orders that are only on record; None while it cannot be read."""
        try:
            return self._store.find(account, order_id)
        except StoreError as error:
            self._store_failed(error)
            return None

    def _prune(self, now: int) -> None:
        """Keep the record within its bounds."""
        self._prune_ns = now + PRUNE_NS
        try:
            self._store.prune()
        except StoreError as error:
            self._store_failed(error)

    def _store_failed(self, error: StoreError) -> None:
        self.worker.counters.add("store_failures")
        self.worker.report(str(error))

    def _post(self, client: bytes | None, said: Sequence[Report]) -> None:
        """Put reports into the outbox; when it is full the oldest are lost, and asked for."""
        self._outbox.extend(_Letter(report, client) for report in said)
        while len(self._outbox) > MAX_OUTBOX:
            self._outbox.popleft()
            self.worker.counters.add("reports_dropped")

    def _send(self) -> None:
        """Send what is on record and has somebody to go to; the rest waits, in its order."""
        waiting: deque[_Letter] = deque()
        for letter in self._outbox:
            report, client = letter
            clients = [client] if client is not None else list(self._clients.get(report.account, ()))
            is_unsaved = report.order is not None and report.order.serial in self.exchange.unsaved
            if is_unsaved or not clients:
                waiting.append(letter)
                continue
            for message in messages(report):
                frame = self._sealer.seal(message)
                for each in clients:
                    self._server.reply(each, frame)
        self._outbox = waiting

    def _count(self) -> None:
        """Add what the exchange counted since the last turn."""
        fresh = self.exchange.counts - self._counted
        for name, count in fresh.items():
            self.worker.counters.add(name, count)
        if fresh:
            self._counted = self.exchange.counts.copy()

    def _on_config(self, _old: Config, new: Config) -> None:
        """Act on a new configuration at once."""
        self._books.adopt(new.feeds(), new.scanner.limits())
        self.exchange.settings = settings_of(new.trader)
