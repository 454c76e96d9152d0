"""What each process wrote, field by field: as it wrote it, and nothing where nobody did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dashboard.snapshot import Snapshot, WorkerView
from dashboard.source import MAX_SINGLES, MemorySource
from pipeline.clock import ManualClock
from pipeline.config import Config, ScannerConfig
from pipeline.model import BookState, Reason, WorkerState
from shm import records as rec
from shm import segment as seg
from shm.layout import Record, Section
from shm.tables import Counters, ErrorTable, RingWriter, TableWriter, counter_section, error_section
from tests.dashboard.conftest import LIMITS

S = 10**9
Make = Callable[..., seg.Segment]


@pytest.fixture
def make(tmp_path: Path, clock: ManualClock) -> Make:
    """Own a segment of some tables, with counters."""

    def own(name: str, sections: Sequence[Section] = (), counters: tuple[str, ...] = ("x",)) -> seg.Segment:
        return seg.create(
            tmp_path / "shm",
            name,
            [counter_section(counters), error_section(), *sections],
            seg.this_owner(),
            monotonic_ns=clock.monotonic_ns(),
            wall_ns=clock.wall_ns(),
            sleep=clock.sleep,
        )

    return own


def ring(segment: seg.Segment, name: str, record: Record, numbers: range, **cells: object) -> None:
    writer: RingWriter = RingWriter(segment, name, record)
    for number in numbers:
        writer.append(record.empty()._replace(sequence=number, **cells))


def worker(picture: Snapshot, name: str) -> WorkerView:
    return next(one for one in picture.workers if one.name == name)


def test_what_the_trader_wrote(source: MemorySource, make: Make) -> None:
    """Outcomes and flattening newest first, equity oldest first, refusals by reason, totals by event."""
    names = ("rejected", "rejected.no_edge", "rejected.venue_cash", "rejected.of_another_version")
    trader = make(
        "trader",
        [
            rec.POSITION.section("positions", 4),
            rec.EVENT_POSITION.section("events", 4),
            rec.ORDER.section("orders", 4),
            rec.OUTCOME.section("outcomes", 8),
            rec.CALIBRATION.section("calibration", 1),
            rec.EQUITY.section("equity", 8, kept=True),
            rec.FLATTEN.section("flattens", 4),
        ],
        names,
    )
    empty = source.snapshot()
    assert empty.orders == empty.outcomes == empty.equity == empty.flattens == empty.positions == ()
    assert empty.calibration is None
    assert empty.refusals == {}
    ring(trader, "outcomes", rec.OUTCOME, range(1, 12))
    ring(trader, "equity", rec.EQUITY, range(1, 12))
    TableWriter(trader, "calibration", rec.CALIBRATION).put(0, rec.CALIBRATION.empty()._replace(trades=3))
    TableWriter(trader, "orders", rec.ORDER).put(1, rec.ORDER.empty()._replace(order_id="o-1"))
    for at, number in enumerate((4, 5)):
        TableWriter(trader, "flattens", rec.FLATTEN).put(at, rec.FLATTEN.empty()._replace(number=number))
    held = rec.POSITION.empty()._replace(event_id="a", venue="kalshi", market="m", outcome="yes", units=5)
    TableWriter(trader, "positions", rec.POSITION).put(2, held)
    total = rec.EVENT_POSITION.empty()._replace(event_id="a", hedged_units=5)
    TableWriter(trader, "events", rec.EVENT_POSITION).put(0, total)
    counters = Counters(trader, names)
    for name in names:
        counters.add(name, 7)
    picture = source.snapshot()
    assert [row.sequence for row in picture.outcomes] == list(range(11, 3, -1))
    assert [row.sequence for row in picture.equity] == list(range(4, 12))
    assert [row.number for row in picture.flattens] == [5, 4]
    assert [row.order_id for row in picture.orders] == ["o-1"]
    assert picture.calibration is not None
    assert picture.calibration.trades == 3
    (position,) = picture.positions
    assert (position.total, position.outcomes) == (total, (held,))
    assert picture.refusals == {int(Reason.NO_EDGE): 7, int(Reason.VENUE_CASH): 7}
    assert picture.counters["trader"]["rejected"] == 7


def test_what_scanner_observer_and_lab_wrote(source: MemorySource, make: Make) -> None:
    """Lives and alerts newest first; a tape only where one is played."""
    scanner = make("scanner", [rec.LIFE.section("lives", 8)])
    observer = make("observer", [rec.ALERT.section("alerts", 8, kept=True)])
    lab = make("lab", [rec.REPLAY.section("replay", 1)])
    assert source.snapshot().replay is None
    ring(scanner, "lives", rec.LIFE, range(1, 4), event_id="a")
    ring(observer, "alerts", rec.ALERT, range(1, 4), rule="feed_down")
    row = rec.REPLAY.empty()._replace(tape="t.jsonl", frames=5, total_frames=9, speed_ppm=2_000_000)
    TableWriter(lab, "replay", rec.REPLAY).put(0, row)
    picture = source.snapshot()
    assert [life.sequence for life in picture.lives] == [3, 2, 1]
    assert [alert.sequence for alert in picture.alerts] == [3, 2, 1]
    assert picture.replay == row
    assert {"scanner", "observer", "lab"} <= picture.counters.keys()


def test_what_a_worker_takes_and_does(source: MemorySource, make: Make, clock: ManualClock) -> None:
    """Usage as the supervisor measured it of this very process, rates from counters, errors latest first."""
    supervisor = make(
        "supervisor",
        [rec.WORKER.section("workers", 8), rec.USAGE.section("usage", 8), rec.RUN.section("run", 1)],
        ("commands",),
    )
    TableWriter(supervisor, "run", rec.RUN).put(0, rec.RUN.empty()._replace(profile="demo"))
    names = {"scanner": "evaluations", "feed-kalshi": "frames", "lab": "kalshi_messages", "spare": "x"}
    parts = {name: make(name, (), (counter,)) for name, counter in names.items()}
    counters = {name: Counters(parts[name], (counter,)) for name, counter in names.items()}
    for at, name in enumerate(names):
        row = rec.WORKER.empty()._replace(name=name, pid=100 + at, state=int(WorkerState.RUNNING))
        TableWriter(supervisor, "workers", rec.WORKER).put(at, row)
        # Of the lab an earlier process was measured.
        pid = 99 if name == "lab" else 100 + at
        taken = rec.USAGE.empty()._replace(name=name, pid=pid, cpu_permille=215, rss_bytes=72 << 20)
        taken = taken._replace(descriptors=20, measured_ns=clock.monotonic_ns())
        TableWriter(supervisor, "usage", rec.USAGE).put(at, taken)
    errors = ErrorTable(parts["scanner"])
    errors.report("old", 1)
    errors.report("new", 2)
    source.snapshot()
    for name, count in (("scanner", 990), ("feed-kalshi", 421), ("lab", 5)):
        counters[name].add(names[name], count)
    clock.advance(S // 2)
    for part in (supervisor, *parts.values()):
        part.beat(clock.monotonic_ns())
    picture = source.snapshot()
    scanner = worker(picture, "scanner")
    assert (scanner.cpu_permille, scanner.rss_bytes, scanner.descriptors) == (215, 72 << 20, 20)
    assert (scanner.rate, scanner.rate_word) == (1980, "look")
    assert [error.text for error in scanner.errors] == ["new", "old"]
    assert (worker(picture, "feed-kalshi").rate, worker(picture, "feed-kalshi").rate_word) == (842, "msg")
    lab = worker(picture, "lab")
    assert (lab.cpu_permille, lab.rate) == (None, 10)
    assert (worker(picture, "spare").rate, worker(picture, "spare").rate_word) == (None, "")
    clock.advance(6 * S)
    supervisor.beat(clock.monotonic_ns())
    late = worker(source.snapshot(), "scanner")
    assert (late.state, late.cpu_permille, late.rate) == ("no beat", None, 0.0)


def test_a_process_that_is_gone_is_dead_before_its_heartbeat_is_late(
    source: MemorySource, run, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed bot shows stopped within a tick; one that is only slow for a moment does not."""
    clock.advance(400_000_000)
    assert source.snapshot().run.alive
    monkeypatch.setattr("dashboard.attachment.pid_start", lambda pid: None)
    picture = source.snapshot()
    assert not picture.run.alive
    assert not picture.scanner_alive
    assert {one.state for one in picture.workers} == {"gone"}
    assert picture.run.beat_age_ns == 400_000_000


def test_books_that_no_direction_names(source: MemorySource, run) -> None:
    """They are legs of their own, in their book's own terms, until an event names them."""
    assert source.snapshot().singles == ()
    run.feeds["kraken"].book("ETH/USD", [("3400.1", "2")], [("3400.5", "1")])
    (single,) = source.snapshot().singles
    assert (single.venue, single.market, single.state) == ("kraken", "ETH/USD", BookState.LIVE)
    assert single.bid == (340_010, 200_000_000)
    run.event("eth-spot", "", "spot", ("kraken", "ETH/USD"), ("coinbase", "BTC-USD"))
    assert source.snapshot().singles == ()
    assert MAX_SINGLES >= 64


def test_how_much_memory_there_is(source: MemorySource, run, tmp_path: Path) -> None:
    """The sum of all segments that are read, which is that of their files."""
    files = [path for path in (tmp_path / "shm").iterdir() if "." not in path.name]
    source.snapshot()
    assert source.snapshot().memory_bytes == sum(path.stat().st_size for path in files)


def test_a_row_that_was_read_again_is_counted_for_good(source: MemorySource, run) -> None:
    """Books and tables alike, and a restart of who wrote them takes nothing away."""
    source.snapshot()
    feed = run.feeds["kraken"]
    feed.book("BTC/USD", [("97100", "1")], [("97101", "1")])
    cells = feed.segment.cells
    reader = feed.segment.reader("books")
    number = reader.number(0)
    begins = [at for at in range(len(cells)) if cells[at] == -number]
    for at in begins:
        cells[at] = -number - 4
    assert source.snapshot().read_again > 0
    for at in begins:
        cells[at] = -number
    seen = source.snapshot().read_again
    assert seen > 0
    run.restart_feed("kraken")
    assert source.snapshot().read_again >= seen


def test_a_table_drawn_otherwise_is_absent(source: MemorySource, make: Make) -> None:
    """Rows of the right length with other cells are those of another version: nothing is read into them."""
    other = rec.EVENT.section("events", 4)._replace(drawing="of another version")
    make("scanner", [other])
    make("trader", [rec.SUMMARY.section("summary", 1)._replace(drawing="of another version")])
    make("lab", [rec.REPLAY.section("replay", 1)._replace(drawing="of another version")])
    picture = source.snapshot()
    assert len(picture.events) == 0
    assert picture.summary is None
    assert picture.replay is None


def test_limits_are_those_of_the_configuration(tmp_path: Path, run, clock: ManualClock) -> None:
    """When a configuration can be read, books are judged by its limits; it is read once a version."""
    asked = []

    def load() -> Config:
        asked.append(1)
        return Config(scanner=ScannerConfig(heartbeat_ms=5_000))

    source = MemorySource(tmp_path / "shm", LIMITS, clock, load)
    for _ in range(3):
        source.snapshot()
    assert len(asked) == 1
    clock.advance(S)
    assert source.snapshot().venues[0].alive
    run.supervisor.segment.set_config_version(7)
    source.snapshot()
    assert len(asked) == 2
