"""Why facts: everything that is known now of an event and of why it is not traded, from live memory.

In: the configuration and the segments of a run, the time. Out: plain values with money as decimal text, for
`why` to print. No process is asked: each direction is priced here once more, from the same books with the
same function as scanner and trader use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from dashboard.reasons import limit_keys, reason_plain, reason_sentence
from pipeline.books import FeedBooks
from pipeline.cli.why_legs import age_ms, leg_facts, review_facts
from pipeline.cli.why_numbers import (
    confidence,
    figures,
    lead,
    model,
    quote_facts,
    race,
    row_waterfall,
    waterfall,
)
from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.model import Reason, to_text
from pipeline.model_events import MODEL, Event
from pipeline.money import to_decimal, to_micros
from pipeline.pairs import Direction, closing, directions
from pipeline.pairs_checks import Verdict, limits_of
from pipeline.pricing import Priced, price
from pipeline.scanner.trader_view import TraderView
from pipeline.status.hops import refusals
from shm.records import EVENT, QUOTE, EventRow, QuoteRow
from shm.segment import View
from shm.tables import TableReader

TRIES = 3
# The scanner knows more than the books: how long an edge stands, what a model says.
SCANNER_ONLY = {Reason.UNCONFIRMED, Reason.WATCH_ONLY}


@dataclass(frozen=True, slots=True)
class Memory:
    """A run at one moment: its configuration, its segments by name, its books, what the scanner wrote."""

    config: Config
    views: Mapping[str, View]
    books: FeedBooks
    trader: TraderView
    rows: dict[tuple[str, int], EventRow]
    now_ns: int
    wall_ns: int

    @classmethod
    def of(cls, config: Config, views: Mapping[str, View], clock: Clock) -> Memory:
        """Attach to the books and read the scanner's rows."""
        now, directory = clock.monotonic_ns(), Path(config.shm_directory)
        books = FeedBooks(directory, config.feeds(), config.scanner.limits())
        books.refresh(now)
        trader = TraderView(directory)
        trader.refresh(now)
        scanner = views.get("scanner")
        rows = TableReader(scanner, "events", EVENT).rows() if scanner is not None else ()
        known = {(row.event_id, row.direction): row for _, row in rows}
        return cls(config, views, books, trader, known, clock.monotonic_ns(), clock.wall_ns())

    def directions(self, events: Iterable[Event]) -> list[Direction]:
        """Every direction, and what is held and can be closed."""
        found = directions(events)
        closings = [close for one in found if (close := closing(one)) is not None]
        return found + [close for close in closings if self.trader.held(close) > 0]

    def price(self, direction: Direction) -> Priced | None:
        """The direction priced now; None for a model, whose volatility only the scanner has.

        A book that its writer overtook at every try is looked at once more.
        """
        if direction.kind == MODEL:
            return None
        held = self.trader.held(direction) if direction.event.kind != direction.kind else None
        limits = limits_of(self.config)
        for _ in range(TRIES):
            priced = price(direction, self.books, limits, self.now_ns, self.wall_ns, held)
            if all(priced.looks):
                break
        return priced


def event_facts(memory: Memory, event: Event) -> dict[str, Any]:
    """Everything about one event."""
    scanner = memory.views.get("scanner")
    looks = {
        (leg.venue, leg.market): memory.books.read(leg.venue, leg.market, memory.now_ns) for leg in event.legs
    }
    configured = next(one for one in memory.config.events if one.id == event.id)
    legs = [leg_facts(leg, looks[leg.venue, leg.market], event, memory) for leg in event.legs]
    return {
        "event": event.id,
        "title": event.title,
        "kind": event.kind,
        "close_wall_ns": event.close_ns,
        "simulated": bool(memory.config.simulated),
        "mode": memory.config.mode,
        "legs": legs,
        "review": review_facts(configured.review, looks.values()),
        "directions": [direction_facts(memory, one) for one in memory.directions([event])],
        "quotes": [quote_facts(row, memory.now_ns) for row in _quotes(scanner, set(looks))],
        "limits": _limits(memory.config),
        "scanner_refusals": refusals(scanner),
    }


def direction_facts(memory: Memory, direction: Direction) -> dict[str, Any]:
    """One direction: what would be done, what it leaves, and the verdict."""
    row = memory.rows.get(direction.key)
    priced = memory.price(direction)
    verdict = verdict_of(priced, row)
    edge = priced.edge if priced is not None else None
    facts: dict[str, Any] = {
        "direction": direction.index,
        "kind": direction.kind,
        "legs": [
            {
                "action": plan.action,
                "outcome": plan.outcome,
                "venue": plan.leg.venue,
                "market": plan.leg.market,
            }
            for plan in direction.legs
        ],
        "verdict": verdict_facts(verdict, memory.config),
        "scanned_ms": age_ms(row.computed_ns, memory.now_ns) if row is not None else None,
        "confidence": confidence(row),
        "race": race(row, memory.now_ns),
        "lead": lead(row, direction),
        "model": model(row) if direction.kind == MODEL else None,
        "waterfall": None,
    }
    if priced is not None and edge is not None:
        hurdle = Decimal(memory.config.scanner.hurdle_pct)
        missed = 1 - to_decimal(row.race_ppm if row is not None else 0, 6)
        facts["waterfall"] = waterfall(priced, edge, hurdle, missed)
        facts |= figures(priced, edge, direction.table)
        facts["confidence"] = confidence(row, priced, edge, memory.now_ns)
    elif row is not None and row.has_numbers:
        facts["waterfall"] = row_waterfall(row)
        facts |= {"edge_bp": row.edge_bp, "gross_bp": row.gross_bp, "cash": to_text(row.cash_micros, 6)}
        facts["size"] = to_text(row.size_units, row.size_decimals)
    return facts


def verdict_of(priced: Priced | None, row: EventRow | None) -> Verdict | None:
    """Why it is refused now: what the books say, and what only the scanner can. None where neither can."""
    if priced is not None and priced.verdict.reason:
        return priced.verdict
    if row is None:
        return priced.verdict if priced is not None else None
    known = row.reason in Reason.__members__.values()
    said = Reason(row.reason) if known else Reason.NONE
    if priced is None or said in SCANNER_ONLY:
        return Verdict(said, to_decimal(row.value_micros, 6), to_decimal(row.limit_micros, 6))
    return priced.verdict


def verdict_facts(verdict: Verdict | None, config: Config) -> dict[str, Any]:
    """The reason in words, its number and limit, and the keys of config.toml that set the limit."""
    if verdict is None:
        text = "the scanner has not looked at it"
        return {
            "reason": "not_scanned",
            "text": text,
            "sentence": text,
            "value": "0",
            "limit": "0",
            "keys": {},
        }
    value, limit = to_micros(verdict.value), to_micros(verdict.limit)
    return {
        "reason": verdict.reason.name.lower() if verdict.reason else None,
        "text": reason_plain(verdict.reason),
        "sentence": reason_sentence(verdict.reason, value, limit),
        "value": to_text(value, 6),
        "limit": to_text(limit, 6),
        "keys": limit_settings(verdict.reason, verdict.limit, config),
    }


def limit_settings(reason: int, limit: Decimal, config: Config) -> dict[str, str]:
    """The keys that set a limit, with their values; of several, those that have this very limit."""
    plain = msgspec.to_builtins(config)
    found: dict[str, str] = {}
    for key in limit_keys(reason):
        value: Any = plain
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found[key] = str(value) if isinstance(value, (str, int)) else ""
    exact = {key: value for key, value in found.items() if _number(value) == limit}
    return exact or found


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _quotes(scanner: View | None, books: set[tuple[str, str]]) -> list[QuoteRow]:
    """The queue rows of these books."""
    if scanner is None or "quotes" not in scanner.sections():
        return []
    rows = TableReader(scanner, "quotes", QUOTE).rows()
    return [row for _, row in rows if (row.venue, row.market) in books]


def _limits(config: Config) -> dict[str, str]:
    """The limits of the trader, as text."""
    risk = {f"risk.{key}": str(value) for key, value in msgspec.to_builtins(config.risk).items()}
    kelly = {f"kelly.{key}": str(value) for key, value in msgspec.to_builtins(config.kelly).items()}
    return risk | kelly
