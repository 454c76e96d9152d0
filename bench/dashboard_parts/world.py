"""World: the memory of a run with so many events, written by a process beside the one that looks.

In: a data directory, a number of events. Out: segments of a supervisor, two feeds, a scanner and a trader, in
which every event, every book and every edge is another one at each beat of PERIOD_NS. Started by `bench
dashboard` as a process of its own: `python -m bench.dashboard_parts.world DATA EVENTS`; it runs until it
is told to end.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.pipeline_parts.memory import Feed
from bench.pipeline_parts.setting import KALSHI, POLYMARKET, market_name, pair, pipeline_config
from pipeline.cli.common import run_directory_of, say
from pipeline.clock import SystemClock
from pipeline.config import Config, encode
from pipeline.model import Confidence, Reason, WorkerState
from pipeline.places import instance_of, shm_directory
from shm import records
from shm import segment as segments
from shm.layout import Section
from shm.tables import TableWriter

PERIOD_NS, BEAT_NS = 500_000_000, 50_000_000
SECOND_NS = 1_000_000_000
VENUES = (KALSHI, POLYMARKET)
WORKERS = ("feed-kalshi", "feed-polymarket", "scanner", "trader")
READY = "ready"


def config_of(data: Path, events: int) -> Config:
    """A run in a data directory, with places of its own."""
    instance = instance_of(data)
    config = pipeline_config(data, 0)
    return msgspec.structs.replace(
        config,
        instance=instance,
        data_directory=str(data.resolve()),
        run_directory=str(run_directory_of(data)),
        shm_directory=str(shm_directory(instance, "", os.geteuid())),
        events=tuple(pair(number) for number in range(events)),
    )


class World:
    """The segments and what is written into them. `close` removes them."""

    def __init__(self, config: Config, events: int) -> None:
        self._clock = SystemClock()
        self._directory = Path(config.shm_directory)
        self._events = events
        self._titles = [event.event() for event in config.events]
        self.feeds = [Feed(self._directory, venue, events, self._clock) for venue in VENUES]
        self._supervisor = self._segment(
            "supervisor",
            [
                records.WORKER.section("workers", 16),
                records.USAGE.section("usage", 16),
                records.RUN.section("run", 1),
            ],
        )
        self._scanner = self._segment("scanner", [records.EVENT.section("events", 4 * events)])
        self._trader = self._segment("trader", [records.SUMMARY.section("summary", 1)])
        self._rows: TableWriter[records.EventRow] = TableWriter(self._scanner, "events", records.EVENT)
        self._beat = 0
        self._describe()

    def _segment(self, name: str, sections: Sequence[Section]) -> segments.Segment:
        return segments.create(
            self._directory,
            name,
            sections,
            segments.this_owner(),
            monotonic_ns=self._clock.monotonic_ns(),
            wall_ns=self._clock.wall_ns(),
            sleep=self._clock.sleep,
        )

    def _describe(self) -> None:
        """The run and its workers."""
        run = records.RUN.empty()._replace(profile="demo", mode="paper")
        TableWriter(self._supervisor, "run", records.RUN).put(0, run)
        table = TableWriter(self._supervisor, "workers", records.WORKER)
        usage = TableWriter(self._supervisor, "usage", records.USAGE)
        for at, name in enumerate(WORKERS):
            now = self._clock.monotonic_ns()
            row = records.WORKER.empty()._replace(
                name=name, pid=os.getpid(), state=int(WorkerState.RUNNING), since_ns=now
            )
            table.put(at, row)
            taken = records.USAGE.empty()._replace(name=name, pid=os.getpid(), measured_ns=now)
            usage.put(at, taken._replace(cpu_permille=120, rss_bytes=60 << 20, descriptors=20))

    def beat(self) -> None:
        """A sign of life of everybody."""
        now = self._clock.monotonic_ns()
        for feed in self.feeds:
            feed.beat()
        for segment in (self._supervisor, self._scanner, self._trader):
            segment.beat(now)

    def change(self) -> None:
        """Every book and every row is another one than before."""
        self._beat += 1
        for number in range(self._events):
            middle = 20 + (number + self._beat) % 60
            for at, feed in enumerate(self.feeds):
                feed.put(number, middle - 1 + at, middle + 1 + at, 100 + self._beat % 50)
            for direction in (0, 1):
                self._rows.put(2 * number + direction, self._row(number, direction))
            if number % 100 == 0:
                # Writing all of it takes a while: nobody may seem dead meanwhile.
                self.beat()

    def _row(self, number: int, direction: int) -> records.EventRow:
        event = self._titles[number]
        buy, sell = VENUES if direction == 0 else VENUES[::-1]
        edge_bp = (37 * number + 11 * self._beat) % 400 - 300 * direction
        return records.EVENT.empty()._replace(
            event_id=event.id,
            title=event.title,
            kind=event.kind,
            direction=direction,
            legs=2,
            buy_venue=buy,
            buy_market=market_name(buy, number),
            buy_action="buy",
            buy_outcome="yes",
            sell_venue=sell,
            sell_market=market_name(sell, number),
            sell_action="buy",
            sell_outcome="no",
            close_wall_ns=event.close_ns,
            has_numbers=1,
            gross_bp=edge_bp + 130,
            edge_bp=edge_bp,
            net_micros=edge_bp * 1_000,
            cash_micros=10_000_000,
            size_units=1_000,
            size_decimals=2,
            confidence=int(Confidence.HIGH),
            reason=int(Reason.NONE if edge_bp > 50 else Reason.NO_EDGE),
            computed_ns=self._clock.monotonic_ns(),
        )

    def close(self) -> None:
        """Remove every segment."""
        parts = [feed.segment for feed in self.feeds]
        for segment in (*parts, self._supervisor, self._scanner, self._trader):
            segment.close(unlink=True)
        self._directory.rmdir()


def main(data: Path, events: int) -> None:
    """Write until told to end."""
    config = config_of(data, events)
    run_directory = Path(config.run_directory)
    segments.make_directory(run_directory)
    file = run_directory / "config.json"
    file.write_bytes(encode(config))
    clock = SystemClock()
    world = World(config, events)
    going = True

    def end(*_: object) -> None:
        nonlocal going
        going = False

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        world.change()
        say(READY)
        sys.stdout.flush()
        next_ns = clock.monotonic_ns()
        while going:
            world.beat()
            if clock.monotonic_ns() >= next_ns:
                next_ns += PERIOD_NS
                world.change()
            clock.sleep(BEAT_NS / SECOND_NS)
    finally:
        world.close()
        file.unlink()
        run_directory.rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
