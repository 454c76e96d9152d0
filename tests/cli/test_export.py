"""The export command: flat, typed, stable rows of the history, safe for spreadsheets."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import stat
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import export as command
from pipeline.cli.common import FAILED, OK, USAGE
from pipeline.cli.export_tables import BOOLEAN, DECIMAL, INTEGER, TABLES, TEXT, TIME
from pipeline.cli.moments import DAY_NS, parse_moment
from pipeline.clock import ManualClock
from pipeline.decision_log import DECISIONS_FILE, DecisionLog
from pipeline.journal_records import CashRecord, ConfirmationRecord, SettlementRecord, SwitchRecord
from pipeline.model import Action, Confidence, MarketResult, Reason
from shm import records
from tests.support.ledgers import RUN, a_fill, a_trade, filled, more_of, opened

ROOT = Path(__file__).resolve().parents[2]
EVIL = "=HYPERLINK(1)"
HOUR_NS = 3600 * 10**9


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A ledger and decisions over an hour: a settled trade, an open one, cash, a halt."""
    clock = ManualClock()
    journal = opened(tmp_path / "ledger.sqlite", clock)
    run_id = journal.begin_run(RUN)
    journal.open_account({"kalshi": Decimal(500)}, {("kraken", "BTC/USD"): Decimal("0.5")})
    done = a_trade(run_id, 1)
    journal.commit_intents(done)
    pair = [a_fill(done, 0), a_fill(done, 1, action="buy", price_ticks=550_000)]
    journal.record_orders([(filled(done, leg), [pair[leg]], []) for leg in (0, 1)])
    for leg, payoff, units, decimals in ((0, Decimal(10), 1000, 2), (1, Decimal(0), 10_000_000, 6)):
        fill = pair[leg]
        names = fill.event_id, fill.venue, fill.market, fill.outcome
        settled = SettlementRecord(*names, MarketResult.YES, units, decimals, payoff, Decimal(1))
        journal.record_settlement(settled)
    clock.advance(HOUR_NS)
    second = replace(a_trade(run_id, 2), event_id=EVIL, plan={"mode": "maker_hedge"})
    journal.commit_intents(replace(second, intents=second.intents[:1]))
    part = a_fill(second, 0, size_units=400, maker=True, provisional=True, event_id=EVIL)
    verdict = ConfirmationRecord("kalshi", part.fill_id, "FAILED", 5)
    journal.record_order(
        replace(filled(second), status="CANCELLED", why="-2+3\x1b[31m\tx"), [part], [verdict]
    )
    journal.commit_intents(replace(more_of(second, 1, "hedge", 1), event_id=EVIL))
    journal.record_cash(CashRecord("kalshi", "", Decimal("-12.50"), "+withdrawn"))
    journal.record_switch(SwitchRecord("HALT", "three losses in a row", "consecutive_losses"))
    journal.begin_run(replace(RUN, account="sim-1"))
    journal.close()
    log = DecisionLog(tmp_path / DECISIONS_FILE, wall_ns=clock.wall_ns)
    row = records.DECISION.empty()._replace(
        sequence=1, event_id=EVIL, kind="binary", mode="taker", action=Action.REJECTED,
        reason=Reason.VENUE_CASH, value_micros=12_000_000, limit_micros=-1, confidence=Confidence.HIGH,
        size_units=150, size_decimals=2,
    )  # fmt: skip
    log.put("rejected", row._asdict())
    log.put("older", {"event_id": "e"})
    assert log.close()
    return tmp_path


def run(data: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and errors of the command, two hours after the first row."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    clock = ManualClock()
    clock.advance(2 * HOUR_NS)
    code = command.run(parser.parse_args([*words, "--data", str(data)]), clock)
    said = capsys.readouterr()
    return code, said.out, said.err


def json_rows(data: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    code, out, err = run(data, capsys, *words, "--format", "jsonl")
    assert (code, err) == (OK, "")
    return [json.loads(line) for line in out.splitlines()]


def fits(kind: str, value: object) -> bool:
    """Whether a value is of a column's type."""
    if value is None:
        return True
    if kind in (INTEGER, BOOLEAN):
        return type(value) is (int if kind == INTEGER else bool)
    pattern = {
        DECIMAL: r"-?\d+(\.\d+)?",
        TIME: r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
        TEXT: r"[^\x00-\x1f]*",
    }[kind]
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


@pytest.mark.parametrize("what", TABLES)
def test_every_line_has_every_column_of_one_type(
    data: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """JSON lines are flat, with the same columns in the same order, each of its one type or null."""
    rows = json_rows(data, capsys, what)
    assert rows
    columns = TABLES[what].columns
    for row in rows:
        assert list(row) == list(columns)
        wrong = {name: row[name] for name, kind in columns.items() if not fits(kind, row[name])}
        assert not wrong


@pytest.mark.parametrize("what", TABLES)
def test_csv_has_the_header_and_no_formulas(
    data: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """No text cell begins as a formula does, numbers stay numbers, and the header is that of the docs."""
    code, out, _ = run(data, capsys, what)
    header, *rows = csv.reader(out.splitlines())
    assert (code, header) == (OK, list(TABLES[what].columns))
    assert len(rows) == len(json_rows(data, capsys, what))
    for row in rows:
        for name, cell in zip(header, row, strict=True):
            if TABLES[what].columns[name] == TEXT:
                assert not cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")), (name, cell)
            assert "\x1b" not in cell


def test_columns_are_documented(project_root: Path) -> None:
    """docs/EXPORTS.md lists every table with its columns and types, in order."""
    text = (project_root / "docs" / "EXPORTS.md").read_text()
    for name, table in TABLES.items():
        columns = ", ".join(f"`{column}` {kind}" for column, kind in table.columns.items())
        assert f"**{name}**: {table.about}.\n\n{columns}." in text, name


def test_trades_have_their_results(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trade is one row, also when a later commit mended it; a closed one has its result after fees."""
    first, second = json_rows(data, capsys)
    # 10 won, 4.80 + 5.50 - 1 * 0 paid at NO's price 0.45, two fees of 0.18.
    assert first["result_usd"] == str(Decimal(10) - Decimal("4.80") - Decimal("4.50") - Decimal("0.36"))
    assert (first["net_usd"], first["edge_bp"], first["mode"]) == ("0.351", 364, "taker")
    assert (second["event_id"], second["result_usd"], second["closed_utc"]) == (EVIL, None, None)


def test_orders_and_fills_say_what_became_of_them(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fill that failed is listed as failed, and counts for no order."""
    orders = {row["order_id"]: row for row in json_rows(data, capsys, "orders")}
    assert {row["status"] for row in orders.values()} == {"FILLED", "CANCELLED", "INTENT"}
    cancelled = next(row for row in orders.values() if row["status"] == "CANCELLED")
    assert (cancelled["filled"], cancelled["why"]) == ("0", "-2+3[31mx")
    assert [row["state"] for row in json_rows(data, capsys, "fills")] == ["final", "final", "failed"]


def test_decisions_of_older_programs_have_nulls(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was not written is null; what was is named by words."""
    new, old = json_rows(data, capsys, "decisions")
    assert (new["action"], new["reason"], new["value"], new["limit"]) == (
        "rejected", "venue_cash", "12", "-0.000001",
    )  # fmt: skip
    assert (new["confidence"], new["size"]) == ("high", "1.5")
    assert (old["action"], old["reason"], old["edge_bp"]) == ("older", None, None)


def test_since_and_until_cut_by_time(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows from `since` on and before `until`, for ledger and decisions alike."""
    assert len(json_rows(data, capsys, "trades", "--since", "90m")) == 1
    assert len(json_rows(data, capsys, "trades", "--until", "90m")) == 1
    assert len(json_rows(data, capsys, "trades", "--since", "yesterday")) == 2
    assert json_rows(data, capsys, "decisions", "--until", "90m") == []
    code, _, err = run(data, capsys, "trades", "--since", "soon")
    assert code == USAGE
    assert "is no time" in err


def test_moments_are_as_people_say_them() -> None:
    """today, yesterday and now are UTC days of the given clock."""
    now = 1_700_000_000 * 10**9
    assert parse_moment("now", now) == now
    assert parse_moment("today", now) % DAY_NS == 0
    assert parse_moment("today", now) - parse_moment("yesterday", now) == DAY_NS
    assert now - parse_moment("2h", now) == 2 * HOUR_NS
    assert parse_moment("2023-11-14T00:00Z", now) == parse_moment("today", now)


def test_one_account_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--account leaves out the others, and names the ones that there are."""
    assert [row["account"] for row in json_rows(data, capsys, "runs")] == ["paper", "sim-1"]
    assert [row["account"] for row in json_rows(data, capsys, "runs", "--account", "sim-1")] == ["sim-1"]
    code, _, err = run(data, capsys, "runs", "--account", "nobody")
    assert (code, "there are paper, sim-1" in err) == (FAILED, True)


def test_a_damaged_ledger_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One changed byte of a row: nothing is exported, and the row is named."""
    ledger = data / "ledger.sqlite"
    ledger.write_bytes(ledger.read_bytes().replace(b"three losses", b"seven losses", 1))
    code, out, err = run(data, capsys, "cash")
    assert (code, out) == (FAILED, "")
    assert "was changed after it was written" in err
    ledger.unlink()
    code, _, err = run(data, capsys, "cash")
    assert code == FAILED
    assert "ledger.sqlite" in err


def test_out_is_whole_or_as_it_was(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--out makes a private file in one step; where it cannot, the file there stays as it was."""
    target = tmp_path / "trades.csv"
    code, out, _ = run(data, capsys, "trades", "--out", str(target))
    assert (code, out) == (OK, f"{target}: 2 rows\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert len(target.read_text().splitlines()) == 3
    before = target.read_bytes()
    ledger = data / "ledger.sqlite"
    os.rename(ledger, data / "away")
    assert run(data, capsys, "trades", "--out", str(target))[0] == FAILED
    assert target.read_bytes() == before
    assert not list(tmp_path.glob("*.csv.new"))
    os.rename(data / "away", ledger)
    code, _, err = run(data, capsys, "trades", "--out", str(tmp_path / "none" / "x.csv"))
    assert (code, "cannot be written" in err) == (FAILED, True)


def test_what_is_not_there_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table of another name is a usage error that lists those there are."""
    code, _, err = run(data, capsys, "tradez")
    assert code == USAGE
    assert "decisions" in err
    (data / DECISIONS_FILE).unlink()
    code, _, err = run(data, capsys, "decisions")
    assert (code, DECISIONS_FILE in err) == (FAILED, True)
