"""Schema: what each key of config.toml means and may be. The door to pydantic and tomli.

In: a TOML file and the events/ beside it, a profile, environment variables, --set. Out: a resolved
`Config`, or everything that is wrong with it at once, with lines and suggestions. Run by the supervisor and
by commands, never by workers. What a key may be stands in `models`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any, get_args

import msgspec
import tomli
from pydantic import BaseModel, ValidationError

from pipeline import config as plain
from pipeline.config_schema import values
from pipeline.config_schema.build import (
    build,
    lay_changes,
    lay_defaults,
    problem,
    profile_problems,
    with_series,
)
from pipeline.config_schema.checks import Finding, check
from pipeline.config_schema.event_checks import check_events, check_room
from pipeline.config_schema.files import directories, event_files, read, told
from pipeline.config_schema.keys import check_keys
from pipeline.config_schema.layers import Layers, Origin, belongs, names_secret, take_secrets
from pipeline.config_schema.models import File
from pipeline.config_schema.operation_checks import check_operations
from pipeline.config_schema.reference import LIVE, NEEDED, Key
from pipeline.config_schema.series import SeriesConfig
from pipeline.config_schema.text import ConfigProblems, KeyPath, Problem, caret, explain, key_lines, line_of

MAX_DEPTH = 32
IN_EVENT_FILES = ("events", "series")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be resolved. `sets` are texts like "risk.min_edge_bp=20"; of `environ`,
    PARALLAX__RISK__MIN_EDGE_BP counts. `uid` None is our own user.
    """

    path: Path
    profile: str | None
    sets: Sequence[str]
    environ: Mapping[str, str]
    data_directory: Path
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A configuration that holds, and where it came from.

    `overlay` is what stands in the chosen profile. `notes` are what people should know, such as an instance
    of a series that has no market. Before `changes_wall_ns` (0: never) no series has other instances.
    """

    config: plain.Config
    layers: Layers
    overlay: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    changes_wall_ns: int = 0


@dataclass(slots=True)
class _Found:
    """What came up while the layers were read: problems, and the keys that have one already."""

    problems: list[Problem] = field(default_factory=list)
    bad: set[KeyPath] = field(default_factory=set)

    def add(self, layers: Layers, finding: Finding) -> None:
        """Note what a check found, unless the key itself is wrong anyway."""
        if any(finding.path[: len(key)] == key for key in self.bad):
            return
        message = finding.message
        if finding.other:
            other = layers.origin(finding.other)
            message += f": {other.file}:{other.line}" if other.line else f": {other.file}"
        self.problems.append(problem(layers.origin(finding.path), finding.path, message, finding.suggestion))


def resolve(
    *,
    path: Path,
    profile: str | None,
    sets: Sequence[str],
    environ: Mapping[str, str],
    data_directory: Path,
    uid: int | None = None,
    wall_ns: int = 0,
) -> plain.Config:
    """The configuration of a run: --set over environment over [profile.NAME] over files over defaults.

    Raises ConfigProblems with everything that is wrong. `account` and `started_wall_ns` are the caller's. At
    `wall_ns` 0 series have no instances.
    """
    return survey(Wanted(path, profile, sets, environ, data_directory, uid), wall_ns=wall_ns).config


def survey(wanted: Wanted, *, wall_ns: int = 0, text: str | None = None) -> Resolved:
    """As `resolve`, with everything that is known of the result; `text` stands in place of config.toml's."""
    found = _Found()
    file = told(wanted.path)
    name = wanted.profile if wanted.profile is not None else "demo"
    layers, overlay = _files(wanted, file, name, text, found)
    found.problems += lay_changes(layers, wanted.sets, wanted.environ, value_of)
    lay_defaults(layers)
    valid, problems, bad = _validate(layers)
    found.problems += problems
    found.bad |= bad
    if valid is not None:
        tree = valid.model_dump()
        series = msgspec.convert(tree.pop("series"), tuple[SeriesConfig, ...])
        where = directories(valid.shm.directory, wanted.data_directory, wanted.environ, wanted.uid)
        config = build(tree, name, where | {"source": str(wanted.path.absolute())})
        of_keys = check_keys(config, wanted.environ, wanted.uid)
        for finding in (*check(config), *check_events(config), *check_operations(config), *of_keys):
            found.add(layers, finding)
        played = with_series(config, series, wall_ns)
        for finding in (*played.findings, *(check_room(played.config) if not played.findings else ())):
            found.add(layers, finding)
        if not found.problems:
            whole = plain.sealed(played.config)
            return Resolved(whole, layers, overlay, played.notes, played.changes_wall_ns)
    unique = {(p.file, p.line, p.key, p.message): p for p in found.problems}
    raise ConfigProblems(sorted(unique.values(), key=lambda p: (p.file != file, p.file, p.line or 0)))


def _files(
    wanted: Wanted, file: str, name: str, text: str | None, found: _Found
) -> tuple[Layers, Mapping[str, Any]]:
    """config.toml, the files of events/ and the chosen profile, laid over each other."""
    tree, at = _tree(read(wanted.path, file) if text is None else text, file, found)
    overlays = tree.pop("profile", {})
    found.problems += profile_problems(name, overlays, lambda key: at(*key))
    base = Layers(Origin(file))
    base.merge(tree, lambda key: at(*key))
    _lay_event_files(base, wanted.path, found)
    found.problems += _validate(base.copy())[1]
    layers: Layers = base
    chosen: Mapping[str, Any] = {}
    for other, overlay in overlays.items() if isinstance(overlays, dict) else ():
        if isinstance(overlay, dict):
            laid = base.copy()
            laid.merge(overlay, _in_profile(at, other))
            found.problems += _validate(laid.copy())[1]
            layers, chosen = (laid, overlay) if other == name else (layers, chosen)
    return layers, chosen


def _in_profile(at: Callable[..., Origin], profile: str) -> Callable[[KeyPath], Origin]:
    """Where a key of [profile.NAME] stands."""

    def place(key: KeyPath) -> Origin:
        there = at("profile", profile, *key)
        return Origin(there.file, there.line, profile)

    return place


def _lay_event_files(base: Layers, path: Path, found: _Found) -> None:
    """Add the events and series of each file of events/; one that is wrong hides none of the others."""
    try:
        files = event_files(path)
    except ConfigProblems as error:
        found.problems += error.problems
        return
    for each in files:
        file = told(each)
        try:
            tree, at = _tree(read(each, file), file, found)
        except ConfigProblems as error:
            found.problems += error.problems
            continue
        for key, items in tree.items():
            if key not in IN_EVENT_FILES:
                message = (
                    f"unknown key {values.shown(key)}: files of events/ hold [[events]] and [[series]] alone"
                )
                found.problems.append(problem(at(key), (key,), message))
            elif not isinstance(items, list):
                found.problems.append(problem(at(key), (key,), f"must be a list, got {values.shown(items)}"))
            else:
                base.extend(key, items, lambda inner, at=at: at(*inner))  # type: ignore[misc]


def _tree(text: str, file: str, found: _Found) -> tuple[dict[str, Any], Callable[..., Origin]]:
    """The TOML tree of a text without its secrets, and where each key stands."""
    tree = parse(text, file)
    lines = key_lines(text)

    def at(*key: str | int) -> Origin:
        return Origin(file, line_of(lines, key))

    for key in take_secrets(tree):
        found.problems.append(problem(at(*key), key, belongs(key)))
        found.bad.add(key)
    return tree, at


def parse(text: str, file: str) -> dict[str, Any]:
    """The TOML tree; a syntax error is the one problem that hides all others. Raises ConfigProblems."""
    try:
        tree = tomli.loads(text, parse_float=values.written)
    except tomli.TOMLDecodeError as error:
        picture = caret(text, error.lineno, error.colno, names_secret)
        problem = Problem(file, error.lineno, error.colno, "", f"not valid TOML: {error.msg}", "", picture)
        raise ConfigProblems([problem]) from error
    except (ValueError, RecursionError) as error:
        # Python says how to allow longer numbers, which is no help to whoever wrote one.
        why = error if isinstance(error, RecursionError) else "a number has more digits than there can be"
        raise ConfigProblems([Problem(file, None, None, "", f"not valid TOML: {why}")]) from error
    if values.is_deeper(tree, MAX_DEPTH):
        message = f"tables and lists stand more than {MAX_DEPTH} deep in each other: no key is there"
        raise ConfigProblems([Problem(file, None, None, "", message)])
    return tree


def value_of(text: str) -> object:
    """The value of a change as TOML reads it; what TOML does not read is text, and so is a time of day."""
    try:
        tree = tomli.loads(f"x = {text}", parse_float=values.written)
    except (ValueError, RecursionError):
        return text
    value = tree["x"] if len(tree) == 1 else text
    return text if isinstance(value, (date, time)) else value


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
                known = _known(key[:-1]) if kind == "extra_forbidden" else []
                problems.append(problem(origin, key, *explain(kind, item["input"], key[-1], limits, known)))
                bad.add(key)
                if kind == "missing":
                    layers.put(key, "1", origin)  # good as a name and as an amount
                else:
                    going = layers.drop(key) and going
            if not going:
                break
    return None, problems, bad


# -- what the schema says of keys -----------------------------------------------------------------


def _inner(shape: Any, part: str | int = "") -> Any:
    """What a name or a number inside of a shape is; of an optional one, what it is when it is there."""
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        shape = shape.model_fields[str(part)].annotation
    else:
        shape = get_args(shape)[0 if isinstance(part, int) else -1]
    return get_args(shape)[0] if type(None) in get_args(shape) else shape


def _known(path: KeyPath) -> list[str]:
    """The keys that a table may have."""
    shape: Any = File
    for part in path:
        shape = _inner(shape, part)
    return list(shape.model_fields)


def reload_of(path: KeyPath) -> str:
    """When a change of a key acts: LIVE, WORKER or ALL; of a table, what its innermost key says, else
    LIVE.
    """
    shape: Any = File
    said = LIVE
    for part in path:
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            extra = shape.model_fields[str(part)].json_schema_extra
            said = str(extra["reload"]) if isinstance(extra, dict) else said
        elif not get_args(shape):
            break
        shape = _inner(shape, part)
    return said


def keys() -> Iterator[Key]:
    """Every key that may be written, table by table."""
    for name, item in File.model_fields.items():
        yield from _keys_of(name, item.annotation)


def _keys_of(table: str, shape: Any) -> Iterator[Key]:
    header = f"[{table}]"
    if get_args(shape):
        several = get_args(shape)[-1] is Ellipsis
        shape = get_args(shape)[0 if several else -1]
        header = f"[[{table}]]" if several else f"[{table}.NAME]"
        table = table if several else f"{table}.NAME"
    inside: list[tuple[str, Any]] = []
    for name, item in shape.model_fields.items():
        form, inner = _form(item)
        default = NEEDED if item.is_required() else values.toml(item.default)
        extra = item.json_schema_extra
        assert isinstance(extra, dict) and item.description is not None
        yield Key(header, name, form, default, item.description, str(extra["reload"]))
        if inner:
            optional = type(None) in get_args(item.annotation)
            inside.append((f"{table}.{name}", inner if optional else item.annotation))
    for path, inner in inside:
        yield from _keys_of(path, inner)


def _form(item: Any) -> tuple[str, type[BaseModel] | None]:
    """What may stand at a key, in words; and the table inside, where it holds one."""
    shape = item.annotation
    metadata = list(item.metadata)
    if type(None) in get_args(shape):
        shape = get_args(shape)[0]
    outer = ""
    while getattr(shape, "__origin__", None) in {dict, tuple}:
        outer += "table of " if shape.__origin__ is dict else "list of "
        shape = get_args(shape)[1 if shape.__origin__ is dict else 0]
    if hasattr(shape, "__metadata__"):
        metadata += shape.__metadata__
        shape = shape.__origin__
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return f"{outer}tables" if outer else "table", shape
    for each in metadata:
        form = getattr(getattr(each, "func", None), "form", "")
        if form:
            return outer + form, None
    if get_args(shape):
        return outer + ", ".join(f"`{word or values.toml(word)}`" for word in get_args(shape)), None
    low = next((each.ge for each in metadata if hasattr(each, "ge")), None)
    high = next((each.le for each in metadata if hasattr(each, "le")), None)
    words = {bool: "true or false", int: "whole number", float: "number", str: "name of a variable"}
    return outer + words[shape] + (f", {low} to {high}" if low is not None else ""), None
