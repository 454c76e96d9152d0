"""Pipeline: how long a venue's message takes from the wire to the trader's door.

In: pairs of Kalshi and Polymarket; a venue on loopback whose every message changes an opportunity. Out: p50,
p90 and p99 in microseconds at 1,000 messages a second, by hop; those of the design read literally (WebSocket
defaults, json, numpy records) in the same run, and of our scanner with `scanner.spin_us` set; what 30,000 a
second do to time, queue and memory. Run by `run.py bench pipeline` while nothing else runs.

Feed and scanner are the real processes; the trader's door is the real inbox, stamped where the trader stamps.
The sender's moment of each message is found again by the opportunity's size. A message that was overtaken by
the next one before it was scanned has no opportunity of its own: these are counted. The first half second
is dropped.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from bench.pipeline_parts.figures import HOPS, Run, percentile
from bench.pipeline_parts.worlds import Literal, Ours, Spinning
from pipeline.cli.common import say

PAIRS = 10
RATE, SECONDS = 1_000, 6.0
SUSTAINED_RATE, SUSTAINED_SECONDS = 30_000, 12.0
GOALS = {"p50_us": 200, "p99_us": 600, "ratio_p50": 0.7}
SHARES = (50, 90, 99)


def run(args: argparse.Namespace) -> int:
    """Measure `args.runs` times and print the medians."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder:
        rows.extend(one_run(Path(folder) / str(number)) for number in range(args.runs))
    table = {name: round(median(row[name] for row in rows), 3) for name in rows[0]}
    if args.json:
        say(json.dumps({"runs": args.runs, "median": table, "goals": GOALS}))
        return 0
    say(f"wire to trader, median of {args.runs}; microseconds where nothing else is said")
    for name, value in table.items():
        say(f"  {name:<44}{value:>14,.2f}")
    say(f"goals at {RATE:,} a second: p50 {GOALS['p50_us']}, p99 {GOALS['p99_us']}, p50 at most")
    say(f"{GOALS['ratio_p50']} of the literal reading; at {SUSTAINED_RATE:,} a second nothing grows")
    return 0


def one_run(
    folder: Path, rate: int = RATE, seconds: float = SECONDS, sustained: float = SUSTAINED_SECONDS
) -> dict[str, float]:
    """Every figure once."""
    with Ours(folder / "ours", PAIRS) as ours:
        paced = ours.measure(rate, seconds)
        flood = ours.measure(SUSTAINED_RATE, sustained) if sustained else None
    with Spinning(folder / "spinning", PAIRS) as spinning:
        spun = spinning.measure(rate, seconds)
    with Literal(folder / "literal", PAIRS) as literal:
        theirs = literal.measure(rate, seconds)
    figures = {f"ours_{name}": value for name, value in summary(paced).items()}
    figures |= {f"spinning_{name}": value for name, value in summary(spun).items()}
    figures |= {f"literal_{name}": value for name, value in summary(theirs).items()}
    for who in ("ours", "spinning"):
        figures[f"{who}_ratio_p50"] = figures[f"{who}_p50_us"] / figures["literal_p50_us"]
    for hop in HOPS:
        for who, measured in (("ours", paced), ("spinning", spun), ("literal", theirs)):
            for share in (50, 99):
                figures[f"{who}_{hop}_p{share}"] = percentile(measured.hops[hop], share)
    return figures | (growth(flood) if flood else {})


def summary(measured: Run) -> dict[str, float]:
    """The percentiles of a run, and the share of messages that had no opportunity of their own."""
    figures = {f"p{share}_us": percentile(measured.latencies, share) for share in SHARES}
    return figures | {"overtaken_percent": 100 * (1 - len(measured.latencies) / measured.counted)}


def growth(measured: Run) -> dict[str, float]:
    """Latency, queue and memory in the first and in the last third of a run."""
    figures = {"sustained_a_second": measured.rate}
    for name, third in (("first_third", 0), ("last_third", -1)):
        figures[f"sustained_{name}_p50_us"] = percentile(measured.thirds()[third], 50)
        samples = measured.samples[:: 1 if third == 0 else -1]
        samples = samples[: max(1, len(samples) // 3)]
        figures[f"sustained_{name}_queue_messages"] = median(sample.queue for sample in samples)
        figures[f"sustained_{name}_memory_kib"] = max(sample.memory_kib for sample in samples)
    return figures
