"""Journal export: the ledger's tables as files of comma-separated values, or as lines of JSON.

In: an open ledger. Out: a file a table, or text. Amounts are plain decimals. A spreadsheet must not take a
cell for a formula, nor a terminal a text for a command: venues' texts are in these rows. Used by the journal
command.
"""

from __future__ import annotations

import csv
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.journal_reader import JournalReader
from pipeline.model import to_text

Row = dict[str, Any]

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# What a spreadsheet takes for the start of a formula (OWASP, "CSV Injection"), also in full width.
FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
# Control characters, halves of characters, and ends of lines and paragraphs.
_STRIPPED = {"Cc", "Cs", "Zl", "Zp"}


def clean(text: str) -> str:
    """The text without characters that steer what shows it."""
    return "".join(letter for letter in text if unicodedata.category(letter) not in _STRIPPED)


def cell(value: object) -> str:
    """A value as a spreadsheet may have it: what begins like a formula and is no number gets a quote."""
    text = clean(str(value))
    risky = text.lstrip().startswith(FORMULA_STARTS) and not NUMBER.fullmatch(text)
    return f"'{text}" if risky else text


def utc_text(wall_ns: int) -> str:
    """A wall-clock time as ISO-8601 in UTC, to the microsecond."""
    moment = datetime.fromtimestamp(wall_ns // 10**9, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ns % 10**9 // 1000:06d}Z"


def derived(row: Row) -> Row:
    """What people want of a row beside its integers: the time, prices and sizes as plain decimals."""
    found = {"utc": utc_text(row["wall_ns"])}
    for name, count, decimals in (
        ("size", "size_units", "size_decimals"),
        ("size", "units", "size_decimals"),
        ("price", "price_ticks", "price_decimals"),
        ("limit_price", "limit_ticks", "price_decimals"),
    ):
        if count in row:
            found[name] = to_text(row[count], row[decimals])
    return found


def export_lines(journal: JournalReader, account: str) -> Iterator[str]:
    """Every row as a line of JSON with its `table`, table by table, all of one moment."""
    with journal.snapshot():
        for table in journal.tables:
            for row in journal.each(table, account):
                yield json.dumps({"table": table} | row | derived(row))


def export_csv(journal: JournalReader, folder: Path, account: str) -> list[tuple[Path, int]]:
    """Write TABLE.csv for each table, all of one moment; returns the files with their numbers of rows.

    Files that are there are replaced once all are written. Raises OSError, with those as they were.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = {table: folder / f"{table}.csv" for table in journal.tables}
    counts = {}
    try:
        with journal.snapshot():
            for table, file in files.items():
                counts[file] = _write(journal, table, account, _unfinished(file))
        for file in files.values():
            os.replace(_unfinished(file), file)
    finally:
        for file in files.values():
            _unfinished(file).unlink(missing_ok=True)
    return list(counts.items())


def _unfinished(file: Path) -> Path:
    return file.with_name(f"{file.name}.new")


def _write(journal: JournalReader, table: str, account: str, path: Path) -> int:
    """Write one table, on the disk when it returns; its number of rows."""
    columns = journal.columns(table)
    columns += derived(dict.fromkeys(columns, 0))
    count = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        for row in journal.each(table, account):
            whole = row | derived(row)
            writer.writerow([cell(whole[name]) for name in columns])
            count += 1
        out.flush()
        os.fsync(out.fileno())
    return count
