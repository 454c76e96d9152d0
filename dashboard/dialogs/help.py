"""Help: the keys that there are now, and what every sign and word on the screens means.

In: the keys, as the app has them. Out: one page. Run by the app.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button

from dashboard.dialogs.dialog import Dialog, Text
from dashboard.reasons import grid_words

SIGNS = """\
●   it runs and its heart beats        ○   it does not
▲   an edge the scanner accepts: profit after fees and slippage
⚠   older than it should be            dim edge: a loss
H M L   how far an edge may be believed; a bigger edge never raises it
race    odds that it is still there when orders arrive: a prior, or of n lives
MODEL   an opinion about spot, no arbitrage: never green, never ▲
CLOSE   what is held can be sold for more than waiting is worth
✓8s     each book of the venue was compared with its REST in the last 8 s, and was right
SIM     venues of the lab          REPLAY  a recorded tape
PAPER   real or simulated prices, no real money     LIVE  real money

DEAD     the feed's process is gone
STALE    the venue is silent
GAP      a message was lost; a snapshot is on its way
EMPTY    no book yet
CROSSED  bid over ask: not believed
quiet    the venue lives, this market rests

STOPPED  of the run: its supervisor's heart does not beat
stopped  of a worker: somebody stopped it; u starts it
backoff  it ended and waits for its next start
flapping it ended too often and waits for somebody to start it
no beat  its process is there and does not move; the supervisor replaces it
orphan   it runs though no supervisor's heart beats: nothing new is traded

untaken  a quote that nobody took            unwound  the leg that had no counterpart was sold
UNHEDGED one leg stands alone; it is repaired or sold, and the third line says so

K→P      buys at Kalshi, sells at Polymarket
Prices   cents of YES for binary events, dollars for spot
Edges    basis points of the cash used, after all fees
Exposure LOW under $20, MED to $50, HIGH above

Everything that changes something asks first, with Cancel chosen, and goes to the
supervisor; what was asked and by whom stands in data/logs/supervisor.jsonl.
Closing this screen never stops the bot unless you say so."""

# Textual's own, each with a line that says what everybody knows.
_MOVES = ("move(", "page(", "scroll_", "page_", "app.focus_", "screen.copy_text")


class HelpScreen(Dialog[None]):
    """Keys with what they do, then the signs."""

    DEFAULT_CSS = """
    HelpScreen Text { margin-bottom: 1; }
    HelpScreen #asked { margin-bottom: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,enter,space,f1", "cancel", "close", show=False),
        Binding("home", "scroll_body(-999)", show=False),
        Binding("end", "scroll_body(999)", show=False),
    ]

    def __init__(self, keys: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__("Keys and signs")
        self._keys = tuple(keys)

    def body(self) -> Iterator[Widget]:
        """One page of text."""
        if self._keys:
            wide = max(len(key) for key, _ in self._keys)
            yield Text("\n".join(f"{key:<{wide}}   {what}" for key, what in self._keys), id="keys")
        yield Text(SIGNS, id="signs")
        words = "\n".join(f"{word:<8} {what}" for word, what in grid_words())
        yield Text(f"In place of an edge:\n{words}", id="words")

    def buttons(self) -> Iterator[Button]:
        """The way back."""
        yield Button("Close (Esc)", id="cancel", compact=True)


def keys_of(app: App[Any]) -> list[tuple[str, str]]:
    """The keys that work where the focus is now, with what they do; several keys of one action on one line.

    Bindings without a description are left out, and those that scroll stand together. Ask before the help is
    opened, for then only its own work.
    """
    told: dict[str, list[str]] = {"move": ["↑ ↓ PgUp PgDn Home End"], "tab": ["1 - 6"]}
    for active in app.screen.active_bindings.values():
        binding = active.binding
        if binding.description and active.enabled and not binding.action.startswith(_MOVES):
            keys = told.setdefault(binding.tooltip or binding.description, [])
            key = app.get_key_display(binding)
            if key not in keys:
                keys.append(key)
    return [(" ".join(keys), what) for what, keys in told.items()]
