"""The whole program with real processes: start, trade, kill one worker, second start, stop.

One run serves most tests here; they are in the order of its life.
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
from typing import Any

import pytest

from pipeline.books import FeedBooks
from pipeline.cli.common import run_directory_of, running_config
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.fees import order_fee
from pipeline.journal_reader import open_readonly
from pipeline.journal_records import FillRecord, IntentRecord
from pipeline.model import BookState
from pipeline.status import attach_all, gather
from shm.segment import SegmentError, attach
from shm.tables import read_counters

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
# Ten times what any step takes here, so that a slow machine is no failure.
PATIENCE_SECONDS = 60.0
CLOCK = SystemClock()


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


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """One run on simulated venues."""
    data = tmp_path_factory.mktemp("data")
    process = start(data, "--seed", "7")
    yield data, process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_SECONDS)


def test_it_trades_on_all_venues(run: tuple[Path, subprocess.Popen[str]]) -> None:
    """Messages come from all four venues, and it trades several events in both directions, unrestarted."""
    data, process = run

    def traded() -> dict[str, Any]:
        assert process.poll() is None, process.communicate()
        state = status(data)
        return state if state.get("trades", 0) >= 3 else {}

    wait_for(traded)
    state = json.loads(parallax("status", "--json", data=data).stdout)
    assert {name for name, venue in state["venues"].items() if venue["messages"] > 0} == {
        "kalshi",
        "polymarket",
        "kraken",
        "coinbase",
    }
    assert all(worker["restarts"] == 0 for worker in state["workers"]), state["workers"]
    assert all(venue["gaps"] == 0 and venue["connected"] for venue in state["venues"].values())
    wait_for(lambda: len(directions(data)) == 2 and len({t.event_id for t in trades(data)}) >= 2)


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


def test_fills_can_be_recomputed(run: tuple[Path, subprocess.Popen[str]]) -> None:
    """Every fill follows from the book that was journalled with it, its limit and the fee schedule."""
    data, _ = run
    journal = open_readonly(data / "ledger.sqlite")
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


def test_second_start_is_refused(run: tuple[Path, subprocess.Popen[str]]) -> None:
    """A second `up` in the same data directory exits 5 and names the first."""
    data, process = run
    done = parallax("up", "--no-dashboard", "--for", "1", data=data)
    assert done.returncode == 5
    assert str(process.pid) in done.stderr
    assert process.poll() is None


def test_killed_feed_comes_back_and_nothing_else_moves(run: tuple[Path, subprocess.Popen[str]]) -> None:
    """kill -9 of a feed: its books are LIVE again in the next epoch; the others and positions stay. The
    process that waited for this is the new feed.
    """
    data, _ = run
    config = running_config(data)
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
    assert after["feed-kraken"]["restarts"] == before["feed-kraken"]["restarts"] + 1
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


def test_killed_trader_keeps_its_positions(run: tuple[Path, subprocess.Popen[str]]) -> None:
    """A trader that is killed and restarted shows again what the ledger holds, and trades on."""
    data, _ = run
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


def test_attached_readers_change_nothing(run: tuple[Path, subprocess.Popen[str]]) -> None:
    """A process that attaches and exits, or is killed, leaves every segment in place."""
    data, _ = run
    config = running_config(data)
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


def test_down_leaves_nothing(run: tuple[Path, subprocess.Popen[str]]) -> None:
    """After `down` no process, segment or socket of ours is left, and `status` says so with exit 4."""
    data, process = run
    config = running_config(data)
    assert config is not None
    done = parallax("down", data=data)
    assert done.returncode == 0, done.stderr
    assert process.wait(timeout=PATIENCE_SECONDS) == 0
    assert left_behind(data, config) == []
    assert parallax("status", data=data).returncode == 4


def test_agreeing_venues_give_no_trades(tmp_path: Path) -> None:
    """Without divergence there are messages and evaluations, but not one trade."""
    done = parallax(
        "up", "--no-dashboard", "--for", "8", "--json", "--set", "lab.divergence=0", data=tmp_path
    )
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout.splitlines()[-1])
    assert state["trades"] == 0
    assert state["opportunities"] == 0
    assert all(venue["messages"] > 0 for venue in state["venues"].values())


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


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.stress)])
def test_killing_everything_leaves_nothing(tmp_path: Path, times: int) -> None:
    """kill -9 of every process at once, over and over: the next start cleans up, at last nothing is left."""
    for _ in range(times):
        process = start(tmp_path)
        state = wait_for(lambda: running(tmp_path))
        config = running_config(tmp_path)
        assert config is not None
        for pid in [process.pid, *(worker["pid"] for worker in state["workers"])]:
            os.kill(pid, signal.SIGKILL)
        process.communicate()
    process = start(tmp_path)
    wait_for(lambda: running(tmp_path))
    config = running_config(tmp_path)
    assert config is not None
    assert parallax("down", data=tmp_path).returncode == 0
    process.communicate(timeout=PATIENCE_SECONDS)
    assert left_behind(tmp_path, config) == []


def running(data: Path) -> dict[str, Any]:
    """The status once every worker runs."""
    state = status(data)
    workers = state.get("workers", [])
    up = [worker for worker in workers if worker["state"] == "RUNNING" and worker["pid"]]
    return state if len(up) == 9 else {}
