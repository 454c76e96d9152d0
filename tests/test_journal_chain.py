"""The hash chain: whatever is changed in a ledger, verify names the row."""

import hashlib
import json
import sqlite3
from contextlib import closing
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.journal_reader import JournalReader
from pipeline.journal_records import CashRecord, ConfirmationRecord, SettlementRecord, SwitchRecord
from pipeline.journal_rows import TABLES, digest, intact
from pipeline.model import MarketResult
from tests.support.ledgers import RUN, a_fill, a_trade, filled, opened


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The bytes of a ledger with rows in every table."""
    path = tmp_path_factory.mktemp("chain") / "ledger.sqlite"
    journal = opened(path)
    run_id = journal.begin_run(RUN)
    journal.open_account({"kalshi": Decimal(500)}, {("kraken", "BTC/USD"): Decimal("0.5")})
    for number in range(2):
        trade = a_trade(run_id, number)
        journal.commit_intents(trade)
        fill = a_fill(trade, provisional=True)
        verdict = ConfirmationRecord(fill.venue, fill.fill_id, "CONFIRMED", 300)
        journal.record_orders([(filled(trade), [fill], [verdict]), (filled(trade, 1), [], [])])
    journal.record_cash(CashRecord("kalshi", "", Decimal("-1.5"), "withdrawn"))
    journal.record_settlement(
        SettlementRecord("event", "kalshi", "K-1", "yes", MarketResult.YES, 100, 2, Decimal(1), Decimal(1))
    )
    journal.record_switch(SwitchRecord("HALT", "a cause", "person"))
    assert journal.verify() == []
    journal.close()
    content = bytearray(path.read_bytes())
    content[18:20] = b"\x01\x01"  # in memory there is no write-ahead log
    return bytes(content)


def in_memory(image):
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.deserialize(image)
    db.execute("PRAGMA ignore_check_constraints=ON")
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    return db


def test_the_picture_is_good(image, tmp_path):
    """The control: nothing changed, nothing found, and every table has rows."""
    db = in_memory(image)
    reader = JournalReader(tmp_path, db)
    assert reader.verify() == []
    assert all(reader.rows(table) for table in TABLES)
    db.close()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_changed_cell_is_named(image, data):
    """Any bit flipped in any cell of any row is found, and the row is named."""
    db = in_memory(image)
    reader = JournalReader(image, db)
    table = data.draw(st.sampled_from(sorted(TABLES)))
    row = data.draw(st.sampled_from(reader.rows(table)))
    name = data.draw(st.sampled_from(sorted(row)))
    value, seq = row[name], row["seq"]
    bit = 1 << data.draw(st.integers(0, 7))
    try:
        if isinstance(value, int):
            new = value ^ (bit << 8 * data.draw(st.integers(0, 6)))
            db.execute(f"UPDATE {table} SET {name}=? WHERE seq=?", (new, seq))
            named = new if name == "seq" else seq
        else:
            raw = bytearray(value.encode() or b"\x00")
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= bit
            db.execute(f"UPDATE {table} SET {name}=CAST(? AS TEXT) WHERE seq=?", (bytes(raw), seq))
            named = seq
    except sqlite3.IntegrityError:  # the file itself does not hold two of them
        db.close()
        return
    problems = reader.verify()
    db.close()
    assert any(f"{table}: row {named} " in problem for problem in problems), (name, problems)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM {table} WHERE seq=?",
        "UPDATE {table} SET wall_ns=0.5 WHERE seq=?",
        "UPDATE {table} SET wall_ns=x'00' WHERE seq=?",
        "UPDATE {table} SET wall_ns='one' WHERE seq=?",
        "UPDATE {table} SET seq=seq+1000 WHERE seq=?",
    ],
)
def test_a_removed_moved_or_retyped_row_is_found(image, change):
    """A row that is missing, that changed places or whose integer became another type is found."""
    with closing(in_memory(image)) as db:
        rows = [(table, row["seq"]) for table in TABLES for row in JournalReader(image, db).rows(table)]
    assert len(rows) > 15
    for table, seq in rows:
        with closing(in_memory(image)) as db:
            assert db.execute(change.format(table=table), (seq,)).rowcount == 1
            assert JournalReader(image, db).verify(), (table, seq)


@pytest.mark.parametrize("statement", [
    "UPDATE head SET seq=seq-1", "UPDATE head SET hash=genesis", "UPDATE head SET genesis='1'",
])  # fmt: skip
def test_a_changed_head_is_found(image, statement):
    """The head says how many rows there are, what the last one was and what the first one continued."""
    db = in_memory(image)
    db.execute(statement)
    assert JournalReader(image, db).verify()
    db.close()


@given(
    st.dictionaries(
        st.text(st.sampled_from("abc_"), max_size=6), st.one_of(st.integers(-(2**63), 2**63 - 1), st.text())
    )
)
@settings(max_examples=300)
def test_the_quick_digest_is_the_canonical_one(row):
    """Whatever stands in a row, its hash is SHA-256 over JSON with sorted names and all but ASCII escaped."""
    try:
        text = json.dumps(["t", row], sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return
    assert digest("t", row) == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize("text", ["\x7f", '\x00\x1f\b\t\n\f\r"\\/', "\u00e9\u2028", "\U0001f600", "\udcff"])
def test_signs_that_are_escaped_have_one_text(text):
    """Signs that one encoder escapes and another does not are hashed as they always were."""
    content = json.dumps(["t", {"a": text}], separators=(",", ":")).encode()
    assert digest("t", {"a": text}) == hashlib.sha256(content).hexdigest()


def test_bytes_in_the_place_of_text_are_damage():
    """A text that became bytes is found, even bytes that another encoder would write as that text."""
    row = {"a": "aGk="}
    row["hash"] = digest("t", row)
    assert intact("t", row)
    assert not intact("t", row | {"a": b"hi"})
