"""Screen: the dashboard of a data directory, put together.

In: a data directory and what the user may do. Out: the app. Used by `dashboard`, `up` and `replay`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dashboard.app import ParallaxApp
from dashboard.client import NoAnswerError, Send
from dashboard.dialogs.leave import Leaving
from dashboard.log_tail import LogTail
from dashboard.settings import SettingInfo
from dashboard.signs import needs_ascii
from dashboard.source import MemorySource
from pipeline.cli.common import last_config, run_directory_of
from pipeline.clock import SystemClock
from pipeline.config import Config
from pipeline.halt import HALT_FILE
from pipeline.logs import log_directory
from pipeline.places import instance_of, shm_directory


def config_of(data: Path) -> Config:
    """The configuration of the run that is or was last in `data`; where there was none, the defaults with
    the places where one will appear.
    """
    known = last_config(data)
    if known is not None:
        return known
    instance = instance_of(data)
    return Config(
        instance=instance,
        data_directory=str(data.resolve()),
        run_directory=str(run_directory_of(data)),
        shm_directory=str(shm_directory(instance, "", os.geteuid())),
    )


def app_of(config: Config, *, read_only: bool = False, ask_on_quit: Leaving | None = None) -> ParallaxApp:
    """The screen with the run's settings. It attaches when the run begins, and again after each restart."""
    settings = config.dashboard
    return ParallaxApp(
        source_of(config),
        refresh_ms=settings.refresh_ms,
        stale_seconds=settings.stale_seconds,
        ask_on_quit=ask_on_quit,
        send=None if read_only else sender(config),
        load=lambda: _settings(Path(config.data_directory)),
        ascii_only=settings.ascii or needs_ascii(sys.stdout.encoding, os.environ.get("LC_ALL", "")),
        theme=settings.theme,
        pictures=Path(config.data_directory),
        logs=LogTail(log_directory(Path(config.data_directory)), SystemClock()),
    )


def source_of(config: Config) -> MemorySource:
    """What the screen is drawn from."""
    data = Path(config.data_directory)
    limits = config.scanner.limits()
    return MemorySource(Path(config.shm_directory), limits, SystemClock(), lambda: last_config(data))


def _settings(data: Path) -> Sequence[SettingInfo]:
    """The keys of config.toml; loading their schema takes a third of a second, so only when asked for."""
    from pipeline.cli.dashboard_settings import load_settings

    return load_settings(data)


def sender(config: Config) -> Send:
    """Asks the supervisor over its control socket, as the commands of run.py do."""
    return lambda command, args: _send(config, command, args)


def _send(config: Config, command: str, args: dict[str, str]) -> tuple[bool, str]:
    # ZeroMQ is loaded with the first command: most screens are only looked at.
    from pipeline.bus import BusError, NoReplyError
    from pipeline.cli.ask import ask

    try:
        reply = ask(Path(config.run_directory), command, args)
    except NoReplyError as error:
        raise NoAnswerError(str(error)) from error
    except BusError as error:
        hint = (
            f". The file {Path(config.data_directory) / HALT_FILE} halts without it"
            if command == "halt"
            else ""
        )
        return False, f"{error}{hint}"
    return reply.ok, reply.text


def show(config: Config, ask_on_quit: Leaving) -> Leaving:
    """Show the screen until it is quit; what the user wants to become of the run."""
    return app_of(config, ask_on_quit=ask_on_quit).run() or "leave"
