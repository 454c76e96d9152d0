"""A trader that is killed at every point loses nothing, and sends nothing twice."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from itertools import cycle
from pathlib import Path

import pytest

from pipeline.crash import TRADER_POINTS
from tests.support.trader_run import PATIENCE_SECONDS, TraderRun

CI_KILLS = 28
STRESS_KILLS = 1_000
REACHED_SECONDS = 1.2
"""How long a trader may live until it is killed at random instead."""
ALWAYS_PASSED = set(TRADER_POINTS) - {"settled", "resolving"}
BEHAVIOUR = {
    "mode": "both",
    "order_seconds": 0.2,
    "paper_latency_ms": 8,
    "paper_booking_ms": 60,
    "paper_reject_pct": "3",
    "paper_leg_failure_pct": "12",
    "paper_provisional_ms": 150,
    "paper_provisional_failure_pct": "5",
    "maker_ttl_s": 1.0,
}
"""A venue that books late, refuses, fails, and takes back; Kraken takes an id again once its order ended."""


def kills(run: TraderRun, count: int, chance: random.Random) -> dict[str, int]:
    """Start and kill a trader so often, at each point in turn and at random; how often each way."""
    done: dict[str, int] = defaultdict(int)
    points = cycle(TRADER_POINTS)
    for number in range(count):
        point = next(points) if number % 4 else "-"
        # Without opportunities it quotes, and cancels its quotes.
        run.offering = point != "cancel_sent"
        passage = chance.choice((1, 1, 2, 3))
        run.start("-" if point == "-" else f"{point}:{passage}")
        if point == "-":
            time.sleep(chance.uniform(0.02, 0.6))
        reached = run.ended(REACHED_SECONDS) if point != "-" else False
        status = run.end()
        assert status == -9, f"the trader ended with {status} at {point}: {run.errors()}"
        done[point if reached else "at random"] += 1
        # What halted is not what this test is about: a person looks, and resumes.
        run.halt.clear()
    # On a slow machine a point may not have been reached in time: wait for it.
    for point in sorted(ALWAYS_PASSED - set(done)):
        run.offering = point != "cancel_sent"
        run.start(f"{point}:1")
        assert run.ended(PATIENCE_SECONDS), f"{point} is never reached: {run.errors()}"
        assert run.end() == -9
        done[point] += 1
        run.halt.clear()
    return done


@pytest.mark.parametrize(
    ("count", "seed"), [(CI_KILLS, 1), pytest.param(STRESS_KILLS, 2, marks=pytest.mark.stress)]
)
def test_a_killed_trader_loses_nothing(count: int, seed: int, tmp_path: Path) -> None:
    """Killed at every named point and at random: no order without intent, none twice, no fill lost."""
    chance = random.Random(seed)
    with TraderRun(tmp_path, seed=seed, **BEHAVIOUR) as run:
        done = kills(run, count, chance)
        assert set(done) >= ALWAYS_PASSED
        run.offering = True
        run.start()
        started = time.monotonic()
        run.wait_for(lambda: (row := run.summary()) and not row.resolving)
        recovery = time.monotonic() - started
        run.settle_down()
        assert run.end(15) == 0, run.errors()
        assert run.agree() > 20, "a run that trades nothing proves nothing"
    # 2 s and the venue's deadline, with its booking; ten times that is a defect.
    assert recovery < 10 * (2 + 0.2 + 0.31), f"recovery took {recovery:.1f} s"
