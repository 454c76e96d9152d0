"""Risk: the gate between an edge and an order. What does not pass every check is never sent.

In: what the last look found, the account, the limits. Out: `Passed` or `Refused`, with the number that
failed and its limit. What is only too large is cut, on both legs alike, priced again and checked again from
the first check to the last. Pure; run by the trader.

`approve`, `approve_repair` and `approve_flatten` make the only type that a broker takes: out of `Passed`, for
an order that makes what stands without a hedge smaller, or for orders that sell what is held; always after
the intents were committed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from pipeline.edge import Edge
from pipeline.model import Reason
from pipeline.model_events import CLOSE, OrderLeg
from pipeline.money import to_decimal
from pipeline.trader.broker import REPAIRS, Approved, OrderIntent, Purpose, Refused, Style
from pipeline.trader.plan import MAKER_HEDGE
from pipeline.trader.risk_checks import CHECKS, FIXED_REASONS, HOUR_NS, SIZE_REASONS
from pipeline.trader.risk_limits import ZERO, Account, Limits, Look, LookLeg
from pipeline.trader.risk_sizes import SIZES, Claim, Rooms, rooms, worst

__all__ = [
    "CHECKS",
    "FIXED_REASONS",
    "HOUR_NS",
    "SIZE_REASONS",
    "Account",
    "Limits",
    "Look",
    "LookLeg",
    "Passed",
    "Rooms",
    "approve",
    "approve_flatten",
    "approve_repair",
    "failures",
    "gate",
    "rooms",
    "short_of_cash",
]


@dataclass(frozen=True, slots=True)
class Passed:
    """A look that passed every check, with the edge that is to be traded. Made by `gate` alone."""

    look: Look
    kelly_usd: Decimal

    @property
    def edge(self) -> Edge:
        """The edge, cut to size."""
        return self.look.edge


def failures(look: Look, account: Account, limits: Limits, kelly_usd: Decimal) -> list[Refused]:
    """Every check that fails, in order; [] passes. One line each for `run.py why`."""
    found = []
    for reason, check in CHECKS.items():
        failed = check(look, account, limits, kelly_usd)
        if failed is not None:
            found.append(Refused(reason, *failed))
    return found


def gate(
    look: Look,
    account: Account,
    limits: Limits,
    kelly_usd: Decimal,
    reprice: Callable[[Rooms], Edge | None],
) -> Passed | Refused:
    """Pass a look or refuse it; too large is cut once, and then everything is checked again.

    `reprice(rooms)` prices the same books within the rooms (`Priced.within` takes all three); None where no
    size that the venues accept is left: then the limit that left least is the reason.
    """
    failed = failures(look, account, limits, kelly_usd)
    reasons = {refused.reason for refused in failed}
    if reasons & SIZE_REASONS and not reasons & FIXED_REASONS:
        left = rooms(look, account, limits, kelly_usd)
        edge = reprice(left) if left.any else None
        if edge is None:
            return _tightest(look, account, limits, kelly_usd)
        look = replace(look, edge=edge)
        failed = failures(look, account, limits, kelly_usd)
    return failed[0] if failed else Passed(look, kelly_usd)


def short_of_cash(look: Look, account: Account, limits: Limits, kelly_usd: Decimal) -> dict[str, Decimal]:
    """Dollars that the look, uncut, wants at each venue that has less, where of all limits of size cash is
    what suffices least; {} where another limit does, or nothing is too large.
    """
    found = _least_room(look, account, limits, kelly_usd)
    if found is None or found[0] is not Reason.VENUE_CASH:
        return {}
    wanted = look.venue_cash().items()
    return {venue: amount for venue, amount in wanted if amount > max(ZERO, account.cash.get(venue, ZERO))}


def _tightest(look: Look, account: Account, limits: Limits, kelly_usd: Decimal) -> Refused:
    """The limit that leaves least of a trade which is too large, as the reason of its refusal."""
    found = _least_room(look, account, limits, kelly_usd)
    assert found is not None, "cut, but nothing is too large"
    reason, claim = found
    return Refused(reason, claim.value, claim.limit)


def _least_room(
    look: Look, account: Account, limits: Limits, kelly_usd: Decimal
) -> tuple[Reason, Claim] | None:
    """Of the limits that the trade is too large for, the one with room for the least part of it."""
    found: tuple[Reason, Claim] | None = None
    for reason, claims in SIZES.items():
        claim = worst(claims(look, account, limits, kelly_usd))
        if claim is not None and (found is None or claim.tighter(found[1])):
            found = reason, claim
    return found


def approve(
    passed: Passed,
    trade_id: str,
    intents: tuple[OrderIntent, ...],
    commit: Callable[[], object],
) -> Approved:
    """Commit the orders that open a trade and make the proof of it: an `Approved` exists only after `commit`
    returned. What `commit` raises goes through.

    One order or two, of different legs, each the leg that passed at the size and limit that passed: for a
    taker both, or the one that is sent first (the other is then a HEDGE, see `approve_repair`); for a quote
    the leg that was priced to rest, with a time at which its venue ends it.
    """
    look = passed.look
    quoted = look.mode == MAKER_HEDGE
    assert 1 <= len(intents) <= (1 if quoted else 2), f"{len(intents)} orders in mode {look.mode}"
    assert len({intent.leg for intent in intents}) == len(intents), "a leg twice"
    opening = Purpose.CLOSE if look.kind == CLOSE else Purpose.OPEN
    for intent in intents:
        assert 0 <= intent.leg < len(look.legs), f"there is no leg {intent.leg}"
        assert intent.purpose is (Purpose.QUOTE if quoted else opening), f"{intent.purpose} in {look.mode}"
        assert intent.style is (Style.MAKER if quoted else Style.IOC), f"{intent.style} in {look.mode}"
        if quoted:
            assert intent.leg == look.quoted, "a leg that was not priced to rest"
            assert intent.expires_ns > look.now_ns, "a quote that its venue would never end"
        _as_passed(intent.order, look, intent.leg)
    commit()
    return Approved(trade_id, look.event_id, intents)


def _as_passed(order: OrderLeg, look: Look, number: int) -> None:
    """Assert that an order is what was checked."""
    leg, priced = look.legs[number], look.edge.legs[number]
    ordered = order.venue, order.market, order.outcome, order.action, order.scale
    checked = leg.venue, leg.market, leg.outcome, leg.action, leg.scale
    assert ordered == checked, f"{ordered} ordered, {checked} passed"
    size = to_decimal(order.size_units, order.scale.size_decimals)
    assert size == look.size, f"{size} ordered, {look.size} passed"
    assert order.limit_ticks == priced.limit_ticks, f"{order.limit_ticks}, {priced.limit_ticks} passed"


def approve_repair(
    trade_id: str,
    event_id: str,
    excess: Decimal,
    intent: OrderIntent,
    commit: Callable[[], object],
    *,
    journal_ok: bool,
) -> Approved | Refused:
    """Commit an order that hedges or takes back what one leg has more than the other, and approve it.

    It passes in HALT, disarmed and over every limit, for it makes what is at stake smaller: it is never
    larger than `excess` (contracts or coins). Only a journal that cannot be written refuses it.
    """
    if not journal_ok:
        return Refused(Reason.JOURNAL, Decimal(0), Decimal(1))
    order = intent.order
    assert intent.purpose in REPAIRS, f"{intent.purpose} repairs nothing"
    assert intent.style is Style.IOC, "a repair that rests is none"
    size = to_decimal(order.size_units, order.scale.size_decimals)
    assert 0 < size <= excess, f"{size} ordered, {excess} without a hedge"
    dollar = 10**order.scale.price_decimals
    assert order.limit_ticks > 0, "a price of nothing"
    assert order.outcome == "base" or order.limit_ticks < dollar, "a contract for a dollar"
    commit()
    return Approved(trade_id, event_id, (intent,))


def approve_flatten(
    trade_id: str,
    event_id: str,
    held: Decimal,
    intents: tuple[OrderIntent, ...],
    commit: Callable[[], object],
) -> Approved:
    """Commit orders by which a person has what is held of an event sold, and approve them: one, or two of
    equal size for a pair. What `commit` raises goes through.

    Like a repair it passes in HALT and over every limit, for it makes what is at stake smaller: it is never
    larger than `held`, the contracts that each of its legs has.
    """
    assert 1 <= len(intents) <= 2, f"{len(intents)} orders"
    sizes = {to_decimal(each.order.size_units, each.order.scale.size_decimals) for each in intents}
    assert len(sizes) == 1, f"a pair of {sizes}"
    assert len({intent.leg for intent in intents}) == len(intents), "a leg twice"
    for intent in intents:
        order = intent.order
        assert intent.purpose is Purpose.CLOSE and order.action == "sell", f"{order.action} closes nothing"
        assert intent.style is Style.IOC, "it is sold at once, or not"
        assert 0 < order.limit_ticks < 10**order.scale.price_decimals, "a contract for nothing or a dollar"
    assert 0 < sizes.pop() <= held, "more than is held"
    commit()
    return Approved(trade_id, event_id, intents)
