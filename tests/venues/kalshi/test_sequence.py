"""Kalshi's numbering: in order, a duplicate, or a gap; with replies counted in or not."""

from __future__ import annotations

import pytest

from pipeline.venues.kalshi.sequence import Sequence


def fed(numbers: str) -> list[str | None]:
    """What each number was judged as; `r7` is a reply's number, `7` a book message's."""
    sequence = Sequence(books=True)
    return [
        sequence.control(int(each[1:])) if each.startswith("r") else sequence.message(int(each))
        for each in numbers.split()
    ]


@pytest.mark.parametrize(
    "numbers",
    [
        "1 2 3",
        "7 8 9",
        "1 r2 3",
        "1 r2 2 3",
        "1 2 r1 3",
        "r1 r2 3 4",
        "r5 1 2",
        "1 r2 r2 3",
        "0 1 r2",
        "0 r0 1",
    ],
)
def test_numbers_in_order(numbers: str) -> None:
    """The first number may be any; replies may share the counter or have their own."""
    assert set(fed(numbers)) == {""}


@pytest.mark.parametrize("numbers", ["1 1", "1 2 3 3", "1 r2 1"])
def test_a_number_seen_before_is_a_duplicate(numbers: str) -> None:
    """The last one again, whatever came between."""
    assert fed(numbers)[-1] is None


@pytest.mark.parametrize(
    "numbers", ["1 3", "1 r2 4", "1 r3", "5 6 2", "1 2 r9", "1 5 4", "0 2", "0 r2", "1 r3 2"]
)
def test_a_jump_either_way_is_said_with_both_numbers(numbers: str) -> None:
    """Forward is a gap, backward a reset."""
    said = fed(numbers)[-1]
    assert said
    assert numbers.rsplit(maxsplit=1)[-1].strip("r") in said


@pytest.mark.parametrize("numbers", ["1 3 4 5", "1 r3 4", "5 2 3 4", "1 r3 r4 5"])
def test_a_gap_is_said_once(numbers: str) -> None:
    """Counting goes on from the number that came."""
    assert sum(bool(said) for said in fed(numbers)) == 1
