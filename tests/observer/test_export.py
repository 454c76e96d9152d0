"""The observer's files: whole at every moment, true about now, and never in anybody's way."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.client.exports import ExportError, read_export
from pipeline.clock import ManualClock, SystemClock
from pipeline.config import Config, EventConfig, LegConfig, ObserverConfig, VenueConfig
from pipeline.lifecycle import Worker
from pipeline.model import Action, Confidence, Reason, WorkerState
from pipeline.observer import state_file
from pipeline.observer.export import COUNTERS, FILES, Exports, encode, replace, state_valid_for_s, valid_for_s
from pipeline.observer.facts import Moment, clean, head
from pipeline.observer.opportunities_file import LISTED
from pipeline.status import Views, account, gather
from pipeline.trader.events_view import band_of
from pipeline.trader.window import COUNTERS as TRADER_COUNTERS
from pipeline.trader.window import sections as trader_sections
from shm import books as memory
from shm import records
from shm import segment as segments
from shm.layout import Section
from shm.tables import Counters, RingWriter, TableWriter, counter_section, error_section
from tests.support.feed_memory import publish

ROOT = Path(__file__).resolve().parents[2]
BOOT = "0123456789abcdef0123456789abcdef"
SECOND = 1_000_000_000
HEAD = {
    "schema_version", "kind", "written_wall_ns", "written_monotonic_ns", "boot_id", "writer_pid",
    "writer_pid_start", "valid_for_s", "sim", "paper", "profile", "instance", "config_version",
}  # fmt: skip


class World:
    """A run of hand-made segments: one feed, scanner, trader and supervisor, and exports over them."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.shm, self.data = folder / "shm", folder / "data"
        self.data.mkdir()
        self.config = Config(
            simulated=("kalshi",),
            data_directory=str(self.data),
            run_directory=str(folder / "run"),
            shm_directory=str(self.shm),
            venues={"kalshi": VenueConfig(), "polymarket": VenueConfig()},
            events=(EventConfig("e-1", "Rain\x1b[31m", legs=(LegConfig("kalshi", "M-1"),)),),
            started_wall_ns=5,
        )
        self.segments: dict[str, segments.Segment] = {}
        self.feed = self.make("feed-kalshi", ("frames",), memory.feed_sections(4, 5, connections=1))
        self.books = memory.BookWriter(self.feed)
        self.link()
        self.make("scanner", ("opportunities",), [records.EVENT.section("events", 8)])
        self.events = TableWriter(self.segments["scanner"], "events", records.EVENT)
        self.trader()
        sections = [records.WORKER.section("workers", 8), records.RUN.section("run", 1)]
        self.supervisor = self.make("supervisor", ("starts",), sections)
        self.table = TableWriter(self.supervisor, "workers", records.WORKER)
        for row, name in enumerate(("feed-kalshi", "scanner", "trader")):
            self.worker_row(row, name, WorkerState.RUNNING)
        rows = [records.OBSERVER.section("observer", 1), records.ALERT.section("alerts", 4)]
        self.worker = Worker("observer", self.config, self.clock, rows, COUNTERS, lambda _old, _new: None)
        self.views = Views(self.shm)
        self.exports = Exports(self.worker, self.data)

    def make(self, name: str, counters: tuple[str, ...], sections: list[Section]) -> segments.Segment:
        made = segments.create(
            self.shm, name, [counter_section(counters), error_section(), *sections], segments.this_owner(1),
            monotonic_ns=self.clock.monotonic_ns(), wall_ns=self.clock.wall_ns(), sleep=self.clock.sleep,
        )  # fmt: skip
        self.segments[name] = made
        return made

    def trader(self) -> None:
        made = self.make("trader", TRADER_COUNTERS, trader_sections(8))
        self.counters = Counters(made, TRADER_COUNTERS)
        self.decisions = RingWriter(made, "decisions", records.DECISION)
        self.summary = TableWriter(made, "summary", records.SUMMARY)
        self.positions = TableWriter(made, "positions", records.POSITION)
        self.event_positions = TableWriter(made, "events", records.EVENT_POSITION)

    def link(self) -> None:
        cells, now = self.feed.words(memory.CONNECTIONS, 0), self.clock.monotonic_ns()
        cells[memory.C_STATE], cells[memory.C_PROOF_NS], cells[memory.C_MARKETS] = 3, now, 1

    def worker_row(self, row: int, name: str, state: WorkerState) -> None:
        pid = self.segments[name].header.pid
        empty = records.WORKER.empty()
        self.table.put(row, empty._replace(name=name, pid=pid, state=state))

    def publish(self, bid: int = 55, ask: int = 57) -> None:
        publish(self.books, "M-1", [(bid, 100)], [(ask, 200)], now_ns=self.clock.monotonic_ns())

    def decide(self, sequence: int, action: Action = Action.REJECTED, **more: Any) -> None:
        row = records.DECISION.empty()._replace(
            sequence=sequence, wall_ns=self.clock.wall_ns(), event_id="e-1", kind="binary", mode="taker",
            action=action, reason=Reason.VENUE_CASH if action is Action.REJECTED else Reason.NONE,
            value_micros=12_000_000, limit_micros=10_500_000, edge_bp=120, confidence=Confidence.HIGH,
        )  # fmt: skip
        self.decisions.append(row._replace(**more))
        self.counters.add("opportunities")

    def moment(self) -> Moment:
        return Moment(self.clock.monotonic_ns(), self.clock.wall_ns(), BOOT, os.getpid(), 1)

    def beat(self) -> None:
        for made in self.segments.values():
            made.beat(self.clock.monotonic_ns())

    def turn(self, seconds: float = 1.0, *, beats: bool = True) -> None:
        self.clock.sleep(seconds)
        if beats:
            self.beat()
        self.views.refresh()
        self.exports.turn(self.config, self.views.now, self.moment())
        self.exports.state(self.config, self.state(), self.moment())

    def state(self) -> dict[str, Any]:
        return gather(self.config, self.views.now, self.clock)

    def read(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.data / f"{name}.json").read_text()))

    def count(self, name: str) -> int:
        return self.worker.counters.get(name)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A run that stands still until told."""
    made = World(tmp_path)
    made.publish()
    return made


def test_every_file_says_what_it_is_and_how_long_it_holds(world: World) -> None:
    """Each of the four files begins with its version, both clocks, the boot, its writer and its life."""
    world.turn()
    for name in FILES:
        content = world.read(name)
        assert set(content) >= HEAD, name
        assert (content["schema_version"], content["kind"], content["boot_id"]) == (1, name, BOOT)
        assert content["sim"] is True
        assert content["paper"] is True
        assert stat.S_IMODE((world.data / f"{name}.json").stat().st_mode) == 0o600
    assert world.read("orderbooks")["valid_for_s"] == 3
    assert world.read("bot_state")["valid_for_s"] == 65


def test_books_have_their_levels_and_stamps(world: World) -> None:
    """A book has bid and ask with sizes, levels and their number, and when it was last updated: stamps."""
    world.turn(0.1)
    book = world.read("orderbooks")["books"]["kalshi"]["M-1"]
    assert book["state"] == "LIVE"
    assert book["tradable"] is True
    assert (book["best_bid"], book["best_ask"]) == (book["bids"][0][0], book["asks"][0][0])
    assert book["best_bid_size"] == book["bids"][0][1]
    assert (book["bid_levels"], book["ask_levels"]) == (1, 1)
    assert Decimal(book["best_bid"]) < Decimal(book["best_ask"])
    assert book["age_ms_at_write"] == 100
    assert book["last_update_wall_ns"] == world.clock.wall_ns() - SECOND // 10
    assert world.read("orderbooks")["books"]["polymarket"] == {}


def test_a_dead_feed_s_books_are_dead(world: World) -> None:
    """The feed's heart stops: its books are DEAD and not tradable in the next file, and it is `down`."""
    world.turn()
    world.turn(2.5, beats=False)
    book = world.read("orderbooks")["books"]["kalshi"]["M-1"]
    assert (book["state"], book["tradable"]) == ("DEAD", False)
    state = world.read("bot_state")
    assert state["running"] is False
    assert "feed-kalshi" in state["down"]
    assert state["websockets"]["kalshi"]["connected"] is False


def test_an_event_shows_both_directions(world: World) -> None:
    """Each direction of an event has what it leaves, or the reason why it is refused."""
    empty = records.EVENT.empty()._replace(event_id="e-1", kind="binary", computed_ns=1)
    good = empty._replace(
        has_numbers=1, edge_bp=80, net_micros=500_000, net_low_micros=400_000, buy_venue="kalshi",
        buy_action="buy", buy_outcome="yes", sell_venue="polymarket", sell_action="buy", sell_outcome="no",
    )  # fmt: skip
    world.events.put(0, good)
    world.events.put(1, empty._replace(direction=1, reason=Reason.NO_EDGE))
    world.turn()
    event = world.read("orderbooks")["events"]["e-1"]
    assert event["title"] == "Rain[31m"
    first, second = event["directions"]
    assert (first["buy"], first["sell"]) == ("buy yes kalshi", "buy no polymarket")
    assert (first["edge_bp"], first["net_usd"], first["profitable"], first["passes"]) == (
        80,
        "0.5",
        True,
        True,
    )
    assert (second["edge_bp"], second["profitable"], second["reason"]) == (None, False, "no_edge")


def test_opportunities_are_fifty_with_action_and_reason(world: World) -> None:
    """The list never grows beyond fifty, newest first, and outlives the trader that decided."""
    for sequence in range(1, 61):
        world.clock.advance(1)
        world.decide(sequence)
    world.turn()
    listed = world.read("recent_opportunities")
    assert listed["count"] == len(listed["opportunities"]) == LISTED
    newest = listed["opportunities"][0]
    assert (newest["id"], newest["action"], newest["reason"]) == ("1.60", "rejected", "venue_cash")
    assert (newest["value"], newest["limit"], newest["confidence"]) == ("12", "10.5", "high")
    world.segments["trader"].close()
    world.trader()
    world.decide(1, Action.EXECUTED, wall_ns=world.clock.wall_ns() + 1)
    world.turn()
    listed = world.read("recent_opportunities")["opportunities"]
    assert [(each["id"], each["action"]) for each in listed[:2]] == [
        ("2.1", "executed"),
        ("1.60", "rejected"),
    ]
    assert len(listed) == LISTED


def test_what_nobody_decided_is_detected(world: World) -> None:
    """An edge that passes the scanner is listed as detected until the trader has decided on it."""
    now = world.clock.monotonic_ns()
    passing = records.EVENT.empty()._replace(
        event_id="e-1",
        has_numbers=1,
        edge_bp=90,
        net_micros=3,
        net_low_micros=2,
        born_ns=now,
        computed_ns=now,
    )
    world.events.put(0, passing)
    world.turn()
    (found,) = world.read("recent_opportunities")["opportunities"]
    assert (found["action"], found["reason"], found["edge_bp"]) == ("detected", None, 90)
    world.decide(1, Action.EXECUTED)
    world.turn()
    (found,) = world.read("recent_opportunities")["opportunities"]
    assert found["action"] == "executed"


def test_positions_are_by_event_with_sizes_exposure_and_marks(world: World) -> None:
    """What is held of an event has each venue's size, net and gross exposure, band, unrealised P&L."""
    row = records.POSITION.empty()._replace(
        event_id="e-1", venue="kalshi", market="M-1", outcome="no", units=1250, size_decimals=2,
        cost_micros=6_000_000, mark_micros=6_500_000, unrealised_micros=500_000, marked=1,
    )  # fmt: skip
    world.positions.put(0, row)
    world.positions.put(1, row._replace(venue="polymarket", outcome="yes", marked=0))
    event = records.EVENT_POSITION.empty()._replace(
        event_id="e-1", title="Rain", kind="binary", hedged_units=1250, size_decimals=2, band=1,
        gross_micros=12_000_000, net_exposure_micros=0, unrealised_micros=700_000, marked=1,
    )  # fmt: skip
    world.event_positions.put(0, event)
    summary = records.SUMMARY.empty()._replace(
        mode="maker_hedge", exposure_micros=60_000_000, unrealised_micros=700_000,
        updated_ns=world.clock.monotonic_ns(),
    )  # fmt: skip
    world.summary.put(0, summary)
    world.turn()
    content = world.read("positions")
    found = content["events"]["e-1"]
    assert found["sizes"] == {"kalshi": "-12.5", "polymarket": "12.5"}
    assert (found["exposure_usd"], found["net_exposure_usd"], found["band"]) == ("12", "0", "medium")
    assert found["unrealised_usd"] == "0.7"
    assert [each["unrealised_usd"] for each in found["positions"]] == ["0.5", None]
    assert (content["totals"]["gross_exposure_usd"], content["totals"]["band"]) == ("60", "high")
    assert content["account_age_ms_at_write"] == 1000
    assert world.read("bot_state")["mode"] == "maker_hedge"


@pytest.mark.parametrize("cents", [0, 1999, 2000, 2001, 4999, 5000, 5001])
def test_the_total_has_the_band_that_the_trader_would_give(cents: int) -> None:
    """The colour of the total exposure changes where that of an event does."""
    assert account.band(cents * 10_000) == account.BANDS[band_of(Decimal(cents) / 100)]


def test_the_state_has_what_s1_names(world: World) -> None:
    """Running, mode, uptime, counts, P&L, connections, approval rate, day's P&L and losses in a row."""
    world.summary.put(
        0,
        records.SUMMARY.empty()._replace(
            mode="taker", day_pnl_micros=-2_500_000, consecutive_losses=2, updated_ns=1, day_known=1
        ),
    )
    for sequence in range(1, 5):
        world.decide(sequence)
    world.counters.add("approved", 3)
    world.counters.add("rejected.venue_cash", 1)
    world.turn()
    state = world.read("bot_state")
    assert (state["running"], state["state"], state["down"]) == (True, "RUNNING", [])
    assert (state["mode"], state["uptime_s"], state["opportunities"], state["trades"]) == ("taker", 1.0, 4, 0)
    assert set(state["websockets"]) == {"kalshi", "polymarket"}
    risk = state["risk"]
    assert (risk["approval_rate"], risk["daily_pnl_usd"], risk["consecutive_losses"]) == (0.75, "-2.5", 2)
    assert risk["rejections"] == {"venue_cash": 1}


@pytest.mark.parametrize("name", ["scanner", "trader"])
def test_running_follows_the_worker_table(world: World, name: str) -> None:
    """Without scanner or trader the bot is not running, whatever their memory still holds."""
    world.turn()
    assert world.read("bot_state")["running"] is True
    world.worker_row(("feed-kalshi", "scanner", "trader").index(name), name, WorkerState.BACKOFF)
    world.turn()
    state = world.read("bot_state")
    assert (state["running"], state["state"], state["down"]) == (False, "STOPPED", [name])


def test_a_missing_feed_is_told_and_the_rest_runs(world: World) -> None:
    """A feed that is down is listed as down; the bot runs on with the other venues."""
    world.worker_row(0, "feed-kalshi", WorkerState.FLAPPING)
    world.turn()
    state = world.read("bot_state")
    assert (state["running"], state["down"]) == (True, ["feed-kalshi"])


def test_an_announced_wait_is_no_silence(world: World) -> None:
    """A worker that said how long it will be busy is not called dead meanwhile."""
    world.turn()
    world.clock.sleep(3)
    world.beat()
    now = world.clock.monotonic_ns()
    world.segments["trader"].beat(now, now + 9 * SECOND)
    world.clock.sleep(3)
    for name in ("supervisor", "scanner", "feed-kalshi"):
        world.segments[name].beat(world.clock.monotonic_ns())
    world.turn(0, beats=False)
    assert world.read("bot_state")["running"] is True


def test_what_did_not_change_is_written_only_to_stay_valid(world: World) -> None:
    """Books that stand still are written again before they would count as stale, and not more often."""
    world.config = msgspec.structs.replace(world.config, observer=ObserverConfig(export_ms=100))
    world.turn(0.1)
    for _ in range(9):
        world.turn(0.1)
    assert world.count("exports_unchanged") == 27
    at = world.read("orderbooks")["written_monotonic_ns"]
    world.turn(0.1)
    assert world.read("orderbooks")["written_monotonic_ns"] == at + SECOND
    world.publish(50)
    world.turn(0.1)
    assert world.read("orderbooks")["written_monotonic_ns"] == at + SECOND + SECOND // 10


def test_the_state_is_written_at_once_when_it_is_new_and_else_each_minute(world: World) -> None:
    """A new decision is in bot_state within a second; without news it is written after state_seconds."""
    world.turn()
    first = world.read("bot_state")["written_monotonic_ns"]
    for _ in range(5):
        world.turn()
    assert world.read("bot_state")["written_monotonic_ns"] == first
    world.decide(1)
    world.turn()
    second = world.read("bot_state")
    assert (second["written_monotonic_ns"], second["opportunities"]) == (first + 6 * SECOND, 1)
    for _ in range(60):
        world.turn()
    assert world.read("bot_state")["written_monotonic_ns"] == first + 66 * SECOND


def test_a_file_that_cannot_be_written_is_told_once_and_tried_again(world: World) -> None:
    """Something is in the way: each try is counted, each cause told once, the last file stays whole."""
    world.turn()
    before = world.read("orderbooks")
    in_the_way = world.data / ".orderbooks.json.new"
    in_the_way.mkdir()
    for bid in (50, 51, 52):
        world.publish(bid)
        world.turn()
    assert (world.count("export_failures"), world.count("errors")) == (3, 1)
    assert world.read("orderbooks") == before
    assert world.read("positions")["written_wall_ns"] == world.clock.wall_ns()
    in_the_way.rmdir()
    world.publish(53)
    world.turn()
    assert world.read("orderbooks")["written_wall_ns"] == world.clock.wall_ns()
    assert world.count("export_failures") == 3


def test_a_full_disk_leaves_the_last_file_whole(tmp_path: Path) -> None:
    """What cannot be written whole does not replace anything, and leaves no unfinished file."""
    path = tmp_path / "positions.json"
    replace(path, b"{}")
    code = (
        "import resource, sys; from pathlib import Path; from pipeline.observer.export import replace;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "replace(Path(sys.argv[1]), b'x' * 10_000)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False, cwd=ROOT)
    assert b"File too large" in done.stderr
    assert path.read_bytes() == b"{}"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("what", ["down", "killed"])
def test_the_end_says_that_nothing_runs(world: World, what: str) -> None:
    """With a run that ends, or loses its supervisor, goes running=false, and readers call it stopped."""
    world.turn()
    if what == "down":
        world.worker_row(2, "trader", WorkerState.STOPPED)
    world.exports.end(world.config, world.state(), world.moment(), supervised=what == "down")
    found = read(world, "bot_state")
    assert (found.content["running"], found.alive, found.why_not) == (False, False, "the bot is stopped")
    assert found.content["down"] == ["trader" if what == "down" else "supervisor"]


def test_the_end_of_the_observer_alone_is_no_end_of_the_bot(world: World) -> None:
    """An observer that is restarted leaves running=true, and its file is not alive without its process."""
    world.turn()
    world.exports.end(world.config, world.state(), world.moment(), supervised=True)
    assert read(world, "bot_state").content["running"] is True
    assert read(world, "bot_state", alive=False).why_not == "the process that wrote it is gone"


def read(world: World, name: str, *, later: float = 0.0, boot: str = BOOT, alive: bool = True) -> Any:
    """Read a file `later` seconds after now."""
    ns = round(later * 1e9)
    wall, monotonic = world.clock.wall_ns() + ns, world.clock.monotonic_ns() + ns
    path = world.data / f"{name}.json"
    return read_export(path, wall, monotonic, boot, lambda _pid: 1 if alive else None)


def test_a_dead_bot_never_looks_alive(world: World) -> None:
    """A file is alive only from a living process of this boot, and not beyond its time."""
    world.turn()
    assert read(world, "orderbooks").alive
    assert read(world, "orderbooks", later=2.9).alive
    assert "holds for 3 s" in read(world, "orderbooks", later=3.1).why_not
    assert "is gone" in read(world, "bot_state", alive=False).why_not
    assert "started anew" in read(world, "bot_state", boot="f" * 32).why_not
    assert "clock" in read(world, "bot_state", later=-1).why_not
    assert read(world, "bot_state", later=-1).age_ms is None


def test_ages_are_the_reader_s(world: World) -> None:
    """The age of a book grows with the reader's clock, and is not what it was when it was written."""
    world.turn(0.5)
    found = read(world, "orderbooks", later=2)
    assert found.age_ms == 2000
    assert found.book_age_ms("kalshi", "M-1") == 2500


def test_a_reader_elsewhere_goes_by_the_wall_clock(world: World) -> None:
    """Without a boot of its own a reader judges by the wall clock alone."""
    world.turn()
    assert read(world, "orderbooks", boot="").alive
    assert not read(world, "orderbooks", boot="", later=4).alive


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"schema_version": 2}', '{"schema_version": 1}']
)
def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path, text: str) -> None:
    """What is no export of ours raises an error that names the file."""
    path = tmp_path / "positions.json"
    path.write_text(text)
    with pytest.raises(ExportError, match=r"positions\.json"):
        read_export(path, 0, 0, "")
    with pytest.raises(ExportError, match="start a run"):
        read_export(tmp_path / "none.json", 0, 0, "")


def test_texts_are_bounded_and_without_controls() -> None:
    """No title of a venue steers a terminal or fills the disk."""
    assert clean("a\x1b[2Jb\u202ec\nd") == "a[2Jbcd"
    assert len(clean("x" * 5000)) == 200
    assert clean("Zürich ≥ 20°") == "Zürich ≥ 20°"


def test_encoded_files_are_json_of_the_same_value(world: World) -> None:
    """The lines in a file are for people; any parser finds the same value."""
    content = {
        **head("x", world.config, world.moment(), 3.0),
        "a": {},
        "b": [],
        "c": {"d": {"e": 1}},
        "f": [1],
    }
    assert json.loads(encode(content)) == content


def test_the_times_of_validity_follow_the_intervals() -> None:
    """A file never becomes stale between two writings that are on time."""
    for export_ms in (100, 1000, 5000, 3_600_000):
        config = Config(observer=ObserverConfig(export_ms=export_ms, state_seconds=export_ms / 1000))
        assert valid_for_s(config) >= 3 * export_ms / 1000
        assert state_valid_for_s(config) > export_ms / 1000


def test_missing_says_who_is_down_before_the_table_has_them(world: World) -> None:
    """Before the supervisor lists scanner and trader they count as down."""
    state = {**world.state(), "workers": [], "supervisor": {"heartbeat_age_ms": 1, "busy": False}}
    assert state_file.missing(world.config, state) == ["scanner", "trader"]


WRITER = """
import sys
from pathlib import Path
from pipeline.observer.export import encode, replace
path, life, n = Path(sys.argv[1]), int(sys.argv[2]), 0
while True:
    n += 1
    replace(path, encode({"schema_version": 1, "boot_id": "b", "written_wall_ns": n,
        "written_monotonic_ns": n, "valid_for_s": 3,
        "books": {"v": {str(i): "x" * (n * 37 % 900) for i in range(100)}},
        "life": life, "end": n}))
"""


def test_a_reader_never_sees_half_a_file(tmp_path: Path, project_root: Path) -> None:
    """While writers write as fast as they can and are killed at any moment, each reading is whole."""
    path = tmp_path / "orderbooks.json"
    for life in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(life)], cwd=project_root)
        numbers: set[int] = set()
        try:
            deadline = time.monotonic() + 60
            while len(numbers) < 20 and time.monotonic() < deadline:
                if path.exists():
                    found = json.loads(path.read_bytes())
                    assert found["end"] == found["written_wall_ns"]
                    numbers.update({found["end"]} if found["life"] == life else ())
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        assert len(numbers) == 20
        assert json.loads(path.read_bytes())["life"] == life
    left = [each.name for each in tmp_path.iterdir() if each != path]
    assert left in ([], [".orderbooks.json.new"])


def test_the_clock_of_this_machine_is_what_the_reader_uses(world: World) -> None:
    """With this process as writer and the machine's own clocks a fresh file is alive."""
    clock = SystemClock()
    start = segments.pid_start(os.getpid()) or 0
    boot = segments.boot_id().hex()
    at = Moment(clock.monotonic_ns(), clock.wall_ns(), boot, os.getpid(), start)
    path = world.data / "x.json"
    replace(path, encode({**head("x", world.config, at, 3600.0)}))
    assert read_export(path, clock.wall_ns(), clock.monotonic_ns(), boot).alive
