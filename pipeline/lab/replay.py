"""Replay lab: the process that plays a tape to the feeds of a run, in the place of venues.

In: the tape that the config names, orders in run/replay.json. Out: its lines to the feeds over the run's
stream socket (replay_link.py), in order and none left out; where it stands, in its segment's row `replay`.
Started by the supervisor as `run.py lab` for a replay; `run.py replay` makes such a run.

A feed that comes later, or comes again, first gets its venue's lines from the start to where the tape stands.
An order counts as obeyed once every feed has published what it led to; of a seek that is its beginning.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.lab.orders import OrderBook
from pipeline.lab.replay_link import Streams
from pipeline.lab.replay_player import Extent, Player, State, measure
from pipeline.lifecycle import Worker
from pipeline.tape import TapeLine, read
from pipeline.tape_link import SOCKET, Item, Kind
from pipeline.tape_orders import ORDERS_FILE, TapeOrder, TapeOrderError, from_text, speed_ppm
from shm.records import REPLAY, ReplayRow
from shm.segment import SegmentError, attach
from shm.tables import TableWriter

SECTION = "replay"
COUNTERS = ("lines", "broken_lines", "passes", "streams_lost", "orders", "orders_refused")
BEAT_NS = 100_000_000
SHOW_NS = 20_000_000
# So long lines are sent without a look at orders and newcomers, and so long a wait is without one.
BURST_NS, WAIT_NS = 5_000_000, 10_000_000
# The play begins when every feed and these are there, or after this. A feed that is late gets what it missed.
AUDIENCE = ("scanner", "paper", "trader")
GATHER_NS = 10_000_000_000
MARK_NS = 5_000_000_000


class ReplayLab:
    """The life of one lab process that plays a tape."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        self._tape = Path(config.tape)
        self._venues = set(config.feeds())
        self.worker = Worker("lab", config, clock, [REPLAY.section(SECTION, 1)], COUNTERS, _ignore_config)
        self._table: TableWriter[ReplayRow] = TableWriter(self.worker.segment, SECTION, REPLAY)
        self._segments = Path(config.shm_directory)
        run = Path(config.run_directory)
        self._orders = OrderBook(run / ORDERS_FILE)
        self._obeyed = _last_number(run / ORDERS_FILE)
        self._streams = Streams(run / SOCKET, self._idle)
        self._ppm = speed_ppm(config.tape_speed)
        self._marks = self._broken = self._lost = 0
        self._beat_ns = self._show_ns = 0
        self._told_end = False

    def run(self) -> None:
        """Play until told to stop; at the tape's end wait for somebody who seeks."""
        with self.worker as worker:
            player = self._begin()
            while worker.go_on():
                self._turn(player)
            self._streams.close()

    def _begin(self) -> Player:
        """Look through the tape, and wait for whoever is to see its beginning."""
        try:
            extent = measure(read(self._tape), self.worker.go_on)
        except OSError as error:
            self.worker.report(f"{self._tape}: {error}")
            extent = Extent(0, 0, 0, 0)
        player = Player(lambda: read(self._tape), extent, self._ppm)
        self.worker.counters.add("passes")
        until = self._clock.monotonic_ns() + GATHER_NS
        while self.worker.go_on() and (missing := self._missing()):
            self._newcomers(player, WAIT_NS)
            self._show(player)
            if self._clock.monotonic_ns() > until:
                self.worker.log.warning("begins without some", missing=missing)
                break
        player.start(self._clock.monotonic_ns())
        return player

    def _missing(self) -> list[str]:
        """Who is not there yet, of those who would miss the tape's beginning."""
        feeds = [f"feed-{venue}" for venue in sorted(self._venues - self._streams.venues)]
        return feeds or [name for name in AUDIENCE if not _is_up(self._segments, name)]

    def _turn(self, player: Player) -> None:
        """Orders, newcomers, the lines that are due, and a beat to all."""
        self._obey(player)
        before = player.state
        self._burst(player)
        if before is State.SEEKING and player.state is not State.SEEKING:
            self._settle()
            player.start(self._clock.monotonic_ns())
        if player.ended and not self._told_end:
            self._told_end = True
            self._streams.to_all(Item(Kind.END))
            self._settle()
        self._show(player)
        self._newcomers(player, min(player.wait_ns(self._clock.monotonic_ns()), WAIT_NS))

    def _burst(self, player: Player) -> None:
        """Send lines that are due, a few milliseconds long at most."""
        now = self._clock.monotonic_ns()
        until = now + BURST_NS
        sent = 0
        while now < until:
            line = player.take(now)
            if line is None:
                break
            self._send(line)
            sent += 1
            now = self._clock.monotonic_ns()
        self.worker.counters.add("lines", sent)

    def _send(self, line: TapeLine) -> None:
        """A line to its venue's feed. What we sent ourselves changes no book, and goes nowhere."""
        if not line.out:
            self._streams.send(line.venue, Item(Kind.LINE, line.conn, line.data))

    # -- feeds -------------------------------------------------------------------------------------

    def _newcomers(self, player: Player, wait_ns: int) -> None:
        """Wait a moment; bring feeds that have come to where the tape stands, and beat."""
        self._streams.wait(wait_ns / 1e9)
        come = self._streams.newcomers()
        for venue in come:
            self._catch_up(player, venue)
        if come:
            self._settle()
            player.start(self._clock.monotonic_ns())
        now = self._clock.monotonic_ns()
        if now >= self._beat_ns:
            self._beat_ns = now + BEAT_NS
            self._streams.to_all(Item(Kind.BEAT))
        if self._streams.lost > self._lost:
            self.worker.counters.add("streams_lost", self._streams.lost - self._lost)
            self._lost = self._streams.lost

    def _catch_up(self, player: Player, venue: str) -> None:
        """All lines of a venue that were played, from the tape's start."""
        self._streams.send(venue, Item(Kind.RESET))
        left = player.frames
        for line in read(self._tape) if left else ():
            if not isinstance(line, TapeLine):
                continue
            if left == 0 or not self.worker.go_on():
                break
            left -= 1
            if line.venue == venue:
                self._send(line)
        if self._told_end:
            self._streams.send(venue, Item(Kind.END))

    def _settle(self) -> None:
        """Wait until every feed has published what it was sent; a feed that hangs is waited for a while."""
        self._marks += 1
        self._streams.to_all(Item(Kind.MARK, number=self._marks))
        until = self._clock.monotonic_ns() + MARK_NS
        while not self._streams.marked(self._marks) and self._idle():
            if self._clock.monotonic_ns() > until:
                self.worker.report("a feed does not take what it is sent")
                return
            self._streams.wait(WAIT_NS / 1e9)

    def _idle(self) -> bool:
        """Called while we wait for a feed."""
        return self.worker.go_on()

    # -- orders ------------------------------------------------------------------------------------

    def _obey(self, player: Player) -> None:
        """Do what was ordered since the last turn, in order."""
        text = self._orders.new()
        if text is None:
            return
        try:
            orders = from_text(text)
        except TapeOrderError as error:
            self._refuse(str(error))
            return
        for order in orders:
            if order.number > self._obeyed:
                self._obey_one(player, order)
                self._obeyed = order.number
        self._show_ns = 0

    def _obey_one(self, player: Player, order: TapeOrder) -> None:
        try:
            again = player.obey(order, self._clock.monotonic_ns())
        except TapeOrderError as error:
            self._refuse(str(error))
            return
        self.worker.log.info("replay", action=order.action, value=order.value, number=order.number)
        if again:
            self._told_end = False
            self._broken = 0
            self.worker.counters.add("passes")
            self._streams.to_all(Item(Kind.RESET))
        if order.action == "step":
            self._burst(player)
        self._settle()
        player.start(self._clock.monotonic_ns())
        self.worker.counters.add("orders")

    def _refuse(self, why: str) -> None:
        self.worker.counters.add("orders_refused")
        self.worker.report(f"run/{ORDERS_FILE}: {why}")

    # -- what people see ---------------------------------------------------------------------------

    def _show(self, player: Player) -> None:
        """Publish where the tape stands, many times a second."""
        now = self._clock.monotonic_ns()
        if now < self._show_ns:
            return
        self._show_ns = now + SHOW_NS
        if player.bad_lines > self._broken:
            self.worker.counters.add("broken_lines", player.bad_lines - self._broken)
            self._broken = player.bad_lines
        extent = player.extent
        row = ReplayRow(
            self._tape.name,
            extent.first_ns,
            extent.last_ns,
            player.at_ns,
            player.frames,
            extent.lines,
            player.bad_lines,
            player.speed_ppm,
            player.state,
            self._obeyed,
            player.problem,
        )
        self._table.put(0, row)


def _is_up(directory: Path, name: str) -> bool:
    """Whether a worker has its segment."""
    try:
        attach(directory, name)
    except SegmentError:
        return False
    return True


def _last_number(path: Path) -> int:
    """The number of the last order that was for a lab before this one."""
    try:
        return max((order.number for order in from_text(path.read_bytes())), default=0)
    except (FileNotFoundError, TapeOrderError):
        return 0


def _ignore_config(_old: Config, _new: Config) -> None:
    """What is on the tape does not change."""
