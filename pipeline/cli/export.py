"""Export: `run.py export`: the history as comma-separated values or lines of JSON.

In: the ledger and decisions.sqlite of a data directory, while a run writes them or afterwards. Out: one
table, row by row, on standard output or in a file that is replaced once it is whole. Run by people and
programs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from pipeline.cli.common import FAILED, OK, USAGE, add_data, complain, say
from pipeline.cli.export_tables import TABLES, TEXT, Asked, Row, Table, shown
from pipeline.cli.journal_export import cell
from pipeline.cli.moments import HELP, parse_moment
from pipeline.clock import Clock, SystemClock
from pipeline.decision_log import DecisionLogError
from pipeline.journal_reader import JournalError, JournalReader, open_readonly
from pipeline.journal_records import LEDGER_FILE

FOREVER_NS = 2**63 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data(parser)
    words = ", ".join(TABLES)
    parser.add_argument("what", nargs="?", default="trades", metavar="WHAT", help=f"{words} (default trades)")
    parser.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="csv, or lines of JSON")
    parser.add_argument("--since", metavar="T", help=HELP)
    parser.add_argument("--until", metavar="T", help="the same; rows before it")
    parser.add_argument("--out", metavar="FILE", type=Path, help="into this file, whole or not at all")
    parser.add_argument("--account", metavar="A", default="", help="of this account only")


def run(args: argparse.Namespace, clock: Clock | None = None) -> int:
    """Write the table."""
    table = TABLES.get(args.what)
    if table is None:
        complain(f"nothing to export is called {args.what!r}; there are: {', '.join(TABLES)}")
        return USAGE
    now = (clock or SystemClock()).wall_ns()
    try:
        since = parse_moment(args.since, now) if args.since else 0
        until = parse_moment(args.until, now) if args.until else FOREVER_NS
    except ValueError as error:
        complain(str(error))
        return USAGE
    asked = Asked(args.data, since, until, args.account)
    try:
        return _export(table, asked, args)
    except (JournalError, DecisionLogError) as error:
        complain(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        complain(f"{args.out} cannot be written: {error.strerror}; check its folder, mode and space")
    except (ValueError, KeyError, ArithmeticError, AssertionError) as error:
        complain(f"{args.data}: a row makes no sense ({error!r}); see what run.py journal verify says")
    return FAILED


def _export(table: Table, asked: Asked, args: argparse.Namespace) -> int:
    with _ledger(asked, args.what) as journal:
        if journal is not None and asked.account and asked.account not in journal.accounts():
            complain(f"no account {asked.account}: there are {', '.join(journal.accounts())}")
            return FAILED
        rows = table.rows(journal, asked)  # type: ignore[arg-type]  # decisions need no ledger
        lines = csv_lines(table, rows) if args.format == "csv" else json_lines(table, rows)
        if args.out is None:
            for line in lines:
                say(line)
        else:
            say(f"{args.out}: {write(args.out, lines) - (args.format == 'csv')} rows")
    return OK


@contextmanager
def _ledger(asked: Asked, what: str) -> Iterator[JournalReader | None]:
    """The ledger as it is at one moment, every row of it checked; None for what does not lie in it."""
    if what == "decisions":
        yield None
        return
    journal = open_readonly(asked.data / LEDGER_FILE)
    try:
        journal.require_whole()
        with journal.snapshot():
            yield journal
    finally:
        journal.close()


def csv_lines(table: Table, rows: Iterable[Row]) -> Iterator[str]:
    """A header, then a line a row. Text that a spreadsheet would take for a formula gets a quote."""
    yield ",".join(table.columns)
    for row in rows:
        out = StringIO()
        cells = [_cell(kind, row[name]) for name, kind in table.columns.items()]
        csv.writer(out, lineterminator="").writerow(cells)
        yield out.getvalue()


def _cell(kind: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return cell(value) if kind == TEXT else str(value)


def json_lines(table: Table, rows: Iterable[Row]) -> Iterator[str]:
    """A flat object a line, with every column of the table in each."""
    for row in rows:
        yield json.dumps({name: shown(row[name]) for name in table.columns}, ensure_ascii=False)


def write(path: Path, lines: Iterable[str]) -> int:
    """Write the lines into a file of the owner's alone, which is there once it is whole; their number.

    Raises OSError, and a file that was there is as it was.
    """
    unfinished = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    count = 0
    try:
        with os.fdopen(os.open(unfinished, flags, 0o600), "w", encoding="utf-8", newline="") as out:
            for line in lines:
                out.write(line + "\n")
                count += 1
            out.flush()
            os.fsync(out.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count
