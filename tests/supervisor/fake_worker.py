"""A worker that does nothing but live: the supervisor's tests start it as the script of every worker.

In: the words of a worker's command, run/config.json, and data/NAME.do: "exit" (at once), "deaf" (to
SIGTERM), "large" (one and a half times its memory), "slow" (two seconds between its segment and its first
turn), "stop" (itself, once, before it has a segment). Out: a segment with a heartbeat. The lab writes
run/lab.json once data/lab.go is there.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.clock import SystemClock
from pipeline.config import decode
from pipeline.lifecycle import CONFIG_FILE, RUN_DIRECTORY, Worker


def main() -> int:
    """Live until told to stop."""
    run_directory = Path(os.environ[RUN_DIRECTORY])
    config = decode((run_directory / CONFIG_FILE).read_bytes())
    name, clock, data = "-".join(sys.argv[1:]), SystemClock(), Path(config.data_directory)
    order = data / f"{name}.do"
    todo = order.read_text() if order.exists() else ""
    if todo == "exit":
        print("going at once", flush=True)
        return 3
    if todo == "stop":
        order.unlink()
        os.kill(os.getpid(), signal.SIGSTOP)
    with Worker(name, config, clock, [], ["turns"], lambda _old, _new: None) as worker:
        if todo == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if todo == "slow":
            clock.sleep(2.0)
        # What an empty worker takes is about half of the 60 MiB that the test allows.
        filled = b"x" * (config.supervisor.memory_mb << 20) if todo == "large" else b""
        while worker.go_on():
            worker.counters.add("turns")
            lab = run_directory / "lab.json"
            if name == "lab" and (data / "lab.go").exists() and not lab.exists():
                lab.with_suffix(".new").write_text('{"seed": 99}')
                lab.with_suffix(".new").replace(lab)
            clock.sleep(0.005)
    return 0 if filled is not None else 1


sys.exit(main())
