"""Shared memory: what a book costs to publish and to read, and that no read is ever torn.

In: two processes on a segment of our own in a temporary directory. Out: nanoseconds, rates and counts;
each figure is the median over the runs. Run by `run.py bench shm` while nothing else runs.
"""

import argparse
import json
import os
import signal
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median, quantiles

from shm import layout as lo
from shm import segment as segments
from shm.books import BOOK_HEAD_WORDS, BookReader, BookWriter, feed_sections, new_page
from shm.records import MARKET

DEPTH = 25
WORDS = 19 + 4 * DEPTH
ROW = lo.Section("row", lo.SLOTS, 1, WORDS, kept=True)
PLAIN = lo.Section("plain", lo.WORDS, 1, WORDS)
SECTIONS = [ROW, PLAIN, *feed_sections(1, DEPTH, 1, 1000)]
SAMPLES = 20_000
READS = 300_000
PACED_READS = 100_000
CONTROL_READS = 100_000
PACE_SECONDS = 0.001  # between two rows of the paced writer: a busy venue
ATTACHES = 500
KILLS = 50


def run(args: argparse.Namespace) -> int:
    """Measure `args.runs` times and print the medians."""
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder:
        rows = [one_run(Path(folder) / f"run{number}", number) for number in range(args.runs)]
    table = {name: round(median(row[name] for row in rows), 4) for name in rows[0]}
    if args.json:
        print(json.dumps({"runs": args.runs, "median": table}))
    else:
        print(f"shared memory, books of {DEPTH} levels a side, median of {args.runs}")
        for name, value in table.items():
            print(f"  {name:<36}{value:>14,.10g}")
    return 0


def one_run(directory: Path, seed: int) -> dict[str, float]:
    """Every figure once."""
    return {
        **costs(directory / "costs"),
        **attaches(directory / "attach"),
        **flat_out(directory / "slots"),
        **paced(directory / "paced"),
        **control(directory / "plain"),
        **kills(directory / "kills", Random(seed)),
    }


def own(directory: Path, sections: list[lo.Section] = SECTIONS) -> segments.Segment:
    """Own the segment that is measured."""
    return segments.create(
        directory,
        "w",
        sections,
        segments.this_owner(),
        monotonic_ns=time.monotonic_ns(),
        wall_ns=time.time_ns(),
        sleep=time.sleep,
    )


def costs(directory: Path) -> dict[str, float]:
    """Nanoseconds of one call, in one process, nobody else at the memory."""
    segment = own(directory)
    writer = BookWriter(segment)
    row = writer.claim(MARKET.empty()._replace(market="M"))
    assert row is not None
    view = segments.attach(directory, "w")
    reader, slots = BookReader(view), view.slots("books")
    page = new_page(DEPTH)
    asks_at = BOOK_HEAD_WORDS + 2 * DEPTH
    for level in range(DEPTH):
        for first, price in ((BOOK_HEAD_WORDS, 5000 - level), (asks_at, 5001 + level)):
            page[first + 2 * level : first + 2 * level + 2] = array("q", (price, 100 + level))
    figures: dict[str, float] = {}
    for name, call in {
        "publish_book": lambda: writer.publish(row, page, DEPTH, DEPTH, 0, 1, 0, 0, 1, 2, 3, 0, 4),
        "read_number": lambda: slots.number(row),
        "read_row": lambda: slots.read(row),
        "read_book": lambda: reader.get(row),
    }.items():
        times = timed(call)
        figures[f"{name}_ns_p50"] = median(times)
        figures[f"{name}_ns_p99"] = quantiles(times, n=100)[98]
    segment.close()
    return figures


def timed(call: Callable[[], object]) -> list[int]:
    """Nanoseconds of each of SAMPLES calls, the clock's own reading included (about 50 ns)."""
    times = []
    for _ in range(SAMPLES):
        before = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - before)
    return times


def attaches(directory: Path) -> dict[str, float]:
    """Microseconds of attaching to a feed's segment of 64 markets and making a reader of its books."""
    segment = own(directory, feed_sections(64, DEPTH, 1))
    times = []
    for _ in range(ATTACHES):
        before = time.perf_counter_ns()
        BookReader(segments.attach(directory, "w"))
        times.append((time.perf_counter_ns() - before) / 1e3)
    segment.close()
    return {"attach_us_p50": median(times)}


def flat_out(directory: Path) -> dict[str, float]:
    """A writer flat out in another process; READS accepted reads, each checked to be whole."""
    figures = reads(directory, write_rows, READS)
    return {"reads_accepted": READS, **figures}


def paced(directory: Path) -> dict[str, float]:
    """The same with a writer of about 1,000 rows a second, as a venue at a busy hour."""
    return {f"paced_{name}": value for name, value in reads(directory, write_paced, PACED_READS).items()}


def reads(directory: Path, work: Callable[[Path], None], count: int) -> dict[str, float]:
    """`count` accepted reads, each checked to be whole, while another process does `work`."""
    pid, view = start(directory, work)
    reader = view.slots("row")
    accepted = torn = changes = last = 0
    before = time.perf_counter()
    first = reader.number(0)
    while accepted < count:
        found = reader.read(0)
        if found is None:
            continue
        number, payload = found
        accepted += 1
        torn += payload.count(number) != WORDS
        changes += number != last
        last = number
    seconds = time.perf_counter() - before
    writes = reader.number(0) - first
    end(pid)
    return {
        "reads_torn": torn,
        "reads_retried": reader.retries,
        "reads_given_up": reader.give_ups,
        "distinct_rows_read": changes,
        "reads_a_second": accepted / seconds,
        "writes_a_second": writes / seconds,
    }


def control(directory: Path) -> dict[str, float]:
    """The same check on rows that are merely copied: it must find torn ones."""
    pid, view = start(directory, write_plain)
    words = view.words("plain")
    torn = 0
    for _ in range(CONTROL_READS):
        payload = array("q", words.tobytes())
        torn += payload.count(payload[0]) != WORDS
    end(pid)
    return {"control_torn_percent": 100 * torn / CONTROL_READS}


def kills(directory: Path, random: Random) -> dict[str, float]:
    """Kill -9 of a busy writer KILLS times: how often the last row is whole, and what a restart costs."""
    whole = 0
    restarts = []
    last = 0
    for _ in range(KILLS):
        before = time.perf_counter_ns()
        pid, view = start(directory, write_rows)
        reader = view.slots("row")
        while reader.number(0) <= last:
            os.sched_yield()
        restarts.append((time.perf_counter_ns() - before) / 1e6)
        time.sleep(random.uniform(0.0, 0.002))
        end(pid)
        found = reader.read(0)
        if found is not None and found[1].count(found[0]) == WORDS and found[0] > last:
            whole += 1
            last = found[0]
    return {"kills": KILLS, "kills_with_last_row_whole": whole, "fork_to_first_row_ms_p50": median(restarts)}


def write_rows(directory: Path) -> None:
    """Publish rows whose every word is their number, until killed."""
    parent, writer = os.getppid(), own(directory).slots("row")
    while os.getppid() == parent:
        for _ in range(1000):
            writer.publish(0, array("q", [writer.number(0) + 1]) * WORDS)


def write_paced(directory: Path) -> None:
    """Publish such a row every PACE_SECONDS or a little later, until killed."""
    writer = own(directory).slots("row")
    while os.getppid() != 1:
        writer.publish(0, array("q", [writer.number(0) + 1]) * WORDS)
        time.sleep(PACE_SECONDS)


def write_plain(directory: Path) -> None:
    """Change a plain row in two copies, until killed."""
    words = own(directory).words("plain")
    half, number, parent = WORDS // 2, 0, os.getppid()
    while os.getppid() == parent:
        for _ in range(1000):
            number += 1
            payload = memoryview(array("q", [number]) * WORDS)
            words[:half] = payload[:half]
            words[half:] = payload[half:]


def start(directory: Path, work: Callable[[Path], None]) -> tuple[int, segments.View]:
    """A writer in a process of its own, and its segment as soon as it can be read."""
    pid = os.fork()
    if pid == 0:
        try:
            work(directory)
        finally:
            os._exit(1)
    while True:
        try:
            view = segments.attach(directory, "w")
        except segments.SegmentError:
            os.sched_yield()
            continue
        if view.header.pid == pid:
            return pid, view


def end(pid: int) -> None:
    """Kill a writer of ours, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
