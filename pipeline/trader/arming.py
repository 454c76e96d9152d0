"""Arming: what must happen before real money moves, and which changes of the config count at once.

In: the config that is acted on, a phrase that a person typed, changes, HALT, the time. Out: whether orders
may be sent, and the config to act on. Pure; run by the trader. On paper and in the demo nothing need be
armed and every live key counts at once. There are two steps: `mode = "live"` in the config, and the phrase,
typed by a person who sees the caps. What that gives lives in this process alone, so a restart ends it;
so do HALT, eight hours, and every change but a tighter limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec

from pipeline.config import Config, RiskConfig, sealed

VALID_NS: Final = 8 * 3_600 * 10**9
LIVE: Final = "live"


class Tighter(Enum):
    """Which way a limit gets tighter."""

    LOWER = "lower"
    HIGHER = "higher"


TIGHTER: Final[dict[str, Tighter]] = {
    "min_edge_bp": Tighter.HIGHER,
    "min_profit_pct": Tighter.HIGHER,
    "min_profit_usd": Tighter.HIGHER,
    "max_order_usd": Tighter.LOWER,
    "max_event_usd": Tighter.LOWER,
    "max_exposure_usd": Tighter.LOWER,
    "daily_loss_usd": Tighter.LOWER,
    "max_consecutive_losses": Tighter.LOWER,
    "max_trades_per_hour": Tighter.LOWER,
    "max_book_age_ms": Tighter.LOWER,
    "max_leg_skew_ms": Tighter.LOWER,
    "cooldown_ms": Tighter.HIGHER,
    "probe_usd": Tighter.LOWER,
    "max_market_usd": Tighter.LOWER,
    "max_venue_usd": Tighter.LOWER,
    "max_net_usd": Tighter.LOWER,
    "max_dust_usd": Tighter.LOWER,
    "price_collar_pct": Tighter.LOWER,
    "max_orders_per_second": Tighter.LOWER,
    "max_orders_per_minute": Tighter.LOWER,
    "max_open_orders": Tighter.LOWER,
    "min_race": Tighter.HIGHER,
    "max_mismatch": Tighter.LOWER,
}
"""Every key of [risk]."""


@dataclass(frozen=True, slots=True)
class Effective:
    """The config to act on after a change, whether what was armed still is, and the keys that wait for it
    to be armed again.
    """

    config: Config
    still_armed: bool
    waits: tuple[str, ...] = ()


def effective(old: Config, new: Config, *, live: bool, armed: bool) -> Effective:
    """What of a changed config counts now. `old` is what is acted on, not what was asked for before.

    Live, a limit of [risk] that is tighter counts at once and keeps the arming. Any other change of [risk],
    and every one of fees, events and venues, waits, and disarms: nothing is traded under a config that a
    person wants to be another. The other sections count at once. A config that is made of both has a hash
    of its own.
    """
    if not live:
        return Effective(new, armed)
    risk, waits = _tightened(old.risk, new.risk)
    waits += _changed("fees", old.fees, new.fees)
    waits += _changed("venues", old.venues, new.venues)
    events_by_id = ({event.id: event for event in config.events} for config in (old, new))
    waits += _changed("events", *events_by_id)
    if not waits:
        return Effective(new, armed)
    made = msgspec.structs.replace(new, risk=risk, fees=old.fees, venues=old.venues, events=old.events)
    return Effective(sealed(made), still_armed=False, waits=tuple(waits))


def _tightened(old: RiskConfig, new: RiskConfig) -> tuple[RiskConfig, list[str]]:
    """The old limits with all that are tighter in the new ones, and the names of those that are not."""
    taken: dict[str, Any] = {}
    waits = []
    for key, way in TIGHTER.items():
        before, after = getattr(old, key), getattr(new, key)
        rise = Decimal(after) - Decimal(before)
        if rise == 0 or (rise < 0) == (way is Tighter.LOWER):
            taken[key] = after
        else:
            waits.append(f"risk.{key}")
    return msgspec.structs.replace(old, **taken), waits


def _changed(section: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The tables of a section that are not as they were."""
    names = dict.fromkeys([*old, *new])
    return [f"{section}.{name}" for name in names if old.get(name) != new.get(name)]


def caps(config: Config) -> str:
    """What an armed trader may do at most, for whoever is to type the phrase."""
    risk = config.risk
    return (
        f"at most ${risk.max_order_usd} a trade, ${risk.max_event_usd} an event,"
        f" ${risk.max_venue_usd} a venue, ${risk.max_exposure_usd} in all;"
        f" stops after ${risk.daily_loss_usd} lost in a day or {risk.max_consecutive_losses} losses in a row"
    )


def phrase(config: Config) -> str:
    """What has to be typed. It names the account and what is at stake, so it cannot be typed from habit."""
    return f"trade {config.account} with ${config.risk.max_exposure_usd}"


class Arming:
    """Whether a trader may send orders. `live` is whether it trades real money."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._hash = ""
        self._until_ns = 0
        self.why = "not armed since the start" if live else ""

    def arm(self, typed: str, config: Config, now_ns: int, *, halted: bool, keys: bool) -> str:
        """Arm for eight hours under this config; "" or what is in the way. Spaces do not matter.

        `keys` is whether the venues' trading keys are there. `now_ns` is CLOCK_MONOTONIC.
        """
        if not self._live or config.mode != LIVE:
            return "nothing to arm: this is not live"
        if not keys:
            return "a venue's trading keys are missing"
        if halted:
            return "trading is halted: resume first"
        if " ".join(typed.split()) != phrase(config):
            return f'the phrase is "{phrase(config)}"'
        self._hash, self._until_ns, self.why = config.hash, now_ns + VALID_NS, ""
        return ""

    def disarm(self, why: str) -> None:
        """End it; the first reason stays."""
        if self._live and self._until_ns:
            self._hash, self._until_ns, self.why = "", 0, why

    def adopt(self, change: Effective) -> None:
        """Follow a change of the config: a tighter limit keeps the arming, anything else ends it."""
        if change.still_armed and self._until_ns:
            self._hash = change.config.hash
        else:
            self.disarm("the config changed: " + ", ".join(change.waits))

    def armed(self, config: Config, now_ns: int, *, halted: bool) -> bool:
        """Whether orders may be sent under this config now; asked before each. HALT and time disarm."""
        if not self._live:
            return True
        if halted:
            self.disarm("halted")
        elif now_ns >= self._until_ns:
            self.disarm("eight hours are over")
        return self._until_ns > 0 and self._hash == config.hash
