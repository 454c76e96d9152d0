"""Triggers: what halts trading by itself.

In: facts of this moment, as the worker knows them, and the limits of the configuration. Out: the causes
that hold, and of those the ones that nobody was told yet. Pure; asked by the trader's worker, which writes
the HALT file. reliability.md 3, kill switch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from pipeline.config import Config
from pipeline.journal_records import SwitchRecord
from pipeline.money import money_text

UNHEDGED, DAILY_LOSS, LOSSES = "unhedged", "daily_loss", "consecutive_losses"
ORDER_RATE, JOURNAL, VERSIONS, RECONCILIATION = "order_rate", "journal", "versions", "reconciliation"
CAUSES = (UNHEDGED, DAILY_LOSS, LOSSES, ORDER_RATE, JOURNAL, VERSIONS, RECONCILIATION)

JOURNAL_NS = 5_000_000_000
"""A journal that cannot be written for so long is no hiccup."""
VERSIONS_NS = 10_000_000_000
"""The supervisor hands a new configuration to all within a second."""
DAY_NS = 86_400_000_000_000
RULE = "rule "
HALTED = "HALT"


@dataclass(frozen=True, slots=True)
class HaltLimits:
    """What the configuration allows: dollars, counts, nanoseconds."""

    hedge_ns: int
    daily_loss_usd: Decimal
    max_consecutive_losses: int
    max_orders_per_second: int
    max_orders_per_minute: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so now. Durations are by CLOCK_MONOTONIC, `wall_ns` says which UTC day it is.

    `unhedged_ns` is how long each trade (or event) has had a leg without its counterpart. `day_pnl` is None
    while it is not known: then nobody halts for it (the gate refuses meanwhile). `consecutive_losses` are
    those since the last resume. `differences` says what our positions and the venue's record disagree on.
    """

    wall_ns: int
    unhedged_ns: Mapping[str, int] = field(default_factory=dict)
    day_pnl: Decimal | None = None
    consecutive_losses: int = 0
    orders_last_second: int = 0
    orders_last_minute: int = 0
    journal_failed_ns: int = 0
    versions_differ_ns: int = 0
    differences: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why trading must halt: `id` is one of CAUSES, `sentence` is for people.

    `key` tells one occurrence from the next: of a daily loss it names the day.
    """

    id: str
    sentence: str
    key: str

    @property
    def who(self) -> str:
        """Who halts, as the HALT file and the journal have it."""
        return RULE + self.key


def halt_limits(config: Config) -> HaltLimits:
    """The limits that the configuration sets."""
    risk = config.risk
    return HaltLimits(
        hedge_ns=round(config.trader.hedge_seconds * 1e9),
        daily_loss_usd=Decimal(risk.daily_loss_usd),
        max_consecutive_losses=risk.max_consecutive_losses,
        max_orders_per_second=risk.max_orders_per_second,
        max_orders_per_minute=risk.max_orders_per_minute,
    )


def triggered(facts: Facts, limits: HaltLimits) -> list[Cause]:
    """Every cause that holds now, in the order of CAUSES."""
    return [*_unhedged(facts, limits), *_losses(facts, limits), *_machinery(facts, limits)]


def _unhedged(facts: Facts, limits: HaltLimits) -> list[Cause]:
    allowed = _seconds(limits.hedge_ns)
    return [
        Cause(
            UNHEDGED,
            f"UNHEDGED: one leg of {name} has stood alone for {_seconds(age_ns)} s, more than {allowed} s",
            f"{UNHEDGED} {name}",
        )
        for name, age_ns in facts.unhedged_ns.items()
        if age_ns > limits.hedge_ns
    ]


def _losses(facts: Facts, limits: HaltLimits) -> list[Cause]:
    found = []
    if facts.day_pnl is not None and facts.day_pnl <= -limits.daily_loss_usd:
        text = (
            f"lost ${money_text(-facts.day_pnl)} since 00:00 UTC, limit ${money_text(limits.daily_loss_usd)}"
        )
        found.append(Cause(DAILY_LOSS, text, f"{DAILY_LOSS} {facts.wall_ns // DAY_NS}"))
    if facts.consecutive_losses >= limits.max_consecutive_losses:
        text = f"{facts.consecutive_losses} losses in a row, limit {limits.max_consecutive_losses}"
        found.append(Cause(LOSSES, text, LOSSES))
    return found


def _machinery(facts: Facts, limits: HaltLimits) -> list[Cause]:
    """What can only be a defect of ours, or of the machine."""
    found = []
    second, minute = limits.max_orders_per_second, limits.max_orders_per_minute
    if facts.orders_last_second > second:
        text = f"{facts.orders_last_second} orders in a second, limit {second}: the gate has failed"
        found.append(Cause(ORDER_RATE, text, ORDER_RATE))
    elif facts.orders_last_minute > minute:
        text = f"{facts.orders_last_minute} orders in a minute, limit {minute}: the gate has failed"
        found.append(Cause(ORDER_RATE, text, ORDER_RATE))
    if facts.journal_failed_ns > JOURNAL_NS:
        text = f"the journal cannot be written for {_seconds(facts.journal_failed_ns)} s"
        found.append(Cause(JOURNAL, text, JOURNAL))
    if facts.versions_differ_ns > VERSIONS_NS:
        text = (
            f"scanner and trader have run with different configurations for "
            f"{_seconds(facts.versions_differ_ns)} s"
        )
        found.append(Cause(VERSIONS, text, VERSIONS))
    if facts.differences:
        text = f"our positions are not the venue's: {facts.differences}"
        found.append(Cause(RECONCILIATION, text, RECONCILIATION))
    return found


def _seconds(ns: int) -> str:
    """Seconds to a tenth, cut down."""
    tenths = ns // 100_000_000
    return f"{tenths // 10}.{tenths % 10}"


class Latch:
    """Which causes were told. Each is told once until it has ended; a daily loss once a UTC day.

    So a person who resumes is not halted again for what was known. `told` are keys of before a restart.
    """

    def __init__(self, told: Iterable[str] = ()) -> None:
        self._told = set(told)

    def new(self, causes: Iterable[Cause], wall_ns: int) -> list[Cause]:
        """The causes that were not told yet; they count as told now."""
        held = list(causes)
        fresh = [cause for cause in held if cause.key not in self._told]
        today = f"{DAILY_LOSS} {wall_ns // DAY_NS}"
        self._told = {cause.key for cause in held} | (self._told & {today})
        return fresh


def told_today(switches: Iterable[SwitchRecord], wall_ns: int) -> set[str]:
    """Keys of the causes for which a rule has halted since 00:00 UTC: what a `Latch` starts with."""
    today = wall_ns // DAY_NS
    return {
        switch.who.removeprefix(RULE)
        for switch in switches
        if switch.state == HALTED and switch.who.startswith(RULE) and switch.wall_ns // DAY_NS == today
    }
