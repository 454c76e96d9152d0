"""Ingest: what a message costs from the wire to shared memory, beside other ways on the same bytes.

In: seeded frames of each venue, and a tape where one is named. Out: CPU microseconds a message and messages
a second, each the median over the runs, and the ratios. Run by `run.py bench ingest` while nothing else
runs. Every subject is a process of its own; all of a round read the same file.

`wire` is the whole way: socket, frames, decode, book, shared memory. `frames` begins with the message, as
the other programs' handlers do; `single` is that with each message published by itself, however many came
together. cryptofeed and ccxt are measured where an interpreter has them: name it in
PARALLAX_BENCH_CRYPTOFEED and PARALLAX_BENCH_CCXT (they need packages that are not ours).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench.ingest_parts import files, messages
from bench.ingest_parts.blaster import Blaster
from pipeline.cli.common import ROOT, say
from pipeline.tape import BrokenLine, read

VENUES = ("kalshi", "polymarket", "kraken", "coinbase")
COUNT = 40_000
LITERAL_COUNT = 10_000
TAPE = "PARALLAX_BENCH_TAPE"
PEERS = {
    "cryptofeed": ("PARALLAX_BENCH_CRYPTOFEED", ("coinbase",)),
    "ccxt": ("PARALLAX_BENCH_CCXT", ("kraken", "coinbase")),
}
PARTS = ROOT / "bench" / "ingest_parts"

Rows = dict[str, list[dict[str, float]]]


def run(args: argparse.Namespace) -> int:
    """Measure `args.runs` rounds and print the medians and their ratios."""
    rows: Rows = {}
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder:
        for number in range(args.runs):
            one_round(Path(folder), number, rows)
    table = {
        name: {key: median(row[key] for row in many) for key in ("cpu_us", "per_s")}
        for name, many in rows.items()
    }
    ratios = compare(rows)
    if args.json:
        say(json.dumps({"runs": args.runs, "median": table, "ratios": ratios}))
        return 0
    say(f"{'median of ' + str(args.runs):<32}{'us CPU a message':>18}{'messages/s':>14}")
    for name, row in table.items():
        say(f"{name:<32}{row['cpu_us']:>18.2f}{row['per_s']:>14,.0f}")
    say("")
    for name, ratio in ratios.items():
        say(f"{name:<56}{ratio:>8.1f}x")
    return 0


def one_round(folder: Path, seed: int, rows: Rows) -> None:
    """Every subject once."""
    for venue in VENUES:
        path = folder / f"{venue}.bin"
        opening, changes = messages.frames(venue, COUNT, seed)
        files.save(path, opening, changes)
        names = messages.names(venue)
        note(rows, f"{venue} ours, wire", wire(ours("socket", venue, path), opening, changes, names), COUNT)
        note(rows, f"{venue} ours, frames", finish(ours("frames", venue, path), names), COUNT)
        note(rows, f"{venue} ours, single", finish(ours("single", venue, path), names), COUNT)
        for peer, (variable, venues) in PEERS.items():
            python = os.environ.get(variable)
            if python and venue in venues:
                command = [python, str(PARTS / f"peer_{peer}.py"), venue, str(path)]
                told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PARTS).stdout
                note(rows, f"{venue} {peer}, frames", {"cpu_ns": int(told.split()[-1])}, COUNT)
        if venue == "kalshi":
            few = changes[:LITERAL_COUNT]
            command = [sys.executable, str(PARTS / "literal.py")]
            note(rows, "kalshi literal reading, wire", literal(command, opening, few), len(few))
    if TAPE in os.environ:
        tape(Path(os.environ[TAPE]), folder, rows)


def tape(path: Path, folder: Path, rows: Rows) -> None:
    """A tape's frames, again and again, each pass with a connection of its own."""
    lines = [line for line in read(path) if not isinstance(line, BrokenLine) and not line.out]
    venue = lines[0].venue
    frames = [line.data.encode() for line in lines if line.venue == venue]
    saved = folder / "tape.bin"
    files.save(saved, [], frames)
    names = [""]
    told = finish(ours("tape", venue, saved), names)
    note(rows, f"{venue} ours, tape", told, int(told["frames"]))


def ours(how: str, venue: str, path: Path) -> list[str]:
    """The command that measures us."""
    return [sys.executable, "-m", "bench.ingest_parts.ours", how, venue, str(path)]


def finish(command: list[str], names: list[str]) -> dict[str, float]:
    """Run a subject that needs no socket."""
    told = subprocess.run(
        [*command, "ws://127.0.0.1:1/", *names], check=True, capture_output=True, text=True, cwd=ROOT
    )
    found: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    return found


def wire(
    command: list[str], opening: list[bytes], changes: list[bytes], names: list[str]
) -> dict[str, float]:
    """Run a subject that reads from a socket of ours."""
    blaster = Blaster(opening, changes)
    return talk([*command, blaster.url, *names], blaster)


def literal(command: list[str], opening: list[bytes], changes: list[bytes]) -> dict[str, float]:
    """Run the literal reading."""
    blaster = Blaster(opening, changes)
    return talk([*command, blaster.url, str(len(opening)), str(len(changes))], blaster)


def talk(command: list[str], blaster: Blaster) -> dict[str, float]:
    """Start a subject, send the changes when it says that it is ready, and read its figures."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as subject:
        assert subject.stdin is not None
        assert subject.stdout is not None
        assert subject.stdout.readline() == "ready\n", command
        blaster.go.set()
        subject.stdin.write("go\n")
        subject.stdin.flush()
        found: dict[str, float] = json.loads(subject.stdout.read().splitlines()[-1])
    return found


def note(rows: Rows, name: str, told: dict[str, float], count: int) -> None:
    """Keep a subject's figures."""
    per_s = count / (told.get("wall_ns", told["cpu_ns"]) / 1e9)
    rows.setdefault(name, []).append({"cpu_us": told["cpu_ns"] / count / 1000, "per_s": per_s})


def compare(rows: Rows) -> dict[str, float]:
    """How many times more others cost; the median over rounds of the ratio within each round."""
    pairs = [("kalshi literal reading, wire", "kalshi ours, wire")]
    pairs += [
        (f"{venue} {peer}, frames", f"{venue} ours, {how}")
        for peer, (_, venues) in PEERS.items()
        for venue in venues
        for how in ("frames", "single")
    ]
    return {
        f"{theirs} / {mine}": round(
            median(
                one["cpu_us"] / other["cpu_us"] for one, other in zip(rows[theirs], rows[mine], strict=True)
            ),
            2,
        )
        for theirs, mine in pairs
        if theirs in rows
    }
