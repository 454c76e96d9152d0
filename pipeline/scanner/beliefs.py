"""Beliefs: how far each edge is to be believed, and the lives of those that stand.

In: priced directions, one after the other. Out: a `Belief` each; the life of each edge that ended, in the
scanner's segment, where the survival curves lie too. Used by the scanner's worker.
"""

from __future__ import annotations

from pipeline.config import ScannerConfig
from pipeline.edge import Edge
from pipeline.model import Reason
from pipeline.model_events import MODEL
from pipeline.money import to_micros
from pipeline.pairs_checks import Verdict
from pipeline.pricing import Priced
from pipeline.scanner.confidence import confidence
from pipeline.scanner.lanes import Lane
from pipeline.scanner.race import Race, race_class
from pipeline.scanner.rows import Belief
from pipeline.scanner.segment import LIVES
from shm.records import LIFE, LifeRow
from shm.segment import Segment
from shm.survival import SurvivalTable
from shm.tables import Counters, RingWriter

STANDING = frozenset(
    (
        Reason.NONE,
        Reason.EDGE_TOO_SMALL,
        Reason.PROFIT_TOO_SMALL,
        Reason.BELOW_HURDLE,
        Reason.MISMATCH,
        Reason.UNCONFIRMED,
        Reason.WATCH_ONLY,
    )
)
"""An edge stands although our own limits refuse it: how long it lives has nothing to do with them."""


def stands(verdict: Verdict, priced: Priced) -> bool:
    """Whether books that are believed leave a net after the dearest fees. A model's edge never stands."""
    edge = priced.edge
    return (
        verdict.reason in STANDING
        and edge is not None
        and edge.net_low > 0
        and priced.direction.kind != MODEL
    )


class Beliefs:
    """The race model, and what follows from it."""

    def __init__(self, segment: Segment, counters: Counters, config: ScannerConfig) -> None:
        self._counters = counters
        self._lives: RingWriter[LifeRow] = RingWriter(segment, LIVES, LIFE)
        self._table = SurvivalTable(segment)
        self._race = Race(self._table, *_limits(config))
        self._predictions = self._squares_ppm = self._dropped = self._unfollowed = 0

    def adopt(self, config: ScannerConfig) -> None:
        """Act on a changed configuration."""
        self._race.set_limits(*_limits(config))

    def of(self, lane: Lane, priced: Priced, verdict: Verdict, now_ns: int, latency_ns: int) -> Belief:
        """What to think of a priced direction; notes births and deaths, and sets the lane's `born_ns`."""
        key, edge = lane.direction.key, priced.edge
        if edge is None or not stands(verdict, priced):
            if lane.born_ns:
                self._gone(lane, now_ns, verdict.reason)
            return Belief()
        cash_micros = to_micros(edge.cash)
        class_ = race_class(
            priced.direction.kind,
            priced.direction.buy.venue,
            priced.direction.sell.venue,
            edge.edge_bp,
            cash_micros,
        )
        if not lane.born_ns:
            self._counters.add("births")
        numbers = edge.edge_bp, to_micros(edge.net), edge.size_units, edge.size_decimals
        lane.born_ns = self._race.seen(key, now_ns, class_, *numbers)
        odds = self._race.odds(key, now_ns, latency_ns)
        books = [look.book for look in priced.looks if look is not None]
        flags, oldest_ns = 0, now_ns
        for book in books:
            flags |= book.flags
            oldest_ns = min(oldest_ns, book.socket_ns)
        age_ns = now_ns - oldest_ns
        grade = confidence(edge, shown(priced, edge), flags, age_ns, odds.ppm, race_is_prior=odds.prior)
        return Belief(grade, odds.ppm, odds.lives, lane.born_ns)

    def lost(self, lane: Lane, now_ns: int) -> None:
        """The direction is no more: what stood there is lost from sight."""
        if lane.born_ns:
            self._gone(lane, now_ns, Reason.NONE)

    def end(self, lanes: set[Lane], now_ns: int) -> None:
        """We end, or slept: every life is lost from sight."""
        for lane in lanes:
            lane.born_ns = 0
        for row in self._race.end(now_ns):
            self._note(row)

    def _gone(self, lane: Lane, now_ns: int, reason: Reason) -> None:
        lane.born_ns = 0
        row = self._race.gone(lane.direction.key, now_ns, reason)
        if row is not None:
            self._note(row)

    def _note(self, row: LifeRow) -> None:
        """Keep a life that ended, and what it says of the predictions."""
        self._lives.append(row)
        self._counters.add("censored" if row.censored else "deaths")
        score, counters = self._race.score(), self._counters
        # The sum of squares, so that it only grows: a reader divides by the predictions.
        squares = max(self._squares_ppm, score.brier_ppm * score.predictions)
        counters.add("predictions", score.predictions - self._predictions)
        counters.add("prediction_errors_ppm", squares - self._squares_ppm)
        self._predictions, self._squares_ppm = score.predictions, squares
        counters.add("classes_dropped", self._table.gave_way - self._dropped)
        counters.add("unfollowed", self._race.unfollowed - self._unfollowed)
        self._dropped, self._unfollowed = self._table.gave_way, self._race.unfollowed


def shown(priced: Priced, edge: Edge) -> list[int]:
    """Units that each leg's ladder shows, on the edge's size scale."""
    assert priced.legs is not None
    return [leg.shown_units * 10 ** (edge.size_decimals - leg.scale.size_decimals) for leg in priced.legs]


def _limits(config: ScannerConfig) -> tuple[int, int]:
    return config.half_life_ms * 1_000_000, config.race_min
