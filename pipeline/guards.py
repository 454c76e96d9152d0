"""Guards: switches one safeguard off, so that a test can show that the selftest would notice.

In: the environment variable PARALLAX_GUARDS_OFF, names with commas between them. Out: whether a guard is on.
Honoured only where every venue is simulated: no run with a real venue can lose a guard this way. Used by
the processes that have the guard, at one place each; what is off is reported and logged there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

VARIABLE = "PARALLAX_GUARDS_OFF"

GUARDS = (
    "offer",  # scanner: an edge that passes is offered
    "sequence",  # feed: a gap in the numbers voids the book
    "checksum",  # feed: a wrong checksum voids the book
    "freshness",  # feed: a book that stands still while the venue's moves on is void (the witness)
    "repair",  # trader: a lone leg is completed or taken back
    "death",  # supervisor: a worker that ended is started again
    "hang",  # supervisor: a worker that does not beat is replaced
    "journal",  # trader: nothing is sent that is not committed
)
"""The named guards, in the order of the selftest's items."""


class UnknownGuardError(ValueError):
    """The environment names a guard that there is not."""


class Guards:
    """Which guards are on. Raises UnknownGuardError for a name that is no guard."""

    def __init__(self, off: str, *, simulated: bool) -> None:
        names = {name for name in off.split(",") if name}
        unknown = sorted(names - set(GUARDS))
        if unknown:
            raise UnknownGuardError(f"{VARIABLE}: no guard {unknown[0]!r}; there are: {', '.join(GUARDS)}")
        self._off = names if simulated else set()

    def on(self, name: str) -> bool:
        """Whether a guard does its work, as it always does for users."""
        assert name in GUARDS
        return name not in self._off


ALL_ON = Guards("", simulated=False)
"""What whoever is given no guards works with."""


def from_environment(environ: Mapping[str, str], *, simulated: bool) -> Guards:
    """The guards of this process; `simulated` says that no venue is a real one."""
    return Guards(environ.get(VARIABLE, ""), simulated=simulated)


class Settings(Protocol):
    """What is asked of a configuration."""

    @property
    def simulated(self) -> Sequence[str]:
        """The venues that are the lab's."""

    def feeds(self) -> Sequence[str]:
        """The venues that have a feed."""


class Log(Protocol):
    """What is asked of a log."""

    def warning(self, event: str, /, **more: object) -> None:
        """Write a line."""


class Host(Protocol):
    """A worker process, as far as it concerns guards: `pipeline.lifecycle.Worker` is one."""

    @property
    def config(self) -> Settings:
        """What the process acts on."""

    @property
    def log(self) -> Log:
        """Its log."""

    def report(self, text: str) -> None:
        """Count an error, and show its text."""


def of(host: Host, environ: Mapping[str, str], *names: str) -> Guards:
    """The guards of a worker that has those named; each of them that is off is reported and logged.

    Raises UnknownGuardError for a name in the environment that is no guard.
    """
    guards = from_environment(environ, simulated=set(host.config.feeds()) <= set(host.config.simulated))
    for name in names:
        if not guards.on(name):
            host.report(f"guard {name} is off: this run proves nothing and protects nobody")
            host.log.warning("guard is off", guard=name)
    return guards
