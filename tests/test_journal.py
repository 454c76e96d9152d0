"""The journal: exact, chained, all or nothing, one writer."""

import random
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.journal import JournalError, open_readonly
from pipeline.journal_records import (
    CashRecord,
    ConfirmationRecord,
    FillRecord,
    OrderRecord,
    SettlementRecord,
    SwitchRecord,
    canonical,
)
from pipeline.model import MarketResult
from tests.support.ledgers import RUN, a_fill, a_trade, filled, opened


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "ledger.sqlite"


@pytest.fixture
def journal(path):
    made = opened(path)
    yield made
    made.close()


def test_what_is_written_comes_back_exactly(journal, path):
    """Trades, orders, fills and settlements read back are the values that were written."""
    run_id = journal.begin_run(RUN)
    trade = a_trade(run_id)
    journal.commit_intents(trade)
    fill = a_fill(trade, fee=Decimal("0.1234567890123456789"), maker=True, provisional=True)
    confirmed = ConfirmationRecord("kalshi", fill.fill_id, "CONFIRMED", 300)
    booked = journal.record_order(filled(trade), [fill], [confirmed])
    paid = SettlementRecord(
        "event", "kalshi", "K-1", "yes", MarketResult.SCALAR, 1000, 2, Decimal("2.50"), Decimal("0.25")
    )
    journal.record_settlement(paid)
    moved = journal.record_cash(CashRecord("kalshi", "", Decimal("-12.50"), "withdrawn"))
    turned = journal.record_switch(SwitchRecord("HALT", "three losses", "consecutive_losses"))
    journal.close()
    reader = open_readonly(path)
    back = reader.trades()[0]
    assert (back.trade_id, back.decided_ns) == (trade.trade_id, 123)
    assert back.intents == trade.intents
    assert back.edge == {"net": "0.351", "edge_bp": 364}
    assert back.plan == {"mode": "taker", "payoff": "1", "first": -1}
    assert reader.fills() == [*booked.fills] == [replace(fill, wall_ns=booked.fills[0].wall_ns)]
    assert reader.confirmations() == [*booked.confirmations]
    assert replace(booked.confirmations[0], wall_ns=0) == confirmed
    assert reader.orders() == [filled(trade)]
    assert replace(reader.settlements()[0], wall_ns=0) == paid
    assert (
        reader.cash() == [moved] == [CashRecord("kalshi", "", Decimal("-12.5"), "withdrawn", moved.wall_ns)]
    )
    assert reader.switches("paper") == [turned]
    kinds = [FillRecord, ConfirmationRecord, SettlementRecord, CashRecord]
    assert [type(record) for record in reader.history("paper")] == kinds
    assert reader.verify() == []
    reader.close()


def test_no_float_is_ever_stored(journal, path):
    """Every column of every table is an integer or text, and a float in evidence is refused."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    journal.record_order(filled(trade), [a_fill(trade)])
    with pytest.raises(TypeError, match="float"):
        journal.record_order(replace(filled(trade, 1), evidence={"price": 0.5}))
    with pytest.raises(TypeError, match="float"):
        journal.record_fills([a_fill(trade, 1, size_units=0.5)])
    with pytest.raises(ValueError, match="NaN is no amount"):
        journal.record_fills([a_fill(trade, 1, fee=Decimal("NaN"))])
    db = sqlite3.connect(path)
    for table in journal.tables:
        for row in db.execute(f"SELECT * FROM {table}"):
            assert {type(value) for value in row} <= {int, str}
    db.close()
    assert journal.verify() == []


def test_both_intents_or_none(journal):
    """When the second leg cannot be booked, the first is not booked either."""
    trade = a_trade(journal.begin_run(RUN))
    broken = replace(trade, intents=(trade.intents[0], trade.intents[0]))
    with pytest.raises(JournalError, match="nothing was written"):
        journal.commit_intents(broken)
    assert journal.trades() == []
    journal.commit_intents(trade)
    assert journal.verify() == []


def test_an_order_id_is_used_once(journal):
    """The same intents cannot be committed twice, so nothing can be sent twice."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    with pytest.raises(JournalError):
        journal.commit_intents(trade)
    assert len(journal.trades()) == 1
    assert journal.ok


def test_no_fill_without_an_intent(journal):
    """An order event or a fill of an order that was never intended is refused."""
    trade = a_trade(journal.begin_run(RUN))
    with pytest.raises(JournalError):
        journal.record_order(filled(trade))
    with pytest.raises(JournalError):
        journal.record_fills([a_fill(trade)])
    assert journal.fills() == journal.orders() == []


def test_replayed_fills_are_no_ops(journal):
    """A fill seen again is not booked again; seen again with another price it is an error."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    fill = a_fill(trade)
    assert len(journal.record_fills([fill])) == 1
    assert journal.record_fills([fill, replace(fill, at_ns=999)]) == []
    assert len(journal.fills()) == 1
    with pytest.raises(JournalError, match="price_ticks"):
        journal.record_fills([replace(fill, price_ticks=1)])
    assert journal.verify() == []


def test_a_report_of_two_legs_is_booked_whole(journal):
    """When the second leg's report is refused, the first leg's fills are not booked either."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    stranger = OrderRecord("nobody-0", "FILLED", 1)
    with pytest.raises(JournalError):
        journal.record_orders([(filled(trade), [a_fill(trade)], []), (stranger, [], [])])
    assert journal.fills() == journal.orders() == []


def test_an_order_ends_once(journal):
    """A second final status of one order is refused."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    journal.record_order(filled(trade), [a_fill(trade)])
    with pytest.raises(JournalError):
        journal.record_order(replace(filled(trade), status="CANCELLED"))


def test_settlements_are_booked_once(journal):
    """A settlement seen again is None; with another payoff it is an error."""
    journal.begin_run(RUN)
    paid = SettlementRecord("e", "kalshi", "K", "yes", MarketResult.YES, 100, 2, Decimal(1))
    assert journal.record_settlement(paid) is not None
    assert journal.record_settlement(paid) is None
    with pytest.raises(JournalError, match="payoff"):
        journal.record_settlement(replace(paid, payoff=Decimal(2)))
    assert len(journal.settlements()) == 1


def test_accounts_are_kept_apart(journal):
    """Each account has its own history, and the same event may settle once in each."""
    paid = SettlementRecord("e", "kalshi", "K", "yes", MarketResult.YES, 100, 2, Decimal(1))
    for number, account in enumerate(["sim-1", "sim-2", "sim-1"]):
        trade = a_trade(journal.begin_run(replace(RUN, account=account)), number)
        journal.commit_intents(trade)
        journal.record_order(filled(trade), [a_fill(trade)])
        assert (journal.record_settlement(paid) is None) == (number == 2)
    kinds = [type(record).__name__[:4] for record in journal.history("sim-1")]
    assert kinds == ["Fill", "Sett", "Fill"]
    assert len(journal.history("sim-2")) == 2
    assert journal.history("paper") == []
    assert journal.verify() == []


def test_open_intents_are_resolved_once(path):
    """After a restart an order without an end is open, and is closed as NOT_SENT or CANCELLED."""
    journal = opened(path)
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    part = a_fill(trade, 1, size_units=1)
    journal.record_order(OrderRecord(trade.intents[1].order_id, "PARTIAL", 1), [part])
    journal.close()
    journal = opened(path)
    first, second = journal.open_intents()
    assert journal.resolve_open(first, "restart") == "NOT_SENT"
    assert journal.resolve_open(second, "restart") == "CANCELLED"
    assert journal.open_intents() == []
    with pytest.raises(JournalError, match="not open"):
        journal.resolve_open(first, "again")
    assert journal.verify() == []
    journal.close()


def test_runs_are_numbered_over_restarts(path):
    """Each start of the trader has an id of its own, so order ids never repeat."""
    ids = []
    for _ in range(3):
        journal = opened(path)
        ids.append(journal.begin_run(RUN))
        journal.close()
    assert ids == ["r1", "r2", "r3"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE fills SET fee='0'", "fills: row 5 was changed"),
        ("UPDATE fills SET price_ticks=price_ticks+1", "was changed"),
        ("UPDATE intents SET decided_ns=1 WHERE leg=1", "intents: row 3 was changed"),
        ("UPDATE intents SET book=x'00' WHERE leg=1", "was changed"),
        ("UPDATE orders SET wall_ns=0", "orders: row 4 was changed"),
        ("DELETE FROM fills", "4, but 5 were written"),
        ("DELETE FROM orders", "row 5 follows row 3"),
        ("UPDATE runs SET hash=prev", "does not continue the chain"),
        ("DELETE FROM head", "head is missing"),
    ],
)
def test_verify_finds_what_sqlite_does_not(path, statement, said):
    """A value changed or a row removed behind the journal's back is found, whichever it is."""
    journal = opened(path)
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    journal.record_order(filled(trade), [a_fill(trade)])
    assert journal.verify() == []
    journal.close()
    db = sqlite3.connect(path)
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute(statement)
    db.commit()
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    reader = open_readonly(path)
    assert any(said in problem for problem in reader.verify()), reader.verify()
    reader.close()


def test_rows_cannot_be_changed_by_mistake(journal, path):
    """SQL that updates or deletes a row is refused by the file itself."""
    journal.begin_run(RUN)
    db = sqlite3.connect(path)
    for statement in ("UPDATE runs SET pid=1", "DELETE FROM runs"):
        with pytest.raises(sqlite3.IntegrityError, match="only grows"):
            db.execute(statement)
    db.close()


def test_random_damage_never_passes_for_good(path):
    """Bytes flipped anywhere give an error, a found problem, or exactly what was written."""
    journal = opened(path)
    run_id = journal.begin_run(RUN)
    for number in range(20):
        trade = a_trade(run_id, number)
        journal.commit_intents(trade)
        journal.record_order(filled(trade), [a_fill(trade)])
    fills, trades = journal.fills(), journal.trades()
    journal.close()
    good = path.read_bytes()
    rng = random.Random(5)
    for _ in range(60):
        bad = bytearray(good)
        for _ in range(3):
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        try:
            reader = open_readonly(path)
        except JournalError:
            continue
        assert reader.verify() or (reader.fills(), reader.trades()) == (fills, trades)
        reader.close()


def test_a_second_writer_is_fenced(path, journal):
    """When another process has written, the first can write no more and is told why."""
    journal.begin_run(RUN)
    other = opened(path)
    run_id = other.begin_run(RUN)
    with pytest.raises(JournalError, match="another process writes"):
        journal.commit_intents(a_trade(run_id))
    assert not journal.ok
    assert not journal.probe()
    other.commit_intents(a_trade(run_id))
    assert other.verify() == []
    other.close()


def test_reports_read_while_the_trader_writes(path, journal):
    """A reader sees each commit at once, and its chain is whole at any time."""
    reader = open_readonly(path)
    run_id = journal.begin_run(RUN)
    for number in range(3):
        journal.commit_intents(a_trade(run_id, number))
        assert len(reader.trades()) == number + 1
        assert reader.verify() == []
    reader.close()


def test_a_locked_journal_says_so(path, journal, monkeypatch):
    """A commit that meets another process's lock fails with a sentence, and works when it is gone."""
    run_id = journal.begin_run(RUN)
    journal._db.execute("PRAGMA busy_timeout=10")
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="another process holds it"):
        journal.commit_intents(a_trade(run_id))
    assert not journal.ok
    assert not journal.probe()
    db.execute("ROLLBACK")
    db.close()
    assert journal.probe()
    assert journal.ok
    journal.commit_intents(a_trade(run_id))


def test_a_full_disk_leaves_nothing_half_done(journal):
    """When the file cannot grow the commit fails, nothing of it stays, and it works again with
    room.
    """
    run_id = journal.begin_run(RUN)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    done = 0
    with pytest.raises(JournalError, match="free some space"):
        for number in range(1000):
            journal.commit_intents(a_trade(run_id, number))
            done += 1
    assert not journal.ok
    assert len(journal.trades()) == done
    assert journal.verify() == []
    journal._db.execute(f"PRAGMA max_page_count={pages + 100}")
    journal.commit_intents(a_trade(run_id, done))
    assert journal.ok
    assert len(journal.trades()) == done + 1


def test_the_file_is_private(path, journal):
    """The ledger and its side files are the owner's alone, whatever the umask."""
    journal.begin_run(RUN)
    files = list(path.parent.iterdir())
    assert len(files) == 3
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_is_durable_and_wal(journal):
    """Commits wait for the disk: WAL with synchronous FULL, foreign keys on."""
    asked = [journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in
             ("journal_mode", "synchronous", "foreign_keys")]  # fmt: skip
    assert asked == ["wal", 2, 1]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b"not a database at all" * 100), "damaged or not ours"),
        (lambda path: sql(path, "CREATE TABLE a (b)"), "another program"),
        (lambda path: path.mkdir(), "disk I/O error|unable to open"),
    ],
)
def test_a_strange_file_is_refused(tmp_path, spoil, said):
    """What is no journal is left as it is, and the error says what it is."""
    path = tmp_path / "ledger.sqlite"
    spoil(path)
    for opener in (opened, open_readonly):
        with pytest.raises(JournalError, match=said):
            opener(path)


def sql(path, statement):
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


def test_a_newer_schema_is_refused(path):
    """A journal of a newer program is neither read nor written."""
    opened(path).close()
    sql(path, "PRAGMA user_version=3")
    for opener in (opened, open_readonly):
        with pytest.raises(JournalError, match="schema version 3, this program knows 2"):
            opener(path)


def test_a_changed_end_is_found_at_once(path):
    """Opening looks at the last row: one that was cut off stops the trader without a full check."""
    journal = opened(path)
    journal.begin_run(RUN)
    journal.begin_run(RUN)
    journal.close()
    sql(path, "DROP TRIGGER runs_only_grows_DELETE")
    sql(path, "DELETE FROM runs WHERE seq=2")
    with pytest.raises(JournalError, match="its end was changed"):
        opened(path)


def test_a_missing_file_cannot_be_read(path):
    """Reading does not create a journal."""
    with pytest.raises(JournalError, match="directory exists"):
        open_readonly(path)
    assert not path.exists()


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}]
import tests.support.ledgers as t
journal = t.opened(Path({path!r}))
run_id = journal.begin_run(t.RUN)
for number in range(100_000):
    trade = t.a_trade(run_id, number)
    journal.commit_intents(trade)
    print(number, flush=True)
    journal.record_orders([(t.filled(trade, leg), [t.a_fill(trade, leg)], []) for leg in (0, 1)])
"""


def test_a_killed_writer_loses_nothing_it_committed(path, request):
    """After SIGKILL every commit that returned is there, whole, and both legs' fills came together."""
    script = KILLED.format(root=str(request.config.rootpath), path=str(path))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    said = [child.stdout.readline() for _ in range(25)]
    child.kill()
    said += child.communicate()[0].splitlines()
    last = max(int(line) for line in said if line.strip())
    journal = opened(path)
    assert journal.verify() == []
    assert last + 1 <= len(journal.trades()) <= last + 2
    assert len(journal.fills()) % 2 == 0
    assert len(journal.open_intents()) in {0, 2}
    journal.close()


def test_canonical_text_is_one_text():
    """The order of keys and the spelling of a decimal do not change what is hashed."""
    assert canonical({"b": Decimal("1.50"), "a": (1, True)}) == canonical({"a": [1, True], "b": "1.5"})
