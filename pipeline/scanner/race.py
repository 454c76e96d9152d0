"""Race: how probably an opportunity is still there when our orders land.

In: at each evaluation whether a direction is an opportunity, with the time; lives kept from before. Out: its
age, the probability with the number of lives that it rests on, a `LifeRow` when it ends, and how good past
predictions were. Pure but for the counts, which lie in the scanner's segment; run by the scanner.

An opportunity is born when it first leaves a net after the dearest fees and its books are believed, and dies
when the prices no longer leave one. Where it is only lost from sight (a dead feed, a closed market, our own
end) its life is censored. P(still there `latency` on | lived `age`) = S(age + latency) / S(age), S being the
survival curve of its class. How old the last message is has no part in it: a quiet book keeps its price.

A class is the kind, both venues, and two buckets: of the edge and of the cash that takes it. Where too few
lives of the class got so old, those of the kind and venues answer, and else a prior with a true half-life:
2^(-latency / half-life).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.model import Reason
from pipeline.survival import Survival
from shm.records import LifeRow
from shm.survival import SurvivalTable

MAX_ALIVE = 8_192
"""Most opportunities that are followed at once: more than there are directions."""

EDGE_BOUNDS_BP = (10, 50, 250)
CASH_BOUNDS_MICROS = (10_000_000, 100_000_000, 1_000_000_000)
"""Bounds of the buckets: an edge of 10, 50 and 250 bp; $10, $100 and $1,000 of cash."""

DEATHS = frozenset(
    (
        Reason.NO_EDGE,
        Reason.EDGE_TOO_SMALL,
        Reason.PROFIT_TOO_SMALL,
        Reason.BELOW_MINIMUM,
        Reason.BELOW_HURDLE,
        Reason.ONE_SIDED,
    )
)
"""Reasons of a death: prices or sizes moved. Under any other the opportunity is lost from sight."""

PPM = 1_000_000

Key = tuple[str, int]
"""Event id and number of the direction."""


class RaceClass(NamedTuple):
    """What opportunities have in common that live alike. Made by `race_class`."""

    kind: str
    buy_venue: str
    sell_venue: str
    edge: int
    cash: int

    @property
    def labels(self) -> tuple[str, str]:
        """The name of the class, and of the coarser one of kind and venues alone."""
        coarse = f"{self.kind} {self.buy_venue} {self.sell_venue}"
        return f"{coarse} {self.edge} {self.cash}", coarse


def race_class(kind: str, buy_venue: str, sell_venue: str, edge_bp: int, cash_micros: int) -> RaceClass:
    """The class of an opportunity with this edge and this much cash at its best size."""
    edge, cash = bisect_right(EDGE_BOUNDS_BP, edge_bp), bisect_right(CASH_BOUNDS_MICROS, cash_micros)
    return RaceClass(kind, buy_venue, sell_venue, edge, cash)


class RaceOdds(NamedTuple):
    """A probability in millionths. `lives` of them got as old as this one; 0 where it is the prior."""

    ppm: int
    lives: int

    @property
    def prior(self) -> bool:
        """Whether this is the half-life from the config and no measurement."""
        return not self.lives


class Score(NamedTuple):
    """How past predictions did, in millionths: what was said and what came on average, and the mean square
    of the difference of each (Brier, Monthly Weather Review 78, 1950): 0 at best; 250,000 is always saying
    one half. All 0 where `predictions` is 0.
    """

    predictions: int
    brier_ppm: int
    said_ppm: int
    came_ppm: int


@dataclass(slots=True)
class _Life:
    class_: RaceClass
    born_ns: int
    best_edge_bp: int
    best_net_micros: int
    size_units: int
    size_decimals: int
    # One prediction at a time waits for its outcome.
    due_ns: int = 0
    said_ppm: int = -1


class Race:
    """Follows opportunities from birth to death. `race_min` lives are needed before a class is asked.

    `unfollowed` counts those that came when MAX_ALIVE were followed already.
    """

    def __init__(self, table: SurvivalTable, half_life_ns: int, race_min: int) -> None:
        self._table = table
        self.set_limits(half_life_ns, race_min)
        self._alive: dict[Key, _Life] = {}
        self._curves: dict[str, Survival] = {}
        self._sequence = 0
        self._predictions = self._came = self._said_ppm = self._squares = 0
        self.unfollowed = 0

    def set_limits(self, half_life_ns: int, race_min: int) -> None:
        """Act on a new configuration."""
        assert half_life_ns > 0 and race_min > 0, (half_life_ns, race_min)
        self._half_life_ns = half_life_ns
        self._race_min = race_min

    def seen(
        self,
        key: Key,
        now_ns: int,
        class_: RaceClass,
        edge_bp: int,
        net_micros: int,
        size_units: int,
        size_decimals: int,
    ) -> int:
        """An evaluation found an opportunity; returns when it was born. Its class is that at birth."""
        life = self._alive.get(key)
        if life is None:
            if len(self._alive) >= MAX_ALIVE:
                self.unfollowed += 1
            else:
                self._alive[key] = _Life(class_, now_ns, edge_bp, net_micros, size_units, size_decimals)
            return now_ns
        if life.said_ppm >= 0 and now_ns >= life.due_ns:
            self._judge(life, came=True)
        if net_micros > life.best_net_micros:
            life.best_net_micros = net_micros
            life.size_units, life.size_decimals = size_units, size_decimals
        life.best_edge_bp = max(life.best_edge_bp, edge_bp)
        return life.born_ns

    def gone(self, key: Key, now_ns: int, reason: Reason) -> LifeRow | None:
        """An evaluation found none, or the direction is no more; the life that this ends, if there is one.

        It is a death where `reason` is in DEATHS and else censored.
        """
        life = self._alive.pop(key, None)
        if life is None:
            return None
        censored = reason not in DEATHS
        if life.said_ppm >= 0 and (now_ns >= life.due_ns or not censored):
            self._judge(life, came=now_ns >= life.due_ns)
        for label in life.class_.labels:
            gave_way = self._table.add(label, now_ns - life.born_ns, censored=censored)
            for changed in (label, gave_way):
                self._curves.pop(changed, None)
        self._sequence += 1
        return LifeRow(
            self._sequence,
            key[0],
            life.class_.kind,
            key[1],
            life.class_.buy_venue,
            life.class_.sell_venue,
            life.born_ns,
            now_ns,
            int(censored),
            reason,
            life.best_edge_bp,
            life.best_net_micros,
            life.size_units,
            life.size_decimals,
        )

    def end(self, now_ns: int) -> list[LifeRow]:
        """We end, or slept: every life is lost from sight."""
        rows = [self.gone(key, now_ns, Reason.NONE) for key in list(self._alive)]
        return [row for row in rows if row is not None]

    def odds(self, key: Key, now_ns: int, latency_ns: int) -> RaceOdds:
        """The probability that this opportunity is there `latency_ns` from now. The prediction is scored.

        One that is not followed is asked for as just born, without a class: the prior.
        """
        life = self._alive.get(key)
        if life is None:
            return self._prior(latency_ns)
        odds = self.probability(life.class_, now_ns - life.born_ns, latency_ns)
        if life.said_ppm < 0:
            life.said_ppm, life.due_ns = odds.ppm, now_ns + latency_ns
        return odds

    def probability(self, class_: RaceClass, age_ns: int, latency_ns: int) -> RaceOdds:
        """P(lives `latency_ns` longer | is `age_ns` old), by the finest class that can say."""
        for label in class_.labels:
            curve = self._curve(label)
            if curve is None or curve.deaths < self._race_min:
                continue
            lives = curve.at_risk(age_ns)
            if lives < self._race_min:
                continue
            share = curve.conditional(age_ns, max(0, latency_ns))
            if share is not None:
                return RaceOdds(round(share * PPM), lives)
        return self._prior(latency_ns)

    def score(self) -> Score:
        """How the predictions did whose outcome is known; running sums since this scanner began."""
        count = self._predictions
        if not count:
            return Score(0, 0, 0, 0)
        return Score(
            count, self._squares // (count * PPM), self._said_ppm // count, self._came * PPM // count
        )

    def _prior(self, latency_ns: int) -> RaceOdds:
        return RaceOdds(round(PPM * 2.0 ** (-max(0, latency_ns) / self._half_life_ns)), 0)

    def _curve(self, label: str) -> Survival | None:
        """The curve of a class, kept until one of its lives ends."""
        curve = self._curves.get(label)
        if curve is None:
            counts = self._table.counts(label)
            if counts is None:
                return None
            curve = self._curves[label] = Survival(counts)
        return curve

    def _judge(self, life: _Life, *, came: bool) -> None:
        """Score the prediction that waits."""
        self._predictions += 1
        self._came += came
        self._said_ppm += life.said_ppm
        self._squares += (life.said_ppm - PPM * came) ** 2
        life.said_ppm = -1
