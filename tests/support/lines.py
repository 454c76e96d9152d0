"""Lines as a reader without colours has them. Used by the tests of what the dashboard draws."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len

from dashboard.formatting import clean
from dashboard.widgets.panel import Line

# Roles that say something, and what says the same without colour: any word, or one of these signs.
TELLING = {"good", "gain", "fair", "bad", "sim", "paper", "live", "replay", "halt"}
SIGNS = set("+-▲▼⚠●○✓✗→↑↓≥≤▒█▁▂▃▄▅▆▇┼")


def plain(lines: Iterable[Line]) -> str:
    """What stands there, without its colours."""
    return "\n".join("".join(clean(text) for text, _ in line) for line in lines)


def widths(lines: Iterable[Line]) -> list[int]:
    """How many cells each line takes."""
    return [sum(cell_len(text) for text, _ in line) for line in lines]


def untold(lines: Iterable[Line]) -> list[Line]:
    """The lines whose colour says something that no word and no sign on them says; there should be none.

    A line counts as told where the coloured part, or else the rest of its line, has a letter or a sign.
    """
    found = []
    for line in lines:
        coloured = [text for text, role in line if role in TELLING and text.strip()]
        rest = "".join(text for text, _ in line)
        if coloured and not (any(map(str.isalpha, rest)) or SIGNS & set(rest)):
            found.append(line)
    return found
