"""Status hops: how long a price takes from the socket to the order, what the scanner refuses, and how long
opportunities live.

In: the segments of scanner and trader. Out: parts of the status object; empty where a process is not there
or keeps nothing of the kind. Used by `pipeline.status` and `why`.
"""

from __future__ import annotations

from typing import Any

from pipeline.survival import Survival
from shm.histogram import read_recent
from shm.records import EVENT
from shm.segment import View
from shm.survival import LIVES, LifeCounts, read_survival
from shm.tables import TableReader, read_counters

REFUSED = "refused."
# What the seed documents promise, to stand beside what is measured.
SEED_FIGURES = {
    "socket_to_order": "under 100 ms from detecting to ordering",
    "book_to_scan": "a scan each 1 s",
}
# Counters of the scanner: how many predictions were judged, and the sum of their squared errors.
PREDICTIONS, ERRORS_PPM = "predictions", "prediction_errors_ppm"


def hops(*views: View | None) -> dict[str, dict[str, Any]]:
    """Each hop of the last one to two minutes, in microseconds, by the name it has in memory."""
    return {
        name: {
            "count": found.count,
            "p50_us": round(found.p50_ns / 1000, 1),
            "p90_us": round(found.p90_ns / 1000, 1),
            "p99_us": round(found.p99_ns / 1000, 1),
            "max_us": round(found.max_ns / 1000, 1),
        }
        for view in views
        if view is not None
        for name, found in read_recent(view).items()
    }


def refusals(scanner: View | None) -> dict[str, int]:
    """What the scanner did not offer, by reason, since its memory was made; a standing refusal is one."""
    counts = read_counters(scanner) if scanner is not None else {}
    return {
        name.removeprefix(REFUSED): count
        for name, count in counts.items()
        if name.startswith(REFUSED) and count
    }


def races(scanner: View | None) -> dict[str, Any]:
    """How many opportunities lived, the share that was only lost from sight, and the median life.

    `median_ms` is None where more than half lived longer than was seen; `brier` is None without predictions.
    """
    if scanner is None:
        return {}
    # Each life is kept under a fine class and under the coarse one of kind and venues alone.
    coarse = [counts for label, counts in read_survival(scanner).items() if label.count(" ") == 2]
    ended = [sum(cells) for cells in zip(*(counts.ended for counts in coarse), strict=True)]
    censored = [sum(cells) for cells in zip(*(counts.censored for counts in coarse), strict=True)]
    lives = sum(ended) + sum(censored)
    counts = read_counters(scanner)
    predictions = counts.get(PREDICTIONS, 0)
    return {
        "lives": lives,
        "censored_pct": round(100 * sum(censored) / lives, 1) if lives else 0.0,
        "median_ms": median_ms(LifeCounts(ended, censored)) if lives else None,
        "predictions": predictions,
        "brier": round(counts.get(ERRORS_PPM, 0) / predictions / 1_000_000, 4) if predictions else None,
    }


def leads(scanner: View | None) -> dict[str, dict[str, Any]]:
    """By event the venue whose price moves first, by how many ms at the median, and in how many of how many
    moves. Events where neither leads by more than chance are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    for _, row in TableReader(scanner, "events", EVENT).rows() if scanner is not None else ():
        if row.direction == 0 and row.lead_leg in (0, 1):
            venue = (row.buy_venue, row.sell_venue)[row.lead_leg]
            lag_ms = round(row.lead_ns / 1e6, 1)
            counts = {"count": row.lead_count, "total": row.lead_total}
            found[row.event_id] = {"venue": venue, "lag_ms": lag_ms, **counts}
    return found


def median_ms(counts: LifeCounts) -> float | None:
    """The length of life that half survive (Kaplan and Meier), to its bucket; None where it was not seen."""
    curve = Survival(counts)
    for bucket in range(LIVES.count):
        if curve.at(LIVES.upper_ns(bucket)) <= 0.5:
            return round(LIVES.upper_ns(bucket) / 1e6, 1)
    return None
