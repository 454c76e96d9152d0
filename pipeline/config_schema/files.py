"""Files: the text of config.toml, and the directories of a run.

In: paths, the environment. Out: text, absolute directories. Used by config_schema; it reads that one file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from pipeline import places
from pipeline.config_schema.text import ConfigProblems, Problem

MAX_FILE_BYTES = 1 << 20
MAX_EVENT_FILES = 256
EVENTS, ARCHIVE = "events", "archive"


def read(path: Path, file: str) -> str:
    """The text of config.toml. Raises ConfigProblems with the one problem of anything that is no readable
    text file of a sane size; `file` is its name in the message.
    """

    def refuse(message: str) -> ConfigProblems:
        return ConfigProblems([Problem(file, None, None, "", message)])

    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise refuse("is not a file")
        if status.st_size > MAX_FILE_BYTES:
            raise refuse(f"is over 1 MiB ({status.st_size} bytes): this is no configuration")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise refuse("there is no such file; name one with --config") from None
    except UnicodeDecodeError as error:
        raise refuse(f"is not UTF-8 text: byte {error.start} is wrong") from error
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}") from error


def told(path: Path) -> str:
    """A path as messages name it: from the working directory where it lies in there."""
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return os.path.relpath(path) if inside else str(path)


def event_files(path: Path) -> list[Path]:
    """The files of the folder events/ beside config.toml, by name; none where there is no such folder.

    Raises ConfigProblems when it cannot be listed or holds too many.
    """
    folder = path.parent / EVENTS

    def refuse(message: str) -> ConfigProblems:
        return ConfigProblems([Problem(told(folder), None, None, "", message)])

    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise refuse("must be a folder: its *.toml files hold [[events]] and [[series]]") from None
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}") from error
    wanted = [folder / name for name in names if name.endswith(".toml") and not name.startswith(".")]
    if len(wanted) > MAX_EVENT_FILES:
        raise refuse(f"holds {len(wanted)} files, {MAX_EVENT_FILES} is the most")
    return wanted


def directories(
    shm_directory: str, data_directory: Path, environ: Mapping[str, str], uid: int | None
) -> dict[str, str]:
    """Where the run of a data directory lives. `shm_directory` is [shm].directory; `uid` None is our own."""
    user = os.geteuid() if uid is None else uid
    instance = places.instance_of(data_directory)
    return {
        "instance": instance,
        "data_directory": os.path.abspath(data_directory),
        "run_directory": str(places.run_directory(instance, environ, user)),
        "shm_directory": str(places.shm_directory(instance, shm_directory, user)),
    }
