"""Survival: how probably something that has lived so long lives so much longer, from lives that ended.

In: lengths of lives in nanoseconds, each with whether its end was seen or only the sight of it lost
(censored). Out: Kaplan and Meier's estimate of S(t) = P(life > t), exact from samples or from counts in
buckets. Pure; the scanner's race model asks it.

S falls by the factor 1 - d/n at each length at which d of the n lives that got so far ended (Kaplan and
Meier, JASA 53, 1958). From buckets, n is reduced by half of those censored within the bucket, because they
were there for part of it (the life table of Cutler and Ederer, J. Chronic Dis. 8, 1958). At a bucket's
bounds that is exact where nothing was censored in a bucket with deaths, and otherwise lies between the
two orders in which that may have been. Within a bucket, an eighth of its lower bound wide, S is linear in t.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from shm.survival import LIVES, LifeCounts

Sample = tuple[int, bool]
"""Length of a life in nanoseconds, and whether it is censored."""


def kaplan_meier(samples: Iterable[Sample]) -> list[tuple[int, float]]:
    """S after each length at which a life ended, shortest first; before the first it is 1.

    What is censored at the length of a death was still there then.
    """
    ordered = sorted(samples)
    at_risk = len(ordered)
    survival = 1.0
    steps: list[tuple[int, float]] = []
    for length_ns, group in groupby(ordered, key=lambda sample: sample[0]):
        ends = [censored for _, censored in group]
        deaths = ends.count(False)
        if deaths:
            survival *= (at_risk - deaths) / at_risk
            steps.append((length_ns, survival))
        at_risk -= len(ends)
    return steps


class Survival:
    """S(t) of one class as its counts in the buckets of LIVES are now. To make one takes some 20 us."""

    def __init__(self, counts: LifeCounts) -> None:
        ended, censored = list(counts.ended), list(counts.censored)
        self.deaths = sum(ended)
        at_risk = self.deaths + sum(censored)
        survival = 1.0
        # At the lower bound of each bucket, and at the end of the last.
        self._survival = [survival]
        self._at_risk = [at_risk]
        for died, lost in zip(ended, censored, strict=True):
            if died:
                survival *= 1 - died / (at_risk - lost / 2)
            if died or lost:
                at_risk -= died + lost
            self._survival.append(survival)
            self._at_risk.append(at_risk)

    def at_risk(self, age_ns: int) -> int:
        """How many lives got as far as the bucket of this age."""
        return self._at_risk[LIVES.bucket(age_ns)]

    def at(self, age_ns: int) -> float:
        """S at an age; 1 at 0 and below, and the last value there is from LIVES.longest_ns on."""
        if age_ns <= 0:
            return 1.0
        bucket = LIVES.bucket(age_ns)
        lower = LIVES.upper_ns(bucket - 1) if bucket else 0
        share = min(1.0, (age_ns - lower) / (LIVES.upper_ns(bucket) - lower))
        begin, end = self._survival[bucket], self._survival[bucket + 1]
        return begin + (end - begin) * share

    def conditional(self, age_ns: int, more_ns: int) -> float | None:
        """P(lives `more_ns` longer | is this old) = S(age + more) / S(age).

        None where the lives do not say: none is known to have got so old, or all that did were lost from
        sight before the end of `more_ns`.
        """
        until_ns = age_ns + more_ns
        now, then = self.at(age_ns), self.at(until_ns)
        if not now or not self.at_risk(age_ns):
            return None
        if then and not self.at_risk(until_ns):
            return None
        return then / now
