"""Messages: what tabs and screens ask of the app.

In: keys and clicks somewhere below. Out: what is wanted, for the app to do. Several of a kind may wait: each
counts.
"""

from __future__ import annotations

from textual.message import Message

from dashboard.actions import Action, Refused
from dashboard.dialogs.confirm import ChoiceScreen

Wish = Action | Refused | ChoiceScreen
"""What a person wants: one action, one of several, or something that cannot be, which is then said."""


class Wanted(Message):
    """Somebody wants something of the run; the app asks, and sends it."""

    def __init__(self, wish: Wish) -> None:
        super().__init__()
        self.wish = wish


class EventWanted(Message):
    """Somebody wants to see an event by itself: by its id, or the very row of the picture by its key."""

    def __init__(self, event_id: str = "", key: str = "") -> None:
        super().__init__()
        self.event_id = event_id
        self.key = key


class LogWanted(Message):
    """Somebody wants to read the log of one worker."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self.worker = worker
