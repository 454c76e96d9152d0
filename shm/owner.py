"""Owner: who a segment belongs to, in words that outlive it: pid, its start time, the boot.

In: /proc. Out: `Owner`, and whether this machine can be trusted with slots at all. Used by shm.segment, and
by whoever must know whether a process that left its pid behind still lives.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

from shm.header import SegmentError


class Owner(NamedTuple):
    """Who a new segment belongs to: pid and its start time, the boot, the config version."""

    pid: int
    pid_start: int
    boot_id: bytes
    config_version: int = 0


def check_machine() -> None:
    """Refuse machines whose stores may become visible out of order (see shm.slots)."""
    machine = os.uname().machine
    if machine.lower() not in {"x86_64", "amd64"}:
        raise SegmentError(
            f"shared memory needs x86-64: this machine is {machine}, where rows could be read torn. "
            "Run Parallax on an x86-64 machine."
        )


@cache
def boot_id() -> bytes:
    """16 bytes that change at each boot; zeros where the system does not say."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return bytes(16)
    return bytes.fromhex(text.replace("-", ""))


def pid_start(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot, or None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rsplit(")", 1)[1].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def this_owner(config_version: int = 0) -> Owner:
    """The calling process as an owner."""
    pid = os.getpid()
    return Owner(pid, pid_start(pid) or 0, boot_id(), config_version)
