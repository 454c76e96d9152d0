"""The nouns: markets, books, legs, events, reasons, and the rules about them that everybody shares.

In: plain values. Out: frozen values and pure functions on them. Every process imports this module; it
reads no clock and no memory. Numbers are integers (DESIGN 4): a price counts ticks of
10^-price_decimals, a size counts units of 10^-size_decimals; money that is booked is an exact Decimal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import IntEnum, IntFlag

INT64_MAX = 2**63 - 1

# Booked money never rounds silently: an inexact result raises instead.
EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])


class BookState(IntEnum):
    """State of one book. Writers store the first four; `book_state` derives the others (DESIGN 6)."""

    EMPTY = 0
    LIVE = 1
    GAP = 2
    CROSSED = 3
    DEAD = 4
    STALE = 5
    QUIET = 6


class BookFlag(IntFlag):
    """What a reader must know about where a book comes from."""

    SIM = 1
    REPLAY = 2
    UNVERIFIED = 4
    NOT_TRADABLE = 8
    POLLED = 16


class BookFault(IntEnum):
    """Why a book is not LIVE, or was not until its last snapshot: the `reason` cell of its row.

    NONE: it has lost nothing. SEQUENCE: a number jumped. BAD_FRAME: a change could not be read.
    CHECKSUM: the venue's did not match. IMPOSSIBLE: a step took more than there was. CROSSED: the best
    bid is not below the best ask. BEST_PRICE: the venue says another best price. VENUE: the venue voided
    it (a new grid, an ended subscription). DISCONNECTED: its connection is gone. SILENT: its first book
    never came, or its canary fell silent. WITNESS: the venue's REST shows another book. SUSPENDED: this
    machine slept.
    """

    NONE = 0
    SEQUENCE = 1
    BAD_FRAME = 2
    CHECKSUM = 3
    IMPOSSIBLE = 4
    CROSSED = 5
    BEST_PRICE = 6
    VENUE = 7
    DISCONNECTED = 8
    SILENT = 9
    WITNESS = 10
    SUSPENDED = 11


class ConnectionState(IntEnum):
    """State of one venue connection as its feed sees it."""

    DOWN = 0
    CONNECTING = 1
    SUBSCRIBING = 2
    UP = 3
    BACKOFF = 4
    AUTH_FAILED = 5
    POLLING = 6


class MarketStatus(IntEnum):
    """What the venue says about trading in a market."""

    UNKNOWN = 0
    OPEN = 1
    PAUSED = 2
    CLOSED = 3
    SETTLED = 4


class MarketResult(IntEnum):
    """How a binary market was decided; NONE while it is not.

    SCALAR pays YES a value between 0 and 1 that the venue states (Kalshi), and NO the rest.
    """

    NONE = 0
    YES = 1
    NO = 2
    VOID = 3
    SCALAR = 4


class FeeKind(IntEnum):
    """Which formula a fee schedule uses; UNKNOWN means the market is watched and never traded."""

    UNKNOWN = 0
    KALSHI = 1
    POLYMARKET = 2
    BPS = 3
    FLAT = 4
    CUSTOM = 5


class WorkerState(IntEnum):
    """State of one worker process in the supervisor's table."""

    STARTING = 0
    RUNNING = 1
    BACKOFF = 2
    STOPPING = 3
    STOPPED = 4
    HUNG = 5
    FLAPPING = 6


class Confidence(IntEnum):
    """How far an edge may be believed; never raised by a bigger edge."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


class Action(IntEnum):
    """What became of an opportunity. UNWOUND: one leg was filled and sold back; WITHDRAWN: a maker's
    quote that nobody took.
    """

    DETECTED = 0
    APPROVED = 1
    EXECUTED = 2
    REJECTED = 3
    UNHEDGED = 4
    UNWOUND = 5
    WITHDRAWN = 6


# What the names of the trader's counters of refusals begin with.
REJECTED = "rejected."


class Reason(IntEnum):
    """Why an event was not traded: one list for scanner, trader, dashboard and journal.

    Each refusal carries a reason, the number that failed and the limit it failed against.
    """

    NONE = 0
    # what the scanner sees
    NO_EDGE = 1
    EDGE_TOO_SMALL = 2
    BOOK_MISSING = 3
    BOOK_EMPTY = 4
    BOOK_GAP = 5
    BOOK_CROSSED = 6
    BOOK_DEAD = 7
    BOOK_STALE = 8
    BOOK_QUIET = 9
    BOOK_TOO_OLD = 10
    LEG_SKEW = 11
    ONE_SIDED = 12
    NOT_TRADABLE = 13
    MARKET_CLOSED = 14
    FEE_UNKNOWN = 15
    NOT_REVIEWED = 16
    BELOW_MINIMUM = 17
    PROFIT_TOO_SMALL = 18
    NOT_LISTED = 19
    RULES_CHANGED = 20
    CLOSE_TIMES = 21
    VOID_PAYOFF = 22
    HIDDEN_OUTCOME = 23
    BELOW_HURDLE = 24
    UNCONFIRMED = 25
    WATCH_ONLY = 26
    # what the trader adds
    EXPIRED = 30
    REPLAYED = 31
    DUPLICATE = 32
    COOLDOWN = 33
    ORDER_SIZE = 34
    EVENT_EXPOSURE = 35
    TOTAL_EXPOSURE = 36
    VENUE_CASH = 37
    DAILY_LOSS = 38
    CONSECUTIVE_LOSSES = 39
    TRADES_PER_HOUR = 40
    KELLY_SIZE = 41
    UNHEDGED_LEG = 42
    HALTED = 43
    NO_SUPERVISOR = 44
    JOURNAL = 45
    INVENTORY = 46
    NOT_FILLED = 47
    TOO_MANY_LEGS = 48
    MISMATCH = 49
    MARKET_EXPOSURE = 50
    VENUE_EXPOSURE = 51
    NET_EXPOSURE = 52
    PRICE_COLLAR = 53
    OFF_GRID = 54
    ORDERS_PER_SECOND = 55
    ORDERS_PER_MINUTE = 56
    OPEN_ORDERS = 57
    RACE_LOST = 58
    NOT_ARMED = 59
    UNRESOLVED = 60
    OTHER_MODE = 61
    QUOTE_MOVED = 62

    @property
    def counter(self) -> str:
        """What the trader counts its refusals for this reason by."""
        return REJECTED + self.name.lower()


BOOK_REASONS = {
    BookState.EMPTY: Reason.BOOK_EMPTY,
    BookState.GAP: Reason.BOOK_GAP,
    BookState.CROSSED: Reason.BOOK_CROSSED,
    BookState.DEAD: Reason.BOOK_DEAD,
    BookState.STALE: Reason.BOOK_STALE,
    BookState.QUIET: Reason.BOOK_QUIET,
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Decimals of one market: a tick is 10^-price_decimals, a unit is 10^-size_decimals."""

    price_decimals: int
    size_decimals: int


# DESIGN 4. Kraken's scale comes from its instrument channel, so it has no default.
DEFAULT_SCALES = {
    "kalshi": Scale(6, 2),
    "polymarket": Scale(6, 6),
    "coinbase": Scale(8, 8),
}


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """A venue's taker and maker fee for one market, as integers so that shared memory can carry it.

    `rate_ppm` is the coefficient in millionths (Kalshi 0.07 -> 70000; 40 bps -> 4000),
    `precision_micros` the account's rounding step in millionths of a dollar (0.01 -> 10000);
    `per_unit_micros` is charged for a contract or coin (FLAT, CUSTOM). Until `waived_until_ns` (wall
    clock) takers pay nothing. `source` says in a few words who stated it, `as_of_ns` (wall clock) when.
    """

    kind: FeeKind = FeeKind.UNKNOWN
    rate_ppm: int = 0
    maker_rate_ppm: int = 0
    exponent: int = 1
    precision_micros: int = 0
    per_unit_micros: int = 0
    waived_until_ns: int = 0
    source: str = field(default="", compare=False)
    as_of_ns: int = field(default=0, compare=False)


UNKNOWN_FEE = FeeSchedule()


@dataclass(frozen=True, slots=True)
class Market:
    """What the venue publishes about one market; sizes and prices on the market's own scale.

    `grid_ticks` is the price grid, `lot_units` the size grid, `min_units` and `min_cost_micros` the
    smallest order. 0 means the venue states none. `partner` is the other token of a Polymarket pair.
    `close_ns` is wall clock, 0 when unknown. `rules` is the venue's text of how the market is decided.
    `value_micros` is what YES pays in millionths of a dollar where the result is SCALAR, else -1.
    `hides_outcome` says that its event may have an outcome that is not listed, so no basket is complete.
    """

    venue: str
    market: str
    scale: Scale | None = None
    grid_ticks: int = 0
    lot_units: int = 0
    min_units: int = 0
    min_cost_micros: int = 0
    fee: FeeSchedule = UNKNOWN_FEE
    close_ns: int = 0
    status: MarketStatus = MarketStatus.UNKNOWN
    result: MarketResult = MarketResult.NONE
    partner: str = ""
    title: str = ""
    rules: str = ""
    hides_outcome: bool = False
    value_micros: int = -1


# A level is (price ticks, size units); a ladder is best first.
Level = tuple[int, int]
Ladder = tuple[Level, ...]


def to_units(text: str, decimals: int) -> int:
    """Turn plain decimal text into an integer count of 10^-decimals, exactly.

    Accepts a sign, a missing leading zero (".5") and an exponent ("5e-06"). Raises ValueError for
    anything else, for digits beyond the scale, for non-finite values and beyond int64.
    """
    whole, dot, fraction = text.partition(".")
    body = whole[1:] if whole[:1] == "-" else whole
    if (
        body.isascii()
        and (body.isdigit() or not body)
        and (not dot or (fraction.isascii() and fraction.isdigit()))
    ):
        if not body and not fraction:
            raise ValueError(f"{text!r} is not a number")
        kept, rest = fraction[:decimals], fraction[decimals:]
        if rest and rest.strip("0"):
            raise ValueError(f"{text!r} has more than {decimals} decimals")
        value: int = int(body + kept or "0") * 10 ** (decimals - len(kept))
        if value > INT64_MAX:
            raise ValueError(f"{text!r} is beyond int64 at {decimals} decimals")
        return -value if whole[:1] == "-" else value
    return _exponent_to_units(text, decimals)


def _exponent_to_units(text: str, decimals: int) -> int:
    """The rare spellings of a number: exponents, as JSON re-encoders write them."""
    if len(text) > 32 or not text.isascii() or "_" in text or text != text.strip():
        raise ValueError(f"{text[:40]!r} is not a number")
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number") from error
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise ValueError(f"{text!r} is not a finite number in range")
    scaled = number.scaleb(decimals, EXACT)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{text!r} has more than {decimals} decimals")
    if abs(scaled) > INT64_MAX:
        raise ValueError(f"{text!r} is beyond int64 at {decimals} decimals")
    return int(scaled)


def to_text(units: int, decimals: int) -> str:
    """Write an integer count of 10^-decimals as plain decimal text without trailing zeros."""
    sign = "-" if units < 0 else ""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    if decimals == 0:
        return sign + digits
    whole, fraction = digits[:-decimals], digits[-decimals:].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


@dataclass(frozen=True, slots=True)
class StateLimits:
    """How old signs of life may be before a stored LIVE is no longer believed (DESIGN 6)."""

    heartbeat_ns: int = 250_000_000
    proof_ns: int = 15_000_000_000
    quiet_ns: int = 60_000_000_000


def book_state(
    stored: int,
    *,
    retired: bool,
    heartbeat_ns: int,
    proof_ns: int,
    socket_ns: int,
    now_ns: int,
    limits: StateLimits,
) -> BookState:
    """What a stored book state is worth now; every reader uses this one function (DESIGN 6).

    `heartbeat_ns` and `retired` come from the segment's header, `proof_ns` from the row's connection
    (last proof of life from the venue), `socket_ns` from the row (last message for this market).
    """
    if retired or now_ns - heartbeat_ns > limits.heartbeat_ns:
        return BookState.DEAD
    if stored != BookState.LIVE:
        return BookState(stored)
    if now_ns - proof_ns > limits.proof_ns:
        return BookState.STALE
    if now_ns - socket_ns > limits.quiet_ns:
        return BookState.QUIET
    return BookState.LIVE
