"""The player of a tape: what is due when, and what orders do to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.lab.replay_player import Extent, Player, State, measure
from pipeline.tape import BrokenLine, TapeLine
from pipeline.tape_orders import FASTEST_PPM, TapeOrder, TapeOrderError

SECOND = 1_000_000_000
FIRST = 1_700_000_000 * SECOND
NOW = 5_000 * SECOND
# One a second, but that the fourth runs back and comes at once with the third.
TIMES = [0, 1, 2, 1, 3, 10]


def lines() -> Iterator[TapeLine | BrokenLine]:
    for number, seconds in enumerate(TIMES, 1):
        if number == 3:
            yield BrokenLine(2, "not JSON")
        yield TapeLine(number, FIRST + seconds * SECOND, "kraken", 0, str(number))


def player(ppm: int = 1_000_000) -> Player:
    made = Player(lines, measure(lines(), lambda: None), ppm)
    made.start(NOW)
    return made


def due(one: Player, now_ns: int) -> list[int]:
    found = []
    while (line := one.take(now_ns)) is not None:
        found.append(line.number)
    return found


def order(one: Player, now_ns: int, action: str, value: str = "") -> bool:
    return one.obey(TapeOrder(1, action, value), now_ns)


def test_a_tape_is_measured() -> None:
    """Its first line, its latest time, its lines and its broken ones are known before it is played."""
    assert measure(lines(), lambda: None) == Extent(FIRST, FIRST + 10 * SECOND, 6, 1)


def test_lines_come_at_their_own_pace() -> None:
    """A line is due when its time has come; one that is older than the one before it, with that one."""
    one = player()
    assert due(one, NOW) == [1]
    assert due(one, NOW + SECOND - 1) == []
    assert due(one, NOW + 2 * SECOND) == [2, 3, 4]
    assert one.wait_ns(NOW + 2 * SECOND) == SECOND
    assert due(one, NOW + 20 * SECOND) == [5, 6]
    assert (one.state, one.frames, one.bad_lines) == (State.ENDED, 6, 1)


def test_speed_stretches_the_time_between_lines() -> None:
    """At twice the pace a second takes half of one, at a tenth ten; the change acts from where it stands."""
    one = player(2_000_000)
    assert due(one, NOW + SECOND // 2) == [1, 2]
    order(one, NOW + SECOND // 2, "speed", "0.1")
    assert due(one, NOW + SECOND * 10) == []
    assert due(one, NOW + SECOND // 2 + 10 * SECOND) == [3, 4]
    order(one, NOW + 11 * SECOND, "speed", "max")
    assert one.speed_ppm == FASTEST_PPM
    assert due(one, NOW + 11 * SECOND) == [5, 6]


def test_a_pause_stops_the_tapes_time() -> None:
    """While paused nothing is due and the position stands still; afterwards nothing comes in a heap."""
    one = player()
    assert due(one, NOW + SECOND // 2) == [1]
    order(one, NOW + SECOND // 2, "pause")
    assert due(one, NOW + 500 * SECOND) == []
    assert (one.state, one.at_ns) == (State.PAUSED, FIRST + SECOND // 2)
    order(one, NOW + 500 * SECOND, "resume")
    assert due(one, NOW + 500 * SECOND + SECOND // 2 - 1) == []
    assert due(one, NOW + 500 * SECOND + SECOND // 2) == [2]


def test_a_step_is_one_line() -> None:
    """Each step plays exactly one line, whenever that would be due, and leaves the tape paused."""
    one = player()
    assert due(one, NOW) == [1]
    for expected in (2, 3, 4, 5, 6):
        order(one, NOW, "step")
        assert due(one, NOW) == [expected]
        assert one.paused
    assert one.state is State.ENDED
    order(one, NOW, "step")
    assert due(one, NOW) == []


def test_forward_plays_up_to_the_place_at_once() -> None:
    """Everything up to a place that lies ahead is due at once, then it goes on as before."""
    one = player()
    assert due(one, NOW) == [1]
    assert not order(one, NOW, "seek", "+2.5")
    assert one.state is State.SEEKING
    assert due(one, NOW) == [2, 3, 4]
    assert (one.state, one.at_ns) == (State.PLAYING, FIRST + 2 * SECOND + SECOND // 2)
    assert due(one, NOW + SECOND // 2) == [5]


def test_back_begins_anew_and_stays_paused() -> None:
    """A place that lies behind is reached from the tape's start; a paused tape is paused there."""
    one = player(FASTEST_PPM)
    assert due(one, NOW) == [1, 2, 3, 4, 5, 6]
    order(one, NOW, "pause")
    assert order(one, NOW, "seek", "10%")
    assert due(one, NOW) == [1, 2]
    assert (one.state, one.frames, one.bad_lines) == (State.PAUSED, 2, 1)
    # The line that ran back is older than the place too, but comes after one that is younger.
    assert due(one, NOW + SECOND) == []


def test_a_bad_order_changes_nothing() -> None:
    """A place that is none is refused, and the tape goes on."""
    one = player()
    with pytest.raises(TapeOrderError):
        order(one, NOW, "seek", "yesterday")
    assert (due(one, NOW + SECOND), one.state) == ([1, 2], State.PLAYING)


def test_a_tape_that_breaks_off_is_played_up_to_there() -> None:
    """Where the file cannot be read further the state says so, and why."""

    def cut() -> Iterator[TapeLine | BrokenLine]:
        yield TapeLine(1, FIRST, "kraken", 0, "1")
        yield BrokenLine(2, "the rest cannot be unpacked: cut", final=True)

    one = Player(cut, measure(cut(), lambda: None), FASTEST_PPM)
    assert due(one, NOW) == [1]
    assert (one.state, one.problem) == (State.UNREADABLE, "line 2: the rest cannot be unpacked: cut")


def test_a_tape_that_vanishes_is_a_state() -> None:
    """A file that is gone when it is sought in is said, and nobody falls over."""
    calls = iter([lines(), Gone()])
    one = Player(lambda: next(calls), measure(lines(), lambda: None), FASTEST_PPM)
    assert len(due(one, NOW)) == 6
    assert order(one, NOW, "seek", "0%")
    assert due(one, NOW) == []
    assert (one.state, one.problem) == (State.UNREADABLE, "t.jsonl: No such file or directory")


class Gone(Iterator[TapeLine | BrokenLine]):
    """What reading gives when the file is not there any more."""

    def __next__(self) -> TapeLine | BrokenLine:
        raise FileNotFoundError(2, "No such file or directory", "t.jsonl")
