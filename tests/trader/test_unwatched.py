"""Unwatched: what is held of an event that nobody configured is named, and counted at its worst."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from pipeline.trader.holding import Key
from pipeline.trader.unwatched import at_worst, sentence, unwatched
from tests.support.trader_parts import EVENTS, Parts

RAIN, SNOW = EVENTS


@pytest.fixture
def parts(tmp_path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.close()


def day_pnl(parts: Parts) -> Decimal | None:
    """As the trader works it out."""
    worst = at_worst(parts.desk.mark, parts.desk.events)
    return parts.ledger.day_pnl(parts.clock.wall_ns(), parts.desk.mark, parts.desk.dust, worst)


def test_positions_without_an_event_are_named(parts: Parts) -> None:
    """Every place of an event that left the configuration is found, and told with what to do."""
    parts.hedged()
    assert unwatched(parts.ledger.positions, parts.desk.events) == []
    parts.adopt(events=(SNOW,))
    keys = unwatched(parts.ledger.positions, parts.desk.events)
    assert [(key.event_id, key.venue, key.market) for key in keys] == [
        ("rain", "kalshi", "K-rain"),
        ("rain", "polymarket", "P-rain"),
    ]
    text = sentence(keys[0])
    assert all(part in text for part in ("rain", "kalshi", "K-rain", "yes", "Put the event back"))


def test_a_lone_leg_without_an_event_is_a_loss_with_a_bound(parts: Parts) -> None:
    """Its day's result is not unknown for ever: it is what was paid, the most that can be lost; a book that
    says more is believed.
    """
    first, _ = parts.opened()
    parts.fills(first)
    parts.turn()
    (held,) = parts.ledger.positions.holdings()
    for order in list(parts.ledger.working()):
        parts.says(order[1].intent, 4)  # CANCELLED
    parts.turn()
    parts.clock.advance(61_000_000_000)  # Every book is dead by now.
    assert day_pnl(parts) is None
    parts.adopt(events=(SNOW,))
    assert day_pnl(parts) == -(held.cost + held.fees)
    parts.show()
    assert day_pnl(parts) > -(held.cost + held.fees)


def test_coins_that_are_owed_have_no_bound() -> None:
    """What must be bought back may cost anything: unknown stays unknown; so does what is configured."""
    nothing = at_worst(lambda _key, _quantity: None, {"known"})
    assert nothing(Key("gone", "kraken", "BTC/USD", "base"), Decimal(-1)) is None
    assert nothing(Key("known", "kalshi", "K", "yes"), Decimal(1)) is None
    assert nothing(Key("gone", "kalshi", "K", "yes"), Decimal(1)) == 0
