"""A ledger of schema version 1 becomes one of version 2, whole or not at all, and the old one is kept."""

import os
import resource
import signal
import sqlite3
import stat
import sys
from contextlib import closing
from decimal import Decimal

import pytest

from pipeline import journal_reader
from pipeline.journal import JournalError, open_readonly
from pipeline.journal_migration import MIGRATION_POINTS
from pipeline.journal_records import FillRecord, SettlementRecord
from pipeline.model import MarketResult
from tests.support.ledgers import RUN, TABLES_V1, OldLedger, a_trade, an_old_ledger, in_child, opened


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "ledger.sqlite"


def rows_of(path, table):
    """A table as it lies in the file, without the chain."""
    with closing(sqlite3.connect(path)) as db:
        cursor = db.execute(f"SELECT * FROM {table} ORDER BY seq")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    return [{name: row[name] for name in row if name not in {"prev", "hash"}} for row in rows]


def contents(path):
    return {table: rows_of(path, table) for table in TABLES_V1}


def version(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def backups(path):
    return sorted(path.parent.glob("ledger.sqlite.v1-*.bak"))


def head(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT seq, hash FROM head").fetchone()


def test_every_row_is_carried_over(path):
    """Each row of the old ledger is in the new one with its number, its stamps and its content."""
    an_old_ledger(path).close()
    before = contents(path)
    journal = opened(path)
    assert journal.verify() == []
    journal.close()
    after = contents(path)
    for table, rows in before.items():
        carried = [{name: new[name] for name in old} for old, new in zip(rows, after[table], strict=False)]
        assert carried == rows, table
    assert sum(map(len, after.values())) == sum(map(len, before.values())) + 2


def test_what_version_1_did_not_say_is_what_it_did(path):
    """Old orders took at once, both legs together, closing ones to close; fills were takers' and final."""
    an_old_ledger(path).close()
    journal = opened(path)
    first, closing_trade, _ = journal.trades()
    assert [intent.purpose for intent in first.intents] == ["open", "open"]
    assert [intent.purpose for intent in closing_trade.intents] == ["close", "close"]
    assert {(intent.style, intent.deadline_ns) for intent in first.intents} == {("ioc", 0)}
    assert [intent.leg for intent in first.intents] == [0, 1]
    assert first.plan == {}
    assert {(fill.maker, fill.provisional) for fill in journal.fills()} == {(False, False)}
    assert journal.settlements()[0].value == 1
    journal.close()


@pytest.mark.parametrize(("result", "payoff", "value"), [("NO", "0", "0"), ("VOID", "5", "0.5")])
def test_the_value_of_a_settlement_follows_from_its_result(path, result, payoff, value):
    """A settled NO paid YES nothing, a void market half."""
    old = OldLedger(path)
    old.run()
    old.settle(result, payoff)
    old.close()
    journal = opened(path)
    assert journal.settlements()[0].value == Decimal(value)
    assert journal.settlements()[0].result == MarketResult[result]
    journal.close()


def test_orders_of_the_old_ledger_have_all_ended(path):
    """What nobody answered for ended with the trader whose broker it was: NOT_SENT, or filled in part."""
    an_old_ledger(path).close()
    journal = opened(path)
    assert journal.open_intents() == []
    ends = {order.order_id: order.status for order in journal.orders()}
    assert (ends["r1-10.0-0"], ends["r1-10.0-1"]) == ("NOT_SENT", "CANCELLED")
    assert journal.trade_parts("paper") == []
    kinds = [type(record) for record in journal.history("paper")]
    assert kinds == [FillRecord] * 4 + [SettlementRecord, FillRecord]
    journal.close()


def test_the_new_chain_continues_the_old_one(path):
    """The first row of the new ledger names the last hash of the old one, which the backup still has."""
    an_old_ledger(path).close()
    last = head(path)
    opened(path).close()
    (backup,) = backups(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT prev FROM runs WHERE seq=1").fetchone()[0] == last[1]
        assert db.execute("SELECT genesis FROM head").fetchone()[0] == last[1]
    assert (version(backup), head(backup)) == (1, last)


def test_another_genesis_is_found(path):
    """A ledger that is made to continue another one than it did is not good."""
    an_old_ledger(path).close()
    opened(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE head SET genesis=?", ("0" * 64,))
        db.commit()
    reader = open_readonly(path)
    assert reader.verify() == ["runs: row 1 does not continue the chain"]
    reader.close()


def test_the_backup_is_the_old_file(path):
    """The copy is private, has the moment in its name, and all that the old ledger had."""
    an_old_ledger(path).close()
    before = contents(path)
    opened(path).close()
    (backup,) = backups(path)
    assert stat.S_IMODE(backup.stat().st_mode) == stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(backup.name) == len("ledger.sqlite.v1-20260101T000000Z.bak")
    assert contents(backup) == before


def test_a_migrated_ledger_goes_on(path):
    """Runs are numbered on, trades are booked, and a second start migrates nothing."""
    an_old_ledger(path).close()
    for number in (2, 3):
        journal = opened(path)
        run_id = journal.begin_run(RUN)
        assert run_id == f"r{number}"
        assert journal.open_account({"kalshi": Decimal(500)}) == (number == 2)
        journal.commit_intents(a_trade(run_id))
        assert journal.verify() == []
        assert journal.history("paper")[0].amount == 500
        journal.close()
    assert len(backups(path)) == 1


def test_an_old_ledger_that_was_left_by_a_kill_is_migrated(path):
    """What still lies in the old write-ahead log is carried over, and the log is gone."""

    def left():
        an_old_ledger(path)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(left) == signal.SIGKILL
    assert path.with_name("ledger.sqlite-wal").stat().st_size > 0
    journal = opened(path)
    assert len(journal.fills()) == 5
    assert journal.verify() == []
    journal.close()


def test_an_empty_old_ledger_is_migrated(path):
    """A ledger without a row becomes one without a row."""
    OldLedger(path).close()
    journal = opened(path)
    assert journal.verify() == []
    assert journal.begin_run(RUN) == "r1"
    journal.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fills SET fee='0' WHERE seq=5",
        "UPDATE head SET seq=3",
        "DELETE FROM settlements",
        "UPDATE intents SET limit_ticks=1 WHERE leg=1",
    ],
)
def test_a_damaged_old_ledger_is_not_touched(path, statement):
    """When its chain is broken the file stays as it is, byte for byte, and the error says so."""
    an_old_ledger(path).close()
    with closing(sqlite3.connect(path)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute(statement)
        db.commit()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="It was not touched"):
        opened(path)
    assert path.read_bytes() == before
    assert backups(path) == []


def test_an_old_ledger_is_not_read_in_place(path):
    """A report on an old ledger says what to do, and leaves it as it is."""
    an_old_ledger(path).close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="older schema version 1: start the trader once"):
        open_readonly(path)
    assert path.read_bytes() == before


def test_an_old_ledger_in_use_is_left_alone(path, monkeypatch):
    """While an old trader holds the file it is not migrated, and nothing is lost."""
    monkeypatch.setattr(journal_reader, "BUSY_SECONDS", 0.05)
    old = an_old_ledger(path)
    with pytest.raises(JournalError, match="another process holds it"):
        opened(path)
    old.order("r1-10.0-0", "REJECTED")
    old.close()
    journal = opened(path)
    assert [o.status for o in journal.orders() if o.order_id == "r1-10.0-0"] == ["REJECTED"]
    journal.close()


def killed_at(path, point, count):
    """Open the ledger in a child that kills itself at the n-th passage of a point; its wait status."""
    left = count

    def at(name):
        nonlocal left
        left -= name == point
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child(lambda: opened(path, at=at).close())


@pytest.mark.parametrize(
    ("point", "count"), [*((point, 1) for point in MIGRATION_POINTS), ("migration_row", 9)]
)
def test_a_kill_at_any_step_leaves_a_whole_ledger(path, point, count):
    """After SIGKILL at each step the file is the old one or the new one, whole; the next start goes on."""
    an_old_ledger(path).close()
    before, last = contents(path), head(path)
    assert killed_at(path, point, count) == signal.SIGKILL
    assert version(path) == (2 if point == "migration_replaced" else 1)
    if version(path) == 1:
        assert (contents(path), head(path)) == (before, last)
    journal = opened(path)
    assert journal.verify() == []
    assert len(journal.trades()) == 3
    journal.close()
    assert len(backups(path)) == 1
    assert head(backups(path)[0]) == last
    assert not list(path.parent.glob("*.new"))


def test_a_kill_at_every_call_of_the_system_leaves_a_whole_ledger(path):
    """Killed at the n-th file or database call, for each n, the ledger is one of the two and whole."""
    an_old_ledger(path).close()
    files = {file: file.read_bytes() for file in path.parent.iterdir()}
    watched = ("open", "os.rename", "os.remove", "sqlite3.connect")
    calls, versions = 0, set()
    while True:
        calls += 1
        for file in path.parent.iterdir():
            file.unlink()
        for file, content in files.items():
            file.write_bytes(content)
        left = calls

        def hook(event, _arguments):
            nonlocal left
            left -= event in watched
            if event in watched and not left:
                os.kill(os.getpid(), signal.SIGKILL)

        def work(hook=hook):
            sys.addaudithook(hook)
            opened(path).close()

        status = in_child(work)
        versions.add(version(path))
        journal = opened(path)
        assert journal.verify() == []
        assert len(journal.trades()) == 3
        journal.close()
        if status != signal.SIGKILL:
            break
    assert status == 0
    assert calls > 8
    assert versions == {1, 2}


@pytest.mark.parametrize("limit", [1, 4, 40, 100])
def test_a_full_disk_leaves_the_old_ledger(path, limit):
    """When the copies do not fit, the old ledger is as it was and no half of a copy stays."""
    an_old_ledger(path, trades=40).close()
    before = contents(path)

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit * 1024, limit * 1024))
        with pytest.raises(JournalError):
            opened(path)

    assert path.stat().st_size > 100 * 1024
    assert in_child(work) == 0
    assert contents(path) == before
    assert backups(path) == []
    assert not list(path.parent.glob("*.new"))
    journal = opened(path)
    assert journal.verify() == []
    journal.close()


def test_a_damaged_backup_does_not_stand_in_for_a_new_one(path):
    """A copy left by an earlier attempt counts only while it is whole."""
    an_old_ledger(path).close()
    killed_at(path, "migration_kept", 1)
    (backup,) = backups(path)
    with closing(sqlite3.connect(backup)) as db:
        db.execute("DROP TRIGGER fills_only_grows_UPDATE")
        db.execute("UPDATE fills SET fee='0'")
        db.commit()
    backup.rename(backup.with_name("ledger.sqlite.v1-20200101T000000Z.bak"))
    opened(path).close()
    assert len(backups(path)) == 2
