"""Why legs: each market of an event as it is now: its book, its fee with source and date, its rules.

In: looks at books, the event. Out: plain values. Used by `why_facts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from pipeline.clock import moment_text
from pipeline.config import ReviewConfig
from pipeline.look import Look
from pipeline.model import BookFault, BookFlag, FeeKind, FeeSchedule, Ladder, MarketStatus, to_text
from pipeline.model_events import Event, EventLeg
from pipeline.pairs import published_fee
from shm.records import MarketRow


class Moment(Protocol):
    """When it is."""

    @property
    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        ...


def leg_facts(leg: EventLeg, look: Look | None, event: Event, moment: Moment) -> dict[str, Any]:
    """One leg; the book's cells are None where there is no book."""
    facts: dict[str, Any] = {
        "venue": leg.venue,
        "market": leg.market,
        "outcome": leg.outcome,
        "polarity": leg.polarity,
        "state": "MISSING",
        "age_ms": None,
        "bid": None,
        "ask": None,
        "fault": None,
        "flags": [],
        "status": None,
        "close_wall_ns": 0,
        "fee": None,
        "rules_hash": "",
        "rules": "unknown",
    }
    if look is None:
        return facts
    book, market = look.book, look.market
    facts |= {
        "state": look.state.name,
        "age_ms": age_ms(book.socket_ns, moment.now_ns) if book.socket_ns else None,
        "fault": _name(BookFault, book.reason) if book.reason else None,
        "flags": [flag.name.lower() for flag in BookFlag if flag & book.flags and flag.name is not None],
        "status": _name(MarketStatus, market.status),
        "close_wall_ns": market.close_wall_ns,
        "fee": fee_facts(published_fee(market)),
        "rules_hash": market.rules_hash,
        "rules": rules_word(market, event),
    }
    if market.price_decimals >= 0 and market.size_decimals >= 0:
        facts["bid"], facts["ask"] = _best(book.bids, market), _best(book.asks, market)
    return facts


def age_ms(since_ns: int, now_ns: int) -> int:
    """Whole milliseconds since a moment; 0 for one that came while we read."""
    return max(0, round((now_ns - since_ns) / 1e6))


def _name(enum: Any, value: int) -> str:
    """An enum's name in small letters; the number of one that we do not know."""
    known = value in enum.__members__.values()
    return str(enum(value).name).lower().replace("_", " ") if known else str(value)


def _best(ladder: Ladder, market: MarketRow) -> dict[str, str] | None:
    """The best level as text."""
    if not ladder:
        return None
    ticks, units = ladder[0]
    return {"price": to_text(ticks, market.price_decimals), "size": to_text(units, market.size_decimals)}


def fee_facts(fee: FeeSchedule) -> dict[str, Any]:
    """A fee schedule as text, with who stated it and when."""
    return {
        "kind": FeeKind(fee.kind).name.lower(),
        "rate": to_text(fee.rate_ppm, 6),
        "maker_rate": to_text(fee.maker_rate_ppm, 6),
        "exponent": fee.exponent,
        "precision": to_text(fee.precision_micros, 6),
        "per_unit": to_text(fee.per_unit_micros, 6),
        "waived_until": moment_text(fee.waived_until_ns),
        "source": fee.source,
        "as_of": moment_text(fee.as_of_ns),
    }


def rules_word(market: MarketRow, event: Event) -> str:
    """Whether the rules are those that were reviewed."""
    if not market.rules_hash:
        return "none"
    if not event.reviewed or event.review is None or not event.review.hashes:
        return "not reviewed"
    return "as reviewed" if market.rules_hash in event.review.hashes else "changed"


def review_facts(review: ReviewConfig | None, looks: Iterable[Look | None]) -> dict[str, Any] | None:
    """Who compared the rules, when, what was found, and the hashes of then and now."""
    if review is None:
        return None
    now = [look.market.rules_hash for look in looks if look is not None and look.market.rules_hash]
    return {
        "by": review.by,
        "at": review.at,
        "source": review.source,
        "window": review.window,
        "void_rule": review.void_rule,
        "mismatch": review.mismatch,
        "reviewed_hashes": review.hashes(),
        "hashes_now": now,
    }
