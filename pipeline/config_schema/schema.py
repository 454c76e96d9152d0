"""Schema: what each key of config.toml means and may be. The door to pydantic and tomli.

In: a TOML file, a profile, environment variables, --set. Out: a resolved `Config`, or everything that is
wrong with it at once, with lines and suggestions. Run by the supervisor and by commands, never by
workers. What a key may be stands in `models`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import tomli
from pydantic import BaseModel, ValidationError

from pipeline import config as plain
from pipeline.config_schema import values
from pipeline.config_schema.build import build, lay_changes, lay_defaults, problem, profile_problems
from pipeline.config_schema.checks import check
from pipeline.config_schema.event_checks import check_events
from pipeline.config_schema.files import directories, read
from pipeline.config_schema.keys import check_keys
from pipeline.config_schema.layers import SECRETS_BELONG, Layers, Origin, take_secrets
from pipeline.config_schema.models import File
from pipeline.config_schema.text import ConfigProblems, KeyPath, Problem, caret, explain, key_lines, line_of


def resolve(
    *,
    path: Path,
    profile: str | None,
    sets: Sequence[str],
    environ: Mapping[str, str],
    data_directory: Path,
    uid: int | None = None,
) -> plain.Config:
    """The configuration of a run: --set over environment over [profile.NAME] over file over defaults.

    `sets` are texts like "risk.min_edge_bp=20"; of `environ`, PARALLAX__RISK__MIN_EDGE_BP counts.
    Raises ConfigProblems with everything that is wrong. `account` and `started_wall_ns` are the caller's.
    """
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    file = os.path.relpath(path) if inside else str(path)
    text = read(path, file)
    tree = _parse(text, file)
    lines = key_lines(text)

    def at(*key: str | int) -> Origin:
        return Origin(file, line_of(lines, key))

    problems = [problem(at(*key), key, SECRETS_BELONG) for key in take_secrets(tree)]
    name = profile if profile is not None else "demo"
    overlays = tree.pop("profile", {})
    problems += profile_problems(name, overlays, lambda key: at(*key))
    base = Layers(Origin(file))
    base.merge(tree, lambda key: at(*key))
    problems += _validate(base.copy())[1]
    layers = base
    for other, overlay in overlays.items() if isinstance(overlays, dict) else ():
        if isinstance(overlay, dict):
            laid = base.copy()
            laid.merge(overlay, lambda key, other=other: at("profile", other, *key))  # type: ignore[misc]
            problems += _validate(laid.copy())[1]
            layers = laid if other == name else layers
    problems += lay_changes(layers, sets, environ, _value)
    lay_defaults(layers)
    valid, found, bad = _validate(layers)
    problems += found
    if valid is not None:
        where = directories(valid.shm.directory, data_directory, environ, uid) | {
            "source": os.path.abspath(path)
        }
        config = build(valid.model_dump(), name, where)
        for finding in (*check(config), *check_events(config), *check_keys(config, environ)):
            if not any(finding.path[: len(key)] == key for key in bad):
                origin = layers.origin(finding.path)
                problems.append(problem(origin, finding.path, finding.message, finding.suggestion))
        if not problems:
            return plain.sealed(config)
    unique = {(p.file, p.line, p.key, p.message): p for p in problems}
    raise ConfigProblems(sorted(unique.values(), key=lambda p: (p.file != file, p.line or 0)))


def _parse(text: str, file: str) -> dict[str, Any]:
    """The TOML tree; a syntax error is the one problem that hides all others."""
    try:
        return tomli.loads(text, parse_float=values.written)
    except tomli.TOMLDecodeError as error:
        picture = caret(text, error.lineno, error.colno)
        problem = Problem(file, error.lineno, error.colno, "", f"not valid TOML: {error.msg}", "", picture)
        raise ConfigProblems([problem]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigProblems([Problem(file, None, None, "", f"not valid TOML: {error}")]) from error


def _value(text: str) -> object:
    """The value of a change as TOML reads it; what TOML does not read is text."""
    try:
        tree = tomli.loads(f"x = {text}", parse_float=values.written)
    except (ValueError, RecursionError):
        return text
    return tree["x"] if len(tree) == 1 else text


def _validate(layers: Layers) -> tuple[File | None, list[Problem], set[KeyPath]]:
    """The tree as models, the problems of single keys, and those keys.

    A key with a problem is set back to its default, so that the keys around it can be looked at too;
    None in place of the models where that is not possible.
    """
    problems: list[Problem] = []
    bad: set[KeyPath] = set()
    for _ in range(4):
        try:
            return File.model_validate(values.as_tuples(layers.values)), problems, bad
        except ValidationError as error:
            going = True
            for item in error.errors(include_url=False):
                key = tuple(part for part in item["loc"] if part != "[key]")
                origin = layers.origin(key)
                kind, limits = item["type"], item.get("ctx", {})
                known = _known(key[:-1] if kind == "extra_forbidden" else key)
                problems.append(problem(origin, key, *explain(kind, item["input"], key[-1], limits, known)))
                bad.add(key)
                if kind == "missing":
                    layers.put(key, "1", origin)  # good as a name and as an amount
                else:
                    going = layers.drop(key) and going
            if not going:
                break
    return None, problems, bad


def _known(path: KeyPath) -> list[str]:
    """What may stand at a path: the keys of a table, or the words that a key may be."""
    shape: Any = File
    for part in path:
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            shape = shape.model_fields[str(part)].annotation
        else:
            shape = get_args(shape)[0 if isinstance(part, int) else -1]
        if type(None) in get_args(shape):
            shape = get_args(shape)[0]
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return list(shape.model_fields)
    return [word for word in get_args(shape) if isinstance(word, str)]
