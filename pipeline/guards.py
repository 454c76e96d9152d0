"""Guards: switches one safeguard off, so that a test can show that the selftest would notice.

In: the environment variable PARALLAX_GUARDS_OFF, names with commas between them. Out: whether a guard is on.
Honoured only where every venue is simulated: no run with a real venue can lose a guard this way. Used by
the processes that have the guard, at one place each.
"""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "PARALLAX_GUARDS_OFF"

GUARDS = (
    "offer",  # scanner: an edge that passes is offered
    "sequence",  # feed: a gap in the numbers voids the book
    "checksum",  # feed: a wrong checksum voids the book
    "freshness",  # everyone: a book that is silent too long is not LIVE
    "repair",  # trader: a lone leg is completed or taken back
    "death",  # supervisor: a worker that ended is started again
    "hang",  # supervisor: a worker that does not beat is replaced
    "journal",  # trader: nothing is sent that is not committed
)
"""The named guards, in the order of the selftest's items."""


class Guards:
    """Which guards are on. Raises ValueError for a name that is no guard."""

    def __init__(self, off: str, *, simulated: bool) -> None:
        names = {name for name in off.split(",") if name}
        unknown = sorted(names - set(GUARDS))
        if unknown:
            raise ValueError(f"{VARIABLE}: no guard {unknown[0]!r}; there are: {', '.join(GUARDS)}")
        self._off = names if simulated else set()

    def on(self, name: str) -> bool:
        """Whether a guard does its work, as it always does for users."""
        assert name in GUARDS
        return name not in self._off


def from_environment(environ: Mapping[str, str], *, simulated: bool) -> Guards:
    """The guards of this process; `simulated` says that no venue is a real one."""
    return Guards(environ.get(VARIABLE, ""), simulated=simulated)
