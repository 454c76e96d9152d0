"""The client: one command at a time beside the screen, and every answer told once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from dashboard.actions import Action
from dashboard.client import MAX_TOLD_LINES, MAX_WAITING, Client, NoAnswerError, Word

RESTART = Action("", (), "restart", {"worker": "scanner", "pid": "7"})
HALT = Action("", (), "halt", {"why": "x"})


class Line:
    """A way to the supervisor that answers what it is told to, and keeps what was sent and told."""

    def __init__(self, answer: Callable[[str], tuple[bool, str]]) -> None:
        self.sent: list[tuple[str, dict[str, str]]] = []
        self.told: list[tuple[str, str]] = []
        self._answer = answer
        self.client = Client(self.send, lambda text, severity: self.told.append((text, severity)))

    def send(self, command: str, args: dict[str, str]) -> tuple[bool, str]:
        self.sent.append((command, args))
        return self._answer(command)


def silent(_command: str) -> tuple[bool, str]:
    raise NoAnswerError("the supervisor did not answer within 2 s")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_an_answer_is_told_once_with_its_weight() -> None:
    """Obeyed, refused, unanswered: three weights, three words; what is unknown is counted and says so."""
    done = Line(lambda _: (True, "scanner restarts"))
    assert run(done.client.order(RESTART)).word is Word.DONE
    assert done.told == [("scanner restarts", "information")]
    assert done.sent == [("restart", {"worker": "scanner", "pid": "7"})]
    refused = Line(lambda _: (False, "it is another process now (pid 77)"))
    assert run(refused.client.order(RESTART)).word is Word.REFUSED
    assert refused.told == [("refused: it is another process now (pid 77)", "error")]
    unknown = Line(silent)
    assert run(unknown.client.order(RESTART)).word is Word.UNKNOWN
    assert unknown.client.unanswered == 1
    (text, weight) = unknown.told[0]
    assert weight == "warning"
    assert "within 2 s" in text
    assert "may have happened" in text


def test_quiet_orders_tell_trouble_alone() -> None:
    """An order to the tape says nothing when it is obeyed, and all when it is not."""
    done, refused = Line(lambda _: (True, "ok")), Line(lambda _: (False, "no"))
    run(done.client.order(RESTART, quiet=True))
    run(refused.client.order(RESTART, quiet=True))
    assert done.told == []
    assert refused.told == [("refused: no", "error")]


def test_commands_go_one_by_one_and_a_halt_passes_them() -> None:
    """While one waits for its answer others wait for it, up to a bound; a halt is sent at once."""
    go = threading.Event()
    halted = threading.Event()

    def answer(command: str) -> tuple[bool, str]:
        if command == "halt":
            halted.set()
        else:
            assert go.wait(60)
        return True, command

    line = Line(answer)

    async def whole() -> list[Word]:
        waiting = [asyncio.create_task(line.client.order(RESTART)) for _ in range(MAX_WAITING + 1)]
        await asyncio.sleep(0)
        await line.client.order(HALT)
        assert halted.is_set()
        assert [command for command, _ in line.sent] == ["restart", "halt"]
        go.set()
        return [(await task).word for task in waiting]

    words = run(whole())
    assert words.count(Word.DONE) == MAX_WAITING
    assert words[-1] is Word.REFUSED
    assert [command for command, _ in line.sent].count("restart") == MAX_WAITING


def test_the_loop_goes_on_while_nobody_answers() -> None:
    """The screen's loop turns while the answer is not there."""
    go = threading.Event()

    async def whole() -> int:
        line = Line(lambda _: (go.wait(60), "late"))
        task = asyncio.create_task(line.client.order(RESTART))
        turns = 0
        while turns < 50:
            await asyncio.sleep(0)
            turns += not task.done()
        go.set()
        await task
        return turns

    assert run(whole()) == 50


def test_an_answer_is_text_and_has_a_bound() -> None:
    """Escapes are taken out, and of a hundred lines a few are told and the rest counted."""
    line = Line(lambda _: (False, "\x1b[31mbad\n" * 100))
    text = run(line.client.order(RESTART)).text
    assert "\x1b" not in text
    assert len(text.splitlines()) == MAX_TOLD_LINES + 1
    assert text.endswith(f"and {100 - MAX_TOLD_LINES} lines more")
    assert run(Line(lambda _: (True, "")).client.order(RESTART)).text == "done"
