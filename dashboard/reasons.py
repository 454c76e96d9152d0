"""Reasons: why an event is not traded, as a word for the grid and as a sentence for people.

In: a reason's number with its value and limit, in millionths of the unit that the limit has in
config.toml (ms, bp, %, dollars, a count). Out: text. Pure; used by the panels.
"""

from __future__ import annotations

from dashboard.formatting import number_text, usd_text
from pipeline.model import Reason

# What stands in the grid instead of an edge that must not be believed, at most 7 cells.
_WORDS = {
    Reason.BOOK_MISSING: "no book",
    Reason.BOOK_EMPTY: "empty",
    Reason.BOOK_GAP: "gap",
    Reason.BOOK_CROSSED: "crossed",
    Reason.BOOK_DEAD: "dead",
    Reason.BOOK_STALE: "stale",
    Reason.BOOK_QUIET: "quiet",
    Reason.BOOK_TOO_OLD: "old",
    Reason.LEG_SKEW: "skew",
    Reason.MARKET_CLOSED: "closed",
    Reason.NOT_LISTED: "no data",
    Reason.FEE_UNKNOWN: "no fee",
}
# What stands there when there is no number to show.
_NUMBERLESS = {
    Reason.NO_EDGE: "no edge",
    Reason.ONE_SIDED: "1-sided",
    Reason.NOT_TRADABLE: "blocked",
    Reason.NOT_REVIEWED: "unread",
    Reason.BELOW_MINIMUM: "tiny",
    Reason.INVENTORY: "no coin",
}
_MS, _BP, _USD, _COUNT = "ms", "bp", "usd", ""
# reason -> what is measured, its unit, how value and limit compare when it is refused
_MEASURED = {
    Reason.NO_EDGE: ("edge", _BP, "≤"),
    Reason.EDGE_TOO_SMALL: ("edge", _BP, "<"),
    # Dollars or per cent, as the limit that failed.
    Reason.PROFIT_TOO_SMALL: ("profit", _COUNT, "<"),
    Reason.BOOK_TOO_OLD: ("book", _MS, ">"),
    Reason.LEG_SKEW: ("skew", _MS, ">"),
    Reason.EXPIRED: ("late", _MS, ">"),
    Reason.COOLDOWN: ("last trade", _MS, "<"),
    Reason.ORDER_SIZE: ("order", _USD, ">"),
    Reason.EVENT_EXPOSURE: ("event", _USD, ">"),
    Reason.TOTAL_EXPOSURE: ("exposure", _USD, ">"),
    Reason.VENUE_CASH: ("cash", _USD, ">"),
    Reason.DAILY_LOSS: ("day loss", _USD, ">"),
    Reason.CONSECUTIVE_LOSSES: ("losses", _COUNT, "≥"),
    Reason.TRADES_PER_HOUR: ("trades/hour", _COUNT, "≥"),
    Reason.INVENTORY: ("coins", _COUNT, ">"),
    Reason.KELLY_SIZE: ("Kelly:", _USD, ">"),
    Reason.UNHEDGED_LEG: ("unhedged", _COUNT, ">"),
}
_PLAIN = {
    Reason.NO_EDGE: "no edge after fees",
    Reason.BOOK_MISSING: "no book for a leg",
    Reason.BOOK_EMPTY: "a book is empty",
    Reason.BOOK_GAP: "a book has a gap",
    Reason.BOOK_CROSSED: "a book is crossed",
    Reason.BOOK_DEAD: "a feed is dead",
    Reason.BOOK_STALE: "a venue is silent",
    Reason.BOOK_QUIET: "a market is quiet",
    Reason.BOOK_TOO_OLD: "a book is too old",
    Reason.LEG_SKEW: "legs too far apart in time",
    Reason.ONE_SIDED: "a side has no orders",
    Reason.NOT_TRADABLE: "market not tradable",
    Reason.MARKET_CLOSED: "market closed",
    Reason.FEE_UNKNOWN: "fee unknown: watched only",
    Reason.NOT_REVIEWED: "rules not reviewed",
    Reason.BELOW_MINIMUM: "below the venue's minimum",
    Reason.NOT_LISTED: "no word of the market yet",
    Reason.PROFIT_TOO_SMALL: "profit too small",
    Reason.EXPIRED: "came too late",
    Reason.REPLAYED: "message seen before",
    Reason.DUPLICATE: "already traded",
    Reason.COOLDOWN: "cooling down",
    Reason.KELLY_SIZE: "beyond the Kelly size",
    Reason.UNHEDGED_LEG: "one leg is open",
    Reason.HALTED: "trading is halted",
    Reason.NO_SUPERVISOR: "no supervisor",
    Reason.JOURNAL: "journal refused",
    Reason.INVENTORY: "no coins to sell",
    Reason.NOT_FILLED: "not filled",
}


def reason_word(reason: int, *, has_numbers: bool) -> str:
    """The word that replaces an edge in the grid, or "" where the number may stand."""
    known = _member(reason)
    if known is None:
        return f"no. {reason}"
    if known in _WORDS:
        return _WORDS[known]
    if has_numbers:
        return ""
    return _NUMBERLESS.get(known) or "--"


def reason_sentence(reason: int, value_micros: int, limit_micros: int) -> str:
    """A reason with the number that failed and what it failed: "edge 42 < 50 bp"."""
    known = _member(reason)
    if known is None:
        return f"reason {reason}"
    if known is Reason.NONE:
        return ""
    if known in _MEASURED and (value_micros or limit_micros):
        what, unit, sign = _MEASURED[known]
        tail = "" if unit == _USD else f" {unit}"
        value, limit = _quantity(value_micros, unit), _quantity(limit_micros, unit)
        return f"{what} {value} {sign} {limit}{tail}".rstrip()
    return _PLAIN.get(known) or known.name.lower().replace("_", " ")


def _member(reason: int) -> Reason | None:
    """The reason, or None for a number that this program does not know."""
    try:
        return Reason(reason)
    except ValueError:
        return None


def _quantity(micros: int, unit: str) -> str:
    """Millionths of a unit for people, without the unit unless it is a sign before the number."""
    if unit == _USD:
        return usd_text(micros)
    return f"{micros / 10**6:.0f}" if unit == _MS else number_text(micros)
