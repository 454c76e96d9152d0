"""Selftest judges: whether what was seen after a fault is what must be, from recorded facts alone.

In: records of the ledger, the exchange's own record, what the watcher of an item noted. Out: `Judged`, passed
or not, with what was seen in words. Pure; used by the items of the selftest. Times are CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from pipeline.journal_records import (
    FINAL_STATUSES,
    FillRecord,
    IntentRecord,
    TradeParts,
    TradeRecord,
    standing,
)
from pipeline.model import EXACT, BookFault
from pipeline.money import money_text, to_decimal
from pipeline.paper.store import VenueRecord
from pipeline.trader.plan import plan_of

MS_NS = 1_000_000
SECOND_NS = 1_000_000_000
ZERO = Decimal(0)
UNWIND = "unwind"
FROZEN_FAULTS = frozenset({BookFault.WITNESS, BookFault.SILENT})
"""What a frozen book shows: REST has contradicted it, or its connection was given up as frozen. That it is
old alone (QUIET, STALE) is no finding: then nobody looked.
"""


class Judged(NamedTuple):
    """What an item came to, and what was seen."""

    passed: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Voided:
    """What became of a book: how often its defect was counted, the fault it shows, when (first and last) it
    was seen not LIVE, 0 for never, whether it was LIVE again, and whether the gap that stood meanwhile was
    taken then: without that nobody knows whether there was anything to refuse (None: no gap stood).
    """

    venue: str
    market: str
    counted: int
    fault: BookFault
    first_ns: int
    last_ns: int
    live_again: bool
    taken_again: bool | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """A worker before and after: pids, epochs of its segment; `down_ns` from when on its books must not be
    believed, `live_ns` when all were LIVE again (0: never), `taken_again` whether the gap that stood
    meanwhile was taken then, `hung` whether it was called that.
    """

    venue: str
    fault_ns: int
    down_ns: int
    live_ns: int
    pids: tuple[int, int]
    epochs: tuple[int, int]
    taken_again: bool
    hung: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """A ledger that could not be written: what was committed, what the exchange has, what was refused, why
    and after how long it halted, and whether it traded when it could be written again.
    """

    committed: frozenset[str]
    placed: frozenset[str]
    refused: int
    halt_cause: str
    halted_after_ns: int
    traded_again: bool


# -- a trade -------------------------------------------------------------------------------------------


def held(parts: TradeParts) -> tuple[Decimal, Decimal]:
    """What each leg holds, in contracts or coins: filled, less what was taken back."""
    intents = {intent.order_id: intent for intent in parts.trade.intents}
    legs = [ZERO, ZERO]
    for fill in standing(parts.fills, parts.confirmations):
        intent = intents[fill.order_id]
        size = to_decimal(fill.size_units, fill.scale.size_decimals)
        legs[intent.leg] += -size if intent.purpose == UNWIND else size
    return legs[0], legs[1]


def is_over(parts: TradeParts) -> bool:
    """Whether every order of the trade has ended."""
    ended = {order.order_id for order in parts.orders if order.status in FINAL_STATUSES}
    return all(intent.order_id in ended for intent in parts.trade.intents)


def is_taken(parts: TradeParts) -> bool:
    """Whether both legs were filled, as much of each, and nothing is open."""
    first, second = held(parts)
    return is_over(parts) and first == second > 0


def was_lone(parts: TradeParts) -> bool:
    """Whether the two orders that opened the trade have ended, and one of them alone was filled."""
    opening = [intent for intent in parts.trade.intents if intent.purpose == "open"]
    ended = {order.order_id for order in parts.orders if order.status in FINAL_STATUSES}
    filled = {fill.order_id for fill in parts.fills}
    done = len(opening) == 2 and all(intent.order_id in ended for intent in opening)
    return done and len([intent for intent in opening if intent.order_id in filled]) == 1


def flow(fill: FillRecord) -> Decimal:
    """Dollars that a fill brought, its fee paid; NO costs 1 less the book's price."""
    price = to_decimal(fill.price_ticks, fill.scale.price_decimals)
    price = EXACT.subtract(Decimal(1), price) if fill.outcome == "no" else price
    notional = EXACT.multiply(price, to_decimal(fill.size_units, fill.scale.size_decimals))
    return EXACT.subtract(notional if fill.action == "sell" else -notional, fill.fee)


def net(parts: TradeParts) -> Decimal:
    """What a trade whose legs are even earns: what the pairs pay, and what all its fills brought."""
    trade = parts.trade
    plan = plan_of(trade.trade_id, trade.event_id, trade.kind, trade.direction, trade.plan)
    brought = sum((flow(fill) for fill in standing(parts.fills, parts.confirmations)), ZERO)
    return brought + EXACT.multiply(min(held(parts)), plan.payoff)


def oldest_ns(trade: TradeRecord) -> int:
    """The age of the oldest book that orders were decided on."""
    return max(trade.decided_ns - int(str(intent.book["socket_ns"])) for intent in trade.intents)


def judge_taken(parts: TradeParts | None, max_age_ns: int, differing: Sequence[str]) -> Judged:
    """A planted arbitrage must be taken: both legs, for a profit, on books that were young enough, and the
    exchange must know of it: `differing` is what ledger and exchange disagree on.
    """
    if parts is None:
        return Judged(False, "the planted arbitrage was not taken")
    first, second = held(parts)
    profit, age_ns = net(parts), oldest_ns(parts.trade)
    seen = (
        f"{parts.trade.event_id}: {money_text(first)} and {money_text(second)} filled,"
        f" net ${money_text(profit)}, oldest book {age_ns // MS_NS} ms, {_agreement(differing)}"
    )
    return Judged(is_taken(parts) and profit > 0 and age_ns <= max_age_ns and not differing, seen)


def _agreement(differing: Sequence[str]) -> str:
    return f"ledger and exchange differ in {', '.join(differing)}" if differing else "cash adds up"


# -- a book that may not be believed ---------------------------------------------------------------------


def traded_on(
    commits: Iterable[TradeRecord], venue: str, market: str, from_ns: int, to_ns: int, epoch: int = 0
) -> list[IntentRecord]:
    """Orders decided within these times on a book ("" is any of the venue) of this epoch (0 is any)."""
    return [
        intent
        for commit in commits
        for intent in commit.intents
        if intent.order.venue == venue
        and market in ("", intent.order.market)
        and from_ns <= commit.decided_ns <= to_ns
        and epoch in (0, intent.book.get("epoch"))
    ]


def judge_voided(found: Voided, wanted: BookFault, commits: Sequence[TradeRecord]) -> Judged:
    """A book that lost something must be void with that fault, untraded while it is, and LIVE again."""
    traded = traded_on(commits, found.venue, found.market, found.first_ns, found.last_ns)
    void_ns = found.last_ns - found.first_ns
    seen = (
        f"{found.venue}: counted {found.counted}, fault {found.fault.name},"
        f" {'void for ' + str(void_ns // MS_NS) + ' ms' if found.first_ns else 'never void'},"
        f" {len(traded)} orders on it, {_again(found)}"
    )
    sound = found.counted > 0 and found.fault is wanted and found.first_ns > 0 and _is_well(found)
    return Judged(sound and not traded, seen)


def _is_well(found: Voided) -> bool:
    return found.live_again and found.taken_again is not False


def _again(found: Voided) -> str:
    told = {True: ", the gap taken then", False: ", the gap not taken then", None: ""}[found.taken_again]
    return f"LIVE again{told}" if found.live_again else "not LIVE again"


def judge_frozen(found: Voided, commits: Sequence[TradeRecord], frozen_ns: int, max_age_ns: int) -> Judged:
    """A book that stands still must be found, and not be traded on once it is older than allowed."""
    until_ns = max(found.last_ns, frozen_ns + max_age_ns)
    traded = traded_on(commits, found.venue, found.market, frozen_ns + max_age_ns, until_ns)
    took_ns = found.first_ns - frozen_ns
    seen = (
        f"{found.venue}: {f'found after {took_ns / SECOND_NS:.1f} s' if found.first_ns else 'never found'},"
        f" fault {found.fault.name}, {len(traded)} orders on it, {_again(found)}"
    )
    # A lost connection would be another fault than the one that was made.
    sound = found.first_ns > 0 and found.fault in FROZEN_FAULTS
    return Judged(sound and _is_well(found) and not traded, seen)


# -- a leg alone -----------------------------------------------------------------------------------------


def mended_ns(parts: TradeParts) -> int:
    """From the first fill of a trade to its last."""
    times = [fill.at_ns for fill in parts.fills]
    return max(times, default=0) - min(times, default=0)


def disagreements(fills: Iterable[FillRecord], venue: VenueRecord) -> list[str]:
    """Where the ledger's fills that stand and the exchange's own record differ: fills, positions, cash."""
    fills = list(fills)
    cash: dict[str, Decimal] = defaultdict(Decimal)
    positions: dict[tuple[str, str, str], int] = defaultdict(int)
    for fill in fills:
        cash[fill.venue] += flow(fill)
        sign = 1 if fill.action == "buy" else -1
        positions[fill.venue, fill.market, fill.outcome] += sign * fill.size_units
    agree = {
        "fills": {fill.fill_id: fill.order_id for fill in fills} == venue.fills,
        "positions": positions == venue.positions,
        "cash": cash == venue.cash,
    }
    return [name for name, same in agree.items() if not same]


def judge_mended(
    lone: TradeParts | None, uneven: Sequence[str], differing: Sequence[str], hedge_ns: int
) -> Judged:
    """A leg that was filled alone must be completed or taken back in time, and nothing may be left over.

    `uneven` are trades that hold more of one leg, `differing` what ledger and exchange disagree on.
    """
    if lone is None:
        return Judged(False, "no leg was filled alone")
    mends = [intent.purpose for intent in lone.trade.intents if intent.purpose != "open"]
    first, second = held(lone)
    took_ns = mended_ns(lone)
    how = f"{' and '.join(dict.fromkeys(mends))} after {took_ns // MS_NS} ms" if mends else "not mended"
    seen = (
        f"{lone.trade.event_id}: one leg alone, {how}, legs {money_text(first)} and {money_text(second)}, "
        + (f"uneven: {', '.join(uneven)}, " if uneven else "nothing left unhedged, ")
        + _agreement(differing)
    )
    return Judged(bool(mends) and took_ns <= hedge_ns and not uneven and not differing, seen)


# -- a worker --------------------------------------------------------------------------------------------


def judge_replaced(found: Replaced, commits: Sequence[TradeRecord], *, hang: bool) -> Judged:
    """A worker that is gone must be there again, as a new process with a new epoch, and its old books must
    not have been traded on meanwhile, though there was a gap to take. One that hangs must be called HUNG.
    """
    until_ns = found.live_ns or max((commit.decided_ns for commit in commits), default=0)
    traded = traded_on(commits, found.venue, "", found.down_ns, until_ns, epoch=found.epochs[0])
    took_ns = found.live_ns - found.fault_ns
    seen = (
        f"feed-{found.venue}: pid {found.pids[0]} -> {found.pids[1]},"
        f" epoch {found.epochs[0]} -> {found.epochs[1]},"
        f" {f'books LIVE after {took_ns // MS_NS} ms' if found.live_ns else 'books not LIVE again'},"
        f" {len(traded)} orders on old books, the gap {'' if found.taken_again else 'not '}taken on new ones"
        + ((", HUNG" if found.hung else ", not called HUNG") if hang else "")
    )
    replaced = found.pids[1] not in (0, found.pids[0]) and found.epochs[1] == found.epochs[0] + 1
    well = found.live_ns > 0 and found.taken_again and found.hung >= hang
    return Judged(replaced and well and not traded, seen)


# -- the disk --------------------------------------------------------------------------------------------


def judge_outage(found: Outage, halt_ns: int) -> Judged:
    """Without a ledger no order may leave: all are refused, after `halt_ns` it halts, later it trades on."""
    without = sorted(found.placed - found.committed)
    after = f"HALT after {found.halted_after_ns / SECOND_NS:.1f} s" if found.halt_cause else "no HALT"
    seen = (
        f"{len(without)} orders without a committed intent, {found.refused} refused, {after}"
        + (f" ({found.halt_cause})" if found.halt_cause else "")
        + (", traded again after resume" if found.traded_again else ", not traded again")
    )
    halted = "journal" in found.halt_cause and found.halted_after_ns >= halt_ns
    return Judged(not without and found.refused > 0 and halted and found.traded_again, seen)
