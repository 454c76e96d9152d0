"""Leave: what shall become of the bot when the dashboard closes?

In: the preselected answer. Out: "leave", "stop", or None for Cancel. Run by the app of `run.py up`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button

from dashboard.dialogs.dialog import Dialog, Text, answer_button, cancel_button

Leaving = Literal["leave", "stop"]


class QuitScreen(Dialog[Leaving]):
    """Asks what happens to the bot; `preselect` has the focus, for `q` was no key too many."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "leave", "leave running"),
        Binding("s", "stop", "stop all"),
    ]

    def __init__(self, preselect: Leaving) -> None:
        super().__init__("Close the dashboard. And the bot?", focus=f"#{preselect}")

    def body(self) -> Iterator[Widget]:
        """What each answer means."""
        yield Text(
            "Leave running: it goes on trading. Come back with: python3 run.py dashboard\n"
            "Stop all: every process ends. The same as: python3 run.py down"
        )

    def buttons(self) -> Iterator[Button]:
        """Both answers and Cancel."""
        yield answer_button("Leave running (l)", "leave")
        yield answer_button("Stop all (s)", "stop", danger=True)
        yield cancel_button()

    def chosen(self, _button: str) -> None:
        """Close with the answer of a button."""
        self.dismiss("stop" if _button == "stop" else "leave")

    def action_leave(self) -> None:
        """The bot goes on."""
        self.dismiss("leave")

    def action_stop(self) -> None:
        """The bot ends."""
        self.dismiss("stop")
