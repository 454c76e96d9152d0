"""Edit: one key of config.toml written into its text, comments and order kept, and the file replaced. The
door to tomlkit.

In: the text, a key's path, a value. Out: the new text, which differs in that key alone, or SettingsError; a
file that is always whole. Used by `live`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable

from pipeline.config_changes import SettingsError
from pipeline.config_schema.schema import parse
from pipeline.config_schema.text import ConfigProblems, KeyPath, dotted, key_lines
from pipeline.config_schema.values import toml, toml_key

_HEADER = re.compile(r"[ \t]*\[[^\[]")
_COMMENT = re.compile(r"[ \t]+#")


def assign(text: str, changes: Mapping[KeyPath, object]) -> tuple[str, list[str]]:
    """The text with keys set to values, and why others cannot be. A new key stands right under the header
    of its table.

    A number stays in quotes where one stood in quotes. The text never says anything else than before but for
    those keys.
    """
    wanted = parse(text, "")
    problems: list[str] = []
    values: dict[KeyPath, object] = {}
    for path, value in changes.items():
        try:
            values[path] = _put(wanted, path, value)
        except SettingsError as error:
            problems.append(str(error))
    try:
        found = _changed(text, values)
        good = parse(found, "") == wanted
    except (ConfigProblems, TOMLKitError, TypeError, ValueError, LookupError, AttributeError):
        good = False
    if not good:
        names = ", ".join(dotted(path) for path in values)
        return text, [*problems, f"{names}: the file is written so that only you can edit it: do it by hand"]
    return found, problems


def _put(tree: dict[str, Any], path: KeyPath, value: object) -> object:
    """Set the key in a tree; the value as it will be written."""
    for part in path[:-1]:
        tree = tree.setdefault(str(part), {})
        if not isinstance(tree, dict):
            raise SettingsError(f"{dotted(path)}: {part} is a value and no table")
    before = tree.get(str(path[-1]))
    if isinstance(before, str) and isinstance(value, int | float) and not isinstance(value, bool):
        value = toml(value)
    tree[str(path[-1])] = value
    return value


def _changed(text: str, values: Mapping[KeyPath, object]) -> str:
    """The text with the keys changed where they stand, and then the others added."""
    document = tomlkit.parse(text)
    fresh = [path for path, value in values.items() if not _replaced(document, path, value)]
    found = _in_column(text, tomlkit.dumps(document))
    for path in fresh:
        found = _added(found, path, values[path])
    return found


def _replaced(table: Any, path: KeyPath, value: object) -> bool:
    """Set a key where it stands, or in the inline table that it belongs to; False when it stands nowhere."""
    depth = 0
    while depth < len(path) - 1 and isinstance(table, Mapping) and path[depth] in table:
        table, depth = table[str(path[depth])], depth + 1
    inside = str(path[depth])
    if inside not in table and not isinstance(table, InlineTable):
        return False
    for part in reversed(path[depth + 1 :]):
        value = {str(part): value}
    table[inside] = tomlkit.value(toml(value))
    return True


def _in_column(text: str, new: str) -> str:
    """The new text with the comment behind the changed value in the column where it stood."""
    before, after = text.split("\n"), new.split("\n")
    if len(before) != len(after):
        return new
    for number, (old, line) in enumerate(zip(before, after, strict=True)):
        if old == line:
            continue
        pairs = zip(reversed(old), reversed(line), strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        comment = _COMMENT.search(line, len(line) - same)
        if comment:
            room = max(1, comment.end() - 1 - comment.start() + len(old) - len(line))
            after[number] = line[: comment.start()] + " " * room + line[comment.end() - 1 :]
    return "\n".join(after)


def _added(text: str, path: KeyPath, value: object) -> str:
    """The text with a new line under the header of the key's table, or with a new table at its end."""
    line = f"{toml_key(str(path[-1]))} = {toml(value)}"
    rows = text.split("\n")
    number = key_lines(text).get(path[:-1])
    if number is not None and _HEADER.match(rows[number - 1]) and path[:-1] in key_lines(rows[number - 1]):
        return "\n".join([*rows[:number], line, *rows[number:]])
    header = ".".join(toml_key(str(part)) for part in path[:-1])
    return f"{text.rstrip()}\n\n[{header}]\n{line}\n"


Stamp = tuple[int, int, int]
"""Time of the last change in ns, size in bytes, inode: other numbers, another content."""


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a file; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def replace_file(path: Path, text: str, seen: Stamp | None) -> None:
    """Replace a file by another text, whole or not at all, with the mode it has; a link stays one.

    Raises SettingsError when the file is no longer the one of `seen`, or cannot be written.
    """
    real = Path(os.path.realpath(path))
    temporary = real.with_name(f".{real.name}.{os.getpid()}.new")
    try:
        mode = real.stat().st_mode & 0o777
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(text.encode())
            os.fchmod(descriptor, mode)
            file.flush()
            os.fsync(descriptor)
        if stamp_of(real) != seen:
            raise SettingsError(f"{path}: somebody else has just changed it: nothing was written, try again")
        temporary.replace(real)
        _sync(real.parent)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Make the new name of a file outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
