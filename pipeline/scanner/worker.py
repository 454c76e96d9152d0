"""Scanner worker: compares the books of every event in both directions and says what it found.

In: the feeds' books, read-only; the doorbell; run/config.json. Out: a row per event and direction in its
segment, refusals included, and opportunities to the trader. Started by the supervisor as
`run.py scanner`. It sleeps on the bell when nothing changed, and looks at every event a few times a
second anyway, because books age.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline import pairs
from pipeline.books import FeedBooks
from pipeline.bus import Bell, Sender, read_key
from pipeline.clock import Clock, SleepWatch
from pipeline.config import Config
from pipeline.lifecycle import Worker
from pipeline.look import Look
from pipeline.model import (
    Confidence,
    OrderLeg,
    Reason,
)
from pipeline.money import to_micros
from pipeline.pricing import Priced, price
from pipeline.scanner.confidence import confidence
from pipeline.wire import LegRef, Opportunity, Sealer
from shm.records import EVENT, EventRow
from shm.segment import boot_id
from shm.tables import TableWriter

REFUSED = "refused."
COUNTERS = (
    "evaluations",
    "opportunities",
    "sent",
    "send_dropped",
    "wakes",
    "bells",
    "missed_bells",
    "read_retries",
    "no_room",
    *(REFUSED + reason.name.lower() for reason in Reason if reason is not Reason.NONE),
)
SLEEP_MS = 5
# Every event is looked at again after this time even if no message came.
AGE_NS = 100_000_000


@dataclass(slots=True)
class Lane:
    """One direction of one event, its row, and when it was last priced and offered."""

    direction: pairs.Direction
    row: int
    looked_ns: int = 0
    sent_ns: int = 0
    reason: Reason | None = None


class Scanner:
    """The life of one scanner process."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        sections = [EVENT.section("events", 2 * config.shm.max_events)]
        self.worker = Worker("scanner", config, clock, sections, COUNTERS, self._on_config)
        self._books = FeedBooks(Path(config.shm_directory), config.feeds(), config.scanner.limits())
        self._sleep_watch = SleepWatch(clock)
        self._table: TableWriter[EventRow] = TableWriter(self.worker.segment, "events", EVENT)
        run_directory = Path(config.run_directory)
        self._sealer = Sealer(read_key(run_directory))
        self._sender = Sender(run_directory)
        self._bell = Bell(run_directory)
        self._boot = boot_id().hex()
        self._sequence = 0
        self._retries = 0
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._lanes_of: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self._dirty: set[tuple[str, int]] = set()
        self._free = list(reversed(range(len(self._table))))
        self._limits = pairs.limits_of(config.risk)
        self._watch(config)

    def run(self) -> None:
        """Turn until told to stop."""
        with self.worker as worker:
            while worker.go_on():
                if not self.turn():
                    self._sleep()
            self.close()

    def close(self) -> None:
        """Let go of sockets."""
        self._sender.close()
        self._bell.close()

    def turn(self) -> int:
        """Look at every lane whose books changed or that was not looked at for long; how many."""
        now = self._clock.monotonic_ns()
        if self._sleep_watch.slept_ns():
            self._books.woke_up(now)
        self._books.refresh(now)
        self._notice(now)
        due = [
            lane for key, lane in self._lanes.items() if key in self._dirty or now - lane.looked_ns > AGE_NS
        ]
        self._dirty.clear()
        for lane in due:
            self._look(lane, now)
        if due:
            self.worker.counters.add("evaluations", len(due))
        return len(due)

    def _notice(self, now: int) -> bool:
        """Mark the lanes of every book that was published since the last time; whether there are any."""
        for book in self._books.changed(now):
            self._dirty.update(self._lanes_of.get(book, ()))
        return bool(self._dirty)

    def _sleep(self) -> None:
        """Say that we sleep, look once more, then wait for the bell a few milliseconds at most."""
        segment = self.worker.segment
        segment.set_sleeping(True)
        if not self._notice(self._clock.monotonic_ns()):
            self.worker.counters.add("wakes")
            if self._bell.wait(SLEEP_MS):
                self.worker.counters.add("bells")
            elif self._notice(self._clock.monotonic_ns()):
                self.worker.counters.add("missed_bells")
        segment.set_sleeping(False)

    def _look(self, lane: Lane, now: int) -> None:
        """Price one direction, publish its row, and offer it if every check passes."""
        priced = price(lane.direction, self._books, self._limits, now, self._clock.wall_ns())
        lane.looked_ns = now
        belief = self._confidence(priced, now)
        self._table.put(lane.row, event_row(priced, belief, self._clock.monotonic_ns()))
        reason = priced.verdict.reason
        if reason is not lane.reason:
            # A standing refusal counts once, not once a message.
            if reason:
                self.worker.counters.add(REFUSED + reason.name.lower())
            else:
                self.worker.counters.add("opportunities")
            lane.reason = reason
        if not reason and now - lane.sent_ns >= self.worker.config.scanner.repeat_ms * 1_000_000:
            lane.sent_ns = now
            self._offer(priced, belief, now)

    def _confidence(self, priced: Priced, now: int) -> Confidence:
        """How far the edge may be believed; LOW where there is none."""
        if priced.buy is None or priced.sell is None or priced.edge is None or priced.legs is None:
            return Confidence.LOW
        flags = priced.buy.book.flags | priced.sell.book.flags
        age_ns = now - min(priced.buy.book.socket_ns, priced.sell.book.socket_ns)
        return confidence(*priced.legs, priced.edge, flags, age_ns)

    def _offer(self, priced: Priced, belief: Confidence, scan_ns: int) -> None:
        """Send an opportunity; whatever is not taken at once is dropped and counted."""
        assert priced.edge is not None
        assert priced.buy is not None
        assert priced.sell is not None
        edge, config = priced.edge, self.worker.config
        legs = pairs.order_legs(priced.direction, edge, priced.buy.scale, priced.sell.scale)
        self._sequence += 1
        decided_ns = self._clock.monotonic_ns()
        opportunity = Opportunity(
            boot_id=self._boot,
            run_epoch=self.worker.segment.header.epoch,
            sequence=self._sequence,
            config_version=config.version,
            event_id=priced.direction.event.id,
            kind=priced.direction.event.kind,
            direction=priced.direction.index,
            size_units=edge.size_units,
            size_decimals=edge.size_decimals,
            edge_bp=edge.edge_bp,
            gross_micros=to_micros(edge.gross),
            net_micros=to_micros(edge.net),
            cash_micros=to_micros(edge.cash),
            confidence=belief,
            legs=(leg_ref(legs[0], priced.buy), leg_ref(legs[1], priced.sell)),
            scan_ns=scan_ns,
            decided_ns=decided_ns,
            expires_ns=decided_ns + config.scanner.opportunity_ttl_ms * 1_000_000,
            send_ns=self._clock.monotonic_ns(),
        )
        sent = self._sender.send(self._sealer.seal(opportunity))
        self.worker.counters.add("sent" if sent else "send_dropped")

    def _watch(self, config: Config) -> None:
        """Make the lanes be those of the config's events; rows of others are emptied."""
        wanted = {(d.event.id, d.index): d for d in pairs.directions(config.all_events())}
        for key in [key for key in self._lanes if key not in wanted]:
            row = self._lanes.pop(key).row
            self._table.clear(row)
            self._free.append(row)
        for key, direction in wanted.items():
            lane = self._lanes.get(key)
            if lane is not None:
                lane.direction = direction
            elif self._free:
                self._lanes[key] = Lane(direction, self._free.pop())
            else:
                self.worker.counters.add("no_room")
                self.worker.report(f"no row for event {key[0]}: raise shm.max_events")
        self._lanes_of.clear()
        for key, lane in self._lanes.items():
            for leg in (lane.direction.buy, lane.direction.sell):
                self._lanes_of.setdefault((leg.venue, leg.market), []).append(key)

    def _on_config(self, _old: Config, new: Config) -> None:
        """Act on a new configuration: limits, events, venues."""
        self._limits = pairs.limits_of(new.risk)
        self._books.adopt(new.feeds(), new.scanner.limits())
        retries = self._books.retries()
        self.worker.counters.add("read_retries", max(0, retries - self._retries))
        self._retries = retries
        self._watch(new)


def leg_ref(leg: OrderLeg, look: Look) -> LegRef:
    """A leg and the very row it was priced on."""
    book = look.book
    return LegRef(
        leg.venue,
        leg.market,
        leg.outcome,
        leg.action,
        leg.limit_ticks,
        look.row,
        book.epoch,
        book.number,
        book.socket_ns,
        book.publish_ns,
    )


def event_row(priced: Priced, belief: Confidence, now_ns: int) -> EventRow:
    """A priced direction as a row for the screen."""
    direction, edge = priced.direction, priced.edge
    buy, sell = priced.buy, priced.sell
    row = EVENT.empty()._replace(
        event_id=direction.event.id,
        title=direction.event.title,
        kind=direction.event.kind,
        direction=direction.index,
        buy_venue=direction.buy.venue,
        buy_market=direction.buy.market,
        buy_inverse=int(pairs.is_inverse(direction.buy)),
        sell_venue=direction.sell.venue,
        sell_market=direction.sell.market,
        sell_inverse=int(pairs.is_inverse(direction.sell)),
        close_wall_ns=direction.event.close_ns,
        confidence=belief,
        reason=priced.verdict.reason,
        value_micros=to_micros(priced.verdict.value),
        limit_micros=to_micros(priced.verdict.limit),
        buy_row=buy.book.number if buy else 0,
        sell_row=sell.book.number if sell else 0,
        buy_epoch=buy.book.epoch if buy else 0,
        sell_epoch=sell.book.epoch if sell else 0,
        buy_socket_ns=buy.book.socket_ns if buy else 0,
        sell_socket_ns=sell.book.socket_ns if sell else 0,
        computed_ns=now_ns,
    )
    if edge is None:
        return row
    return row._replace(
        has_numbers=1,
        gross_micros=to_micros(edge.gross),
        depth_micros=to_micros(edge.depth),
        fee_buy_micros=to_micros(edge.fee_buy),
        fee_sell_micros=to_micros(edge.fee_sell),
        net_micros=to_micros(edge.net),
        cash_micros=to_micros(edge.cash),
        size_units=edge.size_units,
        size_decimals=edge.size_decimals,
        gross_bp=edge.gross_bp,
        edge_bp=edge.edge_bp,
    )
