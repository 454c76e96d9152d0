"""Latency: how long an order, or a cancel, takes to its venue.

In: a median and a 95th percentile, a source of chance. Out: nanoseconds, lognormally distributed: never
negative, mostly near the median, now and then very late, as measured delays of requests are. Pure; used by
the paper exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from random import Random

Z95 = 1.6448536269514722
"""The 95th percentile of the standard normal distribution."""

NS_A_MS = 1_000_000
MAX_NS = 600_000_000_000
"""No draw is longer than ten minutes."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A lognormal delay; `p95_ms` 0 is twice the median, one below the median is no spread at all."""

    median_ms: int
    p95_ms: int = 0

    def draw(self, random: Random) -> int:
        """A delay in nanoseconds: exp(N(ln median, sigma)) with sigma = ln(p95 / median) / z95."""
        if not self.median_ms:
            return 0
        slow_ms = self.p95_ms or 2 * self.median_ms
        sigma = max(0.0, log(slow_ms / self.median_ms)) / Z95
        drawn = random.lognormvariate(log(self.median_ms * NS_A_MS), sigma)
        return min(MAX_NS, round(drawn))
