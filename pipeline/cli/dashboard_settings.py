"""Dashboard settings: the keys of config.toml as rows for the dashboard, which does not load the schema.

In: the configuration in force. Out: a row for each key that `set` may write. Run by the dashboard in a thread
when its dialog of settings opens: loading the schema takes a third of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from dashboard.settings import Form, SettingInfo
from pipeline.cli.common import running_config
from pipeline.config import Config
from pipeline.config_schema.reference import ALL, LIVE, WORKER, Key
from pipeline.config_schema.schema import IN_EVENT_FILES, keys
from pipeline.config_schema.text import dotted
from pipeline.config_schema.values import toml

ANY = "NAME"
_RANGE = re.compile(r"(whole number|number|amount), (\S+) to (\S+)")
_WORDS = re.compile(r"`([^`]*)`(?:, |$)")


def load_settings(data: Path) -> tuple[SettingInfo, ...]:
    """The keys of the run in a data directory, () where nothing runs."""
    config = running_config(data)
    return settings_of(config) if config is not None else ()


def settings_of(config: Config) -> tuple[SettingInfo, ...]:
    """Every key that `set` may write, by name, with its value in force.

    Lists of tables, and what stands in files of events/, are edited by hand and left out.
    """
    tree = msgspec.to_builtins(config)
    rows = (row for key in keys() for row in _rows(key, tree))
    return tuple(sorted(rows, key=lambda row: row.key))


def _rows(key: Key, tree: Mapping[str, Any]) -> Iterator[SettingInfo]:
    table = tuple(key.table.strip("[]").split("."))
    by_hand = key.table.startswith("[[") or table[0] in IN_EVENT_FILES or "table" in key.form
    if by_hand:
        return
    for place, inside in _tables(table, tree, ()):
        path = (*place, key.name)
        value = inside.get(key.name)
        form, low, high, choices = _form(key.form)
        yield SettingInfo(
            key=dotted(path),
            value=toml(value) if value is not None else "",
            form=form,
            form_text=key.form.replace("`", ""),
            default=key.default,
            acts=_acts(key.reload, path),
            meaning=key.meaning,
            low=low,
            high=high,
            choices=choices,
        )


def _tables(
    parts: tuple[str, ...], tree: Mapping[str, Any], place: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Each table that a header stands for: of [venues.NAME] there is one for every venue."""
    if not parts:
        yield place, tree
        return
    for name in tree if parts[0] == ANY else (parts[0],):
        inside = tree.get(name)
        if isinstance(inside, Mapping):
            yield from _tables(parts[1:], inside, (*place, name))


def _form(text: str) -> tuple[Form, str, str, tuple[str, ...]]:
    """What may stand there, with the bounds of a number and the words of a choice."""
    if text == "true or false":
        return Form.SWITCH, "", "", ()
    bounds = _RANGE.fullmatch(text)
    if bounds:
        return Form.WHOLE if bounds[1] == "whole number" else Form.NUMBER, bounds[2], bounds[3], ()
    if text in {"whole number", "number"}:
        return Form.WHOLE if text == "whole number" else Form.NUMBER, "", "", ()
    words = tuple(_WORDS.findall(text)) if text.startswith("`") else ()
    return (Form.CHOICE if words else Form.OTHER), "", "", words


def _acts(reload: str, path: tuple[str, ...]) -> str:
    """When a change acts, in words."""
    worker = f"feed-{path[1]}" if path[0] == "venues" else path[0]
    return {LIVE: "at once", WORKER: f"when {worker} restarts", ALL: "when everything restarts"}[reload]
