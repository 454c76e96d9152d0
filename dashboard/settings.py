"""Settings: what the dashboard knows of one key of config.toml, and whether a text can be a value of it.

In: rows that the command makes from the schema, which the dashboard does not load. Out: what is wrong with a
text before it is sent. Pure; used by the dialog of settings. The supervisor has the last word: what is
accepted here may still be refused there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum

MAX_VALUE_CHARACTERS = 400


class Form(Enum):
    """What may stand at a key, as far as it can be told here; OTHER is judged by the supervisor alone."""

    SWITCH = "switch"
    WHOLE = "whole"
    NUMBER = "number"
    CHOICE = "choice"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One key: its name with dots, its value in force as TOML writes it ("" where it has none), what may
    stand there in words, the default, when a change acts ("at once", ...), and what it means.

    `low` and `high` bound a number, both included; `choices` are the words of a CHOICE.
    """

    key: str
    value: str
    form: Form
    form_text: str
    default: str
    acts: str
    meaning: str
    low: str = ""
    high: str = ""
    choices: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        """The value as one would type it: text without its quotes where they are not needed."""
        inner = self.value[1:-1]
        quoted = len(self.value) >= 2 and self.value[0] == self.value[-1] == '"'
        return inner if quoted and inner and '"' not in inner and "\\" not in inner else self.value

    def problem(self, text: str) -> str:
        """Why `text` cannot be a value of this key; "" where it may be one."""
        text = text.strip()
        if not text:
            return "a value is needed"
        if not text.isprintable() or len(text) > MAX_VALUE_CHARACTERS:
            return f"one line of at most {MAX_VALUE_CHARACTERS} plain characters"
        if self.form is Form.SWITCH and text not in {"true", "false"}:
            return "true or false"
        if self.form is Form.CHOICE and text.strip('"') not in self.choices:
            return f"one of: {', '.join(self.choices)}"
        if self.form in {Form.WHOLE, Form.NUMBER}:
            return self._number_problem(text.strip('"'))
        return ""

    def _number_problem(self, text: str) -> str:
        try:
            number = Decimal(text)
        except InvalidOperation:
            return f"{text[:20]} is no number: {self.form_text}"
        if not number.is_finite():
            return f"{text[:20]} is no number: {self.form_text}"
        if self.form is Form.WHOLE and not text.lstrip("+-").replace("_", "").isdecimal():
            return f"a whole number: {self.form_text}"
        if self.low and not Decimal(self.low) <= number <= Decimal(self.high):
            return f"from {self.low} to {self.high}"
        return ""


def found(settings: Sequence[SettingInfo], needle: str) -> list[SettingInfo]:
    """The keys that contain every word of `needle` in their name or meaning; those in the name come first."""
    words = needle.casefold().split()
    hits = [one for one in settings if all(word in f"{one.key} {one.meaning}".casefold() for word in words)]
    return sorted(hits, key=lambda one: not all(word in one.key.casefold() for word in words))
