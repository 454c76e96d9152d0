"""Hostile text: what strangers wrote reaches the terminal as letters, on every tab and in every dialog."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from dashboard.app import ParallaxApp
from dashboard.event_views import EventView, LineView, ListedEvents
from dashboard.snapshot import Snapshot
from shm import records as rec
from tests.dashboard.canned import CannedSource, CannedSupervisor, app_of, everything, logs_in

ROOT = Path(__file__).resolve().parents[2]
WIDE, LEAST = (120, 36), (70, 15)
Drive = Callable[..., None]
Screen = Callable[[ParallaxApp], str]
# Keys that open something over the tabs.
OPENING = (("1", "enter"), ("question_mark",), ("h",), ("R",), ("5", "down", "down", "k"), ("3", "x"))
# Each has a mark by which it is found again: EVIL.
EVIL = {
    "markup": "[bold red]EVIL[/bold red] [link=file:///etc/passwd]EVIL[/link] [@click=app.quit]EVIL[/]",
    "broken markup": "[/]EVIL[[/x][bold",
    # The screen, the window's name, the clipboard, a link; then C1 codes and bare controls.
    "sequences": "\x1b[2J\x1b[HEVIL\x1b]0;EVIL\x07\x1b]52;c;RVZJTA==\x1b\\"
    "\x1b]8;;http://127.0.0.1/EVIL\x1b\\EVIL"
    "\x9b31mEVIL\x9d0;EVIL\x9c\x90qEVIL\x85EV\x00IL\x07\x08\x0c\x0e\x7fEVIL\r\nEVIL\tEVIL",
    # Joined emoji, flags, marks, turned and blank letters, halves of letters.
    "letters": "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽E\u0301\u0302V\u0336I\u20e3L\u0489\u0489"
    "\u202egnp\u202c\u2066x\u2069 שלום مرحبا"
    "\u200b\u2060\ufeff\u00ad\u3164\u115f\u2028\u2029EVIL\ud800\udfff\ue000\U0010ffff",
    "long": "EVIL" * 75,
    "wide": "ＥＶＩＬ漢字かな" * 20,
}


def tainted(text: str) -> Snapshot:
    """The whole canned run, with `text` wherever somebody else has written something."""
    seen = everything()
    rows = []
    for index in range(len(seen.events)):
        row = seen.events[index]
        legs = tuple(replace(leg, market=text, venue=text if index % 2 else leg.venue) for leg in row.legs)
        rows.append(_named(row, text, index, legs))
    decisions = tuple(
        row._replace(event_id=text, kind=text[:16], buy_venue=text, sell_venue=text, mode=text, trade_id=text)
        for row in seen.decisions
    )
    positions = tuple(
        replace(
            one,
            event_id=text,
            title=text,
            legs=tuple(replace(leg, venue=text) for leg in one.legs),
            outcomes=tuple(
                row._replace(title=text, venue=text, market=text, outcome=text) for row in one.outcomes
            ),
            total=one.total._replace(event_id=text, title=text) if one.total is not None else None,
        )
        for one in seen.positions
    )
    assert seen.summary is not None
    assert seen.kelly is not None
    error = rec.ErrorRow(text, 3, seen.wall_ns, seen.wall_ns)
    return replace(
        seen,
        run=replace(seen.run, profile=text, config_problem=text, config_waits=text),
        events=ListedEvents(rows),
        kinds=dict.fromkeys(seen.kinds, text),
        singles=tuple(replace(one, market=text) for one in seen.singles),
        venues=tuple(replace(one, name=text if at else one.name) for at, one in enumerate(seen.venues)),
        decisions=decisions,
        positions=positions,
        cash=tuple(row._replace(venue=text) for row in seen.cash),
        orders=tuple(
            row._replace(order_id=text, event_id=text, venue=text, market=text) for row in seen.orders
        ),
        outcomes=tuple(row._replace(trade_id=text, event_id=text, mode=text) for row in seen.outcomes),
        summary=seen.summary._replace(mode=text, halted=1, halt_cause=text),
        kelly=seen.kelly._replace(mode=text),
        counters={text: {text: 1}, **seen.counters},
        alerts=tuple(row._replace(rule=text, subject=text, text=text) for row in seen.alerts),
        lives=tuple(row._replace(event_id=text, kind=text) for row in seen.lives),
        workers=tuple(
            replace(one, name=f"{one.name}{text}" if at > 1 else one.name, exit_text=text, errors=(error,))
            for at, one in enumerate(seen.workers)
        ),
        problems=(text,),
    )


def tainted_lines(text: str) -> dict[str, list[str]]:
    """Log lines with `text` in every place, and one that is nothing but it."""
    head = {"time": "2026-01-06T14:02:40.000+00:00", "level": "error", "worker": text, "event": text}
    bare = text.encode("utf-8", "replace").decode().replace("\n", " ")
    return {"scanner": [json.dumps({**head, text: text, "why": text, "traceback": f"{text}\n{text}"}), bare]}


def _named(row: EventView | LineView, text: str, index: int, legs: Any) -> EventView | LineView:
    name = f"{index}{text}"
    if isinstance(row, LineView):
        return replace(row, id=name, title=text, legs=legs, deals=tuple((text, text) for _ in row.deals))
    return replace(row, id=name, title=text, legs=legs)


def harmless(
    app: ParallaxApp, screen: Callable[[ParallaxApp], str], size: tuple[int, int], where: str
) -> None:
    """Every line is as wide as the window, and every sign of it a letter that is seen."""
    lines = screen(app).splitlines()
    assert len(lines) == size[1], where
    for line in lines:
        assert cell_len(line) == size[0], (where, line)
        assert line.isprintable(), (where, line)


@pytest.mark.parametrize("name", EVIL)
def test_no_screen_obeys_a_text(drive: Drive, screen: Screen, tmp_path: Path, name: str) -> None:
    """On every tab, in the detail and in the dialogs each sign is a letter and each line has its width."""
    supervisor = CannedSupervisor(text=EVIL[name])
    logs = logs_in(tmp_path, tainted_lines(EVIL[name]))
    app = app_of(CannedSource(tainted(EVIL[name])), send=supervisor, logs=logs)

    async def steps(pilot: Pilot[Any]) -> None:
        for size in (WIDE, LEAST):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            for tab in "123456":
                await pilot.press(tab, "end", "home")
                harmless(app, screen, size, f"{name} tab {tab}")
            for keys in (
                ("1", "enter"),
                ("question_mark",),
                ("h",),
                ("R",),
                ("5", "down", "down", "k"),
                ("3", "x"),
            ):
                await pilot.press(*keys)
                for line in screen(app).splitlines():
                    assert line.isprintable(), (name, keys, line)
                await pilot.press("escape")
                assert len(app.screen_stack) == 1, (name, keys)

    drive(app, WIDE, steps)
    logs.close()
    assert supervisor.asked == []


def test_a_click_on_a_text_does_nothing_of_its_own(drive: Drive) -> None:
    """Links and actions written as markup are neither links nor actions."""
    supervisor = CannedSupervisor()
    app = app_of(CannedSource(tainted(EVIL["markup"])), send=supervisor)
    opened: list[str] = []
    app.open_url = lambda url, **_: opened.append(url)  # type: ignore[method-assign]

    async def steps(pilot: Pilot[Any]) -> None:
        for tab in "123456":
            await pilot.press(tab)
            for y in (6, 20):
                for x in (3, 61):
                    await pilot.click(offset=(x, y))
            await pilot.press("escape", "escape")
        assert app.is_running

    drive(app, WIDE, steps)
    assert opened == []
    assert supervisor.asked == []
    assert app.return_value is None


# What Textual itself sends: modes, colours and places (CSI), the pointer's shape, the row that was copied.
_OURS = re.compile(
    rb"\x1b\[[0-9;?<>=:]*[ -/]*[@-~]|\x1b[78=>]|\x1b\]22;[a-z-]+\x07|\x1b\]52;c;([A-Za-z0-9+/=]*)\x07"
)


def in_terminal() -> None:
    """Run the app on the terminal of this process, visit everything, and end. For the test below."""
    payload = "".join(EVIL.values()).encode("utf-8", "ignore").decode()
    app = app_of(CannedSource(tainted(payload)), send=CannedSupervisor(text=payload))

    async def steps(pilot: Pilot[Any]) -> None:
        for tab in "123456":
            await pilot.press(tab, "c")
        await pilot.press("1", "enter", "escape", "h", "y")
        await app.workers.wait_for_complete()
        await pilot.pause()
        app.exit()

    app.run(auto_pilot=steps)


def test_the_terminal_is_sent_only_letters_and_what_textual_says() -> None:
    """Through a real terminal: without Textual's own sequences, what is left has no control byte at all."""
    main, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", "from tests.dashboard.test_hostile import in_terminal; in_terminal()"],
        stdin=child,
        stdout=child,
        stderr=child,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        start_new_session=True,
    )
    os.close(child)
    written = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(main, 65536):
            written += chunk
    os.close(main)
    assert process.wait(60) == 0, written[-2000:].decode("utf-8", "replace")
    copied = [
        base64.b64decode(found[1]).decode() for found in _OURS.finditer(written) if found[1] is not None
    ]
    assert copied
    assert all(text.isprintable() and text != "EVIL" for text in copied)
    left = _OURS.sub(b"", written)
    assert b"EVIL" in left
    assert [byte for byte in left if byte < 0x20 and byte not in b"\r\n"] == []
    assert not re.search(rb"\xc2[\x80-\x9f]", left)
