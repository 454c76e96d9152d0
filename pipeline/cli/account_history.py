"""Account history: what an account did, from the ledger, with the trader's own arithmetic.

In: an open ledger. Out: the account's `Positions`, from which results of trades come. Used by commands that
report; the observer is handed what it needs of this. Evidence is left out, so that a long ledger fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from heapq import merge
from operator import itemgetter

from pipeline.journal_reader import JournalReader, Movement
from pipeline.journal_records import OPENING
from pipeline.journal_rows import cash_of, confirmation_of, fill_of, settlement_of
from pipeline.trader.positions import Positions

Numbered = tuple[int, Movement]


def positions_of(journal: JournalReader, account: str) -> Positions:
    """The account as it is now. Raises JournalError, or ValueError for rows that make no sense."""
    positions = Positions()
    positions.apply(record for _, record in movements(journal, account))
    return positions


def movements(journal: JournalReader, account: str) -> Iterator[Numbered]:
    """What made the account, one by one in the order it was booked, opening balances first."""
    cash = [
        (0 if row["why"] == OPENING else row["seq"], cash_of(row)) for row in journal.each("cash", account)
    ]
    parts: list[Iterator[Numbered]] = [
        iter(sorted(cash, key=itemgetter(0))),
        ((row["seq"], replace(fill_of(row), evidence={})) for row in journal.each("fills", account)),
        ((row["seq"], confirmation_of(row)) for row in journal.each("confirmations", account)),
        ((row["seq"], settlement_of(row)) for row in journal.each("settlements", account)),
    ]
    return merge(*parts, key=itemgetter(0))
