"""Text: on which line each key of a TOML text stands, and how a problem is told to people.

In: TOML text that has already been parsed. Out: line numbers by key path, and `Problem` values. Pure;
used by config_schema. The scan reads structure only: values are the parser's business.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pipeline.config_schema.values import masked, shown

KeyPath = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)')[ \t]*(\.?)""")
_STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''', re.DOTALL
)
_SCALAR = re.compile(r"[^,\[\]{}\s#=]+(?: \d\d:[0-9:.+Zz-]+)?")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration. `line` and `column` are None where there is none to name.

    `file` is the file, or "--set" or an environment variable's name. `picture` shows the place of a
    syntax error.
    """

    file: str
    line: int | None
    column: int | None
    key: str
    message: str
    suggestion: str = ""
    picture: str = ""

    def __str__(self) -> str:
        """`config.toml:4: risk.max_exposre_usd: message - did you mean 'max_exposure_usd'?`"""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        key = f" {self.key}:" if self.key else ""
        hint = f" - {self.suggestion}" if self.suggestion else ""
        picture = f"\n{self.picture}" if self.picture else ""
        return f"{place}:{key} {self.message}{hint}{picture}"


TYPE_WORDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


class ConfigProblems(Exception):
    """The configuration does not hold; `problems` is everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(path: KeyPath) -> str:
    """A key path as people write it: `events[0].legs[1].venue`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = re.fullmatch(r"[A-Za-z0-9_/-]+", part)
            text += ("." if text else "") + masked(part if plain else f'"{part[:60]}"')
    return text


def explain(
    kind: str, got: object, name: object, limits: Mapping[str, Any], known: Iterable[str]
) -> tuple[str, str]:
    """Message and suggestion for one refusal of the schema, by pydantic's name for its kind.

    `known` is what could stand there: the table's keys.
    """
    told = f", got {shown(got)}"
    match kind:
        case "extra_forbidden":
            return f"unknown key {shown(name)}", did_you_mean(name, known)
        case "missing":
            return "is missing", ""
        case "value_error":
            return str(limits["error"]), ""
        case "literal_error":
            words = re.findall(r"'([^']*)'", limits["expected"])
            return f"must be {limits['expected']}{told}", did_you_mean(got, words)
        case "greater_than_equal":
            return f"must be at least {limits['ge']:g}{told}", ""
        case "less_than_equal":
            return f"must be at most {limits['le']}{told}", ""
        case "finite_number":
            return f"must be a finite number{told}", ""
    return f"must be {TYPE_WORDS.get(kind, 'something else')}{told}", ""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Text such as "did you mean 'half'?" with the closest known word, or nothing."""
    close = get_close_matches(str(word)[:80], list(known), 1, 0.6)
    return f"did you mean '{close[0]}'?" if close else ""


def caret(text: str, line: int, column: int, hides: Callable[[str], bool] = lambda _key: False) -> str:
    """The line of a syntax error and a mark under its column, at most 120 characters wide.

    What may be a secret is stars, as is the value of a key that `hides` says holds one.
    """
    lines = text.splitlines()
    shown = masked(lines[line - 1]) if 0 < line <= len(lines) else ""
    key, equals, value = shown.partition("=")
    if hides(key):
        shown = key + equals + "*" * len(value)
    start = max(0, column - 100)
    shown = "".join(c if c.isprintable() else " " for c in shown[start : start + 120])
    return f"    {shown}\n    {' ' * (column - 1 - start)}^"


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every table, key and array item of a TOML text, as far as it can be followed."""
    scan = _Scan(text)
    scan.document()
    return scan.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Line of a key, or of the innermost table around it that has one; None rather than a guess."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


class _Scan:
    """One walk over a text. Where it meets something that it does not know it stops: no line is made up."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._items: dict[KeyPath, int] = {}

    def document(self) -> None:
        """Tables and pairs up to the end, or to what cannot be followed."""
        base: KeyPath = ()
        going = True
        while going:
            self._skip()
            if self._text.startswith("[[", self._at):
                start, self._at = self._at, self._at + 2
                base, going = self._item_of(self._keys()), self._take("]]")
                self._note(base, start)
            elif self._text.startswith("[", self._at):
                start, self._at = self._at, self._at + 1
                base, going = self._inside(self._keys()), self._take("]")
                self._note(base, start)
            else:
                going = self._at < len(self._text) and self._pair(base)

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _take(self, mark: str) -> bool:
        """Step over `mark`; False when something else stands there."""
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def _keys(self) -> KeyPath:
        """A key, dotted or not."""
        parts: list[str] = []
        while match := _KEY.match(self._text, self._at):
            self._at = match.end()
            bare, quoted, literal, dot = match.groups()
            parts.append(next(part for part in (bare, quoted, literal) if part is not None))
            if not dot:
                break
        return tuple(parts)

    def _inside(self, keys: KeyPath) -> KeyPath:
        """The path that a header means: a name of an array of tables means its last item."""
        path: KeyPath = ()
        for key in keys:
            path = (*path, key)
            if path in self._items:
                path = (*path, self._items[path])
        return path

    def _item_of(self, keys: KeyPath) -> KeyPath:
        """The path of a new item of an array of tables."""
        path = (*self._inside(keys[:-1]), *keys[-1:])
        self._items[path] = self._items.get(path, -1) + 1
        return (*path, self._items[path])

    def _note(self, path: KeyPath, at: int) -> None:
        line = bisect_right(self._starts, at)
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _pair(self, base: KeyPath) -> bool:
        """A key and its value; False when there is none."""
        start = self._at
        path = (*base, *self._keys())
        if len(path) == len(base):
            return False
        self._note(path, start)
        return self._take("=") and self._value(path)

    def _value(self, path: KeyPath) -> bool:
        """A value of any kind; False when it cannot be followed."""
        self._skip()
        self._note(path, self._at)
        if self._take("["):
            return self._members(path, "]")
        if self._take("{"):
            return self._members(path, "}")
        match = _STRING.match(self._text, self._at) or _SCALAR.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return match is not None

    def _members(self, path: KeyPath, end: str) -> bool:
        """Items of an array, or pairs of an inline table, up to the bracket that closes it."""
        count, good = 0, True
        self._skip()
        while good and not self._take(end):
            good = self._value((*path, count)) if end == "]" else self._pair(path)
            count += 1
            self._skip()
            if not self._take(","):
                return good and self._take(end)
            self._skip()
        return good
