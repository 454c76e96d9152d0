"""Probe: whether what is sent to the trader still reaches it. reliability.md D4.

In: the time, tokens that come back. Out: a token each half second along the way of opportunities, over a
connection made for it; what is wrong where one is overdue. A second bind on the path steals it without a
word: whoever connected before still reaches us, whoever connects now does not. Run by the trader's worker.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.bus import OPPORTUNITIES, Inbox, Sender, address
from pipeline.wire import Sealer, Token

EVERY_NS = 500_000_000
LATE_NS = 1_000_000_000
"""A token that has not come back for so long is lost: with EVERY_NS, an alarm within two seconds."""
PAUSE_NS = 250_000_000
"""Between two turns: we were stopped meanwhile, and nothing can be concluded from the clock."""
STOLEN = "another process has bound our path; it is bound anew, see who else runs"
BUSY = "nothing that was sent to us arrived within a second, and the path is ours: is this machine too busy?"


class Probe:
    """Sends tokens to ourselves. While `deaf`, no new order is to be sent: nobody knows whom we hear."""

    def __init__(self, run_directory: Path, sealer: Sealer, epoch: int, inbox: Inbox) -> None:
        self.deaf = False
        self._run_directory = run_directory
        self._sealer = sealer
        self._epoch = epoch
        self._inbox = inbox
        self._path = run_directory / OPPORTUNITIES
        self._bound = self._file()
        self._number = 0
        self._sender: Sender | None = None
        self._frame = b""
        self._begun_ns: int | None = None
        self._turned_ns: int | None = None

    def turn(self, now_ns: int) -> str:
        """Send what is due; what is wrong where a token was lost just now, else "". A path that somebody else
        has bound is bound anew: the role's lock is ours, so it is ours.
        """
        stopped = self._turned_ns is not None and now_ns - self._turned_ns > PAUSE_NS
        self._turned_ns = now_ns
        if self._begun_ns is None or stopped:
            self._begin(now_ns)
            return ""
        if self._sender is not None:
            if self._frame and self._sender.send(self._frame):
                self._frame = b""
            if now_ns - self._begun_ns <= LATE_NS:
                return ""
            self.deaf = True
            self.close()
            # The next token is sent later: only who still has the path by then has it.
            self._begun_ns = now_ns
            return self._bind_again()
        if now_ns - self._begun_ns >= EVERY_NS:
            self._begin(now_ns)
        return ""

    def heard(self, token: Token) -> bool:
        """A token came; False for one that is not the one under way."""
        if self._sender is None or (token.run_epoch, token.number) != (self._epoch, self._number):
            return False
        self.close()
        self.deaf = False
        return True

    def close(self) -> None:
        """Drop the connection."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _bind_again(self) -> str:
        """Take the path back if it is not ours any more; what was wrong."""
        if self._file() == self._bound:
            return BUSY
        self._inbox.socket.bind(address(self._run_directory, OPPORTUNITIES))
        self._bound = self._file()
        return STOLEN

    def _file(self) -> int:
        """Which file the path is, 0 where there is none. Ours keeps its number as long as we have it open."""
        try:
            return self._path.lstat().st_ino
        except FileNotFoundError:
            return 0

    def _begin(self, now_ns: int) -> None:
        """Connect again: an older connection would reach us whoever has the path."""
        self.close()
        self._number += 1
        self._begun_ns = now_ns
        self._sender = Sender(self._run_directory)
        self._frame = self._sealer.seal(Token(self._epoch, self._number, now_ns))
