"""Parser: an ArgumentParser whose errors suggest what was meant.

In: declared commands and options, then the words of a command line. Out: argparse's namespace; or
on stderr the usage of the command that failed, one line of error, and exit code 2. Used by every
command of the CLI.
"""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` - did you mean 'X'?` for the known word nearest to `word`, or nothing when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" - did you mean {near[0]!r}?" if near else ""


class Parser(argparse.ArgumentParser):
    """argparse with suggestions. Options may not be abbreviated, so that a slip is seen.

    Sub-parsers are of this class too, and each reports its own errors with its own usage. With
    `passes_on="name"`, words that the parser does not know are no error: they become the list
    `namespace.name`, in order.
    """

    def __init__(self, *args: Any, passes_on: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self.passes_on = passes_on

    def parse_known_args(  # type: ignore[override]  # the overloads say no more than this
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse; an unknown word ends the program here, where its command is still known."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if self.passes_on:
            setattr(namespace, self.passes_on, unknown)
        elif unknown:
            self.error(self._unknown_text(unknown[0]))
        return namespace, []

    def _unknown_text(self, word: str) -> str:
        """What to say about a word that is neither an option nor a wanted argument."""
        if not word.startswith("-"):
            return f"unexpected argument {word!r}"
        option = word.partition("=")[0]
        return f"unknown option {option!r}{did_you_mean(option, self._option_string_actions)}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is not among the choices; argparse calls this for each value."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), known)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  the only name it has
            self.error(f"unknown command {value!r}{hint or '; --help lists them'}")
        raise argparse.ArgumentError(action, f"{value!r} is not one of {', '.join(known)}{hint}")
