"""Reasons: why an event is not traded, as a word for the grid and as a sentence for people.

In: a reason's number with its value and limit, in millionths of the unit that the limit has in
config.toml (ms, s, bp, %, dollars, a count). Out: text, and the keys of config.toml that set the limit.
Pure; used by the panels and by `run.py why`.
"""

from __future__ import annotations

from typing import NamedTuple

from dashboard.formatting import number_text, usd_text
from pipeline.model import Reason

_MS, _BP, _USD, _COUNT, _SECONDS, _PERCENT, _YEARLY = "ms", "bp", "usd", "", "s", "%", "% a year"
_GRID_CELLS = 7


class _Told(NamedTuple):
    """How a reason is told. `word` stands in the grid instead of an edge that must not be believed,
    `blank` where there is no number to show. `what` is measured in `unit` and refused where it stands in
    `sign` to the limit, which `keys` of config.toml set.
    """

    plain: str
    keys: tuple[str, ...] = ()
    word: str = ""
    blank: str = ""
    what: str = ""
    unit: str = _COUNT
    sign: str = "<"


def _told(plain: str, keys: str = "", *, word: str = "", blank: str = "", measured: str = "||<") -> _Told:
    """A row of the table; `keys` are separated by spaces, `measured` is "what|unit|sign"."""
    what, unit, sign = measured.split("|")
    return _Told(plain, tuple(keys.split()), word, blank, what, unit, sign)


_TABLE: dict[Reason, _Told] = {
    Reason.NO_EDGE: _told("no edge after fees", blank="no edge", measured=f"edge|{_BP}|≤"),
    Reason.EDGE_TOO_SMALL: _told("edge too small", "risk.min_edge_bp", measured=f"edge|{_BP}|<"),
    Reason.BOOK_MISSING: _told("no book for a leg", "venues events.legs.market", word="no book"),
    Reason.BOOK_EMPTY: _told("a book is empty", word="empty"),
    Reason.BOOK_GAP: _told("a book has a gap", word="gap"),
    Reason.BOOK_CROSSED: _told("a book is crossed", word="crossed"),
    Reason.BOOK_DEAD: _told("a feed is dead", "scanner.heartbeat_ms", word="dead"),
    Reason.BOOK_STALE: _told("a venue is silent", "scanner.proof_ms", word="stale"),
    Reason.BOOK_QUIET: _told("a market is quiet", "scanner.quiet_ms", word="quiet"),
    Reason.BOOK_TOO_OLD: _told(
        "a book is too old", "risk.max_book_age_ms", word="old", measured=f"book|{_MS}|>"
    ),
    Reason.LEG_SKEW: _told(
        "legs too far apart in time", "risk.max_leg_skew_ms", word="skew", measured=f"skew|{_MS}|>"
    ),
    Reason.ONE_SIDED: _told("a side has no orders", blank="1-sided"),
    Reason.NOT_TRADABLE: _told("market not tradable", blank="blocked"),
    Reason.MARKET_CLOSED: _told("market closed", "events.close", word="closed"),
    Reason.FEE_UNKNOWN: _told("fee unknown: watched only", "fees", word="no fee"),
    Reason.NOT_REVIEWED: _told(
        "rules not reviewed", "events.review.by events.review.rules_hash", blank="unread"
    ),
    Reason.BELOW_MINIMUM: _told("below the venue's minimum", blank="tiny"),
    # Dollars or per cent, as the limit that failed.
    Reason.PROFIT_TOO_SMALL: _told(
        "profit too small", "risk.min_profit_usd risk.min_profit_pct", measured=f"profit|{_COUNT}|<"
    ),
    Reason.NOT_LISTED: _told("no word of the market yet", word="no data"),
    Reason.RULES_CHANGED: _told("rules changed since the review", "events.review.rules_hash", blank="rules"),
    Reason.CLOSE_TIMES: _told(
        "legs close at different times",
        "scanner.max_close_gap_s",
        blank="closes",
        measured=f"closes apart|{_SECONDS}|>",
    ),
    Reason.VOID_PAYOFF: _told(
        "a void market could cost more than is left",
        "events.legs.void events.review.void_rule",
        blank="void",
        measured=f"worst payoff|{_USD}|<",
    ),
    Reason.HIDDEN_OUTCOME: _told("an outcome may not be listed", "events.exhaustive", word="hidden"),
    Reason.BELOW_HURDLE: _told(
        "earns less than money without risk", "scanner.hurdle_pct", measured=f"return|{_YEARLY}|<"
    ),
    Reason.UNCONFIRMED: _told(
        "not there for long enough", "scanner.persist_ms", blank="wait", measured=f"seen for|{_MS}|<"
    ),
    Reason.WATCH_ONLY: _told("watched, never traded", "events.kind", blank="watch"),
    Reason.EXPIRED: _told("came too late", "scanner.opportunity_ttl_ms", measured=f"late|{_MS}|>"),
    Reason.REPLAYED: _told("message seen before"),
    Reason.DUPLICATE: _told("already traded"),
    Reason.COOLDOWN: _told("cooling down", "risk.cooldown_ms", measured=f"last trade|{_MS}|<"),
    Reason.ORDER_SIZE: _told("order too big", "risk.max_order_usd", measured=f"order|{_USD}|>"),
    Reason.EVENT_EXPOSURE: _told(
        "too much at stake in the event", "risk.max_event_usd", measured=f"event|{_USD}|>"
    ),
    Reason.TOTAL_EXPOSURE: _told(
        "too much at stake in all", "risk.max_exposure_usd", measured=f"exposure|{_USD}|>"
    ),
    Reason.VENUE_CASH: _told("too little cash at a venue", "trader.cash", measured=f"cash|{_USD}|>"),
    Reason.DAILY_LOSS: _told("lost too much today", "risk.daily_loss_usd", measured=f"day loss|{_USD}|>"),
    Reason.CONSECUTIVE_LOSSES: _told(
        "too many losses in a row", "risk.max_consecutive_losses", measured=f"losses|{_COUNT}|≥"
    ),
    Reason.TRADES_PER_HOUR: _told(
        "too many trades an hour", "risk.max_trades_per_hour", measured=f"trades/hour|{_COUNT}|≥"
    ),
    Reason.KELLY_SIZE: _told(
        "beyond the Kelly size",
        "kelly.mode kelly.capital_usd kelly.cap risk.probe_usd",
        measured=f"Kelly:|{_USD}|>",
    ),
    Reason.UNHEDGED_LEG: _told("one leg is open", measured=f"unhedged|{_COUNT}|>"),
    Reason.HALTED: _told("trading is halted"),
    Reason.NO_SUPERVISOR: _told("no supervisor"),
    Reason.JOURNAL: _told("journal refused"),
    Reason.INVENTORY: _told(
        "no coins to sell", "trader.inventory", blank="no coin", measured=f"coins|{_COUNT}|>"
    ),
    Reason.NOT_FILLED: _told("not filled"),
    Reason.TOO_MANY_LEGS: _told("more legs than are traded", measured=f"legs|{_COUNT}|>"),
    Reason.MISMATCH: _told(
        "venues may decide differently",
        "events.review.mismatch risk.max_mismatch",
        measured=f"mismatch|{_COUNT}|≥",
    ),
    Reason.MARKET_EXPOSURE: _told(
        "too much at stake in the market", "risk.max_market_usd", measured=f"market|{_USD}|>"
    ),
    Reason.VENUE_EXPOSURE: _told(
        "too much at stake at the venue", "risk.max_venue_usd", measured=f"venue|{_USD}|>"
    ),
    Reason.NET_EXPOSURE: _told(
        "too much without a hedge", "risk.max_net_usd", measured=f"without a hedge|{_USD}|>"
    ),
    Reason.PRICE_COLLAR: _told(
        "price too far off the best", "risk.price_collar_pct", measured=f"price off by|{_PERCENT}|>"
    ),
    Reason.OFF_GRID: _told("off the venue's grid of prices or sizes", measured=f"off the grid|{_COUNT}|>"),
    Reason.ORDERS_PER_SECOND: _told(
        "too many orders a second", "risk.max_orders_per_second", measured=f"orders/second|{_COUNT}|>"
    ),
    Reason.ORDERS_PER_MINUTE: _told(
        "too many orders a minute", "risk.max_orders_per_minute", measured=f"orders/minute|{_COUNT}|>"
    ),
    Reason.OPEN_ORDERS: _told(
        "too many orders open", "risk.max_open_orders", measured=f"open orders|{_COUNT}|>"
    ),
    Reason.RACE_LOST: _told(
        "likely gone before we arrive",
        "risk.min_race scanner.half_life_ms",
        measured=f"chance to be in time|{_COUNT}|<",
    ),
    Reason.NOT_ARMED: _told("not armed"),
    Reason.UNRESOLVED: _told("orders of an earlier run are unresolved", measured=f"unresolved|{_COUNT}|>"),
    Reason.OTHER_MODE: _told("not in this mode", "trader.mode"),
    Reason.QUOTE_MOVED: _told(
        "the market moved away from the quote", measured=f"best price moved|{_COUNT}|>"
    ),
}


def reason_word(reason: int, *, has_numbers: bool) -> str:
    """The word that replaces an edge in the grid, or "" where the number may stand; at most 7 cells."""
    known = _member(reason)
    if known is None:
        return f"no. {reason}"[:_GRID_CELLS]
    told = _TABLE.get(known, _Told(""))
    if told.word or has_numbers:
        return told.word
    return told.blank or "--"


def grid_words() -> list[tuple[str, str]]:
    """Every word that stands in the grid instead of an edge, with what it says."""
    return [(one.word or one.blank, one.plain) for one in _TABLE.values() if one.word or one.blank]


def reason_sentence(reason: int, value_micros: int, limit_micros: int) -> str:
    """A reason with the number that failed and what it failed: "edge 42 < 50 bp"."""
    known = _member(reason)
    if known is None:
        return f"reason {reason}"
    if known is Reason.NONE:
        return ""
    told = _TABLE[known]
    if not told.what or not (value_micros or limit_micros):
        return told.plain
    tail = "" if told.unit == _USD else told.unit if told.unit.startswith("%") else f" {told.unit}"
    value, limit = _quantity(value_micros, told.unit), _quantity(limit_micros, told.unit)
    return f"{told.what} {value} {told.sign} {limit}{tail}".rstrip()


def reason_plain(reason: int) -> str:
    """The reason in words, without its numbers; "" for NONE."""
    known = _member(reason)
    if known is None:
        return f"reason {reason}"
    return "" if known is Reason.NONE else _TABLE[known].plain


def limit_keys(reason: int) -> tuple[str, ...]:
    """The keys of config.toml that set the limit of a reason; none where no key does."""
    known = _member(reason)
    return () if known is None or known is Reason.NONE else _TABLE[known].keys


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
