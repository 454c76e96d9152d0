"""Dialog: what every question over the screen has in common: a box, a body that scrolls, buttons in a row.

In: texts, which are shown as they are and never parsed. Out: an answer, None for Cancel. Run by the app.
Cancel has the focus when a dialog opens, so that a key too many changes nothing; Esc and n cancel as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Static

from dashboard.formatting import clean

Answer = TypeVar("Answer")


class Text(Static):
    """Plain text as others may have written it: cleaned, and never markup."""

    def __init__(self, text: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(_clean(text), id=id, classes=classes, markup=False)

    def say(self, text: str) -> None:
        """Show this from now on."""
        self.update(_clean(text))


class Dialog(ModalScreen[Answer | None]):
    """A modal box. A subclass gives `body`, `foot` and `buttons`; `title` stands above them. `focus` selects
    the widget that has the focus at first.

    `can_focus` widgets of the body are reached with Tab; ↑ ↓ scroll the body where nothing else takes them.
    """

    DEFAULT_CSS = """
    Dialog {
        align: center middle; background: $background 60%;
        & > #box {
            width: 84; max-width: 100%; height: auto; max-height: 100%;
            border: heavy $warning; padding: 0 1; background: $surface;
        }
        &.-danger > #box { border: heavy $error; }
        #asked { text-style: bold; }
        Text { width: 100%; height: auto; }
        #body { height: auto; width: 100%; scrollbar-size-vertical: 1; }
        #answers { height: 1; width: 100%; align-horizontal: center; }
        #answers Button { margin: 0 1; min-width: 10; }
        .same { color: $text-muted; }
        .trouble { color: $text-error; text-style: bold; }
        Input { background: $boost; }
        OptionList {
            border: none; padding: 0; height: auto; background: $surface; scrollbar-size-vertical: 1;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n,q", "cancel", "cancel"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
        Binding("up", "scroll_body(-1)", show=False),
        Binding("down", "scroll_body(1)", show=False),
        Binding("pageup", "scroll_body(-8)", show=False),
        Binding("pagedown", "scroll_body(8)", show=False),
    ]

    def __init__(self, title: str, *, danger: bool = False, focus: str = "#cancel") -> None:
        super().__init__()
        self._first_focus = focus
        self._title = title
        self._danger = danger

    def body(self) -> Iterator[Widget]:
        """What stands between the title and the buttons."""
        return iter(())

    def foot(self) -> Iterator[Widget]:
        """What stands right above the buttons and never scrolls away."""
        return iter(())

    def buttons(self) -> Iterator[Button]:
        """The answers, from left to right."""
        yield cancel_button()

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical(id="box"):
            yield Text(self._title, id="asked")
            with _Body(id="body"):
                yield from self.body()
            yield from self.foot()
            with Horizontal(id="answers"):
                yield from self.buttons()

    def on_mount(self) -> None:
        """Put the focus where Enter does no harm, and fit the body into the screen."""
        self.set_class(self._danger, "-danger")
        self.query_one(self._first_focus).focus()
        self._fit()

    def on_resize(self) -> None:
        """Fit the body into the new size."""
        self._fit()

    def _fit(self) -> None:
        """Leave the body what border, title, foot and buttons do not take: those are always in sight."""
        box = self.query_one("#box")
        fixed = sum(max(1, child.outer_size.height) for child in box.children if child.id != "body")
        self.query_one("#body").styles.max_height = max(1, self.size.height - 2 - fixed)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take a pressed button for the answer that it names."""
        event.stop()
        if event.button.id == "cancel":
            self.dismiss(None)
        else:
            self.chosen(event.button.id or "")

    def chosen(self, _button: str) -> None:
        """A button other than Cancel was pressed: its id."""

    def action_cancel(self) -> None:
        """Close and change nothing."""
        self.dismiss(None)

    def action_scroll_body(self, lines: int) -> None:
        """Move the text by so many lines."""
        self.query_one("#body", VerticalScroll).scroll_relative(y=lines, animate=False)


class _Body(VerticalScroll):
    """The part that scrolls. Buttons have the focus, so it needs none."""

    can_focus = False


def cancel_button() -> Button:
    """The answer that changes nothing."""
    return Button("Cancel (n)", id="cancel", compact=True)


def answer_button(label: str, name: str, *, danger: bool = False) -> Button:
    """An answer; the one that ends something stands out."""
    return Button(plain(label), id=name, variant="error" if danger else "primary", compact=True)


def plain(label: str) -> Content:
    """A button's text, which is no markup."""
    return Content(_clean(label))


def _clean(text: str) -> str:
    return "\n".join(clean(line) for line in text.splitlines())
