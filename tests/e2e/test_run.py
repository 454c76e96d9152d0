"""The whole program with real processes: start, trade, second start, kill one worker, kill all, stop.

One run serves most tests here; they are in the order of its life. What it traded is checked from what it
journalled and from nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.books import FeedBooks
from pipeline.cli.common import run_directory_of, running_config
from pipeline.clock import SystemClock
from pipeline.config import Config, RiskConfig, ScannerConfig
from pipeline.decision_log import read_decisions
from pipeline.edge import EdgeLeg, evaluate
from pipeline.fees import order_fee
from pipeline.journal_reader import open_readonly
from pipeline.journal_records import FillRecord, IntentRecord, TradeRecord
from pipeline.model import Action, BookState, Reason
from pipeline.money import to_decimal
from pipeline.status import attach_all, gather
from shm.segment import SegmentError, attach
from shm.tables import read_counters
from tests.support.planted import DOLLAR, PlantLeg

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
# Many times what any step takes here, so that a slow machine is no failure.
PATIENCE_SECONDS = 180.0
CLOCK = SystemClock()
MILLISECOND_NS = 1_000_000


def parallax(*words: str, data: Path, timeout: float = PATIENCE_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run one command of the program and wait for it."""
    command = [sys.executable, str(ROOT / "run.py"), *words, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def start(data: Path, *words: str) -> subprocess.Popen[str]:
    """Start `up` in the foreground of a process of its own."""
    command = [sys.executable, str(ROOT / "run.py"), "up", "--no-dashboard", "--data", str(data), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(check: Callable[[], Any]) -> Any:
    """The first true value of `check`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        value = check()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"never came true: {check}")


def status(data: Path) -> dict[str, Any]:
    """The object of `run.py status`, or an empty one while nothing runs; no process is started for it."""
    config = running_config(data)
    return gather(config, attach_all(Path(config.shm_directory)), CLOCK) if config else {}


def left_behind(data: Path, config: Config) -> list[str]:
    """Whatever of a run still exists: directories, sockets, segments, processes."""
    found = [str(path) for path in (Path(config.run_directory), Path(config.shm_directory)) if path.exists()]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                environment = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(data) in words or f"PARALLAX_RUN_DIRECTORY={config.run_directory}" in environment:
                found.append(f"process {entry.name} {words}")
    return found


class Run:
    """A run on simulated venues, which one test starts anew."""

    def __init__(self, data: Path, *words: str) -> None:
        self.data = data
        self.words = words
        self.process = start(data, *words)

    def again(self) -> None:
        """Start it in the same data directory once it is gone."""
        self.process.communicate(timeout=PATIENCE_SECONDS)
        self.process = start(self.data, *self.words)

    def end(self) -> str:
        """Stop it in order, if it still runs; what it wrote to stdout."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=PATIENCE_SECONDS)[0]

    def status(self) -> dict[str, Any]:
        """The object of `run.py status`, or an empty one before all workers run."""
        assert self.process.poll() is None, self.process.communicate()
        return running(self.data)

    def ends(self) -> dict[str, str]:
        """Of each worker that was started more than once, how it ended and why."""
        rows = status(self.data)["workers"]
        return {row["name"]: row["detail"] for row in rows if row["restarts"]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One run on simulated venues."""
    run = Run(tmp_path_factory.mktemp("data"), "--seed", "7")
    yield run
    run.end()


def test_it_trades_on_all_venues(run: Run) -> None:
    """Messages come from all four venues, and it trades several events in both directions, unrestarted."""
    wait_for(lambda: run.status().get("trades", 0) >= 3)
    wait_for(lambda: len(directions(run.data)) == 2 and len({t.event_id for t in trades(run.data)}) >= 2)
    state = json.loads(parallax("status", "--json", data=run.data).stdout)
    assert {name for name, venue in state["venues"].items() if venue["messages"] > 0} == {
        "kalshi",
        "polymarket",
        "kraken",
        "coinbase",
    }
    assert run.ends() == {}
    assert all(venue["gaps"] == 0 and venue["connected"] for venue in state["venues"].values())


def trades(data: Path) -> list[Any]:
    """Trades of the ledger."""
    journal = open_readonly(data / "ledger.sqlite")
    try:
        return journal.trades()
    finally:
        journal.close()


def directions(data: Path) -> set[int]:
    """Directions traded so far."""
    return {trade.direction for trade in trades(data)}


def test_fills_can_be_recomputed(run: Run) -> None:
    """Every fill follows from the book that was journalled with it, its limit and the fee schedule."""
    journal = open_readonly(run.data / "ledger.sqlite")
    try:
        intents = {intent.order_id: intent for trade in journal.trades() for intent in trade.intents}
        by_order: dict[str, list[FillRecord]] = {}
        for fill in journal.fills():
            by_order.setdefault(fill.order_id, []).append(fill)
        assert journal.verify() == []
    finally:
        journal.close()
    assert by_order
    for order_id, fills in by_order.items():
        intent = intents[order_id]
        levels = [(fill.price_ticks, fill.size_units) for fill in fills]
        assert levels == expected_fills(intent, fills[0].evidence)
        paid = order_price_levels(intent, levels)
        assert sum((fill.fee for fill in fills), Decimal(0)) == order_fee(
            intent.fee, paid, intent.order.scale
        )


def order_price_levels(intent: IntentRecord, levels: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Levels in the outcome's own terms, in which fees are charged."""
    if intent.order.outcome != "no":
        return levels
    one = 10**intent.order.scale.price_decimals
    return [(one - ticks, units) for ticks, units in levels]


def expected_fills(intent: IntentRecord, evidence: Any) -> list[tuple[int, int]]:
    """Walk the journalled ladder up to the limit, without what earlier orders had taken of it."""
    leg = intent.order
    taken = dict(evidence["taken"])
    left, walked = leg.size_units, []
    for ticks, units in evidence["ladder"]:
        worse = ticks > leg.limit_ticks if leg.takes_asks else ticks < leg.limit_ticks
        free = units - taken.get(ticks, 0)
        if worse or left <= 0:
            break
        if free > 0:
            walked.append((ticks, min(free, left)))
            left -= min(free, left)
    return walked


class Told(NamedTuple):
    """What the run had journalled before anybody disturbed it."""

    trades: list[TradeRecord]
    decisions: list[dict[str, Any]]
    problems: list[str]


@pytest.fixture(scope="module")
def told(run: Run) -> Told:
    """The journal's proof: what the run traded, with the decision of each trade."""
    journal = open_readonly(run.data / "ledger.sqlite")
    try:
        found, problems = journal.trades(), journal.verify()
    finally:
        journal.close()

    def decided() -> list[dict[str, Any]]:
        # Decisions are written off the path of orders, a moment after them.
        rows = read_decisions(run.data / "decisions.sqlite", last=1_000_000)
        keys = {(row["event_id"], row["decide_ns"]) for row in rows}
        return rows if keys >= {(trade.event_id, trade.decided_ns) for trade in found} else []

    return Told(found, wait_for(decided), problems)


def test_the_run_traded(told: Told) -> None:
    """There is something to check, several events of it, and the journal is whole."""
    assert told.problems == []
    assert len(told.trades) >= 3
    assert len({trade.event_id for trade in told.trades}) >= 2


def test_every_book_was_live(told: Told) -> None:
    """No trade was ever decided on a book that was not LIVE."""
    assert {intent.book["state"] for trade in told.trades for intent in opening(trade)} == {"LIVE"}


def test_no_book_was_too_old(told: Told) -> None:
    """At the decision each book's last message was no older than the limit, to the nanosecond."""
    limit_ns = RiskConfig().max_book_age_ms * MILLISECOND_NS
    for trade in told.trades:
        for intent in opening(trade):
            assert 0 <= trade.decided_ns - intent.book["socket_ns"] <= limit_ns, (trade.trade_id, intent)


def test_no_opportunity_came_of_an_older_book(told: Told) -> None:
    """Of all opportunities that were decided on, refused ones too, none was found on an older book."""
    limit_ns = RiskConfig().max_book_age_ms * MILLISECOND_NS
    assert told.decisions
    for row in told.decisions:
        # The scanner takes the time at the begin of its turn, so a book may even be younger than that.
        assert row["scan_ns"] - row["socket_ns"] <= limit_ns, row
        assert row["socket_ns"] < row["send_ns"], row


def test_the_books_were_of_one_moment(told: Told) -> None:
    """The books of a trade were heard within the allowed skew of each other."""
    limit_ns = RiskConfig().max_leg_skew_ms * MILLISECOND_NS
    for trade in told.trades:
        heard = [intent.book["socket_ns"] for intent in opening(trade)]
        assert max(heard) - min(heard) <= limit_ns, trade.trade_id


def test_the_program_finds_the_same_net_again(told: Told) -> None:
    """From the journalled ladders and fee schedules alone the edge of that size is the one journalled."""
    for trade in told.trades:
        legs = [edge_leg(intent) for intent in opening(trade)]
        edge = evaluate(legs, Decimal(trade.edge["payoff"]), max_size_units=trade.edge["size_units"])
        assert edge is not None
        assert (edge.size_units, edge.size_decimals) == (
            trade.edge["size_units"],
            trade.edge["size_decimals"],
        )
        for name in ("net", "net_low", "gross", "depth", "cash"):
            assert getattr(edge, name) == Decimal(trade.edge[name]), (trade.trade_id, name)
        assert edge.net_low > 0
        assert [leg.limit_ticks for leg in edge.legs] == [i.order.limit_ticks for i in opening(trade)]


def opening(trade: TradeRecord) -> list[IntentRecord]:
    """The orders that opened a trade; those that mended it later have no edge."""
    return [intent for intent in trade.intents if intent.purpose in {"open", "close"}]


def edge_leg(intent: IntentRecord) -> EdgeLeg:
    """A journalled leg, in which the only size allowed is that of its order."""
    leg = intent.order
    return EdgeLeg(
        ladder_of(intent),
        leg.scale,
        intent.fee,
        leg.action,
        leg.outcome,
        lot_units=leg.size_units,
        min_units=leg.size_units,
    )


def ladder_of(intent: IntentRecord) -> tuple[tuple[int, int], ...]:
    """The side of the book that was hit."""
    return tuple(
        (ticks, units) for ticks, units in intent.book["asks" if intent.order.takes_asks else "bids"]
    )


def test_other_arithmetic_finds_the_same_net(told: Told) -> None:
    """The tests' own whole-number arithmetic comes to the journalled net too, to the last digit."""
    for trade in told.trades:
        size = to_decimal(trade.edge["size_units"], trade.edge["size_decimals"])
        left = int((Decimal(trade.edge["payoff"]) * size).scaleb(18))
        for intent in opening(trade):
            leg = plant_leg(intent)
            left -= leg.paid(leg.fills(intent.order.size_units))
        assert Decimal(left) / DOLLAR == Decimal(trade.edge["net"]), trade.trade_id


def plant_leg(intent: IntentRecord) -> PlantLeg:
    """A journalled leg for the tests' arithmetic, in prices of the outcome that is traded."""
    leg, one = intent.order, 10**intent.order.scale.price_decimals
    costs = tuple((one - t if leg.outcome == "no" else t, units) for t, units in ladder_of(intent))
    names = leg.venue, leg.market, intent.polarity, leg.action, leg.outcome
    return PlantLeg(*names, leg.scale, 0, 0, 0, 0, intent.fee, costs, 0)


def test_both_legs_have_the_same_size(told: Told) -> None:
    """All orders of a trade are for the same quantity, that of its edge."""
    for trade in told.trades:
        size = to_decimal(trade.edge["size_units"], trade.edge["size_decimals"])
        for intent in opening(trade):
            assert to_decimal(intent.order.size_units, intent.order.scale.size_decimals) == size


def test_nothing_expired_was_traded(told: Told) -> None:
    """Each trade was decided within the life of its opportunity; what came late made no trade."""
    life_ns = ScannerConfig().opportunity_ttl_ms * MILLISECOND_NS
    of = {(row["event_id"], row["decide_ns"]): row for row in told.decisions}
    late = {key for key, row in of.items() if row["reason"] == Reason.EXPIRED}
    for trade in told.trades:
        key = trade.event_id, trade.decided_ns
        assert key not in late
        row = of[key]
        assert row["action"] in {Action.EXECUTED, Action.UNHEDGED, Action.REJECTED}
        assert row["send_ns"] < row["receive_ns"] <= row["decide_ns"] <= row["send_ns"] + life_ns


def test_second_start_is_refused(run: Run) -> None:
    """A second `up` in the same data directory exits 5 and names the first."""
    done = parallax("up", "--no-dashboard", "--for", "1", data=run.data)
    assert done.returncode == 5
    assert str(run.process.pid) in done.stderr
    assert run.process.poll() is None


def test_killed_feed_comes_back_and_nothing_else_moves(run: Run) -> None:
    """kill -9 of a feed: its books are LIVE again in the next epoch; the others and positions stay. The
    process that waited for this is the new feed.
    """
    data, config = run.data, running_config(run.data)
    assert config is not None
    directory, markets = Path(config.shm_directory), config.markets_of("kraken")
    books = FeedBooks(directory, ["kraken"], config.scanner.limits())

    def states() -> set[BookState]:
        now = time.monotonic_ns()
        books.refresh(now)
        looks = [books.read("kraken", market, now) for market in markets]
        return {look.state if look else BookState.EMPTY for look in looks}

    wait_for(lambda: states() == {BookState.LIVE})
    before = {worker["name"]: worker for worker in status(data)["workers"]}
    epoch = attach(directory, "feed-kraken").header.epoch
    fills = len(fills_of(data))
    wait_for(lambda: spares(config))
    (waiting,) = spares(config)
    done = parallax("kill", "feed-kraken", "--signal", "KILL", data=data)
    killed_ns = time.monotonic_ns()
    assert done.returncode == 0, done.stderr
    wait_for(lambda: attach_epoch(directory) == epoch + 1)
    wait_for(lambda: states() == {BookState.LIVE})
    live_ns = time.monotonic_ns()
    after = {worker["name"]: worker for worker in wait_for(lambda: status(data))["workers"]}
    assert after["feed-kraken"]["restarts"] == before["feed-kraken"]["restarts"] + 1, run.ends()
    assert after["feed-kraken"]["pid"] == waiting != before["feed-kraken"]["pid"]
    assert read_counters(attach(directory, "supervisor"))["spares_used"] == 1
    others = [name for name in before if name != "feed-kraken"]
    assert {name: after[name]["pid"] for name in others} == {name: before[name]["pid"] for name in others}
    assert len(fills_of(data)) >= fills
    limit_ns = config.scanner.heartbeat_ms * 1_000_000
    for fill in fills_of(data):
        if fill.venue == "kraken" and killed_ns + limit_ns < fill.at_ns < live_ns:
            pytest.fail(f"{fill} was made on a dead book")


def spares(config: Config) -> list[int]:
    """Processes of the run that have loaded what workers need and wait."""
    title = f"parallax: spare [{config.instance}]".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cmdline").read_bytes().rstrip(b"\0") == title:
                found.append(int(entry.name))
    return found


def attach_epoch(directory: Path) -> int:
    """The epoch of kraken's segment, 0 while there is none or it is being set up."""
    try:
        return attach(directory, "feed-kraken").header.epoch
    except SegmentError:
        return 0


def fills_of(data: Path) -> list[FillRecord]:
    """Fills of the ledger."""
    journal = open_readonly(data / "ledger.sqlite")
    try:
        return journal.fills()
    finally:
        journal.close()


def test_killed_trader_keeps_its_positions(run: Run) -> None:
    """A trader that is killed and restarted shows again what the ledger holds, and trades on."""
    data = run.data
    before = status(data)
    assert parallax("kill", "trader", "--signal", "KILL", data=data).returncode == 0

    def back() -> dict[str, Any]:
        state = status(data)
        worker = next(w for w in state["workers"] if w["name"] == "trader")
        return state if worker["state"] == "RUNNING" and worker["restarts"] else {}

    after = wait_for(back)
    assert after["trades"] >= before["trades"]
    held = {event for event, sizes in before["positions"].items() if any(sizes.values())}
    settled = {settlement.event_id for settlement in settlements_of(data)}
    wait_for(lambda: held - set(status(data)["positions"]) <= settled | sold_out(data))


def settlements_of(data: Path) -> list[Any]:
    """Settlements of the ledger."""
    journal = open_readonly(data / "ledger.sqlite")
    try:
        return journal.settlements()
    finally:
        journal.close()


def sold_out(data: Path) -> set[str]:
    """Spot events: bought and sold in one trade, they are open for a moment at most."""
    return {fill.event_id for fill in fills_of(data) if fill.outcome == "base"}


def test_attached_readers_change_nothing(run: Run) -> None:
    """A process that attaches and exits, or is killed, leaves every segment in place."""
    config = running_config(run.data)
    assert config is not None
    directory = Path(config.shm_directory)
    before = {path.name: path.stat().st_ino for path in directory.iterdir()}
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\nfrom shm.segment import attach\nimport os, signal\n"
        f"views = [attach(Path({str(directory)!r}), n) for n in ('feed-kalshi', 'scanner', 'trader')]\n"
        "if sys.argv[1] == 'kill': os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for way, expected in (("exit", 0), ("kill", -signal.SIGKILL)):
        assert subprocess.run([sys.executable, "-c", code, way], check=False).returncode == expected
    assert {path.name: path.stat().st_ino for path in directory.iterdir()} == before


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.stress)])
def test_killing_everything_leaves_nothing(run: Run, times: int) -> None:
    """kill -9 of every process at once, over and over: nothing of it runs on, and the next start comes up."""
    for _ in range(times):
        state = wait_for(run.status)
        pids = [run.process.pid, *(worker["pid"] for worker in state["workers"])]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        run.again()
        assert not set(pids) & {worker["pid"] for worker in wait_for(run.status)["workers"]}


def test_down_leaves_nothing(run: Run) -> None:
    """After `down` no process, segment or socket of ours is left, and `status` says so with exit 4."""
    data, process, config = run.data, run.process, running_config(run.data)
    assert config is not None
    done = parallax("down", data=data)
    assert done.returncode == 0, done.stderr
    assert process.wait(timeout=PATIENCE_SECONDS) == 0
    assert left_behind(data, config) == []
    assert parallax("status", data=data).returncode == 4


def test_agreeing_venues_give_no_trades(tmp_path: Path) -> None:
    """Without divergence there are messages and evaluations, but not one trade."""
    run = Run(tmp_path, "--json", "--set", "lab.divergence=0")
    try:
        wait_for(lambda: run.status() and evaluated(tmp_path) > 2_000)
    finally:
        out = run.end()
    assert run.process.returncode == 0
    state = json.loads(out.splitlines()[-1])
    assert state["trades"] == 0
    assert state["opportunities"] == 0
    assert all(venue["messages"] > 0 for venue in state["venues"].values())


def evaluated(data: Path) -> int:
    """How often the scanner has priced a direction."""
    config = running_config(data)
    assert config is not None
    return read_counters(attach(Path(config.shm_directory), "scanner"))["evaluations"]


def test_wrong_config_starts_nothing(tmp_path: Path) -> None:
    """A wrong config is refused with exit 3, every problem with its line, and nothing is started."""
    path = tmp_path / "bad.toml"
    path.write_text('[risk]\nmax_exposre_usd = "5"\nmin_edge_bp = -1\n')
    data = tmp_path / "data"
    done = parallax("up", "--no-dashboard", "--config", str(path), data=data)
    assert done.returncode == 3
    assert "bad.toml:2" in done.stderr
    assert "did you mean 'max_exposure_usd'" in done.stderr
    assert "bad.toml:3" in done.stderr
    assert not run_directory_of(data).exists()
    assert not data.exists()


def running(data: Path) -> dict[str, Any]:
    """The status once every worker runs."""
    state = status(data)
    workers = state.get("workers", [])
    up = [worker for worker in workers if worker["state"] == "RUNNING" and worker["pid"]]
    return state if len(up) == 9 else {}
