"""A paper exchange that dies between its commit and its report. Run as `python children.py CONFIG N`.

The N-th report of a fill is not sent: the process kills itself instead, with what it would have said on
record. Everything else is the real exchange.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from pipeline.clock import SystemClock
from pipeline.config import decode
from pipeline.paper.worker import PaperVenue
from pipeline.wire import OrderReport


def main(config: Path, number: int) -> None:
    """Be the exchange until the N-th fill would be reported."""
    venue = PaperVenue(decode(config.read_bytes()), SystemClock())
    reply, sealer = venue._server.reply, venue._sealer
    left = number

    def die_or_reply(client: bytes, frame: bytes) -> bool:
        nonlocal left
        left -= bool(sealer.open(frame, OrderReport).fills)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply(client, frame)

    venue._server.reply = die_or_reply
    venue.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
