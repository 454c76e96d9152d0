"""Detect: how long after the message that makes an arbitrage its opportunity arrives at the trader's door.

In: seeded arbitrages of every tradable kind and venue pair, 200 a run, their books written as feeds write
them. Out: p50, p90 and p99 in milliseconds, from the second venue's book published to the opportunity
received, over all runs and by kind. Run by `run.py bench detect` while nothing else runs. The scanner is the
real process. Complements stand apart: a gap between the tokens of one market must last before it is believed.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path

from pipeline.cli.common import say
from tests.support.planted import Garden
from tests.support.scanner_run import ScannerRun, detect, easy_config, lay_out

COUNT, BATCH, SEED = 200, 50, 4
GOAL_P99_MS = 5.0
SHARES = (50, 90, 99)


def run(args: argparse.Namespace) -> int:
    """Plant and find `args.runs` times COUNT arbitrages and print the times."""
    took: dict[str, list[float]] = defaultdict(list)
    wrong = 0
    for number in range(args.runs):
        for name, ms, right in one_run(SEED + number):
            took[name].append(ms)
            wrong += not right
    at_once = [ms for name, many in took.items() if name != LASTING for ms in many]
    table = {"all at once": at_once, **dict(sorted(took.items()))}
    rows = {name: percentiles(many) for name, many in table.items()}
    if args.json:
        planted = args.runs * COUNT
        say(json.dumps({"planted": planted, "wrong": wrong, "ms": rows, "goal_p99_ms": GOAL_P99_MS}))
        return 0
    say(f"{args.runs * COUNT} arbitrages planted, {wrong} found with other orders, size or net")
    say(f"{'second message to opportunity, ms':<36}{'n':>6}" + "".join(f"{f'p{s}':>9}" for s in SHARES))
    for name, row in rows.items():
        say(f"{name:<36}{row['n']:>6.0f}" + "".join(f"{row[f'p{s}']:>9.2f}" for s in SHARES))
    say(f"goal: p99 {GOAL_P99_MS:g} ms of all at once, which is all but complements")
    return 0


WITHIN = " within one venue"
LASTING = f"complement{WITHIN}"


def one_run(seed):
    """Kind, milliseconds and whether it was found as planted, of each of COUNT arbitrages."""
    plants = Garden(seed).plants(COUNT, near=False)
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder,
        ScannerRun(Path(folder), easy_config(), markets=1024) as scanner,
    ):
        for start in range(0, COUNT, BATCH):
            lay_out(scanner, plants[start : start + BATCH])
            found += [detect(scanner, plant) for plant in plants[start : start + BATCH]]
    return [
        (kind_of(each.plant), each.took_ns / 1e6, each.plant.is_of(each.arrival.opportunity))
        for each in found
    ]


def kind_of(plant):
    """A plant's kind, and whether all of it is one venue's."""
    return plant.kind + (WITHIN if len({leg.venue for leg in plant.legs}) == 1 else "")


def percentiles(many):
    """How many there are and the percentiles of SHARES, each the value that so many do not exceed."""
    ordered = sorted(many)
    return {
        "n": float(len(ordered)),
        **{f"p{share}": round(ordered[-(-len(ordered) * share // 100) - 1], 3) for share in SHARES},
    }
