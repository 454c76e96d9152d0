"""Dialogs: the questions at quitting and at halting, and the page of keys and signs.

In: what is preselected. Out: an answer. Run by the dashboard. Cancel and Esc change nothing.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Label

Answer = Literal["leave", "stop"]
Turn = Literal["halt", "resume"]

HELP = """\
q   quit; asks whether the bot goes on
p   pause the view; the bot does not notice
h   halt: nothing new is traded until somebody resumes; asks first
↑ ↓ PgUp PgDn Home End   scroll the events
?   this page               ctrl+p   all commands

●   it runs and its heart beats        ○   it does not
▲   an edge the scanner accepts: profit after fees and slippage
⚠   older than it should be            dim edge: a loss
H M L   how far an edge may be believed; a bigger edge never raises it
race    odds that it is still there when orders arrive: a prior, or of n lives
MODEL   an opinion about spot, no arbitrage: never green, never ▲
CLOSE   what is held can be sold for more than waiting is worth
✓8s each book of the venue was compared with its REST in the last 8 s, and was right

DEAD     the feed's process is gone
STALE    the venue is silent
GAP      a message was lost; a snapshot is on its way
EMPTY    no book yet
CROSSED  bid over ask: not believed
quiet    the venue lives, this market rests

K→P      buys at Kalshi, sells at Polymarket
Prices   cents of YES for binary events, dollars for spot
Edges    basis points of the cash used, after all fees
Exposure LOW under $20, MED to $50, HIGH above"""


class QuitScreen(ModalScreen[Answer | None]):
    """Asks what happens to the bot when the screen closes; None is Cancel."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n,q", "answer('')", "cancel"),
        Binding("l", "answer('leave')", "leave running"),
        Binding("s", "answer('stop')", "stop all"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, preselect: Answer) -> None:
        super().__init__()
        self._preselect = preselect

    def compose(self) -> ComposeResult:
        """The question, what each answer means, and three buttons."""
        with Vertical(id="question"):
            yield Label("Close the dashboard. And the bot?", id="asked", markup=False)
            yield Label(
                "Leave running: it goes on trading. Come back with: python3 run.py dashboard\n"
                "Stop all: every process ends. The same as: python3 run.py down",
                markup=False,
            )
            with Horizontal(id="answers"):
                yield Button("Leave running (l)", id="leave")
                yield Button("Stop all (s)", id="stop", variant="warning")
                yield Button("Cancel (n)", id="cancel")

    def on_mount(self) -> None:
        """Put the focus on the preselected answer."""
        self.query_one(f"#{self._preselect}", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take a pressed button for the answer it names."""
        self.action_answer("" if event.button.id == "cancel" else event.button.id or "")

    def action_answer(self, answer: str) -> None:
        """Close with "leave" or "stop"; anything else cancels."""
        self.dismiss("leave" if answer == "leave" else "stop" if answer == "stop" else None)


class HaltScreen(ModalScreen[Turn | None]):
    """Asks whether to halt or to resume; None is Cancel. `cause` is why it is halted, None where it is not.

    Enter halts where nothing is halted yet, and changes nothing where it is.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n,q", "answer('')", "cancel"),
        Binding("h", "answer('halt')", "halt"),
        Binding("r", "answer('resume')", "resume"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, cause: str | None) -> None:
        super().__init__()
        self._cause = cause

    def compose(self) -> ComposeResult:
        """What is so now, what each answer means, and three buttons."""
        now = "Trading goes on." if self._cause is None else f"Trading is halted: {self._cause or '?'}"
        with Vertical(id="question"):
            yield Label(f"{now} Change that?", id="asked", markup=False)
            yield Label(
                "Halt: nothing new is traded; hedges and cancels go on. The same as: python3 run.py halt\n"
                "Resume: it trades again. The same as: python3 run.py resume",
                markup=False,
            )
            with Horizontal(id="answers"):
                yield Button("Halt (h)", id="halt", variant="error")
                yield Button("Resume (r)", id="resume", variant="warning")
                yield Button("Cancel (n)", id="cancel")

    def on_mount(self) -> None:
        """Put the focus on what is done without a second thought."""
        self.query_one("#halt" if self._cause is None else "#cancel", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take a pressed button for the answer it names."""
        self.action_answer("" if event.button.id == "cancel" else event.button.id or "")

    def action_answer(self, answer: str) -> None:
        """Close with "halt" or "resume"; anything else cancels."""
        self.dismiss("halt" if answer == "halt" else "resume" if answer == "resume" else None)


class HelpScreen(ModalScreen[None]):
    """Keys, and what every sign and word on the screen means."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter,space", "dismiss", "close")
    ]

    def compose(self) -> ComposeResult:
        """One page of text."""
        with VerticalScroll(id="help"):
            yield Label(HELP, markup=False)
