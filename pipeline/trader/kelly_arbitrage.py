"""Kelly for an arbitrage: what share of the capital a pair is worth when a leg or the pair itself may fail.

In: the edge, what a lone leg loses, and the probabilities of a lone leg and of venues that decide
differently; all per dollar of the pair's cost. Out: exact fractions. Pure; run by the trader.

    maximise  pi ln(1 + f e) + lambda ln(1 - f l) + delta ln(1 - f L)       pi = 1 - lambda - delta

The growth is concave in f: where its derivative falls through 0 is the best f. Without a mismatch there
is a closed form.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from decimal import Decimal
from fractions import Fraction

Exact = Decimal | Fraction | int

PAIR_LOSS = Decimal("0.98")
"""Share of a pair's cost that is lost, about, where the venues decide differently."""

STEPS = 40
"""Halvings of the bisection: the fraction is rounded down to a multiple of 2^-40."""


def arbitrage_fraction(
    edge: Exact, loss: Exact, leg_risk: Exact, mismatch: Exact, pair_loss: Exact = PAIR_LOSS
) -> Fraction:
    """The f in [0, 1] with the largest growth: the share of the capital to put into the pair's cost.

    `edge` is won with both legs, `loss` lost with one, `pair_loss` lost where the venues disagree, each a
    share of the cost. `leg_risk` and `mismatch` are the probabilities of the latter two. 0 where the pair
    loses on average. Raises ValueError for probabilities that are none, or more than 1 together, and for
    losses below 0.
    """
    odds = _Odds(edge, loss, leg_risk, mismatch, pair_loss)
    if odds.start <= 0:
        return Fraction(0)
    if odds.apart == 0:
        uncapped = odds.leg_risk_fraction()
        return odds.most if uncapped is None else min(uncapped, odds.most)
    return odds.bisect()


def leg_risk_fraction(edge: Exact, loss: Exact, leg_risk: Exact) -> Fraction | None:
    """The best f where the venues surely agree, not capped: (pi e - lambda l) / ((pi + lambda) e l).

    0 where the pair loses on average, None where nothing can be lost: then no f is too large.
    Raises as `arbitrage_fraction`.
    """
    return _Odds(edge, loss, leg_risk, 0, 0).leg_risk_fraction()


def binary_fraction(probability: Exact, cost: Exact) -> Fraction:
    """Kelly for one contract bought at `cost` dollars, fee included: (p - c) / (1 - c), at least 0.

    For a model's edge take the lower bound of its probability. A contract that costs 1 or more gives 0.
    """
    p, c = Fraction(probability), Fraction(cost)
    if p <= c or c >= 1:
        return Fraction(0)
    return (p - c) / (1 - c)


def growth_share(share: Exact) -> Fraction:
    """What betting `share` of Kelly keeps of its growth: k (2 - k). Half keeps 3/4, double nothing."""
    k = Fraction(share)
    return k * (2 - k)


def fall_probability(share: Exact, left: Exact) -> float:
    """Probability of ever falling to `left` of the capital at `share` of Kelly: left^(2/share - 1).

    Halving: 1/2 at full Kelly, 1/8 at half, 1/128 at a quarter; from double Kelly on it is certain. Holds
    for many small bets (Thorp 2006). Raises ValueError for a share of 0 or less and `left` outside (0, 1].
    """
    k, x = Fraction(share), Fraction(left)
    if k <= 0 or not 0 < x <= 1:
        raise ValueError(f"no fall to {left} of the capital at {share} of Kelly")
    exponent = max(2 / k - 1, Fraction(0))
    return math.pow(x, exponent)


class _Odds:
    """The three ends of a pair, exactly. `start` is the growth's derivative at f = 0.

    `most` is the whole capital, or as much of it as cannot lose more than all.
    """

    def __init__(self, edge: Exact, loss: Exact, leg_risk: Exact, mismatch: Exact, pair_loss: Exact) -> None:
        self.edge, self.loss, self.pair_loss = Fraction(edge), Fraction(loss), Fraction(pair_loss)
        self.alone, self.apart = Fraction(leg_risk), Fraction(mismatch)
        self.both = 1 - self.alone - self.apart
        if min(self.alone, self.apart, self.both) < 0:
            raise ValueError(f"no probabilities: leg risk {leg_risk}, mismatch {mismatch}")
        if self.loss < 0 or self.pair_loss < 0:
            raise ValueError(f"a loss is not below 0: {loss}, {pair_loss}")
        self.start = self.both * self.edge - self.alone * self.loss - self.apart * self.pair_loss
        self.most = 1 / max(self.loss, self.pair_loss, Fraction(1))

    def leg_risk_fraction(self) -> Fraction | None:
        """The closed form without mismatch; None where nothing can be lost."""
        if self.start <= 0:
            return Fraction(0)
        if not (self.alone and self.loss):
            return None
        return self.start / ((self.both + self.alone) * self.edge * self.loss)

    def bisect(self) -> Fraction:
        """The largest of STEPS binary digits, at most `most`, where the growth still rises; 0 if none.

        The derivative times the three wealths, which are not below 0 up to `most`, is a parabola in f: it
        has the derivative's sign and no pole, and its coefficients may be brought to whole numbers.
        """
        e, l, lost = self.edge, self.loss, self.pair_loss
        won, alone, apart = self.both * e, self.alone * l, self.apart * lost
        linear = -won * (l + lost) - alone * (e - lost) - apart * (e - l)
        square = won * l * lost + (alone * lost + apart * l) * e
        whole = math.lcm(*(number.denominator for number in (self.start, linear, square)))
        c0, c1, c2 = (int(number * whole) for number in (self.start, linear, square))
        one = 1 << STEPS

        def falls(f: int) -> bool:
            return c0 * one * one + c1 * f * one + c2 * f * f <= 0

        steps = bisect_left(range(int(self.most * one) + 1), True, key=falls)
        return Fraction(max(steps - 1, 0), one)
