"""cryptofeed's Coinbase handler on a file of frames: CPU nanoseconds of parsing and book, printed.

Run by the ingest bench with an interpreter that has cryptofeed: peer_cryptofeed.py coinbase FILE. The
object is built without its constructor's REST calls; the callback does nothing.
"""

import asyncio
import sys
import time
from pathlib import Path

from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges import Coinbase
from files import load


async def nothing(_book: object, _received: float) -> None:
    """Take a book and do nothing."""


async def main() -> None:
    """Feed the opening, then time the changes."""
    opening, changes = load(Path(sys.argv[2]))
    feed = Coinbase.__new__(Coinbase)
    feed._l2_book = {}  # noqa: SLF001 - what its constructor does
    feed.callbacks = {L2_BOOK: [nothing]}
    feed.cross_check = False
    feed.max_depth = 0
    feed.exchange_symbol_to_std_symbol = lambda name: name
    for frame in opening:
        await feed.message_handler(frame.decode(), None, 0.0)
    texts = [frame.decode() for frame in changes]
    cpu = time.process_time_ns()
    for text in texts:
        await feed.message_handler(text, None, 0.0)
    print(time.process_time_ns() - cpu)
    assert feed._l2_book  # noqa: SLF001 - there is no other way to see it


asyncio.run(main())
