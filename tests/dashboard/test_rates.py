"""Rates that come from a counter looked at now and then."""

from __future__ import annotations

from dashboard.rates import SECONDS, Rate

S = 10**9


def test_a_rate_is_the_difference_of_two_counts_over_their_time() -> None:
    """Unknown at first, then over the last three seconds."""
    rate = Rate()
    assert rate.a_second() is None
    for tick in range(20):
        rate.note(tick * S // 2, 100 * tick)
    assert rate.a_second() == 200


def test_each_second_of_the_last_minute_has_a_value() -> None:
    """Oldest first, at most SECONDS of them; a reader that was away spreads what it missed."""
    rate = Rate()
    assert rate.last_minute() == ()
    for second in range(4):
        rate.note(second * S, second * second)
    assert rate.last_minute() == (1, 3, 5)
    rate.note(7 * S, 9 + 400)
    assert rate.last_minute() == (1, 3, 5, 100, 100, 100, 100)
    for second in range(8, 100):
        rate.note(second * S, 409)
    assert rate.last_minute() == (0,) * SECONDS


def test_a_counter_that_went_back_begins_anew() -> None:
    """A new file counts from zero: nothing negative is ever shown."""
    rate = Rate()
    rate.note(0, 1000)
    rate.note(S, 2000)
    rate.note(2 * S, 10)
    assert rate.a_second() is None
    rate.note(3 * S, 30)
    assert (rate.a_second(), rate.last_minute()) == (20, (1000, 20))
