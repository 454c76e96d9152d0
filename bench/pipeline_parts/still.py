"""Polymarket standing still: a feed's memory whose books never change, kept alive by a beat.

In: a directory for segments, how many pairs, on the command line. Out: its segment, until standard input
ends. A process of its own, so that its beat takes no time from those that are measured.
"""

import select
import sys
from pathlib import Path

from bench.pipeline_parts.memory import Feed
from bench.pipeline_parts.setting import OTHER_BID, OTHER_SIZE, POLYMARKET
from pipeline.clock import SystemClock

BEAT_SECONDS = 0.05


def main() -> None:
    """Publish each book once, then beat."""
    directory, pairs = Path(sys.argv[1]), int(sys.argv[2])
    feed = Feed(directory, POLYMARKET, pairs, SystemClock())
    for number in range(pairs):
        feed.put(number, OTHER_BID, OTHER_BID + 2, OTHER_SIZE)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], BEAT_SECONDS)[0]:
        feed.beat()
    feed.segment.close(unlink=True)


main()
