"""Agreement: whether what the account holds is what its venues say that it holds.

In: positions, orders on their way, what the venues answer, the time. Out: which places to ask about now, and
what differs, as a sentence. Pure; turned by the trader's oversight. reliability.md 4, invariant 2.

Asked are the places that hold something, and for all others together the number of fills. A report that is
on its way makes a difference for a moment: what counts is the same difference at two looks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal

from pipeline.journal_records import FillRecord
from pipeline.model import EXACT
from pipeline.money import money_text, to_decimal
from pipeline.trader.broker import Holdings, Place
from pipeline.trader.holding import ZERO
from pipeline.trader.positions import Positions

LOOK_NS = 60_000_000_000
AGAIN_NS = 2_000_000_000
"""After a difference: longer than it takes until a lost report was asked for again."""
ANSWER_NS = 1_000_000_000
FILLS: Place = ("", "", "")
"""Stands for the number of all fills."""
MOST_NAMED = 3


class Agreement:
    """Compares now and then. `difference` stands until a look finds none; "" where there is none."""

    def __init__(self) -> None:
        self.difference = ""
        self.looks = 0
        """Looks that were answered."""
        self._due_ns = 0
        self._number = 0
        self._places: list[Place] = []
        self._missing = 0
        self._asked_ns = 0
        self._heard: dict[Place, Decimal] = {}
        self._suspects: dict[Place, tuple[Decimal, Decimal]] = {}
        # When the venues' record began, and what of ours is older: all fills, and amounts by place.
        self._born_wall_ns = 0
        self._older: dict[Place, Decimal] = {}

    def due(self, now_ns: int, positions: Positions) -> tuple[int, list[Place]] | None:
        """The number of a question that is due and its places; None while none is.

        Whoever asks says with `asked` in how many answers it will come.
        """
        waiting = self._missing and now_ns - self._asked_ns < ANSWER_NS
        if waiting or now_ns < self._due_ns:
            return None
        self._number += 1
        self._places = sorted(_held(positions))
        self._heard = {}
        self._asked_ns = now_ns
        return self._number, self._places

    def asked(self, answers: int) -> None:
        """The question was sent."""
        self._missing = answers

    def hear(self, answer: Holdings, now_ns: int, positions: Positions, busy: Collection[Place]) -> bool:
        """Take an answer; True where it completes a look that finds a difference for the second time.

        `busy` are places with orders on their way: they are not compared, and while there is any, neither
        is the number of fills.
        """
        if answer.look != self._number or not self._missing:
            return False
        self._missing -= 1
        self._heard |= answer.amounts
        if self._missing:
            return False
        self.looks += 1
        if answer.born_wall_ns != self._born_wall_ns:
            self._born_wall_ns = answer.born_wall_ns
            self._older = _older(positions.fills(), answer.born_wall_ns)
        found = self._compare(answer, positions, busy)
        lasting = {place: pair for place, pair in found.items() if self._suspects.get(place) == pair}
        self._suspects = found
        self._due_ns = now_ns + (AGAIN_NS if found else LOOK_NS)
        is_new = bool(lasting) and not self.difference
        self.difference = _sentence(lasting) if lasting else self.difference if found else ""
        return is_new

    def _compare(
        self, answer: Holdings, positions: Positions, busy: Collection[Place]
    ) -> dict[Place, tuple[Decimal, Decimal]]:
        """Ours and theirs, where they differ."""
        held = _held(positions)
        pairs = {
            place: (
                EXACT.subtract(held.get(place, ZERO), self._older.get(place, ZERO)),
                self._heard.get(place, ZERO),
            )
            for place in self._places
            if place not in busy and place in held
        }
        if not busy:
            ours = len(positions.fills()) - int(self._older.get(FILLS, ZERO))
            pairs[FILLS] = (Decimal(ours), Decimal(answer.fills))
        return {place: pair for place, pair in pairs.items() if pair[0] != pair[1]}


def _held(positions: Positions) -> dict[Place, Decimal]:
    """What is held now, by place, over all events."""
    found: dict[Place, Decimal] = {}
    for each in positions.holdings():
        if each.units:
            place = each.key.venue, each.key.market, each.key.outcome
            found[place] = EXACT.add(found.get(place, ZERO), to_decimal(each.units, each.size_decimals))
    return found


def _older(fills: Iterable[FillRecord], born_wall_ns: int) -> dict[Place, Decimal]:
    """Amounts of fills that were booked before the venues' record began, and their number."""
    found: dict[Place, Decimal] = {}
    for fill in fills:
        if fill.wall_ns < born_wall_ns:
            place = fill.venue, fill.market, fill.outcome
            amount = to_decimal(fill.size_units, fill.scale.size_decimals)
            turn = EXACT.add if fill.action == "buy" else EXACT.subtract
            found[place] = turn(found.get(place, ZERO), amount)
            found[FILLS] = found.get(FILLS, ZERO) + 1
    return found


def _sentence(differences: dict[Place, tuple[Decimal, Decimal]]) -> str:
    """What differs, for people."""
    parts = []
    for place, (ours, theirs) in list(differences.items())[:MOST_NAMED]:
        what = "fills in all" if place == FILLS else " ".join(place)
        parts.append(f"{what}: {money_text(ours)} here, {money_text(theirs)} there")
    return "; ".join(parts)
