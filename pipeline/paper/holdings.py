"""Holdings: what the venues of the paper account say that an account has, as a venue states positions.

In: orders and fills as they change. Out: the SQL of a table that follows them, and amounts by place. It is
kept beside the orders, because those are pruned. Pure; used by the store. A venue knows of no settlement
here: bought less sold, since the record began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from pipeline.model import EXACT
from pipeline.money import to_decimal
from pipeline.paper.orders import Fill, PaperOrder

Place = tuple[str, str, str]
"""Venue, market, outcome."""

SCHEMA = """
CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), born_wall_ns INTEGER NOT NULL);
CREATE TABLE holdings (account TEXT NOT NULL, venue TEXT NOT NULL, market TEXT NOT NULL,
    outcome TEXT NOT NULL, size_decimals INTEGER NOT NULL, units INTEGER NOT NULL, fills INTEGER NOT NULL,
    PRIMARY KEY (account, venue, market, outcome, size_decimals));
"""
# When a record of version 1 began nobody wrote down. Its first order was saved last when it was confirmed,
# at most an hour after its fills: what a ledger has from before that hour, the record never had.
FROM_VERSION_1 = """
INSERT INTO about SELECT 1, coalesce(min(wall_ns) - 3600000000000,
    strftime('%s', 'now') * 1000000000) FROM orders;
INSERT INTO holdings SELECT account, venue, market, outcome, size_decimals,
    sum(fills.size_units * CASE action WHEN 'buy' THEN 1 ELSE -1 END), count(*)
    FROM fills JOIN orders USING (serial) WHERE state <> 3 GROUP BY 1, 2, 3, 4, 5;
"""
KNOWN = "SELECT state FROM fills WHERE serial=? AND number=?"
ADD = (
    "INSERT INTO holdings VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
    " SET units = units + excluded.units, fills = fills + excluded.fills"
)
OF_PLACE = "SELECT * FROM holdings WHERE account=? AND venue=? AND market=? AND outcome=?"
FILLS = "SELECT coalesce(sum(fills), 0) AS fills FROM holdings WHERE account=?"


class Holdings(NamedTuple):
    """What an account has: nothing before `born_wall_ns` (wall clock) is on record. `fills` counts those of
    all places; `amounts` are bought less sold, of the places that were asked for and ever traded.
    """

    born_wall_ns: int
    fills: int
    amounts: dict[Place, Decimal]


def change(order: PaperOrder, fill: Fill, turn: int) -> tuple[object, ...]:
    """The row that a fill adds (`turn` 1), or takes back (-1)."""
    leg = order.leg
    units = turn * (fill.size_units if leg.action == "buy" else -fill.size_units)
    return order.account, leg.venue, leg.market, leg.outcome, leg.scale.size_decimals, units, turn


def amounts(rows: Iterable[Mapping[str, object]]) -> dict[Place, Decimal]:
    """Rows of the table as amounts; a venue may have counted a market on several scales."""
    found: dict[Place, Decimal] = {}
    for row in rows:
        place = str(row["venue"]), str(row["market"]), str(row["outcome"])
        amount = to_decimal(int(str(row["units"])), int(str(row["size_decimals"])))
        found[place] = EXACT.add(found.get(place, Decimal(0)), amount)
    return found
