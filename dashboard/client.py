"""Client: sends what was confirmed to the supervisor, beside the screen, and tells what came of it.

In: actions; a function that asks the supervisor and may wait for its answer. Out: an outcome, told to the
person as a toast. Run by the app. The screen goes on meanwhile; one command is on its way at a time, but a
halt waits for no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from dashboard.actions import Action
from dashboard.formatting import clean

Send = Callable[[str, dict[str, str]], tuple[bool, str]]
"""Sends a command with its arguments: whether it was obeyed, and a sentence. Raises NoAnswerError."""
Severity = Literal["information", "warning", "error"]
Tell = Callable[[str, Severity], None]

MAX_WAITING = 8
MAX_TOLD_LINES = 8
AT_ONCE = ("halt",)


class NoAnswerError(Exception):
    """The command was sent, and nobody answered in time: nobody knows whether it was obeyed."""


class Word(Enum):
    """What became of a command, as far as it is known here."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command, and the supervisor's sentence."""

    word: Word
    text: str


_SEVERITIES: dict[Word, Severity] = {
    Word.DONE: "information",
    Word.REFUSED: "error",
    Word.UNKNOWN: "warning",
}


class Client:
    """Sends actions. `unanswered` counts those of which nobody knows what came of them."""

    def __init__(self, send: Send, tell: Tell) -> None:
        self._send = send
        self._tell = tell
        self._turn = asyncio.Lock()
        self._waiting = 0
        self.unanswered = 0

    async def order(self, action: Action, *, quiet: bool = False) -> Outcome:
        """Send one action and tell what came of it; with `quiet` only trouble is told."""
        outcome = await self._ordered(action)
        if outcome.word is Word.UNKNOWN:
            self.unanswered += 1
        if outcome.word is not Word.DONE or not quiet:
            self._tell(outcome.text, _SEVERITIES[outcome.word])
        return outcome

    async def _ordered(self, action: Action) -> Outcome:
        if action.command in AT_ONCE:
            return await self._sent(action)
        if self._waiting >= MAX_WAITING:
            return Outcome(Word.REFUSED, f"not sent: {MAX_WAITING} commands wait for the supervisor already")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._sent(action)
        finally:
            self._waiting -= 1

    async def _sent(self, action: Action) -> Outcome:
        """Ask in a thread: the picture goes on meanwhile."""
        try:
            done, text = await asyncio.to_thread(self._send, action.command, dict(action.args))
        except NoAnswerError as error:
            text = f"{_short(str(error))}. It may have happened all the same: look at the state"
            return Outcome(Word.UNKNOWN, text)
        if done:
            return Outcome(Word.DONE, _short(text) or "done")
        return Outcome(Word.REFUSED, f"refused: {_short(text) or 'no reason was given'}")


def _short(text: str) -> str:
    """An answer with as many lines as a toast has room for."""
    lines = [clean(line) for line in text.splitlines() if line.strip()]
    left = len(lines) - MAX_TOLD_LINES
    return "\n".join(lines if left <= 0 else [*lines[:MAX_TOLD_LINES], f"and {left} lines more"])
