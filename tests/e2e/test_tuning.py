"""A run that is tuned while it trades: saved files, `set`, `reload`; one real run for all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Self, TypeVar

import pytest

from pipeline.cli.common import SCRIPT, run_directory_of
from pipeline.cli.main import main
from pipeline.config import Config, decode
from pipeline.journal_reader import open_readonly
from pipeline.journal_records import LEDGER_FILE, TradeRecord
from pipeline.lifecycle import CONFIG_FILE
from pipeline.model_events import CLOSE
from shm.records import RUN, RunRow
from shm.segment import SegmentError, attach
from shm.tables import TableReader

pytestmark = pytest.mark.e2e
T = TypeVar("T")
PATIENCE_SECONDS = 60.0
"""Sixty times what any step may take, so that a slow machine is no failure."""
NOTICED_SECONDS = 10.0
"""Ten times the second in which a saved change is to act."""
EASY = {
    "risk.min_edge_bp": 0,
    "risk.min_profit_pct": 0,
    "risk.min_profit_usd": 0,
    "risk.cooldown_ms": 0,
    "risk.max_event_usd": 100_000,
    "risk.max_exposure_usd": 100_000,
    "risk.max_market_usd": 100_000,
    "risk.max_venue_usd": 100_000,
    "risk.daily_loss_usd": 100_000,
    "risk.max_consecutive_losses": 1000,
    "lab.divergence": 5.0,
}
FOLLOWERS = ("scanner", "trader", "paper", "feed-kalshi", "feed-polymarket")
# Two venues are enough for trades.
FEWER = ("venues.kraken.enabled=false", "venues.coinbase.enabled=false", "observer.enabled=false")


class Run:
    """A run on simulated venues whose config.toml the tests change."""

    def __init__(self, folder: Path, project_root: Path) -> None:
        self.data = folder / "data"
        self.path = folder / "config.toml"
        text = (project_root / "config.toml").read_text(encoding="utf-8")
        self.path.write_text(text, encoding="utf-8")
        words = ["set", *(f"{key}={value}" for key, value in EASY.items())]
        assert main([*words, "--config", str(self.path), "--data", str(self.data)]) == 0
        self.seen: dict[int, Config] = {}
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        command = [sys.executable, str(SCRIPT), "up", "--no-dashboard", "--config", str(self.path)]
        command += [word for change in FEWER for word in ("--set", change)]
        self.output = (folder / "out").open("wb")
        self.process = subprocess.Popen(
            [*command, "--data", str(self.data)], stdout=self.output, stderr=self.output, cwd=folder
        )

    def __enter__(self) -> Self:
        """Wait until everything follows the configuration."""
        self._watcher.start()
        try:
            self.wait_for(lambda: self.config().events and self.follow())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._over.set()
        self._watcher.join()
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            self.output.close()

    def _watch(self) -> None:
        """Note every version that is published."""
        path, last = run_directory_of(self.data) / CONFIG_FILE, 0
        while not self._over.wait(0.002):
            try:
                inode = path.stat().st_ino
                config = self.config() if inode != last else None
            except OSError:
                continue
            if config is not None:
                last = inode
                self.seen.setdefault(config.version, config)

    def wait_for(self, look: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
        """The first true answer of `look`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = look()
            except (OSError, SegmentError, AttributeError):
                found = None  # type: ignore[assignment]
            if found:
                return found
            assert self.process.poll() is None, Path(self.output.name).read_text()
            assert time.monotonic() < deadline, (self.row(), self.versions())
            time.sleep(0.01)

    def config(self) -> Config:
        """What is published now."""
        return decode((run_directory_of(self.data) / CONFIG_FILE).read_bytes())

    def row(self) -> RunRow:
        """What the supervisor says of its configuration."""
        view = attach(Path(self.config().shm_directory), "supervisor")
        row = TableReader(view, "run", RUN).get(0)
        assert row is not None
        return row

    def versions(self) -> dict[str, int]:
        """The version on which each worker acts."""
        directory = Path(self.config().shm_directory)
        return {name: attach(directory, name).header.config_version for name in FOLLOWERS}

    def follow(self) -> bool:
        """Whether all workers act on what is published."""
        return set(self.versions().values()) == {self.config().version}

    def save(self, old: str, new: str) -> None:
        """Save config.toml in place, with something replaced."""
        text = self.path.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        self.path.write_text(text.replace(old, new), encoding="utf-8")

    def trades(self) -> list[TradeRecord]:
        """What the ledger has."""
        ledger = open_readonly(self.data / LEDGER_FILE)
        try:
            return ledger.trades()
        finally:
            ledger.close()

    def command(self, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
        """Give a command; its exit code and its lines."""
        capsys.readouterr()
        code = main([*words, "--data", str(self.data)])
        out, err = capsys.readouterr()
        return code, [*out.splitlines(), *err.splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Iterator[Run]:
    """One run, tuned by all tests; each sees to it that the file holds when it leaves."""
    folder = tmp_path_factory.mktemp("t")
    with tempfile.TemporaryDirectory() as runtime, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", runtime)
        patch.setenv("PARALLAX_NO_VENV", "1")
        assert os.environ["XDG_RUNTIME_DIR"] == runtime
        with Run(folder, project_root) as started:
            yield started


def test_a_saved_change_acts(run: Run) -> None:
    """What is saved is noticed and acted on by every worker, comments and all else as they were."""
    before = run.config()
    run.save('hurdle_pct = "4"', 'hurdle_pct = "5"')
    run.wait_for(lambda: run.config().scanner.hurdle_pct == "5", NOTICED_SECONDS)
    run.wait_for(run.follow, NOTICED_SECONDS)
    after = run.config()
    assert after.version > before.version and after.hash != before.hash
    assert (after.account, after.started_wall_ns) == (before.account, before.started_wall_ns)
    assert run.row().config_hash == run.config().hash


def test_a_bad_save_changes_nothing_and_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """One bad key refuses the file; the run goes on with what it had, says why, and takes the mended file."""
    risk = run.config().risk
    good = run.path.read_text(encoding="utf-8")
    run.save("max_open_orders = 20", "max_open_orders = 19\nmin_edge = 3")
    problem = run.wait_for(lambda: run.row().config_problem, NOTICED_SECONDS)
    assert "risk.min_edge: unknown key 'min_edge' - did you mean 'min_edge_bp'?" in problem
    assert run.config().risk == risk
    code, lines = run.command(capsys, "show-config", "--config", str(SCRIPT.with_name("config.toml")))
    assert code == 0 and any("refused, what was before goes on" in line for line in lines)
    code, lines = run.command(capsys, "reload")
    assert code == 3 and "min_edge" in lines[0]
    code, lines = run.command(capsys, "set", "risk.cooldown_ms=1")
    assert code == 3 and "min_edge" in lines[0]
    run.path.write_text(good, encoding="utf-8")
    run.wait_for(lambda: not run.row().config_problem, NOTICED_SECONDS)
    assert run.config().risk == risk


def test_set_acts_and_keeps_comments(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`set` writes the key, says when it acts, and the file is else what it was; twice is no change."""
    text = run.path.read_text(encoding="utf-8")
    assert run.command(capsys, "set", "risk.max_leg_skew_ms=900", "trader.paper_latency_ms=11") == (
        0,
        ["risk.max_leg_skew_ms 1000 -> 900: now", "trader.paper_latency_ms 10 -> 11: now"],
    )
    assert run.config().risk.max_leg_skew_ms == 900
    changed = text.replace("max_leg_skew_ms = 1000 ", "max_leg_skew_ms = 900  ")
    assert run.path.read_text(encoding="utf-8") == changed.replace(
        "paper_latency_ms = 10         # the", "paper_latency_ms = 11         # the"
    )
    version = run.config().version
    assert run.command(capsys, "set", "risk.max_leg_skew_ms=900") == (0, ["nothing changed"])
    assert run.command(capsys, "reload") == (0, ["nothing changed"])
    code, lines = run.command(capsys, "set", "risk.max_leg_skew_ms=-1", "kelly.mod=x", "--json")
    told = json.loads(lines[0])
    assert code == 3 and not told["ok"] and len(told["lines"]) == 2
    assert run.config().version == version
    run.wait_for(run.follow, NOTICED_SECONDS)


def test_what_waits_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that needs a restart of all is told to wait, is not in force, and can be taken back."""
    code, lines = run.command(capsys, "set", "shm.depth=10")
    assert (code, lines) == (0, ["shm.depth 25 -> 10: when everything restarts (run.py down, run.py up)"])
    assert run.config().shm.depth == 25
    run.wait_for(lambda: "shm.depth" in run.row().config_waits, NOTICED_SECONDS)
    code, lines = run.command(capsys, "show-config")
    assert any(line.startswith("# waits: shm.depth") for line in lines)
    assert any(line.startswith("shm.depth = 10") and "in force: 25" in line for line in lines)
    assert run.command(capsys, "set", "shm.depth=25") == (0, ["shm.depth 10 -> 25: now"])
    assert not run.row().config_waits
    run.command(capsys, "log-level", "trader", "debug")
    code, lines = run.command(capsys, "show-config")
    levels = {line.split("#")[0].strip(): line for line in lines if "logs.levels" in line}
    assert "in force" not in levels["logs.levels = {}"]
    assert "logs.levels.trader is not set" in levels[""] and 'in force: "debug"' in levels[""]
    run.command(capsys, "log-level", "trader", "default")


def test_no_trade_mixes_two_configurations(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """C11: while keys are set without a pause each trade carries the version and hash of one published
    configuration, and keeps to the limit of that one for what it opens, all its orders together.
    """
    sums = ("2", "9")
    started = run.config().version

    def tuned() -> list[TradeRecord]:
        code, _ = run.command(capsys, "set", f"risk.max_order_usd={sums[run.config().version % 2]}")
        assert code == 0
        return [trade for trade in run.trades() if trade.config_version > started]

    run.wait_for(lambda: len({trade.config_version for trade in tuned()}) >= 3)
    hashes: dict[int, set[str]] = {}
    limits = set()
    for trade in run.trades():
        hashes.setdefault(trade.config_version, set()).add(trade.config_hash)
        config = run.seen.get(trade.config_version)
        if config is None or trade.config_version <= started:
            continue
        assert trade.config_hash == config.hash
        if trade.kind == CLOSE:
            continue  # it frees cash, so max_order_usd is not for it
        cash = Decimal(str(trade.edge["cash"]))
        assert cash <= Decimal(config.risk.max_order_usd), (trade.trade_id, cash, config.risk.max_order_usd)
        limits.add(config.risk.max_order_usd)
    assert all(len(found) == 1 for found in hashes.values()), "a version names one content"
    assert limits
