"""Unwatched: positions of events that the configuration does not have (any longer).

In: positions, the events that are configured. Out: what nobody marks, hedges or settles, a sentence for each,
and marks that take it at its worst. Pure; used by the trader's ledger and oversight.
"""

from __future__ import annotations

from collections.abc import Container
from decimal import Decimal

from pipeline.trader.holding import ZERO, Key, Mark
from pipeline.trader.positions import Positions


def unwatched(positions: Positions, events: Container[str]) -> list[Key]:
    """Positions whose event is not configured, oldest first."""
    return [each.key for each in positions.holdings() if each.key.event_id not in events]


def sentence(key: Key) -> str:
    """What is wrong, and what to do."""
    return (
        f"{key.event_id}: {key.outcome} of {key.venue} {key.market} is held, but no such event is configured:"
        " nothing marks, hedges or settles it. Put the event back into config.toml"
    )


def at_worst(mark: Mark, events: Container[str]) -> Mark:
    """`mark`; what is held of an event that is not configured, and has no book, counts as worth nothing.

    That is the most that can be lost of it. Coins that are owed have no such bound, and stay unknown.
    """

    def found(key: Key, quantity: Decimal) -> Decimal | None:
        value = mark(key, quantity)
        return ZERO if value is None and quantity > 0 and key.event_id not in events else value

    return found
