"""Palette: every command of the dashboard by name, for ctrl+p.

In: the app. Out: names, sentences and what they do. Run by the app when the palette opens.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from dashboard.themes import THEMES
from dashboard.worker_actions import restart_worker, start_worker, stop_worker

if TYPE_CHECKING:
    from dashboard.app import ParallaxApp


def commands(app: ParallaxApp) -> Iterator[SystemCommand]:
    """What may be done now, that of the run only where it may be steered."""
    for number, title in enumerate(app.titles):
        yield SystemCommand(f"Tab: {title}", "show it", partial(app.action_tab, number))
    yield SystemCommand("Filter", "show only rows with ...", app.action_find)
    yield SystemCommand("Pause the view", "or go on; the bot does anyway", app.action_pause)
    yield SystemCommand("Help", "keys and signs", app.action_help)
    yield SystemCommand("Save a screenshot", "as SVG in the data directory", app.action_picture)
    for name in THEMES:
        yield SystemCommand(f"Theme: {name}", "until the dashboard closes", partial(app.put_on, name))
    if app.steering is not None:
        yield from _of_run(app)
    yield SystemCommand("Quit", "close the dashboard", app.action_quit)


def _of_run(app: ParallaxApp) -> Iterator[SystemCommand]:
    """What the supervisor is asked for. All of it asks first."""
    steering, shown = app.steering, app.latest
    assert steering is not None, "asked for only where there is one"
    yield SystemCommand("Halt or resume", "nothing new is traded while halted", steering.switch)
    yield SystemCommand("Reload config.toml", "saving it does that by itself", steering.reload)
    yield SystemCommand("Change a setting", "one key of config.toml, acting at once", steering.setting)
    for worker in shown.workers[1:] if shown is not None else ():
        for verb, made in (("Restart", restart_worker), ("Start", start_worker), ("Stop", stop_worker)):
            wanted = partial(app.want_of_run, made, worker.name)
            yield SystemCommand(f"{verb} {worker.name}", "asks first", wanted)
