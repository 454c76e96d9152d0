"""Opportunities file: the content of data/recent_opportunities.json: the last fifty, and what became of each.

In: the trader's ring of decisions, the scanner's rows. Out: JSON, newest first. Pure; used by `export`. What
was decided is kept over restarts of the trader; what passes the scanner and nobody decided yet is `detected`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from pipeline.config import Config
from pipeline.model import Action, Reason, to_text
from pipeline.observer.books_file import EventRows, confidence_word, leg_text, reason_word
from pipeline.observer.facts import Moment, clean, usd
from shm.records import DECISION, DecisionRow, EventRow
from shm.segment import View
from shm.tables import TableReader

LISTED = 50
# Which stamps make a hop, as DecisionRow has them.
HOPS = (
    ("socket_to_book_us", "socket_ns", "book_ns"),
    ("book_to_scan_us", "book_ns", "scan_ns"),
    ("scan_to_decide_us", "scan_ns", "decide_ns"),
    ("decide_to_order_us", "decide_ns", "order_ns"),
    ("order_to_fill_us", "order_ns", "fill_ns"),
    ("socket_to_order_us", "socket_ns", "order_ns"),
)


class OpportunitiesFile:
    """Keeps the last decisions of all lives of the trader that this process has seen, at most LISTED."""

    def __init__(self, event_rows: EventRows) -> None:
        self._event_rows = event_rows
        self._trader: View | None = None
        self._table: TableReader[DecisionRow] | None = None
        # Which number of each row of the ring is in `_decided`: one that is filled is written again.
        self._numbers: dict[int, int] = {}
        self._decided: dict[tuple[int, int], tuple[DecisionRow, dict[str, Any]]] = {}

    def content(self, config: Config, views: Mapping[str, View], at: Moment) -> tuple[object, dict[str, Any]]:
        """(key, content): equal keys mean that nothing is new."""
        self._take(views.get("trader"), config)
        found = [entry for _, entry in self._decided.values()]
        rows = self._event_rows.at(views.get("scanner"), at)
        decided = (row for row, _ in self._decided.values())
        found += [detected(row, at) for row in undecided(rows, decided, at)]
        found.sort(key=_when, reverse=True)
        del found[LISTED:]
        # The wall-clock time of a detection is computed anew each time and so differs by a little.
        key = [(each["id"], each["action"], each["reason"], each["edge_bp"]) for each in found]
        return tuple(key), {"count": len(found), "opportunities": found}

    def _take(self, trader: View | None, config: Config) -> None:
        """Read what the trader has published since the last time."""
        if trader is None or trader.header.epoch != trader.epoch:
            return
        if self._table is None or trader is not self._trader:
            self._trader, self._table = trader, TableReader(trader, "decisions", DECISION)
            self._numbers = {}
        titles = {event.id: event.title for event in config.events}
        for index in self._table.published():
            number = self._table.number(index)
            row = self._table.get(index) if number != self._numbers.get(index) else None
            if row is not None and row.sequence:
                self._numbers[index] = number
                self._decided[trader.epoch, row.sequence] = row, decision(row, trader.epoch, titles)
        newest = sorted(self._decided, key=lambda name: (self._decided[name][0].wall_ns, name), reverse=True)
        self._decided = {name: self._decided[name] for name in newest[:LISTED]}


def _when(entry: Mapping[str, Any]) -> int:
    return int(entry["wall_ns"])


def decision(row: DecisionRow, epoch: int, titles: Mapping[str, str]) -> dict[str, Any]:
    """An opportunity that the trader decided on."""
    stamps = row._asdict()
    hops = {
        name: round((stamps[to] - stamps[since]) / 1000)
        for name, since, to in HOPS
        if stamps[since] and stamps[to]
    }
    return {
        "id": f"{epoch}.{row.sequence}",
        "wall_ns": row.wall_ns,
        "event_id": clean(row.event_id),
        "title": clean(titles.get(row.event_id) or row.event_id),
        "kind": row.kind,
        "mode": row.mode,
        "direction": row.direction,
        "buy_venue": row.buy_venue,
        "sell_venue": row.sell_venue,
        "action": action_word(row.action),
        "reason": reason_word(row.reason),
        "value": usd(row.value_micros) if row.reason else None,
        "limit": usd(row.limit_micros) if row.reason else None,
        "edge_bp": row.edge_bp,
        "last_look_bp": row.last_look_bp if row.decide_ns else None,
        "net_usd": usd(row.net_micros),
        "cash_usd": usd(row.cash_micros),
        "size": to_text(row.size_units, row.size_decimals),
        "confidence": confidence_word(row.confidence),
        "race_probability": usd(row.race_ppm),
        "hops": hops,
    }


def detected(row: EventRow, at: Moment) -> dict[str, Any]:
    """An opportunity that passes the scanner, before anybody decided on it."""
    return {
        "id": f"{clean(row.event_id)}.{row.direction}.{row.born_ns}",
        "wall_ns": at.wall_of(row.born_ns or row.computed_ns) or at.wall_ns,
        "event_id": clean(row.event_id),
        "title": clean(row.title),
        "kind": row.kind,
        "mode": None,
        "direction": row.direction,
        "buy_venue": row.buy_venue,
        "sell_venue": row.sell_venue,
        "buy": leg_text(row.buy_action, row.buy_outcome, row.buy_venue),
        "sell": leg_text(row.sell_action, row.sell_outcome, row.sell_venue),
        "action": action_word(Action.DETECTED),
        "reason": None,
        "value": None,
        "limit": None,
        "edge_bp": row.edge_bp,
        "last_look_bp": None,
        "net_usd": usd(row.net_micros),
        "cash_usd": usd(row.cash_micros),
        "size": to_text(row.size_units, row.size_decimals),
        "confidence": confidence_word(row.confidence),
        "race_probability": usd(row.race_ppm),
        "hops": {},
    }


def undecided(rows: Iterable[EventRow], decided: Iterable[DecisionRow], at: Moment) -> list[EventRow]:
    """Rows that pass the scanner now, and were not decided on since their edge was born."""
    last: dict[tuple[str, int], int] = {}
    for row in decided:
        name = row.event_id, row.direction
        last[name] = max(last.get(name, 0), row.wall_ns)
    return [
        row
        for row in rows
        if row.has_numbers
        and row.reason == Reason.NONE
        and row.net_low_micros > 0
        and last.get((row.event_id, row.direction), 0) < (at.wall_of(row.born_ns) or 0)
    ]


@lru_cache
def action_word(number: int) -> str:
    """What became of an opportunity, in S1's words and ours."""
    known = number in Action.__members__.values()
    return Action(number).name.lower() if known else f"action {number}"
