"""Scanner worker: compares the books of every event in every direction and says what it found.

In: the feeds' books, read-only; the doorbell; the trader's holdings and latencies; run/config.json. Out: a
row per event and direction in its segment, refusals included; opportunities to the trader; lives of edges
that ended. Started by the supervisor as `run.py scanner`.

When a book changes, the lanes that need it are screened by their best prices; those that could leave
something, and those where an edge stands, are priced exactly from whole rows at once. All others wait for
their next turn in the round, a few times a second, because books age and people look.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from pathlib import Path

from pipeline import guards
from pipeline.books import FeedBooks
from pipeline.bus import Bell, Sender, read_key
from pipeline.clock import Clock, SleepWatch
from pipeline.config import Config
from pipeline.lifecycle import Worker
from pipeline.look import Look
from pipeline.model import Reason
from pipeline.model_events import COMPLEMENT, MODEL
from pipeline.money import to_micros
from pipeline.pairs import Direction
from pipeline.pairs_checks import Verdict, limits_of, refused
from pipeline.pricing import Priced, price
from pipeline.scanner import segment as parts
from pipeline.scanner.beliefs import Beliefs, stands
from pipeline.scanner.following import Following
from pipeline.scanner.lanes import Lane, Lanes
from pipeline.scanner.model_lane import price_model
from pipeline.scanner.rows import Belief, Modelled, event_row, leg_ref, screened
from pipeline.scanner.screen import Screen
from pipeline.scanner.trader_view import TraderView
from pipeline.wire import Opportunity, Sealer
from shm.histogram import Histograms
from shm.records import EVENT, EventRow
from shm.segment import boot_id
from shm.tables import TableWriter

SLEEP_MS = 5
# What stands or crosses is looked at again so often although no message came, every other lane so often.
STANDING_NS = 20_000_000
AGE_NS = 200_000_000
# A look of the round is followed by a rest so many times as long: an idle scanner stays idle, however many
# lanes it has.
REST = 10
# A feed that rings has a frame to decode: it publishes within this time, or rings again.
AWAKE_NS = 200_000
MILLISECOND_NS = 1_000_000


class Scanner:
    """The life of one scanner process."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        sections = parts.sections(config.shm.max_events)
        self.worker = Worker("scanner", config, clock, sections, parts.COUNTERS, self._on_config)
        self._offers = guards.of(self.worker, os.environ, "offer").on("offer")
        segment, now = self.worker.segment, clock.monotonic_ns()
        self._books = FeedBooks(Path(config.shm_directory), config.feeds(), config.scanner.limits())
        self._sleep_watch = SleepWatch(clock)
        self._table: TableWriter[EventRow] = TableWriter(segment, parts.EVENTS, EVENT)
        self._hops = Histograms(segment, parts.HOPS, now)
        run_directory = Path(config.run_directory)
        self._sealer = Sealer(read_key(run_directory))
        self._sender = Sender(run_directory)
        self._bell = Bell(run_directory)
        self._boot = boot_id().hex()
        self._sequence = 0
        self._retries = 0
        # Books whose change was noticed on the way to sleep.
        self._waiting: list[tuple[str, str]] = []
        self._trader = TraderView(Path(config.shm_directory))
        self._lanes = Lanes(len(self._table), self._end_lane, self._no_room)
        self._screen = Screen(self._books)
        self._screen_version = -1
        self._order: list[Lane] = []
        self._round: deque[Lane] = deque()
        self._next_round_ns = 0
        self._standing: set[Lane] = set()
        self._again: list[Lane] = []
        self._next_standing_ns = 0
        self._beliefs = Beliefs(segment, self.worker.counters, config.scanner)
        self._following = Following(segment, self._books)
        self._adopt(config)

    def run(self) -> None:
        """Turn until told to stop."""
        with self.worker as worker:
            # What there is now stays: nothing of it needs to be looked through for garbage again.
            gc.collect()
            gc.freeze()
            while worker.go_on():
                if not self.turn():
                    self._sleep()
            self._beliefs.end(self._standing, self._clock.monotonic_ns())
            self.close()

    def close(self) -> None:
        """Let go of sockets."""
        self._sender.close()
        self._bell.close()

    def turn(self) -> int:
        """Look at all that changed, at one lane that stands, and at one of the round; how many in all.

        So what has just come never waits for more than two looks that could wait themselves.
        """
        now = self._clock.monotonic_ns()
        if self._sleep_watch.slept_ns():
            self._books.woke_up(now)
            self._beliefs.end(self._standing, now)
            self._following.forget()
        # Feeds that came anew are attached before the screen asks where their markets lie.
        changed = self._waiting + self._books.changed(now)
        self._waiting = []
        if self._trader.refresh(now):
            self._lanes.hold(self._trader.held)
        if self._screen_version != self._lanes.version:
            self._watch()
        self._screen.refresh(now)
        looked = self.look_at(changed, now) if changed else 0
        looked += self._look_again(now) + self._go_round(now)
        if looked:
            self.worker.counters.add("evaluations", looked)
        if self._hops.rotate(now):
            self._count_retries()
        self._following.publish(now)
        return looked or len(changed)

    def look_at(self, changed: list[tuple[str, str]], now: int) -> int:
        """Price the lanes of books that were published, if they could leave anything; how many."""
        due: dict[Lane, None] = {}
        crosses = self._screen.crosses
        for book in changed:
            for lane in self._lanes.of(book):
                if lane.born_ns or crosses(lane.number):
                    due[lane] = None
        if due:
            self._sender.announce()
        for lane in due:
            self._look(lane, fresh=True)
        self.worker.counters.add("screened", len(changed))
        self._following.moved(changed, now)
        return len(due)

    def _look_again(self, now: int) -> int:
        """Price one lane that stands or crosses and was not looked at lately: books age without a message."""
        if not self._again and now >= self._next_standing_ns:
            self._next_standing_ns = now + STANDING_NS
            due = self._standing.union(self._order[number] for number in self._screen.crossed())
            self._again = [lane for lane in due if now - lane.looked_ns >= STANDING_NS]
        return self._look(self._again.pop(), fresh=False) if self._again else 0

    def _go_round(self, now: int) -> int:
        """Price the lane that was not looked at for longest, if that is long enough."""
        if now < self._next_round_ns or not self._round:
            return 0
        lane = self._round[0]
        self._round.rotate(-1)
        self._next_round_ns = now + AGE_NS // len(self._round)
        if now - lane.looked_ns < AGE_NS:
            return 0
        self._look(lane, fresh=False)
        took_ns = self._clock.monotonic_ns() - lane.looked_ns
        self._next_round_ns = max(self._next_round_ns, now + REST * took_ns)
        return 1

    def _sleep(self) -> None:
        """Say that we sleep, look once more, then wait for the bell a few milliseconds at most."""
        if self._spin(self.worker.config.scanner.spin_us * 1_000):
            return
        segment = self.worker.segment
        segment.set_sleeping(True)
        self._waiting = self._books.changed(self._clock.monotonic_ns())
        if self._waiting:
            segment.set_sleeping(False)
            return
        self.worker.counters.add("wakes")
        rung = self._bell.wait(SLEEP_MS)
        segment.set_sleeping(False)
        if rung:
            self.worker.counters.add("bells")
            # A feed rings before it publishes.
            self._spin(AWAKE_NS)
        else:
            self._waiting = self._books.changed(self._clock.monotonic_ns())
            if self._waiting:
                self.worker.counters.add("missed_bells")

    def _spin(self, limit_ns: int) -> bool:
        """Look for changes without a rest for so long at most; whether there are any."""
        if limit_ns <= 0:
            return False
        now = self._clock.monotonic_ns()
        deadline = now + limit_ns
        while not self._waiting and now < deadline:
            self._waiting = self._books.changed(now)
            now = self._clock.monotonic_ns()
        return bool(self._waiting)

    def _look(self, lane: Lane, *, fresh: bool) -> int:
        """Price one direction, offer it if every check passes, and publish its row; returns 1.

        `fresh` says that a message has just come for it: only then do the hops mean anything.
        """
        now, wall_ns, direction = self._clock.monotonic_ns(), self._clock.wall_ns(), lane.direction
        lane.looked_ns = now
        modelled: Modelled | None = None
        if direction.kind == MODEL:
            found = price_model(
                direction, self._books, self._following.mids(direction), self._limits, now, wall_ns
            )
            priced, modelled = found.priced, found.modelled
        else:
            priced = price(direction, self._books, self._limits, now, wall_ns, lane.held)
        verdict = self._lasting(lane, priced, now)
        belief = self._beliefs.of(lane, priced, verdict, now, self._trader.latency_ns)
        repeat_ns = self.worker.config.scanner.repeat_ms * MILLISECOND_NS
        if not verdict.reason and now - lane.sent_ns >= repeat_ns and self._offers:
            lane.sent_ns = now
            self._offer(priced, belief, now, fresh=fresh)
        lead = self._following.lead(direction)
        hurdle_pct, shown_ns = self._limits.hurdle_pct, self._clock.monotonic_ns()
        row = event_row(lane.named, priced, verdict, belief, lead, hurdle_pct, shown_ns)
        self._table.put(lane.row, row if modelled is None else modelled.onto(row))
        if verdict.reason is not lane.reason:
            # A standing refusal counts once, not once a message.
            name = parts.REFUSED + verdict.reason.name.lower() if verdict.reason else "opportunities"
            self.worker.counters.add(name)
            lane.reason = verdict.reason
        (self._standing.add if lane.born_ns else self._standing.discard)(lane)
        return 1

    def _lasting(self, lane: Lane, priced: Priced, now: int) -> Verdict:
        """A gap within one venue is mostly two halves of one change: it must last before it is believed."""
        if lane.direction.kind != COMPLEMENT or not stands(priced.verdict, priced):
            return priced.verdict
        persist_ms = self.worker.config.scanner.persist_ms
        stood_ms = (now - lane.born_ns) // MILLISECOND_NS if lane.born_ns else 0
        if priced.verdict.reason or stood_ms >= persist_ms:
            return priced.verdict
        return refused(Reason.UNCONFIRMED, stood_ms, persist_ms)

    def _offer(self, priced: Priced, belief: Belief, scan_ns: int, *, fresh: bool) -> None:
        """Send an opportunity; whatever is not taken at once is dropped and counted."""
        edge, config, direction = priced.edge, self.worker.config, priced.direction
        assert edge is not None
        looks = [look for look in priced.looks if look is not None]
        legs = zip(direction.legs, edge.legs, looks, strict=True)
        self._sequence += 1
        decided_ns = self._clock.monotonic_ns()
        opportunity = Opportunity(
            boot_id=self._boot,
            run_epoch=self.worker.segment.header.epoch,
            sequence=self._sequence,
            config_version=config.version,
            event_id=direction.event.id,
            kind=direction.kind,
            direction=direction.index,
            size_units=edge.size_units,
            size_decimals=edge.size_decimals,
            edge_bp=edge.edge_bp,
            gross_micros=to_micros(edge.gross),
            net_micros=to_micros(edge.net),
            cash_micros=to_micros(edge.cash),
            confidence=belief.confidence,
            legs=tuple([leg_ref(plan, leg.limit_ticks, look) for plan, leg, look in legs]),
            race_ppm=belief.race_ppm,
            fresh=fresh,
            scan_ns=scan_ns,
            decided_ns=decided_ns,
            expires_ns=decided_ns + config.scanner.opportunity_ttl_ms * MILLISECOND_NS,
            send_ns=self._clock.monotonic_ns(),
        )
        sent = self._sender.send(self._sealer.seal(opportunity))
        self.worker.counters.add("sent" if sent else "send_dropped")
        if fresh:
            self._stamp(looks, scan_ns, opportunity.send_ns)

    def _stamp(self, looks: list[Look], scan_ns: int, send_ns: int) -> None:
        """Count how long each hop of what was just sent took, from the message that came last."""
        book = max((look.book for look in looks), key=lambda row: row.publish_ns)
        self._hops.record("socket_to_book", book.publish_ns - book.socket_ns)
        self._hops.record("book_to_scan", scan_ns - book.publish_ns)
        self._hops.record("scan_to_send", send_ns - scan_ns)

    def _watch(self) -> None:
        """Screen the lanes that there are now, and go round all of them."""
        self._order = list(self._lanes)
        for number, lane in enumerate(self._order):
            lane.number = number
        self._screen.watch([screened(lane.direction, self._limits.hurdle_pct) for lane in self._order])
        self._screen_version = self._lanes.version
        self._round = deque(self._order)
        self._standing.intersection_update(self._order)
        self._again.clear()

    def _end_lane(self, lane: Lane) -> None:
        """A direction is no more: its row is emptied, and what stood there is lost from sight."""
        self._beliefs.lost(lane, self._clock.monotonic_ns())
        self._table.clear(lane.row)

    def _no_room(self, direction: Direction) -> None:
        self.worker.counters.add("no_room")
        self.worker.report(f"no row for event {direction.event.id}: raise shm.max_events")

    def _adopt(self, config: Config) -> None:
        """Take over limits and events."""
        self._limits = limits_of(config)
        self._lanes.follow(config.all_events(), self._trader.held)
        self._following.follow(config.all_events())
        self._beliefs.adopt(config.scanner)

    def _on_config(self, _old: Config, new: Config) -> None:
        """Act on a new configuration: limits, events, venues."""
        self._books.adopt(new.feeds(), new.scanner.limits())
        self._adopt(new)

    def _count_retries(self) -> None:
        """Carry over how often a writer overtook a read. Feeds that came anew count from nothing again."""
        retries = self._books.retries()
        self.worker.counters.add("read_retries", max(0, retries - self._retries))
        self._retries = retries
