"""Risk: the gate between an edge and an order. What does not pass every check is never sent.

In: what the last look found, the account, the limits. Out: `Passed` or `Refused`, with the number
that failed and its limit. What is only too large is cut, on both legs alike, priced again and
checked again from the first check to the last. Pure; run by the trader. `approve` makes the only
type a broker takes, and only out of `Passed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext

from pipeline.config import RiskConfig
from pipeline.edge import Edge
from pipeline.model import EXACT, Reason, Scale
from pipeline.model_events import CLOSE
from pipeline.money import to_decimal
from pipeline.pairs_checks import low_edge_bp
from pipeline.trader.broker import Approved, OrderIntent, Refused

HOUR_NS = 3_600 * 10**9
MAX_LEGS = 2
MS_NS = 10**6
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Limits:
    """[risk], ready to compare with: money in dollars, times in ns, `min_profit` a share of the
    cash.
    """

    min_edge_bp: int
    min_profit: Decimal
    min_profit_usd: Decimal
    max_order_usd: Decimal
    max_event_usd: Decimal
    max_exposure_usd: Decimal
    daily_loss_usd: Decimal
    max_consecutive_losses: int
    max_trades_per_hour: int
    max_book_age_ns: int
    max_leg_skew_ns: int
    cooldown_ns: int

    @classmethod
    def of(cls, config: RiskConfig) -> Limits:
        """The limits of a config. Raises decimal.InvalidOperation for text that is no number."""
        return cls(
            min_edge_bp=config.min_edge_bp,
            min_profit=Decimal(config.min_profit_pct).scaleb(-2, EXACT),
            min_profit_usd=Decimal(config.min_profit_usd),
            max_order_usd=Decimal(config.max_order_usd),
            max_event_usd=Decimal(config.max_event_usd),
            max_exposure_usd=Decimal(config.max_exposure_usd),
            daily_loss_usd=Decimal(config.daily_loss_usd),
            max_consecutive_losses=config.max_consecutive_losses,
            max_trades_per_hour=config.max_trades_per_hour,
            max_book_age_ns=config.max_book_age_ms * MS_NS,
            max_leg_skew_ns=config.max_leg_skew_ms * MS_NS,
            cooldown_ns=config.cooldown_ms * MS_NS,
        )


@dataclass(frozen=True, slots=True)
class LookLeg:
    """One leg at the last look. `socket_ns` is when its book's last message was received."""

    venue: str
    market: str
    outcome: str
    action: str
    scale: Scale
    socket_ns: int


@dataclass(frozen=True, slots=True)
class Look:
    """What the last look found. All times are CLOCK_MONOTONIC; `edge` was priced on these very
    books.
    """

    event_id: str
    direction: int
    kind: str
    legs: tuple[LookLeg, ...]
    edge: Edge
    expires_ns: int
    now_ns: int

    @property
    def age_ns(self) -> int:
        """Age of the older book."""
        return self.now_ns - min(leg.socket_ns for leg in self.legs)

    @property
    def skew_ns(self) -> int:
        """How far apart the books are."""
        stamps = [leg.socket_ns for leg in self.legs]
        return max(stamps) - min(stamps)

    @property
    def cash(self) -> Decimal:
        """Dollars that the trade ties up; closing what is held ties up none."""
        return ZERO if self.kind == CLOSE else self.edge.cash

    def venue_cash(self) -> dict[str, Decimal]:
        """Dollars that each venue takes, fees included. What is sold takes none."""
        taken: dict[str, Decimal] = {}
        for leg, priced in zip(self.legs, self.edge.legs, strict=True):
            taken[leg.venue] = EXACT.add(taken.get(leg.venue, ZERO), priced.cash)
        return taken


@dataclass(frozen=True, slots=True)
class Account:
    """Where the trader stands. Exposure and cash count what orders in flight may still take.

    `cash` is free dollars by venue, `inventory` free coins by (venue, market), `held` contracts by
    (event, venue, market, outcome), `day_pnl` results
    and open positions since 00:00 UTC. `trades_ns` are the times of recent trades, `last_trade_ns`
    that of the last one by (event, direction).
    """

    cash: Mapping[str, Decimal]
    exposure: Decimal = ZERO
    event_exposure: Mapping[str, Decimal] = field(default_factory=dict)
    inventory: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    held: Mapping[tuple[str, str, str, str], Decimal] = field(default_factory=dict)
    day_pnl: Decimal = ZERO
    consecutive_losses: int = 0
    trades_ns: Sequence[int] = ()
    last_trade_ns: Mapping[tuple[str, int], int] = field(default_factory=dict)
    in_flight: frozenset[str] = frozenset()
    unhedged: frozenset[str] = frozenset()
    halted: bool = False
    supervisor_alive: bool = True
    journal_ok: bool = True


@dataclass(frozen=True, slots=True)
class Passed:
    """A look that passed every check, with the edge that is to be traded. Made by `gate` alone."""

    look: Look
    kelly_usd: Decimal

    @property
    def edge(self) -> Edge:
        """The edge, cut to size."""
        return self.look.edge


# A check returns the number it looked at, its limit, and whether the number is within it. Times are
# in milliseconds, edges in bp, the rest in dollars, coins or counts.
Verdict = tuple[Decimal, Decimal, bool]
Check = Callable[[Look, Account, Limits, Decimal], Verdict]


def _ms(ns: int) -> Decimal:
    """A time in milliseconds, as people read it."""
    return to_decimal(ns, 6)


def _at_most(value: Decimal | int, limit: Decimal | int) -> Verdict:
    return Decimal(value), Decimal(limit), value <= limit


def _at_least(value: Decimal | int, limit: Decimal | int) -> Verdict:
    return Decimal(value), Decimal(limit), value >= limit


def _below(value: Decimal | int, limit: Decimal | int) -> Verdict:
    return Decimal(value), Decimal(limit), value < limit


def _not_halted(_look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_most(int(account.halted), 0)


def _supervised(_look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_least(int(account.supervisor_alive), 1)


def _journalled(_look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_least(int(account.journal_ok), 1)


def _in_time(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_most(_ms(max(0, look.now_ns - look.expires_ns)), 0)


def _hedged(look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_most(int(look.event_id in account.unhedged), 0)


def _alone(look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_most(int(look.event_id in account.in_flight), 0)


def _cooled(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    last = account.last_trade_ns.get((look.event_id, look.direction))
    since_ns = limits.cooldown_ns if last is None else look.now_ns - last
    return _at_least(_ms(since_ns), _ms(limits.cooldown_ns))


def _fresh(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_most(_ms(look.age_ns), _ms(limits.max_book_age_ns))


def _level(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_most(_ms(look.skew_ns), _ms(limits.max_leg_skew_ns))


def _paired(look: Look, _account: Account, _limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_most(len(look.legs), MAX_LEGS)


def _edge(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_least(low_edge_bp(look.edge), 0 if look.kind == CLOSE else limits.min_edge_bp)


def _profit(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    """With every fee at its high end."""
    share = EXACT.multiply(look.cash, limits.min_profit)
    value, limit, _ = _at_least(look.edge.net_low, max(limits.min_profit_usd, share))
    return value, limit, value >= limit and value > 0


def _day(_look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    return _below(account.day_pnl.copy_negate(), limits.daily_loss_usd)


def _streak(_look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    return _below(account.consecutive_losses, limits.max_consecutive_losses)


def _hourly(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    recent = sum(1 for at_ns in account.trades_ns if look.now_ns - at_ns < HOUR_NS)
    return _below(recent, limits.max_trades_per_hour)


def _order(look: Look, _account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    return _at_most(look.cash, limits.max_order_usd)


def _event(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    held = account.event_exposure.get(look.event_id, ZERO)
    return _free(look) or _at_most(EXACT.add(held, look.cash), limits.max_event_usd)


def _total(look: Look, account: Account, limits: Limits, _kelly: Decimal) -> Verdict:
    return _free(look) or _at_most(EXACT.add(account.exposure, look.cash), limits.max_exposure_usd)


def _free(look: Look) -> Verdict | None:
    """What ties up nothing passes, however much is held: it makes the exposure smaller."""
    return None if look.cash else (ZERO, ZERO, True)


def _cash(look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Verdict:
    """The venue that is short, or the one that takes most."""
    found = [_at_most(taken, account.cash.get(venue, ZERO)) for venue, taken in look.venue_cash().items()]
    return max(found, key=lambda verdict: (not verdict[2], verdict[0]))


def _inventory(look: Look, account: Account, _limits: Limits, _kelly: Decimal) -> Verdict:
    """Of what is sold, that of which least is there: coins, or contracts of a pair that is closed."""
    size = to_decimal(look.edge.size_units, look.edge.size_decimals)
    there = [stock(look.event_id, leg, account) for leg in look.legs if leg.action == "sell"]
    return _at_most(size, min(there)) if there else (ZERO, ZERO, True)


def stock(event_id: str, leg: LookLeg, account: Account) -> Decimal:
    """What is there of a leg to be sold."""
    if leg.outcome == "base":
        return account.inventory.get((leg.venue, leg.market), ZERO)
    return account.held.get((event_id, leg.venue, leg.market, leg.outcome), ZERO)


def _kelly(look: Look, _account: Account, _limits: Limits, kelly: Decimal) -> Verdict:
    value, limit, within = _at_most(look.cash, kelly)
    return value, limit, _free(look) is not None or (within and kelly > 0)


# In this order; the first that fails is the reason given.
CHECKS: Mapping[Reason, Check] = {
    Reason.HALTED: _not_halted,
    Reason.NO_SUPERVISOR: _supervised,
    Reason.JOURNAL: _journalled,
    Reason.EXPIRED: _in_time,
    Reason.UNHEDGED_LEG: _hedged,
    Reason.TOO_MANY_LEGS: _paired,
    Reason.DUPLICATE: _alone,
    Reason.COOLDOWN: _cooled,
    Reason.BOOK_TOO_OLD: _fresh,
    Reason.LEG_SKEW: _level,
    Reason.EDGE_TOO_SMALL: _edge,
    Reason.PROFIT_TOO_SMALL: _profit,
    Reason.DAILY_LOSS: _day,
    Reason.CONSECUTIVE_LOSSES: _streak,
    Reason.TRADES_PER_HOUR: _hourly,
    Reason.ORDER_SIZE: _order,
    Reason.EVENT_EXPOSURE: _event,
    Reason.TOTAL_EXPOSURE: _total,
    Reason.VENUE_CASH: _cash,
    Reason.INVENTORY: _inventory,
    Reason.KELLY_SIZE: _kelly,
}
# Those that a smaller size may pass.
SIZE_REASONS = frozenset(
    {
        Reason.ORDER_SIZE,
        Reason.EVENT_EXPOSURE,
        Reason.TOTAL_EXPOSURE,
        Reason.VENUE_CASH,
        Reason.INVENTORY,
        Reason.KELLY_SIZE,
    }
)
# Those that no size can change. A smaller size has a smaller profit, but often a larger edge.
FIXED_REASONS = frozenset(CHECKS) - SIZE_REASONS - {Reason.EDGE_TOO_SMALL, Reason.PROFIT_TOO_SMALL}


def failures(look: Look, account: Account, limits: Limits, kelly_usd: Decimal) -> list[Refused]:
    """Every check that fails, in order; [] passes. One line each for `run.py why`."""
    found = []
    for reason, check in CHECKS.items():
        value, limit, within = check(look, account, limits, kelly_usd)
        if not within:
            found.append(Refused(reason, value, limit))
    return found


def allowed_cash(limits: Limits, account: Account, event_id: str, kelly_usd: Decimal) -> Decimal:
    """The room for one trade on an event in dollars, both legs with fees; never below 0."""
    with localcontext(EXACT):
        event = limits.max_event_usd - account.event_exposure.get(event_id, ZERO)
        total = limits.max_exposure_usd - account.exposure
        return max(ZERO, min(limits.max_order_usd, event, total, kelly_usd))


def gate(
    look: Look,
    account: Account,
    limits: Limits,
    kelly_usd: Decimal,
    reprice: Callable[[Decimal], Edge | None],
) -> Passed | Refused:
    """Pass a look or refuse it; too large is cut once, and then everything is checked again.

    `reprice(max_cash)` prices the same books for at most that many dollars, and within each venue's
    cash and coins (`edge.evaluate` takes all three); None where no allowed size is left.
    """
    failed = failures(look, account, limits, kelly_usd)
    reasons = {refused.reason for refused in failed}
    if reasons & SIZE_REASONS and not reasons & FIXED_REASONS:
        room = allowed_cash(limits, account, look.event_id, kelly_usd)
        edge = reprice(room) if room > 0 else None
        if edge is None:
            return _tightest(failed)
        look = replace(look, edge=edge)
        failed = failures(look, account, limits, kelly_usd)
    return failed[0] if failed else Passed(look, kelly_usd)


def _tightest(failed: Sequence[Refused]) -> Refused:
    """Of the sizes that are too large, the one that leaves least room: it is what stopped the trade."""
    sized = [refused for refused in failed if refused.reason in SIZE_REASONS]
    return max(sized, key=lambda refused: refused.value - refused.limit)


def approve(
    passed: Passed,
    trade_id: str,
    intents: tuple[OrderIntent, OrderIntent],
    commit: Callable[[], None],
) -> Approved:
    """Commit the intents and make the proof of it: an `Approved` exists only after `commit`
    returned.

    The legs must be those that passed, at the size that passed. What `commit` raises goes through.
    """
    look, edge = passed.look, passed.edge
    size = to_decimal(edge.size_units, edge.size_decimals)
    for intent, leg in zip(intents, look.legs, strict=True):
        order = intent.leg
        assert (order.venue, order.market) == (leg.venue, leg.market), "a leg that was not checked"
        ordered = to_decimal(order.size_units, order.scale.size_decimals)
        assert ordered == size, f"{ordered} ordered, {size} passed"
    commit()
    return Approved(trade_id, look.event_id, look.kind, intents, edge.edge_bp, edge.net, look.cash)
