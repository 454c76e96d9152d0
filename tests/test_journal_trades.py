"""The journal of a whole trade: further orders, late and provisional fills, cash, restarts, bad disks."""

import os
import resource
import shutil
import signal
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

import pipeline.journal as journal_module
from pipeline.clock import ManualClock
from pipeline.journal import JournalError, open_readonly
from pipeline.journal_records import CashRecord, ConfirmationRecord, OrderRecord, SwitchRecord
from tests.support.ledgers import RUN, a_fill, a_trade, filled, in_child, more_of, opened


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "ledger.sqlite"


@pytest.fixture
def journal(path):
    made = opened(path)
    yield made
    made.close()


def a_filled_trade(journal, run_id, number=1, **changes):
    """A trade of which both legs are filled."""
    trade = a_trade(run_id, number)
    journal.commit_intents(trade)
    journal.record_orders([(filled(trade, leg), [a_fill(trade, leg, **changes)], []) for leg in (0, 1)])
    return trade


def confirmed(fill, status="CONFIRMED"):
    return ConfirmationRecord(fill.venue, fill.fill_id, status, 300)


def test_a_trade_grows_by_further_orders(journal):
    """Hedges and unwinds join their trade in the order of their numbers; its reasons are the first's."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(replace(trade, intents=trade.intents[:1]))
    hedge, unwind = more_of(trade, 2, "hedge", 1), more_of(trade, 11, "unwind", 0, style="maker")
    journal.commit_intents(a_trade("r1", 7))
    journal.commit_intents(unwind)
    journal.commit_intents(hedge)
    whole = journal.trades()[0]
    assert [intent.order_id for intent in whole.intents] == [f"{trade.trade_id}-{n}" for n in (0, 2, 11)]
    assert whole.intents[2] == unwind.intents[0]
    assert whole.edge == {"net": "0.351", "edge_bp": 364}
    assert whole.plan["mode"] == "taker"
    assert [commit.edge.get("why") for commit in journal.commits()] == [None, None, "unwind", "hedge"]
    assert [len(commit.intents) for commit in journal.commits()] == [1, 2, 1, 1]
    assert journal.verify() == []


def test_a_number_is_used_once_in_a_trade(journal):
    """The number of an order is that of its id, and no other order of the trade has it."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    for order_id, error in (("1", JournalError), ("01", JournalError), ("x", ValueError), ("-1", ValueError)):
        with pytest.raises(error):
            journal.commit_intents(
                replace(trade, intents=(replace(trade.intents[0], order_id=f"{trade.trade_id}-{order_id}"),))
            )
    with pytest.raises(ValueError, match="none of trade"):
        journal.commit_intents(more_of(replace(trade, trade_id="r1-9.2"), 3, "hedge", 0,
                                       order_id="r1-9.1-3"))  # fmt: skip
    assert len(journal.trades()[0].intents) == 2


def test_a_confirmation_is_booked_once(journal):
    """What became of a provisional fill is booked with its report, replays are no-ops, another outcome is an
    error, and so is a confirmation of a fill that nobody knows.
    """
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    fill = a_fill(trade, provisional=True)
    booked = journal.record_order(filled(trade), [fill], [confirmed(fill)])
    assert (len(booked.fills), len(booked.confirmations)) == (1, 1)
    again = journal.record_order(filled(trade), [fill], [replace(confirmed(fill), at_ns=999)])
    assert (again.fills, again.confirmations) == ((), ())
    with pytest.raises(JournalError, match="booked with another status"):
        journal.record_order(filled(trade), [], [confirmed(fill, "FAILED")])
    with pytest.raises(JournalError, match="nothing was written"):
        journal.record_order(filled(trade), [], [confirmed(a_fill(trade, 1))])
    with pytest.raises(JournalError, match="nothing was written"):
        journal.record_order(
            filled(trade), [], [ConfirmationRecord("kalshi", fill.fill_id + "x", "MAYBE", 1)]
        )
    assert len(journal.confirmations()) == 1
    assert journal.verify() == []


def test_reports_that_come_again_add_nothing(journal):
    """The same report, an earlier one after a later one, a fill twice in one report: no row is added."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    part, rest = a_fill(trade, 0, 0, size_units=400), a_fill(trade, 0, 1, size_units=600)
    accepted = OrderRecord(trade.intents[0].order_id, "ACCEPTED", 1)
    partial = OrderRecord(trade.intents[0].order_id, "PARTIAL", 2)
    journal.record_order(accepted)
    assert len(journal.record_order(partial, [part, part]).fills) == 1
    journal.record_order(filled(trade), [part, rest])
    rows = journal._seq
    for report in ((filled(trade), [part, rest]), (partial, [part]), (accepted, []), (filled(trade), [])):
        assert journal.record_order(*report).fills == ()
    assert journal._seq == rows
    assert [order.status for order in journal.orders()] == ["ACCEPTED", "PARTIAL", "FILLED"]


@pytest.mark.parametrize("end", ["NOT_SENT", "CANCELLED", "REJECTED"])
def test_a_late_fill_is_never_lost(journal, end):
    """A fill of an order that has ended is booked with what was reported, and its end stays the first one."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    journal.record_order(replace(filled(trade), status=end))
    for _ in range(2):
        journal.record_order(filled(trade), [a_fill(trade)])
    late = journal.orders()[1]
    assert (late.status, late.why) == ("PARTIAL", f"FILLED was reported after {end}")
    assert len(journal.fills()) == 1
    assert len(journal.orders()) == 2
    assert trade.intents[0].order_id not in journal.open_intents()


def test_an_order_that_was_given_up_may_turn_out_refused(journal):
    """When the venue refuses an order that was taken for not sent, this is written down and is no error."""
    trade = a_trade(journal.begin_run(RUN))
    journal.commit_intents(trade)
    order_id = trade.intents[0].order_id
    assert journal.resolve_open(order_id, "never heard of") == "NOT_SENT"
    for _ in range(2):
        journal.record_order(OrderRecord(order_id, "REJECTED", 5, "too late"))
    assert [order.status for order in journal.orders()] == ["NOT_SENT", "ACCEPTED"]
    assert journal.orders()[1].why == "REJECTED was reported after NOT_SENT: too late"


def test_an_account_begins_once(path):
    """The starting amounts are booked at the first run of an account; what the config says later changes
    nothing.
    """
    for run, cash in enumerate(["500", "900"]):
        journal = opened(path)
        journal.begin_run(RUN)
        assert journal.opening("paper") == bool(run)
        coins = {("kraken", "BTC/USD"): Decimal("0.05")}
        assert journal.open_account({"kalshi": Decimal(cash), "polymarket": Decimal(0)}, coins) == (not run)
        journal.record_cash(CashRecord("kalshi", "", Decimal(-5), "withdrawn"))
        journal.record_cash(CashRecord("kalshi", "", Decimal(-5), "withdrawn"))
        amounts = [(cash.venue, cash.market, cash.amount) for cash in journal.cash("paper")]
        assert amounts[:3] == [
            ("kalshi", "", 500), ("polymarket", "", 0), ("kraken", "BTC/USD", Decimal("0.05"))
        ]  # fmt: skip
        assert len(amounts) == 5 + 2 * run
        assert not journal.opening("sim-1")
        journal.close()


def test_an_account_without_anything_has_not_begun(journal):
    """No amounts are no beginning: they may come later."""
    journal.begin_run(RUN)
    assert not journal.open_account({})
    assert journal.open_account({"kalshi": Decimal(1)})


def test_accounts_have_their_own_cash_and_switches(journal):
    """What is booked in a run belongs to its account, and is given back for it alone."""
    for account in ("a", "b"):
        journal.begin_run(replace(RUN, account=account))
        journal.open_account({"kalshi": Decimal(len(journal.cash()) + 1)})
        journal.record_switch(SwitchRecord("HALT", f"by {account}", "person"))
        a_filled_trade(journal, f"r{len(journal.accounts())}")
    assert journal.accounts() == ["a", "b"]
    assert [cash.amount for cash in journal.cash("b")] == [2]
    assert [turn.cause for turn in journal.switches("a")] == ["by a"]
    assert len(journal.switches()) == 2
    assert [trade.run_id for trade in journal.trades("b")] == ["r2"]
    assert len(journal.fills("a")) == len(journal.orders("b")) == 2


def test_what_may_not_have_ended_is_given_back_whole(path):
    """After a restart: trades with an open order, an unconfirmed fill or unequal legs, with all their parts;
    trades that have ended, and those of other accounts, are left out.
    """
    journal = opened(path)
    run_id = journal.begin_run(RUN)
    a_filled_trade(journal, run_id, 1)
    waiting = a_filled_trade(journal, run_id, 2, provisional=True)
    sure = a_filled_trade(journal, run_id, 3, provisional=True)
    failed = a_filled_trade(journal, run_id, 4, provisional=True)
    verdicts = [(sure, "CONFIRMED"), (failed, "FAILED")]
    for trade, status in verdicts:
        for leg in (0, 1):
            outcome = status if leg else "CONFIRMED"
            journal.record_order(filled(trade, leg), [], [confirmed(a_fill(trade, leg), outcome)])
    alone = a_trade(run_id, 5)
    journal.commit_intents(alone)
    journal.record_order(filled(alone), [a_fill(alone)])
    journal.resolve_open(alone.intents[1].order_id, "not sent")
    taken_back = a_trade(run_id, 6)
    journal.commit_intents(replace(taken_back, intents=taken_back.intents[:1]))
    journal.record_order(filled(taken_back), [a_fill(taken_back)])
    unwind = more_of(taken_back, 1, "unwind", 0)
    journal.commit_intents(unwind)
    back = a_fill(replace(taken_back, intents=unwind.intents), action="sell")
    journal.record_order(replace(filled(taken_back), order_id=unwind.intents[0].order_id), [back])
    fresh = a_trade(run_id, 7)
    journal.commit_intents(fresh)
    journal.begin_run(replace(RUN, account="other"))
    journal.commit_intents(a_trade("r2", 1))
    journal.close()
    reader = open_readonly(path)
    parts = reader.trade_parts("paper")
    assert [part.trade.trade_id for part in parts] == [t.trade_id for t in (waiting, failed, alone, fresh)]
    assert parts[0].trade.intents == waiting.intents
    assert [len(part.fills) for part in parts] == [2, 2, 1, 0]
    assert [len(part.orders) for part in parts] == [2, 2, 2, 0]
    assert [c.status for c in parts[1].confirmations] == ["CONFIRMED", "FAILED"]
    assert [part.trade.trade_id for part in reader.trade_parts("other")] == ["r2-9.1"]
    with pytest.raises(JournalError, match="no trade r9-1"):
        reader.parts_of("r9-1")
    reader.close()


def test_recent_trades_are_known_after_a_restart(path):
    """Each trade counts once, at its first order, from the moment asked for."""
    clock = ManualClock()
    journal = opened(path, clock)
    run_id = journal.begin_run(RUN)
    moments = []
    for number in range(3):
        clock.advance(3600 * 10**9)
        moments.append(clock.wall_ns())
        journal.commit_intents(a_trade(run_id, number))
    clock.advance(3600 * 10**9)
    journal.commit_intents(more_of(a_trade(run_id, 0), 2, "hedge", 1))
    recent = journal.recent_intents("paper", moments[1])
    assert recent == [(moments[n], "event", 0, f"r1-9.{n}") for n in (1, 2)]
    assert journal.recent_intents("other", 0) == []
    journal.close()


def test_a_kill_around_a_commit_leaves_all_or_nothing(path):
    """Killed just before COMMIT nothing of the transaction is there, just after it everything is."""
    journal = opened(path)
    run_id = journal.begin_run(RUN)
    journal.close()
    for point, number in (("before_commit", 1), ("after_commit", 2)):

        def at(name, point=point):
            if name == point:
                os.kill(os.getpid(), signal.SIGKILL)

        def work(at=at, number=number):
            opened(path, at=at).commit_intents(a_trade(run_id, number))

        assert in_child(work) == signal.SIGKILL
        journal = opened(path)
        assert journal.verify() == []
        assert [trade.sequence for trade in journal.trades()] == [2] * (number - 1)
        journal.close()


def test_a_file_that_cannot_grow_leaves_nothing_half_done(path):
    """When the disk takes no more, the commit fails, `ok` is False, and what was there is whole."""

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = opened(path)
        run_id = journal.begin_run(RUN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        done = 0
        with pytest.raises(JournalError):
            for number in range(1000):
                journal.commit_intents(a_trade(run_id, number))
                done += 1
        assert done > 3
        assert not journal.ok
        assert len(journal.trades()) == done
        assert journal.verify() == []
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert journal.probe()
        journal.commit_intents(a_trade(run_id, done))
        journal.close()

    assert in_child(work) == 0
    journal = opened(path)
    assert journal.verify() == []
    assert len(journal.trades()) > 4
    journal.close()


def test_a_nearly_full_disk_is_not_tried_again(journal, monkeypatch):
    """After a failure `probe` waits for some room, so that orders are not decided on only to fail again."""
    journal.begin_run(RUN)
    assert journal.probe()
    monkeypatch.setattr(journal_module, "ROOM_BYTES", 2**80)
    assert not journal.probe()
    assert not journal.ok


def as_nobody():
    """Give up the rights of root, who may write anywhere."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)


@pytest.fixture
def open_folder():
    """A directory of its own that another user may reach; pytest's are closed to others."""
    folder = Path(tempfile.mkdtemp())
    if not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
        shutil.rmtree(folder)
        pytest.skip("the directory for temporary files is closed to other users")
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize("file_mode", [0o600, 0o400])
def test_what_may_not_be_written_is_refused_with_the_reason(open_folder, file_mode):
    """A read-only directory or file stops the trader at its start; the file stays as it is."""
    path = open_folder / "ledger.sqlite"
    opened(path).close()
    before = path.read_bytes()
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        os.chown(open_folder, 65534, 65534)
    path.chmod(file_mode)
    open_folder.chmod(0o500)

    def work():
        as_nobody()
        with pytest.raises(JournalError, match="may not be written; check the owner"):
            opened(path)

    assert in_child(work) == 0
    assert path.read_bytes() == before


def test_a_broken_chain_stops_a_trader_with_a_sentence(path, journal):
    """The check of all rows that a trader makes at its start says which rows, and what to do."""
    run_id = journal.begin_run(RUN)
    for number in range(5):
        a_filled_trade(journal, run_id, number)
    journal.require_whole()
    journal._db.execute("DROP TRIGGER fills_only_grows_UPDATE")
    journal._db.execute("UPDATE fills SET fee='0'")
    with pytest.raises(JournalError, match=r"fills: row 5 was changed.*\(and 7 more\).*keep the file"):
        journal.require_whole()
    assert path.exists()


def test_values_that_no_row_can_hold_are_refused(journal):
    """A number beyond 64 bits or a text that is no text is an error, and nothing of it stays."""
    trade = a_trade(journal.begin_run(RUN))
    for broken in (replace(trade, sequence=2**63), replace(trade, event_id="\ud800")):
        with pytest.raises(JournalError, match="nothing was written"):
            journal.commit_intents(broken)
    assert journal.ok
    journal.commit_intents(trade)
    assert journal.verify() == []
