"""Risk checks: every question that is asked before an order is sent, each with its reason and its limit.

In: the last look, the account, the limits. Out: the number that failed and the limit it failed, or None
where it passes. Pure; asked by `risk.gate`, all of them, in the order of `CHECKS`. Times are told in ms,
edges in bp, shares in per cent, the rest in dollars, coins or counts. A check's id is its `Reason`; the
trader counts refusals as `rejected.REASON`, and the sentences for people stand in `dashboard.reasons`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from pipeline.edge import LegEdge
from pipeline.model import MarketStatus, Reason
from pipeline.model_events import CLOSE
from pipeline.money import to_decimal
from pipeline.pairs_checks import Verdict, below_hurdle, no_edge, outweighed, small_edge, small_profit
from pipeline.trader.risk_limits import ONE_PPM, ZERO, Account, Limits, Look, LookLeg
from pipeline.trader.risk_sizes import SIZES, Claims, worst

SECOND_NS: Final = 10**9
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 3_600 * SECOND_NS
MAX_LEGS: Final = 2
ORDERS_A_TRADE: Final = 3
"""Orders that a trade may send within a moment: its two legs and one that hedges or unwinds."""
OPEN_A_TRADE: Final = 2
"""Orders of a trade that may be open at a time: its legs, or a quote and its hedge."""

Failed = tuple[Decimal, Decimal] | None
"""The number that failed and its limit; None where the check passes."""
Check = Callable[[Look, Account, Limits, Decimal], Failed]


# -- how numbers are compared --------------------------------------------------------------------


def _at_most(value: Decimal | int, limit: Decimal | int) -> Failed:
    return None if value <= limit else (Decimal(value), Decimal(limit))


def _at_least(value: Decimal | int, limit: Decimal | int) -> Failed:
    return None if value >= limit else (Decimal(value), Decimal(limit))


def _below(value: Decimal | int, limit: Decimal | int) -> Failed:
    return None if value < limit else (Decimal(value), Decimal(limit))


def _numbers(verdict: Verdict | None) -> Failed:
    """The numbers of a check that the scanner asks too."""
    return None if verdict is None else (verdict.value, verdict.limit)


def _at_most_ns(value_ns: int, limit_ns: int) -> Failed:
    """Times are compared in nanoseconds, and told in milliseconds, as people read them."""
    return None if value_ns <= limit_ns else (to_decimal(value_ns, 6), to_decimal(limit_ns, 6))


def _since(stamps: Sequence[int], now_ns: int, window_ns: int) -> int:
    """How many of the stamps, oldest first, are younger than the window."""
    return len(stamps) - bisect_right(stamps, now_ns - window_ns)


# -- whether anything may be sent now ------------------------------------------------------------


def _not_halted(_look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most(int(account.halted), 0)


def _armed(_look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_least(int(account.armed), 1)


def _supervised(_look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_least(int(account.supervisor_alive), 1)


def _journalled(_look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_least(int(account.journal_ok), 1)


def _resolved(_look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most(account.unresolved, 0)


def _mode(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _at_least(int(look.mode in limits.modes), 1)


def _in_time(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most_ns(look.now_ns - look.expires_ns, 0)


# -- whether this trade may be sent at all -------------------------------------------------------


def _hedged(look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most(int(look.event_id in account.unhedged), 0)


def _net(_look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most(account.net_exposure, limits.max_net_usd)


def _paired(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most(len(look.legs), MAX_LEGS)


def _open(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    """The status of the first market that is not open; one that nobody knows is not."""
    for leg in look.legs:
        if not leg.is_open:
            return Decimal(leg.status), Decimal(MarketStatus.OPEN)
    return None


def _reviewed(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_least(int(look.reviewed), 1)


def _fees(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most(sum(not leg.fee_known for leg in look.legs), 0)


def _alone(look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most(int(look.event_id in account.in_flight), 0)


def _cooled(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    last = account.last_trade_ns.get((look.event_id, look.direction))
    if last is None or look.now_ns - last >= limits.cooldown_ns:
        return None
    return to_decimal(look.now_ns - last, 6), to_decimal(limits.cooldown_ns, 6)


def _second(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    sent = _since(account.orders_ns, look.now_ns, SECOND_NS)
    return _at_most(sent + ORDERS_A_TRADE, limits.max_orders_per_second)


def _minute(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    sent = _since(account.orders_ns, look.now_ns, MINUTE_NS)
    return _at_most(sent + ORDERS_A_TRADE, limits.max_orders_per_minute)


def _hourly(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _below(_since(account.trades_ns, look.now_ns, HOUR_NS), limits.max_trades_per_hour)


def _open_orders(_look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most(account.open_orders + OPEN_A_TRADE, limits.max_open_orders)


def _fresh(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most_ns(look.age_ns, limits.max_book_age_ns)


def _level(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _at_most_ns(look.skew_ns, limits.max_leg_skew_ns)


def _race(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _at_least(to_decimal(look.race_ppm, 6), limits.min_race)


def _day(_look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    """A result that nobody knows counts as the limit reached."""
    lost = limits.daily_loss_usd if account.day_pnl is None else account.day_pnl.copy_negate()
    return _below(lost, limits.daily_loss_usd)


def _streak(_look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _below(account.consecutive_losses, limits.max_consecutive_losses)


# -- whether the edge and the orders are right: a smaller size may be ------------------------------


def _no_edge(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    return _numbers(no_edge(look.edge))


def _edge(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _numbers(small_edge(look.edge, look.kind, limits.min_edge_bp))


def _profit(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _numbers(small_profit(look.edge, look.kind, limits.min_profit_usd, limits.min_profit_pct))


def _mismatch(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    if look.kind == CLOSE:
        return None
    return _at_most(look.mismatch, limits.max_mismatch) or _numbers(
        outweighed(look.edge, look.kind, look.mismatch)
    )


def _hurdle(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    return _numbers(below_hurdle(look.edge, look.kind, limits.hurdle_pct, look.left_ns))


def _priced(look: Look) -> Iterator[tuple[LookLeg, LegEdge]]:
    return zip(look.legs, look.edge.legs, strict=True)


def _possible(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    """A price is above 0, a contract's below a dollar too: there it is decided."""
    for leg, priced in _priced(look):
        dollar = 10**leg.scale.price_decimals
        if priced.limit_ticks <= 0 or (leg.is_contract and priced.limit_ticks >= dollar):
            return to_decimal(priced.limit_ticks, leg.scale.price_decimals), Decimal(1)
    return None


def _collar(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Failed:
    """How far the worse of the orders is off its best price, in per cent: of a dollar for contracts, of that
    price for coins.
    """
    worst = ZERO
    for leg, priced in _priced(look):
        if leg.best_ticks <= 0:
            return Decimal(100), limits.price_collar_pct
        whole = int(10**leg.scale.price_decimals) if leg.is_contract else leg.best_ticks
        off = abs(priced.limit_ticks - leg.best_ticks)
        if 100 * off > limits.price_collar_pct * whole:
            worst = max(worst, Decimal(100 * off) / whole)
    return (worst, limits.price_collar_pct) if worst else None


def _units(look: Look, leg: LookLeg) -> tuple[int, int]:
    """The size on the leg's own scale, and what of it is finer than that."""
    return divmod(look.edge.size_units, int(10 ** (look.edge.size_decimals - leg.scale.size_decimals)))


def _on_grid(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    """How many of the prices and sizes are off their venue's grid."""
    off = 0
    for leg, priced in _priced(look):
        units, rest = _units(look, leg)
        off += priced.limit_ticks % (leg.grid_ticks or 1) != 0
        off += rest != 0 or units % (leg.lot_units or 1) != 0
    return _at_most(off, 0)


def _minimum(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Failed:
    """The size, or what it is worth without fees, of the first leg that is too small for its venue."""
    for leg, priced in _priced(look):
        (units, _), scale = _units(look, leg), leg.scale
        least = max(1, leg.min_units)
        if units < least:
            return to_decimal(units, scale.size_decimals), to_decimal(least, scale.size_decimals)
        # A NO is worth the rest of a dollar.
        dollar = int(10**scale.price_decimals)
        own = ((dollar - ticks if leg.outcome == "no" else ticks, size) for ticks, size in priced.fills)
        decimals = scale.price_decimals + scale.size_decimals
        worth = sum(ticks * size for ticks, size in own)
        if worth * ONE_PPM < leg.min_cost_micros * 10**decimals:
            return to_decimal(worth, decimals), to_decimal(leg.min_cost_micros, 6)
    return None


# -- all of them ---------------------------------------------------------------------------------


def _sized(claims: Claims) -> Check:
    """The check that nothing which a trade claims is more than there is."""

    def check(look: Look, account: Account, limits: Limits, kelly: Decimal) -> Failed:
        found = worst(claims(look, account, limits, kelly))
        return None if found is None else (found.value, found.limit)

    return check


_FIXED: Mapping[Reason, Check] = {
    Reason.HALTED: _not_halted,
    Reason.NOT_ARMED: _armed,
    Reason.NO_SUPERVISOR: _supervised,
    Reason.JOURNAL: _journalled,
    Reason.UNRESOLVED: _resolved,
    Reason.OTHER_MODE: _mode,
    Reason.EXPIRED: _in_time,
    Reason.UNHEDGED_LEG: _hedged,
    Reason.NET_EXPOSURE: _net,
    Reason.TOO_MANY_LEGS: _paired,
    Reason.MARKET_CLOSED: _open,
    Reason.NOT_REVIEWED: _reviewed,
    Reason.FEE_UNKNOWN: _fees,
    Reason.DUPLICATE: _alone,
    Reason.COOLDOWN: _cooled,
    Reason.ORDERS_PER_SECOND: _second,
    Reason.ORDERS_PER_MINUTE: _minute,
    Reason.TRADES_PER_HOUR: _hourly,
    Reason.OPEN_ORDERS: _open_orders,
    Reason.BOOK_TOO_OLD: _fresh,
    Reason.LEG_SKEW: _level,
    Reason.RACE_LOST: _race,
    Reason.DAILY_LOSS: _day,
    Reason.CONSECUTIVE_LOSSES: _streak,
}
_OF_THE_EDGE: Mapping[Reason, Check] = {
    Reason.NO_EDGE: _no_edge,
    Reason.EDGE_TOO_SMALL: _edge,
    Reason.PROFIT_TOO_SMALL: _profit,
    Reason.MISMATCH: _mismatch,
    Reason.BELOW_HURDLE: _hurdle,
    Reason.NOT_TRADABLE: _possible,
    Reason.PRICE_COLLAR: _collar,
    Reason.OFF_GRID: _on_grid,
    Reason.BELOW_MINIMUM: _minimum,
}
CHECKS: Mapping[Reason, Check] = {
    **_FIXED,
    **_OF_THE_EDGE,
    **{reason: _sized(claims) for reason, claims in SIZES.items()},
}
"""In this order; the first that fails is the reason given."""
FIXED_REASONS: Final = frozenset(_FIXED)
"""Those that no size can change. A smaller size has a smaller profit, but often a larger edge, and it walks
less deep into the book."""
SIZE_REASONS: Final = frozenset(SIZES)
"""Those that a smaller size may pass."""
