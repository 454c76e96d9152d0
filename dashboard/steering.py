"""Steering: from a wish to a command: the question, the sending, the answer.

In: wishes of tabs and keys; the way to the supervisor. Out: dialogs and toasts. Run by the app. What is sent
is what the dialog showed, whatever has moved meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import App

from dashboard.actions import Action, Refused, halt, reload, replay, resume
from dashboard.client import Client, Outcome, Send, Severity
from dashboard.dialogs.confirm import ChoiceScreen, ConfirmScreen
from dashboard.dialogs.setting import Load, SettingScreen
from dashboard.messages import Wish
from dashboard.snapshot import Snapshot
from dashboard.widgets.tape import PAUSED, next_speed


class Steering:
    """The commands of one app. `load` gives the settings for their dialog."""

    def __init__(self, app: App[Any], send: Send, load: Load, picture: Callable[[], Snapshot | None]) -> None:
        self._app = app
        self._load = load
        self._picture = picture
        self._client = Client(send, self._tell)

    def _tell(self, text: str, severity: Severity) -> None:
        self._app.notify(text, severity=severity, markup=False)

    def want(self, wish: Wish) -> None:
        """Ask whether it is meant; say why where it cannot be."""
        if isinstance(wish, Refused):
            self._tell(wish.why, "warning")
        elif isinstance(wish, Action):
            self._app.push_screen(ConfirmScreen(wish), self._confirmed)
        else:
            assert isinstance(wish, ChoiceScreen), "a wish is an action, a choice, or refused"
            self._app.push_screen(wish, self._confirmed)

    def _confirmed(self, action: Action | None) -> None:
        """Send what was confirmed; None is Cancel."""
        if action is not None:
            self._app.run_worker(self._order(action))

    async def _order(self, action: Action) -> Outcome:
        return await self._client.order(action)

    def switch(self) -> None:
        """Halt, or end the halt."""
        shown = self._picture()
        if shown is not None:
            halted = shown.summary is not None and bool(shown.summary.halted)
            self.want(resume(shown) if halted else halt(shown))

    def halt(self) -> None:
        """Halt, halted or not: a further cause is kept too."""
        shown = self._picture()
        if shown is not None:
            self.want(halt(shown))

    def reload(self) -> None:
        """Read config.toml again."""
        shown = self._picture()
        if shown is not None:
            self.want(reload(shown))

    def setting(self) -> None:
        """Change a key of config.toml."""
        shown = self._picture()
        if shown is not None:
            self._app.push_screen(SettingScreen(shown, self._load, self._order))

    def tape(self, what: str) -> None:
        """One of the tape's own orders; "pause" lets a tape go on that is paused."""
        shown = self._picture()
        if shown is not None and shown.replay is not None:
            self.play("resume" if what == "pause" and shown.replay.state == PAUSED else what)

    def speed(self, by: int) -> None:
        """Play the tape faster or slower by so many steps."""
        shown = self._picture()
        if shown is not None and shown.replay is not None:
            self.play("speed", next_speed(shown.replay.speed_ppm, by))

    def play(self, action: str, value: str = "") -> None:
        """One order to the tape; it does no harm, so nobody asks, and only trouble is told."""
        shown = self._picture()
        wish = replay(shown, action, value) if shown is not None else Refused("nothing is seen yet")
        if isinstance(wish, Refused):
            self._tell(wish.why, "warning")
        else:
            self._app.run_worker(self._client.order(wish, quiet=True))
