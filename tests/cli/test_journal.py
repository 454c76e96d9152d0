"""The journal command: what the ledger holds, for people, for programs and for spreadsheets."""

import argparse
import csv
import json
import sqlite3
from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.cli import journal as command
from pipeline.cli.common import FAILED, OK, USAGE
from pipeline.cli.journal_export import cell, clean, utc_text
from pipeline.journal_records import CashRecord, ConfirmationRecord, SettlementRecord, SwitchRecord
from pipeline.model import MarketResult
from tests.support.ledgers import RUN, a_fill, a_trade, an_old_ledger, filled, more_of, opened


@pytest.fixture
def data(tmp_path):
    """A data directory with a ledger: a settled trade, one with a hedge, cash, switches, two accounts."""
    journal = opened(tmp_path / "ledger.sqlite")
    run_id = journal.begin_run(RUN)
    journal.open_account({"kalshi": Decimal(500)}, {("kraken", "BTC/USD"): Decimal("0.5")})
    done = a_trade(run_id, 1)
    journal.commit_intents(done)
    pair = [a_fill(done, 0), a_fill(done, 1, action="buy", price_ticks=550_000)]
    journal.record_orders([(filled(done, leg), [pair[leg]], []) for leg in (0, 1)])
    for leg, payoff, units, decimals in ((0, Decimal(10), 1000, 2), (1, Decimal(0), 10_000_000, 6)):
        fill = pair[leg]
        won = MarketResult.YES
        journal.record_settlement(
            SettlementRecord(
                fill.event_id, fill.venue, fill.market, fill.outcome, won, units, decimals, payoff, Decimal(1)
            )
        )
    second = replace(a_trade(run_id, 2), event_id="=HYPERLINK(1)", plan={"mode": "maker_hedge"})
    quote = replace(second.intents[0], purpose="quote", style="maker")
    journal.commit_intents(replace(second, intents=(quote,)))
    part = a_fill(second, 0, size_units=400, maker=True, provisional=True, event_id="=HYPERLINK(1)")
    verdict = ConfirmationRecord("kalshi", part.fill_id, "FAILED", 5)
    journal.record_order(replace(filled(second), status="CANCELLED", why="-2+3\x1b[31m"), [part], [verdict])
    journal.commit_intents(replace(more_of(second, 1, "hedge", 1), event_id="=HYPERLINK(1)"))
    journal.record_cash(CashRecord("kalshi", "", Decimal("-12.50"), "+withdrawn"))
    journal.record_switch(SwitchRecord("HALT", "three losses in a row", "consecutive_losses"))
    journal.begin_run(replace(RUN, account="sim-1"))
    journal.commit_intents(a_trade("r2", 1))
    journal.close()
    return tmp_path


def run(data, capsys, *words):
    """Exit code, standard output and errors of the command."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    code = command.run(parser.parse_args([*words, "--data", str(data)]))
    said = capsys.readouterr()
    return code, said.out, said.err


def listed(data, capsys, what, *words):
    code, out, err = run(data, capsys, what, "--json", *words)
    assert (code, err) == (OK, "")
    return json.loads(out)[what]


def test_verify_says_good_or_what_is_wrong(data, capsys):
    """A whole chain is good; a changed row is named, and the exit code says so."""
    assert run(data, capsys, "verify") == (OK, "good: every row is as it was written\n", "")
    db = sqlite3.connect(data / "ledger.sqlite")
    db.execute("DROP TRIGGER cash_only_grows_UPDATE")
    db.execute("UPDATE cash SET amount='501' WHERE seq=2")
    db.commit()
    db.close()
    code, out, _ = run(data, capsys, "verify", "--json")
    assert code == FAILED
    assert json.loads(out) == {
        "good": False,
        "problems": ["cash: row 2 was changed after it was written"],
    }


def test_trades_show_mode_purposes_and_result(data, capsys):
    """A trade shows how it was opened, what each order was for and came to, and what it earned."""
    done, second, other = listed(data, capsys, "trades")
    assert done["mode"] == "taker"
    assert done["orders"] == ["open FILLED buy yes kalshi", "open FILLED buy no polymarket"]
    # Bought for 4.80 and (at 1 - 0.55) 4.50, fees 0.18 each, and 10 came back.
    assert done["result_usd"] == "0.34"
    assert second["mode"] == "maker_hedge"
    assert second["orders"] == ["quote CANCELLED buy yes kalshi", "hedge INTENT buy no polymarket"]
    assert second["legs"] == "buy yes kalshi / buy no polymarket"
    assert other["result_usd"] == "open"
    assert (other["account"], other["orders"][0]) == ("sim-1", "open INTENT buy yes kalshi")


def test_orders_show_what_became_of_them(data, capsys):
    """An order is one row: purpose, style, limit, size, what was filled of it and how it ended."""
    orders = {order["order_id"]: order for order in listed(data, capsys, "orders", "--account", "paper")}
    first, quote, hedge = orders["r1-9.1-0"], orders["r1-9.2-0"], orders["r1-9.2-1"]
    assert (first["limit"], first["size"], first["filled"]) == ("0.48", "10", "10")
    assert (quote["purpose"], quote["style"], quote["status"]) == ("quote", "maker", "CANCELLED")
    assert quote["filled"] == "0"  # the fill failed after all
    assert (hedge["leg"], hedge["status"], hedge["why"]) == (1, "INTENT", "")


def test_fills_show_whether_they_are_final(data, capsys):
    """A fill says who made it and whether it stands; its evidence is for programs only."""
    fills = listed(data, capsys, "fills")
    assert [(fill["role"], fill["state"]) for fill in fills] == [
        ("taker", "final"), ("taker", "final"), ("maker", "failed")
    ]  # fmt: skip
    assert fills[0]["evidence"]["ladder"] == [[480_000, 1200]]
    assert "ladder" not in run(data, capsys, "fills")[1]


def test_cash_and_switches_are_listed(data, capsys):
    """Money that came or went, and who stopped trading and why, with the moment."""
    cash = listed(data, capsys, "cash")
    assert [(row["venue"], row["of"], row["amount"]) for row in cash] == [
        ("kalshi", "dollars", "500"), ("kraken", "BTC/USD", "0.5"), ("kalshi", "dollars", "-12.5")
    ]  # fmt: skip
    (turn,) = listed(data, capsys, "switches", "--account", "paper")
    assert (turn["state"], turn["who"], turn["cause"]) == (
        "HALT",
        "consecutive_losses",
        "three losses in a row",
    )
    assert listed(data, capsys, "switches", "--account", "sim-1") == []


def test_an_account_that_is_not_there_is_an_error(data, capsys):
    """The error names the accounts that are."""
    code, out, err = run(data, capsys, "trades", "--account", "papre")
    assert (code, out) == (FAILED, "")
    assert "no account papre" in err
    assert "paper, sim-1" in err


def test_what_is_shown_cannot_steer_the_terminal(data, capsys):
    """A venue's text reaches the screen with its control characters told, not obeyed."""
    code, out, _ = run(data, capsys, "orders")
    assert code == OK
    assert "-2+3\\x1b[31m" in out
    assert "\x1b" not in out


def test_export_writes_every_table(data, capsys):
    """One file a table with a header and every row; amounts are plain decimals, formulas are text."""
    folder = data / "out" / "csv"
    code, out, err = run(data, capsys, "export", "--csv", str(folder))
    assert (code, err) == (OK, "")
    tables = {}
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        with file.open(encoding="utf-8", newline="") as lines:
            tables[file.stem] = list(csv.DictReader(lines))
    assert {name: len(rows) for name, rows in tables.items()} == {
        "runs": 2, "intents": 6, "orders": 3, "fills": 3, "confirmations": 1,
        "cash": 3, "settlements": 2, "switches": 1,
    }  # fmt: skip
    assert f"{folder / 'fills.csv'}: 3 rows" in out
    assert tables["intents"][2]["event_id"] == "'=HYPERLINK(1)"
    assert tables["orders"][2]["why"] == "'-2+3[31m"
    assert tables["cash"][2]["amount"] == "-12.5"
    assert tables["cash"][2]["why"] == "'+withdrawn"
    fill = tables["fills"][0]
    assert (fill["price"], fill["size"], fill["fee"], fill["price_ticks"]) == ("0.48", "10", "0.18", "480000")
    assert fill["utc"].endswith("Z")
    assert tables["settlements"][0]["size"] == "10"
    assert len(tables["runs"][0]["hash"]) == 64


def test_export_is_of_one_account_when_asked(data, capsys):
    """Rows of other accounts are left out of every file."""
    folder = data / "one"
    assert run(data, capsys, "export", "--csv", str(folder), "--account", "sim-1")[0] == OK
    sizes = {file.stem: len(file.read_text().splitlines()) - 1 for file in folder.iterdir()}
    assert sizes["runs"] == 1
    assert sizes["intents"] == 2
    assert sizes["fills"] == sizes["cash"] == sizes["confirmations"] == 0


def test_export_to_lines_has_the_same_rows(data, capsys):
    """Without a folder every row is a line of JSON that names its table."""
    code, out, _ = run(data, capsys, "export")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == OK
    assert len(rows) == 21
    assert [row["seq"] for row in sorted(rows, key=lambda row: row["seq"])] == list(range(1, 22))
    assert {row["table"] for row in rows} >= {"runs", "fills", "confirmations"}


def test_a_folder_that_cannot_be_written_is_said(data, capsys):
    """The files of an earlier export stay, nothing unfinished is left, and the error says what to do."""
    folder = data / "csv"
    assert run(data, capsys, "export", "--csv", str(folder))[0] == OK
    before = {file: file.read_bytes() for file in folder.iterdir()}
    (folder / "fills.csv.new").mkdir()
    code, _, err = run(data, capsys, "export", "--csv", str(folder))
    assert code == FAILED
    assert "cannot be written" in err
    (folder / "fills.csv.new").rmdir()
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    (data / "file").write_text("in the way")
    assert run(data, capsys, "export", "--csv", str(data / "file"))[0] == FAILED


@pytest.mark.parametrize("words", [("trades", "--csv", "x"), ("export", "--json", "--csv", "x")])
def test_csv_goes_with_export_only(data, capsys, words):
    """What makes no sense together is a usage error that shows the right words."""
    code, _, err = run(data, capsys, *words)
    assert code == USAGE
    assert "run.py journal export --csv DIR" in err


def test_no_ledger_and_an_old_one_are_said(tmp_path, capsys):
    """A missing file and one of an older version are errors that say what to do."""
    code, _, err = run(tmp_path, capsys, "trades")
    assert code == FAILED
    assert "check that the directory exists" in err
    an_old_ledger(tmp_path / "ledger.sqlite").close()
    code, _, err = run(tmp_path, capsys, "verify")
    assert code == FAILED
    assert "start the trader once" in err


def test_a_row_that_makes_no_sense_is_no_traceback(data, capsys):
    """Damage that cannot be shown is an error that points to the check."""
    db = sqlite3.connect(data / "ledger.sqlite")
    db.execute("DROP TRIGGER intents_only_grows_UPDATE")
    db.execute("UPDATE intents SET plan='{'")
    db.commit()
    db.close()
    code, _, err = run(data, capsys, "trades")
    assert code == FAILED
    assert "run.py journal verify" in err


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "-1"), ("-1.50", "-1.50"), ("-1e5", "'-1e5"), ("@x", "'@x"),
        ("\t=1", "'=1"), ("\r\n=1", "'=1"), (" =1", "' =1"), ("\uff1d1", "'\uff1d1"), ("-", "'-"),
        ("a=b", "a=b"), ("", ""), (12, "12"), (-3, "-3"), ("caf\u00e9\u2028", "caf\u00e9"),
    ],
)  # fmt: skip
def test_a_cell_is_no_formula(value, shown):
    """What a spreadsheet would compute is quoted, numbers are not, control characters are gone."""
    assert cell(value) == shown


def test_texts_for_people():
    """Moments are UTC to the microsecond; half characters and controls are stripped."""
    assert utc_text(1_795_259_597_104_007_104) == "2026-11-21T11:13:17.104007Z"
    assert clean("a\x00b\x9bc\ud800d") == "abcd"
