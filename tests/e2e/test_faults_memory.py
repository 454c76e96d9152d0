"""Faults of the ledger's file, with the trader as the supervisor starts it: it says what is wrong and ends.

A full disk is in `test_trader_disk.py`; damage of any byte in `tests/test_journal.py`.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.cli.common import SCRIPT
from pipeline.journal_records import LEDGER_FILE
from pipeline.lifecycle import RUN_DIRECTORY, SUPERVISOR_PID
from tests.support.trader_run import PATIENCE_SECONDS, TraderRun

pytestmark = pytest.mark.e2e
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
"""Run with `unshare -m`: the file is read-only for this command alone."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TraderRun]:
    """A world with the ledger of a trader that traded and ended in order."""
    with TraderRun(tmp_path_factory.mktemp("ledger"), calm=True, paper_latency_ms=8) as run:
        run.start()
        run.counted("trades", 4)
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        run.halt.clear()
        run.offering = True
        yield run


def start(run: TraderRun, *before: str) -> subprocess.CompletedProcess[str]:
    """Start a trader that is to end by itself."""
    environment = {**os.environ, RUN_DIRECTORY: str(run.run_directory), SUPERVISOR_PID: str(os.getpid())}
    command = [*before, sys.executable, str(SCRIPT), "trader"]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def ledger_bytes(run: TraderRun) -> bytes:
    """The ledger as it lies there."""
    return (run.data / LEDGER_FILE).read_bytes()


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE intents SET limit_ticks = limit_ticks + 1 WHERE seq = {seq}", "intents: row {seq}"),
        ("UPDATE fills SET size_units = size_units * 10 WHERE seq = {seq}", "fills: row {seq}"),
        ("DELETE FROM orders WHERE seq = {seq}", "row"),
    ],
)
def test_a_changed_row_is_named_and_nothing_traded(statement: str, row: str, run: TraderRun) -> None:
    """An old row that was changed keeps a trader from trading: it names the row, sends nothing, and leaves
    the file as it is.
    """
    path, placed = run.data / LEDGER_FILE, len(run.placed())
    good = path.with_suffix(".good")
    shutil.copy(path, good)
    try:
        table = statement.split()[1 if statement.startswith("UPDATE") else 2]
        with closing(sqlite3.connect(path)) as db:
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
                db.execute(f"DROP TRIGGER {name}")
            (seq,) = db.execute(f"SELECT min(seq) FROM {table}").fetchone()
            db.execute(statement.format(seq=seq))
            db.commit()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damaged = ledger_bytes(run)
        done = start(run)
        assert done.returncode == 1, done
        assert row.format(seq=seq) in done.stderr
        assert "Nothing is traded on it: keep the file" in done.stderr
        assert "Traceback" not in done.stderr
        assert ledger_bytes(run) == damaged
        assert len(run.placed()) == placed
    finally:
        for rest in ("-wal", "-shm"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        good.replace(path)


def test_a_file_that_is_no_ledger_is_refused(run: TraderRun) -> None:
    """A torn file is refused in a sentence that says what to do, and kept as it is."""
    path = run.data / LEDGER_FILE
    good = path.read_bytes()
    torn = good[:5_000] + os.urandom(3_000) + good[8_000 : len(good) // 2]
    try:
        path.write_bytes(torn)
        done = start(run)
        assert done.returncode == 1, done
        assert "Traceback" not in done.stderr and str(path) in done.stderr
        assert "keep the file" in done.stderr
    finally:
        for rest in ("-wal", "-shm"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        path.write_bytes(good)


def test_a_ledger_that_another_holds_is_refused(run: TraderRun) -> None:
    """While another process holds the file, a trader does not start, and says to stop that one."""
    with closing(sqlite3.connect(run.data / LEDGER_FILE, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        done = start(run)
        db.execute("ROLLBACK")
    assert done.returncode == 1, done
    assert "another process holds it; stop that one" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="needs root for a mount: sudo -E python -m pytest tests/e2e/test_faults_memory.py -k read_only",
)
def test_a_read_only_ledger_is_refused(run: TraderRun) -> None:
    """On a mount that may not be written a trader does not start, and says what to look at."""
    path = run.data / LEDGER_FILE
    done = start(run, "unshare", "-m", "sh", "-c", READ_ONLY, str(path))
    assert done.returncode == 1, done
    assert "it may not be written; check the owner and mode" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("what", ["link", "noise"])
def test_what_lies_in_a_segments_place_is_neither_followed_nor_believed(what: str, run: TraderRun) -> None:
    """C5, C6: a link to another file, or noise under the trader's name in shared memory: readers say that it
    is no segment, the trader takes its name back, and what the link led to is as it was.
    """
    segment, victim = Path(run.config.shm_directory) / "trader", run.data / "victim"
    victim.write_bytes(b"precious" * 1024)
    segment.unlink(missing_ok=True)
    if what == "link":
        segment.symlink_to(victim)
    else:
        segment.write_bytes(random.Random(6).randbytes(50_000))
        segment.chmod(0o600)
    assert run.view("trader") is None
    run.start()
    run.wait_for(run.summary)
    assert segment.is_file() and not segment.is_symlink()
    assert victim.read_bytes() == b"precious" * 1024
    run.settle_down()
    assert run.end(15) == 0, run.errors()
    run.halt.clear()
    run.offering = True


def test_what_was_good_is_traded_on(run: TraderRun) -> None:
    """The control, and the end: the same ledger as it was is taken up, and trading goes on."""
    trades = run.count("trades")
    run.start()
    run.counted("trades", trades + 2)
    run.settle_down()
    assert run.end(15) == 0, run.errors()
    run.agree()
