"""Looks, accounts and orders for tests of the risk gate: a plain pair that passes, to be spoiled at will."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from pipeline.config import Config, RiskConfig, TraderConfig
from pipeline.edge import Edge, EdgeLeg, evaluate
from pipeline.model import FeeKind, FeeSchedule, MarketStatus, Scale
from pipeline.model_events import CLOSE, SPOT
from pipeline.trader.plan import TAKER
from pipeline.trader.risk import Account, Limits, Look, LookLeg

D = Decimal
NOW = 10**15
SCALE = Scale(6, 2)
VENUES = ("kalshi", "polymarket")
MARKETS = ("K", "P")
GRID, LOT = 10_000, 1
CONFIG = Config(risk=RiskConfig(max_order_usd="25"), trader=TraderConfig(mode="both"))
LIMITS = Limits.of(CONFIG)
KELLY = D(25)
ACCOUNT = Account(cash={"kalshi": D(100), "polymarket": D(100)})
FREE = FeeSchedule(FeeKind.BPS)
BUY = EdgeLeg(((480_000, 1000), (490_000, 3000)), SCALE, FREE)
SELL = EdgeLeg(((550_000, 1500), (530_000, 3000)), SCALE, FREE)


def how(kind: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Action and outcome of both legs: NO is bought for a pair, coins and pairs that are held are sold."""
    if kind == SPOT:
        return ("buy", "base"), ("sell", "base")
    action = "sell" if kind == CLOSE else "buy"
    return (action, "yes"), (action, "no")


def priced(kind="binary", buy=BUY, sell=SELL, size=None, max_cash=None, cash=None) -> Edge | None:
    """The edge of two ladders; a pair that is closed is given up for what it would pay."""
    legs = tuple(
        replace(leg, action=action, outcome=outcome)
        for leg, (action, outcome) in zip((buy, sell), how(kind), strict=True)
    )
    payoff = D({SPOT: 0, CLOSE: -1}.get(kind, 1))
    return evaluate(legs, payoff, max_size_units=size, max_cash=max_cash, cash=cash)


def within(kind="binary", buy=BUY, sell=SELL):
    """A `reprice` of these ladders."""
    return lambda rooms: priced(kind, buy, sell, rooms.units(2), rooms.total, rooms.per_leg)


def look_legs(first_ns=NOW - 10**6, second_ns=NOW, kind="binary", **changes) -> tuple[LookLeg, ...]:
    """Both legs as they were looked at; `changes` are of both."""
    best = BUY.ladder[0][0], SELL.ladder[0][0]
    plain = zip(VENUES, MARKETS, how(kind), (first_ns, second_ns), best, strict=True)
    return tuple(
        replace(
            LookLeg(
                venue, market, outcome, action, SCALE, at_ns, ticks, GRID, LOT, 1, 0, MarketStatus.OPEN, True
            ),
            **changes,
        )
        for venue, market, (action, outcome), at_ns, ticks in plain
    )


def a_look(edge=None, kind="binary", **changes) -> Look:
    """A look that passes."""
    look = Look(
        event_id="e",
        direction=0,
        kind=kind,
        legs=look_legs(kind=kind),
        edge=edge or priced(kind, max_cash=D(10)),
        expires_ns=NOW + 1,
        now_ns=NOW,
        mode=TAKER,
        race_ppm=900_000,
        mismatch=D(0),
        reviewed=True,
    )
    return replace(look, **changes)


def thin(**numbers) -> Look:
    """A look whose edge has these numbers."""
    return a_look(replace(a_look().edge, **numbers))


def spoiled(number: int, **changes) -> Look:
    """A look of which one leg is other than it should be."""
    legs = list(look_legs())
    legs[number] = replace(legs[number], **changes)
    return a_look(legs=tuple(legs))
