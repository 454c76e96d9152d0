"""Digital: the model price of "spot is above K at T", from the realised volatility of our own feed.

In: mid prices of a spot book, a strike, the time left. Out: a probability with its uncertainty, and the
edge against an ask. A model, labelled so, and never an arbitrage: floats are right here, and none of
them is booked. Pure; used by the scanner.

    q = N(d2),  d2 = (ln(S / K) - sigma^2 tau / 2) / (sigma sqrt(tau))       (no drift over a short time)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from math import erfc, inf, log, sqrt

SECOND_NS = 10**9
YEAR_S = 365 * 86_400.0
MIN_RETURNS = 30
"""Returns needed before a volatility is believed: its standard error is then 13 % of it."""

ERRORS = 2.0
"""Standard errors of sigma to either side that the interval of a quote spans."""


@dataclass(frozen=True, slots=True)
class Volatility:
    """Realised volatility: `sigma` a year (0.5 is 50 %), its standard `error`, and the returns counted.

    The error sigma / sqrt(2 n) is that of normal returns and of a sigma that stays: real returns have
    fatter tails, and the next hour may be wilder than the last.
    """

    sigma: float
    error: float
    samples: int


@dataclass(frozen=True, slots=True)
class Quote:
    """A probability from 0 to 1 with its bounds, the annual sigma behind it and the returns counted."""

    low: float
    mid: float
    high: float
    sigma: float
    samples: int

    @property
    def ppm(self) -> tuple[int, int, int]:
        """Low, mid and high in millionths: the bounds are rounded outward."""
        rounded = (
            (self.low, ROUND_FLOOR),
            (self.mid, ROUND_HALF_EVEN),
            (self.high, ROUND_CEILING),
        )
        low, mid, high = (int(Decimal(q * 1e6).to_integral_value(rounding=how)) for q, how in rounded)
        return low, mid, high

    @property
    def sigma_ppm(self) -> int:
        """Sigma a year in millionths."""
        return round(self.sigma * 1e6)


class Mids:
    """The last mid price of each step of time, `most` steps at most: one a second hides the bid-ask bounce.

    `add` takes monotonic times that do not go back; a step without a price has no entry.
    """

    def __init__(self, grid_ns: int = SECOND_NS, most: int = 900) -> None:
        self._grid_ns = grid_ns
        self._steps: deque[tuple[int, float]] = deque(maxlen=most)

    def add(self, time_ns: int, mid: float) -> bool:
        """Take a price above 0; whether it begins a new step, so that the volatility is another."""
        step = time_ns // self._grid_ns
        if self._steps and step <= self._steps[-1][0]:
            self._steps[-1] = self._steps[-1][0], mid
            return False
        self._steps.append((step, mid))
        return True

    def clear(self) -> None:
        """Forget everything: what comes next has nothing to do with it (a gap in the feed)."""
        self._steps.clear()

    def volatility(self) -> Volatility | None:
        """Of all steps kept; None for fewer than MIN_RETURNS returns, or a price that never moved.

        The squared returns over the time they took: a step without a price adds time and no return.
        """
        count = len(self._steps) - 1
        if count < MIN_RETURNS:
            return None
        squares = sum(log(after[1] / before[1]) ** 2 for before, after in pairwise(self._steps))
        years = (self._steps[-1][0] - self._steps[0][0]) * self._grid_ns / SECOND_NS / YEAR_S
        sigma = sqrt(squares / years)
        return Volatility(sigma, sigma / sqrt(2 * count), count) if sigma > 0 else None


def above(spot: float, strike: float, sigma: float, tau_s: float) -> float:
    """P(S_T > K) with `tau_s` seconds left and an annual sigma. Without either it is whether S > K now."""
    assert spot > 0, f"a price of {spot}"
    if strike <= 0:
        return 1.0
    return _normal(_d2(log(spot / strike), _spread(sigma, tau_s)))


def quote(
    spot: float,
    strike: float,
    tau_s: float,
    volatility: Volatility,
    basis_bp: float = 0.0,
    *,
    is_above: bool = True,
) -> Quote:
    """P(above the strike), or of not above, with the bounds over sigma's error and the index basis.

    The index that decides may be `basis_bp` of 0.01 % to either side of our spot price.
    """
    sigma, error = volatility.sigma, volatility.error
    ends = max(sigma - ERRORS * error, 0.0), sigma + ERRORS * error
    basis = basis_bp / 10_000
    low = min(above(spot * max(1 - basis, 1e-9), strike, end, tau_s) for end in ends)
    high = _highest(spot * (1 + basis), strike, ends, tau_s)
    mid = above(spot, strike, sigma, tau_s)
    if not is_above:
        low, mid, high = 1 - high, 1 - mid, 1 - low
    return Quote(low, mid, high, sigma, volatility.samples)


def _highest(spot: float, strike: float, sigmas: tuple[float, float], tau_s: float) -> float:
    """The largest probability over a range of sigmas.

    Below the strike it first rises with sigma and then falls: at the peak the spread is
    sqrt(2 ln(K / S)), where d2 has no slope.
    """
    candidates = [above(spot, strike, sigma, tau_s) for sigma in sigmas]
    if 0 < spot < strike:
        peak, low, high = sqrt(2 * log(strike / spot)), *(_spread(sigma, tau_s) for sigma in sigmas)
        if low < peak < high:
            candidates.append(_normal(-peak))
    return max(candidates)


def _spread(sigma: float, tau_s: float) -> float:
    """Standard deviation of the log price after `tau_s` seconds."""
    return sigma * sqrt(max(tau_s, 0.0) / YEAR_S)


def _d2(moneyness: float, spread: float) -> float:
    if spread == 0.0:
        return inf if moneyness > 0 else -inf
    return moneyness / spread - spread / 2


def _normal(x: float) -> float:
    """The standard normal distribution function."""
    return erfc(-x / sqrt(2)) / 2
