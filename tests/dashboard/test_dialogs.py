"""The dialogs, by keys and by mouse, at three sizes: what is sent is what was shown, and only on a yes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from textual.app import App
from textual.binding import Binding, BindingType
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList

from dashboard.actions import Action, Choice, Refused, halt, resume
from dashboard.client import Outcome, Word
from dashboard.dialogs.confirm import ChoiceScreen, ConfirmScreen, kill_screen, level_screen
from dashboard.dialogs.dialog import Text
from dashboard.dialogs.help import HelpScreen, keys_of
from dashboard.dialogs.leave import QuitScreen
from dashboard.dialogs.setting import SettingScreen
from dashboard.settings import Form, SettingInfo, found
from dashboard.snapshot import RunView, Snapshot, WorkerView
from dashboard.worker_actions import restart_worker
from shm import records as rec
from tests.dashboard.conftest import hasten

SIZES = [(120, 36), (80, 24), (70, 15)]
# What does not fit is noticed at the smallest; the others are tried where there is time.
SMALLEST_FIRST = [(70, 15), *(pytest.param(size, marks=pytest.mark.stress) for size in SIZES[:2])]
NOTHING = "nothing came back yet"
RUN = Snapshot(
    now_ns=10**9,
    wall_ns=10**18,
    run=RunView(seen=True, alive=True, mode="paper", pid=4200),
    trader_alive=True,
    summary=rec.SUMMARY.empty(),
    workers=tuple(
        WorkerView(name, pid, "running", True, 10**9, 0, 0)
        for name, pid in (("feed-kalshi", 4211), ("scanner", 4215), ("trader", 4216))
    ),
)
EDGE = SettingInfo(
    "risk.min_edge_bp", "50", Form.WHOLE, "whole number, 0 to 10000", "50", "at once", "edge", "0", "10000"
)
KEYS = (
    EDGE,
    SettingInfo(
        "risk.max_net_usd", '"10"', Form.NUMBER, "amount, 0 to 20", '"10"', "at once", "net", "0", "20"
    ),
    SettingInfo(
        "trader.mode", '"taker"', Form.CHOICE, "taker, both", '""', "at once", "m", "", "", ("taker", "both")
    ),
    SettingInfo(
        "observer.enabled", "true", Form.SWITCH, "true or false", "true", "when all restarts", "files"
    ),
    SettingInfo(
        "lab.scenario", '""', Form.OTHER, "text, up to 200 bytes", '""', "at once", "edge of the world"
    ),
    *(
        SettingInfo(f"venues.v{n}.poll_interval", "1.0", Form.NUMBER, "number", "1.0", "at once", "seconds")
        for n in range(30)
    ),
)


class Host(App[None]):
    """An app with a dialog over it, and what the dialog answered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("z", "sure", "does something"),
        Binding("x", "quit", "hidden", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.answer: Any = NOTHING
        self.shown = RUN
        self.acted = 0

    def action_sure(self) -> None:
        """Something that a key does."""
        self.acted += 1


class Stage:
    """One app, on which many dialogs are opened one after the other."""

    def __init__(self, app: Host, pilot: Pilot[object]) -> None:
        self.app = app
        self.pilot = pilot

    async def open(self, dialog: Screen[Any], *keys: str) -> None:
        """Put a dialog over the screen and press keys."""
        self.app.answer = NOTHING

        def answered(answer: object) -> None:
            self.app.answer = answer

        self.app.push_screen(dialog, answered)
        await self.pilot.pause()
        await self.press(*keys)

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause()

    async def click(self, selector: str, offset: tuple[int, int] = (0, 0)) -> None:
        assert await self.pilot.click(selector, offset=offset)
        await self.pilot.pause()

    def text(self, selector: str) -> str:
        return str(self.app.screen.query_one(selector, Text).content)

    async def answer(self) -> Any:
        """What the dialog answered; one that is still open is taken away."""
        while len(self.app.screen_stack) > 1:
            self.app.pop_screen()
            await self.pilot.pause()
        return self.app.answer

    async def pressed(self, dialog: Screen[Any], *keys: str) -> Any:
        await self.open(dialog, *keys)
        return await self.answer()

    async def clicked(self, dialog: Screen[Any], selector: str) -> Any:
        await self.open(dialog)
        await self.click(selector)
        return await self.answer()

    async def read(self) -> None:
        """Wait until the keys of the settings are there."""
        for _ in range(1000):
            await self.pilot.pause(0.005)
            if self.app.screen.query_one("#keys", OptionList).option_count:
                await self.pilot.pause()
                return
        raise AssertionError("no keys came")


@pytest.fixture(autouse=True)
def _hasten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pilot waits for frames, as in every other test of the dashboard."""
    hasten(monkeypatch)
    yield


def on_stage(size: tuple[int, int], steps: Callable[[Stage], Awaitable[None]]) -> None:
    """Run steps in an app of that size."""

    async def whole() -> None:
        app = Host()
        async with app.run_test(size=size) as pilot:
            await steps(Stage(app, pilot))

    asyncio.run(whole())


def restart(shown: Snapshot = RUN) -> ConfirmScreen:
    made = restart_worker(shown, "feed-kalshi")
    assert isinstance(made, Action)
    return ConfirmScreen(made)


def kill(shown: Snapshot = RUN, worker: str = "trader") -> ChoiceScreen:
    made = kill_screen(shown, worker)
    assert isinstance(made, ChoiceScreen)
    return made


def level() -> ChoiceScreen:
    made = level_screen(RUN, "scanner")
    assert isinstance(made, ChoiceScreen)
    return made


def live_resume() -> ConfirmScreen:
    shown = replace(RUN, run=replace(RUN.run, mode="live"), summary=rec.SUMMARY.empty()._replace(halted=1))
    made = resume(shown)
    assert isinstance(made, Action)
    return ConfirmScreen(made)


def setting(key: str = "", order: Any = None, keys: Any = None) -> SettingScreen:
    async def never(_action: Action) -> Outcome:
        raise AssertionError("nothing was to be sent")

    return SettingScreen(RUN, keys or (lambda: KEYS), order or never, key)


ALL: dict[str, Callable[[], Screen[Any]]] = {
    "restart": restart,
    "kill": kill,
    "level": level,
    "live resume": live_resume,
    "setting": setting,
    "one setting": lambda: setting("trader.mode"),
    "help": lambda: HelpScreen([("q", "quit")] * 30),
    "quit": lambda: QuitScreen("leave"),
}


@pytest.mark.parametrize("size", SIZES)
def test_title_and_buttons_are_in_sight_at_every_size(size, monkeypatch) -> None:
    """Box, title, buttons and fields lie inside of the screen, whatever has to scroll; without colour too."""
    monkeypatch.setenv("NO_COLOR", "1")

    async def steps(stage: Stage) -> None:
        for name, make in ALL.items():
            await stage.open(make())
            await stage.pilot.pause()
            screen = stage.app.screen
            seen = [screen.query_one("#box"), screen.query_one("#asked"), *screen.query(Button)]
            for widget in [*seen, *screen.query(Input)]:
                if all(each.display for each in widget.ancestors_with_self if isinstance(each, Widget)):
                    assert widget.region.size, (name, widget)
                    assert screen.region.contains_region(widget.region), (name, widget, widget.region)
            await stage.answer()

    on_stage(size, steps)


def test_a_key_too_many_changes_nothing() -> None:
    """Enter right after opening, Esc, n and q are Cancel in every question."""

    async def steps(stage: Stage) -> None:
        for make in (restart, kill, level, live_resume):
            assert await stage.pressed(make(), "enter") is None, make
        for key in ("escape", "n", "q"):
            assert await stage.pressed(restart(), key) is None, key

    on_stage((80, 24), steps)


def test_keys_of_the_screen_below_do_nothing_in_a_question() -> None:
    """A key of the app or of a tab neither answers nor closes nor acts."""

    async def steps(stage: Stage) -> None:
        await stage.open(restart(), "z", "x", "k", "r", "h", "1", "space", "up", "down", "pageup", "pagedown")
        assert stage.app.answer == NOTHING
        assert stage.app.acted == 0
        assert stage.app.is_running

    on_stage((80, 24), steps)


def test_yes_by_keys_gives_the_action_that_was_shown() -> None:
    """y, and the button by arrow or Tab and Enter, give the very action that was shown."""

    async def steps(stage: Stage) -> None:
        action = restart_worker(RUN, "feed-kalshi")
        assert await stage.pressed(restart(), "y") == action
        assert await stage.pressed(restart(), "left", "enter") == action
        assert await stage.pressed(restart(), "shift+tab", "enter") == action

    on_stage((80, 24), steps)


@pytest.mark.parametrize("size", SMALLEST_FIRST)
def test_every_answer_by_mouse(size) -> None:
    """A click on the button that says so gives the action; one on Cancel gives nothing."""

    async def steps(stage: Stage) -> None:
        assert await stage.clicked(restart(), "#yes") == restart_worker(RUN, "feed-kalshi")
        assert await stage.clicked(restart(), "#cancel") is None
        assert await stage.clicked(level(), "#cancel") is None
        assert await stage.clicked(QuitScreen("leave"), "#stop") == "stop"
        assert await stage.clicked(QuitScreen("stop"), "#leave") == "leave"
        assert await stage.clicked(QuitScreen("stop"), "#cancel") is None
        # A click on a line chooses it and sends nothing; the command follows.
        await stage.open(kill())
        await stage.click("#choices", (3, 1))
        assert stage.app.answer == NOTHING
        assert stage.app.screen.query_one("#choices", OptionList).highlighted == 1
        assert stage.text("#same").endswith("--signal KILL")
        assert str(stage.app.screen.query_one("#yes", Button).label) == "Send KILL (y)"
        await stage.click("#yes")
        assert stage.app.answer.args["signal"] == "KILL"

    on_stage(size, steps)


def test_the_target_is_that_of_the_opening() -> None:
    """Rows move and the worker is another process before the yes: sent is what the dialog showed."""

    async def steps(stage: Stage) -> None:
        stage.app.shown = RUN
        made = kill_screen(stage.app.shown, "feed-kalshi")
        assert isinstance(made, ChoiceScreen)
        await stage.open(made)
        restarted = replace(RUN.workers[0], pid=9999, restarts=1)
        stage.app.shown = replace(RUN, workers=(replace(RUN.workers[1], pid=1), restarted))
        await stage.press("down", "y")
        assert stage.app.answer.command == "kill"
        assert stage.app.answer.args == {"worker": "feed-kalshi", "pid": "4211", "signal": "KILL"}

    on_stage((80, 24), steps)


def test_the_signal_is_chosen_by_arrows() -> None:
    """TERM first; the arrows go round."""

    async def steps(stage: Stage) -> None:
        assert (await stage.pressed(kill(), "y")).args["signal"] == "TERM"
        assert (await stage.pressed(kill(), "down", "down", "y")).args["signal"] == "STOP"
        assert (await stage.pressed(kill(), "up", "y")).args["signal"] == "USR1"

    on_stage((80, 24), steps)


def test_a_log_level_is_chosen_the_same_way() -> None:
    """The configuration's own level first, then from the quietest to the loudest."""

    async def steps(stage: Stage) -> None:
        assert (await stage.pressed(level(), "y")).args == {"worker": "scanner", "level": "default"}
        assert (await stage.pressed(level(), "up", "y")).args == {"worker": "scanner", "level": "debug"}

    on_stage((70, 15), steps)


def test_what_cannot_be_killed_has_no_dialog() -> None:
    """The supervisor, and a worker of a run that is gone: a refusal in words, no screen."""
    for made in (kill_screen(RUN, "supervisor"), level_screen(replace(RUN, run=RunView()), "scanner")):
        assert isinstance(made, Refused)


def test_resume_in_live_mode_wants_its_word() -> None:
    """Neither y, nor Enter, nor a click resumes before the word stands there; Enter then goes to Cancel."""

    async def steps(stage: Stage) -> None:
        assert await stage.pressed(live_resume(), "y") == NOTHING
        assert await stage.clicked(live_resume(), "#yes") == NOTHING
        assert await stage.pressed(live_resume(), "tab", *"resum", "enter", "y") == NOTHING
        assert await stage.pressed(live_resume(), "tab", *"resume", "enter", "enter") is None
        assert (await stage.pressed(live_resume(), "tab", *"resume", "enter", "y")).command == "resume"
        assert (await stage.pressed(live_resume(), "tab", *"resume", "tab", "enter")).command == "resume"

    on_stage((70, 15), steps)


def test_a_halt_needs_no_word() -> None:
    """Halting is a y, in every mode."""
    made = halt(replace(RUN, run=replace(RUN.run, mode="live")))
    assert isinstance(made, Action)

    async def steps(stage: Stage) -> None:
        assert await stage.pressed(ConfirmScreen(made), "y") == made

    on_stage((80, 24), steps)


def test_quitting_has_three_answers() -> None:
    """The preselected answer has the focus; l, s and Esc give the three."""

    async def steps(stage: Stage) -> None:
        assert await stage.pressed(QuitScreen("leave"), "enter") == "leave"
        assert await stage.pressed(QuitScreen("stop"), "enter") == "stop"
        assert await stage.pressed(QuitScreen("stop"), "l") == "leave"
        assert await stage.pressed(QuitScreen("leave"), "s") == "stop"
        assert await stage.pressed(QuitScreen("leave"), "escape") is None

    on_stage((80, 24), steps)


def test_the_help_scrolls_to_its_last_line() -> None:
    """End shows the end; ?, Esc and a click close."""

    async def steps(stage: Stage) -> None:
        await stage.open(HelpScreen([("q", "quit")] * 30), "end")
        body = stage.app.screen.query_one("#body")
        assert 0 < body.max_scroll_y == body.scroll_offset.y
        await stage.press("question_mark")
        assert await stage.answer() is None
        assert await stage.pressed(HelpScreen(), "escape") is None
        assert await stage.clicked(HelpScreen(), "#cancel") is None

    on_stage((70, 15), steps)


def test_the_keys_of_the_help_are_those_that_work() -> None:
    """Shown and hidden bindings with their descriptions, each once."""

    async def steps(stage: Stage) -> None:
        told = keys_of(stage.app)
        assert ("z", "does something") in told
        assert ("x", "hidden") in told
        assert len({what for _, what in told}) == len(told)

    on_stage((80, 24), steps)


def test_markup_and_escapes_are_only_text() -> None:
    """Brackets stay brackets, escapes are gone, and nothing breaks."""
    action = Action("[red]T[/red]\x1b[2J", ("[b]x\x07", "é🙂" * 200), "kill", {}, "run.py [x]", "[u]Yes")
    choice = Choice("[b]", "[red]\x1b[2J", action)

    async def steps(stage: Stage) -> None:
        await stage.open(ConfirmScreen(action))
        assert stage.text("#asked") == "[red]T[/red][2J"
        assert str(stage.app.screen.query_one("#yes", Button).label) == "[u]Yes (y)"
        assert await stage.answer() == NOTHING
        await stage.open(ChoiceScreen("[b]", [choice]))
        options = stage.app.screen.query_one("#choices", OptionList)
        assert str(options.get_option_at_index(0).prompt) == "[b]  [red][2J"
        assert stage.app.export_screenshot()

    on_stage((70, 15), steps)


# -- settings --------------------------------------------------------------------------------------


class Supervisor:
    """Answers what it is told to, and keeps what was sent."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.sent: list[Action] = []
        self._outcomes = list(outcomes)

    async def order(self, action: Action) -> Outcome:
        self.sent.append(action)
        return self._outcomes.pop(0)


@pytest.mark.parametrize("size", SMALLEST_FIRST)
def test_a_setting_is_found_changed_asked_about_and_answered(size) -> None:
    """Words, Enter, a value, Enter, y: one assignment is sent, and the answer stands in the dialog."""
    there = Supervisor(Outcome(Word.DONE, "risk.min_edge_bp 50 -> 60: now"))

    async def steps(stage: Stage) -> None:
        await stage.open(setting(order=there.order))
        await stage.read()
        await stage.press(*"min_e", "enter")
        assert stage.app.screen.query_one("#value", Input).value == "50"
        await stage.press(*"60", "enter")
        assert "Set risk.min_edge_bp to 60?" in stage.text("#said")
        assert there.sent == []
        assert stage.app.focused is stage.app.screen.query_one("#cancel")
        await stage.press("y", "y")
        assert stage.text("#said") == "risk.min_edge_bp 50 -> 60: now"
        await stage.press("escape")
        assert await stage.answer() is None

    on_stage(size, steps)
    assert [action.args for action in there.sent] == [{"assignments": "risk.min_edge_bp=60"}]


def test_a_setting_by_mouse() -> None:
    """A click chooses the key, a click on Set sends."""
    there = Supervisor(Outcome(Word.DONE, "done"))

    async def steps(stage: Stage) -> None:
        await stage.open(setting(order=there.order))
        await stage.read()
        await stage.click("#keys", (3, 0))
        await stage.press(*"60", "enter")
        await stage.click("#yes")

    on_stage((80, 24), steps)
    assert there.sent[0].args == {"assignments": "risk.min_edge_bp=60"}


def test_enter_alone_sends_nothing() -> None:
    """Enter again and again from the opening: a key, its value, and the word that this is no change."""

    async def steps(stage: Stage) -> None:
        await stage.open(setting())
        await stage.read()
        await stage.press("enter", "enter", "enter", "enter")
        assert "its value already" in stage.text("#said")

    on_stage((80, 24), steps)


def test_what_cannot_be_a_value_is_refused_in_place() -> None:
    """The reason stands below the field, nothing is asked or sent; the next letter takes the reason away."""

    async def steps(stage: Stage) -> None:
        for key, text, why in (
            ("risk.min_edge_bp", "10001", "from 0 to 10000"),
            ("trader.mode", "loud", "one of: taker, both"),
            ("lab.scenario", " ", "a value is needed"),
        ):
            await stage.open(setting(key))
            await stage.read()
            stage.app.screen.query_one("#value", Input).value = text
            await stage.press("enter", "y")
            assert not stage.app.screen.query_one("#yes", Button).display, key
            stage.app.screen.query_one("#value", Input).value = text
            await stage.press("enter")
            assert why in stage.text("#said")
            await stage.press("9")
            assert stage.text("#said") == ""
            await stage.answer()

    on_stage((80, 24), steps)


def test_what_the_supervisor_refuses_can_be_mended() -> None:
    """Its words stand in the dialog and the field has the focus again; the second try is a new question."""
    there = Supervisor(Outcome(Word.REFUSED, "refused: it breaks risk.x"), Outcome(Word.UNKNOWN, "no answer"))

    async def steps(stage: Stage) -> None:
        await stage.open(setting("risk.min_edge_bp", order=there.order))
        await stage.read()
        await stage.press(*"60", "enter", "y")
        assert stage.text("#said") == "refused: it breaks risk.x"
        assert stage.app.focused is stage.app.screen.query_one("#value")
        await stage.press(*"70", "enter", "y")
        assert stage.text("#said") == "no answer"

    on_stage((80, 24), steps)
    assert [action.args["assignments"] for action in there.sent] == [
        "risk.min_edge_bp=60",
        "risk.min_edge_bp=70",
    ]


def test_escape_goes_back_one_step_at_a_time() -> None:
    """From the question to the value, to the list, out; Close closes from everywhere."""

    async def steps(stage: Stage) -> None:
        await stage.open(setting("risk.min_edge_bp"))
        await stage.read()
        await stage.press(*"60", "enter", "escape")
        assert stage.app.focused is stage.app.screen.query_one("#value")
        await stage.press("escape")
        assert stage.app.focused is stage.app.screen.query_one("#needle")
        await stage.press("escape")
        assert await stage.answer() is None
        assert await stage.clicked(setting("risk.min_edge_bp"), "#cancel") is None

    on_stage((70, 15), steps)


def test_the_keys_are_read_beside_the_screen() -> None:
    """While they are not there the dialog says so and takes words; a run without keys is said."""
    go = threading.Event()

    def slow() -> tuple[SettingInfo, ...]:
        assert go.wait(60)
        return KEYS

    async def steps(stage: Stage) -> None:
        try:
            await stage.open(setting(keys=slow), "enter", *"edge", "enter")
            assert "reading" in stage.text("#count")
        finally:
            go.set()
        await stage.read()
        assert stage.app.screen.query_one("#keys", OptionList).option_count == 2
        await stage.answer()
        await stage.open(setting(keys=tuple))
        for _ in range(1000):
            await stage.pilot.pause(0.005)
            if "no run" in stage.text("#count"):
                return
        raise AssertionError("nothing was said")

    on_stage((80, 24), steps)


def test_arrows_move_in_a_long_list() -> None:
    """↓ and PgDn move the mark, up to the last key; the mark stays in sight."""

    async def steps(stage: Stage) -> None:
        await stage.open(setting())
        await stage.read()
        keys = stage.app.screen.query_one("#keys", OptionList)
        await stage.press("down", "pagedown")
        assert keys.highlighted == 9
        keys.highlighted = len(KEYS) - 9
        await stage.press("pagedown", "down")
        assert keys.highlighted == len(KEYS) - 1
        assert keys.scroll_offset.y == keys.max_scroll_y
        await stage.press("up")
        assert keys.highlighted == len(KEYS) - 2

    on_stage((70, 15), steps)


@pytest.mark.parametrize(
    ("setting_info", "text", "why"),
    [
        (KEYS[0], "60", ""),
        (KEYS[0], "x", "no number"),
        (KEYS[0], "1.5", "whole number"),
        (KEYS[0], "10001", "from 0 to 10000"),
        (KEYS[0], "nan", "no number"),
        (KEYS[0], "", "a value is needed"),
        (KEYS[1], "9.5", ""),
        (KEYS[1], "-1", "from 0 to 20"),
        (KEYS[2], "both", ""),
        (KEYS[2], '"both"', ""),
        (KEYS[2], "loud", "one of: taker, both"),
        (KEYS[3], "false", ""),
        (KEYS[3], "yes", "true or false"),
        (KEYS[4], "calm", ""),
        (KEYS[4], "a\nb", "one line"),
        (KEYS[4], "x" * 500, "one line"),
    ],
)
def test_what_can_be_a_value(setting_info: SettingInfo, text: str, why: str) -> None:
    """Numbers in their range, words of a choice, true and false, one line; the reason names what may be."""
    problem = setting_info.problem(text)
    assert why in problem if why else problem == ""


def test_keys_are_found_by_every_word() -> None:
    """All words must be there; keys that have them in their name come before those that mean them."""
    assert [one.key for one in found(KEYS, "edge")] == ["risk.min_edge_bp", "lab.scenario"]
    assert found(KEYS, "POLL v19 ")[0].key == "venues.v19.poll_interval"
    assert found(KEYS, "nowhere") == []
    assert len(found(KEYS, "")) == len(KEYS)


def test_a_value_is_typed_without_its_quotes() -> None:
    """Text loses its quotes where it can be typed without; an empty text keeps them."""
    assert KEYS[1].plain == "10"
    assert KEYS[4].plain == '""'
    assert replace(KEYS[4], value='"a\\"b"').plain == '"a\\"b"'
