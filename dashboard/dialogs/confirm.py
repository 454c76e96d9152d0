"""Confirm: may this be sent? One action, or one of several; and how much a worker is to log.

In: actions, made when the dialog opens. Out: the very action that was confirmed, None for Cancel. Run by the
app. What moves on the screen behind changes nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList
from textual.widgets.option_list import Option

from dashboard.actions import LEVELS, Action, Choice, Refused, log_level
from dashboard.dialogs.dialog import Dialog, Text, answer_button, cancel_button, plain
from dashboard.formatting import clean
from dashboard.snapshot import Snapshot
from dashboard.worker_actions import kill_choices


class ConfirmScreen(Dialog[Action]):
    """One action: y or its button confirms, n, Esc or Enter cancels. With `needs_text` the word must be typed
    before the button can be pressed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "confirm", "confirm")]

    def __init__(self, action: Action) -> None:
        super().__init__(action.title, danger=action.danger)
        self._action = action

    def body(self) -> Iterator[Widget]:
        """What will come of it."""
        yield Text(listed(self._action.consequences))

    def foot(self) -> Iterator[Widget]:
        """The command that does the same, and the word to type."""
        if self._action.same_as:
            yield Text(f"The same as: {self._action.same_as}", classes="same")
        if self._action.needs_text:
            yield Input(placeholder=f"type {self._action.needs_text} to go on", id="typed", compact=True)

    def buttons(self) -> Iterator[Button]:
        """Yes and Cancel."""
        yes = answer_button(f"{self._action.yes} (y)", "yes", danger=self._action.danger)
        yes.disabled = bool(self._action.needs_text)
        yield yes
        yield cancel_button()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The button can be pressed once the word stands there."""
        self.query_one("#yes", Button).disabled = event.value.strip() != self._action.needs_text

    def on_input_submitted(self) -> None:
        """Enter in the field goes to the buttons; it is no yes."""
        self.query_one("#cancel").focus()

    def chosen(self, _button: str) -> None:
        """Confirmed with the button."""
        self.action_confirm()

    def action_confirm(self) -> None:
        """Close with the action, if it may be confirmed yet."""
        if not self.query_one("#yes", Button).disabled:
            self.dismiss(self._action)


class ChoiceScreen(Dialog[Action]):
    """One of several actions on one target: ↑ ↓ or a click choose, y confirms what is chosen."""

    DEFAULT_CSS = """
    ChoiceScreen #choices { margin-bottom: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "confirm", "confirm"),
        Binding("up", "choose(-1)", "choose", show=False),
        Binding("down", "choose(1)", "choose", show=False),
    ]

    def __init__(self, title: str, choices: Sequence[Choice]) -> None:
        assert choices, "a choice needs something to choose from"
        super().__init__(title, danger=any(one.action.danger for one in choices))
        self._choices = tuple(choices)
        self._at = 0

    def body(self) -> Iterator[Widget]:
        """The choices, and what comes of the chosen one."""
        width = max(len(one.name) for one in self._choices)
        options = OptionList(
            *(Option(clean(f"{one.name:<{width}}  {one.meaning}")) for one in self._choices),
            id="choices",
            markup=False,
            compact=True,
        )
        options.can_focus = False
        yield options
        yield Text(id="outcome")

    def foot(self) -> Iterator[Widget]:
        """The command that does the same."""
        yield Text(id="same", classes="same")

    def buttons(self) -> Iterator[Button]:
        """Yes and Cancel."""
        yield answer_button(f"{self._choices[0].action.yes} (y)", "yes")
        yield cancel_button()

    def on_mount(self) -> None:
        """The first choice is chosen."""
        self._choose(0)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click chooses; it confirms nothing."""
        event.stop()
        self._choose(event.option_index)

    def action_choose(self, step: int) -> None:
        """The next choice, or the one before."""
        self._choose((self._at + step) % len(self._choices))

    def _choose(self, at: int) -> None:
        self._at = at
        choice = self._choices[at]
        action = choice.action
        options = self.query_one("#choices", OptionList)
        options.highlighted = at
        self.query_one("#outcome", Text).say(
            listed([line for line in action.consequences if line != choice.meaning])
        )
        self.query_one("#same", Text).say(f"The same as: {action.same_as}")
        yes = self.query_one("#yes", Button)
        yes.label = plain(f"{action.yes} (y)")
        yes.variant = "error" if action.danger else "primary"
        self.call_after_refresh(self._fit)

    def chosen(self, _button: str) -> None:
        """Confirmed with the button."""
        self.action_confirm()

    def action_confirm(self) -> None:
        """Close with what is chosen."""
        self.dismiss(self._choices[self._at].action)


def kill_screen(snapshot: Snapshot, worker: str) -> ChoiceScreen | Refused:
    """Which signal to the process that is there now? TERM is chosen first."""
    choices = kill_choices(snapshot, worker)
    if isinstance(choices, Refused):
        return choices
    pid = choices[0].action.args["pid"]
    return ChoiceScreen(f"Send a signal to {clean(worker)} (pid {pid})?", choices)


def level_screen(snapshot: Snapshot, worker: str) -> ChoiceScreen | Refused:
    """How much shall a worker log, until the run ends? What config.toml says is chosen first."""
    choices = []
    for level, meaning in reversed(LEVELS):
        action = log_level(snapshot, worker, level)
        if isinstance(action, Refused):
            return action
        choices.append(Choice(level, meaning, action))
    return ChoiceScreen(f"How much shall {clean(worker)} log?", choices)


def listed(lines: Sequence[str]) -> str:
    """Consequences as a list, one a line."""
    return "\n".join(f"- {line}" for line in lines)
