"""Setting: one key of config.toml: found, changed, confirmed, and what the supervisor says to it.

In: a function that gives the keys (it may take a while), one that sends. Out: nothing; the dialog stays until
it is closed and shows the answer itself. Run by the app. Esc goes back one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList
from textual.widgets.option_list import Option

from dashboard.actions import Action, Refused, set_key
from dashboard.client import Outcome, Word
from dashboard.dialogs.confirm import listed
from dashboard.dialogs.dialog import Dialog, Text, answer_button
from dashboard.formatting import clean, fit
from dashboard.settings import SettingInfo, found
from dashboard.snapshot import Snapshot

Load = Callable[[], Sequence[SettingInfo]]
Order = Callable[[Action], Awaitable[Outcome]]
FIND, CHANGE, ASK, DONE = "find", "change", "ask", "done"
"""The steps: which key, which value, is that meant, what came of it."""
FIXED_ROWS = 6
"""Border, title, filter, line of counts, buttons."""


class SettingScreen(Dialog[None]):
    """Finds a key by words, takes a value, refuses in place what cannot be one, asks, and shows the answer.

    `key` is chosen at once where it is given. The snapshot is that of the moment of opening.
    """

    DEFAULT_CSS = """
    SettingScreen {
        & > #box { width: 100; }
        OptionList { text-wrap: nowrap; text-overflow: ellipsis; }
        #changing { height: auto; }
        #facts { margin-bottom: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "confirm", "confirm"),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-8)", show=False),
        Binding("pagedown", "move(8)", show=False),
    ]

    def __init__(self, snapshot: Snapshot, load: Load, order: Order, key: str = "") -> None:
        super().__init__("Change a setting of the run", focus="#needle")
        self._snapshot = snapshot
        self._load = load
        self._order = order
        self._wanted = key
        # None until they were read.
        self._settings: Sequence[SettingInfo] | None = None
        self._shown: Sequence[SettingInfo] = ()
        self._chosen: SettingInfo | None = None
        self._action: Action | None = None
        self._step = FIND

    # -- what is seen ----------------------------------------------------------------------------

    def body(self) -> Iterator[Widget]:
        """The keys; and once one is chosen, what is known of it and the field for its value."""
        yield Input(placeholder="words of the key or its meaning", id="needle", compact=True)
        keys = OptionList(id="keys", markup=False, compact=True)
        keys.can_focus = False
        yield keys
        yield Text("reading the keys ...", id="count", classes="same")
        yield _Changing(id="changing")

    def buttons(self) -> Iterator[Button]:
        """Set, which is there once a value is good, and the way out."""
        yield answer_button("Set (y)", "yes", danger=True)
        yield Button("Close", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Read the keys beside the screen."""
        self._go(FIND)
        self.run_worker(self._read())

    async def _read(self) -> None:
        self._settings = await asyncio.to_thread(self._load)
        self._filter(self.query_one("#needle", Input).value)
        named = next((one for one in self._settings if one.key == self._wanted), None)
        if named is not None:
            self._choose(named)

    def _fit(self) -> None:
        """The list takes what the rest of the box leaves."""
        self.query_one("#keys").styles.max_height = max(1, self.size.height - FIXED_ROWS)
        super()._fit()

    def _go(self, step: str) -> None:
        """Show what belongs to a step, and give the keys to it."""
        self._step = step
        for name, steps in (("#needle", FIND), ("#keys", FIND), ("#count", FIND)):
            self.query_one(name).display = step == steps
        self.query_one("#changing").display = step != FIND
        self.query_one("#facts").display = step == CHANGE
        self.query_one("#value").display = step == CHANGE
        self.query_one("#said").set_class(step == CHANGE, "trouble")
        self.query_one("#yes", Button).display = step == ASK
        focus = {FIND: "#needle", CHANGE: "#value"}.get(step, "#cancel")
        self.query_one(focus).focus()
        self.call_after_refresh(self._fit)

    # -- which key -------------------------------------------------------------------------------

    def _filter(self, needle: str) -> None:
        if self._settings is None:
            return
        keys = self.query_one("#keys", OptionList)
        self._shown = found(self._settings, needle)
        keys.clear_options()
        keys.add_options([Option(_row(one)) for one in self._shown])
        keys.highlighted = 0 if self._shown else None
        total = len(self._settings)
        count = f"{len(self._shown)} of {total} keys; Enter chooses" if total else "no run, no keys"
        self.query_one("#count", Text).say(count)
        self.call_after_refresh(self._fit)

    def action_move(self, step: int) -> None:
        """Another key of the list; in the later steps the text moves."""
        keys = self.query_one("#keys", OptionList)
        if self._step != FIND:
            self.action_scroll_body(step)
        elif self._shown:
            at = (keys.highlighted or 0) + step
            keys.highlighted = min(max(at, 0), len(self._shown) - 1)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Words narrow the list; a value forgets what was wrong with the one before."""
        if event.input.id == "needle":
            self._filter(event.value)
        elif self._step == CHANGE:
            self._say("")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click chooses a key."""
        event.stop()
        self._choose(self._shown[event.option_index])

    def _choose(self, setting: SettingInfo) -> None:
        self._chosen = setting
        facts = [
            setting.key,
            setting.meaning,
            f"It is {setting.plain or 'not set'} now (default {setting.default or 'none'}).",
            f"It may be: {setting.form_text}. A change acts {setting.acts}.",
        ]
        self.query_one("#facts", Text).say("\n".join(facts))
        self.query_one("#value", Input).value = setting.plain
        self._say("")
        self._go(CHANGE)

    # -- which value -----------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter chooses the key, or has the value looked at; it sends nothing."""
        event.stop()
        if event.input.id == "needle":
            at = self.query_one("#keys", OptionList).highlighted
            if at is not None:
                self._choose(self._shown[at])
        elif self._step == CHANGE:
            self._look_at(event.value)

    def _look_at(self, text: str) -> None:
        """Refuse the value here and now, or ask whether it is meant."""
        setting = self._chosen
        assert setting is not None, "a value is typed for a key"
        problem = setting.problem(text)
        if not problem and text.strip() in {setting.value, setting.plain}:
            problem = "that is its value already"
        if problem:
            self._say(f"Not possible: {problem}")
            return
        action = set_key(self._snapshot, setting.key, text, now=setting.plain, acts=setting.acts)
        if isinstance(action, Refused):
            self._say(f"Not possible: {action.why}")
            return
        self._action = action
        words = [action.title, listed(action.consequences), f"The same as: {action.same_as}"]
        self._say("\n".join(words))
        self._go(ASK)

    def _say(self, text: str) -> None:
        self.query_one("#said", Text).say(text)
        self.call_after_refresh(self._fit)

    # -- the answer ------------------------------------------------------------------------------

    def chosen(self, _button: str) -> None:
        """Confirmed with the button."""
        self.action_confirm()

    def action_confirm(self) -> None:
        """Send what was asked about; a second y sends nothing more."""
        if self._step != ASK or self._action is None:
            return
        action, self._action = self._action, None
        self._say(f"{action.title} Asking the supervisor ...")
        self._go(DONE)
        # Of the app, not of the dialog: it is told even if this closes first.
        self.app.run_worker(self._send(action))

    async def _send(self, action: Action) -> None:
        outcome = await self._order(action)
        if not self.is_attached:
            return
        self._say(outcome.text)
        if outcome.word is Word.REFUSED:
            self._go(CHANGE)

    def action_cancel(self) -> None:
        """Back to the step before, and from the first one out."""
        if self._step in {FIND, DONE}:
            self.dismiss(None)
            return
        self._action = None
        self._say("")
        self._go(FIND if self._step == CHANGE else CHANGE)


class _Changing(Vertical):
    """What is known of the chosen key, the field, and what came of it."""

    def compose(self) -> ComposeResult:
        yield Text(id="facts")
        yield Input(id="value", compact=True)
        yield Text(id="said")


def _row(setting: SettingInfo) -> str:
    return f"{fit(setting.key, 36)} {fit(clean(setting.plain), 16)} {setting.acts}"
