"""Agreement: a difference between our positions and the venues' is found, and nothing else taken for it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from pipeline.money import money_text
from pipeline.trader.agreement import AGAIN_NS, ANSWER_NS, LOOK_NS, Agreement
from pipeline.trader.broker import Holdings, Place
from tests.support.trader_parts import Parts

KALSHI: Place = ("kalshi", "K-rain", "yes")
POLYMARKET: Place = ("polymarket", "P-rain", "no")


@pytest.fixture
def parts(tmp_path) -> Iterator[Parts]:
    """One hedged trade of 20 is held."""
    made = Parts(tmp_path)
    made.hedged()
    yield made
    made.close()


class Looks:
    """Asks when it is due, and answers as the test says."""

    def __init__(self, parts: Parts) -> None:
        self.agreement = Agreement()
        self.positions = parts.ledger.positions
        self.held = {(h.key.venue, h.key.market, h.key.outcome): h for h in self.positions.holdings()}
        self.now = 0

    def truth(self) -> dict[Place, Decimal]:
        """What is held, as a venue would say it."""
        return {place: Decimal(h.units).scaleb(-h.size_decimals) for place, h in self.held.items()}

    def look(
        self, *, fills: int = 2, busy: frozenset[Place] = frozenset(), born: int = 0, **changes: str
    ) -> bool:
        """One look, the next that is due; `changes` are amounts by venue that the venue gives."""
        amounts = self.truth() | {
            place: Decimal(changes[place[0]]) for place in self.held if place[0] in changes
        }
        while (question := self.agreement.due(self.now, self.positions)) is None:
            self.now += AGAIN_NS
        number, places = question
        assert places == sorted(self.held)
        self.agreement.asked(1)
        return self.agreement.hear(Holdings(number, born, fills, amounts), self.now, self.positions, busy)


def test_what_agrees_is_asked_once_a_minute(parts: Parts) -> None:
    """Equal amounts and fills are no difference, and the next look is a minute later."""
    looks = Looks(parts)
    assert not looks.look()
    assert looks.agreement.difference == ""
    assert looks.agreement.due(looks.now + LOOK_NS - 1, looks.positions) is None
    assert looks.agreement.due(looks.now + LOOK_NS, looks.positions) is not None


def test_the_same_difference_at_two_looks_counts(parts: Parts) -> None:
    """It is named once with both amounts, stands while it lasts, and ends with the first look without it."""
    looks = Looks(parts)
    assert set(looks.held) == {KALSHI, POLYMARKET}
    assert not looks.look(kalshi="7")
    assert looks.agreement.difference == ""
    assert looks.look(kalshi="7")
    ours = looks.truth()[KALSHI]
    assert looks.agreement.difference == f"kalshi K-rain yes: {money_text(ours)} here, 7 there"
    assert not looks.look(kalshi="7"), "it was told"
    assert looks.agreement.difference
    assert not looks.look()
    assert looks.agreement.difference == ""


def test_another_difference_is_one_on_its_way(parts: Parts) -> None:
    """Amounts that move between two looks are fills of which the report is coming."""
    looks = Looks(parts)
    assert not any(looks.look(kalshi=amount) for amount in ("7", "8", "9"))


def test_what_is_on_its_way_is_not_compared(parts: Parts) -> None:
    """A place with an order on its way is left out, and with it the number of fills."""
    looks = Looks(parts)
    assert not any(looks.look(kalshi="7", fills=9, busy=frozenset({KALSHI})) for _ in range(3))
    assert looks.look(polymarket="1", busy=frozenset({KALSHI})) is False
    assert looks.look(polymarket="1", busy=frozenset({KALSHI})) is True


def test_a_fill_that_nobody_holds_any_longer_is_missed(parts: Parts) -> None:
    """Where all amounts agree, a fill more or less on one side is a difference all the same."""
    looks = Looks(parts)
    assert [looks.look(fills=3), looks.look(fills=3)] == [False, True]
    assert looks.agreement.difference == "fills in all: 2 here, 3 there"


def test_what_is_older_than_the_venues_record_does_not_count(parts: Parts) -> None:
    """A record that began after our fills has none of them, and that is no difference."""
    looks = Looks(parts)
    born = parts.clock.wall_ns() + 1
    assert not any(looks.look(born=born, fills=0, kalshi="0", polymarket="0") for _ in range(2))
    assert [looks.look(born=born, fills=1, kalshi="5", polymarket="0") for _ in range(2)] == [False, True]


def test_an_answer_that_is_lost_is_asked_for_again(parts: Parts) -> None:
    """Of several answers all are needed; the question is put again after a second, and old answers are
    not mixed with new ones.
    """
    agreement, positions = Agreement(), parts.ledger.positions
    first = agreement.due(0, positions)
    assert first is not None
    agreement.asked(2)
    assert not agreement.hear(Holdings(first[0], 0, 2, {}), 0, positions, ())
    assert (agreement.looks, agreement.due(ANSWER_NS - 1, positions)) == (0, None)
    again = agreement.due(ANSWER_NS, positions)
    assert again is not None and again[0] != first[0]
    agreement.asked(2)
    assert not agreement.hear(Holdings(first[0], 0, 9, {}), ANSWER_NS, positions, ())
    assert agreement.looks == 0
