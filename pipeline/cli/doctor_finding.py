"""Doctor finding: what one look at the machine or the folder came to.

In: nothing. Out: `Finding`, made with `good`, `warn` or `fault`. Used by the checks of `run.py doctor`.
"""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAULT = "ok", "warn", "FAULT"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result: a sentence that says what is, and unless all is well one that says what to do."""

    check: str
    grade: str
    text: str
    todo: str = ""


def good(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, OK, text)


def warn(check: str, text: str, todo: str) -> Finding:
    """It runs, and somebody should look at it."""
    return Finding(check, WARN, text, todo)


def fault(check: str, text: str, todo: str) -> Finding:
    """It will not run, or not as it should."""
    return Finding(check, FAULT, text, todo)


def size_text(count: int) -> str:
    """Bytes for people, in KiB, MiB or GiB."""
    if count < 2**20:
        return f"{count / 2**10:.0f} KiB"
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
