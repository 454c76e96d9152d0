"""Settings: how the paper exchange behaves, as [trader] asks for it.

In: the paper_* keys. Out: one frozen value in nanoseconds and millionths. Pure; used by the exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pipeline.config import TraderConfig
from pipeline.paper.latency import NS_A_MS, Latency

PPM_A_PERCENT = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """How the exchange behaves; `_ppm` are probabilities in millionths."""

    latency: Latency
    booking_ns: int
    reject_ppm: int
    leg_failure_ppm: int
    provisional_ns: int
    provisional_failure_ppm: int
    trade_share_ppm: int


def settings_of(config: TraderConfig) -> Settings:
    """The settings that [trader] asks for."""

    def ppm(percent: str) -> int:
        return int(Decimal(percent) * PPM_A_PERCENT)

    return Settings(
        Latency(config.paper_latency_ms, config.paper_latency_p95_ms),
        config.paper_booking_ms * NS_A_MS,
        ppm(config.paper_reject_pct),
        ppm(config.paper_leg_failure_pct),
        config.paper_provisional_ms * NS_A_MS,
        ppm(config.paper_provisional_failure_pct),
        ppm(config.paper_trade_share_pct),
    )
