"""Triggers: each rule halts where its limit is broken, not before, and once for each time it is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config, RiskConfig, TraderConfig
from pipeline.journal_records import SwitchRecord
from pipeline.trader import triggers
from pipeline.trader.triggers import DAY_NS, Facts, HaltLimits, Latch, halt_limits, told_today, triggered

S = 10**9
NOON = 20_000 * DAY_NS + DAY_NS // 2
LIMITS = HaltLimits(3 * S, Decimal(20), 5, 20, 300)
CALM = Facts(
    wall_ns=NOON,
    unhedged_ns={"t-1": 3 * S},
    day_pnl=Decimal("-19.99"),
    consecutive_losses=4,
    orders_last_second=20,
    orders_last_minute=300,
    journal_failed_ns=5 * S,
    versions_differ_ns=10 * S,
)
# What breaks each limit by the least there is, and a word of its sentence.
BROKEN = {
    triggers.UNHEDGED: ({"unhedged_ns": {"t-1": 3 * S + 1}}, "t-1"),
    triggers.DAILY_LOSS: ({"day_pnl": Decimal(-20)}, "$20 since 00:00 UTC"),
    triggers.LOSSES: ({"consecutive_losses": 5}, "5 losses in a row"),
    triggers.ORDER_RATE: ({"orders_last_second": 21}, "21 orders in a second, limit 20"),
    triggers.JOURNAL: ({"journal_failed_ns": 5 * S + 1}, "journal"),
    triggers.VERSIONS: ({"versions_differ_ns": 10 * S + 1}, "different configurations"),
    triggers.RECONCILIATION: ({"differences": "kalshi KX: 5 against 4"}, "kalshi KX: 5 against 4"),
}


def test_at_its_limits_nothing_halts() -> None:
    """All facts at once, each one step before its limit, halt nothing."""
    assert triggered(CALM, LIMITS) == []


def test_every_cause_has_a_test() -> None:
    """No rule is without the table of this file."""
    assert tuple(BROKEN) == triggers.CAUSES


@pytest.mark.parametrize("name", BROKEN)
def test_one_step_beyond_halts_with_that_cause_alone(name: str) -> None:
    """Each rule halts one step beyond its limit, by its own name and with the number in its sentence."""
    changed, words = BROKEN[name]
    (cause,) = triggered(replace(CALM, **changed), LIMITS)
    assert cause.id == name
    assert words in cause.sentence
    assert cause.who.startswith("rule " + name)


def test_a_minute_of_orders_halts_too() -> None:
    """The rate has two windows, and breaking both is one cause."""
    (cause,) = triggered(replace(CALM, orders_last_minute=301), LIMITS)
    assert "301 orders in a minute" in cause.sentence
    assert len(triggered(replace(CALM, orders_last_minute=301, orders_last_second=99), LIMITS)) == 1


def test_an_unknown_result_halts_nobody() -> None:
    """A day whose result is not known is refused by the gate; it is no reason to halt for good."""
    assert triggered(replace(CALM, day_pnl=None), LIMITS) == []


def test_everything_at_once_is_told() -> None:
    """All causes that hold are listed, every lone leg for itself."""
    facts = CALM
    for changed, _ in BROKEN.values():
        facts = replace(facts, **changed)
    facts = replace(facts, unhedged_ns={"t-1": 9 * S, "t-2": 4 * S, "t-3": 0})
    found = triggered(facts, LIMITS)
    assert [cause.id for cause in found] == [triggers.UNHEDGED, *triggers.CAUSES]
    assert len({cause.key for cause in found}) == len(found)


def test_the_limits_are_those_of_the_configuration() -> None:
    """Seconds become nanoseconds, dollars exact decimals."""
    config = Config(
        trader=TraderConfig(hedge_seconds=2.5),
        risk=RiskConfig(
            daily_loss_usd="12.34",
            max_consecutive_losses=7,
            max_orders_per_second=3,
            max_orders_per_minute=9,
        ),
    )
    assert halt_limits(config) == HaltLimits(2_500_000_000, Decimal("12.34"), 7, 3, 9)


def test_what_a_person_knew_when_resuming_does_not_halt_again() -> None:
    """A cause is told once while it lasts, and again when it comes back."""
    latch = Latch()
    broken = triggered(replace(CALM, unhedged_ns={"t-1": 9 * S}), LIMITS)
    assert latch.new(broken, NOON) == broken
    assert latch.new(broken, NOON) == []
    assert latch.new([], NOON) == []
    assert latch.new(broken, NOON) == broken
    other = triggered(replace(CALM, unhedged_ns={"t-1": 9 * S, "t-2": 9 * S}), LIMITS)
    assert [cause.key for cause in latch.new(other, NOON)] == ["unhedged t-2"]


def test_a_daily_loss_halts_once_a_day() -> None:
    """A result that swings about the limit halts once, and once more after midnight UTC."""
    latch = Latch()
    midnight = 20_001 * DAY_NS
    told = []
    for wall_ns in (NOON, NOON + 1, midnight - 1, midnight, midnight + 1):
        for pnl in ("-20", "-1", "-25"):
            facts = replace(CALM, wall_ns=wall_ns, day_pnl=Decimal(pnl))
            told += [cause.key for cause in latch.new(triggered(facts, LIMITS), wall_ns)]
    assert told == ["daily_loss 20000", "daily_loss 20001"]


def test_a_restart_remembers_what_was_told_today() -> None:
    """From the journal's switches come the rules that halted today; people and yesterday do not count."""
    loss, streak = triggered(replace(CALM, day_pnl=Decimal(-30), consecutive_losses=6), LIMITS)
    switches = [
        SwitchRecord("HALT", streak.sentence, streak.who, NOON - DAY_NS),
        SwitchRecord("HALT", loss.sentence, loss.who, NOON - 1),
        SwitchRecord("HALT", "lunch", "ann pid 7", NOON - 1),
        SwitchRecord("RESUME", "", loss.who, NOON),
    ]
    told = told_today(switches, NOON)
    assert told == {loss.key}
    assert Latch(told).new([loss, streak], NOON) == [streak]


@given(
    st.lists(st.sets(st.sampled_from(sorted(BROKEN)))),
)
def test_a_cause_is_told_whenever_it_begins(steps: list[set[str]]) -> None:
    """Over any history each beginning of a cause is told, and nothing else (a daily loss: its first)."""
    latch, before, ever = Latch(), set[str](), set[str]()
    for held in steps:
        facts = CALM
        for name in held:
            facts = replace(facts, **BROKEN[name][0])
        told = {cause.id for cause in latch.new(triggered(facts, LIMITS), NOON)}
        assert told == held - before - (ever & {triggers.DAILY_LOSS})
        before, ever = held, ever | held
