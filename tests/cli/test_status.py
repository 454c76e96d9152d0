"""Status: from memory alone, with the keys that scripts rely on (DESIGN 9)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import status
from pipeline.cli import status_text
from pipeline.cli.common import NOT_RUNNING, OK, run_directory_of
from pipeline.cli.main import main
from pipeline.clock import ManualClock, SystemClock
from pipeline.config import Config, VenueConfig, encode
from pipeline.halt import HALT_FILE, HaltFile
from pipeline.model import REJECTED, BookFault, BookState, ConnectionState, Reason, WorkerState
from shm import books as memory
from shm import layout as lo
from shm import records
from shm import segment as segments
from shm.histogram import Histograms, histogram_section
from shm.layout import Section
from shm.statistics import Statistics, StatisticsWriter
from shm.survival import SurvivalTable, survival_section
from shm.tables import Counters, ErrorTable, RingWriter, TableWriter, counter_section, error_section
from tests.support.feed_memory import publish

FEED_COUNTERS = ("frames", "gaps", "reconnects", "bad_frames", "checksums_bad")
REFUSALS = tuple(reason.counter for reason in Reason if reason is not Reason.NONE)
TRADER_COUNTERS = ("trades", "opportunities", *REFUSALS)
SCANNER_COUNTERS = ("opportunities", "predictions", "prediction_errors_ppm", "refused.no_edge")
SCANNER_HOPS, TRADER_HOPS = ("socket_to_book", "book_to_scan"), ("socket_to_order",)
MS = 1_000_000


class FakeRun:
    """A run of hand-made segments, all owned by this process."""

    def __init__(self, data: Path, shm: Path, clock: ManualClock | SystemClock) -> None:
        self.clock = clock
        self.shm = shm
        self.config = Config(
            profile="demo",
            simulated=("kalshi", "kraken"),
            data_directory=str(data),
            run_directory=str(run_directory_of(data)),
            shm_directory=str(shm),
            venues={"kalshi": VenueConfig(), "kraken": VenueConfig(), "off": VenueConfig(enabled=False)},
        )
        self.segments: dict[str, segments.Segment] = {}
        self.books: dict[str, memory.BookWriter] = {}
        run = Path(self.config.run_directory)
        run.mkdir(parents=True, mode=0o700)
        (run / "config.json").write_bytes(encode(self.config))

    def make(self, name: str, counters: tuple[str, ...], sections: Iterable[Section]) -> segments.Segment:
        made = segments.create(
            self.shm,
            name,
            [counter_section(counters), error_section(), *sections],
            segments.this_owner(3),
            monotonic_ns=self.clock.monotonic_ns(),
            wall_ns=self.clock.wall_ns(),
            sleep=self.clock.sleep,
        )
        self.segments[name] = made
        return made

    def count(self, name: str, names: tuple[str, ...], **counts: int) -> None:
        counters = Counters(self.segments[name], names)
        for label, value in counts.items():
            counters.add(label.replace("__", "."), value)

    def beat(self) -> None:
        for segment in self.segments.values():
            segment.beat(self.clock.monotonic_ns())

    def supervisor(self) -> None:
        workers = records.WORKER.section("workers", 8)
        segment = self.make("supervisor", ("starts",), [workers, records.RUN.section("run", 1)])
        table = TableWriter(segment, "workers", records.WORKER)
        pid = segment.header.pid
        table.put(0, worker("feed-kalshi", pid, WorkerState.RUNNING, 2))
        table.put(1, worker("scanner", pid + 1, WorkerState.STARTING, 0))
        table.put(2, worker("trader", 0, WorkerState.BACKOFF, 1))

    def feed(self, venue: str) -> None:
        segment = self.make(f"feed-{venue}", FEED_COUNTERS, memory.feed_sections(4, 2, connections=3))
        writer, now = memory.BookWriter(segment), self.clock.monotonic_ns()
        self.link(venue, 0, ConnectionState.UP, frames=5)
        self.books[venue] = writer
        publish(writer, "M-1", [(5, 1)], [(7, 1)], now_ns=now)
        publish(writer, "M-2", [], [], now_ns=now, state=BookState.EMPTY, socket_ns=0)

    def link(self, venue: str, index: int, state: ConnectionState, frames: int = 0) -> None:
        cells = self.segments[f"feed-{venue}"].words(memory.CONNECTIONS, index)
        now = self.clock.monotonic_ns()
        cells[memory.C_STATE], cells[memory.C_PROOF_NS], cells[memory.C_SINCE_NS] = state, now, now
        cells[memory.C_MARKETS], cells[memory.C_FRAMES] = 1, frames

    def scanner(self) -> None:
        sections = [
            records.EVENT.section("events", 4),
            histogram_section(SCANNER_HOPS),
            survival_section(4),
        ]
        segment = self.make("scanner", SCANNER_COUNTERS, sections)
        self.count("scanner", SCANNER_COUNTERS, opportunities=17, refused__no_edge=5)
        self.hops = Histograms(segment, SCANNER_HOPS, self.clock.monotonic_ns())
        self.lives = SurvivalTable(segment)

    def trader(self) -> None:
        segment = self.make("trader", TRADER_COUNTERS, trader_sections())
        self.orders = Histograms(segment, TRADER_HOPS, self.clock.monotonic_ns())
        refused = {"rejected__no_edge": 9, "rejected__venue_cash": 2}
        self.count("trader", TRADER_COUNTERS, trades=4, opportunities=17, **refused)
        summary = records.SUMMARY.empty()._replace(pnl_micros=1_499_999)
        TableWriter(segment, "summary", records.SUMMARY).put(0, summary._replace(mode="taker", updated_ns=1))
        table = TableWriter(segment, "positions", records.POSITION)
        held = (("fed", "kalshi", "yes", 1200), ("fed", "kraken", "no", 1250), ("btc", "kraken", "base", 5))
        for row, (event, venue, outcome, units) in enumerate(held):
            position = records.POSITION.empty()._replace(event_id=event, venue=venue, outcome=outcome)
            table.put(row, position._replace(units=units, size_decimals=2))

    def state(self) -> dict[str, Any]:
        return status.gather(self.config, status.attach_all(self.shm), self.clock)


def trader_sections() -> list[Section]:
    """What of a trader's segment the status reads."""
    return [
        records.SUMMARY.section("summary", 1),
        records.POSITION.section("positions", 8),
        records.EVENT_POSITION.section("events", 4),
        records.ORDER.section("orders", 4),
        records.KELLY.section("kelly", 1),
        records.CALIBRATION.section("calibration", 1),
        records.DECISION.section("decisions", 64),
        histogram_section(TRADER_HOPS),
    ]


def worker(name: str, pid: int, state: WorkerState, restarts: int) -> records.WorkerRow:
    return records.WORKER.empty()._replace(name=name, pid=pid, state=state, restarts=restarts)


@pytest.fixture
def clock() -> ManualClock:
    """Time that moves when told to."""
    return ManualClock()


@pytest.fixture
def run(tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRun]:
    """A run with everything but the feed of Kraken."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = FakeRun(tmp_path / "data", tmp_path / "shm", clock)
    made.supervisor()
    made.feed("kalshi")
    made.scanner()
    made.trader()
    yield made
    for segment in made.segments.values():
        segment.close(unlink=True)


def test_the_object_has_the_keys_that_scripts_rely_on(run: FakeRun, clock: ManualClock) -> None:
    """Every key of DESIGN 9 is there, at every level, with its type."""
    clock.advance(1500 * MS)
    run.beat()
    state = run.state()
    assert {
        *("profile", "mode", "uptime_s", "halted", "workers", "venues", "opportunities"),
        *("trades", "rejections", "pnl_usd", "positions"),
    } <= set(state)
    assert (state["profile"], state["mode"], state["uptime_s"]) == ("demo", "paper", 1.5)
    assert state["halted"] is False
    for row in state["workers"]:
        assert {"name", "pid", "state", "restarts", "heartbeat_age_ms"} <= set(row)
    assert list(state["venues"]) == ["kalshi", "kraken"]
    for venue in state["venues"].values():
        assert {"connected", "messages", "gaps", "reconnects", "books"} <= set(venue)
        for book in venue["books"].values():
            assert {"state", "age_ms"} <= set(book)
    assert json.loads(json.dumps(state)) == state


def test_money_sizes_and_counts_are_exact(run: FakeRun) -> None:
    """P&L and sizes are plain decimal text; counters are added up from their owners."""
    state = run.state()
    assert (state["opportunities"], state["trades"]) == (17, 4)
    assert state["rejections"] == {"no_edge": 9, "venue_cash": 2}
    assert state["pnl_usd"] == "1.499999"
    assert state["positions"] == {"fed": {"kalshi": "12", "kraken": "-12.5"}, "btc": {"kraken": "0.05"}}


def hold(run: FakeRun, held: Iterable[tuple[str, str, str, str, int, int]]) -> None:
    """Positions from the third row on: event, venue, market, outcome, units, decimals."""
    table = TableWriter(run.segments["trader"], "positions", records.POSITION)
    for row, (event, venue, market, outcome, units, decimals) in enumerate(held, 3):
        cells = {"event_id": event, "venue": venue, "market": market, "outcome": outcome}
        table.put(row, records.POSITION.empty()._replace(**cells, units=units, size_decimals=decimals))


def test_both_outcomes_at_one_venue_are_not_added_up(run: FakeRun) -> None:
    """A held ladder shows YES and NO apart; two markets of one outcome are one size, at any scale."""
    hold(run, [("ladder", "kalshi", "A", "yes", 500, 2), ("ladder", "kalshi", "B", "no", 500, 2)])
    assert run.state()["positions"]["ladder"] == {"kalshi": "5 yes, 5 no"}
    assert "holds ladder: kalshi 5 yes, 5 no" in "\n".join(status_text.lines(run.state()))
    hold(run, [("two", "kalshi", "A", "no", 500, 2), ("two", "kalshi", "B", "no", 7_500_000, 6)])
    assert run.state()["positions"]["two"] == {"kalshi": "-12.5"}


def test_events_orders_kelly_and_predictions_are_there(run: FakeRun, clock: ManualClock) -> None:
    """Each of the trader's tables is a block of the object, money exact, and few lines for people."""
    trader = run.segments["trader"]
    event = records.EVENT_POSITION.empty()._replace(event_id="fed", kind="binary", size_decimals=2)
    event = event._replace(
        hedged_units=1200,
        net_units=-50,
        gross_micros=21_500_000,
        net_exposure_micros=250_000,
        locked_micros=410_000,
        unrealised_micros=-120_001,
        marked=1,
        band=1,
        state=2,
    )
    TableWriter(trader, "events", records.EVENT_POSITION).put(0, event)
    order = records.ORDER.empty()._replace(order_id="r-1.1-0", event_id="fed", venue="kalshi", market="M-1")
    order = order._replace(
        outcome="yes",
        action="buy",
        purpose="hedge",
        style="ioc",
        price_ticks=550_000,
        price_decimals=6,
        size_units=1200,
        filled_units=250,
        size_decimals=2,
        state=6,
        sent_ns=clock.monotonic_ns(),
    )
    TableWriter(trader, "orders", records.ORDER).put(0, order)
    row = records.KELLY.empty()._replace(
        total_trades=12, winning_trades=9, win_rate_ppm=750_000, profit_factor_ppm=-1, trend=-1
    )
    row = row._replace(safe_ppm=100_000, confidence_ppm=600_000, recommended_micros=12_500_000, mode="half")
    TableWriter(trader, "kelly", records.KELLY).put(0, row)
    made = records.CALIBRATION.empty()._replace(trades=4, brier_ppm=62_500, edge_predicted_bp=80)
    TableWriter(trader, "calibration", records.CALIBRATION).put(0, made._replace(edge_realised_bp=61))
    clock.advance(40 * MS)
    state = run.state()
    fed = state["events"]["fed"]
    assert (fed["hedged"], fed["net"], fed["exposure_usd"], fed["band"]) == ("12", "-0.5", "21.5", "medium")
    assert (fed["locked_usd"], fed["unrealised_usd"], fed["state"]) == ("0.41", "-0.120001", "unhedged")
    (shown,) = state["orders"]
    assert (shown["order"], shown["price"], shown["size"], shown["filled"]) == (
        "buy yes",
        "0.55",
        "12",
        "2.5",
    )
    assert (shown["state"], shown["purpose"], shown["age_ms"]) == ("UNKNOWN", "hedge", 40)
    kelly = state["kelly"]
    assert (kelly["win_rate"], kelly["profit_factor"], kelly["trend"]) == ("0.75", None, "worse")
    assert (state["calibration"]["brier"], state["calibration"]["trades"]) == ("0.0625", 4)
    assert json.loads(json.dumps(state)) == state
    text = "\n".join(status_text.lines(state))
    assert "(hedged 12, -0.5 UNHEDGED, medium, locked $0.41)" in text
    assert "kelly half: 9 of 12 won, fraction 0.1, confidence 0.6, next $12.5 if trades" in text
    assert "predictions: edge 80 bp, came to 61 bp" in text
    assert "Brier 0.0625 of 4 trades" in text


def test_a_halt_is_told_with_its_cause(run: FakeRun) -> None:
    """The file counts with or without a trader; what only the trader shows counts too."""
    assert (run.state()["halted"], run.state()["halt"]) == (False, None)
    table = TableWriter(run.segments["trader"], "summary", records.SUMMARY)
    summary = records.SUMMARY.empty()._replace(halted=1, halt_cause="journal", resolving=2, updated_ns=1)
    table.put(0, summary)
    state = run.state()
    assert (state["halted"], state["halt"]["cause"], state["resolving"]) == (True, "journal", 2)
    text = "\n".join(status_text.lines(state))
    assert "HALTED: journal: run.py resume ends it" in text
    assert "no new trade: 2 orders of an earlier run are asked for" in text
    data = Path(run.config.data_directory)
    data.mkdir(parents=True, exist_ok=True)
    HaltFile(data / HALT_FILE).set("lost $20", "rule daily_loss 1", 1_700_000_000 * 10**9)
    table.put(0, summary._replace(halted=0))
    state = run.state()
    assert (state["halted"], state["trader_halted"]) == (True, False)
    assert state["halt"]["cause"] == "lost $20"
    text = "\n".join(status_text.lines(state))
    assert "HALTED by rule daily_loss 1 at 2023-11-14T22:13:20Z: lost $20" in text


def test_every_hop_is_shown_beside_the_seeds_figure(run: FakeRun) -> None:
    """Count, p50 and p99 of each hop of scanner and trader, by the name in memory; a line each for people."""
    for micros in (*range(1, 100), 5000):
        run.hops.record("socket_to_book", micros * 1000)
    run.orders.record("socket_to_order", 3 * MS)
    state = run.state()
    hops = state["hops"]
    assert list(hops) == ["socket_to_book", "book_to_scan", "socket_to_order"]
    first = hops["socket_to_book"]
    assert (first["count"], hops["book_to_scan"]["count"]) == (100, 0)
    assert first["p50_us"] == pytest.approx(50, rel=0.1)
    assert first["p99_us"] == pytest.approx(99, rel=0.1)
    assert first["max_us"] == pytest.approx(5000, rel=0.1)
    text = status_text.lines(state)
    (line,) = [line for line in text if line.startswith("socket_to_order")]
    assert "3.0 ms" in line or "3.1 ms" in line
    assert "the seeds: under 100 ms" in line
    assert not [line for line in text if line.startswith("book_to_scan")]
    assert json.loads(json.dumps(state)) == state


def test_spans_are_read_in_their_unit() -> None:
    """A duration has at most four digits before its unit."""
    assert [status_text.span(us) for us in (12.4, 999, 1500, 2_500_000)] == [
        "12 us",
        "999 us",
        "1.5 ms",
        "2.5 s",
    ]


def test_refusals_of_scanner_and_trader_stand_apart(run: FakeRun) -> None:
    """What the scanner did not offer is `refusals`, what the trader refused is `rejections`."""
    state = run.state()
    assert state["refusals"] == {"no_edge": 5}
    assert state["rejections"] == {"no_edge": 9, "venue_cash": 2}
    text = "\n".join(status_text.lines(state))
    assert "not offered: no_edge 5" in text
    assert "refused: no_edge 9, venue_cash 2" in text


def test_races_tell_how_long_opportunities_live(run: FakeRun) -> None:
    """Each life counts once, censored ones apart; the median is that of all lives."""
    assert run.state()["races"]["lives"] == 0
    assert status_text.race_lines(run.state()["races"]) == []
    for millis in (100, 200, 300, 400, 500):
        for label in ("binary kalshi kraken 1 1", "binary kalshi kraken"):
            run.lives.add(label, millis * MS, censored=millis == 500)
    run.count("scanner", SCANNER_COUNTERS, predictions=4, prediction_errors_ppm=1_000_000)
    races = run.state()["races"]
    assert (races["lives"], races["censored_pct"]) == (5, 20.0)
    assert races["median_ms"] == pytest.approx(300, rel=0.15)
    assert (races["predictions"], races["brier"]) == (4, 0.25)
    text = "\n".join(status_text.lines(run.state()))
    assert "races: 5 lives, 20 % censored, median" in text
    assert "Brier 0.25 of 4 predictions" in text
    for _ in range(9):
        run.lives.add("spot kraken coinbase", 50 * MS, censored=True)
    assert run.state()["races"]["median_ms"] is not None
    for _ in range(90):
        run.lives.add("spot kraken coinbase", 900 * MS, censored=True)
    races = run.state()["races"]
    assert races["median_ms"] is None
    assert "median longer than was seen" in status_text.race_lines(races)[1]


def test_the_venue_that_moves_first_is_named(run: FakeRun) -> None:
    """An event with a leader says which venue, by how much and how often; one without says nothing."""
    rows: TableWriter[records.EventRow] = TableWriter(run.segments["scanner"], "events", records.EVENT)
    plain = records.EVENT.empty()._replace(buy_venue="kalshi", sell_venue="kraken", lead_leg=-1)
    led = plain._replace(lead_leg=1, lead_ns=120_400_000, lead_count=41, lead_total=50)
    for number, row in enumerate((plain._replace(event_id="even"), led._replace(event_id="led"))):
        rows.put(number, row)
    rows.put(2, led._replace(event_id="led", direction=1))
    state = run.state()
    assert state["leads"] == {"led": {"venue": "kraken", "lag_ms": 120.4, "count": 41, "total": 50}}
    told = "led: kraken moves first, by 120.4 ms at the median, in 41 of 50 moves"
    assert told in status_text.lines(state)


def test_a_heartbeat_is_shown_for_the_process_it_belongs_to(run: FakeRun, clock: ManualClock) -> None:
    """A worker's row has the age of its own heartbeat; a dead one's segment lends none."""
    clock.advance(40 * MS)
    rows = {row["name"]: row for row in run.state()["workers"]}
    assert rows["feed-kalshi"]["heartbeat_age_ms"] == 40
    assert rows["feed-kalshi"]["restarts"] == 2
    assert (rows["scanner"]["state"], rows["scanner"]["heartbeat_age_ms"]) == ("STARTING", None)
    assert (rows["trader"]["pid"], rows["trader"]["heartbeat_age_ms"]) == (0, None)


def test_a_venue_shows_its_books_as_they_are_worth_now(run: FakeRun, clock: ManualClock) -> None:
    """Books and connection are judged at this moment: LIVE while their feed beats, then DEAD and down."""
    run.count("feed-kalshi", FEED_COUNTERS, frames=123, gaps=4, reconnects=2)
    clock.advance(30 * MS)
    venue = run.state()["venues"]["kalshi"]
    assert (venue["connected"], venue["messages"], venue["gaps"], venue["reconnects"]) == (True, 123, 4, 2)
    assert venue["books"] == {
        "M-1": {"state": "LIVE", "age_ms": 30, "fault": None, "witnessed_s": None, "closed": False},
        "M-2": {"state": "EMPTY", "age_ms": None, "fault": None, "witnessed_s": None, "closed": False},
    }
    clock.advance(1000 * MS)
    venue = run.state()["venues"]["kalshi"]
    assert not venue["connected"]
    assert {book["state"] for book in venue["books"].values()} == {"DEAD"}


@pytest.mark.parametrize(
    ("second", "third", "word", "connected"),
    [
        (None, None, "up", True),
        (ConnectionState.UP, ConnectionState.UP, "up", True),
        (ConnectionState.UP, ConnectionState.BACKOFF, "2/3 up", False),
        (ConnectionState.DOWN, None, "1/2 up", False),
        (ConnectionState.AUTH_FAILED, ConnectionState.UP, "auth failed", False),
        (ConnectionState.POLLING, None, "polling", True),
    ],
)
def test_a_venue_is_connected_when_all_its_links_are(
    run: FakeRun,
    second: ConnectionState | None,
    third: ConnectionState | None,
    word: str,
    connected: bool,
) -> None:
    """Every link that has markets must be up; links that were never used are not shown."""
    links = {1: second, 2: third}
    for index, state in links.items():
        if state is not None:
            run.link("kalshi", index, state, frames=index)
    venue = run.state()["venues"]["kalshi"]
    assert (venue["socket"], venue["connected"]) == (word, connected)
    assert [link["index"] for link in venue["connections"]] == [
        0,
        *(index for index, state in links.items() if state is not None),
    ]
    assert venue["connections"][0] == {
        "index": 0,
        "state": "up",
        "markets": 1,
        "messages": 5,
        "reconnects": 0,
        "proof_age_ms": 0,
    }


def test_no_link_up_is_said_in_words(run: FakeRun, clock: ManualClock) -> None:
    """A feed that waits, or may not enter, or is dead, says which."""
    for state, word in ((ConnectionState.BACKOFF, "backoff"), (ConnectionState.AUTH_FAILED, "auth failed")):
        run.link("kalshi", 0, state)
        assert run.state()["venues"]["kalshi"]["socket"] == word
    assert "auth failed" in "\n".join(status_text.lines(run.state()))
    clock.advance(1000 * MS)
    assert run.state()["venues"]["kalshi"]["socket"] == "down"


def test_lag_faults_and_witnesses_are_shown(run: FakeRun, clock: ManualClock) -> None:
    """How late a venue is, why a book was lost, and when REST last agreed, in the object and for people."""
    segment, now = run.segments["feed-kalshi"], clock.monotonic_ns()
    values = {"lag_p50_ns": 12 * MS, "lag_p99_ns": 80 * MS, "lag_samples": 9, "subscriptions": 1}
    StatisticsWriter(segment).put(Statistics(**values))
    publish(run.books["kalshi"], "M-1", [(5, 1)], [(7, 1)], now_ns=now, witness_ns=now)
    lost = {"state": BookState.GAP, "reason": BookFault.BEST_PRICE}
    publish(run.books["kalshi"], "M-2", [], [], now_ns=now, **lost)
    clock.advance(4000 * MS)
    run.beat()
    run.link("kalshi", 0, ConnectionState.UP)
    state = run.state()
    venue = state["venues"]["kalshi"]
    assert (venue["lag_ms"], venue["subscriptions"]) == ({"p50": 12.0, "p99": 80.0}, 1)
    assert venue["books"]["M-1"]["witnessed_s"] == 4.0
    assert (venue["books"]["M-2"]["state"], venue["books"]["M-2"]["fault"]) == ("GAP", "best price")
    assert venue["statistics"]["lag_samples"] == 9
    text = "\n".join(status_text.lines(state))
    for words in ("12/80 ms", "4 s", "kalshi: 1 GAP since: best price"):
        assert words in text
    assert json.loads(json.dumps(state)) == state


def test_what_was_never_verified_is_not_called_verified() -> None:
    """The oldest witness speaks for all LIVE books; where some have none their number is shown."""

    def book(state: str, seconds: float | None) -> dict[str, Any]:
        return {"state": state, "witnessed_s": seconds}

    assert status_text.verified({}) == "-"
    assert status_text.verified({"a": book("LIVE", None), "b": book("GAP", 1.0)}) == "-"
    assert status_text.verified({"a": book("LIVE", 3.2), "b": book("LIVE", 7.9)}) == "8 s"
    assert status_text.verified({"a": book("LIVE", 3.2), "b": book("LIVE", None)}) == "1/2"
    assert status.fault_word(99) == "fault 99"


def test_what_is_not_up_yet_is_shown_as_nothing(run: FakeRun, tmp_path: Path, clock: ManualClock) -> None:
    """A venue without a segment, and a run without any, give zeros and empty tables."""
    venue = run.state()["venues"]["kraken"]
    assert (venue["connected"], venue["socket"], venue["books"]) == (False, "down", {})
    assert (venue["messages"], venue["gaps"], venue["reconnects"], venue["lag_ms"]) == (0, 0, 0, None)
    assert set(venue) <= set(run.state()["venues"]["kalshi"])
    bare = status.gather(run.config, status.attach_all(tmp_path / "no such directory"), clock)
    assert (bare["workers"], bare["positions"], bare["pnl_usd"], bare["trades"]) == ([], {}, "0", 0)
    assert (bare["hops"], bare["refusals"], bare["races"]) == ({}, {}, {})
    assert status_text.lines(bare)


def test_an_empty_trader_has_no_money(tmp_path: Path, clock: ManualClock, run: FakeRun) -> None:
    """A trader that has published no summary yet is no trouble."""
    run.segments["trader"].close()
    run.make("trader", TRADER_COUNTERS, trader_sections())
    state = run.state()
    assert (state["pnl_usd"], state["halted"], state["positions"]) == ("0", False, {})
    assert (state["account"], state["kelly"], state["calibration"]) == ({}, {}, {})
    assert (state["orders"], state["events"], state["resolving"]) == ([], {}, 0)
    assert status_text.lines(state)


def test_other_files_beside_the_segments_are_passed_over(run: FakeRun) -> None:
    """Half-made files, locks and files that are none of ours are no rows."""
    (run.shm / "notes").write_text("x" * 5000)
    (run.shm / "scanner.new").write_bytes(bytes(8192))
    assert set(status.attach_all(run.shm)) == {"supervisor", "feed-kalshi", "scanner", "trader"}


def test_counters_need_no_names_from_us(run: FakeRun) -> None:
    """--counters lists every counter and distinct error of every segment, as the segments name them."""
    ErrorTable(run.segments["scanner"]).report("odd thing", 5)
    ErrorTable(run.segments["scanner"]).report("odd thing", 6)
    run.make("something-new", ("never_heard_of",), [])
    run.count("something-new", ("never_heard_of",), never_heard_of=3)
    found = status.counters(status.attach_all(run.shm))
    assert found["something-new"] == {"epoch": 1, "counters": {"never_heard_of": 3}, "errors": []}
    errors = found["scanner"]["errors"]
    assert errors == [{"text": "odd thing", "count": 2, "first_wall_ns": 5, "last_wall_ns": 6}]
    lines = "\n".join(status_text.counter_lines(found))
    assert "never_heard_of" in lines
    assert "error x2: odd thing" in lines


def test_the_text_says_it_is_simulated_and_what_is_refused(run: FakeRun) -> None:
    """People see SIM, each worker, each venue, what is refused most and what is held."""
    text = "\n".join(status_text.lines(run.state()))
    assert text.startswith("SIM PAPER  profile demo")
    for words in ("feed-kalshi", "BACKOFF", "1 EMPTY, 1 LIVE", "no_edge 9, venue_cash 2"):
        assert words in text
    assert "holds fed: kalshi 12" in text


def test_every_reason_has_its_counter() -> None:
    """No refusal goes uncounted: one counter a reason, each short enough for its label."""
    names = REFUSALS
    assert len(names) == len(set(names)) == len(Reason) - 1
    assert all(name.startswith(REJECTED) for name in names)
    counter_section(names)


def test_the_command_prints_one_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`status --json` is one line of JSON and exit 0; so is `--counters --json`; without it, lines."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = FakeRun(tmp_path / "data", tmp_path / "shm", SystemClock())
    made.supervisor()
    try:
        for words, key in ((["--json"], "venues"), (["--counters", "--json"], "supervisor")):
            assert main(["status", *words, "--data", str(tmp_path / "data")]) == OK
            (line,) = capsys.readouterr().out.splitlines()
            assert key in json.loads(line)
        ErrorTable(made.segments["supervisor"]).report("a venue's\nlab   1  RUNNING\x1b[2J", 5)
        for words in ([], ["--counters"]):
            assert main(["status", *words, "--data", str(tmp_path / "data")]) == OK
            printed = capsys.readouterr().out
            assert len(printed.splitlines()) > 1
            # What a venue said begins no line of its own, and steers no terminal.
            assert "\nlab   1" not in printed
            assert "\x1b" not in printed
    finally:
        made.segments["supervisor"].close(unlink=True)


def test_counters_outlive_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a crash `status` says that nothing runs; --counters still lists what was counted."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = FakeRun(tmp_path / "data", tmp_path / "shm", SystemClock())
    made.supervisor()
    made.segments["supervisor"].cells[lo.H_PID_START] = 1  # the pid is somebody else's by now
    try:
        assert main(["status", "--json", "--data", str(tmp_path / "data")]) == NOT_RUNNING
        assert main(["status", "--counters", "--json", "--data", str(tmp_path / "data")]) == OK
        assert "supervisor" in json.loads(capsys.readouterr().out)
    finally:
        for segment in made.segments.values():
            segment.close()


def test_workers_show_what_they_take_of_the_machine(run: FakeRun) -> None:
    """CPU, memory and open files stand beside a worker if they are of its present process; else nothing."""
    sections = [
        records.WORKER.section("workers", 8),
        records.RUN.section("run", 1),
        records.USAGE.section("usage", 8),
    ]
    run.segments["supervisor"].close()
    segment = run.make("supervisor", ("starts",), sections)
    table = TableWriter(segment, "workers", records.WORKER)
    used = TableWriter(segment, "usage", records.USAGE)
    row = records.USAGE.empty()._replace(
        name="scanner", pid=7, cpu_permille=123, rss_bytes=2**20, descriptors=9
    )
    for at, pid in enumerate((7, 8)):
        table.put(at, worker("scanner", pid, WorkerState.RUNNING, 0))
    used.put(0, row)
    first, second = run.state()["workers"]
    assert (first["cpu_pct"], first["rss_mib"], first["descriptors"]) == (12.3, 1.0, 9)
    assert (second["cpu_pct"], second["rss_mib"], second["descriptors"]) == (None, None, None)
    assert "12 %" in status_text.worker_line(first)


def test_a_configuration_that_does_not_hold_is_told(run: FakeRun) -> None:
    """Why the files do not act, and what waits for a restart, stand above the workers."""
    segment = run.segments["supervisor"]
    row = records.RUN.empty()._replace(config_problem="line 3: no such key", config_waits="shm.depth: all")
    TableWriter(segment, "run", records.RUN).put(0, row)
    found = run.state()["configuration"]
    assert (found["problem"], found["waits"]) == ("line 3: no such key", "shm.depth: all")
    assert len(status_text.configuration_lines(found)) == 2


def test_the_observer_says_where_metrics_are_and_what_it_told(run: FakeRun) -> None:
    """The port, the last writing of each file and the last alerts, newest first; {} without an observer."""
    assert run.state()["observer"] == {}
    sections = [records.OBSERVER.section("observer", 1), records.ALERT.section("alerts", 4)]
    segment = run.make("observer", ("exports",), sections)
    TableWriter(segment, "observer", records.OBSERVER).put(0, records.ObserverRow(4321, 10**18, 0, 0, 0))
    ring = RingWriter(segment, "alerts", records.ALERT)
    for sequence, state in ((1, 0), (2, 1)):
        ring.append(records.AlertRow(sequence, 10**18, "halt", "trader", f"text {sequence}", 0, state))
    found = run.state()["observer"]
    assert found["metrics_port"] == 4321
    assert found["written"]["orderbooks"] == "2001-09-09T01:46:40Z"
    assert [(alert["text"], alert["state"]) for alert in found["alerts"]] == [
        ("text 2", "sent"), ("text 1", "waits"),
    ]  # fmt: skip
    assert status_text.observer_lines(found) == [
        "metrics: http://127.0.0.1:4321/metrics",
        "last alert 2001-09-09T01:46:40Z: text 2 (sent)",
    ]
