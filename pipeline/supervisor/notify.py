"""Notify: tells systemd that the run is up, alive, and stopping.

In: the environment that systemd gives a service of Type=notify (sd_notify(3), sd_watchdog_enabled(3)). Out:
datagrams to its socket; nothing where there is none. Run by the supervisor's loop, so that a watchdog is
fed by that very loop.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd says to the service alone: workers are not given it."""


class Notifier:
    """One end of the notification socket; without one every call does nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A name that begins with @ lies in the abstract name space, where it begins with a zero byte.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if path else None
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period = environ.get("WATCHDOG_USEC", "")
        # Half of the time in which systemd wants to hear from us.
        self._every_ns = int(period) * 1000 // 2 if ours and period.isdigit() else 0
        self._next_ns = 0

    def send(self, state: str) -> bool:
        """Send one state, such as "READY=1"; False where nobody listens or the socket is full."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(state.encode(), socket.MSG_DONTWAIT, self._address)
        except OSError:
            return False
        return True

    def beat(self, now_ns: int) -> None:
        """Feed the watchdog when it is time."""
        if self._every_ns and now_ns >= self._next_ns:
            self._next_ns = now_ns + self._every_ns
            self.send("WATCHDOG=1")

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
